//! What the double answers: the same to the same request, ids apart.

mod events;
mod sample;
mod stream;
mod usage;
mod whole;

use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

use double::array;
use serde_json::{Value, json};

use crate::behaviour::{EmptyContent, ScriptedAnswer, ToolCall, UsageForm};
use crate::conversation::{self, messages, role};
use crate::refusal::request_id;
use crate::route::Endpoint;
use crate::tokens;
use usage::Usage;

pub(crate) use stream::steps;
pub(crate) use whole::bytes;

/// How much of the question is echoed, in characters.
const ECHO: usize = 200;

/// An answer of chat or fill-in-the-middle, before it is written whole or as a stream.
#[derive(Debug)]
pub(crate) struct Reply {
    id: String,
    created: u64,
    /// The alias that was asked for, never resolved.
    model: String,
    /// How many equal choices.
    choices: usize,
    thinking: Option<String>,
    content: Content,
    tool_calls: Vec<ToolCall>,
    finish_reason: Cow<'static, str>,
    usage: Option<Usage>,
    /// Present when guardrails were asked for.
    guardrails: Option<Vec<Value>>,
    total_tokens: u64,
}

#[derive(Debug)]
enum Content {
    Text(String),
    Parts(Vec<Value>),
    Empty(EmptyContent),
}

impl Reply {
    /// What this answer takes from the minute's tokens.
    pub(crate) fn total_tokens(&self) -> u64 {
        self.total_tokens
    }
}

