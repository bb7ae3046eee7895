//! A `chat.completion.chunk` as what it says: OpenAI's form of it, Mistral's, and those of the many that stream like them.
//! Pure: no I/O, no clock. As tolerant as the reading of whole answers, and no message of an error repeats what the model
//! said.
//!
//! A chunk may go on to a client as it came only if every field in it is known and told, or can hold no text: what the
//! deltas do not say no policy has seen.

mod call;
mod written;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::chat::{Aside, FinishReason, Part, Usage, outside_strings};
use crate::provider::answer::completion::content::Content;
use crate::provider::answer::completion::{created, finish_reason, read_usage, served, tier, token};
use crate::provider::answer::notes::Notes;
use crate::provider::answer::values;
use crate::provider::price::Tier;
use crate::provider::request::left_out;
use crate::provider::tools::call_id::Made;
use crate::provider::upstream::text::is_token;
use crate::provider::{Delta, ProviderError, Sealed, StreamEvent, names};
use call::{Calls, Told};

/// More choices than OpenAI gives to one request.
const MAX_CHOICES: u32 = 128;

/// So many different fields that an answer leaves out are remembered.
pub(super) const MOST_NOTED: usize = 16;

/// The fields of a chunk as OpenAI writes it (`obfuscation` is its padding, which its clients know), and Mistral's
/// padding, which is cut out.
pub(super) const CHUNK: [&str; 10] =
    ["id", "object", "created", "model", "choices", "usage", "service_tier", "system_fingerprint", "obfuscation", "p"];

/// The fields of a choice that is told in full. The last one is Moonshot's.
const CHOICE: [&str; 4] = ["index", "delta", "finish_reason", "usage"];

/// The reasons that OpenAI's clients know.
const REASONS: [&str; 5] = ["stop", "length", "tool_calls", "content_filter", "function_call"];

/// The fields of a delta that is told in full. The last one is that of GLM at Mistral's, a number that says nothing.
const DELTA: [&str; 7] = ["role", "content", "refusal", "tool_calls", "reasoning_content", "reasoning", "index"];

/// A stream of chunks, as far as it has come.
#[derive(Debug)]
pub(crate) struct Chunks {
    /// The model that was asked.
    asked: String,
    begun: bool,
    /// Whether the chunk that was read last has a choice.
    of_a_choice: bool,
    /// For calls that have none. Made of the first event, which no other answer has.
    ids: Made<Bytes>,
    choices: BTreeMap<u32, Choice>,
    usage: Option<Usage>,
    tier: Tier,
    /// The vendor's word for that, and the one that was told.
    served: Option<String>,
    told_served: Option<String>,
    /// Whether a whole message came in place of pieces of one.
    told_whole: bool,
    left_out: BTreeSet<String>,
    notes: Notes,
}

/// What a chunk is.
#[derive(Debug, PartialEq)]
pub(crate) enum Read {
    /// A piece of the answer.
    Event(StreamEvent),
    /// The upstream failed; its words.
    Error(Bytes),
    /// The end.
    Done,
}

#[derive(Debug, Default)]
struct Choice {
    calls: Calls,
    thoughts: Thoughts,
    /// Reasoning in lists of content that is not signed yet.
    thought: String,
    /// What was told of it in deltas.
    told: BTreeSet<Kind>,
    /// Whether what came last was a message: that may have been all of it.
    whole: bool,
    finished: bool,
}

/// What a choice can say, where a whole message may repeat it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Content,
    Reasoning,
    Refusal,
    Calls,
}

impl Kind {
    fn of(delta: &Delta) -> Option<Self> {
        match delta {
            Delta::Text { .. } | Delta::References { .. } => Some(Self::Content),
            Delta::Thinking { .. } | Delta::Seal { of: Sealed::Thoughts(_), .. } => Some(Self::Reasoning),
            Delta::Refusal { .. } => Some(Self::Refusal),
            Delta::ToolCall { .. } | Delta::Seal { of: Sealed::Call(_), .. } => Some(Self::Calls),
            Delta::Started { .. }
            | Delta::Finished { .. }
            | Delta::Usage { .. }
            | Delta::Served { .. }
            | Delta::Note(_) => None,
        }
    }
}

