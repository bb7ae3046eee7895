//! What a request is sent again without, when the vendor refuses it for that: within the same attempt, since nothing was
//! generated yet, and nobody else would be asked for it.

use crate::chat::{ChatRequest, Part, Seal};
use crate::provider::ProviderError;

/// What is left out of a request because it was refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Without {
    /// What the model thought before. Newer models take it back only behind the very instructions, tools and messages that
    /// stood before it, and a client, a policy or this adapter may have changed those.
    pub(crate) thoughts: bool,
}

impl Without {
    /// What to leave out after a refusal, or the refusal where that is nothing more.
    pub(crate) fn after(mut self, refusal: ProviderError, request: &ChatRequest) -> Result<Self, ProviderError> {
        let says = |texts: &[&str]| {
            let said = refusal.message().to_ascii_lowercase();
            refusal.status() == Some(400) && texts.iter().all(|text| said.contains(text))
        };
        if !self.thoughts && thinks(request) && says(&["invalid `", "thinking` block"]) {
            self.thoughts = true;
            return Ok(self);
        }
        Err(refusal)
    }

    /// A note for each thing, for the record.
    pub(super) fn notes(self) -> impl Iterator<Item = String> {
        let thoughts = "sent again without reasoning parts: the provider refused them behind what stands before them here";
        [(self.thoughts, thoughts)].into_iter().filter_map(|(left_out, note)| left_out.then(|| note.to_owned()))
    }
}

/// Whether there is reasoning that the vendor signed.
fn thinks(request: &ChatRequest) -> bool {
    let signed = |part: &Part| {
        matches!(part, Part::Thinking { seal: Some(Seal::Anthropic(_) | Seal::AnthropicRedacted(_)), .. })
    };
    request.messages.iter().flat_map(|message| &message.parts).any(signed)
}
