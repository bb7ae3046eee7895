//! Where records are kept: one trait, so that every store has the same semantics and the same tests.
//!
//! The trait is blocking on purpose. Writing happens on the writer's own thread and reading on tokio's blocking
//! threads, so a store over a network drives its asynchronous client there, and nothing above this line differs.

mod sqlite;

use jiff::Timestamp;

use super::row::{ContextRow, Row};
use super::search::{Page, Query};
use super::{AuditError, Seq, Settings};

/// A store of records.
pub(crate) trait Store: Send + Sync {
    /// Opens the one connection that writes and lends it to `work` until that returns. What is prepared for the
    /// connection lives exactly as long.
    fn write(&self, work: &mut dyn FnMut(&mut dyn Session)) -> Result<(), AuditError>;

    /// One page of the entries that fit, and how many fit in all.
    fn search(&self, query: &Query) -> Result<Page, AuditError>;

    /// The context of that id.
    fn context(&self, id: &str) -> Result<Option<ContextRow>, AuditError>;
}

/// The connection that writes.
pub(crate) trait Session {
    /// Writes all rows, or none, and returns their places when they are durable.
    fn commit(&mut self, rows: &[&Row]) -> Result<Vec<Seq>, AuditError>;

    /// Removes at most so many contexts that expired before; returns how many.
    fn clean_contexts(&mut self, before: Timestamp, at_most: usize) -> Result<usize, AuditError>;

    /// A moment between two transactions, when nobody waits for the last one: bounded work of the store's own.
    fn tidy(&mut self);

    /// Leaves everything in the main file, at the end.
    fn checkpoint(&mut self) -> Result<(), AuditError>;
}

/// Opens the store that the settings name, bringing its schema up to date.
pub(crate) fn open(settings: &Settings) -> Result<Box<dyn Store>, AuditError> {
    let url = settings.url.as_str();
    match url.split_once("://") {
        Some(("sqlite", path)) if !path.is_empty() => {
            Ok(Box::new(sqlite::SqliteStore::open(path.into(), settings.durability)?))
        }
        _ => Err(AuditError::Settings(format!(
            "audit.url: {} is not a store of this version; write `sqlite://FILE`",
            without_password(url)
        ))),
    }
}

/// A mistyped URL may hold a password: what stands before an `@` is not repeated in an error.
fn without_password(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("`{scheme}://...@{rest}`"),
        (None, Some((_, rest))) => format!("`...@{rest}`"),
        _ => format!("`{url}`"),
    }
}
