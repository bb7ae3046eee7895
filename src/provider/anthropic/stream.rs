//! Anthropic's events as deltas. Pure but for the clock of an error, and as tolerant as the reader of whole answers.
//!
//! A message begins, its blocks begin, grow and end one behind another, its end is told with the tokens, and then it stops.
//! Events and kinds of blocks that are not known say nothing.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::answer::{self, finish_reason, signed};
use super::usage::Counted;
use crate::chat::{Aside, Part, Seal, Usage};
use crate::provider::answer::dialect::Dialect;
use crate::provider::answer::notes::Notes;
use crate::provider::price::bill::Bill;
use crate::provider::request::left_out;
use crate::provider::tools::call_id::{Made, check_count};
use crate::provider::upstream::refusals::Refusals;
use crate::provider::upstream::text::is_token;
use crate::provider::{Delta, ErrorKind, ProviderError, Sealed, StreamEvent, names};

/// Bytes of one signature at most: it is gathered here, where no room is counted.
const MOST_SIGNATURE: usize = 1 << 20;

/// A message, as far as it has come.
pub(super) struct Reading {
    bill: Bill,
    /// Made of the beginning, which no other answer has.
    ids: Made<Vec<u8>>,
    /// The calls of tools, by their blocks' index: their number, and whether arguments came.
    calls: BTreeMap<u64, (u32, bool)>,
    /// The reasoning that is told now: its block's index, its text and its signature so far.
    thought: Option<(u64, String, String)>,
    counted: Counted,
    finished: bool,
    over: bool,
    /// Whether the event that was read last is of a block.
    of_a_block: bool,
    /// On what is left out.
    notes: Notes,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event {
    MessageStart {
        message: Message,
    },
    ContentBlockStart {
        index: u64,
        content_block: Block,
    },
    ContentBlockDelta {
        index: u64,
        delta: Piece,
    },
    ContentBlockStop {
        index: u64,
    },
    MessageDelta {
        delta: End,
        #[serde(default)]
        usage: Value,
    },
    MessageStop,
    /// A whole one, of a server that does not stream.
    Message {
        #[serde(default)]
        usage: Value,
    },
    Error,
    #[serde(other)]
    Unknown,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    usage: Value,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block {
    Text {
        #[serde(default)]
        text: String,
    },
    ToolUse {
        #[serde(default)]
        id: String,
        #[serde(default)]
        name: String,
    },
    Thinking {
        #[serde(default)]
        thinking: String,
    },
    RedactedThinking {
        #[serde(default)]
        data: String,
    },
    #[serde(other)]
    Unknown,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Piece {
    TextDelta {
        text: String,
    },
    ThinkingDelta {
        thinking: String,
    },
    SignatureDelta {
        signature: String,
    },
    InputJsonDelta {
        partial_json: String,
    },
    #[serde(other)]
    Unknown,
}

#[derive(Deserialize)]
struct End {
    #[serde(default)]
    stop_reason: Option<String>,
}

impl Reading {
    /// Of the answer to a call.
    pub(super) fn new(bill: Bill) -> Self {
        Self {
            bill,
            ids: Made::of(Vec::new()),
            calls: BTreeMap::new(),
            thought: None,
            counted: Counted::default(),
            finished: false,
            over: false,
            of_a_block: false,
            notes: Notes::default(),
        }
    }

    /// A block of a kind that is not known is left out.
    fn note_block(&mut self, data: &[u8]) {
        let event: Value = serde_json::from_slice(data).unwrap_or_default();
        let kind = event["content_block"]["type"].as_str();
        self.notes.add(left_out::content(kind));
    }

    /// More of a call's arguments; nothing for a block that is none.
    fn arguments(&mut self, index: u64, arguments: String) -> Option<Delta> {
        let (call, came) = self.calls.get_mut(&index)?;
        *came |= !arguments.is_empty();
        (!arguments.is_empty()).then_some(Delta::ToolCall { choice: 0, call: *call, id: None, name: None, arguments })
    }

    /// A whole message, which is the answer, in place of its pieces.
    fn whole(&mut self, data: &[u8], usage: &Value) -> Result<StreamEvent, ProviderError> {
        if self.finished {
            return Err(ProviderError::went_on());
        }
        let answer = answer::parse(data, self.bill.model())?.answer;
        self.counted = self.counted.then(Counted::read(usage));
        answer.notes.into_iter().for_each(|note| self.notes.add(note));
        let mut deltas = vec![Delta::Started { id: answer.id, model: answer.model, aside: Aside::default() }];
        for choice in answer.choices {
            let mut calls = 0;
            for part in choice.message.parts {
                match part {
                    Part::Text { text } => deltas.push(Delta::Text { choice: 0, text }),
                    Part::Thinking { text, seal } => {
                        let of = Sealed::Thoughts(text.clone());
                        deltas.extend((!text.is_empty()).then_some(Delta::Thinking { choice: 0, text }));
                        deltas.extend(seal.map(|seal| Delta::Seal { choice: 0, of, seal }));
                    }
                    Part::ToolCall { id, name, arguments, .. } => {
                        let (id, name) = (Some(id), Some(name));
                        deltas.push(Delta::ToolCall { choice: 0, call: calls, id, name, arguments });
                        calls += 1;
                    }
                    // A message is made of no other parts.
                    _ => {}
                }
            }
            deltas.push(Delta::Finished { choice: 0, reason: choice.finish_reason });
        }
        (self.finished, self.over) = (true, true);
        Ok(StreamEvent { frame: None, deltas })
    }

    /// The end of the answer, told once. Calls whose blocks did not end before it, and to which no arguments came, get
    /// the empty object: policies judge a call by it.
    fn finish(&mut self, reason: Option<&str>) -> Vec<Delta> {
        if reason.is_none() || std::mem::replace(&mut self.finished, true) {
            return Vec::new();
        }
        let bare: Vec<u64> = self.calls.iter().filter(|(_, (_, came))| !came).map(|(index, _)| *index).collect();
        let mut deltas: Vec<_> = bare.into_iter().filter_map(|index| self.arguments(index, "{}".to_owned())).collect();
        deltas.push(Delta::Finished { choice: 0, reason: finish_reason(reason) });
        deltas
    }
}

impl Dialect for Reading {
    fn read(&mut self, data: &Bytes, refusals: &Refusals) -> Result<StreamEvent, ProviderError> {
        let event: Event =
            serde_json::from_slice(data).map_err(|error| ProviderError::unreadable(&error, "message"))?;
        self.of_a_block = matches!(
            event,
            Event::ContentBlockStart { .. } | Event::ContentBlockDelta { .. } | Event::ContentBlockStop { .. }
        );
        let thinks = |text: String| (!text.is_empty()).then_some(Delta::Thinking { choice: 0, text });
        let text = |text: String| (!text.is_empty()).then_some(Delta::Text { choice: 0, text });
        let delta = match event {
            Event::MessageStart { message } => {
                self.counted = self.counted.then(Counted::read(&message.usage));
                self.ids = Made::of(data.to_vec());
                let id = message.id.filter(|id| is_token(id)).unwrap_or_default();
                let model =
                    message.model.filter(|model| is_token(model)).unwrap_or_else(|| self.bill.model().to_owned());
                Some(Delta::Started { id, model, aside: Aside::default() })
            }
            Event::ContentBlockStart { content_block: Block::Text { text: begun }, .. } => text(begun),
            Event::ContentBlockStart { content_block: Block::ToolUse { name, .. }, .. } if !names::is_call(&name) => {
                self.notes.add(names::NAMELESS);
                None
            }
            Event::ContentBlockStart { index, content_block: Block::ToolUse { id, name } } => {
                let call = u32::try_from(self.calls.len()).unwrap_or(u32::MAX);
                self.calls.insert(index, (call, false));
                check_count(self.calls.len())?;
                let id = Some(self.ids.or_made(Some(&id)));
                Some(Delta::ToolCall { choice: 0, call, id, name: Some(name), arguments: String::new() })
            }
            Event::ContentBlockStart { index, content_block: Block::Thinking { thinking } } => {
                self.thought = Some((index, thinking.clone(), String::new()));
                thinks(thinking)
            }
            Event::ContentBlockStart { content_block: Block::RedactedThinking { data }, .. } => {
                let (of, seal) = (Sealed::Thoughts(String::new()), Seal::AnthropicRedacted(data));
                Some(Delta::Seal { choice: 0, of, seal })
            }
            Event::ContentBlockStart { content_block: Block::Unknown, .. } => {
                self.note_block(data);
                None
            }
            Event::ContentBlockDelta { delta: Piece::TextDelta { text: more }, .. } => text(more),
            Event::ContentBlockDelta { delta: Piece::ThinkingDelta { thinking }, .. } => {
                if let Some((_, text, _)) = &mut self.thought {
                    text.push_str(&thinking);
                }
                thinks(thinking)
            }
            Event::ContentBlockDelta { delta: Piece::SignatureDelta { signature }, .. } => {
                if let Some((_, _, told)) = &mut self.thought {
                    if told.len() + signature.len() > MOST_SIGNATURE {
                        let message =
                            format!("a signature in the upstream's stream is longer than {MOST_SIGNATURE} bytes");
                        return Err(ProviderError::new(ErrorKind::ResponseTooLarge, &message));
                    }
                    told.push_str(&signature);
                }
                None
            }
            Event::ContentBlockStop { index } if self.thought.as_ref().is_some_and(|(begun, ..)| *begun == index) => {
                let sealed = self.thought.take().and_then(|(_, text, signature)| Some((text, signed(signature)?)));
                sealed.map(|(text, seal)| Delta::Seal { choice: 0, of: Sealed::Thoughts(text), seal })
            }
            Event::ContentBlockDelta { index, delta: Piece::InputJsonDelta { partial_json } } => {
                self.arguments(index, partial_json)
            }
            // A call without arguments: clients expect an object.
            Event::ContentBlockStop { index } if self.calls.get(&index).is_some_and(|(_, came)| !came) => {
                self.arguments(index, "{}".to_owned())
            }
            Event::MessageDelta { delta, usage } => {
                self.counted = self.counted.then(Counted::read(&usage));
                return Ok(StreamEvent { frame: None, deltas: self.finish(delta.stop_reason.as_deref()) });
            }
            Event::MessageStop => {
                self.over = true;
                None
            }
            Event::Message { usage } => return self.whole(data, &usage),
            Event::Error => return Err(refusals.in_stream(data)),
            Event::ContentBlockDelta { .. } | Event::ContentBlockStop { .. } | Event::Unknown => None,
        };
        if self.finished && matches!(delta, Some(Delta::Text { .. } | Delta::ToolCall { .. })) {
            return Err(ProviderError::went_on());
        }
        Ok(StreamEvent { frame: None, deltas: delta.into_iter().collect() })
    }

    fn is_of_a_choice(&self) -> bool {
        self.of_a_block
    }

    fn spent(&self) -> Option<Usage> {
        self.counted.usage()
    }

    fn is_over(&self) -> bool {
        self.over
    }

    fn end(&mut self) -> Option<Vec<Delta>> {
        let cost = |usage| self.bill.cost(usage, self.counted.terms());
        let told = self.counted.usage().map(|usage| Delta::Usage { usage, cost_usd: cost(usage) });
        let notes = std::mem::take(&mut self.notes).into_iter().map(Delta::Note);
        (self.finished && self.over).then(|| told.into_iter().chain(notes).collect())
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
