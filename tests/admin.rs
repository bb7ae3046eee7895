//! The admin API, through its own socket: see, reload, try.

#![expect(clippy::unwrap_used, reason = "tests fail by panics")]

mod support;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use octroi::policy::digest::Digest;
use reqwest::StatusCode;
use serde_json::{Value, json};
use support::{Answer, Gateway, PATIENCE, Setup, copy_policy, repository_policies};

const EMAIL: &str = "Write to jane.doe@example.org";
const CARD: &str = "Charge 4111 1111 1111 1111";
const INJECTION: &str = "x'; DROP TABLE users; --";
const TOKEN: &str = "token-of-the-operator-0123456789abcdef";

/// The shipped manifest of `pii` with another action for e-mail addresses.
fn pii_with_email(action: &str) -> String {
    let manifest = fs::read_to_string(repository_policies().join("pii.yaml")).unwrap();
    let edited = manifest
        .replace("email: { enabled: true, action: redact", &format!("email: {{ enabled: true, action: {action}"));
    assert_ne!(edited, manifest);
    edited
}

/// A gateway whose folder is looked at when the admin API says so, or else late.
fn patient() -> Setup {
    Setup::without_provider().policies_further(", reload_debounce: 2s, poll_interval: 1h")
}

async fn until_policy(gateway: &Gateway, name: &str, fits: impl Fn(&Value) -> bool) -> Value {
    let until = Instant::now() + PATIENCE;
    loop {
        let policy = gateway.policy(name).await;
        if fits(&policy) {
            return policy;
        }
        assert!(Instant::now() < until, "never fitted: {policy}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn policies_are_shown_with_what_they_said() {
    let gateway = Setup::without_provider().start();
    for query in ["Hello", "Good morning", "Summarise ticket 4711", EMAIL, CARD, INJECTION] {
        assert_eq!(gateway.pre_check(query).await.status, 200);
    }
    let answer = gateway.admin_get("/admin/policies").await;
    assert_eq!((answer.status, &answer.body["generation"]), (200, &json!(1)), "{answer:?}");
    assert_eq!((&answer.body["missing"], &answer.body["warnings"]), (&json!([]), &json!([])));
    let names: Vec<_> = answer.body["policies"].as_array().unwrap().iter().map(|it| it["name"].clone()).collect();
    assert_eq!(names, ["audit-redact", "sql-injection", "pii"], "in the order in which they run");

    let pii = gateway.policy("pii").await;
    let fixed = ["path", "state", "mode", "rollout", "order", "phases"].map(|key| pii[key].clone());
    assert_eq!(json!(fixed), json!(["pii.yaml", "live", "enforce", 100, 20, ["pre-check", "response"]]));
    let said = &pii["evaluations"];
    assert_eq!(said["enforced"]["actions"], json!({ "allow": 3, "redact": 1, "deny": 1 }), "{pii}");
    assert_eq!((&said["enforced"]["skipped"], &said["total"]), (&json!(1), &json!(5)), "{pii}");
    assert_eq!(said["shadow"], json!({ "actions": {}, "errors": {}, "skipped": 0 }));
    let (p50, p99) = (said["p50_us"].as_u64().unwrap(), said["p99_us"].as_u64().unwrap());
    assert!(0 < p50 && p50 <= p99, "{pii}");
    let memory = &pii["memory_bytes"];
    assert!(0 < memory["configured"].as_u64().unwrap() && memory["configured"].as_u64() <= memory["largest"].as_u64());
    assert!(pii["cases"].as_u64().unwrap() > 0 && pii["compile_ms"].is_u64(), "{pii}");
    assert!(pii["since"].as_str().unwrap().ends_with('Z') && pii.get("error").is_none(), "{pii}");

    // The digests are those of the records.
    let entries = gateway.search(json!({ "limit": 1, "policy_name": "pii" })).await;
    let evaluations = entries[0]["policy_details"]["evaluations"].as_array().unwrap();
    let recorded = evaluations.iter().find(|it| it["policy"] == "pii").unwrap();
    assert_eq!((&pii["version"], &pii["settings_hash"]), (&recorded["version"], &recorded["settings_hash"]));
    assert_eq!(pii["component"].as_str().unwrap().len(), 64);
}

#[tokio::test]
async fn an_error_is_shown_with_its_step_and_the_moment_it_was_found() {
    let gateway = Setup::without_provider().start();
    let before = gateway.policy("pii").await;
    gateway.pre_check("Hello").await;
    fs::write(gateway.policies().join("pii.wasm"), "garbage, not WebAssembly").unwrap();
    let degraded = until_policy(&gateway, "pii", |it| it["state"] == "degraded").await;
    assert_eq!((&degraded["error"]["step"], &degraded["error"]["code"]), (&json!("encode"), &json!("not_wasm")));
    assert!(!degraded["error"]["message"].as_str().unwrap().is_empty());
    for key in ["version", "since"] {
        assert_eq!(degraded[key], before[key], "the last good version stays");
    }
    assert_eq!(degraded["evaluations"]["total"], 1, "and what it said");
    gateway.reload().await;
    assert_eq!(gateway.policy("pii").await["error"], degraded["error"], "nobody has found anything new");

    fs::write(gateway.policies().join("newcomer.yaml"), "name: newcomer\nmodule: nowhere.wasm\n").unwrap();
    let newcomer = policy_in(&gateway.reload().await, "newcomer");
    assert_eq!((&newcomer["state"], &newcomer["error"]["step"]), (&json!("broken"), &json!("read")));
    assert!(newcomer.get("version").is_none() && newcomer.get("evaluations").is_none(), "{newcomer}");
    fs::write(gateway.policies().join("newcomer.yaml"), "name: newcomer\nmodule: nowhere.wasm\nmode: off\n").unwrap();
    let newcomer = policy_in(&gateway.reload().await, "newcomer");
    assert_eq!((&newcomer["state"], &newcomer["mode"]), (&json!("off"), &json!("off")));

    copy_policy("pii", &gateway.policies());
    let back = until_policy(&gateway, "pii", |it| it["state"] == "live").await;
    assert!(back.get("error").is_none() && back["version"] == before["version"], "{back}");
}

fn policy_in(answer: &Value, name: &str) -> Value {
    answer["policies"].as_array().unwrap().iter().find(|it| it["name"] == name).unwrap().clone()
}

#[tokio::test]
async fn a_reload_answers_when_the_new_version_is_in_force() {
    let gateway = patient().start();
    assert_eq!(gateway.pre_check(EMAIL).await.body["approved"], true);
    let before = gateway.policy("pii").await;
    fs::write(gateway.policies().join("pii.yaml"), pii_with_email("deny")).unwrap();
    let reloaded = gateway.reload().await;
    assert_eq!(
        ["from_generation", "generation", "changed", "again"].map(|key| reloaded[key].clone()),
        [json!(1), json!(2), json!(true), json!(false)]
    );
    assert_eq!(gateway.pre_check(EMAIL).await.body["approved"], false);
    let after = gateway.policy("pii").await;
    assert_ne!((&after["version"], &after["since"]), (&before["version"], &before["since"]));
    assert_eq!(after["component"], before["component"]);
    assert_eq!(after["evaluations"]["enforced"]["actions"], json!({ "deny": 1 }), "of this version alone: {after}");
    let again = gateway.reload().await;
    assert_eq!((&again["changed"], &again["generation"]), (&json!(false), &json!(2)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads_wait_for_each_other_and_are_bounded() {
    let prepared = patient().prepare();
    // A loader that begins when the test lets it.
    let (gate, worker) = (prepared.path().join("gate"), prepared.path().join("worker"));
    let octroi = env!("CARGO_BIN_EXE_octroi");
    let script = format!("#!/bin/sh\nuntil [ -e {} ]; do sleep 0.02; done\nexec {octroi} \"$@\"\n", gate.display());
    fs::write(&worker, script).unwrap();
    fs::set_permissions(&worker, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(&gate, "open").unwrap();
    let yaml = fs::read_to_string(prepared.path().join("octroi.yaml")).unwrap();
    let yaml = yaml.replace("policies: {", &format!("policies: {{ worker: \"{}\",", worker.display()));
    fs::write(prepared.path().join("octroi.yaml"), yaml).unwrap();
    let gateway = std::sync::Arc::new(prepared.start());

    fs::remove_file(&gate).unwrap();
    // A case that no other run had, so that the version is in no cache.
    let case = format!("  - {{ name: new, query: \"{}\", expect: {{ action: allow }} }}\n", gateway.folder().display());
    let manifest = fs::read_to_string(gateway.policies().join("pii.yaml")).unwrap() + &case;
    fs::write(gateway.policies().join("pii.yaml"), manifest).unwrap();
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let gateway = gateway.clone();
        asking.spawn(async move {
            let response = gateway.client.post(gateway.admin_url("/admin/policies/reload")).send().await.unwrap();
            let wait = response.headers().get("retry-after").map(|it| it.to_str().unwrap().to_owned());
            (support::answer(response).await, wait)
        });
    }
    // One works, three wait behind it; the others are told at once.
    for _ in 0..8 {
        let (refused, wait) = asking.join_next().await.unwrap().unwrap();
        assert_eq!((refused.status, &refused.body["error"]["code"]), (503, &json!("overloaded")), "{refused:?}");
        assert_eq!(wait.as_deref(), Some("1"));
    }
    assert_eq!(gateway.policy("pii").await["state"], "live", "looking waits for nobody");
    assert_eq!(gateway.pre_check(CARD).await.body["approved"], false);
    fs::write(&gate, "open").unwrap();
    while let Some(done) = asking.join_next().await {
        let (answer, _) = done.unwrap();
        assert_eq!((answer.status, &answer.body["generation"]), (200, &json!(2)), "{answer:?}");
    }
}

#[tokio::test]
async fn a_policy_can_be_tried_and_nothing_is_kept() {
    let prepared = Setup::without_provider().prepare();
    let manifest = fs::read_to_string(prepared.policies().join("pii.yaml")).unwrap();
    let shadow = manifest.replace("mode: enforce", "mode: shadow\nmatch: { clients: [\"bank-*\"] }");
    fs::write(prepared.policies().join("pii.yaml"), shadow).unwrap();
    let gateway = prepared.start();
    gateway.pre_check("Hello").await;
    let kept = async || {
        let text = gateway.get("/prometheus").await.body;
        // The folder is also read when nobody asks for it.
        let by_itself = |line: &str| line.starts_with("octroi_policies_scans_total ");
        let mut counted: Vec<_> =
            text.as_str().unwrap().lines().filter(|line| !by_itself(line)).map(str::to_owned).collect();
        counted.sort();
        let policies = gateway.admin_get("/admin/policies").await.body;
        (gateway.search(json!({ "limit": 1000 })).await.len(), policies, counted)
    };
    let before = kept().await;

    let tried = gateway.admin_post("/admin/policies/pii/evaluate", json!({ "query": EMAIL })).await;
    assert_eq!(tried.status, 200, "{tried:?}");
    let body = &tried.body;
    let fixed = ["policy", "mode", "phase", "matches", "log", "log_dropped"].map(|key| body[key].clone());
    assert_eq!(json!(fixed), json!(["pii", "shadow", "pre-check", false, [], 0]));
    assert_eq!(body["version"], gateway.policy("pii").await["version"]);
    let place = json!({ "message": 0, "part": 0, "start": 9, "end": 29 });
    let verdict = &body["verdict"];
    assert_eq!((&verdict["action"], &verdict["findings"][0]["rule"]), (&json!("redact"), &json!("email")));
    assert_eq!(verdict["findings"][0]["place"], place);
    assert_eq!(verdict["edits"], json!([{ "place": place, "replacement": "[EMAIL]" }]));
    assert_eq!(verdict["messages"], json!([{ "role": "user", "text": "Write to [EMAIL]" }]));
    assert!(body["elapsed_us"].as_u64().unwrap() > 0 && body["memory_bytes"].as_u64().unwrap() > 0, "{body}");
    assert!(body.get("error").is_none());

    let conversation = json!({
        "messages": [
            { "role": "user", "text": "Find the last payment." },
            { "role": "tool", "text": CARD, "name": "payments" },
        ],
        "context": { "client": "bank-north", "surface": "gateway", "attributes": { "ticket": "4711" } },
        "phase": "pre-check",
    });
    let tried = gateway.admin_post("/admin/policies/pii/evaluate", conversation).await;
    assert_eq!((&tried.body["verdict"]["action"], &tried.body["matches"]), (&json!("deny"), &json!(true)), "{tried:?}");
    assert_eq!(tried.body["verdict"]["findings"][0]["place"]["message"], 1);
    assert!(tried.body["verdict"]["reason"].is_string());
    let tried = gateway.admin_post("/admin/policies/audit-redact/evaluate", json!({ "query": CARD })).await;
    assert_eq!(tried.body["phase"], "audit", "the first that it answers: {tried:?}");
    assert!(!tried.body["verdict"]["messages"][0]["text"].as_str().unwrap().contains("4111"), "{tried:?}");

    assert_eq!(kept().await, before);
    assert!(!gateway.whole_log().await.contains("jane.doe"));
}

/// A policy that never comes to an end.
fn endless_loop() -> Vec<u8> {
    let mut module = wat::parse_str(
        r#"(module
            (memory (export "memory") 1)
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 2048))
            (func (export "octroi:policy/lifecycle@0.1.0#configure") (param i32 i32) (result i32) (i32.const 1024))
            (func (export "octroi:policy/lifecycle@0.1.0#describe") (result i32) (i32.const 1024))
            (func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32)
              (loop $again (br $again)) (i32.const 1024)))"#,
    )
    .unwrap();
    let mut resolve = wit_parser::Resolve::default();
    let (package, _) = resolve.push_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("wit")).unwrap();
    let world = resolve.select_world(&[package], Some("pre-check-policy")).unwrap();
    wit_component::embed_component_metadata(&mut module, &resolve, world, wit_component::StringEncoding::UTF8).unwrap();
    module
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trial_says_what_the_policy_ran_into_and_too_many_at_once_are_refused() {
    let prepared = Setup::without_provider().prepare();
    fs::write(prepared.policies().join("loop.wasm"), endless_loop()).unwrap();
    let manifest =
        "name: loop\nmodule: loop.wasm\nmode: shadow\nmatch: { clients: [nobody] }\nlimits: { time: 400ms }\n";
    fs::write(prepared.policies().join("loop.yaml"), manifest).unwrap();
    let gateway = std::sync::Arc::new(prepared.start());
    let mut trying = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let gateway = gateway.clone();
        trying.spawn(async move { gateway.admin_post("/admin/policies/loop/evaluate", json!({ "query": "x" })).await });
    }
    let mut refused = 0;
    while let Some(done) = trying.join_next().await {
        let answer = done.unwrap();
        if answer.status == 503 {
            assert_eq!(answer.body["error"]["code"], "overloaded", "{answer:?}");
            refused += 1;
            continue;
        }
        assert_eq!(answer.status, 200, "{answer:?}");
        let error = &answer.body["error"];
        // On a machine that is busy enough the wall comes before the policy's own limit.
        assert!(error["code"] == "time_limit" || error["code"] == "wall_limit", "{answer:?}");
        assert_eq!((&error["on_error"], answer.body.get("verdict")), (&json!("deny"), None), "{answer:?}");
    }
    assert!((1..12).contains(&refused), "{refused} of 12 were refused");
}

