//! Counters that outlive an evaluation: what rate limits and budgets are made of.
//!
//! [`CounterStore`] is what the host interface `counters` is answered from; [`InProcess`] is the store of one gateway.
//! Counters live as long as their policy is in force under its name, over all its versions.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use lru::LruCache;

/// Counters kept for one policy; a further one takes the place of the one that was not used for longest.
pub const MAX_COUNTERS: usize = 10_000;

/// Parts of a window in which additions leave it.
const STEPS: u64 = 16;
/// The part that is being filled, and those that are full.
const SLOTS: usize = STEPS as usize + 1;

/// Which counter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Counter {
    /// The policy's name.
    pub policy: String,
    /// Whether the policy's verdict does not count: its counters are others then.
    pub shadow: bool,
    /// The counter's name.
    pub name: String,
    /// How long an addition stays.
    pub window: Duration,
}

/// The store cannot answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store of counters cannot answer: {0}")]
pub struct CounterError(pub String);

/// Where counters are kept.
pub trait CounterStore: Debug + Send + Sync {
    /// Adds to a counter, and gives what it holds afterwards. Adding nothing reads it.
    fn add(&self, counter: Counter, amount: u64) -> BoxFuture<'_, Result<u64, CounterError>>;

    /// Forgets the counters of policies that are no longer in force.
    fn keep_only(&self, in_force: &dyn Fn(&str) -> bool);
}

/// The counters of one policy: by name and window, and apart for shadow.
type OfPolicy = HashMap<bool, LruCache<(String, Duration), Window>>;

/// Counters in this process' memory. They count on the clock that never goes back.
#[derive(Debug)]
pub struct InProcess {
    started: Instant,
    policies: Mutex<HashMap<String, OfPolicy>>,
}

impl Default for InProcess {
    fn default() -> Self {
        Self { started: Instant::now(), policies: Mutex::default() }
    }
}

impl InProcess {
    fn add_at(&self, now: Duration, counter: Counter, amount: u64) -> u64 {
        let Counter { policy, shadow, name, window } = counter;
        let mut policies = self.lock();
        let counters = policies.entry(policy).or_default();
        let counters = counters.entry(shadow).or_insert_with(LruCache::unbounded);
        let key = (name, window);
        if amount == 0 {
            return counters.get_mut(&key).map_or(0, |held| held.add(now, window, 0));
        }
        let held = counters.get_or_insert_mut(key, Window::default).add(now, window, amount);
        // A bounded cache would take its memory at once.
        if counters.len() > MAX_COUNTERS {
            counters.pop_lru();
        }
        held
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, OfPolicy>> {
        self.policies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CounterStore for InProcess {
    fn add(&self, counter: Counter, amount: u64) -> BoxFuture<'_, Result<u64, CounterError>> {
        let held = self.add_at(self.started.elapsed(), counter, amount);
        Box::pin(std::future::ready(Ok(held)))
    }

    fn keep_only(&self, in_force: &dyn Fn(&str) -> bool) {
        self.lock().retain(|policy, _| in_force(policy));
    }
}

/// What was added during the last window, by its parts.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    /// The number of the newest part, counted from the start of the store.
    newest: u64,
    parts: [u64; SLOTS],
}

impl Window {
    fn add(&mut self, now: Duration, window: Duration, amount: u64) -> u64 {
        let part = now.as_nanos().saturating_mul(u128::from(STEPS)) / window.as_nanos().max(1);
        let part = u64::try_from(part).unwrap_or(u64::MAX).max(self.newest);
        let passed = part - self.newest;
        for step in 1..=passed.min(SLOTS as u64) {
            self.parts[index(self.newest + step)] = 0;
        }
        self.newest = part;
        let filled = &mut self.parts[index(part)];
        *filled = filled.saturating_add(amount);
        self.parts.iter().fold(0, |sum, part| sum.saturating_add(*part))
    }
}

fn index(part: u64) -> usize {
    (part % SLOTS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter(policy: &str, name: &str) -> Counter {
        Counter { policy: policy.into(), shadow: false, name: name.into(), window: Duration::from_secs(16) }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_addition_stays_for_its_window_and_at_most_a_sixteenth_longer() {
        let store = InProcess::default();
        let requests = || counter("limit", "requests");
        assert_eq!(store.add_at(at(0), requests(), 5), 5);
        assert_eq!(store.add_at(at(10), requests(), 3), 8);
        assert_eq!(store.add_at(at(16), requests(), 0), 8, "the window is not over for the last of the first second");
        assert_eq!(store.add_at(at(17), requests(), 0), 3);
        assert_eq!(store.add_at(at(26), requests(), 1), 4);
        assert_eq!(store.add_at(at(27), requests(), 0), 1);
        assert_eq!(store.add_at(at(1_000_000), requests(), 2), 2, "however long nobody asked");
    }

    #[test]
    fn sums_end_at_the_largest_number() {
        let store = InProcess::default();
        assert_eq!(store.add_at(at(0), counter("limit", "tokens"), u64::MAX), u64::MAX);
        assert_eq!(store.add_at(at(5), counter("limit", "tokens"), u64::MAX), u64::MAX);
    }

    #[test]
    fn policies_names_windows_and_shadows_are_counted_apart() {
        let store = InProcess::default();
        store.add_at(at(0), counter("limit", "requests"), 1);
        for other in [
            counter("budget", "requests"),
            counter("limit", "tokens"),
            Counter { window: at(60), ..counter("limit", "requests") },
            Counter { shadow: true, ..counter("limit", "requests") },
        ] {
            assert_eq!(store.add_at(at(0), other.clone(), 0), 0, "{other:?}");
        }
        assert_eq!(store.add_at(at(0), counter("limit", "requests"), 0), 1);
    }

    #[test]
    fn the_counter_that_was_not_used_for_longest_makes_room() {
        let store = InProcess::default();
        let most = MAX_COUNTERS;
        for number in 0..most {
            store.add_at(at(0), counter("limit", &number.to_string()), 1);
        }
        // Reading is a use; reading what is not there takes no place.
        assert_eq!(store.add_at(at(0), counter("limit", "0"), 0), 1);
        assert_eq!(store.add_at(at(0), counter("limit", "nobody"), 0), 0);
        store.add_at(at(0), counter("limit", "newcomer"), 1);
        assert_eq!(store.add_at(at(0), counter("limit", "0"), 0), 1);
        assert_eq!(store.add_at(at(0), counter("limit", "1"), 0), 0, "it made room");
        assert_eq!(store.add_at(at(0), counter("limit", "2"), 0), 1);
    }

    #[test]
    fn counters_go_with_their_policy() {
        let store = InProcess::default();
        store.add_at(at(0), counter("limit", "requests"), 1);
        store.add_at(at(0), counter("budget", "requests"), 1);
        store.keep_only(&|policy| policy == "budget");
        assert_eq!(store.add_at(at(0), counter("limit", "requests"), 0), 0);
        assert_eq!(store.add_at(at(0), counter("budget", "requests"), 0), 1);
    }
}
