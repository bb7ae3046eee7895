//! Finds personal data in requests and answers and, rule by rule, refuses, masks or reports it.
//!
//! Looked at is every text of every role: prompts, earlier answers, tool arguments, tool results. The rules are those
//! of `pii-detect`; what happens about each stands in the [`Settings`].

mod findings;
mod settings;

use octroi_policy::prelude::*;
use pii_detect::{CATEGORY, Match, Rule, Rules};

use findings::Findings;
use settings::Treatment;
pub use settings::{Answers, RuleSettings, Settings};

/// The most edits that the gateway takes. Beyond that the request is refused: the rest would pass unmasked.
const MOST_EDITS: usize = 10_000;

/// The policy.
#[derive(Debug)]
pub struct Pii {
    enabled: Rules,
    answers: Answers,
    treatments: [Treatment; Rule::ALL.len()],
}

impl Policy for Pii {
    type Settings = Settings;

    fn configure(settings: Settings) -> Result<Self, String> {
        Ok(Self { enabled: settings.enabled(), answers: settings.answers, treatments: settings.treatments() })
    }

    fn describe(&self) -> Description {
        let description = Description::new("pii", env!("CARGO_PKG_VERSION"), "Personal data in requests and answers");
        let in_force = Rule::ALL.into_iter().filter(|rule| self.enabled.has(*rule));
        in_force.fold(description, |description, rule| description.rule(rule.id(), CATEGORY, rule.summary()))
    }
}

impl PreCheck for Pii {
    fn pre_check(&self, _: &Context, messages: &[Message]) -> Verdict {
        self.judge(messages, |action| action)
    }
}

impl Response for Pii {
    fn response(&self, _: &Context, answer: &Answer) -> Verdict {
        match self.answers {
            Answers::Mask => self.judge(&answer.choices, |action| action.min(Action::Redact)),
            Answers::Judge => self.judge(&answer.choices, |action| action),
            Answers::Ignore => Verdict::allow(),
        }
    }
}

impl Pii {
    /// What is found, and what is done about it. `milder`: how hard a rule's action is taken here.
    fn judge(&self, messages: &[Message], milder: impl Fn(Action) -> Action) -> Verdict {
        let mut verdict = Verdict::allow();
        let (mut findings, mut refused, mut is_cut_off) = (Findings::default(), Rules::NONE, false);
        for text in texts(messages) {
            let mut matches = pii_detect::find_both(&text, self.enabled);
            // What of a stream is out was judged when it went, with all that stands before it.
            matches.retain(|found| text.editable(found.range.clone()).is_some());
            for Match { rule, range } in &matches {
                let action = milder(self.treatments[*rule as usize].action);
                verdict.raise(action);
                let finding = Finding::new(rule.id(), CATEGORY, rule.severity());
                findings.add(action, finding.at(text.place(range.clone())));
                if action >= Action::RequireApproval {
                    refused = refused.with(*rule);
                }
            }
            // Edits may not overlap, as matches of two rules may.
            let is_masked = |found: &Match| milder(self.treatments[found.rule as usize].action) == Action::Redact;
            let mut masker = text.masker();
            for Match { rule, range } in join_overlapping(matches.into_iter().filter(is_masked)) {
                if verdict.edits.len() == MOST_EDITS {
                    is_cut_off = true;
                    break;
                }
                let mask = &self.treatments[rule as usize].mask;
                // Of a streamed answer the client may have the beginning.
                verdict.edits.extend(text.editable(range).and_then(|rest| masker.mask(rest, mask)));
            }
        }
        for (_, name) in names(messages) {
            for Match { rule, .. } in pii_detect::find_both(name, self.enabled) {
                let action = unmasked(milder(self.treatments[rule as usize].action));
                verdict.raise(action);
                findings.add(action, Finding::new(rule.id(), CATEGORY, rule.severity()));
                if action >= Action::RequireApproval {
                    refused = refused.with(rule);
                }
            }
        }
        if refused != Rules::NONE {
            verdict.reason = Some(reason(refused));
        }
        if is_cut_off {
            if verdict.action < Action::Deny {
                verdict.reason = Some("There is more to mask than one verdict can hold".into());
            }
            verdict.action = Action::Deny;
            verdict.edits.clear();
        }
        let (findings, left_out) = findings.into_parts();
        verdict.findings = findings;
        if left_out > 0 {
            verdict = verdict.tag("findings-left-out", left_out.to_string());
        }
        verdict
    }
}

