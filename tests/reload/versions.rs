//! What goes live and what does not, when the shipped policies are edited.

use std::fs;
use std::time::Instant;

use serde_json::json;

use super::support::guest::Guest;
use super::support::{self, Setup, copy_policy};
use super::{EMAIL, generation, pii_with_email, replace, until_generation};

#[tokio::test]
async fn edited_settings_come_into_force() {
    let gateway = Setup::without_provider().start();
    let before = generation(&gateway).await;
    assert_eq!(gateway.pre_check(EMAIL).await.body["approved"], true);
    let edited = Instant::now();
    replace(&gateway.policies().join("pii.yaml"), pii_with_email("deny"));
    until_generation(&gateway, before + 1).await;
    eprintln!("new settings of pii were live {:?} after the write", edited.elapsed());
    assert_eq!(gateway.pre_check(EMAIL).await.body["approved"], false);
    assert!(gateway.log.wait(|line| line["fields"]["generation"] == before + 1).await.is_some());
}

#[tokio::test]
async fn a_broken_policy_leaves_the_last_good_one_live() {
    let gateway = Setup::without_provider().start();
    let module = gateway.policies().join("pii.wasm");
    let before = generation(&gateway).await;
    for (garbage, code) in [
        (b"garbage, not WebAssembly".to_vec(), "not_wasm"),
        (Vec::new(), "not_wasm"),
        (fs::read(&module).unwrap()[..2_000].to_vec(), "invalid"),
        (b"\0asm\x01\0\0\0".to_vec(), "bad_exports"),
    ] {
        // In place, as `cp` does it.
        fs::write(&module, garbage).unwrap();
        let health = gateway
            .until("/health", |body| body["status"] == "degraded" && body["policies"]["errors"][0]["code"] == code)
            .await;
        let error = &health["policies"]["errors"][0];
        assert_eq!(error["policy"], "pii");
        assert!(error["step"].is_string());
        assert!(!health.to_string().contains("/"), "health shows no paths: {health}");
        assert_eq!(gateway.get("/health").await.status, 200);
        assert_eq!(gateway.pre_check("4111 1111 1111 1111").await.body["approved"], false);
        assert_eq!(gateway.pre_check("Hello").await.body["approved"], true);
    }
    assert_eq!(generation(&gateway).await, before, "nothing changed");
    copy_policy("pii", &gateway.policies());
    gateway.until("/health", |body| body["status"] == "healthy").await;
    assert_eq!(generation(&gateway).await, before);
}

#[tokio::test]
async fn a_name_that_is_changed_together_with_a_mistake_takes_nothing_out_of_force() {
    let gateway = Setup::without_provider().start();
    let before = generation(&gateway).await;
    let manifest = gateway.policies().join("pii.yaml");
    let mistaken = pii_with_email("denny").replacen("name: pii", "name: pii-eu", 1);
    replace(&manifest, mistaken);
    gateway.until("/health", |body| body["status"] == "degraded").await;
    for _ in 0..3 {
        assert_eq!(gateway.reload().await["again"], false, "nothing is left for later");
    }
    assert_eq!(generation(&gateway).await, before);
    assert_eq!(gateway.pre_check("4111 1111 1111 1111").await.body["approved"], false, "pii is still in force");

    replace(&manifest, pii_with_email("deny").replacen("name: pii", "name: pii-eu", 1));
    // First beside the old one, which goes when it has been gone for a moment.
    until_generation(&gateway, before + 2).await;
    let answer = gateway.pre_check(EMAIL).await;
    assert_eq!(answer.body["approved"], false, "under its new name: {answer:?}");
    assert_eq!(gateway.policy("pii-eu").await["state"], "live");
}

