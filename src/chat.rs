//! The canonical chat types: what surfaces translate to and providers translate from.
//!
//! They are a superset of OpenAI's: a message is a list of typed parts, so that text, reasoning, tool calls and images
//! stand side by side in the order in which they were spoken. Nothing here does I/O.

mod as_written;
mod cache;
mod called;
mod estimate;
mod extra_content;
mod field;
mod json_text;
mod object;
mod reference;
mod request;
mod room;
mod seal;
mod surrogate;
mod task;
mod tool_choice;

use serde::{Deserialize, Serialize};

use crate::in_flight::Held;

pub use as_written::AsWritten;
pub use cache::{CacheControl, CachePoints};
pub use called::Called;
pub(crate) use called::TOOL_NAME;
pub use estimate::{estimate, estimate_before};
pub(crate) use extra_content::ExtraContent;
#[cfg(test)]
pub(crate) use field::HELD_FIELDS;
pub(crate) use field::held_field;
pub(crate) use json_text::{outside_strings, unescaped, unescaped_if_json};
pub(crate) use object::Object;
pub use reference::Reference;
pub use request::{ChatRequest, JsonSchema, ReasoningEffort, ResponseFormat, Schema, Tool};
pub(crate) use room::{MOST_VALUES, Room};
pub use seal::Seal;
pub(crate) use surrogate::whole_characters;
pub use task::{Json, Task, VectorForm};
pub use tool_choice::{ToolChoice, ToolChoiceAsked};

/// Who spoke a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Instructions by the application.
    System,
    /// The person, or the application in their place.
    User,
    /// The model.
    Assistant,
    /// A tool's answer.
    Tool,
}

/// One part of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Part {
    /// Plain text.
    Text {
        /// The text.
        text: String,
    },
    /// A model's text in place of the answer that it will not give. But where an answer has a place of its own for it, it
    /// is text: to policies, and in records.
    #[serde(rename = "text", skip_deserializing)]
    Refusal {
        /// The text.
        text: String,
    },
    /// A model's reasoning.
    Thinking {
        /// The reasoning, as text.
        text: String,
        /// By which its vendor knows it again.
        #[serde(skip)]
        seal: Option<Seal>,
    },
    /// The model asks for a tool to be run.
    ToolCall {
        /// The call's id, as its author wrote it.
        id: String,
        /// The tool's name.
        name: String,
        /// The arguments, as JSON text.
        arguments: String,
        /// By which its vendor knows the thoughts before it again.
        #[serde(skip)]
        seal: Option<Seal>,
    },
    /// What a tool answered.
    ToolResult {
        /// The id of the call that this answers.
        id: String,
        /// The tool's name, where it is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// The answer, as text.
        text: String,
    },
    /// An image, by address or inline.
    Image {
        /// `https://...`, or `data:image/FORMAT;base64,...`.
        url: String,
        /// How closely the model is to look, where the caller said so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        detail: Option<Detail>,
    },
    /// What the text before it refers to.
    Reference {
        /// The sources.
        ids: Vec<Reference>,
    },
}

/// How closely a model looks at an image: more costs more tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Detail {
    /// At a small version of it.
    Low,
    /// As the vendor likes.
    Auto,
    /// At all of it.
    High,
}

impl Part {
    /// The text that policies inspect and may edit; `None` for parts whose content they do not see.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text { text }
            | Self::Refusal { text }
            | Self::Thinking { text, .. }
            | Self::ToolResult { text, .. } => Some(text),
            Self::ToolCall { arguments, .. } => Some(arguments),
            Self::Image { .. } | Self::Reference { .. } => None,
        }
    }

    /// The same, to be edited. A seal beside it is dropped: it holds for the text as it was.
    pub fn text_mut(&mut self) -> Option<&mut String> {
        match self {
            Self::Text { text } | Self::Refusal { text } | Self::ToolResult { text, .. } => Some(text),
            Self::Thinking { text, seal } | Self::ToolCall { arguments: text, seal, .. } => {
                *seal = None;
                Some(text)
            }
            Self::Image { .. } | Self::Reference { .. } => None,
        }
    }

    /// The sources that it names.
    pub fn references(&self) -> &[Reference] {
        match self {
            Self::Reference { ids } => ids,
            _ => &[],
        }
    }

    /// The seal beside it.
    pub fn seal(&self) -> Option<&Seal> {
        match self {
            Self::Thinking { seal, .. } | Self::ToolCall { seal, .. } => seal.as_ref(),
            Self::Text { .. }
            | Self::Refusal { .. }
            | Self::ToolResult { .. }
            | Self::Image { .. }
            | Self::Reference { .. } => None,
        }
    }
}

/// What is known of a part whose content policies do not see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Binary<'a> {
    /// `image`.
    pub kind: &'static str,
    /// Such as `image/png`, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_type: Option<&'a str>,
    /// Bytes of the content; 0 where it is not known.
    pub size: usize,
}

impl Part {
    /// What is known of a part whose content policies do not see; `None` for text.
    pub fn binary(&self) -> Option<Binary<'_>> {
        let Self::Image { url, .. } = self else { return None };
        let inline = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
        Some(match inline {
            Some((media_type, content)) => {
                // Each character of base64 is six bits; its padding is none.
                let characters = content.trim_end_matches('=').len();
                Binary { kind: "image", media_type: Some(media_type), size: characters * 3 / 4 }
            }
            None => Binary { kind: "image", media_type: None, size: 0 },
        })
    }
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who spoke.
    pub role: Role,
    /// What was said, in order.
    pub parts: Vec<Part>,
}

