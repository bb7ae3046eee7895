//! Whether OpenAI would take a request.

use double::{ReceivedRequest, Refusal, array, is_function_name, outside, text, unknown_field};
use serde_json::{Value, json};

use crate::KEY;

/// The models that there are.
pub const MODELS: [&str; 7] = ["gpt-4o", "gpt-4o-mini", "gpt-4.1", "o3-mini", "o4-mini", "gpt-5-mini", "gpt-5.2"];

/// The model that Ollama has.
pub const OLLAMA_MODEL: &str = "llama3.1:latest";

type Checked = Result<(), Refusal>;

#[rustfmt::skip]
const BODY: &[&str] = &[
    "model", "messages", "max_tokens", "max_completion_tokens", "temperature", "top_p", "n", "stop", "seed",
    "presence_penalty", "frequency_penalty", "tools", "tool_choice", "parallel_tool_calls", "response_format",
    "reasoning_effort", "logit_bias", "logprobs", "top_logprobs", "user", "metadata", "store", "service_tier",
    "prediction", "modalities", "audio", "verbosity", "web_search_options", "prompt_cache_key", "safety_identifier",
    "stream", "stream_options",
];

/// OpenAI's error object.
pub(crate) fn error(message: &str, kind: &str, param: Option<&str>, code: Option<&str>) -> Value {
    json!({ "error": { "message": message, "type": kind, "param": param, "code": code } })
}

fn refuse<T>(param: &str, code: Option<&str>, message: &str) -> Result<T, Refusal> {
    Err(Refusal { status: 400, body: error(message, "invalid_request_error", Some(param), code) })
}

/// The body of a request.
pub(crate) fn json(request: &ReceivedRequest) -> Result<Value, Refusal> {
    serde_json::from_slice(&request.body).map_err(|_| {
        let message = "We could not parse the JSON body of your request.";
        Refusal { status: 400, body: error(message, "invalid_request_error", None, None) }
    })
}

pub(crate) fn no_route(method: &str, path: &str) -> Refusal {
    let message = format!("Invalid URL ({method} {path})");
    Refusal { status: 404, body: error(&message, "invalid_request_error", None, None) }
}

/// Checks the bearer key.
pub(crate) fn key(request: &ReceivedRequest) -> Checked {
    if request.header("authorization").and_then(|it| it.strip_prefix("Bearer ")) == Some(KEY) {
        return Ok(());
    }
    let body = error("Incorrect API key provided.", "invalid_request_error", None, Some("invalid_api_key"));
    Err(Refusal { status: 401, body })
}

/// Checks the body of a chat request.
pub(crate) fn chat(body: &Value, models: &[&str]) -> Checked {
    if !body.is_object() {
        return refuse("", None, "The body must be an object.");
    }
    known(body, "", BODY)?;
    let Some(model) = body["model"].as_str() else {
        return refuse("model", None, "you must provide a model parameter");
    };
    if !models.contains(&model) {
        let message = format!("The model `{model}` does not exist or you do not have access to it.");
        let body = error(&message, "invalid_request_error", None, Some("model_not_found"));
        return Err(Refusal { status: 404, body });
    }
    parameters(body, model)?;
    stream(body)?;
    tools(body)?;
    messages(body)?;
    format(body)
}

/// Checks a request to Ollama, by the models that it has.
pub(crate) fn ollama(body: &Value) -> Checked {
    const THINKS: &str = "gpt-oss:20b";
    let model = body["model"].as_str().unwrap_or_default();
    let effort = body["reasoning_effort"].as_str();
    match effort {
        None | Some("none") => {}
        Some("low" | "medium" | "high" | "max") if model == THINKS => {}
        Some("low" | "medium" | "high" | "max") => {
            return refuse_ollamas(&format!("{model:?} does not support thinking"));
        }
        Some(other) => return refuse_ollamas(&format!("invalid reasoning value: {other:?}")),
    }
    for call in array(&body["messages"]).iter().flat_map(|message| array(&message["tool_calls"])) {
        let arguments = call["function"]["arguments"].as_str().and_then(|it| serde_json::from_str(it).ok());
        if !arguments.is_some_and(|arguments: Value| arguments.is_object()) {
            return refuse_ollamas("invalid tool call arguments");
        }
    }
    let mut body = body.clone();
    if let Some(fields) = body.as_object_mut() {
        fields.remove("reasoning_effort");
    }
    chat(&body, &[OLLAMA_MODEL, "llama3.1", THINKS])
}

