//! What a streamed answer is made of. No provider streams yet; the types are settled so that callers can be written.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::Stream;

use super::error::ProviderError;
use super::settings::Kind;
use crate::chat::{FinishReason, Usage};

/// A streamed answer. Dropping it closes the upstream's socket, which ends generation and billing there. An error is the
/// last item; a stream that ends without [`Delta::Finished`] for each choice is reported as such an error by the provider.
pub type EventStream = Pin<Box<dyn Stream<Item = Result<StreamEvent, ProviderError>> + Send>>;

/// One event of an upstream: its bytes, to be passed on untouched where the client speaks the same dialect, and what
/// they say, decoded beside.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamEvent {
    /// The dialect of `frame`.
    pub dialect: Kind,
    /// The payload of the event as it came, without SSE framing and without the vendor's padding.
    pub frame: Bytes,
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
}
