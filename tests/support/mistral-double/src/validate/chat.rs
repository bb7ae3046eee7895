//! What a chat request says beyond the types of its fields.

use serde_json::{Value, json};

use super::{context, order, tools};
use crate::conversation::{self, all_chunks, kind, messages};
use crate::models::{Ability, Effort, Model};
use crate::refusal::{FieldFault, Refusal};
use crate::settings::{Quirk, Settings};

/// Images in one request.
const MOST_IMAGES: usize = 8;

/// Faults that are still about single fields, and 422 like those of the schema.
pub(super) fn fields(settings: &Settings, body: &Value, faults: &mut Vec<FieldFault>) {
    if settings.has(Quirk::RefuseSafePrompt) && body.get("safe_prompt").is_some() {
        let place = json!(["body", "safe_prompt"]);
        let message = "Extra inputs are not permitted";
        faults.push(FieldFault::at("extra_forbidden", place, message, body["safe_prompt"].clone()));
    }
    if body["prompt_cache_key"].as_str().is_some_and(|key| !key.is_ascii()) {
        let place = json!(["body", "prompt_cache_key"]);
        let message = "Value error, prompt_cache_key must be ASCII";
        faults.push(FieldFault::at("value_error", place, message, body["prompt_cache_key"].clone()));
    }
    let format = &body["response_format"];
    if format["type"] == "json_schema" && !format["json_schema"].is_object() {
        let message = "Value error, json_schema is required when type is json_schema";
        faults.push(FieldFault::at("value_error", json!(["body", "response_format"]), message, format.clone()));
    }
    for (at, index, chunk) in all_chunks(messages(body)).filter(|(_, _, chunk)| kind(chunk) == "image_url") {
        let url = chunk["image_url"].as_str().or_else(|| chunk["image_url"]["url"].as_str());
        if url.is_some_and(|url| !is_image_url(url)) {
            let role = conversation::role(&messages(body)[at]);
            let place = json!(["body", "messages", at, role, "content", index, "image_url", "image_url"]);
            let message = "Value error, Image URL must start with 'https' or 'data:image/FMT;base64,'";
            faults.push(FieldFault::at("value_error", place, message, Value::from(url)));
        }
    }
}

/// `https..` or `data:image/FMT;base64,..`.
fn is_image_url(url: &str) -> bool {
    url.starts_with("https")
        || url
            .strip_prefix("data:image/")
            .and_then(|rest| rest.split_once(";base64,"))
            .is_some_and(|(format, data)| !format.is_empty() && !format.contains(['/', ';', ',']) && !data.is_empty())
}

/// Faults that are 400: what the model cannot do, and conversations that make no sense.
pub(super) fn meaning(settings: &Settings, model: &Model, body: &Value) -> Result<(), Refusal> {
    abilities(model, body)?;
    answers(model, body)?;
    order::check(settings, messages(body))?;
    tools::check(body)?;
    if settings.has(Quirk::RefuseKeywordsInSchema) {
        let schema = &body["response_format"]["json_schema"]["schema"];
        if let Some(keyword) = ["format", "pattern"].into_iter().find(|keyword| contains_key(schema, keyword)) {
            return Err(Refusal::arguments(format!("Received unsupported keyword `{keyword}` in schema.")));
        }
    }
    context(model, conversation::prompt_tokens(body))
}

fn abilities(model: &Model, body: &Value) -> Result<(), Refusal> {
    let refuse = |what: &str| Err(Refusal::arguments(format!("{what} for this model")));
    if body["logprobs"] == true || !body["top_logprobs"].is_null() {
        return refuse("Logprobs are not enabled");
    }
    if let Some(effort) = body["reasoning_effort"].as_str() {
        let allowed: &[&str] = match model.effort {
            Effort::Two => &["none", "high"],
            Effort::All => &["none", "minimal", "low", "medium", "high", "xhigh", "max"],
        };
        if !allowed.contains(&effort) {
            let message = match model.effort {
                Effort::Two => "Input should be 'none' or 'high'",
                Effort::All => "Input should be 'none', 'minimal', 'low', 'medium', 'high', 'xhigh' or 'max'",
            };
            let place = json!(["body", "reasoning_effort"]);
            return Err(Refusal::Fields(vec![FieldFault::at("literal_error", place, message, json!(effort))]));
        }
        if !model.can(Ability::Reasoning) {
            return refuse("reasoning_effort is not supported");
        }
    }
    if !body["prompt_mode"].is_null() && !model.can(Ability::Reasoning) {
        return refuse("prompt_mode is not supported");
    }
    if !body["tools"].is_null() && !model.can(Ability::Tools) {
        return refuse("Function calling is not enabled");
    }
    let mut images = 0;
    for (_, _, chunk) in all_chunks(messages(body)) {
        match kind(chunk) {
            "image_url" if !model.can(Ability::Vision) => return refuse("Image input is not enabled"),
            "input_audio" if !model.can(Ability::Audio) => return refuse("Audio input is not enabled"),
            "thinking" if !model.can(Ability::Reasoning) => return refuse("Thinking chunks are not supported"),
            "image_url" => images += 1,
            _ => {}
        }
    }
    if images > MOST_IMAGES {
        return Err(Refusal::arguments(format!("Too many images in request: {images}, at most {MOST_IMAGES}")));
    }
    Ok(())
}

fn answers(model: &Model, body: &Value) -> Result<(), Refusal> {
    let several = body["n"].as_u64().is_some_and(|count| count > 1);
    if several && model.id == "mistral-large-2512" {
        return Err(Refusal::arguments("n > 1 is not supported for this model"));
    }
    if several && !body["prediction"].is_null() {
        return Err(Refusal::arguments("n > 1 is not supported together with prediction"));
    }
    Ok(())
}

fn contains_key(value: &Value, key: &str) -> bool {
    match value {
        Value::Object(map) => map.contains_key(key) || map.values().any(|inner| contains_key(inner, key)),
        Value::Array(items) => items.iter().any(|inner| contains_key(inner, key)),
        _ => false,
    }
}
