//! The body of `POST /v1/chat/completions`.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::exchange::Asked;
use super::message;
use crate::chat::{
    AsWritten, CachePoints, ChatRequest, Object, ReasoningEffort, ResponseFormat, Task, Tool, ToolChoiceAsked,
    VectorForm, held_field,
};
use crate::http::{ApiError, body, whole};
use crate::provider::names;

/// More messages than this no request has, nor more texts.
pub(super) const MOST: usize = 10_000;

/// What is known of a body. Whatever else it holds is kept as `extra`.
#[derive(Deserialize)]
struct Body {
    model: Option<String>,
    messages: Option<Vec<Object<message::Wire>>>,
    #[serde(default, deserialize_with = "whole::read")]
    max_completion_tokens: Option<u32>,
    /// The older name, and Mistral's.
    #[serde(default, deserialize_with = "whole::read")]
    max_tokens: Option<u32>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    #[serde(default, deserialize_with = "whole::read")]
    n: Option<u32>,
    stop: Option<Stop>,
    #[serde(default, deserialize_with = "whole::read")]
    seed: Option<i64>,
    /// Mistral's name for it.
    #[serde(default, deserialize_with = "whole::read")]
    random_seed: Option<i64>,
    presence_penalty: Option<f64>,
    frequency_penalty: Option<f64>,
    tools: Option<Vec<Tool>>,
    tool_choice: Option<ToolChoiceAsked>,
    parallel_tool_calls: Option<bool>,
    response_format: Option<ResponseFormat>,
    reasoning_effort: Option<ReasoningEffort>,
    stream: Option<bool>,
    stream_options: Option<Object<StreamOptions>>,
    user: Option<String>,
}

/// Its fields. `user` is not one of them: it is read for the record, and passed on too.
const KNOWN: [&str; 19] = [
    "model",
    "messages",
    "max_completion_tokens",
    "max_tokens",
    "temperature",
    "top_p",
    "n",
    "stop",
    "seed",
    "random_seed",
    "presence_penalty",
    "frequency_penalty",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
    "reasoning_effort",
    "stream",
    "stream_options",
];

/// What is read of `stream_options`; it means nothing without `stream`.
#[derive(Deserialize)]
pub(super) struct StreamOptions {
    include_usage: Option<bool>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a text or a list of texts")]
pub(super) enum Stop {
    One(String),
    Several(Vec<String>),
}

impl Stop {
    /// As a list.
    pub(super) fn texts(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::Several(texts) => texts,
        }
    }
}

/// What a stream is to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pieces {
    /// A chunk of its own for the usage, behind the others.
    pub(super) include_usage: bool,
}

impl Pieces {
    /// What a body says of it; `None` where the answer is to come as a whole.
    pub(super) fn of(stream: Option<bool>, options: Option<Object<StreamOptions>>) -> Option<Self> {
        let include_usage = options.and_then(|Object(options)| options.include_usage).unwrap_or(false);
        (stream == Some(true)).then_some(Self { include_usage })
    }
}

/// The fields of a body that are not `known`, but for nulls. None may be another spelling of one that the gateway holds: who
/// reads it as that one reads what no policy saw.
pub(super) fn extra(bytes: &[u8], known: &[&str]) -> Result<BTreeMap<String, AsWritten>, ApiError> {
    let fields = body::mending(bytes, |bytes| {
        let fields: BTreeMap<String, &RawValue> = body::parse_borrowed(bytes)?;
        let others = fields.into_iter().filter(|(name, text)| !known.contains(&name.as_str()) && text.get() != "null");
        let read = others.map(|(name, text)| match serde_json::from_str(text.get()) {
            Ok(value) => Ok((name, value)),
            Err(error) => Err(body::in_field(&name, &error)),
        });
        read.collect::<Result<BTreeMap<_, AsWritten>, _>>()
    })?;
    let misspelt = fields.keys().find_map(|name| held_field(name).filter(|held| *held != name.as_str()));
    match misspelt {
        Some(held) => {
            Err(ApiError::field(held, "there is a field of this name in other letters; write it as it is here"))
        }
        None => Ok(fields),
    }
}

