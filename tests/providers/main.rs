//! Several providers behind one gateway, through sockets, in front of the doubles of their vendors.

#![expect(clippy::unwrap_used, reason = "tests fail by panics")]

#[path = "../support/mod.rs"]
mod support;

mod choice;
mod dialects;
mod hosts;
mod room;
mod thoughts;
mod tls;
mod views;

use anthropic_double::AnthropicDouble;
use gemini_double::GeminiDouble;
use mistral_double::MistralDouble;
use openai_double::{KEY, OpenAiDouble};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use support::{Gateway, Setup};

/// Mistral by the file, OpenAI by the environment.
fn both(mistral: &MistralDouble, openai: &OpenAiDouble) -> Setup {
    Setup::with(mistral).env("OPENAI_API_KEY", KEY).env("OPENAI_ENDPOINT", &openai.origin())
}

fn digest(secret: &str) -> String {
    hex::encode(Sha256::digest(secret))
}

async fn provider_of(gateway: &Gateway, context: Value) -> String {
    let answer = gateway.post("/api/request", json!({ "query": "Hello", "context": context })).await;
    assert_eq!((answer.status, &answer.body["success"]), (200, &json!(true)), "{answer:?}");
    answer.body["metadata"]["provider"].as_str().unwrap_or_default().to_owned()
}

/// Anthropic and Gemini by the environment alone.
fn others(anthropic: &AnthropicDouble, gemini: &GeminiDouble) -> Setup {
    Setup::without_provider()
        .env("ANTHROPIC_API_KEY", anthropic_double::KEY)
        .env("ANTHROPIC_ENDPOINT", &anthropic.origin())
        .env("GOOGLE_API_KEY", gemini_double::KEY)
        .env("GOOGLE_ENDPOINT", &gemini.origin())
}

/// The chunks of a streamed answer, and whether it said that it was done.
async fn streamed(gateway: &Gateway, mut body: Value) -> (Vec<Value>, bool) {
    body["stream"] = json!(true);
    body["stream_options"] = json!({ "include_usage": true });
    let request = gateway.client.post(gateway.url("/v1/chat/completions")).json(&body);
    let mut response = request.send().await.unwrap();
    let mut text = Vec::new();
    // The body of a stream that failed does not end as a body ends.
    while let Ok(Some(piece)) = response.chunk().await {
        text.extend_from_slice(&piece);
    }
    let text = String::from_utf8(text).unwrap();
    let data: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    (data.iter().filter_map(|data| serde_json::from_str(data).ok()).collect(), data.last() == Some(&"[DONE]"))
}
