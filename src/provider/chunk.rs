//! A `chat.completion.chunk` as deltas: OpenAI's form of it, Mistral's, and those of the many that stream like them.
//! Pure, and as tolerant as the reader of whole answers. No message of an error repeats what the model said.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::completion::content::Content;
use super::completion::{finish_reason, read_usage, tier};
use super::price::Tier;
use super::stream::{Delta, StreamEvent};
use super::{ErrorKind, ProviderError};
use crate::chat::{Part, Usage};

/// A stream of chunks, as far as it has come.
#[derive(Debug)]
pub(crate) struct Chunks {
    /// The model that was asked.
    asked: String,
    begun: bool,
    choices: BTreeMap<u32, ChoiceState>,
    usage: Option<Usage>,
    tier: Tier,
}

/// What a chunk is.
#[derive(Debug, PartialEq)]
pub(crate) enum Read {
    /// A piece of the answer; the tokens of the whole where they came with it.
    Event(StreamEvent),
    /// The upstream failed; its words.
    Error(Bytes),
    /// The end.
    Done,
}

#[derive(Debug, Default)]
struct ChoiceState {
    finished: bool,
    /// The calls so far, by the upstream's index and id.
    calls: Vec<(Option<u64>, String)>,
}

#[derive(Deserialize)]
struct Chunk<'a> {
    id: Option<String>,
    model: Option<String>,
    object: Option<String>,
    #[serde(default)]
    choices: Option<Vec<WireChoice>>,
    usage: Option<Value>,
    service_tier: Option<Value>,
    error: Option<Value>,
    /// Mistral's padding against those who count bytes.
    #[serde(borrow)]
    p: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireChoice {
    index: Option<u64>,
    delta: Option<WireDelta>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct WireDelta {
    #[serde(default)]
    content: Content,
    tool_calls: Option<Vec<WireCall>>,
    reasoning_content: Option<Value>,
    reasoning: Option<Value>,
    refusal: Option<Value>,
}

#[derive(Deserialize)]
struct WireCall {
    index: Option<u64>,
    id: Option<String>,
    function: Option<WireFunction>,
}

#[derive(Deserialize)]
struct WireFunction {
    name: Option<String>,
    arguments: Option<Value>,
}

impl Chunks {
    /// Of an answer by this model.
    pub(crate) fn new(asked: &str) -> Self {
        Self { asked: asked.to_owned(), begun: false, choices: BTreeMap::new(), usage: None, tier: Tier::Standard }
    }

    /// The tokens of the whole answer, once they are known, and how urgently it was served.
    pub(crate) fn usage(&self) -> Option<(Usage, Tier)> {
        self.usage.map(|usage| (usage, self.tier))
    }

    /// Whether every choice that has begun has ended, and one has.
    pub(crate) fn is_whole(&self) -> bool {
        !self.choices.is_empty() && self.choices.values().all(|choice| choice.finished)
    }

    /// Reads the data of one event.
    pub(crate) fn read(&mut self, data: &Bytes) -> Result<Read, ProviderError> {
        if data.as_ref() == b"[DONE]" {
            return Ok(Read::Done);
        }
        let chunk: Chunk<'_> = serde_json::from_slice(data).map_err(|error| {
            malformed(&format!(
                "an event of the upstream's stream is no chat completion chunk (line {}, column {})",
                error.line(),
                error.column()
            ))
        })?;
        if chunk.error.as_ref().is_some_and(|error| !error.is_null()) || chunk.object.as_deref() == Some("error") {
            return Ok(Read::Error(data.clone()));
        }
        let mut deltas = Vec::with_capacity(2);
        // Whether clients would misread the chunk as it is.
        let mut odd = data.contains(&b'\n');
        if !self.begun {
            self.begun = true;
            deltas.push(Delta::Started {
                id: chunk.id.unwrap_or_default(),
                model: chunk.model.filter(|model| !model.is_empty()).unwrap_or_else(|| self.asked.clone()),
            });
        }
        for choice in chunk.choices.unwrap_or_default() {
            let index = u32::try_from(choice.index.unwrap_or(0))
                .map_err(|_| malformed("a choice of the upstream's answer has an index that none can have"))?;
            self.choice(index, choice, &mut deltas, &mut odd)?;
        }
        let usage = chunk.usage.as_ref().and_then(Value::as_object);
        self.tier = match tier(usage, chunk.service_tier.as_ref()) {
            Tier::Standard => self.tier,
            other => other,
        };
        // Some servers count along with every chunk; the last count is that of the whole.
        self.usage = usage.and_then(read_usage).or(self.usage);
        let frame = if odd { None } else { without_padding(data, chunk.p) };
        Ok(Read::Event(StreamEvent { frame, deltas }))
    }

    fn choice(
        &mut self,
        index: u32,
        choice: WireChoice,
        deltas: &mut Vec<Delta>,
        odd: &mut bool,
    ) -> Result<(), ProviderError> {
        let state = self.choices.entry(index).or_default();
        let before = deltas.len();
        if let Some(delta) = choice.delta {
            let reasoning = [&delta.reasoning_content, &delta.reasoning].into_iter().flatten().find_map(Value::as_str);
            if let Some(text) = reasoning.filter(|text| !text.is_empty()) {
                deltas.push(Delta::Thinking { choice: index, text: text.to_owned() });
            }
            *odd |= matches!(delta.content, Content::List(_));
            // Chunks of kinds that are not known have no text.
            for part in delta.content.into_parts(&mut Vec::new()) {
                match part {
                    Part::Thinking { text } if !text.is_empty() => {
                        deltas.push(Delta::Thinking { choice: index, text });
                    }
                    Part::Text { text } if !text.is_empty() => deltas.push(Delta::Text { choice: index, text }),
                    _ => {}
                }
            }
            if let Some(text) = delta.refusal.as_ref().and_then(Value::as_str).filter(|text| !text.is_empty()) {
                *odd = true;
                deltas.push(Delta::Text { choice: index, text: text.to_owned() });
            }
            for call in delta.tool_calls.unwrap_or_default() {
                deltas.push(state.call(index, call, odd));
            }
        }
        if state.finished && deltas.len() > before {
            return Err(malformed("the upstream's answer went on behind its end"));
        }
        if let Some(reason) = choice.finish_reason
            && !state.finished
        {
            state.finished = true;
            let reason = finish_reason(Some(&reason), !state.calls.is_empty())?;
            deltas.push(Delta::Finished { choice: index, reason });
        }
        Ok(())
    }
}

