//! Rolling out safely: what a policy would do is seen before it does it.

#![expect(clippy::unwrap_used, reason = "tests fail by panics")]

mod support;

use std::fs;
use std::sync::Arc;

use mistral_double::MistralDouble;
use octroi::policy::digest::Digest;
use octroi::policy::manifest::{Manifest, Phase, Rollout};
use serde_json::{Value, json};
use support::{Gateway, Prepared, Setup, copy_policy};

const EMAIL: &str = "Write to jane.doe@example.org";
const CARD: &str = "Charge 4111 1111 1111 1111";

/// Changes the manifest of `pii` as an operator would.
fn edit(folder: &std::path::Path, from: &str, to: &str) {
    let path = folder.join("pii.yaml");
    let manifest = fs::read_to_string(&path).unwrap();
    let edited = manifest.replacen(from, to, 1);
    assert_ne!(edited, manifest, "`{from}` is not in the manifest");
    fs::write(path, edited).unwrap();
}

fn prepared_with(setup: Setup, mode: &str) -> Prepared {
    let prepared = setup.prepare();
    edit(&prepared.policies(), "mode: enforce", mode);
    prepared
}

/// What the record of a request says about `pii`.
async fn recorded(gateway: &Gateway, id: &Value) -> Value {
    let entries = gateway.search(json!({ "limit": 1, "decision_id": id })).await;
    let evaluations = entries[0]["policy_details"]["evaluations"].as_array().unwrap();
    evaluations.iter().find(|it| it["policy"] == "pii").cloned().unwrap_or_default()
}

/// Evaluations of `pii` that were counted.
async fn counted(gateway: &Gateway, enforced: bool, result: &str) -> u64 {
    let text = gateway.get("/prometheus").await.body;
    let labels = [
        "octroi_policy_evaluations_total{".to_owned(),
        "policy=\"pii\"".to_owned(),
        "phase=\"pre-check\"".to_owned(),
        format!("enforced=\"{enforced}\""),
        format!("result=\"{result}\""),
    ];
    let line = text.as_str().unwrap().lines().find(|line| labels.iter().all(|label| line.contains(label)));
    line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
}

#[tokio::test]
async fn a_shadow_changes_nothing_for_the_caller_and_is_in_record_and_metrics() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = prepared_with(Setup::with(&double), "mode: shadow").start();
    for (query, action, edits) in [(EMAIL, "redact", 1), (CARD, "deny", 0)] {
        let answer = gateway.ask(query).await;
        assert_eq!((answer.status, &answer.body["success"]), (200, &json!(true)), "{answer:?}");
        assert_eq!(answer.body["policy_info"]["policies_evaluated"], json!([]), "{answer:?}");
        assert!(double.last_request().unwrap().text().contains(query), "the model sees what was sent");
        let pii = recorded(&gateway, &answer.body["request_id"]).await;
        let said = ["mode", "enforced", "action", "edits"].map(|key| pii[key].clone());
        assert_eq!(json!(said), json!(["shadow", false, action, edits]), "{pii}");
        assert_eq!(pii["findings"].as_array().unwrap().len(), 1, "{pii}");
        assert_eq!(counted(&gateway, false, action).await, 1);

        let checked = gateway.pre_check(query).await;
        let told = ["approved", "requires_redaction", "policies", "verdict"].map(|key| checked.body[key].clone());
        assert_eq!(json!(told), json!([true, false, [], "allowed"]), "{checked:?}");
        let pii = recorded(&gateway, &checked.body["context_id"]).await;
        assert_eq!((&pii["enforced"], &pii["action"]), (&json!(false), &json!(action)), "{pii}");
        assert_eq!((counted(&gateway, false, action).await, counted(&gateway, true, action).await), (2, 0));
    }
    let said = gateway.policy("pii").await["evaluations"].clone();
    assert_eq!(
        said["shadow"]["actions"],
        json!({ "deny": 2, "redact": 4 }),
        "the answers repeat what was asked: {said}"
    );
    assert_eq!((&said["enforced"]["actions"], &said["total"]), (&json!({}), &json!(6)), "{said}");
    let found = gateway.search(json!({ "limit": 10, "policy_name": "pii" })).await;
    assert_eq!(found.len(), 4, "whoever brings in a rule finds what it would have done");
    assert!(found.iter().all(|entry| entry["policy_decision"] == "allowed"), "{found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_roll_out_enforces_its_share_by_ids_that_the_server_makes() {
    const REQUESTS: usize = 500;
    let gateway = Arc::new(prepared_with(Setup::without_provider(), "mode: enforce\nrollout: 10").start());
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let gateway = gateway.clone();
            tokio::spawn(async move {
                let mut sides = Vec::new();
                for number in 0..REQUESTS / 4 {
                    // The same ids every time: were they heard, every request would be on one side.
                    let (path, body, id) = if number % 2 == 0 {
                        let body =
                            json!({ "query": CARD, "client_id": "community", "context_id": "b", "request_id": "c" });
                        ("/api/policy/pre-check", body, "context_id")
                    } else {
                        ("/api/request", json!({ "query": CARD, "request_id": "c", "skip_llm": true }), "request_id")
                    };
                    let mut request = gateway.client.post(gateway.url(path)).json(&body);
                    for header in ["x-request-id", "x-octroi-request-id", "x-correlation-id"] {
                        request = request.header(header, "d");
                    }
                    let answer = support::answer(request.send().await.unwrap()).await;
                    let refused = answer.status == 403 || answer.body["approved"] == false;
                    sides.push((answer.body[id].as_str().unwrap().to_owned(), refused));
                }
                sides
            })
        })
        .collect();
    let mut sides = Vec::new();
    for client in clients {
        sides.extend(client.await.unwrap());
    }
    let name = Manifest::parse("name: pii\nmodule: pii.wasm\n", "pii").unwrap().name;
    let rollout = Rollout::try_from(10).unwrap();
    for (id, refused) in &sides {
        assert_eq!(rollout.enforced(&name, id), *refused, "{id}");
    }
    // Of 500 requests 50 are expected, with a standard deviation of 7: these bounds are six of them away.
    let enforced = sides.iter().filter(|(_, refused)| *refused).count();
    assert!((10..=92).contains(&enforced), "{enforced} of {REQUESTS} were enforced");
    let said = gateway.policy("pii").await["evaluations"].clone();
    assert_eq!(said["enforced"]["actions"], json!({ "deny": enforced }));
    assert_eq!(said["shadow"]["actions"], json!({ "deny": REQUESTS - enforced }));
    assert_eq!(counted(&gateway, true, "deny").await as usize, enforced);
    assert_eq!(counted(&gateway, false, "deny").await as usize, REQUESTS - enforced);
    for side in [true, false] {
        let (id, _) = sides.iter().find(|(_, refused)| *refused == side).unwrap();
        let pii = recorded(&gateway, &json!(id)).await;
        let said = ["mode", "enforced", "action"].map(|key| pii[key].clone());
        assert_eq!(json!(said), json!(["enforce", side, "deny"]), "{pii}");
    }
}

