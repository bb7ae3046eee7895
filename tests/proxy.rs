//! Proxy mode: `POST /api/request`, through sockets, in front of the double.

mod support;

use std::fs;
use std::time::Duration;

use mistral_double::{Behaviour, Failure, MistralDouble, RateLimit, Rule};
use octroi::policy::digest::Digest;
use reqwest::Method;
use serde_json::{Value, json};
use support::{Setup, repository_policies};

#[tokio::test]
async fn a_prompt_is_answered_in_the_shape_of_the_contract() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&double).start();
    double.script(Behaviour::text("Risk-based rules for AI. They apply in steps."));
    let answer = gateway
        .post("/api/request", json!({
            "query": "Explain the EU AI Act in two sentences.",
            "client_id": "helpdesk",
            "user_token": "anonymous",
            "request_type": "chat",
            "context": { "provider": "mistral", "model": "mistral-small-latest", "max_tokens": 200, "temperature": 0.2,
                         "system_prompt": "Be brief." },
            "media": null,
            "skip_llm": null,
        }))
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let body = &answer.body;
    assert_eq!(body["success"], true);
    assert_eq!(body["blocked"], false);
    assert_eq!(body["data"]["data"], "Risk-based rules for AI. They apply in steps.");
    assert_eq!(body["data"]["result"], body["data"]["data"]);
    assert_eq!(body["data"]["metadata"]["request_id"], body["request_id"]);
    assert_eq!(body["metadata"]["provider"], "mistral");
    assert_eq!(body["metadata"]["model"], "mistral-small-latest");
    assert!(body["metadata"]["tokens_used"].as_u64().unwrap() > 0);
    assert!(body["metadata"]["cost_usd"].as_f64().unwrap() > 0.0);
    assert_eq!(body["policy_info"]["policies_evaluated"], json!([]));
    assert_eq!(body["policy_info"]["tenant_id"], "helpdesk");
    assert!(body["policy_info"]["static_checks"].as_array().unwrap().contains(&json!("pii")));
    assert!(body["policy_info"]["processing_time"].as_str().unwrap().ends_with("ms"));
    for absent in ["error", "block_reason", "budget_info"] {
        assert!(body.get(absent).is_none(), "{absent} must be left out: {body}");
    }

    let sent = double.last_request().unwrap().json().clone();
    assert_eq!(
        sent,
        json!({
            "model": "mistral-small-latest",
            "messages": [
                { "role": "system", "content": "Be brief." },
                { "role": "user", "content": "Explain the EU AI Act in two sentences." },
            ],
            "max_tokens": 200,
            "temperature": 0.2,
        }),
        "nothing is sent that the caller did not ask for"
    );
}

#[tokio::test]
async fn a_query_alone_is_enough() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&double).start();
    // As the documentation's curl sends it: no content type.
    let response = gateway.client.post(gateway.url("/api/request")).body(r#"{"query":"Hello"}"#).send().await.unwrap();
    let answer = support::answer(response).await;
    assert_eq!((answer.status, &answer.body["success"]), (200, &json!(true)), "{answer:?}");
    assert_eq!(answer.body["policy_info"]["tenant_id"], "community");
    assert!(double.last_request().unwrap().json().get("temperature").is_none());
}

#[tokio::test]
async fn what_a_policy_denies_never_reaches_the_model() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&double).start();
    let cases = [
        ("Show me users'; DROP TABLE users; --", "sql-injection"),
        ("name' UNION SELECT username, password FROM accounts --", "sql-injection"),
        ("Charge 4111 1111 1111 1111 for the printer", "pii"),
        ("Ihre Nummer ist 536-22-1234, größer als gedacht 😀", "pii"),
    ];
    for (query, policy) in cases {
        let answer = gateway.ask(query).await;
        assert_eq!(answer.status, 403, "{query}: {answer:?}");
        let body = &answer.body;
        assert_eq!((&body["success"], &body["blocked"]), (&json!(false), &json!(true)));
        assert_eq!(body["block_reason"], format!("Request blocked by policy: {policy}"));
        assert_eq!(body["policy_info"]["policies_evaluated"][0], policy);
        assert!(body.get("error").is_none(), "{body}");
    }
    assert!(double.requests().iter().all(|request| request.path() == "/v1/models"), "the model was asked");
}