#[tokio::test]
async fn a_policy_that_is_given_a_name_that_is_taken_stays_in_force_under_its_own() {
    let gateway = Setup::without_provider().start();
    let before = generation(&gateway).await;
    replace(&gateway.policies().join("sql-injection.yaml"), pii_with_email("deny"));
    gateway.until("/health", |body| body["status"] == "degraded").await;
    for _ in 0..3 {
        assert_eq!(gateway.reload().await["again"], false, "nothing is left for later");
    }
    assert_eq!(generation(&gateway).await, before);
    let answer = gateway.pre_check("id = 1; DROP TABLE users; --").await;
    assert_eq!(answer.body["approved"], false, "sql-injection is still in force: {answer:?}");
}

#[tokio::test]
async fn a_version_that_fails_its_own_cases_never_goes_live() {
    let gateway = Setup::without_provider().start();
    let wrong = pii_with_email("deny") + "  - { name: wrong, query: a@example.org, expect: { action: allow } }\n";
    replace(&gateway.policies().join("pii.yaml"), wrong);
    let health = gateway.until("/health", |body| body["status"] == "degraded").await;
    assert_eq!(health["policies"]["errors"][0]["code"], "case_failed");
    assert_eq!(health["policies"]["errors"][0]["step"], "tests");
    assert_eq!(gateway.pre_check(EMAIL).await.body["approved"], true);
}

#[tokio::test]
async fn a_removed_required_policy_denies_and_comes_back() {
    let setup = Setup::without_provider();
    let prepared = setup.yaml("policies: placeholder\n").prepare();
    let yaml = fs::read_to_string(prepared.path().join("octroi.yaml")).unwrap();
    let policies = support::policies_yaml(&prepared.policies(), ", required: [pii, sql-injection]");
    fs::write(prepared.path().join("octroi.yaml"), yaml.replace("placeholder", &policies)).unwrap();
    let gateway = prepared.start();
    assert_eq!(gateway.pre_check("Hello").await.body["approved"], true);
    let before = generation(&gateway).await;
    fs::remove_file(gateway.policies().join("pii.yaml")).unwrap();
    until_generation(&gateway, before + 1).await;
    let answer = gateway.pre_check("Hello").await;
    assert_eq!(answer.body["block_reason"], "Request blocked by policy: pii (policy_missing)", "{answer:?}");
    copy_policy("pii", &gateway.policies());
    until_generation(&gateway, before + 2).await;
    assert_eq!(gateway.pre_check("Hello").await.body["approved"], true);
}

#[tokio::test]
async fn what_a_missing_audit_policy_would_have_masked_is_not_kept() {
    let prepared = Setup::without_provider().policies(&["audit-redact"]).yaml("policies: placeholder\n").prepare();
    let yaml = fs::read_to_string(prepared.path().join("octroi.yaml")).unwrap();
    let policies = support::policies_yaml(&prepared.policies(), ", required: [audit-redact]");
    fs::write(prepared.path().join("octroi.yaml"), yaml.replace("placeholder", &policies)).unwrap();
    Guest::audit("allow").put(&prepared.policies(), "keeps-all", "");
    let gateway = prepared.start();
    let kept = async || {
        gateway.pre_check("a request's words").await;
        let tool = json!({ "tool_name": "clock", "input": { "zone": "a tool's words" } });
        assert_eq!(gateway.post("/api/v1/audit/tool-call", tool).await.status, 200);
        let entries = gateway.search(json!({ "limit": 2 })).await;
        let text = json!(entries).to_string();
        ["a request's words", "a tool's words"].map(|words| text.contains(words))
    };
    assert_eq!(kept().await, [true, true]);
    let before = generation(&gateway).await;
    fs::remove_file(gateway.policies().join("audit-redact.yaml")).unwrap();
    until_generation(&gateway, before + 1).await;
    assert_eq!(kept().await, [false, false], "`keeps-all` alone is not enough");
}

