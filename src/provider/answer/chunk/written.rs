//! Arguments of calls that are no text, as the upstream wrote them.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::provider::answer::completion::{arguments_as_written, field};

/// Where the calls of a choice stand.
const SAID: [&str; 2] = ["delta", "message"];

/// Puts the text of such arguments in their place. `data`: what the chunk was read from. Whether there were any.
pub(super) fn put_as_texts(chunk: &mut Map<String, Value>, data: &[u8]) -> bool {
    let mut written = None;
    let choices = chunk.get_mut("choices").and_then(Value::as_array_mut).into_iter().flatten();
    for (choice, value) in choices.enumerate() {
        for (said, name) in SAID.into_iter().enumerate() {
            let calls = value.get_mut(name).and_then(|said| said.get_mut("tool_calls")).and_then(Value::as_array_mut);
            for (place, call) in calls.into_iter().flatten().enumerate() {
                let arguments = call.pointer_mut("/function/arguments");
                let Some(arguments) = arguments.filter(|it| !it.is_string() && !it.is_null()) else { continue };
                let written = written.get_or_insert_with(|| calls_of(data));
                let call = written.get(choice).and_then(|calls| calls.get(said)?.get(place).copied());
                let text = call.and_then(arguments_as_written).unwrap_or_else(|| arguments.to_string());
                *arguments = Value::String(text);
            }
        }
    }
    written.is_some()
}

/// The calls of each choice.
fn calls_of(data: &[u8]) -> Vec<[Vec<&RawValue>; SAID.len()]> {
    let choices = list(serde_json::from_slice(data).ok().and_then(|chunk| field(chunk, "choices")));
    let calls = |choice| SAID.map(|said| list(field(choice, said).and_then(|said| field(said, "tool_calls"))));
    choices.into_iter().map(calls).collect()
}

fn list(value: Option<&RawValue>) -> Vec<&RawValue> {
    value.and_then(|value| serde_json::from_str(value.get()).ok()).unwrap_or_default()
}
