//! The way from a document's root to one of its values.

use std::fmt;

use super::node::Node;

/// One step down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) enum Segment {
    /// Into a mapping.
    Key(String),
    /// Into a list.
    Index(usize),
}

/// A way down, shown as `auth.clients[0].id`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::config) struct KeyPath(Vec<Segment>);

impl KeyPath {
    /// The document itself.
    pub(in crate::config) fn root() -> Self {
        Self::default()
    }

    /// The mapping's `key`.
    pub(in crate::config) fn key(mut self, key: impl Into<String>) -> Self {
        self.0.push(Segment::Key(key.into()));
        self
    }

    /// The list's item at `index`.
    pub(in crate::config) fn index(mut self, index: usize) -> Self {
        self.0.push(Segment::Index(index));
        self
    }

    /// A path as it is shown, through mappings and lists whose keys have neither dots nor brackets.
    pub(in crate::config) fn of(shown: &str) -> Self {
        let steps = shown.split(['.', '[']).map(|step| match step.strip_suffix(']').and_then(|it| it.parse().ok()) {
            Some(index) => Segment::Index(index),
            None => Segment::Key(step.to_owned()),
        });
        Self(steps.collect())
    }

    pub(super) fn pop(&mut self) -> Option<Segment> {
        self.0.pop()
    }

    /// Drops the last segment if it is `key`.
    pub(super) fn pop_key(&mut self, key: &str) {
        if matches!(self.0.last(), Some(Segment::Key(last)) if last == key) {
            self.0.pop();
        }
    }

    pub(super) fn push(&mut self, segment: Segment) {
        self.0.push(segment);
    }

    pub(super) fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// Whether the value there must not be shown. Names of both our format and AxonFlow's.
    pub(in crate::config) fn is_secret(&self) -> bool {
        self.0.iter().any(|segment| match segment {
            Segment::Key(key) => {
                matches!(key.as_str(), "credentials" | "api_key" | "password")
                    || key.starts_with("secret")
                    || key.starts_with("token")
            }
            Segment::Index(_) => false,
        })
    }

    /// Whether the value there is to be an address, of which a part may be a password.
    pub(in crate::config) fn is_address(&self) -> bool {
        matches!(self.0.last(), Some(Segment::Key(key)) if matches!(key.as_str(), "url" | "endpoint"))
    }

    /// The value there.
    pub(super) fn find<'a>(&self, root: &'a Node) -> Option<&'a Node> {
        self.0.iter().try_fold(root, |node, segment| match (segment, node) {
            (Segment::Key(key), Node::Map(entries)) => {
                entries.iter().find(|(name, _)| name == key).map(|(_, value)| value)
            }
            (Segment::Index(index), Node::List(items)) => items.get(*index),
            _ => None,
        })
    }
}

impl From<&serde_path_to_error::Path> for KeyPath {
    fn from(path: &serde_path_to_error::Path) -> Self {
        use serde_path_to_error::Segment as Step;
        Self(
            path.iter()
                .filter_map(|step| match step {
                    Step::Seq { index } => Some(Segment::Index(*index)),
                    Step::Map { key } => Some(Segment::Key(key.clone())),
                    // Not a place in the tree.
                    Step::Enum { .. } | Step::Unknown => None,
                })
                .collect(),
        )
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Key(key) if place == 0 => write!(formatter, "{}", key.escape_debug())?,
                Segment::Key(key) => write!(formatter, ".{}", key.escape_debug())?,
                Segment::Index(index) => write!(formatter, "[{index}]")?,
            }
        }
        Ok(())
    }
}
