//! Old records go, and what stays still proves itself.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::audit::chain::{Head, Place};
use crate::audit::{ArchivedVersion, Checkpoint, CheckpointKind, Keep, Misfit, Seq, store};

on_both_stores! {
    records_beyond_their_age_go_and_a_signed_cut_stands_in_their_place,
    no_record_goes_before_its_time_because_a_clock_ran_behind_later,
    where_there_is_no_room_the_oldest_go,
    the_archive_takes_no_room_from_the_records,
    contexts_take_no_room_from_the_records,
    a_chain_is_cut_up_to_what_is_signed_and_no_further,
    where_more_is_unsigned_than_a_gateway_leaves_nothing_is_cut,
    a_chain_that_cannot_be_read_keeps_no_other_from_being_cut,
    what_another_key_signed_is_cut_and_the_key_is_told,
    where_nothing_of_the_oldest_chain_is_signed_the_next_one_makes_room,
    where_the_oldest_chains_are_short_the_others_make_room,
    where_removing_makes_no_room_no_more_is_removed,
    of_two_gateways_that_remove_at_once_the_slower_leaves_no_cut,
    a_request_that_a_cut_divides_is_completed_and_its_text_can_be_erased,
}

/// Seconds from `at`'s beginning to now.
fn ago() -> i64 {
    Timestamp::now().as_second() - at(0).as_second()
}

async fn records_beyond_their_age_go_and_a_signed_cut_stands_in_their_place(home: Home) {
    let settings = home.settings();
    let log = AuditLog::open(&settings).unwrap();
    for number in 0..2_500 {
        // The last five are of now.
        let second = if number < 2_495 { ago() - 100_000 + number } else { ago() };
        // A NUL in a body is no reason to keep it.
        let denied = PolicyEvaluation { reason: Some("\0".into()), ..evaluation("pii", Action::Deny) };
        let asked = Intent { policies: vec![denied], ..intent(&format!("r{number}"), second) };
        drop(log.append(asked).unwrap());
    }
    log.shutdown().await.unwrap();
    drop(log);
    assert_eq!(home.count("SELECT count(*) FROM entry_policies"), 2_500);

    let keep = Keep { age: Some(Duration::from_secs(3_600)), size: None };
    let log = AuditLog::open(&Settings { keep, ..settings.clone() }).unwrap();
    chain::until("old records are gone", || home.count("SELECT count(*) FROM records WHERE kind = 'intent'") == 5)
        .await;
    assert_eq!(ids(&log, Query::new("acme")).await, ["r2499", "r2498", "r2497", "r2496", "r2495"]);
    append(&log, outcome("r2499", ago())).await.unwrap();
    log.shutdown().await.unwrap();
    drop(log);
    for table in ["contents", "entries", "entry_policies"] {
        let left = home.count(&format!("SELECT count(*) FROM {table}"));
        assert_eq!(left, if table == "contents" { 6 } else { 5 }, "{table}");
    }
    let (chains, texts) = chain::verify(&home, &settings.key).unwrap();
    assert_eq!((chains[0].cut, chains[0].head.seq, chains[0].signed), (Some(Seq(2_495)), Seq(2_502), Seq(2_502)));
    assert_eq!((texts.texts, texts.erased), (6, 0));
    let why = "SELECT count(*) FROM records WHERE kind = 'retention' AND body LIKE '%older than%'";
    assert_eq!(home.count(why), 1);

    // It goes on after a restart, and the next cut takes the place of the first.
    let log = AuditLog::open(&settings).unwrap();
    append(&log, intent("next", ago())).await.unwrap();
    log.shutdown().await.unwrap();
    drop(log);
    assert_eq!(chain::verify(&home, &settings.key).unwrap().0[0].head.seq, Seq(2_503));
    for (tampered, expected) in [
        ("DELETE FROM records WHERE place & 4095 = 2496", "record 2496 is missing"),
        ("DELETE FROM checkpoints WHERE kind = 'cut'", "and no signed cut says"),
    ] {
        let copy = home.copy();
        copy.tamper(tampered);
        let misfit = chain::verify(&copy, &settings.key).unwrap_err().to_string();
        assert!(misfit.contains(expected), "{misfit}");
    }
}

