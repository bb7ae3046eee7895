//! What can go wrong with the audit log.

use thiserror::Error;

use crate::line;

/// An error of the audit log. It is cloned to every waiter of a failed transaction.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum AuditError {
    /// Too many records wait to be written, or too many requests are in flight.
    #[error("the audit store cannot keep up; try again later")]
    Overloaded,
    /// Too much is being read.
    #[error("the audit store is being read by others; try again shortly")]
    Busy,
    /// The log was shut down, or its writer ended.
    #[error("the audit log is closed")]
    Closed,
    /// The settings name no usable store.
    #[error("{0}")]
    Settings(String),
    /// The key is missing or wrong.
    #[error("audit key: {0}")]
    Key(String),
    /// Somebody else appended to this node's chain.
    #[error("another process writes records as this node: stop it, or give one of them another `audit.node`")]
    ChainMoved,
    /// The store could not be opened.
    #[error("cannot open the audit store {path}: {reason}")]
    Open {
        /// The database file.
        path: String,
        /// What the system or the database said.
        reason: String,
    },
    /// A newer version of the gateway wrote the store.
    #[error(
        "the audit store {path} has schema {found}, this version knows schemas up to {known}; start the version that \
         wrote it, or name another file in `audit.url`"
    )]
    NewerSchema {
        /// The database file.
        path: String,
        /// The schema that was found.
        found: i64,
        /// The newest schema that this version knows.
        known: i64,
    },
    /// An older version of the gateway wrote the store.
    #[error(
        "the audit store {path} has schema {found} and this version reads schema {known}; a start of the gateway \
             brings it up to date"
    )]
    OlderSchema {
        /// The database file.
        path: String,
        /// The schema that was found.
        found: i64,
        /// The schema of this version.
        known: i64,
    },
    /// The file is a database of another program.
    #[error("{path} is a database of another program; name another file in `audit.url`")]
    ForeignFile {
        /// The database file.
        path: String,
    },
    /// The spill journal cannot take or give records.
    #[error("the audit's spill journal {0}")]
    Spill(String),
    /// The database does not answer.
    #[error("the audit database does not answer: {0}")]
    Unreachable(String),
    /// There is no store.
    #[error("nothing is recorded (audit.url: none), so there is nothing to read")]
    Off,
    /// Records were removed while they were read.
    #[error("records of {node} were removed (audit.retention) while they were read: once more")]
    Removed {
        /// The chain.
        node: String,
    },
    /// Another process holds the database's write lock.
    #[error("the audit store is locked by another process")]
    Locked,
    /// The disk is full.
    #[error("no space is left for the audit store")]
    DiskFull,
    /// The file may not be written.
    #[error("the audit store cannot be written: {0}")]
    ReadOnly(String),
    /// Reading or writing the file failed.
    #[error("the audit store's file failed: {0}")]
    Io(String),
    /// The database is damaged.
    #[error("the audit store is damaged: {0}")]
    Corrupt(String),
    /// A record of that id is there already.
    #[error("the audit store already has a record for {id}")]
    Duplicate {
        /// The request, context or audit id.
        id: String,
    },
    /// An outcome came for a request that has no intent.
    #[error("the audit store has no intent of request {id}")]
    NoIntent {
        /// The request id.
        id: String,
    },
    /// A search asks for something that cannot be.
    #[error("{field}: {reason}")]
    Query {
        /// The parameter at fault.
        field: &'static str,
        /// What is allowed.
        reason: String,
    },
    /// A record could not be turned into JSON, or a stored one could not be read.
    #[error("an audit record cannot be encoded or decoded: {0}")]
    Encoding(String),
    /// Anything else that the store reported.
    #[error("the audit store failed: {0}")]
    Store(String),
}

impl AuditError {
    /// The stable name of this kind of error: the label in metrics and the field in HTTP bodies.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Overloaded => "audit_overloaded",
            Self::Busy => "audit_busy",
            Self::Closed => "audit_closed",
            Self::Settings(_) => "audit_settings",
            Self::Key(_) => "audit_key",
            Self::ChainMoved => "audit_chain_moved",
            Self::Open { .. } => "audit_open",
            Self::NewerSchema { .. } => "audit_newer_schema",
            Self::OlderSchema { .. } => "audit_older_schema",
            Self::ForeignFile { .. } => "audit_foreign_file",
            Self::Spill(_) => "audit_spill",
            Self::Unreachable(_) => "audit_unreachable",
            Self::Off => "audit_off",
            Self::Removed { .. } => "audit_removed",
            Self::Locked => "audit_locked",
            Self::DiskFull => "audit_disk_full",
            Self::ReadOnly(_) => "audit_read_only",
            Self::Io(_) => "audit_io",
            Self::Corrupt(_) => "audit_corrupt",
            Self::Duplicate { .. } => "audit_duplicate",
            Self::NoIntent { .. } => "audit_no_intent",
            Self::Query { .. } => "audit_query",
            Self::Encoding(_) => "audit_encoding",
            Self::Store(_) => "audit_store",
        }
    }

    /// Whether one record is at fault and its neighbours in the same transaction are not.
    pub(crate) fn is_of_one_record(&self) -> bool {
        matches!(self, Self::Duplicate { .. } | Self::NoIntent { .. } | Self::Encoding(_) | Self::Store(_))
    }

    /// Whether a store that has what it has will never take the record.
    pub(crate) fn is_for_good(&self) -> bool {
        matches!(self, Self::Duplicate { .. } | Self::NoIntent { .. })
    }

    /// Whether the store may have the records all the same, and a new connection will tell.
    pub(crate) fn leaves_it_open(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Io(_))
    }

    /// Whether the connection that reported this is to be replaced by a new one.
    pub(crate) fn ends_the_connection(&self) -> bool {
        matches!(
            self,
            Self::Unreachable(_)
                | Self::Open { .. }
                | Self::ReadOnly(_)
                | Self::Io(_)
                | Self::Corrupt(_)
                | Self::Store(_)
        )
    }
}

impl From<line::Busy> for AuditError {
    fn from(_: line::Busy) -> Self {
        Self::Busy
    }
}
