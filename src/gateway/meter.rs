//! What calls to providers are counted as: attempts, tokens and what they cost.
//!
//! Labels are words of this program, names of configured providers and models that the price table names; whatever else a
//! caller writes is [`OTHER`]: nobody can make the tables grow.

use metrics::{counter, describe_counter, describe_gauge, gauge};

use crate::audit::record as audit;
use crate::chat::{ChatAnswer, Usage};
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

/// The calls of a request, whatever became of it, and what each of them used, so far as providers told it. `answer`: the
/// last one's.
pub(super) fn proxied(router: &Router, attempts: &[Attempt], answer: Option<&ChatAnswer>) {
    for Attempt { provider, model, code, spent, .. } in attempts.iter().filter(|attempt| attempt.sent) {
        counter!(CALLS, "provider" => provider.clone(), "status" => *code).increment(1);
        if let Some(spent) = spent {
            used(&PROXIED, router, provider, model, spent, router.price(provider, model, spent));
        }
    }
    if let Some((last, answer)) = attempts.last().zip(answer)
        && let Some(usage) = &answer.usage
    {
        used(&PROXIED, router, &last.provider, &last.model, usage, answer.cost_usd);
    }
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
