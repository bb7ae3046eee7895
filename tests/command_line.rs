//! The binary, as an operator meets it.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "tests fail by panics, and say what they leave out")]

mod support;

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

use mistral_double::{Behaviour, MistralDouble};
use serde_json::{Value, json};
use support::gate::Gate;
use support::guest::Guest;
use support::{Gateway, Setup, eventually, ports};

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
    assert_eq!(lifecycle(&prepared), ["start", "stop"], "a start that fails leaves a record of its end");
}

/// Starts and ends of the gateway, as they are on record.
fn lifecycle(prepared: &support::Prepared) -> Vec<String> {
    let output = prepared.command(&["audit", "export"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let event = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        let body: Value = serde_json::from_str(line["body"].as_str()?).unwrap();
        (line["kind"] == "lifecycle").then(|| body["event"].as_str().unwrap().to_owned())
    };
    text.lines().filter_map(event).collect()
}

#[test]
fn a_port_that_is_taken_is_told_before_anything_is_begun() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let listen = format!("server: {{ listen: \"{address}\" }}\n");
    let prepared = Setup::without_provider().yaml(&listen).prepare();
    let (fine, text) = run(&prepared, &["serve"]);
    assert!(!fine && text.contains(&format!("cannot listen on {address} (server.listen, PORT)")), "{text}");
    assert!(!prepared.path().join("octroi.db").exists(), "a store was made");
}

#[tokio::test]
async fn a_start_that_is_interrupted_ends_in_order() {
    let prepared = Setup::without_provider().prepare();
    let mut child = loading_for_ever(&prepared).await;
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    assert!(child.wait().unwrap().success());
    assert_eq!(lifecycle(&prepared), ["start", "stop"]);
}

#[tokio::test]
async fn a_port_is_whose_gateway_was_started_first_although_it_loads_longer() {
    let listen = format!("server: {{ listen: \"127.0.0.1:{}\" }}\n", ports::free());
    let first = Setup::without_provider().yaml(&listen).prepare();
    let mut child = loading_for_ever(&first).await;
    let second = Setup::without_provider().yaml(&listen).prepare();
    let (fine, text) = run(&second, &["serve"]);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!fine && text.contains("cannot listen on"), "{text}");
    assert!(!second.path().join("octroi.db").exists(), "a store was made");
}

/// A gateway whose first policy is being loaded, and stays so.
async fn loading_for_ever(prepared: &support::Prepared) -> Child {
    fs::write(prepared.path().join("loader"), "#!/bin/sh\ntouch started\nwhile [ -e started ]; do sleep 1; done\n")
        .unwrap();
    fs::set_permissions(prepared.path().join("loader"), fs::Permissions::from_mode(0o700)).unwrap();
    let text = fs::read_to_string(prepared.path().join("octroi.yaml")).unwrap();
    let text = text.replace("policies: { ", "policies: { worker: ./loader, ");
    let cache = support::cache().display().to_string();
    fs::write(prepared.path().join("octroi.yaml"), text.replace(&cache, "cache")).unwrap();
    let child = prepared.command(&["serve"]).stderr(Stdio::null()).spawn().unwrap();
    eventually("a policy is loaded", async || prepared.path().join("started").exists()).await;
    child
}

