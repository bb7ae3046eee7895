//! `octroi audit replay` and `octroi audit reproduce`, through the binary: what would another policy have said, and does
//! an old decision come out as it did?

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panics")]

#[path = "hostile/attack.rs"]
mod attack;
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use mistral_double::{Behaviour, MistralDouble};
use serde_json::{Value, json};
use support::{Gateway, Prepared, Setup, copy_policy, eventually, repository_policies};

const SAME: Option<i32> = Some(0);
const MISSING: Option<i32> = Some(3);

/// Exit code, and what is printed.
fn run(prepared: &Prepared, arguments: &[&str]) -> (Option<i32>, String) {
    let arguments: Vec<_> = ["audit"].iter().chain(arguments).copied().collect();
    let Output { status, stdout, stderr } = prepared.command(&arguments).output().unwrap();
    (status.code(), String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr))
}

fn reproduce(prepared: &Prepared, id: &str) -> (Option<i32>, String) {
    run(prepared, &["reproduce", id])
}

/// The report of a replay.
fn replay(prepared: &Prepared, arguments: &[&str]) -> Value {
    let (code, text) = run(prepared, &[&["replay", "--json"], arguments].concat());
    assert_eq!(code, SAME, "{arguments:?}\n{text}");
    serde_json::from_str(&text).unwrap()
}

/// A gateway that keeps texts so.
fn keeping(content: &str, setup: Setup) -> Prepared {
    setup.audit(&format!("{{ url: \"sqlite://FOLDER/octroi.db\", content: {content} }}")).prepare()
}

fn prepared(gateway: &Gateway) -> &Prepared {
    gateway.prepared.as_ref().unwrap()
}

