//! A store that the first version wrote. The file was made by that version: `octroi dev`, two requests, a pre-check, a
//! report, SIGTERM.

use super::*;
use crate::audit::{AuditReader, ErasureOrder, Selection, erase};

fn first_version() -> Home {
    let home = Home::sqlite();
    std::fs::write(home.path(), include_bytes!("../../../tests/fixtures/audit-schema-1.db")).unwrap();
    home
}

#[tokio::test]
async fn a_store_of_the_first_version_keeps_all_it_had_before_the_chain() {
    let home = first_version();
    let settings = home.settings();
    let log = AuditLog::open(&settings).unwrap();
    let page = log.search(Query::new("community")).await.unwrap();
    let found: Vec<_> =
        page.entries.iter().map(|it| (it.policy_decision.as_str(), it.query.as_deref().unwrap_or(""))).collect();
    assert_eq!(
        found,
        [
            ("allowed", ""),
            ("allowed", "Hello there"),
            ("blocked", "My card is [CARD] and IBAN [IBAN]"),
            ("redacted", "Write to [EMAIL]")
        ]
    );
    assert_eq!(page.entries[0].response_sample.as_deref(), Some("It greeted."));
    assert_eq!(append(&log, intent("new", 0)).await, Ok(Seq(1)), "a chain begins with what comes now");
    log.shutdown().await.unwrap();

    let (chains, texts) = chain::verify(&home, &settings.key).unwrap();
    assert_eq!((chains.len(), chains[0].records, texts.texts), (1, 1, 1));
    let chains = AuditReader::open(&settings.store).unwrap().chains().unwrap();
    assert_eq!((chains[0].node.as_str(), chains[0].records()), ("", 9));
    assert_eq!(home.count("SELECT count(*) FROM records WHERE hash IS NULL"), 9);
}

#[test]
fn the_texts_of_the_first_version_can_be_erased() {
    let home = first_version();
    let settings = home.settings();
    drop(AuditLog::open(&settings).unwrap());
    let selection = Selection::Client { client: "community".into(), before: Timestamp::now() };
    assert_eq!(erase(&settings, &ErasureOrder { selection, by: "uid 0".into(), reason: None }), Ok(5));
    chain::verify(&home, &settings.key).unwrap();
}

#[test]
fn a_reader_changes_no_store_of_an_older_version() {
    let home = first_version();
    let error = AuditReader::open(&home.settings().store).err().unwrap();
    assert_eq!(error.code(), "audit_older_schema");
    assert_eq!(home.count("PRAGMA user_version"), 1);
}
