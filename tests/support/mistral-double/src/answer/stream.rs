//! An answer as a stream of events.

use std::time::Duration;

use double::Step;
use serde::Serialize;
use serde_json::{Value, json};

use super::events::{event, writes};
use super::usage::Usage;
use super::{Content, Reply};
use crate::behaviour::{StreamFault, StreamStyle, ThinkingEnd, ToolCall, ToolCallForm};
use crate::refusal::error_body;
use crate::tokens;

/// What padding is cut from: a random length of it hides the length of the token.
const PADDING: &str = "abcdefghijklmnopqrstuvwxyz0123456789";

#[derive(Serialize)]
struct Chunk<'r> {
    id: &'r str,
    object: &'static str,
    created: u64,
    model: &'r str,
    choices: [Choice<'r>; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<&'r Usage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p: Option<&'static str>,
}

#[derive(Serialize)]
struct Choice<'r> {
    index: usize,
    delta: Delta<'r>,
    finish_reason: Option<&'r str>,
}

#[derive(Serialize, Clone, Default)]
struct Delta<'r> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<Written<'r>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<Vec<Value>>,
}

#[derive(Serialize, Clone)]
#[serde(untagged)]
enum Written<'r> {
    Text(&'r str),
    Parts(Vec<Value>),
}

impl<'r> Delta<'r> {
    fn text(text: &'r str) -> Self {
        Self { content: Some(Written::Text(text)), ..Self::default() }
    }

    fn parts(parts: Vec<Value>) -> Self {
        Self { content: Some(Written::Parts(parts)), ..Self::default() }
    }

    fn calls(calls: Vec<Value>) -> Self {
        Self { content: Some(Written::Text("")), tool_calls: Some(calls), ..Self::default() }
    }
}

/// The steps that play a reply as a stream.
pub(crate) fn steps(reply: &Reply, style: &StreamStyle, pause: Duration) -> Vec<Step> {
    let mut script = chunks(reply, style);
    let mut done = true;
    let mut after = None;
    if let Some((at, fault)) = style.fault {
        let last = script.len().saturating_sub(1);
        // A fault other than a missing end leaves at least the finish chunk out.
        let at = at.min(last);
        match fault {
            StreamFault::NoDone => done = false,
            StreamFault::BadJson => script.insert(at, br#"{"id":"0123","choices":[{"index":0,"delta":{"con"#.to_vec()),
            StreamFault::NoFinish => script.truncate(last),
            StreamFault::FinishError => {
                script.truncate(at);
                script.push(chunk(reply, 0, Delta::text(""), Some("error"), reply.usage.as_ref()));
            }
            StreamFault::FlatError | StreamFault::WrappedError => {
                script.truncate(at);
                script.push(error_event(fault));
                done = false;
            }
            StreamFault::Cut | StreamFault::Stall => {
                script.truncate(at);
                done = false;
                after = Some(if fault == StreamFault::Cut { Step::Cut } else { Step::Stall });
            }
        }
    }
    if done {
        script.push(b"[DONE]".to_vec());
    }
    let events = script.iter().enumerate().map(|(number, data)| event(style.events, number, data)).collect();
    let mut steps = writes(style.writes, events, pause);
    if let Some(step) = after {
        steps.push(Step::Flush);
        steps.push(step);
    }
    steps
}

fn error_event(fault: StreamFault) -> Vec<u8> {
    let message = "Internal server error while generating";
    let body = match fault {
        StreamFault::FlatError => error_body(500, "internal_server_error", Some("3000"), &Value::from(message)),
        _ => json!({ "error": { "message": message, "type": "internal_server_error", "code": "3000" } }),
    };
    body.to_string().into_bytes()
}

/// The JSON of every chunk: the role first, then the deltas of all choices in turn, then their ends.
fn chunks(reply: &Reply, style: &StreamStyle) -> Vec<Vec<u8>> {
    let mut deltas = deltas(reply, style);
    // The finish chunk carries the last delta when that is the whole set of tool calls, else an empty text.
    let whole_calls = !reply.tool_calls.is_empty() && !style.tool_calls.is_fragmented();
    let last = if whole_calls { deltas.pop() } else { None };
    let last = last.unwrap_or_else(|| Delta::text(""));
    let first = Delta { role: Some("assistant"), ..Delta::text("") };

    let mut chunks = Vec::with_capacity((deltas.len() + 2) * reply.choices + 1);
    for index in 0..reply.choices {
        chunks.push(plain_chunk(reply, index, first.clone(), None));
    }
    for delta in deltas {
        for index in 0..reply.choices {
            chunks.push(plain_chunk(reply, index, delta.clone(), Some(padding())));
        }
    }
    for index in 0..reply.choices {
        let usage = if index + 1 == reply.choices { reply.usage.as_ref() } else { None };
        chunks.push(chunk(reply, index, last.clone(), Some(&reply.finish_reason), usage));
    }
    chunks
}

fn deltas<'r>(reply: &'r Reply, style: &StreamStyle) -> Vec<Delta<'r>> {
    let mut deltas = Vec::new();
    if let Some(thinking) = &reply.thinking {
        deltas.extend(tokens::pieces(thinking).map(|piece| Delta::parts(vec![thought(json!([text(piece)]))])));
    }
    let mut pieces = match &reply.content {
        Content::Text(text) => text.as_str(),
        Content::Parts(_) | Content::Empty(_) => "",
    };
    if reply.thinking.is_some() {
        match (style.thinking_end, tokens::pieces(pieces).next()) {
            (ThinkingEnd::WithText, Some(first)) => {
                deltas.push(Delta::parts(vec![thought(json!([])), text(first)]));
                pieces = &pieces[first.len()..];
            }
            _ => deltas.push(Delta::parts(vec![thought(json!([]))])),
        }
    }
    deltas.extend(tokens::pieces(pieces).map(Delta::text));
    if let Content::Parts(parts) = &reply.content {
        deltas.extend(parts.iter().map(|part| Delta::parts(vec![part.clone()])));
    }
    if reply.tool_calls.is_empty() {
        return deltas;
    }
    if style.tool_calls.is_fragmented() {
        for (index, call) in reply.tool_calls.iter().enumerate() {
            deltas.extend(fragments(call, index, style.tool_calls).map(|fragment| Delta::calls(vec![fragment])));
        }
    } else {
        let calls = reply.tool_calls.iter().enumerate().map(|(index, call)| whole_call(call, index, style.tool_calls));
        deltas.push(Delta::calls(calls.collect()));
    }
    deltas
}

