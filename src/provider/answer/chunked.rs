//! Streams of chat completion chunks, of all vendors whose answers are made of them.

use bytes::Bytes;

use crate::chat::Usage;
use crate::provider::ProviderError;
use crate::provider::answer::chunk::{Chunks, Read};
use crate::provider::answer::dialect::{self, Dialect, broke_off};
use crate::provider::answer::stream::{Delta, StreamEvent, Streamed};
use crate::provider::price::bill::Bill;
use crate::provider::price::{Host, Terms, Tier};
use crate::provider::upstream::http::StreamedBody;
use crate::provider::upstream::refusals::Refusals;

/// What is kept of a call while its answer streams.
pub(crate) struct Call {
    pub(crate) bill: Bill,
    pub(crate) host: Host,
    pub(crate) end: End,
}

/// Whether each stream of a vendor's says that it is done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Each does: one that does not has broken off.
    Said,
    /// It may be missing.
    Unsaid,
}

struct Chunked {
    chunks: Chunks,
    /// The tokens that were told last.
    told: Option<(Usage, Tier)>,
    over: bool,
    call: Call,
}

impl Chunked {
    /// The tokens, where they are not told as they were counted last.
    fn usage(&mut self) -> Option<Delta> {
        let counted = self.chunks.usage().filter(|counted| self.told != Some(*counted))?;
        self.told = Some(counted);
        let (usage, tier) = counted;
        let cost_usd = self.call.bill.cost(usage, Terms { host: self.call.host, tier });
        Some(Delta::Usage { usage, cost_usd })
    }
}

/// The answer to a call that a body streams in chunks. `notes`: on what was asked.
pub(crate) fn streamed(body: Box<StreamedBody>, call: Call, notes: Vec<String>) -> Streamed {
    let chunks = Chunks::new(call.bill.model());
    dialect::streamed(body, Chunked { chunks, told: None, over: false, call }, notes)
}

impl Dialect for Chunked {
    fn read(&mut self, data: &Bytes, refusals: &Refusals) -> Result<StreamEvent, ProviderError> {
        match self.chunks.read(data)? {
            Read::Event(mut event) => {
                if self.chunks.is_whole() {
                    event.deltas.extend(self.usage());
                    event.deltas.extend(self.chunks.served());
                }
                Ok(event)
            }
            Read::Error(data) => Err(refusals.in_stream(&data)),
            Read::Done => {
                let deltas = self.chunks.finish();
                self.over = self.chunks.is_whole();
                let early = || broke_off("said that it was done before its answer was");
                self.over.then_some(StreamEvent { frame: None, deltas }).ok_or_else(early)
            }
        }
    }

    fn is_of_a_choice(&self) -> bool {
        self.chunks.is_of_a_choice()
    }

    fn spent(&self) -> Option<Usage> {
        self.chunks.usage().map(|(usage, _)| usage)
    }

    fn is_over(&self) -> bool {
        self.over
    }

    fn end(&mut self) -> Option<Vec<Delta>> {
        let mut deltas = self.chunks.finish();
        let unsaid = self.call.end == End::Unsaid || self.chunks.was_told_whole();
        let whole = self.over || self.chunks.is_whole() && unsaid;
        whole.then(|| {
            deltas.extend(self.usage().into_iter().chain(self.chunks.served()));
            deltas.extend(self.chunks.notes().map(Delta::Note));
            deltas
        })
    }
}

#[cfg(test)]
#[path = "chunked_tests.rs"]
mod tests;
