//! The audit trail: what was asked, what was decided and by which policy, and what came of it.
//!
//! This module owns the records, the one thread that writes them, the store, the search and the contexts of gateway
//! mode. A record whose append has returned is durable; one that cannot be written is answered with an error, never
//! dropped. It never decides about a request, never runs a policy (text comes here as the audit policies left it), never
//! changes a record, and knows nothing of HTTP or of the rest of the gateway.
//!
//! ```text
//! reserve_request -> intent ----\                     /-> records, checkpoints  (appended, chained, never changed)
//!                    outcome ----> queue -> writer ---+-> contents              (texts; may be erased)
//! append          -> pre-check -/    one transaction   |
//!                                       a moment later |-> contexts              (looked up)
//!                                                      \-> entries               (searched)
//! archive -------------------------------------------> versions              (of policies, once each)
//! ```

mod chain;
mod checkpoint;
mod contexts;
mod entry;
mod erase;
mod error;
mod export;
mod journal;
mod kept;
mod key;
mod log;
mod node_id;
mod queue;
mod reader;
pub mod record;
mod row;
mod search;
mod settings;
mod store;
mod text_rule;
mod trail_text;
mod verify;
mod verify_entries;
mod verify_unsigned;
mod version;
mod writer;

#[cfg(test)]
mod tests;

pub use crate::config::{AuditStore, CheckpointEvery, DatabaseUrl, Durability};
pub use chain::{ChainHash, Head, Seq};
pub use checkpoint::{Checkpoint, CheckpointKind};
pub use entry::Entry;
pub use erase::{ErasureOrder, Selection, erase};
pub use error::AuditError;
pub use export::{ExportError, ExportOptions, VerifiedExport, export, verify_export};
pub use journal::damaged_copies;
pub(crate) use journal::is_left_behind;
pub use kept::Made;
pub use key::{AuditKey, PublicKey};
pub use log::AuditLog;
pub use node_id::kept_node_id;
pub use queue::{OutcomePermit, Receipt, RecordPermit, RequestPermit};
pub use reader::{AuditReader, ChainInfo, Item, TrailRecord};
pub use record::Record;
pub use row::ContextRow;
pub use search::{Entries, Page, Query};
pub use settings::{Settings, SpillTo};
pub use store::Texts;
pub use text_rule::ContentMode;
pub use trail_text::TrailText;
pub use verify::{Begins, ChainVerifier, Misfit, TextVerifier, Verified, VerifiedTexts};
pub use verify_entries::EntryVerifier;
pub use verify_unsigned::TakenOver;
pub use version::ArchivedVersion;
pub use writer::Keep;
