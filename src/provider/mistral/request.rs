//! A canonical request as Mistral's body. Pure: no I/O, no clock.
//!
//! The body is built from the fields that Mistral's schema has; nothing is passed through, since one unknown field is a
//! refusal of the whole request. What the caller did not ask for is not there. Messages are repaired where Mistral is
//! stricter than others are (the numbers are those of the table of quirks in the documentation of the provider), and
//! each repair leaves a note.

use serde::Serialize;

use super::order::{self, AfterTool};
use super::parameters::{self, Parameters};
use super::repairs::Repairs;
use super::wire::{self, Blank, Thinking, Wire};
use crate::chat::{ChatRequest, ResponseFormat, Role};
use crate::provider::request::json_prompt;
use crate::provider::tools::call_id;
use crate::provider::tools::repeated_ids;
use crate::provider::tools::tool_ids::ToolIds;
use crate::provider::tools::tool_name::ToolNames;
use crate::provider::upstream::http::{self, Prepared};
use crate::provider::{ErrorKind, ProviderError};

/// What the provider decides about a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options<'a> {
    /// The model that it goes to.
    pub(crate) model: &'a str,
    /// Whether that takes reasoning back in its history, and an effort to reason with.
    pub(crate) reasons: bool,
    /// The operator's bound for requests that have none themselves.
    pub(crate) max_tokens: Option<u32>,
    /// The keywords of schemas that it refused.
    pub(crate) without: &'a [String],
    /// What the model takes behind a tool's answer.
    pub(crate) after_tool: AfterTool,
    /// Whether a conversation without a key for the prompt cache gets one.
    pub(crate) derives_cache_key: bool,
    /// Whether the answer is to come piece by piece. Usage comes with it unasked; `stream_options` is refused (Q1).
    pub(crate) stream: bool,
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

/// The body of `POST /v1/chat/completions`.
pub(crate) fn prepare(request: &ChatRequest, options: Options<'_>) -> Result<Prepared, ProviderError> {
    let model = options.model;
    wire::check_images(&request.messages)?;
    let (messages, repeated) = repeated_ids::told_apart(&request.messages);
    let (messages, renamed) = ToolNames::Common.renamed(messages);
    let ids = ToolIds::of(&messages, call_id::fits);
    let mut repairs = Repairs { replaced_ids: ids.replaced() + repeated, ..Repairs::default() };
    let thinking = if options.reasons { Thinking::Replay } else { Thinking::Drop };

    let messages = Wire::all(&messages, &ids, thinking, Blank::Drop, &mut repairs);
    let mut messages = order::repaired(messages, options.after_tool, &mut repairs);
    if messages.is_empty() {
        return Err(ProviderError::new(ErrorKind::Unsupported, "no message is left to send"));
    }

    let mut asked = None;
    // Without the word in its prompt, a model in JSON mode may write white space without end (Q16).
    if request.response_format == Some(ResponseFormat::JsonObject) && !json_prompt::is_said(&request.messages) {
        let behind_system = messages.iter().take_while(|message| message.role == Role::System).count();
        // Where nobody else speaks it is the user who asks, rather than with nothing to say.
        let role = if behind_system == messages.len() { Role::User } else { Role::System };
        messages.insert(behind_system, Wire::text(role, json_prompt::ASK));
        asked = Some(json_prompt::asked(role));
    }
    order::never_instructions_alone(&mut messages, &mut repairs);

    let notes = repairs.notes().into_iter().chain(renamed).chain(asked);
    let mut notes: Vec<String> = notes.collect();
    let parameters = parameters::of(request, options, &mut notes)?;
    let body = Body { model, messages, stream: options.stream, parameters };
    let body = http::json(&body)?;
    Ok(Prepared { body, notes })
}

/// Whether a model takes reasoning back in its history, by its name, where the vendor has not said so; the others refuse it
/// (Q12).
pub(super) fn reasons(model: &str) -> bool {
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

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
