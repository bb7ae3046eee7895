//! One policy's part in a decision, as it is recorded.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The interface of the policy that was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Before the model is asked.
    PreCheck,
    /// On the model's answer.
    Response,
    /// On the record, before it is stored.
    Audit,
}

impl Phase {
    /// As it stands in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PreCheck => "pre-check",
            Self::Response => "response",
            Self::Audit => "audit",
        }
    }
}

/// The mode that the manifest gave the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Its verdict counts.
    Enforce,
    /// Its verdict is recorded and has no effect.
    Shadow,
    /// It is not evaluated.
    Off,
}

impl Mode {
    /// As it stands in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Shadow => "shadow",
            Self::Off => "off",
        }
    }
}

/// What was held back of an answer that streamed until the policy had seen it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StreamMode {
    /// Nothing: it saw what the client had.
    Observe,
    /// The end of each part, as far as its edits reach.
    Transform,
    /// Everything.
    Buffer,
}

/// What a policy wanted, weakest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Nothing.
    #[default]
    Allow,
    /// Note it.
    Log,
    /// Tell the caller.
    Warn,
    /// Mask text.
    Redact,
    /// Refuse until somebody approves.
    RequireApproval,
    /// Refuse.
    Deny,
}

impl Action {
    /// As it stands in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Log => "log",
            Self::Warn => "warn",
            Self::Redact => "redact",
            Self::RequireApproval => "require-approval",
            Self::Deny => "deny",
        }
    }
}

/// Where in the text a rule matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The message's index.
    pub message: u32,
    /// The part's index within the message.
    pub part: u32,
    /// First byte, in UTF-8, of the text that the policy saw.
    pub start: u32,
    /// The byte behind the last.
    pub end: u32,
}

/// One match of one rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The rule's id.
    pub rule: String,
    /// The rule's category.
    pub category: String,
    /// How bad it is, in the policy interface's words.
    pub severity: String,
    /// Where; absent when the finding is about the whole request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

/// Why a policy gave no verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvaluationError {
    /// The stable code of the failure.
    pub code: String,
    /// What happened.
    pub message: String,
}

/// What host interfaces told a policy: with it the decision can be recomputed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readings {
    /// What time it was, if the policy asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<Timestamp>,
    /// What counters answered, in the order in which they were asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counters: Vec<CounterReading>,
}

impl Readings {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What a counter answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CounterReading {
    /// Its name.
    pub name: String,
    /// Its window.
    pub window_seconds: u64,
    /// What the policy added; 0 when it only read.
    pub added: u64,
    /// The answer.
    pub value: u64,
}

/// What one policy did with one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyEvaluation {
    /// The policy's name.
    pub policy: Arc<str>,
    /// The interface that was called.
    pub phase: Phase,
    /// Digest of component, settings and cases together.
    pub version: Arc<str>,
    /// Digest of the settings alone.
    pub settings_hash: Arc<str>,
    /// The manifest's mode.
    pub mode: Mode,
    /// Whether the verdict counted for this request: mode and rollout together.
    pub enforced: bool,
    /// Of an answer that streamed: how it saw it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<StreamMode>,
    /// What the policy wanted.
    pub action: Action,
    /// The policy's own sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What it found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// How many edits it asked for.
    #[serde(default)]
    pub edits: u32,
    /// HMAC-SHA-256 of these edits, as JSON, at most of the first 10,000: tells whether others are the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edits_hmac: Option<String>,
    /// Tags that it put on the request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Why it gave no verdict; `action` is then what `on_error` made of it, or what it said of another part of a stream
    /// if that is stronger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<EvaluationError>,
    /// What host interfaces told it.
    #[serde(default, skip_serializing_if = "Readings::is_empty")]
    pub readings: Readings,
    /// Microseconds that the evaluation took.
    #[serde(default)]
    pub elapsed_us: u64,
    /// Whether it was not evaluated: an earlier policy had refused, or a stream broke off before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub skipped: bool,
}

impl PolicyEvaluation {
    /// Whether the policy had anything to say: this is what the filter by policy name finds.
    pub fn matched(&self) -> bool {
        !self.skipped && (self.action > Action::Allow || !self.findings.is_empty() || self.error.is_some())
    }

    /// Whether its edits were to be made: weaker verdicts than `redact` have none.
    pub fn edits_apply(&self) -> bool {
        self.edits > 0 && self.action >= Action::Redact
    }
}

/// The names of the policies that matched: enforced ones before shadows, the strongest action first, each once.
pub(crate) fn matched_names(evaluations: &[PolicyEvaluation]) -> Vec<String> {
    let mut matched: Vec<_> = evaluations.iter().filter(|evaluation| evaluation.matched()).collect();
    matched.sort_by_key(|evaluation| std::cmp::Reverse((evaluation.enforced, evaluation.action)));
    let mut names: Vec<String> = Vec::with_capacity(matched.len());
    for evaluation in matched {
        if !names.iter().any(|name| **name == *evaluation.policy) {
            names.push(evaluation.policy.to_string());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_that_stand_in_records() {
        let written = |value: serde_json::Result<serde_json::Value>| value.unwrap().as_str().unwrap().to_owned();
        for phase in [Phase::PreCheck, Phase::Response, Phase::Audit] {
            assert_eq!(phase.as_str(), written(serde_json::to_value(phase)));
        }
        for mode in [Mode::Enforce, Mode::Shadow, Mode::Off] {
            assert_eq!(mode.as_str(), written(serde_json::to_value(mode)));
        }
        use Action::{Allow, Deny, Log, Redact, RequireApproval, Warn};
        for action in [Allow, Log, Warn, Redact, RequireApproval, Deny] {
            assert_eq!(action.as_str(), written(serde_json::to_value(action)));
        }
    }
}
