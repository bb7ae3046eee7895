//! What a request asks for beside its messages, in the form that Gemini takes.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use super::model::{Model, Thinking};
use crate::chat::{ChatRequest, ReasoningEffort, ResponseFormat, Tool, ToolChoice};
use crate::provider::ProviderError;
use crate::provider::request::schema::without_identity;
use crate::provider::request::{json_prompt, left_out};
use crate::provider::tools::tool_name::ToolNames;

/// Texts at which an answer ends, at most.
const STOPS: usize = 5;

/// The parts of a body beside the conversation.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Parameters<'a> {
    #[serde(skip_serializing_if = "<[Declarations<'_>]>::is_empty")]
    tools: Vec<Declarations<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_config: Option<ToolConfig<'a>>,
    #[serde(skip_serializing_if = "GenerationConfig::is_empty")]
    generation_config: GenerationConfig<'a>,
    /// What is said to the model because no field says it.
    #[serde(skip)]
    pub(super) instruction: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Declarations<'a> {
    function_declarations: Vec<Declaration<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Declaration<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    /// JSON schema; the older `parameters` takes a dialect of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters_json_schema: Option<Cow<'a, RawValue>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolConfig<'a> {
    function_calling_config: Calling<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Calling<'a> {
    mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed_function_names: Option<[&'a str; 1]>,
}

#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Plain {
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    candidate_count: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_config: Option<ThinkingConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_mime_type: Option<&'static str>,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct GenerationConfig<'a> {
    #[serde(flatten)]
    plain: Plain,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop_sequences: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    response_json_schema: Option<Cow<'a, RawValue>>,
}

impl GenerationConfig<'_> {
    fn is_empty(&self) -> bool {
        self.plain == Plain::default() && self.stop_sequences.is_empty() && self.response_json_schema.is_none()
    }
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct ThinkingConfig {
    #[serde(flatten)]
    effort: Effort,
    /// Whoever asks for an effort wants to read what came of it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    include_thoughts: bool,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum Effort {
    ThinkingBudget(u32),
    ThinkingLevel(&'static str),
}

/// The parameters of a request to a model. `max_tokens` is the caller's or the operator's bound. What could not be kept
/// is noted.
pub(super) fn of<'a>(
    request: &'a ChatRequest,
    model: Model,
    max_tokens: Option<u32>,
    notes: &mut Vec<String>,
) -> Result<Parameters<'a>, ProviderError> {
    ToolNames::Gemini.check(&request.tools)?;
    let function_declarations: Vec<_> = request.tools.iter().map(declaration).collect();
    let has_tools = !function_declarations.is_empty();
    let tools = if has_tools { vec![Declarations { function_declarations }] } else { Vec::new() };
    let (format, instruction) = format(request, model, notes);
    let penalties = model.takes_penalties();
    let top_k = request.extra.get("top_k").and_then(|value| value.as_u64());
    let plain = Plain {
        max_output_tokens: max_tokens,
        temperature: request.temperature,
        top_p: request.top_p,
        top_k,
        candidate_count: request.n.filter(|n| *n > 1 && model.takes_candidates()),
        // 32 bits wide upstream. The same seed is always the same.
        seed: request.seed.map(|seed| seed & i64::from(i32::MAX)),
        presence_penalty: request.presence_penalty.filter(|_| penalties),
        frequency_penalty: request.frequency_penalty.filter(|_| penalties),
        thinking_config: request.reasoning_effort.and_then(|asked| {
            let include_thoughts = asked != ReasoningEffort::None;
            Some(ThinkingConfig { effort: effort(asked, model, notes)?, include_thoughts })
        }),
        response_mime_type: format.map(|_| "application/json"),
    };
    let stop_sequences = request.stop.get(..STOPS).unwrap_or(&request.stop);
    if stop_sequences.len() < request.stop.len() {
        notes.push(format!("stop sequences left out beyond the first {STOPS}, the most that the provider takes"));
    }
    let response_json_schema = match format {
        Some(ResponseFormat::JsonSchema(asked)) => Some(without_identity(&asked.schema)),
        _ => None,
    };
    let foreign = request
        .extra
        .iter()
        .filter(|(name, value)| !(value.is_null() || name.as_str() == "top_k" && top_k.is_some()))
        .map(|(name, _)| name.as_str());
    let unplaced = left_out::cache_control(request).into_iter().chain(left_out::name(request));
    notes.extend(left_out::note(foreign.chain(unknown(request, model)).chain(unplaced)));
    Ok(Parameters {
        tools,
        tool_config: request.tool_choice.as_ref().filter(|_| has_tools).map(choice),
        generation_config: GenerationConfig { plain, stop_sequences, response_json_schema },
        instruction,
    })
}

