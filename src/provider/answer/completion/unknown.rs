//! Fields of a whole answer that are not told: their names, for the record.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::provider::answer::chunk::{CHUNK, MOST_NOTED};

/// The names of fields that say something and that nothing is told of. No policy could see them.
pub(super) fn fields(body: &[u8]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut body = serde_json::Deserializer::from_slice(body);
    // What cannot be read has been refused before.
    let _ = Place { level: Level::Answer, found: &mut found }.deserialize(&mut body);
    found
}

#[derive(Clone, Copy)]
enum Level {
    Answer,
    Choice,
    Message,
}

impl Level {
    fn knows(self, name: &str) -> bool {
        match self {
            Self::Answer => CHUNK.contains(&name),
            Self::Choice => matches!(name, "index" | "finish_reason"),
            // The last one is Mistral's.
            Self::Message => matches!(name, "role" | "content" | "tool_calls" | "prefix"),
        }
    }

    /// Whether a field is told if it is a text.
    fn knows_text(self, name: &str) -> bool {
        matches!((self, name), (Self::Message, "reasoning_content" | "reasoning" | "refusal"))
    }

    /// What stands in a field, where that is looked at too.
    fn inside(self, name: &str) -> Option<Self> {
        match (self, name) {
            (Self::Answer, "choices") => Some(Self::Choice),
            (Self::Choice, "message") => Some(Self::Message),
            _ => None,
        }
    }
}

/// A field's, borrowed where it is written without escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// An object, or a list of such.
struct Place<'f> {
    level: Level,
    found: &'f mut BTreeSet<String>,
}

impl<'de> DeserializeSeed<'de> for Place<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Place<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object or a list of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Place { level: self.level, found: self.found })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        while let Some(Name(name)) = fields.next_key()? {
            if let Some(level) = self.level.inside(&name) {
                fields.next_value_seed(Place { level, found: self.found })?;
            } else if self.level.knows(&name) {
                fields.next_value::<IgnoredAny>()?;
            } else {
                let value = fields.next_value::<&RawValue>()?.get();
                let told = self.level.knows_text(&name) && value.starts_with('"');
                if !told && says_something(value) && self.found.len() < MOST_NOTED {
                    self.found.insert(name.into_owned());
                }
            }
        }
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// Whether a value is more than null or empty.
fn says_something(value: &str) -> bool {
    let empty = |open, close| {
        let inside = value.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
        inside.is_some_and(|inside: &str| inside.trim().is_empty())
    };
    !(value == "null" || value == "\"\"" || empty('[', ']') || empty('{', '}'))
}
