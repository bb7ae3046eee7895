//! What a caller wants kept in the vendor's cache of prompts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The prompt up to here is to be kept, in Anthropic's form, which others have taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheControl {
    r#type: CacheType,
    /// How long; as the vendor likes where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ttl: Option<Lifetime>,
}

/// The one type that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum CacheType {
    Ephemeral,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Lifetime {
    #[serde(rename = "5m")]
    FiveMinutes,
    #[serde(rename = "1h")]
    Hour,
}

/// The parts of a conversation that say so, by the number of their message and their own in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CachePoints(BTreeMap<(usize, usize), CacheControl>);

impl CachePoints {
    /// What a part says.
    pub fn of(&self, message: usize, part: usize) -> Option<CacheControl> {
        self.0.get(&(message, part)).copied()
    }

    /// Adds what parts of a message say.
    pub fn add(&mut self, message: usize, parts: impl IntoIterator<Item = (usize, CacheControl)>) {
        self.0.extend(parts.into_iter().map(|(part, control)| ((message, part), control)));
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}
