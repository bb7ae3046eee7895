//! The words of AxonFlow's clients. A word that they do not know makes them fail: there are no others here.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::audit::record as audit;
use crate::policy::verdict::{Action, Severity};

/// To whom a policy applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum TierWord {
    System,
    Organization,
    Tenant,
}

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum SeverityWord {
    Low,
    Medium,
    High,
    Critical,
}

impl SeverityWord {
    pub(super) fn severity(self) -> Severity {
        match self {
            Self::Low => Severity::Low,
            Self::Medium => Severity::Medium,
            Self::High => Severity::High,
            Self::Critical => Severity::Critical,
        }
    }

    pub(super) fn of(severity: Severity) -> Self {
        match severity {
            // Clients have no word for it.
            Severity::Info | Severity::Low => Self::Low,
            Severity::Medium => Self::Medium,
            Severity::High => Self::High,
            Severity::Critical => Self::Critical,
        }
    }

    /// Of a recorded finding.
    pub(super) fn of_recorded(severity: &str) -> Self {
        Self::deserialize(Value::from(severity)).unwrap_or(Self::Low)
    }
}

/// What happens to a text in which something is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ActionWord {
    Block,
    RequireApproval,
    Redact,
    Warn,
    Log,
    Allow,
}

impl ActionWord {
    pub(super) fn action(self) -> Action {
        match self {
            Self::Block => Action::Deny,
            Self::RequireApproval => Action::RequireApproval,
            Self::Redact => Action::Redact,
            Self::Warn => Action::Warn,
            Self::Log => Action::Log,
            Self::Allow => Action::Allow,
        }
    }

    pub(super) fn of(action: Action) -> Self {
        match action {
            Action::Deny => Self::Block,
            Action::RequireApproval => Self::RequireApproval,
            Action::Redact => Self::Redact,
            Action::Warn => Self::Warn,
            Action::Log => Self::Log,
            Action::Allow => Self::Allow,
        }
    }
    /// Of a recorded verdict.
    pub(super) fn of_recorded(action: audit::Action) -> Self {
        match action {
            audit::Action::Deny => Self::Block,
            audit::Action::RequireApproval => Self::RequireApproval,
            audit::Action::Redact => Self::Redact,
            audit::Action::Warn => Self::Warn,
            audit::Action::Log => Self::Log,
            audit::Action::Allow => Self::Allow,
        }
    }
}

/// A decision in AxonFlow's words, those of its version 9 and later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// It went through as it was.
    Allowed,
    /// A policy refused it.
    Blocked,
    /// It went through with text masked.
    Redacted,
    /// A policy refused it until somebody approves, which nobody can here.
    NeedsApproval,
    /// It failed, or its outcome is not known.
    Error,
}

impl Verdict {
    /// Reads a filter.
    pub(super) fn parse(word: &str) -> Option<Self> {
        Self::deserialize(Value::from(word)).ok()
    }

    /// The word in the store, which tells refusals by who might lift them not apart.
    pub(super) fn stored(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Blocked | Self::NeedsApproval => "blocked",
            Self::Redacted => "redacted",
            Self::Error => "error",
        }
    }
}
