//! Streams of chat completion chunks, of all vendors whose answers are made of them.

use bytes::Bytes;

use super::chunk::{Chunks, Read};
use super::dialect::{self, Dialect, broke_off, of_call};
use super::http::{Reply, StreamedBody};
use super::price::Tier;
use super::stream::{Delta, EventStream, StreamEvent};
use super::{ErrorKind, ProviderError};
use crate::chat::Usage;

/// What one vendor's streams have of their own.
pub(crate) trait Reading: Send + 'static {
    /// What an event says that the upstream failed.
    fn refusal(&self, data: &[u8]) -> ProviderError;

    /// An error on its way out, without the key.
    fn scrubbed(&self, error: ProviderError) -> ProviderError;

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

/// The events of a stream of chunks.
pub(crate) fn events(
    body: Box<StreamedBody>,
    chunks: Chunks,
    reading: impl Reading,
    correlation_id: Option<String>,
) -> EventStream {
    dialect::events(body, Chunked { chunks, told: None, over: false, reading }, correlation_id)
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
            Read::Error(data) => Err(self.reading.refusal(&data)),
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

    fn scrubbed(&self, error: ProviderError) -> ProviderError {
        self.reading.scrubbed(error)
    }
}

/// An answer of status 200 that is no stream: an error all the same, or a whole answer, which nobody asked for.
pub(crate) fn no_stream(reply: &Reply, reading: &impl Reading, correlation_id: Option<&str>) -> ProviderError {
    let error = match Chunks::new("").read(&reply.body) {
        Ok(Read::Error(data)) => reading.refusal(&data),
        _ => something_else(),
    };
    reading.scrubbed(of_call(error, correlation_id))
}

/// An answer of status 200 that is no stream.
pub(crate) fn something_else() -> ProviderError {
    let message = "the upstream answered a request for a stream with something else";
    ProviderError::new(ErrorKind::MalformedAnswer, message).with_status(200)
}

#[cfg(test)]
#[path = "streaming_tests.rs"]
mod tests;
