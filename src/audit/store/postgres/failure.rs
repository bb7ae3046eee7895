//! PostgreSQL's errors, classed once.

use tokio_postgres::Error;
use tokio_postgres::error::{DbError, SqlState};

use super::connection::with_cause;
use crate::audit::AuditError;

/// What an error of the database means to the audit log.
impl From<Error> for AuditError {
    fn from(error: Error) -> Self {
        match error.as_db_error() {
            Some(answer) => of_answer(answer),
            None => unreachable(&with_cause(&error)),
        }
    }
}

/// There is nobody to ask.
pub(super) fn unreachable(why: &str) -> AuditError {
    AuditError::Unreachable(why.to_owned())
}

fn of_answer(answer: &DbError) -> AuditError {
    let code = answer.code();
    let said = || format!("{} ({})", answer.message(), code.code());
    // By class, where all of a class mean the same.
    match (code.code().get(..2), code) {
        (_, &SqlState::UNIQUE_VIOLATION) if answer.constraint() == Some("records_pkey") => AuditError::ChainMoved,
        (_, &SqlState::UNIQUE_VIOLATION) => AuditError::Duplicate { id: String::new() },
        (_, &SqlState::DISK_FULL) => AuditError::DiskFull,
        // Others were in the way: the same may pass at the next attempt.
        (Some("40"), _) | (_, &SqlState::LOCK_NOT_AVAILABLE) => AuditError::Locked,
        (_, &SqlState::READ_ONLY_SQL_TRANSACTION | &SqlState::INSUFFICIENT_PRIVILEGE) => AuditError::ReadOnly(said()),
        // The server took this process for one that is gone, and ended the connection.
        (_, &SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT) => unreachable(&said()),
        (Some("08" | "57" | "53"), _) => unreachable(&said()),
        (Some("58"), _) => AuditError::Io(said()),
        (Some("XX"), _) => AuditError::Corrupt(said()),
        _ => AuditError::Store(said()),
    }
}
