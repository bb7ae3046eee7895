//! What an append promises.

use super::*;

on_both_stores! {
    an_appended_record_is_seen_by_another_program_at_once,
    two_hundred_concurrent_requests_all_get_in,
    a_batch_of_waiting_records_shares_transactions_and_keeps_their_order,
    a_record_is_written_although_nobody_waits_for_it,
    a_log_that_is_dropped_writes_what_was_queued,
    everything_is_there_after_a_restart,
}

async fn an_appended_record_is_seen_by_another_program_at_once(home: Home) {
    for (id, durability, records) in [("r1", Durability::Process, 2), ("r2", Durability::Disk, 4)] {
        let log = AuditLog::open(&Settings { durability, ..home.settings() }).unwrap();
        let first = append(&log, intent(id, 0)).await.unwrap();
        let second = append(&log, outcome(id, 1)).await.unwrap();
        assert!(second > first);
        assert_eq!(home.count("SELECT count(*) FROM records"), records);
        // What is searched may be a moment behind, unless somebody searches.
        log.search(Query::new("acme")).await.unwrap();
        let completed = format!("SELECT count(*) FROM entries WHERE outcome_place & 255 = {records}");
        assert_eq!(home.count(&completed), 1);
    }
}

async fn two_hundred_concurrent_requests_all_get_in(home: Home) {
    let log = home.open();
    let tasks: Vec<_> = (0..200)
        .map(|number| {
            let log = log.clone();
            tokio::spawn(async move {
                let id = format!("r{number}");
                request(&log, intent(&id, number), outcome(&id, number)).await;
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(home.count("SELECT count(*) FROM records"), 400);
    assert_eq!(log.search(Query { action: Some("allowed".into()), ..Query::new("acme") }).await.unwrap().total, 200);
}

async fn a_batch_of_waiting_records_shares_transactions_and_keeps_their_order(home: Home) {
    let log = home.open();
    // Queued faster than they are committed; awaited afterwards.
    let receipts: Vec<_> = (0..1_000).map(|n| log.append(intent(&format!("r{n}"), n)).unwrap()).collect();
    let mut last = Seq(0);
    for receipt in receipts {
        let seq = receipt.await.unwrap();
        assert!(seq > last);
        last = seq;
    }
    assert_eq!(last, Seq(1_000));
}

async fn a_record_is_written_although_nobody_waits_for_it(home: Home) {
    let log = home.open();
    drop(log.append(intent("dropped", 0)).unwrap());
    // Behind it in the queue: when this is durable, so is that.
    append(&log, intent("awaited", 1)).await.unwrap();
    assert_eq!(ids(&log, Query::new("acme")).await, ["awaited", "dropped"]);
}

async fn a_log_that_is_dropped_writes_what_was_queued(home: Home) {
    let log = home.open();
    for number in 0..500 {
        drop(log.append(intent(&format!("r{number}"), number)).unwrap());
    }
    drop(log);
    assert_eq!(home.count("SELECT count(*) FROM records"), 500);
}

#[tokio::test]
async fn shutdown_writes_what_was_queued_and_then_refuses() {
    let home = Home::sqlite();
    let log = home.open();
    let late = log.reserve_request().unwrap();
    for number in 0..500 {
        drop(log.append(intent(&format!("r{number}"), number)).unwrap());
    }
    log.shutdown().await.unwrap();
    let beside = home.path().with_extension("db-wal");
    assert_eq!(std::fs::metadata(beside).map_or(0, |log| log.len()), 0, "everything is in the main file");
    assert_eq!(home.count("SELECT count(*) FROM records"), 500);
    assert_eq!(append(&log, intent("late", 0)).await, Err(AuditError::Closed));
    assert_eq!(late.intent(intent("late", 0)).0.await, Err(AuditError::Closed));
    assert_eq!(log.shutdown().await, Ok(()), "a second time is harmless");
}

async fn everything_is_there_after_a_restart(home: Home) {
    let log = home.open();
    request(&log, intent("r1", 0), outcome("r1", 1)).await;
    append(&log, pre_check("c1", 2)).await.unwrap();
    let before = log.search(Query::new("acme")).await.unwrap();
    let context = log.context("c1").await.unwrap();
    log.shutdown().await.unwrap();
    drop(log);

    let log = home.open();
    assert_eq!(log.search(Query::new("acme")).await.unwrap(), before);
    assert!(context.is_some());
    assert_eq!(log.context("c1").await.unwrap(), context);
    assert_eq!(append(&log, llm_call("a1", "c1", 3)).await, Ok(Seq(4)), "numbers go on");
}
