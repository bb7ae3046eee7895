//! Whether Anthropic would take a request.

use double::{ReceivedRequest, Refusal, array, is_function_name, outside, unknown_field};
use serde_json::{Value, json};

use crate::schema::{closed, together};
use crate::{KEY, REQUEST_ID, binding};

/// The models that there are: one of each generation that refuses more than the one before.
pub const MODELS: [&str; 4] = ["claude-haiku-4-5", "claude-sonnet-4-6", "claude-opus-5", "claude-opus-5-5"];

/// The images that are read.
const IMAGES: [&str; 4] = ["image/jpeg", "image/png", "image/gif", "image/webp"];

pub(crate) type Checked = Result<(), Refusal>;

#[rustfmt::skip]
const BODY: &[&str] = &[
    "model", "messages", "max_tokens", "system", "stop_sequences", "temperature", "top_p", "top_k", "tools",
    "tool_choice", "thinking", "output_config", "metadata", "service_tier", "inference_geo", "container",
    "cache_control", "stream",
];

/// Anthropic's error object.
pub(crate) fn error(kind: &str, message: &str) -> Value {
    json!({ "type": "error", "error": { "type": kind, "message": message }, "request_id": REQUEST_ID })
}

pub(crate) fn refuse<T>(message: &str) -> Result<T, Refusal> {
    Err(Refusal { status: 400, body: error("invalid_request_error", message) })
}

pub(crate) fn not_json() -> Refusal {
    Refusal { status: 400, body: error("invalid_request_error", "The request body is not valid JSON.") }
}

pub(crate) fn no_route(method: &str, path: &str) -> Refusal {
    Refusal { status: 404, body: error("not_found_error", &format!("Not Found: {method} {path}")) }
}

/// Checks the key and the version.
pub(crate) fn headers(request: &ReceivedRequest) -> Checked {
    if request.header("x-api-key") != Some(KEY) {
        return Err(Refusal { status: 401, body: error("authentication_error", "invalid x-api-key") });
    }
    if request.header("anthropic-version") != Some("2023-06-01") {
        return refuse("anthropic-version: header is required");
    }
    Ok(())
}

/// Checks the body of `POST /v1/messages`.
pub(crate) fn messages_request(body: &Value) -> Checked {
    known(body, "", BODY)?;
    let Some(model) = body["model"].as_str() else { return refuse("model: Field required") };
    if !MODELS.contains(&model) {
        return Err(Refusal { status: 404, body: error("not_found_error", &format!("model: {model}")) });
    }
    if body["max_tokens"].as_u64().is_none_or(|bound| bound == 0) {
        return refuse("max_tokens: Field required");
    }
    if let Some(system) = body.get("system") {
        texts(system, "system")?;
    }
    tools(body)?;
    cached(body)?;
    model_limits(body, model)?;
    together(body)?;
    turns(body, model)
}

/// Checks that this is an object, and has these fields only.
fn known(value: &Value, place: &str, allowed: &[&str]) -> Checked {
    match unknown_field(value, allowed) {
        Some(name) => refuse(&format!("{place}{name}: Extra inputs are not permitted")),
        None if value.is_object() => Ok(()),
        None => refuse(format!("{}: Input should be an object", place.trim_end_matches('.')).trim_start_matches(": ")),
    }
}

