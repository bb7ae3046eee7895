//! Each shape of a refusal, and each row of the table of classes.

use super::*;
use crate::provider::fixtures;

fn class(status: u16, sent: &[(&str, &str)], body: &str) -> ProviderError {
    fixtures::refusal(WORDING, status, sent, body)
}

#[test]
fn every_shape_gives_its_message_and_code() {
    let shapes: &[(&str, u16, &str, &str, Option<&str>)] = &[
        (
            "E1",
            400,
            r#"{"object":"error","message":"Invalid model: x","type":"invalid_model","param":null,"code":"1500","raw_status_code":400}"#,
            "Invalid model: x",
            Some("1500"),
        ),
        (
            "E1 without code",
            400,
            r#"{"object":"error","message":"Bad","type":"invalid_request_error","param":null,"code":null}"#,
            "Bad",
            Some("invalid_request_error"),
        ),
        (
            "E2",
            422,
            r#"{"object":"error","message":{"detail":[{"type":"extra_forbidden","loc":["body","seed"],"msg":"Extra inputs are not permitted","input":7}]},"type":"invalid_request_error","param":null,"code":null}"#,
            "body.seed: Extra inputs are not permitted",
            Some("invalid_request_error"),
        ),
        (
            "E3",
            422,
            r#"{"detail":[{"type":"x","loc":["body","messages",0,"name"],"msg":"no","input":"SECRET PROMPT"},{"loc":[],"msg":"nor this"}]}"#,
            "body.messages.0.name: no; nor this",
            None,
        ),
        (
            "E4",
            422,
            r#"{"object":"Error","detail":[{"loc":["tools"],"msg":"b"}],"message":[{"loc":["tools"],"msg":"too short"}],"type":"invalid_request_error","code":3001}"#,
            "tools: too short",
            Some("3001"),
        ),
        ("E5", 401, r#"{"detail":"Invalid API Key"}"#, "Invalid API Key", None),
        (
            "E6",
            404,
            r#"{"message":"no Route matched with those values","request_id":"ab12"}"#,
            "no Route matched with those values",
            None,
        ),
        ("E7", 403, r#"{"error":{"message":"Blocked","status":403},"guardrails":{"results":{}}}"#, "Blocked", None),
        (
            "E8",
            403,
            r#"{"object":"Error","message":"Guardrail failed","type":"invalid_request_error","code":3201,"guardrails":[]}"#,
            "Guardrail failed",
            Some("3201"),
        ),
        (
            "E9 HTML",
            520,
            "<!DOCTYPE html>\n<html><head><TITLE> api.mistral.ai | 520: Web server is returning an unknown error </TITLE>",
            "the upstream answered with a page titled `api.mistral.ai | 520: Web server is returning an unknown error`",
            None,
        ),
        ("E9 HTML without title", 502, "<html></html>", "the upstream answered with a page instead of JSON", None),
        (
            "E9 text",
            503,
            "upstream connect error or disconnect/reset\n",
            "upstream connect error or disconnect/reset",
            None,
        ),
        ("E9 empty", 504, "", "the upstream answered 504 without a message", None),
        (
            "E10",
            422,
            r#"{"object":"error","message":"{\"detail\":[{\"loc\":[\"body\",\"user\"],\"msg\":\"Extra\"}]}","type":"internal_error_proxy","code":"1000"}"#,
            "body.user: Extra",
            Some("1000"),
        ),
        ("no object", 500, "[1, 2]", "the upstream answered 500 without a message", None),
        ("an error as text", 500, r#"{"error":"broken"}"#, "broken", None),
    ];
    for (claim, status, body, message, code) in shapes {
        let error = class(*status, &[], body);
        assert_eq!(error.message(), *message, "{claim}");
        assert_eq!(error.upstream_code(), *code, "{claim}");
        assert_eq!(error.status(), Some(*status), "{claim}");
        assert!(!error.to_string().contains("SECRET"), "{claim}");
    }
}

/// Status, headers, body; class, retry, failover, health, surface.
#[test]
fn every_row_of_the_table_of_classes_holds() {
    let zero: &[(&str, &str)] = &[("x-ratelimit-limit-req-minute", "0"), ("x-ratelimit-remaining-req-minute", "0")];
    let some: &[(&str, &str)] = &[("x-ratelimit-limit-req-minute", "60"), ("x-ratelimit-remaining-req-minute", "0")];
    let month: &[(&str, &str)] = &[("x-ratelimitbysize-limit-month", "9"), ("x-ratelimitbysize-remaining-month", "0")];
    let none: &[(&str, &str)] = &[];
    let e1 =
        |code: &str, message: &str| format!(r#"{{"object":"error","message":"{message}","type":"t","code":{code}}}"#);
    let context = "Prompt contains 9 tokens and 0 draft tokens, too large for model with 8 maximum context length";
    use ErrorKind::*;
    for (status, sent, body, kind, retry, over, counts, surface) in [
        (400, none, e1("\"3051\"", context), ContextLength, false, true, false, 400),
        (
            400,
            none,
            e1("\"3051\"", "Logprobs are not enabled for this model"),
            InvalidRequest,
            false,
            false,
            false,
            400,
        ),
        (400, none, e1("\"1500\"", "Invalid model: x"), ModelNotFound, false, true, false, 404),
        (400, none, e1("null", "Invalid model: x"), ModelNotFound, false, true, false, 404),
        (404, none, e1("\"1500\"", "gone"), ModelNotFound, false, true, false, 404),
        (400, none, e1("\"3230\"", "order"), MessageOrder, false, true, false, 400),
        (400, none, e1("null", "Expected last role User or Tool"), MessageOrder, false, true, false, 400),
        (
            400,
            none,
            e1("null", "Not the same number of function calls and responses"),
            MessageOrder,
            false,
            true,
            false,
            400,
        ),
        (400, none, e1("3280", "id"), ToolCallId, false, true, false, 400),
        (400, none, e1("null", "Tool call id was x but must be a-z"), ToolCallId, false, true, false, 400),
        (404, none, e1("null", "The model x was retired"), ModelNotFound, false, true, false, 404),
        (404, none, e1("null", "Agent ag_1 not found"), Unsupported, false, true, false, 400),
        (404, none, r#"{"message":"Cannot GET /v1/models"}"#.to_owned(), EndpointNotFound, false, true, true, 502),
        (400, none, e1("\"3210\"", "Too many inputs in request"), BatchTooLarge, false, false, false, 400),
        (400, none, e1("null", "Too many tokens in batch. Max is 9 got 10"), BatchTooLarge, false, false, false, 400),
        (
            400,
            none,
            e1("\"3210\"", "Input id 0 has 9 tokens, exceeding max 8 tokens."),
            ContextLength,
            false,
            true,
            false,
            400,
        ),
        (400, none, e1("null", "other"), InvalidRequest, false, false, false, 400),
        (401, none, String::new(), Unauthorized, false, true, true, 502),
        (402, none, String::new(), SpendCap, false, true, true, 402),
        (403, none, e1("\"1910\"", "plan"), ModelNotAllowed, false, true, false, 403),
        (403, none, e1("\"1913\"", "labs"), ModelNotAllowed, false, true, false, 403),
        (403, none, r#"{"error":{"message":"m"},"guardrails":{}}"#.into(), ContentFilter, false, false, false, 403),
        (403, none, r#"{"code":3201,"guardrails":[]}"#.into(), GuardrailFailed, false, false, false, 403),
        (403, none, "denied".into(), Forbidden, false, true, false, 502),
        (404, none, r#"{"detail":"Not Found"}"#.into(), EndpointNotFound, false, true, true, 502),
        (413, none, String::new(), RequestTooLarge, false, true, false, 413),
        (422, none, r#"{"detail":[]}"#.into(), InvalidField, false, false, false, 422),
        (429, some, e1("\"1300\"", "Rate limit exceeded"), RateLimited, true, true, false, 429),
        (429, none, r#"{"message":"Requests rate limit exceeded"}"#.into(), RateLimited, true, true, false, 429),
        (429, zero, e1("\"1300\"", "Rate limit exceeded"), ModelNotAllowed, false, true, false, 403),
        (429, month, e1("\"1300\"", "Rate limit exceeded"), SpendCap, false, true, true, 402),
        (429, none, e1("\"3505\"", "x"), CapacityExceeded, true, true, true, 503),
        (
            429,
            none,
            e1("null", "Service tier capacity exceeded for this model."),
            CapacityExceeded,
            true,
            true,
            true,
            503,
        ),
        (408, none, String::new(), TryAgain, true, true, false, 503),
        (409, none, String::new(), TryAgain, true, true, false, 503),
        (425, none, String::new(), TryAgain, true, true, false, 503),
        (405, none, String::new(), EndpointNotFound, false, true, true, 502),
        (406, none, String::new(), Rejected, false, false, false, 502),
        (500, none, r#"{"detail":"Internal Server Error"}"#.into(), UpstreamFailed, true, true, true, 502),
        (501, none, String::new(), EndpointNotFound, false, true, true, 502),
        (502, none, String::new(), UpstreamFailed, true, true, true, 502),
        (503, none, String::new(), UpstreamUnavailable, true, true, true, 503),
        (504, none, String::new(), UpstreamTimeout, true, true, true, 504),
        (520, none, "<html>".into(), UpstreamFailed, true, true, true, 502),
        (529, none, String::new(), UpstreamFailed, true, true, true, 502),
        (302, none, String::new(), Redirected, false, true, true, 502),
        (204, none, String::new(), MalformedAnswer, true, true, true, 502),
    ] {
        let error = class(status, sent, &body);
        let claim = format!("{status} {body}");
        assert_eq!(error.kind(), kind, "{claim}");
        assert_eq!(error.retryable(), retry, "{claim}");
        assert_eq!(error.fail_over(), over, "{claim}");
        assert_eq!(error.counts_against_health(), counts, "{claim}");
        assert_eq!(error.surface_as().status, surface, "{claim}");
    }
}

#[test]
fn waits_come_from_the_upstream_or_from_what_is_known() {
    let spent: (&str, &str) = ("x-ratelimit-remaining-req-minute", "0");
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    let capacity = r#"{"code":"3505"}"#;
    for (status, sent, body, wait) in [
        (429, vec![], "", None),
        (429, vec![spent], "", seconds(60)),
        (429, vec![spent, ("retry-after", "3")], "", seconds(3)),
        (429, vec![], capacity, seconds(20)),
        (429, vec![("retry-after", "5")], capacity, seconds(5)),
        (503, vec![("retry-after", "4")], "", seconds(4)),
        (503, vec![], "", None),
        (400, vec![("retry-after", "4")], "", None),
    ] {
        assert_eq!(class(status, &sent, body).retry_after(), wait, "{status} {sent:?} {body}");
    }
}

#[test]
fn the_field_at_fault_is_kept() {
    let body =
        r#"{"object":"error","message":"no","type":"invalid_request_error","param":"tools[0].name","code":null}"#;
    assert_eq!(class(400, &[], body).param(), Some("tools[0].name"));
    for (body, field) in [
        (r#"{"detail":[{"type":"extra_forbidden","loc":["body","foo"],"msg":"no","input":7}]}"#, Some("foo")),
        (
            r#"{"message":{"detail":[{"loc":["body","messages",0,"content"],"msg":"no"},{"loc":["body","n"],"msg":"no"}]}}"#,
            Some("messages[0].content"),
        ),
        (r#"{"message":"{\"detail\":[{\"loc\":[\"body\",\"n\"],\"msg\":\"no\"}]}"}"#, Some("n")),
        (r#"{"detail":[{"loc":["body"],"msg":"no"}]}"#, None),
        (r#"{"detail":[{"loc":["body","not a field"],"msg":"no"}]}"#, None),
        (r#"{"detail":"no"}"#, None),
    ] {
        assert_eq!(class(422, &[], body).param(), field, "{body}");
    }
}

#[test]
fn the_vendors_id_of_the_call_is_kept() {
    let kong: (&str, &str) = ("x-kong-request-id", "kong1");
    for (sent, body, id) in [
        (vec![kong, ("mistral-correlation-id", "0199-a")], "", Some("0199-a")),
        (vec![kong], "", Some("kong1")),
        (vec![], r#"{"message":"Unauthorized","request_id":"ab12"}"#, Some("ab12")),
        (vec![], r#"{"request_id":"a\nb"}"#, None),
        (vec![], "", None),
    ] {
        assert_eq!(class(401, &sent, body).correlation_id(), id, "{sent:?} {body}");
    }
}

#[test]
fn hostile_bodies_stay_harmless() {
    for body in [
        "\u{feff}{".to_owned(),
        format!(r#"{{"message":"{}"}}"#, "a".repeat(100_000)),
        r#"{"message":"a\u0000\u001b[2Jb\r\nset-cookie: x"}"#.to_owned(),
        "[".repeat(50_000),
        "<title>".to_owned(),
        format!("<{}</title><title>", "é".repeat(5_000)),
    ] {
        let error = class(500, &[], &body);
        assert!(error.message().chars().count() <= 610);
        assert!(!error.message().chars().any(char::is_control), "{error}");
    }
    let invalid = classify(500, &HeaderMap::new(), b"\xff\xfe broken", Timestamp::UNIX_EPOCH);
    assert!(invalid.message().contains("broken"));
}
