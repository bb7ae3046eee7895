//! Gemini's events as deltas. Pure but for the clock of an error, and as tolerant as the reader of whole answers.
//!
//! Each event is a response with more of each candidate and the tokens so far; a call is always whole. Nothing says that
//! the answer is over but the end of the stream.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::answer::{Candidate, Response, finish_reason, no_candidate, read_part, read_usage};
use crate::chat::{Aside, Part, Usage};
use crate::provider::answer::dialect::Dialect;
use crate::provider::answer::notes::Notes;
use crate::provider::price::Terms;
use crate::provider::price::bill::Bill;
use crate::provider::tools::call_id::{Made, check_count};
use crate::provider::upstream::refusals::Refusals;
use crate::provider::upstream::text::is_token;
use crate::provider::{Delta, ProviderError, Sealed, StreamEvent};

/// An answer, as far as it has come.
pub(super) struct Reading {
    bill: Bill,
    /// Made of the first event, which no other answer has.
    ids: Option<Made<Vec<u8>>>,
    choices: BTreeMap<u32, ChoiceState>,
    /// Whether the event that was read last has a candidate.
    of_a_choice: bool,
    usage: Option<Usage>,
    /// On what is left out.
    notes: Notes,
}

#[derive(Debug, Default)]
struct ChoiceState {
    calls: u32,
    finished: bool,
}

impl Reading {
    /// Of the answer to a call.
    pub(super) fn new(bill: Bill) -> Self {
        Self { bill, ids: None, choices: BTreeMap::new(), of_a_choice: false, usage: None, notes: Notes::default() }
    }

    fn candidate(&mut self, candidate: Candidate, deltas: &mut Vec<Delta>) -> Result<(), ProviderError> {
        let choice = candidate.index;
        let state = self.choices.entry(choice).or_default();
        let mut parts = Vec::new();
        for part in candidate.content.map(|content| content.parts).unwrap_or_default() {
            let ids = self.ids.get_or_insert_with(|| Made::of(part.get().as_bytes().to_vec()));
            read_part(&part, ids, &mut parts, &mut self.notes);
        }
        if state.finished && !parts.is_empty() {
            return Err(ProviderError::went_on());
        }
        for part in parts {
            match part {
                Part::Text { text } | Part::Refusal { text } => deltas.push(Delta::Text { choice, text }),
                Part::Thinking { text, .. } => deltas.push(Delta::Thinking { choice, text }),
                Part::ToolCall { id, name, arguments, seal } => {
                    let call = state.calls;
                    state.calls += 1;
                    check_count(state.calls as usize)?;
                    deltas.push(Delta::ToolCall { choice, call, id: Some(id), name: Some(name), arguments });
                    deltas.extend(seal.map(|seal| Delta::Seal { choice, of: Sealed::Call(call), seal }));
                }
                Part::ToolResult { .. } | Part::Image { .. } | Part::Reference { .. } => {}
            }
        }
        if let Some(reason) = candidate.finish_reason
            && !std::mem::replace(&mut state.finished, true)
        {
            let reason = finish_reason(Some(&reason), state.calls > 0)?;
            deltas.push(Delta::Finished { choice, reason });
        }
        Ok(())
    }
}

impl Dialect for Reading {
    fn read(&mut self, data: &Bytes, refusals: &Refusals) -> Result<StreamEvent, ProviderError> {
        let response: Response =
            serde_json::from_slice(data).map_err(|error| ProviderError::unreadable(&error, "response"))?;
        // The last count is that of the whole. Before the candidates: one that failed was counted all the same.
        self.usage = response.usage_metadata.as_ref().and_then(read_usage).or(self.usage);
        self.of_a_choice = !response.candidates.is_empty();
        if response.error.is_some() {
            return Err(refusals.in_stream(data));
        }
        let mut deltas = Vec::with_capacity(2);
        if self.ids.is_none() {
            if response.candidates.is_empty() && response.prompt_feedback.is_some() {
                return Err(no_candidate(response.prompt_feedback));
            }
            self.ids = Some(Made::of(data.to_vec()));
            deltas.push(Delta::Started {
                id: response.response_id.filter(|id| is_token(id)).unwrap_or_default(),
                model: response
                    .model_version
                    .filter(|model| is_token(model))
                    .unwrap_or_else(|| self.bill.model().to_owned()),
                aside: Aside::default(),
            });
        }
        for candidate in response.candidates {
            self.candidate(candidate, &mut deltas)?;
        }
        Ok(StreamEvent { frame: None, deltas })
    }

    fn is_of_a_choice(&self) -> bool {
        self.of_a_choice
    }

    fn spent(&self) -> Option<Usage> {
        self.usage
    }

    fn is_over(&self) -> bool {
        false
    }

    fn end(&mut self) -> Option<Vec<Delta>> {
        let whole = !self.choices.is_empty() && self.choices.values().all(|choice| choice.finished);
        let cost = |usage| self.bill.cost(usage, Terms::default());
        let told = self.usage.map(|usage| Delta::Usage { usage, cost_usd: cost(usage) });
        let notes = std::mem::take(&mut self.notes).into_iter().map(Delta::Note);
        whole.then(|| told.into_iter().chain(notes).collect())
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
