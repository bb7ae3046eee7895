//! Gemini's refusals, classed. Pure: status, headers and bytes in, one [`ProviderError`] out.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::HeaderMap;
use serde_json::Value;

use crate::provider::upstream::refusals::Wording;
use crate::provider::upstream::said::{self, Said};
use crate::provider::upstream::wait::{reset, retry_after};
use crate::provider::{ErrorKind, ProviderError};

/// How Gemini words its refusals. It names no call.
pub(super) const WORDING: Wording = Wording { classify, status: said::status, correlation_headers: &[] };

/// What Google's form of an error says beyond its message.
#[derive(Debug, Default)]
struct Refusal {
    said: Said,
    /// Such as `RESOURCE_EXHAUSTED`.
    status: Option<String>,
    /// Such as `API_KEY_INVALID`.
    reason: Option<String>,
    retry_delay: Option<Duration>,
}

impl Refusal {
    fn read(body: &[u8]) -> Self {
        let whole = said::refusal(body).unwrap_or_default();
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        let error = whole.get("error");
        let details = || error?.get("details")?.as_array();
        let detail = |name: &str| details()?.iter().find_map(|detail| detail.get(name));
        Self {
            status: text(error.and_then(|error| error.get("status"))),
            reason: text(detail("reason")),
            retry_delay: detail("retryDelay").and_then(Value::as_str).and_then(reset),
            said: Said::read(body),
        }
    }
}

/// Classes an answer whose status is not 200 and that came at `now`.
fn classify(status: u16, headers: &HeaderMap, body: &[u8], now: Timestamp) -> ProviderError {
    let refusal = Refusal::read(body);
    let kind = kind(status, &refusal);
    let wait = kind.retryable().then(|| retry_after(headers, now).or(refusal.retry_delay)).flatten();
    refusal
        .said
        .error(kind, status)
        .with_upstream_code(refusal.reason.as_deref().or(refusal.status.as_deref()))
        .with_retry_after(wait)
}

fn kind(status: u16, refusal: &Refusal) -> ErrorKind {
    let said = &refusal.said;
    match status {
        400 | 422 => refused(refusal),
        403 if said.begins("Your API key was reported as leaked") => ErrorKind::Unauthorized,
        404 if said.is_of_model() => ErrorKind::ModelNotFound,
        429 if said.has("spending cap") || said.has("credits are depleted") => ErrorKind::SpendCap,
        _ => said.class(status),
    }
}

/// A wrong key is a 400 here; what else is refused, the words tell.
fn refused(refusal: &Refusal) -> ErrorKind {
    let said = &refusal.said;
    let any = |texts: &[&str]| texts.iter().any(|text| said.has(text));
    let of_key = ["API key not valid", "API key expired"].iter().any(|text| said.begins(text));
    if of_key || refusal.reason.as_deref() == Some("API_KEY_INVALID") {
        ErrorKind::Unauthorized
    } else if refusal.status.as_deref() == Some("FAILED_PRECONDITION") {
        // Billing that is not set up, or a country that is not served.
        ErrorKind::Forbidden
    } else if any(&["exceeds the maximum number of tokens"]) {
        ErrorKind::ContextLength
    } else if any(&[
        "function call turn",
        "function response turn",
        "function response parts",
        // 3.5 Flash-Lite, 3.6 and later continue no answer.
        "ending with a model turn",
    ]) {
        ErrorKind::MessageOrder
    } else if any(&["Unknown name", "is not enabled for", "is not supported"]) {
        ErrorKind::InvalidField
    } else {
        ErrorKind::InvalidRequest
    }
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