#[test]
fn check_names_what_cannot_be_read_and_says_ok_of_nothing_else() {
    let prepared = Setup::without_provider().yaml("routing: { prices: no-such-prices.json }\n").prepare();
    let (fine, text) = run(&prepared, &["check"]);
    assert!(!fine && text.contains("routing.prices: no-such-prices.json"), "{text}");
    assert!(!text.contains("ok"), "{text}");
    let prices = prepared.path().join("no-such-prices.json");
    let with_input = |input: &str| {
        let row = format!(r#"{{"ids":["a"],"input":{input},"output":1}}"#);
        format!(r#"{{"grok":{{"as_of":"2026-11-01","models":[{row}]}}}}"#)
    };
    fs::write(&prices, with_input("\"1\"")).unwrap();
    let (fine, text) = run(&prepared, &["check"]);
    let problem = "grok.models[0].input: invalid type";
    assert!(!fine && text.matches("invalid type").count() == 1 && text.contains(problem), "{text}");
    fs::write(&prices, with_input("1")).unwrap();
    let (_, text) = run(&prepared, &["check"]);
    assert!(text.contains("warning: routing.prices: no-such-prices.json: section `grok` is neither"), "{text}");

    let prepared = Setup::without_provider().prepare();
    let away = prepared.policies();
    fs::rename(&away, prepared.path().join("elsewhere")).unwrap();
    let (fine, text) = run(&prepared, &["check"]);
    assert!(!fine && text.contains(&format!("the policies directory {} cannot be read", away.display())), "{text}");
}

#[tokio::test]
async fn a_match_that_fits_no_configured_provider_is_told_and_one_that_never_can_is_refused() {
    let double = MistralDouble::builder().start().await.unwrap();
    let prepared = Setup::with(&double).prepare();
    let manifest = prepared.policies().join("pii.yaml");
    let shipped = fs::read_to_string(&manifest).unwrap();
    let told = "pii: match.providers: `mistal` fits no configured provider (mistral)";
    fs::write(&manifest, format!("match: {{ providers: [mistal, \"mis*\", mistral] }}\n{shipped}")).unwrap();
    let (fine, text) = run(&prepared, &["check"]);
    assert!(fine && text.contains(told) && text.matches("fits no").count() == 1, "{text}");
    let gateway = prepared.start();
    let health = gateway.get("/health").await.body;
    assert_eq!((&health["status"], &health["policies"]["warnings"]), (&json!("healthy"), &json!([told])), "{health}");
    assert_eq!(gateway.admin_get("/admin/policies").await.body["warnings"], json!([told]));
    assert!(gateway.log.text().contains(told));
    drop(gateway);

    let prepared = Setup::with(&double).prepare();
    let manifest = prepared.policies().join("pii.yaml");
    fs::write(&manifest, format!("match: {{ models: [mistral-small, \"*-latest\"] }}\n{shipped}")).unwrap();
    let (fine, text) = run(&prepared, &["check"]);
    assert!(
        !fine && text.contains("pii.yaml:1:34: match.models[1]: found `*-latest`; a `*` stands at the end"),
        "{text}"
    );
}

#[test]
fn check_finds_what_the_audit_could_not_be_opened_with_and_makes_nothing() {
    let secret = "ab".repeat(32);
    let postgres = |rest: &str| format!("{{ url: \"postgres://me:hunter2@db{rest}/octroi\", node: a }}");
    for (audit, key, wrong) in [
        ("{ url: \"sqlite://FOLDER/octroi.db\" }".to_owned(), "abc", "OCTROI_AUDIT_KEY"),
        ("{ key: no-such-folder/key }".to_owned(), "", "no-such-folder/key"),
        ("{ url: \"sqlite://no-such-folder/octroi.db\" }".to_owned(), "", "no-such-folder/octroi.key"),
        ("{ node: operator }".to_owned(), "", "audit.node"),
        (postgres(":notaport"), &secret, "audit.url"),
        ("{ url: \"sqlite://no-such-folder/octroi.db\" }".to_owned(), &secret, "no-such-folder/octroi.db"),
        ("{ on_failure: spill, spill: { file: no-such-folder/j } }".to_owned(), "", "no-such-folder/j"),
        ("{ on_failure: spill, spill: { file: octroi.yaml } }".to_owned(), "", "octroi.yaml is no spill journal"),
        ("{ spill: { file: octroi.yaml } }".to_owned(), "", "octroi.yaml holds records that are not in the store"),
    ] {
        let prepared = Setup::without_provider().audit(&audit).env("OCTROI_AUDIT_KEY", key).prepare();
        let before = files(prepared.path());
        let (fine, text) = run(&prepared, &["check"]);
        assert!(!fine && text.contains(wrong) && !text.contains("hunter2"), "{audit}: {text}");
        assert_eq!(files(prepared.path()), before);
    }
    let prepared = Setup::without_provider().audit(&postgres("")).env("OCTROI_AUDIT_KEY", &secret).prepare();
    let (fine, text) = run(&prepared, &["check"]);
    assert!(fine, "nobody asks the database: {text}");
}

#[test]
fn check_finds_a_name_of_the_node_that_is_none() {
    let audit = "{ url: \"postgres://me@db/octroi\" }";
    for (name, wrong) in [("operator\n", "audit.node"), ("\n", "octroi.node"), ("node-1\n", "")] {
        let prepared = Setup::without_provider().audit(audit).prepare();
        fs::write(prepared.path().join("octroi.node"), name).unwrap();
        let (fine, text) = run(&prepared, &["check"]);
        assert!(fine == wrong.is_empty() && text.contains(wrong), "{name}: {text}");
    }
}

#[test]
fn a_key_or_a_journal_under_another_name_is_not_passed_over() {
    let audit = |more: &str| format!("{{ url: \"sqlite://FOLDER/audit.data\"{more} }}");
    for (file, content, named) in [
        ("audit.key", "ab".repeat(32), ", key: audit.key"),
        ("audit.spill", "records that wait".to_owned(), ", spill: { file: other.spill }"),
    ] {
        let prepared = Setup::without_provider().audit(&audit("")).prepare();
        fs::write(prepared.path().join(file), content).unwrap();
        if file == "audit.key" {
            let (fine, text) = run(&prepared, &["check"]);
            assert!(fine, "a new store has lost no key: {text}");
        }
        fs::write(prepared.path().join("audit.data"), "").unwrap();
        let before = files(prepared.path());
        for command in ["check", "serve"] {
            let (fine, text) = run(&prepared, &[command]);
            let key = if file == "audit.key" { "`audit.key`" } else { "`audit.spill.file`" };
            assert!(!fine && text.contains(file) && text.contains(key), "{command}: {text}");
            assert_eq!(files(prepared.path()), before);
        }
        let text = fs::read_to_string(prepared.path().join("octroi.yaml")).unwrap();
        fs::write(prepared.path().join("octroi.yaml"), text.replace("audit.data\"", &format!("audit.data\"{named}")))
            .unwrap();
        let (fine, text) = run(&prepared, &["check"]);
        assert!(fine, "{text}");
    }
}

/// The names in a folder.
fn files(folder: &std::path::Path) -> Vec<std::ffi::OsString> {
    let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name()).collect();
    names.sort();
    names
}

#[test]
fn check_says_that_the_cache_cannot_be_used() {
    let prepared = Setup::without_provider().policies(&["pii"]).prepare();
    let text = fs::read_to_string(prepared.path().join("octroi.yaml")).unwrap();
    let text = text.replace(&support::cache().display().to_string(), "octroi.yaml");
    fs::write(prepared.path().join("octroi.yaml"), text).unwrap();
    let (fine, text) = run(&prepared, &["check"]);
    assert!(fine && text.contains("warning: compiled policies are not kept"), "{text}");
}

#[test]
fn a_reader_that_went_away_ends_a_command_without_a_panic() {
    let prepared = Setup::without_provider().prepare();
    let manifest = prepared.policies().join("pii.yaml").display().to_string();
    for arguments in [&["check"][..], &["policy", "test", &manifest], &["policy", "inspect", &manifest]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = prepared.command(arguments).stdout(writer).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && text.contains("octroi: Broken pipe"), "{arguments:?}: {text}");
        assert!(!text.contains("panicked"), "{text}");
    }
}

