//! Gateway mode: the application asks first, calls the model itself, and reports the call.

mod support;

use mistral_double::MistralDouble;
use serde_json::{Value, json};
use support::{Gateway, Setup};

async fn report(gateway: &Gateway, client: &str, context_id: &Value) -> support::Answer {
    gateway
        .post(
            "/api/audit/llm-call",
            json!({
                "context_id": context_id,
                "client_id": client,
                "provider": "mistral",
                "model": "mistral-small-latest",
                "response_summary": "The answer for jane.doe@example.org",
                "token_usage": { "prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30 },
                "latency_ms": 812,
                "metadata": { "ticket": 4711 },
            }),
        )
        .await
}

/// `{"profile_version":1,"pep_id":"app","audience":"octroi","capabilities":[]}`.
const CAN_DO_NOTHING: &str =
    "eyJwcm9maWxlX3ZlcnNpb24iOjEsInBlcF9pZCI6ImFwcCIsImF1ZGllbmNlIjoib2N0cm9pIiwiY2FwYWJpbGl0aWVzIjpbXX0";

#[tokio::test]
async fn who_says_that_it_cannot_mask_is_not_trusted_to() {
    let gateway = Setup::without_provider().start();
    let ask = async |query: &str, handshake: &str| {
        let request = gateway.client.post(gateway.url("/api/policy/pre-check"));
        let body = json!({ "query": query, "client_id": "helpdesk" });
        let request = request.header("x-axonflow-pep-handshake", handshake).json(&body);
        support::answer(request.send().await.unwrap()).await
    };
    let masked = "Write to jane.doe@example.org";
    let refused = ask(masked, CAN_DO_NOTHING).await;
    assert_eq!((refused.status, &refused.body["approved"]), (200, &json!(false)), "{refused:?}");
    assert_eq!(refused.body["block_reason"], "Request blocked by policy: pii (cannot_redact)");
    assert_eq!((&refused.body["verdict"], &refused.body["policies"]), (&json!("blocked"), &json!(["pii"])));
    let record = &gateway.search_as("helpdesk", json!({ "limit": 1 })).await[0];
    assert_eq!(record["policy_decision"], "blocked", "{record}");
    assert_eq!(ask("Summarise ticket 4711", CAN_DO_NOTHING).await.body["approved"], true);
    assert_eq!(ask("Hello", "{}").await.status, 400);
    let trusted = gateway.pre_check(masked).await;
    assert_eq!((&trusted.body["approved"], &trusted.body["requires_redaction"]), (&json!(true), &json!(true)));
}

#[tokio::test]
async fn who_asks_for_an_approval_is_refused_and_not_lost() {
    let gateway = Setup::without_provider().start();
    let queued = gateway.post("/api/v1/hitl/queue", json!({ "original_query": "x", "request_type": "chat" })).await;
    assert_eq!((queued.status, &queued.body["code"]), (403, &json!("no_approval_queue")), "{queued:?}");
    assert_eq!(
        (&queued.body["success"], &queued.body["error"]),
        (&json!(false), &queued.body["message"]),
        "{queued:?}"
    );
    for path in ["/api/v1/hitl/queue", "/api/v1/hitl/queue/1", "/api/v1/hitl/stats"] {
        assert_eq!(gateway.get(path).await.status, 403, "{path}");
    }
}

#[tokio::test]
async fn a_clean_prompt_gets_a_context_and_its_call_is_recorded_at_once() {
    let gateway = Setup::without_provider().start();
    let checked = gateway
        .post(
            "/api/policy/pre-check",
            json!({
                "query": "Summarise ticket 4711", "client_id": "helpdesk", "user_token": "anonymous",
                "data_sources": [], "context": {},
            }),
        )
        .await;
    assert_eq!(checked.status, 200, "{checked:?}");
    assert_eq!((&checked.body["approved"], &checked.body["policies"]), (&json!(true), &json!([])));
    assert_eq!(checked.body["decision_id"], checked.body["context_id"]);
    assert!(checked.body["expires_at"].as_str().unwrap().ends_with('Z'));
    for absent in ["approved_data", "block_reason", "rate_limit", "budget_info"] {
        assert!(checked.body.get(absent).is_none(), "{absent}: {checked:?}");
    }
    // More than once, and at once.
    for _ in 0..3 {
        let reported = report(&gateway, "helpdesk", &checked.body["context_id"]).await;
        assert_eq!((reported.status, &reported.body["success"]), (200, &json!(true)), "{reported:?}");
        let search = json!({ "limit": 10, "decision_id": reported.body["audit_id"] });
        let found = gateway
            .client
            .post(gateway.url("/api/v1/audit/search"))
            .header("x-client-id", "helpdesk")
            .json(&search)
            .send()
            .await
            .unwrap();
        let found = support::answer(found).await;
        assert_eq!(found.body["total"], 1, "{found:?}");
        let entry = &found.body["entries"][0];
        assert_eq!((&entry["tokens_used"], &entry["response_time_ms"]), (&json!(30), &json!(812)));
        assert!(!entry.to_string().contains("jane.doe"), "{entry}");
        assert!(entry["cost"].is_null(), "no provider, no price: {entry}");
    }
}

#[tokio::test]
async fn refusals_and_redactions_are_200() {
    let gateway = Setup::without_provider().start();
    for (query, policy) in [("x' UNION SELECT password FROM users --", "sql-injection"), ("4111 1111 1111 1111", "pii")]
    {
        let answer = gateway.pre_check(query).await;
        assert_eq!((answer.status, &answer.body["approved"]), (200, &json!(false)), "{answer:?}");
        assert_eq!(answer.body["block_reason"], format!("Request blocked by policy: {policy}"));
        assert_eq!(answer.body["policies"][0], policy);
    }
    let answer = gateway.pre_check("Write to jane.doe@example.org").await;
    assert_eq!(
        (&answer.body["approved"], &answer.body["requires_redaction"]),
        (&json!(true), &json!(true)),
        "{answer:?}"
    );
    assert_eq!(answer.body["policies"], json!(["pii"]));
}

#[tokio::test]
async fn a_context_that_is_unknown_or_anothers_is_one_and_the_same_error() {
    let gateway = Setup::without_provider().start();
    let checked = gateway.post("/api/policy/pre-check", json!({ "query": "Hello", "client_id": "one" })).await;
    let unknown = report(&gateway, "one", &json!("5b0c0f0e-7c43-4f5e-9a71-3f0c9b6c2d11")).await;
    let anothers = report(&gateway, "two", &checked.body["context_id"]).await;
    assert_eq!((unknown.status, &unknown.body["error"]), (400, &json!("Invalid or expired context")));
    assert_eq!(unknown, anothers);
    assert_eq!(report(&gateway, "one", &checked.body["context_id"]).await.status, 200);
}

#[tokio::test]
async fn a_context_that_is_over_is_that_error_too() {
    let gateway = Setup::without_provider().start();
    let checked = gateway.pre_check("Hello").await;
    let context = &checked.body["context_id"];
    assert_eq!(report(&gateway, "community", context).await.status, 200);
    // A search brings the table up to date, which a kill would leave a moment behind.
    assert_eq!(gateway.post("/api/v1/audit/search", json!({ "client_id": "community" })).await.status, 200);
    let prepared = gateway.stop();
    let store = rusqlite::Connection::open(prepared.path().join("octroi.db")).unwrap();
    let changed = store.execute("UPDATE contexts SET expires_at = 1 WHERE context_id = ?1", [context.as_str()]);
    assert_eq!(changed, Ok(1));
    drop(store);
    let gateway = prepared.start();
    let over = report(&gateway, "community", context).await;
    assert_eq!((over.status, &over.body["error"]), (400, &json!("Invalid or expired context")));
    assert_eq!(over, report(&gateway, "community", &json!("5b0c0f0e-7c43-4f5e-9a71-3f0c9b6c2d11")).await);
}

#[tokio::test]
async fn contexts_survive_a_kill() {
    let mut gateway = Setup::without_provider().start();
    let checked = gateway.pre_check("Hello").await;
    gateway.kill();
    let gateway = gateway.restart();
    let reported = report(&gateway, "community", &checked.body["context_id"]).await;
    assert_eq!(reported.status, 200, "{reported:?}");
}

#[tokio::test]
async fn a_reported_call_belongs_to_the_person_of_its_pre_check_unless_it_names_another() {
    let gateway = Setup::without_provider().start();
    let asked = json!({ "query": "Hello", "client_id": "community", "user_token": "eva@example.org" });
    let context = gateway.post("/api/policy/pre-check", asked).await.body["context_id"].clone();
    assert_eq!(report(&gateway, "community", &context).await.status, 200);
    // From the store, too.
    let gateway = gateway.restart();
    assert_eq!(report(&gateway, "community", &context).await.status, 200);
    let other = json!({ "context_id": context, "client_id": "community", "provider": "p", "model": "m",
                        "user_token": "tom@example.org" });
    assert_eq!(gateway.post("/api/audit/llm-call", other).await.status, 200);
    for (user, calls) in [("eva@example.org", 2), ("tom@example.org", 1)] {
        let found = gateway.search(json!({ "user_email": user, "request_type": "llm-call" })).await;
        assert_eq!(found.len(), calls, "{user}: {found:?}");
    }
}

#[tokio::test]
async fn missing_fields_are_named() {
    let gateway = Setup::without_provider().start();
    for (path, body, error) in [
        ("/api/policy/pre-check", json!({ "client_id": "a" }), "query field is required"),
        ("/api/policy/pre-check", json!({ "query": "", "client_id": "a" }), "query field is required"),
        ("/api/policy/pre-check", json!({ "query": "x" }), "client_id field is required"),
        (
            "/api/audit/llm-call",
            json!({ "client_id": "a", "provider": "p", "model": "m" }),
            "context_id field is required",
        ),
        (
            "/api/audit/llm-call",
            json!({ "context_id": "c", "provider": "p", "model": "m" }),
            "client_id field is required",
        ),
        (
            "/api/audit/llm-call",
            json!({ "context_id": "c", "client_id": "a", "model": "m" }),
            "provider field is required",
        ),
        (
            "/api/audit/llm-call",
            json!({ "context_id": "c", "client_id": "a", "provider": "p" }),
            "model field is required",
        ),
    ] {
        let answer = gateway.post(path, body.clone()).await;
        assert_eq!((answer.status, &answer.body["error"]), (400, &json!(error)), "{path} {body}");
        assert_eq!(answer.body["success"], false);
    }
}

#[tokio::test]
async fn without_a_store_everything_is_answered_and_nothing_is_found() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&double).audit("{ url: none }").start();
    assert_eq!(gateway.ask("What is an octroi?").await.status, 200);
    let context = gateway.pre_check("Hello").await.body["context_id"].as_str().unwrap().to_owned();
    let report = json!({ "context_id": context, "client_id": "community", "provider": "mistral", "model": "m" });
    assert_eq!(gateway.post("/api/audit/llm-call", report).await.status, 200, "contexts are remembered");
    let search = gateway.post("/api/v1/audit/search", json!({ "limit": 10 })).await;
    assert_eq!(
        (search.status, &search.body["code"]),
        (503, &json!("audit_off")),
        "no empty list, as if there were none"
    );
    let stored = std::fs::read_dir(gateway.folder()).unwrap().filter_map(|it| it.ok()?.file_name().into_string().ok());
    let stored: Vec<_> = stored.filter(|name| name.ends_with(".db") || name.ends_with(".key")).collect();
    assert!(stored.is_empty(), "{stored:?}");
}