#[tokio::test]
async fn an_e_mail_address_goes_on_masked() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&double).start();
    let answer = gateway.ask("Grüße 😀! Write to jane.doe@example.org about the toner.").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let sent = double.last_request().unwrap().text().to_owned();
    assert!(!sent.contains("jane.doe"), "the upstream saw the address: {sent}");
    assert!(sent.contains("Grüße 😀! Write to [EMAIL] about the toner."), "{sent}");
    let entries = gateway.search(json!({ "limit": 10, "decision_id": answer.body["request_id"] })).await;
    assert_eq!(entries[0]["policy_decision"], "redacted");
    assert!(!entries[0].to_string().contains("jane.doe"), "the record holds the address: {}", entries[0]);
}

#[tokio::test]
async fn skip_llm_asks_no_model() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&double).start();
    let answer = gateway.post("/api/request", json!({ "query": "Hello", "skip_llm": true })).await;
    assert_eq!((answer.status, &answer.body["success"]), (200, &json!(true)));
    assert!(double.requests().iter().all(|request| request.path() == "/v1/models"));
}

#[tokio::test]
async fn without_a_provider_the_text_says_what_to_set() {
    let gateway = Setup::without_provider().start();
    let answer = gateway.ask("Hello").await;
    assert_eq!((answer.status, &answer.body["success"]), (200, &json!(false)), "{answer:?}");
    assert!(answer.body["error"].as_str().unwrap().contains("MISTRAL_API_KEY"), "{answer:?}");
    assert_eq!(gateway.pre_check("Hello").await.body["approved"], true);
}

/// What a provider does, the stable name of that, and the status that tells it honestly.
fn failures() -> [(Failure, &'static str, u16); 4] {
    [
        (Failure::internal(), "upstream_failed", 502),
        (Failure::Empty(504), "upstream_timeout", 504),
        (Failure::from(RateLimit::requests().retry_after("7")), "rate_limited", 429),
        (Failure::Close, "read_failed", 502),
    ]
}

#[tokio::test]
async fn a_provider_that_fails_is_200_with_the_reason_and_leaves_a_record() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&double).yaml("routing: { retry: { attempts: 1 } }\n").start();
    for (failure, code, _) in failures() {
        double.script(failure);
        let answer = gateway.ask("Hello").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!((&answer.body["success"], &answer.body["blocked"]), (&json!(false), &json!(false)));
        assert_eq!(answer.body["metadata"]["error_code"], code, "{answer:?}");
        let error = answer.body["error"].as_str().unwrap();
        assert!(!error.is_empty() && !error.contains(double.key()), "{error}");
        let entries = gateway.search(json!({ "limit": 1 })).await;
        assert_eq!(entries[0]["policy_decision"], "error");
        // The vendor's words may repeat the prompt, which no audit policy has seen there.
        let recorded = entries[0]["error_message"].as_str().unwrap();
        assert!(recorded.starts_with(code) && !recorded.contains(error), "{recorded}");
    }
}

#[tokio::test]
async fn honest_status_tells_failures_by_their_status() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&double)
        .yaml("server: { listen: \"127.0.0.1:0\", honest_status: true }\n")
        .yaml("routing: { retry: { attempts: 1 } }\n")
        .start();
    for (failure, code, status) in failures() {
        double.script(failure);
        let answer = gateway.ask("Hello").await;
        let (success, told) = (&answer.body["success"], &answer.body["metadata"]["error_code"]);
        assert_eq!((answer.status, success, told), (status, &json!(false), &json!(code)), "{answer:?}");
    }
    // Who is told nothing comes back at once.
    double.script(Failure::Edge { status: 429, message: "Requests rate limit exceeded".to_owned() });
    let request = gateway.client.post(gateway.url("/api/request")).json(&json!({ "query": "Hello" }));
    let response = request.send().await.unwrap();
    assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (429, &"1".parse().unwrap()));
}

