//! The embedded store: one SQLite file with a write-ahead log.
//!
//! One connection writes, on the writer's thread; a few read-only ones read beside it and never make it wait. A third
//! thread moves the log's pages into the main file. What else this process writes, the archive of versions, takes turns
//! with the writer: SQLite's own lock is waited for by polling, for a bounded time, and behind a slow disk two that
//! poll starve each other.

mod archive;
mod failure;
mod index;
mod insert;
mod named;
mod read;
mod schema;
mod session;
mod versions;
mod wal;

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, TransactionBehavior};

use super::{
    ANSWER_WITHIN, COMMANDS_ANSWER_WITHIN, EntryRow, Node, Outline, PolicyRow, Role, Session, Store, StoredRecord,
    Texts, new_node_id,
};
use crate::audit::chain::Place;
use crate::audit::entry::Entry;
use crate::audit::row::ContextRow;
use crate::audit::search::{Page, Query};
use crate::audit::{ArchivedVersion, AuditError, Checkpoint, Durability, Selection};

/// How long a write waits for another process's lock before its waiters are told.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

/// Of files that are made now; one that is there keeps its own. Each page goes into the log by a write of its own, and
/// under load a transaction fills many of SQLite's 4,096 bytes.
const PAGE_BYTES: usize = 16_384;

/// How long the archive waits for another process's lock: nobody waits for the archive.
const ARCHIVE_PATIENCE: Duration = Duration::from_secs(10);

/// Whose turn it is to write, of this process. Tokio's mutex, because it is fair.
#[derive(Default)]
struct Turns(tokio::sync::Mutex<()>);

impl Turns {
    /// Waits for a turn. Never to be called by a task: it blocks.
    fn wait(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.0.try_lock().unwrap_or_else(|_| self.0.blocking_lock())
    }
}

/// A SQLite file.
pub(super) struct SqliteStore {
    file: Arc<named::NamedFile>,
    durability: Durability,
    readers: read::Readers,
    turns: Turns,
    /// Whether the tables may be so far behind the records that they lack contexts that nobody remembers.
    lags: AtomicBool,
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
        let store = Self::new(&path, durability, ANSWER_WITHIN)?;
        let mut connection = store.connect()?;
        schema::migrate(&mut connection, &path)?;
        Ok(store)
    }

    /// A file that is there, with the schema of this version.
    pub(super) fn open_existing(path: PathBuf) -> Result<Self, AuditError> {
        if !path.exists() {
            let reason = "there is no such file; `octroi serve` makes it (audit.url)".to_owned();
            return Err(AuditError::Open { path: path.display().to_string(), reason });
        }
        let store = Self::new(&path, Durability::Disk, COMMANDS_ANSWER_WITHIN)?;
        store.readers.with(|connection| schema::check(connection, &path)).map_err(|error| match error {
            AuditError::ReadOnly(said) => AuditError::ReadOnly(format!(
                "{}: {said}. Even to be read, where no gateway has it open, it needs files beside it: run this as the \
                 gateway's user",
                path.display()
            )),
            other => other,
        })?;
        // A gateway that runs, or one that was killed, leaves the search a moment behind.
        if let Err(error) = store.catch_up() {
            tracing::debug!(%error, "the last records may not be found yet");
        }
        Ok(store)
    }

    fn new(path: &Path, durability: Durability, search_within: Duration) -> Result<Self, AuditError> {
        let file = Arc::new(named::NamedFile::of(path)?);
        let readers = read::Readers::new(Arc::clone(&file), search_within);
        // What an earlier process left for later shows when the writer has looked.
        Ok(Self { file, durability, readers, turns: Turns::default(), lags: AtomicBool::new(true) })
    }

    /// Fills the tables that are searched up to the last record.
    fn catch_up(&self) -> Result<(), AuditError> {
        let connection = self.connect()?;
        let mut index = index::Index::new(&connection, &self.lags)?;
        let nodes = archive::nodes(&connection)?;
        nodes.iter().try_for_each(|node| index.catch_up(&self.turns, node.number))
    }

    /// A connection that may write.
    fn connect(&self) -> Result<Connection, AuditError> {
        let failed = |error: rusqlite::Error| AuditError::Open {
            path: self.file.path().display().to_string(),
            reason: error.to_string(),
        };
        let connection = self.file.connect(OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(LOCK_PATIENCE).map_err(failed)?;
        let synchronous = match self.durability {
            Durability::Process => "NORMAL",
            Durability::Disk => "FULL",
        };
        connection.execute_batch(&format!(
            // Checkpoints run on a thread of their own; the page cache holds the ends of all indexes.
            "PRAGMA page_size = {PAGE_BYTES}; PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous}; \
                 PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -16384; PRAGMA temp_store = MEMORY;"
        ))?;
        Ok(connection)
    }
}

