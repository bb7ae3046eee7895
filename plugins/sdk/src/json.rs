//! Numbers of JSON texts: what stands in the place of one has to be a JSON value too, or nobody can read the text.

use std::borrow::Cow;
use std::ops::Range;

use serde::de::IgnoredAny;

/// How far back is looked for what tells a value from prose, in bytes.
const REACH: usize = 1_024;

/// How sure it is that a text is JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Json {
    /// All of it is.
    Whole,
    /// Some of it may be: an answer may have a block of it, and of a stream only a piece is known. A value counts as
    /// one behind the name of a member.
    Perhaps,
}

impl Json {
    /// Of a whole text: whether it begins and ends as an object or an array does.
    pub(crate) fn of(text: &str) -> Self {
        let text = text.trim();
        let is_whole = text.starts_with('{') && text.ends_with('}') || text.starts_with('[') && text.ends_with(']');
        if is_whole { Self::Whole } else { Self::Perhaps }
    }
}

/// What is to stand in the place of `range`: the mask, in quotes where that is a whole number of a JSON text and the
/// mask by itself no JSON value. `is_cut`: the text has a beginning that is not known.
pub(crate) fn mask<'a>(text: &str, json: Json, is_cut: bool, range: Range<usize>, mask: &'a str) -> Cow<'a, str> {
    let is_value = |mask: &str| serde_json::from_str::<IgnoredAny>(mask).is_ok();
    match serde_json::to_string(mask) {
        Ok(quoted) if is_number(text, json, is_cut, range) && !is_value(mask) => Cow::Owned(quoted),
        _ => Cow::Borrowed(mask),
    }
}

/// Whether that is a whole number: where a value stands, and not in a string.
fn is_number(text: &str, json: Json, is_cut: bool, range: Range<usize>) -> bool {
    let (Some(before), Some(number), Some(after)) =
        (text.get(..range.start), text.get(range.clone()), text.get(range.end..))
    else {
        return false;
    };
    let next = after.trim_start_matches(is_space).chars().next();
    if !is_scalar(number) || !matches!(next, None | Some(',' | '}' | ']')) {
        return false;
    }
    let near = before.get(before.floor_char_boundary(before.len().saturating_sub(REACH))..).unwrap_or_default();
    if !near.trim_end_matches(is_space).ends_with([':', '[', ',']) {
        return false;
    }
    match near.rsplit_once('"') {
        Some((string, between)) => {
            let first = between.trim_start_matches(is_space).chars().next();
            let behind_string = match json {
                Json::Whole => matches!(first, Some(':' | ',' | '}' | ']')),
                Json::Perhaps => first == Some(':'),
            };
            // Else the quote may as well begin a string, or be one of its characters.
            let ends = !string.trim_end_matches(is_space).ends_with([':', ',', '[', '{', '\\']);
            behind_string && ends && has_no_words(between)
        }
        None if is_cut || near.len() < before.len() => {
            // The first word may be half of one.
            let rest = near.find(is_structure).and_then(|at| near.get(at..));
            json == Json::Whole && rest.is_some_and(has_no_words)
        }
        None => json == Json::Whole && has_no_words(near),
    }
}

/// Whether there is nothing in it but what stands between the strings of a JSON text.
fn has_no_words(between: &str) -> bool {
    between.split(is_structure).all(|word| word.is_empty() || is_scalar(word))
}

/// A number, `true`, `false` or `null`.
fn is_scalar(word: &str) -> bool {
    !word.starts_with(['"', '{', '[', ' ']) && serde_json::from_str::<IgnoredAny>(word).is_ok()
}

fn is_structure(character: char) -> bool {
    is_space(character) || matches!(character, '{' | '}' | '[' | ']' | ':' | ',')
}

fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    const CARD: &str = "4111111111111111";

    fn masked(text: &str, json: Json, is_cut: bool) -> String {
        let start = text.rfind(CARD).unwrap();
        text.replace(CARD, &mask(text, json, is_cut, start..start + CARD.len(), "[CARD]"))
    }

    #[test]
    fn a_number_of_a_json_text_is_masked_with_a_string() {
        for text in [
            r#"{"card": 4111111111111111}"#,
            r#"{"card":4111111111111111,"name":"Jane"}"#,
            "{\"cards\":[\n  1,\n  true, 4111111111111111\n]}",
            "[4111111111111111]",
            r#"[{"a":"b"},4111111111111111]"#,
            r#"{"a":{"b":"4"},"c":4111111111111111"#,
        ] {
            let expected = text.replace(CARD, "\"[CARD]\"");
            assert_eq!(masked(text, Json::Whole, false), expected);
            assert_eq!(masked(text, Json::Whole, true), expected);
        }
        let long = format!("[{}4111111111111111]", "12345, ".repeat(300));
        assert!(masked(&long, Json::Whole, false).ends_with(", \"[CARD]\"]"));
        assert!(masked("45, 4111111111111111]", Json::Whole, true).ends_with(", \"[CARD]\"]"));
        let block = "See:\n```json\n{\"card\": 4111111111111111}\n```";
        assert_eq!(masked(block, Json::Perhaps, true), block.replace(CARD, "\"[CARD]\""));
    }

    #[test]
    fn what_is_no_number_of_a_json_text_keeps_the_bare_mask() {
        for text in [
            r#"{"note":"card: 4111111111111111, thanks"}"#,
            r#"{"note":"4111111111111111"}"#,
            r#"{"note":"1, 4111111111111111, 2"}"#,
            r#"{"note":": 4111111111111111, 2"}"#,
            r#"{"note":"the \"card\": 4111111111111111, 2"}"#,
            r#"{"card":-4111111111111111}"#,
            r#"{"card":4111111111111111.5}"#,
            r#"{"card":4111111111111111e1}"#,
            "Card: 4111111111111111, thanks",
        ] {
            assert_eq!(masked(text, Json::Whole, false), text.replace(CARD, "[CARD]"));
        }
        for text in ["Cards: 1, 4111111111111111, 2", "1, 4111111111111111", r#"He said "yes", 4111111111111111, "no""#]
        {
            assert_eq!(masked(text, Json::of(text), false), text.replace(CARD, "[CARD]"));
        }
    }

    #[test]
    fn a_mask_that_is_a_json_value_stays_what_it_is() {
        let text = r#"{"card":4111111111111111}"#;
        for (with, expected) in [("0", "0"), ("null", "null"), ("***", "\"***\""), ("a\"b", r#""a\"b""#), ("", "\"\"")]
        {
            assert_eq!(mask(text, Json::Whole, false, 8..24, with), expected);
        }
    }
}
