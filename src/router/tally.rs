//! What a provider was asked so far, for people who look.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

/// Counts of one provider since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls, retries included.
    pub requests: u64,
    /// Those that failed, streams that broke off among them.
    pub errors: u64,
    /// The time of all calls together; of a stream, to its first event.
    pub elapsed: Duration,
    /// When the last one ended.
    pub last_used: Option<Timestamp>,
}

impl Counts {
    /// The time of a call, on average.
    pub fn average(&self) -> Duration {
        self.elapsed.checked_div(u32::try_from(self.requests).unwrap_or(u32::MAX)).unwrap_or_default()
    }
}

/// The counts of one provider, shared by requests. The lock is held for a few assignments only.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<Counts>);

impl Tally {
    pub(super) fn count(&self, failed: bool, elapsed: Duration) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.requests += 1;
        counts.errors += u64::from(failed);
        counts.elapsed = counts.elapsed.saturating_add(elapsed);
        counts.last_used = Some(Timestamp::now());
    }

    /// A call that was counted as answered has failed on its way to the end.
    pub(super) fn broke(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).errors += 1;
    }

    pub(super) fn read(&self) -> Counts {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