/// What one generation of models takes and another refuses.
fn model_limits(body: &Value, model: &str) -> Checked {
    let always_thinks = model == "claude-opus-5-5";
    let samples = matches!(model, "claude-haiku-4-5" | "claude-sonnet-4-6");
    let thinking = body["thinking"]["type"].as_str();
    for name in ["temperature", "top_p", "top_k"] {
        if !body[name].is_null() && !samples {
            return refuse(&format!("`{name}` is deprecated for this model."));
        }
        if !body[name].is_null() && matches!(thinking, Some("enabled" | "adaptive")) {
            return refuse(&format!("`{name}` may not be set when thinking is enabled."));
        }
    }
    for name in ["temperature", "top_p"] {
        if outside(&body[name], 0.0..=1.0) {
            return refuse(&format!("{name}: range: 0..1"));
        }
    }
    if !body["temperature"].is_null() && !body["top_p"].is_null() {
        return refuse("`temperature` and `top_p` cannot both be specified for this model.");
    }
    let forced = matches!(body["tool_choice"]["type"].as_str(), Some("any" | "tool"));
    if forced && (always_thinks || matches!(thinking, Some("enabled" | "adaptive"))) {
        return refuse("Thinking may not be enabled when tool_choice forces tool use.");
    }
    if body["thinking"].is_object() {
        known(&body["thinking"], "thinking.", &["type", "budget_tokens", "display"])?;
    }
    if !matches!(body["thinking"]["display"].as_str(), None | Some("summarized" | "omitted")) {
        return refuse("thinking.display: Input should be 'summarized' or 'omitted'");
    }
    let budget = body["thinking"]["budget_tokens"].as_u64();
    match thinking {
        None if body["thinking"].is_null() => {}
        Some("enabled") if model != "claude-haiku-4-5" => {
            return refuse("\"thinking.type.enabled\" is not supported for this model.");
        }
        Some("enabled") if budget.is_none_or(|budget| budget < 1024 || Some(budget) >= body["max_tokens"].as_u64()) => {
            return refuse("thinking.budget_tokens: at least 1024 and less than max_tokens");
        }
        Some("enabled") => {}
        Some("adaptive") if model != "claude-haiku-4-5" => {}
        Some("disabled") if !always_thinks => {}
        _ => return refuse("thinking: not supported for this model"),
    }
    let output = &body["output_config"];
    if !output.is_object() {
        return Ok(());
    }
    known(output, "output_config.", &["effort", "format"])?;
    if output.get("effort").is_some() && model == "claude-haiku-4-5" {
        return refuse("This model does not support the effort parameter.");
    }
    match &output["format"] {
        format @ Value::Object(_) if format["type"] == "json_schema" => {
            known(format, "output_config.format.", &["type", "schema"])?;
            closed(&format["schema"])
        }
        Value::Object(_) => refuse("output_config.format.type: Input should be 'json_schema'"),
        _ => Ok(()),
    }
}

fn tools(body: &Value) -> Checked {
    let tools = array(&body["tools"]);
    for (index, tool) in tools.iter().enumerate() {
        let place = format!("tools.{index}.");
        known(tool, &place, &["name", "description", "input_schema", "strict", "type", "cache_control"])?;
        if !is_function_name(tool["name"].as_str().unwrap_or_default(), 128) {
            return refuse(&format!("{place}name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'"));
        }
        if tool["input_schema"]["type"] != "object" {
            return refuse(&format!("{place}input_schema.type: Field required"));
        }
        if tool["strict"] == json!(true) {
            closed(&tool["input_schema"])?;
        }
    }
    let choice = &body["tool_choice"];
    if !choice.is_object() {
        return Ok(());
    }
    if tools.is_empty() {
        return refuse("tool_choice may only be specified while providing tools.");
    }
    match choice["type"].as_str() {
        Some("auto" | "any") => known(choice, "tool_choice.", &["type", "disable_parallel_tool_use"]),
        Some("none") => known(choice, "tool_choice.", &["type"]),
        Some("tool") if tools.iter().any(|tool| tool["name"] == choice["name"]) => {
            known(choice, "tool_choice.", &["type", "name", "disable_parallel_tool_use"])
        }
        _ => refuse("tool_choice: Input tag does not match any of the expected tags"),
    }
}

/// Every `cache_control`, in the order in which a prompt is read: tools, system, messages.
pub(crate) fn cache_controls(body: &Value) -> impl Iterator<Item = &Value> {
    let said = array(&body["messages"]).iter().flat_map(|turn| array(&turn["content"]));
    let all = array(&body["tools"]).iter().chain(array(&body["system"])).chain(said).chain([body]);
    all.map(|block| &block["cache_control"]).filter(|control| !control.is_null())
}

