//! A chat completion as a canonical answer: OpenAI's form of it, Mistral's, and those of the many that answer like
//! them. Pure, and tolerant: what is missing or of another JSON type than usual is read if
//! it can be, unknown kinds of content are left out with a note, and only an answer without an answer is an error. No
//! message of an error repeats what the model said.

pub(super) mod content;
mod unknown;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::chat::{Aside, ChatAnswer, Choice, ExtraContent, FinishReason, Message, Part, Role, Seal, Usage, unescaped};
use crate::provider::answer::notes::Notes;
use crate::provider::answer::values;
use crate::provider::price::Tier;
use crate::provider::request::left_out;
use crate::provider::tools::call_id::{Made, check_count};
use crate::provider::upstream::text::is_token;
use crate::provider::{ErrorKind, ProviderError, names};
use content::Content;

/// An answer, and how urgently it was served. The price is not known here.
#[derive(Debug, PartialEq)]
pub(crate) struct Parsed {
    pub(crate) answer: ChatAnswer,
    pub(crate) tier: Tier,
}

#[derive(Deserialize)]
struct Completion {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    choices: Option<Vec<WireChoice>>,
    #[serde(default)]
    created: Option<Value>,
    #[serde(default)]
    usage: Option<Value>,
    /// OpenAI's; Mistral's is in the usage.
    #[serde(default)]
    service_tier: Option<Value>,
    #[serde(default)]
    system_fingerprint: Option<Value>,
}

#[derive(Deserialize)]
struct WireChoice {
    #[serde(default)]
    index: Option<u64>,
    #[serde(default)]
    finish_reason: Option<String>,
    #[serde(default)]
    message: Option<WireMessage>,
}

#[derive(Deserialize)]
struct WireMessage {
    #[serde(default)]
    content: Content,
    #[serde(default)]
    tool_calls: Option<Vec<Box<RawValue>>>,
    /// Where servers of open models put what others put into the content.
    #[serde(default)]
    reasoning_content: Option<Value>,
    #[serde(default)]
    reasoning: Option<Value>,
    /// OpenAI's, instead of content.
    #[serde(default)]
    refusal: Option<Value>,
}

/// Reads the body of an answer with status 200 to a request for the model `asked`.
pub(crate) fn parse(body: &[u8], asked: &str) -> Result<Parsed, ProviderError> {
    values::check(body)?;
    let completion: Completion = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    let mut choices = completion.choices.unwrap_or_default();
    if choices.is_empty() {
        return Err(ProviderError::malformed("the upstream's answer has no choices"));
    }
    choices.sort_by_key(|choice| choice.index.unwrap_or(0));
    let mut notes = Notes::default();
    let mut ids = Made::of(body);
    let told = completion.usage.as_ref().and_then(Value::as_object);
    let usage = told.and_then(read_usage);
    let choices: Result<Vec<_>, _> =
        choices.into_iter().map(|choice| read_choice(choice, &mut ids, &mut notes)).collect();
    // What failed was counted all the same.
    let choices = choices.map_err(|error| error.with_spent(usage))?;
    let fields = left_out::of_answer(unknown::fields(body).iter().map(String::as_str));
    let tier = tier(told, completion.service_tier.as_ref());
    let answer = ChatAnswer {
        id: completion.id.filter(|id| is_token(id)).unwrap_or_default(),
        model: completion.model.filter(|model| is_token(model)).unwrap_or_else(|| asked.to_owned()),
        aside: Aside {
            created: completion.created.as_ref().and_then(created),
            service_tier: completion.service_tier.as_ref().and_then(token).or_else(|| served(told)),
            system_fingerprint: completion.system_fingerprint.as_ref().and_then(token),
            deprecation: None,
        },
        choices,
        usage,
        notes: notes.into_iter().chain(fields).collect(),
        ..ChatAnswer::default()
    };
    Ok(Parsed { answer, tier })
}

/// The last second of the year 9999.
const LAST_SECOND: i64 = 253_402_300_799;

/// When an answer was made; some servers say zero.
pub(super) fn created(value: &Value) -> Option<i64> {
    value.as_i64().filter(|second| (1..=LAST_SECOND).contains(second))
}

