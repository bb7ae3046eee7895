//! The chain: what is written fits, and whatever is changed behind its back does not.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::*;
use crate::audit::record::{Found, Lifecycle, LifecycleEvent};
use crate::audit::{
    AuditReader, Begins, ChainInfo, ChainVerifier, CheckpointEvery, EntryVerifier, ExportOptions, Item, Misfit,
    PublicKey, TextVerifier, Texts, Verified, VerifiedTexts, export, verify_export,
};

on_both_stores! {
    the_chain_goes_on_over_restarts_and_is_signed_at_each_end,
    the_chain_is_signed_after_so_many_records_and_when_time_is_up,
    whatever_is_changed_behind_its_back_is_named,
    what_a_search_goes_by_is_compared_with_the_records,
    a_chain_that_is_forged_from_a_record_on_does_not_fit_its_checkpoint,
    a_record_that_claims_to_be_older_than_the_chain_is_told_of,
    a_row_of_a_node_without_records_is_found,
    a_record_of_no_node_is_found,
    an_outcome_that_a_cut_removed_from_another_chain_completes_its_request_all_the_same,
    each_content_mode_keeps_what_it_says_and_the_hmac_of_the_original,
    two_writers_of_one_node_make_one_chain,
    a_named_node_has_a_chain_of_its_own,
    what_is_written_and_erased_while_others_verify_fits,
    the_first_erasure_of_all_while_others_verify_fits,
    what_is_removed_while_others_read_it_is_no_tampering,
    a_part_that_begins_while_it_is_exported_is_exported_with_its_proof,
    behind_a_cut_another_keys_texts_are_not_taken_for_changed_ones,
    a_part_of_which_nothing_is_signed_yet_is_exported_from_the_last_signed_record_on,
}

/// What `octroi audit verify` does, for the only gateway and the operator.
pub(super) fn verify(home: &Home, key: &AuditKey) -> Result<(Vec<Verified>, VerifiedTexts), Misfit> {
    verify_with(home, key, &[key.public()])
}

/// The same, with these public keys.
pub(super) fn verify_with(
    home: &Home,
    key: &AuditKey,
    trusted: &[PublicKey],
) -> Result<(Vec<Verified>, VerifiedTexts), Misfit> {
    apart(|| {
        let reader = AuditReader::open(&home.settings().store).unwrap();
        let chains = reader.chains_in_turn().unwrap().map(Result::unwrap);
        verified_in(&reader, chains, key, trusted)
    })
}

fn verified_in(
    reader: &AuditReader,
    of: impl IntoIterator<Item = ChainInfo>,
    key: &AuditKey,
    trusted: &[PublicKey],
) -> Result<(Vec<Verified>, VerifiedTexts), Misfit> {
    let mut texts = TextVerifier::new(key, trusted);
    let mut entries = EntryVerifier::new(reader);
    let mut chains = Vec::new();
    for chain in of.into_iter().filter(|chain| !chain.node.is_empty()) {
        let mut verifier = ChainVerifier::new(&chain.node, trusted, Begins::AtItsStart);
        entries.begin(&chain).unwrap();
        for item in reader.chain(&chain, Texts::Read).unwrap() {
            match item.unwrap() {
                Item::Record(record) => {
                    verifier.record(&record, None)?;
                    texts.record(&record)?;
                    entries.record(&record).unwrap();
                }
                Item::Checkpoint(checkpoint) => {
                    verifier.checkpoint(&checkpoint)?;
                    texts.checkpoint(&chain.node, &checkpoint);
                }
            }
        }
        chains.push(verifier.end()?);
        entries.end_chain().unwrap()?;
    }
    entries.end().unwrap()?;
    Ok((chains, texts.end()?))
}

/// Five requests, signed after every fourth record; of a process that was killed before it signed the last.
async fn killed_after_five_requests(home: &Home, settings: &Settings) {
    let log = AuditLog::open(settings).unwrap();
    for number in 0..5 {
        let id = format!("r{number}");
        append(&log, intent(&id, number)).await.unwrap();
        append(&log, outcome(&id, number)).await.unwrap();
    }
    log.shutdown().await.unwrap();
    home.tamper("DELETE FROM checkpoints WHERE place & 255 = 10");
}

pub(super) fn every(records: u64) -> CheckpointEvery {
    CheckpointEvery { records, interval: Duration::from_secs(3_600) }
}