/// Fields of the canonical request that Gemini, or this model, has not, where they ask for something.
fn unknown(request: &ChatRequest, model: Model) -> impl Iterator<Item = &str> {
    let penalty = |penalty: Option<f64>| !model.takes_penalties() && penalty.is_some_and(|penalty| penalty != 0.0);
    let one_by_one = request.parallel_tool_calls == Some(false) && !request.tools.is_empty();
    [
        ("n", !model.takes_candidates() && request.n.is_some_and(|n| n > 1)),
        ("presence_penalty", penalty(request.presence_penalty)),
        ("frequency_penalty", penalty(request.frequency_penalty)),
        ("parallel_tool_calls", one_by_one),
        ("strict", request.tools.iter().any(|tool| tool.strict == Some(true))),
    ]
    .into_iter()
    .filter_map(|(name, asked)| asked.then_some(name))
}

fn declaration(tool: &Tool) -> Declaration<'_> {
    let parameters_json_schema = tool.parameters.as_ref().map(without_identity);
    Declaration { name: &tool.name, description: tool.description.as_deref(), parameters_json_schema }
}

fn choice(choice: &ToolChoice) -> ToolConfig<'_> {
    let (mode, allowed_function_names) = match choice {
        ToolChoice::Auto => ("AUTO", None),
        ToolChoice::None => ("NONE", None),
        ToolChoice::Required => ("ANY", None),
        ToolChoice::Named(name) => ("ANY", Some([name.as_str()])),
    };
    ToolConfig { function_calling_config: Calling { mode, allowed_function_names } }
}

/// The JSON that the model is held to, or what is said to it where it cannot be.
fn format<'a>(
    request: &'a ChatRequest,
    model: Model,
    notes: &mut Vec<String>,
) -> (Option<&'a ResponseFormat>, Option<String>) {
    let Some(asked) = request.response_format.as_ref().filter(|format| **format != ResponseFormat::Text) else {
        return (None, None);
    };
    if request.tools.is_empty() || model.takes_json_with_tools() {
        return (Some(asked), None);
    }
    notes.push(json_prompt::NOTE.to_owned());
    (None, json_prompt::words(asked))
}

/// The budgets are those that Google's own OpenAI surface takes for these efforts.
fn effort(asked: ReasoningEffort, model: Model, notes: &mut Vec<String>) -> Option<Effort> {
    let least = asked == ReasoningEffort::None;
    let hardly = least || asked == ReasoningEffort::Minimal && model.thinking() == Thinking::Level;
    match model.thinking() {
        Thinking::None if least => None,
        Thinking::None => {
            notes.push("reasoning_effort left out, which the model does not take".to_owned());
            None
        }
        _ if hardly && !model.can_hardly_think() => {
            let asked = if least { "none" } else { "minimal" };
            notes.push(format!("reasoning_effort {asked} sent as low: the model always thinks"));
            effort(ReasoningEffort::Low, model, notes)
        }
        Thinking::Budget => Some(Effort::ThinkingBudget(match asked {
            ReasoningEffort::None => 0,
            ReasoningEffort::Minimal | ReasoningEffort::Low => 1024,
            ReasoningEffort::Medium => 8192,
            ReasoningEffort::High | ReasoningEffort::Xhigh | ReasoningEffort::Max => 24_576,
        })),
        Thinking::Level => Some(Effort::ThinkingLevel(match asked {
            ReasoningEffort::None | ReasoningEffort::Minimal => "minimal",
            ReasoningEffort::Low => "low",
            ReasoningEffort::Medium => "medium",
            ReasoningEffort::High | ReasoningEffort::Xhigh | ReasoningEffort::Max => "high",
        })),
    }
}
