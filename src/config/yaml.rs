//! YAML, read as if its author were hostile.
//!
//! A text becomes a tree of bounded size first ([`Document`]): no duplicate keys, no tags, no alias bombs, no endless
//! nesting. Typed values are then taken from the tree, so that every error names the file, the line, the key path, what
//! was found and what is allowed. Values under keys that hold secrets are never part of an error.
//!
//! This is the only file that knows which YAML library is used. Nothing here expands variables.

mod bounds;
mod brackets;
mod error;
mod locate;
mod nearest;
mod node;
mod path;
mod typed;
mod write;

use serde::de::{DeserializeOwned, DeserializeSeed};

pub use bounds::Bounds;
pub use error::{Error, Problem};
pub(super) use node::{Node, Text, quoted, quoted_address};
pub(super) use path::KeyPath;
pub use write::write;

/// Parses `text` into `T`; `what` names the text in errors, usually the file's path.
pub fn parse<T: DeserializeOwned>(text: &str, what: &str) -> Result<T, Error> {
    parse_within(text, what, Bounds::CONFIGURATION)
}

/// The same, of a text that may be larger or must be smaller than a configuration.
pub fn parse_within<T: DeserializeOwned>(text: &str, what: &str, bounds: Bounds) -> Result<T, Error> {
    Document::read_within(text, what, bounds)?.typed()
}

/// An error of a value that is right by itself and wrong where it stands, with its line. `path` is its way from the root,
/// such as `tests[0].name`; where it is not there, the line is that of the nearest key above it.
pub fn refuse(text: &str, what: &str, path: &str, problem: String) -> Error {
    Document { text: unmarked(text), what, root: Node::Null }.refuse(KeyPath::of(path), Problem::Invalid(problem))
}

/// Without the byte order mark that editors write: the library takes it for the beginning of the first key.
fn unmarked(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
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
        Self::read_within(text, what, Bounds::CONFIGURATION)
    }

    fn read_within(text: &'a str, what: &'a str, bounds: Bounds) -> Result<Self, Error> {
        let text = unmarked(text);
        let mut document = Self { text, what, root: Node::Null };
        bounds.admit(text).map_err(|problem| Error::new(what, KeyPath::root(), problem))?;
        let mut reader = node::Reader::new(bounds.nodes);
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

    /// The text there as it was written, if it was expanded.
    pub(super) fn template(&self, path: &KeyPath) -> Option<&str> {
        match path.find(&self.root)? {
            Node::Text(text) => text.template.as_deref(),
            _ => None,
        }
    }

    /// Whether the key is there with a value.
    pub(super) fn has(&self, path: &KeyPath) -> bool {
        path.find(&self.root).is_some() && !self.is_empty_at(path)
    }

    /// Whether the key is there without a value: nothing, or a text that expanded to nothing.
    pub(super) fn is_empty_at(&self, path: &KeyPath) -> bool {
        match path.find(&self.root) {
            Some(Node::Null) => true,
            Some(Node::Text(text)) => text.value.trim().is_empty(),
            _ => false,
        }
    }

    /// What is there, as errors show it.
    pub(super) fn describe(&self, path: &KeyPath) -> String {
        path.find(&self.root).map_or_else(|| "nothing".into(), |node| node.describe(path))
    }

    /// The value at `path` is not one of those allowed.
    pub(super) fn wrong(&self, path: KeyPath, allowed: impl Into<String>) -> Error {
        let found = self.describe(&path);
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
