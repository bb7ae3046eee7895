//! What an operator may set.

use std::collections::BTreeMap;

use octroi_policy::{Action, Severity};
use pii_detect::{Rule, Rules};
use serde::Deserialize;

/// The manifest's `settings`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What is done about answers.
    pub answers: Answers,
    /// By rule id. What is not named has its default.
    pub rules: BTreeMap<Rule, RuleSettings>,
}

/// What is done about personal data in an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answers {
    /// It is masked where a rule refuses or masks requests: the tokens are spent, and the rest of the answer is of use.
    #[default]
    Mask,
    /// The rules' actions hold as they do for requests.
    Judge,
    /// Answers are not looked at.
    Ignore,
}

/// What may be set for one rule.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RuleSettings {
    /// `false`: the rule is not looked for at all. Default `true`.
    pub enabled: Option<bool>,
    /// What happens to a request in which it is found. `allow` still reports a finding. Default `deny` for cards and
    /// identity numbers, `redact` for ways to reach a person.
    pub action: Option<Action>,
    /// What stands in its place when the action is `redact`. Default such as `[EMAIL]`.
    pub mask: Option<String>,
}

/// What is done about one rule, with all defaults filled in.
#[derive(Debug)]
pub(crate) struct Treatment {
    pub(crate) action: Action,
    pub(crate) mask: String,
}

impl Settings {
    pub(crate) fn enabled(&self) -> Rules {
        let is_enabled = |rule: &Rule| self.rules.get(rule).and_then(|rule| rule.enabled).unwrap_or(true);
        Rule::ALL.into_iter().filter(is_enabled).fold(Rules::NONE, Rules::with)
    }

    pub(crate) fn treatments(mut self) -> [Treatment; Rule::ALL.len()] {
        Rule::ALL.map(|rule| {
            let set = self.rules.remove(&rule).unwrap_or_default();
            Treatment {
                action: set.action.unwrap_or(match rule.severity() {
                    Severity::Critical => Action::Deny,
                    _ => Action::Redact,
                }),
                mask: set.mask.unwrap_or_else(|| rule.mask().to_owned()),
            }
        })
    }
}
