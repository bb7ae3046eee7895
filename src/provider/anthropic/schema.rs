//! JSON schemas in the form that Anthropic can hold a model to.
//!
//! Its documentation wants every object closed and refuses bounds on numbers, texts and lists. What a schema says beyond
//! that is left out: the answer then has the right shape, and may be out of such a bound.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::value::RawValue;

use crate::chat::Schema;
use crate::provider::schema::Entries;

/// Nobody nests schemas deeper; what lies below stays as it is.
const DEPTH: usize = 64;

/// Keywords whose value is a mapping of names to schemas.
const MAPPINGS: [&str; 3] = ["properties", "$defs", "definitions"];

/// Keywords whose value is data, whatever it looks like.
const DATA: [&str; 5] = ["const", "enum", "default", "examples", "required"];

/// Keywords that are refused.
#[rustfmt::skip]
const REFUSED: [&str; 16] = [
    "$id", "$schema", "exclusiveMaximum", "exclusiveMinimum", "maxItems", "maxLength", "maxProperties", "maximum",
    "minItems", "minLength", "minProperties", "minimum", "multipleOf", "patternProperties", "propertyNames",
    "uniqueItems",
];

/// What the value is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Schema,
    Mapping,
}

/// A schema with every object closed and without what is refused, its other keys in their order; and what was left out.
pub(crate) fn closed(schema: &Schema) -> (Cow<'_, RawValue>, BTreeSet<&'static str>) {
    let mut out = String::with_capacity(schema.get().len() + 32);
    let mut left_out = BTreeSet::new();
    // A schema is JSON by construction, so that both steps succeed.
    let written = write(schema.get(), Place::Schema, 0, &mut out, &mut left_out);
    match written.and_then(|()| RawValue::from_string(out)) {
        Ok(closed) => (Cow::Owned(closed), left_out),
        Err(_) => (Cow::Borrowed(schema.raw()), BTreeSet::new()),
    }
}

fn write(
    text: &str,
    place: Place,
    depth: usize,
    out: &mut String,
    left_out: &mut BTreeSet<&'static str>,
) -> serde_json::Result<()> {
    match text.as_bytes().first() {
        Some(b'{') if depth < DEPTH => {
            let Entries(entries) = serde_json::from_str(text)?;
            let schema = place == Place::Schema;
            let is_object = schema
                && entries
                    .iter()
                    .any(|(key, value)| key == "properties" || key == "type" && value.get().contains("\"object\""));
            out.push('{');
            let mut first = true;
            for (key, value) in &entries {
                if schema && (is_object && key == "additionalProperties" || refuses(key, value, left_out)) {
                    continue;
                }
                if !std::mem::take(&mut first) {
                    out.push(',');
                }
                out.push_str(&serde_json::to_string(key)?);
                out.push(':');
                match key.as_str() {
                    key if schema && DATA.contains(&key) => out.push_str(value.get()),
                    key if schema && MAPPINGS.contains(&key) => {
                        write(value.get(), Place::Mapping, depth + 1, out, left_out)?;
                    }
                    _ => write(value.get(), Place::Schema, depth + 1, out, left_out)?,
                }
            }
            if is_object {
                out.push_str(if first { "" } else { "," });
                out.push_str("\"additionalProperties\":false");
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
                write(item.get(), Place::Schema, depth + 1, out, left_out)?;
            }
            out.push(']');
        }
        _ => out.push_str(text),
    }
    Ok(())
}

/// Whether a keyword is refused. A list may be asked not to be empty, and to be nothing more.
fn refuses(key: &str, value: &RawValue, left_out: &mut BTreeSet<&'static str>) -> bool {
    let Some(keyword) = REFUSED.iter().find(|keyword| **keyword == key) else { return false };
    if *keyword == "minItems" && matches!(value.get(), "0" | "1") {
        return false;
    }
    if !keyword.starts_with('$') {
        left_out.insert(keyword);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_closed_and_bounds_are_left_out() {
        for (claim, text, expected, left_out) in [
            ("nothing to close", r#"{"type":"string"}"#, r#"{"type":"string"}"#, vec![]),
            (
                "an object, its keys in their order",
                r#"{"type":"object","properties":{"z":{"type":"integer","minimum":1},"a":{"type":["object","null"]}},"required":["z"]}"#,
                r#"{"type":"object","properties":{"z":{"type":"integer"},"a":{"type":["object","null"],"additionalProperties":false}},"required":["z"],"additionalProperties":false}"#,
                vec!["minimum"],
            ),
            (
                "what was open is closed",
                r#"{"$schema":"x","additionalProperties":true,"properties":{}}"#,
                r#"{"properties":{},"additionalProperties":false}"#,
                vec![],
            ),
            (
                "properties may be called like keywords",
                r#"{"properties":{"minimum":{"type":"object"},"type":{"type":"string"},"additionalProperties":{}}}"#,
                r#"{"properties":{"minimum":{"type":"object","additionalProperties":false},"type":{"type":"string"},"additionalProperties":{}},"additionalProperties":false}"#,
                vec![],
            ),
            (
                "data is no schema",
                r#"{"const":{"type":"object"},"anyOf":[{"enum":[{"type":"object"}]},{"type":"array","minItems":1,"maxItems":2}]}"#,
                r#"{"const":{"type":"object"},"anyOf":[{"enum":[{"type":"object"}]},{"type":"array","minItems":1}]}"#,
                vec!["maxItems"],
            ),
        ] {
            let schema: Schema = serde_json::from_str(text).unwrap();
            let (closed, found) = closed(&schema);
            assert_eq!(closed.get(), expected, "{claim}");
            assert_eq!(found.into_iter().collect::<Vec<_>>(), left_out, "{claim}");
        }
    }
}
