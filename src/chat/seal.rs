//! What vendors give beside what their models thought.

/// What a vendor gives beside what its model thought, and wants back with it so that the model goes on from there. It is
/// opaque: policies do not see it and records do not keep it. It goes with the text that it stands beside as the model
/// wrote it: where that is edited, it is dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seal {
    /// Anthropic's signature of reasoning.
    Anthropic(String),
    /// Anthropic's reasoning, encrypted: there is no text beside it.
    AnthropicRedacted(String),
    /// Mistral's signature of reasoning.
    Mistral(String),
    /// Google's signature of the thoughts before a tool call.
    Google(String),
}

impl Seal {
    /// Mistral's, if it has the form of one: nobody says that the vendor looks whether it is its own.
    pub fn of_mistral(signature: String) -> Option<Self> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'-' | b'_' | b'.');
        (!signature.is_empty() && signature.bytes().all(fits)).then_some(Self::Mistral(signature))
    }

    /// Bytes of it.
    pub fn size(&self) -> usize {
        let (Self::Anthropic(text) | Self::AnthropicRedacted(text) | Self::Mistral(text) | Self::Google(text)) = self;
        text.len()
    }
}
