//! What happens when a record cannot be written.

use metrics_exporter_prometheus::PrometheusBuilder;

use super::*;
use crate::audit::RequestPermit;
use crate::audit::queue::{Message, Queue};
use crate::audit::text_rule::TextRule;

on_both_stores! {
    a_full_queue_refuses_requests_before_they_begin_and_keeps_its_promises,
    a_poisonous_record_fails_alone,
    a_request_that_was_refused_is_written_whole_or_not_at_all,
}

async fn a_full_queue_refuses_requests_before_they_begin_and_keeps_its_promises(home: Home) {
    let log = AuditLog::open(&Settings { queue: 4, ..home.settings() }).unwrap();
    let (first, second) = (log.reserve_request().unwrap(), log.reserve_request().unwrap());
    assert_eq!(log.reserve_request().err(), Some(AuditError::Overloaded));
    assert_eq!(append(&log, intent("r9", 0)).await, Err(AuditError::Overloaded));

    let (durable, outcome_permit) = first.intent(intent("r1", 0));
    durable.await.unwrap();
    assert!(log.reserve_request().is_err(), "the outcome's slot is still held");
    outcome_permit.outcome(outcome("r1", 1));
    log.settle().await;
    let third = log.reserve_request().unwrap();
    second.intent_and_outcome(intent("r2", 2), outcome("r2", 3)).await.unwrap();
    drop(third);
    assert_eq!(ids(&log, Query::new("acme")).await, ["r2", "r1"]);
}

async fn a_poisonous_record_fails_alone(home: Home) {
    let log = home.open();
    let records = [
        ("a", intent("a", 0).into()),
        ("a", intent("a", 1).into()),
        ("b", intent("b", 2).into()),
        ("nobody", Record::from(outcome("nobody", 3))),
        ("a", outcome("a", 4).into()),
        ("a", outcome("a", 5).into()),
        ("c", intent("c", 6).into()),
    ];
    let receipts: Vec<_> = records.map(|(_, record)| log.append(record).unwrap()).into_iter().collect();
    let mut codes = Vec::new();
    for receipt in receipts {
        codes.push(receipt.await.map_or_else(|error| error.code(), |_| "ok"));
    }
    assert_eq!(codes, ["ok", "audit_duplicate", "ok", "audit_no_intent", "ok", "audit_duplicate", "ok"]);
    assert_eq!(home.count("SELECT count(*) FROM records"), 4, "a refused record leaves nothing");
}

async fn a_request_that_was_refused_is_written_whole_or_not_at_all(home: Home) {
    let log = home.open();
    let wrong = log.reserve_request().unwrap().intent_and_outcome(intent("r1", 0), outcome("other", 0));
    assert_eq!(wrong.await, Err(AuditError::NoIntent { id: "other".into() }));
    assert_eq!(home.count("SELECT count(*) FROM records"), 0);
}

