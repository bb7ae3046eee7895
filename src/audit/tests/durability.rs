//! What an append promises.

use super::*;

#[tokio::test]
async fn an_appended_record_is_seen_by_another_program_at_once() {
    for durability in [Durability::Process, Durability::Disk] {
        let file = File::new();
        let log = AuditLog::open(&Settings { durability, ..file.settings() }).unwrap();
        let first = append(&log, intent("r1", 0)).await.unwrap();
        let second = append(&log, outcome("r1", 1)).await.unwrap();
        assert!(second > first);
        assert_eq!(file.count("SELECT count(*) FROM records"), 2);
        assert_eq!(file.count("SELECT count(*) FROM entries WHERE outcome_place & 0xffffffffff = 2"), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_concurrent_requests_all_get_in() {
    let file = File::new();
    let log = file.open();
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
    assert_eq!(file.count("SELECT count(*) FROM records"), 400);
    assert_eq!(log.search(Query { action: Some("allowed".into()), ..Query::new("acme") }).await.unwrap().total, 200);
}

#[tokio::test]
async fn a_batch_of_waiting_records_shares_transactions_and_keeps_their_order() {
    let file = File::new();
    let log = file.open();
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

#[tokio::test]
async fn a_record_is_written_although_nobody_waits_for_it() {
    let file = File::new();
    let log = file.open();
    drop(log.append(intent("dropped", 0)).unwrap());
    // Behind it in the queue: when this is durable, so is that.
    append(&log, intent("awaited", 1)).await.unwrap();
    assert_eq!(ids(&log, Query::new("acme")).await, ["awaited", "dropped"]);
}

#[tokio::test]
async fn a_log_that_is_dropped_writes_what_was_queued() {
    let file = File::new();
    let log = file.open();
    for number in 0..500 {
        drop(log.append(intent(&format!("r{number}"), number)).unwrap());
    }
    drop(log);
    assert_eq!(file.count("SELECT count(*) FROM records"), 500);
}

#[tokio::test]
async fn shutdown_writes_what_was_queued_and_then_refuses() {
    let file = File::new();
    let log = file.open();
    let late = log.reserve_request().unwrap();
    for number in 0..500 {
        drop(log.append(intent(&format!("r{number}"), number)).unwrap());
    }
    log.shutdown().await.unwrap();
    let beside = file.path().with_extension("db-wal");
    assert_eq!(std::fs::metadata(beside).map_or(0, |log| log.len()), 0, "everything is in the main file");
    assert_eq!(file.count("SELECT count(*) FROM records"), 500);
    assert_eq!(append(&log, intent("late", 0)).await, Err(AuditError::Closed));
    assert_eq!(late.intent(intent("late", 0)).0.await, Err(AuditError::Closed));
    assert_eq!(log.shutdown().await, Ok(()), "a second time is harmless");
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let file = File::new();
    let log = file.open();
    request(&log, intent("r1", 0), outcome("r1", 1)).await;
    append(&log, pre_check("c1", 2)).await.unwrap();
    let before = log.search(Query::new("acme")).await.unwrap();
    let context = log.context("c1").await.unwrap();
    log.shutdown().await.unwrap();
    drop(log);

    let log = file.open();
    assert_eq!(log.search(Query::new("acme")).await.unwrap(), before);
    assert!(context.is_some());
    assert_eq!(log.context("c1").await.unwrap(), context);
    assert_eq!(append(&log, llm_call("a1", "c1", 3)).await, Ok(Seq(4)), "numbers go on");
}
