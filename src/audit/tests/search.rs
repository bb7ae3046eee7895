//! Every filter, exactly.

use super::*;
use crate::audit::{AuditReader, Texts, store};

on_both_stores! {
    long_entries_end_a_page_early_and_none_is_left_out,
    every_filter_finds_exactly_what_fits_newest_first,
    pages_join_without_gap_or_overlap_and_say_the_total,
    a_total_that_is_not_counted_to_its_end_never_ends_the_pages,
    all_entries_are_read_by_their_places_as_a_search_finds_them,
    limits_out_of_range_are_refused,
    requests_of_the_same_instant_come_in_the_order_of_their_records,
}

/// Twelve requests in two tenants, one second apart, and a pre-check with a call.
async fn filled(home: &Home) -> AuditLog {
    let log = home.open();
    for number in 0..12_i64 {
        let id = format!("r{number}");
        let mut asked = intent(&id, number);
        let mut answered = outcome(&id, number);
        if number % 6 == 5 {
            asked.caller = caller("globex");
        }
        if number % 3 == 1 {
            asked.caller.client = "batch".into();
            asked.policies = vec![evaluation("sql-injection", Action::Deny)];
            answered.decision = Decision::Blocked;
        }
        if number == 2 {
            asked.caller.user = "max@example.org".into();
            asked.request_type = "sql".into();
            answered.policies = vec![evaluation("tone", Action::Warn)];
        }
        request(&log, asked, answered).await;
    }
    append(&log, pre_check("c1", 20)).await.unwrap();
    append(&log, llm_call("a1", "c1", 21)).await.unwrap();
    log
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

async fn every_filter_finds_exactly_what_fits_newest_first(home: Home) {
    let log = filled(&home).await;
    let all = || Query::new("acme");
    let nine = SignedDuration::from_nanos(9_000);
    let cases: Vec<(&str, Query, &[&str])> = vec![
        ("all", all(), &["a1", "c1", "r10", "r9", "r8", "r7", "r6", "r4", "r3", "r2", "r1", "r0"]),
        ("other tenant", Query::new("globex"), &["r11", "r5"]),
        ("no tenant", Query::new("acm"), &[]),
        ("client", Query { client_id: some("batch"), ..all() }, &["r10", "r7", "r4", "r1"]),
        ("client of nobody", Query { client_id: some("bat"), ..all() }, &[]),
        ("user", Query { user_email: some("max@example.org"), ..all() }, &["r2"]),
        ("decision", Query { action: some("blocked"), ..all() }, &["r10", "r7", "r4", "r1"]),
        ("decision, old name", Query { action: some("deny"), ..all() }, &["r10", "r7", "r4", "r1"]),
        ("redacted", Query { action: some("redacted"), ..all() }, &["c1"]),
        ("errors", Query { action: some("error"), ..all() }, &[]),
        ("action as type", Query { action: some("sql"), ..all() }, &["r2"]),
        ("action unknown", Query { action: some("DROP TABLE"), ..all() }, &[]),
        ("type", Query { request_type: some("llm-call"), ..all() }, &["a1"]),
        ("decisions", Query { entries: Entries::Decisions, start: Some(at(9)), ..all() }, &["c1", "r10", "r9"]),
        ("decision that is none", Query { entries: Entries::Decisions, decision_id: some("a1"), ..all() }, &[]),
        ("policy", Query { policy_name: some("sql-injection"), ..all() }, &["r10", "r7", "r4", "r1"]),
        ("response policy", Query { policy_name: some("tone"), ..all() }, &["r2"]),
        ("policy that only allowed", Query { policy_name: some("pii"), ..all() }, &["c1"]),
        ("request by decision id", Query { decision_id: some("r3"), ..all() }, &["r3"]),
        ("pre-check by decision id", Query { decision_id: some("c1"), ..all() }, &["c1"]),
        ("call by decision id", Query { decision_id: some("a1"), ..all() }, &["a1"]),
        ("another tenant's id", Query { decision_id: some("r5"), ..all() }, &[]),
        ("another tenant's request", Query { request_id: some("r5"), ..all() }, &[]),
        ("request id", Query { request_id: some("r3"), ..all() }, &["r3"]),
        ("context", Query { request_id: some("c1"), ..all() }, &["a1", "c1"]),
        ("from", Query { start: Some(at(9)), ..all() }, &["a1", "c1", "r10", "r9"]),
        ("just after", Query { start: Some(at(9) + SignedDuration::from_nanos(1)), ..all() }, &["a1", "c1", "r10"]),
        ("until", Query { end: Some(at(1)), ..all() }, &["r1", "r0"]),
        ("just before", Query { end: Some(at(1) - nine), ..all() }, &["r0"]),
        ("between", Query { start: Some(at(2)), end: Some(at(4)), ..all() }, &["r4", "r3", "r2"]),
        (
            "many at once",
            Query {
                client_id: some("batch"),
                user_email: some("eva@example.org"),
                action: some("blocked"),
                request_type: some("chat"),
                policy_name: some("sql-injection"),
                start: Some(at(3)),
                end: Some(at(8)),
                ..all()
            },
            &["r7", "r4"],
        ),
        (
            "id and a filter that does not fit",
            Query { decision_id: some("r3"), action: some("blocked"), start: Some(at(0)), ..all() },
            &[],
        ),
        ("policy and id", Query { decision_id: some("r4"), policy_name: some("sql-injection"), ..all() }, &["r4"]),
    ];
    for (name, query, expected) in cases {
        let page = log.search(query).await.unwrap();
        let found: Vec<_> = page.entries.iter().map(|entry| entry.id.as_str()).collect();
        assert_eq!(found, expected, "{name}");
        assert_eq!(page.total, expected.len() as u64, "{name}");
    }
}

async fn pages_join_without_gap_or_overlap_and_say_the_total(home: Home) {
    let log = filled(&home).await;
    let mut found = Vec::new();
    for offset in [0, 5, 10, 15] {
        let page = log.search(Query { limit: 5, offset, ..Query::new("acme") }).await.unwrap();
        assert_eq!((page.total, page.limit, page.offset), (12, 5, offset));
        found.extend(page.entries.into_iter().map(|entry| entry.id));
    }
    assert_eq!(found, ids(&log, Query::new("acme")).await);
}

async fn a_total_that_is_not_counted_to_its_end_never_ends_the_pages(home: Home) {
    let log = filled(&home).await;
    for (counted, limit, totals) in [
        (13, 5, vec![12, 12, 12]),
        (12, 5, vec![12, 12, 12]),
        (3, 5, vec![6, 11, 12]),
        (3, 6, vec![7, 13, 12]),
        (0, 5, vec![6, 11, 12]),
    ] {
        let (mut found, mut said) = (0, Vec::new());
        for offset in (0..).step_by(limit as usize) {
            let page = log.search(Query { counted, limit, offset, ..Query::new("acme") }).await.unwrap();
            found += page.entries.len();
            said.push(page.total);
            if offset + u64::from(limit) >= page.total {
                break;
            }
        }
        assert_eq!((found, said), (12, totals), "counted to {counted}");
    }
}

async fn all_entries_are_read_by_their_places_as_a_search_finds_them(home: Home) {
    let log = filled(&home).await;
    // Of an instant before the others, and behind them in the chain.
    append(&log, intent("late", 3)).await.unwrap();
    for query in [
        Query::everything(),
        Query::new("acme"),
        Query { policy_name: some("sql-injection"), ..Query::everything() },
        Query { request_id: some("c1"), ..Query::new("acme") },
        Query { start: Some(at(3)), end: Some(at(7)), client_id: some("acme-app"), ..Query::new("acme") },
        Query::new("nobody"),
    ] {
        let found = ids(&log, Query { limit: Query::MOST, ..query.clone() }).await;
        for (places_at_once, at_once) in [(1, 1), (4, 3), (100, 100)] {
            let read: Vec<String> = apart(|| {
                let reader = AuditReader::open(&home.settings().store).unwrap();
                let pages = reader.entries_by(&query, places_at_once, at_once).unwrap();
                pages.flat_map(Result::unwrap).map(|entry| entry.id).collect()
            });
            assert_eq!(read, found, "{query:?}");
        }
    }
}

async fn limits_out_of_range_are_refused(home: Home) {
    let log = home.open();
    for limit in [0, 1_001] {
        let error = log.search(Query { limit, ..Query::new("acme") }).await.unwrap_err();
        assert_eq!(error.code(), "audit_query");
    }
    let far = log.search(Query { offset: u64::MAX, ..Query::new("acme") }).await.unwrap_err();
    assert_eq!(far.code(), "audit_query");
}

async fn requests_of_the_same_instant_come_in_the_order_of_their_records(home: Home) {
    let log = home.open();
    for id in ["first", "second", "third"] {
        append(&log, intent(id, 0)).await.unwrap();
    }
    assert_eq!(ids(&log, Query::new("acme")).await, ["third", "second", "first"]);
}

#[tokio::test]
async fn a_search_does_not_make_the_writer_wait() {
    let home = Home::sqlite();
    let log = filled(&home).await;
    let reader = rusqlite::Connection::open(home.path()).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM records;").unwrap();
    append(&log, intent("meanwhile", 30)).await.unwrap();
    assert_eq!(ids(&log, Query { limit: 1, ..Query::new("acme") }).await, ["meanwhile"]);
}

async fn long_entries_end_a_page_early_and_none_is_left_out(home: Home) {
    let log = home.open();
    for number in 0..20 {
        let asked = Intent { error: Some("x".repeat(1 << 20)), ..intent(&format!("r{number:02}"), number) };
        append(&log, asked).await.unwrap();
    }
    let (mut found, mut offset, mut pages) = (Vec::new(), 0, 0);
    loop {
        let page = log.search(Query { offset, ..Query::new("acme") }).await.unwrap();
        if page.entries.is_empty() {
            break;
        }
        assert!(page.total == 20 && page.entries.len() <= 9, "{} of {}", page.entries.len(), page.total);
        offset += u64::from(page.limit);
        found.extend(page.entries.into_iter().map(|entry| entry.id));
        pages += 1;
    }
    let newest_first: Vec<_> = (0..20).rev().map(|number| format!("r{number:02}")).collect();
    assert_eq!((found, pages), (newest_first.clone(), 3));
    log.shutdown().await.unwrap();
    apart(|| {
        let reader = AuditReader::open(&home.store()).unwrap();
        let everything = Query::everything();
        let all = reader.entries_by(&everything, 7, 15).unwrap();
        let pages: Vec<Vec<_>> = all.map(|page| page.unwrap().into_iter().map(|entry| entry.id).collect()).collect();
        assert!(pages.iter().all(|page| page.len() <= 9), "{pages:?}");
        assert_eq!(pages.concat(), newest_first);
        let chain = reader.chains().unwrap().remove(0);
        assert_eq!(reader.records_after(&chain, Seq(2), 15).unwrap().len(), 15, "as many as were asked for");
        let store = store::open_existing(&home.store()).unwrap();
        let (first, last) = store.extent(store.nodes().unwrap()[0].number).unwrap().unwrap();
        assert_eq!(store.records(first, last, 1_000, Texts::Read).unwrap().len(), 8);
    });
    chain::verify(&home, &home.key).unwrap();
}