async fn the_chain_goes_on_over_restarts_and_is_signed_at_each_end(home: Home) {
    let settings = home.settings();
    for run in 0..3 {
        let log = AuditLog::open(&settings).unwrap();
        request(&log, intent(&format!("r{run}"), run), outcome(&format!("r{run}"), run)).await;
        log.shutdown().await.unwrap();
    }
    let (chains, texts) = verify(&home, &settings.key).unwrap();
    let [chain] = chains.as_slice() else { panic!("{chains:?}") };
    assert_eq!((chain.records, chain.head.seq, chain.signed, chain.cut), (6, Seq(6), Seq(6), None));
    assert_eq!(texts, VerifiedTexts { texts: 6, ..VerifiedTexts::default() });
}

async fn the_chain_is_signed_after_so_many_records_and_when_time_is_up(home: Home) {
    let settings = Settings { checkpoint: every(4), ..home.settings() };
    killed_after_five_requests(&home, &settings).await;
    assert_eq!(home.column("SELECT place & 255 FROM checkpoints ORDER BY place"), ["1", "5", "9"]);

    // Time is up at once for what an earlier run left unsigned.
    let soon = CheckpointEvery { records: 1_000, interval: Duration::from_millis(10) };
    let log = AuditLog::open(&Settings { checkpoint: soon, ..settings.clone() }).unwrap();
    until("what an earlier run left is signed, with what tells of it", || {
        home.count("SELECT max(place) & 255 FROM checkpoints") == 11
    })
    .await;
    append(&log, intent("r9", 9)).await.unwrap();
    until("a lone record is signed", || home.count("SELECT max(place) & 255 FROM checkpoints") == 12).await;
}

pub(super) async fn until(what: &str, holds: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < until, "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn whatever_is_changed_behind_its_back_is_named(home: Home) {
    // What an intruder does to the database, and what is said of it. Records have numbers 1 to 10; 1, 5 and 9 are
    // signed.
    let cases: Vec<(&str, &str)> = vec![
        ("", "ok"),
        (
            "UPDATE records SET body = replace(body, 'allowed', 'blocked') WHERE place & 255 = 4",
            "record 4 (outcome r1)",
        ),
        ("UPDATE records SET at = at + 1 WHERE place & 255 = 10", "record 10 (outcome r4)"),
        ("UPDATE records SET id = 'r7' WHERE place & 255 = 3", "record 3 (intent r7)"),
        ("UPDATE records SET kind = 'pre_check' WHERE place & 255 = 3", "record 3 (pre_check r1)"),
        ("UPDATE records SET hash = {zeros} WHERE place & 255 = 2", "record 2 (outcome r0)"),
        ("UPDATE records SET hash = NULL WHERE place & 255 = 2", "record 2 (outcome r0) has no hash"),
        ("DELETE FROM records WHERE place & 255 = 4", "record 4 is missing"),
        ("DELETE FROM records WHERE place & 255 IN (4, 5)", "records 4 to 5 are missing"),
        ("DELETE FROM records WHERE place & 255 = 1", "record 1 is missing, and no signed cut"),
        ("DELETE FROM records WHERE place & 255 <= 5", "CUT"),
        ("DELETE FROM records", "are missing at the end"),
        ("DELETE FROM records WHERE place & 255 >= 7", "records 7 to 9 are missing at the end"),
        ("DELETE FROM checkpoints", "not one of its checkpoints is there"),
        (
            "UPDATE checkpoints SET at = at + 1 WHERE place & 255 = 5",
            "the checkpoint at record 5 has a wrong signature",
        ),
        ("UPDATE checkpoints SET hash = {zeros} WHERE place & 255 = 5", "record 5 has a wrong signature"),
        ("UPDATE checkpoints SET public_key = {zeros} WHERE place & 255 = 9", "is signed by another key"),
        // A checkpoint is no cut.
        (
            "DELETE FROM records WHERE place & 255 <= 5; DELETE FROM checkpoints WHERE place & 255 = 1;
             UPDATE checkpoints SET kind = 'cut' WHERE place & 255 = 5",
            "the checkpoint at record 5 has a wrong signature",
        ),
        ("UPDATE contents SET content = '\"never said\"' WHERE place & 255 = 3", "the text of record 3 (intent r1)"),
        ("DELETE FROM contents WHERE place & 255 = 3", "1 texts are missing, and erasures account for 0"),
        ("UPDATE nodes SET id = 'another'", "another: record 1 (intent r0)"),
    ];
    let settings = Settings { checkpoint: every(4), ..home.settings() };
    killed_after_five_requests(&home, &settings).await;
    let mut said = HashSet::new();
    for (sql, expected) in cases {
        if sql.contains("hash = NULL") && matches!(home.at, At::Postgres(_)) {
            continue; // the column takes none
        }
        let copy = home.copy();
        copy.tamper(sql);
        let found = verify(&copy, &settings.key).map_or_else(|misfit| misfit.to_string(), |_| "ok".to_owned());
        let expected = if expected == "CUT" { "records 1 to 5 are missing, and no signed cut" } else { expected };
        assert!(found.contains(expected), "{sql}\n{found}");
        said.insert(found);
    }
    assert!(said.len() > 12, "{said:?}");
}

