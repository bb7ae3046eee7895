//! What a request asks for beside its messages, as far as its model and its server take it.

use serde::Serialize;

use super::request::Options;
use crate::chat::{ChatRequest, ReasoningEffort, Tool, ToolChoice};
use crate::provider::Kind;

/// From this version on Azure knows `parallel_tool_calls`, as well as `max_completion_tokens` and `stream_options`.
pub(super) const AZURE_2024_09: &str = "2024-09-01";

/// From this version on Azure knows `reasoning_effort`.
const AZURE_2024_12: &str = "2024-12-01";

/// The parameters of a body.
#[derive(Debug, Serialize)]
pub(super) struct Parameters<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<u32>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f64>,
    #[serde(skip_serializing_if = "<[Tool]>::is_empty")]
    tools: &'a [Tool],
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<&'a ToolChoice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<ReasoningEffort>,
}

impl<'a> Parameters<'a> {
    /// All that is asked for, whoever takes it.
    pub(super) fn of(request: &'a ChatRequest) -> Self {
        let has_tools = !request.tools.is_empty();
        Self {
            temperature: request.temperature,
            top_p: request.top_p,
            n: request.n,
            stop: &request.stop,
            presence_penalty: request.presence_penalty,
            frequency_penalty: request.frequency_penalty,
            tools: &request.tools,
            tool_choice: request.tool_choice.as_ref().filter(|_| has_tools),
            parallel_tool_calls: request.parallel_tool_calls.filter(|_| has_tools),
            reasoning_effort: request.reasoning_effort,
        }
    }

    /// Leaves out what this server does not know, and names what of it would have made a difference.
    pub(super) fn for_server(&mut self, options: Options<'_>) -> Vec<&'static str> {
        let before = |version: &str| options.azure_version.is_some_and(|own| own < version);
        let mut unknown = Vec::new();
        if before(AZURE_2024_09) && self.parallel_tool_calls.take().is_some() {
            unknown.push("parallel_tool_calls");
        }
        if before(AZURE_2024_12) && self.reasoning_effort.take().is_some() {
            unknown.push("reasoning_effort");
        }
        // Ollama takes these and passes them over.
        if options.kind == Kind::Ollama {
            match self.tool_choice.take() {
                // Without tools none is called.
                Some(ToolChoice::None) => self.tools = &[],
                Some(ToolChoice::Required | ToolChoice::Named(_)) => unknown.push("tool_choice"),
                Some(ToolChoice::Auto) | None => {}
            }
            if self.n.take().is_some_and(|n| n > 1) {
                unknown.push("n");
            }
        }
        unknown
    }
}
