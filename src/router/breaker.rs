//! Breakers: a provider that keeps failing for a model is left in peace for it, and tried again by one call at a time.
//!
//! Health speaks of a provider as a whole and is told by probes too; a breaker speaks of one model and one task and
//! listens to its calls alone, since a provider's list of models may answer while a model does not.
//!
//! A breaker that is closed and has seen no failure is not kept, so the table grows with failing models only, and is
//! bounded.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::meter;
use crate::chat::Task;
use crate::config::{self, Tenants};

/// So many models of one provider are kept at most; the one that failed longest ago makes room.
const MODELS: usize = 256;

/// A trial that takes longer keeps nobody else from trying.
const TRIAL: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Everything passes.
    Closed,
    /// Nothing passes, until then.
    Open { until: Instant },
    /// One call is on its way, since then.
    HalfOpen { since: Instant },
}

#[derive(Debug)]
struct Breaker {
    phase: Phase,
    failures: u32,
    failed: Instant,
    /// The one tenant whose requests failed; `None` where it is open for all.
    of: Option<String>,
    /// Failures of others in a row while it was open for that one.
    others: u32,
    /// How those others pass meanwhile.
    passage: Passage,
}

/// How the others pass while a breaker is open for one tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Passage {
    /// As if there were none.
    Free,
    /// One at a time, the last since then, until one of them is answered: it was open for all a moment ago.
    InTurn { since: Option<Instant> },
}

/// On what terms a call passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Terms {
    /// On none.
    Free,
    /// The breaker waits for this very call, since then.
    Trial(Instant),
    /// It has the turn of those for whom the breaker is not open, since then.
    Turn(Instant),
}

impl Breaker {
    /// Whether it opens for this tenant.
    fn concerns(&self, tenant: Option<&str>) -> bool {
        self.of.is_none() || self.of.as_deref() == tenant
    }

    /// How long until a tenant's call may pass; nothing if it may now.
    fn wait(&self, tenant: Option<&str>, now: Instant) -> Option<Duration> {
        let passes = match (self.phase, self.passage) {
            (Phase::Closed, _) => return None,
            (_, Passage::Free) if !self.concerns(tenant) => return None,
            (_, Passage::InTurn { since }) if !self.concerns(tenant) => since? + TRIAL,
            (Phase::Open { until }, _) => until,
            (Phase::HalfOpen { since }, _) => since + TRIAL,
        };
        Some(passes.duration_since(now)).filter(|wait| !wait.is_zero())
    }

    /// A tenant's call passes, which it may.
    fn pass(&mut self, tenant: Option<&str>, now: Instant) -> Terms {
        match (self.phase, self.passage) {
            (Phase::Closed, _) => Terms::Free,
            (_, Passage::Free) if !self.concerns(tenant) => Terms::Free,
            (_, Passage::InTurn { .. }) if !self.concerns(tenant) => {
                self.passage = Passage::InTurn { since: Some(now) };
                Terms::Turn(now)
            }
            _ => {
                self.phase = Phase::HalfOpen { since: now };
                Terms::Trial(now)
            }
        }
    }

    /// Whether a call on these terms speaks of how things are since the last failure, whoever has tried after it.
    fn is_tried_by(&self, terms: Terms) -> bool {
        match terms {
            Terms::Free => false,
            Terms::Trial(since) | Terms::Turn(since) => since >= self.failed,
        }
    }

    /// Where it was open for all, it is the tenant's alone whose trial has failed, or has yet to end well; and everybody's
    /// with the next failure of another one.
    fn hand_to(&mut self, tenant: Option<&str>, failures: u32) {
        if self.of.is_none() && tenant.is_some() {
            self.of = tenant.map(str::to_owned);
            self.others = failures - 1;
            self.passage = Passage::InTurn { since: None };
        }
    }
}

/// The breakers of one provider for one task, by model.
#[derive(Debug)]
pub(crate) struct Breakers {
    provider: String,
    task: Task,
    settings: config::Breaker,
    tenants: Tenants,
    models: Mutex<HashMap<String, Breaker>>,
}

/// Leave for one call. Dropped without a word it says nothing about the provider.
#[derive(Debug)]
pub(crate) struct Pass<'a> {
    breakers: &'a Breakers,
    model: &'a str,
    tenant: Option<&'a str>,
    terms: Terms,
}