#[tokio::test]
async fn an_audit_key_that_was_lost_is_a_warning_that_names_both_keys() {
    let told = async |gateway: &Gateway, message: &str| {
        let begins = |line: &Value| line["fields"]["message"].as_str().unwrap_or_default().starts_with(message);
        gateway.log.wait(begins).await.unwrap()["fields"].clone()
    };
    let mut gateway = Setup::without_provider().policies(&["pii"]).start();
    let first = told(&gateway, "made a new audit key").await;
    gateway.terminate();
    assert!(gateway.wait().success());
    fs::remove_file(gateway.folder().join("octroi.key")).unwrap();
    let gateway = gateway.restart();
    let lost = told(&gateway, "the audit key is lost").await;
    assert_eq!(lost["former"], first["public"]);
    assert_ne!(lost["public"], first["public"]);
}

/// A gateway whose log goes elsewhere: the port that it was told, once it answers there.
async fn answers_at(prepared: &support::Prepared, stderr: impl Into<Stdio>) -> (support::Running, String) {
    let address = format!("127.0.0.1:{}", ports::free());
    let text = fs::read_to_string(prepared.path().join("octroi.yaml")).unwrap();
    let text = text.replacen("listen: \"127.0.0.1:0\"", &format!("listen: \"{address}\""), 1);
    fs::write(prepared.path().join("octroi.yaml"), text).unwrap();
    let child = prepared.command(&["serve"]).stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
    let child = support::Running(child);
    let url = format!("http://{address}");
    let client = support::client(support::PATIENCE);
    eventually("it answers", async || client.get(format!("{url}/health")).send().await.is_ok()).await;
    (child, url)
}

