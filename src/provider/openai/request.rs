//! A canonical request as OpenAI's body. Pure: no I/O, no clock. What the caller did not ask for is not there; what has
//! no place in the canonical request is passed on as it came.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::parameters::Parameters;
use crate::chat::{
    AsWritten, Called, ChatRequest, Detail, ExtraContent, Message, Part, ResponseFormat, Role, Task, held_field,
};
use crate::provider::request::{json_prompt, left_out};
use crate::provider::tools::arguments::{self, WRAPPED};
use crate::provider::tools::tool_ids::{REPLACED, ToolIds};
use crate::provider::tools::tool_name::ToolNames;
use crate::provider::upstream::http::{self, Prepared};
use crate::provider::{ErrorKind, Kind, ProviderError};

/// Fields of Mistral's and others', which OpenAI and Azure refuse.
const OTHERS: [&str; 10] = [
    "safe_prompt",
    "prompt_mode",
    "guardrails",
    "min_tokens",
    "document_image_limit",
    "document_page_limit",
    "top_k",
    "repetition_penalty",
    "prompt_logprobs",
    "top_prompt_logprobs",
];

/// The longest id of a tool call that OpenAI and Azure take.
const LONGEST_ID: usize = 40;

/// What the provider decides about a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options<'a> {
    /// Whose form of the dialect.
    pub(crate) kind: Kind,
    /// The model that it goes to.
    pub(crate) model: &'a str,
    /// The name that tells what that model takes.
    pub(crate) known_as: &'a str,
    /// The version of Azure's API.
    pub(crate) azure_version: Option<&'a str>,
    /// The operator's bound for requests that have none themselves.
    pub(crate) max_tokens: Option<u32>,
    /// The name of the bound.
    pub(crate) bound: Bound,
    /// Whether the answer is to come piece by piece, and then whether with its usage.
    pub(crate) stream: Option<StreamUsage>,
    /// What becomes of reasoning in the history.
    pub(crate) thinking: Thinking,
    /// What becomes of Google's signatures in the history.
    pub(crate) signatures: Signatures,
    /// What becomes of a `reasoning_effort`.
    pub(crate) effort: Effort,
}

/// What becomes of a `reasoning_effort`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// It is sent as far as the model is known to take it.
    Sent,
    /// It is left out: the model has refused it.
    Refused,
}

/// What becomes of the signatures that Google's models gave with calls in a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signatures {
    /// They go back beside their calls: Google's own OpenAI surface refuses a history whose calls have lost them.
    Replay,
    /// They are left out: others refuse the field.
    Drop,
}

/// What becomes of reasoning in a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Thinking {
    /// It goes back beside tool calls: DeepSeek and Kimi refuse a history whose calls have lost it.
    Replay,
    /// It is left out: OpenAI refuses the field.
    Drop,
}

/// Whether a stream is asked to count its tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamUsage {
    /// By `stream_options`.
    Asked,
    /// The upstream does not know how.
    Unasked,
}

/// What the bound on an answer's tokens is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    /// `max_tokens`.
    Tokens,
    /// `max_completion_tokens`.
    CompletionTokens,
}

#[derive(Serialize)]
struct Body<'a> {
    /// None for Azure, where the path says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    messages: Vec<Wire<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<&'a ResponseFormat>,
    #[serde(flatten)]
    parameters: Parameters<'a>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
    #[serde(flatten)]
    extra: Fields<'a>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
struct Wire<'a> {
    role: Role,
    content: Content<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
}

impl<'a> Wire<'a> {
    /// A message of one text.
    fn text(role: Role, text: &'a str) -> Self {
        let content = Content::Text(text);
        Self { role, content, reasoning_content: None, name: None, tool_calls: Vec::new(), tool_call_id: None }
    }
}

#[derive(Serialize)]
struct Call<'a> {
    #[serde(flatten)]
    called: Called<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra_content: Option<ExtraContent>,
}

enum Content<'a> {
    /// An assistant's message of tool calls alone.
    None,
    Text(&'a str),
    Parts(Vec<WirePart<'a>>),
}

impl Serialize for Content<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => serializer.serialize_none(),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Parts(parts) => parts.serialize(serializer),
        }
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum WirePart<'a> {
    Text { text: &'a str },
    ImageUrl { image_url: ImageUrl<'a> },
}

#[derive(Serialize)]
struct ImageUrl<'a> {
    url: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<Detail>,
}

/// The body of `POST /v1/chat/completions`.
pub(crate) fn prepare(request: &ChatRequest, options: Options<'_>) -> Result<Prepared, ProviderError> {
    let strict = is_openais(options.kind);
    // Ollama reads arguments, and refuses what is no object.
    let (history, wrapped) = match options.kind {
        Kind::Ollama => arguments::wrapped(&request.messages),
        _ => (Cow::Borrowed(request.messages.as_slice()), 0),
    };
    let (history, renamed) = if strict {
        ToolNames::Common.check(&request.tools)?;
        ToolNames::Common.renamed(history)
    } else {
        (history, None)
    };
    let ids = if strict { ToolIds::of(&history, |id| id.len() <= LONGEST_ID) } else { ToolIds::default() };
    let mut dropped = Dropped { ids: ids.replaced(), wrapped, ..Dropped::default() };
    let mut messages = Vec::with_capacity(history.len());
    for (index, message) in history.iter().enumerate() {
        let name = request.names.get(&index).map(String::as_str);
        push(message, name, &ids, options, &mut messages, &mut dropped)?;
    }
    let mut notes = dropped.notes();
    notes.extend(renamed);
    // OpenAI refuses JSON mode where no message has the word.
    if request.response_format == Some(ResponseFormat::JsonObject) && !json_prompt::is_said(&request.messages) {
        let behind_system = messages.iter().take_while(|message| message.role == Role::System).count();
        messages.insert(behind_system, Wire::text(Role::System, json_prompt::ASK));
        notes.push(json_prompt::asked(Role::System));
    }
    let max_tokens = request.max_tokens.or(options.max_tokens);
    let mut parameters = Parameters::of(request);
    let unknown = parameters.for_server(options);
    let (mut extra, foreign) = extra(request, options.kind);
    notes.extend(left_out::note(foreign.into_keys().chain(unknown).chain(left_out::cache_control(request))));
    parameters.for_model(options, &mut extra, &mut notes);
    let body = Body {
        stream: options.stream.is_some(),
        stream_options: (options.stream == Some(StreamUsage::Asked)).then_some(StreamOptions { include_usage: true }),
        model: (options.kind != Kind::AzureOpenAi).then_some(options.model),
        messages,
        max_tokens: max_tokens.filter(|_| options.bound == Bound::Tokens),
        max_completion_tokens: max_tokens.filter(|_| options.bound == Bound::CompletionTokens),
        seed: request.seed,
        response_format: request.response_format.as_ref(),
        parameters,
        extra,
    };
    let body = http::json(&body)?;
    Ok(Prepared { body, notes })
}

