//! Masks personal data in the text that is stored.
//!
//! The rules are those of the policy `pii` (both take them from `pii-detect`), all of them, whatever `pii` does about
//! each: a request that was refused for a card number leaves a record without the number. Where a number stands in the
//! name of a tool, which no edit reaches, the text is withheld.

use std::collections::BTreeMap;

use octroi_policy::prelude::*;
use pii_detect::{CATEGORY, Match, Rule, Rules};
use serde::Deserialize;

/// The manifest's `settings`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// By rule id. What is not named has its default.
    pub rules: BTreeMap<Rule, RuleSettings>,
}

/// What may be set for one rule.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RuleSettings {
    /// `false`: the data is stored as it is. Default `true`.
    pub enabled: Option<bool>,
    /// What stands in its place. Default such as `[EMAIL]`.
    pub mask: Option<String>,
}

/// The most findings; what is beyond is counted.
const MOST_FINDINGS: usize = 2_000;

/// The most edits that the gateway takes. Beyond that the text is withheld: the rest would be stored unmasked.
const MOST_EDITS: usize = 10_000;

/// The policy.
#[derive(Debug)]
pub struct AuditRedact {
    enabled: Rules,
    masks: [String; Rule::ALL.len()],
}

impl Policy for AuditRedact {
    type Settings = Settings;

    fn configure(mut settings: Settings) -> Result<Self, String> {
        let mut enabled = Rules::NONE;
        let masks = Rule::ALL.map(|rule| {
            let set = settings.rules.remove(&rule).unwrap_or_default();
            if set.enabled.unwrap_or(true) {
                enabled = enabled.with(rule);
            }
            set.mask.unwrap_or_else(|| rule.mask().to_owned())
        });
        Ok(Self { enabled, masks })
    }

    fn describe(&self) -> Description {
        let description = Description::new("audit-redact", env!("CARGO_PKG_VERSION"), "Personal data in stored text");
        let in_force = Rule::ALL.into_iter().filter(|rule| self.enabled.has(*rule));
        in_force.fold(description, |description, rule| description.rule(rule.id(), CATEGORY, rule.summary()))
    }
}

impl Audit for AuditRedact {
    fn audit(&self, _: &Context, entry: &Entry) -> Verdict {
        let mut verdict = Verdict::allow();
        let (mut found, mut masked) = (0, 0);
        for text in texts(&entry.messages) {
            let matches = pii_detect::find_both(&text, self.enabled);
            for Match { rule, range } in &matches {
                found += 1;
                verdict.raise(Action::Redact);
                if found <= MOST_FINDINGS {
                    verdict.findings.push(finding(*rule).at(text.place(range.clone())));
                }
            }
            // Edits may not overlap, as matches of two rules may.
            let mut masker = text.masker();
            for Match { rule, range } in join_overlapping(matches) {
                masked += 1;
                if masked <= MOST_EDITS {
                    verdict.edits.extend(masker.mask(range, &self.masks[rule as usize]));
                }
            }
        }
        for (_, name) in names(&entry.messages) {
            for Match { rule, .. } in pii_detect::find_both(name, self.enabled) {
                found += 1;
                verdict.raise(Action::Deny);
                verdict.reason = Some("Personal data in the name of a tool, where nothing can be masked".into());
                if found <= MOST_FINDINGS {
                    verdict.findings.push(finding(rule));
                }
            }
        }
        if masked > MOST_EDITS {
            verdict.action = Action::Deny;
            verdict.edits.clear();
            verdict.reason = Some("There is more to mask than one verdict can hold".into());
        }
        if found > MOST_FINDINGS {
            verdict = verdict.tag("findings-left-out", (found - MOST_FINDINGS).to_string());
        }
        verdict
    }
}

fn finding(rule: Rule) -> Finding {
    Finding::new(rule.id(), CATEGORY, rule.severity())
}

octroi_policy::export!(AuditRedact: Audit);

#[cfg(test)]
mod tests {
    use super::*;

    fn audit(settings: &str, phase: Phase, text: &str) -> Verdict {
        let entry = Entry { phase, messages: vec![Message::user(text)] };
        configure::<AuditRedact>(settings).unwrap().audit(&Context::example(), &entry)
    }

