//! Seals of reasoning in a message of OpenAI's form, which has no place for them: Anthropic's as LiteLLM carries them, in
//! `thinking_blocks` of a message, Mistral's in the same. Google's stands in [`ExtraContent`](crate::chat::ExtraContent) of a
//! tool call, as on Google's own OpenAI surface. Clients that send a message back as it came send them too.

use serde::{Deserialize, Serialize};

use crate::chat::{Object, Part, Seal};

/// One element of `thinking_blocks`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum ThinkingBlock {
    /// Reasoning.
    Thinking {
        thinking: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signature: Option<String>,
        /// Whose signature it is, where that is not Anthropic: ours, since nobody else has blocks of others.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        vendor: Option<Vendor>,
    },
    /// Encrypted reasoning.
    RedactedThinking { data: String },
}

/// Who signs reasoning beside Anthropic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Vendor {
    Mistral,
}

impl ThinkingBlock {
    /// Reasoning under a seal.
    pub(super) fn of(text: &str, seal: Option<&Seal>) -> Option<Self> {
        let signed = |signature: &String, vendor| {
            Some(Self::Thinking { thinking: text.to_owned(), signature: Some(signature.clone()), vendor })
        };
        match seal? {
            Seal::Anthropic(signature) => signed(signature, None),
            Seal::Mistral(signature) => signed(signature, Some(Vendor::Mistral)),
            Seal::AnthropicRedacted(data) => Some(Self::RedactedThinking { data: data.clone() }),
            Seal::Google(_) => None,
        }
    }

    /// The part that it stands for.
    pub(super) fn part(self) -> Part {
        match self {
            Self::Thinking { thinking: text, signature, vendor } => {
                let seal = signature.and_then(|signature| match vendor {
                    None => Some(Seal::Anthropic(signature)),
                    Some(Vendor::Mistral) => Seal::of_mistral(signature),
                });
                Part::Thinking { text, seal }
            }
            Self::RedactedThinking { data } => {
                Part::Thinking { text: String::new(), seal: Some(Seal::AnthropicRedacted(data)) }
            }
        }
    }
}

/// What blocks stand for, and what of the reasoning beside them stands in none.
pub(super) fn thoughts(blocks: Vec<Object<ThinkingBlock>>, reasoning: Option<&str>) -> Vec<Part> {
    let sealed: Vec<Part> = blocks.into_iter().map(|Object(block)| block.part()).collect();
    let mut others = reasoning.and_then(|reasoning| around(&sealed, reasoning)).unwrap_or_default().into_iter();
    let mut sealed = sealed.into_iter();
    let mut parts = Vec::with_capacity(sealed.len() + others.len());
    loop {
        let other = others.next().filter(|text| !text.trim().is_empty());
        parts.extend(other.map(|text| Part::Thinking { text: text.to_owned(), seal: None }));
        match sealed.next() {
            Some(part) => parts.push(part),
            None => return parts,
        }
    }
}

/// The pieces of reasoning in front of these parts and behind the last one. It tells all that was thought, theirs too, in
/// order; where it does not, it is another telling of the same, and there are none.
fn around<'r>(sealed: &[Part], mut reasoning: &'r str) -> Option<Vec<&'r str>> {
    let mut pieces = Vec::with_capacity(sealed.len() + 1);
    for part in sealed {
        let (before, behind) = reasoning.split_once(part.text()?.trim())?;
        pieces.push(before);
        reasoning = behind;
    }
    pieces.push(reasoning);
    Some(pieces)
}
