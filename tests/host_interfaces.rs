//! What a policy may ask of the world: granted by name, recorded, and kept apart.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panics")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use support::{Gateway, Setup};

/// The example, as `make examples` built it.
fn request_limit() -> (String, PathBuf) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(root.join("plugins/examples/request-limit/request-limit.yaml")).unwrap();
    (manifest, root.join("target/wasm32-unknown-unknown/guest/request_limit.wasm"))
}

/// Two requests of a client in a minute.
fn two_a_minute() -> String {
    let (manifest, _) = request_limit();
    let cases = manifest.find("tests:").unwrap();
    manifest[..cases].replace("requests: 100", "requests: 2")
}

fn gateway(manifest: &str) -> Gateway {
    let prepared = Setup::without_provider().prepare();
    let (_, module) = request_limit();
    fs::copy(&module, prepared.policies().join("request-limit.wasm"))
        .unwrap_or_else(|error| panic!("{}: {error}; run `make examples`", module.display()));
    fs::write(prepared.policies().join("request-limit.yaml"), manifest).unwrap();
    prepared.start()
}

fn replace(gateway: &Gateway, manifest: &str) {
    let draft = gateway.policies().join(".draft");
    fs::write(&draft, manifest).unwrap();
    fs::rename(draft, gateway.policies().join("request-limit.yaml")).unwrap();
}

async fn approved(gateway: &Gateway, client: &str) -> bool {
    let answer = gateway.post("/api/policy/pre-check", json!({ "query": "Hello", "client_id": client })).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body["approved"].as_bool().unwrap()
}

/// What the record of a client's last request says of the policy.
async fn recorded(gateway: &Gateway, client: &str) -> Value {
    let entries = gateway.search(json!({ "client_id": client, "limit": 1 })).await;
    let evaluations = entries[0]["policy_details"]["evaluations"].as_array().unwrap();
    evaluations.iter().find(|it| it["policy"] == "request-limit").cloned().unwrap()
}

async fn until_generation_after(gateway: &Gateway, change: impl FnOnce()) {
    let generation = |body: &Value| body["policies"]["generation"].as_u64().unwrap();
    let before = generation(&gateway.get("/health").await.body);
    change();
    gateway.until("/health", |body| generation(body) > before).await;
}

#[tokio::test]
async fn a_counter_limits_each_client_in_both_modes_and_is_on_record() {
    let gateway = gateway(&two_a_minute());
    assert!(approved(&gateway, "helpdesk").await);
    let proxied = gateway.post("/api/request", json!({ "query": "Hello", "client_id": "helpdesk", "skip_llm": true }));
    assert_eq!(proxied.await.body["blocked"], false, "the second");
    assert!(!approved(&gateway, "helpdesk").await, "the third");
    assert!(approved(&gateway, "library").await, "another client's first");
    let evaluation = recorded(&gateway, "helpdesk").await;
    assert_eq!(evaluation["action"], "deny");
    let counter = json!({ "name": "requests/helpdesk", "window_seconds": 60, "added": 1, "value": 3 });
    assert_eq!(evaluation["readings"], json!({ "counters": [counter] }));
}

#[tokio::test]
async fn a_reload_keeps_counters_and_a_shadow_counts_apart() {
    let shadow = two_a_minute() + "mode: shadow\n";
    let gateway = gateway(&shadow);
    for _ in 0..3 {
        assert!(approved(&gateway, "helpdesk").await, "a shadow refuses nothing");
    }
    let evaluation = recorded(&gateway, "helpdesk").await;
    assert_eq!((&evaluation["action"], &evaluation["enforced"]), (&json!("deny"), &json!(false)));
    assert_eq!(evaluation["readings"]["counters"][0]["value"], 3);

    until_generation_after(&gateway, || replace(&gateway, &two_a_minute())).await;
    assert!(approved(&gateway, "helpdesk").await, "what the shadow counted is not held against anybody");
    assert_eq!(recorded(&gateway, "helpdesk").await["readings"]["counters"][0]["value"], 1);

    // Other settings are another version; the counter stays.
    let changed = two_a_minute().replace("requests: 2", "requests: 3");
    until_generation_after(&gateway, || replace(&gateway, &changed)).await;
    assert!(approved(&gateway, "helpdesk").await);
    assert_eq!(recorded(&gateway, "helpdesk").await["readings"]["counters"][0]["value"], 2);
}

#[tokio::test]
async fn cases_state_what_counters_answer_and_touch_none() {
    let (manifest, _) = request_limit();
    let gateway = gateway(&manifest);
    assert!(approved(&gateway, "helpdesk").await);
    let value = recorded(&gateway, "helpdesk").await["readings"]["counters"][0]["value"].clone();
    assert_eq!(value, 1, "the cases of the manifest ask as this client");
    assert_eq!(gateway.get("/health").await.body["status"], "healthy");
}

#[tokio::test]
async fn without_a_grant_it_is_not_loaded_and_the_log_names_what_is_missing() {
    let gateway = gateway(&two_a_minute().replace("capabilities: [counters]\n", ""));
    let health = gateway.get("/health").await.body;
    let error = &health["policies"]["errors"][0];
    assert_eq!((&error["policy"], &error["code"]), (&json!("request-limit"), &json!("import_refused")), "{health}");
    let line = gateway.log.wait(|line| line["fields"]["code"] == "import_refused").await.unwrap();
    let message = line["fields"]["message"].as_str().unwrap();
    assert!(message.contains("octroi:policy/counters@0.1.0") && message.contains("`capabilities`"), "{message}");
}
