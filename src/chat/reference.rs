//! What a citation refers to.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The longest name of a source.
const LONGEST: usize = 64;

/// The most that one list is read of.
const MOST: usize = 256;

/// A source that a model cites: by its number, or by an id of few letters that can hold no sentence, since policies do not see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Reference {
    /// Its number.
    Number(u64),
    /// Its id.
    Id(String),
}

impl Reference {
    /// Its bytes.
    pub fn size(&self) -> usize {
        match self {
            Self::Number(number) => size_of_val(number),
            Self::Id(id) => id.len(),
        }
    }

    /// Those in a list; what is none is passed over.
    pub fn read(list: &[Value]) -> impl Iterator<Item = Self> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':');
        let is_id = move |id: &&str| (1..=LONGEST).contains(&id.len()) && id.bytes().all(fits);
        list.iter().take(MOST).filter_map(move |value| match value {
            Value::String(id) => Some(id.as_str()).filter(is_id).map(|id| Self::Id(id.to_owned())),
            other => other.as_u64().map(Self::Number),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_reference_is_a_number_or_an_id() {
        let list = json!([1, "doc-2", "two words", "", "x".repeat(65), 1.5, null, -3]);
        let read: Vec<_> = Reference::read(list.as_array().unwrap()).collect();
        assert_eq!(json!(read), json!([1, "doc-2"]));
    }
}
