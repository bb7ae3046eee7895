//! What a streamed answer is made of.

use std::fmt;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::Stream;

use super::error::ProviderError;
use crate::chat::{FinishReason, Usage};

/// The events of a streamed answer. Dropping it closes the upstream's socket, which ends generation and billing there. An
/// error is the last item; a stream that ends without [`Delta::Finished`] for each choice is reported as such an error by
/// the provider.
pub type EventStream = Pin<Box<dyn Stream<Item = Result<StreamEvent, ProviderError>> + Send>>;

/// A streamed answer whose head has come.
pub struct Streamed {
    /// The answer, as it is spoken.
    pub events: EventStream,
    /// The id under which the vendor finds the call in its own logs.
    pub correlation_id: Option<String>,
    /// What the adapter repaired on the way out, for the record. What it leaves out on the way back comes as
    /// [`Delta::Note`]. Never holds prompt or answer text.
    pub notes: Vec<String>,
}

impl fmt::Debug for Streamed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Streamed")
            .field("correlation_id", &self.correlation_id)
            .field("notes", &self.notes)
            .finish_non_exhaustive()
    }
}

/// One event of an upstream: what it says, and where nothing had to be changed for them, its bytes for clients that speak
/// OpenAI's dialect.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamEvent {
    /// The JSON payload as it came, without SSE framing: a `chat.completion.chunk` as OpenAI writes them, its line ends
    /// as spaces. `None` when the event holds what such clients do not know or would misread (padding, lists as content,
    /// calls without a number or an id): they are to be told the deltas.
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
    },
    /// More text.
    Text {
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
    /// A choice ended.
    Finished {
        /// Which choice.
        choice: u32,
        /// Why.
        reason: FinishReason,
    },
    /// The tokens of the whole answer, once, at the end.
    Usage {
        /// Tokens.
        usage: Usage,
        /// What they cost in US dollars; `None` when the model's price is not known.
        cost_usd: Option<f64>,
    },
    /// The adapter left something out, for the record; as the notes of a whole answer.
    Note {
        /// What, in words. Never holds prompt or answer text.
        text: String,
    },
}
