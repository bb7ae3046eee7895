//! The tables that are searched follow the records: whatever was left for later is made up for.

use super::chain::until;
use super::*;
use crate::audit::{AuditReader, Page};

/// Of every kind that a search finds, and with a policy of each half of a request.
async fn fill(log: &AuditLog) {
    request(log, intent("r1", 0), Outcome { policies: vec![evaluation("tone", Action::Deny)], ..outcome("r1", 1) })
        .await;
    append(log, intent("r2", 2)).await.unwrap();
    append(log, pre_check("c1", 3)).await.unwrap();
    append(log, llm_call("a1", "c1", 4)).await.unwrap();
    append(log, tool_call("t1", 4)).await.unwrap();
    let blocked = Outcome { decision: Decision::Blocked, ..outcome("r3", 6) };
    let denied = Intent { policies: vec![evaluation("pii", Action::Deny)], ..intent("r3", 5) };
    log.reserve_request().unwrap().intent_and_outcome(denied, blocked).await.unwrap();
}

/// As a kill leaves it, at worst: of the records from here on nothing is known to the search.
fn forget(home: &Home, from: i64) {
    let other = rusqlite::Connection::open(home.path()).unwrap();
    other
        .execute_batch(&format!(
            "DELETE FROM entry_policies WHERE entry & 255 >= {from}; \
             DELETE FROM entries WHERE place & 255 >= {from}; \
             UPDATE entries SET outcome_place = NULL, decision = 'error' WHERE outcome_place & 255 >= {from}; \
             UPDATE indexed SET place = place - (place & 255) + {from} - 1 WHERE node > 0;"
        ))
        .unwrap();
}

fn pages(search: impl Fn(Query) -> Page) -> Vec<Page> {
    let queries = [
        Query::new("acme"),
        Query { policy_name: Some("pii".into()), ..Query::new("acme") },
        Query { policy_name: Some("tone".into()), ..Query::new("acme") },
        Query { policy_name: Some("mask".into()), ..Query::new("acme") },
        Query { action: Some("blocked".into()), ..Query::new("acme") },
        Query { decision_id: Some("c1".into()), ..Query::new("acme") },
    ];
    queries.map(search).into()
}

fn read(home: &Home) -> Vec<Page> {
    let reader = AuditReader::open(&home.store()).unwrap();
    pages(|query| reader.search(&query).unwrap())
}

#[tokio::test]
async fn what_a_kill_left_out_is_found_again_from_wherever_it_was_left() {
    let home = Home::sqlite();
    let log = home.open();
    fill(&log).await;
    log.shutdown().await.unwrap();
    drop(log);
    let before = read(&home);
    let totals: Vec<_> = before.iter().map(|page| page.total).collect();
    assert_eq!(totals, [6, 2, 1, 1, 1, 1]);
    for from in 1..=8 {
        // By somebody who only reads...
        forget(&home, from);
        assert_eq!(read(&home), before, "from record {from}");
        // ... and by the gateway, before anything refers to it.
        forget(&home, from);
        let log = home.open();
        let again = append(&log, intent("r1", 9)).await;
        assert_eq!(again, Err(AuditError::Duplicate { id: "r1".into() }), "from record {from}");
        log.shutdown().await.unwrap();
        drop(log);
        assert_eq!(read(&home), before, "from record {from}");
    }
    assert_eq!(home.count("SELECT count(*) FROM records"), 8);
}

#[tokio::test]
async fn a_context_is_found_although_the_table_is_behind_the_records() {
    let home = Home::sqlite();
    let log = home.open();
    fill(&log).await;
    let context = log.context("c1").await.unwrap();
    assert!(context.is_some());
    log.shutdown().await.unwrap();
    drop(log);
    forget(&home, 1);
    let other = rusqlite::Connection::open(home.path()).unwrap();
    other.execute_batch("DELETE FROM contexts").unwrap();
    assert_eq!(home.open().context("c1").await.unwrap(), context, "read from the records");
}

#[tokio::test]
async fn a_gateway_and_a_reader_may_both_fill_the_tables() {
    let home = Home::sqlite();
    let log = home.open();
    for number in 0..50 {
        let id = format!("r{number}");
        append(&log, intent(&id, number)).await.unwrap();
        // What the gateway still has in hand, the reader has found.
        let reader = AuditReader::open(&home.store()).unwrap();
        assert_eq!(reader.search(&Query::new("acme")).unwrap().total, number.unsigned_abs() + 1);
        append(&log, outcome(&id, number)).await.unwrap();
        let twice = append(&log, outcome(&id, number)).await;
        assert_eq!(twice, Err(AuditError::Duplicate { id }), "one outcome each");
    }
    let allowed = Query { action: Some("allowed".into()), ..Query::new("acme") };
    assert_eq!(log.search(allowed).await.unwrap().total, 50);
    assert_eq!(home.count("SELECT count(*) FROM records"), 100);
}

