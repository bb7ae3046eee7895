//! The allow-lists of every request body, and the one walker that checks a body against them.
//!
//! Mistral declares `additionalProperties: false` at every level and answers with pydantic's error objects. The tables in
//! this folder say which fields exist; [`check`] reports what pydantic would.

mod chat;
mod messages;
mod others;

use std::borrow::Cow;

use serde_json::{Value, json};

use crate::refusal::FieldFault;

pub(crate) use chat::CHAT;
pub(crate) use others::{CHAT_MODERATION, EMBEDDINGS, FIM, MODERATION};

/// What a value may be.
pub(crate) enum Shape {
    /// Any JSON value.
    Any,
    /// A string.
    Text,
    /// `true` or `false`.
    Flag,
    /// A whole number within bounds, both inclusive.
    Integer { from: i64, to: i64 },
    /// A number within bounds, both inclusive.
    Number { from: f64, to: f64 },
    /// A number above zero and at most one.
    Share,
    /// One of a few strings.
    Literal(&'static [&'static str]),
    /// An object with these fields and no other.
    Object(&'static [Field]),
    /// An object with any keys, each value of this shape.
    Map(&'static Shape),
    /// An array.
    List { of: &'static Shape, at_least: usize, at_most: usize },
    /// An object whose field `tag` says which fields it has.
    Tagged { tag: &'static str, default: Option<&'static str>, variants: &'static [(&'static str, &'static [Field])] },
    /// One of several shapes, told apart by their JSON type.
    OneOf(&'static [Shape]),
    /// What a JSON `null` may stand for.
    Nullable(&'static Shape),
}

/// One allowed key of an object.
pub(crate) struct Field {
    name: &'static str,
    shape: Shape,
    required: bool,
}

const fn required(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, required: true }
}

const fn optional(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, required: false }
}

/// A list without an upper bound.
const fn list(of: &'static Shape) -> Shape {
    Shape::List { of, at_least: 0, at_most: usize::MAX }
}

const NULLABLE_TEXT: Shape = Shape::Nullable(&Shape::Text);
const NULLABLE_COUNT: Shape = Shape::Nullable(&Shape::Integer { from: 0, to: i64::MAX });
const NULLABLE_OBJECT: Shape = Shape::Nullable(&Shape::Map(&Shape::Any));

/// Checks a request body against the fields of its endpoint and returns every fault found, as pydantic does.
pub(crate) fn check(fields: &'static [Field], body: &Value) -> Vec<FieldFault> {
    let mut walk = Walk { place: vec![Place::Key(Cow::Borrowed("body"))], faults: Vec::new() };
    walk.object(fields, None, body);
    walk.faults
}

/// One step of the way from the body to a value.
enum Place<'v> {
    Key(Cow<'v, str>),
    Index(usize),
}

struct Walk<'v> {
    place: Vec<Place<'v>>,
    faults: Vec<FieldFault>,
}

impl<'v> Walk<'v> {
    fn fault(&mut self, kind: &'static str, message: impl Into<String>, input: &Value, context: Option<Value>) {
        let location = self.place.iter().map(|place| match place {
            Place::Key(key) => Value::from(key.as_ref()),
            Place::Index(index) => Value::from(*index),
        });
        let location = location.collect();
        self.faults.push(FieldFault { kind, location, message: message.into(), input: input.clone(), context });
    }

    fn within(&mut self, place: Place<'v>, inner: impl FnOnce(&mut Self)) {
        self.place.push(place);
        inner(self);
        self.place.pop();
    }

    fn value(&mut self, shape: &'static Shape, value: &'v Value) {
        match shape {
            Shape::Any => {}
            Shape::Text if value.is_string() => {}
            Shape::Text => self.fault("string_type", "Input should be a valid string", value, None),
            Shape::Flag if value.is_boolean() => {}
            Shape::Flag => self.fault("bool_type", "Input should be a valid boolean", value, None),
            Shape::Integer { from, to } => self.integer(*from, *to, value),
            Shape::Number { from, to } => self.number(value, |walk, number| {
                walk.bounds(number, *from, *to, value);
            }),
            Shape::Share => self.number(value, |walk, number| {
                if number <= 0.0 {
                    walk.fault("greater_than", "Input should be greater than 0", value, Some(json!({ "gt": 0.0 })));
                } else {
                    walk.bounds(number, 0.0, 1.0, value);
                }
            }),
            Shape::Literal(allowed) => self.literal(allowed, value),
            Shape::Object(fields) => self.object(fields, None, value),
            Shape::Map(of) => match value {
                Value::Object(map) => {
                    for (key, value) in map {
                        self.within(Place::Key(Cow::Borrowed(key)), |walk| walk.value(of, value));
                    }
                }
                _ => self.fault("dict_type", "Input should be a valid dictionary", value, None),
            },
            Shape::List { of, at_least, at_most } => self.list(of, *at_least, *at_most, value),
            Shape::Tagged { tag, default, variants } => self.tagged(tag, *default, variants, value),
            Shape::OneOf(shapes) => match shapes.iter().find(|shape| shape.has_type_of(value)) {
                Some(shape) => self.value(shape, value),
                None => {
                    if let Some(first) = shapes.first() {
                        self.value(first, value);
                    }
                }
            },
            Shape::Nullable(_) if value.is_null() => {}
            Shape::Nullable(inner) => self.value(inner, value),
        }
    }

    fn integer(&mut self, from: i64, to: i64, value: &Value) {
        let whole = value.as_i64().or_else(|| value.as_u64().map(|_| i64::MAX));
        let Some(number) = whole else {
            return self.fault("int_type", "Input should be a valid integer", value, None);
        };
        if number < from {
            let message = format!("Input should be greater than or equal to {from}");
            self.fault("greater_than_equal", message, value, Some(json!({ "ge": from })));
        } else if number > to {
            let message = format!("Input should be less than or equal to {to}");
            self.fault("less_than_equal", message, value, Some(json!({ "le": to })));
        }
    }

    fn number(&mut self, value: &Value, bounds: impl FnOnce(&mut Self, f64)) {
        match value.as_f64() {
            Some(number) => bounds(self, number),
            None => self.fault("float_type", "Input should be a valid number", value, None),
        }
    }

    fn bounds(&mut self, number: f64, from: f64, to: f64, value: &Value) {
        if number < from {
            let message = format!("Input should be greater than or equal to {from}");
            self.fault("greater_than_equal", message, value, Some(json!({ "ge": from })));
        } else if number > to {
            let message = format!("Input should be less than or equal to {to}");
            self.fault("less_than_equal", message, value, Some(json!({ "le": to })));
        }
    }

    fn literal(&mut self, allowed: &[&str], value: &Value) {
        if value.as_str().is_some_and(|text| allowed.contains(&text)) {
            return;
        }
        let quoted: Vec<String> = allowed.iter().map(|text| format!("'{text}'")).collect();
        let expected = match quoted.split_last() {
            Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
            _ => quoted.concat(),
        };
        self.fault(
            "literal_error",
            format!("Input should be {expected}"),
            value,
            Some(json!({ "expected": expected })),
        );
    }

    fn list(&mut self, of: &'static Shape, at_least: usize, at_most: usize, value: &'v Value) {
        let Value::Array(items) = value else {
            return self.fault("list_type", "Input should be a valid list", value, None);
        };
        let length = items.len();
        if length < at_least {
            let message = format!(
                "List should have at least {at_least} item{} after validation, not {length}",
                if at_least == 1 { "" } else { "s" }
            );
            let context = json!({ "field_type": "List", "min_length": at_least, "actual_length": length });
            self.fault("too_short", message, value, Some(context));
        } else if length > at_most {
            let message = format!("List should have at most {at_most} items after validation, not {length}");
            let context = json!({ "field_type": "List", "max_length": at_most, "actual_length": length });
            self.fault("too_long", message, value, Some(context));
        }
        for (index, item) in items.iter().enumerate() {
            self.within(Place::Index(index), |walk| walk.value(of, item));
        }
    }

    fn tagged(
        &mut self,
        tag: &'static str,
        default: Option<&'static str>,
        variants: &'static [(&'static str, &'static [Field])],
        value: &'v Value,
    ) {
        let Value::Object(map) = value else {
            let message = "Input should be a valid dictionary or object to extract fields from";
            return self.fault("model_attributes_type", message, value, None);
        };
        let Some(found) = map.get(tag).and_then(Value::as_str).or(default) else {
            let message = format!("Unable to extract tag using discriminator '{tag}'");
            let context = json!({ "discriminator": format!("'{tag}'") });
            return self.fault("union_tag_not_found", message, value, Some(context));
        };
        match variants.iter().find(|(name, _)| *name == found) {
            Some((name, fields)) => {
                self.within(Place::Key(Cow::Borrowed(*name)), |walk| walk.object(fields, Some(tag), value));
            }
            None => {
                let expected: Vec<String> = variants.iter().map(|(name, _)| format!("'{name}'")).collect();
                let expected = expected.join(", ");
                let message = format!(
                    "Input tag '{found}' found using '{tag}' does not match any of the expected tags: {expected}"
                );
                let context = json!({ "discriminator": format!("'{tag}'"), "tag": found, "expected_tags": expected });
                self.fault("union_tag_invalid", message, value, Some(context));
            }
        }
    }

    fn object(&mut self, fields: &'static [Field], tag: Option<&'static str>, value: &'v Value) {
        let Value::Object(map) = value else {
            let message = "Input should be a valid dictionary or object to extract fields from";
            return self.fault("model_attributes_type", message, value, None);
        };
        for field in fields {
            match map.get(field.name) {
                Some(inner) => {
                    self.within(Place::Key(Cow::Borrowed(field.name)), |walk| walk.value(&field.shape, inner));
                }
                None if field.required => self.within(Place::Key(Cow::Borrowed(field.name)), |walk| {
                    walk.fault("missing", "Field required", value, None);
                }),
                None => {}
            }
        }
        for (key, inner) in map {
            if Some(key.as_str()) == tag || fields.iter().any(|field| field.name == key) {
                continue;
            }
            self.within(Place::Key(Cow::Borrowed(key)), |walk| {
                walk.fault("extra_forbidden", "Extra inputs are not permitted", inner, None);
            });
        }
    }
}

impl Shape {
    /// Whether the value's JSON type is the one this shape is written in.
    fn has_type_of(&self, value: &Value) -> bool {
        match self {
            Self::Any => true,
            Self::Text | Self::Literal(_) => value.is_string(),
            Self::Flag => value.is_boolean(),
            Self::Integer { .. } | Self::Number { .. } | Self::Share => value.is_number(),
            Self::Object(_) | Self::Map(_) | Self::Tagged { .. } => value.is_object(),
            Self::List { .. } => value.is_array(),
            Self::OneOf(shapes) => shapes.iter().any(|shape| shape.has_type_of(value)),
            Self::Nullable(inner) => value.is_null() || inner.has_type_of(value),
        }
    }
}
