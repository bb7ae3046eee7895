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
pub(crate) const MAPPINGS: [&str; 3] = ["properties", "$defs", "definitions"];

/// Keywords whose value is data, whatever it looks like.
pub(crate) const DATA: [&str; 5] = ["const", "enum", "default", "examples", "required"];

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
    let mut out = String::with_capacity(text.len());
    // A schema is JSON by construction, so that both steps succeed.
    match write(schema.raw(), 0, &mut out).and_then(|()| RawValue::from_string(out)) {
        Ok(clean) => Cow::Owned(clean),
        Err(_) => Cow::Borrowed(schema.raw()),
    }
}

fn write(value: &RawValue, depth: usize, out: &mut String) -> serde_json::Result<()> {
    let text = value.get();
    match text.as_bytes().first() {
        Some(b'{') if depth < DEPTH => {
            let Entries(entries) = serde_json::from_str(text)?;
            // A property may have one of these names; then its value is a schema and no text.
            let kept = entries
                .iter()
                .filter(|(key, value)| !(IDENTITY.contains(&key.as_str()) && value.get().starts_with('"')));
            out.push('{');
            for (index, (key, value)) in kept.enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&serde_json::to_string(key)?);
                out.push(':');
                write(value, depth + 1, out)?;
            }
            out.push('}');
        }
        Some(b'[') if depth < DEPTH => {
            let items: Vec<&RawValue> = serde_json::from_str(text)?;
            out.push('[');
            for (index, item) in items.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(item, depth + 1, out)?;
            }
            out.push(']');
        }
        _ => out.push_str(text),
    }
    Ok(())
}

/// An object's entries in their order.
pub(crate) struct Entries<'a>(pub(crate) Vec<(String, &'a RawValue)>);

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