#[tokio::test]
async fn a_new_policy_in_a_subfolder_is_found_and_shadow_is_recorded_and_not_enforced() {
    let gateway = Setup::without_provider().policies(&["pii"]).start();
    // Made under a name that is not looked at, so that nobody sees it half done.
    let folder = gateway.policies().join(".team-a");
    let before = generation(&gateway).await;
    fs::create_dir(&folder).unwrap();
    copy_policy("sql-injection", &folder);
    let manifest = fs::read_to_string(folder.join("sql-injection.yaml")).unwrap();
    replace(&folder.join("sql-injection.yaml"), manifest.replace("mode: enforce", "mode: shadow"));
    fs::rename(&folder, gateway.policies().join("team-a")).unwrap();
    until_generation(&gateway, before + 1).await;
    let answer = gateway.pre_check("x'; DROP TABLE users; --").await;
    assert_eq!(answer.body["approved"], true, "{answer:?}");
    let found = gateway.search(json!({ "limit": 5, "policy_name": "sql-injection" })).await;
    assert_eq!(found.len(), 1, "what a shadow would have done is recorded");
}

#[tokio::test]
async fn a_policy_that_was_never_live_denies_on_a_cold_start_and_says_why() {
    let prepared = Setup::without_provider().prepare();
    fs::write(prepared.policies().join("pii.wasm"), "garbage").unwrap();
    let gateway = prepared.start();
    let answer = gateway.pre_check("Hello").await;
    assert_eq!(answer.body["block_reason"], "Request blocked by policy: pii (policy_not_loaded)", "{answer:?}");
    copy_policy("pii", &gateway.policies());
    gateway.until("/health", |body| body["status"] == "healthy").await;
    assert_eq!(gateway.pre_check("Hello").await.body["approved"], true);
}

#[tokio::test]
async fn a_policy_that_was_never_live_can_be_relaxed_while_it_is_broken() {
    let prepared = Setup::without_provider().prepare();
    fs::write(prepared.policies().join("pii.wasm"), "garbage").unwrap();
    let gateway = prepared.start();
    assert_eq!(gateway.pre_check("Hello").await.body["approved"], false);
    let manifest = fs::read_to_string(gateway.policies().join("pii.yaml")).unwrap();
    let before = generation(&gateway).await;
    replace(&gateway.policies().join("pii.yaml"), manifest.replace("on_error: deny", "on_error: allow"));
    until_generation(&gateway, before + 1).await;
    assert_eq!(gateway.pre_check("Hello").await.body["approved"], true);
}

#[tokio::test]
async fn a_required_policy_in_shadow_denies_what_it_would_see_and_nothing_else() {
    let prepared = Setup::without_provider().yaml("policies: placeholder\n").prepare();
    let yaml = fs::read_to_string(prepared.path().join("octroi.yaml")).unwrap();
    let policies = support::policies_yaml(&prepared.policies(), ", required: [pii]");
    fs::write(prepared.path().join("octroi.yaml"), yaml.replace("placeholder", &policies)).unwrap();
    let manifest = fs::read_to_string(prepared.policies().join("pii.yaml")).unwrap();
    let shadow = manifest.replace("mode: enforce", "mode: shadow\nmatch: { clients: [\"bank-*\"] }");
    fs::write(prepared.policies().join("pii.yaml"), shadow).unwrap();
    let gateway = prepared.start();
    let ask = async |client: &str| {
        let body = json!({ "query": "Hello", "client_id": client });
        gateway.post("/api/policy/pre-check", body).await.body["approved"].clone()
    };
    assert_eq!(ask("bank-north").await, false);
    assert_eq!(ask("library").await, true);
}

#[tokio::test]
async fn text_that_no_audit_policy_has_seen_is_not_kept() {
    let gateway = Setup::without_provider().policies(&["pii"]).start();
    let checked = gateway.pre_check("Hello there").await;
    let entries = gateway.search(json!({ "limit": 1, "decision_id": checked.body["decision_id"] })).await;
    assert!(!entries[0].to_string().contains("Hello there"), "{}", entries[0]);
}
