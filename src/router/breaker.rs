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
mod tests {
    use super::*;

    const OPEN_FOR: Duration = Duration::from_secs(10);

    fn of(tenants: Tenants) -> Breakers {
        Breakers::new("p", Task::Chat, config::Breaker { failures: 2, open_for: OPEN_FOR }, tenants)
    }

    fn breakers() -> (Breakers, Instant) {
        (of(Tenants::Claimed), Instant::now())
    }

    fn fail(breakers: &Breakers, model: &str, times: u32, now: Instant) {
        for _ in 0..times {
            breakers.pass(model, None, now).unwrap().failed(now);
        }
    }

    #[test]
    fn failures_in_a_row_open_it_for_their_model_alone() {
        let (breakers, now) = breakers();
        fail(&breakers, "m", 1, now);
        breakers.pass("m", None, now).unwrap().succeeded();
        fail(&breakers, "m", 1, now);
        assert_eq!(breakers.wait("m", None, now), None);
        fail(&breakers, "m", 1, now);
        assert_eq!(breakers.pass("m", None, now).unwrap_err(), OPEN_FOR);
        assert_eq!(breakers.wait("other", None, now), None);
    }

    #[test]
    fn half_open_lets_one_call_pass_and_its_answer_closes_it() {
        let (breakers, now) = breakers();
        fail(&breakers, "m", 2, now);
        let now = now + OPEN_FOR;
        let trial = breakers.pass("m", None, now).unwrap();
        assert!(breakers.pass("m", None, now).is_err());
        trial.succeeded();
        fail(&breakers, "m", 1, now);
        assert_eq!(breakers.wait("m", None, now), None);
    }

    #[test]
    fn a_failed_trial_opens_it_again() {
        let (breakers, now) = breakers();
        fail(&breakers, "m", 2, now);
        let now = now + OPEN_FOR;
        fail(&breakers, "m", 1, now);
        assert_eq!(breakers.wait("m", None, now), Some(OPEN_FOR));
    }

    #[test]
    fn a_trial_that_says_nothing_or_hangs_leaves_its_place() {
        let (breakers, now) = breakers();
        fail(&breakers, "m", 2, now);
        let now = now + OPEN_FOR;
        drop(breakers.pass("m", None, now).unwrap());
        let hanging = breakers.pass("m", None, now).unwrap();
        assert_eq!(breakers.wait("m", None, now), Some(TRIAL));
        let now = now + TRIAL;
        let second = breakers.pass("m", None, now).unwrap();
        // The place is the second one's now.
        drop(hanging);
        assert!(breakers.pass("m", None, now).is_err());
        second.succeeded();
        assert_eq!(breakers.wait("m", None, now), None);
    }

    #[test]
    fn open_is_what_lets_no_call_pass_now() {
        let (breakers, now) = breakers();
        fail(&breakers, "m", 1, now);
        assert_eq!(breakers.open(now), 0);
        fail(&breakers, "m", 1, now);
        assert_eq!(breakers.open(now), 1);
        let now = now + OPEN_FOR;
        assert_eq!(breakers.open(now), 0, "nobody asked meanwhile");
        let trial = breakers.pass("m", None, now).unwrap();
        assert_eq!(breakers.open(now), 1, "the trial is on its way");
        trial.succeeded();
        assert_eq!(breakers.open(now), 0);
    }

    #[test]
    fn a_slow_trial_closes_it_too() {
        for streams in [false, true] {
            let (breakers, now) = breakers();
            fail(&breakers, "m", 2, now);
            let now = now + OPEN_FOR;
            let slow = breakers.pass("m", None, now).unwrap();
            let other = breakers.pass("m", None, now + TRIAL).unwrap();
            if streams {
                slow.began()
            } else {
                slow.succeeded()
            }
            assert_eq!(breakers.wait("m", None, now + TRIAL), None);
            drop(other);
            assert_eq!(breakers.wait("m", None, now + TRIAL), None);
        }
    }

    #[test]
    fn a_trial_that_streams_lets_others_pass_and_one_more_failure_opens_it_again() {
        let (breakers, now) = breakers();
        fail(&breakers, "m", 2, now);
        let now = now + OPEN_FOR;
        breakers.pass("m", None, now).unwrap().began();
        breakers.pass("m", None, now).unwrap().began();
        breakers.failed("m", None, Terms::Free, now);
        assert_eq!(breakers.wait("m", None, now), Some(OPEN_FOR));

        let now = now + OPEN_FOR;
        breakers.pass("m", None, now).unwrap().began();
        breakers.succeeded("m", None, Terms::Free);
        fail(&breakers, "m", 1, now);
        assert_eq!(breakers.wait("m", None, now), None, "a stream that ended well makes good what was before");
    }

