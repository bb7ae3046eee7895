//! What became of a request, as it is recorded.

use jiff::Timestamp;

use super::Pipeline;
use crate::audit::record as audit;
use crate::chat::{self, Usage};
use crate::gateway::record;
use crate::provider::ProviderError;
use crate::router::{Attempt, RouteError, Routed};

/// Notes of a provider that are kept, at most.
const NOTES: usize = 32;

impl Pipeline {
    pub(in crate::gateway) fn outcome(&self, decision: audit::Decision) -> audit::Outcome {
        audit::Outcome {
            request_id: self.id.as_str().to_owned(),
            at: Timestamp::now(),
            decision,
            provider: String::new(),
            model: String::new(),
            attempts: 0,
            calls: Vec::new(),
            prompt_tokens: 0,
            completion_tokens: 0,
            cached_tokens: 0,
            cache_write_tokens: 0,
            cost_usd: None,
            estimated: false,
            latency_ms: self.milliseconds(),
            finish_reason: None,
            block_reason: None,
            policies: Vec::new(),
            not_inspected: Vec::new(),
            error: None,
            client_gone: false,
            streamed: None,
            notes: Vec::new(),
            content: None,
        }
    }

    /// Puts into an answer that broke off what the vendor counted of it, unless it has told so.
    pub(in crate::gateway) fn broke_off(&self, routed: &mut Routed, error: &ProviderError) {
        let Routed { provider, model, answer, .. } = routed;
        if let (None, Some(spent)) = (answer.usage, error.spent()) {
            answer.cost_usd = self.gateway.router.price(provider, model, &spent);
            answer.usage = Some(spent);
        }
    }

    /// The outcome of a call that was answered, so far as it is known whatever policies say.
    pub(in crate::gateway) fn answered_outcome(&self, decision: audit::Decision, routed: &Routed) -> audit::Outcome {
        let answer = &routed.answer;
        let (usage, cost_usd) = match answer.usage {
            Some(usage) => (usage, answer.cost_usd),
            None => {
                let usage = chat::estimate(&self.original, answer.choices.iter().map(|choice| &choice.message));
                (usage, self.gateway.router.price(&routed.provider, &routed.model, &usage))
            }
        };
        let mut outcome = audit::Outcome {
            cost_usd,
            estimated: answer.usage.is_none(),
            not_inspected: record::not_inspected_of(answer, 0),
            notes: answer.notes.iter().take(NOTES).cloned().collect(),
            finish_reason: answer.choices.first().map(|choice| choice.finish_reason.as_str().to_owned()),
            ..self.outcome(decision)
        };
        set_usage(&mut outcome, usage);
        self.tried_into(&mut outcome, &routed.attempts);
        outcome
    }

    pub(super) fn failed_outcome(&self, error: &RouteError) -> audit::Outcome {
        let mut outcome = self.outcome(audit::Decision::Error);
        outcome.error = Some(error.brief());
        self.tried_into(&mut outcome, error.attempts());
        outcome
    }

    /// The last one is the one that answered, or that failed last. What was lost with failed ones is used all the same.
    pub(super) fn tried_into(&self, outcome: &mut audit::Outcome, attempts: &[Attempt]) {
        if let Some(last) = Attempt::last_call(attempts).or(attempts.last()) {
            outcome.provider = last.provider.clone();
            outcome.model = last.model.clone();
        }
        outcome.attempts = u32::try_from(Attempt::calls(attempts)).unwrap_or(u32::MAX);
        outcome.calls = attempts.iter().map(record::call).collect();
        let has_answer = attempts.last().is_some_and(|last| last.code == "ok");
        for (index, (attempt, spent)) in attempts.iter().filter_map(|it| Some((it, it.spent?))).enumerate() {
            set_usage(outcome, usage_of(outcome).plus(spent));
            let cost = self.gateway.router.price(&attempt.provider, &attempt.model, &spent);
            // Where a part has no price, nobody knows what all of it cost.
            let before = if index == 0 && !has_answer { Some(0.0) } else { outcome.cost_usd };
            outcome.cost_usd = before.zip(cost).map(|(before, cost)| before + cost);
        }
    }
}

/// Puts into what is recorded that the client left.
pub(in crate::gateway) fn client_left(outcome: &mut audit::Outcome) {
    outcome.decision = audit::Decision::Error;
    outcome.client_gone = true;
    outcome.error = Some("the client went away before it had its answer".to_owned());
}

/// What was used so far.
fn usage_of(outcome: &audit::Outcome) -> Usage {
    Usage {
        prompt_tokens: outcome.prompt_tokens,
        completion_tokens: outcome.completion_tokens,
        cached_tokens: outcome.cached_tokens,
        cache_write_tokens: outcome.cache_write_tokens,
        ..Usage::default()
    }
}

fn set_usage(outcome: &mut audit::Outcome, usage: Usage) {
    outcome.prompt_tokens = usage.prompt_tokens;
    outcome.completion_tokens = usage.completion_tokens;
    outcome.cached_tokens = usage.cached_tokens;
    outcome.cache_write_tokens = usage.cache_write_tokens;
}
