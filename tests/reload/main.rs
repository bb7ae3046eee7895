//! Policies change while requests run.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "tests fail by panics, and tell what they measured")]

#[path = "../support/mod.rs"]
mod support;

mod ahead;
mod arrival;
mod cache;
mod capacity;
mod deployment;
mod files;
mod held;
mod loader;
mod many;
mod names;
mod notices;
mod overtaken;
mod storm;
mod versions;

use std::fs;
use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};
use support::guest::Guest;
use support::{Gateway, Prepared, Setup, eventually, repository_policies};

/// Replaces a file as editors and deployments do: write beside it, rename over it.
fn replace(path: &Path, bytes: impl AsRef<[u8]>) {
    let beside = path.with_extension("new");
    fs::write(&beside, bytes).unwrap();
    fs::rename(beside, path).unwrap();
}

/// The shipped manifest of `pii` with one word changed, as an operator would.
fn pii_with_email(action: &str) -> String {
    let manifest = fs::read_to_string(repository_policies().join("pii.yaml")).unwrap();
    let edited = manifest
        .replace("email: { enabled: true, action: redact", &format!("email: {{ enabled: true, action: {action}"));
    assert!(edited.contains(&format!("email: {{ enabled: true, action: {action}")));
    edited
}

const EMAIL: &str = "Write to jane.doe@example.org";

/// Long enough that no test sees the directory polled: what is seen was told by the system.
const NEVER: &str = "poll_interval: 1h";

/// A gateway with a cache of its own and without the shipped policies. `further` are keys of `policies`.
fn bare(further: &str) -> Setup {
    let yaml = format!("policies: {{ directory: policies, cache: cache, allow_none: true, {further} }}\n");
    Setup::without_provider().policies(&[]).yaml(&yaml)
}

/// A policy that refuses everything with this sentence.
fn refusing(reason: &str) -> Guest {
    Guest::pre_check("deny").reason(reason)
}

async fn generation(gateway: &Gateway) -> u64 {
    gateway.get("/health").await.body["policies"]["generation"].as_u64().unwrap()
}

async fn until_generation(gateway: &Gateway, least: u64) -> Value {
    gateway.until("/health", |body| body["policies"]["generation"].as_u64().unwrap() >= least).await
}

/// What the refusing policy says about a request: the version of it that is in force.
async fn said(gateway: &Gateway) -> String {
    let answer = gateway.pre_check("Hello").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body["explanation"].as_str().unwrap_or("nothing").to_owned()
}

/// What the policy of this name refuses with, whatever others say; `nothing` where it is not in force.
async fn says(gateway: &Gateway, policy: &str) -> String {
    let answer = gateway.admin_post(&format!("/admin/policies/{policy}/evaluate"), json!({ "query": "Hello" })).await;
    answer.body["verdict"]["reason"].as_str().unwrap_or("nothing").to_owned()
}

/// How what stands at this path fares: the code of its error, or else its state.
async fn stands(gateway: &Gateway, path: &str) -> String {
    let body = gateway.admin_get("/admin/policies").await.body;
    let policies = body["policies"].as_array().unwrap();
    let status = policies.iter().find(|it| it["path"] == path).unwrap();
    status["error"]["code"].as_str().or(status["state"].as_str()).unwrap().to_owned()
}

/// Asks until the new version speaks. Until then the old one must, and nothing else ever.
async fn until_said(gateway: &Gateway, old: &str, new: &str) {
    eventually(&format!("`{new}` in force"), async || {
        let said = said(gateway).await;
        assert!(said == new || said == old, "`{said}`, neither the old version nor the new one");
        said == new
    })
    .await;
}

/// Waits until the directory has been read so often. Until then this version must be in force.
async fn until_scanned(gateway: &Gateway, times: usize, in_force: &str) {
    eventually("the directory is read", async || {
        assert_eq!(said(gateway).await, in_force);
        scans(gateway).await >= times
    })
    .await;
}

/// How often a version of this policy was loaded.
async fn loads(gateway: &Gateway, policy: &str, result: &str) -> u64 {
    let series = format!("octroi_policy_loads_total{{policy=\"{policy}\",result=\"{result}\"}}");
    gateway.metric(&series).await as u64
}

/// Waits until everything that was changed before has been looked at: a change that comes behind it is in force.
async fn until_looked_at(gateway: &Gateway) {
    let before = generation(gateway).await;
    let policies = gateway.policies();
    Guest::pre_check("allow").put(&policies, &format!("behind-{before}"), "");
    until_generation(gateway, before + 1).await;
    assert_eq!(generation(gateway).await, before + 1, "something else changed too");
}

/// Times that the directory was read.
async fn scans(gateway: &Gateway) -> usize {
    gateway.metric("octroi_policies_scans_total").await as usize
}

/// A command that runs the gateway in namespaces of its own, after a preparation in them. Says so loudly where the
/// system does not permit it; what the test claims is then not tested.
fn in_namespaces(preparation: &str) -> Option<Vec<String>> {
    let unshare = ["unshare", "--user", "--map-root-user", "--mount"];
    permitted(&unshare).then(|| {
        let script = format!("{preparation} && exec \"$@\"");
        let shell = ["sh", "-c", &script, "sh"];
        unshare.iter().chain(&shell).map(|it| (*it).to_owned()).collect()
    })
}

/// A command under which modes of files count: for root they do not, outside of a namespace where it is nobody.
fn without_privileges() -> Option<Vec<String>> {
    if !rustix::process::geteuid().is_root() {
        return Some(Vec::new());
    }
    let unshare = ["unshare", "--user"];
    permitted(&unshare).then(|| unshare.map(str::to_owned).into())
}

/// Past the harness, which shows nothing of a test that passes.
fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}

fn permitted(unshare: &[&str]) -> bool {
    let tried = std::process::Command::new(unshare[0]).args(&unshare[1..]).arg("true").output();
    let permitted = tried.is_ok_and(|it| it.status.success());
    if !permitted {
        skipped(&format!("`{}` is not permitted here; this test claims nothing", unshare.join(" ")));
    }
    permitted
}

/// Starts a gateway through such a command.
fn start_through(mut prepared: Prepared, command: Vec<String>) -> Gateway {
    prepared.wrapper = command;
    prepared.start()
}
