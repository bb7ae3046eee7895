//! Whether a JSON schema can be written out without any `$ref`.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::Place;

/// Which part of a schema it is.
type Id = *const Value;

/// Whether a schema refers to itself, so that it has values of any depth, or to another document.
pub(crate) fn recurs(text: &str) -> bool {
    if !text.contains("\"$ref\"") {
        return false;
    }
    // One that is nested deeper than serde_json reads is the vendor's to judge.
    let Ok(root) = serde_json::from_str::<Value>(text) else { return false };
    let (mut targets, mut elsewhere) = (HashMap::new(), false);
    each_reference(&root, Place::Schema, &mut Vec::new(), &mut |_, reference| match reference.strip_prefix('#') {
        Some(pointer) => {
            targets.extend(root.pointer(pointer).map(|target| (reference.to_owned(), std::ptr::from_ref(target))));
        }
        None => elsewhere = true,
    });
    elsewhere || has_circle(&root, &targets)
}

/// Whether parts that are referred to lead back to themselves, each by the references within it.
fn has_circle(root: &Value, targets: &HashMap<String, Id>) -> bool {
    let parts: HashSet<Id> = targets.values().copied().collect();
    let mut leads: HashMap<Id, HashSet<Id>> = HashMap::new();
    each_reference(root, Place::Schema, &mut Vec::new(), &mut |above, reference| {
        let Some(target) = targets.get(reference) else { return };
        for part in above.iter().filter(|part| parts.contains(*part)) {
            leads.entry(*part).or_default().insert(*target);
        }
    });
    let mut referred: HashMap<Id, usize> = HashMap::new();
    for target in leads.values().flatten() {
        *referred.entry(*target).or_default() += 1;
    }
    // Parts that nothing refers to are taken away, again and again: what then remains is a circle.
    let mut free: Vec<Id> = parts.iter().copied().filter(|part| !referred.contains_key(part)).collect();
    let mut taken = 0_usize;
    while let Some(part) = free.pop() {
        taken += 1;
        for target in leads.get(&part).into_iter().flatten() {
            if let Some(left) = referred.get_mut(target) {
                *left -= 1;
                free.extend((*left == 0).then_some(*target));
            }
        }
    }
    taken < parts.len()
}

/// Tells each `$ref`, and the objects in which it stands. References are not followed.
fn each_reference(value: &Value, place: Place, above: &mut Vec<Id>, tell: &mut dyn FnMut(&[Id], &str)) {
    match value {
        Value::Array(items) => {
            for item in items {
                each_reference(item, Place::Schema, above, tell);
            }
        }
        Value::Object(fields) => {
            above.push(std::ptr::from_ref(value));
            for (key, inner) in fields {
                match (inner, place.below(key)) {
                    (Value::String(reference), _) if place == Place::Schema && key == "$ref" => tell(above, reference),
                    (_, Some(place)) => each_reference(inner, place, above, tell),
                    (_, None) => {}
                }
            }
            above.pop();
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leads_back_to_itself_recurs() {
        for (claim, text, expected) in [
            ("no reference", r#"{"type":"object"}"#, false),
            ("a reference", r##"{"$ref":"#/$defs/a","$defs":{"a":{"type":"string"}}}"##, false),
            (
                "the same twice, and one behind it",
                r##"{"anyOf":[{"$ref":"#/$defs/a"},{"$ref":"#/$defs/a"},{"$ref":"#/definitions/b"}],
                    "$defs":{"a":{"items":{"$ref":"#/definitions/b"}}},"definitions":{"b":{"type":"string"}}}"##,
                false,
            ),
            (
                "to another property",
                r##"{"properties":{"a":{"properties":{"x":{}}},"b":{"$ref":"#/properties/a"}}}"##,
                false,
            ),
            ("to nothing", r##"{"properties":{"a":{"$ref":"#/$defs/none"},"b":{"$ref":"#anchor"}}}"##, false),
            ("to the whole", r##"{"properties":{"child":{"$ref":"#"}}}"##, true),
            (
                "to what it stands in",
                r##"{"properties":{"a":{"properties":{"b":{"items":{"$ref":"#/properties/a"}}}}}}"##,
                true,
            ),
            ("to itself", r##"{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/a"}}}"##, true),
            (
                "in a circle, under odd names",
                r##"{"$ref":"#/$defs/a~1b","$defs":{"a/b":{"items":{"$ref":"#/$defs/c"}},
                    "c":{"anyOf":[{"type":"null"},{"$ref":"#/$defs/a~1b"}]}}}"##,
                true,
            ),
            ("elsewhere", r#"{"properties":{"a":{"$ref":"https://example.com/a.json"}}}"#, true),
            ("data and names", r##"{"default":{"$ref":"#"},"properties":{"$ref":{"type":"string"}}}"##, false),
        ] {
            assert_eq!(recurs(text), expected, "{claim}");
        }
    }

    #[test]
    fn long_chains_are_read_in_the_time_that_reading_them_takes() {
        const MANY: usize = 20_000;
        let link = |at: usize| format!(r##""{at}":{{"$ref":"#/$defs/{}"}}"##, at + 1);
        let links: Vec<String> = (0..MANY).map(link).collect();
        let chain = |last: &str| format!(r#"{{"$defs":{{{},"{MANY}":{last}}}}}"#, links.join(","));
        assert!(!recurs(&chain(r#"{"type":"string"}"#)));
        assert!(recurs(&chain(r##"{"$ref":"#/$defs/0"}"##)));
    }
}
