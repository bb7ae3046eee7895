//! From an upstream's events to those of an answer, whatever the vendor's dialect.

use std::borrow::Cow;

use bytes::Bytes;
use futures_util::stream;
use reqwest::header::HeaderMap;

use crate::chat::{Usage, whole_characters};
use crate::provider::answer::stream::{Delta, StreamEvent, Streamed};
use crate::provider::answer::values;
use crate::provider::upstream::http::StreamedBody;
use crate::provider::upstream::refusals::Refusals;
use crate::provider::{ErrorKind, ProviderError};

/// A vendor's stream, as far as it has come.
pub(crate) trait Dialect: Send + 'static {
    /// What the data of one event says, which holds no more values than an answer may. An error ends the stream;
    /// `refusals` read one that the vendor says.
    fn read(&mut self, data: &Bytes, refusals: &Refusals) -> Result<StreamEvent, ProviderError>;

    /// Whether the event that was read last is of a choice. It may say nothing, as many do while a tool's call or hidden
    /// reasoning is gathered at the server.
    fn is_of_a_choice(&self) -> bool;

    /// The tokens that the vendor has counted so far, of a stream that fails.
    fn spent(&self) -> Option<Usage>;

    /// Whether the vendor said that the answer is over.
    fn is_over(&self) -> bool;

    /// What is left to tell when nothing more comes, if the answer is whole.
    fn end(&mut self) -> Option<Vec<Delta>>;
}

struct State<D> {
    body: Box<StreamedBody>,
    dialect: D,
}

/// The answer that a body streams, which is read on only when it is asked to. `notes`: on what was asked.
pub(crate) fn streamed(body: Box<StreamedBody>, dialect: impl Dialect, notes: Vec<String>) -> Streamed {
    let (correlation_id, held) = (body.correlation_id.clone(), Some(body.held.clone()));
    let events = Box::pin(stream::unfold(Some(State { body, dialect }), |state| async move {
        let mut state = state?;
        match state.next().await {
            Ok(Some(event)) => Some((Ok(event), Some(state))),
            Ok(None) => {
                let last = state.last();
                state.body.give_back();
                last.map(|last| (last, None))
            }
            Err(error) => Some((Err(state.failed(error)), None)),
        }
    }));
    Streamed { events, correlation_id, notes, held }
}

impl<D: Dialect> State<D> {
    /// The next event that goes on; `None` where no more come.
    async fn next(&mut self) -> Result<Option<StreamEvent>, ProviderError> {
        while !self.dialect.is_over() {
            let Some(data) = self.body.event().await? else { break };
            values::check(&data)?;
            let event = self.read(&data)?;
            if !event.deltas.is_empty() || self.dialect.is_of_a_choice() {
                self.body.said();
            }
            // What says nothing must not count as the beginning of an answer.
            if event.frame.is_some() || !event.deltas.is_empty() {
                self.body.keep(&data)?;
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    /// What is left to tell behind the last event.
    fn last(&mut self) -> Option<Result<StreamEvent, ProviderError>> {
        match self.dialect.end() {
            Some(deltas) => (!deltas.is_empty()).then_some(Ok(StreamEvent { frame: None, deltas })),
            None => Some(Err(self.failed(broke_off("ended before its answer was whole")))),
        }
    }

    /// What the data of one event says. Servers that cut a text within an emoji write halves of characters: these are
    /// replaced, and what has any is not passed on as it came.
    fn read(&mut self, data: &Bytes) -> Result<StreamEvent, ProviderError> {
        let refusals = &self.body.refusals;
        let read = match whole_characters(data) {
            Cow::Owned(mended) => {
                self.dialect.read(&mended.into(), refusals).map(|event| StreamEvent { frame: None, ..event })
            }
            Cow::Borrowed(_) => self.dialect.read(data, refusals),
        };
        read.map_err(|error| match error.kind() {
            // As for whole answers.
            ErrorKind::MalformedAnswer => refusals.no_answer(error, &HeaderMap::new(), data),
            _ => error,
        })
    }

    /// An error with what is known of the call. The head of its answer said 200.
    fn failed(&self, error: ProviderError) -> ProviderError {
        let error = match error.correlation_id() {
            Some(_) => error,
            None => error.with_correlation_id(self.body.correlation_id.as_deref()),
        };
        let spent = error.spent().or_else(|| self.dialect.spent());
        self.body.refusals.scrubbed(error.with_status(200).with_spent(spent))
    }
}

pub(super) fn broke_off(what: &str) -> ProviderError {
    ProviderError::new(ErrorKind::ReadFailed, &format!("the upstream's stream {what}"))
}
