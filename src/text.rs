//! Text of strangers (callers, models, guests, upstreams) made fit to be shown: in logs, in answers, on terminals.

/// Control characters, and those that break a line or turn the direction of writing: a terminal or a log would show
/// something else than what is there.
pub(crate) fn does_harm(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

/// One line of at most so many bytes: what does harm is shown escaped, what is beyond is cut.
pub(crate) fn one_line(text: &str, max_bytes: usize) -> String {
    escaped(text, max_bytes, |_| false)
}

/// The same, but for characters that may stay.
pub(crate) fn escaped(text: &str, max_bytes: usize, stays: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len().min(max_bytes));
    for character in text.chars() {
        let before = shown.len();
        if does_harm(character) && !stays(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
        if shown.len() > max_bytes {
            shown.truncate(before);
            break;
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_text_becomes_one_bounded_harmless_line() {
        assert_eq!(one_line("a\nb\u{1b}[31mc\u{202e}d", 100), "a\\nb\\u{1b}[31mc\\u{202e}d");
        assert_eq!(one_line("ääää", 5), "ää");
    }

    #[test]
    fn whatever_breaks_or_turns_a_line_is_escaped() {
        for character in
            "\r\n\t\u{7f}\u{85}\u{9b}\u{61c}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202e}\u{2066}\u{2069}".chars()
        {
            assert_eq!(one_line(&character.to_string(), 100), character.escape_default().to_string());
        }
        // Joiners and variation selectors belong to words and pictures.
        assert_eq!(one_line("\u{200d}\u{fe0f}é", 100), "\u{200d}\u{fe0f}é");
    }
}
