//! Seals of reasoning in a message of OpenAI's form, which has no place for them: Anthropic's as LiteLLM carries them, in
//! `thinking_blocks` of a message, Google's as Google's own OpenAI surface does, in `extra_content` of a tool call. Clients
//! that send a message back as it came send them too.

use serde::{Deserialize, Serialize};

use crate::chat::{Part, Seal};

/// One element of `thinking_blocks`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum ThinkingBlock {
    /// Reasoning.
    Thinking {
        thinking: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signature: Option<String>,
    },
    /// Encrypted reasoning.
    RedactedThinking { data: String },
}

impl ThinkingBlock {
    /// Reasoning under a seal of Anthropic's.
    pub(super) fn of(text: &str, seal: Option<&Seal>) -> Option<Self> {
        match seal? {
            Seal::Anthropic(signature) => {
                Some(Self::Thinking { thinking: text.to_owned(), signature: Some(signature.clone()) })
            }
            Seal::AnthropicRedacted(data) => Some(Self::RedactedThinking { data: data.clone() }),
            Seal::Google(_) => None,
        }
    }

    /// The part that it stands for.
    pub(super) fn part(self) -> Part {
        match self {
            Self::Thinking { thinking: text, signature } => {
                Part::Thinking { text, seal: signature.map(Seal::Anthropic) }
            }
            Self::RedactedThinking { data } => {
                Part::Thinking { text: String::new(), seal: Some(Seal::AnthropicRedacted(data)) }
            }
        }
    }
}

/// `extra_content` of a tool call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ExtraContent {
    google: Option<Google>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Google {
    thought_signature: Option<String>,
}

impl ExtraContent {
    /// What stands beside a call.
    pub(super) fn of(seal: Option<&Seal>) -> Option<Self> {
        match seal? {
            Seal::Google(signature) => {
                Some(Self { google: Some(Google { thought_signature: Some(signature.clone()) }) })
            }
            Seal::Anthropic(_) | Seal::AnthropicRedacted(_) => None,
        }
    }

    /// The seal in it.
    pub(super) fn seal(self) -> Option<Seal> {
        self.google?.thought_signature.map(Seal::Google)
    }
}
