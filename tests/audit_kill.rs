//! Killed at a random moment under load, again and again: what was acknowledged is there, once, and the chain fits.
//!
//! 5 rounds; with OCTROI_SOAK=1 100.

#![expect(clippy::unwrap_used, reason = "tests fail by panics")]

#[path = "support/postgres.rs"]
mod postgres;
mod support;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mistral_double::MistralDouble;
use serde_json::{Value, json};
use support::{Gateway, Setup, ports};

/// Callers at once.
const CALLERS: usize = 12;

fn rounds() -> usize {
    if std::env::var_os("OCTROI_SOAK").is_some() { 100 } else { 5 }
}

/// Ids that callers were told.
#[derive(Default)]
struct Acknowledged {
    entries: Mutex<HashSet<String>>,
    contexts: Mutex<Vec<String>>,
}

impl Acknowledged {
    fn entry(&self, id: &Value) {
        assert!(self.entries.lock().unwrap().insert(id.as_str().unwrap().to_owned()), "an id came twice: {id}");
    }

    fn count(&self) -> usize {
        self.entries.lock().unwrap().len()
    }
}

/// Where callers send requests.
#[derive(Clone)]
struct Target {
    client: reqwest::Client,
    origin: String,
}

impl Target {
    fn of(gateway: &Gateway) -> Self {
        Self { client: gateway.client.clone(), origin: format!("http://{}", gateway.address) }
    }

    /// The answer, where it came whole.
    async fn post(&self, path: &str, body: Value) -> Option<(u16, Value)> {
        let response = self.client.post(format!("{}{path}", self.origin)).json(&body).send().await.ok()?;
        let status = response.status().as_u16();
        Some((status, response.json().await.ok()?))
    }
}

/// Asks, pre-checks and reports until told to stop.
async fn call(target: Target, told: Arc<Acknowledged>, stop: Arc<AtomicBool>, caller: usize) {
    let mut number = 0_usize;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        if number.is_multiple_of(3) {
            let query = json!({ "query": format!("pre-check {caller} {number}"), "client_id": "community" });
            let Some((200, checked)) = target.post("/api/policy/pre-check", query).await else { continue };
            told.entry(&checked["context_id"]);
            told.contexts.lock().unwrap().push(checked["context_id"].as_str().unwrap().to_owned());
            if let Some((200, reported)) = target.post("/api/audit/llm-call", report(&checked["context_id"])).await {
                told.entry(&reported["audit_id"]);
            }
        } else if let Some((200, answer)) =
            target.post("/api/request", json!({ "query": format!("question {caller} {number}") })).await
        {
            told.entry(&answer["request_id"]);
        }
    }
}

fn report(context: &Value) -> Value {
    json!({ "context_id": context, "client_id": "community", "provider": "mistral", "model": "m", "response_summary": "ok" })
}

/// Callers against these, until `kill` has been done after a random while.
async fn under_load(targets: &[Target], told: &Arc<Acknowledged>, kill: impl AsyncFnOnce()) {
    let before = told.count();
    let stop = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let target = targets[caller % targets.len()].clone();
            tokio::spawn(call(target, told.clone(), stop.clone(), caller))
        })
        .collect();
    // Not before something was acknowledged; a kill of an idle gateway proves nothing.
    support::eventually("somebody is answered", async || told.count() > before + CALLERS).await;
    tokio::time::sleep(Duration::from_millis(fastrand::u64(0..400))).await;
    kill().await;
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
}

