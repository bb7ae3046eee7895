//! `routing.retry` and `routing.breaker`: what is made of calls that fail.

use std::time::Duration;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize};

use super::scalar::{Parsed, Span, Whole};

/// How often a failed call is tried again.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Retry {
    /// Calls that one request may cost, over all providers.
    pub attempts: u32,
    /// The longest wait before a retry; an upstream that asks for a longer one is not waited for.
    pub max_wait: Duration,
    /// Retries for each request of a provider, over time.
    pub budget: f64,
}

/// When a provider that keeps failing for a model is left in peace.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Breaker {
    /// So many failures in a row open it.
    pub failures: u32,
    /// So long it lets nothing pass.
    pub open_for: Duration,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawRetry {
    attempts: Option<Whole<1, 10>>,
    max_wait: Option<Parsed<Span<0, 600_000>>>,
    budget: Option<Share>,
}

impl RawRetry {
    pub(super) fn assemble(self) -> Retry {
        Retry {
            attempts: self.attempts.map_or(3, Whole::get),
            max_wait: self.max_wait.map_or(Duration::from_secs(10), |Parsed(Span(wait))| wait),
            budget: self.budget.map_or(0.2, |Share(budget)| budget),
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
        Breaker {
            failures: self.failures.map_or(5, Whole::get),
            open_for: self.open_for.map_or(Duration::from_secs(10), |Parsed(Span(open_for))| open_for),
        }
    }
}

/// Retries for one request.
#[derive(Clone, Copy, Debug)]
struct Share(f64);

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_f64(ShareVisitor)
    }
}

struct ShareVisitor;

impl Visitor<'_> for ShareVisitor {
    type Value = Share;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a number from 0 to 10")
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Share, E> {
        let share = (0.0..=10.0).contains(&value).then_some(Share(value));
        share.ok_or_else(|| E::invalid_value(serde::de::Unexpected::Float(value), &self))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Share, E> {
        let share = (0..=10).contains(&value).then_some(Share(value as f64));
        share.ok_or_else(|| E::invalid_value(serde::de::Unexpected::Signed(value), &self))
    }
}
