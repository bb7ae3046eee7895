//! A tool call in the form that OpenAI's API and its relatives share.

use serde::Serialize;

use super::{Message, Part};

/// The longest name of a tool. Vendors take 64 bytes, some servers more.
pub(crate) const TOOL_NAME: usize = 128;

/// A tool call as it is written there.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Called<'a> {
    id: &'a str,
    r#type: &'static str,
    function: Function<'a>,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Function<'a> {
    name: &'a str,
    arguments: &'a str,
}

impl<'a> Called<'a> {
    /// The function of this name, with its arguments as JSON text.
    pub fn new(id: &'a str, name: &'a str, arguments: &'a str) -> Self {
        Self { id, r#type: "function", function: Function { name, arguments } }
    }

    /// Its id.
    pub(crate) fn id(&self) -> &'a str {
        self.id
    }
}

impl Message {
    /// The tools that it asks for.
    pub fn tool_calls(&self) -> impl Iterator<Item = Called<'_>> {
        self.parts.iter().filter_map(|part| match part {
            Part::ToolCall { id, name, arguments, .. } => Some(Called::new(id, name, arguments)),
            _ => None,
        })
    }
}