/// Ollama's error, which names no field.
fn refuse_ollamas(message: &str) -> Checked {
    Err(Refusal { status: 400, body: error(message, "invalid_request_error", None, None) })
}

/// Checks a request to Google's OpenAI surface, by the models that it has: in each step of calls the first wants its
/// signature.
pub(crate) fn signatures(body: &Value) -> Checked {
    if !body["model"].as_str().is_some_and(|model| model.starts_with("gemini-3")) {
        return Ok(());
    }
    for message in array(&body["messages"]) {
        let first = array(&message["tool_calls"]).first();
        if first.is_some_and(|call| !call["extra_content"]["google"]["thought_signature"].is_string()) {
            let text = "Function call is missing a thought_signature in functionCall parts.";
            return refuse("messages", None, text);
        }
    }
    Ok(())
}

/// Checks the body of a request for vectors.
pub(crate) fn embeddings(body: &Value) -> Checked {
    known(body, "", &["model", "input", "dimensions", "encoding_format", "user"])?;
    if !body["model"].is_string() {
        return refuse("model", None, "you must provide a model parameter");
    }
    if !matches!(body["encoding_format"].as_str(), None | Some("float" | "base64")) {
        return refuse("encoding_format", Some("invalid_value"), "Invalid value for 'encoding_format'.");
    }
    texts(&body["input"])
}

/// Checks the body of a request for judgements.
pub(crate) fn moderation(body: &Value) -> Checked {
    known(body, "", &["model", "input"])?;
    match body["model"].as_str() {
        None | Some("omni-moderation-latest") => {}
        Some(_) => return refuse("model", None, "Invalid value for 'model'."),
    }
    texts(&body["input"])
}

fn texts(input: &Value) -> Checked {
    match input {
        Value::String(_) => Ok(()),
        Value::Array(texts) if !texts.is_empty() && texts.iter().all(Value::is_string) => Ok(()),
        _ => refuse("input", None, "Invalid value for 'input'."),
    }
}

fn known(value: &Value, place: &str, allowed: &[&str]) -> Checked {
    match unknown_field(value, allowed) {
        Some(name) => {
            let name = format!("{place}{name}");
            refuse(&name, Some("unknown_parameter"), &format!("Unknown parameter: '{name}'."))
        }
        None => Ok(()),
    }
}

/// What models refuse because they reason: all of them penalties, and a temperature and its relatives while they do.
fn reasoning(body: &Value, model: &str) -> Checked {
    let o_series = model.starts_with('o');
    let effort = body["reasoning_effort"].as_str();
    let efforts: &[&str] = match model {
        "gpt-5.2" => &["none", "low", "medium", "high", "xhigh"],
        _ if model.starts_with("gpt-5") => &["minimal", "low", "medium", "high"],
        _ if o_series => &["low", "medium", "high"],
        _ => &[],
    };
    if let Some(effort) = effort.filter(|effort| !efforts.contains(effort)) {
        let message = format!("Unsupported value: 'reasoning_effort' does not support '{effort}' with this model.");
        return refuse("reasoning_effort", Some("unsupported_value"), &message);
    }
    if !o_series && !model.starts_with("gpt-5") {
        return Ok(());
    }
    let samples = model == "gpt-5.2" && effort.is_none_or(|effort| effort == "none");
    let there = |name: &&str| !body[*name].is_null();
    let unsupported = |name: &str| {
        let message = format!("Unsupported parameter: '{name}' is not supported with this model.");
        refuse(name, Some("unsupported_parameter"), &message)
    };
    if !samples && there(&"temperature") && body["temperature"] != json!(1) && body["temperature"] != json!(1.0) {
        let message = format!(
            "Unsupported value: 'temperature' does not support {} with this model. Only the default (1) value is \
             supported.",
            body["temperature"]
        );
        return refuse("temperature", Some("unsupported_value"), &message);
    }
    let sampling: &[&str] = if samples { &[] } else { &["top_p", "logprobs", "top_logprobs"] };
    let stop: &[&str] = if model == "o3-mini" { &[] } else { &["stop"] };
    let parallel: &[&str] = if o_series { &["parallel_tool_calls"] } else { &[] };
    let always = &["presence_penalty", "frequency_penalty", "logit_bias"][..];
    match [sampling, stop, parallel, always].concat().into_iter().find(there) {
        Some(name) => unsupported(name),
        None => Ok(()),
    }
}

