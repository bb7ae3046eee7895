//! Verdicts, findings and descriptions, built step by step.

use crate::{Action, Description, Edit, Finding, Place, Routing, Rule, Severity, Verdict};

impl Verdict {
    /// A verdict that only says `action`.
    #[must_use]
    pub fn new(action: Action) -> Self {
        Self { action, reason: None, findings: Vec::new(), edits: Vec::new(), routing: None, tags: Vec::new() }
    }

    /// Nothing to object to.
    #[must_use]
    pub fn allow() -> Self {
        Self::new(Action::Allow)
    }

    /// Let it pass and keep the findings.
    #[must_use]
    pub fn log() -> Self {
        Self::new(Action::Log)
    }

    /// Let it pass; somebody should look at it.
    #[must_use]
    pub fn warn() -> Self {
        Self::new(Action::Warn)
    }

    /// Let it pass with this verdict's edits applied.
    #[must_use]
    pub fn redact() -> Self {
        Self::new(Action::Redact)
    }

    /// Refuse until a person has approved. `reason` is one sentence for the caller, without the text that was matched.
    #[must_use]
    pub fn require_approval(reason: impl Into<String>) -> Self {
        Self::new(Action::RequireApproval).reason(reason)
    }

    /// Refuse. `reason` is one sentence for the caller, without the text that was matched.
    #[must_use]
    pub fn deny(reason: impl Into<String>) -> Self {
        Self::new(Action::Deny).reason(reason)
    }

    /// Makes the action `action` if that is stronger than what it is.
    pub fn raise(&mut self, action: Action) {
        self.action = self.action.max(action);
    }

    /// One sentence for the caller, used when the request is refused.
    #[must_use]
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// Adds a finding.
    #[must_use]
    pub fn finding(mut self, finding: Finding) -> Self {
        self.findings.push(finding);
        self
    }

    /// Adds a replacement of text. It is applied with `redact` or a stronger action only.
    #[must_use]
    pub fn edit(mut self, edit: Edit) -> Self {
        self.edits.push(edit);
        self
    }

    /// Adds a name and value that are kept in the audit record.
    #[must_use]
    pub fn tag(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.push((name.into(), value.into()));
        self
    }

    /// The request may go to these providers only, by their configured names.
    #[must_use]
    pub fn only_providers<S: Into<String>>(mut self, providers: impl IntoIterator<Item = S>) -> Self {
        self.routing_mut().providers.extend(providers.into_iter().map(Into::into));
        self
    }

    /// The request may go to providers of these regions only, such as `eu`.
    #[must_use]
    pub fn only_regions<S: Into<String>>(mut self, regions: impl IntoIterator<Item = S>) -> Self {
        self.routing_mut().regions.extend(regions.into_iter().map(Into::into));
        self
    }

    fn routing_mut(&mut self) -> &mut Routing {
        self.routing.get_or_insert_with(|| Routing { providers: Vec::new(), regions: Vec::new() })
    }
}

impl Finding {
    /// A finding without a place. `rule` and `category` as in the policy's [`Description`].
    #[must_use]
    pub fn new(rule: impl Into<String>, category: impl Into<String>, severity: Severity) -> Self {
        Self { rule: rule.into(), category: category.into(), severity, place: None }
    }

    /// Says where it stands.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }
}

impl Description {
    /// A description without rules. `version` is the policy's own, usually `env!("CARGO_PKG_VERSION")`.
    #[must_use]
    pub fn new(name: impl Into<String>, version: impl Into<String>, summary: impl Into<String>) -> Self {
        Self { name: name.into(), version: version.into(), summary: summary.into(), rules: Vec::new() }
    }

    /// Adds a rule that the policy may name in a finding.
    #[must_use]
    pub fn rule(mut self, id: impl Into<String>, category: impl Into<String>, summary: impl Into<String>) -> Self {
        self.rules.push(Rule { id: id.into(), category: category.into(), summary: summary.into() });
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raising_never_weakens() {
        let mut verdict = Verdict::redact();
        verdict.raise(Action::Warn);
        assert_eq!(verdict.action, Action::Redact);
        verdict.raise(Action::Deny);
        assert_eq!(verdict.action, Action::Deny);
    }

    #[test]
    fn routing_limits_add_up() {
        let verdict = Verdict::allow().only_providers(["mistral"]).only_regions(["eu"]);
        assert_eq!(verdict.routing, Some(Routing { providers: vec!["mistral".into()], regions: vec!["eu".into()] }));
    }
}
