//! Whether Gemini would take a request.

use double::{ReceivedRequest, Refusal, array, outside, unknown_field};
use serde_json::{Value, json};

use crate::{KEY, SIGNATURE};

/// The models that there are: one that is told to think by a budget, and one by a level.
pub const MODELS: [&str; 2] = ["gemini-2.5-flash-lite", "gemini-3.5-flash-lite"];

/// What Google's documentation gives for calls that come from elsewhere.
const NO_SIGNATURE: &str = "skip_thought_signature_validator";

/// What newer models say of an answer at the end, and of text or images beside a tool's answer, which they take for one.
const MODEL_TURN: &str = "Requests ending with a model turn are not supported.";

type Checked = Result<(), Refusal>;

const BODY: &[&str] = &["contents", "systemInstruction", "tools", "toolConfig", "generationConfig", "safetySettings"];

#[rustfmt::skip]
const CONFIG: &[&str] = &[
    "maxOutputTokens", "temperature", "topP", "topK", "candidateCount", "seed", "stopSequences", "thinkingConfig",
    "responseMimeType", "responseJsonSchema",
];

/// Google's error object.
pub(crate) fn error(code: u16, status: &str, message: &str) -> Value {
    json!({ "error": { "code": code, "message": message, "status": status } })
}

fn refuse<T>(message: &str) -> Result<T, Refusal> {
    Err(Refusal { status: 400, body: error(400, "INVALID_ARGUMENT", message) })
}

pub(crate) fn not_json() -> Refusal {
    Refusal { status: 400, body: error(400, "INVALID_ARGUMENT", "Invalid JSON payload received.") }
}

pub(crate) fn no_route(method: &str, path: &str) -> Refusal {
    Refusal { status: 404, body: error(404, "NOT_FOUND", &format!("No such route: {method} {path}")) }
}

/// Checks the key.
pub(crate) fn key(request: &ReceivedRequest) -> Checked {
    if request.header("x-goog-api-key") == Some(KEY) {
        return Ok(());
    }
    let mut body = error(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.");
    body["error"]["details"] =
        json!([{ "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID" }]);
    Err(Refusal { status: 400, body })
}

/// The model that the path names.
pub(crate) fn model(path: &str) -> Result<&'static str, Refusal> {
    let named = path
        .strip_prefix("/v1beta/models/")
        .and_then(|rest| rest.strip_suffix(":generateContent").or_else(|| rest.strip_suffix(":streamGenerateContent")));
    MODELS.into_iter().find(|model| Some(*model) == named).ok_or_else(|| {
        let message = format!("models/{} is not found for API version v1beta", named.unwrap_or_default());
        Refusal { status: 404, body: error(404, "NOT_FOUND", &message) }
    })
}

/// Checks the body of a request to a model.
pub(crate) fn content(body: &Value, model: &str) -> Checked {
    known(body, "", BODY)?;
    known(&body["systemInstruction"], "system_instruction.", &["parts", "role"])?;
    let newer = model.starts_with("gemini-3");
    tools(body)?;
    config(body, newer)?;
    turns(body, newer)
}

/// Checks that an object, where there is one, has these fields only.
fn known(value: &Value, place: &str, allowed: &[&str]) -> Checked {
    match unknown_field(value, allowed) {
        Some(name) => {
            let place = place.trim_end_matches('.');
            refuse(&format!("Invalid JSON payload received. Unknown name \"{name}\" at '{place}': Cannot find field."))
        }
        None => Ok(()),
    }
}

fn config(body: &Value, newer: bool) -> Checked {
    let config = &body["generationConfig"];
    known(config, "generation_config.", CONFIG)?;
    for (name, from, to) in [("temperature", 0.0, 2.0), ("topP", 0.0, 1.0), ("candidateCount", 1.0, 8.0)] {
        if outside(&config[name], from..=to) {
            return refuse(&format!("Unable to submit request because {name} must be from {from} to {to}."));
        }
    }
    if newer && config["candidateCount"].as_u64().is_some_and(|count| count > 1) {
        return refuse("Multiple candidates is not enabled for this model");
    }
    if !config["seed"].is_null() && config["seed"].as_i64().is_none_or(|seed| i32::try_from(seed).is_err()) {
        return refuse("Invalid value at 'generation_config.seed' (TYPE_INT32)");
    }
    if array(&config["stopSequences"]).len() > 5 {
        return refuse("The number of stop sequences must be at most 5.");
    }
    let thinking = &config["thinkingConfig"];
    known(thinking, "generation_config.thinking_config.", &["thinkingBudget", "thinkingLevel", "includeThoughts"])?;
    if !thinking["thinkingLevel"].is_null() && !newer {
        return refuse("Thinking level is not supported for this model.");
    }
    // Those of the one model here that takes a level.
    if !matches!(thinking["thinkingLevel"].as_str(), None | Some("minimal" | "low" | "medium" | "high")) {
        return refuse("Invalid value at 'generation_config.thinking_config.thinking_level'");
    }
    if !thinking["thinkingBudget"].is_null() && !thinking["thinkingLevel"].is_null() {
        return refuse("You can only set only one of thinking budget and thinking level.");
    }
    let json = config["responseMimeType"] == "application/json";
    if !config["responseJsonSchema"].is_null() && !json {
        return refuse("responseJsonSchema requires responseMimeType application/json.");
    }
    if json && !newer && !body["tools"].is_null() {
        return refuse("Function calling with a response mime type: 'application/json' is unsupported");
    }
    Ok(())
}

