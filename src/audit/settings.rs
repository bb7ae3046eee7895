//! What the audit log is opened with.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::AuditError;
use super::key::AuditKey;
use super::text_rule::ContentMode;
use super::writer::Keep;

/// How much a record has survived when its append returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Committed to the write-ahead log: survives `kill -9` of the gateway, not a power cut.
    #[default]
    Process,
    /// Flushed to the device before the answer: survives a power cut.
    Disk,
}

/// How often the chain's head is signed. Whichever comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckpointEvery {
    /// After so many records.
    pub records: u64,
    /// So long after the first record that is not signed yet.
    pub interval: Duration,
}

impl Default for CheckpointEvery {
    fn default() -> Self {
        Self { records: 1_000, interval: Duration::from_secs(60) }
    }
}

/// How to open an [`AuditLog`](super::AuditLog).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where the records go: `sqlite://relative/file.db` or `sqlite:///absolute/file.db`.
    pub url: String,
    /// What a returned append promises.
    pub durability: Durability,
    /// The most records that are promised or waiting at once. A request holds two slots from its acceptance, one of
    /// them until its outcome is durable, so this also bounds the requests in flight. At least 2.
    pub queue: usize,
    /// Whose chain the records belong to; `None`: the store's own name for its one gateway, made once.
    pub node: Option<String>,
    /// Signs checkpoints and digests texts.
    pub key: AuditKey,
    /// How much text is stored.
    pub content: ContentMode,
    /// How often the chain is signed.
    pub checkpoint: CheckpointEvery,
    /// Where records go that the store does not take; `None`: they are refused.
    pub spill: Option<SpillTo>,
    /// Where they went while that was otherwise: nothing is opened or erased while some wait there.
    pub left_journal: Option<PathBuf>,
    /// How long records are kept.
    pub keep: Keep,
}

/// A journal for records that the store does not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpillTo {
    /// The file, on a local disk.
    pub file: PathBuf,
    /// The most bytes that wait in it; beyond it records are refused. On disk it may take twice as much for a while.
    pub size: u64,
}

impl Settings {
    /// The journal in which records may wait.
    pub fn journal(&self) -> Option<&Path> {
        self.spill.as_ref().map(|spill| spill.file.as_path()).or(self.left_journal.as_deref())
    }

    /// Room for 8,192 requests in flight.
    pub const DEFAULT_QUEUE: usize = 16_384;

    /// The given store, a key that is kept nowhere, and defaults.
    pub fn new(url: impl Into<String>) -> Result<Self, AuditError> {
        Ok(Self {
            url: url.into(),
            durability: Durability::default(),
            queue: Self::DEFAULT_QUEUE,
            node: None,
            key: AuditKey::random()?,
            content: ContentMode::default(),
            checkpoint: CheckpointEvery::default(),
            spill: None,
            left_journal: None,
            keep: Keep::default(),
        })
    }
}
