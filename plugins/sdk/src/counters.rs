//! Counters that outlive an evaluation. The manifest must grant them: `capabilities: [counters]`.
//!
//! A counter holds what was added to it during the last window. Each policy has its own; a reload keeps them, and a policy
//! in shadow counts apart. What they answered stands in the record of the request; a case states it (`readings: {
//! counters: { "requests/helpdesk": 101 } }`). Names have 1 to 128 bytes, windows whole seconds, up to 366 days. On the
//! host, in tests, counters are this thread's and never forget.

use std::time::Duration;

/// Adds to a counter, and gives what it holds now, this addition included.
pub fn add(name: &str, amount: u64, window: Duration) -> u64 {
    host::add(name, amount, window.as_secs())
}

/// What a counter holds; 0 if nothing was added.
#[must_use]
pub fn read(name: &str, window: Duration) -> u64 {
    host::read(name, window.as_secs())
}

#[cfg(target_arch = "wasm32")]
use crate::bindings::granted::octroi::policy::counters as host;

#[cfg(not(target_arch = "wasm32"))]
mod host {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    thread_local! {
        static HELD: RefCell<BTreeMap<(String, u64), u64>> = const { RefCell::new(BTreeMap::new()) };
    }

    pub(super) fn add(name: &str, amount: u64, window_seconds: u64) -> u64 {
        HELD.with_borrow_mut(|held| {
            let value = held.entry((name.to_owned(), window_seconds)).or_default();
            *value = value.saturating_add(amount);
            *value
        })
    }

    pub(super) fn read(name: &str, window_seconds: u64) -> u64 {
        HELD.with_borrow(|held| held.get(&(name.to_owned(), window_seconds)).copied().unwrap_or_default())
    }
}
