//! Mistral's refusals, classed. Pure: status, headers and bytes in, one [`ProviderError`] out, whatever the shape of the
//! body: the API's own, those of its validators, of the edges before it, a page of HTML, or nothing at all.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::HeaderMap;
use serde_json::Value;

use super::limits::Limits;
use crate::provider::{ErrorKind, ProviderError};

/// Code 3505 comes back at once if asked again sooner.
const CAPACITY_WAIT: Duration = Duration::from_secs(20);

/// Where an id of the call is found, the best first.
const CORRELATION_HEADERS: [&str; 4] = ["mistral-correlation-id", "x-kong-request-id", "x-request-id", "cf-ray"];

/// The part of an HTML page or a plain text that is looked at, in bytes.
const PROSE_BYTES: usize = 4096;

/// What the body says.
#[derive(Debug, Default)]
struct Said {
    message: String,
    code: Option<String>,
    kind: Option<String>,
    request_id: Option<String>,
    guardrails: bool,
}

/// The id under which the vendor finds a call.
pub(crate) fn correlation_id(headers: &HeaderMap) -> Option<&str> {
    CORRELATION_HEADERS.iter().find_map(|name| headers.get(*name)?.to_str().ok())
}

/// Classes an answer whose status is not 200 and that came at `now`.
pub(crate) fn classify(status: u16, headers: &HeaderMap, body: &[u8], now: Timestamp) -> ProviderError {
    let said = read(body);
    let limits = Limits::read(headers, now);
    let kind = kind(status, &said, &limits);
    let wait = match kind {
        ErrorKind::CapacityExceeded => Some(limits.retry_after.unwrap_or(CAPACITY_WAIT)),
        ErrorKind::RateLimited => limits.wait(),
        _ if kind.retryable() => limits.retry_after,
        _ => None,
    };
    let message = match (kind, said.message.trim()) {
        (ErrorKind::Redirected, _) => "the upstream answered with a redirect, which is not followed".to_owned(),
        (_, "") => format!("the upstream answered {status} without a message"),
        (_, message) => message.to_owned(),
    };
    let id = correlation_id(headers).or(said.request_id.as_deref());
    ProviderError::new(kind, &message)
        .with_status(status)
        .with_upstream_code(said.code.as_deref().or(said.kind.as_deref()))
        .with_correlation_id(id)
        .with_retry_after(wait)
}

fn kind(status: u16, said: &Said, limits: &Limits) -> ErrorKind {
    match status {
        300..=399 => ErrorKind::Redirected,
        400 | 404 | 422 => refused(status, said),
        401 => ErrorKind::Unauthorized,
        402 => ErrorKind::SpendCap,
        403 if said.is("3201") => ErrorKind::GuardrailFailed,
        403 if said.guardrails => ErrorKind::ContentFilter,
        403 if said.is("1910") || said.is("1913") || said.is("tier_not_allowed") => ErrorKind::ModelNotAllowed,
        403 => ErrorKind::Forbidden,
        408 | 409 | 425 => ErrorKind::TryAgain,
        413 => ErrorKind::RequestTooLarge,
        429 if said.is("3505") || said.has("capacity exceeded") => ErrorKind::CapacityExceeded,
        429 if limits.never() => ErrorKind::ModelNotAllowed,
        429 if limits.month_spent() => ErrorKind::SpendCap,
        429 => ErrorKind::RateLimited,
        503 => ErrorKind::UpstreamUnavailable,
        504 | 522 | 524 => ErrorKind::UpstreamTimeout,
        500..=599 => ErrorKind::UpstreamFailed,
        400..=499 => ErrorKind::Rejected,
        _ => ErrorKind::MalformedAnswer,
    }
}

