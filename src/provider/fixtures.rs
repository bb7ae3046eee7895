//! What the tests of several vendors make alike: parts, messages and requests, and what comes of them.

use jiff::Timestamp;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::ProviderError;
use super::upstream::http::Prepared;
use super::upstream::refusals::Wording;
use crate::chat::{ChatRequest, Message, Part, Role};

/// What the JSON says.
pub(crate) fn from<T: DeserializeOwned>(json: Value) -> T {
    serde_json::from_value(json).unwrap()
}

pub(crate) fn message(role: Role, parts: Vec<Part>) -> Message {
    Message { role, parts }
}

pub(crate) fn text(text: &str) -> Part {
    Part::Text { text: text.into() }
}

/// A call of the tool `look`.
pub(crate) fn call(id: &str, arguments: &str) -> Part {
    Part::ToolCall { id: id.into(), name: "look".into(), arguments: arguments.into(), seal: None }
}

/// A tool's answer that does not say which tool's.
pub(crate) fn result(id: &str, text: &str) -> Part {
    Part::ToolResult { id: id.into(), name: None, text: text.into() }
}

pub(crate) fn request(messages: Vec<Message>) -> ChatRequest {
    ChatRequest { messages, ..ChatRequest::default() }
}

/// A user says `Hi`.
pub(crate) fn hi() -> ChatRequest {
    request(vec![Message::text(Role::User, "Hi")])
}

/// A body that is ready to be sent, and the notes beside it.
pub(crate) fn read(prepared: Prepared) -> (Value, Vec<String>) {
    (serde_json::from_slice(&prepared.body).unwrap(), prepared.notes)
}

/// When every refusal comes.
pub(crate) const NOW: &str = "2026-11-22T18:00:00Z";

/// What a refusal in these words is.
pub(crate) fn refusal(wording: Wording, status: u16, sent: &[(&str, &str)], body: &str) -> ProviderError {
    let header =
        |(name, value): &(&str, &str)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
    let headers: HeaderMap = sent.iter().map(header).collect();
    wording.refusal(status, &headers, body.as_bytes(), NOW.parse::<Timestamp>().unwrap())
}
