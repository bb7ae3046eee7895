//! A `chat.completion.chunk` as what it says: OpenAI's form of it, Mistral's, and those of the many that stream like them.
//! Pure: no I/O, no clock. As tolerant as the reading of whole answers, and no message of an error repeats what the model
//! said.
//!
//! A chunk may go on to a client as it came only if every field in it is known and told: what the deltas do not say no
//! policy has seen.

mod call;

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::completion::content::Content;
use super::completion::{malformed, read_finish, read_tier, read_usage};
use super::price::Tier;
use super::stream::Vendor;
use super::{Delta, ErrorKind, ProviderError, StreamEvent};
use crate::chat::{Part, Usage};
use call::Calls;

/// More choices than OpenAI gives to one request.
const MAX_CHOICES: u32 = 128;

/// Different notes of one stream; a stream that leaves out more says no more about it.
const MAX_NOTES: usize = 16;

/// The fields of a chunk as OpenAI writes it. `obfuscation` is OpenAI's padding, which its clients know.
const CHUNK: [&str; 9] = [
    "id",
    "object",
    "created",
    "model",
    "choices",
    "usage",
    "service_tier",
    "system_fingerprint",
    "obfuscation",
];

/// The fields of a choice that is told in full.
const CHOICE: [&str; 3] = ["index", "delta", "finish_reason"];

/// The fields of a delta that is told in full. `reasoning_content` is nobody's standard and known to most.
const DELTA: [&str; 4] = ["role", "content", "tool_calls", "reasoning_content"];

/// Reads the chunks of one stream.
#[derive(Debug)]
pub(crate) struct Decoder<V> {
    vendor: V,
    /// The model that was asked for.
    asked: String,
    started: bool,
    choices: BTreeMap<u32, Choice>,
    /// Tokens that were counted and not told: some count in every chunk.
    counted: Option<(Usage, Tier)>,
    usage_told: bool,
    notes: Vec<String>,
}

#[derive(Debug, Default)]
struct Choice {
    calls: Calls,
    finished: bool,
}

/// What a chunk says, as far as it is read.
struct Telling {
    deltas: Vec<Delta>,
    /// Nothing stands in the chunk that a client of OpenAI's does not know, or that the deltas leave out.
    verbatim: bool,
}

impl Telling {
    /// Looks for fields that are not told. A null says nothing.
    fn know(&mut self, fields: &Map<String, Value>, known: &[&str]) {
        self.verbatim &= fields.iter().all(|(name, value)| value.is_null() || known.contains(&name.as_str()));
    }
}

impl<V: Vendor> Decoder<V> {
    /// For the answer to a request for the model `asked`.
    pub(crate) fn new(vendor: V, asked: &str) -> Self {
        Self {
            vendor,
            asked: asked.to_owned(),
            started: false,
            choices: BTreeMap::new(),
            counted: None,
            usage_told: false,
            notes: Vec::new(),
        }
    }

    /// Reads the data of one event.
    pub(crate) fn decode(&mut self, payload: Bytes) -> Result<StreamEvent, ProviderError> {
        let mut chunk = match serde_json::from_slice(&payload) {
            Ok(Value::Object(chunk)) => chunk,
            Ok(_) => return Err(malformed("an event of the upstream's stream is JSON, but no chunk of an answer")),
            Err(_) => return Err(malformed("an event of the upstream's stream is not JSON")),
        };
        if is_error(&chunk) {
            return Err(self.vendor.refusal(&payload));
        }
        let mut telling = Telling { deltas: Vec::new(), verbatim: !payload.contains(&b'\n') };
        telling.know(&chunk, &CHUNK);
        let choices = match chunk.remove("choices") {
            Some(Value::Array(choices)) => choices,
            None | Some(Value::Null) => {
                telling.verbatim = false;
                Vec::new()
            }
            Some(_) => return Err(malformed("the choices of the upstream's stream are no list")),
        };
        if !choices.is_empty() {
            self.start(&chunk, &mut telling);
        }
        for (place, choice) in choices.into_iter().enumerate() {
            self.choice(choice, place, &mut telling)?;
        }
        self.count(&chunk, &mut telling);
        let Telling { deltas, verbatim } = telling;
        Ok(StreamEvent { frame: verbatim.then_some(payload), deltas })
    }

    /// What is left to be told when the stream has ended, having said so or not. Not whole is an error.
    pub(crate) fn end(&mut self, end: End) -> Result<Option<StreamEvent>, ProviderError> {
        match end {
            _ if self.is_finished() => {}
            End::Said => return Err(malformed("the upstream's stream ended before its answer did")),
            End::Unsaid => return Err(cut("the upstream's stream broke off before its answer ended")),
        }
        if end == End::Unsaid && self.vendor.says_done() {
            return Err(cut("the upstream's stream ended without saying that it does"));
        }
        Ok(self.counted.take().map(|counted| StreamEvent { frame: None, deltas: vec![self.usage(counted)] }))
    }

    fn is_finished(&self) -> bool {
        !self.choices.is_empty() && self.choices.values().all(|choice| choice.finished)
    }

