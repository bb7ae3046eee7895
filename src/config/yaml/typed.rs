//! Typed values out of a tree, with errors that keep their parts.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, MapDeserializer, SeqDeserializer};
use serde::de::{Deserializer, Error as _, Expected, IntoDeserializer, Unexpected, Visitor};
use serde::forward_to_deserialize_any;

use super::error::Problem;
use super::nearest::nearest;
use super::node::Node;
use super::path::KeyPath;

/// What a type says about a value that it refuses. What was found is taken from the tree, never from here: it could be
/// a secret.
#[derive(Debug)]
pub(in crate::config) enum Fault {
    Wrong { allowed: String },
    Unknown { name: String, known: Vec<String> },
    Missing { name: String },
    Duplicate { name: String },
    Other(String),
}

impl Fault {
    /// Where it happened, and what went wrong.
    pub(super) fn explain(self, mut path: KeyPath, root: &Node) -> (KeyPath, Problem) {
        match self {
            Fault::Wrong { allowed } => {
                let container = matches!(allowed.as_str(), MAPPING | LIST);
                let found = match path.find(root) {
                    // A key pasted one level too high.
                    Some(Node::Text(_)) if container => "a text".into(),
                    Some(node) => node.describe(&path),
                    None => "nothing".into(),
                };
                (path, Problem::WrongValue { found, allowed })
            }
            Fault::Unknown { name, known } => {
                path.pop_key(&name);
                let nearest = nearest(&name, known.iter().map(String::as_str)).map(str::to_owned);
                // `credentials: {sk-...}` is a mapping with the key for a name.
                let hide = path.is_secret() && nearest.is_none();
                (path.key(if hide { "(not shown)".into() } else { name }), Problem::UnknownKey { nearest, known })
            }
            Fault::Missing { name } => (path.key(name), Problem::MissingKey),
            Fault::Duplicate { name } => (path.key(name), Problem::DuplicateKey),
            Fault::Other(text) => (path, Problem::Invalid(text)),
        }
    }
}

const MAPPING: &str = "a mapping";
const LIST: &str = "a list";

/// Serde's names of types, in the words of this format.
fn in_words(expected: &dyn Expected) -> String {
    let text = expected.to_string();
    match text.as_str() {
        "a map" => MAPPING.into(),
        "a sequence" => LIST.into(),
        "a string" | "str" => "a text".into(),
        "a boolean" | "bool" => "true or false".into(),
        // `bytesize`.
        "parsable string" | "an integer or string" => "a size such as \"10MiB\", or a number of bytes".into(),
        "u8" => format!("an integer from 0 to {}", u8::MAX),
        "u16" => format!("an integer from 0 to {}", u16::MAX),
        "u32" => format!("an integer from 0 to {}", u32::MAX),
        "i32" => format!("an integer from {} to {}", i32::MIN, i32::MAX),
        "u64" | "usize" => "an integer, not negative".into(),
        "i64" | "isize" => "an integer".into(),
        "f32" | "f64" => "a number".into(),
        other if other.starts_with("struct ") => MAPPING.into(),
        _ => text,
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the value is refused")
    }
}

impl std::error::Error for Fault {}

impl serde::de::Error for Fault {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Fault::Other(text.to_string())
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Fault::Wrong { allowed: in_words(expected) }
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Fault::Wrong { allowed: in_words(expected) }
    }

    fn invalid_length(_: usize, expected: &dyn Expected) -> Self {
        Fault::Wrong { allowed: in_words(expected) }
    }

    fn unknown_variant(_: &str, known: &'static [&'static str]) -> Self {
        Fault::Wrong { allowed: known.join(", ") }
    }

    fn unknown_field(name: &str, known: &'static [&'static str]) -> Self {
        Fault::Unknown { name: name.into(), known: known.iter().map(|key| (*key).into()).collect() }
    }

    fn missing_field(name: &'static str) -> Self {
        Fault::Missing { name: name.into() }
    }

    fn duplicate_field(name: &'static str) -> Self {
        Fault::Duplicate { name: name.into() }
    }
}

impl<'de> IntoDeserializer<'de, Fault> for &'de Node {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl Node {
    /// A text that variables were expanded in; only such a text may stand for a number or a truth value.
    fn expanded(&self) -> Option<&str> {
        match self {
            Node::Text(text) if text.template.is_some() => Some(text.value.trim()),
            _ => None,
        }
    }
}

macro_rules! expanded_scalars {
    ($($method:ident => $visit:ident: $type:ty),*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            match self.expanded().and_then(|text| text.parse::<$type>().ok()) {
                Some(value) => visitor.$visit(value),
                None => self.deserialize_any(visitor),
            }
        })*
    };
}

impl<'de> Deserializer<'de> for &'de Node {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self {
            Node::Null => visitor.visit_unit(),
            Node::Bool(value) => visitor.visit_bool(*value),
            Node::Integer(value) => visitor.visit_i64(*value),
            Node::Unsigned(value) => visitor.visit_u64(*value),
            Node::Float(value) => visitor.visit_f64(*value),
            Node::Text(text) => visitor.visit_borrowed_str(&text.value),
            Node::List(items) => visitor.visit_seq(SeqDeserializer::new(items.iter())),
            Node::Map(entries) => visitor.visit_map(entries_of(entries)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self {
            Node::Null => visitor.visit_none(),
            // `${VAR}` of a variable that is not set leaves the key open.
            _ if self.expanded() == Some("") => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    expanded_scalars! {
        deserialize_bool => visit_bool: bool, deserialize_i64 => visit_i64: i64, deserialize_f64 => visit_f64: f64
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    /// Never from a list, though serde would take one for the fields in their order.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self {
            Node::List(_) => Err(Fault::Wrong { allowed: MAPPING.into() }),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self {
            Node::Text(text) => visitor.visit_enum(text.value.as_str().into_deserializer()),
            Node::Map(entries) if entries.len() == 1 => {
                visitor.visit_enum(MapAccessDeserializer::new(entries_of(entries)))
            }
            _ => Err(Fault::unknown_variant("", known)),
        }
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i128 u8 u16 u32 u64 u128 f32 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct
        map identifier ignored_any
    }
}

type Entries<'de> = std::vec::IntoIter<(&'de str, &'de Node)>;

fn entries_of(entries: &[(String, Node)]) -> MapDeserializer<'_, Entries<'_>, Fault> {
    let pairs: Vec<_> = entries.iter().map(|(key, value)| (key.as_str(), value)).collect();
    MapDeserializer::new(pairs.into_iter())
}
