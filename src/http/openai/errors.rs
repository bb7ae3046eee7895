//! Errors in the words of both families of clients: Mistral's keys at the top, OpenAI's below `error`.

use std::borrow::Cow;

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;

use crate::gateway::{Refusal, StreamFailure};
use crate::http::ApiError;
use crate::http::answer::json;
use crate::http::errors::{retry_after, wait, with_hints};
use crate::provider::ProviderError;
use crate::router::RouteError;

/// What both shapes say.
#[derive(Clone, Serialize)]
struct Told<'a> {
    message: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    /// The field at fault.
    param: Option<&'a str>,
    code: &'static str,
    /// The policy that refused the request, and the rule of its first finding.
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
}

#[derive(Serialize)]
struct Body<'a> {
    object: &'static str,
    #[serde(flatten)]
    mistral: Told<'a>,
    error: Told<'a>,
    /// What Mistral's clients read of a 422, and nothing else of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<[Detail<'a>; 1]>,
}

#[derive(Serialize)]
struct Detail<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    loc: Vec<Value>,
    msg: &'a str,
}

fn body(status: StatusCode, told: Told<'_>) -> Response {
    let detail = (status == StatusCode::UNPROCESSABLE_ENTITY)
        .then(|| [Detail { kind: "value_error", loc: location(told.param.unwrap_or_default()), msg: told.message }]);
    json(status, &Body { object: "error", mistral: told.clone(), error: told, detail })
}

/// A field's path as Mistral's clients read it: `["body", "messages", 0, "content"]`.
fn location(field: &str) -> Vec<Value> {
    let steps = field.split(['.', '[', ']']).filter(|step| !step.is_empty());
    let steps = steps.map(|step| step.parse::<u32>().map_or_else(|_| Value::from(step), Value::from));
    [Value::from("body")].into_iter().chain(steps).collect()
}

/// An error of the gateway or of the request itself.
pub(super) fn api(error: &ApiError) -> Response {
    let status = error.status();
    metrics::counter!("octroi_http_errors_total", "code" => error.code()).increment(1);
    let message = error.to_string();
    let param = match error {
        ApiError::Required(field) => Some(Cow::Borrowed(*field)),
        ApiError::Field { field, .. } => Some(field.clone()),
        ApiError::Body { field: Some(field), .. } => Some(Cow::Borrowed(field.as_str())),
        _ => None,
    };
    let told = Told {
        message: &message,
        kind: kind(status),
        param: param.as_deref(),
        code: error.code(),
        policy: None,
        rule: None,
    };
    with_hints(body(status, told), "Bearer realm=\"octroi\"")
}

/// A policy refused the request or its answer.
pub(super) fn refused(refusal: &Refusal) -> Response {
    let message = match &refusal.explanation {
        Some(explanation) => Cow::Owned(format!("{}: {explanation}", refusal.reason)),
        None => Cow::Borrowed(refusal.reason.as_str()),
    };
    let told = Told {
        message: &message,
        kind: "policy_violation",
        param: None,
        code: "policy_denied",
        policy: Some(&refusal.policy),
        rule: refusal.rule.as_deref(),
    };
    body(StatusCode::BAD_REQUEST, told)
}

/// No model answered.
pub(super) fn failed(error: &RouteError) -> Response {
    let surface = error.surface_as();
    let status = StatusCode::from_u16(surface.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let message = error.to_string();
    // Of other statuses the request is not at fault.
    let of_request = matches!(status, StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY);
    let param = error.provider_error().and_then(ProviderError::param).filter(|_| of_request);
    let told = Told { message: &message, kind: kind(status), param, code: surface.code, policy: None, rule: None };
    let mut response = body(status, told);
    if let Some(wait) = wait(error) {
        retry_after(&mut response, wait);
    }
    response
}

/// An answer that broke off while it streamed, as the payload of an event. In this form alone: with Mistral's keys at
/// the top OpenAI's clients take it for a chunk without content.
pub(super) fn broke_off(failure: &StreamFailure) -> String {
    let message = failure.to_string();
    let told =
        Told { message: &message, kind: "api_error", param: None, code: failure.code(), policy: None, rule: None };
    serde_json::json!({ "error": told }).to_string()
}

/// A model that no provider here answers for.
pub(super) fn no_such_model() -> Response {
    let told = Told {
        message: "no provider of this gateway serves this model",
        kind: "invalid_request_error",
        param: Some("model"),
        code: "model_not_found",
        policy: None,
        rule: None,
    };
    body(StatusCode::NOT_FOUND, told)
}

/// OpenAI's word for a status.
fn kind(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "authentication_error",
        StatusCode::FORBIDDEN => "permission_error",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        status if status.is_server_error() => "api_error",
        _ => "invalid_request_error",
    }
}