async fn what_a_search_goes_by_is_compared_with_the_records(home: Home) {
    let log = home.open();
    let denied = |id: &str| Intent { policies: vec![evaluation("pii", Action::Deny)], ..intent(id, 0) };
    let ended = |id: &str| Outcome { policies: vec![evaluation("pii", Action::Deny)], ..outcome(id, 1) };
    request(&log, denied("r1"), ended("r1")).await;
    request(&log, denied("r2"), ended("r2")).await;
    append(&log, pre_check("c1", 2)).await.unwrap();
    append(&log, intent("open", 3)).await.unwrap();
    log.shutdown().await.unwrap();
    drop(log);
    let entry = |what: &str| format!("INSERT INTO entries SELECT {what} FROM entries WHERE id = 'c1'");
    let columns = "'forged', NULL, kind, at, tenant, client, \"user\", request_type, decision";
    // Records 1 and 2 are of r1, 3 and 4 of r2, 5 of c1, 6 of a request that is under way.
    for (sql, expected) in [
        (String::new(), "ok"),
        ("UPDATE entries SET tenant = 'globex' WHERE id = 'r1'".into(), "its `tenant` is `globex`"),
        ("UPDATE entries SET client = 'other' WHERE id = 'c1'".into(), "record 5 (c1) in `entries`: its `client`"),
        ("UPDATE entries SET \"user\" = '' WHERE id = 'r2'".into(), "its `user` is ``"),
        ("UPDATE entries SET request_type = 'x' WHERE id = 'r2'".into(), "its `request_type`"),
        ("UPDATE entries SET kind = 'pre_check' WHERE id = 'r2'".into(), "its `kind` is `pre_check`"),
        ("UPDATE entries SET at = at + 1 WHERE id = 'r2'".into(), "its `at` is"),
        ("UPDATE entries SET id = 'r9' WHERE id = 'open'".into(), "its `id` is `r9`"),
        ("UPDATE entries SET context_id = 'c9' WHERE id = 'c1'".into(), "its `context_id` is `c9`"),
        ("UPDATE entries SET decision = 'blocked' WHERE id = 'r1'".into(), "`blocked`, and its outcome says `allowed`"),
        ("UPDATE entries SET decision = 'blocked' WHERE id = 'open'".into(), "and the record says `error`"),
        ("UPDATE entries SET outcome_place = NULL, decision = 'error' WHERE id = 'r1'".into(), "and record 2 did"),
        ("UPDATE entries SET outcome_place = outcome_place + 2 WHERE id = 'r1'".into(), "record 1 (r1)"),
        ("UPDATE entries SET outcome_place = place + 4 WHERE id = 'r1'".into(), "record 1 (r1)"),
        ("DELETE FROM entries WHERE id = 'c1'".into(), "record 5 (c1) in `entries`: it is missing"),
        (entry(&format!("place - 1, NULL, {columns}")), "record 4 (forged) in `entries`: no record opened it"),
        (entry(&format!("place + 9, NULL, {columns}")), "record 14 (forged) in `entries`: no record opened it"),
        (entry(&format!("place * 2, NULL, {columns}")), "(forged) in `entries`: no record opened it"),
        ("DELETE FROM entry_policies WHERE entry & 255 = 3".into(), "of records 0 to 1023"),
        ("UPDATE entry_policies SET policy = 'other' WHERE entry & 255 = 3".into(), "`entry_policies`"),
        ("UPDATE entry_policies SET at = at + 1 WHERE entry & 255 = 3".into(), "`entry_policies`"),
        (
            "INSERT INTO entry_policies SELECT tenant, 'other', at, entry FROM entry_policies WHERE policy = 'pii'"
                .into(),
            "`entry_policies`",
        ),
    ] {
        let copy = home.copy();
        copy.tamper(&sql);
        let found = verify(&copy, &home.key).map_or_else(|misfit| misfit.to_string(), |_| "ok".to_owned());
        assert!(found.contains(expected), "{sql}\n{found}");
    }
    // What is said to have completed a request: nothing that is there, or no outcome.
    let places = ["place + 999999", "99 * 1099511627776 + 1", "1099511627776", "7", "-5", "place", "open.place"];
    for (place, id) in places.iter().flat_map(|place| [(place, "r1"), (place, "open")]) {
        let copy = home.copy();
        let place = place.replace("open.place", "(SELECT place FROM entries WHERE id = 'open')");
        copy.tamper(&format!(
            "UPDATE entries SET outcome_place = {place}, decision = 'redacted' WHERE id = '{id}';
             DELETE FROM entry_policies WHERE entry = (SELECT place FROM entries WHERE id = '{id}')"
        ));
        let found = verify(&copy, &home.key).map_or_else(|misfit| misfit.to_string(), |_| "ok".to_owned());
        assert!(found.contains(&format!("({id}) in `entries`: it is completed by record")), "{place}, {id}\n{found}");
    }
    // Another outcome than its own, which says what the row says.
    home.tamper(
        "INSERT INTO records SELECT 99 * 1099511627776 + 1, at, kind, id, body, hash FROM records WHERE place & 255 = 2;
         UPDATE entries SET outcome_place = 99 * 1099511627776 + 1 WHERE id = 'r1'",
    );
    let found = verify(&home, &home.key).unwrap_err().to_string();
    assert!(found.contains("record 1 (r1) in `entries`: it is completed by another record than 2"), "{found}");
}