impl ChoiceState {
    /// A fragment of a call. Which one it belongs to says its index, else its id, else its place behind the last.
    fn call(&mut self, choice: u32, call: WireCall, odd: &mut bool) -> Delta {
        let id = call.id.filter(|id| !id.is_empty() && id != "null");
        let (name, arguments) = call.function.map_or((None, None), |it| (it.name, it.arguments));
        let name = name.filter(|name| !name.is_empty());
        let same_index = |(index, known): &(Option<u64>, String)| {
            // Whole calls that all claim the same index are told apart by their ids.
            *index == call.index && (id.as_ref().is_none_or(|id| id == known) || name.is_none())
        };
        let known = match (call.index, &id) {
            (Some(_), _) => self.calls.iter().rposition(same_index),
            (None, Some(id)) => self.calls.iter().rposition(|(_, known)| known == id),
            (None, None) if name.is_none() => self.calls.len().checked_sub(1),
            (None, None) => None,
        };
        let is_new = known.is_none();
        let place = known.unwrap_or_else(|| {
            self.calls.push((call.index, id.clone().unwrap_or_default()));
            self.calls.len() - 1
        });
        let arguments = match arguments {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text,
            Some(object) => {
                *odd = true;
                object.to_string()
            }
        };
        *odd |= call.index != Some(place as u64) || (is_new && (id.is_none() || name.is_none()));
        *odd |= !is_new && (id.is_some() || name.is_some());
        Delta::ToolCall {
            choice,
            call: u32::try_from(place).unwrap_or(u32::MAX),
            id: if is_new { Some(id.unwrap_or_default()) } else { None },
            name: if is_new { Some(name.unwrap_or_default()) } else { None },
            arguments,
        }
    }
}

/// The chunk without the value of `p`, which stands in it.
fn without_padding(data: &Bytes, p: Option<&RawValue>) -> Option<Bytes> {
    let Some(value) = p.map(RawValue::get) else { return Some(data.clone()) };
    let start = (value.as_ptr() as usize).checked_sub(data.as_ptr() as usize)?;
    let before = data.get(..start)?.trim_ascii_end().strip_suffix(b":")?.trim_ascii_end();
    let before = before.strip_suffix(b"\"p\"")?.trim_ascii_end();
    let behind = data.get(start + value.len()..)?.trim_ascii_start();
    let (before, behind) = match before.strip_suffix(b",") {
        Some(before) => (before, behind),
        None => (before, behind.strip_prefix(b",").unwrap_or(behind)),
    };
    Some([before, behind].concat().into())
}

fn malformed(message: &str) -> ProviderError {
    ProviderError::new(ErrorKind::MalformedAnswer, message)
}

#[cfg(test)]
#[path = "chunk_tests.rs"]
mod tests;
