//! One request on its way through its candidates: attempts, waits, failover.

use std::cmp::Reverse;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, timeout_at};

use super::Retry;
use super::attempt::Attempts;
use super::breaker::Pass;
use super::constraints::Constraints;
use super::entry::{Asked, Entry};
use super::error::RouteError;
use super::failure::Failure;
use super::operation::Form;
use super::retry::is_sooner_elsewhere;
use super::stream::Begun;
use super::{Routed, meter};
use crate::chat::{Task, Usage};
use crate::provider::{ApiKey, ErrorKind, Provider, ProviderError};

/// What is asked of a provider.
#[async_trait]
pub(super) trait Operation: Sync {
    /// What it answers.
    type Answer: Send;

    /// How it comes.
    const FORM: Form;

    /// What it wants.
    fn asked(&self) -> Asked<'_>;

    /// Asks once. `renamed`: the provider's own name of the model, where it has another.
    async fn call(&self, provider: &dyn Provider, renamed: Option<&str>) -> Result<Self::Answer, ProviderError>;

    /// The id under which the vendor finds the call.
    fn correlation_id(answer: &Self::Answer) -> Option<&str>;

    /// The tokens that were lost on the way to it.
    fn lost(_: &Self::Answer) -> Option<Usage> {
        None
    }

    /// The same answer; of one that has only begun its provider's entry is told how it ends.
    fn begun(answer: Self::Answer, _: Begun<'_>) -> Self::Answer {
        answer
    }
}

