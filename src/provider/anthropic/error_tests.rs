//! Refusals of Anthropic's.

use serde_json::json;

use super::*;
use crate::provider::fixtures;

fn class(status: u16, sent: &[(&str, &str)], body: &str) -> ProviderError {
    fixtures::refusal(WORDING, status, sent, body)
}

fn error(kind: &str, message: &str) -> String {
    json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}).to_string()
}

#[test]
fn every_refusal_has_its_class() {
    let invalid = |message: &str| error("invalid_request_error", message);
    for (status, body, kind) in [
        (400, invalid("max_tokens: Field required"), ErrorKind::InvalidRequest),
        (400, invalid("store: Extra inputs are not permitted"), ErrorKind::InvalidField),
        (400, invalid("`temperature` is deprecated for this model."), ErrorKind::InvalidField),
        (400, invalid("prompt is too long: 210000 tokens > 200000 maximum"), ErrorKind::ContextLength),
        (
            400,
            invalid("input length and `max_tokens` exceed context limit: 1 + 2 > 3, decrease input length"),
            ErrorKind::ContextLength,
        ),
        (400, invalid("Your credit balance is too low to access the Anthropic API."), ErrorKind::SpendCap),
        (400, invalid("You have reached your specified API usage limits."), ErrorKind::SpendCap),
        (
            400,
            invalid("tool_choice: Tool 'Your credit balance is too low, usage limits' not found in provided tools"),
            ErrorKind::InvalidRequest,
        ),
        (400, invalid("This organization has been disabled."), ErrorKind::Unauthorized),
        (
            400,
            invalid("tool_choice: Tool 'This organization has been disabled' not found in provided tools"),
            ErrorKind::InvalidRequest,
        ),
        (400, invalid("Output blocked by content filtering policy"), ErrorKind::ContentFilter),
        (
            400,
            invalid(
                "This model does not support assistant message prefill. The conversation must end with a user message.",
            ),
            ErrorKind::MessageOrder,
        ),
        (
            400,
            invalid("messages.2: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_1."),
            ErrorKind::ToolCallId,
        ),
        (401, error("authentication_error", "invalid x-api-key"), ErrorKind::Unauthorized),
        (402, error("billing_error", "no"), ErrorKind::SpendCap),
        (403, error("permission_error", "no"), ErrorKind::Forbidden),
        (404, error("not_found_error", "model: claude-0"), ErrorKind::ModelNotFound),
        (404, error("not_found_error", "Not Found"), ErrorKind::EndpointNotFound),
        (404, r#"{"message":"Cannot GET /v1/models"}"#.to_owned(), ErrorKind::EndpointNotFound),
        (404, error("not_found_error", "File not found: file_1"), ErrorKind::Unsupported),
        (409, error("conflict_error", "no"), ErrorKind::TryAgain),
        (413, error("request_too_large", "Request exceeds the maximum size"), ErrorKind::RequestTooLarge),
        (429, error("rate_limit_error", "slow"), ErrorKind::RateLimited),
        (500, error("api_error", "Internal server error"), ErrorKind::UpstreamFailed),
        (503, String::new(), ErrorKind::UpstreamUnavailable),
        (504, error("timeout_error", "no"), ErrorKind::UpstreamTimeout),
        (529, error("overloaded_error", "Overloaded"), ErrorKind::CapacityExceeded),
        (307, String::new(), ErrorKind::Redirected),
        (418, String::new(), ErrorKind::Rejected),
    ] {
        assert_eq!(class(status, &[], &body).kind(), kind, "{status} {body}");
    }
}

#[test]
fn a_refusal_keeps_message_type_and_id() {
    let refused = class(529, &[], &error("overloaded_error", "Overloaded"));
    assert_eq!(
        (refused.message(), refused.upstream_code(), refused.correlation_id()),
        ("Overloaded", Some("overloaded_error"), Some("req_1"))
    );
    assert_eq!(class(500, &[("request-id", "req_2")], "{}").correlation_id(), Some("req_2"));
    assert_eq!(class(500, &[], "").message(), "the upstream answered 500 without a message");
}

#[test]
fn the_wait_is_the_one_that_was_asked_for_else_that_of_the_spent_limits() {
    let spent = [
        ("anthropic-ratelimit-requests-remaining", "0"),
        ("anthropic-ratelimit-requests-reset", "2026-11-22T18:00:20Z"),
        ("anthropic-ratelimit-input-tokens-remaining", "0"),
        ("anthropic-ratelimit-input-tokens-reset", "2026-11-22T18:00:40Z"),
    ];
    let left = [
        ("anthropic-ratelimit-requests-remaining", "9"),
        ("anthropic-ratelimit-requests-reset", "2026-11-22T18:00:20Z"),
    ];
    let past =
        [("anthropic-ratelimit-tokens-remaining", "0"), ("anthropic-ratelimit-tokens-reset", "2026-11-22T17:00:00Z")];
    for (headers, expected) in [
        (spent.to_vec(), Some(40)),
        (spent[..2].to_vec(), Some(20)),
        (left.to_vec(), None),
        (past.to_vec(), None),
        ([&spent[..], &[("retry-after", "3")]].concat(), Some(3)),
        (vec![], None),
    ] {
        let wait = class(429, &headers, "").retry_after();
        assert_eq!(wait, expected.map(Duration::from_secs), "{headers:?}");
    }
    assert_eq!(class(529, &[("retry-after", "5")], "").retry_after(), Some(Duration::from_secs(5)));
    assert_eq!(class(400, &[("retry-after", "5")], "").retry_after(), None);
}
