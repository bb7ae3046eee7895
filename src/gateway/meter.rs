//! What calls to providers are counted as: attempts, tokens and what they cost.
//!
//! Labels are words of this program, names of configured providers and models that the price table names; whatever else a
//! caller writes is [`OTHER`]: nobody can make the tables grow.

use metrics::{counter, describe_counter, describe_gauge, gauge};

use crate::audit::record as audit;
use crate::chat::Usage;
use crate::router::{Attempt, Router};

/// The label for what callers invent.
pub(crate) const OTHER: &str = "other";

const CALLS: &str = "axonflow_orchestrator_llm_calls_total";

/// Where tokens are counted, and dollars.
struct Names {
    tokens: &'static str,
    cost: &'static str,
}

const PROXIED: Names = Names { tokens: "octroi_llm_tokens_total", cost: "octroi_llm_cost_usd_total" };
const REPORTED: Names =
    Names { tokens: "axonflow_gateway_llm_tokens_total", cost: "axonflow_gateway_llm_cost_usd_total" };

/// Tells the recorder what the names mean.
pub(crate) fn describe() {
    describe_counter!(CALLS, "Calls to providers, each attempt");
    describe_counter!(PROXIED.tokens, "Tokens of proxied calls");
    describe_gauge!(PROXIED.cost, "US dollars of proxied calls; only grows");
    describe_counter!(REPORTED.tokens, "Tokens of reported calls");
    describe_gauge!(REPORTED.cost, "US dollars of reported calls; only grows");
}

/// Attempts whose outcome cannot be recorded.
pub(super) fn attempts(attempts: &[Attempt]) {
    for Attempt { provider, code, .. } in attempts {
        counter!(CALLS, "provider" => provider.clone(), "status" => *code).increment(1);
    }
}

/// The attempts of a request, whatever became of it, and what they used so far as providers told it, as
/// the last one's.
pub(super) fn proxied(router: &Router, outcome: &audit::Outcome) {
    for call in &outcome.calls {
        counter!(CALLS, "provider" => call.provider.clone(), "status" => call.code.clone()).increment(1);
    }
    if outcome.estimated {
        return;
    }
    let usage = Usage {
        prompt_tokens: outcome.prompt_tokens,
        completion_tokens: outcome.completion_tokens,
        ..Usage::default()
    };
    used(&PROXIED, router, &outcome.provider, &outcome.model, &usage, outcome.cost_usd);
}

/// What a call used that an application made, by its own word.
pub(super) fn reported(router: &Router, call: &audit::LlmCall) {
    let usage =
        Usage { prompt_tokens: call.prompt_tokens, completion_tokens: call.completion_tokens, ..Usage::default() };
    used(&REPORTED, router, &call.provider, &call.model, &usage, call.cost_usd);
}

fn used(names: &Names, router: &Router, provider: &str, model: &str, usage: &Usage, cost_usd: Option<f64>) {
    if usage.total_tokens() == 0 {
        return;
    }
    let (provider, model) = (provider_label(router, provider), model_label(router, provider, model));
    for (kind, count) in [("prompt", usage.prompt_tokens), ("completion", usage.completion_tokens)] {
        counter!(names.tokens, "provider" => provider.clone(), "model" => model.clone(), "type" => kind)
            .increment(count);
    }
    if let Some(dollars) = cost_usd {
        // Counters of the recorder are whole numbers.
        gauge!(names.cost, "provider" => provider, "model" => model).increment(dollars);
    }
}

/// The name of a configured provider, else [`OTHER`].
pub(crate) fn provider_label(router: &Router, name: &str) -> String {
    router.provider(name).map_or(OTHER, |provider| &provider.info().name).to_owned()
}

fn model_label(router: &Router, provider: &str, model: &str) -> String {
    let known = router
        .provider(provider)
        .is_some_and(|it| it.info().model == model || it.prices().is_some_and(|prices| prices.names(model)));
    if known { model } else { OTHER }.to_owned()
}