/// Asks the candidates in their order until one answers, a failure says that nobody would, attempts or time are used up,
/// or nobody is left. The same provider is asked again as long as that leaves an attempt for each of the others; and after
/// them, where it was left for others of whom none answered or can be asked again sooner.
pub(super) async fn ask<O: Operation>(
    candidates: &[&Entry],
    operation: &O,
    constraints: &Constraints,
    retry: &Retry,
    deadline: Duration,
    attempts: &Attempts,
) -> Result<Routed<O::Answer>, RouteError> {
    let asked = operation.asked();
    let (key, tenant) = (constraints.key(), constraints.tenant());
    let call = Call { operation, key, deadline: Instant::now() + deadline, whole: deadline, attempts };
    let mut left = retry.attempts;
    // How each provider failed last, the latest at the end: what it said before that holds no more.
    let mut failures: Vec<(&Entry, Failure)> = Vec::new();
    let mut unsupported = None;
    let mut opens: Option<Instant> = None;
    let mut rest = candidates;
    let mut left_for_others: Vec<Turn<'_>> = Vec::new();
    'candidates: loop {
        let mut turn = match rest.split_first() {
            Some((entry, others)) => {
                rest = others;
                Turn { entry, failures: 0, failure: None, counted: false }
            }
            None => {
                left_for_others.sort_by_key(|turn| Reverse(turn.again()));
                match left_for_others.pop() {
                    Some(turn) => turn,
                    None => break,
                }
            }
        };
        let entry = turn.entry;
        let Some(model) = entry.model_for(asked) else { continue };
        let circuit = entry.breakers.circuit(model, asked.task, tenant);
        if left == 0 && turn.failures == 0 {
            // Nobody asks any more, but that it may be asked later is known.
            let now = Instant::now();
            opens = opens.into_iter().chain(entry.breakers.wait(&circuit, now).map(|wait| now + wait)).min();
        }
        while left > 0 {
            if let Some(failure) = &turn.failure {
                let others = rest.iter().filter(|other| !other.refuses(asked, tenant)).count();
                let others_come_first = left_for_others.iter().any(|other| other.again() < turn.again());
                if others_come_first || others > 0 && (left as usize <= others || is_sooner_elsewhere(&failure.error)) {
                    left_for_others.push(turn);
                    break;
                }
                let wait = retry.wait(&failure.error, turn.failures, failure.age());
                let wait = wait.filter(|wait| *wait < call.remaining());
                let Some(wait) = wait else { break };
                let affordable = entry.budget.spend();
                meter::retry(&entry.info().name, affordable);
                if !affordable {
                    break;
                }
                tokio::time::sleep(wait).await;
            }
            let now = Instant::now();
            let mut pass = match entry.breakers.pass(&circuit, now) {
                Ok(pass) => pass,
                Err(wait) => {
                    opens = opens.into_iter().chain([now + wait]).min();
                    break;
                }
            };
            if turn.failures == 0 {
                entry.budget.earn();
            }
            let error = match call.attempt(entry, model, &mut pass, &mut turn.counted).await {
                Ok(answer) => {
                    let answer = O::begun(answer, Begun { entry, pass, key, counted: turn.counted });
                    let (provider, model) = (entry.info().name.clone(), model.to_owned());
                    return Ok(Routed { provider, model, answer, attempts: attempts.take() });
                }
                Err(error) => error,
            };
            // What was not sent was no call.
            let was_unsupported = error.kind() == ErrorKind::Unsupported;
            left -= u32::from(!was_unsupported || error.was_sent());
            // Nothing was generated, and that this one cannot do it at all says nothing of whether to come again.
            if was_unsupported {
                unsupported.get_or_insert(error);
                failures.retain(|(of, _)| !std::ptr::eq(*of, entry));
                break;
            }
            turn.failures += 1;
            let later = Failure::new(error);
            turn.failure = Some(later.clone());
            let goes_on = later.error.fail_over();
            failures.retain(|(of, _)| goes_on && !std::ptr::eq(*of, entry));
            failures.push((entry, later));
            if !goes_on || call.remaining().is_zero() {
                break 'candidates;
            }
        }
    }
    let attempts = attempts.take();
    let failure = failures.into_iter().map(|(_, failure)| failure).reduce(|before, later| later.or_milder(before));
    let opens = opens.map(|opens| opens.saturating_duration_since(Instant::now()));
    Err(match (failure, opens, unsupported) {
        // Nor does a refusal that lasts hide a breaker, which passes.
        (Some(failure), Some(retry_after), _) if failure.error.fail_over() && !failure.passes() => {
            RouteError::BreakerOpen { retry_after, attempts }
        }
        (Some(failure), _, _) => RouteError::Failed { error: Box::new(failure.told()), attempts },
        (None, None, Some(error)) => RouteError::Failed { error: Box::new(error), attempts },
        (None, Some(retry_after), _) => RouteError::BreakerOpen { retry_after, attempts },
        (None, None, None) => RouteError::NoCandidate { reason: "nobody was asked".to_owned() },
    })
}

/// A provider's turn to be asked.
struct Turn<'a> {
    entry: &'a Entry,
    /// How often it has failed for this request.
    failures: u32,
    /// How it did so last.
    failure: Option<Failure>,
    /// Whether one of these failures counts against it.
    counted: bool,
}

impl Turn<'_> {
    /// When it may be asked again, as far as it has said so.
    fn again(&self) -> Option<Instant> {
        self.failure.as_ref().and_then(Failure::again)
    }
}

/// What the attempts of one request share.
struct Call<'a, O> {
    operation: &'a O,
    /// The caller's own key, in the place of the provider's.
    key: Option<&'a ApiKey>,
    deadline: Instant,
    /// The time that all of them have together.
    whole: Duration,
    attempts: &'a Attempts,
}

