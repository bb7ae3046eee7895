//! How much schemas weigh to which a model is held: the vendor compiles them all into one grammar, and bounds what goes into
//! one request. Its limits are those of its page on structured outputs and of its refusals, as of November 2026. Of the size
//! of the grammar itself it tells no measure.

use std::collections::HashSet;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::provider::request::schema::Place;

/// Tools.
const MOST_TOOLS: usize = 20;
/// Properties that may be absent, at any depth.
const MOST_OPTIONAL: usize = 24;
/// Properties with `anyOf` or several types, at any depth.
const MOST_UNIONS: usize = 16;

/// What is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Weight {
    tools: usize,
    optional: usize,
    unions: usize,
}

impl Weight {
    /// That of one schema. One that is nested deeper than serde_json reads weighs nothing, and is the vendor's to judge.
    pub(super) fn of(schema: &RawValue) -> Self {
        let mut weight = Self::default();
        if let Ok(schema) = serde_json::from_str(schema.get()) {
            weight.count(&schema, Place::Schema);
        }
        weight
    }

    /// That of a tool's arguments.
    pub(super) fn of_tool(schema: &RawValue) -> Self {
        Self { tools: 1, ..Self::of(schema) }
    }

    /// Both.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            tools: self.tools + other.tools,
            optional: self.optional + other.optional,
            unions: self.unions + other.unions,
        }
    }

    /// Whether the vendor takes so much in one request.
    pub(super) fn is_taken(self) -> bool {
        self.tools <= MOST_TOOLS && self.optional <= MOST_OPTIONAL && self.unions <= MOST_UNIONS
    }

    fn count(&mut self, value: &Value, place: Place) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.count(item, Place::Schema)),
            Value::Object(fields) => {
                if place == Place::Schema
                    && let Some(Value::Object(properties)) = fields.get("properties")
                {
                    let required = fields.get("required").and_then(Value::as_array).into_iter().flatten();
                    let required: HashSet<_> = required.filter_map(Value::as_str).collect();
                    self.optional += properties.keys().filter(|name| !required.contains(name.as_str())).count();
                    self.unions += properties.values().filter(|property| is_union(property)).count();
                }
                for (key, inner) in fields {
                    if let Some(place) = place.below(key) {
                        self.count(inner, place);
                    }
                }
            }
            _ => {}
        }
    }
}

fn is_union(schema: &Value) -> bool {
    schema.get("anyOf").is_some() || schema.get("type").is_some_and(Value::is_array)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn properties_are_counted_at_any_depth() {
        let schema = json!({"type": "object", "required": ["a"], "properties": {
            "a": {"type": ["string", "null"]},
            "b": {"anyOf": [{"properties": {"properties": {"type": "object"}}}, {"type": "null"}]},
            "c": {"items": {"$ref": "#/$defs/d"}, "default": {"properties": {"x": {}}}},
        }, "$defs": {"d": {"properties": {"e": {}, "f": {}}, "required": ["e", "f"]}}});
        let schema = RawValue::from_string(schema.to_string()).unwrap();
        assert_eq!(Weight::of(&schema), Weight { tools: 0, optional: 3, unions: 2 });
        let tool = Weight::of_tool(&schema);
        assert_eq!(tool.and(tool), Weight { tools: 2, optional: 6, unions: 4 });
    }
}