#[tokio::test]
async fn an_unknown_provider_is_an_error_and_not_another_provider() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&double).start();
    let answer = gateway.post("/api/request", json!({ "query": "Hello", "context": { "provider": "mistrel" } })).await;
    // AxonFlow's wrappers of vendors' clients would fail on another status.
    assert_eq!((answer.status, &answer.body["success"], &answer.body["blocked"]), (200, &json!(false), &json!(false)));
    assert!(answer.body["error"].as_str().unwrap().contains("mistrel"), "{answer:?}");
    assert!(double.requests().iter().all(|request| request.path() == "/v1/models"));
}

#[tokio::test]
async fn a_key_follows_no_redirect_and_is_never_shown() {
    let thief = MistralDouble::builder().start().await.unwrap();
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&double).start();
    double.script(Failure::Redirect(format!("{}/v1/chat/completions", thief.origin())));
    let answer = gateway.ask("Hello").await;
    assert_eq!(answer.body["success"], false, "{answer:?}");
    assert!(thief.requests().is_empty(), "the key went to another host");
    assert!(!gateway.whole_log().await.contains(double.key()));
}

#[tokio::test]
async fn an_answer_longer_than_the_operator_allows_is_not_read() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&double).yaml("routing: { max_response_bytes: 50KiB }\n").start();
    for (words, expected) in [(5_000, Value::Null), (15_000, json!("response_too_large"))] {
        double.script(Behaviour::text("word ".repeat(words)));
        let answer = gateway.ask("Hello").await;
        assert_eq!(answer.body["metadata"]["error_code"], expected, "{words}");
    }
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_the_call_and_not_the_record() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&double).start();
    double.script(Rule::always(Behaviour::text("late").before_first_byte(Duration::from_secs(600))));
    let asking = gateway.client.post(gateway.url("/api/request")).json(&json!({ "query": "Hello" })).send();
    let asking = tokio::spawn(asking);
    double.wait_until(|stats| stats.in_flight >= 1).await.unwrap();
    asking.abort();
    // It takes less than a second on a machine that has time, and a time-out would take a minute.
    let cancelled = double.wait_until(|stats| stats.cancelled_requests >= 1);
    tokio::time::timeout(Duration::from_secs(20), cancelled).await.unwrap().unwrap();
    let recorded = async || gateway.search(json!({ "limit": 1 })).await;
    support::eventually("the call has a record", async || {
        recorded().await.first().is_some_and(|entry| entry["error_message"].is_string())
    })
    .await;
    let entries = recorded().await;
    assert!(entries[0]["error_message"].as_str().unwrap().contains("client went away"), "{}", entries[0]);
    let asked = (&entries[0]["provider"], &entries[0]["policy_details"]["attempts"]);
    assert_eq!(asked, (&json!("mistral"), &json!(1)), "{}", entries[0]);
    let cancelled = r#"axonflow_orchestrator_llm_calls_total{provider="mistral",status="cancelled"}"#;
    assert_eq!(gateway.metric(cancelled).await, 1.0, "it was asked");
    let export = ["audit", "export", "--output", "trail.jsonl"];
    let exported = gateway.prepared.as_ref().unwrap().command(&export).output().unwrap();
    assert!(exported.status.success(), "{exported:?}");
    assert!(fs::read_to_string(gateway.folder().join("trail.jsonl")).unwrap().contains("cancelled"));
}

#[tokio::test]
async fn bad_input_is_named_and_leaves_nothing_behind() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&double).yaml("server: { listen: \"127.0.0.1:0\", body_limit: 64KiB }\n").start();
    let post = |body: String| gateway.client.post(gateway.url("/api/request")).body(body).send();
    for (body, status, named) in [
        ("{\"query\": ".to_owned(), 400, "line 1"),
        (json!({ "query": 7 }).to_string(), 400, "query"),
        (json!({}).to_string(), 400, "query"),
        (json!({ "query": "x", "context": { "max_tokens": "many" } }).to_string(), 400, "max_tokens"),
        (
            json!({ "query": "x", "context": { "tool_choice": { "function": { "name": "look" } } } }).to_string(),
            400,
            "context.tool_choice",
        ),
        (json!({ "query": "x".repeat(70_000) }).to_string(), 413, "65536"),
    ] {
        let answer = support::answer(post(body.clone()).await.unwrap()).await;
        assert_eq!(answer.status, status, "{answer:?}");
        let error = answer.body["error"].as_str().unwrap_or_else(|| panic!("{answer:?}"));
        assert!(error.contains(named), "{error} should name {named}");
    }
    assert_eq!(gateway.get("/nowhere").await.status, 404);
    assert_eq!(gateway.get("/api/request").await.status, 405);
    assert!(gateway.search(json!({ "limit": 10 })).await.is_empty());
}

