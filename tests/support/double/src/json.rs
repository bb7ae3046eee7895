//! What is read in the JSON of several vendors.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use serde_json::Value;

/// The items of an array; nothing when it is none.
#[must_use]
pub fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A field of an object that is not among those allowed. What is no object has no fields.
#[must_use]
pub fn unknown_field<'v>(value: &'v Value, allowed: &[&str]) -> Option<&'v str> {
    value.as_object()?.keys().map(String::as_str).find(|name| !allowed.contains(name))
}

/// Whether a value is there and is no number in this range.
#[must_use]
pub fn outside(value: &Value, range: RangeInclusive<f64>) -> bool {
    !value.is_null() && !value.as_f64().is_some_and(|number| range.contains(&number))
}

/// `^[a-zA-Z0-9_-]{1,LONGEST}$`.
#[must_use]
pub fn is_function_name(name: &str, longest: usize) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (1..=longest).contains(&name.len()) && name.bytes().all(legal)
}

/// The text of a message's content: a string, or the texts of its parts joined.
#[must_use]
pub fn text(content: &Value) -> Cow<'_, str> {
    match content {
        Value::String(text) => Cow::Borrowed(text),
        parts => array(parts).iter().filter_map(|part| part["text"].as_str()).collect(),
    }
}

/// The last of these messages, said back; `content` is the field that holds what it says.
#[must_use]
pub fn echo(messages: &Value, content: &str) -> String {
    let last = array(messages).last().unwrap_or(&Value::Null);
    format!("You said: {}", text(&last[content]))
}

/// How many tokens a value is taken to have: one for four bytes.
#[must_use]
pub fn tokens(value: &Value) -> usize {
    value.to_string().len() / 4
}
