//! `POST /v1/embeddings`: a unit vector per text, the same for the same text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::refusal::request_id;
use crate::tokens;

/// The answer and its token count.
pub(crate) fn answer(body: &Value) -> (Value, u64) {
    let model = body["model"].as_str().unwrap_or_default();
    let dimensions = body["output_dimension"].as_u64().and_then(|count| usize::try_from(count).ok());
    let dimensions = dimensions.unwrap_or(if model.starts_with("codestral-embed") { 1536 } else { 1024 });
    let inputs = match &body["input"] {
        Value::Array(inputs) => inputs.as_slice(),
        input => std::slice::from_ref(input),
    };
    let texts = inputs.iter().map(|input| input.as_str().unwrap_or_default());
    let total: u64 = texts.clone().map(tokens::count).sum();
    let data: Vec<Value> = texts
        .enumerate()
        .map(|(index, text)| {
            let embedding = written(&vector(text, dimensions), body);
            json!({ "object": "embedding", "index": index, "embedding": embedding })
        })
        .collect();
    let answer = json!({
        "id": request_id(),
        "object": "list",
        "model": model,
        "data": data,
        "usage": {
            "prompt_tokens": total,
            "completion_tokens": 0,
            "total_tokens": total,
            "completion_tokens_details": null,
            "prompt_audio_seconds": null,
            "prompt_token_details": null,
            "prompt_tokens_details": null,
            "request_count": null,
            "service_tier": null,
        },
    });
    (answer, total)
}

fn vector(text: &str, dimensions: usize) -> Vec<f32> {
    // FNV-1a, so that a text has the same vector in every run.
    let seed = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let mut random = fastrand::Rng::with_seed(seed);
    let raw: Vec<f32> = (0..dimensions).map(|_| random.f32() * 2.0 - 1.0).collect();
    let length = raw.iter().map(|value| value * value).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    raw.into_iter().map(|value| value / length).collect()
}

fn written(vector: &[f32], body: &Value) -> Value {
    let bytes: Vec<u8> = match body["output_dtype"].as_str() {
        Some("int8") => return vector.iter().map(|value| signed(*value)).collect(),
        Some("uint8") => return vector.iter().map(|value| signed(*value) + 128).collect(),
        Some("ubinary") => return packed(vector).map(u64::from).collect(),
        Some("binary") => return packed(vector).map(|byte| i64::from(byte) - 128).collect(),
        _ if body["encoding_format"] == "base64" => vector.iter().flat_map(|value| value.to_le_bytes()).collect(),
        _ => return vector.iter().map(|value| f64::from(*value)).collect(),
    };
    Value::from(STANDARD.encode(bytes))
}

#[expect(clippy::cast_possible_truncation, reason = "a unit vector's value times 127 fits")]
fn signed(value: f32) -> i64 {
    (value * 127.0) as i64
}

/// One bit a dimension, eight to a byte.
fn packed(vector: &[f32]) -> impl Iterator<Item = u8> {
    vector.chunks(8).map(|eight| eight.iter().fold(0, |byte, value| byte << 1 | u8::from(*value > 0.0)))
}
