//! `${VAR}` and `${VAR:-default}` in the texts of a parsed document.
//!
//! Expansion works on texts that are already parsed, so a variable's value stays inside the text that names it: it
//! cannot add keys, lists or anchors. Keys are not expanded.

use super::environment::Environment;
use super::yaml::{Document, Error, KeyPath, Node, Text};

const SYNTAX: &str = "`${NAME}` or `${NAME:-default}`; `$${` stands for `${` itself";

/// Expands every text of the document. Returns warnings.
pub(super) fn expand(document: &mut Document<'_>, environment: &Environment) -> Result<Vec<String>, Error> {
    let mut root = std::mem::replace(&mut document.root, Node::Null);
    let mut walk = Walk { environment, warnings: Vec::new(), malformed: None };
    walk.node(&mut root, KeyPath::root());
    document.root = root;
    match walk.malformed {
        Some(path) => Err(document.wrong(path, SYNTAX)),
        None => Ok(walk.warnings),
    }
}

struct Walk<'a> {
    environment: &'a Environment,
    warnings: Vec<String>,
    malformed: Option<KeyPath>,
}

impl Walk<'_> {
    fn node(&mut self, node: &mut Node, path: KeyPath) {
        match node {
            Node::Text(text) => self.text(text, path),
            Node::List(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.node(item, path.clone().index(index));
                }
            }
            Node::Map(entries) => {
                for (key, value) in entries {
                    self.node(value, path.clone().key(key.as_str()));
                }
            }
            Node::Null | Node::Bool(_) | Node::Integer(_) | Node::Unsigned(_) | Node::Float(_) => {}
        }
    }

    fn text(&mut self, text: &mut Text, path: KeyPath) {
        if let Some(name) = text.value.strip_prefix('$').filter(|name| is_name(name)) {
            // A secret may begin with a `$`.
            let name = if path.is_secret() && self.environment.get(name).is_none() { "NAME" } else { name };
            self.warnings.push(format!("{path}: ${name} is taken as it stands; write ${{{name}}} to expand it"));
        }
        match expanded(&text.value, self.environment) {
            Ok(None) => {}
            Ok(Some(value)) => text.template = Some(std::mem::replace(&mut text.value, value)),
            Err(Malformed) => self.malformed = self.malformed.take().or(Some(path)),
        }
    }
}

/// A `${` that begins no expansion.
#[derive(Debug, PartialEq)]
struct Malformed;

/// The text expanded, or nothing if there is nothing to expand.
fn expanded(text: &str, environment: &Environment) -> Result<Option<String>, Malformed> {
    if !text.contains("${") {
        return Ok(None);
    }
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, after) = (&rest[..start], &rest[start + 2..]);
        if let Some(before) = before.strip_suffix('$') {
            result.push_str(before);
            result.push_str("${");
            rest = after;
            continue;
        }
        let (inside, after) = after.split_once('}').ok_or(Malformed)?;
        let (name, default) = inside.split_once(":-").unwrap_or((inside, ""));
        if !is_name(name) || default.contains("${") {
            return Err(Malformed);
        }
        result.push_str(before);
        result.push_str(environment.get(name).unwrap_or(default));
        rest = after;
    }
    result.push_str(rest);
    Ok(Some(result))
}

fn is_name(text: &str) -> bool {
    let starts = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    starts && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
