//! Several providers behind one gateway: retries, failover and the way back, through sockets, in front of doubles.

#![expect(clippy::unwrap_used, reason = "tests fail by panics")]

mod support;

use mistral_double::{Failure, MistralDouble, Rule};
use serde_json::json;
use support::{Gateway, Setup, eventually};

async fn double() -> MistralDouble {
    MistralDouble::builder().start().await.unwrap()
}

/// `first` before `second`, under these names, and both with a name of their own for the model `small`.
fn both(first: &MistralDouble, second: &MistralDouble) -> Gateway {
    let provider = |name: &str, double: &MistralDouble, priority: u32, small: &str| {
        format!(
            "  {name}:\n    type: mistral\n    priority: {priority}\n    credentials: {{ api_key: \"{}\" }}\n    config: \
             {{ endpoint: \"{}\", model_map: {{ small: {small} }} }}\n",
            double.key(),
            double.origin()
        )
    };
    let first = provider("first", first, 9, "ministral-8b-latest");
    let second = provider("second", second, 5, "mistral-small-latest");
    Setup::without_provider()
        .yaml(&format!("llm_providers:\n{first}{second}"))
        .yaml("routing: { breaker: { open_for: 300ms } }\n")
        .start()
}

#[tokio::test]
async fn two_failures_in_a_row_are_survived() {
    let double = double().await;
    let gateway = Setup::with(&double).start();
    double.script(Rule::times(2, Failure::unavailable()));
    let answer = gateway.ask("Hello").await;
    assert_eq!(answer.body["success"], true, "{answer:?}");
    let entries = gateway.search(json!({ "limit": 1 })).await;
    assert_eq!(entries[0]["policy_details"]["attempts"], 3, "{}", entries[0]);
}

#[tokio::test]
async fn a_provider_that_fails_is_stood_in_for_and_is_used_again_when_it_answers() {
    let (first, second) = (double().await, double().await);
    let gateway = both(&first, &second);
    let by = async || gateway.ask("Hello").await.body["metadata"]["provider"].as_str().map(str::to_owned);
    assert_eq!(by().await.as_deref(), Some("first"));

    first.script(Rule::always(Failure::Close));
    for _ in 0..8 {
        assert_eq!(by().await.as_deref(), Some("second"));
    }
    first.clear_script();
    eventually("the first one is used again", async || by().await.as_deref() == Some("first")).await;
}

#[tokio::test]
async fn a_model_is_asked_for_under_each_providers_name() {
    let (first, second) = (double().await, double().await);
    let gateway = both(&first, &second);
    first.script(Rule::always(Failure::unavailable()));
    let answer = gateway.post("/api/request", json!({ "query": "Hello", "context": { "model": "small" } })).await;
    let metadata = &answer.body["metadata"];
    assert_eq!((&metadata["provider"], &metadata["model"]), (&json!("second"), &json!("mistral-small-latest")));
    // Probes are among the requests.
    let asked = |double: &MistralDouble| {
        let requests = double.requests();
        let last = requests.iter().rfind(|request| request.path() == "/v1/chat/completions");
        last.unwrap().json()["model"].clone()
    };
    assert_eq!((asked(&first), asked(&second)), (json!("ministral-8b-latest"), json!("mistral-small-latest")));
}

#[tokio::test]
async fn retries_and_breakers_are_counted() {
    let double = double().await;
    let gateway = Setup::with(&double)
        .yaml("routing: { retry: { attempts: 2, budget: 0 }, breaker: { failures: 3, open_for: 2s } }\n")
        .start();
    double.script(Rule::always(Failure::unavailable()));
    for code in ["upstream_unavailable", "upstream_unavailable", "breaker_open"] {
        let answer = gateway.ask("Hello").await;
        assert_eq!(answer.body["metadata"]["error_code"], code, "{answer:?}");
    }
    let metric = async |line: &str| {
        let text = gateway.client.get(gateway.url("/prometheus")).send().await.unwrap().text().await.unwrap();
        let found = text.lines().find_map(|it| it.strip_prefix(line)).map(|it| it.trim().to_owned());
        found.unwrap_or_else(|| panic!("no {line} in:\n{text}"))
    };
    assert_eq!(metric("octroi_provider_retries_total{provider=\"mistral\",result=\"tried\"}").await, "2");
    assert_eq!(metric("octroi_breaker_changes_total{provider=\"mistral\",to=\"open\"}").await, "1");
    assert_eq!(metric("octroi_breakers_open{provider=\"mistral\"}").await, "1");
    eventually("the room is given back", async || metric("octroi_bytes_in_flight").await == "0").await;

    double.clear_script();
    eventually("the breaker lets a call pass", async || gateway.ask("Hello").await.body["success"] == true).await;
    assert_eq!(metric("octroi_breaker_changes_total{provider=\"mistral\",to=\"half_open\"}").await, "1");
    assert_eq!(metric("octroi_breaker_changes_total{provider=\"mistral\",to=\"closed\"}").await, "1");
    assert_eq!(metric("octroi_breakers_open{provider=\"mistral\"}").await, "0");
}