fn is_function_name(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b':' | b'-');
    let begins = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    begins && name.len() <= 64 && name.bytes().all(legal)
}

fn tools(body: &Value) -> Checked {
    let mut names = Vec::new();
    for tool in array(&body["tools"]) {
        known(tool, "tools.", &["functionDeclarations"])?;
        for function in array(&tool["functionDeclarations"]) {
            let place = "tools.function_declarations.";
            known(function, place, &["name", "description", "parameters", "parametersJsonSchema"])?;
            let name = function["name"].as_str().unwrap_or_default();
            if !is_function_name(name) {
                return refuse(
                    "Invalid function name. Must start with a letter or an underscore. Must be alphanumeric (a-z, A-Z, \
                     0-9), underscores (_), dots (.), colons (:), or dashes (-), with a maximum length of 64.",
                );
            }
            if function["parametersJsonSchema"].get("$schema").is_some() {
                return refuse("Unknown name \"$schema\" at 'parameters_json_schema'");
            }
            names.push(name);
        }
    }
    let calling = &body["toolConfig"]["functionCallingConfig"];
    known(&body["toolConfig"], "tool_config.", &["functionCallingConfig"])?;
    known(calling, "tool_config.function_calling_config.", &["mode", "allowedFunctionNames"])?;
    let allowed = calling["allowedFunctionNames"].as_array();
    if allowed.is_some_and(|allowed| allowed.iter().any(|name| !names.iter().any(|known| name == known))) {
        return refuse("allowed_function_names should be a subset of the function declarations.");
    }
    match calling["mode"].as_str() {
        None if calling.is_null() => Ok(()),
        Some("AUTO" | "NONE") if allowed.is_none() => Ok(()),
        Some("ANY") => Ok(()),
        _ => refuse("Invalid value at 'tool_config.function_calling_config.mode'"),
    }
}

fn turns(body: &Value, newer: bool) -> Checked {
    let turns = array(&body["contents"]);
    if turns.is_empty() {
        return refuse("* GenerateContentRequest.contents: contents is not specified");
    }
    let mut calls: Vec<&Value> = Vec::new();
    for turn in turns {
        known(turn, "contents.", &["role", "parts"])?;
        let parts = array(&turn["parts"]);
        if parts.is_empty() || !matches!(turn["role"].as_str(), Some("user" | "model")) {
            return refuse("Please use a valid role: user, model. A content needs parts.");
        }
        let answers: Vec<&Value> = named(parts, "functionResponse");
        if answers != calls {
            return refuse(
                "Please ensure that the number of function response parts is equal to the number of function call parts \
                 of the function call turn.",
            );
        }
        if newer && !answers.is_empty() && answers.len() < parts.len() {
            return refuse(MODEL_TURN);
        }
        calls = named(parts, "functionCall");
        let first = parts.iter().find(|part| part.get("functionCall").is_some());
        if newer && first.is_some_and(|part| !part["thoughtSignature"].is_string()) {
            return refuse("Function call is missing a thought_signature in functionCall parts.");
        }
        let signed = parts.iter().filter_map(|part| part["thoughtSignature"].as_str());
        if signed.into_iter().any(|signature| ![SIGNATURE, NO_SIGNATURE].contains(&signature)) {
            return refuse("Thought signature is not valid.");
        }
        parts.iter().try_for_each(|part| check_part(part, turn["role"] == "model"))?;
    }
    if newer && turns.last().is_some_and(|last| last["role"] == "model") {
        return refuse(MODEL_TURN);
    }
    Ok(())
}

/// The names of the calls, or of the answers.
fn named<'a>(parts: &'a [Value], kind: &str) -> Vec<&'a Value> {
    parts.iter().filter_map(|part| part.get(kind)).map(|it| &it["name"]).collect()
}

fn check_part(part: &Value, by_model: bool) -> Checked {
    let place = "contents.parts.";
    let fields = part.as_object().into_iter().flat_map(|fields| fields.keys().map(String::as_str));
    let data: Vec<&str> = fields.filter(|name| *name != "thoughtSignature").collect();
    match data.as_slice() {
        ["text"] if part["text"].as_str().is_some_and(|text| !text.is_empty()) => Ok(()),
        ["inlineData"] if part["inlineData"]["data"].is_string() => {
            known(&part["inlineData"], place, &["mimeType", "data"])?;
            match part["inlineData"]["mimeType"].as_str() {
                None | Some("") => refuse("Unable to submit request because it must have a mimeType."),
                Some(_) => Ok(()),
            }
        }
        ["functionCall"] if by_model && part["functionCall"]["args"].is_object() => {
            known(&part["functionCall"], place, &["id", "name", "args"])
        }
        ["functionResponse"] if !by_model && part["functionResponse"]["response"].is_object() => {
            known(&part["functionResponse"], place, &["id", "name", "response"])
        }
        _ => refuse("required oneof field 'data' must have one initialized field"),
    }
}
