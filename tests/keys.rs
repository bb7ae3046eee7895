//! Whose key opens an upstream: several of the operator's, or the caller's own.

#![expect(clippy::unwrap_used, reason = "tests fail by panics")]

mod support;

use gemini_double::GeminiDouble;
use mistral_double::{Failure, MistralDouble, RateLimit, Rule};
use openai_double::OpenAiDouble;
use serde_json::{Value, json};
use support::{Gateway, Setup};

const CALLERS: &str = "sk-of-the-caller-0123456789";

/// A double that knows this key.
async fn double(key: &str) -> MistralDouble {
    MistralDouble::builder().accept_key(key).start().await.unwrap()
}

fn mistral(double: &MistralDouble, credentials: &str) -> String {
    let endpoint = double.origin();
    format!("llm_providers:\n  mistral:\n    credentials: {credentials}\n    config: {{ endpoint: \"{endpoint}\" }}\n")
}

/// In front of a double that knows the caller's key, by an operator who has another.
fn taking_keys(double: &MistralDouble) -> Setup {
    Setup::without_provider()
        .yaml(&mistral(double, "{ api_key: sk-of-the-operator }"))
        .yaml("server: { listen: \"127.0.0.1:0\", caller_keys: true }\n")
}

async fn chat(gateway: &Gateway, key: Option<&str>, body: Value) -> (u16, Value) {
    let mut request = gateway.client.post(gateway.url("/v1/chat/completions")).json(&body);
    if let Some(key) = key {
        request = request.header("X-Provider-Key", key);
    }
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// Waits for the start's probe: what callers' keys bring about makes nobody healthy.
async fn until_healthy(gateway: &Gateway, provider: &str) {
    gateway.until("/api/v1/providers/status", |body| body[provider]["status"] == "healthy").await;
}

fn hello() -> Value {
    json!({ "messages": [{ "role": "user", "content": "Hello" }] })
}

/// To a model that names its provider.
fn hello_to(model: &str) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": "Hello" }] })
}

const OF_MISTRAL: &str = "mistral-small-latest";

#[tokio::test]
async fn a_key_that_is_refused_is_stood_in_for_by_the_next() {
    let double = double("sk-good").await;
    let gateway = Setup::without_provider()
        .yaml(&mistral(&double, "{ api_key: sk-stale, api_keys: [\"${UNSET:-}\", sk-good, sk-staler] }"))
        .start();
    for _ in 0..6 {
        let answer = gateway.ask("Hello").await;
        assert_eq!((answer.status, &answer.body["success"]), (200, &json!(true)), "{answer:?}");
    }
    let providers = gateway.get("/api/v1/llm-providers/mistral/health").await.body;
    assert_eq!(providers["health"]["status"], "healthy", "{providers}");
    assert!(gateway.log.count("key rests").await > 0);
    let log = gateway.log.text();
    assert!(!log.contains("sk-stale") && !log.contains("sk-good"), "{log}");
}

#[tokio::test]
async fn a_key_that_may_not_use_a_model_is_stood_in_for_by_the_next() {
    let double = MistralDouble::builder().accept_key("sk-one").accept_key("sk-two").start().await.unwrap();
    for refusal in [Failure::tier_not_allowed(), Failure::from(RateLimit::not_allowed())] {
        let gateway = Setup::without_provider().yaml(&mistral(&double, "{ api_keys: [sk-one, sk-two] }")).start();
        double.script(Rule::once(refusal));
        let answer = gateway.ask("Hello").await;
        assert_eq!(answer.body["success"], true, "{answer:?}");
        assert_eq!(answer.body["metadata"]["attempts"], 1, "{answer:?}");
    }
}

#[tokio::test]
async fn a_callers_own_key_opens_the_upstream_and_is_kept_nowhere() {
    let double = double(CALLERS).await;
    let gateway = taking_keys(&double).start();
    let (status, body) = chat(&gateway, None, hello()).await;
    assert_eq!(status, 502, "the operator's key is refused: {body}");
    let (status, body) = chat(&gateway, Some(CALLERS), hello_to(OF_MISTRAL)).await;
    assert_eq!(status, 200, "{body}");

    let mut streaming = hello_to(OF_MISTRAL);
    streaming["stream"] = json!(true);
    let request = gateway.client.post(gateway.url("/v1/chat/completions")).header("X-Provider-Key", CALLERS);
    let text = request.json(&streaming).send().await.unwrap().text().await.unwrap();
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");

    let pinned = json!({ "query": "Hello", "context": { "provider": "mistral", "strict_provider": true } });
    let request = gateway.client.post(gateway.url("/api/request")).header("X-Provider-Key", CALLERS);
    let answer: Value = request.json(&pinned).send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["success"], true, "{answer}");

    let export = ["audit", "export", "--output", "trail.jsonl"];
    let exported = gateway.prepared.as_ref().unwrap().command(&export).output().unwrap();
    assert!(exported.status.success(), "{exported:?}");
    let trail = std::fs::read_to_string(gateway.folder().join("trail.jsonl")).unwrap();
    assert_eq!(trail.matches("provider_key_hmac").count(), 3, "one for each request that brought it");

    let files = std::fs::read_dir(gateway.folder()).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<_> = files.filter(|path| path.is_file()).collect();
    assert!(files.iter().any(|path| path.ends_with("octroi.db")));
    for file in files {
        let bytes = std::fs::read(&file).unwrap();
        let found = bytes.windows(CALLERS.len()).any(|window| window == CALLERS.as_bytes());
        assert!(!found, "the key stands in {}", file.display());
    }
    assert!(!gateway.whole_log().await.contains(CALLERS));
}