    #[test]
    fn every_kind_is_masked_in_both_halves_of_a_record() {
        let text = "😀 4111111111111111 123-45-6789 GB29NWBK60161331926819 ABCPD1234E 2341-2341-2346 jane@example.org \
                    +49 30 123456, 10.1.2.3";
        for phase in [Phase::Intent, Phase::Outcome] {
            let verdict = audit("{}", phase, text);
            assert_eq!(verdict.action, Action::Redact);
            let masks: Vec<&str> = verdict.edits.iter().map(|edit| edit.replacement.as_str()).collect();
            assert_eq!(masks, ["[CARD]", "[SSN]", "[IBAN]", "[PAN]", "[AADHAAR]", "[EMAIL]", "[PHONE]", "[IP]"]);
        }
    }

    #[test]
    fn what_hides_data_from_view_does_not_hide_it_here() {
        for hidden in ["jane@\u{200b}example.org", "jane＠example.org", r"jane\u0040example\u002eorg"] {
            let verdict = audit("{}", Phase::Intent, &format!("😀\u{feff} {hidden}!"));
            assert_eq!(verdict.edits[0].original, hidden);
        }
        for (text, stored) in [
            ("DE89370400440532013000\u{200b}BIC", "[IBAN]\u{200b}BIC"),
            ("123-45-6789\u{200b}DOB", "[SSN]\u{200b}DOB"),
            ("ABCPD1234E\u{200b}Name", "[PAN]\u{200b}Name"),
            ("Jane\u{200b}DE89370400440532013000", "Jane\u{200b}[IBAN]"),
            ("jane@example.org\u{200b}24h", "[EMAIL]\u{200b}24h"),
            ("+49 30 123456\u{200b}Fax", "[PHONE]\u{200b}Fax"),
            ("jane@10.1.2.3\u{200b}example.org", "[EMAIL]"),
        ] {
            let verdict = audit("{}", Phase::Intent, text);
            let [edit] = &verdict.edits[..] else { panic!("{text}: {:?}", verdict.edits) };
            assert_eq!(text.replace(&edit.original, &edit.replacement), stored);
        }
    }

    #[test]
    fn the_name_of_a_tool_cannot_be_masked_and_keeps_the_text_out() {
        let audit = |settings: &str, name: &str| {
            let messages = vec![Message::tool_call(name, "{}"), Message::tool(name, "jane@example.org")];
            let entry = Entry { phase: Phase::Intent, messages };
            configure::<AuditRedact>(settings).unwrap().audit(&Context::example(), &entry)
        };
        let verdict = audit("{}", "look-4111-1111-1111-1111");
        assert_eq!(verdict.action, Action::Deny);
        let reason = "Personal data in the name of a tool, where nothing can be masked";
        assert_eq!(verdict.reason.as_deref(), Some(reason));
        let rules: Vec<_> = verdict.findings.iter().map(|it| (it.rule.as_str(), it.place.is_some())).collect();
        assert_eq!(rules, [("email", true), ("payment-card", false), ("payment-card", false)]);
        assert_eq!(audit("{}", "look").action, Action::Redact);
        let settings = r#"{"rules":{"payment-card":{"enabled":false}}}"#;
        assert_eq!(audit(settings, "look-4111-1111-1111-1111").action, Action::Redact);
    }

    #[test]
    fn text_without_personal_data_is_stored_as_it_is() {
        assert_eq!(audit("{}", Phase::Intent, "Version 1.2.3 of 2024-05-06"), Verdict::allow());
    }

    #[test]
    fn a_long_log_is_masked_as_far_as_a_verdict_goes() {
        let log = |lines| audit("{}", Phase::Intent, &"203.0.113.7 - - GET /\n".repeat(lines));
        let masked = log(10_000);
        assert_eq!((masked.action, masked.edits.len(), masked.findings.len()), (Action::Redact, 10_000, 2_000));
        assert_eq!(masked.tags, [("findings-left-out".to_owned(), "8000".to_owned())]);
        let withheld = log(10_001);
        assert_eq!((withheld.action, withheld.edits.len()), (Action::Deny, 0));
        assert_eq!(withheld.reason.as_deref(), Some("There is more to mask than one verdict can hold"));
    }

    #[test]
    fn a_rule_can_be_switched_off_or_have_another_mask() {
        let settings = r#"{"rules":{"email":{"enabled":false},"phone":{"mask":""}}}"#;
        let verdict = audit(settings, Phase::Intent, "jane@example.org, +49 30 123456");
        assert_eq!(verdict.edits.len(), 1);
        assert_eq!(verdict.edits[0].replacement, "");
        assert!(configure::<AuditRedact>(r#"{"rules":{"email":{"action":"deny"}}}"#).is_err());
    }
}
