//! A message of Anthropic's as a canonical answer. Pure, and tolerant: what is missing is read if it can be, unknown kinds
//! of content are left out with a note, and only an answer without an answer is an error. No message of an error repeats
//! what the model said.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::usage::Counted;
use crate::chat::{ChatAnswer, Choice, FinishReason, Message, Part, Role, Seal, unescaped};
use crate::provider::answer::notes::Notes;
use crate::provider::answer::values;
use crate::provider::price::Terms;
use crate::provider::request::left_out;
use crate::provider::tools::call_id::{Made, check_count};
use crate::provider::upstream::text::is_token;
use crate::provider::{ProviderError, names};

/// An answer, and which prices hold for it.
#[derive(Debug, PartialEq)]
pub(crate) struct Parsed {
    pub(crate) answer: ChatAnswer,
    pub(crate) terms: Terms,
}

#[derive(Deserialize)]
struct Reply {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    model: Option<String>,
    content: Vec<Box<RawValue>>,
    #[serde(default)]
    stop_reason: Option<String>,
    #[serde(default)]
    usage: Value,
}

#[derive(Deserialize)]
struct Block {
    r#type: String,
    #[serde(default)]
    text: String,
    #[serde(default)]
    thinking: String,
    #[serde(default)]
    signature: String,
    #[serde(default)]
    data: String,
    #[serde(default)]
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    input: Option<Box<RawValue>>,
}

/// Reads the body of an answer with status 200 to a request for the model `asked`.
pub(crate) fn parse(body: &[u8], asked: &str) -> Result<Parsed, ProviderError> {
    values::check(body)?;
    let reply: Reply = serde_json::from_slice(body).map_err(|error| ProviderError::unreadable(&error, "message"))?;
    let mut notes = Notes::default();
    let (mut parts, mut ids) = (Vec::new(), Made::of(body));
    for block in &reply.content {
        read_block(block, &mut ids, &mut parts, &mut notes);
    }
    check_count(parts.iter().filter(|part| matches!(part, Part::ToolCall { .. })).count())?;
    let counted = Counted::read(&reply.usage);
    let answer = ChatAnswer {
        id: reply.id.filter(|id| is_token(id)).unwrap_or_default(),
        model: reply.model.filter(|model| is_token(model)).unwrap_or_else(|| asked.to_owned()),
        choices: vec![Choice {
            message: Message { role: Role::Assistant, parts },
            finish_reason: finish_reason(reply.stop_reason.as_deref()),
        }],
        usage: counted.usage(),
        notes: notes.into_iter().collect(),
        ..ChatAnswer::default()
    };
    Ok(Parsed { answer, terms: counted.terms() })
}

fn read_block(block: &RawValue, ids: &mut Made<&[u8]>, parts: &mut Vec<Part>, notes: &mut Notes) {
    let Ok(block) = serde_json::from_str::<Block>(block.get()) else {
        notes.add("content left out that cannot be read");
        return;
    };
    match block.r#type.as_str() {
        // Citations cut a text in pieces; a policy sees them as one.
        "text" => match parts.last_mut() {
            _ if block.text.is_empty() => {}
            Some(Part::Text { text }) => text.push_str(&block.text),
            _ => parts.push(Part::Text { text: block.text }),
        },
        // Without a text where the vendor shows no thoughts.
        "thinking" if block.thinking.is_empty() && block.signature.is_empty() => {}
        "thinking" => parts.push(Part::Thinking { text: block.thinking, seal: signed(block.signature) }),
        "redacted_thinking" => {
            parts.push(Part::Thinking { text: String::new(), seal: Some(Seal::AnthropicRedacted(block.data)) });
        }
        "tool_use" if !names::is_call(&block.name) => notes.add(names::NAMELESS),
        "tool_use" => {
            let arguments = block.input.map_or_else(|| "{}".to_owned(), |input| unescaped(input.get().to_owned()));
            let id = ids.or_made(Some(&block.id));
            parts.push(Part::ToolCall { id, name: block.name, arguments, seal: None });
        }
        kind => notes.add(left_out::content(Some(kind))),
    }
}

/// The seal of reasoning, if there is one.
pub(super) fn signed(signature: String) -> Option<Seal> {
    (!signature.is_empty()).then_some(Seal::Anthropic(signature))
}

/// Why the model stopped.
pub(super) fn finish_reason(reason: Option<&str>) -> FinishReason {
    match reason {
        Some("end_turn" | "stop_sequence") => FinishReason::Stop,
        Some("max_tokens" | "model_context_window_exceeded") => FinishReason::Length,
        Some("tool_use") => FinishReason::ToolCalls,
        Some("refusal") => FinishReason::ContentFilter,
        Some(_) | None => FinishReason::Other,
    }
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