async fn get(url: &str, path: &str) -> String {
    let response = support::client(support::PATIENCE).get(format!("{url}{path}")).send().await.unwrap();
    response.text().await.unwrap()
}

/// Policies change, records are written, it ends in order: all of which log.
async fn goes_on(prepared: &support::Prepared, mut child: support::Running, url: &str) {
    let health: Value = serde_json::from_str(&get(url, "/health").await).unwrap();
    let before = health["policies"]["generation"].as_u64().unwrap();
    for turn in 1..=3 {
        Guest::pre_check("allow").put(&prepared.policies(), &format!("newcomer-{turn}"), "");
        eventually("the newcomer is in force", async || {
            let health: Value = serde_json::from_str(&get(url, "/health").await).unwrap();
            health["policies"]["generation"].as_u64().unwrap() >= before + turn
        })
        .await;
    }
    let asked = json!({ "query": "Hello", "client_id": "community" });
    let request = support::client(support::PATIENCE).post(format!("{url}/api/policy/pre-check")).json(&asked).send();
    assert_eq!(request.await.unwrap().status(), 200);
    assert!(Command::new("kill").args(["-TERM", &child.0.id().to_string()]).status().unwrap().success());
    let ended = tokio::task::spawn_blocking(move || child.0.wait().unwrap());
    assert!(tokio::time::timeout(support::PATIENCE, ended).await.unwrap().unwrap().success());
    assert_eq!(lifecycle(prepared), ["start", "stop"]);
}

#[tokio::test]
async fn a_log_that_cannot_be_written_stops_nothing_and_is_counted() {
    let prepared = Setup::without_provider().prepare();
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let (child, url) = answers_at(&prepared, full).await;
    let metrics = get(&url, "/prometheus").await;
    assert!(metrics.lines().any(|line| line.starts_with("octroi_log_lines_dropped_total ")), "{metrics}");
    goes_on(&prepared, child, &url).await;

    let prepared = Setup::without_provider().prepare();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let (child, url) = answers_at(&prepared, writer).await;
    goes_on(&prepared, child, &url).await;
}

#[tokio::test]
async fn a_reader_of_the_log_that_sleeps_stops_nothing() {
    let prepared = Setup::without_provider().prepare();
    // As many bytes as fit, so that the first line is one too many.
    let (reader, writer) = std::io::pipe().unwrap();
    rustix::fs::fcntl_setfl(&writer, rustix::fs::OFlags::NONBLOCK).unwrap();
    while (&writer).write(&[b'-'; 4096]).is_ok() {}
    rustix::fs::fcntl_setfl(&writer, rustix::fs::OFlags::empty()).unwrap();
    let (child, url) = answers_at(&prepared, writer).await;
    goes_on(&prepared, child, &url).await;
    drop(reader);
}

#[test]
fn fewer_files_than_connections_may_need_are_a_warning() {
    for (connections, warned) in [(500, true), (100, false)] {
        let server = format!("server: {{ listen: \"127.0.0.1:0\", max_connections: {connections} }}\n");
        let mut prepared = Setup::without_provider().policies(&["pii"]).yaml(&server).prepare();
        prepared.wrapper = ["sh", "-c", "ulimit -n 600 && exec \"$@\"", "sh"].map(str::to_owned).into();
        let gateway = prepared.start();
        // It would stand before the line that the start waited for.
        assert_eq!(gateway.log.text().contains("fewer files may be open"), warned, "{connections}");
    }
}

#[test]
fn an_empty_filter_of_the_log_is_none() {
    // It is started once the log says that it accepts requests.
    Setup::without_provider().policies(&["pii"]).env("RUST_LOG", "").start();
}

#[tokio::test]
async fn a_filter_of_the_log_that_is_none_is_told_of_and_passed_over() {
    let gateway = Setup::without_provider().policies(&["pii"]).env("RUST_LOG", "octroi=verbose").start();
    assert_eq!(gateway.log.count("RUST_LOG is passed over").await, 1);
}

