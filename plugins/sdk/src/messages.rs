//! Messages and contexts as a test wants them.

use crate::{Caller, Context, Message, Part, PartKind, Role};

impl Message {
    /// A message of one text.
    #[must_use]
    pub fn new(role: Role, text: impl Into<String>) -> Self {
        Self { role, parts: vec![Part::new(PartKind::Text, text)] }
    }

    /// What the user said.
    #[must_use]
    pub fn user(text: impl Into<String>) -> Self {
        Self::new(Role::User, text)
    }

    /// What the operator said.
    #[must_use]
    pub fn system(text: impl Into<String>) -> Self {
        Self::new(Role::System, text)
    }

    /// What the model said.
    #[must_use]
    pub fn assistant(text: impl Into<String>) -> Self {
        Self::new(Role::Assistant, text)
    }

    /// What a tool answered.
    #[must_use]
    pub fn tool(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            role: Role::Tool,
            parts: vec![Part { name: Some(name.into()), ..Part::new(PartKind::ToolResult, text) }],
        }
    }

    /// What the model asked of a tool; `arguments` is JSON text.
    #[must_use]
    pub fn tool_call(name: impl Into<String>, arguments: impl Into<String>) -> Self {
        let call = Part { name: Some(name.into()), ..Part::new(PartKind::ToolCall, arguments) };
        Self { role: Role::Assistant, parts: vec![call] }
    }
}

impl Part {
    /// A part with all the text there is.
    #[must_use]
    pub fn new(kind: PartKind, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { kind, size: text.len() as u64, text, name: None, media_type: None, window: None }
    }
}

impl Context {
    /// Somebody asking for a chat in proxy mode. Change what the test is about.
    #[must_use]
    pub fn example() -> Self {
        Self {
            surface: "proxy".into(),
            request_type: "chat".into(),
            caller: Caller { client: "community".into(), tenant: "community".into(), user: None },
            providers: vec!["mistral".into()],
            model: None,
            attributes: Vec::new(),
        }
    }
}