#[tokio::test]
async fn a_web_page_cannot_spend_the_operators_key() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&double).start();
    for (name, value) in
        [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site"), ("host", "evil.example")]
    {
        let request = gateway.client.post(gateway.url("/api/request")).header(name, value).body(r#"{"query":"x"}"#);
        let answer = support::answer(request.send().await.unwrap()).await;
        assert_eq!(answer.status, 403, "{name}: {value}: {answer:?}");
    }
    assert!(double.requests().iter().all(|request| request.path() == "/v1/models"));
}

#[tokio::test]
async fn pages_of_a_listed_origin_may_ask_and_read() {
    let gateway = Setup::without_provider()
        .yaml("server: { listen: \"127.0.0.1:0\", allowed_origins: [\"tauri://localhost\"] }\n")
        .start();
    let from = |method: Method, path: &str, origin: &str| {
        let request = gateway.client.request(method, gateway.url(path)).header("origin", origin);
        request.header("sec-fetch-site", "cross-site")
    };
    let asked = |origin: &str| {
        from(Method::OPTIONS, "/v1/chat/completions", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,content-type,x-stainless-lang")
    };
    let header = |response: &reqwest::Response, name: &str| {
        response.headers().get(name).map(|value| value.to_str().unwrap().to_owned())
    };
    let preflight = asked("tauri://localhost").send().await.unwrap();
    assert_eq!(preflight.status(), 204);
    for (name, value) in [
        ("access-control-allow-origin", "tauri://localhost"),
        ("access-control-allow-methods", "GET, POST, PUT, PATCH, DELETE"),
        ("access-control-allow-headers", "authorization,content-type,x-stainless-lang"),
        ("vary", "origin"),
    ] {
        assert_eq!(header(&preflight, name).as_deref(), Some(value), "{name}");
    }
    assert_eq!(header(&preflight, "access-control-allow-credentials"), None);
    for (path, status) in [("/v1/models", 200), ("/v1/nowhere", 404)] {
        let read = from(Method::GET, path, "tauri://localhost").send().await.unwrap();
        assert_eq!((read.status().as_u16(), header(&read, "vary").as_deref()), (status, Some("origin")), "{path}");
        assert_eq!(header(&read, "access-control-allow-origin").as_deref(), Some("tauri://localhost"), "{path}");
    }
    let other = asked("https://evil.example").send().await.unwrap();
    assert_eq!(header(&other, "access-control-allow-origin"), None);
    let refused = support::answer(other).await;
    assert_eq!((refused.status, &refused.body["code"]), (403, &json!("foreign_origin")), "{refused:?}");
    assert!(refused.body["message"].as_str().unwrap().contains("server.allowed_origins"), "{refused:?}");
    let own = gateway.client.get(gateway.url("/v1/models")).send().await.unwrap();
    assert_eq!(header(&own, "access-control-allow-origin"), None);
}

#[tokio::test]
async fn in_open_mode_a_page_of_a_listed_origin_is_not_the_owner_of_the_machine() {
    let yaml = "server: { listen: \"127.0.0.1:0\", allowed_origins: [\"tauri://localhost\"] }\n";
    let prepared = Setup::without_provider().policies(&["pii"]).yaml(yaml).prepare();
    let pattern = repository_policies().join("pattern.wasm");
    fs::copy(pattern, prepared.policies().join("pattern.wasm")).unwrap();
    let gateway = prepared.start();
    let send = async |origin: Option<&str>, method: Method, path: &str, body: &Value| {
        let request = gateway.client.request(method, gateway.url(path)).json(body);
        let request = origin.into_iter().fold(request, |request, origin| request.header("origin", origin));
        let answer = support::answer(request.send().await.unwrap()).await;
        (answer.status, answer.body)
    };
    let rules = "/api/v1/static-policies";
    let rule = json!({
        "name": "No project X", "category": "sensitive-data", "pattern": "(?i)project x", "severity": "high",
        "tier": "organization",
    });
    let (status, made) = send(None, Method::POST, rules, &rule).await;
    assert_eq!(status, 201, "who is at the machine may: {made}");
    let made = format!("{rules}/{}", made["id"].as_str().unwrap());
    for (method, path, body) in [
        (Method::POST, rules, rule),
        (Method::DELETE, made.as_str(), Value::Null),
        (Method::PUT, "/api/v1/llm-providers/routing", json!({ "weights": {} })),
        (Method::PUT, "/api/v1/providers/weights", json!({ "weights": {} })),
        (Method::POST, "/api/v1/llm-providers/mistral/test", Value::Null),
    ] {
        let (status, answer) = send(Some("tauri://localhost"), method, path, &body).await;
        assert_eq!((status, &answer["error"]["code"]), (403, &json!("FORBIDDEN")), "{path}: {answer}");
    }
    assert_eq!(send(Some("tauri://localhost"), Method::GET, &made, &Value::Null).await.0, 200);
}

#[tokio::test]
async fn a_request_that_is_alone_has_all_the_room_and_its_answer_too() {
    let double = MistralDouble::builder().start().await.unwrap();
    let secret = "secret-of-one-0123456789";
    let yaml = format!(
        "server: {{ listen: \"127.0.0.1:0\", max_bytes_in_flight: 1MiB }}\nauth: {{ mode: clients, clients: [{{ id: one, \
         secret_sha256: {} }}] }}\n",
        Digest::of(secret.as_bytes())
    );
    let gateway = Setup::with(&double).policies(&[]).policies_further(", allow_none: true").yaml(&yaml).start();
    // What the start's probe brings takes room too, for a moment.
    let status = || gateway.client.get(gateway.url("/api/v1/providers/status")).bearer_auth(secret).send();
    let is_probed = async || support::answer(status().await.unwrap()).await.body["mistral"]["status"] == "healthy";
    support::eventually("the provider was probed", is_probed).await;
    let body = json!({ "messages": [{ "role": "user", "content": "word ".repeat(170_000) }] });
    let request = gateway.client.post(gateway.url("/v1/chat/completions")).bearer_auth(secret).json(&body);
    let answer = support::answer(request.send().await.unwrap()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn the_providers_and_their_health_are_listed() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&double).start();
    let body =
        gateway.until("/api/v1/llm-providers", |body| body["providers"][0]["health"]["status"] == "healthy").await;
    let provider = &body["providers"][0];
    assert_eq!((&provider["name"], &provider["type"]), (&json!("mistral"), &json!("mistral")));
    assert_eq!((&provider["weight"], &provider["priority"]), (&json!(100), &json!(5)));
    assert_eq!(provider["has_api_key"], true);
    assert_eq!(body["pagination"], json!({ "page": 1, "page_size": 20, "total_items": 1, "total_pages": 1 }));
    let health = gateway.get("/health").await;
    assert_eq!((health.status, &health.body["status"]), (200, &json!("healthy")));
    assert!(!health.body.to_string().contains(double.key()));
}

#[tokio::test]
async fn metrics_come_as_json_and_as_prometheus_text() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&double).start();
    gateway.ask("Hello").await;
    gateway.ask("x'; DROP TABLE users; --").await;
    let metrics = gateway.get("/metrics").await.body;
    assert_eq!(metrics["agent_metrics"]["total_requests"], 2, "{metrics}");
    assert_eq!(metrics["agent_metrics"]["blocked_requests"], 1);
    let Value::String(text) = gateway.get("/prometheus").await.body else { panic!("text expected") };
    assert!(text.contains("octroi_policy_evaluations_total"), "{text}");
    assert!(text.contains("axonflow_agent_blocked_requests_total 1"), "{text}");
    let response = gateway.client.get(gateway.url("/metrics")).header("accept", "text/plain").send().await.unwrap();
    assert!(response.text().await.unwrap().contains("axonflow_agent_requests_total"));
}
