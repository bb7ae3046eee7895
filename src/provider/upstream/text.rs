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

/// The path of a field in a request, such as `messages[0].content`: as short, or not at all.
pub(crate) fn field_path(text: &str) -> Option<String> {
    let is_name =
        |name: &str| !name.is_empty() && name.bytes().all(|it| it.is_ascii_alphanumeric() || b"_-".contains(&it));
    let is_index = |index: &str| !index.is_empty() && index.bytes().all(|it| it.is_ascii_digit());
    let is_step = |step: &str| {
        let mut pieces = step.split('[');
        pieces.next().is_some_and(is_name) && pieces.all(|piece| piece.strip_suffix(']').is_some_and(is_index))
    };
    token(text).filter(|path| path.split('.').all(is_step))
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

    #[test]
    fn what_is_no_path_of_a_field_is_none() {
        for text in ["stop", "messages[0].content", "messages.0.content", "tools[12][3].function.name", "x-of_mine"] {
            assert_eq!(field_path(text).as_deref(), Some(text));
        }
        let long = "x".repeat(81);
        for text in
            ["", ".", "a.", "[0]", "a[]", "a[b]", "a[0", "a[0]b", "two words", "jane@example.org", "a\u{7}", &long]
        {
            assert_eq!(field_path(text), None, "{text:?}");
        }
    }
}
