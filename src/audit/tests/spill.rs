//! Records that the store does not take: refused, or kept until it does, in order and once.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::*;
use crate::audit::chain::Place;
use crate::audit::journal::Journal;
use crate::audit::record::PolicySetChange;
use crate::audit::row::Row;
use crate::audit::store::Link;
use crate::audit::text_rule::TextRule;
use crate::audit::{ChainHash, SpillTo, VerifiedTexts, damaged_copies};

struct Spilling {
    home: Home,
    settings: Settings,
}

impl Spilling {
    fn new() -> Self {
        let home = Home::sqlite();
        let spill = Some(SpillTo { file: home.folder().join("audit.spill"), size: 4 << 20 });
        let settings = Settings { spill, ..home.settings() };
        Self { home, settings }
    }

    fn journal(&self) -> PathBuf {
        self.home.folder().join("audit.spill")
    }

    fn open(&self) -> AuditLog {
        AuditLog::open(&self.settings).unwrap()
    }

    /// Another process holds the database until this is dropped.
    fn lock(&self) -> rusqlite::Connection {
        let other = rusqlite::Connection::open(self.home.path()).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        other
    }

    /// The store refuses records, with an error of an unknown kind.
    fn refuse(&self, which: &str) {
        let refuse = "BEGIN SELECT RAISE(ABORT, 'no room'); END";
        self.execute(&format!("CREATE TRIGGER no_room BEFORE INSERT ON records WHEN {which} {refuse}"));
    }

    fn refuse_no_longer(&self) {
        self.execute("DROP TRIGGER no_room");
    }

    fn execute(&self, sql: &str) {
        let other = rusqlite::Connection::open(self.home.path()).unwrap();
        other.busy_timeout(Duration::from_secs(10)).unwrap();
        other.execute_batch(sql).unwrap();
    }

    /// As this node.
    async fn somebody_else_writes(&self) {
        let other = AuditLog::open(&Settings { spill: None, ..self.settings.clone() }).unwrap();
        append(&other, intent("meanwhile", 2)).await.unwrap();
        other.shutdown().await.unwrap();
    }

    fn bytes(&self) -> u64 {
        fs::metadata(self.journal()).unwrap().len()
    }

    async fn drained(&self) {
        chain::until("the journal is empty", || self.bytes() == 0).await;
    }

    fn ids(&self) -> Vec<String> {
        self.home.column("SELECT id FROM records ORDER BY place")
    }
}

#[tokio::test]
async fn what_a_locked_store_does_not_take_is_kept_and_comes_in_order_and_once() {
    let it = Spilling::new();
    let log = it.open();
    append(&log, intent("before", 0)).await.unwrap();
    let lock = it.lock();
    for number in 0..5 {
        assert_eq!(append(&log, intent(&format!("r{number}"), number)).await, Ok(Seq(2 + number)), "numbers go on");
    }
    append(&log, pre_check("c1", 9)).await.unwrap();
    assert!(log.context("c1").await.unwrap().is_some(), "a context is honoured before the store has it");
    assert!(it.bytes() > 0);
    drop(lock);
    it.drained().await;
    append(&log, outcome("r0", 9)).await.unwrap();
    log.shutdown().await.unwrap();
    assert_eq!(it.ids(), ["before", "r0", "r1", "r2", "r3", "r4", "c1", "r0"]);
    let (chains, texts) = chain::verify(&it.home, &it.settings.key).unwrap();
    assert_eq!((chains[0].records, chains[0].signed), (8, Seq(8)));
    assert_eq!(texts, VerifiedTexts { texts: 8, ..VerifiedTexts::default() });
}

