//! Anthropic's refusals, classed. Pure: status, headers and bytes in, one [`ProviderError`] out.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::HeaderMap;

use crate::provider::upstream::refusals::Wording;
use crate::provider::upstream::said::Said;
use crate::provider::upstream::wait::{retry_after, text};
use crate::provider::{ErrorKind, ProviderError};

/// How Anthropic words its refusals.
pub(super) const WORDING: Wording = Wording { classify, status, correlation_headers: &["request-id", "cf-ray"] };

/// Classes an answer whose status is not 200 and that came at `now`.
fn classify(status: u16, headers: &HeaderMap, body: &[u8], now: Timestamp) -> ProviderError {
    let said = Said::read(body);
    let kind = kind(status, &said);
    let wait = match kind {
        ErrorKind::RateLimited => retry_after(headers, now).or_else(|| until_reset(headers, now)),
        _ if kind.retryable() => retry_after(headers, now),
        _ => None,
    };
    said.error(kind, status).with_retry_after(wait)
}

/// The status that the type of an error stands for.
fn status(data: &[u8]) -> u16 {
    match Said::read(data).kind.as_deref() {
        Some("invalid_request_error") => 400,
        Some("authentication_error") => 401,
        Some("billing_error") => 402,
        Some("permission_error") => 403,
        Some("not_found_error") => 404,
        Some("request_too_large") => 413,
        Some("rate_limit_error") => 429,
        Some("timeout_error") => 504,
        Some("overloaded_error") => 529,
        _ => 500,
    }
}

fn kind(status: u16, said: &Said) -> ErrorKind {
    match status {
        400 | 422 => refused(said),
        404 if said.is_of_model() => ErrorKind::ModelNotFound,
        529 => ErrorKind::CapacityExceeded,
        _ => said.class(status),
    }
}

/// `invalid_request_error` is one type for many refusals; the words tell which.
fn refused(said: &Said) -> ErrorKind {
    let any = |texts: &[&str]| texts.iter().any(|text| said.has(text));
    if any(&["prompt is too long", "exceed context limit", "context window"]) {
        ErrorKind::ContextLength
    } else if said.begins("Your credit balance is too low")
        || said.begins("You have reached your") && said.has("usage limits")
    {
        ErrorKind::SpendCap
    } else if said.begins("This organization has been disabled") {
        // The account is banned: none of its keys opens anything.
        ErrorKind::Unauthorized
    } else if any(&["content filtering policy"]) {
        ErrorKind::ContentFilter
    } else if any(&["prefill", "must end with a user message", "roles must alternate", "first message must"]) {
        ErrorKind::MessageOrder
    } else if any(&["tool_use.id", "tool_use_id", "tool_use` ids"]) {
        ErrorKind::ToolCallId
    } else if any(&["Extra inputs are not permitted", "is not supported", "is deprecated for this model"]) {
        ErrorKind::InvalidField
    } else {
        ErrorKind::InvalidRequest
    }
}

/// When every limit that is used up is full again.
fn until_reset(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    ["requests", "tokens", "input-tokens", "output-tokens"]
        .iter()
        .filter(|limit| text(headers, &format!("anthropic-ratelimit-{limit}-remaining")) == Some("0"))
        .filter_map(|limit| {
            let reset: Timestamp = text(headers, &format!("anthropic-ratelimit-{limit}-reset"))?.parse().ok()?;
            Duration::try_from(reset.duration_since(now)).ok()
        })
        .max()
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
