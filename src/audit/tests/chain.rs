//! The chain: what is written fits, and whatever is changed behind its back does not.

use std::collections::HashSet;
use std::time::Duration;

use super::*;
use crate::audit::{
    AuditReader, Begins, ChainVerifier, CheckpointEvery, Item, Misfit, TextVerifier, Verified, VerifiedTexts,
};

/// What `octroi audit verify` does, for the only gateway and the operator.
pub(super) fn verify(file: &File, key: &AuditKey) -> Result<(Vec<Verified>, VerifiedTexts), Misfit> {
    let reader = AuditReader::open(&file.settings().url).unwrap();
    let trusted = [key.public()];
    let mut texts = TextVerifier::new(key);
    let mut chains = Vec::new();
    for chain in reader.chains().unwrap().iter().filter(|chain| !chain.node.is_empty()) {
        let mut verifier = ChainVerifier::new(&chain.node, &trusted, Begins::AtItsStart);
        for item in reader.chain(chain, chain.first).unwrap() {
            match item.unwrap() {
                Item::Record(record) => {
                    verifier.record(&record, None)?;
                    texts.record(&record)?;
                }
                Item::Checkpoint(checkpoint) => verifier.checkpoint(&checkpoint)?,
            }
        }
        chains.push(verifier.end()?);
    }
    Ok((chains, texts.end()?))
}

/// Five requests, signed after every fourth record, the last two records not signed when the process was killed.
async fn killed_after_five_requests(file: &File, settings: &Settings) {
    let log = AuditLog::open(settings).unwrap();
    for number in 0..5 {
        let id = format!("r{number}");
        append(&log, intent(&id, number)).await.unwrap();
        append(&log, outcome(&id, number)).await.unwrap();
    }
    // Nobody signs at the end of a process that was killed.
    let copy = file.folder.path().join("copy.db");
    let other = rusqlite::Connection::open(file.path()).unwrap();
    other.execute("VACUUM INTO ?", [copy.to_str().unwrap()]).unwrap();
    drop((log, other));
    for ending in ["db-wal", "db-shm"] {
        let _ = std::fs::remove_file(file.path().with_extension(ending));
    }
    std::fs::rename(copy, file.path()).unwrap();
}

fn every(records: u64) -> CheckpointEvery {
    CheckpointEvery { records, interval: Duration::from_secs(3_600) }
}

#[tokio::test]
async fn the_chain_goes_on_over_restarts_and_is_signed_at_each_end() {
    let file = File::new();
    let settings = file.settings();
    for run in 0..3 {
        let log = AuditLog::open(&settings).unwrap();
        request(&log, intent(&format!("r{run}"), run), outcome(&format!("r{run}"), run)).await;
        log.shutdown().await.unwrap();
    }
    let (chains, texts) = verify(&file, &settings.key).unwrap();
    let [chain] = chains.as_slice() else { panic!("{chains:?}") };
    assert_eq!((chain.records, chain.head.seq, chain.signed, chain.cut), (6, Seq(6), Seq(6), None));
    assert_eq!(texts, VerifiedTexts { texts: 6, ..VerifiedTexts::default() });
}

#[tokio::test]
async fn the_chain_is_signed_after_so_many_records_and_when_time_is_up() {
    let file = File::new();
    let settings = Settings { checkpoint: every(4), ..file.settings() };
    killed_after_five_requests(&file, &settings).await;
    let signed = "SELECT group_concat(place & 0xffffffff, ' ') FROM (SELECT place FROM checkpoints ORDER BY place)";
    let other = rusqlite::Connection::open(file.path()).unwrap();
    let places: String = other.query_row(signed, [], |row| row.get(0)).unwrap();
    assert_eq!(places, "1 5 9");
    drop(other);

    // Time is up at once for what an earlier run left unsigned.
    let soon = CheckpointEvery { records: 1_000, interval: Duration::from_millis(10) };
    let log = AuditLog::open(&Settings { checkpoint: soon, ..settings.clone() }).unwrap();
    until("what an earlier run left is signed", || file.count("SELECT max(place) & 0xffffffff FROM checkpoints") == 10)
        .await;
    append(&log, intent("r9", 9)).await.unwrap();
    until("a lone record is signed", || file.count("SELECT max(place) & 0xffffffff FROM checkpoints") == 11).await;
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..10_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("never: {what}");
}