#[tokio::test]
async fn match_covers_what_it_names_and_nothing_else() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = prepared_with(Setup::with(&double), "mode: enforce\nmatch: {}").start();
    let (proxy, check) = ("/api/request", "/api/policy/pre-check");
    let mut scope = "match: {}".to_owned();
    for (list, path, body, covered) in [
        ("clients: [\"bank-*\"]", check, json!({ "client_id": "bank-north" }), true),
        ("clients: [\"bank-*\"]", check, json!({ "client_id": "library" }), false),
        ("surfaces: [gateway]", check, json!({}), true),
        ("surfaces: [gateway]", proxy, json!({}), false),
        ("surfaces: [proxy]", proxy, json!({}), true),
        ("request_types: [sql]", proxy, json!({ "request_type": "sql" }), true),
        ("request_types: [sql]", proxy, json!({ "request_type": "chat" }), false),
        ("models: [\"mistral-small-*\"]", proxy, json!({ "context": { "model": "mistral-small-latest" } }), true),
        ("models: [\"mistral-small-*\"]", proxy, json!({ "context": { "model": "mistral-large-latest" } }), false),
        ("models: [\"gpt-*\"]", proxy, json!({}), false),
        ("models: [\"gpt-*\"]", check, json!({}), true),
        ("providers: [mistral]", proxy, json!({}), true),
        ("providers: [other]", proxy, json!({}), false),
        ("providers: [other]", check, json!({ "context": { "provider": "other" } }), true),
        ("providers: [mistral]", check, json!({ "context": { "provider": "other" } }), false),
        ("clients: [a], surfaces: [gateway]", check, json!({ "client_id": "a" }), true),
        ("clients: [a], surfaces: [proxy]", check, json!({ "client_id": "a" }), false),
    ] {
        let next = format!("match: {{ {list} }}");
        if next != scope {
            edit(&gateway.policies(), &scope, &next);
            scope = next;
            gateway.reload().await;
        }
        let mut asked = json!({ "query": CARD, "client_id": "somebody" });
        asked.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        let answer = gateway.post(path, asked).await;
        let refused = answer.status == 403 || answer.body["approved"] == false;
        assert_eq!(refused, covered, "{list} for {path} {body}: {answer:?}");
        let id = if path == proxy { &answer.body["request_id"] } else { &answer.body["context_id"] };
        let searched = json!({ "limit": 1, "decision_id": id, "client_id": null });
        let client = body["client_id"].as_str().unwrap_or("somebody");
        let entries = gateway.search_as(client, searched).await;
        let evaluations = entries[0]["policy_details"]["evaluations"].as_array().unwrap();
        assert_eq!(evaluations.iter().any(|it| it["policy"] == "pii"), covered, "{list}: {evaluations:?}");
    }
}