#[tokio::test]
async fn what_cannot_be_tried_is_an_error_that_says_why() {
    let prepared = Setup::without_provider().yaml("server: { listen: \"127.0.0.1:0\", body_limit: 4KiB }\n").prepare();
    fs::write(prepared.policies().join("resting.yaml"), "name: resting\nmodule: x.wasm\nmode: off\n").unwrap();
    let gateway = prepared.start();
    let long = "x".repeat(5_000);
    for (policy, body, status, code, told) in [
        ("nobody", json!({ "query": "x" }), 404, "unknown_policy", "no policy has this name"),
        ("..%2Fpii", json!({ "query": "x" }), 404, "unknown_policy", "no policy has this name"),
        ("%ff", json!({ "query": "x" }), 404, "unknown_policy", "no policy has this name"),
        ("resting", json!({ "query": "x" }), 409, "policy_not_in_force", "it is off"),
        ("pii", json!({}), 400, "invalid_field", "give either `query`"),
        ("pii", json!({ "messages": [] }), 400, "invalid_field", "give either `query`"),
        ("pii", json!({ "query": "x", "messages": [{ "role": "user", "text": "x" }] }), 400, "invalid_field", "either"),
        (
            "pii",
            json!({ "messages": [{ "role": "user", "text": "x", "name": "look" }] }),
            400,
            "invalid_field",
            "`name` is a tool's",
        ),
        ("pii", json!({ "query": 1 }), 400, "invalid_body", "query: expected a string"),
        ("pii", json!({ "query": "x", "phases": "audit" }), 400, "invalid_body", "`phase`"),
        ("pii", json!({ "query": "x", "phase": "audit" }), 400, "invalid_field", "the policy answers pre-check"),
        ("pii", json!({ "query": "x", "context": { "client": 1 } }), 400, "invalid_body", "context.client"),
        ("pii", json!([]), 400, "invalid_body", "expected a JSON object"),
        ("pii", json!({ "query": long }), 413, "body_too_large", "server.body_limit"),
    ] {
        let answer = gateway.admin_post(&format!("/admin/policies/{policy}/evaluate"), body).await;
        assert_eq!((answer.status, &answer.body["error"]["code"]), (status, &json!(code)), "{policy}: {answer:?}");
        assert!(answer.body["error"]["message"].as_str().unwrap().contains(told), "{policy}: {answer:?}");
    }
    let answer = gateway.admin_get("/api/request").await;
    assert_eq!((answer.status, &answer.body["error"]["code"]), (404, &json!("not_found")), "{answer:?}");
    let response = gateway.client.get(gateway.admin_url("/admin/policies/reload")).send().await.unwrap();
    assert_eq!(
        (response.status(), response.headers()["allow"].to_str().unwrap()),
        (StatusCode::METHOD_NOT_ALLOWED, "POST")
    );
    assert_eq!(support::answer(response).await.body["error"]["code"], "method_not_allowed");
    assert_eq!(gateway.get("/admin/policies").await.status, 404, "applications' address has no admin API");
}

