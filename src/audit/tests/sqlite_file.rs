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

/// What is said to whoever wants to write, and to whoever wants to read.
async fn refused(log: &AuditLog) -> [String; 2] {
    let written = append(log, intent("refused", 9)).await.map(drop).unwrap_err();
    let read = log.search(Query::new("acme")).await.map(drop).unwrap_err();
    [written, read].map(|error| {
        assert_eq!(error.code(), "audit_io", "{error}");
        error.to_string()
    })
}

#[tokio::test]
async fn nothing_is_acknowledged_into_a_file_that_has_lost_its_name() {
    let home = Home::sqlite();
    let log = home.open();
    append(&log, intent("before", 0)).await.unwrap();
    assert_eq!(ids(&log, Query::new("acme")).await, ["before"]);
    let moved = home.folder().join("moved.db");
    std::fs::rename(home.path(), &moved).unwrap();
    for _ in 0..2 {
        assert!(refused(&log).await.iter().all(|said| said.contains("was removed")));
    }
    assert!(!home.path().exists(), "no other one is made");
    std::fs::rename(&moved, home.path()).unwrap();
    append(&log, intent("back", 2)).await.unwrap();
    assert_eq!(ids(&log, Query::new("acme")).await, ["back", "before"]);
    log.shutdown().await.unwrap();
    drop(log);
    assert_eq!(home.column("SELECT id FROM records ORDER BY place"), ["before", "back"]);
}

#[tokio::test]
async fn a_store_goes_on_when_all_its_files_were_away_for_a_moment() {
    let home = Home::sqlite();
    let log = home.open();
    append(&log, intent("before", 0)).await.unwrap();
    let away = home.folder().join("away");
    std::fs::create_dir(&away).unwrap();
    let files = ["db", "db-wal", "db-shm"].map(|ending| home.path().with_extension(ending));
    let elsewhere = |file: &PathBuf| away.join(file.file_name().unwrap());
    files.iter().for_each(|file| std::fs::rename(file, elsewhere(file)).unwrap());
    assert!(refused(&log).await.iter().all(|said| said.contains("was removed")));
    files.iter().for_each(|file| std::fs::rename(elsewhere(file), file).unwrap());
    append(&log, intent("back", 2)).await.unwrap();
    assert_eq!(ids(&log, Query::new("acme")).await, ["back", "before"]);
    log.shutdown().await.unwrap();
    drop(log);
    chain::verify(&home, &home.key).unwrap();
}

#[tokio::test]
async fn a_file_that_takes_the_stores_name_is_left_as_it_is_until_the_gateway_starts_anew() {
    let home = Home::sqlite();
    let log = home.open();
    append(&log, intent("in both", 0)).await.unwrap();
    assert_eq!(ids(&log, Query::new("acme")).await, ["in both"]);
    let [backup, moved] = ["backup.db", "moved.db"].map(|name| home.folder().join(name));
    rusqlite::Connection::open(home.path()).unwrap().execute("VACUUM INTO ?", [backup.to_str()]).unwrap();
    let restored = std::fs::read(&backup).unwrap();
    append(&log, intent("behind the backup", 1)).await.unwrap();
    // Its log and its shared memory stay where they are.
    std::fs::hard_link(home.path(), &moved).unwrap();
    std::fs::rename(&backup, home.path()).unwrap();
    for _ in 0..2 {
        assert!(refused(&log).await.iter().all(|said| said.contains("was replaced by another file")));
    }
    let _ = log.shutdown().await;
    drop(log);
    assert!(std::fs::read(home.path()).unwrap() == restored, "nothing was written into it");
    for ending in ["db-wal", "db-shm"] {
        std::fs::remove_file(home.path().with_extension(ending)).unwrap();
    }
    let log = home.open();
    append(&log, intent("into the backup", 2)).await.unwrap();
    assert_eq!(ids(&log, Query::new("acme")).await, ["into the backup", "in both"]);
    log.shutdown().await.unwrap();
    drop(log);
    chain::verify(&home, &home.key).unwrap();
    let old = rusqlite::Connection::open(moved).unwrap();
    let kept = old.query_row("SELECT count(*) FROM records WHERE id = 'behind the backup'", [], |row| row.get(0));
    assert_eq!(kept, Ok(1), "what was acknowledged is in the file that it was acknowledged into");
}

#[tokio::test]
async fn nothing_is_acknowledged_into_a_log_that_was_removed_and_what_was_before_is_kept() {
    let home = Home::sqlite();
    let log = home.open();
    append(&log, intent("before", 0)).await.unwrap();
    assert_eq!(ids(&log, Query::new("acme")).await, ["before"]);
    std::fs::remove_file(home.path().with_extension("db-wal")).unwrap();
    let told = append(&log, intent("refused", 1)).await.map(drop).unwrap_err().to_string();
    assert!(told.contains("audit.db-wal was removed"), "{told}");
    assert!(refused(&log).await.iter().all(|said| said.contains("audit.db-wal was removed")));
    let _ = log.shutdown().await;
    drop(log);
    let log = home.open();
    append(&log, intent("behind", 2)).await.unwrap();
    log.shutdown().await.unwrap();
    drop(log);
    assert_eq!(home.column("SELECT id FROM records ORDER BY place"), ["before", "behind"]);
    chain::verify(&home, &home.key).unwrap();
}
