//! From an upstream's bytes to the events of an answer, for vendors that stream something else than chunks of OpenAI's
//! form. Clients are told the deltas; there is no frame to pass on.

use std::collections::VecDeque;

use bytes::Bytes;
use futures_util::stream;

use super::http::StreamedBody;
use super::sse::{Events, MAX_EVENT_BYTES};
use super::stream::{Delta, EventStream, StreamEvent};
use super::streaming::broke_off;
use super::{ErrorKind, ProviderError};

/// A vendor's stream, as far as it has come.
pub(crate) trait Dialect: Send + 'static {
    /// What the data of one event says. An error ends the stream.
    fn read(&mut self, data: &[u8]) -> Result<Vec<Delta>, ProviderError>;

    /// Whether the vendor said that the answer is over.
    fn is_over(&self) -> bool;

    /// What is left to tell when nothing more comes, if the answer is whole.
    fn end(&mut self) -> Option<Vec<Delta>>;

    /// An error on its way out, without the key.
    fn scrubbed(&self, error: ProviderError) -> ProviderError;
}

struct State<D> {
    /// None when the stream is over.
    body: Option<StreamedBody>,
    events: Events,
    ready: VecDeque<Bytes>,
    ended: bool,
    dialect: D,
}

/// The events of a stream. Reads on only when it is asked to.
pub(crate) fn events(body: StreamedBody, dialect: impl Dialect) -> EventStream {
    let state = State { body: Some(body), events: Events::default(), ready: VecDeque::new(), ended: false, dialect };
    Box::pin(stream::unfold(Some(state), |state| async move {
        let mut state = state?;
        match state.next().await {
            Ok(Some(deltas)) => Some((Ok(StreamEvent { frame: None, deltas }), Some(state))),
            Ok(None) => None,
            Err(error) => Some((Err(state.dialect.scrubbed(error)), None)),
        }
    }))
}

impl<D: Dialect> State<D> {
    async fn next(&mut self) -> Result<Option<Vec<Delta>>, ProviderError> {
        while !self.ended {
            if let Some(data) = self.ready.pop_front() {
                let deltas = self.dialect.read(&data)?;
                if !deltas.is_empty() {
                    return Ok(Some(deltas));
                }
                continue;
            }
            let more = match self.body.take() {
                Some(body) if self.dialect.is_over() => {
                    body.give_back();
                    None
                }
                Some(mut body) => {
                    let more = body.next().await?;
                    self.body = Some(body);
                    more
                }
                None => None,
            };
            let Some(bytes) = more else {
                self.ended = true;
                let left = self.dialect.end().ok_or_else(|| broke_off("ended before its answer was whole"))?;
                return Ok((!left.is_empty()).then_some(left));
            };
            let ready = &mut self.ready;
            self.events.read(&bytes, |data| ready.push_back(data)).map_err(|_| {
                let message = format!("an event of the upstream's stream is larger than {MAX_EVENT_BYTES} bytes");
                ProviderError::new(ErrorKind::ResponseTooLarge, &message)
            })?;
        }
        Ok(None)
    }
}
