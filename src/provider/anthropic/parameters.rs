//! What a request asks for beside its messages, in the form that Anthropic takes.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::held::Held;
use super::model::Model;
use super::thinking::{self, Circumstances, Plan};
use super::without::Without;
use crate::chat::{AsWritten, CacheControl, ChatRequest, ResponseFormat, Schema, Tool, ToolChoice};
use crate::provider::request::{json_prompt, left_out};
use crate::provider::tools::tool_name::ToolNames;
use crate::provider::{ErrorKind, ProviderError};

/// A function's parameters where the caller gave none: some are wanted.
const NO_PARAMETERS: &str = r#"{"type":"object","properties":{}}"#;

#[derive(Debug, Serialize)]
pub(super) struct Parameters<'a> {
    pub(super) max_tokens: u32,
    #[serde(skip_serializing_if = "<[&str]>::is_empty")]
    stop_sequences: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<WireTool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<WireChoice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<thinking::Wire>,
    #[serde(skip_serializing_if = "OutputConfig::is_empty")]
    output_config: OutputConfig<'a>,
    /// Fields that Anthropic has and the canonical request has not.
    #[serde(flatten)]
    own: BTreeMap<&'a str, &'a AsWritten>,
    /// What is said to the model because no field says it.
    #[serde(skip)]
    pub(super) instruction: Option<String>,
}

#[derive(Debug, Serialize)]
struct WireTool<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    input_schema: Cow<'a, RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<CacheControl>,
}

#[derive(Debug, Serialize)]
struct WireChoice<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disable_parallel_tool_use: Option<bool>,
}

#[derive(Debug, Default, Serialize)]
struct OutputConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<WireFormat<'a>>,
}

impl OutputConfig<'_> {
    fn is_empty(&self) -> bool {
        self.effort.is_none() && self.format.is_none()
    }
}

#[derive(Debug, Serialize)]
struct WireFormat<'a> {
    r#type: &'static str,
    schema: Cow<'a, RawValue>,
}

/// The parameters of a request to a model. `max_tokens` is the caller's or the operator's bound, `continues` whether the
/// model goes on with an answer, `without` what the vendor refused. What could not be kept is noted.
pub(super) fn of<'a>(
    request: &'a ChatRequest,
    model: Model,
    max_tokens: Option<u32>,
    continues: bool,
    without: Without,
    notes: &mut Vec<String>,
) -> Result<Parameters<'a>, ProviderError> {
    ToolNames::Anthropic.check(&request.tools)?;
    let held = Held::of(request, model, without, notes);
    let tools = request.tools.iter().zip(held.tools).map(|(it, held)| tool(it, held)).collect::<Result<Vec<_>, _>>()?;
    let tool_choice = if tools.is_empty() { None } else { choice(request, model, notes) };
    let forced = tool_choice.as_ref().is_some_and(|choice| matches!(choice.r#type, "any" | "tool"));
    let plan = thinking::plan(request.reasoning_effort, model, Circumstances { max_tokens, forced, continues }, notes);
    let (temperature, top_p) = sampling(request, model, &plan, notes);
    let (format, instruction) = format(request.response_format.as_ref(), held.answer, notes);
    let stop_sequences: Vec<&str> =
        request.stop.iter().map(String::as_str).filter(|stop| !stop.trim().is_empty()).collect();
    if stop_sequences.len() < request.stop.len() {
        notes.push("stop sequences of white space left out, which the provider does not take".to_owned());
    }
    let samples = model.takes_sampling() && !plan.thinks();
    let (own, foreign): (BTreeMap<_, _>, BTreeMap<_, _>) = request
        .extra
        .iter()
        .map(|(name, value)| (name.as_str(), value))
        .filter(|(_, value)| !value.is_null())
        .partition(|(name, value)| is_own(name, value, samples));
    notes.extend(left_out::note(foreign.into_keys().chain(unknown(request)).chain(left_out::name(request))));
    Ok(Parameters {
        max_tokens: plan.max_tokens,
        stop_sequences,
        temperature,
        top_p,
        tools,
        tool_choice,
        output_config: OutputConfig { effort: plan.effort, format },
        thinking: plan.thinking,
        own,
        instruction,
    })
}

/// Fields of the canonical request that Anthropic has not, where they ask for something.
fn unknown(request: &ChatRequest) -> impl Iterator<Item = &str> {
    let asks = |penalty: Option<f64>| penalty.is_some_and(|penalty| penalty != 0.0);
    [
        ("n", request.n.is_some_and(|n| n > 1)),
        ("seed", request.seed.is_some()),
        ("presence_penalty", asks(request.presence_penalty)),
        ("frequency_penalty", asks(request.frequency_penalty)),
    ]
    .into_iter()
    .filter_map(|(name, asked)| asked.then_some(name))
}

/// Temperature and nucleus, of which one at most is taken, from 0 to 1, by models that do not think.
fn sampling(request: &ChatRequest, model: Model, plan: &Plan, notes: &mut Vec<String>) -> (Option<f64>, Option<f64>) {
    let (mut temperature, mut top_p) = (request.temperature, request.top_p);
    if !model.takes_sampling() || plan.thinks() {
        // 1 is what the model does anyway.
        if temperature.is_some_and(|temperature| temperature != 1.0) || top_p.is_some_and(|share| share != 1.0) {
            notes.push("temperature and top_p left out, which the model does not take".to_owned());
        }
        return (None, None);
    }
    if temperature.is_some_and(|temperature| temperature > 1.0) {
        temperature = Some(1.0);
        notes.push("temperature lowered to 1, the highest that the provider takes".to_owned());
    }
    if temperature.is_some() && top_p.take().is_some_and(|share| share != 1.0) {
        notes.push("top_p left out: the provider takes temperature or top_p".to_owned());
    }
    (temperature, top_p)
}

/// A tool, with the schema that its calls are held to.
fn tool<'a>(tool: &'a Tool, held: Option<Cow<'a, RawValue>>) -> Result<WireTool<'a>, ProviderError> {
    let strict = held.is_some();
    let input_schema = held.or_else(|| match &tool.parameters {
        Some(schema) => typed(schema),
        None => raw(NO_PARAMETERS.to_owned()),
    });
    let input_schema = input_schema.ok_or_else(|| {
        ProviderError::new(ErrorKind::InvalidRequest, &format!("tool `{}`: parameters cannot be written", tool.name))
    })?;
    Ok(WireTool {
        name: &tool.name,
        description: tool.description.as_deref(),
        input_schema,
        strict: strict.then_some(true),
        cache_control: tool.cache,
    })
}

/// A schema of arguments says that it is of an object.
fn typed(schema: &Schema) -> Option<Cow<'_, RawValue>> {
    #[derive(serde::Deserialize)]
    struct Head {
        r#type: Option<serde::de::IgnoredAny>,
    }
    let head: Head = serde_json::from_str(schema.get()).ok()?;
    if head.r#type.is_some() {
        return Some(Cow::Borrowed(schema.raw()));
    }
    let rest = schema.get().strip_prefix('{')?.trim_start();
    let comma = if rest.starts_with('}') { "" } else { "," };
    raw(format!("{{\"type\":\"object\"{comma}{rest}"))
}

