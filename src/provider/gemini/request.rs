//! A canonical request as Gemini's body. Pure: no I/O, no clock.
//!
//! The body is built from the fields that Gemini's schema has; nothing is passed through, since one unknown field is a
//! refusal of the whole request. What could not be kept, or had to be said in another way, leaves a note.

use serde::Serialize;

use super::contents::{Content, Conversation};
use super::model::Model;
use super::parameters::{self, Parameters};
use crate::chat::ChatRequest;
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
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    system_instruction: Option<Instructions<'a>>,
    contents: &'a [Content<'a>],
    #[serde(flatten)]
    parameters: &'a Parameters<'a>,
}

#[derive(Serialize)]
struct Instructions<'a> {
    parts: Vec<Instruction<'a>>,
}

#[derive(Serialize)]
struct Instruction<'a> {
    text: &'a str,
}

/// The body of `POST /v1beta/models/MODEL:generateContent`, and of its streaming sister.
pub(crate) fn prepare(request: &ChatRequest, options: Options<'_>) -> Result<Prepared, ProviderError> {
    let model = Model::named(options.model);
    // An answer has the name of its call.
    let (messages, repeated) = told_apart(&request.messages);
    let (messages, renamed) = ToolNames::Gemini.renamed(messages);
    let conversation = Conversation::of(&messages, model)?;
    let mut notes = conversation.notes();
    notes.extend(renamed);
    notes.extend(tool_ids::note(repeated));
    let parameters = parameters::of(request, model, request.max_tokens.or(options.max_tokens), &mut notes)?;
    let texts = conversation.system.iter().copied().chain(parameters.instruction.as_deref());
    let parts: Vec<_> = texts.map(|text| Instruction { text }).collect();
    let body = Body {
        system_instruction: (!parts.is_empty()).then_some(Instructions { parts }),
        contents: &conversation.contents,
        parameters: &parameters,
    };
    let body = http::json(&body)?;
    Ok(Prepared { body, notes })
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
