//! Rules that applications make over HTTP while the gateway runs.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests fail by panics, and tell what they measured"
)]

#[path = "../support/mod.rs"]
mod support;

mod files;
mod force;
mod requests;
mod tenants;

use std::fs;
use std::path::PathBuf;

use reqwest::Method;
use serde_json::{Value, json};
use support::{Answer, Gateway, Prepared, Setup, repository_policies};

const PATH: &str = "/api/v1/static-policies";

/// A gateway that has the module of which static policies are rules.
fn prepared(setup: Setup) -> Prepared {
    let prepared = setup.prepare();
    let module = repository_policies().join("pattern.wasm");
    fs::copy(&module, prepared.policies().join("pattern.wasm"))
        .unwrap_or_else(|error| panic!("{}: {error}; run `make plugins`", module.display()));
    prepared
}

fn open() -> Gateway {
    prepared(Setup::without_provider().policies(&["pii"])).start()
}

fn file(gateway: &Gateway) -> PathBuf {
    gateway.policies().join("api/static.yaml")
}

/// One request as a client, who is its own tenant in open mode.
async fn send(gateway: &Gateway, client: &str, method: Method, path: &str, body: Value) -> Answer {
    let mut request =
        gateway.client.request(method, gateway.url(&format!("{PATH}{path}"))).header("x-client-id", client);
    if !body.is_null() {
        request = request.json(&body);
    }
    support::answer(request.send().await.unwrap()).await
}

async fn create(gateway: &Gateway, client: &str, body: Value) -> Answer {
    send(gateway, client, Method::POST, "", body).await
}

async fn get(gateway: &Gateway, client: &str, path: &str) -> Answer {
    send(gateway, client, Method::GET, path, Value::Null).await
}

fn project_x() -> Value {
    json!({
        "name": "No project X", "description": "Keeps it in the house", "category": "sensitive-data",
        "pattern": r"(?i)project\s+x", "severity": "high", "priority": 50, "tags": ["secret", "r&d"],
    })
}

async fn pre_check(gateway: &Gateway, client: &str, query: &str) -> Answer {
    gateway.post("/api/policy/pre-check", json!({ "query": query, "client_id": client })).await
}

fn code(answer: &Answer) -> (u16, &str) {
    (answer.status, answer.body["error"]["code"].as_str().unwrap_or_default())
}

async fn generation(gateway: &Gateway) -> u64 {
    gateway.get("/health").await.body["policies"]["generation"].as_u64().unwrap()
}