    fn start(&mut self, chunk: &Map<String, Value>, telling: &mut Telling) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        let text = |name| chunk.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        telling.deltas.push(Delta::Started {
            id: text("id").unwrap_or_default().to_owned(),
            model: text("model").unwrap_or(&self.asked).to_owned(),
        });
    }

    /// `place` stands for an index that is missing.
    fn choice(&mut self, choice: Value, place: usize, telling: &mut Telling) -> Result<(), ProviderError> {
        let Value::Object(mut choice) = choice else {
            return Err(malformed("a choice of the upstream's stream is no object"));
        };
        telling.know(&choice, &CHOICE);
        let index = choice.get("index").and_then(Value::as_u64);
        telling.verbatim &= index.is_some();
        let number = u32::try_from(index.unwrap_or(place as u64)).ok().filter(|number| *number < MAX_CHOICES);
        let Some(number) = number else {
            return Err(malformed("the upstream's stream has more choices than are read"));
        };
        let mut state = self.choices.remove(&number).unwrap_or_default();
        if let Some(Value::Object(delta)) = choice.get_mut("delta") {
            self.delta(std::mem::take(delta), number, &mut state, telling)?;
        }
        if let Some(reason) = choice.get("finish_reason").and_then(Value::as_str).filter(|reason| !reason.is_empty()) {
            let known = ["stop", "length", "tool_calls", "content_filter", "function_call"];
            telling.verbatim &= known.contains(&reason);
            let reason = read_finish(reason)?;
            if !std::mem::replace(&mut state.finished, true) {
                telling.verbatim &= state.calls.finish(number, &mut telling.deltas);
                telling.deltas.push(Delta::Finished { choice: number, reason });
            }
        }
        self.choices.insert(number, state);
        Ok(())
    }

    fn delta(
        &mut self,
        mut delta: Map<String, Value>,
        choice: u32,
        state: &mut Choice,
        telling: &mut Telling,
    ) -> Result<(), ProviderError> {
        telling.know(&delta, &DELTA);
        let reasoning = delta.get("reasoning_content").or_else(|| delta.get("reasoning")).and_then(Value::as_str);
        if let Some(text) = reasoning.filter(|text| !text.is_empty()) {
            telling.deltas.push(Delta::Thinking { choice, text: text.to_owned() });
        }
        self.content(delta.remove("content"), choice, telling)?;
        if let Some(text) = delta.get("refusal").and_then(Value::as_str).filter(|text| !text.is_empty()) {
            self.note("the model refused to answer; its refusal is given as text".to_owned(), telling);
            telling.deltas.push(Delta::Text { choice, text: text.to_owned() });
        }
        let calls = match delta.get("tool_calls") {
            Some(Value::Array(calls)) => calls.as_slice(),
            None | Some(Value::Null) => &[],
            Some(_) => return Err(malformed("the tool calls of the upstream's stream are no list")),
        };
        for call in calls {
            let told = state.calls.read(call, choice, &mut telling.deltas)?;
            telling.verbatim &= told == call::Told::Verbatim;
            if told == call::Told::LeftOut {
                self.note("a tool call without a function's name left out".to_owned(), telling);
            }
        }
        Ok(())
    }

    fn content(
        &mut self,
        content: Option<Value>,
        choice: u32,
        telling: &mut Telling,
    ) -> Result<(), ProviderError> {
        let content = match content {
            None | Some(Value::Null) => return Ok(()),
            Some(Value::String(text)) => Content::Text(text),
            Some(other) => {
                telling.verbatim = false;
                Content::deserialize(other)
                    .map_err(|_| malformed("the content of the upstream's stream is of no known form"))?
            }
        };
        let mut notes = Vec::new();
        for part in content.into_parts(&mut notes) {
            match part {
                Part::Thinking { text } => telling.deltas.push(Delta::Thinking { choice, text }),
                Part::Text { text } => telling.deltas.push(Delta::Text { choice, text }),
                // Content is made of no other parts.
                _ => {}
            }
        }
        for note in notes {
            self.note(note, telling);
        }
        Ok(())
    }

    /// Tells each note once: what is left out of a stream is often left out of each chunk.
    fn note(&mut self, text: String, telling: &mut Telling) {
        if self.notes.len() < MAX_NOTES && !self.notes.contains(&text) {
            self.notes.push(text.clone());
            telling.deltas.push(Delta::Note { text });
        }
    }

    fn count(&mut self, chunk: &Map<String, Value>, telling: &mut Telling) {
        let usage = chunk.get("usage").and_then(Value::as_object);
        if let Some(counted) = usage.and_then(read_usage).filter(|_| !self.usage_told) {
            self.counted = Some((counted, read_tier(usage, chunk.get("service_tier"))));
        }
        if self.is_finished()
            && usage.is_some()
            && let Some(counted) = self.counted.take()
        {
            telling.deltas.push(self.usage(counted));
        }
    }

    fn usage(&mut self, (usage, tier): (Usage, Tier)) -> Delta {
        self.usage_told = true;
        Delta::Usage { usage, cost_usd: self.vendor.cost(&usage, tier) }
    }
}

/// How a stream ended that no error ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With `[DONE]`.
    Said,
    /// Without.
    Unsaid,
}

fn cut(message: &str) -> ProviderError {
    ProviderError::new(ErrorKind::ReadFailed, message)
}

/// An error instead of a chunk, in one of the forms that are known from whole answers.
fn is_error(chunk: &Map<String, Value>) -> bool {
    let there = |name| chunk.get(name).is_some_and(|value| !value.is_null());
    let kind = chunk.get("object").and_then(Value::as_str).unwrap_or_default();
    there("error") || kind.eq_ignore_ascii_case("error") || !there("choices") && (there("detail") || there("message"))
}

#[cfg(test)]
#[path = "chunk_tests.rs"]
mod tests;
