//! What requests are counted as, under the names that AxonFlow's dashboards know and a few of our own.
//!
//! Labels are words of this program, names of configured providers and models whose price is known; whatever else a
//! caller writes is `other`: nobody can make the tables grow.

use std::time::Duration;

use ::metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use super::App;
use super::stats::Ending;
use crate::chat::Usage;
use crate::router::{Attempt, Routed};

/// The label for what callers invent.
const OTHER: &str = "other";

/// Tells the recorder what the names mean.
pub(super) fn describe() {
    describe_counter!("axonflow_agent_requests_total", "Requests of applications, by how they ended");
    describe_counter!("axonflow_agent_blocked_requests_total", "Requests that a policy refused");
    describe_counter!("axonflow_agent_policy_evaluations_total", "Evaluations of policies for requests");
    describe_histogram!(
        "axonflow_agent_request_duration_milliseconds",
        Unit::Milliseconds,
        "Time from the head of a request to its answer, by type"
    );
    describe_counter!("axonflow_gateway_precheck_requests_total", "Pre-checks");
    describe_histogram!("axonflow_gateway_precheck_duration_milliseconds", Unit::Milliseconds, "Time of a pre-check");
    describe_counter!("axonflow_gateway_audit_requests_total", "Reported calls");
    describe_histogram!("axonflow_gateway_audit_duration_milliseconds", Unit::Milliseconds, "Time to record a call");
    describe_counter!("axonflow_gateway_llm_tokens_total", "Tokens of reported calls");
    describe_gauge!("axonflow_gateway_llm_cost_usd_total", "US dollars of reported calls; only grows");
    describe_counter!("axonflow_orchestrator_llm_calls_total", "Calls to providers, each attempt");
    describe_counter!("octroi_llm_tokens_total", "Tokens of proxied calls");
    describe_gauge!("octroi_llm_cost_usd_total", "US dollars of proxied calls; only grows");
    describe_counter!("octroi_http_errors_total", "Requests that were answered with an error, by code");
    describe_counter!("octroi_admin_errors_total", "The same of the admin API");
}

/// One request of an application is over.
pub(super) fn request(kind: &'static str, ending: Ending, elapsed: Duration) {
    counter!("axonflow_agent_requests_total", "status" => ending.as_str()).increment(1);
    histogram!("axonflow_agent_request_duration_milliseconds", "type" => kind).record(milliseconds(elapsed));
    if ending == Ending::Blocked {
        counter!("axonflow_agent_blocked_requests_total").increment(1);
    }
}

/// So many policies were asked for a request.
pub(super) fn policies_asked(count: usize) {
    counter!("axonflow_agent_policy_evaluations_total").increment(count as u64);
}

/// One pre-check is over.
pub(super) fn pre_check(ending: Ending, elapsed: Duration) {
    let status = if ending == Ending::Error { "error" } else { "success" };
    let approved = if ending == Ending::Success { "true" } else { "false" };
    counter!("axonflow_gateway_precheck_requests_total", "status" => status, "approved" => approved).increment(1);
    histogram!("axonflow_gateway_precheck_duration_milliseconds").record(milliseconds(elapsed));
}

/// One report of a call is over.
pub(super) fn reported(app: &App, provider: Option<&str>, ending: Ending, elapsed: Duration) {
    let provider = provider.map_or(OTHER.to_owned(), |name| provider_label(app, name));
    counter!("axonflow_gateway_audit_requests_total", "status" => ending.as_str(), "provider" => provider).increment(1);
    histogram!("axonflow_gateway_audit_duration_milliseconds").record(milliseconds(elapsed));
}

/// Where tokens were used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Used {
    /// By a call that the gateway made.
    Proxied,
    /// By a call that an application reported.
    Reported,
}

/// Tokens, and what they cost where the price is known.
pub(super) fn tokens(app: &App, used: Used, provider: &str, model: &str, usage: &Usage, cost_usd: Option<f64>) {
    let (tokens, cost) = match used {
        Used::Proxied => ("octroi_llm_tokens_total", "octroi_llm_cost_usd_total"),
        Used::Reported => ("axonflow_gateway_llm_tokens_total", "axonflow_gateway_llm_cost_usd_total"),
    };
    let (model, provider) = (model_label(app, provider, model), provider_label(app, provider));
    for (kind, count) in [("prompt", usage.prompt_tokens), ("completion", usage.completion_tokens)] {
        counter!(tokens, "provider" => provider.clone(), "model" => model.clone(), "type" => kind).increment(count);
    }
    if let Some(dollars) = cost_usd {
        // Counters of the recorder are whole numbers.
        gauge!(cost, "provider" => provider, "model" => model).increment(dollars);
    }
}

/// Each attempt at a provider, all of which the router knows.
pub(super) fn attempts(attempts: &[Attempt]) {
    for Attempt { provider, code, .. } in attempts {
        counter!("axonflow_orchestrator_llm_calls_total", "provider" => provider.clone(), "status" => *code)
            .increment(1);
    }
}

/// A call that a provider answered: the attempts, and what the answer used.
pub(super) fn routed(app: &App, routed: &Routed) {
    attempts(&routed.attempts);
    if let Some(usage) = &routed.answer.usage {
        tokens(app, Used::Proxied, &routed.provider, &routed.model, usage, routed.answer.cost_usd);
    }
}

fn provider_label(app: &App, name: &str) -> String {
    app.gateway.router().provider(name).map_or(OTHER, |provider| &provider.info().name).to_owned()
}

fn model_label(app: &App, provider: &str, model: &str) -> String {
    let known = app
        .gateway
        .router()
        .provider(provider)
        .is_some_and(|it| it.info().model == model || it.price(model, &Usage::default()).is_some());
    if known { model } else { OTHER }.to_owned()
}

fn milliseconds(elapsed: Duration) -> f64 {
    elapsed.as_secs_f64() * 1_000.0
}
