//! What providers are asked for: an answer, whole or streamed.

use std::borrow::Cow;

use async_trait::async_trait;

use super::call::Operation;
use super::entry::Asked;
use super::stream::{self, Begun};
use crate::chat::{ChatAnswer, ChatRequest, Usage};
use crate::provider::{Provider, ProviderError, Streamed};

/// How an answer is to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// At once.
    Whole,
    /// Piece by piece.
    Streamed,
}

/// A whole answer.
pub(super) struct Whole<'a>(pub(super) &'a ChatRequest);

/// An answer piece by piece.
pub(super) struct Streaming<'a>(pub(super) &'a ChatRequest);

#[async_trait]
impl Operation for Whole<'_> {
    type Answer = ChatAnswer;

    const FORM: Form = Form::Whole;

    fn asked(&self) -> Asked<'_> {
        Asked::by(self.0)
    }

    async fn call(&self, provider: &dyn Provider, renamed: Option<&str>) -> Result<ChatAnswer, ProviderError> {
        provider.chat(&under(self.0, renamed)).await
    }

    fn correlation_id(answer: &ChatAnswer) -> Option<&str> {
        answer.correlation_id.as_deref()
    }

    fn lost(answer: &ChatAnswer) -> Option<Usage> {
        answer.lost
    }
}

#[async_trait]
impl Operation for Streaming<'_> {
    type Answer = Streamed;

    const FORM: Form = Form::Streamed;

    fn asked(&self) -> Asked<'_> {
        Asked::by(self.0)
    }

    async fn call(&self, provider: &dyn Provider, renamed: Option<&str>) -> Result<Streamed, ProviderError> {
        provider.stream(&under(self.0, renamed)).await?.begun().await
    }

    fn begun(mut answer: Streamed, begun: Begun<'_>) -> Streamed {
        answer.events = stream::watched(answer.events, begun);
        answer
    }

    fn correlation_id(answer: &Streamed) -> Option<&str> {
        answer.correlation_id.as_deref()
    }
}

/// The request under the provider's own name of the model.
fn under<'a>(request: &'a ChatRequest, renamed: Option<&str>) -> Cow<'a, ChatRequest> {
    match renamed {
        Some(model) => Cow::Owned(ChatRequest { model: Some(model.to_owned()), ..request.clone() }),
        None => Cow::Borrowed(request),
    }
}
