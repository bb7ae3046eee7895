//! A value that is never shown.

use std::fmt;

use super::scalar::FromText;

/// A credential. Shown as `[secret]`, never serialised; [`Secret::expose`] is the one way to its text.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Takes `text` as a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text. Only for what is sent to the party that the secret is for.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is no text.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// White space around it is dropped (files end in line breaks); what an HTTP header cannot carry is refused.
impl FromText for Secret {
    fn allowed() -> String {
        "visible ASCII characters without spaces".into()
    }

    fn from_text(text: &str) -> Option<Self> {
        let text = text.trim();
        text.bytes().all(|byte| byte.is_ascii_graphic()).then(|| Self(text.into()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[secret]")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[secret]")
    }
}
