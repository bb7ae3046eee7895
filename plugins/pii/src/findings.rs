//! What was found, in the order in which a verdict tells it.

use octroi_policy::{Action, Finding};

/// The most findings; what is beyond is counted.
const MOST: usize = 2_000;

/// By place, but what refuses comes first: a refusal is named after its first finding.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    denied: Vec<Finding>,
    to_approve: Vec<Finding>,
    others: Vec<Finding>,
    count: usize,
}

impl Findings {
    /// Adds one, and what is done about it.
    pub(crate) fn add(&mut self, action: Action, finding: Finding) {
        let findings = match action {
            Action::Deny => &mut self.denied,
            Action::RequireApproval => &mut self.to_approve,
            _ => &mut self.others,
        };
        if findings.len() < MOST {
            findings.push(finding);
        }
        self.count += 1;
    }

    /// The findings, and how many were left out.
    pub(crate) fn into_parts(self) -> (Vec<Finding>, usize) {
        let mut findings = self.denied;
        findings.extend(self.to_approve);
        findings.extend(self.others);
        findings.truncate(MOST);
        let left_out = self.count - findings.len();
        (findings, left_out)
    }
}