/// Whether a choice has told of reasoning.
#[derive(Debug, Default, PartialEq)]
enum Thoughts {
    #[default]
    None,
    /// Of an empty one, which counts beside calls alone.
    Empty,
    Told,
}

/// What a chunk says, as far as it is read.
struct Telling {
    deltas: Vec<Delta>,
    /// Nothing stands in the chunk that a client of OpenAI's does not know, or that the deltas leave out.
    verbatim: bool,
    /// Names of fields that are not told.
    left_out: BTreeSet<String>,
    /// On content that is not told.
    notes: Notes,
}

impl Telling {
    /// Looks for fields that are not told. A null says nothing.
    fn know(&mut self, fields: &Map<String, Value>, known: &[&str]) {
        for (name, value) in fields {
            if !value.is_null() && !known.contains(&name.as_str()) {
                self.leave_out(name);
            }
        }
    }

    fn leave_out(&mut self, name: &str) {
        self.verbatim = false;
        if self.left_out.len() < MOST_NOTED {
            self.left_out.insert(name.to_owned());
        }
    }

    /// `thought`: the reasoning before it that is not signed yet.
    fn content(&mut self, content: Option<Value>, choice: u32, thought: &mut String) -> Result<(), ProviderError> {
        let content = match content {
            None | Some(Value::Null) => return Ok(()),
            Some(Value::String(text)) => Content::Text(text),
            Some(other) => {
                self.verbatim = false;
                Content::deserialize(other)
                    .map_err(|_| ProviderError::malformed("the content of the upstream's stream is of no known form"))?
            }
        };
        for part in content.into_parts(&mut self.notes) {
            match part {
                Part::Thinking { text, seal } => {
                    thought.push_str(&text);
                    if !text.is_empty() {
                        self.deltas.push(Delta::Thinking { choice, text });
                    }
                    if let Some(seal) = seal {
                        let of = Sealed::Thoughts(std::mem::take(thought));
                        self.deltas.push(Delta::Seal { choice, of, seal });
                    }
                }
                Part::Text { text } => self.deltas.push(Delta::Text { choice, text }),
                Part::Reference { ids } => self.deltas.push(Delta::References { choice, ids }),
                // Content is made of no other parts.
                _ => {}
            }
        }
        Ok(())
    }
}

/// How many keys stand in valid JSON: each has a colon behind it, and outside of strings nothing else has. Where one stands
/// twice, policies see the last, and a client may read the first.
fn keys_in_text(json: &[u8]) -> usize {
    outside_strings(json).filter(|byte| *byte == b':').count()
}

/// How many were read.
fn keys(object: &Map<String, Value>) -> usize {
    fn below(value: &Value) -> usize {
        match value {
            Value::Object(object) => keys(object),
            Value::Array(values) => values.iter().map(below).sum(),
            _ => 0,
        }
    }
    object.len() + object.values().map(below).sum::<usize>()
}

impl Chunks {
    /// Of an answer by this model.
    pub(crate) fn new(asked: &str) -> Self {
        Self {
            asked: asked.to_owned(),
            begun: false,
            of_a_choice: false,
            ids: Made::of(Bytes::new()),
            choices: BTreeMap::new(),
            usage: None,
            tier: Tier::Standard,
            served: None,
            told_served: None,
            told_whole: false,
            left_out: BTreeSet::new(),
            notes: Notes::default(),
        }
    }

    /// Whether the chunk that was read last has a choice, be its delta empty.
    pub(crate) fn is_of_a_choice(&self) -> bool {
        self.of_a_choice
    }

    /// The tokens of the whole answer, once they are known, and how urgently it was served.
    pub(crate) fn usage(&self) -> Option<(Usage, Tier)> {
        self.usage.map(|usage| (usage, self.tier))
    }

    /// How urgently it was served, where that is not what was told.
    pub(crate) fn served(&mut self) -> Option<Delta> {
        let tier = self.served.clone().filter(|_| self.served != self.told_served)?;
        self.told_served = Some(tier.clone());
        Some(Delta::Served { tier })
    }

    /// What was left out of the answer.
    pub(crate) fn notes(&mut self) -> impl Iterator<Item = String> {
        let fields = left_out::of_answer(self.left_out.iter().map(String::as_str));
        std::mem::take(&mut self.notes).into_iter().chain(fields)
    }