impl Message {
    /// A message of one text.
    pub fn text(role: Role, text: impl Into<String>) -> Self {
        Self { role, parts: vec![Part::Text { text: text.into() }] }
    }

    /// The plain text parts and refusals, joined; reasoning and tool calls are left out.
    pub fn plain_text(&self) -> String {
        self.parts
            .iter()
            .filter_map(|part| match part {
                Part::Text { text } | Part::Refusal { text } => Some(text.as_str()),
                _ => None,
            })
            .collect()
    }
}

/// Bytes of all text that policies inspect.
pub fn text_bytes(messages: &[Message]) -> usize {
    messages.iter().flat_map(|message| &message.parts).filter_map(Part::text).map(str::len).sum()
}

/// Images in all messages.
pub fn images<'a>(messages: impl IntoIterator<Item = &'a Message>) -> u64 {
    let parts = messages.into_iter().flat_map(|message| &message.parts);
    parts.filter(|part| matches!(part, Part::Image { .. })).count() as u64
}

/// Why a model stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// It was done.
    Stop,
    /// It ran into a limit of tokens.
    Length,
    /// It wants tools to be run.
    ToolCalls,
    /// The vendor's filter cut it.
    ContentFilter,
    /// Something this version does not know.
    Other,
}

impl FinishReason {
    /// As records and answers name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::ContentFilter => "content_filter",
            Self::Other => "other",
        }
    }
}

/// Tokens as the provider counted them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Tokens of the prompt, cached ones included.
    pub prompt_tokens: u64,
    /// Tokens of the answer, reasoning included.
    pub completion_tokens: u64,
    /// Those of them that the model thought with, where the vendor says so.
    pub reasoning_tokens: u64,
    /// Prompt tokens that came from the vendor's cache.
    pub cached_tokens: u64,
    /// Prompt tokens that were written to the vendor's cache, where it says so.
    pub cache_write_tokens: u64,
    /// Those of them that are kept for an hour.
    pub cache_write_1h_tokens: u64,
    /// Tokens of the answer that are sound.
    pub audio_tokens: u64,
    /// Predicted tokens that stand in the answer.
    pub accepted_prediction_tokens: u64,
    /// And those that do not, which count all the same.
    pub rejected_prediction_tokens: u64,
    /// Images of the prompt, as the gateway counts them, where they may have a price of their own. Their tokens are among
    /// the others.
    pub images: u64,
}

impl Usage {
    /// Prompt and completion together.
    pub fn total_tokens(&self) -> u64 {
        self.prompt_tokens.saturating_add(self.completion_tokens)
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            prompt_tokens: self.prompt_tokens.saturating_add(other.prompt_tokens),
            completion_tokens: self.completion_tokens.saturating_add(other.completion_tokens),
            reasoning_tokens: self.reasoning_tokens.saturating_add(other.reasoning_tokens),
            cached_tokens: self.cached_tokens.saturating_add(other.cached_tokens),
            cache_write_tokens: self.cache_write_tokens.saturating_add(other.cache_write_tokens),
            cache_write_1h_tokens: self.cache_write_1h_tokens.saturating_add(other.cache_write_1h_tokens),
            audio_tokens: self.audio_tokens.saturating_add(other.audio_tokens),
            accepted_prediction_tokens: self
                .accepted_prediction_tokens
                .saturating_add(other.accepted_prediction_tokens),
            rejected_prediction_tokens: self
                .rejected_prediction_tokens
                .saturating_add(other.rejected_prediction_tokens),
            images: self.images.saturating_add(other.images),
        }
    }
}

/// One of the answers that a model gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The answer.
    pub message: Message,
    /// Why it ended.
    pub finish_reason: FinishReason,
}

/// What a vendor says beside an answer that clients read. Its texts are short, without white space.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aside {
    /// When the answer was made, in seconds since 1970.
    pub created: Option<i64>,
    /// How urgently it was served.
    pub service_tier: Option<String>,
    /// The build of the system that made it.
    pub system_fingerprint: Option<String>,
    /// When the vendor takes the model away.
    pub deprecation: Option<String>,
}

/// What a provider answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChatAnswer {
    /// The provider's id of the answer.
    pub id: String,
    /// The model, as the provider names it in the answer.
    pub model: String,
    /// What else the vendor says of it.
    pub aside: Aside,
    /// At least one, unless there are results.
    pub choices: Vec<Choice>,
    /// Of a request about texts: one for each.
    pub results: Vec<Json>,
    /// Tokens; `None` when the provider did not count.
    pub usage: Option<Usage>,
    /// What it cost in US dollars; `None` when the price of the model is not known.
    pub cost_usd: Option<f64>,
    /// Beside those, tokens of what was answered before it to another key of the same account, and is lost.
    pub lost: Option<Usage>,
    /// The id under which the vendor finds the call in its own logs.
    pub correlation_id: Option<String>,
    /// What the adapter repaired on the way out or left out on the way back, for the record. Never holds prompt or
    /// answer text.
    pub notes: Vec<String>,
    /// The room that the answer takes among all that are in memory.
    pub held: Option<Held>,
}
