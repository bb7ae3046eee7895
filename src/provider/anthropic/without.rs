//! What a request is sent again without, when the vendor refuses it for that: nobody else would be asked for it.

use crate::chat::{ChatRequest, Part, ResponseFormat, Seal};
use crate::provider::ProviderError;
use crate::provider::upstream::resend::Resend;

/// How the vendor words that schemas are too much.
const HEAVY: [&[&str]; 4] =
    [&["compiled grammar"], &["schema is too complex"], &["too many", "parameters"], &["too many strict tools"]];

/// What is left out of a request because it was refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Without {
    /// What the model thought before. Newer models take it back only behind the very instructions, tools and messages that
    /// stood before it, and a client, a policy or this adapter may have changed those.
    pub(crate) thoughts: bool,
    /// Schemas that the model is held to: of the size of a grammar that the vendor compiles for them it tells no measure.
    pub(crate) schemas: bool,
}

impl Resend for Without {
    fn change(&mut self, request: &ChatRequest, refusal: ProviderError) -> Result<(), ProviderError> {
        let says = |texts: &[&str]| {
            let said = refusal.message().to_ascii_lowercase();
            refusal.status() == Some(400) && texts.iter().all(|text| said.contains(text))
        };
        if !self.thoughts && thinks(request) && says(&["invalid `", "thinking` block"]) {
            self.thoughts = true;
        } else if !self.schemas && holds(request) && HEAVY.iter().any(|texts| says(texts)) {
            self.schemas = true;
        } else {
            return Err(refusal);
        }
        Ok(())
    }
}

impl Without {
    /// A note for each thing, for the record.
    pub(super) fn notes(self) -> impl Iterator<Item = String> {
        let thoughts =
            "sent again without reasoning parts: the provider refused them behind what stands before them here";
        let schemas = "sent again without holding the model to schemas: the provider refused them as too much";
        [(self.thoughts, thoughts), (self.schemas, schemas)]
            .into_iter()
            .filter(|(left_out, _)| *left_out)
            .map(|(_, note)| note.to_owned())
    }
}

/// Whether there is reasoning that the vendor signed.
fn thinks(request: &ChatRequest) -> bool {
    let signed = |part: &Part| {
        matches!(part, Part::Thinking { seal: Some(Seal::Anthropic(_) | Seal::AnthropicRedacted(_)), .. })
    };
    request.messages.iter().flat_map(|message| &message.parts).any(signed)
}

/// Whether the model may have been held to a schema.
fn holds(request: &ChatRequest) -> bool {
    matches!(request.response_format, Some(ResponseFormat::JsonSchema(_)))
        || request.tools.iter().any(|tool| tool.strict == Some(true))
}
