//! What a request asks for beside its messages, in the form that Mistral takes. The numbers are those of the table of
//! quirks in the documentation of the provider.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::cache_key;
use super::request::Options;
use crate::chat::{AsWritten, ChatRequest, ReasoningEffort, ResponseFormat, Schema, Task, Tool, ToolChoice};
use crate::provider::request::left_out;
use crate::provider::request::schema::{keyword, without_identity};
use crate::provider::tools::tool_name::ToolNames;
use crate::provider::{ErrorKind, ProviderError};

/// Of two numbers in the vendor's documentation, that of its specification.
const HIGHEST_TEMPERATURE: f64 = 1.5;

/// A function's parameters where the caller gave none: Mistral wants some.
const NO_PARAMETERS: &str = r#"{"type":"object","properties":{}}"#;

#[derive(Debug, Default, Serialize)]
pub(super) struct Parameters<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<u32>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    random_seed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<WireTool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<WireChoice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<WireFormat<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<ReasoningEffort>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_cache_key: Option<String>,
    /// Fields that Mistral has and the canonical request has not.
    #[serde(flatten)]
    own: Own<'a>,
}

/// Fields of the caller's.
pub(super) type Own<'a> = BTreeMap<&'a str, &'a AsWritten>;

#[derive(Debug, Serialize)]
struct WireTool<'a> {
    r#type: &'static str,
    function: Function<'a>,
}

#[derive(Debug, Serialize)]
struct Function<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    parameters: Cow<'a, RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum WireChoice<'a> {
    Word(&'static str),
    Named { r#type: &'static str, function: Name<'a> },
}

#[derive(Debug, Serialize)]
struct Name<'a> {
    name: &'a str,
}

#[derive(Debug, Serialize)]
struct WireFormat<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    json_schema: Option<WireSchema<'a>>,
}

#[derive(Debug, Serialize)]
struct WireSchema<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    schema: Cow<'a, RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

/// The parameters of a request. What could not be kept is noted.
pub(super) fn of<'a>(
    request: &'a ChatRequest,
    options: Options<'_>,
    notes: &mut Vec<String>,
) -> Result<Parameters<'a>, ProviderError> {
    ToolNames::Common.check(&request.tools)?;
    let has_tools = !request.tools.is_empty();
    let without = options.without;
    let mut parameters = Parameters {
        max_tokens: request.max_tokens.or(options.max_tokens),
        temperature: temperature(request, notes),
        top_p: top_p(request, notes),
        n: request.n,
        stop: &request.stop,
        random_seed: seed(request),
        presence_penalty: request.presence_penalty,
        frequency_penalty: request.frequency_penalty,
        tools: request.tools.iter().map(|tool| written(tool, without)).collect::<Result<_, _>>()?,
        tool_choice: request.tool_choice.as_ref().filter(|_| has_tools).map(choice),
        parallel_tool_calls: request.parallel_tool_calls.filter(|_| has_tools),
        response_format: request.response_format.as_ref().map(|asked| format(asked, without)),
        reasoning_effort: None,
        prompt_cache_key: None,
        own: Own::new(),
    };
    if let Some(asked) = request.reasoning_effort {
        if options.reasons {
            parameters.reasoning_effort = Some(effort(asked, options.model, notes));
        } else {
            notes.push("reasoning_effort left out, which the model does not take".to_owned());
        }
    }
    parameters.own = own(request, notes);
    let derives = options.derives_cache_key && !parameters.own.contains_key("prompt_cache_key");
    parameters.prompt_cache_key = derives.then(|| cache_key::derived(request));
    notes.extend(left_out::of_schemas(without.iter().map(String::as_str)));
    Ok(parameters)
}

/// The caller's fields that Mistral has for such a task. The others are noted.
pub(super) fn own<'a>(request: &'a ChatRequest, notes: &mut Vec<String>) -> Own<'a> {
    let (own, foreign): (Own<'_>, Own<'_>) = request
        .extra
        .iter()
        .map(|(name, value)| (name.as_str(), value))
        .filter(|(name, value)| says_something(name, value))
        .partition(|(name, value)| is_known(request.task, name) && is_own(name, value));
    let unplaced = left_out::cache_control(request).into_iter().chain(left_out::name(request));
    notes.extend(left_out::note(foreign.into_keys().chain(unplaced)));
    own
}

/// Whether requests of a task may have a field that Mistral has.
fn is_known(task: Task, name: &str) -> bool {
    match task {
        Task::Chat => true,
        Task::FillIn => matches!(name, "min_tokens" | "prompt_cache_key" | "metadata"),
        Task::Embed | Task::Moderate => name == "metadata",
        Task::ModerateChats => false,
    }
}

/// The temperature, within what the API takes: OpenAI's goes up to 2.
pub(super) fn temperature(request: &ChatRequest, notes: &mut Vec<String>) -> Option<f64> {
    let asked = request.temperature?;
    if asked > HIGHEST_TEMPERATURE {
        notes.push(format!("temperature lowered to {HIGHEST_TEMPERATURE}, the highest that the provider takes"));
    }
    Some(asked.min(HIGHEST_TEMPERATURE))
}

