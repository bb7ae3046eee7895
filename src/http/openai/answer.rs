//! An answer as `chat.completion`.

use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use jiff::Timestamp;
use serde::Serialize;

use crate::chat::{self, Called, Part};
use crate::http::answer::json;
use crate::router::Routed;

#[derive(Serialize)]
struct Completion<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    model: &'a str,
    choices: Vec<Choice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
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
    /// Null beside tool calls, as OpenAI has it.
    content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<ToolCall<'a>>,
}

#[derive(Serialize)]
struct ToolCall<'a> {
    #[serde(flatten)]
    called: Called<'a>,
    /// Mistral's clients read it.
    index: usize,
}

#[derive(Serialize)]
pub(super) struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: PromptTokens,
}

#[derive(Serialize)]
struct PromptTokens {
    cached_tokens: u64,
}

impl From<chat::Usage> for Usage {
    fn from(usage: chat::Usage) -> Self {
        Self {
            prompt_tokens: usage.prompt_tokens,
            completion_tokens: usage.completion_tokens,
            total_tokens: usage.total_tokens(),
            prompt_tokens_details: PromptTokens { cached_tokens: usage.cached_tokens },
        }
    }
}

impl<'a> Choice<'a> {
    fn new(index: usize, choice: &'a chat::Choice) -> Self {
        let called = choice.message.tool_calls().enumerate();
        let tool_calls: Vec<_> = called.map(|(index, called)| ToolCall { called, index }).collect();
        let thoughts: String = choice
            .message
            .parts
            .iter()
            .filter_map(|part| match part {
                Part::Thinking { text } => Some(text.as_str()),
                _ => None,
            })
            .collect();
        let text = choice.message.plain_text();
        let message = Message {
            role: "assistant",
            content: (!text.is_empty() || tool_calls.is_empty()).then_some(text),
            reasoning_content: (!thoughts.is_empty()).then_some(thoughts),
            tool_calls,
        };
        Self { index, message, finish_reason: choice.finish_reason.as_str() }
    }
}

/// The answer, and in its headers how it was come by.
pub(super) fn completion(routed: &Routed, generation: u64) -> Response {
    let answer = &routed.answer;
    let usage = answer.usage.map(Usage::from);
    let choices = answer.choices.iter().enumerate().map(|(index, choice)| Choice::new(index, choice)).collect();
    let response = json(
        StatusCode::OK,
        &Completion {
            id: &answer.id,
            object: "chat.completion",
            created: Timestamp::now().as_second(),
            model: &answer.model,
            choices,
            usage,
        },
    );
    let route = Route { provider: &routed.provider, model: &routed.model, attempts: routed.attempts.len(), generation };
    route.told(response, answer.cost_usd)
}

/// How an answer was come by.
pub(super) struct Route<'a> {
    pub(super) provider: &'a str,
    pub(super) model: &'a str,
    pub(super) attempts: usize,
    pub(super) generation: u64,
}

impl Route<'_> {
    /// Says so in the headers.
    pub(super) fn told(&self, mut response: Response, cost_usd: Option<f64>) -> Response {
        let cost = cost_usd.map(|dollars| format!("{dollars:.9}"));
        let headers = response.headers_mut();
        for (name, value) in [
            ("x-octroi-provider", Some(self.provider.to_owned())),
            ("x-octroi-model", Some(self.model.to_owned())),
            ("x-octroi-attempts", Some(self.attempts.to_string())),
            ("x-octroi-cost-usd", cost),
            ("x-octroi-generation", Some(self.generation.to_string())),
        ] {
            if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        response
    }
}