async fn no_record_goes_before_its_time_because_a_clock_ran_behind_later(home: Home) {
    let keep = Keep { age: Some(Duration::from_secs(3_600)), size: None };
    let settings = Settings { keep, ..home.settings() };
    let log = home.open();
    let mut number = 0;
    for (count, age) in [(1_500, 100_000), (5, 0), (700, 100_000), (5, 0)] {
        for _ in 0..count {
            number += 1;
            drop(log.append(intent(&format!("r{number}"), ago() - age)).unwrap());
        }
    }
    log.shutdown().await.unwrap();
    drop(log);
    let left = || home.column("SELECT place & 65535 FROM records WHERE kind = 'intent' ORDER BY place");
    let log = AuditLog::open(&settings).unwrap();
    chain::until("old records are gone", || left().len() <= 710).await;
    log.shutdown().await.unwrap();
    drop(log);
    // Nor with a later look, which finds nothing to do.
    let log = AuditLog::open(&settings).unwrap();
    for _ in 0..20 {
        number += 1;
        append(&log, intent(&format!("r{number}"), ago())).await.unwrap();
    }
    log.shutdown().await.unwrap();
    drop(log);
    assert_eq!((left().len(), left()[0].as_str()), (730, "1501"));
    assert_eq!(home.count("SELECT count(*) FROM records WHERE kind = 'retention'"), 1);
    chain::verify(&home, &home.key).unwrap();
}

async fn where_there_is_no_room_the_oldest_go(home: Home) {
    let settings = home.settings();
    let log = AuditLog::open(&settings).unwrap();
    for number in 0..2_000 {
        drop(log.append(intent(&format!("r{number}"), number)).unwrap());
    }
    log.shutdown().await.unwrap();
    drop(log);
    let keep = Keep { age: None, size: Some(1 << 20) };
    let log = AuditLog::open(&Settings { keep, ..settings.clone() }).unwrap();
    let left = || home.count("SELECT count(*) FROM records WHERE kind = 'intent'");
    chain::until("there is room", || left() < 1_500).await;
    log.shutdown().await.unwrap();
    assert!(left() > 100, "no more than is needed: {}", left());
    assert_eq!(home.count("SELECT count(*) FROM records WHERE id = 'r1999'"), 1, "the newest stay");
    chain::verify(&home, &settings.key).unwrap();
}

/// Cuts the only gateway's chain at these records, one after the other, as gateways do that planned it at once.
pub(super) fn cut(home: &Home, records: &[i64]) {
    apart(|| {
        let store = store::open_existing(&home.store()).unwrap();
        let node = store.nodes().unwrap().remove(0);
        let mut cut = |session: &mut dyn store::Session| {
            let mut cuts = Vec::new();
            for place in records.iter().map(|record| Place::new(node.number, Seq(*record))) {
                let (_, _, hash) = session.record_at(place).unwrap().unwrap();
                let head = Head { seq: place.seq(), hash };
                let cut = Checkpoint::sign(CheckpointKind::Cut, &node.id, Timestamp::now(), head, &home.key);
                cuts.push((place, cut));
            }
            cuts.iter().for_each(|(place, cut)| session.cut(*place, cut).unwrap());
        };
        store.write(&mut cut).unwrap();
    });
}

async fn of_two_gateways_that_remove_at_once_the_slower_leaves_no_cut(home: Home) {
    let log = home.open();
    for number in 0..20 {
        append(&log, intent(&format!("r{number}"), number)).await.unwrap();
    }
    log.shutdown().await.unwrap();
    drop(log);
    cut(&home, &[15, 10]);
    let (chains, _) = chain::verify(&home, &home.key).unwrap();
    assert_eq!((chains[0].cut, chains[0].records), (Some(Seq(15)), 5));
    assert_eq!(home.count("SELECT count(*) FROM checkpoints WHERE kind = 'cut'"), 1);
}

async fn a_request_that_a_cut_divides_is_completed_and_its_text_can_be_erased(home: Home) {
    let settings = home.settings();
    let log = AuditLog::open(&settings).unwrap();
    let policies = vec![evaluation("pii", Action::Deny)];
    let age: i64 = 60;
    for (id, old) in [("answered", 2 * age), ("under way", 2 * age), ("of a gateway that was killed", 100_000)] {
        let asked = Intent { policies: policies.clone(), ..intent(id, ago() - old) };
        append(&log, asked).await.unwrap();
    }
    append(&log, Outcome { policies, ..outcome("answered", ago()) }).await.unwrap();
    log.shutdown().await.unwrap();
    drop(log);
    let keep = Keep { age: Some(Duration::from_secs(age.unsigned_abs())), size: None };
    let log = AuditLog::open(&Settings { keep, ..settings.clone() }).unwrap();
    chain::until("intents are gone", || home.count("SELECT count(*) FROM records WHERE kind = 'intent'") == 0).await;
    append(&log, outcome("under way", ago())).await.unwrap();
    log.shutdown().await.unwrap();
    drop(log);
    assert_eq!(home.column("SELECT id FROM entries ORDER BY place"), ["answered", "under way"]);
    for id in ["answered", "under way"] {
        assert_eq!(erasure::erase_one(&settings, id), Ok(1), "{id}");
    }
    chain::verify(&home, &home.key).unwrap();

    // They go with their outcomes.
    let last = home.count("SELECT max(place) & 255 FROM records WHERE kind = 'outcome'");
    cut(&home, &[last]);
    for table in ["entries", "entry_policies", "contents"] {
        assert_eq!(home.count(&format!("SELECT count(*) FROM {table}")), 0, "{table}");
    }
    chain::verify(&home, &home.key).unwrap();
}

