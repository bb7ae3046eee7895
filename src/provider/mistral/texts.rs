//! Requests about texts: filling in, vectors, judgements. Pure.

use std::borrow::Cow;

use serde::Serialize;

use super::parameters::{self, Own};
use super::repairs::Repairs;
use super::request::Options;
use super::wire::{self, Blank, Thinking, Wire};
use crate::chat::{ChatRequest, Task};
use crate::provider::tools::call_id;
use crate::provider::tools::repeated_ids;
use crate::provider::tools::tool_ids::ToolIds;
use crate::provider::tools::tool_name::ToolNames;
use crate::provider::upstream::http::{self, Prepared};
use crate::provider::{ErrorKind, ProviderError};

/// A refusal of so many texts that names one by its place among them, by its place among all, of which so many were before.
/// Of a text that is a batch too large by itself there is no smaller one: it is too long.
pub(super) fn placed(refusal: ProviderError, before: usize, texts: usize) -> ProviderError {
    if refusal.kind() == ErrorKind::BatchTooLarge && texts == 1 {
        let message = format!("Input id {before} is too large by itself: {}", refusal.message());
        return refusal.with_kind(ErrorKind::ContextLength).with_message(&message);
    }
    let rest = refusal.message().strip_prefix("Input id ");
    let place =
        rest.and_then(|rest| rest.split_once(' ')).and_then(|(id, rest)| Some((id.parse::<usize>().ok()?, rest)));
    match place.map(|(id, rest)| format!("Input id {} {rest}", id.saturating_add(before))) {
        Some(message) => refusal.with_message(&message),
        None => refusal,
    }
}

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
    #[serde(flatten)]
    own: Own<'a>,
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
    #[serde(flatten)]
    own: Own<'a>,
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
        own: parameters::own(request, &mut notes),
    })?;
    Ok(Prepared { body, notes })
}

/// The body of `POST /v1/embeddings` or `POST /v1/moderations`.
pub(super) fn about(request: &ChatRequest, model: &str, texts: &[&str]) -> Result<Prepared, ProviderError> {
    let form = (request.task == Task::Embed).then_some(&request.vectors);
    let mut notes = Vec::new();
    let body = http::json(&AboutTexts {
        model,
        input: texts,
        output_dimension: form.and_then(|form| form.dimensions),
        output_dtype: form.and_then(|form| form.dtype.as_deref()),
        encoding_format: form.and_then(|form| form.encoding.as_deref()),
        own: parameters::own(request, &mut notes),
    })?;
    Ok(Prepared { body, notes })
}

/// The body of `POST /v1/chat/moderations`.
pub(super) fn about_chats(request: &ChatRequest, model: &str) -> Result<Prepared, ProviderError> {
    wire::check_images(&request.messages)?;
    // An id of one conversation is none of another's.
    let apart: Vec<_> = request.conversations().map(repeated_ids::told_apart).collect();
    let repeated = apart.iter().map(|(_, repeated)| repeated).sum::<usize>();
    let messages = match repeated {
        0 => Cow::Borrowed(request.messages.as_slice()),
        _ => apart.iter().flat_map(|(messages, _)| messages.iter().cloned()).collect(),
    };
    let (messages, renamed) = ToolNames::Common.renamed(messages);
    let ids = ToolIds::of(&messages, call_id::fits);
    let mut repairs = Repairs { replaced_ids: ids.replaced() + repeated, ..Repairs::default() };
    let one = |messages| Wire::all(messages, &ids, Thinking::Drop, Blank::Keep, &mut repairs);
    let input = request.conversations_of(&messages).map(one).collect();
    let body = http::json(&AboutChats { model, input })?;
    let mut notes: Vec<String> = repairs.notes().into_iter().chain(renamed).collect();
    parameters::own(request, &mut notes);
    Ok(Prepared { body, notes })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::chat::{Message, Part, Role};
    use crate::provider::fixtures::{call, message, read, result};
    use crate::provider::mistral::order::AfterTool;

    #[test]
    fn conversations_that_are_judged_are_whole_and_in_the_form_that_mistral_takes() {
        let named =
            Part::ToolCall { id: "D681PevKt".into(), name: "fs.read".into(), arguments: "{}".into(), seal: None };
        let mut request = ChatRequest::about(Task::ModerateChats, None, Vec::new());
        request.messages = vec![
            Message::text(Role::Assistant, ""),
            message(Role::Assistant, vec![call("D681PevKs", "{}"), call("D681PevKs", "{}"), named]),
            message(Role::Tool, vec![result("D681PevKs", "one"), result("D681PevKs", "two")]),
        ];
        request.lengths = vec![1, 2];
        let (body, notes) = read(about_chats(&request, "m").unwrap());
        assert_eq!(body["input"][0], json!([{"role": "assistant", "content": ""}]));
        let [first, second, third] = [0, 1, 2].map(|at| &body["input"][1][0]["tool_calls"][at]);
        assert!(first["id"] != second["id"] && third["function"]["name"] == "fs_read", "{body}");
        let answers = [1, 2].map(|at| &body["input"][1][at]["tool_call_id"]);
        assert_eq!(answers, [&first["id"], &second["id"]]);
        assert_eq!(notes.len(), 2, "{notes:?}");
    }

    #[test]
    fn each_task_has_the_fields_that_mistral_has_for_it() {
        let extra = json!({ "min_tokens": 1, "prompt_cache_key": "k", "metadata": { "a": 1 }, "echo": true, "n": 2 });
        let note = |fields: &str| vec![format!("fields left out that the provider does not know: {fields}")];
        for (task, kept, notes) in [
            (Task::FillIn, &["min_tokens", "prompt_cache_key", "metadata"][..], note("echo, n")),
            (Task::Embed, &["metadata"], note("echo, min_tokens, n, prompt_cache_key")),
            (Task::Moderate, &["metadata"], note("echo, min_tokens, n, prompt_cache_key")),
            (Task::ModerateChats, &[], note("echo, metadata, min_tokens, n, prompt_cache_key")),
        ] {
            let mut request = ChatRequest::about(task, None, vec!["a".to_owned()]);
            request.extra = serde_json::from_value(extra.clone()).unwrap();
            let prepared = match task {
                Task::FillIn => {
                    let options = Options {
                        model: "m",
                        reasons: false,
                        max_tokens: None,
                        without: &[],
                        after_tool: AfterTool::Anything,
                        derives_cache_key: false,
                        stream: false,
                    };
                    fill_in(&request, options)
                }
                Task::ModerateChats => about_chats(&request, "m"),
                _ => about(&request, "m", &["a"]),
            };
            let Prepared { body, notes: noted } = prepared.unwrap();
            let sent: Value = serde_json::from_slice(&body).unwrap();
            for (name, value) in extra.as_object().unwrap() {
                let expected = kept.contains(&name.as_str()).then_some(value);
                assert_eq!(sent.get(name), expected, "{task:?} {name}");
            }
            assert_eq!(noted, notes, "{task:?}");
        }
    }
}
