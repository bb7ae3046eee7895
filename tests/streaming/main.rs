//! Answers that stream, through sockets: from the double through the policies to a client that reads bytes.

#![expect(clippy::unwrap_used, reason = "tests fail by panics")]

#[path = "../support/mod.rs"]
mod support;

mod broken;
mod calls;
mod failing;
mod judged;
mod passed;
mod socket;

use serde_json::{Value, json};
use support::{Gateway, Setup};

/// What a client saw of a stream.
#[derive(Debug)]
struct Seen {
    status: u16,
    headers: reqwest::header::HeaderMap,
    /// The events' data, but for the end's.
    events: Vec<Value>,
    done: bool,
    /// Whether the body ended as a body ends.
    whole: bool,
}

impl Seen {
    fn text(&self) -> String {
        self.deltas("content")
    }

    fn deltas(&self, field: &str) -> String {
        let choices = self.events.iter().filter_map(|event| event["choices"].as_array()).flatten();
        choices.filter_map(|choice| choice["delta"][field].as_str()).collect()
    }

    fn finish(&self) -> Option<&str> {
        self.events.iter().rev().find_map(|event| event["choices"][0]["finish_reason"].as_str())
    }

    /// Name and arguments of each call, put together as clients do.
    fn calls(&self) -> Vec<(String, String)> {
        let mut calls: Vec<(String, String)> = Vec::new();
        for event in &self.events {
            for call in event["choices"][0]["delta"]["tool_calls"].as_array().into_iter().flatten() {
                let index = usize::try_from(call["index"].as_u64().unwrap()).unwrap();
                calls.resize(calls.len().max(index + 1), Default::default());
                let text = |field: &str| call["function"][field].as_str().unwrap_or_default();
                calls[index].0.push_str(text("name"));
                calls[index].1.push_str(text("arguments"));
            }
        }
        calls
    }
}

async fn stream(gateway: &Gateway, mut body: Value) -> Seen {
    body["stream"] = json!(true);
    let request = gateway.client.post(gateway.url("/v1/chat/completions")).json(&body);
    let mut response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let mut bytes = Vec::new();
    let whole = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => break true,
            Err(_) => break false,
        }
    };
    let text = String::from_utf8(bytes).unwrap();
    let data = |event: &str| event.strip_prefix("data: ").map(str::to_owned);
    let mut events: Vec<_> = text.split("\n\n").filter_map(data).collect();
    let done = events.last().is_some_and(|last| last == "[DONE]");
    if done {
        events.pop();
    }
    let events = events.iter().map(|event| serde_json::from_str(event).unwrap()).collect();
    Seen { status, headers, events, done, whole }
}

fn ask(text: &str) -> Value {
    json!({ "messages": [{ "role": "user", "content": text }] })
}

async fn last_record(gateway: &Gateway) -> Value {
    gateway.search_as("community", json!({ "limit": 1 })).await[0].clone()
}

/// In which parts of the answer a policy found something.
fn parts(record: &Value, policy: &str) -> Vec<u64> {
    let evaluations = record["policy_details"]["response_evaluations"].as_array().unwrap();
    let said = evaluations.iter().find(|it| it["policy"] == policy).unwrap();
    let findings = said["findings"].as_array().unwrap();
    findings.iter().map(|finding| finding["place"]["part"].as_u64().unwrap()).collect()
}

/// A gateway whose only policy on answers is one of patterns, with these further keys of its manifest.
fn with_pattern(setup: Setup, name: &str, manifest: &str, action: &str, expression: &str) -> Gateway {
    with_patterns(setup, &[(name, manifest, action, expression)])
}

/// As [`with_pattern`], with several of them.
fn with_patterns(setup: Setup, policies: &[(&str, &str, &str, &str)]) -> Gateway {
    let gateway = setup.policies(&["audit-redact", "pattern"]).prepare();
    std::fs::remove_file(gateway.policies().join("pattern.yaml")).unwrap();
    for (name, manifest, action, expression) in policies {
        let yaml = format!(
            "name: {name}\nmodule: pattern.wasm\n{manifest}settings:\n  patterns:\n    - {{ name: found, \
             pattern: \"{expression}\", category: test, action: {action}, replacement: \"[GONE]\", \
             phases: [response] }}\n"
        );
        std::fs::write(gateway.policies().join(format!("{name}.yaml")), yaml).unwrap();
    }
    gateway.start()
}
