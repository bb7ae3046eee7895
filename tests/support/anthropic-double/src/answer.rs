//! What is answered.

use double::{array, tokens};
use serde_json::{Value, json};

use crate::check::{MODELS, cache_controls};

/// The list of models.
pub(crate) fn models() -> Value {
    let card =
        |id: &&str| json!({ "type": "model", "id": id, "display_name": id, "created_at": "2026-02-17T00:00:00Z" });
    json!({ "data": MODELS.iter().map(card).collect::<Vec<_>>(), "has_more": false, "first_id": null, "last_id": null })
}

/// The last turn's texts, said back.
pub(crate) fn echo(body: &Value) -> Value {
    json!([{ "type": "text", "text": double::echo(&body["messages"], "content") }])
}

/// A message of these blocks.
pub(crate) fn message(body: &Value, content: &Value) -> Value {
    let calls = array(content).iter().any(|block| block["type"] == "tool_use");
    // What asks for the cache is written to it, and never read.
    let prompt = tokens(&body["messages"]);
    let last = cache_controls(body).last();
    let written = if last.is_some() { prompt } else { 0 };
    let for_an_hour = if last.is_some_and(|control| control["ttl"] == "1h") { prompt } else { 0 };
    json!({
        "id": "msg_offline0123456789", "type": "message", "role": "assistant", "model": body["model"],
        "content": content, "stop_reason": if calls { "tool_use" } else { "end_turn" }, "stop_sequence": null,
        "usage": {
            "input_tokens": prompt - written, "cache_creation_input_tokens": written,
            "cache_creation": {
                "ephemeral_5m_input_tokens": written - for_an_hour, "ephemeral_1h_input_tokens": for_an_hour,
            },
            "cache_read_input_tokens": 0, "output_tokens": tokens(content), "service_tier": "standard",
        },
    })
}

/// The events that tell a message: texts and arguments in two pieces.
pub(crate) fn events(message: &Value) -> String {
    let mut begun = message.clone();
    begun["content"] = json!([]);
    begun["stop_reason"] = Value::Null;
    begun["usage"]["output_tokens"] = json!(1);
    let mut events = vec![json!({ "type": "message_start", "message": begun }), json!({ "type": "ping" })];
    for (index, block) in array(&message["content"]).iter().enumerate() {
        if matches!(block["type"].as_str(), Some("thinking" | "redacted_thinking")) {
            events.extend(thought(index, block));
            continue;
        }
        let (mut empty, text, kind, field) = if block["type"] == "tool_use" {
            (block.clone(), block["input"].to_string(), "input_json_delta", "partial_json")
        } else {
            (
                json!({ "type": "text", "text": "" }),
                block["text"].as_str().unwrap_or_default().to_owned(),
                "text_delta",
                "text",
            )
        };
        if kind == "input_json_delta" {
            empty["input"] = json!({});
        }
        events.push(json!({ "type": "content_block_start", "index": index, "content_block": empty }));
        let (first, second) = text.split_at(text.floor_char_boundary(text.len() / 2));
        for piece in [first, second] {
            let delta = json!({ "type": kind, field: piece });
            events.push(json!({ "type": "content_block_delta", "index": index, "delta": delta }));
        }
        events.push(json!({ "type": "content_block_stop", "index": index }));
    }
    let end = json!({ "stop_reason": message["stop_reason"], "stop_sequence": null });
    let usage = json!({ "output_tokens": message["usage"]["output_tokens"] });
    events.push(json!({ "type": "message_delta", "delta": end, "usage": usage }));
    events.push(json!({ "type": "message_stop" }));
    events
        .iter()
        .map(|event| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or_default()))
        .collect()
}

/// The events that tell reasoning: its text, then its signature. What is encrypted comes whole.
fn thought(index: usize, block: &Value) -> Vec<Value> {
    let mut begun = block.clone();
    let mut deltas = Vec::new();
    if block["type"] == "thinking" {
        begun["thinking"] = json!("");
        begun["signature"] = json!("");
        for (kind, field) in [("thinking_delta", "thinking"), ("signature_delta", "signature")] {
            let delta = json!({ "type": kind, field: block[field] });
            deltas.push(json!({ "type": "content_block_delta", "index": index, "delta": delta }));
        }
    }
    let start = json!({ "type": "content_block_start", "index": index, "content_block": begun });
    let stop = json!({ "type": "content_block_stop", "index": index });
    [start].into_iter().chain(deltas).chain([stop]).collect()
}
