//! The name of a policy, as manifests, verdicts, records and `policies.required` write it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::scalar::FromText;

/// A policy's name: lower-case letters, digits and `-`, at most 63, not beginning with `-`. A label of metrics as it
/// stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PolicyName(String);

impl PolicyName {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PolicyName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromText for PolicyName {
    fn allowed() -> String {
        "a policy's name: lower-case letters, digits and `-`, at most 63".into()
    }

    fn from_text(text: &str) -> Option<Self> {
        let inside = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let fits = !text.is_empty() && text.len() <= 63 && !text.starts_with('-') && text.bytes().all(inside);
        fits.then(|| Self(text.into()))
    }
}

impl TryFrom<String> for PolicyName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::from_text(&text).ok_or_else(|| {
            let shown: String = text.chars().take(80).collect();
            format!("found `{}`, allowed: {}", shown.escape_debug(), Self::allowed())
        })
    }
}

impl From<PolicyName> for String {
    fn from(name: PolicyName) -> Self {
        name.0
    }
}