    #[test]
    fn a_call_from_before_it_opened_does_not_close_it() {
        let (breakers, now) = breakers();
        let (late, later) = (breakers.pass("m", None, now).unwrap(), breakers.pass("m", None, now).unwrap());
        fail(&breakers, "m", 2, now);
        late.succeeded();
        assert_eq!(breakers.wait("m", None, now), Some(OPEN_FOR));
        let now = now + OPEN_FOR;
        let trial = breakers.pass("m", None, now).unwrap();
        later.succeeded();
        assert!(breakers.pass("m", None, now).is_err(), "the trial is on its way");
        trial.succeeded();
        assert_eq!(breakers.wait("m", None, now), None);
    }

    #[test]
    fn a_call_from_before_it_opened_does_not_keep_it_open() {
        let (breakers, now) = breakers();
        let late = breakers.pass("m", None, now).unwrap();
        fail(&breakers, "m", 2, now);
        late.failed(now + OPEN_FOR / 2);
        assert_eq!(breakers.wait("m", None, now + OPEN_FOR), None);
    }

    #[test]
    fn a_failure_from_before_it_opened_does_not_void_the_trial() {
        let (breakers, now) = breakers();
        let late = breakers.pass("m", None, now).unwrap();
        fail(&breakers, "m", 2, now);
        let now = now + OPEN_FOR;
        let trial = breakers.pass("m", None, now).unwrap();
        late.failed(now + Duration::from_millis(1));
        trial.succeeded();
        assert_eq!(breakers.wait("m", None, now), None);
    }

    #[test]
    fn one_tenants_failures_open_it_for_that_tenant_and_as_many_of_others_for_all() {
        let (breakers, now) = (of(Tenants::Known), Instant::now());
        let wait = |tenant, now| breakers.wait("m", Some(tenant), now);
        let pass = |tenant| breakers.pass("m", Some(tenant), now);
        for _ in 0..2 {
            pass("a").unwrap().failed(now);
        }
        assert_eq!((wait("a", now), wait("b", now)), (Some(OPEN_FOR), None));
        pass("b").unwrap().failed(now);
        assert_eq!(wait("b", now), None, "a hiccup takes the model from nobody else");
        pass("b").unwrap().succeeded();
        assert_eq!(pass("a").unwrap_err(), OPEN_FOR, "another's answer is no trial");
        pass("b").unwrap().failed(now);
        assert_eq!(wait("b", now), None, "in a row");

        pass("c").unwrap().failed(now);
        for tenant in ["a", "b", "c"] {
            assert_eq!(wait(tenant, now), Some(OPEN_FOR), "{tenant}");
        }
        let now = now + OPEN_FOR;
        breakers.pass("m", Some("c"), now).unwrap().succeeded();
        assert_eq!((wait("a", now), wait("b", now)), (None, None));
    }

    #[test]
    fn a_tenants_failing_trials_keep_nobody_else_out() {
        let (breakers, now) = (of(Tenants::Known), Instant::now());
        for tenant in ["a", "a", "b", "c"] {
            breakers.pass("m", Some(tenant), now).unwrap().failed(now);
        }
        assert_eq!(breakers.wait("m", Some("c"), now), Some(OPEN_FOR));
        let mut now = now;
        for _ in 0..3 {
            now += OPEN_FOR;
            breakers.pass("m", Some("a"), now).unwrap().failed(now);
            assert_eq!(breakers.wait("m", Some("a"), now), Some(OPEN_FOR));
            breakers.pass("m", Some("c"), now).unwrap().succeeded();
            breakers.pass("m", Some("c"), now).unwrap().failed(now);
            assert_eq!(breakers.wait("m", Some("b"), now), None);
        }
    }

    #[test]
    fn where_the_model_itself_is_down_a_failed_trial_costs_one_more_request() {
        let (breakers, now) = (of(Tenants::Known), Instant::now());
        for tenant in ["a", "b"] {
            breakers.pass("m", Some(tenant), now).unwrap().failed(now);
        }
        let now = now + OPEN_FOR;
        breakers.pass("m", Some("a"), now).unwrap().failed(now);
        breakers.pass("m", Some("b"), now).unwrap().failed(now);
        for tenant in ["a", "b", "c"] {
            assert_eq!(breakers.wait("m", Some(tenant), now), Some(OPEN_FOR), "{tenant}");
        }
    }

