//! `GET /api/v1/decisions/{id}/explain`: which policies and rules made a decision.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use jiff::Timestamp;
use serde::Serialize;

use super::super::read_scope::ReadScope;
use super::super::words::{ActionWord, SeverityWord, Verdict};
use super::decided::Decided;
use crate::audit::record::{Finding, Phase, PolicyEvaluation};
use crate::audit::{Entries, Query};
use crate::gateway::REQUIRE_APPROVAL;
use crate::http::answer::json;
use crate::http::errors::listing;
use crate::http::{ApiError, App};
use crate::policy::PolicyStatus;

#[derive(Serialize)]
struct Explanation<'a> {
    decision_id: &'a str,
    timestamp: Timestamp,
    decision: Verdict,
    policy_matches: Vec<PolicyMatch<'a>>,
    matched_rules: Vec<RuleMatch<'a>>,
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    risk_level: Option<SeverityWord>,
    /// There are no overrides.
    override_available: bool,
    /// Not counted: findings are kept by request, not by session.
    historical_hit_count_session: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_signature: Option<&'a str>,
}

/// A policy that contributed.
#[derive(Serialize)]
struct PolicyMatch<'a> {
    policy_id: &'a str,
    policy_name: &'a str,
    action: ActionWord,
    #[serde(skip_serializing_if = "Option::is_none")]
    risk_level: Option<SeverityWord>,
    allow_override: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy_description: Option<&'a str>,
}

/// One match of one rule.
#[derive(Serialize)]
struct RuleMatch<'a> {
    policy_id: &'a str,
    rule_id: &'a str,
    /// What the rule looks for, in the policy's words: never what it found.
    rule_text: &'a str,
    matched_on: String,
}

/// `GET /api/v1/decisions/{id}/explain`. An id of another tenant's, or of a person's that the read is not made for, is like
/// one of nobody's.
pub(super) async fn handle(
    State(app): State<Arc<App>>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let tenant = app.identity.presented(&headers)?.searched_tenant(None)?;
    let scope = ReadScope::of(&headers)?;
    let Ok(Path(id)) = path else { return Ok(scope.stated(unknown())) };
    let query = Query {
        decision_id: Some(id),
        user_email: scope.person(),
        entries: Entries::Decisions,
        limit: 1,
        ..Query::new(tenant)
    };
    let page = app.gateway.audit().search(query).await?;
    let Some(entry) = page.entries.into_iter().next() else { return Ok(scope.stated(unknown())) };
    let decided = Decided::of(entry)?;
    Ok(scope.stated(json(StatusCode::OK, &explained(&decided, &app.gateway.policies().statuses()))))
}

fn unknown() -> Response {
    listing(StatusCode::NOT_FOUND, "decision not found", None)
}

fn explained<'a>(decided: &'a Decided, live: &'a [PolicyStatus]) -> Explanation<'a> {
    let findings = || decided.policies.iter().flat_map(|policy| policy.findings.iter().map(move |it| (policy, it)));
    let mut policy_matches: Vec<PolicyMatch<'a>> = Vec::new();
    // The strongest come first: of a policy that was asked more than once, its strongest word is told.
    for policy in &decided.policies {
        let name = &*policy.policy;
        if policy_matches.iter().all(|it| it.policy_id != name) {
            let own = findings().filter(|(of, _)| of.policy == policy.policy);
            policy_matches.push(PolicyMatch {
                policy_id: name,
                policy_name: name,
                action: ActionWord::of_recorded(policy.action),
                risk_level: own.map(|(_, finding)| SeverityWord::of_recorded(&finding.severity)).max(),
                allow_override: false,
                policy_description: description(policy, live),
            });
        }
    }
    let matched_rules = findings().map(|(policy, finding)| RuleMatch {
        policy_id: &policy.policy,
        rule_id: &finding.rule,
        rule_text: rule_text(policy, finding, live),
        matched_on: place(policy.phase, finding),
    });
    Explanation {
        decision_id: &decided.entry.id,
        timestamp: decided.entry.timestamp,
        decision: decided.verdict,
        risk_level: policy_matches.iter().filter_map(|it| it.risk_level).max(),
        policy_matches,
        matched_rules: matched_rules.collect(),
        reason: reason(decided),
        override_available: false,
        historical_hit_count_session: 0,
        tool_signature: decided.tool(),
    }
}

/// The version that decided, if it is in force still: what another version says of itself is not about this decision.
fn deciding<'a>(policy: &PolicyEvaluation, live: &'a [PolicyStatus]) -> Option<&'a PolicyStatus> {
    let is_it = |status: &&PolicyStatus| {
        *status.name == *policy.policy && status.version.is_some_and(|version| *version.to_string() == *policy.version)
    };
    live.iter().find(is_it)
}

fn description<'a>(policy: &PolicyEvaluation, live: &'a [PolicyStatus]) -> Option<&'a str> {
    let about = deciding(policy, live)?.about.as_deref()?;
    Some(about.summary.as_str()).filter(|summary| !summary.is_empty())
}

/// The rule's own line, or the category of what it looks for.
fn rule_text<'a>(policy: &PolicyEvaluation, finding: &'a Finding, live: &'a [PolicyStatus]) -> &'a str {
    let about = deciding(policy, live).and_then(|status| status.about.as_deref());
    let rule = about.and_then(|about| about.rules.iter().find(|rule| rule.id == finding.rule));
    rule.map(|rule| rule.summary.as_str()).filter(|summary| !summary.is_empty()).unwrap_or(&finding.category)
}

/// Where a rule matched.
fn place(phase: Phase, finding: &Finding) -> String {
    let text = if phase == Phase::Response { "answer" } else { "request" };
    match finding.place {
        None => text.to_owned(),
        Some(at) => {
            format!("{text}, message {}, part {}, bytes {} to {}", at.message, at.part, at.start, at.end)
        }
    }
}

/// One line, from what policies said.
fn reason(decided: &Decided) -> String {
    let policy = decided.policies.first();
    let line = match (decided.verdict, policy) {
        (Verdict::Blocked | Verdict::NeedsApproval, _) => match decided.block_reason() {
            Some(REQUIRE_APPROVAL) => {
                format!("Approval required by policy: {}", decided.policy().unwrap_or_default())
            }
            Some(reason) => reason.to_owned(),
            None => "Request blocked".to_owned(),
        },
        (Verdict::Redacted, Some(policy)) => format!("Text masked by policy: {}", policy.policy),
        (Verdict::Redacted, None) => "Text masked".to_owned(),
        (Verdict::Allowed, Some(policy)) => format!("Allowed, and noted by policy: {}", policy.policy),
        (Verdict::Allowed, None) => "No policy objected".to_owned(),
        (Verdict::Error, _) => "It failed, or its outcome is not on record".to_owned(),
    };
    match policy.and_then(|policy| policy.reason.as_deref()) {
        Some(sentence) if decided.verdict != Verdict::Error => format!("{line}. {sentence}"),
        _ => line,
    }
}
