//! What is kept of texts: the one place where `audit.content` is decided.

use std::sync::Arc;

use serde::Deserialize;

use super::key::AuditKey;
use super::record::Content;

/// How much of the text that audit policies let pass is stored. The HMAC of the original always is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ContentMode {
    /// As it came.
    Full,
    /// As the audit policies left it.
    #[default]
    Redacted,
    /// Nothing.
    Nothing,
}

/// The HMACs of a record's text, in its body.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct TextDigests {
    /// Of the text as it came.
    pub(crate) content_hmac: Option<String>,
    /// Of the text that is stored.
    pub(crate) kept_hmac: Option<String>,
}

/// What is done with every text.
#[derive(Clone, Debug)]
pub(crate) struct TextRule {
    pub(crate) key: AuditKey,
    pub(crate) mode: ContentMode,
}

impl TextRule {
    /// The HMACs of a text and what is stored of it. What audit policies withheld is stored in no mode.
    pub(crate) fn apply(&self, content: Option<&Content>) -> (TextDigests, Option<Arc<str>>) {
        let Some(Content { original, kept }) = content else { return (TextDigests::default(), None) };
        let stored = match (self.mode, kept) {
            (ContentMode::Full, Some(_)) => Some(original),
            (ContentMode::Redacted, Some(kept)) => Some(kept),
            (ContentMode::Nothing, _) | (_, None) => None,
        };
        let content_hmac = self.key.hmac(original);
        let kept_hmac =
            stored.map(|stored| if stored == original { content_hmac.clone() } else { self.key.hmac(stored) });
        (TextDigests { content_hmac: Some(content_hmac), kept_hmac }, stored.cloned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mode_keeps_what_it_says_and_always_the_hmac_of_the_original() {
        let key = AuditKey::random().unwrap();
        let edited = Content::edited(&"eva@example.org", &"[EMAIL]").unwrap();
        let withheld = Content::withheld(&"eva@example.org").unwrap();
        let original = key.hmac("\"eva@example.org\"");
        for (mode, content, stored) in [
            (ContentMode::Full, &edited, Some("\"eva@example.org\"")),
            (ContentMode::Redacted, &edited, Some("\"[EMAIL]\"")),
            (ContentMode::Nothing, &edited, None),
            (ContentMode::Full, &withheld, None),
            (ContentMode::Redacted, &withheld, None),
        ] {
            let (digests, text) = TextRule { key: key.clone(), mode }.apply(Some(content));
            assert_eq!(digests.content_hmac.as_deref(), Some(original.as_str()), "{mode:?}");
            assert_eq!(text.as_deref(), stored, "{mode:?}");
            assert_eq!(digests.kept_hmac, stored.map(|text| key.hmac(text)), "{mode:?}");
        }
        let (digests, text) = TextRule { key, mode: ContentMode::Full }.apply(None);
        assert_eq!((digests.content_hmac, digests.kept_hmac, text), (None, None, None));
    }
}
