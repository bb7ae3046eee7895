//! Schemas to which a model can be held.

use double::array;
use serde_json::{Value, json};

use crate::check::{Checked, refuse};

/// Keywords that are taken.
const TAKEN: &[&str] = &[
    "$defs", "$ref", "additionalProperties", "allOf", "anyOf", "const", "default", "definitions", "description", "enum",
    "format", "items", "minItems", "pattern", "properties", "required", "title", "type",
];

/// Checks that objects are closed, and that there is no keyword that is not taken.
pub(crate) fn closed(schema: &Value) -> Checked {
    let Some(fields) = schema.as_object() else { return Ok(()) };
    if let Some(keyword) = fields.keys().find(|keyword| !TAKEN.contains(&keyword.as_str())) {
        return match keyword.as_str() {
            "oneOf" => refuse("Schema type 'oneOf' is not supported"),
            _ => refuse(&format!("property '{keyword}' is not supported")),
        };
    }
    if schema["type"] == "object" && schema["additionalProperties"] != json!(false) {
        return refuse("For 'object' type, 'additionalProperties' must be explicitly set to false");
    }
    if schema["minItems"].as_u64().is_some_and(|bound| bound > 1) {
        return refuse("For 'array' type, 'minItems' values other than 0 or 1 are not supported");
    }
    below(schema).try_for_each(|(_, schema)| closed(schema))
}

/// The schemas right within a schema; of properties with their names.
fn below(schema: &Value) -> impl Iterator<Item = (Option<&str>, &Value)> {
    let defined = ["$defs", "definitions"].into_iter().filter_map(|name| schema[name].as_object());
    let properties = schema["properties"].as_object().into_iter().flatten();
    let lists = ["anyOf", "allOf"].into_iter().flat_map(|name| array(&schema[name]));
    let unnamed = defined.flat_map(|named| named.values()).chain(lists).chain([&schema["items"]]);
    properties.map(|(name, schema)| (Some(name.as_str()), schema)).chain(unnamed.map(|schema| (None, schema)))
}
