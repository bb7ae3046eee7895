//! The schema and its migrations: forward only, one SQL file each, counted in `user_version`.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use crate::audit::AuditError;

/// "Octr": marks the file as ours, for `file` and for us.
const APPLICATION_ID: i64 = 0x4f63_7472;

/// In order; the first makes version 1. A released file is never edited.
pub(super) const MIGRATIONS: [&str; 4] = [
    include_str!("0001_records.sql"),
    include_str!("0002_chain.sql"),
    include_str!("0003_versions.sql"),
    include_str!("0004_indexed.sql"),
];

/// Brings the schema up to date. Refuses a file of another program and one that a newer version wrote.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), AuditError> {
    // Immediate: of two processes that start at once, one migrates and the other finds it done.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let read = |sql: &str| transaction.query_row(sql, [], |row| row.get::<_, i64>(0));
    let application = read("PRAGMA application_id")?;
    let tables = read("SELECT count(*) FROM sqlite_schema")?;
    if application != APPLICATION_ID && (application != 0 || tables > 0) {
        return Err(AuditError::ForeignFile { path: path.display().to_string() });
    }
    let found = found(&transaction, path)?;
    let known = MIGRATIONS.len() as i64;
    let done = usize::try_from(found).unwrap_or(0);
    for migration in MIGRATIONS.iter().skip(done) {
        transaction.execute_batch(migration)?;
    }
    if found < known {
        let stamp = format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {known};");
        transaction.execute_batch(&stamp)?;
    }
    Ok(transaction.commit()?)
}

/// Whether a file has the schema of this version, which it must have where it may not be changed.
pub(super) fn check(connection: &Connection, path: &Path) -> Result<(), AuditError> {
    let application: i64 = connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    if application != APPLICATION_ID {
        return Err(AuditError::ForeignFile { path: path.display().to_string() });
    }
    let (found, known) = (found(connection, path)?, MIGRATIONS.len() as i64);
    if found < known {
        return Err(AuditError::OlderSchema { path: path.display().to_string(), found, known });
    }
    Ok(())
}

/// The schema of a file of ours; one that a newer version wrote is refused.
fn found(connection: &Connection, path: &Path) -> Result<i64, AuditError> {
    let found = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let known = MIGRATIONS.len() as i64;
    if found > known {
        return Err(AuditError::NewerSchema { path: path.display().to_string(), found, known });
    }
    Ok(found)
}
