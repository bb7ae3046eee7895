//! Breakers: a provider that keeps failing for a model is left in peace for it, and tried again by one call at a time.
//!
//! Health speaks of a provider as a whole and is told by probes too; a breaker speaks of one [`Circuit`] and listens to
//! its calls alone, since a provider's list of models may answer while a model does not. One is kept from its first failure
//! to the next answer, or, once it was open, as long as there is room: so the table grows with what fails only, and is
//! bounded.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::meter;
use crate::chat::Task;
use crate::config::{self, Tenants};

/// So many breakers of one tenant are kept at one provider at most.
const CIRCUITS: usize = 1024;

/// A trial that takes longer keeps nobody else from trying.
const TRIAL: Duration = Duration::from_secs(10);

/// Whoever waits so long for an answer and leaves has seen a provider that hangs, however long its time-out is: many clients
/// wait no longer, and nobody else would see it.
const HANGS: Duration = Duration::from_secs(30);

/// What one breaker of a provider stands for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Circuit {
    model: String,
    /// A server may have no route for vectors, or fail at them, and chat all the same.
    task: Task,
    /// Where tenants are known: it may be that one's requests alone make the model fail.
    tenant: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Everything passes.
    Closed {
        /// When the trial began that closed it, if one did: what began before says nothing new.
        tried: Option<Instant>,
    },
    /// Nothing passes, until then.
    Open { until: Instant },
    /// A trial is on its way, since then.
    HalfOpen { since: Instant },
}

#[derive(Debug)]
struct Breaker {
    phase: Phase,
    /// In a row.
    failures: u32,
}

impl Breaker {
    /// How long until a call may pass; nothing if it may now.
    fn wait(&self, now: Instant) -> Option<Duration> {
        let passes = match self.phase {
            Phase::Closed { .. } => return None,
            Phase::Open { until } => until,
            Phase::HalfOpen { since } => since + TRIAL,
        };
        Some(passes.duration_since(now)).filter(|wait| !wait.is_zero())
    }
}

/// The breakers of one provider.
#[derive(Debug)]
pub(super) struct Breakers {
    provider: String,
    settings: config::Breaker,
    tenants: Tenants,
    table: Mutex<HashMap<Circuit, Breaker>>,
}

