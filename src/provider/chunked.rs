//! Streams of chat completion chunks, of all vendors whose answers are made of them.

use bytes::Bytes;

use super::ProviderError;
use super::chunk::{Chunks, Read};
use super::dialect::{self, Dialect, broke_off};
use super::http::StreamedBody;
use super::price::Tier;
use super::refusals::Refusals;
use super::stream::{Delta, StreamEvent, Streamed};
use crate::chat::Usage;

/// What one vendor's streams have of their own.
pub(crate) trait Reading: Send + 'static {
    /// What the answer cost.
    fn cost(&self, usage: &Usage, tier: Tier) -> Option<f64>;

    /// Whether each of its streams says that it is done. Of one that does not, an end may be missing.
    fn says_done(&self) -> bool;
}

struct Chunked<R> {
    chunks: Chunks,
    /// The tokens that were told last.
    told: Option<(Usage, Tier)>,
    over: bool,
    refusals: Refusals,
    reading: R,
}

impl<R: Reading> Chunked<R> {
    /// The tokens, where they are not told as they were counted last.
    fn usage(&mut self) -> Option<Delta> {
        let counted = self.chunks.usage().filter(|counted| self.told != Some(*counted))?;
        self.told = Some(counted);
        let (usage, tier) = counted;
        Some(Delta::Usage { usage, cost_usd: self.reading.cost(&usage, tier) })
    }
}

/// The answer by the model `asked` that a body streams in chunks.
pub(crate) fn streamed(body: Box<StreamedBody>, asked: &str, reading: impl Reading, notes: Vec<String>) -> Streamed {
    let (chunks, refusals) = (Chunks::new(asked), body.refusals.clone());
    dialect::streamed(body, Chunked { chunks, told: None, over: false, refusals, reading }, notes)
}

impl<R: Reading> Dialect for Chunked<R> {
    fn read(&mut self, data: &Bytes) -> Result<StreamEvent, ProviderError> {
        match self.chunks.read(data)? {
            Read::Event(mut event) => {
                if self.chunks.is_whole() {
                    event.deltas.extend(self.usage());
                }
                Ok(event)
            }
            Read::Error(data) => Err(self.refusals.in_stream(&data)),
            Read::Done if self.chunks.is_whole() => {
                self.over = true;
                Ok(StreamEvent::default())
            }
            Read::Done => Err(broke_off("said that it was done before its answer was")),
        }
    }

    fn is_over(&self) -> bool {
        self.over
    }

    fn end(&mut self) -> Option<Vec<Delta>> {
        let whole = self.over || self.chunks.is_whole() && !self.reading.says_done();
        whole.then(|| self.usage().into_iter().chain(self.chunks.notes().map(Delta::Note)).collect())
    }
}

#[cfg(test)]
#[path = "chunked_tests.rs"]
mod tests;
