//! What the detectors' tests share.

use crate::{Match, Rule, Rules, find};

/// What `rule` finds in `text`.
pub(crate) fn found(rule: Rule, text: &str) -> Vec<&str> {
    find(text, Rules::NONE.with(rule)).into_iter().map(|found| &text[found.range]).collect()
}

/// `rule` finds `data`, by itself and among all rules: alone, inside a sentence, in brackets, directly behind other
/// alphabets, as a value and between escapes.
pub(crate) fn assert_finds(rule: Rule, data: &str) {
    for (before, after) in [
        ("", ""),
        ("Grüße 😀, it is ", ", please."),
        ("(", ")"),
        ("号码：", "。"),
        ("x=\"", "\"\n"),
        ("x:", ""),
        ("{\"k\":", "}"),
        (r#"{"k":"Hi\n"#, r#"\n"}"#),
        (r"Gr\u00fc\u00dfe:\u00a0", r"\u00a0\ud83d\ude00"),
    ] {
        let text = format!("{before}{data}{after}");
        let range = before.len()..before.len() + data.len();
        for rules in [Rules::NONE.with(rule), Rules::ALL] {
            assert_eq!(find(&text, rules), [Match { rule, range: range.clone() }], "{text}");
        }
    }
}

/// `rule` finds nothing in any of the texts, alone or inside a sentence.
pub(crate) fn assert_passes(rule: Rule, texts: &[&str]) {
    for text in texts {
        assert_eq!(found(rule, text), [""; 0], "{text}");
        assert_eq!(found(rule, &format!("see {text}, thanks")), [""; 0], "{text}");
    }
}
