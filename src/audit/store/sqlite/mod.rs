//! The embedded store: one SQLite file with a write-ahead log.
//!
//! One connection writes, on the writer's thread; a few read-only ones read beside it and never make it wait. A third
//! thread moves the log's pages into the main file.

mod checkpoint;
mod failure;
mod filter;
mod read;
mod schema;
mod session;

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::{Session, Store};
use crate::audit::row::ContextRow;
use crate::audit::search::{Page, Query};
use crate::audit::{AuditError, Durability};
use failure::classed;

/// How long a write waits for another process's lock before its waiters are told.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

/// A SQLite file.
pub(super) struct SqliteStore {
    path: PathBuf,
    durability: Durability,
    readers: read::Readers,
}

impl SqliteStore {
    /// Creates the file if it is not there, readable by its owner alone, and brings its schema up to date.
    pub(super) fn open(path: PathBuf, durability: Durability) -> Result<Self, AuditError> {
        let failed = |reason: String| AuditError::Open { path: path.display().to_string(), reason };
        // SQLite gives its log and shared memory the main file's permissions.
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(error.to_string())),
        }
        let store = Self { readers: read::Readers::new(path.clone()), durability, path: path.clone() };
        let mut connection = store.connect()?;
        schema::migrate(&mut connection, &path)?;
        Ok(store)
    }

    /// A connection that may write.
    fn connect(&self) -> Result<Connection, AuditError> {
        let failed = |error: rusqlite::Error| AuditError::Open {
            path: self.path.display().to_string(),
            reason: error.to_string(),
        };
        // Not created here: a file that vanished while the gateway runs is an error, not an empty trail.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags).map_err(failed)?;
        connection.busy_timeout(LOCK_PATIENCE).map_err(failed)?;
        let synchronous = match self.durability {
            Durability::Process => "NORMAL",
            Durability::Disk => "FULL",
        };
        connection
            .execute_batch(&format!(
                // Checkpoints run on a thread of their own; the page cache holds the ends of all indexes.
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous}; PRAGMA wal_autocheckpoint = 0; \
                 PRAGMA cache_size = -16384; PRAGMA temp_store = MEMORY;"
            ))
            .map_err(classed)?;
        Ok(connection)
    }
}

impl Store for SqliteStore {
    fn write(&self, work: &mut dyn FnMut(&mut dyn Session)) -> Result<(), AuditError> {
        let connection = self.connect()?;
        let checkpointer = checkpoint::Checkpointer::start(self.connect()?)?;
        let mut session = session::SqliteSession::new(&connection, checkpointer)?;
        work(&mut session);
        Ok(())
    }

    fn search(&self, query: &Query) -> Result<Page, AuditError> {
        self.readers.with(|connection| read::search(connection, query))
    }

    fn context(&self, id: &str) -> Result<Option<ContextRow>, AuditError> {
        self.readers.with(|connection| read::context(connection, id))
    }
}