/// The model that a body names.
pub(super) fn model(named: Option<String>) -> Result<Option<String>, ApiError> {
    match named {
        Some(model) => Ok(crate::http::identity::checked("model", &model)?.map(str::to_owned)),
        None => Ok(None),
    }
}

/// Reads a body. Errors name the field.
pub(super) fn parse(bytes: &Bytes) -> Result<Asked, ApiError> {
    let read: Body = body::parse(bytes)?;
    let stream = Pieces::of(read.stream, read.stream_options);
    let messages = read.messages.filter(|messages| !messages.is_empty()).ok_or(ApiError::Required("messages"))?;
    if messages.len() > MOST {
        return Err(ApiError::field("messages", format!("{} messages, at most {MOST} are taken", messages.len())));
    }
    let mut cache = CachePoints::default();
    let mut names = BTreeMap::new();
    let messages: Result<_, _> = messages
        .into_iter()
        .enumerate()
        .map(|(index, Object(wire))| {
            let read = wire.read(&format!("messages[{index}]"))?;
            cache.add(index, read.cache);
            names.extend(read.name.map(|name| (index, name)));
            Ok::<_, ApiError>(read.message)
        })
        .collect();
    let mut chat = ChatRequest {
        tenant: String::new(),
        task: Task::Chat,
        model: model(read.model)?,
        messages: messages?,
        cache,
        names,
        max_tokens: read.max_completion_tokens.or(read.max_tokens),
        temperature: read.temperature,
        top_p: read.top_p,
        n: read.n,
        stop: read.stop.map(Stop::texts).unwrap_or_default(),
        seed: read.seed.or(read.random_seed),
        presence_penalty: read.presence_penalty,
        frequency_penalty: read.frequency_penalty,
        tools: read.tools.unwrap_or_default(),
        tool_choice: None,
        parallel_tool_calls: read.parallel_tool_calls,
        response_format: read.response_format,
        lengths: Vec::new(),
        vectors: VectorForm::default(),
        reasoning_effort: read.reasoning_effort,
        extra: extra(bytes, &KNOWN)?,
    };
    answerable(&chat.extra)?;
    if let Some(index) = chat.tools.iter().position(|tool| !names::is_call(&tool.name)) {
        // A call of it would be left out of the answer.
        return Err(ApiError::field(format!("tools[{index}].function.name"), names::EXPECTED));
    }
    if read.tool_choice.is_some_and(|asked| !chat.choose(asked)) {
        return Err(ApiError::field("tool_choice", "names a function that is not among `tools`"));
    }
    Ok(Asked { chat, user: read.user, stream })
}

/// Refuses what asks for an answer that would not be passed on, or would miss what is told in an older form.
fn answerable(extra: &BTreeMap<String, AsWritten>) -> Result<(), ApiError> {
    let value = |name: &str| extra.get(name).map(|value| &**value);
    let asks = |name: &str| match value(name) {
        None | Some(Value::Bool(false)) => false,
        Some(Value::Number(number)) => number.as_f64() != Some(0.0),
        Some(Value::Array(list)) => !list.is_empty(),
        Some(Value::String(word)) => word != "none",
        Some(_) => true,
    };
    for (name, problem) in [
        ("functions", "the older form is not taken; use `tools`"),
        ("function_call", "the older form is not taken; use `tool_choice`"),
        ("logprobs", "this gateway passes none on: no policy could judge them"),
        ("top_logprobs", "this gateway passes none on: no policy could judge them"),
        ("audio", "this gateway passes none on: no policy could judge it"),
    ] {
        if asks(name) {
            return Err(ApiError::field(name, problem));
        }
    }
    let is_text = |modality: &Value| modality == "text";
    match value("modalities") {
        Some(Value::Array(modalities)) if !modalities.iter().all(is_text) => {
            Err(ApiError::field("modalities", "answers are text here: no policy could judge others"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
