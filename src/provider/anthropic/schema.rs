//! JSON schemas in the form that Anthropic can hold a model to.
//!
//! Its documentation wants every object closed and names the keywords that are taken. Bounds on numbers, texts and lists,
//! some formats and some expressions are left out: the answer then has the right shape, and may be out of such a bound.
//! `oneOf` is written as `anyOf`, as the vendor's own client does. Where the shape itself would be another, of mappings with
//! any keys, of schemas that refer to themselves and of all other keywords, the model cannot be held to it.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::value::RawValue;

use crate::chat::Schema;
use crate::provider::request::schema::{Entry, Place, recursion, rewritten};

/// Keywords that are taken.
#[rustfmt::skip]
const TAKEN: [&str; 18] = [
    "$defs", "$ref", "additionalProperties", "allOf", "anyOf", "const", "default", "definitions", "description", "enum",
    "format", "items", "minItems", "pattern", "properties", "required", "title", "type",
];

/// Keywords that are refused and say nothing of the shape.
#[rustfmt::skip]
const REMARKS: [&str; 9] = [
    "$comment", "$id", "$schema", "deprecated", "discriminator", "example", "examples", "readOnly", "writeOnly",
];

/// Keywords that are refused, and without which the shape is the same.
#[rustfmt::skip]
const BOUNDS: [&str; 14] = [
    "exclusiveMaximum", "exclusiveMinimum", "maxItems", "maxLength", "maxProperties", "maximum", "minItems", "minLength",
    "minProperties", "minimum", "multipleOf", "patternProperties", "propertyNames", "uniqueItems",
];

/// The formats of texts that are taken.
const FORMATS: [&str; 10] =
    ["date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"];

/// What begins a group of an expression that looks around, or has a name.
const GROUPS: [&str; 3] = ["?=", "?!", "?<"];

/// What a schema is of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    /// A tool's arguments, of which there may be none.
    Arguments,
    /// An answer. An object of which nothing is said is any.
    Answer,
}

/// A schema with every object closed and without what is refused, its other keys in their order; and what was left out.
/// None where the model cannot be held to it.
pub(crate) fn closed(schema: &Schema, of: Of) -> Option<(Cow<'_, RawValue>, BTreeSet<&'static str>)> {
    if recursion::recurs(schema.get()) {
        return None;
    }
    let mut closing = Closing { left_out: BTreeSet::new(), is_other: false, of };
    let written = rewritten(schema.get(), |entries, at| {
        if at.place == Place::Schema {
            closing.close(entries, at.depth);
        }
        Ok::<(), serde_json::Error>(())
    });
    let Closing { left_out, is_other, .. } = closing;
    if is_other {
        return None;
    }
    // A schema is JSON by construction, so that it is written.
    Some(match written {
        Ok(closed) => (Cow::Owned(closed), left_out),
        Err(_) => (Cow::Borrowed(schema.raw()), BTreeSet::new()),
    })
}

/// A schema on its way.
struct Closing {
    left_out: BTreeSet<&'static str>,
    /// Something was found without which the shape is another: a keyword, or a mapping whose keys nobody knows beforehand,
    /// which would be empty if it were closed.
    is_other: bool,
    of: Of,
}

impl Closing {
    fn close(&mut self, entries: &mut Vec<Entry<'_>>, depth: usize) {
        self.write_unions(entries);
        let is_object = entries
            .iter()
            .any(|(key, value)| key == "properties" || key == "type" && value.get().contains("\"object\""));
        self.look_for_maps(entries, is_object && (depth > 0 || self.of == Of::Answer));
        entries.retain(|(key, value)| !(is_object && key == "additionalProperties" || self.refuses(key, value)));
        entries.extend(is_object.then(|| ("additionalProperties".to_owned(), RawValue::FALSE)));
    }

