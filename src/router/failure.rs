//! A provider's failure, and when it came: what it said about when to come again is counted from then.

use std::time::Duration;

use tokio::time::Instant;

use crate::provider::{ErrorKind, ProviderError};

/// A failure of an attempt.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) error: ProviderError,
    at: Instant,
}

impl Failure {
    /// It comes now.
    pub(super) fn new(error: ProviderError) -> Self {
        Self { error, at: Instant::now() }
    }

    /// How long ago it came.
    pub(super) fn age(&self) -> Duration {
        self.at.elapsed()
    }

    /// When the provider may be asked again, as far as it has said so.
    pub(super) fn again(&self) -> Option<Instant> {
        // No hint is longer than a day.
        self.error.retry_after().map(|hint| self.at + hint)
    }

    /// Whether it passes by itself.
    pub(super) fn passes(&self) -> bool {
        self.error.retryable() || self.error.kind() == ErrorKind::Timeout
    }

    /// Of two failures the one that passes by itself, and of two such that say when the one that passes first; else the later.
    pub(super) fn or_milder(self, before: Self) -> Self {
        let is_before = match (before.passes(), self.passes()) {
            (true, true) => before.again().zip(self.again()).is_some_and(|(before, later)| before < later),
            (before, later) => before && !later,
        };
        if is_before { before } else { self }
    }

    /// As it is told now.
    pub(super) fn told(self) -> ProviderError {
        let hint = self.again().map(|again| again.saturating_duration_since(Instant::now()));
        self.error.with_retry_after(hint)
    }
}
