//! Reading, on connections of its own.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params_from_iter};

use super::LOCK_PATIENCE;
use super::failure::classed;
use super::filter::Filter;
use crate::audit::AuditError;
use crate::audit::entry::{Entry, Stored};
use crate::audit::row::ContextRow;
use crate::audit::search::{Page, Query};

/// Connections that are kept open when nobody reads.
const KEPT: usize = 4;
/// A record's text beyond this is not loaded for a page of entries.
const TEXT_AT_MOST: i64 = 256 << 10;

/// Read-only connections, opened when needed. How many are used at once is bounded by their users.
pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, idle: Mutex::default() }
    }

    /// Lends a connection. One that reported an error is not kept.
    pub(super) fn with<T>(&self, work: impl FnOnce(&Connection) -> Result<T, AuditError>) -> Result<T, AuditError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.connect().map_err(classed)?,
        };
        let result = work(&connection)?;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < KEPT {
            idle.push(connection);
        }
        Ok(result)
    }

    fn connect(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(LOCK_PATIENCE)?;
        connection.execute_batch("PRAGMA query_only = ON; PRAGMA cache_size = -4096; PRAGMA temp_store = MEMORY;")?;
        Ok(connection)
    }
}

/// One page, and how many fit, of one moment.
pub(super) fn search(connection: &Connection, query: &Query) -> Result<Page, AuditError> {
    let moment = connection.unchecked_transaction().map_err(classed)?;
    let Filter { from, conditions, mut values, order } = Filter::new(query);
    let count = format!("SELECT count(*) FROM {from} WHERE {conditions}");
    let total: i64 = moment.query_row(&count, params_from_iter(&values), |row| row.get(0)).map_err(classed)?;

    // The page is cut before the records are joined: what is passed over is never read.
    let page = format!(
        "WITH page AS MATERIALIZED (SELECT e.seq AS seq FROM {from} WHERE {conditions} ORDER BY {order} LIMIT ? OFFSET ?) \
         SELECT e.id, e.context_id, e.kind, e.at, e.tenant, e.client, e.user, e.request_type, e.decision, \
                opened.body, iif(octet_length(opened.content) <= {TEXT_AT_MOST}, opened.content, NULL), \
                closed.body, iif(octet_length(closed.content) <= {TEXT_AT_MOST}, closed.content, NULL) \
         FROM page CROSS JOIN entries e ON e.seq = page.seq CROSS JOIN records opened ON opened.seq = e.seq \
              LEFT JOIN records closed ON closed.seq = e.outcome_seq \
         ORDER BY e.at DESC, e.seq DESC"
    );
    values.push(Value::Integer(i64::from(query.limit)));
    values.push(Value::Integer(i64::try_from(query.offset).unwrap_or(i64::MAX)));
    let mut statement = moment.prepare(&page).map_err(classed)?;
    let mut rows = statement.query(params_from_iter(&values)).map_err(classed)?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next().map_err(classed)? {
        entries.push(Entry::try_from(stored(row).map_err(classed)?)?);
    }
    Ok(Page { entries, total: total.unsigned_abs(), limit: query.limit, offset: query.offset })
}

fn stored(row: &Row<'_>) -> rusqlite::Result<Stored> {
    Ok(Stored {
        id: row.get(0)?,
        context_id: row.get(1)?,
        kind: row.get(2)?,
        at_microseconds: row.get(3)?,
        tenant: row.get(4)?,
        client: row.get(5)?,
        user: row.get(6)?,
        request_type: row.get(7)?,
        decision: row.get(8)?,
        opened: row.get(9)?,
        opened_content: row.get(10)?,
        closed: row.get(11)?,
        closed_content: row.get(12)?,
    })
}

/// The context of that id.
pub(super) fn context(connection: &Connection, id: &str) -> Result<Option<ContextRow>, AuditError> {
    let sql = "SELECT client, tenant, approved, expires_at FROM contexts WHERE context_id = ?";
    let found = connection
        .query_row(sql, [id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get::<_, i64>(3)?)))
        .optional()
        .map_err(classed)?;
    let Some((client, tenant, approved, expires_at)) = found else { return Ok(None) };
    let expires_at = Timestamp::from_microsecond(expires_at)
        .map_err(|error| AuditError::Encoding(format!("the expiry of context {id}: {error}")))?;
    Ok(Some(ContextRow { client, tenant, approved, expires_at }))
}
