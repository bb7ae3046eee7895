//! The file: its permissions, its schema, what is cleaned.

use std::os::unix::fs::PermissionsExt;

use super::*;

#[tokio::test]
async fn the_files_are_readable_by_their_owner_alone() {
    let home = Home::sqlite();
    let log = home.open();
    append(&log, intent("r1", 0)).await.unwrap();
    let mut seen = 0;
    for entry in std::fs::read_dir(home.folder()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.file_name());
        seen += 1;
    }
    assert_eq!(seen, 3, "the database, its log and its shared memory");
}

#[test]
fn a_newer_schema_is_refused_with_what_to_do() {
    let home = Home::sqlite();
    drop(home.open());
    let other = rusqlite::Connection::open(home.path()).unwrap();
    other.execute_batch("PRAGMA user_version = 99").unwrap();
    drop(other);
    let error = AuditLog::open(&home.settings()).err().unwrap();
    assert_eq!(error.code(), "audit_newer_schema");
    assert!(error.to_string().contains("schema 99"), "{error}");
    assert_eq!(home.count("PRAGMA user_version"), 99, "it was left alone");
}

#[test]
fn a_database_of_another_program_is_refused() {
    let home = Home::sqlite();
    let other = rusqlite::Connection::open(home.path()).unwrap();
    other.execute_batch("CREATE TABLE customers (name TEXT)").unwrap();
    drop(other);
    assert_eq!(AuditLog::open(&home.settings()).err().unwrap().code(), "audit_foreign_file");
}

#[test]
fn a_file_that_is_no_database_is_refused() {
    let home = Home::sqlite();
    std::fs::write(home.path(), vec![b'x'; 4_096]).unwrap();
    assert_eq!(AuditLog::open(&home.settings()).err().unwrap().code(), "audit_corrupt");
}

#[tokio::test]
async fn a_file_keeps_the_pages_that_it_was_made_with() {
    let (new, old) = (Home::sqlite(), Home::sqlite());
    let other = rusqlite::Connection::open(old.path()).unwrap();
    other.execute_batch("PRAGMA page_size = 4096; PRAGMA journal_mode = WAL").unwrap();
    drop(other);
    for (home, bytes) in [(new, 16_384), (old, 4_096)] {
        let log = home.open();
        request(&log, intent("r1", 0), outcome("r1", 1)).await;
        drop(log);
        assert_eq!((home.count("PRAGMA page_size"), home.count("SELECT count(*) FROM records")), (bytes, 2));
    }
}

#[tokio::test]
async fn records_cannot_be_changed_but_their_text_can_be_erased() {
    let home = Home::sqlite();
    let log = home.open();
    request(&log, intent("r1", 0), outcome("r1", 1)).await;
    let other = rusqlite::Connection::open(home.path()).unwrap();
    for column in ["body", "at", "kind", "id", "place", "hash"] {
        assert!(other.execute_batch(&format!("UPDATE records SET {column} = 9")).is_err(), "{column}");
    }
    assert_eq!(home.count("SELECT count(*) FROM records WHERE body LIKE '%octroi%' OR body LIKE '%gate%'"), 0);
    other.execute_batch("DELETE FROM contents").unwrap();
    let entry = log.search(Query::new("acme")).await.unwrap().entries.remove(0);
    assert_eq!((entry.query, entry.response_sample), (None, None));
}

#[tokio::test]
async fn contexts_are_cleaned_a_day_after_they_expired() {
    let home = Home::sqlite();
    let log = home.open();
    let expired = |hours: i64| Timestamp::now() - SignedDuration::from_hours(hours);
    append(&log, PreCheck { expires_at: expired(25), ..pre_check("old", 0) }).await.unwrap();
    append(&log, PreCheck { expires_at: expired(1), ..pre_check("recent", 1) }).await.unwrap();
    append(&log, pre_check("live", 2)).await.unwrap();
    log.shutdown().await.unwrap();
    drop(log);

    let log = home.open();
    // The first thing that the writer does is to clean.
    append(&log, intent("r1", 3)).await.unwrap();
    assert_eq!(log.context("old").await.unwrap(), None);
    assert!(log.context("recent").await.unwrap().is_some());
    assert!(log.context("live").await.unwrap().is_some());
    assert_eq!(ids(&log, Query::new("acme")).await.len(), 4, "the entries stay");
}

#[tokio::test]
async fn the_log_file_starts_over_instead_of_growing() {
    let home = Home::sqlite();
    let log = home.open();
    // The write-ahead log's header counts at byte 12 how often it started over.
    let begun = || std::fs::read(home.path().with_extension("db-wal")).map(|log| log[12..16].to_vec()).unwrap();
    let text = "x".repeat(1 << 20);
    append(&log, intent("first", 0)).await.unwrap();
    let before = begun();
    for number in 0..4_096 {
        let content = Content::unchanged(&text);
        append(&log, Intent { content, ..intent(&format!("r{number}"), number) }).await.unwrap();
        if number % 64 == 0 && begun() != before {
            return;
        }
    }
    panic!("4 GB were written and the log never started over");
}

#[tokio::test]
async fn nothing_is_acknowledged_into_a_file_that_has_lost_its_name() {
    let home = Home::sqlite();
    let log = home.open();
    append(&log, intent("before", 0)).await.unwrap();
    assert_eq!(ids(&log, Query::new("acme")).await, ["before"]);
    let moved = home.folder().join("moved.db");
    std::fs::rename(home.path(), &moved).unwrap();
    let refused = append(&log, intent("meanwhile", 1)).await.map_err(|error| error.code());
    assert_eq!(refused, Err("audit_open"), "there is no file of that name");
    std::fs::rename(&moved, home.path()).unwrap();
    append(&log, intent("back", 2)).await.unwrap();
    log.shutdown().await.unwrap();
    drop(log);
    assert_eq!(home.column("SELECT id FROM records ORDER BY place"), ["before", "back"]);

    // A copy takes its place: what is written, and what is found, is in that.
    let log = home.open();
    append(&log, intent("old file", 3)).await.unwrap();
    assert_eq!(ids(&log, Query::new("acme")).await[0], "old file");
    let copy = home.folder().join("copy.db");
    rusqlite::Connection::open(home.path()).unwrap().execute("VACUUM INTO ?", [copy.to_str()]).unwrap();
    for ending in ["db-wal", "db-shm"] {
        std::fs::remove_file(home.path().with_extension(ending)).unwrap();
    }
    std::fs::rename(&copy, home.path()).unwrap();
    append(&log, intent("new file", 4)).await.unwrap();
    assert_eq!(ids(&log, Query::new("acme")).await[0], "new file");
    log.shutdown().await.unwrap();
    drop(log);
    assert_eq!(home.column("SELECT id FROM records ORDER BY place DESC")[0], "new file");
    chain::verify(&home, &home.key).unwrap();
}
