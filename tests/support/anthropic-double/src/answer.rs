//! What is answered.

use serde_json::{Value, json};

use crate::check::MODELS;

/// The list of models.
pub(crate) fn models() -> Value {
    let card =
        |id: &&str| json!({ "type": "model", "id": id, "display_name": id, "created_at": "2026-02-17T00:00:00Z" });
    json!({ "data": MODELS.iter().map(card).collect::<Vec<_>>(), "has_more": false, "first_id": null, "last_id": null })
}

/// The last turn's texts, said back.
pub(crate) fn echo(body: &Value) -> Value {
    let last = body["messages"].as_array().and_then(|turns| turns.last()).map_or(&Value::Null, |turn| &turn["content"]);
    let said: String = match last {
        Value::String(text) => text.clone(),
        content => content.as_array().into_iter().flatten().filter_map(|block| block["text"].as_str()).collect(),
    };
    json!([{ "type": "text", "text": format!("You said: {said}") }])
}

/// A message of these blocks.
pub(crate) fn message(body: &Value, content: &Value) -> Value {
    let calls = content.as_array().is_some_and(|blocks| blocks.iter().any(|block| block["type"] == "tool_use"));
    json!({
        "id": "msg_offline0123456789", "type": "message", "role": "assistant", "model": body["model"],
        "content": content, "stop_reason": if calls { "tool_use" } else { "end_turn" }, "stop_sequence": null,
        // A token is taken to be four bytes.
        "usage": {
            "input_tokens": body["messages"].to_string().len() / 4, "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0, "output_tokens": content.to_string().len() / 4, "service_tier": "standard",
        },
    })
}