async fn an_outcome_that_a_cut_removed_from_another_chain_completes_its_request_all_the_same(home: Home) {
    // As of a gateway that was given another name while its outcome waited in the journal.
    let of = |node: &str| AuditLog::open(&Settings { node: Some(node.into()), ..home.settings() }).unwrap();
    let (west, east) = (of("west"), of("east"));
    append(&east, intent("r1", 0)).await.unwrap();
    east.settle().await;
    append(&west, outcome("r1", 1)).await.unwrap();
    append(&west, intent("r2", 2)).await.unwrap();
    east.shutdown().await.unwrap();
    west.shutdown().await.unwrap();
    drop((east, west));
    verify(&home, &home.key).unwrap();
    retention::cut(&home, &[1]);
    verify(&home, &home.key).unwrap();
    // In its own chain it would stand behind the request.
    home.tamper("UPDATE entries SET outcome_place = 1099511627776, decision = 'allowed' WHERE id = 'r2'");
    let found = verify(&home, &home.key).unwrap_err().to_string();
    assert!(found.contains("west: the row of record 2 (r2) in `entries`: it is completed by record 0"), "{found}");
}

async fn a_record_of_no_node_is_found(home: Home) {
    let log = home.open();
    append(&log, intent("r1", 0)).await.unwrap();
    log.shutdown().await.unwrap();
    drop(log);
    for place in ["99 * 1099511627776 + 1", "-5"] {
        let copy = home.copy();
        copy.tamper(&format!(
            "INSERT INTO records SELECT {place}, at, 'static_policy_change', 'change-1', body, hash FROM records"
        ));
        let found = verify(&copy, &home.key).unwrap_err().to_string();
        assert!(found.contains("(static_policy_change change-1) stands in no chain"), "{found}");
        let shown = apart(|| AuditReader::open(&copy.store()).unwrap().records_with_id("change-1").unwrap().remove(0));
        assert!(shown.node.starts_with("no node "), "{shown:?}");
    }
}

