//! Messages in the form that Mistral takes. The numbers are those of the table of quirks in the documentation of the
//! provider.

use std::borrow::Cow;

use serde::Serialize;

use super::repairs::Repairs;
use crate::chat::{Called, Detail, Message, Part, Reference, Role, Seal};
use crate::provider::tools::tool_ids::ToolIds;
use crate::provider::tools::tool_name::ToolNames;
use crate::provider::{ErrorKind, ProviderError};

/// One message. `prefix` is legal on the last, `tool_call_id` and `name` on those of tools only (Q5, Q19).
#[derive(Serialize)]
pub(super) struct Wire<'a> {
    pub(super) role: Role,
    content: Content<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tool_calls: Vec<Called<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tool_call_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) prefix: Option<bool>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Text(Cow<'a, str>),
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
        #[serde(skip_serializing_if = "Option::is_none")]
        signature: Option<&'a str>,
    },
    Reference {
        reference_ids: &'a [Reference],
    },
}

#[derive(Serialize)]
struct Url<'a> {
    url: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<Detail>,
}

#[derive(Serialize)]
struct Thought<'a> {
    r#type: &'static str,
    text: &'a str,
}

/// What becomes of reasoning in a history: models without any refuse it (Q12).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Thinking {
    Replay,
    Drop,
}

/// What becomes of an assistant's message that says nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Blank {
    Keep,
    /// Whoever is to go on refuses it (Q7).
    Drop,
}

impl<'a> Wire<'a> {
    /// A message of one text.
    pub(super) fn text(role: Role, text: &'a str) -> Self {
        let content = Content::Text(Cow::Borrowed(text));
        Self { role, content, tool_calls: Vec::new(), tool_call_id: None, name: None, prefix: None }
    }

    /// A tool's answer. A name that the vendor refuses is left out (Q8).
    pub(super) fn result(call: &'a str, name: Option<&'a str>, text: &'a str) -> Self {
        let name = name.filter(|name| ToolNames::Common.fits(name));
        Self { tool_call_id: Some(call), name, ..Self::text(Role::Tool, text) }
    }

    /// Puts the text of a tool's answer behind that of this one.
    pub(super) fn join(&mut self, further: Self) {
        if let (Content::Text(text), Content::Text(more)) = (&mut self.content, &further.content) {
            *text.to_mut() += "\n";
            *text.to_mut() += more;
        }
    }

    /// Canonical messages in the wire's form: each tool's answer is a message of its own there.
    pub(super) fn all(
        messages: &'a [Message],
        ids: &'a ToolIds<'a>,
        thinking: Thinking,
        blank: Blank,
        repairs: &mut Repairs,
    ) -> Vec<Self> {
        let mut all = Vec::with_capacity(messages.len());
        for message in messages {
            push(message, ids, thinking, blank, &mut all, repairs);
        }
        all
    }
}

/// The vendor fetches by `https:` alone; another address is a refusal of the whole request.
pub(super) fn check_images(messages: &[Message]) -> Result<(), ProviderError> {
    let fits = |url: &str| url.starts_with("https://") || url.starts_with("data:");
    let mut parts = messages.iter().flat_map(|message| &message.parts);
    if parts.any(|part| matches!(part, Part::Image { url, .. } if !fits(url))) {
        let message = "this provider takes images as `https:` addresses and as `data:` in base 64 only";
        return Err(ProviderError::new(ErrorKind::Unsupported, message));
    }
    Ok(())
}

fn push<'a>(
    message: &'a Message,
    ids: &'a ToolIds<'a>,
    thinking: Thinking,
    blank: Blank,
    out: &mut Vec<Wire<'a>>,
    repairs: &mut Repairs,
) {
    let assistant = message.role == Role::Assistant;
    // Instructions show by it how to reason.
    let may_think = assistant || message.role == Role::System;
    let mut chunks = Vec::new();
    let mut tool_calls = Vec::new();
    let mut results = 0_usize;
    for part in &message.parts {
        match part {
            Part::Text { text } | Part::Refusal { text } => chunks.push(Chunk::Text { text }),
            Part::Image { url, detail } => {
                chunks.push(Chunk::ImageUrl { image_url: Url { url, detail: *detail } });
            }
            Part::Thinking { text, seal } if text.is_empty() => {
                repairs.dropped_seals += usize::from(matches!(seal, Some(Seal::Mistral(_))));
            }
            Part::Thinking { .. } if !may_think => repairs.misplaced_thinking += 1,
            Part::Thinking { .. } if thinking == Thinking::Drop => repairs.dropped_thinking += 1,
            Part::Thinking { text, seal } => {
                let signature = match seal {
                    Some(Seal::Mistral(signature)) => Some(signature.as_str()),
                    _ => None,
                };
                let thinking = [Thought { r#type: "text", text }];
                chunks.push(Chunk::Thinking { thinking, closed: true, signature });
            }
            Part::Reference { ids } if assistant => chunks.push(Chunk::Reference { reference_ids: ids }),
            Part::Reference { .. } => repairs.misplaced_citations += 1,
            Part::ToolCall { id, name, arguments, .. } if assistant => {
                let arguments = if arguments.trim().is_empty() { "{}" } else { arguments };
                tool_calls.push(Called::new(ids.get(id), name, arguments));
            }
            Part::ToolCall { .. } => repairs.misplaced_calls += 1,
            Part::ToolResult { id, name, text } => {
                results += 1;
                out.push(Wire::result(ids.get(id), name.as_deref(), text));
            }
        }
    }
    if results > 0 && chunks.is_empty() && tool_calls.is_empty() {
        return;
    }
    let content = content(chunks);
    if blank == Blank::Drop && assistant && tool_calls.is_empty() && content.is_blank() {
        repairs.dropped_assistants += 1;
        return;
    }
    out.push(Wire { role: message.role, content, tool_calls, tool_call_id: None, name: None, prefix: None });
}

/// One text is sent as a plain string, which every model and deployment takes.
fn content(chunks: Vec<Chunk<'_>>) -> Content<'_> {
    match chunks.as_slice() {
        [] => Content::Text(Cow::Borrowed("")),
        [Chunk::Text { text }] => Content::Text(Cow::Borrowed(text)),
        _ => Content::Chunks(chunks),
    }
}

impl Content<'_> {
    /// Nothing that Mistral would count as an answer (Q7).
    fn is_blank(&self) -> bool {
        match self {
            Self::Text(text) => text.is_empty(),
            Self::Chunks(chunks) => {
                chunks.iter().all(|chunk| matches!(chunk, Chunk::Text { text: "" } | Chunk::Reference { .. }))
            }
        }
    }
}
