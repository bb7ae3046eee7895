//! Escapes in JSON text, such as the arguments of tools: `\n`, `\u00a0`.
//!
//! How many backslashes stand before the letter does not matter: a text may be JSON in JSON.

/// The character that the escape at the beginning of `text` stands for, and the escape's bytes.
pub(crate) fn escape(text: &[u8]) -> Option<(char, usize)> {
    match text {
        [b'\\', b'n', ..] => Some(('\n', 2)),
        [b'\\', b'r', ..] => Some(('\r', 2)),
        [b'\\', b't', ..] => Some(('\t', 2)),
        [b'\\', b'b' | b'f', ..] => Some(('\u{c}', 2)),
        [b'\\', b'u', digits @ ..] => {
            let digits = digits.get(..4)?.iter();
            let unit = digits
                .map(|digit| char::from(*digit).to_digit(16))
                .try_fold(0, |unit, digit| Some(unit * 16 + digit?))?;
            Some((char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER), 6))
        }
        _ => None,
    }
}

/// The same for the escape that ends at `end`.
pub(crate) fn escape_before(text: &[u8], end: usize) -> Option<(char, usize)> {
    [2, 6].into_iter().find_map(|length| {
        let start = end.checked_sub(length)?;
        escape(&text[start..end]).filter(|(_, found)| *found == length)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_read_from_both_ends() {
        for (text, expected) in [
            (r"\n", Some(('\n', 2))),
            (r"\u00A0", Some(('\u{a0}', 6))),
            (r"\ud83d", Some((char::REPLACEMENT_CHARACTER, 6))),
            (r"\u00g0", None),
            (r"\u00a", None),
            (r"\x", None),
            ("n", None),
            ("", None),
        ] {
            assert_eq!(escape(text.as_bytes()), expected, "{text}");
            assert_eq!(escape_before(text.as_bytes(), text.len()), expected, "{text}");
        }
    }
}