    /// Whether every choice that has begun has ended, and one has.
    pub(crate) fn is_whole(&self) -> bool {
        !self.choices.is_empty() && self.choices.values().all(|choice| choice.finished)
    }

    /// Ends the choices that a message without a reason may have been all of. Nothing more comes.
    pub(crate) fn finish(&mut self) -> Vec<Delta> {
        let mut deltas = Vec::new();
        for (number, state) in self.choices.iter_mut().filter(|(_, state)| state.whole) {
            let reason = finish_reason(None, state.calls.any()).unwrap_or(FinishReason::Other);
            state.finish(*number, reason, &mut deltas);
        }
        deltas
    }

    /// Whether it came as whole messages, of servers that do not stream: what is whole then says so itself.
    pub(crate) fn was_told_whole(&self) -> bool {
        self.told_whole
    }

    /// Reads the data of one event.
    pub(crate) fn read(&mut self, data: &Bytes) -> Result<Read, ProviderError> {
        if data.trim_ascii() == b"[DONE]" {
            return Ok(Read::Done);
        }
        let mut chunk = match serde_json::from_slice(data) {
            Ok(Value::Object(chunk)) => chunk,
            Ok(_) => {
                return Err(ProviderError::malformed(
                    "an event of the upstream's stream is JSON, but no chunk of an answer",
                ));
            }
            Err(_) => return Err(ProviderError::malformed("an event of the upstream's stream is not JSON")),
        };
        if is_error(&chunk) {
            return Ok(Read::Error(data.clone()));
        }
        let verbatim = !data.contains(&b'\n') && keys_in_text(data) == keys(&chunk);
        let written = written::put_as_texts(&mut chunk, data);
        let mut telling = Telling {
            deltas: Vec::with_capacity(2),
            verbatim: verbatim && !written,
            left_out: std::mem::take(&mut self.left_out),
            notes: std::mem::take(&mut self.notes),
        };
        telling.know(&chunk, &CHUNK);
        telling.verbatim &= holds_no_text(&chunk);
        let choices = match chunk.remove("choices") {
            Some(Value::Array(choices)) => choices,
            None | Some(Value::Null) => Vec::new(),
            Some(_) => return Err(ProviderError::malformed("the choices of the upstream's stream are no list")),
        };
        self.of_a_choice = !choices.is_empty();
        // Without a choice it is no chunk to many clients.
        telling.verbatim &= self.of_a_choice;
        // Before the choices: one that failed was counted all the same.
        let beside = choices.first().and_then(|choice| choice.get("usage")?.as_object()).and_then(read_usage);
        let usage = chunk.get("usage").and_then(Value::as_object);
        self.tier = match tier(usage, chunk.get("service_tier")) {
            Tier::Standard => self.tier,
            other => other,
        };
        let beside_usage = chunk.get("service_tier").and_then(token);
        self.served = beside_usage.or_else(|| served(usage)).or(self.served.take());
        if !choices.is_empty() && !self.begun {
            self.ids = Made::of(data.clone());
            telling.deltas.push(self.start(&chunk));
        }
        // Some servers count along with every chunk; the last count is that of the whole, and clients add up what they are
        // told.
        self.usage = usage.and_then(read_usage).or(beside).or(self.usage);
        for (place, choice) in choices.into_iter().enumerate() {
            self.choice(choice, place, &mut telling)?;
        }
        let ends = telling.deltas.iter().any(|delta| matches!(delta, Delta::Finished { .. }));
        telling.verbatim &= usage.is_none() || ends;
        let Telling { deltas, verbatim, left_out, notes } = telling;
        (self.left_out, self.notes) = (left_out, notes);
        let frame = match chunk.contains_key("p") {
            _ if !verbatim => None,
            true => without_padding(data),
            false => Some(data.clone()),
        };
        Ok(Read::Event(StreamEvent { frame, deltas }))
    }