fn parameters(body: &Value, model: &str) -> Checked {
    reasoning(body, model)?;
    if (model.starts_with('o') || model.starts_with("gpt-5")) && !body["max_tokens"].is_null() {
        let message = "Unsupported parameter: 'max_tokens' is not supported with this model. Use \
                       'max_completion_tokens' instead.";
        return refuse("max_tokens", Some("unsupported_parameter"), message);
    }
    for (name, from, to) in [
        ("temperature", 0.0, 2.0),
        ("top_p", 0.0, 1.0),
        ("presence_penalty", -2.0, 2.0),
        ("frequency_penalty", -2.0, 2.0),
        ("n", 1.0, 128.0),
        ("max_tokens", 1.0, f64::MAX),
        ("max_completion_tokens", 1.0, f64::MAX),
    ] {
        if outside(&body[name], from..=to) {
            return refuse(name, None, &format!("Invalid '{name}': expected a number from {from} to {to}."));
        }
    }
    if body["stop"].as_array().is_some_and(|stops| !(1..=4).contains(&stops.len())) {
        return refuse("stop", None, "Invalid 'stop': array of 1 to 4 expected.");
    }
    Ok(())
}

fn stream(body: &Value) -> Checked {
    if !matches!(body["stream"], Value::Null | Value::Bool(_)) {
        return refuse("stream", Some("invalid_type"), "Invalid type for 'stream': expected a boolean.");
    }
    match &body["stream_options"] {
        Value::Null => Ok(()),
        Value::Object(_) if body["stream"] != true => {
            let text = "The 'stream_options' parameter is only allowed when 'stream' is enabled.";
            refuse("stream_options", None, text)
        }
        Value::Object(options) => {
            known(&body["stream_options"], "stream_options.", &["include_usage", "include_obfuscation"])?;
            match options.values().all(Value::is_boolean) {
                true => Ok(()),
                false => refuse("stream_options", Some("invalid_type"), "Invalid type: expected a boolean."),
            }
        }
        _ => refuse("stream_options", Some("invalid_type"), "Invalid type for 'stream_options': expected an object."),
    }
}

fn tools(body: &Value) -> Checked {
    let tools = match &body["tools"] {
        Value::Null => &[][..],
        Value::Array(tools) if !tools.is_empty() => tools,
        _ => return refuse("tools", Some("empty_array"), "Invalid 'tools': empty array."),
    };
    for (index, tool) in tools.iter().enumerate() {
        let place = format!("tools[{index}].");
        let function = &tool["function"];
        if !function.is_object() || tool["type"] != "function" {
            return refuse(&place, None, "Missing required parameter: a function.");
        }
        known(tool, &place, &["type", "function"])?;
        known(function, &format!("{place}function."), &["name", "description", "parameters", "strict"])?;
        if !is_function_name(function["name"].as_str().unwrap_or_default(), 64) {
            return refuse(&place, Some("invalid_value"), "Invalid name: expected '^[a-zA-Z0-9_-]{1,64}$'.");
        }
    }
    for name in ["tool_choice", "parallel_tool_calls"] {
        if tools.is_empty() && !body[name].is_null() {
            return refuse(name, None, &format!("'{name}' is only allowed when 'tools' are specified."));
        }
    }
    match &body["tool_choice"] {
        Value::Null => Ok(()),
        Value::String(word) if matches!(word.as_str(), "none" | "auto" | "required") => Ok(()),
        choice @ Value::Object(_)
            if tools.iter().any(|tool| tool["function"]["name"] == choice["function"]["name"]) =>
        {
            known(choice, "tool_choice.", &["type", "function"])
        }
        _ => refuse("tool_choice", Some("invalid_value"), "Invalid value for 'tool_choice'."),
    }
}

