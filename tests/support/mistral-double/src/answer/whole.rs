//! An answer in one piece.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Value, json};

use super::usage::Usage;
use super::{Content, Reply};
use crate::behaviour::{EmptyContent, ToolCallForm};

#[derive(Serialize)]
struct Completion<'r> {
    id: &'r str,
    object: &'static str,
    created: u64,
    model: &'r str,
    choices: Vec<Choice<'r>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<&'r Usage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    guardrails: Option<&'r [Value]>,
}

#[derive(Serialize)]
struct Choice<'r> {
    index: usize,
    finish_reason: &'r str,
    message: Message<'r>,
}

#[derive(Serialize)]
struct Message<'r> {
    role: &'static str,
    /// `null` on plain text.
    tool_calls: Option<Vec<Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<Written<'r>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Written<'r> {
    Text(&'r str),
    Parts(Cow<'r, [Value]>),
    Null,
}

/// The JSON of a reply.
pub(crate) fn bytes(reply: &Reply, form: ToolCallForm) -> Vec<u8> {
    let choices = (0..reply.choices).map(|index| Choice {
        index,
        finish_reason: &reply.finish_reason,
        message: Message { role: "assistant", tool_calls: calls(reply, form), content: content(reply) },
    });
    let completion = Completion {
        id: &reply.id,
        object: "chat.completion",
        created: reply.created,
        model: &reply.model,
        choices: choices.collect(),
        usage: reply.usage.as_ref(),
        guardrails: reply.guardrails.as_deref(),
    };
    // Strings and numbers alone: this cannot fail, and an empty body would show.
    serde_json::to_vec(&completion).unwrap_or_default()
}

fn calls(reply: &Reply, form: ToolCallForm) -> Option<Vec<Value>> {
    if reply.tool_calls.is_empty() {
        return None;
    }
    let written = reply.tool_calls.iter().enumerate().map(|(index, call)| {
        let function = json!({ "name": call.name, "arguments": call.arguments });
        if form.is_bare() {
            json!({ "id": call.id, "function": function })
        } else {
            json!({ "id": call.id, "function": function, "type": "function", "index": index })
        }
    });
    Some(written.collect())
}

fn content(reply: &Reply) -> Option<Written<'_>> {
    if let Some(thinking) = &reply.thinking {
        let mut parts =
            vec![json!({ "type": "thinking", "thinking": [{ "type": "text", "text": thinking }], "closed": true })];
        match &reply.content {
            Content::Text(text) => parts.push(json!({ "type": "text", "text": text })),
            Content::Parts(more) => parts.extend_from_slice(more),
            Content::Empty(_) => {}
        }
        return Some(Written::Parts(Cow::Owned(parts)));
    }
    match &reply.content {
        Content::Text(text) => Some(Written::Text(text)),
        Content::Parts(parts) => Some(Written::Parts(Cow::Borrowed(parts))),
        Content::Empty(EmptyContent::Text) => Some(Written::Text("")),
        Content::Empty(EmptyContent::Null) => Some(Written::Null),
        Content::Empty(EmptyContent::Absent) => None,
    }
}