    /// The beginning of the answer, told once.
    fn start(&mut self, chunk: &Map<String, Value>) -> Delta {
        self.begun = true;
        self.told_served.clone_from(&self.served);
        let token = |name| chunk.get(name).and_then(token);
        Delta::Started {
            id: token("id").unwrap_or_default(),
            model: token("model").unwrap_or_else(|| self.asked.clone()),
            aside: Aside {
                created: chunk.get("created").and_then(created),
                service_tier: self.served.clone(),
                system_fingerprint: token("system_fingerprint"),
                deprecation: None,
            },
        }
    }

    /// `place` stands for an index that is missing.
    fn choice(&mut self, choice: Value, place: usize, telling: &mut Telling) -> Result<(), ProviderError> {
        let Value::Object(mut choice) = choice else {
            return Err(ProviderError::malformed("a choice of the upstream's stream is no object"));
        };
        let index = choice.get("index").and_then(Value::as_u64);
        let number = u32::try_from(index.unwrap_or(place as u64)).ok().filter(|number| *number < MAX_CHOICES);
        let Some(number) = number else {
            return Err(ProviderError::malformed("the upstream's stream has more choices than are read"));
        };
        let state = self.choices.entry(number).or_default();
        let message = choice.get_mut("message").filter(|message| message.is_object()).map(Value::take);
        telling.know(&choice, &CHOICE);
        let is = |name, kind: fn(&Value) -> bool| choice.get(name).is_none_or(|value| value.is_null() || kind(value));
        let read = is("delta", Value::is_object) && is("finish_reason", Value::is_string);
        telling.verbatim &= index.is_some() && read && is("usage", Value::is_null);
        let before = telling.deltas.len();
        if let Some(Value::Object(delta)) = choice.remove("delta") {
            state.delta(delta, number, &mut self.ids, telling)?;
        }
        state.told.extend(telling.deltas.iter().skip(before).filter_map(Kind::of));
        state.whole &= telling.deltas.len() == before;
        if let Some(Value::Object(message)) = message {
            self.told_whole |= state.told.is_empty();
            state.whole |= telling.deltas.len() == before;
            state.message(message, number, &mut self.ids, telling)?;
        }
        if state.finished && telling.deltas.len() > before {
            return Err(ProviderError::went_on());
        }
        // Some servers write an empty reason as long as there is none.
        let reason = choice.get("finish_reason").and_then(Value::as_str).filter(|reason| !reason.is_empty());
        if let Some(reason) = reason {
            telling.verbatim &= REASONS.contains(&reason);
            let reason = finish_reason(Some(reason), state.calls.any())?;
            telling.verbatim &= state.finish(number, reason, &mut telling.deltas);
        }
        Ok(())
    }
}

impl Choice {
    /// Ends it, once. Gives whether there was nothing to add but that.
    fn finish(&mut self, choice: u32, reason: FinishReason, deltas: &mut Vec<Delta>) -> bool {
        if std::mem::replace(&mut self.finished, true) {
            return true;
        }
        let is_told = self.calls.finish(choice, deltas);
        deltas.push(Delta::Finished { choice, reason });
        is_told
    }

    /// Reads a message. Of what was told in deltas it is a repetition, as MiniMax's last one is; the rest is a piece as any
    /// other, all of it or one of many.
    fn message(
        &mut self,
        mut message: Map<String, Value>,
        choice: u32,
        ids: &mut Made<Bytes>,
        telling: &mut Telling,
    ) -> Result<(), ProviderError> {
        telling.verbatim = false;
        let before = telling.deltas.len();
        // Told again they could be other calls.
        let calls = self.told.contains(&Kind::Calls).then(|| message.remove("tool_calls")).flatten();
        self.delta(message, choice, ids, telling)?;
        let said = telling.deltas.split_off(before);
        let (repeated, new): (Vec<_>, Vec<_>) =
            said.into_iter().partition(|delta| Kind::of(delta).is_some_and(|kind| self.told.contains(&kind)));
        telling.deltas.extend(new);
        if !repeated.is_empty() || calls.is_some_and(|calls| calls.as_array().is_some_and(|calls| !calls.is_empty())) {
            telling.leave_out("message");
        }
        Ok(())
    }

