//! Upstreams that fail: before the first event, and behind it.

use std::time::Duration;

use mistral_double::{Behaviour, Failure, MistralDouble, Rule, StreamFault};
use serde_json::{Value, json};

use super::support::{Setup, eventually};
use super::{ask, last_record, stream, with_pattern};

#[tokio::test]
async fn an_upstream_that_breaks_off_breaks_the_clients_connection() {
    let double = MistralDouble::builder().start().await.unwrap();
    let yaml = format!(
        "routing: {{ breaker: {{ failures: 100 }} }}\nllm_providers:\n  mistral:\n    credentials: {{ api_key: \"{}\" \
         }}\n    config: {{ endpoint: \"{}\", timeout_seconds: 5 }}\n",
        double.key(),
        double.origin()
    );
    let gateway = Setup::without_provider().policies(&["audit-redact"]).yaml(&yaml).start();
    let mut estimated = 0;
    for fault in [
        StreamFault::FlatError,
        StreamFault::WrappedError,
        StreamFault::FinishError,
        StreamFault::Cut,
        StreamFault::NoDone,
        StreamFault::NoFinish,
        StreamFault::BadJson,
        StreamFault::Stall,
    ] {
        double.script(Behaviour::break_stream(2, fault));
        let seen = stream(&gateway, ask("Hello")).await;
        assert_eq!((seen.status, seen.done, seen.whole), (200, false, false), "{fault:?} {seen:?}");
        let error = seen.events.last().unwrap();
        assert!(error["error"]["message"].is_string() && error.get("object").is_none(), "{fault:?} {error}");
        let record = last_record(&gateway).await;
        assert_eq!(record["policy_decision"], "error", "{fault:?} {record}");
        assert!(record["error_message"].is_string(), "{fault:?} {record}");
        if record["policy_details"]["estimated"] == true {
            estimated += 1;
            assert!(
                record["completion_tokens"].as_u64().unwrap() >= 1 && record["cost"].as_f64().unwrap() > 0.0,
                "{record}"
            );
        }
    }
    assert!(estimated >= 3, "what broke off before its usage came is estimated; {estimated} were");
    let status = gateway.get("/api/v1/providers/status").await.body["mistral"].clone();
    assert_eq!((&status["request_count"], &status["error_count"]), (&json!(8), &json!(8)), "{status}");
    let calls = "axonflow_orchestrator_llm_calls_total{provider=\"mistral\",status=\"ok\"}";
    assert_eq!(gateway.metric(calls).await, 0.0, "none of them was answered");
    let id = last_record(&gateway).await["id"].as_str().unwrap().to_owned();
    let shown = gateway.prepared.as_ref().unwrap().command(&["audit", "show", &id, "--json"]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    let told: Value = serde_json::from_str(shown.lines().last().unwrap()).unwrap();
    assert_eq!((&told["kind"], &told["body"]["calls"][0]["code"]), (&json!("outcome"), &json!("timeout")), "{told}");
}

#[tokio::test]
async fn a_stream_that_the_end_of_the_gateway_cuts_says_so_to_its_client_and_on_record() {
    let double = MistralDouble::builder().start().await.unwrap();
    let server = "server: { listen: \"127.0.0.1:0\", shutdown_timeout: 1s }\n";
    let mut gateway = Setup::with(&double).policies(&["audit-redact"]).yaml(server).start();
    double.script(Behaviour::break_stream(2, StreamFault::Stall));
    let mut body = ask("Hello");
    body["stream"] = json!(true);
    let request = gateway.client.post(gateway.url("/v1/chat/completions")).json(&body);
    let mut response = request.send().await.unwrap();
    let mut text = String::from_utf8(response.chunk().await.unwrap().unwrap().to_vec()).unwrap();
    gateway.terminate();
    while let Ok(Some(chunk)) = response.chunk().await {
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    let last = text.trim_end().rsplit_once("data: ").unwrap().1;
    let told: Value = serde_json::from_str(last).unwrap();
    assert_eq!(told["error"]["code"], "shutting_down", "{text}");
    assert!(gateway.wait().success());
    let record = last_record(&gateway.restart()).await;
    assert_eq!(record["policy_decision"], "error", "{record}");
    assert_eq!(record["error_message"], "the gateway is shutting down", "{record}");
    assert_eq!(record["policy_details"]["client_gone"], Value::Null, "{record}");
}

#[tokio::test]
async fn what_has_not_begun_at_the_end_of_the_gateway_is_answered_and_is_not_the_clients_doing() {
    let double = MistralDouble::builder().before_first_byte(Duration::from_secs(600)).start().await.unwrap();
    let server = "server: { listen: \"127.0.0.1:0\", shutdown_timeout: 1s }\n";
    let mut gateway = Setup::with(&double).policies(&["audit-redact"]).yaml(server).start();
    let mut streamed = ask("Hello");
    streamed["stream"] = json!(true);
    let (chat, query) = (("/v1/chat/completions", ask("Hello")), ("/api/request", json!({ "query": "Hello" })));
    let asked: Vec<_> = [chat, ("/v1/chat/completions", streamed), query]
        .map(|(path, body)| tokio::spawn(gateway.client.post(gateway.url(path)).json(&body).send()))
        .into();
    eventually("all of them wait for the model", async || {
        double.requests().iter().filter(|request| !request.is_probe()).count() == 3
    })
    .await;
    gateway.terminate();
    for answer in asked {
        let answer = answer.await.unwrap().unwrap();
        assert_eq!((answer.status().as_u16(), answer.headers()["retry-after"].to_str().unwrap()), (503, "1"));
        let text = answer.text().await.unwrap();
        assert!(text.contains("the gateway is shutting down"), "{text}");
    }
    assert!(gateway.wait().success());
    let records = gateway.restart().search(json!({ "limit": 3 })).await;
    assert_eq!(records.len(), 3);
    for record in records {
        assert_eq!(record["error_message"], "the gateway is shutting down", "{record}");
        assert_eq!(record["policy_details"]["client_gone"], Value::Null, "{record}");
    }
}

#[tokio::test]
async fn a_policy_that_was_not_asked_has_allowed_nothing() {
    let double = MistralDouble::builder().start().await.unwrap();
    for mode in ["transform", "buffer"] {
        let manifest = format!("stream: {{ mode: {mode} }}\n");
        let gateway = with_pattern(Setup::with(&double), "no-secrets", &manifest, "deny", "geheim");
        double.script(Behaviour::break_stream(2, StreamFault::Cut));
        let seen = stream(&gateway, ask("Hello")).await;
        assert_eq!((seen.text().as_str(), seen.whole), ("", false), "{mode}: {seen:?}");
        let record = last_record(&gateway).await;
        let evaluations = record["policy_details"]["response_evaluations"].as_array().unwrap();
        let unasked = evaluations.iter().find(|it| it["policy"] == "no-secrets").unwrap();
        assert_eq!(unasked["skipped"], true, "{mode}: {record}");
        let counts = &gateway.policy("no-secrets").await["evaluations"]["enforced"];
        let expected = json!({ "actions": { "allow": 1 }, "errors": {}, "skipped": 1 });
        assert_eq!(counts, &expected, "{mode}: the request was judged, its answer was not");
    }
}

#[tokio::test]
async fn an_upstream_whose_streams_all_break_is_left_in_peace() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&double).policies(&["audit-redact"]).start();
    double.script(Rule::always(Behaviour::break_stream(2, StreamFault::Cut)));
    for _ in 0..5 {
        let seen = stream(&gateway, ask("Hello")).await;
        assert_eq!((seen.status, seen.whole), (200, false), "{seen:?}");
    }
    let answer = gateway.ask("Hello").await;
    assert_eq!(answer.body["metadata"]["error_code"], "breaker_open", "{answer:?}");
}

#[tokio::test]
async fn what_fails_before_the_first_event_is_tried_again_and_is_no_stream() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&double).policies(&["audit-redact"]).start();
    double.script(Behaviour::fail(Failure::unavailable()));
    double.script(Behaviour::break_stream(0, StreamFault::WrappedError));
    double.script(Behaviour::text("At last"));
    let seen = stream(&gateway, ask("Hello")).await;
    assert_eq!(
        (seen.text().as_str(), &seen.headers["x-octroi-attempts"]),
        ("At last", &"3".parse().unwrap()),
        "{seen:?}"
    );

    let pii = Setup::with(&double).start();
    let seen = stream(&pii, ask("Charge 4111 1111 1111 1111")).await;
    assert_eq!((seen.status, seen.done), (400, false), "{seen:?}");
}
