//! A disk that is full, and one that is slow: nothing that was acknowledged is lost, and nothing passes without a record.

#![expect(clippy::unwrap_used, reason = "tests fail by panics")]

mod support;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use mistral_double::MistralDouble;
use serde_json::json;
use support::{Gateway, Setup, eventually};

/// A disk that can be told to fail.
struct Disk(tempfile::TempDir);

impl Disk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Compiled by the compiler that SQLite was compiled with.
    fn library(&self) -> PathBuf {
        let library = self.0.path().join("failing_disk.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/c/failing_disk.c");
        let compiled = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).status();
        assert!(compiled.unwrap().success(), "a C compiler is needed");
        library
    }

    fn is(&self, what: &str) {
        fs::write(self.0.path().join(what), "").unwrap();
    }

    fn is_no_longer(&self, what: &str) {
        fs::remove_file(self.0.path().join(what)).unwrap();
    }

    fn under(&self, setup: Setup) -> Gateway {
        let (library, folder) = (self.library(), self.0.path().display().to_string());
        setup.env("LD_PRELOAD", &library.display().to_string()).env("OCTROI_DISK", &folder).start()
    }
}

fn verified(gateway: &Gateway) -> String {
    let prepared = gateway.prepared.as_ref().unwrap();
    let output = prepared.command(&["audit", "verify"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    text
}

async fn found(gateway: &Gateway) -> HashSet<String> {
    let entries = gateway.search(json!({ "limit": 1000 })).await;
    entries.iter().map(|entry| entry["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn on_a_full_disk_nothing_passes_and_afterwards_everything_goes_on() {
    let double = MistralDouble::builder().start().await.unwrap();
    let disk = Disk::new();
    let gateway = disk.under(Setup::with(&double));
    assert_eq!(gateway.ask("before").await.status, 200);
    let context = gateway.pre_check("before").await.body["context_id"].as_str().unwrap().to_owned();
    disk.is("full");
    let response = gateway.client.post(gateway.url("/api/request")).json(&json!({ "query": "during" })).send();
    let response = response.await.unwrap();
    assert_eq!(response.status(), 503);
    assert!(response.headers().contains_key("retry-after"));
    let body: serde_json::Value = response.json().await.unwrap();
    assert!(body.to_string().contains("audit_disk_full"), "{body}");
    assert_eq!(gateway.pre_check("during").await.status, 503);
    let tokens = r#"octroi_llm_tokens_total{provider="mistral",model="mistral-small-latest",type="prompt"}"#;
    let before = gateway.metric(tokens).await;
    // A record that can wait is given a moment, in which a model that is near answers.
    eventually("what was answered before its record failed is counted", async || {
        assert_eq!(gateway.ask("during").await.status, 503);
        gateway.metric(tokens).await > before
    })
    .await;
    let report = json!({
        "context_id": context, "client_id": "community", "provider": "mistral", "model": "m",
        "token_usage": { "prompt_tokens": 9 },
    });
    assert_eq!(gateway.post("/api/audit/llm-call", report).await.status, 503);
    let counts = gateway.client.get(gateway.url("/prometheus")).send().await.unwrap().text().await.unwrap();
    assert!(!counts.contains("axonflow_gateway_llm_tokens_total{"), "what is not on record is not counted: {counts}");
    disk.is_no_longer("full");
    eventually("it goes on", async || gateway.ask("after").await.status == 200).await;
    let entries = gateway.search(json!({})).await;
    assert!(entries.iter().all(|entry| entry["query"] != "during"), "{entries:?}");
    verified(&gateway);
}

#[tokio::test]
async fn on_a_full_disk_the_traffic_is_not_shared_anew() {
    let double = MistralDouble::builder().start().await.unwrap();
    let disk = Disk::new();
    let setup = Setup::with(&double).env("OPENAI_API_KEY", "sk-1").env("OPENAI_ENDPOINT", &double.origin());
    let gateway = disk.under(setup);
    let path = "/api/v1/llm-providers/routing";
    let before = gateway.get(path).await.body;
    let put = async || {
        let body = json!({ "weights": { "openai": 1 } });
        let response = gateway.client.put(gateway.url(path)).json(&body).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    disk.is("full");
    let (status, body) = put().await;
    assert!(status == 503 && body.contains("audit_disk_full"), "{status} {body}");
    assert_eq!(gateway.get(path).await.body, before);
    disk.is_no_longer("full");
    eventually("it is shared anew", async || put().await.0 == 200).await;
    assert_eq!(gateway.get(path).await.body["weights"], json!({ "mistral": 0, "openai": 100 }));
    verified(&gateway);
}

/// Records of a set of policies that came into force.
fn recorded(gateway: &Gateway, generation: u32) -> u32 {
    let store = rusqlite::Connection::open(gateway.folder().join("octroi.db")).unwrap();
    let sql = "SELECT count(*) FROM records WHERE kind = 'policy_set_change' AND body ->> '$.to_generation' = ?1";
    store.query_row(sql, [generation], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn a_change_of_the_policies_on_a_full_disk_is_in_force_and_recorded_once_there_is_room() {
    let disk = Disk::new();
    let gateway = disk.under(Setup::without_provider());
    eventually("the start is recorded", async || recorded(&gateway, 1) == 1).await;
    disk.is("full");
    let manifest = gateway.policies().join("pii.yaml");
    let text = fs::read_to_string(&manifest).unwrap();
    let changed = text.replace("email: { enabled: true, action: redact", "email: { enabled: true, action: deny");
    assert_ne!(changed, text);
    fs::write(manifest.with_extension("new"), changed).unwrap();
    fs::rename(manifest.with_extension("new"), &manifest).unwrap();
    gateway.until("/health", |body| body["policies"]["generation"] == 2).await;
    let told = |line: &serde_json::Value| {
        let message = line["fields"]["message"].as_str().unwrap_or_default();
        message.ends_with("trying again") && line["fields"]["generation"] == 2
    };
    assert!(gateway.log.wait(told).await.is_some(), "{}", gateway.log.text());
    assert_eq!(recorded(&gateway, 2), 0);
    disk.is_no_longer("full");
    eventually("the change is recorded", async || recorded(&gateway, 2) == 1).await;
    assert_eq!(gateway.pre_check("Write to jane.doe@example.org").await.body["approved"], false);
    verified(&gateway);
    assert_eq!(recorded(&gateway, 2), 1);
}

#[tokio::test]
async fn where_records_spill_a_full_disk_of_the_store_stops_nobody() {
    let double = MistralDouble::builder().start().await.unwrap();
    let disk = Disk::new();
    // The journal is on another disk: its name holds no `.db`.
    let gateway = disk.under(Setup::with(&double).audit("{ url: \"sqlite://FOLDER/octroi.db\", on_failure: spill }"));
    disk.is("full");
    let mut acknowledged = HashSet::new();
    for number in 0..20 {
        let answer = gateway.ask(&format!("during {number}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        acknowledged.insert(answer.body["request_id"].as_str().unwrap().to_owned());
    }
    let context = gateway.pre_check("during").await.body["context_id"].as_str().unwrap().to_owned();
    let report = json!({ "context_id": context, "client_id": "community", "provider": "mistral", "model": "m" });
    assert_eq!(gateway.post("/api/audit/llm-call", report).await.status, 200);
    assert!(gateway.metric("octroi_audit_spilled_records_total ").await >= 42.0);
    disk.is_no_longer("full");
    let journal = gateway.folder().join("octroi.spill");
    eventually("the journal is empty", async || fs::metadata(&journal).unwrap().len() == 0).await;
    let found = found(&gateway).await;
    assert!(acknowledged.is_subset(&found), "{acknowledged:?} {found:?}");
    assert_eq!(found.len(), 22, "none twice: twenty requests, a pre-check and a report");
    verified(&gateway);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_slow_disk_requests_wait_or_are_refused_and_none_is_lost() {
    let double = MistralDouble::builder().start().await.unwrap();
    let disk = Disk::new();
    let audit = "{ url: \"sqlite://FOLDER/octroi.db\", durability: disk, queue: 16 }";
    let gateway = Arc::new(disk.under(Setup::with(&double).audit(audit)));
    disk.is("slow");
    let asking: Vec<_> = (0..60)
        .map(|number| {
            let gateway = gateway.clone();
            tokio::spawn(async move { gateway.ask(&format!("request {number}")).await })
        })
        .collect();
    let mut acknowledged = HashSet::new();
    let mut refused = 0;
    for asked in asking {
        let answer = asked.await.unwrap();
        match answer.status {
            200 => assert!(acknowledged.insert(answer.body["request_id"].as_str().unwrap().to_owned())),
            503 => {
                assert!(answer.body.to_string().contains("audit_overloaded"), "{answer:?}");
                refused += 1;
            }
            other => assert_eq!(other, 200, "{answer:?}"),
        }
    }
    assert!(!acknowledged.is_empty() && refused > 0, "{} answered, {refused} refused", acknowledged.len());
    disk.is_no_longer("slow");
    assert_eq!(found(&gateway).await, acknowledged, "what was refused left no record");
    verified(&gateway);
}