fn text(text: &str) -> Value {
    json!({ "type": "text", "text": text })
}

fn thought(content: Value) -> Value {
    json!({ "type": "thinking", "thinking": content })
}

fn whole_call(call: &ToolCall, index: usize, form: ToolCallForm) -> Value {
    let function = json!({ "name": call.name, "arguments": call.arguments });
    if form.is_bare() {
        json!({ "id": call.id, "function": function })
    } else {
        json!({ "id": call.id, "function": function, "type": "function", "index": index })
    }
}

/// The name with empty arguments, then the arguments in pieces.
fn fragments(call: &ToolCall, index: usize, form: ToolCallForm) -> impl Iterator<Item = Value> {
    let named = json!({
        "id": call.id,
        "type": "function",
        "index": index,
        "function": { "name": call.name, "arguments": "" },
    });
    let arguments = call.arguments.as_str().map_or_else(|| call.arguments.to_string(), str::to_owned);
    let pieces: Vec<Value> = tokens::pieces(&arguments)
        .map(|piece| {
            let function = json!({ "name": "", "arguments": piece });
            if form == ToolCallForm::FragmentsNullId {
                json!({ "id": "null", "type": "function", "index": index, "function": function })
            } else {
                json!({ "index": index, "function": function })
            }
        })
        .collect();
    std::iter::once(named).chain(pieces)
}

fn padding() -> &'static str {
    &PADDING[..fastrand::usize(1..=PADDING.len())]
}

fn plain_chunk(reply: &Reply, index: usize, delta: Delta<'_>, p: Option<&'static str>) -> Vec<u8> {
    write(reply, Choice { index, delta, finish_reason: None }, None, p)
}

fn chunk(reply: &Reply, index: usize, delta: Delta<'_>, finish: Option<&str>, usage: Option<&Usage>) -> Vec<u8> {
    write(reply, Choice { index, delta, finish_reason: finish }, usage, Some(padding()))
}

fn write(reply: &Reply, choice: Choice<'_>, usage: Option<&Usage>, p: Option<&'static str>) -> Vec<u8> {
    let chunk = Chunk {
        id: &reply.id,
        object: "chat.completion.chunk",
        created: reply.created,
        model: &reply.model,
        choices: [choice],
        usage,
        p,
    };
    // Strings and numbers alone: this cannot fail.
    serde_json::to_vec(&chunk).unwrap_or_default()
}
