//! What is answered.

use double::{array, tokens};
use serde_json::{Value, json};

/// The list of models.
pub(crate) fn models(ids: &[&str]) -> Value {
    let card = |id: &&str| json!({ "id": id, "object": "model", "created": 1_715_367_049, "owned_by": "system" });
    json!({ "object": "list", "data": ids.iter().map(card).collect::<Vec<_>>() })
}

/// The judgement of each text.
pub(crate) fn moderation(body: &Value) -> Value {
    let judged =
        json!({ "flagged": false, "categories": { "violence": false }, "category_scores": { "violence": 0.1 } });
    let texts = array(&body["input"]).len().max(1);
    json!({ "id": "modr-offline", "model": body["model"], "results": vec![judged; texts] })
}

/// A vector for each text.
pub(crate) fn embeddings(body: &Value) -> Value {
    let texts = array(&body["input"]).len().max(1);
    let vector = |index| json!({ "object": "embedding", "index": index, "embedding": [0.25, -0.5] });
    let counted = tokens(&body["input"]);
    json!({ "object": "list", "model": body["model"], "data": (0..texts).map(vector).collect::<Vec<_>>(),
        "usage": { "prompt_tokens": counted, "total_tokens": counted } })
}

/// The last message, said back.
pub(crate) fn echo(body: &Value) -> Value {
    let said = double::echo(&body["messages"], "content");
    json!({ "role": "assistant", "content": said, "refusal": null, "annotations": [] })
}

/// A completion of `n` choices with this message.
pub(crate) fn completion(body: &Value, message: &Value) -> Value {
    let finish = if message["tool_calls"].is_array() { "tool_calls" } else { "stop" };
    let choices: Vec<Value> = (0..body["n"].as_u64().unwrap_or(1))
        .map(|index| json!({ "index": index, "message": message, "logprobs": null, "finish_reason": finish }))
        .collect();
    let (prompt, answer) = (tokens(&body["messages"]), tokens(message));
    json!({
        "id": "chatcmpl-offline0123456789", "object": "chat.completion", "created": 1_780_000_000,
        "model": body["model"], "choices": choices, "service_tier": "default", "system_fingerprint": "fp_offline",
        "usage": {
            "prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer,
            "prompt_tokens_details": { "cached_tokens": 0, "audio_tokens": 0 },
            "completion_tokens_details": { "reasoning_tokens": 0, "audio_tokens": 0 },
        },
    })
}
