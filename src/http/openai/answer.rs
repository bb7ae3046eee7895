//! An answer as `chat.completion`.

use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::reasoning::Content;
use super::seal::ThinkingBlock;
use crate::chat::{self, Called, ChatAnswer, ExtraContent, FinishReason, Json, Part, Reference};
use crate::http::answer::{json_that_holds, with_request_id};
use crate::router::{Attempt, RouteError, Routed};

/// The name under which OpenAI's clients read a request's id.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

#[derive(Serialize)]
struct Completion<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    model: &'a str,
    choices: Vec<Choice<'a>>,
    /// Mistral's clients read no answer without one.
    usage: Usage,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system_fingerprint: Option<&'a str>,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: usize,
    message: Message<'a>,
    finish_reason: &'static str,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    /// Null beside tool calls and refusals, as OpenAI has it.
    content: Option<Content>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    thinking_blocks: Vec<ThinkingBlock>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<ToolCall<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    octroi: Option<Cited<'a>>,
}

/// What has no place in OpenAI's messages, and is no text to Mistral's clients.
#[derive(Default, Serialize)]
pub(super) struct Cited<'a> {
    /// As Mistral names it in its content.
    pub(super) reference_ids: Vec<&'a Reference>,
}

#[derive(Serialize)]
struct ToolCall<'a> {
    #[serde(flatten)]
    called: Called<'a>,
    /// Mistral's clients read it.
    index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra_content: Option<ExtraContent>,
}

#[derive(Serialize)]
pub(super) struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: PromptTokens,
    #[serde(skip_serializing_if = "Option::is_none")]
    completion_tokens_details: Option<CompletionTokens>,
}

#[derive(Serialize)]
struct PromptTokens {
    cached_tokens: u64,
    /// Written to the vendor's cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_write_tokens: Option<u64>,
}

#[derive(Serialize)]
struct CompletionTokens {
    reasoning_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    audio_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted_prediction_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected_prediction_tokens: Option<u64>,
}

impl From<chat::Usage> for Usage {
    fn from(usage: chat::Usage) -> Self {
        let some = |tokens: u64| Some(tokens).filter(|tokens| *tokens > 0);
        let details = CompletionTokens {
            reasoning_tokens: usage.reasoning_tokens,
            audio_tokens: some(usage.audio_tokens),
            accepted_prediction_tokens: some(usage.accepted_prediction_tokens),
            rejected_prediction_tokens: some(usage.rejected_prediction_tokens),
        };
        let counted = [
            some(usage.reasoning_tokens),
            details.audio_tokens,
            details.accepted_prediction_tokens,
            details.rejected_prediction_tokens,
        ];
        Self {
            prompt_tokens: usage.prompt_tokens,
            completion_tokens: usage.completion_tokens,
            total_tokens: usage.total_tokens(),
            prompt_tokens_details: PromptTokens {
                cached_tokens: usage.cached_tokens,
                cache_write_tokens: some(usage.cache_write_tokens),
            },
            completion_tokens_details: counted.iter().any(Option::is_some).then_some(details),
        }
    }
}

impl<'a> Choice<'a> {
    fn new(index: usize, choice: &'a chat::Choice, form: Form) -> Self {
        let calls = choice.message.parts.iter().filter_map(|part| match part {
            Part::ToolCall { id, name, arguments, seal } => Some((Called::new(id, name, arguments), seal.as_ref())),
            _ => None,
        });
        let call = |(index, (called, seal))| ToolCall { called, index, extra_content: ExtraContent::of(seal) };
        let tool_calls: Vec<_> = calls.enumerate().map(call).collect();
        let blocks = choice.message.parts.iter().filter_map(|part| match part {
            Part::Thinking { text, seal } => ThinkingBlock::of(text, seal.as_ref()),
            _ => None,
        });
        let blocks = blocks.filter(|_| form == Form::Chat).collect();
        // Empty reasoning is the vendor's, who wants it back.
        let (mut content, mut refusal, mut thoughts) = (Content::default(), String::new(), None::<String>);
        for part in &choice.message.parts {
            match part {
                Part::Text { text } => content.say(text),
                Part::Refusal { text } => refusal.push_str(text),
                Part::Thinking { text, seal } if form == Form::ChatInParts => content.think(text, seal.as_ref()),
                Part::Thinking { text, seal } if seal.is_none() || !text.is_empty() => {
                    thoughts.get_or_insert_default().push_str(text);
                }
                _ => {}
            }
        }
        let cited = choice.message.parts.iter().filter_map(|part| match part {
            Part::Reference { ids } => Some(ids),
            _ => None,
        });
        let reference_ids: Vec<_> = cited.flatten().collect();
        let answers = refusal.is_empty() && tool_calls.is_empty();
        let message = Message {
            role: "assistant",
            content: (answers || !content.is_empty()).then_some(content),
            refusal: (!refusal.is_empty()).then_some(refusal),
            reasoning_content: thoughts,
            thinking_blocks: blocks,
            tool_calls,
            octroi: (!reference_ids.is_empty()).then_some(Cited { reference_ids }),
        };
        Self { index, message, finish_reason: finish_reason(choice.finish_reason) }
    }
}

