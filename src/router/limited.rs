//! A provider that has said for how long it takes no more: others are asked first until then.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::provider::{ErrorKind, ProviderError};

/// Where a refusal for the rate does not say when to come again.
const UNSAID: Duration = Duration::from_secs(1);

/// No provider stands behind for longer without being asked again.
const LONGEST: Duration = Duration::from_secs(60);

/// Until when one provider is over its limit.
#[derive(Debug, Default)]
pub(super) struct Limited(Mutex<Option<Instant>>);

impl Limited {
    /// A call failed; only a refusal for the rate says something.
    pub(super) fn failed(&self, error: &ProviderError, now: Instant) {
        if error.kind() == ErrorKind::RateLimited {
            let wait = error.retry_after().unwrap_or(UNSAID).min(LONGEST);
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(now + wait);
        }
    }

    /// A call was answered.
    pub(super) fn answered(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(super) fn holds(&self, now: Instant) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|until| until > now)
    }
}
