//! The tree that a YAML text stands for, and the limits within which it is built.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, Visitor};

use super::error::Problem;
use super::path::{KeyPath, Segment};

/// Bytes of text in one document once aliases are followed; as much as the longest document has.
const MAX_TEXT_BYTES: usize = 8 << 20;

/// Mappings and lists inside each other.
const MAX_DEPTH: usize = 64;

/// Characters of a text that an error shows.
const SHOWN_CHARS: usize = 80;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::config) enum Node {
    Null,
    Bool(bool),
    Integer(i64),
    /// Above the range of `Integer`.
    Unsigned(u64),
    Float(f64),
    Text(Text),
    List(Vec<Node>),
    /// In the order written; no key twice.
    Map(Vec<(String, Node)>),
}

/// A text, and the template that it was expanded from, if it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) struct Text {
    pub(in crate::config) value: String,
    pub(in crate::config) template: Option<String>,
}

impl Text {
    /// Whether variables were expanded in it, and nothing is left.
    fn came_to_nothing(&self) -> bool {
        self.template.is_some() && self.value.trim().is_empty()
    }

    /// The variable without which it is nothing, where it names no other.
    fn unset(&self) -> Option<&str> {
        let inside = self.template.as_deref()?.trim().strip_prefix("${")?.strip_suffix('}')?;
        let name = inside.split_once(":-").map_or(inside, |(name, _)| name);
        (!name.contains('$')).then_some(name)
    }
}

impl Node {
    /// As errors show it that stands at `path`. An expanded text is shown as its template, since what it expanded to may be
    /// a secret.
    pub(in crate::config) fn describe(&self, path: &KeyPath) -> String {
        let secret = path.is_secret();
        let quoted = if path.is_address() { quoted_address } else { quoted };
        match self {
            Node::Null => "nothing".into(),
            Node::List(_) => "a list".into(),
            Node::Map(_) => "a mapping".into(),
            Node::Text(text) if text.came_to_nothing() => match text.unset() {
                Some(variable) => format!("nothing, once variables are expanded: {variable} is not set"),
                None => "nothing, once variables are expanded".into(),
            },
            Node::Text(_) if secret => "a text (not shown)".into(),
            Node::Bool(_) | Node::Integer(_) | Node::Unsigned(_) | Node::Float(_) if secret => {
                "a value (not shown)".into()
            }
            Node::Bool(value) => value.to_string(),
            Node::Integer(value) => format!("the number {value}"),
            Node::Unsigned(value) => format!("the number {value}"),
            Node::Float(value) => format!("the number {value}"),
            Node::Text(Text { template: Some(template), .. }) => format!("{} once expanded", quoted(template)),
            Node::Text(Text { value, .. }) => quoted(value),
        }
    }
}

/// What is said of a text that may hold credentials.
const NOT_SHOWN: &str = "a URL with credentials or a query (not shown)";

/// Where an address belongs: one that lacks its scheme, or has another one, may hold credentials as well.
pub(in crate::config) fn quoted_address(text: &str) -> String {
    let may_hold_credentials = text.contains('@') || text.to_ascii_lowercase().contains("password");
    if may_hold_credentials { NOT_SHOWN.into() } else { quoted(text) }
}

/// A text in quotes, or word that it is not shown: a URL may hold credentials.
pub(in crate::config) fn quoted(text: &str) -> String {
    let spaceless: String = text.to_ascii_lowercase().split_whitespace().collect();
    if text.contains("://") && text.contains(['@', '?']) || spaceless.contains("password=") {
        return NOT_SHOWN.into();
    }
    let more = if text.chars().count() > SHOWN_CHARS { "..." } else { "" };
    format!("the text \"{}{more}\"", text.chars().take(SHOWN_CHARS).collect::<String>().escape_debug())
}

