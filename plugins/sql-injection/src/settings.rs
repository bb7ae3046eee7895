//! What an operator may set.

use std::collections::BTreeMap;

use octroi_policy::{Action, PartKind, Role, Text};
use serde::Deserialize;

use crate::Class;

/// The manifest's `settings`.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Whose texts are looked at. Default `user` and `tool-result`: what comes from outside. A system prompt is the
    /// application's own, and an earlier answer may quote what the policy refused.
    pub scan: Vec<Source>,
    /// By class. What is not named has its default.
    pub rules: BTreeMap<Class, RuleSettings>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { scan: vec![Source::User, Source::ToolResult], rules: BTreeMap::new() }
    }
}

/// What may be set for one class.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RuleSettings {
    /// `false`: the class is not looked for. Default `true`.
    pub enabled: Option<bool>,
    /// What happens to a request in which it is found; every action but `redact`. Default `deny`.
    pub action: Option<Action>,
}

/// Where a text comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The application's own words.
    System,
    /// What the user said.
    User,
    /// Earlier answers of the model, its reasoning included.
    Assistant,
    /// Arguments of the model's tool calls.
    ToolCall,
    /// What tools answered.
    ToolResult,
}

impl Source {
    pub(crate) fn of(text: &Text<'_>) -> Self {
        match (text.kind, text.role) {
            (PartKind::ToolCall, _) => Self::ToolCall,
            (PartKind::ToolResult, _) | (_, Role::Tool) => Self::ToolResult,
            (_, Role::System) => Self::System,
            (_, Role::User) => Self::User,
            (_, Role::Assistant) => Self::Assistant,
        }
    }
}

impl Settings {
    /// What is done about each class; `None` if it is switched off.
    pub(crate) fn actions(&self) -> Result<[Option<Action>; Class::ALL.len()], String> {
        let mut actions = [Some(Action::Deny); Class::ALL.len()];
        for (class, set) in &self.rules {
            if set.action == Some(Action::Redact) {
                return Err(format!(
                    "settings.rules.{}.action: an injection cannot be masked, so `redact` is not possible; take \
                     `allow`, `log`, `warn`, `require-approval` or `deny`",
                    class.id()
                ));
            }
            let is_enabled = set.enabled.unwrap_or(true);
            actions[*class as usize] = is_enabled.then(|| set.action.unwrap_or(Action::Deny));
        }
        Ok(actions)
    }
}
