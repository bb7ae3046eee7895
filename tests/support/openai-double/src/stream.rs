//! A completion as a stream of chunks.

use double::{Step, array};
use serde_json::{Value, json};

use crate::check::error;
use crate::{Host, azure};

/// How a stream fails after it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamFault {
    /// An event with `{"error":{message,type,param,code}}`, then the end without `[DONE]`.
    WrappedError,
    /// The connection is closed in the middle of the answer.
    Cut,
    /// Every chunk arrives, but no `[DONE]`.
    NoDone,
    /// `[DONE]` comes without any `finish_reason` before it.
    NoFinish,
    /// Nothing more comes, and the connection stays.
    Stall,
    /// An event that is not JSON, then the rest as if nothing were.
    BadJson,
}

/// The steps that play a whole completion as the stream that `body` asks for, broken after so many chunks.
pub(crate) fn steps(host: Host, body: &Value, completion: &Value, fault: Option<(usize, StreamFault)>) -> Vec<Step> {
    let mut script = chunks(host, body, completion);
    let mut after = None;
    let mut done = true;
    if let Some((at, fault)) = fault {
        let finish = script.iter().position(|chunk| chunk.contains(r#""finish_reason":""#)).unwrap_or(script.len());
        // A fault other than a missing end leaves at least the ends of the choices out.
        let at = at.min(finish);
        match fault {
            StreamFault::NoDone => done = false,
            StreamFault::NoFinish => script.truncate(finish),
            StreamFault::BadJson => {
                script.insert(at, r#"{"id":"chatcmpl-0","choices":[{"index":0,"delta":{"con"#.to_owned())
            }
            StreamFault::WrappedError => {
                script.truncate(at);
                let message = "The server had an error while processing your request.";
                script.push(error(message, "server_error", None, None).to_string());
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
        script.push("[DONE]".to_owned());
    }
    let mut steps: Vec<Step> = script.iter().map(|data| Step::Send(format!("data: {data}\n\n").into())).collect();
    steps.extend(after.into_iter().flat_map(|after| [Step::Flush, after]));
    steps
}

/// The JSON of every chunk: the role first, then the deltas of all choices in turn, then their ends, then the usage.
fn chunks(host: Host, body: &Value, completion: &Value) -> Vec<String> {
    let counted = body["stream_options"]["include_usage"] == true;
    let padded = host == Host::OpenAi && body["stream_options"]["include_obfuscation"] != false;
    let chunk = |choices: Value, usage: &Value| {
        let mut chunk = json!({
            "id": completion["id"], "object": "chat.completion.chunk", "created": completion["created"],
            "model": completion["model"], "service_tier": completion["service_tier"],
            "system_fingerprint": completion["system_fingerprint"], "choices": choices,
        });
        if counted {
            chunk["usage"] = usage.clone();
        }
        if padded {
            chunk["obfuscation"] = json!("Zq3kV8");
        }
        chunk.to_string()
    };
    let wholes = array(&completion["choices"]);
    let said: Vec<Vec<Value>> = wholes.iter().map(|choice| deltas(&choice["message"])).collect();
    let longest = said.iter().map(Vec::len).max().unwrap_or(0);
    let one = |index: usize, delta: &Value, finish: &Value| {
        chunk(json!([{ "index": index, "delta": delta, "logprobs": null, "finish_reason": finish }]), &Value::Null)
    };
    let mut chunks = Vec::new();
    if host == Host::Azure {
        chunks.push(azure::first_chunk().to_string());
    }
    for turn in 0..longest {
        for (index, deltas) in said.iter().enumerate() {
            chunks.extend(deltas.get(turn).map(|delta| one(index, delta, &Value::Null)));
        }
    }
    for (index, choice) in wholes.iter().enumerate() {
        chunks.push(one(index, &json!({}), &choice["finish_reason"]));
    }
    if counted {
        chunks.push(chunk(json!([]), &completion["usage"]));
    }
    chunks
}

/// A message in pieces: its text or refusal word by word, of each call the head and then its arguments in fragments.
fn deltas(message: &Value) -> Vec<Value> {
    let content = message["content"].as_str();
    let mut deltas = vec![json!({ "role": "assistant", "content": content.map(|_| ""), "refusal": null })];
    let words = content.unwrap_or_default().split_inclusive(' ');
    deltas.extend(words.map(|word| json!({ "content": word })));
    let words = message["refusal"].as_str().unwrap_or_default().split_inclusive(' ');
    deltas.extend(words.map(|word| json!({ "refusal": word })));
    for (index, call) in array(&message["tool_calls"]).iter().enumerate() {
        let function = json!({ "name": call["function"]["name"], "arguments": "" });
        deltas.push(
            json!({ "tool_calls": [{ "index": index, "id": call["id"], "type": "function", "function": function }] }),
        );
        let arguments: Vec<char> = call["function"]["arguments"].as_str().unwrap_or_default().chars().collect();
        deltas.extend(arguments.chunks(5).map(|piece| {
            let piece: String = piece.iter().collect();
            json!({ "tool_calls": [{ "index": index, "function": { "arguments": piece } }] })
        }));
    }
    deltas
}
