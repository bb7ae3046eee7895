//! The archive of versions.

use std::sync::Arc;

use super::*;
use crate::audit::{ArchivedVersion, AuditReader};

on_both_stores! {
    a_version_is_kept_once_and_read_as_it_was_given,
    a_module_that_is_not_whole_is_damage_and_not_another_module,
}

fn version(digest: &str, module: &[u8]) -> ArchivedVersion {
    ArchivedVersion {
        version: digest.into(),
        module: Arc::new(module.to_vec()),
        manifest: format!("name: pii # {digest}").into(),
    }
}

fn read(home: &Home, digest: &str) -> Result<Option<ArchivedVersion>, AuditError> {
    apart(|| AuditReader::open(&home.store()).unwrap().version(digest))
}

async fn a_version_is_kept_once_and_read_as_it_was_given(home: Home) {
    let log = home.open();
    // Longer than one part.
    let module: Vec<u8> = (0..(5 << 19)).map(|it: u32| it.to_le_bytes()[0]).collect();
    let (first, second) = (version("11", &module), version("22", &module));
    for archived in [&first, &first, &second] {
        log.archive(archived.clone()).await.unwrap();
    }
    log.archive(ArchivedVersion { manifest: "another".into(), ..first.clone() }).await.unwrap();
    assert_eq!(home.count("SELECT count(*) FROM versions"), 2);
    let bytes = home.count("SELECT CAST(sum(length(bytes)) AS BIGINT) FROM modules");
    assert_eq!(bytes, module.len() as i64, "one module, once");
    assert_eq!(read(&home, "11").unwrap(), Some(first));
    assert_eq!(read(&home, "22").unwrap(), Some(second));
    assert_eq!(read(&home, "33").unwrap(), None);
}

async fn a_module_that_is_not_whole_is_damage_and_not_another_module(home: Home) {
    home.open().archive(version("11", &vec![7; 3 << 20])).await.unwrap();
    home.tamper("UPDATE modules SET bytes = {zeros}");
    assert_eq!(read(&home, "11").unwrap_err().code(), "audit_corrupt");
}

#[tokio::test]
async fn what_a_kill_left_half_written_is_completed_by_the_next_attempt() {
    let home = Home::sqlite();
    let log = home.open();
    let archived = version("11", &vec![7; 3 << 20]);
    log.archive(archived.clone()).await.unwrap();
    home.tamper("DELETE FROM versions; DELETE FROM modules WHERE part > 0");
    log.archive(archived.clone()).await.unwrap();
    assert_eq!(read(&home, "11").unwrap(), Some(archived));
}
