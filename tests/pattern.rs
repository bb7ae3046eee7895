//! Rules without code: the shipped `pattern` policy, through a real gateway.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panics")]

mod support;

use std::fs;
use std::path::Path;

use mistral_double::{Behaviour, MistralDouble};
use serde_json::json;
use support::{Answer, Gateway, Prepared, Setup, repository_policies};

const RULES: &str = r#"
name: house
module: pattern.wasm
limits: { time: 2s }
settings:
  patterns:
    - { name: project-x, pattern: '(?i)\bproject\s+x\b', reason: It names a confidential project }
    - { name: flowers, keywords: [tulip, black rose], tenants: [helpdesk, sales] }
    - { name: greeting, keywords: [salut], roles: [system] }
    - { name: host, pattern: '(?i)[a-z0-9-]+\.corp\.example\.com', action: redact, replacement: "[HOST $0]", phases: [pre-check, response] }
    - { name: corp, pattern: 'corp\.example\.com:\d+', action: redact, replacement: "[PORT]" }
    - { name: card, pattern: '\b\d{4}(?: ?\d{4}){3}\b', validator: luhn, action: redact, severity: critical, category: pii }
    - { name: spoilt, pattern: 'confetti', phases: [response], annotations: { owner: [a, 1, { b: null }] } }
"#;

/// A gateway's folder with the module and this manifest.
fn prepared(setup: Setup, manifest: &str) -> Prepared {
    let prepared = setup.policies(&["audit-redact"]).prepare();
    fs::copy(repository_policies().join("pattern.wasm"), prepared.policies().join("pattern.wasm"))
        .expect("policies/pattern.wasm; run `make plugins`");
    fs::write(prepared.policies().join("house.yaml"), manifest).unwrap();
    prepared
}

/// Replaces a file as editors and deployments do: write beside it, rename over it.
fn replace(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    fs::write(&beside, text).unwrap();
    fs::rename(beside, path).unwrap();
}

async fn pre_check(gateway: &Gateway, tenant: &str, query: &str) -> Answer {
    gateway.post("/api/policy/pre-check", json!({ "query": query, "client_id": tenant })).await
}

#[test]
fn the_readmes_rules_without_code_pass_their_cases() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let blocks = readme.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let manifest = blocks.into_iter().find(|block| block.starts_with("name: house\n")).expect("the README has it");
    let prepared = prepared(Setup::without_provider(), manifest);
    let output = prepared.command(&["policy", "test", "policies/house.yaml"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[tokio::test]
async fn a_rule_without_code_refuses_and_says_why_in_both_modes() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = prepared(Setup::with(&double), RULES).start();
    let answer = gateway.ask("Grüße 😀, when does PROJECT  X start?").await;
    assert_eq!((answer.status, &answer.body["blocked"]), (403, &json!(true)), "{answer:?}");
    assert_eq!(answer.body["block_reason"], "Request blocked by policy: house");
    assert_eq!(answer.body["explanation"], "It names a confidential project");
    let answer = gateway.pre_check("Project X").await;
    assert_eq!((answer.status, &answer.body["approved"]), (200, &json!(false)), "{answer:?}");
    assert_eq!(answer.body["explanation"], "It names a confidential project");
    assert_eq!(gateway.ask("When does project Y start?").await.status, 200);
}

#[tokio::test]
async fn what_is_masked_lands_behind_other_alphabets_in_prompts_and_answers() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = prepared(Setup::with(&double), RULES).start();
    double.script(Behaviour::text("Да 😀: db1.corp.example.com:5432, DB2.CORP.example.com"));
    let answer = gateway
        .ask("Grüße 😀 日本 db1.corp.example.com:5432 und 4111 1111 1111 1111, nicht 4111 1111 1111 1112!")
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let sent = double.last_request().unwrap().json().clone();
    let sent = sent["messages"].as_array().unwrap().last().unwrap()["content"].as_str().unwrap().to_owned();
    assert_eq!(sent, "Grüße 😀 日本 [HOST $0] und [REDACTED], nicht 4111 1111 1111 1112!");
    assert_eq!(answer.body["data"]["data"], "Да 😀: [HOST $0]:5432, [HOST $0]");
    double.script(Behaviour::text("Here is some confetti"));
    let calls = r#"axonflow_orchestrator_llm_calls_total{provider="mistral",status="ok"}"#;
    let before = gateway.metric(calls).await;
    let answer = gateway.ask("Celebrate with confetti").await;
    assert_eq!(gateway.metric(calls).await - before, 1.0, "it was paid for");
    assert_eq!((answer.status, &answer.body["blocked"]), (403, &json!(true)), "{answer:?}");
    assert!(!answer.body.to_string().contains("Here is some"), "{answer:?}");
}

#[tokio::test]
async fn a_rule_keeps_to_its_tenants_and_roles() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = prepared(Setup::with(&double), RULES).start();
    for (tenant, query, approved) in [
        ("helpdesk", "A TULIP, please", false),
        ("sales", "the black\nRose", false),
        ("finance", "A tulip and a black rose", true),
        ("help", "A tulip", true),
        ("helpdesk", "Tulips and roses", true),
    ] {
        let answer = pre_check(&gateway, tenant, query).await;
        assert_eq!(answer.body["approved"], approved, "{tenant}: {query}: {answer:?}");
    }
    assert_eq!(gateway.ask("Salut!").await.status, 200);
    let body = json!({ "query": "Hello", "context": { "system_prompt": "Say Salut first." } });
    assert_eq!(gateway.post("/api/request", body).await.status, 403);
}

