//! One request on its way through its candidates: attempts, waits, failover.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::time::timeout_at;

use super::breaker::Pass;
use super::entry::Entry;
use super::error::{Attempt, RouteError};
use super::retry::Retry;
use super::{Routed, meter};
use crate::provider::{ErrorKind, Provider, ProviderError};

/// What is asked of a provider.
#[async_trait]
pub(super) trait Operation: Sync {
    /// What it answers.
    type Answer: Send;

    /// The model, as the caller named it.
    fn model(&self) -> Option<&str>;

    /// Asks once. `renamed`: the provider's own name of the model, where it has another.
    async fn call(&self, provider: &dyn Provider, renamed: Option<&str>) -> Result<Self::Answer, ProviderError>;

    /// The id under which the vendor finds the call.
    fn correlation_id(answer: &Self::Answer) -> Option<&str>;
}

/// Asks the candidates in their order until one answers, a failure says that nobody would, attempts or time are used up,
/// or nobody is left. The same provider is asked again as long as that leaves an attempt for each of the others.
pub(super) async fn ask<O: Operation>(
    candidates: &[&Entry],
    operation: &O,
    retry: &Retry,
    deadline: Duration,
) -> Result<Routed<O::Answer>, RouteError> {
    let asked = operation.model();
    let mut call = Call { operation, deadline: Instant::now() + deadline, attempts: Vec::with_capacity(1) };
    let mut left = retry.attempts;
    let mut failure = None;
    let mut opens = None;
    let mut rest = candidates;
    'candidates: while let Some((entry, others)) = rest.split_first() {
        rest = others;
        let Some(model) = entry.model_for(asked) else { continue };
        let mut failures = 0;
        while left > 0 {
            let pass = match entry.breakers.pass(model, Instant::now()) {
                Ok(pass) => pass,
                Err(wait) => {
                    opens = Some(opens.map_or(wait, |soonest: Duration| soonest.min(wait)));
                    break;
                }
            };
            if failures == 0 {
                entry.budget.earn();
            }
            left -= 1;
            let error = match call.attempt(entry, model, pass).await {
                Ok(answer) => {
                    let (provider, model) = (entry.info().name.clone(), model.to_owned());
                    return Ok(Routed { provider, model, answer, attempts: call.attempts });
                }
                Err(error) => error,
            };
            failures += 1;
            let error = failure.insert(error);
            if !error.fail_over() || call.remaining().is_zero() {
                break 'candidates;
            }
            let others = others.iter().filter(|other| !other.refuses(asked)).count();
            if left as usize <= others {
                break;
            }
            let wait = retry.wait(error, failures, others > 0).filter(|wait| *wait < call.remaining());
            let Some(wait) = wait else { break };
            let affordable = entry.budget.spend();
            meter::retry(&entry.info().name, affordable);
            if !affordable {
                break;
            }
            tokio::time::sleep(wait).await;
        }
    }
    Err(match (failure, opens) {
        (Some(error), _) => RouteError::Failed { error: Box::new(error), attempts: call.attempts },
        (None, Some(retry_after)) => RouteError::BreakerOpen { retry_after },
        (None, None) => RouteError::NoCandidate { reason: "nobody was asked".to_owned() },
    })
}

/// What the attempts of one request share.
struct Call<'a, O> {
    operation: &'a O,
    deadline: Instant,
    attempts: Vec<Attempt>,
}

impl<O: Operation> Call<'_, O> {
    fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Asks a provider once, and tells all who keep account of it.
    async fn attempt(&mut self, entry: &Entry, model: &str, pass: Pass<'_>) -> Result<O::Answer, ProviderError> {
        let renamed = entry.renames(self.operation.model()).then_some(model);
        let begun = Instant::now();
        let in_hand = entry.latency.begin();
        let called = timeout_at(self.deadline.into(), self.operation.call(entry.provider.as_ref(), renamed)).await;
        drop(in_hand);
        let now = Instant::now();
        let elapsed = now.duration_since(begun);
        let result = match called {
            Ok(Ok(answer)) => {
                entry.monitor.succeeded();
                entry.latency.answered(elapsed, now);
                pass.succeeded();
                Ok(answer)
            }
            Ok(Err(error)) => {
                entry.monitor.call_failed(&error);
                if error.counts_against_health() {
                    entry.latency.failed(elapsed, now);
                    pass.failed(now);
                }
                Err(error)
            }
            // The request's time was used up, which need not be this provider's fault.
            Err(_) => {
                entry.latency.failed(elapsed, now);
                Err(ProviderError::new(ErrorKind::Timeout, "no answer within the request's time (routing.deadline)"))
            }
        };
        let provider = entry.info().name.clone();
        let (code, correlation_id) = match &result {
            Ok(answer) => ("ok", O::correlation_id(answer).map(str::to_owned)),
            Err(error) => (error.code(), error.correlation_id().map(str::to_owned)),
        };
        if let Err(error) = &result {
            tracing::debug!(provider, model, code, ?elapsed, "attempt failed: {error}");
        }
        self.attempts.push(Attempt { provider, model: model.to_owned(), code, elapsed, correlation_id });
        result
    }
}