/// What is done where nothing can be masked.
fn unmasked(action: Action) -> Action {
    if action == Action::Redact { Action::Deny } else { action }
}

/// Names the kinds, never the text.
fn reason(refused: Rules) -> String {
    let kinds: Vec<&str> = Rule::ALL.into_iter().filter(|rule| refused.has(*rule)).map(Rule::summary).collect();
    format!("Personal data detected: {}", kinds.join(", "))
}

octroi_policy::export!(Pii: PreCheck + Response);

#[cfg(test)]
mod tests {
    use super::*;

    fn check(settings: &str, messages: &[Message]) -> Verdict {
        configure::<Pii>(settings).unwrap().pre_check(&Context::example(), messages)
    }

    fn rules(verdict: &Verdict) -> Vec<&str> {
        verdict.findings.iter().map(|finding| finding.rule.as_str()).collect()
    }

    #[test]
    fn a_card_is_refused_with_a_reason_that_does_not_repeat_it() {
        let verdict = check("{}", &[Message::user("Charge 4111 1111 1111 1111, please")]);
        assert_eq!(verdict.action, Action::Deny);
        assert_eq!(verdict.reason.as_deref(), Some("Personal data detected: payment card number"));
        assert_eq!(verdict.findings[0].severity, Severity::Critical);
    }

    #[test]
    fn the_name_of_a_tool_is_judged_and_cannot_be_masked() {
        let call = |name: &str| Message::tool_call(name, "{}");
        let settings = r#"{"rules": {"payment-card": {"action": "redact"}}}"#;
        assert_eq!(check(settings, &[call("look")]), Verdict::allow());
        let verdict = check(settings, &[call("look-4111-1111-1111-1111")]);
        assert_eq!((verdict.action, verdict.edits.len(), verdict.findings[0].place), (Action::Deny, 0, None));
        assert_eq!(verdict.reason.as_deref(), Some("Personal data detected: payment card number"));
        let settings = r#"{"rules": {"payment-card": {"action": "warn"}}}"#;
        assert_eq!(check(settings, &[call("look-4111-1111-1111-1111")]).action, Action::Warn);
    }

    #[test]
    fn a_mail_address_is_masked_where_it_stands() {
        let verdict = check("{}", &[Message::system("Be kind."), Message::user("Grüße an 😀 jane@example.org!")]);
        assert_eq!((verdict.action, verdict.reason), (Action::Redact, None));
        let edit = &verdict.edits[0];
        assert_eq!((edit.place.message, edit.place.start, edit.place.end), (1, 16, 32));
        assert_eq!((edit.original.as_str(), edit.replacement.as_str()), ("jane@example.org", "[EMAIL]"));
    }