#[tokio::test]
async fn an_edited_list_is_in_force_and_a_bad_expression_leaves_the_last_good_one() {
    let gateway = prepared(Setup::without_provider(), RULES).start();
    let manifest = gateway.policies().join("house.yaml");
    assert_eq!(gateway.pre_check("Project X").await.body["approved"], false);
    let edited = RULES.replace(r"project\s+x", r"project\s+y");
    replace(&manifest, &edited);
    gateway.until("/health", |body| body["policies"]["generation"].as_u64().unwrap() >= 2).await;
    assert_eq!(gateway.pre_check("Project X").await.body["approved"], true);
    assert_eq!(gateway.pre_check("Project Y").await.body["approved"], false);

    for bad in [r"(project\s+z", r"(\w{1000}){1000}", r"(?<=project) z", "z*"] {
        replace(&manifest, &edited.replace(r"(?i)\bproject\s+y\b", bad));
        let health = gateway.until("/health", |body| body["status"] == "degraded").await;
        let error = &health["policies"]["errors"][0];
        assert_eq!((&error["policy"], &error["step"]), (&json!("house"), &json!("configure")), "{health}");
        assert_eq!(error["code"], "settings_refused");
        assert_eq!(gateway.pre_check("Project Y").await.body["approved"], false, "{bad}");
        replace(&manifest, &edited);
        gateway.until("/health", |body| body["status"] == "healthy").await;
    }
    let told = gateway
        .log
        .wait(|line| {
            line["fields"]["message"]
                .as_str()
                .is_some_and(|it| it.contains("settings.patterns[0].pattern: unclosed group"))
        })
        .await;
    assert!(told.is_some());
}

#[tokio::test]
async fn as_many_places_as_one_verdict_can_hold_are_masked_and_more_are_refused() {
    let double = MistralDouble::builder().start().await.unwrap();
    let rules = r#"
name: house
module: pattern.wasm
limits: { time: 10s }
settings: { patterns: [{ name: star, pattern: '\*', action: redact, replacement: "-" }] }
"#;
    let gateway = prepared(Setup::with(&double), rules).start();
    let answer = gateway.ask(&"* ".repeat(7_500)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let sent = double.last_request().unwrap().json().to_string();
    assert_eq!((sent.matches('*').count(), sent.matches("- ").count()), (0, 7_500));
    let answer = gateway.ask(&"* ".repeat(12_000)).await;
    assert_eq!(answer.status, 403, "{answer:?}");
    assert_eq!(answer.body["explanation"], "There is more to mask than one verdict can hold");
}

#[tokio::test]
async fn a_long_array_of_numbers_is_masked_within_the_limits() {
    let double = MistralDouble::builder().start().await.unwrap();
    let rule = r#"{ name: code, pattern: '\b\d{5}\b', action: redact, replacement: "[CODE]", phases: [response] }"#;
    let manifest = format!("name: house\nmodule: pattern.wasm\nsettings:\n  patterns:\n    - {rule}\n");
    let gateway = prepared(Setup::with(&double), &manifest).start();
    let codes: Vec<u32> = (10_000..15_000).collect();
    double.script(Behaviour::text(serde_json::to_string(&codes).unwrap()));
    let answer = gateway.ask("Which codes?").await;
    let masked: Vec<String> = serde_json::from_str(answer.body["data"]["data"].as_str().unwrap()).unwrap();
    assert_eq!(masked, vec!["[CODE]"; codes.len()]);
}

#[test]
fn the_shipped_manifest_passes_its_cases_when_it_is_switched_on() {
    let shipped = fs::read_to_string(repository_policies().join("pattern.yaml")).unwrap();
    let switched_on = shipped.replace("mode: off", "mode: enforce");
    assert_ne!(shipped, switched_on);
    let prepared = prepared(Setup::without_provider(), &switched_on);
    let output = prepared.command(&["policy", "test", "policies/house.yaml"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("8 cases passed"), "{text}");
}

#[test]
fn an_expression_is_tried_in_the_sandbox_without_being_a_rule() {
    let probe = r#"
name: probe
module: pattern.wasm
limits: { time: 1s }
settings: { probe: true }
tests:
  - name: a match is a finding
    query: "Grüße, Project X"
    context: { attributes: { pattern: '(?i)(project) x' } }
    expect: { action: allow, rules: [match] }
  - name: no match is none
    query: "Grüße"
    context: { attributes: { pattern: 'x' } }
    expect: { action: allow }
  - name: a bad expression is told
    query: "Grüße"
    context: { attributes: { pattern: '(' } }
    expect: { action: deny, rules: [invalid] }
  - name: an expression that would be too large is told
    query: "Grüße"
    context: { attributes: { pattern: '(\w{1000}){1000}' } }
    expect: { action: deny, rules: [invalid] }
"#;
    let prepared = prepared(Setup::without_provider(), probe);
    let output = prepared.command(&["policy", "test", "policies/house.yaml"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("4 cases passed"), "{text}");
}