#[tokio::test]
async fn what_waits_in_the_journal_survives_the_process() {
    let it = Spilling::new();
    let log = it.open();
    append(&log, intent("before", 0)).await.unwrap();
    let lock = it.lock();
    append(&log, intent("during", 1)).await.unwrap();
    drop(log);
    assert!(it.bytes() > 0, "the store was locked to the end");
    drop(lock);
    let kept = fs::read(it.journal()).unwrap();

    let log = it.open();
    it.drained().await;
    append(&log, intent("after", 2)).await.unwrap();
    log.shutdown().await.unwrap();
    drop(log);
    assert_eq!(it.ids(), ["before", "during", "after"]);

    // The process was killed after the store had the records, and before it emptied the journal.
    fs::write(it.journal(), kept).unwrap();
    let log = it.open();
    it.drained().await;
    append(&log, intent("last", 3)).await.unwrap();
    log.shutdown().await.unwrap();
    assert_eq!(it.ids(), ["before", "during", "after", "last"], "none twice");
    chain::verify(&it.home, &it.settings.key).unwrap();
}

#[tokio::test]
async fn a_context_that_waits_in_the_journal_is_honoured_by_the_next_process() {
    let it = Spilling::new();
    let log = it.open();
    let lock = it.lock();
    append(&log, pre_check("c1", 1)).await.unwrap();
    drop(log);
    drop(lock);
    it.refuse("TRUE");
    let log = it.open();
    assert!(log.context("c1").await.unwrap().is_some());
    assert!(it.bytes() > 0, "the store does not have it yet");
    it.refuse_no_longer();
    it.drained().await;
    assert!(log.context("c1").await.unwrap().is_some(), "without a wait for the index");
    log.shutdown().await.unwrap();
}

#[tokio::test]
async fn nothing_is_erased_while_texts_wait_in_the_journal() {
    let it = Spilling::new();
    let log = it.open();
    append(&log, intent("before", 0)).await.unwrap();
    let lock = it.lock();
    append(&log, intent("during", 1)).await.unwrap();
    drop(log);
    drop(lock);
    let refused = erasure::erase_one(&it.settings, "before").unwrap_err();
    assert!(refused.code() == "audit_spill" && refused.to_string().contains("audit.spill"), "{refused}");
    let log = it.open();
    it.drained().await;
    log.shutdown().await.unwrap();
    for id in ["before", "during"] {
        assert_eq!(erasure::erase_one(&it.settings, id), Ok(1), "{id}");
    }
}

#[tokio::test]
async fn a_torn_end_of_the_journal_is_cut_off_and_what_is_damaged_is_set_aside() {
    let it = Spilling::new();
    let log = it.open();
    let lock = it.lock();
    append(&log, intent("whole", 0)).await.unwrap();
    let whole = it.bytes();
    append(&log, intent("torn", 1)).await.unwrap();
    drop(log);
    drop(lock);
    let (bytes, whole) = (fs::read(it.journal()).unwrap(), whole as usize);
    let flipped = |at: usize| {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        bytes
    };
    let (none, first): (&[&str], &[&str]) = (&[], &["whole"]);
    for (name, damage, ids, copies) in [
        ("the last frame is not all there", bytes[..bytes.len() - 7].to_vec(), first, 0),
        ("its header alone is there", bytes[..whole + 12].to_vec(), first, 0),
        ("its length alone is there", bytes[..whole + 3].to_vec(), first, 0),
        ("a byte of it is another one", flipped(bytes.len() - 9), first, 1),
        ("zeros follow", [&bytes[..whole], &[0; 64][..]].concat(), first, 1),
        ("the last one's length is another one", flipped(whole), first, 1),
        ("the first one's length is another one", flipped(0), none, 1),
        ("the first one is not all there", bytes[..whole - 7].to_vec(), none, 0),
        ("the first one's header alone is there", bytes[..5].to_vec(), none, 0),
        ("zeros alone are there", vec![0; 64], none, 1),
        ("the first page is zeros", [&[0; 64], &bytes[64..]].concat(), none, 1),
    ] {
        let other = Spilling::new();
        fs::copy(it.home.path(), other.home.path()).unwrap();
        fs::write(other.journal(), damage).unwrap();
        let log = AuditLog::open(&Settings { key: it.settings.key.clone(), ..other.settings.clone() }).unwrap();
        other.drained().await;
        log.shutdown().await.unwrap();
        assert_eq!(other.ids(), ids, "{name}");
        let aside = damaged_copies(&other.journal()).unwrap();
        assert!(aside.len() == copies && aside.iter().all(|copy| copy.exists()), "{name}: {aside:?}");
        chain::verify(&other.home, &it.settings.key).unwrap();
    }
}

