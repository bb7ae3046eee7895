//! Schemas without some keywords, for a vendor that refuses them.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::Value;
use serde_json::value::RawValue;

use super::{Entries, Entry, Place, recursion, rewritten, without_identity};
use crate::chat::Schema;

/// References that are replaced in one schema, and bytes that it may then have: it may grow with each.
const MOST_REFERENCES: usize = 256;
const MOST_BYTES: usize = 256 * 1024;

/// Keywords that hold what is referred to and nothing else.
const DEFINITIONS: [&str; 2] = ["$defs", "definitions"];

/// The keyword that a refusal names.
pub(crate) fn named(refusal: &str) -> Option<&str> {
    let (_, rest) = refusal.split_once("unsupported keyword")?;
    let rest = rest.trim_start();
    let quote = rest.chars().next().filter(|quote| matches!(quote, '`' | '\'' | '"'))?;
    rest.split(quote).nth(1)
}

/// Whether a schema has a keyword.
pub(crate) fn is_in(schema: &Schema, keyword: &str) -> bool {
    fn has(value: &Value, place: Place, keyword: &str) -> bool {
        match value {
            Value::Array(items) => items.iter().any(|item| has(item, Place::Schema, keyword)),
            Value::Object(fields) => fields.iter().any(|(key, inner)| {
                place == Place::Schema && key == keyword
                    || place.below(key).is_some_and(|place| has(inner, place, keyword))
            }),
            _ => false,
        }
    }
    serde_json::from_str(schema.get()).is_ok_and(|root| has(&root, Place::Schema, keyword))
}

/// The schema without these keywords at any depth, its other keys in their order, and without what [`without_identity`] leaves
/// out. References within it are replaced by what they refer to, unless it refers to itself or would grow too large.
pub(crate) fn without<'s>(schema: &'s Schema, keywords: &[String]) -> Cow<'s, RawValue> {
    let plain = without_identity(schema);
    let text = plain.get();
    let inlines = text.contains("\"$ref\"") && !recursion::recurs(text);
    let written = [true, false].into_iter().filter(|inline| inlines || !inline).find_map(|inline| {
        let mut references = References { root: text, targets: HashMap::new() };
        rewritten(text, |entries, at| {
            if inline && at.written > MOST_BYTES {
                return Err(Unwritten);
            }
            if inline && at.place == Place::Schema {
                references.follow(entries)?;
                entries.retain(|(key, _)| !DEFINITIONS.contains(&key.as_str()));
            }
            entries.retain(|(key, _)| at.place != Place::Schema || !keywords.contains(key));
            Ok(())
        })
        .ok()
    });
    written.map_or(plain, Cow::Owned)
}

/// What references in a schema refer to.
struct References<'t> {
    root: &'t str,
    targets: HashMap<String, Option<&'t str>>,
}

/// It grew too large, or is no JSON.
struct Unwritten;

impl From<serde_json::Error> for Unwritten {
    fn from(_: serde_json::Error) -> Self {
        Self
    }
}

impl<'t> References<'t> {
    /// Puts what a schema refers to in the place of the reference; what it says itself counts. A schema that recurs is not
    /// brought here, but whether one does is told from its values, and keys may stand twice in a text: the steps are counted.
    fn follow(&mut self, entries: &mut Vec<Entry<'t>>) -> Result<(), Unwritten> {
        for _ in 0..=MOST_REFERENCES {
            let Some(at) = entries.iter().position(|(key, _)| key == "$ref") else { return Ok(()) };
            let Ok(reference) = serde_json::from_str::<String>(entries[at].1.get()) else { return Ok(()) };
            let Some(target) = self.target(reference)? else { return Ok(()) };
            entries.remove(at);
            for entry in serde_json::from_str::<Entries<'t>>(target)?.0 {
                if entries.iter().all(|(key, _)| *key != entry.0) {
                    entries.push(entry);
                }
            }
        }
        Err(Unwritten)
    }

    fn target(&mut self, reference: String) -> Result<Option<&'t str>, Unwritten> {
        if let Some(known) = self.targets.get(&reference) {
            return Ok(*known);
        }
        if self.targets.len() >= MOST_REFERENCES {
            return Err(Unwritten);
        }
        let target = reference.strip_prefix("#/").and_then(|pointer| pointed(self.root, pointer));
        self.targets.insert(reference, target);
        Ok(target)
    }
}