/// Builds a tree within the limits.
pub(super) struct Reader {
    path: KeyPath,
    nodes: usize,
    max_nodes: usize,
    text_bytes: usize,
    problem: Option<(KeyPath, Problem)>,
}

impl Reader {
    pub(super) fn new(max_nodes: usize) -> Self {
        Self { path: KeyPath::root(), nodes: 0, max_nodes, text_bytes: 0, problem: None }
    }

    pub(super) fn seed(&mut self) -> NodeSeed<'_> {
        NodeSeed(self)
    }

    /// Why the tree was refused, unless the library refused the text.
    pub(super) fn refusal(self) -> Option<(KeyPath, Problem)> {
        self.problem
    }

    fn refuse<E: serde::de::Error>(&mut self, problem: Problem) -> E {
        let path = match problem {
            // The path may be as long as the document is deep.
            Problem::TooComplex(_) => KeyPath::root(),
            _ => self.path.clone(),
        };
        self.problem = Some((path, problem));
        E::custom("refused")
    }

    fn wrong<E: serde::de::Error>(&mut self, found: &str, allowed: &str) -> E {
        self.refuse(Problem::WrongValue { found: found.into(), allowed: allowed.into() })
    }

    fn count<E: serde::de::Error>(&mut self) -> Result<(), E> {
        self.nodes += 1;
        if self.nodes > self.max_nodes {
            return Err(self.refuse(Problem::TooComplex(format!("at most {} values", self.max_nodes))));
        }
        if self.path.segments().len() > MAX_DEPTH {
            return Err(self.refuse(Problem::TooComplex(format!("at most {MAX_DEPTH} levels"))));
        }
        Ok(())
    }

    fn text<E: serde::de::Error>(&mut self, text: String) -> Result<String, E> {
        self.text_bytes += text.len();
        if self.text_bytes > MAX_TEXT_BYTES {
            return Err(self.refuse(Problem::TooComplex(format!("at most {MAX_TEXT_BYTES} bytes of text"))));
        }
        Ok(text)
    }
}

/// Reads one value.
pub(super) struct NodeSeed<'a>(&'a mut Reader);

impl<'de> DeserializeSeed<'de> for NodeSeed<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        self.0.count()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for NodeSeed<'_> {
    type Value = Node;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    /// A document without content.
    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(i64::try_from(value).map_or(Node::Unsigned(value), Node::Integer))
    }

    fn visit_i128<E: serde::de::Error>(self, _: i128) -> Result<Node, E> {
        Err(self.0.wrong("an integer of more than 64 bits", "an integer of 64 bits; a text in quotes"))
    }

    fn visit_u128<E: serde::de::Error>(self, _: u128) -> Result<Node, E> {
        self.visit_i128(0)
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Node, E> {
        if !value.is_finite() {
            return Err(self.0.wrong("a number that is not finite", "a finite number; a text in quotes"));
        }
        Ok(Node::Float(value))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(Text { value: self.0.text(value.to_owned())?, template: None }))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        loop {
            self.0.path.push(Segment::Index(items.len()));
            let item = list.next_element_seed(NodeSeed(self.0))?;
            self.0.path.pop();
            match item {
                Some(item) => items.push(item),
                None => return Ok(Node::List(items)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key_seed(NodeSeed(self.0))? {
            let Node::Text(Text { value: key, .. }) = key else {
                let found = format!("{} as a key", key.describe(&self.0.path));
                return Err(self.0.wrong(&found, "keys that are texts (put it in quotes)"));
            };
            self.0.path.push(Segment::Key(key.clone()));
            if !seen.insert(key.clone()) {
                return Err(self.0.refuse(Problem::DuplicateKey));
            }
            let value = map.next_value_seed(NodeSeed(self.0))?;
            self.0.path.pop();
            entries.push((key, value));
        }
        Ok(Node::Map(entries))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, _: A) -> Result<Node, A::Error> {
        Err(self.0.wrong("a value with a tag (`!name`)", "values without tags"))
    }
}
