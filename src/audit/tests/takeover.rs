//! What stands unsigned behind a kill, and what somebody wrote who has no key: told of, or refused.

use super::chain::{every, verify};
use super::*;
use crate::audit::record::{Found, Lifecycle, LifecycleEvent};
use crate::audit::{AuditReader, ExportOptions, PublicKey, TakenOver, Verified, export, verify_export};

on_both_stores! {
    what_a_kill_left_unsigned_is_taken_over_and_told_of,
    what_is_taken_over_twice_is_counted_once,
    a_record_that_somebody_writes_into_the_chain_of_a_running_gateway_is_told_of,
    more_than_a_gateway_leaves_unsigned_is_no_kills_doing,
    what_stands_behind_an_orderly_end_is_no_kills_doing,
    a_start_or_an_end_that_is_not_signed_is_none,
    a_signature_that_is_not_the_gateways_own_hides_nothing,
    another_key_goes_on_behind_what_the_old_one_signed,
    where_the_first_records_were_removed_a_gateway_may_have_left_any_number,
    behind_a_cut_a_start_or_an_end_that_is_not_signed_is_none_either,
    two_gateways_of_one_name_leave_each_what_it_may,
}

/// Writes so many records behind the last one, as somebody does who may write the store and has no key. Each is a copy of the
/// first intent, or a lifecycle record of this event, and has its hash.
fn forge(home: &Home, records: usize, event: Option<&str>) {
    let node = home.column("SELECT id FROM nodes").remove(0);
    let last = |what: &str| home.column(&format!("SELECT {what} FROM records ORDER BY place DESC LIMIT 1")).remove(0);
    let hex = if matches!(home.at, At::Sqlite(_)) { "lower(hex(hash))" } else { "encode(hash, 'hex')" };
    let (mut place, mut previous) = (last("place").parse::<i64>().unwrap(), last(hex).parse().unwrap());
    let intent = |what: &str| {
        home.column(&format!("SELECT {what} FROM records WHERE kind = 'intent' ORDER BY place LIMIT 1")).remove(0)
    };
    let at: i64 = intent("at").parse().unwrap();
    for _ in 0..records {
        place += 1;
        let id = format!("forged-{}", place & 255);
        let (kind, body) = match event {
            Some(event) => ("lifecycle", format!(r#"{{"run_id":"{id}","event":"{event}"}}"#)),
            // Without what says that there is a text.
            None => (
                "intent",
                intent("body").replace(&intent("id"), &id).split(",\"content_hmac\"").next().unwrap().to_owned() + "}",
            ),
        };
        let seq = Seq(place & ((1 << 40) - 1));
        let covered = crate::audit::chain::Covered {
            node: &node,
            seq,
            previous,
            at_microseconds: at,
            kind,
            id: &id,
            body: &body,
        };
        previous = covered.hash();
        let bytes = match home.at {
            At::Sqlite(_) => format!("x'{previous}'"),
            At::Postgres(_) => format!("decode('{previous}', 'hex')"),
        };
        let mut sql = format!(
            "INSERT INTO records (place, at, kind, id, body, hash) VALUES ({place}, {at}, '{kind}', '{id}', '{body}', {bytes})"
        );
        if event.is_none() && matches!(home.at, At::Postgres(_)) {
            sql += &format!(
                "; INSERT INTO entries SELECT {place}, NULL, '{id}', context_id, kind, at, tenant, client, \"user\", \
                 request_type, 'error' FROM entries ORDER BY place LIMIT 1"
            );
        }
        home.tamper(&sql);
    }
}

/// The first record of a run that leaves so many unsigned at most, or its last.
fn lifecycle(settings: &Settings, run: &str, event: LifecycleEvent) -> Lifecycle {
    Lifecycle {
        run_id: run.into(),
        at: at(0),
        event,
        version: "0.1.0".into(),
        config_digest: "sha256:3".into(),
        most_unsigned: Some(settings.checkpoint.records),
        public_key: None,
        offline: false,
    }
}

/// A run with one request, and an orderly end.
async fn run(settings: &Settings, name: &str) {
    let log = AuditLog::open(settings).unwrap();
    append(&log, lifecycle(settings, name, LifecycleEvent::Start)).await.unwrap();
    request(&log, intent(name, 1), outcome(name, 2)).await;
    append(&log, lifecycle(settings, name, LifecycleEvent::Stop)).await.unwrap();
    log.shutdown().await.unwrap();
}

/// A run that was killed when its start was signed and its request was not.
async fn killed_run(home: &Home, settings: &Settings, name: &str) {
    let log = AuditLog::open(settings).unwrap();
    append(&log, lifecycle(settings, name, LifecycleEvent::Start)).await.unwrap();
    request(&log, intent(name, 1), outcome(name, 2)).await;
    log.shutdown().await.unwrap();
    home.tamper("DELETE FROM checkpoints WHERE place = (SELECT max(place) FROM records)");
}

/// What is said of records that no gateway left.
async fn misfit_behind_the_next_run(home: &Home, settings: &Settings) -> String {
    let before = verify(home, &settings.key).map_or_else(|misfit| misfit.to_string(), |_| "ok".into());
    run(settings, "next").await;
    let misfit = verify(home, &settings.key).map_or_else(|misfit| misfit.to_string(), |_| "ok".into());
    assert_eq!(misfit, before, "the same before they are covered by a signature and after");
    misfit
}

fn taken_over(chain: &Verified, found: Found) -> Option<(u64, u64, i64, i64)> {
    let TakenOver { times, records, latest } = *chain.taken_over.get(&Some(found))?;
    latest.map(|(from, through)| (times, records, from.0, through.0))
}

async fn what_a_kill_left_unsigned_is_taken_over_and_told_of(home: Home) {
    let settings = Settings { checkpoint: every(4), ..home.settings() };
    killed_run(&home, &settings, "r1").await;
    run(&settings, "r2").await;
    let (chains, _) = verify(&home, &settings.key).unwrap();
    // Of the first run the start was signed; behind it came its request, what tells of that, and the second run.
    assert_eq!(taken_over(&chains[0], Found::AtTheStart), Some((1, 2, 2, 3)));
    assert_eq!((chains[0].taken_over.len(), chains[0].records, chains[0].signed), (1, 8, Seq(8)));
    assert_eq!(home.column("SELECT kind FROM records WHERE place & 255 = 4"), ["takeover"]);
}

async fn what_is_taken_over_twice_is_counted_once(home: Home) {
    let settings = Settings { checkpoint: every(2), ..home.settings() };
    let killed = async |requests: &[&str], signed: i64| {
        let log = AuditLog::open(&settings).unwrap();
        for id in requests {
            append(&log, intent(id, 1)).await.unwrap();
            append(&log, outcome(id, 2)).await.unwrap();
        }
        log.shutdown().await.unwrap();
        drop(log);
        home.tamper(&format!("DELETE FROM checkpoints WHERE place & 255 > {signed}"));
    };
    let told = || taken_over(&verify(&home, &home.key).unwrap().0[0], Found::AtTheStart);
    killed(&["r1", "r2", "r3"], 5).await;
    killed(&["r4"], 8).await;
    assert_eq!(told(), Some((1, 1, 6, 6)));
    // Somebody removes the signatures: what was signed is told of as well, and what had been told of.
    home.tamper("DELETE FROM checkpoints WHERE place & 255 > 1");
    killed(&["r5"], 255).await;
    assert_eq!(told(), Some((2, 8, 2, 9)));
}

async fn a_record_that_somebody_writes_into_the_chain_of_a_running_gateway_is_told_of(home: Home) {
    let settings = Settings { checkpoint: every(100), ..home.settings() };
    let log = AuditLog::open(&settings).unwrap();
    append(&log, lifecycle(&settings, "r1", LifecycleEvent::Start)).await.unwrap();
    request(&log, intent("r1", 1), outcome("r1", 2)).await;
    forge(&home, 1, None);
    request(&log, intent("r2", 3), outcome("r2", 4)).await;
    log.shutdown().await.unwrap();
    drop(log);
    let (chains, _) = verify(&home, &settings.key).unwrap();
    assert_eq!(taken_over(&chains[0], Found::WhileRunning), Some((1, 1, 4, 4)));
    assert_eq!(chains[0].taken_over.len(), 1);
}

async fn more_than_a_gateway_leaves_unsigned_is_no_kills_doing(home: Home) {
    let settings = Settings { checkpoint: every(4), ..home.settings() };
    killed_run(&home, &settings, "r1").await;
    forge(&home, 3, None);
    let said = misfit_behind_the_next_run(&home, &settings).await;
    assert!(said.contains("records 2 to 6 were not signed, although they are 5, and a gateway leaves 4"), "{said}");
}

async fn what_stands_behind_an_orderly_end_is_no_kills_doing(home: Home) {
    let settings = Settings { checkpoint: every(100), ..home.settings() };
    run(&settings, "r1").await;
    forge(&home, 1, None);
    let said = misfit_behind_the_next_run(&home, &settings).await;
    assert!(said.contains("records 5 to 5 were not signed, although they stand behind the end"), "{said}");
}

async fn a_start_or_an_end_that_is_not_signed_is_none(home: Home) {
    killed_run(&home, &Settings { checkpoint: every(100), ..home.settings() }, "r1").await;
    for event in ["start", "stop"] {
        let home = home.copy();
        let settings = Settings { checkpoint: every(100), ..home.settings() };
        forge(&home, 1, Some(event));
        let said = misfit_behind_the_next_run(&home, &settings).await;
        assert!(said.contains("records 2 to 4 were not signed, although record 4 is a start or an end"), "{said}");
    }
}

async fn a_signature_that_is_not_the_gateways_own_hides_nothing(home: Home) {
    let settings = Settings { checkpoint: every(100), ..home.settings() };
    run(&settings, "r1").await;
    forge(&home, 1, None);
    // Such a row is there while the gateway looks, and gone when somebody verifies.
    home.tamper(
        "INSERT INTO checkpoints SELECT place + 1, kind, at, hash, public_key, signature FROM checkpoints \
         ORDER BY place DESC LIMIT 1",
    );
    run(&settings, "r2").await;
    home.tamper("DELETE FROM checkpoints WHERE place & 255 = 5");
    let said = verify(&home, &settings.key).unwrap_err().to_string();
    assert!(said.contains("records 5 to 5 were not signed, although they stand behind the end"), "{said}");
}

/// What is found in an export of this part, with these keys.
fn exported(home: &Home, since: Option<Timestamp>, keys: &[PublicKey]) -> Verified {
    apart(|| {
        let mut out = Vec::new();
        let options = ExportOptions { since, without_content: true };
        export(&AuditReader::open(&home.store()).unwrap(), &options, &mut out, &mut || ()).unwrap();
        verify_export(&mut &*out, keys, &mut || ()).unwrap().chains.remove(0)
    })
}

async fn another_key_goes_on_behind_what_the_old_one_signed(home: Home) {
    let old = Settings { checkpoint: every(2), ..home.settings() };
    let new = Settings { key: AuditKey::random().unwrap(), ..old.clone() };
    run(&old, "r1").await;
    run(&new, "r2").await;
    let keys = [old.key.public(), new.key.public()];
    // What tells of the old one's records is the first of the part.
    for (since, first) in [(None, Seq(1)), (Some(at(3)), Seq(5))] {
        let found = exported(&home, since, &keys);
        assert!(found.first == first && found.taken_over.is_empty(), "all was signed: {found:?}");
    }
}

async fn where_the_first_records_were_removed_a_gateway_may_have_left_any_number(home: Home) {
    let settings = |records| Settings { checkpoint: every(records), ..home.settings() };
    killed_run(&home, &settings(100), "r1").await;
    run(&settings(1), "r2").await;
    let left = Some((1, 2, 2, 3));
    assert_eq!(taken_over(&verify(&home, &home.key).unwrap().0[0], Found::AtTheStart), left);
    retention::cut(&home, &[1]);
    assert_eq!(taken_over(&verify(&home, &home.key).unwrap().0[0], Found::AtTheStart), left, "it is counted as before");
}

async fn behind_a_cut_a_start_or_an_end_that_is_not_signed_is_none_either(home: Home) {
    let settings = Settings { checkpoint: every(100), ..home.settings() };
    run(&settings, "r1").await;
    run(&settings, "r2").await;
    retention::cut(&home, &[4]);
    assert_eq!(verify(&home, &settings.key).map(|(chains, _)| chains[0].signed), Ok(Seq(8)));
    // Somebody made the rest anew.
    home.tamper("DELETE FROM checkpoints WHERE kind = 'checkpoint'");
    let said = misfit_behind_the_next_run(&home, &settings).await;
    assert!(said.contains("records 5 to 8 were not signed, although record 5 is a start or an end"), "{said}");
}

async fn two_gateways_of_one_name_leave_each_what_it_may(home: Home) {
    let settings = |records| Settings { checkpoint: every(records), ..home.settings() };
    let log = AuditLog::open(&settings(100)).unwrap();
    append(&log, lifecycle(&settings(100), "r1", LifecycleEvent::Start)).await.unwrap();
    run(&settings(1), "r2").await;
    for id in ["a", "b", "c"] {
        request(&log, intent(id, 3), outcome(id, 4)).await;
    }
    let (chains, _) = verify(&home, &home.key).unwrap();
    assert!(chains[0].taken_over.is_empty() && chains[0].head.seq.0 - chains[0].signed.0 > 1, "{chains:?}");
    log.shutdown().await.unwrap();
}
