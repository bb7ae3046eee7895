//! Failures before the answer.

use std::time::Duration;

use hyper::Method;
use mistral_double::{Endpoint, Failure, MistralDouble, RateLimit, RateLimitHeaders, Rule, ValidationShape};
use serde_json::{Value, json};

use crate::client::{Answer, asking, chat, double, get, read, request, send};

/// What holds of an error's body.
type Claim = fn(&Value) -> bool;

async fn failing(failure: impl Into<Failure>) -> Answer {
    let double = double().await;
    double.script(failure.into());
    // Also a stream gets its error as a plain body.
    chat(&double, &asking("hi", &json!({ "stream": true }))).await
}

#[tokio::test]
async fn each_error_has_its_shape() {
    let cases: [(Failure, u16, Claim); 14] = [
        (Failure::context_too_long(), 400, |body| {
            body["object"] == "error" && body["code"] == "3051" && body["raw_status_code"] == 400
        }),
        (
            Failure::Api { status: 400, kind: "invalid_request_error".into(), code: None, message: "m".into() },
            400,
            |body| body["code"].is_null(),
        ),
        (Failure::Validation(ValidationShape::MessageObject), 422, |body| body["message"]["detail"].is_array()),
        (Failure::Validation(ValidationShape::DetailList), 422, |body| body["detail"].is_array()),
        (Failure::Validation(ValidationShape::CapitalError), 422, |body| body["code"] == 3001),
        (Failure::Validation(ValidationShape::MessageText), 422, |body| body["code"] == "1000"),
        (Failure::invalid_key(), 401, |body| body["detail"] == "Invalid API Key"),
        (Failure::internal(), 500, |body| body["detail"] == "Internal Server Error"),
        (Failure::Edge { status: 401, message: "Unauthorized".into() }, 401, |body| body["request_id"].is_string()),
        (Failure::GuardrailBlock, 403, |body| {
            body["error"]["status"] == 403 && body["guardrails"]["results"].is_object()
        }),
        (Failure::GuardrailError, 403, |body| body["code"] == 3201 && body["guardrails"].is_array()),
        (Failure::tier_not_allowed(), 403, |body| body["code"] == "1910"),
        (Failure::spend_cap(), 402, |body| body["detail"].is_string()),
        (Failure::WrongShape, 200, |body| body["choices"] == "none"),
    ];
    for (failure, status, holds) in cases {
        let answer = failing(failure.clone()).await;
        assert_eq!(answer.status, status, "{failure:?}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert!(answer.header("mistral-correlation-id").is_some());
        assert!(holds(&answer.json()), "{failure:?}: {}", answer.text());
    }
}

#[tokio::test]
async fn some_errors_are_no_json() {
    let page = failing(Failure::HtmlPage(520)).await;
    assert_eq!((page.status.as_u16(), page.header("content-type")), (520, Some("text/html; charset=UTF-8")));
    assert!(page.text().starts_with("<!DOCTYPE html>"));
    let text = failing(Failure::unavailable()).await;
    assert_eq!((text.status.as_u16(), text.header("content-type")), (503, Some("text/plain")));
    let empty = failing(Failure::Empty(504)).await;
    assert_eq!((empty.status.as_u16(), empty.header("content-length")), (504, Some("0")));
    let broken = failing(Failure::BadJson).await;
    assert!(broken.complete && serde_json::from_slice::<Value>(&broken.bytes()).is_err());
    assert_eq!(failing(Failure::WrongContentType).await.header("content-type"), Some("text/html; charset=UTF-8"));
}

#[tokio::test]
async fn a_429_names_what_is_spent() {
    let both = ["x-ratelimit-limit-req-minute", "x-ratelimit-limit-tokens-minute"];
    let cases = [
        (RateLimit::requests(), "1300", [Some("3600"), None]),
        (RateLimit::tokens(), "1300", [None, Some("20000000")]),
        (RateLimit::not_allowed(), "1300", [Some("0"), None]),
        (RateLimit::capacity(), "3505", [None, None]),
        (RateLimit::requests().headers(RateLimitHeaders::Absent), "1300", [None, None]),
    ];
    for (limit, code, limits) in cases {
        let answer = failing(limit).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (429, &json!(code)));
        assert_eq!(both.map(|name| answer.header(name)), limits);
        assert_eq!(answer.header("retry-after"), None);
    }
    let older =
        failing(RateLimit::not_allowed().headers(RateLimitHeaders::Older).retry_after("7").retry_after_ms(6500)).await;
    assert_eq!(older.header("ratelimitbysize-limit"), Some("0"));
    assert_eq!((older.header("retry-after"), older.header("retry-after-ms")), (Some("7"), Some("6500")));
    let edge = failing(RateLimit::requests().from_edge()).await;
    assert_eq!(edge.json(), json!({ "message": "Requests rate limit exceeded" }));
}