async fn with_headers(gateway: &Gateway, headers: &[(&str, &str)]) -> Answer {
    let mut request = gateway.client.post(gateway.admin_url("/admin/policies/reload"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    support::answer(request.send().await.unwrap()).await
}

#[tokio::test]
async fn web_pages_and_other_names_are_refused() {
    let gateway =
        Setup::without_provider().yaml("admin: { listen: \"127.0.0.1:0\", hosts: [octroi.example.org] }\n").start();
    let own = gateway.admin_url("");
    let port = gateway.admin.unwrap().port();
    let (local, evil) = (format!("localhost:{port}"), format!("evil.example:{port}"));
    let evil_origin = format!("http://{evil}");
    for (headers, expected) in [
        (vec![], None),
        (vec![("host", local.as_str())], None),
        (vec![("host", "octroi.example.org")], None),
        (vec![("origin", own.as_str())], None),
        (vec![("host", evil.as_str())], Some("foreign_host")),
        // What a page does whose name was pointed here.
        (vec![("host", evil.as_str()), ("origin", evil_origin.as_str())], Some("foreign_host")),
        (vec![("host", "localhost.evil.example")], Some("foreign_host")),
        (vec![("origin", "https://evil.example")], Some("foreign_origin")),
        (vec![("origin", "http://localhost:3000")], Some("foreign_origin")),
        (vec![("origin", "null")], Some("foreign_origin")),
        (vec![("sec-fetch-site", "cross-site")], Some("foreign_origin")),
    ] {
        let answer = with_headers(&gateway, &headers).await;
        let expected = (if expected.is_some() { 403 } else { 200 }, expected.map_or(Value::Null, Value::from));
        assert_eq!((answer.status, answer.body["error"]["code"].clone()), expected, "{headers:?}: {answer:?}");
    }
}

#[tokio::test]
async fn a_token_is_wanted_where_one_is_set() {
    let digest = Digest::of(TOKEN.as_bytes());
    for listen in ["127.0.0.1:0", "0.0.0.0:0"] {
        let mut gateway = Setup::without_provider()
            .yaml(&format!("admin: {{ listen: \"{listen}\", token_sha256: {digest} }}\n"))
            .start();
        gateway.admin.as_mut().unwrap().set_ip([127, 0, 0, 1].into());
        let right = format!("Bearer {TOKEN}");
        let right_shouted = format!("BEARER {TOKEN}");
        for (authorization, expected) in [
            (None, Some("authentication_required")),
            (Some("Bearer wrong"), Some("authentication_failed")),
            (Some("Bearer "), Some("authentication_failed")),
            (Some(TOKEN), Some("authentication_failed")),
            (Some("Basic b2N0cm9pOnRva2Vu"), Some("authentication_failed")),
            (Some(right.as_str()), None),
            (Some(right_shouted.as_str()), None),
        ] {
            let headers: Vec<_> = authorization.map(|it| ("authorization", it)).into_iter().collect();
            let answer = with_headers(&gateway, &headers).await;
            let expected = (if expected.is_some() { 401 } else { 200 }, expected.map_or(Value::Null, Value::from));
            assert_eq!((answer.status, answer.body["error"]["code"].clone()), expected, "{headers:?}: {answer:?}");
        }
        let response = gateway.client.get(gateway.admin_url("/nowhere")).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "what is there, nobody learns without");
        assert!(response.headers()["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
        assert!(!gateway.whole_log().await.contains(TOKEN));
    }
}

#[test]
fn serve_refuses_to_start_without_a_token_where_others_can_reach_it_and_where_the_port_is_taken() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    for (listen, told) in [
        ("0.0.0.0:0".to_owned(), ["admin.listen", "admin.token_sha256", "admin.enabled: false"]),
        (address.to_string(), ["admin.listen", "in use", "admin.enabled: false"]),
    ] {
        let prepared = Setup::without_provider().yaml(&format!("admin: {{ listen: \"{listen}\" }}\n")).prepare();
        let output = prepared.command(&["serve"]).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        let last = text.lines().last().unwrap();
        assert!(!output.status.success() && told.iter().all(|it| last.contains(it)), "{text}");
    }
}

#[tokio::test]
async fn switched_off_nothing_listens() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let yaml = format!("admin: {{ enabled: false, listen: \"{address}\" }}\n");
    let gateway = Setup::without_provider().yaml(&yaml).start();
    assert_eq!(gateway.admin, None);
    assert!(gateway.log.count("\"admin\":\"off\"").await > 0);
    assert_eq!(gateway.get("/health").await.status, 200);
}