/// Whether it is OpenAI's own server, or Azure's, whose rules are known. Others have theirs, or none.
fn is_openais(kind: Kind) -> bool {
    matches!(kind, Kind::OpenAi | Kind::AzureOpenAi)
}

/// Fields of the caller's.
pub(super) type Fields<'a> = BTreeMap<&'a str, &'a AsWritten>;

/// Those that are passed on to a provider of this kind, and those that are not: none that is read as one that the body
/// has.
pub(super) fn extra(request: &ChatRequest, kind: Kind) -> (Fields<'_>, Fields<'_>) {
    let strict = is_openais(kind);
    // A word of Anthropic's.
    let tier = |name: &str, value: &Value| name == "service_tier" && value.as_str() == Some("standard_only");
    let others = |name: &str| OTHERS.contains(&name) || name == "metadata" && request.task != Task::Chat;
    let foreign = |name: &str, value: &Value| others(name) || tier(name, value);
    let taken = |name: &str, value: &Value| !(held_field(name).is_some() || strict && foreign(name, value));
    request.extra.iter().map(|(name, value)| (name.as_str(), value)).partition(|(name, value)| taken(name, value))
}

/// Puts one canonical message into the wire's form: each tool's answer is a message of its own there.
fn push<'a>(
    message: &'a Message,
    name: Option<&'a str>,
    ids: &'a ToolIds<'a>,
    Options { kind, thinking, signatures, .. }: Options<'_>,
    out: &mut Vec<Wire<'a>>,
    dropped: &mut Dropped,
) -> Result<(), ProviderError> {
    let assistant = message.role == Role::Assistant;
    let mut parts = Vec::new();
    let mut tool_calls = Vec::new();
    let mut results = 0_usize;
    let mut thoughts = Vec::new();
    for part in &message.parts {
        match part {
            Part::Text { text } | Part::Refusal { text } => parts.push(WirePart::Text { text }),
            Part::Image { url, .. } if kind == Kind::Ollama && !url.starts_with("data:") => {
                let message = "this provider takes images as `data:` only; the gateway fetches none";
                return Err(ProviderError::new(ErrorKind::Unsupported, message));
            }
            Part::Image { url, detail } => {
                parts.push(WirePart::ImageUrl { image_url: ImageUrl { url, detail: *detail } });
            }
            // What is sealed and empty is encrypted.
            Part::Thinking { text, seal } if assistant && !(text.is_empty() && seal.is_some()) => {
                thoughts.push(text.as_str());
            }
            Part::Thinking { .. } => dropped.thinking += 1,
            Part::Reference { .. } => dropped.citations += 1,
            Part::ToolCall { id, name, arguments, seal } if assistant => {
                let arguments = if arguments.trim().is_empty() { "{}" } else { arguments };
                let called = Called::new(ids.get(id), name, arguments);
                let seal = seal.as_ref().filter(|_| signatures == Signatures::Replay);
                tool_calls.push(Call { called, extra_content: ExtraContent::of(seal) });
            }
            Part::ToolCall { .. } => dropped.calls += 1,
            Part::ToolResult { id, text, .. } => {
                results += 1;
                out.push(Wire { tool_call_id: Some(ids.get(id)), ..Wire::text(Role::Tool, text) });
            }
        }
    }
    let replays = thinking == Thinking::Replay && !tool_calls.is_empty() && !thoughts.is_empty();
    dropped.thinking += if replays { 0 } else { thoughts.len() };
    if results > 0 && parts.is_empty() && tool_calls.is_empty() {
        return Ok(());
    }
    let content = match parts.as_slice() {
        [] if !tool_calls.is_empty() => Content::None,
        [] => Content::Text(""),
        [WirePart::Text { text }] => Content::Text(text),
        _ => Content::Parts(parts),
    };
    let reasoning_content = replays.then(|| thoughts.concat());
    out.push(Wire { role: message.role, content, reasoning_content, name, tool_calls, tool_call_id: None });
    Ok(())
}

/// What has no place in this dialect, or not as it is.
#[derive(Default)]
struct Dropped {
    ids: usize,
    wrapped: usize,
    thinking: usize,
    citations: usize,
    calls: usize,
}

impl Dropped {
    fn notes(&self) -> Vec<String> {
        [
            (self.ids, REPLACED),
            (self.wrapped, WRAPPED),
            (self.thinking, "reasoning parts left out, which this dialect does not take"),
            (self.citations, "citations left out, which this dialect does not have"),
            (self.calls, "tool calls left out, which stood in a message not the assistant's"),
        ]
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect()
    }
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