/// The id that a request's answer, or a pre-check's, gave.
async fn ask(gateway: &Gateway, query: &str) -> String {
    let answer = gateway.ask(query).await;
    answer.body["request_id"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned()
}

async fn pre_check(gateway: &Gateway, query: &str) -> String {
    gateway.pre_check(query).await.body["context_id"].as_str().unwrap().to_owned()
}

/// The shipped manifest of `pii`, changed, in a folder of its own.
fn other_pii(prepared: &Prepared, folder: &str, changes: &[(&str, &str)]) -> PathBuf {
    let folder = prepared.path().join(folder);
    fs::create_dir_all(&folder).unwrap();
    copy_policy("pii", &folder);
    let mut manifest = fs::read_to_string(repository_policies().join("pii.yaml")).unwrap();
    for (from, to) in changes {
        assert!(manifest.contains(from), "{from}");
        manifest = manifest.replace(from, to);
    }
    let path = folder.join("pii.yaml");
    fs::write(&path, manifest).unwrap();
    path
}

/// Puts a manifest into the place of another, and waits until it is in force.
async fn go_live(gateway: &Gateway, name: &str, manifest: &Path) {
    let before = gateway.policy(name).await["version"].clone();
    fs::copy(manifest, gateway.policies().join(name).with_extension("yaml")).unwrap();
    eventually("the new version is live", async || {
        gateway.reload().await;
        gateway.policy(name).await["version"] != before
    })
    .await;
}

async fn remove(gateway: &Gateway, name: &str) {
    fs::remove_file(gateway.policies().join(name).with_extension("yaml")).unwrap();
    fs::remove_file(gateway.policies().join(name).with_extension("wasm")).unwrap();
    eventually("the policy is gone", async || {
        let reloaded = gateway.reload().await;
        !reloaded.to_string().contains(&format!("\"{name}\""))
    })
    .await;
}

fn ids(group: &Value) -> Vec<&str> {
    group["examples"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_changed_manifest_differs_where_it_should_and_nowhere_else() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = keeping("full", Setup::with(&double)).start();
    ask(&gateway, "What is an octroi?").await;
    let mail = ask(&gateway, "Write to eva@example.org").await;
    let iban = ask(&gateway, "My IBAN is DE89370400440532013000").await;
    ask(&gateway, "Charge 4111 1111 1111 1111").await;
    let phone = pre_check(&gateway, "Call +49 30 123456").await;
    ask(&gateway, "ping 10.1.2.3").await;
    let injected = ask(&gateway, "SELECT * FROM users WHERE name = '' OR 1=1 --").await;
    let prepared = prepared(&gateway);
    let candidate = other_pii(
        prepared,
        "new",
        &[
            ("email: { enabled: true, action: redact", "email: { enabled: true, action: deny"),
            ("iban: { enabled: true, action: deny", "iban: { enabled: true, action: log"),
            ("mask: \"[PHONE]\"", "mask: \"[TEL]\""),
        ],
    );
    let candidate = candidate.to_str().unwrap();

    let report = replay(prepared, &["--policy", candidate]);
    assert_eq!(ids(&report["newly_denied"]), [mail.as_str()], "{report}");
    assert_eq!(ids(&report["newly_allowed"]), [iban.as_str()], "{report}");
    assert_eq!(ids(&report["changed_edits"]), [phone.as_str()], "{report}");
    assert_eq!((&report["changed_otherwise"]["count"], &report["errors"]["count"]), (&json!(0), &json!(0)), "{report}");
    // A question, a card, an address of a host; and the answers to those three that were answered.
    assert_eq!((&report["unchanged"], &report["answers"]), (&json!(6), &json!(3)), "{report}");
    assert_eq!((&report["requests"], &report["pre_checks"]), (&json!(5), &json!(1)), "{report}");
    assert_eq!(report["unasked"]["refused_before"], 1, "{injected} was refused before pii: {report}");
    let example = &report["newly_denied"]["examples"][0];
    assert_eq!(
        (&example["recorded"], &example["now"], &example["same_text"], &example["text"]),
        (
            &json!("redact by pii (email)"),
            &json!("deny by pii (email)"),
            &json!(true),
            &json!("Write to eva@example.org")
        )
    );
    assert_eq!((&report["on_masked_text"], &report["figures"]["evaluations"]), (&json!(0), &json!(9)), "{report}");

    let unchanged = other_pii(prepared, "same", &[]);
    let same = replay(prepared, &["--policy", unchanged.to_str().unwrap()]);
    assert_eq!((&same["unchanged"], &same["requests"]), (&json!(9), &json!(5)), "{same}");

    let (code, text) = run(prepared, &["replay", "--policy", candidate, "--examples", "0"]);
    assert!(code == SAME && text.contains("newly denied") && !text.contains("eva@"), "{text}");
    for (narrowed, requests) in [(["--client", "nobody"], 0), (["--until", "1h"], 0), (["--since", "1h"], 5)] {
        let report = replay(prepared, &[&["--policy", candidate], &narrowed[..]].concat());
        assert_eq!(report["requests"], requests, "{narrowed:?} {report}");
    }
    // `match` is honoured, and what is erased is told.
    assert_eq!(run(prepared, &["erase", "--id", &phone]).0, SAME);
    // Nobody named a model: it is the provider's own by which it was known that this policy does not apply.
    for elsewhere in ["surfaces: [gateway]", "models: [elsewhere]"] {
        let narrowed = format!("match: {{ {elsewhere} }}\norder: 20");
        let elsewhere = other_pii(prepared, "elsewhere", &[("order: 20", &narrowed)]);
        let report = replay(prepared, &["--policy", elsewhere.to_str().unwrap()]);
        let count = |group: &str| report[group]["count"].as_u64().unwrap();
        // What it judged and does not any more: an IBAN and a card were refused, a mail address and a host's were masked.
        assert_eq!((count("newly_allowed"), count("changed_edits"), count("errors")), (2, 2, 0), "{report}");
        assert_eq!((&report["unchanged"], &report["unasked"]["text_erased"]), (&json!(4), &json!(1)), "{report}");
    }
}

#[tokio::test]
async fn a_folder_is_compared_with_what_was_decided_and_a_candidate_must_pass_its_cases() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = keeping("full", Setup::with(&double)).start();
    let iban = ask(&gateway, "My IBAN is DE89370400440532013000").await;
    let mail = ask(&gateway, "Write to eva@example.org").await;
    ask(&gateway, "SELECT * FROM users WHERE name = '' OR 1=1 --").await;
    let prepared = prepared(&gateway);
    let folder = prepared.path().join("folder");
    fs::create_dir(&folder).unwrap();
    copy_policy("sql-injection", &folder);
    copy_policy("audit-redact", &folder);
    let report = replay(prepared, &["--policies", folder.to_str().unwrap()]);
    assert_eq!(ids(&report["newly_allowed"]), [iban.as_str()], "{report}");
    assert_eq!(ids(&report["changed_edits"]), [mail.as_str()], "{report}");
    assert_eq!(report["unchanged"], 1, "what the other one refuses stays refused: {report}");

    other_pii(prepared, "folder", &[("mode: enforce # enforce", "mode: shadow # enforce")]);
    let report = replay(prepared, &["--policies", folder.to_str().unwrap()]);
    assert_eq!(ids(&report["newly_allowed"]), [iban.as_str()], "a shadow refuses nothing: {report}");

    let failing = other_pii(prepared, "failing", &[("expect: { rules: [pan] }", "expect: { action: allow }")]);
    for arguments in
        [["--policy", failing.to_str().unwrap()], ["--policies", failing.parent().unwrap().to_str().unwrap()]]
    {
        let (code, text) = run(prepared, &[&["replay"], &arguments[..]].concat());
        assert!(code == Some(1) && text.contains("an Indian tax number is found"), "{text}");
    }
}

#[tokio::test]
async fn redacted_and_missing_texts_are_told() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = keeping("redacted", Setup::with(&double)).start();
    let mail = ask(&gateway, "Write to eva@example.org").await;
    let plain = ask(&gateway, "What is an octroi?").await;
    let told = gateway
        .post("/api/request", json!({ "query": "Hello", "context": { "ticket": "4711" }, "skip_llm": true }))
        .await;
    let told = told.body["request_id"].as_str().unwrap().to_owned();
    let with_prepared = prepared(&gateway);
    let same = other_pii(with_prepared, "same", &[]);
    let (code, text) = run(with_prepared, &["replay", "--policy", same.to_str().unwrap()]);
    assert_eq!(code, SAME, "{text}");
    // The masked address, and the attribute that is not kept.
    assert!(text.contains("note: 2 were judged on redacted text"), "{text}");
    assert!(text.contains("(1 of them on a text that is not the one of then)"), "{text}");
    assert!(text.contains("Write to [EMAIL]") && !text.contains("eva@"), "{text}");

    // What no audit policy has changed is the text as it came.
    assert_eq!(reproduce(with_prepared, &plain).0, SAME);
    for id in [&mail, &told] {
        let (code, text) = reproduce(with_prepared, id);
        assert!(code == MISSING && text.contains("`audit.content` was not `full`"), "{text}");
    }

    let gateway = keeping("none", Setup::with(&double)).start();
    let id = ask(&gateway, "What is an octroi?").await;
    let (code, text) = reproduce(prepared(&gateway), &id);
    assert!(code == MISSING && text.contains("`audit.content` was not `full`"), "{text}");
    let report = replay(prepared(&gateway), &["--policy", same.to_str().unwrap()]);
    assert_eq!((&report["unasked"]["text_not_kept"], &report["requests"]), (&json!(2), &json!(0)), "{report}");
}