/// Composes the answer to an accepted request.
pub(crate) fn reply(endpoint: Endpoint, body: &Value, script: ScriptedAnswer) -> Reply {
    let choices = usize::try_from(body["n"].as_u64().unwrap_or(1)).unwrap_or(1);
    let prompt_tokens = match endpoint {
        Endpoint::Fim => fim_tokens(body),
        _ => conversation::prompt_tokens(body),
    };
    let says_nothing = script.text.is_none() && script.parts.is_none();
    let mut tool_calls = script.tool_calls;
    if tool_calls.is_empty() && says_nothing {
        tool_calls.extend(forced_call(body));
    }
    let thinking = script.thinking.or_else(|| thinks(body).then(|| thought(body)));
    let mut finish_reason = Cow::Borrowed(if tool_calls.is_empty() { "stop" } else { "tool_calls" });
    let content = match (script.parts, script.text) {
        (Some(parts), _) => Content::Parts(parts),
        (None, None) if !tool_calls.is_empty() => Content::Empty(script.empty),
        (None, text) => {
            let mut text = text.unwrap_or_else(|| own_text(endpoint, body));
            if let Some(cut) = cut_by_stop(&text, &body["stop"]) {
                text.truncate(cut);
            }
            if let Some(cut) = cut_by_length(&text, body["max_tokens"].as_u64()) {
                text.truncate(cut);
                finish_reason = Cow::Borrowed("length");
            }
            Content::Text(text)
        }
    };
    if let Some(reason) = script.finish_reason {
        finish_reason = Cow::Owned(reason);
    }
    let one = content_tokens(&content)
        + thinking.as_deref().map_or(0, tokens::count)
        + tool_calls.iter().map(call_tokens).sum::<u64>();
    let completion_tokens = one * choices as u64;
    let cached = script.cached_tokens.unwrap_or_else(|| cached_tokens(body, prompt_tokens));
    let tier = script.service_tier.map_or(Cow::Borrowed("standard"), Cow::Owned);
    let usage = (script.usage != UsageForm::Absent)
        .then(|| Usage::new(script.usage, prompt_tokens, completion_tokens, cached, tier));
    Reply {
        id: request_id(),
        created: now(),
        model: body["model"].as_str().unwrap_or_default().to_owned(),
        choices,
        thinking,
        content,
        tool_calls,
        finish_reason,
        usage,
        guardrails: (!body["guardrails"].is_null()).then(Vec::new),
        total_tokens: prompt_tokens + completion_tokens,
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn fim_tokens(body: &Value) -> u64 {
    tokens::count(body["prompt"].as_str().unwrap_or_default())
        + tokens::count(body["suffix"].as_str().unwrap_or_default())
}

/// Whole blocks of 64, when the request names a cache key: a cache that always hits.
fn cached_tokens(body: &Value, prompt_tokens: u64) -> u64 {
    if body["prompt_cache_key"].is_string() { prompt_tokens / 64 * 64 } else { 0 }
}

fn content_tokens(content: &Content) -> u64 {
    match content {
        Content::Text(text) => tokens::count(text),
        Content::Parts(parts) => {
            parts.iter().map(|part| tokens::count(part["text"].as_str().unwrap_or_default())).sum()
        }
        Content::Empty(_) => 0,
    }
}

fn call_tokens(call: &ToolCall) -> u64 {
    tokens::count(&call.name) + tokens::count(&call.arguments.to_string())
}

/// The call that `tool_choice` forces, with arguments that fit the function's parameters.
fn forced_call(body: &Value) -> Option<ToolCall> {
    let tools = array(&body["tools"]);
    let function = match &body["tool_choice"] {
        Value::String(choice) if choice == "any" || choice == "required" => {
            tools.iter().map(|tool| &tool["function"]).find(|function| function.is_object())?
        }
        Value::Object(choice) => {
            let wanted = &choice.get("function")?["name"];
            tools.iter().map(|tool| &tool["function"]).find(|function| &function["name"] == wanted)?
        }
        _ => return None,
    };
    Some(ToolCall::new(function["name"].as_str()?, &sample::of(&function["parameters"])))
}

fn thinks(body: &Value) -> bool {
    body["reasoning_effort"].as_str().is_some_and(|effort| effort != "none") || body["prompt_mode"] == "reasoning"
}

fn thought(body: &Value) -> String {
    format!("The user asked: {}. I am an offline double, so I repeat it.", shortened(&question(body)))
}

/// The answer that nobody scripted.
fn own_text(endpoint: Endpoint, body: &Value) -> String {
    if endpoint == Endpoint::Fim {
        let prompt = body["prompt"].as_str().unwrap_or_default();
        return format!("/* Offline double of Mistral: continues after {:?} */", shortened(prompt.trim_end()));
    }
    let format = &body["response_format"];
    match format["type"].as_str() {
        Some("json_schema") => sample::of(&format["json_schema"]["schema"]).to_string(),
        Some("json_object") => {
            json!({ "offline_double_of": "Mistral", "you_asked": shortened(&question(body)) }).to_string()
        }
        _ => echo(body),
    }
}

fn echo(body: &Value) -> String {
    let last = messages(body).last();
    match last.map(role) {
        // The reply to a prefix starts with the prefix itself.
        Some("assistant") => {
            let prefix = last.map(conversation::text).unwrap_or_default();
            format!("{prefix} (offline double of Mistral, you asked: {})", shortened(&question(body)))
        }
        Some("tool") => {
            let result = last.map(conversation::text).unwrap_or_default();
            format!("Offline double of Mistral: the tool answered: {}", shortened(&result))
        }
        _ => format!("Offline double of Mistral: you asked: {}", shortened(&question(body))),
    }
}

/// The text of the last user message.
fn question(body: &Value) -> Cow<'_, str> {
    messages(body).iter().rev().find(|message| role(message) == "user").map(conversation::text).unwrap_or_default()
}

fn shortened(text: &str) -> &str {
    text.char_indices().nth(ECHO).map_or(text, |(end, _)| &text[..end])
}

/// Where the first stop text begins; it is not in the output.
fn cut_by_stop(text: &str, stop: &Value) -> Option<usize> {
    let stops = match stop {
        Value::Array(stops) => stops.as_slice(),
        Value::String(_) => std::slice::from_ref(stop),
        _ => return None,
    };
    stops.iter().filter_map(Value::as_str).filter(|stop| !stop.is_empty()).filter_map(|stop| text.find(stop)).min()
}

fn cut_by_length(text: &str, most: Option<u64>) -> Option<usize> {
    let most = usize::try_from(most?).ok()?;
    let end = tokens::pieces(text).take(most).map(str::len).sum();
    (end < text.len()).then_some(end)
}
