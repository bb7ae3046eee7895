//! Requests about texts: filling in, vectors, judgements. Pure.

use serde::Serialize;

use super::parameters;
use super::repairs::Repairs;
use super::request::{Options, Prepared};
use super::tool_id::ToolIds;
use super::wire::{Thinking, Wire};
use crate::chat::{ChatRequest, Task};
use crate::provider::{ProviderError, http};

/// Texts in one request for vectors, at most.
pub(super) const BATCH_TEXTS: usize = 512;

/// Bytes in one request for vectors. Mistral allows 16,384 tokens; few texts have more than one for two bytes, and those
/// are refused and cut in half.
pub(super) const BATCH_BYTES: usize = 2 * 16_384;

#[derive(Serialize)]
struct FillIn<'a> {
    model: &'a str,
    prompt: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    suffix: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    random_seed: Option<i64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream: bool,
}

#[derive(Serialize)]
struct AboutTexts<'a> {
    model: &'a str,
    input: &'a [&'a str],
    #[serde(skip_serializing_if = "Option::is_none")]
    output_dimension: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_dtype: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding_format: Option<&'a str>,
}

#[derive(Serialize)]
struct AboutChats<'a> {
    model: &'a str,
    input: Vec<Vec<Wire<'a>>>,
}

/// The body of `POST /v1/fim/completions`.
pub(super) fn fill_in(request: &ChatRequest, options: Options<'_>) -> Result<Prepared, ProviderError> {
    let mut texts = request.texts();
    let mut notes = Vec::new();
    let body = http::json(&FillIn {
        model: options.model,
        prompt: texts.next().unwrap_or_default(),
        suffix: texts.next(),
        max_tokens: request.max_tokens.or(options.max_tokens),
        temperature: parameters::temperature(request, &mut notes),
        top_p: parameters::top_p(request, &mut notes),
        stop: &request.stop,
        random_seed: parameters::seed(request),
        stream: options.stream,
    })?;
    Ok(Prepared { body, notes })
}

/// The body of `POST /v1/embeddings` or `POST /v1/moderations`.
pub(super) fn about(request: &ChatRequest, model: &str, texts: &[&str]) -> Result<Vec<u8>, ProviderError> {
    let form = (request.task == Task::Embed).then_some(&request.vectors);
    http::json(&AboutTexts {
        model,
        input: texts,
        output_dimension: form.and_then(|form| form.dimensions),
        output_dtype: form.and_then(|form| form.dtype.as_deref()),
        encoding_format: form.and_then(|form| form.encoding.as_deref()),
    })
}

/// The body of `POST /v1/chat/moderations`.
pub(super) fn about_chats(request: &ChatRequest, model: &str) -> Result<Prepared, ProviderError> {
    let ids = ToolIds::of(&request.messages);
    let mut repairs = Repairs { replaced_ids: ids.replaced(), ..Repairs::default() };
    let one = |messages| Wire::all(messages, &ids, Thinking::Drop, &mut repairs);
    let input = request.conversations().map(one).collect();
    let body = http::json(&AboutChats { model, input })?;
    Ok(Prepared { body, notes: repairs.notes() })
}