/// The word for it that clients know: theirs are a closed set, and what is not among them has ended all the same.
pub(super) fn finish_reason(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Other => FinishReason::Stop.as_str(),
        known => known.as_str(),
    }
}

/// What an answer looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `chat.completion`.
    Chat,
    /// The same, with reasoning in its content.
    ChatInParts,
    /// `text_completion`.
    Text,
    /// A list of vectors.
    Vectors,
    /// A list of judgements.
    Judgements,
}

/// Where Mistral's clients look for the day on which the vendor takes the model away. On a stream those in Python fail of it.
const DEPRECATION: &str = "x-model-deprecation-timestamp";

/// The answer, and in its headers how it was come by.
pub(super) fn response(routed: &Routed, generation: u64, form: Form) -> Response {
    let answer = &routed.answer;
    let response = match form {
        Form::Chat | Form::ChatInParts => completion(answer, form),
        Form::Text => text_completion(answer),
        Form::Vectors => vectors(answer),
        Form::Judgements => judgements(answer),
    };
    let mut response = self::routed(response, routed, generation);
    let deprecation = answer.aside.deprecation.as_deref().and_then(|date| HeaderValue::from_str(date).ok());
    response.headers_mut().extend(deprecation.map(|date| (HeaderName::from_static(DEPRECATION), date)));
    response
}

fn completion(answer: &ChatAnswer, form: Form) -> Response {
    let choices = answer.choices.iter().enumerate().map(|(index, choice)| Choice::new(index, choice, form)).collect();
    json_that_holds(
        answer.held.as_ref(),
        StatusCode::OK,
        &Completion {
            id: &answer.id,
            object: "chat.completion",
            created: created(answer),
            model: &answer.model,
            choices,
            usage: answer.usage.unwrap_or_default().into(),
            service_tier: answer.aside.service_tier.as_deref(),
            system_fingerprint: answer.aside.system_fingerprint.as_deref(),
        },
    )
}

/// When an answer was made, by the vendor's clock where it tells.
fn created(answer: &ChatAnswer) -> i64 {
    answer.aside.created.unwrap_or_else(|| Timestamp::now().as_second())
}

fn text_completion(answer: &ChatAnswer) -> Response {
    let choice = |(index, choice): (usize, &chat::Choice)| {
        json!({
            "index": index, "text": choice.message.plain_text(), "logprobs": null,
            "finish_reason": finish_reason(choice.finish_reason),
        })
    };
    let choices: Vec<_> = answer.choices.iter().enumerate().map(choice).collect();
    json_that_holds(
        answer.held.as_ref(),
        StatusCode::OK,
        &json!({
            "id": answer.id, "object": "text_completion", "created": created(answer),
            "model": answer.model, "choices": choices, "usage": answer.usage.map(Usage::from),
        }),
    )
}

#[derive(Serialize)]
struct Vectors<'a> {
    id: &'a str,
    object: &'static str,
    model: &'a str,
    data: Vec<Vector<'a>>,
    /// Both families' clients want one.
    usage: Usage,
}

#[derive(Serialize)]
struct Vector<'a> {
    object: &'static str,
    index: usize,
    embedding: &'a Json,
}

fn vectors(answer: &ChatAnswer) -> Response {
    let vector = |(index, embedding)| Vector { object: "embedding", index, embedding };
    let data = answer.results.iter().enumerate().map(vector).collect();
    let usage = answer.usage.unwrap_or_default().into();
    let vectors = Vectors { id: &answer.id, object: "list", model: &answer.model, data, usage };
    json_that_holds(answer.held.as_ref(), StatusCode::OK, &vectors)
}

