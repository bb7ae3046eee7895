//! Mistral's refusals, classed. Pure: status, headers and bytes in, one [`ProviderError`] out, whatever the shape of the
//! body: the API's own, those of its validators, of the edges before it, a page of HTML, or nothing at all.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::HeaderMap;

use super::limits::Limits;
use crate::provider::upstream::refusals::Wording;
use crate::provider::upstream::said::{self, Said};
use crate::provider::{ErrorKind, ProviderError};

/// Code 3505 comes back at once if asked again sooner.
const CAPACITY_WAIT: Duration = Duration::from_secs(20);

/// How Mistral words its refusals.
pub(super) const WORDING: Wording = Wording {
    classify,
    status: said::status,
    correlation_headers: &["mistral-correlation-id", "x-kong-request-id", "x-request-id", "cf-ray"],
};

/// Classes an answer whose status is not 200 and that came at `now`.
fn classify(status: u16, headers: &HeaderMap, body: &[u8], now: Timestamp) -> ProviderError {
    let said = Said::read(body);
    let limits = Limits::read(headers, now);
    let kind = kind(status, &said, &limits);
    let wait = match kind {
        ErrorKind::CapacityExceeded => Some(limits.retry_after.unwrap_or(CAPACITY_WAIT)),
        ErrorKind::RateLimited => limits.wait(),
        _ if kind.retryable() => limits.retry_after,
        _ => None,
    };
    said.error(kind, status).with_retry_after(wait)
}

fn kind(status: u16, said: &Said, limits: &Limits) -> ErrorKind {
    match status {
        400 | 404 | 422 => refused(status, said),
        403 if said.is("3201") => ErrorKind::GuardrailFailed,
        403 if said.guardrails => ErrorKind::ContentFilter,
        403 if said.is("1910") || said.is("1913") || said.is("tier_not_allowed") => ErrorKind::ModelNotAllowed,
        429 if said.is("3505") || said.has("capacity exceeded") => ErrorKind::CapacityExceeded,
        429 if limits.never() => ErrorKind::ModelNotAllowed,
        429 if limits.month_spent() => ErrorKind::SpendCap,
        _ => said.class(status),
    }
}

/// 400 and 422, and 404 with an error of the API in it. Older answers carry no code: their text decides.
fn refused(status: u16, said: &Said) -> ErrorKind {
    if said.is("1500") || said.is("invalid_model") || said.has("invalid model") {
        return ErrorKind::ModelNotFound;
    }
    if status == 404 {
        // Of a model that was retired it has other words.
        return if said.is_of_model() { ErrorKind::ModelNotFound } else { said.class(status) };
    }
    if said.is("3230") || said.is("invalid_request_message_order") || about_order(said) {
        return ErrorKind::MessageOrder;
    }
    if said.is("3280") || said.has("tool call id") {
        return ErrorKind::ToolCallId;
    }
    if said.is("3210") && said.has("exceeding max") {
        return ErrorKind::ContextLength;
    }
    const TOO_MANY: [&str; 3] = ["too many inputs", "too many tokens overall", "too many tokens in batch"];
    if said.is("3210") || TOO_MANY.iter().any(|text| said.has(text)) {
        return ErrorKind::BatchTooLarge;
    }
    if said.has("too large for model") || said.has("maximum context length") {
        return ErrorKind::ContextLength;
    }
    ErrorKind::of_status(status)
}

/// Words of refusals that carried no code.
fn about_order(said: &Said) -> bool {
    said.has("expected last role")
        || said.has("unexpected role")
        || said.has("conversation roles must")
        || said.has("same number of function calls and responses")
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
