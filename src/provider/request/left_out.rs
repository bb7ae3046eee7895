//! Notes about what is left out: of a request the fields that a vendor does not have, of an answer those that no policy
//! could see and content of unknown kinds.

use std::collections::BTreeSet;

use crate::chat::ChatRequest;

/// Names of fields that a note repeats, at most.
const NAMED: usize = 8;

/// The note about fields of a request.
pub(crate) fn note<'a>(fields: impl IntoIterator<Item = &'a str>) -> Option<String> {
    named(fields).map(|named| format!("fields left out that the provider does not know: {named}"))
}

/// The note about fields of a request that the model refuses.
pub(crate) fn of_model<'a>(fields: impl IntoIterator<Item = &'a str>) -> Option<String> {
    named(fields).map(|named| format!("fields left out that the model does not take: {named}"))
}

/// The note about keywords of schemas that the provider refuses.
pub(crate) fn of_schemas<'a>(keywords: impl IntoIterator<Item = &'a str>) -> Option<String> {
    named(keywords).map(|named| {
        format!("keywords of schemas left out that the provider refuses, definitions put where they are used: {named}")
    })
}

/// `cache_control`, where a request has it: of parts and tools, in dialects that have no place for it.
pub(crate) fn cache_control(request: &ChatRequest) -> Option<&'static str> {
    let asks = request.cache.count() > 0 || request.tools.iter().any(|tool| tool.cache.is_some());
    asks.then_some("cache_control")
}

/// `name`, where a message has one: in dialects in which only tools have names.
pub(crate) fn name(request: &ChatRequest) -> Option<&'static str> {
    (!request.names.is_empty()).then_some("name")
}

/// The note about fields of an answer.
pub(crate) fn of_answer<'a>(fields: impl IntoIterator<Item = &'a str>) -> Option<String> {
    named(fields).map(|named| format!("fields of the answer left out, which no policy could see: {named}"))
}

/// The note about content of an answer that is of no known kind.
pub(crate) fn content(kind: Option<&str>) -> String {
    format!("content of the kind `{}` left out", kind.filter(|kind| is_name(kind)).unwrap_or("?"))
}

/// Whether a text looks like a name: others are not repeated, since they are the caller's or the upstream's.
fn is_name(text: &str) -> bool {
    text.len() <= 40 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$'))
}

/// Names of fields, as far as they look like names.
fn named<'a>(fields: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let fields: BTreeSet<&str> = fields.into_iter().collect();
    let named: Vec<&str> = fields.iter().filter(|name| is_name(name)).take(NAMED).copied().collect();
    let further = fields.len() - named.len();
    let further = if further > 0 { format!(" and {further} more") } else { String::new() };
    (!fields.is_empty()).then(|| format!("{}{further}", named.join(", ")))
}
