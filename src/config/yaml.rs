//! YAML, read as if its author were hostile.
//!
//! A text becomes a tree of bounded size first ([`Document`]): no duplicate keys, no tags, no alias bombs, no endless
//! nesting. Typed values are then taken from the tree, so that every error names the file, the line, the key path, what
//! was found and what is allowed. Values under keys that hold secrets are never part of an error.
//!
//! This is the only file that knows which YAML library is used. Nothing here expands variables.

mod error;
mod locate;
mod nearest;
mod node;
mod path;
mod typed;

use serde::de::{DeserializeOwned, DeserializeSeed};

pub use error::{Error, Problem};
pub(super) use node::{Node, Text, quoted};
pub(super) use path::KeyPath;

/// The longest text that is read, in bytes.
pub const MAX_BYTES: usize = 1 << 20;

/// Brackets that open a list or mapping in one text, those inside quotes and comments included. The library's time grows
/// with the square of their nesting: 10,000 take a second, 100,000 minutes. Nesting by indentation costs nothing like it.
const MAX_BRACKETS: usize = 10_000;

/// Parses `text` into `T`; `what` names the text in errors, usually the file's path.
pub fn parse<T: DeserializeOwned>(text: &str, what: &str) -> Result<T, Error> {
    Document::read(text, what)?.typed()
}

/// Parses `text` into JSON. A text without content is `null`.
pub fn parse_value(text: &str, what: &str) -> Result<serde_json::Value, Error> {
    parse(text, what)
}

/// A text and the tree that it stands for.
#[derive(Debug)]
pub(super) struct Document<'a> {
    text: &'a str,
    what: &'a str,
    pub(super) root: Node,
}

impl<'a> Document<'a> {
    /// Reads `text` into a tree.
    pub(super) fn read(text: &'a str, what: &'a str) -> Result<Self, Error> {
        let mut document = Self { text, what, root: Node::Null };
        if text.len() > MAX_BYTES {
            let problem = Problem::TooLarge { found: text.len(), allowed: MAX_BYTES };
            return Err(Error::new(what, KeyPath::root(), problem));
        }
        if text.bytes().filter(|byte| matches!(byte, b'[' | b'{')).count() > MAX_BRACKETS {
            let problem = Problem::TooComplex(format!("at most {MAX_BRACKETS} opening brackets"));
            return Err(Error::new(what, KeyPath::root(), problem));
        }
        let mut reader = node::Reader::default();
        match reader.seed().deserialize(serde_yaml::Deserializer::from_str(text)) {
            Ok(root) => document.root = root,
            Err(error) => {
                return Err(match reader.refusal() {
                    Some((path, problem)) => document.refuse(path, problem),
                    None => {
                        let place = error.location().map(|place| (place.line(), place.column()));
                        let message = error.to_string();
                        // The library repeats the place.
                        let message = place.map_or(message.as_str(), |(line, column)| {
                            message.trim_end_matches(&format!(" at line {line} column {column}"))
                        });
                        Error::new(what, KeyPath::root(), Problem::Syntax(message.into())).at(place)
                    }
                });
            }
        }
        Ok(document)
    }

    /// The tree as a `T`.
    pub(super) fn typed<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_path_to_error::deserialize(&self.root).map_err(|error| {
            let path = KeyPath::from(error.path());
            let (path, problem) = error.into_inner().explain(path, &self.root);
            self.refuse(path, problem)
        })
    }

    /// The value at `path` is not one of those allowed.
    pub(super) fn wrong(&self, path: KeyPath, allowed: impl Into<String>) -> Error {
        let found = path.find(&self.root).map_or_else(|| "nothing".into(), |node| node.describe(path.is_secret()));
        self.refuse(path, Problem::WrongValue { found, allowed: allowed.into() })
    }

    /// An error at `path`, with its line.
    pub(super) fn refuse(&self, path: KeyPath, problem: Problem) -> Error {
        // Of a key given twice the second is at fault.
        let earlier = usize::from(matches!(problem, Problem::DuplicateKey));
        let mut at = path.segments();
        let mut place = None;
        while place.is_none() && !at.is_empty() {
            let seed = locate::Locate::new(at, earlier);
            let found = seed.deserialize(serde_yaml::Deserializer::from_str(self.text));
            place = found.err().and_then(|error| error.location()).map(|place| (place.line(), place.column()));
            at = &at[..at.len() - 1];
        }
        Error::new(self.what, path, problem).at(place)
    }
}