fn raw(text: String) -> Option<Cow<'static, RawValue>> {
    RawValue::from_string(text).ok().map(Cow::Owned)
}

fn choice<'a>(request: &'a ChatRequest, model: Model, notes: &mut Vec<String>) -> Option<WireChoice<'a>> {
    let (mut r#type, mut name) = match &request.tool_choice {
        None if request.parallel_tool_calls != Some(false) => return None,
        None | Some(ToolChoice::Auto) => ("auto", None),
        Some(ToolChoice::None) => {
            return Some(WireChoice { r#type: "none", name: None, disable_parallel_tool_use: None });
        }
        Some(ToolChoice::Required) => ("any", None),
        Some(ToolChoice::Named(name)) => ("tool", Some(name.as_str())),
    };
    if r#type != "auto" && !model.takes_forced_tools() {
        (r#type, name) = ("auto", None);
        notes.push(
            "tool_choice sent as auto: the model always thinks, and then cannot be made to call a tool".to_owned(),
        );
    }
    let disable_parallel_tool_use = (request.parallel_tool_calls == Some(false)).then_some(true);
    Some(WireChoice { r#type, name, disable_parallel_tool_use })
}

/// The form of the answer: as a field where the model is held to a schema, else in words.
fn format<'a>(
    asked: Option<&ResponseFormat>,
    held: Option<Cow<'a, RawValue>>,
    notes: &mut Vec<String>,
) -> (Option<WireFormat<'a>>, Option<String>) {
    if let Some(schema) = held {
        return (Some(WireFormat { r#type: "json_schema", schema }), None);
    }
    let instruction = asked.and_then(json_prompt::words);
    notes.extend(instruction.is_some().then(|| json_prompt::NOTE.to_owned()));
    (None, instruction)
}

/// Whether Anthropic has a field. Where another vendor's of that name takes other values, those count.
fn is_own(name: &str, value: &Value, samples: bool) -> bool {
    match name {
        "top_k" => samples && value.is_u64(),
        "service_tier" => matches!(value.as_str(), Some("auto" | "standard_only")),
        "inference_geo" => value.is_string(),
        "metadata" => value
            .as_object()
            .is_some_and(|fields| fields.iter().all(|(name, value)| name == "user_id" && value.is_string())),
        _ => false,
    }
}
