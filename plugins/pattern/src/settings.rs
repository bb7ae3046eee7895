//! What an operator may set.

use octroi_policy::{Action, Role, Severity};
use pii_detect::Validator;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// The manifest's `settings`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The rules, at most 1,000.
    pub patterns: Vec<PatternSettings>,
    /// `true`: the policy has no rules, and tries the expression that a request's attribute `pattern` holds.
    pub probe: bool,
    /// Where tenants make rules by themselves: what their expressions may take. Default: no more than all together.
    pub shares: Option<Shares>,
}

/// Bytes that the automata of expressions may take whose rules have `tenants`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shares {
    /// Of one rule.
    pub of_rule: usize,
    /// Of all rules of one tenant.
    pub of_tenant: usize,
    /// Of all rules that have tenants.
    pub of_tenants: usize,
}

/// What may be set for one rule. Either `pattern` or `keywords`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PatternSettings {
    /// The rule in findings: 1 to 128 letters, digits, `-`, `_` and `.`; unique.
    pub name: String,
    /// A regular expression, at most 1,000 characters.
    #[serde(default)]
    pub pattern: Option<String>,
    /// Whole words or phrases, in any case.
    #[serde(default)]
    pub keywords: Option<Vec<String>>,
    /// A match counts only if it holds to this.
    #[serde(default)]
    pub validator: Option<Validator>,
    /// In findings. Default `pattern`.
    #[serde(default)]
    pub category: Option<String>,
    /// In findings. Default `medium`.
    #[serde(default)]
    pub severity: Option<Severity>,
    /// What happens to a text in which it is found; `allow` still reports a finding. Default `deny`.
    #[serde(default)]
    pub action: Option<Action>,
    /// What stands in the place of a match when the action is `redact`. Default `[REDACTED]`.
    #[serde(default)]
    pub replacement: Option<String>,
    /// A sentence for the caller when it refuses. Default names the rule.
    #[serde(default)]
    pub reason: Option<String>,
    /// Only what belongs to these tenants. Empty: all.
    #[serde(default)]
    pub tenants: Vec<String>,
    /// Only messages of these roles. Empty: all.
    #[serde(default)]
    pub roles: Vec<Role>,
    /// When it is asked. Default `[pre-check]`.
    #[serde(default)]
    pub phases: Option<Vec<Asked>>,
    /// `false`: it is checked as the others are and never matches. Default `true`.
    #[serde(default = "on")]
    pub enabled: bool,
    /// For other programs; the policy does not look at it.
    #[serde(default)]
    pub annotations: IgnoredAny,
}

fn on() -> bool {
    true
}

/// When a rule is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Asked {
    /// About the request, before a model is asked.
    PreCheck,
    /// About the answer, before the client sees it.
    Response,
}
