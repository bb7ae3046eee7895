//! The content of a message in an answer: a string, null, or a list of chunks of an open set of kinds.

use std::fmt;

use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};
use serde_json::Value;

use crate::chat::{Part, Reference, Seal};
use crate::provider::answer::notes::Notes;
use crate::provider::request::left_out;

/// Content as it came. Only lists, which are rare, are kept as JSON values.
#[derive(Debug, Default, PartialEq)]
pub(crate) enum Content {
    /// Null, or not there.
    #[default]
    None,
    /// The usual form.
    Text(String),
    /// Chunks.
    List(Vec<Value>),
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string, null or a list of chunks")
    }

    fn visit_unit<E>(self) -> Result<Content, E> {
        Ok(Content::None)
    }

    fn visit_str<E>(self, text: &str) -> Result<Content, E> {
        Ok(Content::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Content, E> {
        Ok(Content::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Content, A::Error> {
        let mut chunks = Vec::with_capacity(list.size_hint().unwrap_or(2));
        while let Some(chunk) = list.next_element()? {
            chunks.push(chunk);
        }
        Ok(Content::List(chunks))
    }
}

impl Content {
    /// As canonical parts, in order, what is cited at the end. Neighbouring texts become one, so that a policy sees a match
    /// that Mistral cut in two by a citation (Q14).
    pub(crate) fn into_parts(self, notes: &mut Notes) -> Vec<Part> {
        match self {
            Self::None => Vec::new(),
            Self::Text(text) if text.is_empty() => Vec::new(),
            Self::Text(text) => vec![Part::Text { text }],
            Self::List(chunks) => {
                let (mut parts, mut ids) = (Vec::new(), Vec::new());
                for chunk in &chunks {
                    read_chunk(chunk, &mut parts, &mut ids, notes);
                }
                parts.extend((!ids.is_empty()).then_some(Part::Reference { ids }));
                parts
            }
        }
    }
}

fn read_chunk(chunk: &Value, parts: &mut Vec<Part>, cited: &mut Vec<Reference>, notes: &mut Notes) {
    if let Value::String(text) = chunk {
        return add_text(parts, text);
    }
    match chunk.get("type").and_then(Value::as_str) {
        Some("text") => add_text(parts, text_of(chunk)),
        Some("thinking") => {
            match chunk.get("thinking") {
                Some(Value::String(text)) => add_thinking(parts, text),
                Some(Value::Array(thoughts)) => {
                    for thought in thoughts {
                        match thought.get("type").and_then(Value::as_str) {
                            Some("text") | None => add_thinking(parts, text_of(thought)),
                            Some("reference") => cite(thought, cited, notes),
                            kind => notes.add(left_out::content(kind)),
                        }
                    }
                }
                _ => {}
            }
            let signature = chunk.get("signature").and_then(Value::as_str);
            if let Some(signed) = signature.and_then(|signature| Seal::of_mistral(signature.to_owned())) {
                sign(parts, signed);
            }
        }
        Some("reference") => cite(chunk, cited, notes),
        kind => notes.add(left_out::content(kind)),
    }
}

fn cite(chunk: &Value, cited: &mut Vec<Reference>, notes: &mut Notes) {
    let list = chunk.get("reference_ids").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let before = cited.len();
    cited.extend(Reference::read(list));
    if cited.len() - before < list.len() {
        notes.add("references left out that are neither numbers nor ids");
    }
}

fn text_of(chunk: &Value) -> &str {
    chunk.get("text").and_then(Value::as_str).unwrap_or_default()
}

fn add_text(parts: &mut Vec<Part>, more: &str) {
    match parts.last_mut() {
        _ if more.is_empty() => {}
        Some(Part::Text { text }) => text.push_str(more),
        _ => parts.push(Part::Text { text: more.to_owned() }),
    }
}

fn add_thinking(parts: &mut Vec<Part>, more: &str) {
    match parts.last_mut() {
        _ if more.is_empty() => {}
        Some(Part::Thinking { text, seal: None }) => text.push_str(more),
        _ => parts.push(Part::Thinking { text: more.to_owned(), seal: None }),
    }
}

fn sign(parts: &mut Vec<Part>, signed: Seal) {
    match parts.last_mut() {
        Some(Part::Thinking { seal: seal @ None, .. }) => *seal = Some(signed),
        _ => parts.push(Part::Thinking { text: String::new(), seal: Some(signed) }),
    }
}
