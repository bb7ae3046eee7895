//! A canonical request as Mistral's body. Pure: no I/O, no clock.
//!
//! The body is built from the fields that Mistral's schema has; nothing is passed through, since one unknown field is a
//! refusal of the whole request. What the caller did not ask for is not there. Messages are repaired where Mistral is
//! stricter than others are (the numbers are those of the table of quirks in the documentation of the provider), and
//! each repair leaves a note.

use serde::Serialize;

use super::parameters::{self, Parameters};
use super::tool_id::ToolIds;
use crate::chat::{Called, ChatRequest, Message, Part, ResponseFormat, Role};
use crate::provider::{ErrorKind, ProviderError, http};

/// What the provider decides about a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options<'a> {
    /// The model that it goes to.
    pub(crate) model: &'a str,
    /// The operator's bound for requests that have none themselves.
    pub(crate) max_tokens: Option<u32>,
    /// Whether the answer is to come piece by piece. Usage comes with it unasked; `stream_options` is refused (Q1).
    pub(crate) stream: bool,
}

/// A body, ready to be sent.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) body: Vec<u8>,
    pub(crate) notes: Vec<String>,
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Wire<'a>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream: bool,
    #[serde(flatten)]
    parameters: Parameters<'a>,
}

/// One message. `prefix` is legal on the last, `tool_call_id` and `name` on those of tools only (Q5, Q19).
#[derive(Serialize)]
struct Wire<'a> {
    role: &'static str,
    content: Content<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Called<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prefix: Option<bool>,
}

