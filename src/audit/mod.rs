//! The audit trail: what was asked, what was decided and by which policy, and what came of it.
//!
//! This module owns the records, the one thread that writes them, the store, the search and the contexts of gateway
//! mode. A record whose append has returned is durable; one that cannot be written is answered with an error, never
//! dropped. It never decides about a request, never runs a policy (text comes here as the audit policies left it), never
//! changes a record, and knows nothing of HTTP or of the rest of the gateway.
//!
//! ```text
//! reserve_request -> intent ----\                     /-> records   (appended, never changed)
//!                    outcome ----> queue -> writer ---+-> entries   (searched)
//! append          -> pre-check -/    one transaction  \-> contexts  (looked up)
//! ```

mod contexts;
mod entry;
mod error;
mod log;
mod queue;
pub mod record;
mod row;
mod search;
mod settings;
mod store;
mod writer;

#[cfg(test)]
mod tests;

pub use entry::Entry;
pub use error::AuditError;
pub use log::AuditLog;
pub use queue::{OutcomePermit, Receipt, RecordPermit, RequestPermit, Seq};
pub use record::Record;
pub use row::ContextRow;
pub use search::{Page, Query};
pub use settings::{Durability, Settings};
