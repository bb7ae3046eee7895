//! Refusals of OpenAI, Azure, Ollama and vLLM.

use serde_json::json;

use super::*;
use crate::provider::fixtures;

fn class(status: u16, sent: &[(&str, &str)], body: &str) -> ProviderError {
    fixtures::refusal(WORDING, status, sent, body)
}

#[test]
fn every_refusal_has_its_class() {
    let error = |message: &str, kind: &str, code: Option<&str>| {
        json!({"error": {"message": message, "type": kind, "param": null, "code": code}}).to_string()
    };
    let request = "invalid_request_error";
    for (status, body, kind) in [
        (400, error("no", request, Some("context_length_exceeded")), ErrorKind::ContextLength),
        (400, error("This model's maximum context length is 8192 tokens.", request, None), ErrorKind::ContextLength),
        (
            400,
            error(
                "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
                request,
                None,
            ),
            ErrorKind::ContextLength,
        ),
        (
            400,
            error("The decoder prompt (length 5000) is longer than the maximum model length of 4096.", request, None),
            ErrorKind::ContextLength,
        ),
        (
            400,
            json!({"error": {"code": 400, "message": "the request exceeds the available context size",
                "type": "exceed_context_size_error", "n_prompt_tokens": 9, "n_ctx": 8}})
            .to_string(),
            ErrorKind::ContextLength,
        ),
        (400, error("filtered", request, Some("content_filter")), ErrorKind::ContentFilter),
        (400, error("Unrecognized request argument", request, Some("unknown_parameter")), ErrorKind::InvalidField),
        (400, error("bad", request, None), ErrorKind::InvalidRequest),
        (401, error("Incorrect API key", request, Some("invalid_api_key")), ErrorKind::Unauthorized),
        (403, error("no access to model", request, Some("model_not_found")), ErrorKind::ModelNotAllowed),
        (403, error("Country", request, Some("unsupported_country_region_territory")), ErrorKind::Forbidden),
        (404, error("no such model", request, Some("model_not_found")), ErrorKind::ModelNotFound),
        (404, error("no deployment", request, Some("DeploymentNotFound")), ErrorKind::ModelNotFound),
        (404, error("model 'x' not found", "not_found_error", None), ErrorKind::ModelNotFound),
        (404, error("The model `x` does not exist.", "NotFoundError", Some("404")), ErrorKind::ModelNotFound),
        (404, error("No endpoints found for acme/x.", request, None), ErrorKind::ModelNotFound),
        (
            404,
            r#"[{"error":{"code":404,"message":"models/x is not found for API version v1main","status":"NOT_FOUND"}}]"#
                .to_owned(),
            ErrorKind::ModelNotFound,
        ),
        (
            404,
            "No matching route found. It is likely because the model specified in your request is not configured in the \
             Gateway."
                .to_owned(),
            ErrorKind::ModelNotFound,
        ),
        (404, json!({"message": "Route GET:/v1/models not found"}).to_string(), ErrorKind::EndpointNotFound),
        (404, json!({"message": "Cannot GET /v1/models, not found"}).to_string(), ErrorKind::EndpointNotFound),
        (404, error("The model `/models/x` does not exist.", "NotFoundError", None), ErrorKind::ModelNotFound),
        (404, error("No endpoints found that support tool use.", request, None), ErrorKind::Unsupported),
        (404, error("Invalid URL (POST /v1/x)", request, None), ErrorKind::EndpointNotFound),
        (404, json!({"detail": "Not Found"}).to_string(), ErrorKind::EndpointNotFound),
        (404, "404 page not found".to_owned(), ErrorKind::EndpointNotFound),
        (429, error("quota", "insufficient_quota", Some("insufficient_quota")), ErrorKind::SpendCap),
        (429, error("slow", "tokens", Some("rate_limit_exceeded")), ErrorKind::RateLimited),
        (500, error("oops", "server_error", None), ErrorKind::UpstreamFailed),
        (501, error("This server does not support embeddings.", "not_supported_error", None), ErrorKind::Unsupported),
        (501, String::new(), ErrorKind::EndpointNotFound),
        (503, error("overloaded", "server_error", None), ErrorKind::UpstreamUnavailable),
        (504, String::new(), ErrorKind::UpstreamTimeout),
        (307, String::new(), ErrorKind::Redirected),
        (418, String::new(), ErrorKind::Rejected),
    ] {
        assert_eq!(class(status, &[], &body).kind(), kind, "{status} {body}");
    }
}