#[test]
fn what_is_no_journal_is_refused_and_left_as_it_is() {
    let database = Home::sqlite();
    drop(database.open());
    let database = fs::read(database.path()).unwrap();
    let key = format!("{}\n", "12".repeat(32));
    for file in [database.as_slice(), key.as_bytes(), b"hello world\n", b"abc"] {
        let it = Spilling::new();
        fs::write(it.journal(), file).unwrap();
        let found = it.settings.check().unwrap_err();
        let refused = AuditLog::open(&it.settings).err().unwrap();
        assert!(refused == found && refused.to_string().contains("audit.spill.file"), "{refused}{found}");
        assert_eq!(fs::read(it.journal()).unwrap(), file);
        assert!(damaged_copies(&it.journal()).unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_full_journal_refuses_and_keeps_what_it_has() {
    let it = Spilling::new();
    let settings = Settings { spill: Some(SpillTo { file: it.journal(), size: 4_000 }), ..it.settings.clone() };
    let log = AuditLog::open(&settings).unwrap();
    let lock = it.lock();
    let mut kept = Vec::new();
    let refused = loop {
        let id = format!("r{}", kept.len());
        match append(&log, intent(&id, 0)).await {
            Ok(_) => kept.push(id),
            Err(error) => break error,
        }
    };
    assert_eq!(refused.code(), "audit_spill");
    assert!(!kept.is_empty() && it.bytes() <= 4_000);
    drop(lock);
    it.drained().await;
    append(&log, intent("after", 1)).await.unwrap();
    kept.push("after".into());
    log.shutdown().await.unwrap();
    assert_eq!(it.ids(), kept);
}

#[tokio::test]
async fn a_record_that_is_at_fault_is_refused_and_not_spilled() {
    let it = Spilling::new();
    let log = it.open();
    append(&log, intent("a", 0)).await.unwrap();
    assert_eq!(append(&log, intent("a", 1)).await.map_err(|error| error.code()), Err("audit_duplicate"));
    assert_eq!(it.bytes(), 0);
}

#[tokio::test]
async fn a_journal_of_another_chain_is_linked_to_the_one_that_is_there() {
    let it = Spilling::new();
    let log = it.open();
    append(&log, intent("before", 0)).await.unwrap();
    let lock = it.lock();
    append(&log, intent("during", 1)).await.unwrap();
    drop(log);
    drop(lock);
    // Meanwhile somebody else wrote as this node.
    it.somebody_else_writes().await;
    let log = it.open();
    it.drained().await;
    append(&log, intent("after", 3)).await.unwrap();
    log.shutdown().await.unwrap();
    assert_eq!(it.ids(), ["before", "meanwhile", "during", "after"]);
    chain::verify(&it.home, &it.settings.key).unwrap();
}

#[tokio::test]
async fn what_is_linked_anew_comes_once_although_the_store_fails_in_between() {
    // How many records go in as they are before, and whether the process is killed in between.
    for (fitting, killed) in [(0, false), (0, true), (512, true)] {
        let it = Spilling::new();
        let log = it.open();
        append(&log, intent("before", 0)).await.unwrap();
        let lock = it.lock();
        let receipts: Vec<_> =
            (0..fitting).map(|number| log.append(intent(&format!("f{number}"), number)).unwrap()).collect();
        for receipt in receipts {
            receipt.await.unwrap();
        }
        three_records(&log).await;
        drop(log);
        drop(lock);
        let mut expected = vec!["before".to_owned()];
        expected.extend((0..fitting).map(|number| format!("f{number}")));
        if fitting > 0 {
            it.refuse("NEW.id NOT LIKE 'f%'");
            let log = it.open();
            chain::until("those that fit are there", || it.ids() == expected).await;
            drop(log);
            it.refuse_no_longer();
        }
        it.somebody_else_writes().await;
        expected.extend(["meanwhile", "during", "generation-2"].map(str::to_owned));
        // Nothing is behind it that would tell that it alone is refused.
        it.refuse("NEW.id = 'last'");
        let mut log = it.open();
        chain::until("the others are there", || it.ids() == expected).await;
        if killed {
            drop(log);
            log = it.open();
        }
        it.refuse_no_longer();
        it.drained().await;
        log.shutdown().await.unwrap();
        expected.push("last".to_owned());
        assert_eq!(it.ids(), expected, "killed: {killed}");
        chain::verify(&it.home, &it.settings.key).unwrap();
    }
}

#[tokio::test]
async fn what_went_in_as_it_was_is_not_linked_anew_although_others_wrote_behind_it() {
    let it = Spilling::new();
    let log = it.open();
    append(&log, intent("before", 0)).await.unwrap();
    let lock = it.lock();
    three_records(&log).await;
    drop(log);
    drop(lock);
    it.refuse("NEW.id = 'last'");
    let log = it.open();
    chain::until("the others are there", || it.ids() == ["before", "during", "generation-2"]).await;
    drop(log);
    it.refuse_no_longer();
    it.somebody_else_writes().await;
    let log = it.open();
    it.drained().await;
    log.shutdown().await.unwrap();
    assert_eq!(it.ids(), ["before", "during", "generation-2", "meanwhile", "last"]);
    chain::verify(&it.home, &it.settings.key).unwrap();
}

/// One of them is no entry: nothing refuses it the second time.
async fn three_records(log: &AuditLog) {
    append(log, intent("during", 1)).await.unwrap();
    let changed = PolicySetChange {
        at: at(2),
        from_generation: Some(1),
        to_generation: 2,
        policies: Vec::new(),
        reason: "files changed".into(),
    };
    append(log, changed).await.unwrap();
    append(log, intent("last", 3)).await.unwrap();
}

#[test]
fn one_journal_has_one_gateway() {
    let it = Spilling::new();
    let _first = it.open();
    assert_eq!(AuditLog::open(&it.settings).err().map(|error| error.code()), Some("audit_spill"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_was_restarted_is_used_again_and_meanwhile_records_are_refused() {
    let Some(mut server) = postgres::Server::start() else { return };
    let key = AuditKey::random().unwrap();
    let home = Home { at: At::Postgres(server.database()), key };
    let log = home.open();
    append(&log, intent("before", 0)).await.unwrap();
    assert_eq!(ids(&log, Query::new("acme")).await, ["before"]);
    server.kill();
    let refused = append(&log, intent("during", 1)).await.map_err(|error| error.code());
    assert!(matches!(refused, Err("audit_unreachable" | "audit_open")), "{refused:?}");
    server.restart();
    append(&log, intent("after", 2)).await.unwrap();
    // Nor does a search find the old connection.
    assert_eq!(ids(&log, Query::new("acme")).await, ["after", "before"]);
    // Once more while nobody writes: the first record afterwards does not find the old connection.
    server.kill();
    server.restart();
    append(&log, intent("later", 3)).await.unwrap();
    log.shutdown().await.unwrap();
    assert_eq!(home.column("SELECT id FROM records ORDER BY place"), ["before", "after", "later"]);
    chain::verify(&home, &home.key).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_gone_for_a_while_loses_nothing_where_records_spill() {
    let Some(mut server) = postgres::Server::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let home = Home { at: At::Postgres(server.database()), key: AuditKey::random().unwrap() };
    let file = folder.path().join("octroi.spill");
    let log =
        AuditLog::open(&Settings { spill: Some(SpillTo { file: file.clone(), size: 1 << 20 }), ..home.settings() })
            .unwrap();
    append(&log, intent("r0", 0)).await.unwrap();
    server.kill();
    for number in 1..20 {
        append(&log, intent(&format!("r{number}"), number)).await.unwrap();
    }
    server.restart();
    chain::until("the journal is empty", || fs::metadata(&file).unwrap().len() == 0).await;
    append(&log, intent("r20", 20)).await.unwrap();
    log.shutdown().await.unwrap();
    let expected: Vec<_> = (0..=20).map(|number| format!("r{number}")).collect();
    assert_eq!(home.column("SELECT id FROM records ORDER BY place"), expected);
    chain::verify(&home, &home.key).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_end_a_database_that_hangs_is_not_waited_for_where_records_spill() {
    let Some(mut server) = postgres::Server::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let url = server.database();
    let home = Home { at: At::Postgres(url.clone()), key: AuditKey::random().unwrap() };
    let file = folder.path().join("octroi.spill");
    let spill = Some(SpillTo { file: file.clone(), size: 1 << 20 });
    let log = AuditLog::open(&Settings { spill, ..home.settings() }).unwrap();
    append(&log, intent("before", 0)).await.unwrap();
    let other = url.clone();
    let holds =
        std::thread::spawn(move || postgres::execute(&other, "BEGIN; LOCK TABLE octroi.records; SELECT pg_sleep(600)"));
    let held = "SELECT 1 FROM pg_locks WHERE granted AND mode = 'AccessExclusiveLock' \
                AND relation = 'octroi.records'::regclass";
    chain::until("the records are locked", || !postgres::execute(&url, held).unwrap().is_empty()).await;
    let during = log.append(intent("during", 1)).unwrap();
    log.prefer_journal();
    // Much less than it is waited for otherwise.
    let soon = Duration::from_secs(12);
    tokio::time::timeout(soon, during).await.unwrap().unwrap();
    append(&log, outcome("during", 2)).await.unwrap();
    tokio::time::timeout(soon, log.shutdown()).await.unwrap().unwrap();
    assert!(fs::metadata(&file).unwrap().len() > 0, "they wait for the next start");
    server.kill();
    assert!(holds.join().unwrap().is_err());
}

/// Each try holds all records up for as long as it lasts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_hangs_is_tried_the_more_seldom_the_longer_it_was_waited_for() {
    let Some(mut server) = postgres::Server::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let url = server.database();
    let home = Home { at: At::Postgres(url.clone()), key: AuditKey::random().unwrap() };
    let file = folder.path().join("octroi.spill");
    let log =
        AuditLog::open(&Settings { spill: Some(SpillTo { file: file.clone(), size: 8 << 20 }), ..home.settings() })
            .unwrap();
    append(&log, intent("before", 0)).await.unwrap();
    let port = url.split([':', '/']).find_map(|part| part.parse::<u16>().ok()).unwrap();
    server.kill();
    let silent = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    silent.set_nonblocking(true).unwrap();
    append(&log, intent("during", 1)).await.unwrap();
    let first = silent.accept().unwrap();
    let until = Instant::now() + Duration::from_millis(2_500);
    let mut number = 2;
    while Instant::now() < until {
        append(&log, intent(&format!("r{number}"), number)).await.unwrap();
        number += 1;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let second = silent.accept().map(drop).map_err(|error| error.kind());
    assert_eq!(second, Err(std::io::ErrorKind::WouldBlock), "it is left alone for much longer");
    log.shutdown().await.unwrap();
    assert!(fs::metadata(&file).unwrap().len() > 0);
    drop(first);
}

#[tokio::test]
async fn an_error_of_the_store_throws_no_acknowledged_record_away() {
    for chain_moved in [false, true] {
        let it = Spilling::new();
        let log = it.open();
        append(&log, intent("before", 0)).await.unwrap();
        let lock = it.lock();
        append(&log, intent("during", 1)).await.unwrap();
        drop(log);
        drop(lock);
        let mut expected = vec!["before", "during", "later"];
        if chain_moved {
            it.somebody_else_writes().await;
            expected.insert(1, "meanwhile");
        }
        it.refuse("TRUE");
        let log = it.open();
        // It goes behind the others, and the writer has tried to write those by then.
        append(&log, intent("later", 3)).await.unwrap();
        assert!(it.bytes() > 0, "they wait");
        it.refuse_no_longer();
        it.drained().await;
        log.shutdown().await.unwrap();
        assert_eq!(it.ids(), expected);
        chain::verify(&it.home, &it.settings.key).unwrap();
        assert!(damaged_copies(&it.journal()).unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_record_that_the_store_refuses_alone_is_set_aside_and_holds_no_other_up() {
    for chain_moved in [false, true] {
        let it = Spilling::new();
        let log = it.open();
        append(&log, intent("before", 0)).await.unwrap();
        let lock = it.lock();
        append(&log, intent("refused", 1)).await.unwrap();
        // The store takes none of it, and it is the intent that is at fault.
        append(&log, outcome("refused", 2)).await.unwrap();
        drop(log);
        drop(lock);
        let mut expected = vec!["before", "later"];
        if chain_moved {
            it.somebody_else_writes().await;
            expected.insert(1, "meanwhile");
        }
        it.refuse("NEW.id = 'refused'");
        let log = it.open();
        append(&log, intent("later", 3)).await.unwrap();
        it.drained().await;
        append(&log, intent("after", 4)).await.unwrap();
        log.shutdown().await.unwrap();
        expected.push("after");
        assert_eq!(it.ids(), expected);
        chain::verify(&it.home, &it.settings.key).unwrap();
        let aside = damaged_copies(&it.journal()).unwrap();
        let kept: Vec<u8> = aside.iter().flat_map(|copy| fs::read(copy).unwrap()).collect();
        let kept = String::from_utf8_lossy(&kept);
        assert!(kept.contains("What is an octroi?") && kept.contains("A gate."), "{aside:?}");
    }
}

#[tokio::test]
async fn an_acknowledged_outcome_without_its_intent_is_set_aside() {
    let it = Spilling::new();
    let log = it.open();
    append(&log, intent("gone", 0)).await.unwrap();
    assert_eq!(ids(&log, Query::new("acme")).await, ["gone"], "its entry is there");
    let lock = it.lock();
    append(&log, outcome("gone", 1)).await.unwrap();
    append(&log, intent("during", 2)).await.unwrap();
    drop(log);
    drop(lock);
    let other = rusqlite::Connection::open(it.home.path()).unwrap();
    other.execute_batch("DELETE FROM entries WHERE id = 'gone'").unwrap();
    let log = it.open();
    it.drained().await;
    log.shutdown().await.unwrap();
    assert_eq!(it.ids(), ["gone", "during"]);
    let aside = damaged_copies(&it.journal()).unwrap();
    let bytes = fs::read(&aside[0]).unwrap();
    assert!(aside.len() == 1 && String::from_utf8_lossy(&bytes).contains("A gate."), "its text too: {aside:?}");
}

#[tokio::test]
async fn many_records_are_linked_anew_a_few_at_a_time_and_all_of_them() {
    let it = Spilling::new();
    let settings = Settings { spill: Some(SpillTo { file: it.journal(), size: 64 << 20 }), ..it.settings.clone() };
    let log = AuditLog::open(&settings).unwrap();
    append(&log, intent("before", 0)).await.unwrap();
    let lock = it.lock();
    let receipts: Vec<_> =
        (0..1_300).map(|number| log.append(intent(&format!("r{number}"), number)).unwrap()).collect();
    for receipt in receipts {
        receipt.await.unwrap();
    }
    drop(log);
    drop(lock);
    it.somebody_else_writes().await;
    let log = AuditLog::open(&settings).unwrap();
    append(&log, intent("later", 3)).await.unwrap();
    it.drained().await;
    log.shutdown().await.unwrap();
    let mut expected = vec!["before".to_owned(), "meanwhile".to_owned()];
    expected.extend((0..1_300).map(|number| format!("r{number}")));
    expected.push("later".to_owned());
    assert_eq!(it.ids(), expected);
    chain::verify(&it.home, &it.settings.key).unwrap();
}

#[test]
fn what_goes_from_the_journal_at_a_time_is_bounded_in_bytes_too() {
    let it = Spilling::new();
    let mut journal = Journal::open(&it.journal(), 64 << 20, false).unwrap();
    append_sized(&mut journal, 1..=5, 1_500_000);
    let (records, end) = journal.next(0, 512).unwrap();
    assert_eq!(records.len(), 3, "up to four MiB and what is begun");
    let (rest, _) = journal.next(end, 512).unwrap();
    assert_eq!(rest.len(), 2);
}

/// Appends records with these numbers, each with a text of that many bytes.
fn append_sized(journal: &mut Journal, numbers: std::ops::RangeInclusive<i64>, bytes: usize) {
    for number in numbers {
        try_append_sized(journal, number, bytes).unwrap();
    }
}

fn try_append_sized(journal: &mut Journal, number: i64, bytes: usize) -> Result<(), AuditError> {
    let rule = TextRule { key: AuditKey::random().unwrap(), mode: ContentMode::Full };
    let asked = Intent { content: Content::unchanged(&"x".repeat(bytes)), ..intent(&format!("r{number}"), number) };
    let row = Row::new(asked.into(), &rule).unwrap();
    journal.append(&[Link { place: Place::new(1, Seq(number)), hash: ChainHash::NONE, row: &row }])
}

#[test]
fn what_the_store_has_makes_room_for_what_waits() {
    let it = Spilling::new();
    let mut journal = Journal::open(&it.journal(), 10_000, false).unwrap();
    append_sized(&mut journal, 1..=3, 2_000);
    assert_eq!(try_append_sized(&mut journal, 4, 2_000).map_err(|error| error.code()), Err("audit_spill"));
    let (_, end) = journal.next(0, 2).unwrap();
    journal.drained_to(end).unwrap();
    append_sized(&mut journal, 4..=5, 2_000);
    assert!(try_append_sized(&mut journal, 6, 2_000).is_err(), "three wait");
    // However much has gone into the store, the file does not grow without bound.
    let mut number = 6;
    loop {
        let (_, end) = journal.next(journal.drained(), 1).unwrap();
        journal.drained_to(end).unwrap();
        if try_append_sized(&mut journal, number, 2_000).is_err() {
            break;
        }
        number += 1;
    }
    assert!(number > 6 && it.bytes() <= 20_000, "{} bytes", it.bytes());
}

#[tokio::test]
async fn a_journal_is_not_forgotten_when_records_are_to_be_refused_from_now_on() {
    let it = Spilling::new();
    let log = it.open();
    append(&log, intent("before", 0)).await.unwrap();
    let deny = Settings { spill: None, left_journal: Some(it.journal()), ..it.settings.clone() };
    let lock = it.lock();
    append(&log, intent("during", 1)).await.unwrap();
    drop(log);
    drop(lock);
    let refused = AuditLog::open(&deny).err().unwrap();
    assert!(refused.code() == "audit_spill" && refused.to_string().contains("on_failure: spill"), "{refused}");
    assert_eq!(erasure::erase_one(&deny, "before").map_err(|error| error.code()), Err("audit_spill"));
    let log = it.open();
    it.drained().await;
    log.shutdown().await.unwrap();
    drop(log);
    assert_eq!(erasure::erase_one(&deny, "before"), Ok(1));
    AuditLog::open(&deny).unwrap();
}