impl Store for SqliteStore {
    fn enrol(&self, node: Option<&str>, role: Role) -> Result<Node, AuditError> {
        let mut connection = self.connect()?;
        // Immediate: of two processes that enrol at once, one makes the node and the other finds it.
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let (condition, value) = match node {
            Some(id) => ("id = ?", id),
            None => ("role = ?", role.as_str()),
        };
        let sql = format!("SELECT number, id, role FROM nodes WHERE {condition} ORDER BY number LIMIT 1");
        let read = |row: &rusqlite::Row<'_>| Ok((Node { number: row.get(0)?, id: row.get(1)? }, row.get(2)?));
        let found: Option<(Node, String)> = transaction.query_row(&sql, [value], read).optional()?;
        if let Some((found, its)) = found {
            return found.in_role(&its, role);
        }
        let id = node.map_or_else(new_node_id, str::to_owned);
        transaction.execute("INSERT INTO nodes (id, role) VALUES (?, ?)", [&id, role.as_str()])?;
        let number = transaction.last_insert_rowid();
        transaction.commit()?;
        Ok(Node { number, id })
    }

    fn write(&self, work: &mut dyn FnMut(&mut dyn Session)) -> Result<(), AuditError> {
        let connection = self.connect()?;
        let wal = wal::WalMover::start(self.connect()?)?;
        let mut session = session::SqliteSession::new(&connection, &self.file, wal, &self.turns, &self.lags)?;
        work(&mut session);
        drop(session);
        if self.file.check().is_err() {
            self.readers.close_idle();
            // What was acknowledged goes into the file that it was acknowledged into, whatever its name is now, and leaves
            // nothing behind that could be taken for the log of another one.
            match wal::empty(&connection) {
                Ok(true) => {}
                Ok(false) => tracing::warn!(
                    "somebody reads the audit store: its last records are in its -wal alone; keep that beside the file that \
                     it belongs to"
                ),
                Err(error) => tracing::warn!(%error, "the audit log's last pages were not moved"),
            }
        }
        Ok(())
    }

    fn search(&self, query: &Query) -> Result<Page, AuditError> {
        self.readers.search(|connection| read::search(connection, query))
    }

    fn places(&self, query: &Query, behind: Place, at_most: usize) -> Result<Vec<(i64, Place)>, AuditError> {
        self.readers.with(|connection| read::places(connection, query, behind, at_most))
    }

    fn entries(&self, places: &[Place]) -> Result<(Vec<Entry>, usize), AuditError> {
        self.readers.with(|connection| read::entries(connection, places))
    }

    fn indexed(&self, node: i64) -> Result<Place, AuditError> {
        self.readers.with(|connection| archive::indexed(connection, node))
    }

    fn lags(&self) -> bool {
        self.lags.load(Ordering::Acquire)
    }

    fn context(&self, id: &str) -> Result<Option<ContextRow>, AuditError> {
        self.readers.with(|connection| read::context(connection, id))
    }

    fn may_be_older(&self) -> bool {
        true
    }

    fn nodes(&self) -> Result<Vec<Node>, AuditError> {
        self.readers.with(archive::nodes)
    }

    fn extent(&self, node: i64) -> Result<Option<(Place, Place)>, AuditError> {
        self.readers.with(|connection| archive::extent(connection, node))
    }

    fn outline(&self, node: i64) -> Result<Outline, AuditError> {
        self.readers.with(|connection| {
            let moment = connection.unchecked_transaction()?;
            Ok((archive::checkpoints(&moment, node)?, archive::extent(&moment, node)?))
        })
    }

    fn records(&self, from: Place, to: Place, at_most: usize, texts: Texts) -> Result<Vec<StoredRecord>, AuditError> {
        self.readers.with(|connection| archive::records(connection, from, to, at_most, texts))
    }

    fn entry_rows(&self, from: Place, to: Place, at_most: usize) -> Result<Vec<EntryRow>, AuditError> {
        self.readers.with(|connection| archive::entry_rows(connection, from, to, at_most))
    }

    fn policy_rows(&self, behind: &PolicyRow, at_most: usize) -> Result<Vec<PolicyRow>, AuditError> {
        self.readers.with(|connection| archive::policy_rows(connection, behind, at_most))
    }

    fn checkpoints(&self, node: i64) -> Result<Vec<Checkpoint>, AuditError> {
        self.readers.with(|connection| archive::checkpoints(connection, node))
    }

    fn records_of(&self, id: &str) -> Result<Vec<StoredRecord>, AuditError> {
        self.readers.with(|connection| archive::records_of(connection, id))
    }

    fn records_with_id(&self, id: &str) -> Result<Vec<StoredRecord>, AuditError> {
        self.readers.with(|connection| archive::records_with_id(connection, id))
    }

    fn keep_version(&self, version: &ArchivedVersion) -> Result<(), AuditError> {
        let connection = self.connect()?;
        connection.busy_timeout(ARCHIVE_PATIENCE)?;
        versions::keep(&connection, &self.turns, version)
    }

    fn version(&self, digest: &str) -> Result<Option<ArchivedVersion>, AuditError> {
        self.readers.with(|connection| versions::find(connection, digest))
    }

    fn texts(&self, selection: &Selection, behind: Place, at_most: usize) -> Result<(Vec<Place>, Place), AuditError> {
        self.readers.with(|connection| archive::texts(connection, selection, behind, at_most))
    }
}