    fn delta(
        &mut self,
        mut delta: Map<String, Value>,
        choice: u32,
        ids: &mut Made<Bytes>,
        telling: &mut Telling,
    ) -> Result<(), ProviderError> {
        telling.know(&delta, &DELTA);
        telling.verbatim &= delta.get("role").is_none_or(|role| role.is_null() || role == "assistant" || role == "");
        for name in ["reasoning_content", "reasoning", "refusal"] {
            if delta.get(name).is_some_and(|value| !value.is_string() && !value.is_null()) {
                telling.leave_out(name);
            }
        }
        if delta.get("index").is_some_and(|index| !index.is_u64() && !index.is_null()) {
            telling.leave_out("index");
        }
        let text = |name| delta.get(name).and_then(Value::as_str);
        let (own, other) = (text("reasoning_content"), text("reasoning").filter(|text| !text.is_empty()));
        // Clients look for it under the first name alone.
        telling.verbatim &= other.is_none();
        if let Some(text) = own.filter(|text| !text.is_empty()).or(other) {
            self.thoughts = Thoughts::Told;
            telling.deltas.push(Delta::Thinking { choice, text: text.to_owned() });
        } else if own.is_some() && self.thoughts == Thoughts::None {
            self.thoughts = Thoughts::Empty;
        }
        telling.content(delta.remove("content"), choice, &mut self.thought)?;
        if let Some(text) = delta.get("refusal").and_then(Value::as_str).filter(|text| !text.is_empty()) {
            telling.deltas.push(Delta::Refusal { choice, text: text.to_owned() });
        }
        let calls = match delta.get("tool_calls") {
            Some(Value::Array(calls)) => calls.as_slice(),
            None | Some(Value::Null) => &[],
            Some(_) => return Err(ProviderError::malformed("the tool calls of the upstream's stream are no list")),
        };
        // Beside calls the empty one is told: DeepSeek and Kimi want it back.
        if !calls.is_empty() && self.thoughts == Thoughts::Empty {
            self.thoughts = Thoughts::Told;
            telling.verbatim = false;
            telling.deltas.push(Delta::Thinking { choice, text: String::new() });
        }
        for call in calls {
            let told = self.calls.read(call, choice, ids, &mut telling.deltas)?;
            telling.verbatim &= told == Told::Verbatim;
            if told == Told::LeftOut {
                telling.notes.add(names::NAMELESS);
            }
        }
        Ok(())
    }
}

/// Whether a chunk's fields beside its choices are what they are known for: no text fits into them.
fn holds_no_text(chunk: &Map<String, Value>) -> bool {
    const PADDING: usize = 256;
    let fits = |name: &str, value: &Value| match (name, value) {
        // What is cut out, written anew, or looked at elsewhere.
        ("p" | "choices", _) | ("usage", Value::Object(_)) | (_, Value::Null) => true,
        ("created", value) => *value == 0 || created(value).is_some(),
        (_, Value::String(text)) if text.is_empty() => true,
        ("object", Value::String(text)) => text == "chat.completion.chunk",
        ("obfuscation", Value::String(text)) => {
            text.len() <= PADDING && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
        }
        ("id" | "model" | "service_tier" | "system_fingerprint", Value::String(text)) => is_token(text),
        // Of fields that are not known the names were looked at.
        (name, _) => !CHUNK.contains(&name),
    };
    chunk.iter().all(|(name, value)| fits(name, value))
}

/// Whether a body is an error, in one of the forms that are known.
pub(crate) fn says_error(body: &[u8]) -> bool {
    values::check(body).is_ok() && serde_json::from_slice(body).is_ok_and(|fields| is_error(&fields))
}

/// An error instead of a chunk, in one of the forms that are known from whole answers.
fn is_error(chunk: &Map<String, Value>) -> bool {
    let there = |name| chunk.get(name).is_some_and(|value| !value.is_null());
    let kind = chunk.get("object").and_then(Value::as_str).unwrap_or_default();
    there("error") || kind.eq_ignore_ascii_case("error") || !there("choices") && (there("detail") || there("message"))
}

/// The chunk without `p` and its value.
fn without_padding(data: &Bytes) -> Option<Bytes> {
    #[derive(Deserialize)]
    struct Padded<'a> {
        #[serde(borrow)]
        p: &'a RawValue,
    }
    let value = serde_json::from_slice::<Padded<'_>>(data).ok()?.p.get();
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

#[cfg(test)]
#[path = "chunk_tests.rs"]
mod tests;
