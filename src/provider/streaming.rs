//! From an upstream's bytes to the events of an answer, for all that stream chat completion chunks.

use std::collections::VecDeque;

use bytes::Bytes;
use futures_util::stream;
use serde::Deserialize;
use serde_json::Value;

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
}

struct State<R> {
    body: StreamedBody,
    events: Events,
    chunks: Chunks,
    ready: VecDeque<Bytes>,
    told_usage: bool,
    reading: R,
}

/// The events of a stream of chunks. Reads on only when it is asked to.
pub(crate) fn events(body: StreamedBody, chunks: Chunks, reading: impl Reading) -> EventStream {
    let state = State { body, events: Events::default(), chunks, ready: VecDeque::new(), told_usage: false, reading };
    Box::pin(stream::unfold(Some(state), |state| async move {
        let mut state = state?;
        match state.next().await {
            Ok(Some(event)) => Some((Ok(event), Some(state))),
            Ok(None) => None,
            Err(error) => Some((Err(state.reading.scrubbed(error)), None)),
        }
    }))
}

impl<R: Reading> State<R> {
    async fn next(&mut self) -> Result<Option<StreamEvent>, ProviderError> {
        loop {
            if let Some(data) = self.ready.pop_front() {
                match self.chunks.read(&data)? {
                    Read::Event(mut event) => {
                        if self.chunks.is_whole() {
                            event.deltas.extend(self.usage());
                        }
                        return Ok(Some(event));
                    }
                    Read::Error(data) => return Err(self.reading.refusal(&data)),
                    Read::Done if self.chunks.is_whole() => {
                        let left: Vec<_> = self.usage().into_iter().collect();
                        return Ok((!left.is_empty()).then_some(StreamEvent { frame: None, deltas: left }));
                    }
                    Read::Done => return Err(broke_off("said that it was done before its answer was")),
                }
            }
            let Some(bytes) = self.body.next().await? else {
                return Err(broke_off("ended without saying that it was done"));
            };
            let ready = &mut self.ready;
            self.events.read(&bytes, |data| ready.push_back(data)).map_err(|_| {
                let message = format!("an event of the upstream's stream is larger than {MAX_EVENT_BYTES} bytes");
                ProviderError::new(ErrorKind::ResponseTooLarge, &message)
            })?;
        }
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

/// A whole answer where a stream was asked for.
pub(crate) fn no_stream(reply: &Reply) -> ProviderError {
    let message = "the upstream answered a request for a stream with something else";
    ProviderError::new(ErrorKind::MalformedAnswer, message).with_status(reply.status)
}

/// The status that an error in a stream would have had before it: what it says itself, else that of a failure.
pub(crate) fn status(data: &[u8]) -> u16 {
    #[derive(Deserialize)]
    struct Said {
        error: Option<Box<Said>>,
        status: Option<Value>,
        raw_status_code: Option<Value>,
        code: Option<Value>,
    }
    fn read(said: &Said) -> Option<u16> {
        let own = [&said.status, &said.raw_status_code, &said.code].into_iter().flatten();
        let own = own.filter_map(|value| value.as_u64().or_else(|| value.as_str()?.parse().ok()));
        let own = own.filter_map(|status| u16::try_from(status).ok()).find(|status| (400..600).contains(status));
        own.or_else(|| read(said.error.as_deref()?))
    }
    serde_json::from_slice::<Said>(data).ok().and_then(|said| read(&said)).unwrap_or(500)
}

pub(crate) fn broke_off(what: &str) -> ProviderError {
    ProviderError::new(ErrorKind::ReadFailed, &format!("the upstream's stream {what}"))
}
