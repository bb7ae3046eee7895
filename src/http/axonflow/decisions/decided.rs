//! An entry of the search as a decision.

use std::cmp::Reverse;

use serde_json::Value;

use super::super::words::Verdict;
use crate::audit::record::{Phase, PolicyEvaluation};
use crate::audit::{AuditError, Entry};
use crate::gateway::REQUIRE_APPROVAL;

/// A decision, and the policies that contributed to it.
#[derive(Debug)]
pub(super) struct Decided {
    pub(super) entry: Entry,
    pub(super) verdict: Verdict,
    /// Of enforced policies that had something to say about request or answer, the strongest first. What the audit
    /// policies did about the record is no part of it, nor is a shadow.
    pub(super) policies: Vec<PolicyEvaluation>,
}

impl Decided {
    pub(super) fn of(entry: Entry) -> Result<Self, AuditError> {
        let mut policies = Vec::new();
        for key in ["evaluations", "response_evaluations"] {
            if let Some(evaluations) = entry.policy_details.get(key) {
                let evaluations: Vec<PolicyEvaluation> = serde_json::from_value(evaluations.clone())
                    .map_err(|error| AuditError::Encoding(format!("{}: {error}", entry.id)))?;
                policies.extend(evaluations);
            }
        }
        policies.retain(|it| it.enforced && it.phase != Phase::Audit && it.matched());
        policies.sort_by_key(|it| Reverse(it.action));
        let verdict = match Verdict::parse(&entry.policy_decision) {
            Some(Verdict::Blocked) if said(&entry, "block_reason") == Some(REQUIRE_APPROVAL) => Verdict::NeedsApproval,
            verdict => verdict.unwrap_or(Verdict::Error),
        };
        Ok(Self { entry, verdict, policies })
    }

    /// Whether a policy contributed.
    pub(super) fn is_by(&self, policy: &str) -> bool {
        self.policies.iter().any(|it| *it.policy == *policy)
    }

    /// The policy with the strongest word.
    pub(super) fn policy(&self) -> Option<&str> {
        self.policies.first().map(|it| &*it.policy)
    }

    /// The tool that it is about, where it is about one.
    pub(super) fn tool(&self) -> Option<&str> {
        said(&self.entry, "tool_name")
    }

    /// Why it was refused, in one line.
    pub(super) fn block_reason(&self) -> Option<&str> {
        said(&self.entry, "block_reason")
    }
}

fn said<'e>(entry: &'e Entry, key: &str) -> Option<&'e str> {
    entry.policy_details.get(key).and_then(Value::as_str)
}