async fn a_chain_that_is_forged_from_a_record_on_does_not_fit_its_checkpoint(home: Home) {
    let settings = Settings { checkpoint: every(4), ..home.settings() };
    killed_after_five_requests(&home, &settings).await;
    // The intruder knows how hashes are made, and has no key.
    let node = home.column("SELECT id FROM nodes").remove(0);
    home.tamper("UPDATE records SET body = replace(body, 'eva@example.org', 'max@example.org') WHERE place & 255 = 3");
    let mut previous = crate::audit::ChainHash::NONE;
    for seq in 1..=10 {
        let field =
            |name: &str| home.column(&format!("SELECT {name} FROM records WHERE place & 255 = {seq}")).remove(0);
        let (at, kind, id, body) = (field("at"), field("kind"), field("id"), field("body"));
        let covered = crate::audit::chain::Covered {
            node: &node,
            seq: Seq(seq),
            previous,
            at_microseconds: at.parse().unwrap(),
            kind: &kind,
            id: &id,
            body: &body,
        };
        previous = covered.hash();
        let bytes = match home.at {
            At::Sqlite(_) => format!("x'{previous}'"),
            At::Postgres(_) => format!("decode('{previous}', 'hex')"),
        };
        home.tamper(&format!("UPDATE records SET hash = {bytes} WHERE place & 255 = {seq}"));
    }
    let misfit = verify(&home, &settings.key).unwrap_err();
    assert_eq!(misfit, Misfit::Rewritten { node, seq: Seq(5) });
}

async fn a_record_that_claims_to_be_older_than_the_chain_is_told_of(home: Home) {
    let log = home.open();
    request(&log, intent("r1", 0), outcome("r1", 1)).await;
    log.shutdown().await.unwrap();
    drop(log);
    let hash = if matches!(home.at, At::Sqlite(_)) { "NULL" } else { "hash" };
    home.tamper(&format!(
        "INSERT INTO records (place, at, kind, id, body, hash) SELECT 7, at, kind, 'r0', body, {hash} FROM records \
         WHERE place & 255 = 1"
    ));
    let later = apart(|| {
        let reader = AuditReader::open(&home.store()).unwrap();
        reader.check_older(&reader.chains().unwrap()[0]).unwrap()
    });
    match (&home.at, later) {
        (At::Sqlite(_), later) => assert_eq!(later, Ok(1), "a clock may have been set back"),
        (At::Postgres(_), later) => {
            let misfit = later.unwrap_err().to_string();
            assert!(misfit.contains("record 7 (intent r0) stands among those that are older"), "{misfit}");
        }
    }
}

async fn a_row_of_a_node_without_records_is_found(home: Home) {
    let log = home.open();
    request(&log, intent("r1", 0), outcome("r1", 1)).await;
    log.shutdown().await.unwrap();
    drop(log);
    home.tamper("INSERT INTO nodes (id, role) VALUES ('another', 'gateway')");
    verify(&home, &home.key).unwrap();
    home.tamper(
        "INSERT INTO entries SELECT (SELECT number FROM nodes WHERE id = 'another') * 1099511627776 + 1, NULL, 'forged', \
         NULL, kind, at, tenant, client, \"user\", request_type, decision FROM entries",
    );
    let misfit = verify(&home, &home.key).unwrap_err().to_string();
    assert!(misfit.contains("another: the row of record 1 (forged) in `entries`: no record opened it"), "{misfit}");
}

async fn each_content_mode_keeps_what_it_says_and_the_hmac_of_the_original(home: Home) {
    for (id, content, kept) in [
        ("c1", ContentMode::Redacted, Some("\"write to [email]\"")),
        ("c2", ContentMode::Full, Some("\"write to eva@example.org\"")),
        ("c3", ContentMode::Nothing, None),
    ] {
        let settings = Settings { content, ..home.settings() };
        let log = AuditLog::open(&settings).unwrap();
        append(&log, pre_check(id, 0)).await.unwrap();
        log.shutdown().await.unwrap();
        let record = apart(|| AuditReader::open(&settings.store).unwrap().records_of(id).unwrap().remove(0));
        assert_eq!(record.content.as_deref(), kept, "{content:?}");
        let body: serde_json::Value = serde_json::from_str(&record.body).unwrap();
        assert_eq!(body["content_hmac"], settings.key.hmac("\"write to eva@example.org\""), "{content:?}");
        assert_eq!(body.get("kept_hmac").is_some(), kept.is_some(), "{content:?}");
        verify(&home, &settings.key).unwrap();
    }
}