#[tokio::test]
async fn a_locked_store_answers_its_waiters_and_goes_on_when_it_is_free() {
    let home = Home::sqlite();
    let log = home.open();
    append(&log, intent("before", 0)).await.unwrap();
    let other = rusqlite::Connection::open(home.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(append(&log, intent("during", 1)).await, Err(AuditError::Locked));
    other.execute_batch("COMMIT").unwrap();
    append(&log, intent("after", 2)).await.unwrap();
    assert_eq!(ids(&log, Query::new("acme")).await, ["after", "before"]);
}

#[tokio::test]
async fn after_an_error_of_the_store_the_log_goes_on() {
    let home = Home::sqlite();
    let log = home.open();
    append(&log, intent("before", 0)).await.unwrap();
    // A new connection is made after an error of unknown kind.
    let other = rusqlite::Connection::open(home.path()).unwrap();
    other
        .execute_batch("CREATE TRIGGER full BEFORE INSERT ON records BEGIN SELECT RAISE(ABORT, 'no room'); END")
        .unwrap();
    assert_eq!(append(&log, intent("during", 1)).await.map_err(|error| error.code()), Err("audit_store"));
    other.execute_batch("DROP TRIGGER full").unwrap();
    append(&log, intent("after", 2)).await.unwrap();
}

#[test]
fn a_store_that_cannot_be_opened_is_refused_at_the_start() {
    let home = Home::sqlite();
    let open = |store| AuditLog::open(&Settings::new(store).unwrap()).err().map(|it| (it.code(), it.to_string()));
    let (code, _) = open(AuditStore::Sqlite(home.folder().join("missing/audit.db"))).unwrap();
    assert_eq!(code, "audit_open");
    for (url, expected) in [
        ("postgres://me:secret@host/db?sslmode=secret", "audit_settings"),
        ("postgres://me:secret@127.0.0.1:1/db", "audit_open"),
        ("postgres://me@127.0.0.1:1/db?password=secret", "audit_open"),
        ("postgres://127.0.0.1:1/db?user=me&password=secret", "audit_open"),
        ("postgres://me:sec?secret@127.0.0.1:1/db", "audit_open"),
        ("postgres://me/db?password=secret@127.0.0.1:1", "audit_open"),
        ("postgres://127.0.0.1:1/db?password=secret&sslmode=none", "audit_settings"),
    ] {
        let (code, text) = open(AuditStore::Postgres(DatabaseUrl::new(url))).unwrap();
        assert_eq!(code, expected, "{url}");
        assert!(!text.contains("secret") && text.contains('`'), "{text}");
    }
}

/// Takes connections and says nothing, as a stopped server does, or a proxy whose server is gone.
fn silent() -> std::net::TcpListener {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap()
}

#[test]
fn a_database_that_takes_a_connection_and_is_silent_is_not_waited_for_without_end() {
    let listener = silent();
    let address = listener.local_addr().unwrap();
    let store = AuditStore::Postgres(DatabaseUrl::new(format!("postgres://me:secret@{address}/db")));
    let error = AuditLog::open(&Settings::new(store).unwrap()).err().unwrap();
    assert_eq!(error.code(), "audit_open");
    assert!(error.to_string().contains("no answer within"), "{error}");
}

#[tokio::test]
async fn the_end_of_the_writer_is_known() {
    let home = Home::sqlite();
    let log = home.open();
    append(&log, intent("before", 0)).await.unwrap();
    assert!(futures_util::FutureExt::now_or_never(log.ended()).is_none(), "it writes");
    log.shutdown().await.unwrap();
    log.ended().await;
}

/// Nobody waits for it who could tell.
#[test]
fn an_outcome_that_is_lost_is_counted_once_however_it_is() {
    let (queue, receiver) = Queue::new(8, TextRule { key: AuditKey::random().unwrap(), mode: ContentMode::Full });
    let permit = || RequestPermit::new(queue.reserve(2).unwrap()).intent(intent("r1", 0)).1;
    let queued = || {
        permit().outcome(outcome("r1", 1));
        match receiver.try_iter().last() {
            Some(Message::Write(job)) => job,
            _ => panic!("it is queued"),
        }
    };
    let recorder = PrometheusBuilder::new().build_recorder();
    let lost = |what: &dyn Fn()| {
        metrics::with_local_recorder(&recorder, what);
        let rendered = recorder.handle().render();
        let counted = rendered.lines().filter(|line| line.starts_with("octroi_audit_lost_outcomes_total{"));
        let mut counted: Vec<_> = counted.map(|line| line.rsplit_once('{').unwrap().1.to_owned()).collect();
        counted.sort();
        counted
    };
    assert!(lost(&|| queued().answer(Ok(Seq(2)))).is_empty(), "it is written");
    let full = r#"code="audit_disk_full"} 1"#;
    assert_eq!(lost(&|| queued().answer(Err(AuditError::DiskFull))), [full]);
    assert_eq!(lost(&|| drop(queued())), [r#"code="audit_closed"} 1"#, full], "its writer never read it");
    let (permit, writer) = (std::cell::Cell::new(Some(permit())), std::cell::Cell::new(Some(receiver)));
    let late = || {
        drop(writer.take());
        permit.take().unwrap().outcome(outcome("r1", 1));
    };
    assert_eq!(lost(&late), [r#"code="audit_closed"} 2"#, full], "there is no writer any more");
}
