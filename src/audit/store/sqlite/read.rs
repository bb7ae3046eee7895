//! Reading, on connections of its own.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Params, Row, ToSql, params_from_iter};

use super::LOCK_PATIENCE;
use super::named::NamedFile;
use crate::audit::AuditError;
use crate::audit::chain::Place;
use crate::audit::entry::{Entry, Stored};
use crate::audit::row::ContextRow;
use crate::audit::search::{Ended, Page, Query};
use crate::audit::store::filter::{Dialect, Filter, Value};
use crate::audit::store::{done, page, page_of};

/// Connections that are kept open when nobody reads.
const KEPT: usize = 4;
/// Between two interruptions of a search that is to end: between two of its statements there is nothing to interrupt.
const INTERRUPT_EVERY: Duration = Duration::from_millis(10);

/// Read-only connections, opened when needed. How many are used at once is bounded by their users.
pub(super) struct Readers {
    file: Arc<NamedFile>,
    search_within: Duration,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) fn new(file: Arc<NamedFile>, search_within: Duration) -> Self {
        Self { file, search_within, idle: Mutex::default() }
    }

    /// Lends a connection. One that reported an error is not kept, nor any to a file that has lost its name.
    pub(super) fn with<T>(&self, work: impl FnOnce(&Connection) -> Result<T, AuditError>) -> Result<T, AuditError> {
        self.file.check().inspect_err(|_| self.close_idle())?;
        let last = self.idle().pop();
        let connection = match last {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let result = work(&connection)?;
        let mut idle = self.idle();
        if idle.len() < KEPT {
            idle.push(connection);
        }
        Ok(result)
    }

    /// Lends a connection for a search, and ends what takes too long: callers choose what is searched, and nobody waits so
    /// long for the end.
    pub(super) fn search<T>(&self, work: impl FnOnce(&Connection) -> Result<T, AuditError>) -> Result<T, AuditError> {
        self.with(|connection| {
            let (ended, ends) = mpsc::channel::<()>();
            let (handle, mut left) = (connection.get_interrupt_handle(), self.search_within);
            let watch = move || {
                while ends.recv_timeout(left) == Err(RecvTimeoutError::Timeout) {
                    handle.interrupt();
                    left = INTERRUPT_EVERY;
                }
            };
            std::thread::scope(|scope| {
                let watching = std::thread::Builder::new().name("audit-search".to_owned()).spawn_scoped(scope, watch);
                watching.map_err(|error| AuditError::Io(format!("cannot start a thread: {error}")))?;
                let _ends_the_watch = ended;
                work(connection)
            })
        })
    }

    /// Closes those that nobody uses.
    pub(super) fn close_idle(&self) {
        self.idle().clear();
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connect(&self) -> Result<Connection, AuditError> {
        let connection = self.file.connect(OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(LOCK_PATIENCE)?;
        connection.execute_batch("PRAGMA query_only = ON; PRAGMA cache_size = -4096; PRAGMA temp_store = MEMORY;")?;
        Ok(connection)
    }
}

/// One page, and how many fit, of one moment.
pub(super) fn search(connection: &Connection, query: &Query) -> Result<Page, AuditError> {
    let moment = connection.unchecked_transaction()?;
    let filter = Filter::new(query, Dialect::Sqlite);
    let counted: i64 = moment.query_row(&filter.count(), params_from_iter(&filter.values), |row| row.get(0))?;
    let sized = sizes(&moment, &filter.page(), params_from_iter(&filter.values))?;
    let read = page_of(&sized);
    Ok(Page::new(read_at(&moment, &sized, read)?, counted, query, Ended::of(read, &sized)))
}

/// When the entries were that fit, and where they are: at most so many behind this place, in order of their places.
pub(super) fn places(
    connection: &Connection,
    query: &Query,
    behind: Place,
    at_most: usize,
) -> Result<Vec<(i64, Place)>, AuditError> {
    let filter = Filter::new(query, Dialect::Sqlite);
    let mut statement = connection.prepare(&filter.places(behind, at_most))?;
    let found = statement.query_map(params_from_iter(&filter.values), |row| Ok((row.get(0)?, Place(row.get(1)?))));
    Ok(found.and_then(Iterator::collect)?)
}

/// The entries at these places, newest first, and how many of the places that was.
pub(super) fn entries(connection: &Connection, places: &[Place]) -> Result<(Vec<Entry>, usize), AuditError> {
    let moment = connection.unchecked_transaction()?;
    let sized = sizes(&moment, &page::at(places), [])?;
    let read = page_of(&sized);
    Ok((read_at(&moment, &sized, read)?, done(places, &sized, read)))
}

/// The places that `page` selects, with the bytes that are read of each entry, newest first.
fn sizes(connection: &Connection, page: &str, values: impl Params) -> Result<Vec<(Place, i64)>, AuditError> {
    let sql = page::sizes(Dialect::Sqlite, page);
    let mut statement = connection.prepare(&sql)?;
    let found = statement.query_map(values, |row| Ok((Place(row.get(0)?), row.get(1)?)));
    Ok(found.and_then(Iterator::collect)?)
}

/// The first so many of these entries.
fn read_at(connection: &Connection, sized: &[(Place, i64)], first: usize) -> Result<Vec<Entry>, AuditError> {
    let places: Vec<Place> = sized.iter().take(first).map(|(place, _)| *place).collect();
    let sql = page::entries(Dialect::Sqlite, &places);
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        entries.push(Entry::try_from(stored(row)?)?);
    }
    Ok(entries)
}

fn stored(row: &Row<'_>) -> Result<Stored, AuditError> {
    let id: String = row.get(0)?;
    let named = |error: rusqlite::Error| AuditError::Encoding(format!("the entry {id}: {error}"));
    let column = |column: usize| row.get::<_, String>(column).map_err(named);
    Ok(Stored {
        context_id: row.get(1).map_err(named)?,
        kind: column(2)?,
        at_microseconds: row.get(3).map_err(named)?,
        tenant: column(4)?,
        client: column(5)?,
        user: column(6)?,
        request_type: column(7)?,
        decision: column(8)?,
        opened: json(row, 9)?.unwrap_or_default(),
        opened_content: json(row, 10)?,
        closed: json(row, 11)?,
        closed_content: json(row, 12)?,
        id,
    })
}

/// What should be JSON. A damaged file may hold something else: that is no JSON either.
fn json(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<String>> {
    Ok(match row.get_ref(column)? {
        ValueRef::Null => None,
        ValueRef::Text(text) => Some(String::from_utf8(text.to_vec()).unwrap_or_default()),
        _ => Some(String::new()),
    })
}

/// The context of that id.
pub(super) fn context(connection: &Connection, id: &str) -> Result<Option<ContextRow>, AuditError> {
    let sql = "SELECT c.client, c.tenant, c.approved, c.expires_at, ifnull(e.user, '') \
               FROM contexts c LEFT JOIN entries e ON e.id = c.context_id WHERE c.context_id = ?";
    let found = connection
        .query_row(sql, [id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get::<_, i64>(3)?, row.get(4)?)))
        .optional()?;
    let Some((client, tenant, approved, expires_at, user)) = found else { return Ok(None) };
    let expires_at = Timestamp::from_microsecond(expires_at)
        .map_err(|error| AuditError::Encoding(format!("the expiry of context {id}: {error}")))?;
    Ok(Some(ContextRow { client, tenant, user, approved, expires_at }))
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            Self::Text(text) => text.to_sql(),
            Self::Number(number) => number.to_sql(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_that_takes_too_long_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.db");
        drop(Connection::open(&path).unwrap());
        let readers = Readers::new(Arc::new(NamedFile::of(&path).unwrap()), Duration::from_millis(20));
        let endless = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n";
        let asked = readers.search(|connection| Ok(connection.query_row(endless, [], |row| row.get::<_, i64>(0))?));
        assert_eq!(asked.map_err(|error| error.code()), Err("audit_unreachable"));
    }

    #[test]
    fn no_query_scans_a_table() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(&super::super::schema::MIGRATIONS.concat()).unwrap();
        let some = |text: &str| Some(text.to_owned());
        let all = || Query::new("acme");
        // The filters, and whether the index gives the order too.
        let cases = [
            (all(), true),
            (Query { client_id: some("c"), ..all() }, true),
            (Query { user_email: some("u"), client_id: some("c"), ..all() }, true),
            (Query { action: some("blocked"), client_id: some("c"), ..all() }, true),
            (Query { action: some("allowed"), ..all() }, true),
            (Query { start: Some(Timestamp::UNIX_EPOCH), request_type: some("chat"), ..all() }, true),
            (Query { policy_name: some("pii"), start: Some(Timestamp::UNIX_EPOCH), ..all() }, true),
            (Query { decision_id: some("r1"), end: Some(Timestamp::UNIX_EPOCH), ..all() }, true),
            (Query { request_id: some("r1"), action: some("blocked"), ..all() }, false),
        ];
        for (query, ordered) in cases {
            let filter = Filter::new(&query, Dialect::Sqlite);
            let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {}", filter.page())).unwrap();
            let plan: Vec<String> = statement
                .query_map(params_from_iter(&filter.values), |row| row.get(3))
                .unwrap()
                .collect::<Result<_, _>>()
                .unwrap();
            let plan = plan.join("; ");
            assert!(!plan.contains("SCAN"), "{query:?}: {plan}");
            assert!(!ordered || !plan.contains("TEMP B-TREE"), "{query:?}: {plan}");
        }
    }
}
