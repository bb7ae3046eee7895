//! Arguments of tool calls for vendors that take an object only, while the canonical ones are any text.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::chat::{Message, Part};

/// The note about calls with such arguments, behind their number.
pub(crate) const WRAPPED: &str = "tool calls whose arguments are no JSON object: sent in a field `arguments`";

/// Arguments to be written as an object.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Arguments<'a> {
    /// An object, as it was written.
    Object(&'a RawValue),
    /// None.
    Nothing {},
    /// Some model's text that is no object. The conversation goes on with it in one field.
    Text {
        /// The text.
        arguments: &'a str,
    },
}

impl<'a> Arguments<'a> {
    /// Reads what a call holds.
    pub(crate) fn read(text: &'a str) -> Self {
        if text.trim().is_empty() {
            return Self::Nothing {};
        }
        match object(text) {
            Some(object) => Self::Object(object),
            None => Self::Text { arguments: text },
        }
    }

    /// Whether the text was no object.
    pub(crate) fn is_text(&self) -> bool {
        matches!(self, Self::Text { .. })
    }
}

/// A conversation whose calls have the text of an object each, and how many had none, for vendors that take texts and read
/// objects.
pub(crate) fn wrapped(messages: &[Message]) -> (Cow<'_, [Message]>, usize) {
    let is_wrapped = |part: &Part| match part {
        Part::ToolCall { arguments, .. } => Arguments::read(arguments).is_text(),
        _ => false,
    };
    let count = messages.iter().flat_map(|message| &message.parts).filter(|part| is_wrapped(part)).count();
    if count == 0 {
        return (Cow::Borrowed(messages), 0);
    }
    let mut messages = messages.to_vec();
    for part in messages.iter_mut().flat_map(|message| &mut message.parts) {
        if let Part::ToolCall { arguments, .. } = part
            && Arguments::read(arguments).is_text()
        {
            *arguments = json!({ "arguments": arguments }).to_string();
        }
    }
    (Cow::Owned(messages), count)
}

/// The text as a JSON object, if it is one.
pub(crate) fn object(text: &str) -> Option<&RawValue> {
    serde_json::from_str::<&RawValue>(text).ok().filter(|value| value.get().starts_with('{'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_become_an_object_in_the_order_they_were_written() {
        for (text, expected) in [
            (r#" {"z": 1, "a": 2} "#, r#"{"z": 1, "a": 2}"#),
            (" ", "{}"),
            ("[1]", r#"{"arguments":"[1]"}"#),
            (r#"{"cut": "#, r#"{"arguments":"{\"cut\": "}"#),
        ] {
            assert_eq!(serde_json::to_string(&Arguments::read(text)).unwrap(), expected);
        }
    }
}