/// What an answer says of itself, if that is no text.
pub(super) fn token(value: &Value) -> Option<String> {
    value.as_str().filter(|text| is_token(text)).map(str::to_owned)
}

fn read_choice(choice: WireChoice, ids: &mut Made<&[u8]>, notes: &mut Notes) -> Result<Choice, ProviderError> {
    let message =
        choice.message.ok_or_else(|| ProviderError::malformed("a choice of the upstream's answer has no message"))?;
    let mut parts = Vec::new();
    let calls = message.tool_calls.unwrap_or_default();
    check_count(calls.len())?;
    let own = message.reasoning_content.as_ref().and_then(Value::as_str);
    let reasoning = own.into_iter().chain(message.reasoning.as_ref().and_then(Value::as_str));
    // Beside calls the empty one is told: DeepSeek and Kimi want it back.
    let told = reasoning.clone().find(|text| !text.is_empty()).or(own.filter(|_| !calls.is_empty()));
    if let Some(text) = told {
        parts.push(Part::Thinking { text: text.to_owned(), seal: None });
    }
    parts.append(&mut message.content.into_parts(notes));
    if let Some(text) = message.refusal.as_ref().and_then(Value::as_str).filter(|text| !text.is_empty()) {
        notes.add("the model refused to answer");
        parts.push(Part::Refusal { text: text.to_owned() });
    }
    for call in &calls {
        let read = serde_json::from_str(call.get()).map_err(|error| unreadable(&error))?;
        parts.extend(read_call(&read, call, ids, notes));
    }
    let called = parts.iter().any(|part| matches!(part, Part::ToolCall { .. }));
    let finish_reason = finish_reason(choice.finish_reason.as_deref(), called)?;
    Ok(Choice { message: Message { role: Role::Assistant, parts }, finish_reason })
}

/// Why a choice ended. `called`: it asks for tools.
pub(super) fn finish_reason(reason: Option<&str>, called: bool) -> Result<FinishReason, ProviderError> {
    Ok(match reason {
        // The latter is Together's.
        Some("stop" | "eos") => FinishReason::Stop,
        Some("length" | "model_length") => FinishReason::Length,
        Some("tool_calls" | "function_call") => FinishReason::ToolCalls,
        Some("content_filter") => FinishReason::ContentFilter,
        Some("error") => {
            let message = "the upstream's model ended its answer with an error";
            return Err(ProviderError::new(ErrorKind::GenerationFailed, message));
        }
        None if called => FinishReason::ToolCalls,
        Some(_) | None => FinishReason::Other,
    })
}

/// How urgently it was served: Mistral says so in the usage.
pub(super) fn tier(usage: Option<&Map<String, Value>>, beside: Option<&Value>) -> Tier {
    Tier::named(usage.and_then(|usage| usage.get("service_tier")).or(beside).and_then(Value::as_str))
}

/// The word for that in the usage, unless it is the usual one: others' clients look for it beside the usage, and know no
/// `standard`.
pub(super) fn served(usage: Option<&Map<String, Value>>) -> Option<String> {
    usage?.get("service_tier").filter(|word| Tier::named(word.as_str()) != Tier::Standard).and_then(token)
}

fn unreadable(error: &serde_json::Error) -> ProviderError {
    ProviderError::unreadable(error, "chat completion")
}

/// A tool call, and the same as it is written; `type`, `index` and a usable `id` may be missing, arguments may be an object
/// instead of text (Q23).
fn read_call(call: &Value, written: &RawValue, ids: &mut Made<&[u8]>, notes: &mut Notes) -> Option<Part> {
    let function = call.get("function").and_then(Value::as_object);
    let name = function.and_then(|function| function.get("name")).and_then(Value::as_str);
    let Some(name) = name.filter(|name| names::is_call(name)) else {
        notes.add(names::NAMELESS);
        return None;
    };
    let arguments = match function.and_then(|function| function.get("arguments")) {
        None | Some(Value::Null) => "{}".to_owned(),
        Some(Value::String(text)) if text.is_empty() => "{}".to_owned(),
        Some(Value::String(text)) => unescaped(text.clone()),
        Some(other) => arguments_as_written(written).unwrap_or_else(|| other.to_string()),
    };
    let id = ids.or_made(call.get("id").and_then(Value::as_str));
    Some(Part::ToolCall { id, name: name.to_owned(), arguments, seal: seal(call) })
}