/// 400 and 422, and 404 with an error of the API in it. Older answers carry no code: their text decides.
fn refused(status: u16, said: &Said) -> ErrorKind {
    if said.is("1500") || said.is("invalid_model") || said.has("invalid model") {
        return ErrorKind::ModelNotFound;
    }
    if status == 404 {
        return ErrorKind::EndpointNotFound;
    }
    if said.is("3230") || said.is("invalid_request_message_order") || said.order() {
        return ErrorKind::MessageOrder;
    }
    if said.is("3280") || said.has("tool call id") {
        return ErrorKind::ToolCallId;
    }
    if said.is("3210") || said.has("too many inputs") || said.has("too many tokens overall") {
        return ErrorKind::BatchTooLarge;
    }
    if said.has("too large for model") || said.has("maximum context length") {
        return ErrorKind::ContextLength;
    }
    if status == 422 { ErrorKind::InvalidField } else { ErrorKind::InvalidRequest }
}

impl Said {
    fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code) || self.kind.as_deref() == Some(code)
    }

    fn has(&self, text: &str) -> bool {
        let (haystack, needle) = (self.message.as_bytes(), text.as_bytes());
        haystack.windows(needle.len()).any(|window| window.eq_ignore_ascii_case(needle))
    }

    fn order(&self) -> bool {
        self.has("expected last role")
            || self.has("unexpected role")
            || self.has("conversation roles must")
            || self.has("same number of function calls and responses")
    }
}

fn read(body: &[u8]) -> Said {
    match serde_json::from_slice::<Value>(body) {
        Ok(Value::Object(fields)) => {
            let nested = fields.get("error").filter(|error| error.is_object());
            let field = |name: &str| fields.get(name).filter(|value| !value.is_null());
            let either = |name: &str| field(name).or_else(|| nested.and_then(|error| error.get(name)));
            Said {
                message: either("message")
                    .or_else(|| field("detail"))
                    .or_else(|| field("error"))
                    .map_or_else(String::new, prose),
                code: either("code").and_then(scalar),
                kind: either("type").and_then(scalar),
                request_id: field("request_id").and_then(scalar),
                guardrails: field("guardrails").is_some(),
            }
        }
        Ok(other) => Said { message: prose(&other), ..Said::default() },
        Err(_) => Said { message: page(body), ..Said::default() },
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The text of a message: a string, a string that is JSON itself, a validator's list, or an object around one of these.
fn prose(message: &Value) -> String {
    match message {
        Value::String(text) => match serde_json::from_str::<Value>(text) {
            Ok(inner @ (Value::Object(_) | Value::Array(_))) => prose(&inner),
            _ => text.clone(),
        },
        Value::Array(items) => items.iter().map(prose).filter(|text| !text.is_empty()).collect::<Vec<_>>().join("; "),
        Value::Object(fields) => match (fields.get("msg"), fields.get("detail").or_else(|| fields.get("message"))) {
            (Some(message), _) => complaint(fields.get("loc"), message),
            (None, Some(inner)) => prose(inner),
            (None, None) => String::new(),
        },
        _ => String::new(),
    }
}

/// `body.messages.0.name: Extra inputs are not permitted`. The input itself is never repeated: it is the caller's text.
fn complaint(place: Option<&Value>, message: &Value) -> String {
    let message = message.as_str().unwrap_or_default();
    let place = place.and_then(Value::as_array).map(|steps| steps.iter().filter_map(scalar).collect::<Vec<_>>());
    match place {
        Some(place) if !place.is_empty() => format!("{}: {message}", place.join(".")),
        _ => message.to_owned(),
    }
}

/// What an edge wrote: the title of a page, or the text.
fn page(body: &[u8]) -> String {
    let start = body.get(..PROSE_BYTES).unwrap_or(body);
    let text = String::from_utf8_lossy(start);
    if !text.trim_start().starts_with('<') {
        return text.into_owned();
    }
    let lower = text.to_ascii_lowercase();
    let title = lower.find("<title>").map(|at| at + "<title>".len()).and_then(|from| {
        let length = lower.get(from..)?.find("</title>")?;
        text.get(from..from + length)
    });
    match title.map(str::trim).filter(|title| !title.is_empty()) {
        Some(title) => format!("the upstream answered with a page titled `{title}`"),
        None => "the upstream answered with a page instead of JSON".to_owned(),
    }
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
