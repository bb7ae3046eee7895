//! The time of day. The manifest must grant it: `capabilities: [clock]`.
//!
//! One reading an evaluation, and it stands in the record of the request. A case states it (`readings: { clock:
//! 2026-01-01T00:00:00Z }`). Do not ask in `configure`: the load is refused. On the host, in tests, it is the machine's.

use std::time::{Duration, SystemTime};

/// What time it is, to the millisecond: the same however often an evaluation asks.
#[must_use]
pub fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(milliseconds())
}

#[cfg(target_arch = "wasm32")]
fn milliseconds() -> u64 {
    crate::bindings::granted::octroi::policy::clock::now()
}

#[cfg(not(target_arch = "wasm32"))]
fn milliseconds() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
