//! The secret that opens an upstream.

use std::fmt;

use reqwest::header::HeaderValue;

/// A provider's key. It can be put into the header of a request that it opens, and digested: `Debug` and `Display` print
/// `[secret]`, and there is no other way to read it back.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(HeaderValue);

/// Why a text cannot be a key. Does not repeat the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Nothing but white space.
    #[error("the API key is empty")]
    Empty,
    /// A space, a control character or something outside ASCII.
    #[error("the API key holds a character that no key has (white space, control character or non-ASCII)")]
    Character,
}

impl KeyError {
    /// The stable name of the error.
    pub fn code(self) -> &'static str {
        match self {
            Self::Empty => "key_empty",
            Self::Character => "key_invalid",
        }
    }
}

const SCHEME: &str = "Bearer ";

/// Bytes that a key has at least where it is a secret: a shorter one is guessed.
const SECRET: usize = 8;

impl ApiKey {
    /// Takes a key, white space around it cut off: keys come from files that end in a line feed.
    pub fn new(key: &str) -> Result<Self, KeyError> {
        let key = key.trim();
        if key.is_empty() {
            return Err(KeyError::Empty);
        }
        if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(KeyError::Character);
        }
        let mut value = HeaderValue::from_str(&format!("{SCHEME}{key}")).map_err(|_| KeyError::Character)?;
        value.set_sensitive(true);
        Ok(Self(value))
    }

    /// The value of an `Authorization` header, marked as sensitive.
    pub(crate) fn bearer(&self) -> HeaderValue {
        self.0.clone()
    }

    /// The key alone, for vendors with a header of their own; marked as sensitive.
    pub(crate) fn plain(&self) -> Option<HeaderValue> {
        let mut value = HeaderValue::from_bytes(self.0.as_bytes().strip_prefix(SCHEME.as_bytes())?).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// A digest of the key, made by `digest`, which must give away nothing of it.
    pub(crate) fn digested(&self, digest: impl FnOnce(&str) -> String) -> Option<String> {
        self.0.to_str().ok()?.strip_prefix(SCHEME).map(digest)
    }

    /// `text` without the key, should an upstream have repeated it. A key of fewer than [`SECRET`] bytes stays: it is a word
    /// where a server wants none, such as `test`, and stands in other words too.
    pub(crate) fn scrub(&self, text: String) -> String {
        match self.0.to_str().ok().and_then(|value| value.strip_prefix(SCHEME)) {
            Some(key) if key.len() >= SECRET && text.contains(key) => text.replace(key, "[secret]"),
            _ => text,
        }
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[secret]")
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_never_printed() {
        let key = ApiKey::new("  sk-very-secret\n").unwrap();
        assert_eq!(format!("{key:?} {key}"), "[secret] [secret]");
        assert!(!format!("{:?}", key.bearer()).contains("very"));
        assert_eq!(key.bearer().to_str().unwrap(), "Bearer sk-very-secret");
        assert_eq!(key.scrub("Invalid key sk-very-secret!".into()), "Invalid key [secret]!");
    }

    #[test]
    fn a_word_in_the_place_of_a_key_stays_in_other_words() {
        assert_eq!(ApiKey::new("test").unwrap().scrub("the latest model".into()), "the latest model");
        assert_eq!(ApiKey::new("12345678").unwrap().scrub("is 12345678".into()), "is [secret]");
    }

    #[test]
    fn what_cannot_be_a_key_is_refused() {
        for (text, error) in [
            ("", KeyError::Empty),
            (" \n", KeyError::Empty),
            ("a b", KeyError::Character),
            ("a\r\nx-evil: 1", KeyError::Character),
            ("schlüssel", KeyError::Character),
        ] {
            assert_eq!(ApiKey::new(text).err(), Some(error), "{text:?}");
        }
    }
}
