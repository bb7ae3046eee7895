//! What is answered.

use double::{array, tokens};
use serde_json::{Value, json};

use crate::check::MODELS;

/// The list of models.
pub(crate) fn models() -> Value {
    let card = |id: &&str| json!({ "name": format!("models/{id}"), "supportedGenerationMethods": ["generateContent"] });
    json!({ "models": MODELS.iter().map(card).collect::<Vec<_>>() })
}

/// The last turn's texts, said back.
pub(crate) fn echo(body: &Value) -> Value {
    json!([{ "text": double::echo(&body["contents"], "parts") }])
}

/// A response with these parts in each candidate.
pub(crate) fn response(model: &str, body: &Value, parts: &Value) -> Value {
    let candidates: Vec<Value> = (0..body["generationConfig"]["candidateCount"].as_u64().unwrap_or(1))
        .map(|index| json!({ "index": index, "content": { "role": "model", "parts": parts }, "finishReason": "STOP" }))
        .collect();
    let (prompt, answer) = (tokens(&body["contents"]), tokens(parts));
    json!({
        "candidates": candidates, "modelVersion": model, "responseId": "offline0123456789",
        "usageMetadata": {
            "promptTokenCount": prompt, "candidatesTokenCount": answer, "totalTokenCount": prompt + answer,
        },
    })
}

/// A response to a prompt that the filter blocked.
pub(crate) fn blocked(model: &str, reason: &str) -> Value {
    json!({ "promptFeedback": { "blockReason": reason }, "modelVersion": model,
        "usageMetadata": { "promptTokenCount": 4, "totalTokenCount": 4 } })
}

/// The events that tell a response: one for each part, texts in two pieces.
pub(crate) fn events(response: &Value) -> String {
    let mut events = Vec::new();
    for candidate in array(&response["candidates"]) {
        let mut tell = |parts: Value, finish: &Value| {
            let content = json!({ "role": "model", "parts": parts });
            let mut event = response.clone();
            event["candidates"] = json!([{ "index": candidate["index"], "content": content }]);
            if !finish.is_null() {
                event["candidates"][0]["finishReason"] = finish.clone();
            }
            events.push(event);
        };
        for part in array(&candidate["content"]["parts"]) {
            match part["text"].as_str() {
                Some(text) => {
                    let (first, second) = text.split_at(text.floor_char_boundary(text.len() / 2));
                    tell(json!([{ "text": first }]), &Value::Null);
                    tell(json!([{ "text": second }]), &Value::Null);
                }
                None => tell(json!([part]), &Value::Null),
            }
        }
        tell(json!([{ "text": "" }]), &candidate["finishReason"]);
    }
    if events.is_empty() {
        events.push(response.clone());
    }
    events.iter().map(|event| format!("data: {event}\r\n\r\n")).collect()
}