/// Arguments of a call that are no text, in the upstream's words: a [`Value`] keeps neither the order of keys nor all digits
/// of a number.
pub(super) fn arguments_as_written(call: &RawValue) -> Option<String> {
    let arguments = field(field(call, "function")?, "arguments")?;
    Some(unescaped(arguments.get().to_owned()))
}

/// What stands in a field of an object, as it is written: the last of those of one name, which a [`Value`] keeps too.
pub(super) fn field<'a>(object: &'a RawValue, name: &str) -> Option<&'a RawValue> {
    let fields: BTreeMap<String, &RawValue> = serde_json::from_str(object.get()).ok()?;
    fields.get(name).copied()
}

/// Google's seal beside a call.
pub(super) fn seal(call: &Value) -> Option<Seal> {
    ExtraContent::deserialize(call.get("extra_content")?).ok()?.seal()
}

/// Tokens, with the four places where cached ones have been seen, the last one Together's. OpenAI since GPT-5.6 and
/// OpenRouter also say which were written to the cache; the prompt's are all of them together. Without a count of the
/// prompt's or the answer's tokens there is no usage: nothing is made up.
pub(super) fn read_usage(usage: &Map<String, Value>) -> Option<Usage> {
    let count = |name| usage.get(name).and_then(number);
    let detail = |place: &str, name: &str| usage.get(place)?.get(name).and_then(number);
    let (prompt, completion, total) = (count("prompt_tokens"), count("completion_tokens"), count("total_tokens"));
    let prompt_tokens = prompt.or_else(|| total?.checked_sub(completion?));
    let completion_tokens = completion.or_else(|| total?.checked_sub(prompt?));
    if prompt_tokens.is_none() && completion_tokens.is_none() {
        return None;
    }
    // xAI counts reasoning beside the answer, where the total tells so; everybody else counts it in.
    let reasoning = detail("completion_tokens_details", "reasoning_tokens").unwrap_or(0);
    let with_reasoning = completion.zip(prompt).and_then(|(completion, prompt)| {
        let sum = completion.checked_add(reasoning)?;
        (total == prompt.checked_add(sum)).then_some(sum)
    });
    let completion_tokens = with_reasoning.or(completion_tokens);
    let cached = count("num_cached_tokens")
        .or_else(|| detail("prompt_tokens_details", "cached_tokens"))
        .or_else(|| detail("prompt_token_details", "cached_tokens"))
        .or_else(|| count("cached_tokens"));
    let written = detail("prompt_tokens_details", "cache_write_tokens");
    let of_answer = |name| detail("completion_tokens_details", name).unwrap_or(0);
    let prompt_tokens = prompt_tokens.unwrap_or(0);
    let completion_tokens = completion_tokens.unwrap_or(0);
    let cached_tokens = cached.unwrap_or(0).min(prompt_tokens);
    Some(Usage {
        prompt_tokens,
        completion_tokens,
        reasoning_tokens: reasoning.min(completion_tokens),
        audio_tokens: of_answer("audio_tokens"),
        accepted_prediction_tokens: of_answer("accepted_prediction_tokens"),
        rejected_prediction_tokens: of_answer("rejected_prediction_tokens"),
        cached_tokens,
        cache_write_tokens: written.unwrap_or(0).min(prompt_tokens - cached_tokens),
        ..Usage::default()
    })
}

/// More tokens than any answer has used. Of two such counts the sum is a number that clients in Java and Go read.
const MOST_TOKENS: u64 = 1_000_000_000;

/// A count of tokens; some deployments write whole numbers with a fraction of zero. An absurd one is none.
pub(crate) fn number(value: &Value) -> Option<u64> {
    let whole = || value.as_f64().filter(|it| *it >= 0.0 && it.fract() == 0.0).map(|it| it as u64);
    value.as_u64().or_else(whole).filter(|count| *count <= MOST_TOKENS)
}

#[cfg(test)]
#[path = "completion_tests.rs"]
mod tests;