#[tokio::test]
async fn whatever_is_changed_behind_its_back_is_named() {
    // What an intruder does to the database, and what is said of it. Records have numbers 1 to 10; 1, 5 and 9 are
    // signed.
    let cases: Vec<(&str, &str)> = vec![
        ("", "ok"),
        (
            "UPDATE records SET body = replace(body, 'allowed', 'blocked') WHERE place & 0xff = 4",
            "record 4 (outcome r1)",
        ),
        ("UPDATE records SET at = at + 1 WHERE place & 0xff = 10", "record 10 (outcome r4)"),
        ("UPDATE records SET id = 'r7' WHERE place & 0xff = 3", "record 3 (intent r7)"),
        ("UPDATE records SET kind = 'pre_check' WHERE place & 0xff = 3", "record 3 (pre_check r1)"),
        ("UPDATE records SET hash = zeroblob(32) WHERE place & 0xff = 2", "record 2 (outcome r0)"),
        ("UPDATE records SET hash = NULL WHERE place & 0xff = 2", "record 2 (outcome r0) has no hash"),
        ("DELETE FROM records WHERE place & 0xff = 4", "record 4 is missing"),
        ("DELETE FROM records WHERE place & 0xff IN (4, 5)", "records 4 to 5 are missing"),
        ("DELETE FROM records WHERE place & 0xff = 1", "record 1 is missing, and no signed cut"),
        ("DELETE FROM records WHERE place & 0xff <= 5", "CUT"),
        ("DELETE FROM records", "are missing at the end"),
        ("DELETE FROM records WHERE place & 0xff >= 7", "records 7 to 9 are missing at the end"),
        ("DELETE FROM checkpoints", "not one of its checkpoints is there"),
        (
            "UPDATE checkpoints SET at = at + 1 WHERE place & 0xff = 5",
            "the checkpoint at record 5 has a wrong signature",
        ),
        ("UPDATE checkpoints SET hash = zeroblob(32) WHERE place & 0xff = 5", "record 5 has a wrong signature"),
        ("UPDATE checkpoints SET public_key = zeroblob(32) WHERE place & 0xff = 9", "is signed by another key"),
        // A checkpoint is no cut.
        (
            "DELETE FROM records WHERE place & 0xff <= 5; DELETE FROM checkpoints WHERE place & 0xff = 1;
             UPDATE checkpoints SET kind = 'cut' WHERE place & 0xff = 5",
            "the checkpoint at record 5 has a wrong signature",
        ),
        ("UPDATE contents SET content = '\"never said\"' WHERE place & 0xff = 3", "the text of record 3 (intent r1)"),
        ("DELETE FROM contents WHERE place & 0xff = 3", "1 texts are missing, and erasures account for 0"),
        ("UPDATE nodes SET id = 'another'", "record 1 (intent r0)"),
    ];
    let file = File::new();
    let settings = Settings { checkpoint: every(4), ..file.settings() };
    killed_after_five_requests(&file, &settings).await;
    let intact = std::fs::read(file.path()).unwrap();
    let mut said = HashSet::new();
    for (sql, expected) in cases {
        std::fs::write(file.path(), &intact).unwrap();
        let other = rusqlite::Connection::open(file.path()).unwrap();
        other.execute_batch("DROP TRIGGER records_are_never_changed; PRAGMA journal_mode = DELETE;").unwrap();
        other.execute_batch(sql).unwrap();
        drop(other);
        let found = verify(&file, &settings.key).map_or_else(|misfit| misfit.to_string(), |_| "ok".to_owned());
        let expected = if expected == "CUT" { "records 1 to 5 are missing, and no signed cut" } else { expected };
        assert!(found.contains(expected), "{sql}\n{found}");
        said.insert(found);
    }
    assert!(said.len() > 12, "{said:?}");
}