#[test]
fn what_a_vendor_behind_a_router_says_is_of_the_request_and_not_of_the_routers_account_and_routes() {
    let quota = r#"{"error":{"message":"You exceeded your quota","code":"insufficient_quota"}}"#;
    for (status, raw, kind, message) in [
        (429, quota, ErrorKind::ModelNotAllowed, "You exceeded your quota"),
        (
            429,
            r#"{"error":{"code":"billing_hard_limit_reached"}}"#,
            ErrorKind::ModelNotAllowed,
            "Provider returned error",
        ),
        (429, "slow down", ErrorKind::RateLimited, "slow down"),
        (403, "Content violates usage guidelines", ErrorKind::Forbidden, "Content violates usage guidelines"),
        (401, r#"{"error":{"message":"invalid x-api-key"}}"#, ErrorKind::ModelNotAllowed, "invalid x-api-key"),
        (402, "Insufficient balance", ErrorKind::ModelNotAllowed, "Insufficient balance"),
        (404, "404 page not found", ErrorKind::Unsupported, "404 page not found"),
        (404, r#"{"detail":"Not Found"}"#, ErrorKind::Unsupported, "Not Found"),
        (404, "Cannot GET /v1/models, not found", ErrorKind::Unsupported, "Cannot GET /v1/models, not found"),
        (404, "The model `x` does not exist.", ErrorKind::ModelNotFound, "The model `x` does not exist."),
        (404, "", ErrorKind::Unsupported, "Provider returned error"),
        (405, r#"{"detail":"Method Not Allowed"}"#, ErrorKind::Unsupported, "Method Not Allowed"),
        (501, "not implemented", ErrorKind::Unsupported, "not implemented"),
        (400, r#"{"error":{"code":"context_length_exceeded"}}"#, ErrorKind::ContextLength, "Provider returned error"),
        (400, r#"{"error":{"message":"no","code":"content_filter"}}"#, ErrorKind::ContentFilter, "no"),
        (503, "no", ErrorKind::UpstreamUnavailable, "no"),
    ] {
        let metadata = json!({ "raw": raw, "provider_name": "X" });
        let error = json!({ "message": "Provider returned error", "code": status, "metadata": metadata });
        let error = class(status, &[], &json!({ "error": error }).to_string());
        assert_eq!((error.kind(), error.message()), (kind, message), "{status} {raw}");
    }
    for (status, message, kind) in [
        (401, "User not found.", ErrorKind::Unauthorized),
        (402, "Insufficient credits.", ErrorKind::SpendCap),
        (404, "Not Found", ErrorKind::EndpointNotFound),
    ] {
        let own = json!({"error": {"message": message, "code": status, "metadata": {"raw": null}}});
        assert_eq!(class(status, &[], &own.to_string()).kind(), kind, "{message}");
    }
}

#[test]
fn what_a_model_of_ollamas_cannot_do_others_may() {
    for (status, message, kind, of_effort) in [
        (400, "registry.ollama.ai/library/gemma:latest does not support tools", ErrorKind::Unsupported, false),
        (400, "qwen3-thinking does not support tools", ErrorKind::Unsupported, false),
        (400, "\"llama3.1\" does not support thinking", ErrorKind::Unsupported, true),
        (400, "think value \"medium\" is not supported for this model", ErrorKind::Unsupported, true),
        (400, "invalid tool call arguments", ErrorKind::InvalidRequest, false),
        (404, "model 'x' not found", ErrorKind::ModelNotFound, false),
        (500, "it does not support thinking", ErrorKind::UpstreamFailed, false),
    ] {
        let body = json!({"error": {"message": message, "type": "invalid_request_error", "param": null, "code": null}});
        let error = fixtures::refusal(OLLAMAS, status, &[], &body.to_string());
        assert_eq!((error.kind(), refuses_effort(&error)), (kind, of_effort), "{status} {message}");
        assert_eq!((error.message(), error.was_sent()), (message, true));
    }
    let elsewhere = json!({"error": {"message": "it does not support tools"}}).to_string();
    assert_eq!(class(400, &[], &elsewhere).kind(), ErrorKind::InvalidRequest);
}

#[test]
fn a_refusal_keeps_message_code_and_id() {
    let body = r#"{"error":{"message":"slow","type":"tokens","param":null,"code":"rate_limit_exceeded"}}"#;
    let error = class(429, &[("x-request-id", "req_1")], body);
    assert_eq!(
        (error.message(), error.upstream_code(), error.correlation_id()),
        ("slow", Some("rate_limit_exceeded"), Some("req_1"))
    );
    assert_eq!(class(500, &[], "").message(), "the upstream answered 500 without a message");
}

#[test]
fn a_refusal_names_the_field_at_fault_if_it_looks_like_one() {
    for (param, named) in [
        (json!("messages[0].content"), Some("messages[0].content")),
        (json!("write to jane@example.org"), None),
        (json!(null), None),
        (json!({"a": 1}), None),
    ] {
        let body = json!({"error": {"message": "no", "type": "invalid_request_error", "param": param}});
        assert_eq!(class(400, &[], &body.to_string()).param(), named, "{body}");
    }
}

#[test]
fn the_wait_is_the_one_that_was_asked_for_else_that_of_the_spent_limits() {
    let spent = [
        ("x-ratelimit-remaining-requests", "0"),
        ("x-ratelimit-reset-requests", "20ms"),
        ("x-ratelimit-remaining-tokens", "0"),
        ("x-ratelimit-reset-tokens", "6m0s"),
    ];
    let left = [("x-ratelimit-remaining-requests", "9"), ("x-ratelimit-reset-requests", "1s")];
    for (headers, expected) in [
        (spent.to_vec(), Some(360_000)),
        (spent[..2].to_vec(), Some(20)),
        (left.to_vec(), None),
        ([&spent[..], &[("retry-after", "3")]].concat(), Some(3_000)),
        (vec![], None),
    ] {
        let wait = class(429, &headers, "").retry_after();
        assert_eq!(wait, expected.map(Duration::from_millis), "{headers:?}");
    }
}
