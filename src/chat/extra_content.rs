//! What Google puts beside a tool call on its OpenAI surface.

use serde::{Deserialize, Serialize};

use super::object::Object;
use super::seal::Seal;

/// `extra_content` of a tool call: `{"google":{"thought_signature":"..."}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ExtraContent {
    google: Option<Object<Google>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Google {
    thought_signature: Option<String>,
}

impl ExtraContent {
    /// What stands beside a call.
    pub(crate) fn of(seal: Option<&Seal>) -> Option<Self> {
        match seal? {
            Seal::Google(signature) => {
                Some(Self { google: Some(Object(Google { thought_signature: Some(signature.clone()) })) })
            }
            Seal::Anthropic(_) | Seal::AnthropicRedacted(_) | Seal::Mistral(_) => None,
        }
    }

    /// The seal in it.
    pub(crate) fn seal(self) -> Option<Seal> {
        let signature = self.google?.0.thought_signature?;
        (!signature.is_empty()).then_some(Seal::Google(signature))
    }
}
