//! What an answer has said so far: what is recorded of it, and what it used.

use std::collections::BTreeMap;

use crate::chat::{Aside, ChatAnswer, Choice, FinishReason, Message, Part, Reference, Role, Usage};
use crate::policy::stream::StreamPart;
use crate::provider::Delta;

/// The note about it.
const SEALS_LEFT_OUT: &str = "signatures of reasoning left out: a policy changed what they hold for";

/// A streamed answer, put together.
#[derive(Debug)]
pub(crate) struct Transcript {
    id: String,
    model: String,
    choices: BTreeMap<u32, Spoken>,
    usage: Option<Usage>,
    cost_usd: Option<f64>,
    aside: Aside,
    notes: Vec<String>,
    bytes: u64,
    sealed: u64,
    cited: usize,
}

#[derive(Debug, Default)]
struct Spoken {
    parts: Vec<(StreamPart, Part)>,
    cited: Vec<Reference>,
    finish: Option<FinishReason>,
}

impl Transcript {
    /// Of an answer by the model that was asked for.
    pub(crate) fn new(model: &str) -> Self {
        Self {
            id: String::new(),
            model: model.to_owned(),
            choices: BTreeMap::new(),
            usage: None,
            cost_usd: None,
            aside: Aside::default(),
            notes: Vec::new(),
            bytes: 0,
            sealed: 0,
            cited: 0,
        }
    }

    /// Adds what came.
    pub(crate) fn take(&mut self, delta: &Delta) {
        match delta {
            Delta::Started { id, model, aside } => {
                id.clone_into(&mut self.id);
                model.clone_into(&mut self.model);
                aside.clone_into(&mut self.aside);
            }
            Delta::Text { choice, text } => self.add(*choice, StreamPart::Text, text),
            Delta::Refusal { choice, text } => self.add(*choice, StreamPart::Refusal, text),
            Delta::Thinking { choice, text } => self.add(*choice, StreamPart::Thinking, text),
            Delta::ToolCall { choice, call, id, name, arguments } => {
                self.add(*choice, StreamPart::ToolCall(*call), arguments);
                if let Part::ToolCall { id: known_id, name: known_name, .. } =
                    self.choices.entry(*choice).or_default().part(StreamPart::ToolCall(*call))
                {
                    id.iter().for_each(|id| known_id.clone_from(id));
                    name.iter().for_each(|name| known_name.clone_from(name));
                }
            }
            Delta::References { choice, ids } => {
                self.choices.entry(*choice).or_default().cited.extend_from_slice(ids);
                self.cited += size_of_val(ids.as_slice()) + ids.iter().map(Reference::size).sum::<usize>();
            }
            Delta::Finished { choice, reason } => self.choices.entry(*choice).or_default().finish = Some(*reason),
            Delta::Usage { usage, cost_usd } => (self.usage, self.cost_usd) = (Some(*usage), *cost_usd),
            Delta::Served { tier } => self.aside.service_tier = Some(tier.clone()),
            Delta::Note(note) => self.notes.push(note.clone()),
            // For whoever sends it back, and no text.
            Delta::Seal { seal, .. } => self.sealed += seal.size() as u64,
        }
    }

    fn add(&mut self, choice: u32, part: StreamPart, text: &str) {
        self.bytes += text.len() as u64;
        if let Some(known) = self.choices.entry(choice).or_default().part(part).text_mut() {
            known.push_str(text);
        }
    }

    /// A seal was not passed on.
    pub(crate) fn leaves_out_seal(&mut self) {
        if self.notes.iter().all(|note| note != SEALS_LEFT_OUT) {
            self.notes.push(SEALS_LEFT_OUT.to_owned());
        }
    }

    /// Whether so many choices have ended, and no other has begun.
    pub(crate) fn is_whole(&self, choices: usize) -> bool {
        self.choices.len() >= choices && self.choices.values().all(|spoken| spoken.finish.is_some())
    }

    /// Bytes of text so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes of seals so far.
    pub(crate) fn sealed(&self) -> u64 {
        self.sealed
    }

    /// Bytes of all that it keeps.
    pub(crate) fn size(&self) -> usize {
        usize::try_from(self.bytes.saturating_add(self.sealed)).unwrap_or(usize::MAX).saturating_add(self.cited)
    }

    /// The answer, as far as it came. `notes`: on what was done to the request.
    pub(crate) fn answer(self, correlation_id: Option<String>, mut notes: Vec<String>) -> ChatAnswer {
        notes.extend(self.notes);
        let choices = self.choices.into_values().map(|Spoken { parts, cited, finish }| {
            let cited = (!cited.is_empty()).then_some(Part::Reference { ids: cited });
            let parts = parts.into_iter().map(|(_, part)| part).chain(cited).collect();
            let finish_reason = finish.unwrap_or(FinishReason::Other);
            Choice { message: Message { role: Role::Assistant, parts }, finish_reason }
        });
        ChatAnswer {
            id: self.id,
            model: self.model,
            choices: choices.collect(),
            usage: self.usage,
            cost_usd: self.cost_usd,
            correlation_id,
            notes,
            aside: self.aside,
            ..ChatAnswer::default()
        }
    }
}

impl Spoken {
    fn part(&mut self, id: StreamPart) -> &mut Part {
        let index = self.parts.iter().rposition(|(known, _)| *known == id).unwrap_or_else(|| {
            let (text, empty) = (String::new(), String::new());
            let part = match id {
                StreamPart::Text => Part::Text { text },
                StreamPart::Refusal => Part::Refusal { text },
                StreamPart::Thinking => Part::Thinking { text, seal: None },
                StreamPart::ToolCall(_) => {
                    Part::ToolCall { id: empty.clone(), name: empty, arguments: text, seal: None }
                }
            };
            self.parts.push((id, part));
            self.parts.len() - 1
        });
        &mut self.parts[index].1
    }
}
