//! Refusals in OpenAI's dialect, classed. Pure: status, headers and bytes in, one [`ProviderError`] out.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::HeaderMap;

use crate::provider::upstream::refusals::Wording;
use crate::provider::upstream::said::{self, Said};
use crate::provider::upstream::wait::{reset, retry_after, text};
use crate::provider::{ErrorKind, ProviderError};

/// How refusals are worded in this dialect.
pub(super) const WORDING: Wording = Wording {
    classify,
    status: said::status,
    correlation_headers: &["x-request-id", "apim-request-id", "x-ms-request-id", "cf-ray"],
};

/// How Ollama words them: it says what a model cannot do at all.
pub(super) const OLLAMAS: Wording = Wording { classify: classify_ollamas, ..WORDING };

/// Classes an answer of Ollama's.
fn classify_ollamas(status: u16, headers: &HeaderMap, body: &[u8], now: Timestamp) -> ProviderError {
    let said = Said::read(body);
    let lacks = said.has("does not support") || said.has("think value");
    match status {
        400 if lacks => said.error(ErrorKind::Unsupported, status),
        _ => classify(status, headers, body, now),
    }
}

/// Whether a model of Ollama's takes no effort: it does not think, or, in older versions, thinks without one.
pub(super) fn refuses_effort(refusal: &ProviderError) -> bool {
    let says = |words: &str| refusal.message().contains(words);
    refusal.kind() == ErrorKind::Unsupported && (says("does not support thinking") || says("think value"))
}

/// Classes an answer whose status is not 200 and that came at `now`.
fn classify(status: u16, headers: &HeaderMap, body: &[u8], now: Timestamp) -> ProviderError {
    let said = Said::read(body);
    let kind = kind(status, &said);
    let wait = match kind {
        ErrorKind::RateLimited => retry_after(headers, now).or_else(|| until_reset(headers)),
        _ if kind.retryable() => retry_after(headers, now),
        _ => None,
    };
    said.error(kind, status).with_retry_after(wait)
}

fn kind(status: u16, said: &Said) -> ErrorKind {
    match status {
        400 | 422 => refused(status, said),
        403 if said.is("model_not_found") => ErrorKind::ModelNotAllowed,
        404 if no_model(said) => ErrorKind::ModelNotFound,
        429 if said.is("insufficient_quota") || said.is("billing_hard_limit_reached") => {
            if said.is_wrapped {
                ErrorKind::ModelNotAllowed
            } else {
                ErrorKind::SpendCap
            }
        }
        _ => said.class(status),
    }
}

/// OpenAI's code, Azure's, and the words of OpenRouter, Envoy, Ollama and vLLM, which have none.
fn no_model(said: &Said) -> bool {
    said.is("model_not_found")
        || said.is("DeploymentNotFound")
        || said.begins("No endpoints found for ")
        || said.begins("No matching route found. It is likely because the model")
        || said.is_of_model() && (said.has("not found") || said.has("does not exist"))
}

/// OpenAI's code, llama.cpp's, and the words of vLLM and xAI, which have none.
fn is_too_long(said: &Said) -> bool {
    said.is("context_length_exceeded")
        || said.is("exceed_context_size_error")
        || ["maximum context length", "maximum model length", "maximum prompt length"].iter().any(|it| said.has(it))
}

fn refused(status: u16, said: &Said) -> ErrorKind {
    if is_too_long(said) {
        ErrorKind::ContextLength
    } else if said.is("content_filter") || said.is("content_policy_violation") {
        ErrorKind::ContentFilter
    } else if said.is("model_not_found") || said.is("DeploymentNotFound") {
        ErrorKind::ModelNotFound
    } else if said.is("unknown_parameter") || said.is("unsupported_parameter") {
        ErrorKind::InvalidField
    } else {
        ErrorKind::of_status(status)
    }
}

/// When every limit that is used up is full again.
fn until_reset(headers: &HeaderMap) -> Option<Duration> {
    ["requests", "tokens"]
        .iter()
        .filter(|limit| text(headers, &format!("x-ratelimit-remaining-{limit}")) == Some("0"))
        .filter_map(|limit| reset(text(headers, &format!("x-ratelimit-reset-{limit}"))?))
        .max()
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