impl Breakers {
    /// Where tenants are known, a breaker opens for the one whose requests failed, while they are one tenant's: it may be
    /// that they alone make the model fail. For everybody once as many of others' failed in a row, and where tenants are
    /// not known. A trial that fails makes it its own tenant's again; the others are let in one at a time then, until one
    /// of them is answered, or fails, which makes it everybody's.
    pub(crate) fn new(provider: &str, task: Task, settings: config::Breaker, tenants: Tenants) -> Self {
        Self { provider: provider.to_owned(), task, settings, tenants, models: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Breaker>> {
        self.models.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long until a call may pass; nothing if it may now.
    pub(crate) fn wait(&self, model: &str, tenant: Option<&str>, now: Instant) -> Option<Duration> {
        self.lock().get(model)?.wait(tenant, now)
    }

    /// Leave for a call, or how long until there is one.
    pub(crate) fn pass<'a>(
        &'a self,
        model: &'a str,
        tenant: Option<&'a str>,
        now: Instant,
    ) -> Result<Pass<'a>, Duration> {
        let mut models = self.lock();
        let Some(breaker) = models.get_mut(model) else {
            return Ok(Pass { breakers: self, model, tenant, terms: Terms::Free });
        };
        if let Some(wait) = breaker.wait(tenant, now) {
            return Err(wait);
        }
        let terms = breaker.pass(tenant, now);
        if matches!(terms, Terms::Trial(_)) {
            meter::breaker(&self.provider, "half_open");
        }
        Ok(Pass { breakers: self, model, tenant, terms })
    }

    /// A tenant's call was answered. An open breaker is closed by a trial alone: what began before it opened says nothing
    /// new. Nor does another's answer make good what failed of the tenant for whom it has opened.
    pub(crate) fn succeeded(&self, model: &str, tenant: Option<&str>, terms: Terms) {
        let mut models = self.lock();
        let Some(breaker) = models.get_mut(model) else { return };
        if !breaker.concerns(tenant) {
            let is_new =
                breaker.phase == Phase::Closed || breaker.passage == Passage::Free || breaker.is_tried_by(terms);
            if is_new {
                breaker.others = 0;
                breaker.passage = Passage::Free;
            }
            if breaker.failures >= self.settings.failures {
                return;
            }
        }
        match breaker.phase {
            Phase::Closed => {}
            Phase::HalfOpen { .. } if breaker.is_tried_by(terms) => self.closed(model),
            Phase::Open { .. } | Phase::HalfOpen { .. } => return,
        }
        models.remove(model);
    }

    /// A tenant's call failed by the provider's fault.
    pub(crate) fn failed(&self, model: &str, tenant: Option<&str>, terms: Terms, now: Instant) {
        let config::Breaker { failures, open_for } = self.settings;
        let tenant = self.known(tenant);
        let mut models = self.lock();
        if !models.contains_key(model) && models.len() >= MODELS {
            let oldest = models.iter().min_by_key(|(_, breaker)| breaker.failed).map(|(model, _)| model.clone());
            oldest.and_then(|model| models.remove(&model));
        }
        let breaker = models.entry(model.to_owned()).or_insert_with(|| {
            let of = tenant.map(str::to_owned);
            Breaker { phase: Phase::Closed, failures: 0, failed: now, of, others: 0, passage: Passage::Free }
        });
        if !breaker.concerns(tenant) {
            breaker.others += 1;
            // Of one that opened for another tenant this alone takes the model from nobody.
            if breaker.failures >= failures && breaker.others < failures {
                return;
            }
            breaker.of = None;
        }
        let counts = match breaker.phase {
            Phase::Closed => true,
            // A call from before says nothing new, of the trial that is on its way neither.
            Phase::Open { .. } => false,
            Phase::HalfOpen { since } => terms == Terms::Trial(since),
        };
        if !counts {
            return;
        }
        breaker.failures = breaker.failures.saturating_add(1);
        breaker.failed = now;
        if breaker.phase != Phase::Closed {
            breaker.hand_to(tenant, failures);
        }
        if breaker.phase != Phase::Closed || breaker.failures >= failures {
            breaker.phase = Phase::Open { until: now + open_for };
            meter::breaker(&self.provider, "open");
            let (task, tenant) = (self.task.as_str(), breaker.of.as_deref());
            tracing::warn!(provider = self.provider, model, task, tenant, "breaker is open for {open_for:?}");
        }
    }

    /// Models for which no call passes now, for some tenant at least.
    pub(crate) fn open(&self, now: Instant) -> usize {
        self.lock().values().filter(|breaker| breaker.wait(breaker.of.as_deref(), now).is_some()).count()
    }

    /// The tenant, where it has proved to be the one.
    fn known<'a>(&self, tenant: Option<&'a str>) -> Option<&'a str> {
        tenant.filter(|_| self.tenants == Tenants::Known)
    }

    fn closed(&self, model: &str) {
        meter::breaker(&self.provider, "closed");
        tracing::info!(provider = self.provider, model, task = self.task.as_str(), "breaker is closed");
    }
}

impl Pass<'_> {
    /// The call was answered.
    pub(crate) fn succeeded(self) {
        self.breakers.succeeded(self.model, self.tenant, self.terms);
    }

    /// The call failed by the provider's fault.
    pub(crate) fn failed(self, now: Instant) {
        self.breakers.failed(self.model, self.tenant, self.terms, now);
    }

    /// Whether the breaker waits for this very call.
    pub(crate) fn is_trial(&self) -> bool {
        matches!(self.terms, Terms::Trial(_))
    }

    /// The answer has begun to stream. That ends a trial: the stream may last an hour, and nobody else would be asked
    /// meanwhile. But only its end makes good what failed before, so one that breaks opens the breaker again at once.
    pub(crate) fn began(self) {
        if self.terms == Terms::Free {
            return;
        }
        let mut models = self.breakers.lock();
        let Some(breaker) = models.get_mut(self.model) else { return };
        match (self.terms, breaker.phase) {
            (Terms::Trial(_), Phase::HalfOpen { .. }) if breaker.is_tried_by(self.terms) => {
                breaker.hand_to(self.breakers.known(self.tenant), self.breakers.settings.failures);
                breaker.phase = Phase::Closed;
                self.breakers.closed(self.model);
            }
            (Terms::Turn(_), _) if breaker.is_tried_by(self.terms) => breaker.passage = Passage::Free,
            _ => {}
        }
    }
}

/// A call that is over gives back its place where nobody has done so: it was broken off, or ended in something that is not
/// the provider's fault.
impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.terms == Terms::Free {
            return;
        }
        let mut models = self.breakers.lock();
        let Some(breaker) = models.get_mut(self.model) else { return };
        match self.terms {
            Terms::Trial(since) if breaker.phase == (Phase::HalfOpen { since }) => {
                breaker.phase = Phase::Open { until: since };
            }
            Terms::Turn(since) if breaker.passage == (Passage::InTurn { since: Some(since) }) => {
                breaker.passage = Passage::InTurn { since: None };
            }
            _ => {}
        }
    }
}

#[cfg(test)]
#[path = "breaker_tests.rs"]
mod tests;