impl<'a> Wire<'a> {
    fn text(role: &'static str, text: &'a str) -> Self {
        let content = Content::Text(text);
        Self { role, content, tool_calls: Vec::new(), tool_call_id: None, name: None, prefix: None }
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Text(&'a str),
    Chunks(Vec<Chunk<'a>>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Chunk<'a> {
    Text {
        text: &'a str,
    },
    /// The object form is the one that everybody takes (Q22).
    ImageUrl {
        image_url: Url<'a>,
    },
    Thinking {
        thinking: [Thought<'a>; 1],
        closed: bool,
    },
}

#[derive(Serialize)]
struct Url<'a> {
    url: &'a str,
}

#[derive(Serialize)]
struct Thought<'a> {
    r#type: &'static str,
    text: &'a str,
}

/// The body of `POST /v1/chat/completions`.
pub(crate) fn prepare(request: &ChatRequest, options: Options<'_>) -> Result<Prepared, ProviderError> {
    let model = options.model;
    let ids = ToolIds::of(&request.messages);
    let mut repairs = Repairs { replaced_ids: ids.replaced(), ..Repairs::default() };
    let reasons = reasons(model);
    let thinking = if reasons { Thinking::Replay } else { Thinking::Drop };

    let mut messages = Vec::with_capacity(request.messages.len());
    for message in &request.messages {
        push(message, &ids, thinking, &mut messages, &mut repairs);
    }
    continue_trailing_answer(&mut messages, &mut repairs);
    if messages.is_empty() {
        return Err(ProviderError::new(ErrorKind::InvalidRequest, "no message is left to send"));
    }

    ask_for_json(request, &mut messages, &mut repairs);
    let mut notes = repairs.notes();
    let mut parameters = parameters::of(request, reasons, &mut notes)?;
    parameters.max_tokens = parameters.max_tokens.or(options.max_tokens);
    let body = Body { model, messages, stream: options.stream, parameters };
    let body = http::json(&body)?;
    Ok(Prepared { body, notes })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Thinking {
    Replay,
    Drop,
}

/// Puts one canonical message into the wire's form: each tool's answer is a message of its own there.
fn push<'a>(
    message: &'a Message,
    ids: &'a ToolIds<'a>,
    thinking: Thinking,
    out: &mut Vec<Wire<'a>>,
    repairs: &mut Repairs,
) {
    let assistant = message.role == Role::Assistant;
    let mut chunks = Vec::new();
    let mut tool_calls = Vec::new();
    let mut results = 0_usize;
    for part in &message.parts {
        match part {
            Part::Text { text } => chunks.push(Chunk::Text { text }),
            Part::Image { url } => chunks.push(Chunk::ImageUrl { image_url: Url { url } }),
            Part::Thinking { text } if assistant && thinking == Thinking::Replay => {
                chunks.push(Chunk::Thinking { thinking: [Thought { r#type: "text", text }], closed: true });
            }
            Part::Thinking { .. } => repairs.dropped_thinking += 1,
            Part::ToolCall { id, name, arguments } if assistant => {
                let arguments = if arguments.trim().is_empty() { "{}" } else { arguments };
                tool_calls.push(Called::new(ids.get(id), name, arguments));
            }
            Part::ToolCall { .. } => repairs.misplaced_calls += 1,
            Part::ToolResult { id, name, text } => {
                results += 1;
                out.push(Wire { tool_call_id: Some(ids.get(id)), name: name.as_deref(), ..Wire::text("tool", text) });
            }
        }
    }
    if results > 0 && chunks.is_empty() && tool_calls.is_empty() {
        return;
    }
    let content = content(chunks);
    if assistant && tool_calls.is_empty() && content.is_blank() {
        repairs.dropped_assistants += 1;
        return;
    }
    let role = match message.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    };
    out.push(Wire { role, content, tool_calls, tool_call_id: None, name: None, prefix: None });
}

/// One text is sent as a plain string, which every model and deployment takes.
fn content(chunks: Vec<Chunk<'_>>) -> Content<'_> {
    match chunks.as_slice() {
        [] => Content::Text(""),
        [Chunk::Text { text }] => Content::Text(text),
        _ => Content::Chunks(chunks),
    }
}

impl Content<'_> {
    /// Nothing that Mistral would count as an answer (Q7).
    fn is_blank(&self) -> bool {
        match self {
            Self::Text(text) => text.is_empty(),
            Self::Chunks(chunks) => chunks.iter().all(|chunk| matches!(chunk, Chunk::Text { text: "" })),
        }
    }
}

/// A conversation may end with an answer only if that is to be continued (Q5).
fn continue_trailing_answer(messages: &mut [Wire<'_>], repairs: &mut Repairs) {
    if let Some(last) = messages.last_mut()
        && last.role == "assistant"
        && last.tool_calls.is_empty()
    {
        last.prefix = Some(true);
        repairs.prefixed = true;
    }
}

/// Without the word in its prompt, a model in JSON mode may write white space without end (Q16).
fn ask_for_json(request: &ChatRequest, messages: &mut Vec<Wire<'_>>, repairs: &mut Repairs) {
    if request.response_format != Some(ResponseFormat::JsonObject) {
        return;
    }
    let says_json = |text: &str| text.as_bytes().windows(4).any(|window| window.eq_ignore_ascii_case(b"json"));
    let texts = request.messages.iter().flat_map(|message| &message.parts).filter_map(Part::text);
    if texts.into_iter().any(says_json) {
        return;
    }
    let behind_system = messages.iter().take_while(|message| message.role == "system").count();
    messages.insert(behind_system, Wire::text("system", "Answer with a JSON object."));
    repairs.asked_for_json = true;
}

/// Whether a model takes reasoning back in its history; the others refuse it (Q12).
fn reasons(model: &str) -> bool {
    const FAMILIES: [&str; 10] = [
        "magistral-",
        "mistral-large-4",
        "mistral-medium-3",
        "mistral-medium-2604",
        "mistral-medium-latest",
        "mistral-small-2603",
        "mistral-small-latest",
        "mistral-vibe-cli-",
        "zai-glm-",
        "glm-",
    ];
    model == "mistral-medium" || FAMILIES.iter().any(|family| model.starts_with(family))
}

/// What was changed in the messages.
#[derive(Default)]
struct Repairs {
    replaced_ids: usize,
    dropped_assistants: usize,
    dropped_thinking: usize,
    misplaced_calls: usize,
    prefixed: bool,
    asked_for_json: bool,
}

impl Repairs {
    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let counted = [
            (self.replaced_ids, "tool call ids replaced by ones that the provider takes"),
            (self.dropped_assistants, "empty assistant messages left out"),
            (self.dropped_thinking, "reasoning parts left out, which the model does not take"),
            (self.misplaced_calls, "tool calls left out, which stood in a message not the assistant's"),
        ];
        notes.extend(counted.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")));
        if self.prefixed {
            notes.push("the last message is the assistant's: sent as a prefix to be continued".to_owned());
        }
        if self.asked_for_json {
            notes.push("a system message added that asks for JSON, as JSON mode wants".to_owned());
        }
        notes
    }
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