    /// Open for all since now, by failures of `a` and `b`.
    fn open_for_all(now: Instant) -> Breakers {
        let breakers = of(Tenants::Known);
        for tenant in ["a", "b"] {
            breakers.pass("m", Some(tenant), now).unwrap().failed(now);
        }
        breakers
    }

    #[test]
    fn a_streamed_trial_that_breaks_keeps_nobody_else_out_whoever_is_answered_meanwhile() {
        for others in [0, 1] {
            let begun = Instant::now();
            let (breakers, now) = (open_for_all(begun), begun + OPEN_FOR);
            breakers.pass("m", Some("a"), now).unwrap().began();
            for _ in 0..others {
                breakers.pass("m", Some("b"), now).unwrap().succeeded();
            }
            breakers.failed("m", Some("a"), Terms::Free, now);
            assert_eq!(breakers.wait("m", Some("a"), now), Some(OPEN_FOR), "{others}");
            assert_eq!(breakers.wait("m", Some("b"), now), None, "{others}");
        }
    }

    #[test]
    fn a_streamed_trial_and_another_tenants_failure_open_it_for_all_again() {
        let begun = Instant::now();
        let (breakers, now) = (open_for_all(begun), begun + OPEN_FOR);
        breakers.pass("m", Some("a"), now).unwrap().began();
        breakers.pass("m", Some("b"), now).unwrap().failed(now);
        for tenant in ["a", "b", "c"] {
            assert_eq!(breakers.wait("m", Some(tenant), now), Some(OPEN_FOR), "{tenant}");
        }
    }

    #[test]
    fn after_a_failed_trial_the_others_pass_one_at_a_time_until_one_is_answered() {
        for streams in [false, true] {
            let begun = Instant::now();
            let (breakers, now) = (open_for_all(begun), begun + OPEN_FOR);
            breakers.pass("m", Some("a"), now).unwrap().failed(now);
            drop(breakers.pass("m", Some("b"), now).unwrap());
            let turn = breakers.pass("m", Some("b"), now).unwrap();
            assert_eq!(breakers.pass("m", Some("c"), now).unwrap_err(), TRIAL);
            breakers.succeeded("m", Some("c"), Terms::Free);
            assert!(breakers.pass("m", Some("c"), now).is_err(), "what began before says nothing new");
            assert_eq!(breakers.wait("m", Some("c"), now + TRIAL), None, "one that hangs keeps nobody out");
            if streams {
                turn.began()
            } else {
                turn.succeeded()
            }
            let passes: Vec<_> = (0..3).map(|_| breakers.pass("m", Some("c"), now).unwrap()).collect();
            drop(passes);
            breakers.failed("m", Some("c"), Terms::Free, now);
            assert_eq!(
                breakers.wait("m", Some("c"), now).is_some(),
                streams,
                "only its end makes good what was before"
            );
        }
    }

    #[test]
    fn failures_of_several_tenants_in_a_row_are_counted_together() {
        let settings = config::Breaker { failures: 3, open_for: OPEN_FOR };
        let (breakers, now) = (Breakers::new("p", Task::Chat, settings, Tenants::Known), Instant::now());
        for tenant in ["a", "b", "a"] {
            assert_eq!(breakers.wait("m", Some("c"), now), None);
            breakers.pass("m", Some(tenant), now).unwrap().failed(now);
        }
        assert_eq!(breakers.wait("m", Some("c"), now), Some(OPEN_FOR));
    }

    #[test]
    fn where_tenants_have_proved_nothing_it_opens_for_all() {
        let (breakers, now) = breakers();
        for _ in 0..2 {
            breakers.pass("m", Some("a"), now).unwrap().failed(now);
        }
        assert_eq!(breakers.wait("m", Some("b"), now), Some(OPEN_FOR));
    }

    #[test]
    fn the_table_is_bounded() {
        let (breakers, begun) = breakers();
        let mut now = begun;
        for number in 0..2 * MODELS {
            fail(&breakers, &format!("m{number}"), 2, now);
            now += Duration::from_millis(1);
        }
        assert_eq!(breakers.lock().len(), MODELS);
        let last = format!("m{}", 2 * MODELS - 1);
        assert!(breakers.wait("m0", None, now).is_none() && breakers.wait(&last, None, now).is_some());
    }
}
