//! Arguments of calls that are an object, as the upstream wrote it.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::provider::answer::completion::arguments_as_written;

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    choices: Vec<Choice<'a>>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow)]
    delta: Option<Delta<'a>>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow)]
    tool_calls: Option<Vec<&'a RawValue>>,
}

impl<'a> Chunk<'a> {
    fn call(&self, choice: usize, place: usize) -> Option<&'a RawValue> {
        self.choices.get(choice)?.delta.as_ref()?.tool_calls.as_ref()?.get(place).copied()
    }
}

/// Puts the text of such arguments in their place. `data`: what the chunk was read from. Whether there were any.
pub(super) fn put_as_texts(chunk: &mut Map<String, Value>, data: &[u8]) -> bool {
    let choices = chunk.get_mut("choices").and_then(Value::as_array_mut).into_iter().flatten().enumerate();
    let calls = choices.flat_map(|(choice, value)| {
        let calls = value.pointer_mut("/delta/tool_calls").and_then(Value::as_array_mut).into_iter().flatten();
        calls.enumerate().map(move |(place, call)| (choice, place, call))
    });
    let mut objects = calls
        .filter_map(|(choice, place, call)| {
            let arguments = call.pointer_mut("/function/arguments").filter(|arguments| arguments.is_object())?;
            Some((choice, place, arguments))
        })
        .peekable();
    if objects.peek().is_none() {
        return false;
    }
    let written: Option<Chunk<'_>> = serde_json::from_slice(data).ok();
    for (choice, place, arguments) in objects {
        let call = written.as_ref().and_then(|chunk| chunk.call(choice, place));
        let text = call.and_then(arguments_as_written).unwrap_or_else(|| arguments.to_string());
        *arguments = Value::String(text);
    }
    true
}
