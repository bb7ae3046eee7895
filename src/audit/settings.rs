//! What the audit log is opened with.

use std::path::{Path, PathBuf};

use super::erase::OPERATOR;
use super::key::AuditKey;
use super::text_rule::ContentMode;
use super::writer::Keep;
use super::{AuditError, journal, store};
use crate::config::{AUDIT_QUEUE, AuditStore, CheckpointEvery, Durability};

/// How to open an [`AuditLog`](super::AuditLog).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where the records go.
    pub store: AuditStore,
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

    /// Whether a gateway may be opened with this, as far as that can be told by a look at the journal. Changes nothing.
    pub fn check(&self) -> Result<(), AuditError> {
        if self.node.as_deref() == Some(OPERATOR) {
            return Err(AuditError::Settings(format!(
                "audit.node: `{OPERATOR}` is the name of the chain of erasures in every store; take another one"
            )));
        }
        store::check(&self.store)?;
        match (&self.spill, &self.left_journal) {
            (Some(spill), _) => journal::Journal::look(&spill.file),
            (None, Some(left)) if journal::is_left_behind(left) => Err(AuditError::Spill(format!(
                "{} holds records that are not in the store, and would stay there: start with `audit.on_failure: spill` \
                 until it is empty",
                left.display()
            ))),
            (None, _) => Ok(()),
        }
    }

    /// The given store, a key that is kept nowhere, and defaults.
    pub fn new(store: AuditStore) -> Result<Self, AuditError> {
        Ok(Self {
            store,
            durability: Durability::default(),
            queue: AUDIT_QUEUE,
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
