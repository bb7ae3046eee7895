//! Text of upstreams made fit for logs and clients.

use crate::text::does_harm;

/// The longest text of an upstream that is repeated to anybody, in characters.
pub(crate) const MESSAGE_CHARS: usize = 600;

/// The longest id or code of an upstream that is repeated, in characters.
const TOKEN_CHARS: usize = 80;

/// `text` in one line: runs of white space become one space, what else does harm is escaped, and what is longer than `limit`
/// characters ends in `...`.
pub fn clean(text: &str, limit: usize) -> String {
    let mut out = String::with_capacity(text.len().min(limit.saturating_mul(4)));
    let mut chars = 0;
    let mut space = false;
    for character in text.trim().chars() {
        if character.is_whitespace() {
            space = true;
            continue;
        }
        if chars >= limit {
            out.push_str("...");
            return out;
        }
        if space {
            out.push(' ');
            chars += 1;
            space = false;
        }
        if does_harm(character) {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
        chars += 1;
    }
    out
}

/// An id, a code or a type of an upstream: short and of visible ASCII, or not at all.
pub(crate) fn token(text: &str) -> Option<String> {
    let text = text.trim();
    is_token(text).then(|| text.to_owned())
}

/// Whether a text is one as it is.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.len() <= TOKEN_CHARS && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_one_bounded_line() {
        for (text, limit, expected) in [
            ("plain", 10, "plain"),
            ("  two\r\n\tlines ", 20, "two lines"),
            ("bell\u{7} esc\u{1b}[31m", 40, "bell\\u{7} esc\\u{1b}[31m"),
            ("\u{202e}dlrow", 40, "\\u{202e}dlrow"),
            ("éàü too long", 3, "éàü..."),
            ("exact", 5, "exact"),
            ("exact ", 5, "exact"),
            ("", 5, ""),
        ] {
            assert_eq!(clean(text, limit), expected, "{text:?}");
        }
    }

    #[test]
    fn tokens_are_short_and_visible() {
        assert_eq!(token(" 1300 ").as_deref(), Some("1300"));
        for text in ["", "two words", "line\nfeed", "é", &"x".repeat(81)] {
            assert_eq!(token(text), None, "{text:?}");
        }
    }
}