#[tokio::test]
async fn a_chain_that_is_forged_from_a_record_on_does_not_fit_its_checkpoint() {
    let file = File::new();
    let settings = Settings { checkpoint: every(4), ..file.settings() };
    killed_after_five_requests(&file, &settings).await;
    // The intruder knows how hashes are made, and has no key.
    let other = rusqlite::Connection::open(file.path()).unwrap();
    let node: String = other.query_row("SELECT id FROM nodes", [], |row| row.get(0)).unwrap();
    other.execute_batch("DROP TRIGGER records_are_never_changed; PRAGMA journal_mode = DELETE;").unwrap();
    let body = "replace(body, 'eva@example.org', 'max@example.org')";
    other.execute_batch(&format!("UPDATE records SET body = {body} WHERE place & 0xff = 3")).unwrap();
    let mut previous = crate::audit::ChainHash::NONE;
    for seq in 1..=10 {
        let sql = "SELECT at, kind, id, body FROM records WHERE place & 0xff = ?";
        let (at, kind, id, body): (i64, String, String, String) =
            other.query_row(sql, [seq], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))).unwrap();
        let covered = crate::audit::chain::Covered {
            node: &node,
            seq: Seq(seq),
            previous,
            at_microseconds: at,
            kind: &kind,
            id: &id,
            body: &body,
        };
        previous = covered.hash();
        other
            .execute("UPDATE records SET hash = ? WHERE place & 0xff = ?", rusqlite::params![previous.0, seq])
            .unwrap();
    }
    drop(other);
    let misfit = verify(&file, &settings.key).unwrap_err();
    assert_eq!(misfit, Misfit::Rewritten { node, seq: Seq(5) });
}

#[tokio::test]
async fn each_content_mode_keeps_what_it_says_and_the_hmac_of_the_original() {
    for (content, kept) in [
        (ContentMode::Redacted, Some("\"write to [email]\"")),
        (ContentMode::Full, Some("\"write to eva@example.org\"")),
        (ContentMode::Nothing, None),
    ] {
        let file = File::new();
        let settings = Settings { content, ..file.settings() };
        let log = AuditLog::open(&settings).unwrap();
        append(&log, pre_check("c1", 0)).await.unwrap();
        log.shutdown().await.unwrap();
        let record = AuditReader::open(&settings.url).unwrap().records_of("c1").unwrap().remove(0);
        assert_eq!(record.content.as_deref(), kept, "{content:?}");
        let body: serde_json::Value = serde_json::from_str(&record.body).unwrap();
        assert_eq!(body["content_hmac"], settings.key.hmac("\"write to eva@example.org\""), "{content:?}");
        assert_eq!(body.get("kept_hmac").is_some(), kept.is_some(), "{content:?}");
        verify(&file, &settings.key).unwrap();
    }
}

#[tokio::test]
async fn two_writers_of_one_node_make_one_chain() {
    let file = File::new();
    let settings = file.settings();
    let (first, second) = (AuditLog::open(&settings).unwrap(), AuditLog::open(&settings).unwrap());
    for number in 0..20 {
        append(&first, intent(&format!("a{number}"), number)).await.unwrap();
        append(&second, intent(&format!("b{number}"), number)).await.unwrap();
    }
    first.shutdown().await.unwrap();
    second.shutdown().await.unwrap();
    let (chains, _) = verify(&file, &settings.key).unwrap();
    assert_eq!(chains.iter().map(|chain| chain.records).collect::<Vec<_>>(), [40]);
}

#[tokio::test]
async fn a_named_node_has_a_chain_of_its_own() {
    let file = File::new();
    let settings = file.settings();
    for node in [None, Some("east"), Some("west"), None] {
        let log = AuditLog::open(&Settings { node: node.map(str::to_owned), ..settings.clone() }).unwrap();
        append(&log, intent(&uuid::Uuid::new_v4().to_string(), 0)).await.unwrap();
        log.shutdown().await.unwrap();
    }
    let (chains, _) = verify(&file, &settings.key).unwrap();
    let lengths: Vec<_> = chains.iter().map(|chain| (chain.node.as_str(), chain.records)).collect();
    assert!(
        matches!(lengths.as_slice(), [(first, 2), ("east", 1), ("west", 1)] if first.starts_with("node-")),
        "{lengths:?}"
    );
    assert_eq!(ids(&AuditLog::open(&settings).unwrap(), Query::new("acme")).await.len(), 4, "a search sees all");
}