/// Four places at most, and none that is kept for an hour behind one that is kept for five minutes.
fn cached(body: &Value) -> Checked {
    let mut short = false;
    for control in cache_controls(body) {
        known(control, "cache_control.", &["type", "ttl"])?;
        if control["type"] != "ephemeral" {
            return refuse("cache_control.type: Input tag does not match any of the expected tags: 'ephemeral'");
        }
        match control["ttl"].as_str() {
            None if control["ttl"].is_null() => short = true,
            Some("5m") => short = true,
            Some("1h") if short => {
                return refuse("cache_control.ttl: a ttl='1h' cache_control block must not come after a ttl='5m' one");
            }
            Some("1h") => {}
            _ => return refuse("cache_control.ttl: Input should be '5m' or '1h'"),
        }
    }
    match cache_controls(body).count() {
        0..=4 => Ok(()),
        found => refuse(&format!("A maximum of 4 blocks with cache_control may be provided. Found {found}.")),
    }
}

/// A text, or blocks of text that are not empty.
fn texts(content: &Value, place: &str) -> Checked {
    match content {
        Value::String(_) => Ok(()),
        Value::Array(blocks) => blocks.iter().try_for_each(|block| {
            if block["type"] != "text" {
                return refuse(&format!("{place}: Input should be a text block"));
            }
            known(block, place, &["type", "text", "cache_control"])?;
            filled(&block["text"], place)
        }),
        _ => refuse(&format!("{place}: Input should be a valid string")),
    }
}

fn filled(text: &Value, place: &str) -> Checked {
    match text.as_str() {
        Some(text) if !text.trim().is_empty() => Ok(()),
        _ => refuse(&format!("{place}: text content blocks must contain non-whitespace text")),
    }
}

fn turns(body: &Value, model: &str) -> Checked {
    let turns = array(&body["messages"]);
    if turns.is_empty() {
        return refuse("messages: at least one message is required");
    }
    // Calls that wait for their answer.
    let mut open: Vec<&str> = Vec::new();
    let mut last = "";
    for (index, turn) in turns.iter().enumerate() {
        let place = format!("messages.{index}.");
        known(turn, &place, &["role", "content"])?;
        if turn["role"] == "system" {
            later_instructions(turns, index, model)?;
            continue;
        }
        let speaker = if last == "user" { "assistant" } else { "user" };
        if turn["role"] != speaker {
            return refuse("messages: roles must alternate between \"user\" and \"assistant\"");
        }
        last = speaker;
        let plain;
        let blocks = match &turn["content"] {
            Value::Array(blocks) if !blocks.is_empty() => blocks,
            text @ Value::String(_) => {
                plain = vec![json!({ "type": "text", "text": text })];
                &plain
            }
            _ => return refuse(&format!("{place}content: Field required")),
        };
        let answered: Vec<&str> = blocks.iter().filter_map(|block| block["tool_use_id"].as_str()).collect();
        if answered != open {
            let message = "`tool_use` ids were found without `tool_result` blocks immediately after, or the reverse";
            return refuse(&format!("{place}{message}"));
        }
        let thinks = body["thinking"]["type"] == "enabled";
        let goes_on = index + 2 == turns.len() && turns[index + 1]["content"][0]["type"] == "tool_result";
        let first = blocks.first().map_or("", |block| block["type"].as_str().unwrap_or_default());
        if thinks && goes_on && !matches!(first, "thinking" | "redacted_thinking") {
            let message = "Expected `thinking` or `redacted_thinking`, but found";
            return refuse(&format!("{place}content.0.type: {message} `{first}`"));
        }
        for (at, block) in blocks.iter().enumerate() {
            let place = format!("{place}content.{at}.");
            check_block(block, speaker, &place, at < answered.len())?;
            signature(block, &place, body, index)?;
        }
        let calls = array(&turn["content"]).iter().filter(|block| block["type"] == "tool_use");
        open = calls.filter_map(|block| block["id"].as_str()).collect();
    }
    if last == "assistant" && model != "claude-haiku-4-5" {
        let message =
            "This model does not support assistant message prefill. The conversation must end with a user message.";
        return refuse(message);
    }
    Ok(())
}