#[tokio::test]
async fn the_tables_are_filled_although_nobody_searches() {
    let home = Home::sqlite();
    let log = home.open();
    append(&log, intent("r1", 0)).await.unwrap();
    until("the entry is there", || home.count("SELECT count(*) FROM entries") == 1).await;
}

fn tables(home: &Home) -> [Vec<String>; 2] {
    let entries = "SELECT json_array(place, outcome_place, id, context_id, kind, at, tenant, client, \"user\", \
                   request_type, decision) FROM entries ORDER BY place";
    let policies = "SELECT json_array(tenant, policy, at, entry) FROM entry_policies ORDER BY entry, policy";
    [entries, policies].map(|sql| home.column(sql))
}

#[tokio::test]
async fn an_outcome_that_waits_with_its_request_is_entered_as_one_that_comes_later() {
    const REQUESTS: i64 = 700;
    let home = Home::sqlite();
    let log = home.open();
    // In flight at once, so that many outcomes wait with their requests, and many do not: several steps' worth.
    let requests = (0..REQUESTS).map(|number| {
        let log = &log;
        async move {
            let policies = vec![evaluation("tone", [Action::Allow, Action::Deny][number as usize % 2])];
            let ended = Outcome { policies, ..outcome(&format!("r{number}"), number + 1) };
            let (durable, permit) = log.reserve_request().unwrap().intent(intent(&format!("r{number}"), number));
            durable.await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(number.unsigned_abs() % 200)).await;
            permit.outcome(ended);
        }
    });
    futures_util::future::join_all(requests).await;
    // Nobody searched.
    until("all are there", || home.count("SELECT max(place) & 0xffffffff FROM indexed") == 2 * REQUESTS).await;
    let stepwise = tables(&home);
    assert_eq!(stepwise.each_ref().map(Vec::len), [REQUESTS as usize, REQUESTS as usize / 2]);
    assert_eq!(home.count("SELECT count(*) FROM entries WHERE outcome_place IS NULL"), 0);
    log.shutdown().await.unwrap();
    drop(log);
    let other = rusqlite::Connection::open(home.path()).unwrap();
    other.execute_batch("DELETE FROM entry_policies; DELETE FROM entries; DELETE FROM indexed").unwrap();
    drop(AuditReader::open(&home.store()).unwrap());
    assert_eq!(tables(&home), stepwise, "read from the records, one by one");
}

#[tokio::test]
async fn a_record_that_cannot_be_read_keeps_no_other_from_being_found_or_written() {
    let home = Home::sqlite();
    let log = home.open();
    fill(&log).await;
    log.shutdown().await.unwrap();
    drop(log);
    forget(&home, 1);
    let other = rusqlite::Connection::open(home.path()).unwrap();
    let damaged = "DROP TRIGGER records_are_never_changed; UPDATE records SET body = '{' WHERE id = 'c1'";
    other.execute_batch(damaged).unwrap();
    let log = home.open();
    append(&log, intent("r4", 9)).await.unwrap();
    assert_eq!(ids(&log, Query::new("acme")).await, ["r4", "r3", "t1", "a1", "r2", "r1"]);
}

#[tokio::test]
async fn what_follows_the_trail_sees_no_record_before_its_entry_is_there() {
    let home = Home::sqlite();
    let log = home.open();
    append(&log, pre_check("c0", 0)).await.unwrap();
    let reader = apart(|| AuditReader::open(&home.store()).unwrap());
    let follow = |after: Seq| {
        apart(|| {
            let chain = reader.chains().unwrap().remove(0);
            let records = reader.searchable_after(&chain, after, 100).unwrap();
            for record in &records {
                let query = Query { decision_id: Some(record.id.clone()), ..Query::everything() };
                let entry = reader.search(&query).unwrap().entries.pop().unwrap();
                let is_whole = record.kind != "outcome" || !entry.policy_details.contains_key("outcome");
                assert!(is_whole, "{} has no outcome yet: {entry:?}", record.id);
            }
            records.last().map_or(after, |record| record.seq)
        })
    };
    let (mut after, mut written) = (Seq(0), Seq(1));
    for number in 1..20 {
        append(&log, pre_check(&format!("c{number}"), number)).await.unwrap();
        append(&log, intent(&format!("r{number}"), number)).await.unwrap();
        written = append(&log, outcome(&format!("r{number}"), number)).await.unwrap();
        after = follow(after);
    }
    while after < written {
        after = follow(after);
        tokio::task::yield_now().await;
    }
}