fn messages(body: &Value) -> Checked {
    let messages = array(&body["messages"]);
    if messages.is_empty() {
        return refuse("messages", Some("empty_array"), "Invalid 'messages': empty array.");
    }
    // Calls that wait for their answer.
    let mut open: Vec<&str> = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        let place = format!("messages[{index}].");
        if !message.is_object() {
            return refuse(&place, None, "Invalid message.");
        }
        let role = message["role"].as_str().unwrap_or_default();
        if role != "tool" && !open.is_empty() {
            let text = "An assistant message with 'tool_calls' must be followed by tool messages responding to each \
                        'tool_call_id'.";
            return refuse(&place, None, text);
        }
        match role {
            "system" | "developer" | "user" => known(message, &place, &["role", "content", "name"])?,
            "assistant" => {
                known(message, &place, &["role", "content", "name", "refusal", "tool_calls", "audio"])?;
                let calls = array(&message["tool_calls"]);
                for call in calls {
                    known(call, &format!("{place}tool_calls."), &["id", "type", "function"])?;
                    if !call["function"]["arguments"].is_string() || call["type"] != "function" {
                        return refuse(&place, None, "Invalid tool call.");
                    }
                    if !is_function_name(call["function"]["name"].as_str().unwrap_or_default(), 64) {
                        return refuse(
                            &place,
                            Some("invalid_value"),
                            "Invalid name: expected '^[a-zA-Z0-9_-]{1,64}$'.",
                        );
                    }
                    let id = call["id"].as_str().unwrap_or_default();
                    if id.len() > 40 {
                        let text = "Invalid 'id': string too long. Expected a string with maximum length 40.";
                        return refuse(&place, Some("string_above_max_length"), text);
                    }
                    open.push(id);
                }
                if calls.is_empty() && message["content"].is_null() {
                    return refuse(&place, None, "Invalid value for 'content': expected a string, got null.");
                }
            }
            "tool" => {
                known(message, &place, &["role", "content", "tool_call_id"])?;
                let id = message["tool_call_id"].as_str().unwrap_or_default();
                let Some(at) = open.iter().position(|call| *call == id) else {
                    let text =
                        "messages with role 'tool' must be a response to a preceeding message with 'tool_calls'.";
                    return refuse(&place, None, text);
                };
                open.remove(at);
            }
            _ => return refuse(&place, Some("invalid_value"), &format!("Invalid value: '{role}'.")),
        }
        content(message, role, &place)?;
    }
    if open.is_empty() { Ok(()) } else { refuse("messages", None, "Tool calls without an answer.") }
}

fn content(message: &Value, role: &str, place: &str) -> Checked {
    match &message["content"] {
        Value::String(_) => Ok(()),
        Value::Null if role == "assistant" => Ok(()),
        Value::Array(parts) if !parts.is_empty() => {
            for part in parts {
                let url = part["image_url"]["url"].as_str().unwrap_or_default();
                let allowed: &[&str] = match part["type"].as_str() {
                    Some("text") if part["text"].is_string() => &["type", "text"],
                    Some("image_url")
                        if role == "user" && (url.starts_with("https://") || url.starts_with("data:image/")) =>
                    {
                        &["type", "image_url"]
                    }
                    _ => return refuse(place, Some("invalid_value"), "Invalid content part."),
                };
                known(part, place, allowed)?;
            }
            Ok(())
        }
        _ => refuse(place, None, "Invalid value for 'content'."),
    }
}

fn format(body: &Value) -> Checked {
    let format = &body["response_format"];
    if !format.is_object() {
        return Ok(());
    }
    known(format, "response_format.", &["type", "json_schema"])?;
    match format["type"].as_str() {
        Some("text") => Ok(()),
        Some("json_object") => {
            let says_json = |message: &Value| text(&message["content"]).to_ascii_lowercase().contains("json");
            if array(&body["messages"]).iter().any(says_json) {
                return Ok(());
            }
            let text = "'messages' must contain the word 'json' in some form, to use 'response_format' of type \
                        'json_object'.";
            refuse("messages", None, text)
        }
        Some("json_schema") if format["json_schema"]["name"].is_string() => {
            let allowed = ["name", "description", "schema", "strict"];
            known(&format["json_schema"], "response_format.json_schema.", &allowed)
        }
        Some("json_schema") => refuse("response_format.json_schema", None, "Missing required parameter."),
        _ => refuse("response_format.type", Some("invalid_value"), "Invalid value."),
    }
}