/// Instructions among the turns: behind a user's, and before an answer or at the end.
fn later_instructions(turns: &[Value], index: usize, model: &str) -> Checked {
    if !matches!(model, "claude-opus-5" | "claude-opus-5-5") {
        return refuse("role 'system' is not supported on this model");
    }
    let role = |at: Option<usize>| at.and_then(|at| turns.get(at)).map(|turn| &turn["role"]);
    if index == 0 {
        return refuse("messages.0: use the top-level 'system' parameter for the initial system prompt");
    }
    if role(index.checked_sub(1)).is_none_or(|role| role != "user")
        || role(Some(index + 1)).is_some_and(|role| role != "assistant")
    {
        return refuse(&format!("messages.{index}: a system message follows a user message and precedes an answer"));
    }
    texts(&turns[index]["content"], &format!("messages.{index}.content"))
}

/// Whether reasoning is what the model said, behind what it said it behind.
fn signature(block: &Value, place: &str, body: &Value, turns: usize) -> Checked {
    let (kind, field) = match block["type"].as_str() {
        Some("thinking") => ("thinking", "signature"),
        Some("redacted_thinking") => ("redacted_thinking", "data"),
        _ => return Ok(()),
    };
    match binding::holds(&block[field], body, turns) {
        true => Ok(()),
        false => refuse(&format!(
            "{place}: Invalid `{field}` in `{kind}` block. The block is bound to a different conversation."
        )),
    }
}

fn call_id(id: &Value, place: &str) -> Checked {
    match is_function_name(id.as_str().unwrap_or_default(), usize::MAX) {
        true => Ok(()),
        false => refuse(&format!("{place}: String should match pattern '^[a-zA-Z0-9_-]+$'")),
    }
}

fn check_block(block: &Value, speaker: &str, place: &str, result_due: bool) -> Checked {
    let kind = block["type"].as_str().unwrap_or_default();
    if result_due != (kind == "tool_result") {
        return refuse(&format!("{place}tool_result blocks must come first"));
    }
    match (speaker, kind) {
        (_, "text") => {
            known(block, place, &["type", "text", "cache_control"])?;
            filled(&block["text"], place)
        }
        ("user", "tool_result") => {
            known(block, place, &["type", "tool_use_id", "content", "is_error", "cache_control"])?;
            call_id(&block["tool_use_id"], &format!("{place}tool_use_id"))
        }
        ("user", "image") => {
            known(block, place, &["type", "source", "cache_control"])?;
            match block["source"]["type"].as_str() {
                Some("base64") if !IMAGES.iter().any(|read| block["source"]["media_type"] == *read) => {
                    let read = "'image/jpeg', 'image/png', 'image/gif' or 'image/webp'";
                    refuse(&format!("{place}source.base64.media_type: Input should be {read}"))
                }
                Some("base64") if block["source"]["data"].as_str().is_some_and(|data| !data.is_empty()) => Ok(()),
                Some("url") if block["source"]["url"].as_str().is_some_and(|url| url.starts_with("https://")) => Ok(()),
                _ => refuse(&format!("{place}source: Input should be a valid image source")),
            }
        }
        ("assistant", "thinking") => {
            known(block, place, &["type", "thinking", "signature"])?;
            match block["thinking"].is_string() {
                true => Ok(()),
                false => refuse(&format!("{place}thinking: Field required")),
            }
        }
        ("assistant", "redacted_thinking") => known(block, place, &["type", "data"]),
        ("assistant", "tool_use") => {
            known(block, place, &["type", "id", "name", "input", "cache_control"])?;
            call_id(&block["id"], &format!("{place}id"))?;
            if !is_function_name(block["name"].as_str().unwrap_or_default(), 128) {
                return refuse(&format!("{place}name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'"));
            }
            if block["input"].is_object() {
                Ok(())
            } else {
                refuse(&format!("{place}input: Input should be an object"))
            }
        }
        _ => refuse(&format!("{place}type: Input tag '{kind}' does not match any of the expected tags")),
    }
}
