//! Whether a failed call is tried again at the same provider, and when.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::config::Retry;
use crate::provider::{ErrorKind, ProviderError};

/// The wait before the first retry, before jitter; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(200);

/// No wait that nobody asked for is longer.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// So many retries a provider may have in advance, and may save up.
const RESERVE: f64 = 10.0;

impl Retry {
    /// The wait before a failed call is tried again, if it is worth it: `failures` is how often this provider has failed
    /// for this request, `age` how long ago it did so last, since it may have been left for others.
    pub(super) fn wait(&self, error: &ProviderError, failures: u32, age: Duration) -> Option<Duration> {
        if !error.retryable() {
            return None;
        }
        let backoff = FIRST_WAIT.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(LONGEST_WAIT);
        // From half the wait to the whole of it, so that those who failed together do not come back together.
        let backoff = backoff.mul_f64(0.5 + fastrand::f64() / 2.0);
        match error.retry_after() {
            Some(hint) if hint.saturating_sub(age) > self.max_wait => None,
            Some(hint) => Some((hint + backoff).saturating_sub(age)),
            None => Some(backoff.min(self.max_wait).saturating_sub(age)),
        }
    }
}

/// Whether somebody else is asked sooner than the provider that failed so can be asked again.
pub(super) fn is_sooner_elsewhere(error: &ProviderError) -> bool {
    let has_no_room = matches!(error.kind(), ErrorKind::RateLimited | ErrorKind::CapacityExceeded);
    has_no_room || error.retry_after().is_some()
}

/// Bounds the share of retries among a provider's calls, so that retries do not keep down what is already down.
#[derive(Debug)]
pub(crate) struct Budget {
    each: f64,
    left: Mutex<f64>,
}

impl Budget {
    pub(crate) fn new(each: f64) -> Self {
        Self { each, left: Mutex::new(RESERVE) }
    }

    /// A request comes to the provider.
    pub(crate) fn earn(&self) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        *left = (*left + self.each).min(RESERVE);
    }

    /// Takes one retry, if there is one.
    pub(crate) fn spend(&self) -> bool {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let enough = *left >= 1.0;
        if enough {
            *left -= 1.0;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(kind: ErrorKind, hint: Option<u64>) -> ProviderError {
        ProviderError::new(kind, "no").with_retry_after(hint.map(Duration::from_secs))
    }

    #[test]
    fn waits_grow_and_are_drawn() {
        let error = failed(ErrorKind::UpstreamFailed, None);
        for (failures, longest) in [(1, 200), (2, 400), (3, 800), (6, 5_000), (u32::MAX, 5_000)] {
            let longest = Duration::from_millis(longest);
            let wait = |_| Retry::default().wait(&error, failures, Duration::ZERO);
            let waits: Vec<_> = (0..50).filter_map(wait).collect();
            assert_eq!(waits.len(), 50);
            assert!(waits.iter().all(|wait| (longest / 2..=longest).contains(wait)), "{waits:?}");
            assert!(waits.iter().any(|wait| *wait != waits[0]));
        }
    }

    #[test]
    fn only_what_may_be_retried_is() {
        for kind in ErrorKind::ALL {
            let wait = Retry::default().wait(&failed(*kind, None), 1, Duration::ZERO);
            assert_eq!(wait.is_some(), kind.retryable(), "{kind:?}");
        }
    }

    #[test]
    fn a_hint_is_a_lower_bound_and_too_long_a_one_is_not_waited_for() {
        let wait = |hint, age| {
            let error = failed(ErrorKind::RateLimited, Some(hint));
            Some(Retry::default().wait(&error, 1, Duration::from_secs(age))?.as_millis())
        };
        // With half to all of the first wait.
        for (hint, age, at_least) in [(2, 0, 2_000), (0, 0, 1), (12, 3, 9_000)] {
            let wait = wait(hint, age).unwrap();
            assert!((at_least..=at_least + 200).contains(&wait), "{hint} {age}: {wait}");
        }
        assert_eq!((wait(11, 0), wait(4, 5), wait(12, 14)), (None, Some(0), Some(0)));
    }

    #[test]
    fn who_has_no_room_is_not_waited_for_where_another_can_be_asked() {
        for kind in ErrorKind::ALL.iter().filter(|kind| kind.retryable()) {
            let goes = matches!(kind, ErrorKind::RateLimited | ErrorKind::CapacityExceeded);
            assert_eq!(is_sooner_elsewhere(&failed(*kind, None)), goes, "{kind:?}");
            assert!(is_sooner_elsewhere(&failed(*kind, Some(2))), "{kind:?}");
        }
    }

    #[test]
    fn a_budget_bounds_the_share_of_retries() {
        let budget = Budget::new(0.2);
        assert_eq!((0..100).filter(|_| budget.spend()).count(), 10);
        let retried = (0..1_000).filter(|_| {
            budget.earn();
            budget.spend()
        });
        // One in five, less what binary fractions lose.
        assert!((190..=200).contains(&retried.count()));
    }
}