impl<O: Operation> Call<'_, O> {
    fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Asks once, with the key that counts.
    async fn ask(&self, provider: &dyn Provider, renamed: Option<&str>) -> Result<O::Answer, ProviderError> {
        let Some(key) = self.key else { return self.operation.call(provider, renamed).await };
        let Some(opened) = provider.with_callers_key(key) else {
            return Err(ProviderError::new(ErrorKind::InvalidRequest, "this provider takes no key of a caller"));
        };
        self.operation.call(opened.as_ref(), renamed).await.map_err(ProviderError::with_callers_key)
    }

    /// Asks a provider once, and tells all who keep account of it. `counted`: whether a failure of this request counts
    /// against it already.
    async fn attempt(
        &self,
        entry: &Entry,
        model: &str,
        pass: &mut Pass,
        counted: &mut bool,
    ) -> Result<O::Answer, ProviderError> {
        let asked = self.operation.asked();
        let renamed = entry.renames(asked).then_some(model);
        let info = entry.info();
        let attempt = self.attempts.begin(&info.name, model);
        let begun = Instant::now();
        let waiting = entry.latencies.of(O::FORM).wait();
        // Texts may go to it in many calls, one after the other, and each has its time-out.
        let is_one_call = !matches!(asked.task, Task::Embed | Task::Moderate);
        if is_one_call && (!*counted || pass.is_trial()) {
            pass.waits(info.timeout);
        }
        let asking = attempt.spent().watch(self.ask(entry.provider.as_ref(), renamed));
        let called = timeout_at(self.deadline, asking).await;
        pass.has_waited();
        let now = Instant::now();
        let elapsed = now.duration_since(begun);
        // One that never answers would have no failure where its time-out is longer than the request's time.
        let had_its_time = called.is_err() && is_one_call && elapsed >= self.whole / 2;
        let result = called.unwrap_or_else(|_| {
            // That the request's time is used up speaks of this provider's health only if it had all of its own.
            let is_late = elapsed >= info.timeout && is_one_call;
            let kind = if is_late { ErrorKind::Timeout } else { ErrorKind::DeadlineExceeded };
            Err(ProviderError::new(kind, "no answer within the request's time (routing.deadline)"))
        });
        match &result {
            Ok(answer) => {
                waiting.answered(elapsed, now);
                if self.key.is_none() {
                    entry.limited.answered(model, asked.task, begun);
                }
                match O::FORM {
                    Form::Whole => {
                        entry.monitor.call_succeeded(self.key, begun);
                        pass.succeeded();
                    }
                    // How it ends its events tell.
                    Form::Streamed => {
                        // A trial that breaks opens the breaker again, whatever came before it.
                        *counted &= !pass.is_trial();
                        pass.began();
                    }
                }
                let upstream_id = O::correlation_id(answer);
                tracing::debug!(provider = info.name, model, upstream_id, ?elapsed, "attempt answered");
                attempt.answered(upstream_id, O::lost(answer));
            }
            Err(error) => {
                match error.kind() {
                    _ if error.is_of_callers_key() || !error.was_sent() => waiting.says_nothing(),
                    // Others had used up the request's time: it would have taken longer than what was left.
                    ErrorKind::DeadlineExceeded if !had_its_time => drop(waiting),
                    kind if kind.is_of_provider() => waiting.failed(elapsed, now),
                    kind if kind.may_be_of_provider() => waiting.refused(elapsed, now),
                    _ => waiting.turned_away(now),
                }
                // A server may be without a route that a chat does not need.
                let lacks_route = error.kind() == ErrorKind::EndpointNotFound && asked.task != Task::Chat;
                // However often one request is tried again, it is one request that failed: others may fare better.
                if !*counted && !lacks_route {
                    entry.monitor.call_failed(error);
                }
                if (error.counts_against_model() || had_its_time) && (!*counted || pass.is_trial()) {
                    pass.failed(now);
                }
                *counted |= error.counts_against_health();
                // What a caller's own key may not use, others' may: of a model that is not there some vendors say it so.
                if self.key.is_none() {
                    entry.limited.failed(model, asked.task, error, now);
                }
                let (code, upstream_id) = (error.code(), error.correlation_id());
                let said = error.logged();
                tracing::debug!(provider = info.name, model, code, upstream_id, ?elapsed, "attempt failed: {said}");
                attempt.failed(error);
            }
        }
        if result.as_ref().err().is_none_or(ProviderError::was_sent) {
            entry.tally.count(result.is_err(), elapsed);
        }
        result
    }
}