#[tokio::test]
async fn a_redirect_points_elsewhere() {
    let elsewhere = double().await;
    let target = format!("{}/v1/chat/completions", elsewhere.origin());
    let answer = failing(Failure::Redirect(target.clone())).await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (302, Some(target.as_str())));
    assert_eq!(elsewhere.stats().received, 0);
}

#[tokio::test]
async fn connections_break_before_and_within_an_answer() {
    let double = double().await;
    for failure in [Failure::Reset, Failure::Close] {
        double.script(failure);
        let body = asking("hi", &json!({})).to_string();
        let error = send(&double, request(&double, Method::POST, "/v1/chat/completions", &body)).await.unwrap_err();
        assert!(!error.is_user());
    }
    double.script(Failure::CutBody);
    let answer = chat(&double, &asking("hi", &json!({}))).await;
    assert_eq!((answer.status.as_u16(), answer.complete), (200, false));
    assert!(answer.text().starts_with("{\"id\""));
    double.wait_until(|stats| stats.in_flight == 0).await.unwrap();
    assert_eq!(double.stats().cancelled_streams + double.stats().cancelled_requests, 0);
}

#[tokio::test]
async fn a_reset_is_a_real_one() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let double = double().await;
    for (failure, kind) in [(Failure::Reset, Some(std::io::ErrorKind::ConnectionReset)), (Failure::Close, None)] {
        double.script(failure);
        let body = asking("hi", &json!({})).to_string();
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n",
            double.key(),
            body.len()
        );
        let mut socket = tokio::net::TcpStream::connect(double.address()).await.unwrap();
        socket.write_all((head + &body).as_bytes()).await.unwrap();
        let end = socket.read_to_end(&mut Vec::new()).await;
        assert_eq!(end.err().map(|error| error.kind()), kind);
    }
}

#[tokio::test]
async fn a_huge_body_has_the_size_asked_for() {
    for size in [100, 1_000_000] {
        let answer = failing(Failure::HugeBody(size)).await;
        assert_eq!((answer.bytes().len(), answer.header("content-length")), (size, None));
        assert!(answer.json()["filler"].is_string());
    }
}

#[tokio::test]
async fn latency_comes_before_the_first_byte() {
    let double = MistralDouble::builder().before_first_byte(Duration::from_millis(20)).start().await.unwrap();
    let began = tokio::time::Instant::now();
    chat(&double, &asking("hi", &json!({}))).await;
    assert!(began.elapsed() >= Duration::from_millis(20));
}

#[tokio::test]
async fn rules_hold_for_their_requests_and_their_times() {
    let double = MistralDouble::builder()
        .script(Rule::times(2, Failure::internal()).for_model("codestral-latest"))
        .script(Rule::once(Failure::Empty(503)).on(Endpoint::Models))
        .start()
        .await
        .unwrap();
    let codestral = asking("hi", &json!({ "model": "codestral-latest" }));
    assert_eq!(chat(&double, &asking("hi", &json!({}))).await.status, 200);
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(chat(&double, &codestral).await.status.as_u16());
    }
    assert_eq!(statuses, [500, 500, 200]);
    assert_eq!(get(&double, "/v1/models").await.status, 503);
    assert_eq!(get(&double, "/v1/models").await.status, 200);
    double.script(Rule::always(Failure::Empty(504)));
    for _ in 0..3 {
        assert_eq!(chat(&double, &codestral).await.status, 504);
    }
    double.clear_script();
    assert_eq!(read(send(&double, request(&double, Method::GET, "/v1/models", "")).await.unwrap()).await.status, 200);
    assert_eq!(chat(&double, &codestral).await.status, 200);
}