#[tokio::test]
async fn what_the_vendor_says_about_a_callers_key_comes_back_and_touches_nobody_else() {
    let double = double("sk-of-the-operator").await;
    let gateway = taking_keys(&double).start();
    until_healthy(&gateway, "mistral").await;
    for _ in 0..6 {
        let (status, body) = chat(&gateway, Some(CALLERS), hello_to(OF_MISTRAL)).await;
        assert_eq!((status, &body["error"]["type"]), (401, &json!("authentication_error")), "{body}");
        assert!(!body.to_string().contains(CALLERS), "{body}");
    }
    double.script(Rule::once(Failure::from(RateLimit::requests())));
    let (status, body) = chat(&gateway, Some("sk-of-the-operator"), hello_to(OF_MISTRAL)).await;
    assert_eq!((status, &body["error"]["code"]), (429, &json!("rate_limited")), "{body}");
    let pinned = json!({ "query": "Hello", "context": { "provider": "mistral", "strict_provider": true } });
    let request = gateway.client.post(gateway.url("/api/request")).header("X-Provider-Key", CALLERS);
    let refused = support::answer(request.json(&pinned).send().await.unwrap()).await;
    let said = (refused.status, &refused.body["success"], &refused.body["metadata"]["error_code"]);
    assert_eq!(said, (401, &json!(false), &json!("upstream_unauthorized")), "{refused:?}");

    let status = gateway.get("/api/v1/providers/status").await.body;
    assert_eq!(status["mistral"]["status"], "healthy", "{status}");
    let (status, body) = chat(&gateway, None, hello()).await;
    assert_eq!(status, 200, "neither breaker nor health was touched: {body}");
}

#[tokio::test]
async fn a_callers_key_that_is_refused_under_another_status_touches_nobody_else_either() {
    let gemini = GeminiDouble::start().await.unwrap();
    let gateway = Setup::without_provider()
        .env("GOOGLE_API_KEY", gemini_double::KEY)
        .env("GOOGLE_ENDPOINT", &gemini.origin())
        .yaml("server: { listen: \"127.0.0.1:0\", caller_keys: true }\n")
        .start();
    until_healthy(&gateway, "gemini").await;
    for _ in 0..6 {
        let (status, body) = chat(&gateway, Some(CALLERS), hello_to("gemini-2.5-flash")).await;
        assert_eq!((status, &body["error"]["type"]), (401, &json!("authentication_error")), "{body}");
    }
    let status = gateway.get("/api/v1/providers/status").await.body;
    assert_eq!(status["gemini"]["status"], "healthy", "{status}");
    let (status, body) = chat(&gateway, None, hello()).await;
    assert_eq!(status, 200, "neither breaker nor health was touched: {body}");
}

#[tokio::test]
async fn a_callers_key_is_sent_to_one_named_provider_only() {
    let (mistral, openai) = (double(CALLERS).await, OpenAiDouble::start().await.unwrap());
    let gateway = taking_keys(&mistral)
        .env("OPENAI_API_KEY", openai_double::KEY)
        .env("OPENAI_ENDPOINT", &openai.origin())
        .env("PROVIDER_WEIGHTS", "mistral:100")
        .start();
    let unnamed = [
        ("/v1/chat/completions", hello()),
        // One of the two is not asked for it, whoever has the traffic.
        ("/v1/moderations", json!({ "input": "Hello" })),
        ("/api/request", json!({ "query": "Hello", "context": { "provider": "mistral" } })),
    ];
    for (path, body) in unnamed {
        let request = gateway.client.post(gateway.url(path)).header("X-Provider-Key", CALLERS);
        let refused = support::answer(request.json(&body).send().await.unwrap()).await;
        assert_eq!(refused.status, 400, "{path}: {refused:?}");
        assert!(refused.body.to_string().contains("key_without_provider"), "{path}: {refused:?}");
    }
    assert!(openai.chats().is_empty() && mistral.requests().iter().all(|request| request.path() == "/v1/models"));
    assert_eq!(chat(&gateway, Some(CALLERS), hello_to(OF_MISTRAL)).await.0, 200);
    let request = gateway.client.post(gateway.url("/v1/chat/completions")).header("X-Provider-Key", CALLERS);
    let pinned = request.header("X-Provider", "mistral").json(&hello()).send().await.unwrap();
    assert_eq!((pinned.status().as_u16(), openai.chats().len()), (200, 0));
}

#[tokio::test]
async fn keys_of_callers_are_refused_where_they_are_not_taken_or_would_travel_in_the_clear() {
    let double = double("sk-of-the-operator").await;
    let gateway = Setup::without_provider().yaml(&mistral(&double, "{ api_key: sk-of-the-operator }")).start();
    let (status, body) = chat(&gateway, Some(CALLERS), hello_to(OF_MISTRAL)).await;
    assert_eq!((status, &body["error"]["param"]), (400, &json!("X-Provider-Key")), "{body}");
    assert!(body["message"].as_str().unwrap().contains("server.caller_keys: true"), "{body}");

    let gateway = taking_keys(&double).start();
    let (status, body) = chat(&gateway, Some("two words"), hello_to(OF_MISTRAL)).await;
    assert_eq!((status, &body["error"]["param"]), (400, &json!("X-Provider-Key")), "{body}");

    let in_clear =
        "llm_providers:\n  mistral:\n    credentials: { api_key: k }\n    config: { endpoint: \"http://192.0.2.1\" }\n";
    let gateway = Setup::without_provider()
        .yaml(in_clear)
        .yaml("server: { listen: \"127.0.0.1:0\", caller_keys: true }\n")
        .start();
    let (status, body) = chat(&gateway, Some(CALLERS), hello_to(OF_MISTRAL)).await;
    assert_eq!((status, &body["error"]["code"]), (400, &json!("key_in_clear")), "{body}");
}