impl Breakers {
    pub(super) fn new(provider: &str, settings: config::Breaker, tenants: Tenants) -> Self {
        Self { provider: provider.to_owned(), settings, tenants, table: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Circuit, Breaker>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a tenant's call for a model belongs to. Who has merely claimed to be a tenant shares it with all others.
    pub(super) fn circuit(&self, model: &str, task: Task, tenant: Option<&str>) -> Circuit {
        let tenant = tenant.filter(|_| self.tenants == Tenants::Known);
        Circuit { model: model.to_owned(), task, tenant: tenant.map(str::to_owned) }
    }

    /// How long until a call may pass; nothing if it may now.
    pub(super) fn wait(&self, circuit: &Circuit, now: Instant) -> Option<Duration> {
        self.lock().get(circuit)?.wait(now)
    }

    /// Leave for a call, or how long until there is one.
    pub(super) fn pass(self: &Arc<Self>, circuit: &Circuit, now: Instant) -> Result<Pass, Duration> {
        let mut table = self.lock();
        let mut is_trial = false;
        if let Some(breaker) = table.get_mut(circuit) {
            if let Some(wait) = breaker.wait(now) {
                return Err(wait);
            }
            is_trial = !matches!(breaker.phase, Phase::Closed { .. });
            if is_trial {
                breaker.phase = Phase::HalfOpen { since: now };
                meter::breaker(&self.provider, "half_open");
            }
        }
        Ok(Pass { breakers: Arc::clone(self), circuit: circuit.clone(), begun: now, is_trial, patience: None })
    }

    /// Breakers that let nothing pass now.
    pub(super) fn open(&self, now: Instant) -> usize {
        self.lock().values().filter(|breaker| breaker.wait(now).is_some()).count()
    }
}

/// Takes away one of a tenant's breakers where no more are kept: nobody's pushes out another's. It is one that lets calls
/// pass, if there is any, and of those one without failures, and else by chance: were it the oldest, circuits that fail in
/// turn would all be gone before their turn comes again, and none would ever open.
fn make_room(table: &mut HashMap<Circuit, Breaker>, tenant: Option<&str>, now: Instant) {
    let kept = || table.iter().filter(|(circuit, _)| circuit.tenant.as_deref() == tenant);
    if table.len() < CIRCUITS || kept().count() < CIRCUITS {
        return;
    }
    let leaving = kept().min_by_key(|(_, breaker)| (breaker.wait(now), breaker.failures > 0, fastrand::u32(..)));
    let leaving = leaving.map(|(circuit, _)| circuit.clone());
    leaving.and_then(|circuit| table.remove(&circuit));
}

/// Leave for one call, which is told how it ends. Dropped without a word it says nothing, save while it
/// [waits](Self::waits).
#[derive(Debug)]
pub(super) struct Pass {
    breakers: Arc<Breakers>,
    circuit: Circuit,
    begun: Instant,
    /// Whether it passed though the breaker was not closed, to see whether it can be.
    is_trial: bool,
    /// After so long a wait for the answer it has failed where it is dropped.
    patience: Option<Duration>,
}

impl Pass {
    /// An answer is waited for that may take so long. Dropped after half of that, or half a minute, the call has failed.
    pub(super) fn waits(&mut self, timeout: Duration) {
        self.patience = Some(HANGS.min(timeout / 2));
    }

    /// Nothing is waited for any more.
    pub(super) fn has_waited(&mut self) {
        self.patience = None;
    }

    pub(super) fn is_trial(&self) -> bool {
        self.is_trial
    }

    /// Whether the call's end says anything new: of a breaker that is not closed trials alone do.
    fn is_news_to(&self, breaker: &Breaker) -> bool {
        match breaker.phase {
            Phase::Closed { tried } => Some(self.begun) >= tried,
            Phase::Open { .. } | Phase::HalfOpen { .. } => self.is_trial,
        }
    }

    /// The trial closes the breaker, which then has seen so many failures in a row.
    fn closes(&self, breaker: &mut Breaker, failures: u32) {
        breaker.phase = Phase::Closed { tried: Some(self.begun) };
        breaker.failures = failures;
        meter::breaker(&self.breakers.provider, "closed");
        let (provider, Circuit { model, task, tenant }) = (&self.breakers.provider, &self.circuit);
        tracing::info!(provider, model, task = task.as_str(), tenant, "breaker is closed");
    }

    /// The call was answered.
    pub(super) fn succeeded(&self) {
        let mut table = self.breakers.lock();
        let Some(breaker) = table.get_mut(&self.circuit).filter(|breaker| self.is_news_to(breaker)) else { return };
        match breaker.phase {
            Phase::Closed { tried: None } => drop(table.remove(&self.circuit)),
            // What began before the trial may still fail.
            Phase::Closed { tried: Some(_) } => breaker.failures = 0,
            Phase::Open { .. } | Phase::HalfOpen { .. } => self.closes(breaker, 0),
        }
    }

    /// The answer has begun to stream. That ends a trial: the stream may last an hour, and nobody else would be asked
    /// meanwhile. But until a call is answered to its end, one more failure opens the breaker again.
    pub(super) fn began(&mut self) {
        if !std::mem::take(&mut self.is_trial) {
            return;
        }
        if let Some(breaker) = self.breakers.lock().get_mut(&self.circuit)
            && !matches!(breaker.phase, Phase::Closed { .. })
        {
            self.closes(breaker, self.breakers.settings.failures - 1);
        }
    }

    /// The call failed by the provider's fault.
    pub(super) fn failed(&self, now: Instant) {
        let config::Breaker { failures, open_for } = self.breakers.settings;
        let mut table = self.breakers.lock();
        if !table.contains_key(&self.circuit) {
            make_room(&mut table, self.circuit.tenant.as_deref(), now);
        }
        let fresh = Breaker { phase: Phase::Closed { tried: None }, failures: 0 };
        let breaker = table.entry(self.circuit.clone()).or_insert(fresh);
        if !self.is_news_to(breaker) {
            return;
        }
        breaker.failures = breaker.failures.saturating_add(1);
        if !matches!(breaker.phase, Phase::Closed { .. }) || breaker.failures >= failures {
            breaker.phase = Phase::Open { until: now + open_for };
            meter::breaker(&self.breakers.provider, "open");
            let (provider, Circuit { model, task, tenant }) = (&self.breakers.provider, &self.circuit);
            tracing::warn!(provider, model, task = task.as_str(), tenant, "breaker is open for {open_for:?}");
        }
    }
}

/// A trial that is over gives back its place where nobody has done so: it was broken off, or ended in something that is not
/// the provider's fault.
impl Drop for Pass {
    fn drop(&mut self) {
        if self.patience.is_some_and(|patience| self.begun.elapsed() >= patience) {
            self.failed(Instant::now());
        }
        if self.is_trial
            && let Some(breaker) = self.breakers.lock().get_mut(&self.circuit)
            && breaker.phase == (Phase::HalfOpen { since: self.begun })
        {
            breaker.phase = Phase::Open { until: self.begun };
        }
    }
}

#[cfg(test)]
#[path = "breaker_tests.rs"]
mod tests;
