//! A policy as AxonFlow's clients read it.

use jiff::Timestamp;
use serde::Serialize;

use super::super::words::{ActionWord, SeverityWord, TierWord};
use crate::gateway::static_policies::rules::{Rule, Tier};
use crate::policy::manifest::{Mode, Phase};
use crate::policy::{PolicyState, PolicyStatus};

/// The organization. There is one.
pub(super) const ORGANIZATION: &str = "community";

/// A policy.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Policy {
    pub(super) id: String,
    pub(super) policy_id: String,
    pub(super) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
    pub(super) category: String,
    pub(super) tier: TierWord,
    pattern: String,
    pub(super) severity: SeverityWord,
    pub(super) enabled: bool,
    action: ActionWord,
    /// What it judges. AxonFlow has no such field.
    phases: Vec<Phase>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) priority: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    organization_id: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
}

impl Policy {
    /// A rule, as it counts under a manifest that fares so. `since` stands for times that it does not tell.
    pub(super) fn of_rule_under(rule: &Rule, status: Option<&PolicyStatus>, since: Timestamp) -> Self {
        let own = Self::of_rule(rule, since);
        let Some(status) = status else { return own };
        let action = if is_shadow(status) { ActionWord::Log } else { own.action };
        Self { enabled: own.enabled && is_in_force(status), action, ..own }
    }

    /// A rule, as it stands in the file.
    pub(super) fn of_rule(rule: &Rule, since: Timestamp) -> Self {
        let (tier, organization_id, tenant_id) = match rule.tier() {
            Tier::Tenant => (TierWord::Tenant, None, rule.tenants.first().cloned()),
            Tier::Organization => (TierWord::Organization, Some(ORGANIZATION), None),
        };
        Self {
            id: rule.id.clone(),
            policy_id: rule.name.clone(),
            name: rule.title.clone(),
            description: rule.description.clone(),
            category: rule.category.clone(),
            tier,
            pattern: rule.pattern.clone(),
            severity: SeverityWord::of(rule.severity),
            enabled: rule.enabled,
            action: ActionWord::of(rule.action),
            phases: rule.phases.clone(),
            priority: rule.priority,
            organization_id,
            tenant_id,
            tags: rule.tags.clone(),
            created_at: rule.created_at.unwrap_or(since),
            updated_at: rule.updated_at.or(rule.created_at).unwrap_or(since),
            version: Some(rule.version),
        }
    }

    /// A policy of the folder: code, of which the names of its rules are shown where clients look for an expression.
    pub(super) fn of_folder(status: &PolicyStatus, since: Timestamp) -> Self {
        let about = status.about.as_deref();
        let rules = about.map(|about| about.rules.as_slice()).unwrap_or_default();
        let names: Vec<_> = rules.iter().map(|rule| rule.id.as_str()).collect();
        let pattern = if names.is_empty() { "(a policy without named rules)".into() } else { names.join(", ") };
        let manifest = status.manifest.as_deref();
        let phases = status.phases();
        let action = match phases.as_slice() {
            _ if is_shadow(status) => ActionWord::Log,
            [Phase::Audit] => ActionWord::Redact,
            _ => ActionWord::Block,
        };
        let since = status.since.unwrap_or(since);
        Self {
            id: status.name.clone(),
            policy_id: status.name.clone(),
            name: status.name.clone(),
            description: about.map(|about| about.summary.clone()).filter(|summary| !summary.is_empty()),
            category: category(rules.first().map_or("", |rule| rule.category.as_str())),
            tier: TierWord::System,
            pattern,
            severity: SeverityWord::High,
            enabled: is_in_force(status),
            action,
            phases,
            priority: manifest.map(|manifest| manifest.order.into()),
            organization_id: None,
            tenant_id: None,
            tags: Vec::new(),
            created_at: since,
            updated_at: since,
            version: None,
        }
    }
}

fn is_in_force(status: &PolicyStatus) -> bool {
    matches!(status.state, PolicyState::Live | PolicyState::Degraded)
}

/// Whether what it says is recorded and changes nothing.
fn is_shadow(status: &PolicyStatus) -> bool {
    status.manifest.as_ref().is_some_and(|manifest| manifest.mode == Mode::Shadow)
}

/// Older clients know these categories only; what a policy calls its own is shown to the others as it is.
fn category(own: &str) -> String {
    match own {
        "pii" => "pii-global",
        "sql-injection" => "security-sqli",
        "" => "sensitive-data",
        own => own,
    }
    .to_owned()
}