/// A log that keeps so many bytes, behind fifty turns of its writer.
async fn fifty_turns(home: &Home, size: u64) {
    let keep = Keep { age: None, size: Some(size) };
    let log = AuditLog::open(&Settings { keep, ..home.settings() }).unwrap();
    for number in 0..50 {
        append(&log, intent(&format!("turn{number}"), number)).await.unwrap();
    }
    log.shutdown().await.unwrap();
}

async fn the_archive_takes_no_room_from_the_records(home: Home) {
    let log = home.open();
    for number in 0..20 {
        append(&log, intent(&format!("r{number}"), number)).await.unwrap();
    }
    let (module, manifest) = (Arc::new(vec![7; 3 << 20]), "#".repeat(2 << 20).into());
    log.archive(ArchivedVersion { version: "11".into(), module, manifest }).await.unwrap();
    log.shutdown().await.unwrap();
    drop(log);
    fifty_turns(&home, 1 << 20).await;
    assert_eq!(home.count("SELECT count(*) FROM records"), 70, "none was removed, and none says so");
}

async fn contexts_take_no_room_from_the_records(home: Home) {
    let log = home.open();
    for number in 0..20 {
        append(&log, intent(&format!("r{number}"), number)).await.unwrap();
    }
    log.shutdown().await.unwrap();
    drop(log);
    home.tamper(
        "INSERT INTO contexts (context_id, client, tenant, approved, expires_at) \
         WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 30000) \
         SELECT 'context-of-a-pre-check-' || x, 'acme-app', 'acme', TRUE, 4000000000000000 FROM n",
    );
    fifty_turns(&home, 1 << 20).await;
    assert_eq!(home.count("SELECT count(*) FROM records"), 70, "none was removed, and none says so");
}

/// The chain of the gateway `gone`, which ended long ago: so many records, and how many are there now.
async fn chain_of_one_that_is_gone(home: &Home, settings: Settings, records: i64) -> impl Fn() -> i64 {
    let log = AuditLog::open(&Settings { node: Some("gone".into()), ..settings }).unwrap();
    for number in 0..records {
        append(&log, intent(&format!("gone{number}"), ago() - 100_000)).await.unwrap();
    }
    log.shutdown().await.unwrap();
    || home.count("SELECT count(*) FROM records WHERE id LIKE 'gone%'")
}

/// Another gateway on the same store, which keeps records for an hour.
fn another(home: &Home) -> AuditLog {
    let keep = Keep { age: Some(Duration::from_secs(3_600)), size: None };
    AuditLog::open(&Settings { keep, node: Some("another".into()), ..home.settings() }).unwrap()
}

async fn a_chain_is_cut_up_to_what_is_signed_and_no_further(home: Home) {
    let settings = Settings { checkpoint: chain::every(4), ..home.settings() };
    let left = chain_of_one_that_is_gone(&home, settings, 12).await;
    // It was killed.
    home.tamper("DELETE FROM checkpoints WHERE place & 255 > 9");
    drop(left);
    let copy = home.copy();
    copy.tamper("DELETE FROM checkpoints");
    for (home, left) in [(&home, 3), (&copy, 12)] {
        let before = chain::verify(home, &home.key).map(drop);
        let log = another(home);
        let gone = || home.count("SELECT count(*) FROM records WHERE id LIKE 'gone%'");
        if left == 3 {
            chain::until("what is signed is gone", || gone() == left).await;
        }
        for number in 0..20 {
            append(&log, intent(&format!("r{number}"), ago())).await.unwrap();
        }
        log.shutdown().await.unwrap();
        assert_eq!((gone(), chain::verify(home, &home.key).map(drop)), (left, before));
    }
}

async fn where_more_is_unsigned_than_a_gateway_leaves_nothing_is_cut(home: Home) {
    let settings = Settings { checkpoint: chain::every(2_000), ..home.settings() };
    let left = chain_of_one_that_is_gone(&home, settings, 1_010).await;
    // Somebody made all records behind the first anew.
    home.tamper("DELETE FROM checkpoints WHERE place & 65535 > 1");
    let log = another(&home);
    for number in 0..20 {
        append(&log, intent(&format!("r{number}"), ago())).await.unwrap();
    }
    log.shutdown().await.unwrap();
    assert_eq!(left(), 1_010);
}

