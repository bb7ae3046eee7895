//! The reading of a streamed answer: bytes in, events out.

use std::future::Future;

use futures_util::stream::{StreamExt, iter, unfold};

use super::{EventStream, StreamEvent};
use crate::chat::Usage;
use crate::provider::chunk::{Decoder, End};
use crate::provider::http::Body;
use crate::provider::price::Tier;
use crate::provider::sse::{EventTooLarge, Events, MAX_EVENT_BYTES};
use crate::provider::{ErrorKind, ProviderError};

/// How the end of a stream is said, after the last chunk.
const DONE: &[u8] = b"[DONE]";

/// What only a vendor's adapter knows about its streams.
pub(crate) trait Vendor: Send + 'static {
    /// Whether a stream that ends without saying so is cut off, though all choices have ended.
    fn says_done(&self) -> bool;

    /// What the tokens cost.
    fn cost(&self, usage: &Usage, tier: Tier) -> Option<f64>;

    /// Classes an error that came instead of a chunk.
    fn refusal(&self, payload: &[u8]) -> ProviderError;
}

/// Reads the answer to a request for the model `asked`, up to its first event: an error that comes before that is one of
/// the call, so that another provider may still be asked.
pub(crate) async fn begin<V: Vendor>(
    body: Body,
    vendor: V,
    asked: &str,
    correlation_id: Option<&str>,
) -> Result<EventStream, ProviderError> {
    let mut reader = Reader {
        body: Some(body),
        events: Events::default(),
        decoder: Decoder::new(vendor, asked),
        correlation_id: correlation_id.map(str::to_owned),
    };
    let first = reader.next().await.transpose()?;
    let more = unfold(reader, |mut reader| async {
        let event = reader.next().await?;
        Some((event, reader))
    });
    Ok(iter(first.map(Ok)).chain(more).boxed())
}

struct Reader<V> {
    /// None once the stream is over, for better or worse.
    body: Option<Body>,
    events: Events,
    decoder: Decoder<V>,
    correlation_id: Option<String>,
}

impl<V: Vendor> Reader<V> {
    /// The next event that says something; after an error, and after the end, there is none.
    async fn next(&mut self) -> Option<Result<StreamEvent, ProviderError>> {
        match self.read().await {
            Ok(event) => event.map(Ok),
            Err(error) => {
                self.body = None;
                let id = self.correlation_id.as_deref();
                let error = if error.correlation_id().is_some() { error } else { error.with_correlation_id(id) };
                Some(Err(error.with_status(200)))
            }
        }
    }

    async fn read(&mut self) -> Result<Option<StreamEvent>, ProviderError> {
        loop {
            while let Some(data) = self.events.next() {
                if data.trim_ascii() == DONE {
                    return self.end(End::Said);
                }
                let event = self.decoder.decode(data)?;
                if event.frame.is_some() || !event.deltas.is_empty() {
                    return Ok(Some(event));
                }
            }
            let Some(body) = &mut self.body else { return Ok(None) };
            match body.next().await? {
                Some(piece) => self.events.feed(&piece).map_err(too_large)?,
                None => return self.end_unsaid(),
            }
        }
    }

    fn end_unsaid(&mut self) -> Result<Option<StreamEvent>, ProviderError> {
        match std::mem::take(&mut self.events).rest() {
            Some(data) if data.trim_ascii() == DONE => self.end(End::Said),
            Some(data) => {}
            None => self.end(End::Unsaid),
        }
    }

    fn end(&mut self, end: End) -> Result<Option<StreamEvent>, ProviderError> {
        let last = self.decoder.end(end)?;
        self.events = Events::default();
        if let Some(body) = self.body.take() {
            body.give_back();
        }
        Ok(last)
    }
}