#[tokio::test]
async fn a_hangup_ends_it_in_order_unless_it_was_started_to_survive_one() {
    let mut prepared = Setup::without_provider().policies(&["pii"]).prepare();
    // Whatever the tests themselves were started to survive.
    prepared.wrapper = ["env", "--default-signal=HUP"].map(str::to_owned).into();
    let mut gateway = prepared.start();
    gateway.signal("-HUP");
    assert!(gateway.wait().success());
    let mut prepared = gateway.prepared.take().unwrap();
    assert_eq!(lifecycle(&prepared), ["start", "stop"]);

    prepared.wrapper = ["sh", "-c", "trap '' HUP; exec \"$@\"", "sh"].map(str::to_owned).into();
    let gateway = prepared.start();
    gateway.signal("-HUP");
    for _ in 0..3 {
        assert_eq!(gateway.pre_check("Hello").await.status, 200);
    }
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
    let told = |line: &Value| {
        line["level"] == "WARN" && line["fields"]["message"].as_str().unwrap_or_default().ends_with(expected[3])
    };
    assert!(gateway.log.wait(told).await.is_some());

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
    assert_eq!(gateway.log.count("shutting down").await, 1, "it says so before it waits");
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
    let (banner, body) = asked_in_dev(&prepared).await;
    assert!(banner.contains("OFFLINE DOUBLE") && banner.contains("/admin/policies"), "{banner}");
    assert!(body.contains("\"success\":true") && body.contains("EU AI Act"), "{body}");
}

#[tokio::test]
async fn what_dev_calls_offline_goes_nowhere_else_whatever_the_file_says() {
    let elsewhere = MistralDouble::builder().start().await.unwrap();
    let providers = format!(
        "llm_providers:\n  mistral: {{ config: {{ endpoint: \"{0}\", http2: true }} }}\n  \
         openai: {{ credentials: {{ api_key: \"${{MISTRAL_API_KEY:-}}\" }}, config: {{ endpoint: \"{0}\" }} }}\n",
        elsewhere.origin()
    );
    let prepared = Setup::without_provider().yaml(&providers).prepare();
    let (banner, body) = asked_in_dev(&prepared).await;
    assert!(banner.contains("OFFLINE DOUBLE"), "{banner}");
    assert!(body.contains("\"success\":true") && body.contains("EU AI Act"), "{body}");
    assert_eq!(elsewhere.stats().received, 0);
    let output = prepared.command(&["audit", "export"]).output().unwrap();
    let trail = String::from_utf8_lossy(&output.stdout).into_owned();
    let start = trail.lines().find(|line| line.contains(r#""kind":"lifecycle""#)).unwrap();
    assert!(start.contains(r#"\"offline\":true"#), "its answers are not taken for Mistral's: {start}");
}

/// What `octroi dev` tells its user, and what it answers to a prompt.
async fn asked_in_dev(prepared: &support::Prepared) -> (String, String) {
    let mut command = prepared.command(&["dev"]);
    let mut running = support::Running(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let lines = support::Written::of(running.0.stdout.take().unwrap());
    let banner = (0..6).map(|_| lines.line()).collect::<Vec<_>>().join("\n");
    let address = banner.split("http://").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    let request = support::client(support::PATIENCE)
        .post(format!("http://{address}/api/request"))
        .body(r#"{"query":"Explain the EU AI Act in two sentences.","context":{"provider":"mistral"}}"#);
    let body = request.send().await.unwrap().text().await.unwrap();
    (banner, body)
}

/// A name server that is never there, in a namespace of the gateway's own.
#[test]
fn the_end_does_not_wait_for_the_systems_resolver() {
    let unshare = ["unshare", "--user", "--map-root-user", "--mount"];
    let tried = Command::new(unshare[0]).args(&unshare[1..]).arg("true").output();
    if !tried.is_ok_and(|it| it.status.success()) {
        eprintln!("SKIPPED: `{}` is not permitted here; this test claims nothing", unshare.join(" "));
        return;
    }
    let mut setup = Setup::without_provider().policies(&["pii"]);
    let provider = "llm_providers: { mistral: { credentials: { api_key: key }, config: { endpoint: \"http://nowhere.example\" } } }\n";
    setup.double = Some(provider.to_owned());
    let mut prepared = setup.prepare();
    let resolver = prepared.path().join("resolv.conf");
    // Longer than a test waits for anything. The address is one that nobody has (RFC 5737).
    fs::write(&resolver, "nameserver 192.0.2.1\noptions timeout:30 attempts:5\n").unwrap();
    let script = format!("mount --bind {} /etc/resolv.conf && exec \"$@\"", resolver.display());
    let shell = ["sh", "-c", &script, "sh"];
    prepared.wrapper = unshare.iter().chain(&shell).map(|it| (*it).to_owned()).collect();
    let mut gateway = prepared.start();
    gateway.terminate();
    assert!(gateway.wait().success());
}
