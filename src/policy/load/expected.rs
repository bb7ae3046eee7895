//! How a verdict differs from what a case expects.

use crate::chat::Message;
use crate::policy::manifest::{Case, Expectation};
use crate::policy::verdict::{self, Verdict};

/// The first difference, in words.
pub(super) fn unexpected(case: &Case, verdict: &Verdict, messages: Vec<Message>) -> Option<String> {
    let expected = &case.expect;
    action(expected, verdict)
        .or_else(|| rules(expected, verdict))
        .or_else(|| routing(expected, verdict))
        .or_else(|| tags(expected, verdict))
        .or_else(|| texts(expected, verdict, messages))
}

fn action(expected: &Expectation, verdict: &Verdict) -> Option<String> {
    let action = expected.action.filter(|action| *action != verdict.action)?;
    let (wanted, got) = (action.as_str(), verdict.action.as_str());
    Some(format!("expected `{wanted}`, got `{got}` (findings: {})", found(verdict)))
}

/// The rules that found something.
fn found(verdict: &Verdict) -> String {
    let rules: Vec<_> = verdict.findings.iter().map(|finding| finding.rule.as_str()).collect();
    if rules.is_empty() { "none".to_owned() } else { rules.join(", ") }
}

fn rules(expected: &Expectation, verdict: &Verdict) -> Option<String> {
    let has = |rule: &String| verdict.findings.iter().any(|finding| &finding.rule == rule);
    let missing = expected.rules.iter().find(|rule| !has(rule))?;
    Some(format!("expected a finding of rule `{missing}` (findings: {})", found(verdict)))
}

/// Names without order and case, as the router takes them.
fn routing(expected: &Expectation, verdict: &Verdict) -> Option<String> {
    let limits = verdict.routing.clone().unwrap_or_default();
    let differs = |what: &str, expected: Option<&Vec<String>>, got: &[String]| {
        let plain = |names: &[String]| {
            let mut names: Vec<_> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
            names.sort_unstable();
            names.dedup();
            names
        };
        let shown = |names: &[String]| if names.is_empty() { "any".to_owned() } else { names.join(", ") };
        let expected = expected.filter(|expected| plain(expected) != plain(got))?;
        Some(format!("expected the {what} {}, got {}", shown(expected), shown(got)))
    };
    differs("providers", expected.providers.as_ref(), &limits.providers)
        .or_else(|| differs("regions", expected.regions.as_ref(), &limits.regions))
}

fn tags(expected: &Expectation, verdict: &Verdict) -> Option<String> {
    let missing = expected.tags.iter().find(|(name, value)| {
        let is_it = |(tag, of_tag): &(String, String)| (tag, of_tag) == (name, value);
        !verdict.tags.iter().any(is_it)
    });
    let (name, value) = missing?;
    let got: Vec<_> = verdict.tags.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let got = if got.is_empty() { "none".to_owned() } else { got.join(", ") };
    Some(format!("expected the tag `{name}={value}`, got {got}"))
}

fn texts(expected: &Expectation, verdict: &Verdict, mut messages: Vec<Message>) -> Option<String> {
    if verdict.edits_apply() {
        verdict::apply(&verdict.edits, &mut messages);
    }
    let text_of = |message: &Message| message.parts.iter().filter_map(|part| part.text()).collect::<String>();
    let got: Vec<_> = messages.iter().map(text_of).collect();
    if let (Some(text), Some(last)) = (&expected.text, got.last())
        && text != last
    {
        return Some(format!("expected the text `{text}`, got `{last}`"));
    }
    let texts = expected.texts.as_ref().filter(|texts| **texts != got)?;
    Some(match (0..).zip(texts).zip(&got).find(|((_, text), got)| text != got) {
        Some(((index, text), got)) => format!("expected the text `{text}` of message {index}, got `{got}`"),
        None => format!("expected {} texts, got {}", texts.len(), got.len()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::manifest::Manifest;
    use crate::policy::verdict::{Action, Edit, Place, Routing};

    fn told(expect: &str, verdict: &Verdict) -> Option<String> {
        let manifest = format!(
            "name: p\nmodule: p.wasm\ntests:\n  - name: c\n    messages: [{{ role: user, text: one }}, {{ role: user, text: \
             two }}]\n    expect: {{ {expect} }}\n"
        );
        let case = Manifest::parse(&manifest, "p.yaml").unwrap().tests.remove(0);
        unexpected(&case, verdict, case.conversation())
    }

    #[test]
    fn a_case_may_claim_routing_tags_and_every_text() {
        let place = Place { message: 0, part: 0, start: 0, end: 1 };
        let limited = Verdict {
            action: Action::Redact,
            edits: vec![Edit { place, replacement: "0".into() }],
            routing: Some(Routing { providers: vec![], regions: vec!["eu".into(), "CH".into()] }),
            tags: vec![("plan".into(), "free".into()), ("team".into(), "a".into())],
            ..Verdict::default()
        };
        for (expect, problem) in [
            ("regions: [ch, EU], providers: [], tags: { team: a }, texts: [0ne, two], text: two", None),
            ("regions: [eu]", Some("expected the regions eu, got eu, CH")),
            ("regions: []", Some("expected the regions any, got eu, CH")),
            ("providers: [mistral]", Some("expected the providers mistral, got any")),
            ("tags: { team: b }", Some("expected the tag `team=b`, got plan=free, team=a")),
            ("texts: [one, two]", Some("expected the text `one` of message 0, got `0ne`")),
            ("texts: [0ne]", Some("expected 1 texts, got 2")),
            ("text: 0ne", Some("expected the text `0ne`, got `two`")),
        ] {
            assert_eq!(told(expect, &limited).as_deref(), problem, "{expect}");
        }
        assert_eq!(told("regions: [], providers: []", &Verdict::default()), None);
        let problem = Some("expected the tag `team=a`, got none".to_owned());
        assert_eq!(told("tags: { team: a }", &Verdict::default()), problem);
    }
}