#[tokio::test]
async fn an_old_decision_comes_out_the_same_when_its_policies_are_changed_and_gone() {
    let double = MistralDouble::builder()
        .script(Behaviour::text("She is eva@example.org, and her card is 4111 1111 1111 1111."))
        .start()
        .await
        .unwrap();
    let gateway = keeping("full", Setup::with(&double)).start();
    let answered = ask(&gateway, "Who wrote to jane.doe@example.org?").await;
    let refused = ask(&gateway, "My IBAN is DE89370400440532013000").await;
    let context = pre_check(&gateway, "Call +49 30 123456").await;
    let report = json!({
        "context_id": context, "client_id": "community", "provider": "mistral", "model": "mistral-small-latest",
        "response_summary": "It said +49 30 123456.", "metadata": { "b": 1, "a": "x" }
    });
    assert_eq!(gateway.post("/api/audit/llm-call", report).await.status, 200);
    let told = json!({ "query": "Hello", "context": { "ticket": "4711" }, "skip_llm": true });
    let told = gateway.post("/api/request", told).await.body["request_id"].as_str().unwrap().to_owned();

    let changed = other_pii(prepared(&gateway), "new", &[("mask: \"[EMAIL]\"", "mask: \"[MAIL]\"")]);
    go_live(&gateway, "pii", &changed).await;
    remove(&gateway, "sql-injection").await;
    let later = ask(&gateway, "Write to eva@example.org").await;
    let entries = gateway.search(json!({ "request_id": told })).await;
    assert_eq!(entries[0]["query"], "Hello", "the search shows the text, not what stands beside it");
    let mut gateway = gateway;
    gateway.terminate();
    gateway.wait();
    let prepared = gateway.prepared.take().unwrap();

    for (id, expected) in [
        (&answered, &["request", "answer", "pii", "sql-injection", "pre-check", "response", "audit", "redact"][..]),
        (&refused, &["deny", "same: of 3 verdicts 3 are the same"]),
        (&context, &["pre-check", "reported call", "audit-redact"]),
        (&told, &["same: of 3 verdicts 3 are the same"]),
        (&later, &["same", "redact"]),
    ] {
        let (code, text) = reproduce(&prepared, id);
        assert_eq!(code, SAME, "{text}");
        for expected in expected {
            assert!(text.contains(expected), "{expected} is missing:\n{text}");
        }
    }
    let (code, text) = run(&prepared, &["show", &told, "--json"]);
    assert!(code == SAME && text.contains(r#""attributes":{"ticket":"4711"}"#), "{text}");
}

#[tokio::test]
async fn what_is_missing_or_was_tampered_with_is_told() {
    let double = MistralDouble::builder().start().await.unwrap();
    let mut gateway = keeping("full", Setup::with(&double)).start();
    let changed = ask(&gateway, "My IBAN is DE89370400440532013000").await;
    let erased = ask(&gateway, "Write to eva@example.org").await;
    gateway.terminate();
    gateway.wait();
    let prepared = gateway.prepared.take().unwrap();
    let (code, text) = reproduce(&prepared, "req_nothing");
    assert!(code == Some(1) && text.contains("has the id req_nothing"), "{text}");

    let database = rusqlite::Connection::open(prepared.path().join("octroi.db")).unwrap();
    let text_of = "place = (SELECT place FROM entries WHERE id = ?)";
    let sql = format!("UPDATE contents SET content = replace(content, 'IBAN', 'number') WHERE {text_of}");
    assert_eq!(database.execute(&sql, [&changed]), Ok(1));
    let (code, text) = reproduce(&prepared, &changed);
    assert!(code == MISSING && text.contains("does not fit its HMAC"), "{text}");

    assert_eq!(reproduce(&prepared, &erased).0, SAME);
    let version = "(SELECT body ->> '$.policies[1].version' FROM records WHERE kind = 'intent' LIMIT 1)";
    let sql =
        format!("UPDATE versions SET manifest = replace(manifest, '[EMAIL]', '[MAIL]') WHERE version = {version}");
    assert_eq!(database.execute(&sql, []), Ok(1));
    let (code, text) = reproduce(&prepared, &erased);
    assert!(code == MISSING && text.contains("somebody changed it"), "{text}");
    database.execute("DELETE FROM versions", []).unwrap();
    let (code, text) = reproduce(&prepared, &erased);
    assert!(code == MISSING && text.contains("it is not in the archive"), "{text}");
    assert_eq!(run(&prepared, &["erase", "--id", &erased]).0, SAME);
    let (code, text) = reproduce(&prepared, &erased);
    assert!(code == MISSING && text.contains("it was erased"), "{text}");
}

#[tokio::test]
async fn readings_are_told_again_and_limits_and_streams_are_shown() {
    let double = MistralDouble::builder().start().await.unwrap();
    let before = keeping("full", Setup::with(&double));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(root.join("plugins/examples/request-limit/request-limit.yaml")).unwrap();
    let manifest = manifest[..manifest.find("tests:").unwrap()].replace("requests: 100", "requests: 1");
    fs::write(before.policies().join("request-limit.yaml"), manifest).unwrap();
    fs::copy(
        root.join("target/wasm32-unknown-unknown/guest/request_limit.wasm"),
        before.policies().join("request-limit.wasm"),
    )
    .unwrap();
    let endless = attack::named("endless_loop");
    fs::write(before.policies().join("endless.wasm"), endless.module).unwrap();
    let manifest =
        "name: endless\nmodule: endless.wasm\non_error: allow\nlimits: { time: 1s }\nmatch: { clients: [patient] }\n";
    fs::write(before.policies().join("endless.yaml"), manifest).unwrap();
    let gateway = before.start();

    let first = pre_check(&gateway, "Hello").await;
    let second = gateway.pre_check("Hello").await;
    assert_eq!(second.body["approved"], false, "{second:?}");
    let second = second.body["context_id"].as_str().unwrap().to_owned();
    let patient = gateway.post("/api/policy/pre-check", json!({ "query": "Hello", "client_id": "patient" })).await;
    let patient = patient.body["context_id"].as_str().unwrap().to_owned();
    let body = json!({ "model": "mistral-small-latest", "stream": true, "messages": [{ "role": "user", "content": "Hello" }] });
    let request = gateway.client.post(gateway.url("/v1/chat/completions")).header("x-client-id", "reader").json(&body);
    assert_eq!(support::answer(request.send().await.unwrap()).await.status, 200);
    let streamed = gateway.search_as("reader", json!({})).await[0]["id"].as_str().unwrap().to_owned();

    let prepared = prepared(&gateway);
    for (id, said) in [(&first, "allow"), (&second, "deny")] {
        let (code, text) = reproduce(prepared, id);
        let line = text.lines().find(|line| line.contains("request-limit")).unwrap();
        assert!(code == SAME && line.contains(said) && line.contains("same"), "{text}");
    }
    let (code, text) = reproduce(prepared, &patient);
    assert!(code == SAME && text.contains("time_limit") && text.contains("not recomputed"), "{text}");
    let (code, text) = reproduce(prepared, &streamed);
    assert!(code == SAME && text.contains("the answer was streamed"), "{text}");
    assert!(text.lines().any(|line| line.contains("audit-redact") && line.contains("same")), "{text}");

    // A policy that spins is an error of each request, and stops nothing.
    let endless = prepared.policies().join("endless.yaml");
    let report = replay(prepared, &["--policy", endless.to_str().unwrap()]);
    assert_eq!((&report["errors"]["count"], &report["unasked"]["not_covered"]), (&json!(1), &json!(3)), "{report}");
    let pii = prepared.policies().join("pii.yaml");
    let report = replay(prepared, &["--policy", pii.to_str().unwrap()]);
    assert_eq!((&report["answers"], &report["streamed"]), (&json!(1), &json!(1)), "{report}");
}