/// Mistral says what it found and not whether that is too much, which OpenAI's clients ask.
fn judgements(answer: &ChatAnswer) -> Response {
    let judged = |result: &Json| {
        let mut judged: Value = serde_json::from_str(result.get()).unwrap_or_default();
        let found = |categories: &Value| categories.as_object().is_some_and(|it| it.values().any(|it| it == true));
        let flagged = found(&judged["categories"]);
        if let Some(judged) = judged.as_object_mut() {
            judged.entry("flagged").or_insert(flagged.into());
        }
        judged
    };
    let results: Vec<_> = answer.results.iter().map(judged).collect();
    let mut body = json!({ "id": answer.id, "model": answer.model, "results": results });
    if let Some(usage) = answer.usage {
        body["usage"] = json!(Usage::from(usage));
    }
    json_that_holds(answer.held.as_ref(), StatusCode::OK, &body)
}

const PROVIDER: HeaderName = HeaderName::from_static("x-octroi-provider");
const MODEL: HeaderName = HeaderName::from_static("x-octroi-model");
const ATTEMPTS: HeaderName = HeaderName::from_static("x-octroi-attempts");
const UPSTREAM_ID: HeaderName = HeaderName::from_static("x-octroi-upstream-id");
const COST: HeaderName = HeaderName::from_static("x-octroi-cost-usd");
const GENERATION: HeaderName = HeaderName::from_static("x-octroi-generation");

/// How an answer was come by.
pub(super) struct Route<'a> {
    pub(super) provider: &'a str,
    pub(super) model: &'a str,
    /// The last call among them is the one that answered, or failed last.
    pub(super) attempts: &'a [Attempt],
    pub(super) generation: u64,
}

impl Route<'_> {
    /// Says so in the headers.
    pub(super) fn told(&self, mut response: Response, cost_usd: Option<f64>) -> Response {
        let text = |value: &str| HeaderValue::from_str(value).ok();
        let upstream_id = Attempt::last_call(self.attempts).and_then(|call| call.correlation_id.as_deref());
        let headers = response.headers_mut();
        // These, the request's id and the length.
        headers.reserve(8);
        for (name, value) in [
            (PROVIDER, text(self.provider)),
            (MODEL, text(self.model)),
            (ATTEMPTS, Some(Attempt::calls(self.attempts).into())),
            (UPSTREAM_ID, upstream_id.and_then(text)),
            (COST, cost_usd.and_then(|dollars| text(&format!("{dollars:.9}")))),
            (GENERATION, Some(self.generation.into())),
        ] {
            if let Some(value) = value {
                headers.insert(name, value);
            }
        }
        response
    }
}

/// Says in the headers how an answer was come by.
pub(super) fn routed(response: Response, routed: &Routed, generation: u64) -> Response {
    let Routed { provider, model, answer, attempts } = routed;
    Route { provider, model, attempts, generation }.told(response, answer.cost_usd)
}

/// Says in the headers which policies judged what went to nobody.
pub(super) fn judged(mut response: Response, generation: u64) -> Response {
    response.headers_mut().insert(GENERATION, generation.into());
    response
}

/// Says of a failure in the headers which policies judged the request, and who was asked last, if anybody was.
pub(super) fn attempted(response: Response, error: &RouteError, generation: u64) -> Response {
    let attempts = error.attempts();
    match Attempt::last_call(attempts) {
        Some(Attempt { provider, model, .. }) => Route { provider, model, attempts, generation }.told(response, None),
        None => judged(response, generation),
    }
}

/// Adds the request's id under both names.
pub(super) fn identified(response: Response, id: &str) -> Response {
    let mut response = with_request_id(response, id);
    if let Ok(value) = HeaderValue::from_str(id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::in_flight::InFlight;

    #[test]
    fn an_answer_of_any_form_holds_its_room_until_it_is_sent() {
        for form in [Form::Chat, Form::ChatInParts, Form::Text, Form::Vectors, Form::Judgements] {
            let in_flight = InFlight::new(100);
            let held = in_flight.hold();
            held.add(80).unwrap();
            let answer = ChatAnswer { model: "m".to_owned(), held: Some(held), ..ChatAnswer::default() };
            let routed = Routed { provider: "mistral".to_owned(), model: "m".to_owned(), answer, attempts: Vec::new() };
            let response = response(&routed, 1, form);
            drop(routed);
            assert_eq!(in_flight.held(), 80, "{form:?}");
            drop(response);
            assert_eq!(in_flight.held(), 0, "{form:?}");
        }
    }
}