    #[test]
    fn what_hides_data_from_view_does_not_hide_it_here() {
        for hidden in [
            "jane@\u{200b}example.org",
            "jane\u{2060}@exam\u{ad}ple.org",
            "jane＠example．org",
            r"jane@example\u002eorg",
            r"j\u0061ne\\u0040example.org",
        ] {
            let text = format!("Grüße an \u{200b}{hidden} 😀");
            let verdict = check("{}", &[Message::user(&text)]);
            assert_eq!(verdict.edits[0].original, hidden);
            assert_eq!((rules(&verdict), verdict.action), (vec!["email"], Action::Redact));
        }
        for (hidden, rule) in [
            ("41\u{200b}11\u{200b}11\u{200b}11\u{200b}11\u{200b}11\u{200b}11\u{200b}11", "payment-card"),
            ("４１１１ １１１１ １１１１ １１１１", "payment-card"),
            (r#"{"card":"\u0034111111111111111"}"#, "payment-card"),
            ("1\u{200b}23-45-6789", "us-ssn"),
            (r#"{"ip":"10\u002e1.2.3"}"#, "ip-address"),
        ] {
            assert_eq!(rules(&check("{}", &[Message::user(hidden)])), [rule], "{hidden}");
        }
        for (text, rule, mask) in [
            ("DE89370400440532013000\u{200b}BIC", "iban", "[IBAN]\u{200b}BIC"),
            ("123-45-6789\u{200b}DOB", "us-ssn", "[SSN]\u{200b}DOB"),
            ("ABCPD1234E\u{200b}Name", "pan", "[PAN]\u{200b}Name"),
            ("Jane\u{200b}DE89370400440532013000", "iban", "Jane\u{200b}[IBAN]"),
            ("jane@example.org\u{200b}24h", "email", "[EMAIL]\u{200b}24h"),
            ("+49 30 123456\u{200b}Fax", "phone", "[PHONE]\u{200b}Fax"),
        ] {
            assert_eq!(rules(&check("{}", &[Message::user(text)])), [rule], "{text}");
            let answer = Answer { choices: vec![Message::assistant(text)], more: false };
            let verdict = configure::<Pii>("{}").unwrap().response(&Context::example(), &answer);
            let edit = &verdict.edits[0];
            assert_eq!(text.replace(&edit.original, &edit.replacement), mask);
        }
    }

    /// As it is written there is an IP address with a word behind it, as it is read there is an e-mail address.
    #[test]
    fn two_rules_that_overlap_both_count_and_are_masked_as_one() {
        let text = "Hi jane@10.1.2.3\u{200b}example.org!";
        let settings = r#"{"rules":{"ip-address":{"action":"deny"}}}"#;
        let verdict = check(settings, &[Message::user(text)]);
        assert_eq!((rules(&verdict), verdict.action), (vec!["ip-address", "email"], Action::Deny));
        assert_eq!(verdict.reason.as_deref(), Some("Personal data detected: IP address"));
        let verdict = check("{}", &[Message::user(text)]);
        let masked: Vec<_> = verdict.edits.iter().map(|edit| (&*edit.original, &*edit.replacement)).collect();
        assert_eq!((verdict.action, masked), (Action::Redact, vec![("jane@10.1.2.3\u{200b}example.org", "[EMAIL]")]));
    }

    #[test]
    fn a_refusal_still_reports_everything() {
        let verdict = check("{}", &[Message::user("jane@example.org 123-45-6789"), Message::user("10.1.2.3")]);
        assert_eq!(verdict.action, Action::Deny);
        assert_eq!(rules(&verdict), ["us-ssn", "email", "ip-address"]);
        assert_eq!(verdict.edits.len(), 2);
    }

    /// A refusal is named after its first finding.
    #[test]
    fn what_refuses_is_told_first() {
        let settings = r#"{"rules":{"phone":{"action":"require-approval"}}}"#;
        let verdict = check(settings, &[Message::user("jane@example.org, +49 30 123456, 123-45-6789, 10.1.2.3")]);
        assert_eq!(rules(&verdict), ["us-ssn", "phone", "email", "ip-address"]);
        let verdict = check("{}", &[Message::user("10.1.2.3 ".repeat(2_000)), Message::user("123-45-6789")]);
        assert_eq!((rules(&verdict)[0], verdict.findings.len()), ("us-ssn", 2_000));
        assert_eq!(verdict.tags, [("findings-left-out".to_owned(), "1".to_owned())]);
    }

    #[test]
    fn every_role_and_kind_is_looked_at() {
        let messages = [
            Message::system("a@example.org"),
            Message::assistant("b@example.org"),
            Message::tool_call("mail", r#"{"to":"c@example.org"}"#),
            Message::tool("mail", "d@example.org"),
        ];
        assert_eq!(check("{}", &messages).edits.len(), 4);
    }

    #[test]
    fn an_answer_is_masked_unless_the_settings_say_otherwise() {
        let answer = |text: &str| Answer { choices: vec![Message::assistant(text)], more: false };
        let judge =
            |settings: &str, answer: &Answer| configure::<Pii>(settings).unwrap().response(&Context::example(), answer);
        let card = answer("Her card is 4111 1111 1111 1111.");
        let verdict = judge("{}", &card);
        assert_eq!((verdict.action, verdict.reason.as_deref()), (Action::Redact, None));
        assert_eq!(verdict.edits[0].replacement, "[CARD]");
        assert_eq!(judge(r#"{"answers":"judge"}"#, &card).action, Action::Deny);
        assert_eq!(judge(r#"{"answers":"ignore"}"#, &card), Verdict::allow());
        let warned = r#"{"rules":{"payment-card":{"action":"warn"}}}"#;
        assert_eq!(judge(warned, &card).action, Action::Warn);
    }

    #[test]
    fn of_a_streamed_match_that_has_begun_to_go_out_the_rest_is_masked() {
        let mut choice = Message::assistant("card 4111 1111 1111 1111");
        choice.parts[0].window = Some(Window { offset: 100, released: 9 });
        let answer = Answer { choices: vec![choice], more: true };
        let verdict = configure::<Pii>("{}").unwrap().response(&Context::example(), &answer);
        let edit = &verdict.edits[0];
        assert_eq!((edit.place.start, edit.place.end, edit.original.as_str()), (9, 24, " 1111 1111 1111"));
    }

    /// The word that makes the number innocent may not be shown any more.
    #[test]
    fn what_of_a_streamed_answer_is_out_was_judged_when_it_went() {
        let policy: Pii = configure(r#"{"answers":"judge","rules":{"ip-address":{"action":"deny"}}}"#).unwrap();
        for (text, released, action) in [
            ("10.1.2.3 was sent and", 16, Action::Allow),
            ("10.1.2.3 was sent and", 8, Action::Allow),
            ("10.1.2.3 was sent and", 7, Action::Deny),
            ("10.1.2.3 was sent to 10.1.2.4", 16, Action::Deny),
        ] {
            let mut choice = Message::assistant(text);
            choice.parts[0].window = Some(Window { offset: 100, released });
            let verdict = policy.response(&Context::example(), &Answer { choices: vec![choice], more: true });
            assert_eq!(
                (verdict.action, verdict.findings.len()),
                (action, usize::from(action != Action::Allow)),
                "{text}"
            );
        }
    }

    #[test]
    fn every_rule_has_its_own_switch_action_and_mask() {
        let settings = r#"{"rules":{"email":{"mask":"***"},"phone":{"enabled":false},"us-ssn":{"action":"warn"}}}"#;
        let verdict = check(settings, &[Message::user("jane@example.org, +49 30 123456, 123-45-6789")]);
        assert_eq!(verdict.action, Action::Redact);
        assert_eq!(rules(&verdict), ["email", "us-ssn"]);
        assert_eq!(verdict.edits.len(), 1);
        assert_eq!(verdict.edits[0].replacement, "***");
        let allowed = check(r#"{"rules":{"email":{"action":"allow"}}}"#, &[Message::user("jane@example.org")]);
        assert_eq!((allowed.action, rules(&allowed)), (Action::Allow, vec!["email"]));
    }

    #[test]
    fn a_long_log_is_masked_as_far_as_a_verdict_goes() {
        let log = |lines| Message::user("203.0.113.7 - - GET /\n".repeat(lines));
        let masked = check("{}", &[log(10_000)]);
        assert_eq!((masked.action, masked.edits.len(), masked.findings.len()), (Action::Redact, 10_000, 2_000));
        assert_eq!(masked.tags, [("findings-left-out".to_owned(), "8000".to_owned())]);
        let refused = check("{}", &[log(10_000), log(1)]);
        assert_eq!((refused.action, refused.edits.len()), (Action::Deny, 0));
        assert_eq!(refused.reason.as_deref(), Some("There is more to mask than one verdict can hold"));
        let allowed = check(r#"{"rules":{"ip-address":{"action":"allow"}}}"#, &[log(10_001)]);
        assert_eq!((allowed.action, allowed.findings.len()), (Action::Allow, 2_000));
    }

    #[test]
    fn the_description_names_the_rules_in_force() {
        let policy: Pii = configure(r#"{"rules":{"phone":{"enabled":false}}}"#).unwrap();
        let rules: Vec<String> = policy.describe().rules.into_iter().map(|rule| rule.id).collect();
        assert_eq!(rules, ["payment-card", "us-ssn", "iban", "pan", "aadhaar", "email", "ip-address"]);
    }

    #[test]
    fn unknown_settings_are_refused_by_name() {
        for (settings, part) in [
            (r#"{"rule":{}}"#, "settings.rule: unknown field `rule`"),
            (r#"{"rules":{"emial":{}}}"#, "unknown rule `emial`, expected one of `payment-card`"),
            (r#"{"rules":{"email":{"actoin":"deny"}}}"#, "settings.rules.email.actoin: unknown field `actoin`"),
            (r#"{"rules":{"email":{"action":"mask"}}}"#, "settings.rules.email.action: unknown variant `mask`"),
        ] {
            let error = configure::<Pii>(settings).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
