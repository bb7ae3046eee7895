//! A canonical request as Anthropic's body. Pure: no I/O, no clock.
//!
//! The body is built from the fields that Anthropic's schema has; nothing is passed through, since one unknown field is a
//! refusal of the whole request. What could not be kept, or had to be said in another way, leaves a note.

use serde::Serialize;

use super::messages::{Conversation, Instruction, Takes, Turn};
use super::model::{Model, Thinking};
use super::parameters::{self, Parameters};
use super::without::Without;
use crate::chat::{ChatRequest, ReasoningEffort};
use crate::provider::ProviderError;
use crate::provider::tools::repeated_ids::told_apart;
use crate::provider::tools::tool_ids;
use crate::provider::tools::tool_name::ToolNames;
use crate::provider::upstream::http::{self, Prepared};

/// What the provider decides about a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options<'a> {
    /// The model that it goes to.
    pub(crate) model: &'a str,
    /// The operator's bound for requests that have none themselves.
    pub(crate) max_tokens: Option<u32>,
    /// What the vendor refused.
    pub(crate) without: Without,
    /// Whether the answer is to come piece by piece.
    pub(crate) stream: bool,
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Instruction<'a>>,
    messages: &'a [Turn<'a>],
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream: bool,
    #[serde(flatten)]
    parameters: &'a Parameters<'a>,
}

/// The body of `POST /v1/messages`.
pub(crate) fn prepare(request: &ChatRequest, options: Options<'_>) -> Result<Prepared, ProviderError> {
    let model = Model::named(options.model);
    let (messages, repeated) = told_apart(&request.messages);
    let (messages, renamed) = ToolNames::Anthropic.renamed(messages);
    let takes = Takes {
        thoughts: thinks(request, model) && !options.without.thoughts,
        instructions: model.takes_later_instructions(),
    };
    let conversation = Conversation::of(&messages, &request.cache, takes)?;
    let mut notes = conversation.notes();
    notes.extend(tool_ids::note(repeated));
    notes.extend(renamed);
    notes.extend(options.without.notes());
    let bound = request.max_tokens.or(options.max_tokens);
    let parameters = parameters::of(request, model, bound, conversation.continues(), options.without, &mut notes)?;
    let instruction = parameters.instruction.as_deref().map(Instruction::plain);
    let body = Body {
        model: options.model,
        system: conversation.system.iter().copied().chain(instruction).collect(),
        messages: &conversation.turns,
        stream: options.stream,
        parameters: &parameters,
    };
    let body = http::json(&body)?;
    Ok(Prepared { body, notes })
}

/// Whether a model may think about a request, and then wants back what it thought before.
fn thinks(request: &ChatRequest, model: Model) -> bool {
    match model.thinking() {
        Thinking::None => false,
        Thinking::Budget => request.reasoning_effort.is_some_and(|effort| effort != ReasoningEffort::None),
        Thinking::Effort => true,
    }
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
