//! A response of Gemini's as a canonical answer. Pure, and tolerant: what is missing is read if it can be, unknown kinds
//! of content are left out with a note, and only an answer without an answer is an error. No message of an error repeats
//! what the model said.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::chat::{ChatAnswer, Choice, FinishReason, Message, Part, Role, Seal, Usage, unescaped};
use crate::provider::answer::completion::number;
use crate::provider::answer::notes::Notes;
use crate::provider::answer::values;
use crate::provider::tools::call_id::{Made, check_count};
use crate::provider::upstream::text::is_token;
use crate::provider::{ErrorKind, ProviderError, names};

/// What Gemini answers, whole or as one event of a stream.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Response {
    #[serde(default)]
    pub(super) candidates: Vec<Candidate>,
    #[serde(default)]
    pub(super) prompt_feedback: Option<Feedback>,
    #[serde(default)]
    pub(super) usage_metadata: Option<Value>,
    #[serde(default)]
    pub(super) model_version: Option<String>,
    #[serde(default)]
    pub(super) response_id: Option<String>,
    /// In a stream: why nothing more comes.
    #[serde(default)]
    pub(super) error: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Feedback {
    #[serde(default)]
    block_reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Candidate {
    #[serde(default)]
    pub(super) index: u32,
    #[serde(default)]
    pub(super) content: Option<Content>,
    #[serde(default)]
    pub(super) finish_reason: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Content {
    #[serde(default)]
    pub(super) parts: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WirePart {
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    thought: bool,
    #[serde(default)]
    function_call: Option<Call>,
    /// It may stand alone, behind a text that was streamed. Beside a text nobody needs it back.
    #[serde(default)]
    thought_signature: Option<String>,
}

#[derive(Deserialize)]
struct Call {
    #[serde(default)]
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    args: Option<Box<RawValue>>,
}

/// Reads the body of an answer with status 200 to a request for the model `asked`.
pub(crate) fn parse(body: &[u8], asked: &str) -> Result<ChatAnswer, ProviderError> {
    values::check(body)?;
    let response: Response =
        serde_json::from_slice(body).map_err(|error| ProviderError::unreadable(&error, "response"))?;
    let usage = response.usage_metadata.as_ref().and_then(read_usage);
    let mut candidates = response.candidates;
    if candidates.is_empty() {
        return Err(no_candidate(response.prompt_feedback).with_spent(usage));
    }
    candidates.sort_by_key(|candidate| candidate.index);
    let mut notes = Notes::default();
    let mut ids = Made::of(body);
    let choices = candidates
        .into_iter()
        .map(|candidate| read_candidate(candidate, &mut ids, &mut notes))
        .collect::<Result<Vec<_>, _>>();
    // What failed was counted all the same.
    let choices = choices.map_err(|error| error.with_spent(usage))?;
    Ok(ChatAnswer {
        id: response.response_id.filter(|id| is_token(id)).unwrap_or_default(),
        model: response.model_version.filter(|model| is_token(model)).unwrap_or_else(|| asked.to_owned()),
        choices,
        usage,
        notes: notes.into_iter().collect(),
        ..ChatAnswer::default()
    })
}

/// A prompt that the vendor's filter blocked has no candidates, with status 200.
pub(super) fn no_candidate(feedback: Option<Feedback>) -> ProviderError {
    match feedback.and_then(|feedback| feedback.block_reason) {
        Some(reason) => ProviderError::new(ErrorKind::ContentFilter, "the vendor's filter blocked the prompt")
            .with_upstream_code(Some(&reason)),
        None => ProviderError::malformed("the upstream's answer has no candidates"),
    }
}

fn read_candidate(candidate: Candidate, ids: &mut Made<&[u8]>, notes: &mut Notes) -> Result<Choice, ProviderError> {
    let mut parts = Vec::new();
    for part in candidate.content.map(|content| content.parts).unwrap_or_default() {
        read_part(&part, ids, &mut parts, notes);
    }
    let calls = parts.iter().filter(|part| matches!(part, Part::ToolCall { .. })).count();
    check_count(calls)?;
    let finish_reason = finish_reason(candidate.finish_reason.as_deref(), calls > 0)?;
    Ok(Choice { message: Message { role: Role::Assistant, parts }, finish_reason })
}

pub(super) fn read_part<A: AsRef<[u8]>>(part: &RawValue, ids: &mut Made<A>, parts: &mut Vec<Part>, notes: &mut Notes) {
    let Ok(part) = serde_json::from_str::<WirePart>(part.get()) else {
        notes.add("content left out that cannot be read");
        return;
    };
    match (part.text, part.function_call) {
        (Some(more), _) if more.is_empty() => {}
        (Some(more), _) => match (part.thought, parts.last_mut()) {
            (true, Some(Part::Thinking { text, .. })) | (false, Some(Part::Text { text })) => text.push_str(&more),
            (true, _) => parts.push(Part::Thinking { text: more, seal: None }),
            (false, _) => parts.push(Part::Text { text: more }),
        },
        (None, Some(call)) if !names::is_call(&call.name) => notes.add(names::NAMELESS),
        (None, Some(call)) => {
            let arguments = call.args.map_or_else(|| "{}".to_owned(), |args| unescaped(args.get().to_owned()));
            let seal = part.thought_signature.map(Seal::Google);
            parts.push(Part::ToolCall { id: ids.or_made(Some(&call.id)), name: call.name, arguments, seal });
        }
        (None, None) if part.thought_signature.is_some() => {}
        (None, None) => notes.add("content left out that is neither text nor a tool call"),
    }
}

/// Why the model stopped. A call or an answer that the model could not write is a failure of the model.
pub(super) fn finish_reason(reason: Option<&str>, called: bool) -> Result<FinishReason, ProviderError> {
    Ok(match reason {
        Some("STOP") | None if called => FinishReason::ToolCalls,
        Some("STOP") => FinishReason::Stop,
        Some("MAX_TOKENS") => FinishReason::Length,
        Some(
            "SAFETY"
            | "RECITATION"
            | "BLOCKLIST"
            | "PROHIBITED_CONTENT"
            | "SPII"
            | "IMAGE_SAFETY"
            | "IMAGE_PROHIBITED_CONTENT"
            | "IMAGE_RECITATION",
        ) => FinishReason::ContentFilter,
        Some(reason @ ("MALFORMED_FUNCTION_CALL" | "UNEXPECTED_TOOL_CALL" | "TOO_MANY_TOOL_CALLS")) => {
            let message = "the upstream's model ended its answer with a tool call that is none";
            return Err(ProviderError::new(ErrorKind::GenerationFailed, message).with_upstream_code(Some(reason)));
        }
        Some(reason @ ("MALFORMED_RESPONSE" | "MISSING_THOUGHT_SIGNATURE")) => {
            let message = "the upstream's model ended its answer with an error";
            return Err(ProviderError::new(ErrorKind::GenerationFailed, message).with_upstream_code(Some(reason)));
        }
        Some(_) | None => FinishReason::Other,
    })
}

/// Tokens. Thoughts are billed as output, and are not among the candidates' tokens.
pub(super) fn read_usage(usage: &Value) -> Option<Usage> {
    let count = |name: &str| usage.get(name).and_then(number);
    let (prompt, answer, thoughts) =
        (count("promptTokenCount"), count("candidatesTokenCount"), count("thoughtsTokenCount"));
    if prompt.is_none() && answer.is_none() && thoughts.is_none() {
        return None;
    }
    let prompt_tokens = prompt.unwrap_or(0).saturating_add(count("toolUsePromptTokenCount").unwrap_or(0));
    Some(Usage {
        prompt_tokens,
        completion_tokens: answer.unwrap_or(0).saturating_add(thoughts.unwrap_or(0)),
        reasoning_tokens: thoughts.unwrap_or(0),
        cached_tokens: count("cachedContentTokenCount").unwrap_or(0).min(prompt_tokens),
        ..Usage::default()
    })
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