async fn a_chain_that_cannot_be_read_keeps_no_other_from_being_cut(home: Home) {
    for name in ["a", "b", "c"] {
        let log = AuditLog::open(&Settings { node: Some(name.into()), ..home.settings() }).unwrap();
        for number in 0..4 {
            append(&log, intent(&format!("{name}{number}"), ago() - 100_000)).await.unwrap();
        }
        log.shutdown().await.unwrap();
    }
    let of = |name: &str| format!("place >> 40 = (SELECT number FROM nodes WHERE id = '{name}') AND place & 255 = 4");
    home.tamper(&format!("UPDATE checkpoints SET public_key = substr(public_key, 1, 5) WHERE {}", of("a")));
    home.tamper(&format!("UPDATE records SET hash = substr(hash, 1, 5) WHERE {}", of("b")));
    let log = another(&home);
    let left = |of: &str| home.count(&format!("SELECT count(*) FROM records WHERE id LIKE '{of}_'"));
    chain::until("what is signed is gone", || left("c") == 1).await;
    log.shutdown().await.unwrap();
    assert_eq!((left("a"), left("b")), (4, 4));
}

async fn what_another_key_signed_is_cut_and_the_key_is_told(home: Home) {
    let old = AuditKey::random().unwrap();
    let left = chain_of_one_that_is_gone(&home, Settings { key: old.clone(), ..home.settings() }, 12).await;
    let log = another(&home);
    chain::until("what is signed is gone", || left() == 1).await;
    log.shutdown().await.unwrap();
    drop(log);
    // The texts are another key's.
    home.tamper("DELETE FROM contents");
    let verify = |trusted: &[_]| match chain::verify_with(&home, &home.key, trusted) {
        Err(Misfit::Vanished { .. }) => "all chains fit".to_owned(),
        other => other.unwrap_err().to_string(),
    };
    let both = [home.key.public(), old.public()];
    assert_eq!(verify(&both), "all chains fit");
    // Without the signature it looks as if the gateway itself had known the chain.
    home.tamper("DELETE FROM checkpoints WHERE place & 255 = 12");
    let misfit = verify(&[home.key.public()]);
    assert!(misfit.contains(&format!("as the key {} had signed them", old.public())), "{misfit}");
    assert_eq!(verify(&both), "all chains fit");
}

async fn where_nothing_of_the_oldest_chain_is_signed_the_next_one_makes_room(home: Home) {
    let left = chain_of_one_that_is_gone(&home, home.settings(), 12).await;
    home.tamper("DELETE FROM checkpoints");
    let settings = Settings { node: Some("another".into()), ..home.settings() };
    let log = AuditLog::open(&settings).unwrap();
    for number in 0..2_000 {
        drop(log.append(intent(&format!("r{number}"), ago())).unwrap());
    }
    log.shutdown().await.unwrap();
    drop(log);
    let log = AuditLog::open(&Settings { keep: Keep { age: None, size: Some(1 << 20) }, ..settings }).unwrap();
    let others = || home.count("SELECT count(*) FROM records WHERE id LIKE 'r%' AND kind = 'intent'");
    chain::until("there is room", || others() < 1_500).await;
    log.shutdown().await.unwrap();
    assert_eq!(left(), 12);
}

async fn where_the_oldest_chains_are_short_the_others_make_room(home: Home) {
    let of = |node: String, keep| AuditLog::open(&Settings { keep, node: Some(node), ..home.settings() }).unwrap();
    for gone in 0..8 {
        let log = of(format!("gone-{gone}"), Keep::default());
        for number in 0..3 {
            append(&log, intent(&format!("gone{gone}-{number}"), ago() - 100_000)).await.unwrap();
        }
        log.shutdown().await.unwrap();
    }
    let log = of("another".into(), Keep::default());
    for number in 0..2_000 {
        drop(log.append(intent(&format!("r{number}"), ago())).unwrap());
    }
    log.shutdown().await.unwrap();
    drop(log);
    let log = of("another".into(), Keep { age: None, size: Some(1 << 20) });
    let left =
        |of: &str| home.count(&format!("SELECT count(*) FROM records WHERE kind = 'intent' AND id LIKE '{of}%'"));
    chain::until("there is room", || left("r") < 1_500).await;
    log.shutdown().await.unwrap();
    drop(log);
    assert_eq!(left("gone"), 8, "the newest of each chain stays");
    assert!(left("r") > 100, "no more than is needed: {}", left("r"));
    chain::verify(&home, &home.key).unwrap();
}

async fn where_removing_makes_no_room_no_more_is_removed(home: Home) {
    let log = home.open();
    for number in 0..10 {
        append(&log, intent(&format!("r{number}"), number)).await.unwrap();
    }
    log.shutdown().await.unwrap();
    drop(log);
    fifty_turns(&home, 1).await;
    let written = home.count("SELECT max(place) & 65535 FROM records");
    assert!(written < 100, "of {written} records all but 60 say that others are removed");
    chain::verify(&home, &home.key).unwrap();
}
