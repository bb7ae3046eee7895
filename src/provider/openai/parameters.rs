//! What a request asks for beside its messages, as far as its model and its server take it.

use serde::Serialize;
use serde_json::Value;

use super::model::Model;
use super::request::{Effort, Fields, Options};
use crate::chat::{ChatRequest, ReasoningEffort, Tool, ToolChoice};
use crate::provider::Kind;
use crate::provider::request::left_out;

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
            if self.parallel_tool_calls.take() == Some(false) {
                unknown.push("parallel_tool_calls");
            }
            if self.n.take().is_some_and(|n| n > 1) {
                unknown.push("n");
            }
        }
        unknown
    }

    /// Leaves out what this model refuses, of the caller's own fields too, and notes what of it would have made a
    /// difference. Of a model that was asked by failover the caller may know nothing.
    pub(super) fn for_model(&mut self, options: Options<'_>, extra: &mut Fields<'_>, notes: &mut Vec<String>) {
        let model = match options.kind {
            Kind::OpenAi | Kind::AzureOpenAi => Model::named(options.known_as),
            Kind::Ollama if options.effort == Effort::Refused => Model::PLAIN,
            Kind::Ollama => Model::OLLAMAS,
            _ => Model::UNKNOWN,
        };
        let asked = self.reasoning_effort;
        self.reasoning_effort = asked.and_then(|asked| model.effort(asked));
        if self.reasoning_effort.is_some() && self.reasoning_effort != asked {
            notes.push("reasoning_effort sent as the nearest that the model takes".to_owned());
        }
        let reasons = model.reasons();
        let samples = model.samples(self.reasoning_effort);
        let drop = |value: &mut Option<f64>, usual: f64, taken: bool| {
            !taken && value.take().is_some_and(|asked| asked != usual)
        };
        let mut field = |name: &str, taken: bool| {
            let asks = |value: &Value| !matches!(value, Value::Null | Value::Bool(false));
            !taken && extra.remove(name).is_some_and(|value| asks(value))
        };
        let stops = !model.stops() && !std::mem::take(&mut self.stop).is_empty();
        let parallel = !model.takes_parallel_calls() && self.parallel_tool_calls.take() == Some(false);
        let efforts = self.reasoning_effort.is_none() && asked.is_some_and(|asked| asked != ReasoningEffort::None);
        let refused = [
            ("reasoning_effort", efforts),
            ("temperature", drop(&mut self.temperature, 1.0, samples)),
            ("top_p", drop(&mut self.top_p, 1.0, samples)),
            ("presence_penalty", drop(&mut self.presence_penalty, 0.0, !reasons)),
            ("frequency_penalty", drop(&mut self.frequency_penalty, 0.0, !reasons)),
            ("logprobs", field("logprobs", samples)),
            ("top_logprobs", field("top_logprobs", samples)),
            ("logit_bias", field("logit_bias", !reasons)),
            ("stop", stops),
            ("parallel_tool_calls", parallel),
        ]
        .into_iter()
        .filter_map(|(name, dropped)| dropped.then_some(name));
        notes.extend(left_out::of_model(refused));
    }
}
