//! Old decisions, taken again: one to see whether it comes out as it did ([`reproduce`]), many to see what another policy
//! would have said ([`replay`]).
//!
//! It reads records and evaluates in the gateway's own sandbox. It writes nothing, calls no model, and takes no place
//! that a request could need: it is for commands.

mod compare;
mod judged;
mod replayed;
mod report;
mod reproduce;
mod spans;

use crate::audit::AuditError;

pub use replayed::{Candidates, Progress, ReplayOptions, replay};
pub use report::{Change, Example, Figures, Group, Report, Unasked};
pub use reproduce::{Recomputed, Reproduced, ReproducedPolicy, reproduce};

/// Nothing could be taken again.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The store could not be read, or a record not understood.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The machine gave no threads.
    #[error("the evaluations could not be started: {0}")]
    Io(#[from] std::io::Error),
    /// A fault of ours.
    #[error("an evaluation ended without an answer; this is a fault of octroi")]
    Internal,
}