async fn two_writers_of_one_node_make_one_chain(home: Home) {
    let settings = home.settings();
    let (first, second) = (AuditLog::open(&settings).unwrap(), AuditLog::open(&settings).unwrap());
    for number in 0..20 {
        append(&first, intent(&format!("a{number}"), number)).await.unwrap();
        append(&second, intent(&format!("b{number}"), number)).await.unwrap();
    }
    first.shutdown().await.unwrap();
    second.shutdown().await.unwrap();
    let (chains, _) = verify(&home, &settings.key).unwrap();
    let told = home.count("SELECT count(*) FROM records WHERE kind = 'takeover'") as u64;
    assert_eq!(chains.iter().map(|chain| chain.records).collect::<Vec<_>>(), [40 + told]);
    let counted = chains[0].taken_over.get(&Some(Found::WhileRunning)).map_or(0, |it| it.times);
    assert_eq!(counted, told, "what one had not signed when the other came, that one tells of");
}

async fn a_named_node_has_a_chain_of_its_own(home: Home) {
    let settings = home.settings();
    for node in [Some("north"), Some("east"), Some("west"), Some("north")] {
        let log = AuditLog::open(&Settings { node: node.map(str::to_owned), ..settings.clone() }).unwrap();
        append(&log, intent(&uuid::Uuid::new_v4().to_string(), 0)).await.unwrap();
        log.shutdown().await.unwrap();
    }
    let (chains, _) = verify(&home, &settings.key).unwrap();
    let lengths: Vec<_> = chains.iter().map(|chain| (chain.node.as_str(), chain.records)).collect();
    assert_eq!(lengths, [("north", 2), ("east", 1), ("west", 1)]);
    assert_eq!(ids(&AuditLog::open(&settings).unwrap(), Query::new("acme")).await.len(), 4, "a search sees all");
}

async fn what_is_written_and_erased_while_others_verify_fits(home: Home) {
    let settings = Settings { checkpoint: every(1), ..home.settings() };
    let log = AuditLog::open(&settings).unwrap();
    request(&log, intent("r1", 0), outcome("r1", 1)).await;
    request(&log, intent("r2", 0), outcome("r2", 1)).await;
    assert_eq!(erasure::erase_one(&settings, "r1"), Ok(2));
    let (reader, chains) = apart(|| {
        let reader = AuditReader::open(&settings.store).unwrap();
        let chains = reader.chains().unwrap();
        (reader, chains)
    });
    request(&log, intent("r3", 2), outcome("r3", 3)).await;
    assert_eq!(erasure::erase_one(&settings, "r2"), Ok(2));
    let (found, texts) = apart(|| verified_in(&reader, chains, &home.key, &[home.key.public()])).unwrap();
    assert_eq!(found.iter().map(|chain| (chain.records, chain.signed.0)).collect::<Vec<_>>(), [(6, 6), (2, 2)]);
    assert_eq!((texts.texts, texts.erased), (2, 4));
}

async fn the_first_erasure_of_all_while_others_verify_fits(home: Home) {
    let log = home.open();
    request(&log, intent("r1", 0), outcome("r1", 1)).await;
    log.shutdown().await.unwrap();
    let (_, texts) = apart(|| {
        let reader = AuditReader::open(&home.store()).unwrap();
        let mut chains = reader.chains_in_turn().unwrap().map(Result::unwrap);
        let first = chains.next();
        assert_eq!(erasure::erase_one(&home.settings(), "r1"), Ok(2));
        verified_in(&reader, first.into_iter().chain(chains), &home.key, &[home.key.public()]).unwrap()
    });
    assert_eq!((texts.texts, texts.erased), (0, 2));
}

async fn what_is_removed_while_others_read_it_is_no_tampering(home: Home) {
    let log = home.open();
    for number in 0..20 {
        append(&log, intent(&format!("r{number}"), number)).await.unwrap();
    }
    log.shutdown().await.unwrap();
    drop(log);
    let read = |between: &(dyn Fn() + Sync)| {
        apart(|| {
            let reader = AuditReader::open(&home.store()).unwrap();
            let items = reader.chain(&reader.chains().unwrap()[0], Texts::Left).unwrap();
            between();
            items.collect::<Result<Vec<_>, _>>().map_err(|error| error.code())
        })
    };
    // In part, and all that was to be read.
    assert_eq!(read(&|| retention::cut(&home, &[7])), Err("audit_removed"));
    assert_eq!(read(&|| retention::cut(&home, &[20])), Err("audit_removed"));
    assert!(read(&|| ()).is_ok_and(|items| items.len() == 1), "the cut alone");
}

