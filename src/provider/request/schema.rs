//! JSON schemas for vendors that refuse some of their keywords.

pub(crate) mod keyword;
pub(crate) mod recursion;

use std::borrow::Cow;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::chat::Schema;

/// Nobody nests schemas deeper; what lies below stays as it is.
const DEPTH: usize = 64;

/// Keywords whose value is a mapping of names to schemas.
const MAPPINGS: [&str; 3] = ["properties", "$defs", "definitions"];

/// Keywords whose value is data, whatever it looks like.
const DATA: [&str; 5] = ["const", "enum", "default", "examples", "required"];

/// What a value within a schema is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// A schema.
    Schema,
    /// Names, and a schema under each.
    Mapping,
}

impl Place {
    /// What the value of a key is here; none where it is data.
    pub(crate) fn below(self, key: &str) -> Option<Self> {
        match key {
            _ if self == Self::Mapping => Some(Self::Schema),
            key if DATA.contains(&key) => None,
            key if MAPPINGS.contains(&key) => Some(Self::Mapping),
            _ => Some(Self::Schema),
        }
    }
}

/// What says where a schema is from, and nothing about what it describes.
const IDENTITY: [&str; 2] = ["$id", "$schema"];

/// The schema without `$id` and `$schema` at any depth, its other keys in their order.
pub(crate) fn without_identity(schema: &Schema) -> Cow<'_, RawValue> {
    let text = schema.get();
    if !IDENTITY.iter().any(|key| text.contains(key)) {
        return Cow::Borrowed(schema.raw());
    }
    let written = rewritten(text, |entries, at| {
        // Where a mapping is not known as one, a property may have such a name; then its value is a schema and no text.
        let says_it = |key: &str, value: &RawValue| IDENTITY.contains(&key) && value.get().starts_with('"');
        entries.retain(|(key, value)| at.place != Place::Schema || !says_it(key, value));
        Ok::<(), serde_json::Error>(())
    });
    // A schema is JSON by construction, so that it is written.
    written.map_or(Cow::Borrowed(schema.raw()), Cow::Owned)
}

/// Where an object stands in a schema that is written anew.
#[derive(Clone, Copy)]
pub(crate) struct At {
    pub(crate) place: Place,
    /// Objects and lists around it.
    pub(crate) depth: usize,
    /// Bytes before it.
    pub(crate) written: usize,
}

/// A key of an object, and its value.
pub(crate) type Entry<'t> = (String, &'t RawValue);

/// What changes the entries of an object before they are written.
type Change<'c, 't, E> = dyn FnMut(&mut Vec<Entry<'t>>, At) -> Result<(), E> + 'c;

/// A schema anew: each object in it that is no data has the entries that `change` leaves it.
pub(crate) fn rewritten<'t, E: From<serde_json::Error>>(
    schema: &'t str,
    mut change: impl FnMut(&mut Vec<Entry<'t>>, At) -> Result<(), E>,
) -> Result<Box<RawValue>, E> {
    let mut out = String::with_capacity(schema.len());
    write(schema, Place::Schema, 0, &mut change, &mut out)?;
    Ok(RawValue::from_string(out)?)
}

fn write<'t, E: From<serde_json::Error>>(
    text: &'t str,
    place: Place,
    depth: usize,
    change: &mut Change<'_, 't, E>,
    out: &mut String,
) -> Result<(), E> {
    match text.as_bytes().first() {
        Some(b'{') if depth < DEPTH => {
            let Entries(mut entries) = serde_json::from_str(text)?;
            change(&mut entries, At { place, depth, written: out.len() })?;
            out.push('{');
            for (index, (key, value)) in entries.into_iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                out.push_str(&serde_json::to_string(&key)?);
                out.push(':');
                match place.below(&key) {
                    Some(place) => write(value.get(), place, depth + 1, change, out)?,
                    None => out.push_str(value.get()),
                }
            }
            out.push('}');
        }
        Some(b'[') if depth < DEPTH => {
            let items: Vec<&'t RawValue> = serde_json::from_str(text)?;
            out.push('[');
            for (index, item) in items.into_iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                write(item.get(), Place::Schema, depth + 1, change, out)?;
            }
            out.push(']');
        }
        _ => out.push_str(text),
    }
    Ok(())
}

/// An object's entries in their order.
struct Entries<'a>(Vec<Entry<'a>>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntriesVisitor;
        impl<'de> Visitor<'de> for EntriesVisitor {
            type Value = Entries<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(EntriesVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean(text: &str) -> String {
        let schema: Schema = serde_json::from_str(text).unwrap();
        without_identity(&schema).get().to_owned()
    }

    #[test]
    fn identity_goes_and_order_stays() {
        for (text, expected) in [
            (r#"{"z": 1, "a": [2 ]}"#, r#"{"z": 1, "a": [2 ]}"#),
            (r#"{"$schema":"http://x","z":{"$id":"y","b":1},"a":[{"$id":"q"}, 2]}"#, r#"{"z":{"b":1},"a":[{},2]}"#),
            (
                r#"{"properties":{"$id":{"type":"string"},"é\n":{"const":"$schema"}}}"#,
                r#"{"properties":{"$id":{"type":"string"},"é\n":{"const":"$schema"}}}"#,
            ),
            (
                r#"{"$id":"a","const":{"$schema":"x"},"enum":[{"$id":"y"}],"default":{"$id":"z"},"examples":[{"$id":"e"}]}"#,
                r#"{"const":{"$schema":"x"},"enum":[{"$id":"y"}],"default":{"$id":"z"},"examples":[{"$id":"e"}]}"#,
            ),
            (
                r#"{"properties":{"default":{"$id":"x"}},"patternProperties":{"$id":{"$id":"x"}}}"#,
                r#"{"properties":{"default":{}},"patternProperties":{"$id":{}}}"#,
            ),
        ] {
            assert_eq!(clean(text), expected);
        }
    }

    #[test]
    fn a_schema_of_any_depth_is_written() {
        let deep = format!("{{\"$id\":\"x\",\"a\":{}{}}}", "[".repeat(50_000), "]".repeat(50_000));
        assert!(!clean(&deep).contains("$id"));
    }
}
