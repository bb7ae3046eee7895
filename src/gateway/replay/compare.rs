//! Two verdicts of one policy: what differs.

use crate::audit::record::{Finding, PolicyEvaluation};

/// What differs between the verdict on record and another, in words; nothing when they are the same.
pub(super) fn differences(recorded: &PolicyEvaluation, now: &PolicyEvaluation) -> Vec<String> {
    let mut differences = Vec::new();
    let mut compare = |what: &str, same: bool, recorded: String, now: String| {
        if !same {
            differences.push(format!("{what}: {recorded} on record, {now} now"));
        }
    };
    let error = |it: &PolicyEvaluation| it.error.as_ref().map_or("a verdict", |it| it.code.as_str()).to_owned();
    compare("came of it", recorded.error.is_none() == now.error.is_none(), error(recorded), error(now));
    let action = |it: &PolicyEvaluation| it.action.as_str().to_owned();
    compare("action", recorded.action == now.action, action(recorded), action(now));
    let reason = |it: &PolicyEvaluation| it.reason.as_ref().map_or("none".to_owned(), |it| format!("`{it}`"));
    compare("reason", recorded.reason == now.reason, reason(recorded), reason(now));
    compare("findings", recorded.findings == now.findings, rules(&recorded.findings), rules(&now.findings));
    let edits = |it: &PolicyEvaluation| it.edits.to_string();
    compare("edits", same_edits(recorded, now), edits(recorded), edits(now));
    let tags = |it: &PolicyEvaluation| if it.tags.is_empty() { "none".to_owned() } else { it.tags.join(", ") };
    compare("tags", recorded.tags == now.tags, tags(recorded), tags(now));
    differences
}

/// Whether two verdicts' edits are the same. Records that are older than their digests tell only how many they were.
pub(super) fn same_edits(recorded: &PolicyEvaluation, now: &PolicyEvaluation) -> bool {
    recorded.edits == now.edits && (recorded.edits_hmac.is_none() || recorded.edits_hmac == now.edits_hmac)
}

fn rules(findings: &[Finding]) -> String {
    let mut rules: Vec<_> = findings.iter().map(|finding| finding.rule.as_str()).collect();
    rules.dedup();
    match (findings.len(), rules.as_slice()) {
        (0, _) => "none".to_owned(),
        (number, rules) => format!("{number} ({})", rules.join(", ")),
    }
}