async fn a_part_that_begins_while_it_is_exported_is_exported_with_its_proof(home: Home) {
    let of = |node: &str| AuditLog::open(&Settings { node: Some(node.into()), ..home.settings() }).unwrap();
    let (east, west) = (of("east"), of("west"));
    append(&east, intent("r1", 0)).await.unwrap();
    append(&west, intent("r2", 0)).await.unwrap();
    let runtime = tokio::runtime::Handle::current();
    let exported = apart(|| {
        let (mut out, mut meanwhile) = (Vec::new(), Some(intent("r3", 10)));
        let options = ExportOptions { since: Some(at(5)), without_content: false };
        let reader = AuditReader::open(&home.store()).unwrap();
        export(&reader, &options, &mut out, &mut || {
            if let Some(asked) = meanwhile.take() {
                runtime.block_on(append(&west, asked)).unwrap();
            }
        })
        .unwrap();
        out
    });
    let found = verify_export(&mut &*exported, &[home.key.public()], &mut || ()).unwrap();
    let west = &found.chains[0];
    assert_eq!((west.node.as_str(), west.first, west.head.seq, west.signed), ("west", Seq(1), Seq(2), Seq(1)));
}

async fn behind_a_cut_another_keys_texts_are_not_taken_for_changed_ones(home: Home) {
    let (old, new) = (home.key.clone(), AuditKey::random().unwrap());
    for (key, id) in [(&old, "r1"), (&new, "r2")] {
        let log = AuditLog::open(&Settings { key: key.clone(), ..home.settings() }).unwrap();
        let started = Lifecycle {
            run_id: id.into(),
            at: at(0),
            event: LifecycleEvent::Start,
            version: "0.1.0".into(),
            config_digest: "sha256:3".into(),
            most_unsigned: None,
            public_key: Some(key.public().to_string()),
            offline: false,
        };
        append(&log, started).await.unwrap();
        request(&log, intent(id, 1), outcome(id, 2)).await;
        log.shutdown().await.unwrap();
    }
    // The record that names the old key goes, and its other two stay. Behind them the new key's chain tells of them.
    let home = Home { key: new, ..home };
    retention::cut(&home, &[1]);
    let verify = |home: &Home| {
        apart(|| {
            let reader = AuditReader::open(&home.store()).unwrap();
            verified_in(&reader, reader.chains().unwrap(), &home.key, &[old.public(), home.key.public()])
        })
    };
    let (_, texts) = verify(&home).unwrap();
    assert_eq!(texts, VerifiedTexts { texts: 2, erased: 0, unchecked: 2 });
    home.tamper("UPDATE contents SET content = '\"never said\"' WHERE place & 255 = 6");
    let misfit = verify(&home).unwrap_err().to_string();
    assert!(misfit.contains("the text of record 6 (intent r2) was changed"), "{misfit}");
}

async fn a_part_of_which_nothing_is_signed_yet_is_exported_from_the_last_signed_record_on(home: Home) {
    let settings = Settings { checkpoint: every(4), ..home.settings() };
    killed_after_five_requests(&home, &settings).await;
    let log = AuditLog::open(&settings).unwrap();
    append(&log, intent("r9", 20)).await.unwrap();
    log.shutdown().await.unwrap();
    drop(log);
    home.tamper("DELETE FROM checkpoints WHERE place & 255 > 9");
    for (since, first) in [(at(4), 9), (at(5), 9), (at(20), 9), (at(2), 5)] {
        let exported = apart(|| {
            let options = ExportOptions { since: Some(since), without_content: false };
            let mut out = Vec::new();
            export(&AuditReader::open(&home.store()).unwrap(), &options, &mut out, &mut || ()).unwrap();
            out
        });
        let found = verify_export(&mut &*exported, &[home.key.public()], &mut || ()).unwrap();
        let chain = &found.chains[0];
        assert_eq!((chain.first, chain.head.seq, chain.signed), (Seq(first), Seq(12), Seq(9)), "{since}");
    }
    let nothing = apart(|| {
        let mut out = Vec::new();
        let options = ExportOptions { since: Some(Timestamp::MAX), without_content: false };
        export(&AuditReader::open(&home.store()).unwrap(), &options, &mut out, &mut || ()).unwrap();
        out
    });
    assert_eq!(nothing.iter().filter(|byte| **byte == b'\n').count(), 1, "its first line alone");
}
