//! What `GET /metrics` shows as JSON: counts and percentiles since the start.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::meter;

/// How a request of an application ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// As it was meant to.
    Success,
    /// Refused by a policy.
    Blocked,
    /// Any other way: the caller's error, the provider's or the gateway's.
    Error,
}

impl Ending {
    /// The label in metrics.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Blocked => "blocked",
            Self::Error => "error",
        }
    }
}

/// Counts and latencies, by kind of request. Kinds are words of this program, so their number is bounded.
#[derive(Debug, Default)]
pub(super) struct Stats {
    kinds: Mutex<BTreeMap<&'static str, Kind>>,
    errors_in_a_row: AtomicU64,
}

#[derive(Debug)]
struct Kind {
    success: u64,
    blocked: u64,
    error: u64,
    /// In microseconds; `None` would be a bound that the histogram does not take.
    latency: Option<Histogram<u32>>,
    /// The same for Prometheus.
    requests: meter::Requests,
}

impl Default for Kind {
    fn default() -> Self {
        // Two digits from a microsecond to a quarter of an hour: some 20 kB.
        let latency = Histogram::new_with_bounds(1, 900_000_000, 2).ok();
        Self { success: 0, blocked: 0, error: 0, latency, requests: meter::Requests::default() }
    }
}

impl Kind {
    fn total(&self) -> u64 {
        self.success + self.blocked + self.error
    }
}

/// Percentiles in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Latency {
    pub(super) p50_ms: f64,
    pub(super) p95_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) avg_latency_ms: f64,
}

/// What is known of one kind, or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Summary {
    pub(super) total_requests: u64,
    pub(super) success_requests: u64,
    pub(super) failed_requests: u64,
    pub(super) blocked_requests: u64,
    #[serde(flatten)]
    pub(super) latency: Latency,
}

impl Stats {
    /// Counts one request.
    pub(super) fn record(&self, name: &'static str, ending: Ending, elapsed: Duration) {
        match ending {
            Ending::Error => self.errors_in_a_row.fetch_add(1, Ordering::Relaxed),
            _ => self.errors_in_a_row.swap(0, Ordering::Relaxed),
        };
        let mut kinds = self.lock();
        let kind = kinds.entry(name).or_default();
        kind.requests.count(name, ending, elapsed);
        match ending {
            Ending::Success => kind.success += 1,
            Ending::Blocked => kind.blocked += 1,
            Ending::Error => kind.error += 1,
        }
        if let Some(latency) = &mut kind.latency {
            latency.saturating_record(u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX));
        }
    }

    /// Requests that ended in an error since the last that did not.
    pub(super) fn errors_in_a_row(&self) -> u64 {
        self.errors_in_a_row.load(Ordering::Relaxed)
    }

    /// All requests, and each kind that was seen.
    pub(super) fn summaries(&self) -> (Summary, BTreeMap<&'static str, Summary>) {
        let kinds = self.lock();
        let mut all = Kind::default();
        for kind in kinds.values() {
            all.success += kind.success;
            all.blocked += kind.blocked;
            all.error += kind.error;
            if let (Some(sum), Some(latency)) = (&mut all.latency, &kind.latency) {
                // Both have the same bounds.
                let _ = sum.add(latency);
            }
        }
        (summary(&all), kinds.iter().map(|(name, kind)| (*name, summary(kind))).collect())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Kind>> {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn summary(kind: &Kind) -> Summary {
    let latency = kind.latency.as_ref().filter(|it| !it.is_empty()).map(|latency| {
        let at = |quantile| milliseconds(latency.value_at_quantile(quantile) as f64);
        Latency { p50_ms: at(0.5), p95_ms: at(0.95), p99_ms: at(0.99), avg_latency_ms: milliseconds(latency.mean()) }
    });
    Summary {
        total_requests: kind.total(),
        success_requests: kind.success,
        failed_requests: kind.error,
        blocked_requests: kind.blocked,
        latency: latency.unwrap_or_default(),
    }
}

/// Microseconds as milliseconds, to the microsecond.
fn milliseconds(microseconds: f64) -> f64 {
    microseconds.round() / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_kind_and_together() {
        let stats = Stats::default();
        for milliseconds in 1..=100 {
            stats.record("chat", Ending::Success, Duration::from_millis(milliseconds));
        }
        stats.record("pre-check", Ending::Blocked, Duration::from_micros(80));
        stats.record("pre-check", Ending::Error, Duration::from_secs(1_000_000));
        stats.record("pre-check", Ending::Error, Duration::ZERO);
        let (all, kinds) = stats.summaries();
        assert_eq!(
            (all.total_requests, all.success_requests, all.blocked_requests, all.failed_requests),
            (103, 100, 1, 2)
        );
        assert_eq!(kinds["chat"].total_requests, 100);
        assert!((kinds["chat"].latency.p50_ms - 50.0).abs() < 1.0, "{kinds:?}");
        assert!((kinds["chat"].latency.p99_ms - 99.0).abs() < 1.0, "{kinds:?}");
        assert!((kinds["chat"].latency.avg_latency_ms - 50.5).abs() < 1.0, "{kinds:?}");
        assert_eq!(stats.errors_in_a_row(), 2);
        stats.record("chat", Ending::Success, Duration::ZERO);
        assert_eq!(stats.errors_in_a_row(), 0);
    }

    #[test]
    fn nothing_yet_is_zero() {
        assert_eq!(Stats::default().summaries(), (Summary::default(), BTreeMap::new()));
    }
}
