//! What a streamed answer is made of.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};

use crate::chat::{Aside, FinishReason, Reference, Seal, Usage};
use crate::in_flight::Held;
use crate::provider::error::ProviderError;
use crate::provider::error_kind::ErrorKind;

/// A streamed answer. Dropping it closes the upstream's socket, which ends generation and billing there. An error is the
/// last item; a stream that ends without [`Delta::Finished`] for each choice is reported as such an error by the provider.
pub type EventStream = Pin<Box<dyn Stream<Item = Result<StreamEvent, ProviderError>> + Send>>;

/// A streamed answer that has begun.
pub struct Streamed {
    /// Its events.
    pub events: EventStream,
    /// The id under which the vendor finds the call in its own logs.
    pub correlation_id: Option<String>,
    /// What the adapter repaired on the way out, for the record. Never holds prompt or answer text.
    pub notes: Vec<String>,
    /// The room that it takes among the bytes in flight, given back when the last clone is dropped.
    pub held: Option<Held>,
}

impl Streamed {
    /// Waits for the first event. What fails before it has not reached the client, and another key or another provider
    /// may do better.
    pub(crate) async fn begun(mut self) -> Result<Self, ProviderError> {
        let first = self.events.next().await.unwrap_or_else(|| {
            Err(ProviderError::new(ErrorKind::ReadFailed, "the upstream's stream ended before it began"))
        })?;
        self.events = Box::pin(stream::once(async { Ok(first) }).chain(self.events));
        Ok(self)
    }
}

impl std::fmt::Debug for Streamed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Streamed").field("correlation_id", &self.correlation_id).finish_non_exhaustive()
    }
}

/// One event of an upstream: its bytes, to be passed on untouched where that is right, and what they say, decoded beside.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamEvent {
    /// The payload of the event as it came, without SSE framing, where OpenAI's clients understand it as it is.
    pub frame: Option<Bytes>,
    /// What it says, in order; empty for events without meaning.
    pub deltas: Vec<Delta>,
}

/// A piece of an answer.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Delta {
    /// The answer began.
    Started {
        /// The provider's id of the answer.
        id: String,
        /// The model, as the provider names it.
        model: String,
        /// What the provider says beside it.
        aside: Aside,
    },
    /// More text.
    Text {
        /// Which choice.
        choice: u32,
        /// The piece.
        text: String,
    },
    /// More text in place of the answer that the model will not give.
    Refusal {
        /// Which choice.
        choice: u32,
        /// The piece.
        text: String,
    },
    /// More reasoning.
    Thinking {
        /// Which choice.
        choice: u32,
        /// The piece.
        text: String,
    },
    /// A tool call, or more of one.
    ToolCall {
        /// Which choice.
        choice: u32,
        /// Which call of that choice, settled by the provider: fragments of one call have one number, whatever the
        /// upstream left out.
        call: u32,
        /// The id, on the call's first fragment.
        id: Option<String>,
        /// The tool's name, on the call's first fragment.
        name: Option<String>,
        /// More of the arguments' JSON text.
        arguments: String,
    },
    /// What the text before it refers to.
    References {
        /// Which choice.
        choice: u32,
        /// The sources.
        ids: Vec<Reference>,
    },
    /// A choice ended.
    Finished {
        /// Which choice.
        choice: u32,
        /// Why.
        reason: FinishReason,
    },
    /// The tokens of the whole answer, at the end. Of several counts the last holds.
    Usage {
        /// Tokens.
        usage: Usage,
        /// What they cost in US dollars; `None` when the model's price is not known.
        cost_usd: Option<f64>,
    },
    /// How urgently the answer was served, where that is not known from its beginning.
    Served {
        /// The vendor's word, without white space.
        tier: String,
    },
    /// What the vendor wants back beside what its model said. Where policies change that, it is not passed on.
    Seal {
        /// Which choice.
        choice: u32,
        /// What it goes with.
        of: Sealed,
        /// The seal.
        seal: Seal,
    },
    /// What the adapter left out of the answer, for the record, at the end. Never holds prompt or answer text.
    Note(String),
}

/// What a seal goes with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sealed {
    /// A piece of reasoning that is whole: its text, which was told before.
    Thoughts(String),
    /// The call of this number.
    Call(u32),
}
