//! Refusals of Gemini's.

use serde_json::json;

use super::*;
use crate::provider::fixtures;

fn class(status: u16, sent: &[(&str, &str)], body: &str) -> ProviderError {
    fixtures::refusal(WORDING, status, sent, body)
}

fn error(code: u16, status: &str, message: &str) -> String {
    json!({"error": {"code": code, "message": message, "status": status}}).to_string()
}

#[test]
fn every_refusal_has_its_class() {
    let invalid = |message: &str| error(400, "INVALID_ARGUMENT", message);
    for (status, body, kind) in [
        (400, invalid("* GenerateContentRequest.contents: contents is not specified"), ErrorKind::InvalidRequest),
        (
            400,
            invalid("Invalid JSON payload received. Unknown name \"x\": Cannot find field."),
            ErrorKind::InvalidField,
        ),
        (400, invalid("Penalty is not enabled for models/gemini-2.5-flash"), ErrorKind::InvalidField),
        (400, invalid("API key not valid. Please pass a valid API key."), ErrorKind::Unauthorized),
        (
            400,
            invalid("* GenerateContentRequest.tools[0]: Invalid function name: API key not valid"),
            ErrorKind::InvalidRequest,
        ),
        (400, invalid("API key expired. Please renew the API key."), ErrorKind::Unauthorized),
        (
            400,
            invalid("The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."),
            ErrorKind::ContextLength,
        ),
        (
            400,
            invalid("Please ensure that function call turn comes immediately after a user turn."),
            ErrorKind::MessageOrder,
        ),
        (400, invalid("Requests ending with a model turn are not supported."), ErrorKind::MessageOrder),
        (
            400,
            error(400, "FAILED_PRECONDITION", "User location is not supported for the API use."),
            ErrorKind::Forbidden,
        ),
        (401, error(401, "UNAUTHENTICATED", "no"), ErrorKind::Unauthorized),
        (403, error(403, "PERMISSION_DENIED", "no"), ErrorKind::Forbidden),
        (403, error(403, "PERMISSION_DENIED", "Your API key was reported as leaked."), ErrorKind::Unauthorized),
        (404, error(404, "NOT_FOUND", "models/gemini-0 is not found for API version v1beta"), ErrorKind::ModelNotFound),
        (
            404,
            json!({"message": "Cannot POST /v1beta/models/x:generateContent", "statusCode": 404}).to_string(),
            ErrorKind::EndpointNotFound,
        ),
        (404, error(404, "NOT_FOUND", "Requested entity was not found."), ErrorKind::Unsupported),
        (404, error(404, "NOT_FOUND", "Method not found."), ErrorKind::EndpointNotFound),
        (404, "<html><title>Error 404 (Not Found)!!1</title></html>".to_owned(), ErrorKind::EndpointNotFound),
        (429, error(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota"), ErrorKind::RateLimited),
        (429, error(429, "RESOURCE_EXHAUSTED", "Your prepayment credits are depleted."), ErrorKind::SpendCap),
        (500, error(500, "INTERNAL", "no"), ErrorKind::UpstreamFailed),
        (503, error(503, "UNAVAILABLE", "The model is overloaded."), ErrorKind::UpstreamUnavailable),
        (504, error(504, "DEADLINE_EXCEEDED", "no"), ErrorKind::UpstreamTimeout),
        (307, String::new(), ErrorKind::Redirected),
        (418, String::new(), ErrorKind::Rejected),
    ] {
        assert_eq!(class(status, &[], &body).kind(), kind, "{status} {body}");
    }
}

#[test]
fn a_refusal_keeps_message_reason_and_delay() {
    let key = json!({"error": {"code": 400, "message": "no", "status": "INVALID_ARGUMENT", "details": [
        {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID",
            "domain": "googleapis.com"}]}});
    let refused = class(400, &[], &key.to_string());
    assert_eq!(
        (refused.kind(), refused.message(), refused.upstream_code()),
        (ErrorKind::Unauthorized, "no", Some("API_KEY_INVALID"))
    );
    let quota = json!({"error": {"code": 429, "message": "quota", "status": "RESOURCE_EXHAUSTED", "details": [
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": []},
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"}]}});
    // A stream that is refused is answered with a list.
    for body in [quota.clone(), json!([quota])] {
        let refused = class(429, &[], &body.to_string());
        assert_eq!(
            (refused.message(), refused.upstream_code(), refused.retry_after()),
            ("quota", Some("RESOURCE_EXHAUSTED"), Some(Duration::from_millis(34_500)))
        );
    }
    assert_eq!(class(429, &[("retry-after", "3")], &quota.to_string()).retry_after(), Some(Duration::from_secs(3)));
    assert_eq!(class(500, &[], "").message(), "the upstream answered 500 without a message");
}