    /// One of several as any of them.
    fn write_unions(&mut self, entries: &mut [Entry<'_>]) {
        let has_any_of = entries.iter().any(|(key, _)| key == "anyOf");
        for (key, _) in entries.iter_mut().filter(|(key, _)| key == "oneOf") {
            // A value must fit one of each then, which a single list cannot say.
            self.is_other |= has_any_of;
            "anyOf".clone_into(key);
        }
    }

    /// Whether a schema describes other keys than those that it names. `inner`: an object within the whole, which names
    /// none and leaves all open.
    fn look_for_maps(&mut self, entries: &[Entry<'_>], inner: bool) {
        let has =
            |name: &str, fits: fn(&str) -> bool| entries.iter().any(|(key, value)| key == name && fits(value.get()));
        let additional = has("additionalProperties", |value| value == "true" || value.starts_with('{'));
        if !has("properties", is_filled) {
            let says_more = ["additionalProperties", "$ref", "anyOf", "allOf"];
            let open = inner && !entries.iter().any(|(key, _)| says_more.contains(&key.as_str()));
            self.is_other |= open || additional || has("patternProperties", is_filled);
        } else if additional {
            self.left_out.insert("additionalProperties");
        }
    }

    /// Whether a keyword is refused. A list may be asked not to be empty, and to be nothing more.
    fn refuses(&mut self, key: &str, value: &RawValue) -> bool {
        let text = || serde_json::from_str::<String>(value.get()).ok();
        let keyword = match key {
            "minItems" if matches!(value.get(), "0" | "1") => None,
            "format" => text().filter(|format| !FORMATS.contains(&format.as_str())).map(|_| "format"),
            "pattern" => text().filter(|pattern| !is_regular(pattern)).map(|_| "pattern"),
            _ => BOUNDS.into_iter().find(|keyword| *keyword == key),
        };
        self.left_out.extend(keyword);
        if keyword.is_some() || REMARKS.contains(&key) || key.starts_with("x-") {
            return true;
        }
        let is_tuple = key == "items" && value.get().starts_with('[');
        self.is_other |= is_tuple || !TAKEN.contains(&key);
        false
    }
}

/// Whether an object has entries.
fn is_filled(object: &str) -> bool {
    object.strip_prefix('{').is_some_and(|rest| !rest.trim_start().starts_with('}'))
}

/// Whether an expression neither looks around nor back.
fn is_regular(pattern: &str) -> bool {
    let mut escaped = false;
    !pattern.char_indices().any(|(at, char)| {
        let behind_backslash = escaped;
        escaped = char == '\\' && !behind_backslash;
        match char {
            'b' | 'B' | '1'..='9' => behind_backslash,
            '(' => {
                let inner = pattern.get(at + 1..).unwrap_or_default();
                !behind_backslash && GROUPS.iter().any(|group| inner.starts_with(group))
            }
            _ => false,
        }
    })
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
                r#"{"type":"object","properties":{"z":{"type":"integer","minimum":1},"a":{"type":["object","null"],"properties":{"b":{}}}},"required":["z"]}"#,
                r#"{"type":"object","properties":{"z":{"type":"integer"},"a":{"type":["object","null"],"properties":{"b":{}},"additionalProperties":false}},"required":["z"],"additionalProperties":false}"#,
                vec!["minimum"],
            ),
            (
                "what was open is closed",
                r#"{"$schema":"x","additionalProperties":true,"properties":{"a":{"examples":[1],"x-order":1}}}"#,
                r#"{"properties":{"a":{}},"additionalProperties":false}"#,
                vec!["additionalProperties"],
            ),
            (
                "what is without properties and closed stays so",
                r#"{"type":"object","additionalProperties":false,"properties":{ }}"#,
                r#"{"type":"object","properties":{},"additionalProperties":false}"#,
                vec![],
            ),
            (
                "formats and expressions that are taken",
                r#"{"anyOf":[{"format":"date-time"},{"pattern":"^\\\\b\\((?:a|1)\\)$"},{"properties":{"format":{},"pattern":{}}}]}"#,
                r#"{"anyOf":[{"format":"date-time"},{"pattern":"^\\\\b\\((?:a|1)\\)$"},{"properties":{"format":{},"pattern":{}},"additionalProperties":false}]}"#,
                vec![],
            ),
            (
                "those that are not",
                r#"{"anyOf":[{"format":"int32"},{"pattern":"a(?=b)"},{"pattern":"(?<!a)b"},{"pattern":"\\bx"},{"pattern":"(a)\\1"}]}"#,
                r#"{"anyOf":[{},{},{},{},{}]}"#,
                vec!["format", "pattern"],
            ),
            (
                "one of several is any of them",
                r#"{"oneOf":[{"properties":{"oneOf":{"oneOf":[{},{"type":"null"}]}}},{"enum":[{"oneOf":1}]}],"discriminator":{"propertyName":"kind"}}"#,
                r#"{"anyOf":[{"properties":{"oneOf":{"anyOf":[{},{"type":"null"}]}},"additionalProperties":false},{"enum":[{"oneOf":1}]}]}"#,
                vec![],
            ),
            (
                "properties may be called like keywords",
                r#"{"properties":{"minimum":{"properties":{"a":{}}},"type":{"type":"string"},"additionalProperties":{}}}"#,
                r#"{"properties":{"minimum":{"properties":{"a":{}},"additionalProperties":false},"type":{"type":"string"},"additionalProperties":{}},"additionalProperties":false}"#,
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
            let (closed, found) = closed(&schema, Of::Arguments).unwrap();
            assert_eq!(closed.get(), expected, "{claim}");
            assert_eq!(found.into_iter().collect::<Vec<_>>(), left_out, "{claim}");
        }
    }

    #[test]
    fn to_mappings_to_itself_and_to_keywords_that_are_not_taken_no_model_can_be_held() {
        for text in [
            r#"{"oneOf":[{}],"anyOf":[{}]}"#,
            r#"{"properties":{"a":{"not":{"type":"null"}}}}"#,
            r#"{"if":{},"then":{}}"#,
            r#"{"type":"array","prefixItems":[{}]}"#,
            r#"{"type":"array","items":[{}]}"#,
            r#"{"$defs":{"a":{"type":"string","nullable":true}}}"#,
            r#"{"type":"object","additionalProperties":{"type":"number"}}"#,
            r#"{"type":"object","additionalProperties":true,"properties":{ }}"#,
            r#"{"additionalProperties":{}}"#,
            r#"{"type":"object","properties":{"metadata":{"type":"object"}}}"#,
            r#"{"type":"object","patternProperties":{"^a":{"type":"number"}},"additionalProperties":false}"#,
            r#"{"properties":{"a":{"items":{"type":"object","additionalProperties":{}}}}}"#,
            r##"{"properties":{"a":{"items":{"$ref":"#"}}}}"##,
        ] {
            let schema: Schema = serde_json::from_str(text).unwrap();
            assert_eq!(closed(&schema, Of::Arguments).map(|(closed, _)| closed.get().to_owned()), None, "{text}");
        }
        let open: Schema = serde_json::from_str(r#"{"type":"object"}"#).unwrap();
        assert!(closed(&open, Of::Answer).is_none(), "closed, the answer could but be empty");
        assert!(closed(&open, Of::Arguments).is_some(), "a tool without arguments");
    }
}
