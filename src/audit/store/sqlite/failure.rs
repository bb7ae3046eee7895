//! SQLite's errors, classed once.

use rusqlite::{Connection, ErrorCode, ffi};

use crate::audit::AuditError;

/// What an error of SQLite means to the audit log.
impl From<rusqlite::Error> for AuditError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked,
            Some(ErrorCode::DiskFull) => Self::DiskFull,
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Self::ReadOnly(error.to_string()),
            Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen | ErrorCode::NoLargeFileSupport) => {
                Self::Io(error.to_string())
            }
            Some(ErrorCode::DatabaseCorrupt) => Self::Corrupt(error.to_string()),
            Some(ErrorCode::NotADatabase) => {
                Self::Corrupt("the file that audit.url names is no SQLite database".to_owned())
            }
            Some(ErrorCode::OperationInterrupted) => Self::Unreachable("the search took too long".to_owned()),
            _ => Self::Store(error.to_string()),
        }
    }
}

/// Ends the transaction that failed. Some errors have ended it already; a failed COMMIT leaves it open.
pub(super) fn rolled_back<T>(connection: &Connection, result: Result<T, AuditError>) -> Result<T, AuditError> {
    if result.is_err() && !connection.is_autocommit() {
        let rolled_back = connection.execute_batch("ROLLBACK");
        rolled_back.map_err(|error| AuditError::Io(format!("a failed transaction cannot be rolled back: {error}")))?;
    }
    result
}

/// Whether the primary key of a table of records is taken.
pub(super) fn is_taken_place(error: &rusqlite::Error) -> bool {
    error
        .sqlite_error()
        .is_some_and(|it| [ffi::SQLITE_CONSTRAINT_PRIMARYKEY, ffi::SQLITE_CONSTRAINT_ROWID].contains(&it.extended_code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_database_is_a_full_disk() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE t (x); PRAGMA max_page_count = 3;").unwrap();
        let error = connection.execute("INSERT INTO t VALUES (zeroblob(100000))", []).unwrap_err();
        assert_eq!(AuditError::from(error), AuditError::DiskFull);
    }

    #[test]
    fn a_missing_file_is_an_input_output_error() {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        let error = Connection::open_with_flags("no-such-folder/audit.db", flags).unwrap_err();
        assert_eq!(AuditError::from(error).code(), "audit_io");
    }
}
