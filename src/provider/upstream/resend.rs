//! A request that is refused for what it can be sent without, or in another way, is sent again so: within the same attempt,
//! since nothing was generated yet.

use crate::chat::ChatRequest;
use crate::provider::ProviderError;
use crate::provider::upstream::http::Prepared;

/// What is sent in another way than it was asked for, because the vendor refuses it.
pub(crate) trait Resend {
    /// Changes what is sent after a refusal; the refusal where nothing more can be. The same change is made once only: that
    /// bounds how often a request is sent.
    fn change(&mut self, request: &ChatRequest, refusal: ProviderError) -> Result<(), ProviderError>;
}

/// Sends a request until it is taken, or refused for what cannot be changed: what it was answered with, and the notes on
/// what was sent at last. Each time is bounded by the provider's time-out.
pub(crate) async fn until_taken<R: Resend, A, F: Future<Output = Result<A, ProviderError>>>(
    changes: &mut R,
    request: &ChatRequest,
    prepare: impl Fn(&R) -> Result<Prepared, ProviderError>,
    send: impl Fn(Vec<u8>) -> F,
) -> Result<(A, Vec<String>), ProviderError> {
    loop {
        let Prepared { body, notes } = prepare(changes)?;
        match send(body).await {
            Ok(answer) => return Ok((answer, notes)),
            Err(refusal) => changes.change(request, refusal)?,
        }
    }
}