/// What `octroi audit` says of the store: it fits, and these are its entries.
fn proven(gateway: &Gateway, told: &Acknowledged) {
    let prepared = gateway.prepared.as_ref().unwrap();
    let output = prepared.command(&["audit", "verify"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    let output = prepared.command(&["audit", "export"]).output().unwrap();
    assert!(output.status.success());
    let mut records: HashMap<(String, String), usize> = HashMap::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        if line["type"] == "record" && line["kind"] != "lifecycle" && line["kind"] != "policy_set_change" {
            let key = (line["kind"].as_str().unwrap().to_owned(), line["id"].as_str().unwrap().to_owned());
            *records.entry(key).or_default() += 1;
        }
    }
    let twice: Vec<_> = records.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    let opened: HashSet<&String> = records.keys().filter(|(kind, _)| kind != "outcome").map(|(_, id)| id).collect();
    let entries = told.entries.lock().unwrap();
    let lost: Vec<_> = entries.iter().filter(|id| !opened.contains(id)).collect();
    assert!(lost.is_empty(), "{} of {} acknowledged answers are not on record: {lost:?}", lost.len(), entries.len());
}

/// The newest contexts are honoured.
async fn honours(gateway: &Gateway, told: &Acknowledged) {
    let contexts: Vec<String> = told.contexts.lock().unwrap().iter().rev().take(5).cloned().collect();
    for context in contexts {
        let answer = gateway.post("/api/audit/llm-call", report(&json!(context))).await;
        assert_eq!(answer.status, 200, "{context}: {answer:?}");
        told.entry(&answer.body["audit_id"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_gateway_has_lost_nothing_that_it_acknowledged() {
    let double = MistralDouble::builder().start().await.unwrap();
    let mut gateway = Setup::with(&double).start();
    let told = Arc::new(Acknowledged::default());
    for _ in 0..rounds() {
        let target = Target::of(&gateway);
        under_load(&[target], &told, async || gateway.kill()).await;
        gateway = gateway.restart();
        honours(&gateway, &told).await;
        proven(&gateway, &told);
    }
    assert!(told.count() > rounds() * CALLERS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_gateway_whose_records_spill_has_lost_nothing_either() {
    let double = MistralDouble::builder().start().await.unwrap();
    let mut gateway = Setup::with(&double).audit("{ url: \"sqlite://FOLDER/octroi.db\", on_failure: spill }").start();
    let told = Arc::new(Acknowledged::default());
    for _ in 0..rounds() {
        let target = Target::of(&gateway);
        let database = rusqlite::Connection::open(gateway.folder().join("octroi.db")).unwrap();
        database.execute_batch("PRAGMA busy_timeout = 60000; BEGIN IMMEDIATE").unwrap();
        under_load(&[target], &told, async || gateway.kill()).await;
        drop(database);
        gateway = gateway.restart();
        let journal = gateway.folder().join("octroi.spill");
        support::eventually("the journal is empty", async || std::fs::metadata(&journal).unwrap().len() == 0).await;
        honours(&gateway, &told).await;
        proven(&gateway, &told);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_database_has_lost_nothing_that_was_acknowledged() {
    let Some(mut server) = postgres::Server::start() else { return };
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&double).audit(&format!("{{ url: \"{}\" }}", server.database())).start();
    let told = Arc::new(Acknowledged::default());
    for _ in 0..rounds() {
        under_load(&[Target::of(&gateway)], &told, async || server.kill()).await;
        server.restart();
        support::eventually("it goes on", async || gateway.ask("again").await.status == 200).await;
        honours(&gateway, &told).await;
        proven(&gateway, &told);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_gateways_on_one_database_one_is_killed_and_the_other_goes_on() {
    let Some(server) = postgres::Server::start() else { return };
    let double = MistralDouble::builder().start().await.unwrap();
    let audit = format!("{{ url: \"{}\" }}", server.database());
    let secret = "3c".repeat(32);
    let start = || Setup::with(&double).audit(&audit).env("OCTROI_AUDIT_KEY", &secret).start();
    let (mut victim, survivor) = (start(), start());
    let told = Arc::new(Acknowledged::default());
    for _ in 0..rounds() {
        let targets = [Target::of(&victim), Target::of(&survivor)];
        under_load(&targets, &told, async || victim.kill()).await;
        // Contexts of both, by the one that is left.
        honours(&survivor, &told).await;
        proven(&survivor, &told);
        victim = victim.restart();
        honours(&victim, &told).await;
    }
    proven(&victim, &told);
    let found = survivor.search(json!({ "limit": 1 })).await;
    assert_eq!(found.len(), 1);
}
