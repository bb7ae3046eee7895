//! A value that fits a JSON schema, for the keywords that people use.

use serde_json::{Map, Value};

/// How deep a schema is followed; recursive ones end there with `null`.
const DEEPEST: usize = 12;

/// How many values one sample has; the rest of a schema that branches into itself is `null`.
const MOST_VALUES: usize = 1_000;

/// Items of an array that asks for many.
const MOST_ITEMS: u64 = 16;

/// A value for the schema, the same every time. Every property is present, required or not.
pub(crate) fn of(schema: &Value) -> Value {
    Sampler { root: schema, left: MOST_VALUES }.fit(schema, DEEPEST)
}

struct Sampler<'s> {
    /// Where references lead.
    root: &'s Value,
    /// Values that may still be made.
    left: usize,
}

impl Sampler<'_> {
    fn fit(&mut self, schema: &Value, depth: usize) -> Value {
        if depth == 0 || self.left == 0 {
            return Value::Null;
        }
        self.left -= 1;
        if let Some(reference) = schema["$ref"].as_str() {
            let target = reference.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer));
            return target.map_or(Value::Null, |target| self.fit(target, depth - 1));
        }
        if let Some(constant) = schema.get("const") {
            return constant.clone();
        }
        if let Some(first) = schema["enum"].as_array().and_then(|values| values.first()) {
            return first.clone();
        }
        for union in ["anyOf", "oneOf"] {
            if let Some(first) = schema[union].as_array().and_then(|schemas| schemas.first()) {
                return self.fit(first, depth - 1);
            }
        }
        if let Some(all) = schema["allOf"].as_array() {
            let mut merged = Map::new();
            for part in all {
                if let Value::Object(fields) = self.fit(part, depth - 1) {
                    merged.extend(fields);
                }
            }
            return Value::Object(merged);
        }
        match kind(schema) {
            "object" => self.object(schema, depth),
            "array" => self.array(schema, depth),
            "string" => string(schema),
            "integer" => integer(schema),
            "number" => number(schema),
            "boolean" => Value::Bool(true),
            _ => Value::Null,
        }
    }

    fn object(&mut self, schema: &Value, depth: usize) -> Value {
        let properties = schema["properties"].as_object();
        let fields = properties.into_iter().flatten();
        Value::Object(fields.map(|(name, schema)| (name.clone(), self.fit(schema, depth - 1))).collect())
    }

    fn array(&mut self, schema: &Value, depth: usize) -> Value {
        let least = schema["minItems"].as_u64().unwrap_or(1);
        let most = schema["maxItems"].as_u64().unwrap_or(MOST_ITEMS);
        let count = least.max(1).min(most).min(MOST_ITEMS);
        (0..count).map(|_| self.fit(&schema["items"], depth - 1)).collect()
    }
}

fn kind(schema: &Value) -> &str {
    match &schema["type"] {
        Value::String(kind) => kind,
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null").unwrap_or("null"),
        _ if schema["items"].is_object() => "array",
        _ => "object",
    }
}

fn string(schema: &Value) -> Value {
    let text = match schema["format"].as_str() {
        Some("date-time") => "2026-08-21T12:00:00Z",
        Some("date") => "2026-08-21",
        Some("email") => "double@example.org",
        Some("uri") => "https://example.org/",
        Some("uuid") => "00000000-0000-4000-8000-000000000000",
        _ => "offline double",
    };
    let least = schema["minLength"].as_u64().and_then(|least| usize::try_from(least).ok()).unwrap_or(0);
    let most = schema["maxLength"].as_u64().and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
    let padding = least.min(4096).saturating_sub(text.len());
    let text: String = text.chars().chain(std::iter::repeat_n('.', padding)).take(most).collect();
    Value::from(text)
}

fn integer(schema: &Value) -> Value {
    let above = schema["exclusiveMinimum"].as_i64().map(|bound| bound.saturating_add(1));
    let below = schema["exclusiveMaximum"].as_i64().map(|bound| bound.saturating_sub(1));
    let least = schema["minimum"].as_i64().or(above).unwrap_or(i64::MIN);
    let most = schema["maximum"].as_i64().or(below).unwrap_or(i64::MAX);
    Value::from(1_i64.max(least).min(most))
}

fn number(schema: &Value) -> Value {
    let above = schema["exclusiveMinimum"].as_f64().map(|bound| bound + 0.5);
    let below = schema["exclusiveMaximum"].as_f64().map(|bound| bound - 0.5);
    let least = schema["minimum"].as_f64().or(above).unwrap_or(f64::MIN);
    let most = schema["maximum"].as_f64().or(below).unwrap_or(f64::MAX);
    Value::from(1.5_f64.max(least).min(most))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn samples_fit_their_schemas() {
        let cases = [
            (json!({ "type": "string" }), json!("offline double")),
            (json!({ "type": "string", "maxLength": 3 }), json!("off")),
            (json!({ "enum": ["red", "green"] }), json!("red")),
            (json!({ "type": "integer", "minimum": 5 }), json!(5)),
            (json!({ "type": "integer", "exclusiveMaximum": 0 }), json!(-1)),
            (json!({ "type": ["null", "boolean"] }), json!(true)),
            (json!({ "type": "array", "items": { "type": "integer" }, "minItems": 2 }), json!([1, 1])),
            (json!({ "anyOf": [{ "type": "null" }, { "type": "string" }] }), json!(null)),
            (
                json!({
                    "type": "object",
                    "properties": { "a": { "$ref": "#/$defs/a" }, "b": { "type": "number" } },
                    "$defs": { "a": { "const": 7 } },
                }),
                json!({ "a": 7, "b": 1.5 }),
            ),
        ];
        for (schema, expected) in cases {
            assert_eq!(of(&schema), expected, "{schema}");
        }
    }

    #[test]
    fn a_schema_that_contains_itself_ends() {
        let again = json!({ "$ref": "#" });
        let schema = json!({ "type": "object", "properties": { "a": again, "b": again, "c": again, "d": again } });
        assert!(of(&schema).is_object());
    }
}
