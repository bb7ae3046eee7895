//! JSON that is looked at and passed on in its writer's words.

use std::ops::Deref;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::{Json, Room};

/// A value, and the text that it was read from: a [`Value`] keeps neither the order of keys nor all digits of a number.
#[derive(Clone, Debug, PartialEq)]
pub struct AsWritten {
    value: Value,
    text: Json,
}

impl AsWritten {
    /// The bytes that it takes in memory beside the text that it was read from.
    pub(crate) fn room(&self) -> usize {
        Room::of_value(&self.value) + self.text.get().len()
    }
}

impl Deref for AsWritten {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.value
    }
}

/// The text.
impl Serialize for AsWritten {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.text.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for AsWritten {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Json::deserialize(deserializer)?;
        let value = serde_json::from_str(text.get()).map_err(D::Error::custom)?;
        Ok(Self { value, text })
    }
}
