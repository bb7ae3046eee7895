//! `routing.retry` and `routing.breaker`: what is made of calls that fail.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::scalar::{Parsed, Share, Span, Whole};

/// How often a failed call is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Retry {
    /// Calls that one request may cost, over all providers.
    pub attempts: u32,
    /// The longest wait before a retry; an upstream that asks for a longer one is not waited for.
    pub max_wait: Duration,
    /// Retries for each request of a provider, over time.
    pub budget: f64,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 3, max_wait: Duration::from_secs(10), budget: 0.2 }
    }
}

/// When a provider that keeps failing for a model is left in peace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Breaker {
    /// So many failures in a row open it.
    pub failures: u32,
    /// So long it lets nothing pass.
    pub open_for: Duration,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { failures: 5, open_for: Duration::from_secs(10) }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawRetry {
    attempts: Option<Whole<1, 10>>,
    max_wait: Option<Parsed<Span<0, 600_000>>>,
    budget: Option<Share<10>>,
}

impl RawRetry {
    pub(super) fn assemble(self) -> Retry {
        let default = Retry::default();
        Retry {
            attempts: self.attempts.map_or(default.attempts, Whole::get),
            max_wait: self.max_wait.map_or(default.max_wait, |Parsed(Span(wait))| wait),
            budget: self.budget.map_or(default.budget, |Share(budget)| budget),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawBreaker {
    failures: Option<Whole<1, 1_000>>,
    open_for: Option<Parsed<Span<100, 600_000>>>,
}

impl RawBreaker {
    pub(super) fn assemble(self) -> Breaker {
        let default = Breaker::default();
        Breaker {
            failures: self.failures.map_or(default.failures, Whole::get),
            open_for: self.open_for.map_or(default.open_for, |Parsed(Span(open_for))| open_for),
        }
    }
}
