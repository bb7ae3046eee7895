//! Reading a conversation whose shape was checked.

use std::borrow::Cow;

use double::array;
use serde_json::Value;

use crate::tokens;

/// What an image is taken to cost.
const TOKENS_PER_IMAGE: u64 = 256;

/// The messages of a chat request, or nothing.
pub(crate) fn messages(body: &Value) -> &[Value] {
    array(&body["messages"])
}

/// A message's role.
pub(crate) fn role(message: &Value) -> &str {
    message["role"].as_str().unwrap_or_default()
}

/// A message's chunks; nothing when its content is a string or null.
pub(crate) fn chunks(message: &Value) -> &[Value] {
    array(&message["content"])
}

/// A chunk's type.
pub(crate) fn kind(chunk: &Value) -> &str {
    chunk["type"].as_str().unwrap_or("text")
}

/// Every chunk of every message, with the index of its message and its own.
pub(crate) fn all_chunks(messages: &[Value]) -> impl Iterator<Item = (usize, usize, &Value)> {
    messages
        .iter()
        .enumerate()
        .flat_map(|(at, message)| chunks(message).iter().enumerate().map(move |(index, chunk)| (at, index, chunk)))
}

/// The text of a message: its string, or its text chunks joined.
pub(crate) fn text(message: &Value) -> Cow<'_, str> {
    double::text(&message["content"])
}

/// Whether a message has any content.
pub(crate) fn has_content(message: &Value) -> bool {
    match &message["content"] {
        Value::String(text) => !text.is_empty(),
        Value::Array(chunks) => !chunks.is_empty(),
        _ => false,
    }
}

/// The estimated tokens of a chat prompt: messages, thinking, tool calls, images and tools.
pub(crate) fn prompt_tokens(body: &Value) -> u64 {
    let tools = match &body["tools"] {
        Value::Null => 0,
        tools => tokens::count(&tools.to_string()),
    };
    messages(body).iter().map(message_tokens).sum::<u64>() + tools
}

fn message_tokens(message: &Value) -> u64 {
    let content = match &message["content"] {
        Value::String(text) => tokens::count(text),
        Value::Array(chunks) => chunks.iter().map(chunk_tokens).sum(),
        _ => 0,
    };
    let calls: u64 = array(&message["tool_calls"])
        .iter()
        .map(|call| {
            let arguments = match &call["function"]["arguments"] {
                Value::String(text) => tokens::count(text),
                object => tokens::count(&object.to_string()),
            };
            arguments + tokens::count(call["function"]["name"].as_str().unwrap_or_default())
        })
        .sum();
    content + calls + tokens::PER_MESSAGE
}

fn chunk_tokens(chunk: &Value) -> u64 {
    match kind(chunk) {
        "image_url" => TOKENS_PER_IMAGE,
        "thinking" => array(&chunk["thinking"]).iter().map(chunk_tokens).sum(),
        _ => tokens::count(chunk["text"].as_str().unwrap_or_default()),
    }
}
