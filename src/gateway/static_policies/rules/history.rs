//! What a rule was before: its last versions.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Entry;
use super::rule::Rule;

/// Versions of a rule that are kept.
const KEPT: usize = 5;

/// One version of a rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Version {
    /// Its number, from 1 on.
    pub version: u64,
    /// What made it.
    pub change: Change,
    /// The client that made it.
    pub by: String,
    /// When it was made.
    pub at: Timestamp,
    /// What was changed, in words.
    pub summary: String,
    /// The rule, as it stood in the manifest then.
    entry: Entry,
}

/// What makes a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// The rule was made.
    Created,
    /// Some of its values were changed.
    Updated,
    /// It was switched on.
    Enabled,
    /// It was switched off.
    Disabled,
}

impl Change {
    /// As AxonFlow's clients know it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
        }
    }
}

impl Version {
    pub(super) fn of(rule: &Rule, change: Change, by: &str, at: Timestamp, summary: String) -> Self {
        let entry = rule.entry.clone();
        Self { version: rule.version, change, by: by.to_owned(), at, summary, entry }
    }

    /// The rule as it was. `None` if the history was written by somebody else.
    pub fn rule(&self) -> Option<Rule> {
        Rule::read(self.entry.clone())
    }
}

/// The history with one version more, the newest first.
pub(super) fn with(mut versions: Vec<Version>, newest: Version) -> Vec<Version> {
    versions.retain(|version| version.version < newest.version);
    versions.insert(0, newest);
    versions.truncate(KEPT);
    versions
}

/// The history of a rule as it is now: a version that is not in it (the process ended before it was written, or the
/// rule was written by hand) is put there. `since` is when, where the rule does not say.
pub(super) fn complete(versions: Vec<Version>, rule: &Rule, since: Timestamp) -> Vec<Version> {
    if versions.first().is_some_and(|newest| newest.version >= rule.version) {
        return versions;
    }
    let change = if rule.version == 1 { Change::Created } else { Change::Updated };
    let at = rule.updated_at.unwrap_or(since);
    with(versions, Version::of(rule, change, rule.updated_by.as_deref().unwrap_or_default(), at, String::new()))
}
