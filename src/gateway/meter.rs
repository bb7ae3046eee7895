//! What calls to providers are counted as: attempts, tokens and what they cost.
//!
//! Labels are words of this program, names of configured providers and models that the price table names; whatever else a
//! caller writes is [`OTHER`]: nobody can make the tables grow.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

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
    /// By provider and model.
    kept: Kept<Used>,
}

static PROXIED: Names =
    Names { tokens: "octroi_llm_tokens_total", cost: "octroi_llm_cost_usd_total", kept: Kept::new() };
static REPORTED: Names = Names {
    tokens: "axonflow_gateway_llm_tokens_total",
    cost: "axonflow_gateway_llm_cost_usd_total",
    kept: Kept::new(),
};

/// By provider and status.
static CALLED: Kept<Counter> = Kept::new();

/// Handles by two labels, of which there is a bounded number. Looking one up by its labels costs more than counting, so
/// each is kept; there is one recorder for the whole process.
struct Kept<H>(Mutex<BTreeMap<String, BTreeMap<String, H>>>);

impl<H> Kept<H> {
    const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// Counts with the handle of these labels, which is made the first time.
    fn count(&self, one: &str, other: &str, make: impl FnOnce() -> H, count: impl FnOnce(&mut H)) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(handle) = kept.get_mut(one).and_then(|it| it.get_mut(other)) {
            return count(handle);
        }
        count(kept.entry(one.to_owned()).or_default().entry(other.to_owned()).or_insert_with(make));
    }
}

/// What is counted of one model's use.
struct Used {
    prompt: Counter,
    completion: Counter,
    /// There from the first call whose price is known.
    cost: Option<Gauge>,
}

/// Tells the recorder what the names mean.
pub(crate) fn describe() {
    describe_counter!(CALLS, "Calls to providers, each attempt");
    describe_counter!(PROXIED.tokens, "Tokens of proxied calls");
    describe_gauge!(PROXIED.cost, "US dollars of proxied calls; only grows");
    describe_counter!(REPORTED.tokens, "Tokens of reported calls");
    describe_gauge!(REPORTED.cost, "US dollars of reported calls; only grows");
}

fn called(provider: &str, status: &str) {
    let new = || counter!(CALLS, "provider" => provider.to_owned(), "status" => status.to_owned());
    CALLED.count(provider, status, new, |counter| counter.increment(1));
}

/// The calls of a request, whatever became of it, and what each of them used, so far as providers told it. `answer`: the
/// last one's.
pub(super) fn proxied(router: &Router, attempts: &[Attempt], answer: Option<&ChatAnswer>) {
    for Attempt { provider, model, code, spent, .. } in attempts.iter().filter(|attempt| attempt.sent) {
        called(provider, code);
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

fn used(names: &'static Names, router: &Router, provider: &str, model: &str, usage: &Usage, cost_usd: Option<f64>) {
    if usage.total_tokens() == 0 {
        return;
    }
    let (provider, model) = (provider_label(router, provider), model_label(router, provider, model));
    let tokens = |kind| {
        let (provider, model) = (provider.to_owned(), model.to_owned());
        counter!(names.tokens, "provider" => provider, "model" => model, "type" => kind)
    };
    let new = || Used { prompt: tokens("prompt"), completion: tokens("completion"), cost: None };
    names.kept.count(provider, model, new, |used| {
        used.prompt.increment(usage.prompt_tokens);
        used.completion.increment(usage.completion_tokens);
        if let Some(dollars) = cost_usd {
            // Counters of the recorder are whole numbers.
            let new = || gauge!(names.cost, "provider" => provider.to_owned(), "model" => model.to_owned());
            used.cost.get_or_insert_with(new).increment(dollars);
        }
    });
}

/// The name of a configured provider, else [`OTHER`].
pub(crate) fn provider_label<'r>(router: &'r Router, name: &str) -> &'r str {
    router.provider(name).map_or(OTHER, |provider| &provider.info().name)
}

fn model_label<'m>(router: &Router, provider: &str, model: &'m str) -> &'m str {
    let known = router.provider(provider).is_some_and(|it| {
        it.info().model == model || it.prices().is_some_and(|prices| prices.names(&it.priced_as(model)))
    });
    if known { model } else { OTHER }
}
