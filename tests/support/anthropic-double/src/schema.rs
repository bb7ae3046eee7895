//! Schemas to which a model can be held.

use double::array;
use serde_json::{Value, json};

use crate::check::{Checked, refuse};

/// Keywords that are taken.
const TAKEN: &[&str] = &[
    "$defs",
    "$ref",
    "additionalProperties",
    "allOf",
    "anyOf",
    "const",
    "default",
    "definitions",
    "description",
    "enum",
    "format",
    "items",
    "minItems",
    "pattern",
    "properties",
    "required",
    "title",
    "type",
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

/// Checks that all schemas together, which are compiled into one grammar, are not too much.
pub(crate) fn together(body: &Value) -> Checked {
    let strict: Vec<&Value> = array(&body["tools"]).iter().filter(|tool| tool["strict"] == json!(true)).collect();
    if strict.len() > 20 {
        let count = strict.len();
        return refuse(&format!(
            "Too many strict tools ({count}). The maximum number of strict tools supported is 20."
        ));
    }
    let schemas = strict.iter().map(|tool| &tool["input_schema"]).chain([&body["output_config"]["format"]["schema"]]);
    let (optional, unions) = schemas.map(weight).fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1));
    if optional > 24 {
        return refuse(&format!("Schemas contains too many optional parameters ({optional}) (limit: 24)."));
    }
    if unions > 16 {
        return refuse(&format!(
            "Schemas contains too many parameters with union types ({unions} parameters with type arrays or anyOf)."
        ));
    }
    Ok(())
}

/// So many properties that may be absent, and so many of several types, at any depth.
fn weight(schema: &Value) -> (usize, usize) {
    if !schema.is_object() {
        return (0, 0);
    }
    let (mut optional, mut unions) = (0, 0);
    for (name, inner) in below(schema) {
        if let Some(name) = name {
            optional += usize::from(!array(&schema["required"]).iter().any(|required| required == name));
            unions += usize::from(inner["anyOf"].is_array() || inner["type"].is_array());
        }
        let within = weight(inner);
        (optional, unions) = (optional + within.0, unions + within.1);
    }
    (optional, unions)
}

/// The schemas right within a schema; of properties with their names.
fn below(schema: &Value) -> impl Iterator<Item = (Option<&str>, &Value)> {
    let defined = ["$defs", "definitions"].into_iter().filter_map(|name| schema[name].as_object());
    let properties = schema["properties"].as_object().into_iter().flatten();
    let lists = ["anyOf", "allOf"].into_iter().flat_map(|name| array(&schema[name]));
    let unnamed = defined.flat_map(|named| named.values()).chain(lists).chain([&schema["items"]]);
    properties.map(|(name, schema)| (Some(name.as_str()), schema)).chain(unnamed.map(|schema| (None, schema)))
}
