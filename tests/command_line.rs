//! The binary, as an operator meets it.

#![expect(clippy::unwrap_used, reason = "tests fail by panics")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use mistral_double::{Behaviour, MistralDouble};
use serde_json::json;
use support::gate::Gate;
use support::{Setup, eventually};

fn run(prepared: &support::Prepared, arguments: &[&str]) -> (bool, String) {
    let output = prepared.command(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}

#[test]
fn check_prints_a_table_and_fails_when_anything_does() {
    let prepared = Setup::without_provider().prepare();
    let (fine, text) = run(&prepared, &["check"]);
    assert!(fine, "{text}");
    for expected in ["pii", "sql-injection", "audit-redact", "pre-check", "audit", "MISTRAL_API_KEY"] {
        assert!(text.contains(expected), "{expected} is missing: {text}");
    }
    fs::write(prepared.policies().join("pii.wasm"), "garbage").unwrap();
    let (fine, text) = run(&prepared, &["check"]);
    assert!(!fine, "{text}");
    assert!(text.contains("FAILED at encode"), "{text}");
}

#[test]
fn a_wrong_configuration_is_one_error_that_names_file_and_key() {
    let prepared = Setup::without_provider().yaml("routing: { strategie: weighted }\n").prepare();
    for command in ["check", "serve", "dev"] {
        let (fine, text) = run(&prepared, &[command]);
        assert!(!fine);
        assert!(text.contains("octroi.yaml") && text.contains("routing.strategie"), "{text}");
    }
    let (fine, text) = run(&prepared, &["serve", "--config", "nowhere.yaml"]);
    assert!(!fine && text.contains("nowhere.yaml"), "{text}");
}

#[test]
fn serve_without_any_policy_refuses_to_start_unless_told_otherwise() {
    let prepared = Setup::without_provider().policies(&[]).prepare();
    let (fine, text) = run(&prepared, &["serve"]);
    assert!(!fine && text.contains("policies.allow_none"), "{text}");
}

#[test]
fn serve_in_open_mode_listens_on_loopback_only() {
    let prepared = Setup::without_provider().yaml("server: { listen: \"0.0.0.0:0\" }\n").prepare();
    let (fine, text) = run(&prepared, &["serve"]);
    assert!(!fine && text.contains("auth.allow_open_network"), "{text}");
}

#[tokio::test]
async fn who_else_may_write_the_policies_is_told_and_nothing_is_refused_for_it() {
    let prepared = Setup::without_provider().prepare();
    let folder = prepared.policies();
    let set = |name: &str, mode: u32| fs::set_permissions(folder.join(name), fs::Permissions::from_mode(mode)).unwrap();
    fs::create_dir(folder.join("team-a")).unwrap();
    fs::rename(folder.join("pii.yaml"), folder.join("team-a/pii.yaml")).unwrap();
    fs::rename(folder.join("pii.wasm"), folder.join("team-a/pii.wasm")).unwrap();
    let files = ["team-a/pii.yaml", "team-a/pii.wasm", "audit-redact.yaml", "audit-redact.wasm", "sql-injection.yaml"];
    for file in files.into_iter().chain(["sql-injection.wasm"]) {
        set(file, 0o644);
    }
    set("", 0o1777);
    set("team-a", 0o757);
    set("team-a/pii.yaml", 0o666);
    set("audit-redact.wasm", 0o646);
    let expected = [
        "the policies directory: everybody may write it (mode 1777)",
        "audit-redact.wasm: everybody may write it (mode 0646)",
        "team-a: everybody may write it (mode 0757)",
        "team-a/pii.yaml: everybody may write it (mode 0666)",
    ];

    let (fine, text) = run(&prepared, &["check"]);
    assert!(fine, "{text}");
    for warning in expected {
        assert!(text.contains(&format!("warning: others may change what policies decide: {warning}")), "{text}");
    }
    let gateway = prepared.start();
    let health = gateway.get("/health").await.body;
    assert_eq!((&health["status"], &health["policies"]["warnings"]), (&json!("healthy"), &json!(expected)));
    assert!(!health.to_string().contains(folder.to_str().unwrap()), "health shows no path of the machine: {health}");
    let told = |line: &serde_json::Value| {
        line["level"] == "WARN" && line["fields"]["message"].as_str().unwrap_or_default().ends_with(expected[3])
    };
    assert!(gateway.log.wait(told).is_some());

    for (name, mode) in [("", 0o755), ("team-a", 0o755), ("team-a/pii.yaml", 0o644), ("audit-redact.wasm", 0o644)] {
        set(name, mode);
    }
    assert_eq!(gateway.reload().await["warnings"], json!([]));
    assert_eq!(gateway.get("/health").await.body["policies"]["warnings"], json!([]));
}

#[tokio::test]
async fn a_signal_ends_it_after_the_requests_in_flight() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gate = Gate::before(double.address()).await;
    let mut setup = Setup::with(&double);
    setup.double = setup.double.map(|yaml| yaml.replace(&double.origin(), &gate.origin()));
    let mut gateway = setup.start();
    double.script(Behaviour::text("just in time"));
    gate.shut();
    let asking = gateway.client.post(gateway.url("/api/request")).json(&json!({ "query": "Hello" })).send();
    let asking = tokio::spawn(asking);
    let asked = || double.requests().iter().any(|request| request.path().contains("chat"));
    eventually("the model is asked", async || asked()).await;
    gateway.terminate();
    let refused = async || tokio::net::TcpStream::connect(gateway.address).await.is_err();
    eventually("it listens no longer", refused).await;
    gate.open();
    let answer = support::answer(asking.await.unwrap().unwrap()).await;
    assert_eq!(answer.body["data"]["data"], "just in time");
    assert!(gateway.wait().success());
}

#[tokio::test]
async fn acknowledged_records_survive_a_kill() {
    let mut gateway = Setup::without_provider().start();
    let mut contexts = Vec::new();
    for _ in 0..50 {
        contexts.push(gateway.pre_check("Hello").await.body["context_id"].clone());
    }
    gateway.kill();
    let gateway = gateway.restart();
    let found = gateway.search(json!({ "limit": 1000 })).await;
    for context in contexts {
        assert!(found.iter().any(|entry| entry["id"] == context), "{context} is lost");
    }
    let mode = fs::metadata(gateway.folder().join("octroi.db")).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "others may read the records");
}

#[tokio::test]
async fn dev_starts_the_offline_double_when_there_is_no_key() {
    let prepared = Setup::without_provider().prepare();
    let mut child = prepared
        .command(&["dev"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let stdout = child.stdout.take().unwrap();
    let banner = std::thread::spawn(move || {
        use std::io::BufRead;
        std::io::BufReader::new(stdout).lines().map_while(Result::ok).take(6).collect::<Vec<_>>().join("\n")
    })
    .join()
    .unwrap();
    assert!(banner.contains("OFFLINE DOUBLE") && banner.contains("/admin/policies"), "{banner}");
    let address = banner.split("http://").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    let body = reqwest::Client::builder()
        .no_proxy()
        .build()
        .unwrap()
        .post(format!("http://{address}/api/request"))
        .body(r#"{"query":"Explain the EU AI Act in two sentences.","context":{"provider":"mistral"}}"#)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(body.contains("\"success\":true") && body.contains("EU AI Act"), "{body}");
}
