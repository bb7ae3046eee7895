//! From an upstream's bytes to the events of an answer, for all that stream chat completion chunks.

use std::collections::VecDeque;

use bytes::Bytes;
use futures_util::stream;

use super::chunk::{Chunks, Read};
use super::http::{Reply, StreamedBody};
use super::price::Tier;
use super::sse::{Events, MAX_EVENT_BYTES};
use super::stream::{Delta, EventStream, StreamEvent};
use super::{ErrorKind, ProviderError};
use crate::chat::Usage;

/// How one vendor's stream is read.
pub(crate) trait Reading: Send + 'static {
    /// What an event says that the upstream failed.
    fn refusal(&self, data: &[u8]) -> ProviderError;

    /// An error on its way out, without the key.
    fn scrubbed(&self, error: ProviderError) -> ProviderError;

    /// What the answer cost.
    fn cost(&self, usage: &Usage, tier: Tier) -> Option<f64>;

    /// The id under which the vendor finds the call.
    fn correlation_id(&self) -> Option<&str>;

    /// Whether each of its streams says that it is done. Of one that does not, an end may be missing.
    fn says_done(&self) -> bool;
}

struct State<R> {
    /// None when the stream is over.
    body: Option<StreamedBody>,
    events: Events,
    chunks: Chunks,
    ready: VecDeque<Bytes>,
    told_usage: bool,
    reading: R,
}

/// The events of a stream of chunks. Reads on only when it is asked to.
pub(crate) fn events(body: StreamedBody, chunks: Chunks, reading: impl Reading) -> EventStream {
    let body = Some(body);
    let state = State { body, events: Events::default(), chunks, ready: VecDeque::new(), told_usage: false, reading };
    Box::pin(stream::unfold(Some(state), |state| async move {
        let mut state = state?;
        match state.next().await {
            Ok(Some(event)) => Some((Ok(event), Some(state))),
            Ok(None) => None,
            Err(error) => Some((Err(told(error, &state.reading)), None)),
        }
    }))
}

impl<R: Reading> State<R> {
    async fn next(&mut self) -> Result<Option<StreamEvent>, ProviderError> {
        loop {
            while let Some(data) = self.ready.pop_front() {
                match self.chunks.read(&data)? {
                    Read::Event(mut event) => {
                        if self.chunks.is_whole() {
                            event.deltas.extend(self.usage());
                        }
                        // What says nothing must not count as the beginning of an answer.
                        if event.frame.is_some() || !event.deltas.is_empty() {
                            return Ok(Some(event));
                        }
                    }
                    Read::Error(data) => return Err(self.reading.refusal(&data)),
                    Read::Done if self.chunks.is_whole() => return Ok(self.end()),
                    Read::Done => return Err(broke_off("said that it was done before its answer was")),
                }
            }
            let Some(body) = &mut self.body else { return Ok(None) };
            let ready = &mut self.ready;
            let Some(bytes) = body.next().await? else {
                match self.events.rest() {
                    Some(data) => ready.push_back(data),
                    None if self.chunks.is_whole() && !self.reading.says_done() => return Ok(self.end()),
                    None => return Err(broke_off("ended without saying that it was done")),
                }
                continue;
            };
            self.events.read(&bytes, |data| ready.push_back(data)).map_err(|_| {
                let message = format!("an event of the upstream's stream is larger than {MAX_EVENT_BYTES} bytes");
                ProviderError::new(ErrorKind::ResponseTooLarge, &message)
            })?;
        }
    }

    /// Ends a whole answer: what is left to tell of it.
    fn end(&mut self) -> Option<StreamEvent> {
        self.ready.clear();
        if let Some(body) = self.body.take() {
            body.give_back();
        }
        let deltas: Vec<Delta> = self.usage().into_iter().chain(self.chunks.notes().map(Delta::Note)).collect();
        (!deltas.is_empty()).then_some(StreamEvent { frame: None, deltas })
    }

    /// The tokens, once.
    fn usage(&mut self) -> Option<Delta> {
        if self.told_usage {
            return None;
        }
        let (usage, tier) = self.chunks.usage()?;
        self.told_usage = true;
        Some(Delta::Usage { usage, cost_usd: self.reading.cost(&usage, tier) })
    }
}

/// An answer of status 200 that is no stream: an error all the same, or a whole answer, which nobody asked for.
pub(crate) fn no_stream(reply: &Reply, reading: &impl Reading) -> ProviderError {
    let error = match Chunks::new("").read(&reply.body) {
        Ok(Read::Error(data)) => reading.refusal(&data),
        _ => something_else(),
    };
    told(error, reading)
}

/// An answer of status 200 that is no stream.
pub(crate) fn something_else() -> ProviderError {
    let message = "the upstream answered a request for a stream with something else";
    ProviderError::new(ErrorKind::MalformedAnswer, message).with_status(200)
}

/// An error with what is known of the call. The head of its answer said 200.
fn told(error: ProviderError, reading: &impl Reading) -> ProviderError {
    let error = match error.correlation_id() {
        Some(_) => error,
        None => error.with_correlation_id(reading.correlation_id()),
    };
    reading.scrubbed(error.with_status(200))
}

pub(crate) fn broke_off(what: &str) -> ProviderError {
    ProviderError::new(ErrorKind::ReadFailed, &format!("the upstream's stream {what}"))
}

#[cfg(test)]
#[path = "streaming_tests.rs"]
mod tests;