#[tokio::test]
async fn a_module_that_is_not_the_pinned_one_leaves_the_last_good_version_live() {
    let prepared = Setup::without_provider().prepare();
    let module = prepared.policies().join("pii.wasm");
    let pinned = fs::read(&module).unwrap();
    edit(&prepared.policies(), "mode: enforce", &format!("mode: enforce\nsha256: {}", Digest::of(&pinned)));
    let gateway = prepared.start();
    let before = gateway.policy("pii").await;
    assert_eq!(before["state"], "live", "{before}");

    // The same code with a section that means nothing: another file.
    let mut other = pinned.clone();
    other.extend([0, 5, 4, b'n', b'o', b't', b'e']);
    fs::write(&module, &other).unwrap();
    let health = gateway.until("/health", |body| body["status"] == "degraded").await;
    let error = &health["policies"]["errors"][0];
    assert_eq!(json!([error["policy"], error["step"], error["code"]]), json!(["pii", "digest", "digest_mismatch"]));
    let degraded = gateway.policy("pii").await;
    assert_eq!((&degraded["state"], &degraded["version"]), (&json!("degraded"), &before["version"]));
    let message = degraded["error"]["message"].as_str().unwrap();
    assert!(message.contains(&Digest::of(&other).to_string()) && message.contains("pins"), "{message}");
    assert_eq!(gateway.pre_check(CARD).await.body["approved"], false);

    copy_policy("pii", &gateway.policies());
    edit(&gateway.policies(), "mode: enforce", &format!("mode: enforce\nsha256: {}", Digest::of(&pinned)));
    gateway.until("/health", |body| body["status"] == "healthy").await;
    assert_eq!(gateway.policy("pii").await["version"], before["version"]);
}

#[tokio::test]
async fn a_policy_is_asked_in_the_phases_that_its_manifest_names() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = prepared_with(Setup::with(&double), "mode: enforce\nphases: [pre-check]").start();
    let asked = async || {
        let answer = gateway.ask("Hello").await;
        let entries = gateway.search(json!({ "limit": 1, "decision_id": answer.body["request_id"] })).await;
        let of = |key: &str| {
            let evaluations = entries[0]["policy_details"][key].as_array().cloned().unwrap_or_default();
            evaluations.iter().any(|it| it["policy"] == "pii")
        };
        (of("evaluations"), of("response_evaluations"))
    };
    assert_eq!(asked().await, (true, false));
    let before = gateway.policy("pii").await;
    assert_eq!((&before["phases"], &before["evaluations"]["total"]), (&json!(["pre-check"]), &json!(1)), "{before}");

    edit(&gateway.policies(), "phases: [pre-check]", "phases: [response, pre-check]");
    gateway.reload().await;
    assert_eq!(asked().await, (true, true));
    let both = gateway.policy("pii").await;
    assert_eq!((&both["phases"], &both["version"]), (&json!(["pre-check", "response"]), &before["version"]), "{both}");

    for (phases, code, says) in [
        ("[audit]", "bad_exports", "phases: found `audit`; the component exports pre-check, response"),
        ("[pre-check, audit]", "bad_exports", "phases: found `audit`; the component exports pre-check, response"),
        ("[]", "bad_manifest", "phases: found none, expected some of pre-check, response, audit"),
    ] {
        edit(&gateway.policies(), "phases: [response, pre-check]", &format!("phases: {phases}"));
        gateway.reload().await;
        let refused = gateway.policy("pii").await;
        assert_eq!((&refused["state"], &refused["error"]["code"]), (&json!("degraded"), &json!(code)), "{refused}");
        assert!(refused["error"]["message"].as_str().unwrap().contains(says), "{refused}");
        assert_eq!(asked().await, (true, true), "the last good version stays");
        edit(&gateway.policies(), &format!("phases: {phases}"), "phases: [response, pre-check]");
        gateway.reload().await;
    }
}

#[test]
fn a_case_asks_a_phase_that_its_manifest_names() {
    let manifest = |phases: &str, phase: &str| {
        let case = format!("tests: [{{ name: one, {phase} query: x, expect: {{}} }}]");
        Manifest::parse(&format!("name: a\nmodule: a.wasm\n{phases}\n{case}\n"), "a.yaml")
    };
    for (phases, phase, asks) in [
        ("", "", None),
        ("", "phase: audit,", Some(Phase::Audit)),
        ("phases: [audit, response]", "", Some(Phase::Response)),
        ("phases: [audit, response]", "phase: audit,", Some(Phase::Audit)),
    ] {
        assert_eq!(manifest(phases, phase).unwrap().tests[0].phase, asks, "{phases} {phase}");
    }
    let error = manifest("phases: [audit]", "phase: response,").unwrap_err().to_string();
    assert!(error.ends_with("tests[0].phase: case `one` asks `response`, which `phases` leaves out"), "{error}");
}