/// Nucleus sampling. One specification allows zero, the other does not.
pub(super) fn top_p(request: &ChatRequest, notes: &mut Vec<String>) -> Option<f64> {
    let asked = request.top_p?;
    if asked > 0.0 {
        return Some(asked);
    }
    notes.push("top_p left out: the provider takes only values above 0".to_owned());
    None
}

/// A negative seed is as good as another, but refused: the same seed is always the same.
pub(super) fn seed(request: &ChatRequest) -> Option<i64> {
    request.seed.map(|seed| seed & i64::MAX)
}

fn written<'a>(tool: &'a Tool, without: &[String]) -> Result<WireTool<'a>, ProviderError> {
    let parameters = match &tool.parameters {
        Some(schema) => taken(schema, without),
        None => Cow::Owned(RawValue::from_string(NO_PARAMETERS.to_owned()).map_err(|error| {
            ProviderError::new(ErrorKind::InvalidRequest, &format!("tool `{}`: {error}", tool.name))
        })?),
    };
    let description = tool.description.as_deref();
    Ok(WireTool {
        r#type: "function",
        function: Function { name: &tool.name, description, parameters, strict: tool.strict },
    })
}

/// `any` is the word for `required` that every model and deployment takes (Q10).
fn choice(choice: &ToolChoice) -> WireChoice<'_> {
    match choice {
        ToolChoice::Auto => WireChoice::Word("auto"),
        ToolChoice::None => WireChoice::Word("none"),
        ToolChoice::Required => WireChoice::Word("any"),
        ToolChoice::Named(name) => WireChoice::Named { r#type: "function", function: Name { name } },
    }
}

/// `$id` and `$schema` have broken the grammar that is made of a schema, and some models refuse other keywords (Q17).
fn taken<'a>(schema: &'a Schema, without: &[String]) -> Cow<'a, RawValue> {
    if without.is_empty() { without_identity(schema) } else { keyword::without(schema, without) }
}

/// The keyword of a request's schemas that a refusal is about.
pub(super) fn refused_keyword(request: &ChatRequest, refusal: &str) -> Option<String> {
    keyword::named(refusal).filter(|refused| has_keyword(request, refused)).map(str::to_owned)
}

/// Whether a schema of a request has a keyword.
pub(super) fn has_keyword(request: &ChatRequest, keyword: &str) -> bool {
    let answer = match &request.response_format {
        Some(ResponseFormat::JsonSchema(asked)) => Some(&asked.schema),
        _ => None,
    };
    let mut schemas = request.tools.iter().filter_map(|tool| tool.parameters.as_ref()).chain(answer);
    schemas.any(|schema| keyword::is_in(schema, keyword))
}

fn format<'a>(format: &'a ResponseFormat, without: &[String]) -> WireFormat<'a> {
    match format {
        ResponseFormat::Text => WireFormat { r#type: "text", json_schema: None },
        ResponseFormat::JsonObject => WireFormat { r#type: "json_object", json_schema: None },
        ResponseFormat::JsonSchema(asked) => WireFormat {
            r#type: "json_schema",
            json_schema: Some(WireSchema {
                name: &asked.name,
                description: asked.description.as_deref(),
                schema: taken(&asked.schema, without),
                strict: asked.strict,
            }),
        },
    }
}

/// Mistral's own models know two efforts (Q13), those of others that it serves all of them.
fn effort(asked: ReasoningEffort, model: &str, notes: &mut Vec<String>) -> ReasoningEffort {
    const OTHERS: [&str; 3] = ["zai-", "glm-", "deepseek-"];
    let nearest = match asked {
        _ if OTHERS.iter().any(|family| model.starts_with(family)) => asked,
        ReasoningEffort::None | ReasoningEffort::Minimal => ReasoningEffort::None,
        _ => ReasoningEffort::High,
    };
    if nearest != asked {
        notes.push("reasoning_effort sent as the nearest that the model takes".to_owned());
    }
    nearest
}

/// Null asks for nothing, and so does the `safe_prompt: false` that a client library always sends and that dedicated
/// deployments refuse.
fn says_something(name: &str, value: &Value) -> bool {
    !(value.is_null() || name == "safe_prompt" && value == &Value::Bool(false))
}

/// Whether Mistral has a field. Where another vendor's of that name takes other values, those count.
fn is_own(name: &str, value: &Value) -> bool {
    match name {
        "prompt_cache_key" => value.as_str().is_some_and(str::is_ascii),
        "top_k" => value.as_i64().is_some_and(|most| most >= -1),
        "repetition_penalty" => value.as_f64().is_some_and(|penalty| penalty >= 0.0),
        "service_tier" => matches!(value.as_str(), Some("auto" | "standard_only")),
        "prediction"
        | "prompt_mode"
        | "guardrails"
        | "metadata"
        | "safe_prompt"
        | "min_tokens"
        | "document_image_limit"
        | "document_page_limit" => true,
        _ => false,
    }
}
