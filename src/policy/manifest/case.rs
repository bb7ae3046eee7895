//! `tests` of a manifest: requests, and the verdicts that are expected of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Misplaced, Phase};
use crate::chat::{Message, Part, Role};
use crate::policy::readings::Stated;
use crate::policy::verdict::Action;
use crate::policy::{Context, Surface};

/// A request, and the verdict expected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it claims.
    pub name: String,
    /// The interface that is asked; by default the first of the manifest's `phases`, else the first that the component
    /// exports, of `pre-check`, `response`, `audit`.
    #[serde(default)]
    pub phase: Option<Phase>,
    /// One user message. Either this or `messages`.
    #[serde(default)]
    pub query: Option<String>,
    /// A conversation.
    #[serde(default)]
    pub messages: Option<Vec<CaseMessage>>,
    /// What is known beside the text.
    #[serde(default)]
    pub context: CaseContext,
    /// What the host interfaces answer.
    #[serde(default)]
    pub readings: Stated,
    /// What the verdict must be.
    pub expect: Expectation,
}

impl Case {
    pub(super) fn check(&self, index: usize) -> Result<(), Misplaced> {
        let wrong = |key: &str, problem: &str| {
            Err(Misplaced::at(format!("tests[{index}]{key}"), format!("case `{}`: {problem}", self.name)))
        };
        if self.query.is_some() == self.messages.is_some() {
            return wrong("", "give either `query` (one user message) or `messages`");
        }
        if self.messages.as_ref().is_some_and(Vec::is_empty) {
            return wrong(".messages", "it is empty");
        }
        let messages = self.messages.iter().flatten().enumerate();
        match messages.filter_map(|(at, message)| Some((at, message.problem()?))).next() {
            Some((at, problem)) => wrong(&format!(".messages[{at}].name"), problem),
            None => Ok(()),
        }
    }

    /// The conversation.
    pub fn conversation(&self) -> Vec<Message> {
        match (&self.query, &self.messages) {
            (Some(query), _) => vec![Message::text(Role::User, query)],
            (None, Some(messages)) => messages.iter().map(CaseMessage::message).collect(),
            (None, None) => Vec::new(),
        }
    }
}

/// One message of a case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseMessage {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub text: String,
    /// What kind of part it is; by default `text`, and `tool-result` for the role `tool`.
    #[serde(default)]
    pub kind: Option<CasePart>,
    /// Of a tool call and its result: the tool; by default `tool`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// The kinds of part that a case can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CasePart {
    /// Plain text.
    Text,
    /// Reasoning.
    Thinking,
    /// Arguments of a tool call.
    ToolCall,
    /// A tool's answer.
    ToolResult,
}

impl CaseMessage {
    /// What is wrong with it: only tools have names.
    pub fn problem(&self) -> Option<&'static str> {
        let is_of_a_tool = matches!(self.kind(), CasePart::ToolCall | CasePart::ToolResult);
        (self.name.is_some() && !is_of_a_tool).then_some("`name` is a tool's: of a `tool-call` or a `tool-result`")
    }

    fn kind(&self) -> CasePart {
        self.kind.unwrap_or(if self.role == Role::Tool { CasePart::ToolResult } else { CasePart::Text })
    }

    /// As evaluations get it.
    pub fn message(&self) -> Message {
        let text = self.text.clone();
        let name = self.name.clone().unwrap_or_else(|| "tool".into());
        let part = match self.kind() {
            CasePart::Text => Part::Text { text },
            CasePart::Thinking => Part::Thinking { text, seal: None },
            CasePart::ToolCall => Part::ToolCall { id: "call00001".into(), name, arguments: text, seal: None },
            CasePart::ToolResult => Part::ToolResult { id: "call00001".into(), name: Some(name), text },
        };
        Message { role: self.role, parts: vec![part] }
    }
}

/// What a case says about its request beside the text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CaseContext {
    /// Client id.
    pub client: String,
    /// Tenant.
    pub tenant: String,
    /// The person.
    pub user: Option<String>,
    /// The way in.
    pub surface: Surface,
    /// Kind of request.
    pub request_type: String,
    /// Providers it could go to.
    pub providers: Vec<String>,
    /// Model asked for.
    pub model: Option<String>,
    /// Further facts.
    pub attributes: BTreeMap<String, String>,
}

impl Default for CaseContext {
    fn default() -> Self {
        Self {
            client: "case".into(),
            tenant: "case".into(),
            user: None,
            surface: Surface::Proxy,
            request_type: "chat".into(),
            providers: Vec::new(),
            model: None,
            attributes: BTreeMap::new(),
        }
    }
}

impl CaseContext {
    /// As evaluations get it.
    pub fn context(&self) -> Context {
        Context {
            surface: self.surface,
            request_type: self.request_type.clone(),
            client: self.client.clone(),
            tenant: self.tenant.clone(),
            user: self.user.clone(),
            providers: self.providers.clone(),
            model: self.model.clone(),
            attributes: self.attributes.clone().into_iter().collect(),
            ..Context::default()
        }
    }
}

/// What a case expects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// The action; any when absent.
    #[serde(default)]
    pub action: Option<Action>,
    /// Rules that must be among the findings.
    #[serde(default)]
    pub rules: Vec<String>,
    /// The text of the last message after the edits.
    #[serde(default)]
    pub text: Option<String>,
    /// The texts of all messages after the edits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub texts: Option<Vec<String>>,
    /// The providers to which the request is limited, in any order; empty: to none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub providers: Option<Vec<String>>,
    /// The regions, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regions: Option<Vec<String>>,
    /// Tags that must be among the verdict's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_in_a_case_has_the_name_that_it_is_given() {
        let said = |json: &str| {
            let message = serde_json::from_str::<CaseMessage>(json).unwrap().message();
            match message.parts.into_iter().next() {
                Some(Part::ToolCall { name, .. } | Part::ToolResult { name: Some(name), .. }) => name,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(said(r#"{"role":"tool","text":"x","name":"look"}"#), "look");
        assert_eq!(said(r#"{"role":"assistant","kind":"tool-call","text":"{}","name":"look"}"#), "look");
        assert_eq!(said(r#"{"role":"tool","text":"x"}"#), "tool");
    }
}