/// The object at a pointer, the first slash of which is cut off.
fn pointed<'t>(root: &'t str, pointer: &str) -> Option<&'t str> {
    let step = |text: &'t str, token: &str| {
        let token = token.replace("~1", "/").replace("~0", "~");
        if text.starts_with('[') {
            return serde_json::from_str::<Vec<&'t RawValue>>(text).ok()?.get(token.parse::<usize>().ok()?).copied();
        }
        let Entries(entries) = serde_json::from_str::<Entries<'t>>(text).ok()?;
        entries.into_iter().find(|(key, _)| *key == token).map(|(_, value)| value)
    };
    let found = pointer.split('/').try_fold(root, |text, token| step(text, token).map(RawValue::get))?;
    found.starts_with('{').then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(text: &str) -> Schema {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_refusal_names_its_keyword() {
        for (refusal, keyword) in [
            ("Received unsupported keyword `format` in schema.", Some("format")),
            ("Invalid schema: unsupported keyword 'minItems'", Some("minItems")),
            ("unsupported keyword format", None),
            ("unsupported keyword", None),
            ("Extra inputs are not permitted", None),
        ] {
            assert_eq!(named(refusal), keyword, "{refusal}");
        }
    }

    #[test]
    fn a_keyword_goes_where_it_is_one() {
        for (claim, text, expected) in [
            (
                "at any depth, the order stays",
                r#"{"z":1,"format":"x","items":[{"format":"y","a":2}],"anyOf":[{"not":{"format":1}}]}"#,
                r#"{"z":1,"items":[{"a":2}],"anyOf":[{"not":{}}]}"#,
            ),
            (
                "not as a name and not in data",
                r#"{"properties":{"format":{"type":"string","format":"uri"}},"enum":[{"format":1}]}"#,
                r#"{"properties":{"format":{"type":"string"}},"enum":[{"format":1}]}"#,
            ),
            (
                "references are replaced, and what stands beside them counts",
                r##"{"properties":{"b":{"$ref":"#/$defs/a~1b","title":"mine"}},"$defs":{"a/b":{"$ref":"#/$defs/c"},
                    "c":{"title":"its","format":"date"}}}"##,
                r#"{"properties":{"b":{"title":"mine"}}}"#,
            ),
            (
                "but not those that lead back",
                r##"{"format":1,"items":{"$ref":"#"},"$defs":{"a":{"format":2}}}"##,
                r##"{"items":{"$ref":"#"},"$defs":{"a":{}}}"##,
            ),
            (
                "nor those that lead nowhere",
                r##"{"format":1,"items":{"$ref":"#/$defs/none"}}"##,
                r##"{"items":{"$ref":"#/$defs/none"}}"##,
            ),
        ] {
            let schema = schema(text);
            assert!(is_in(&schema, "format"), "{claim}");
            assert_eq!(without(&schema, &["format".to_owned()]).get(), expected, "{claim}");
        }
        assert!(!is_in(&schema(r#"{"properties":{"format":{}},"const":{"format":1}}"#), "format"));
    }

    #[test]
    fn a_schema_that_leads_back_by_what_stands_in_it_twice_keeps_its_references() {
        for text in [
            r##"{"format":1,"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/a"}},"$defs":{"a":{}}}"##,
            r##"{"format":1,"anyOf":[{"$ref":"#/anyOf/00"}]}"##,
        ] {
            let expected = text.replacen(r#""format":1,"#, "", 1);
            assert_eq!(without(&schema(text), &["format".to_owned()]).get(), expected);
        }
    }

    #[test]
    fn a_schema_that_would_grow_without_bound_keeps_its_references() {
        let link =
            |at: usize| format!(r##""{at}":{{"anyOf":[{{"$ref":"#/$defs/{0}"}},{{"$ref":"#/$defs/{0}"}}]}}"##, at + 1);
        let doubled: Vec<String> = (0..40).map(link).collect();
        let many: Vec<String> = (0..1_000).map(|at| format!(r##"{{"$ref":"#/$defs/{at}"}}"##)).collect();
        let defined: Vec<String> = (0..1_000).map(|at| format!(r#""{at}":{{}}"#)).collect();
        for text in [
            format!(r##"{{"format":1,"$ref":"#/$defs/0","$defs":{{{},"40":{{}}}}}}"##, doubled.join(",")),
            format!(r#"{{"format":1,"anyOf":[{}],"$defs":{{{}}}}}"#, many.join(","), defined.join(",")),
        ] {
            let expected = text.replacen(r#""format":1,"#, "", 1);
            assert_eq!(without(&schema(&text), &["format".to_owned()]).get(), expected);
        }
    }
}
