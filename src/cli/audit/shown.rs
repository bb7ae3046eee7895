//! Text of callers and of models on a terminal: what would move the cursor, break a line or turn it is shown escaped.

use crate::text::{self, does_harm};

/// As one line.
pub(super) fn one_line(text: &str) -> String {
    text::one_line(text, usize::MAX)
}

/// As lines: their ends stay.
pub(super) fn lines(text: &str) -> String {
    text::escaped(text, usize::MAX, |character| character == '\n')
}

/// JSON as the same JSON: of what does harm it escapes by itself what ASCII has.
pub(super) fn json(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if does_harm(character) && (!character.is_ascii() || character == '\u{7f}') {
            // It stands in a text: JSON has nothing else that is not ASCII.
            shown.push_str(&format!("\\u{:04x}", u32::from(character)));
        } else {
            shown.push(character);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_moves_the_cursor_or_turns_a_line_and_json_stays_the_same() {
        let text = "a\u{1b}[2J\u{9b}2J\u{7f}\u{202e}b\u{2028}\nc \u{e9}";
        let shown = r"a\u{1b}[2J\u{9b}2J\u{7f}\u{202e}b\u{2028}";
        assert_eq!(one_line(text), format!("{shown}\\nc \u{e9}"));
        assert_eq!(lines(text), format!("{shown}\nc \u{e9}"));
        let value = serde_json::json!({ "text": text });
        let written = json(&value.to_string());
        assert!(!written.chars().any(does_harm), "{written:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&written).unwrap(), value);
    }
}
