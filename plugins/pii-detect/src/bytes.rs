//! What stands around a match.

use std::ops::Range;

use crate::digits::in_threes;
use crate::escape::escape_before;

/// The byte at `at`, if there is one.
pub(crate) fn byte(text: &[u8], at: usize) -> Option<u8> {
    text.get(at).copied()
}

/// The byte before `at`, if there is one.
pub(crate) fn byte_before(text: &[u8], at: usize) -> Option<u8> {
    at.checked_sub(1).and_then(|before| byte(text, before))
}

/// Part of a word: an ASCII letter, digit or underscore. Other alphabets do not count, see the crate's first page.
pub(crate) fn is_word(byte: Option<u8>) -> bool {
    byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Whether a part of a word stands before `at`. The letters and digits of an escape are none, and underscores only where
/// they join: those around `_10.1.2.3_` emphasize it.
pub(crate) fn is_word_before(text: &[u8], at: usize) -> bool {
    match byte_before(text, at) {
        Some(b'_') => is_alphanumeric_before(text, at - underscores(text[..at].iter().rev())),
        _ => is_alphanumeric_before(text, at),
    }
}

/// The same for what stands behind.
pub(crate) fn is_word_behind(text: &[u8], at: usize) -> bool {
    is_alphanumeric(byte(text, at + underscores(text[at..].iter())))
}

/// Whether a letter or digit stands before `at`, not of an escape.
pub(crate) fn is_alphanumeric_before(text: &[u8], at: usize) -> bool {
    is_alphanumeric(byte_before(text, at)) && escape_before(text, at).is_none()
}

pub(crate) fn is_alphanumeric(byte: Option<u8>) -> bool {
    byte.is_some_and(|byte| byte.is_ascii_alphanumeric())
}

/// How many come first; of more than these nobody joins words.
fn underscores<'a>(bytes: impl Iterator<Item = &'a u8>) -> usize {
    bytes.take(16).take_while(|byte| **byte == b'_').count()
}

pub(crate) fn is_digit(byte: Option<u8>) -> bool {
    byte.is_some_and(|byte| byte.is_ascii_digit())
}

/// Neither end is inside a word.
pub(crate) fn is_whole_word(text: &[u8], start: usize, end: usize) -> bool {
    !is_word_before(text, start) && !is_word_behind(text, end)
}

/// A number for itself: no part of a word, and not joined to further digits.
pub(crate) fn is_whole_number(text: &[u8], start: usize, end: usize) -> bool {
    is_whole_word(text, start, end) && !is_joined(text, start, end)
}

/// Joined to further digits by a point, dash or slash, as in decimals, part numbers and dates, or by a comma that is a mark
/// inside a number.
pub(crate) fn is_joined(text: &[u8], start: usize, end: usize) -> bool {
    // A comma beside a number with separators of its own is that of a table, unless the groups are thousands, too.
    let is_mark = |comma: usize| match text[start..end].iter().all(u8::is_ascii_digit) {
        true => is_decimal_comma(text, comma),
        false => in_threes(text, start, end).is_some(),
    };
    let joins = |at: usize| match byte(text, at) {
        Some(b'.' | b'-' | b'/') => true,
        Some(b',') => is_mark(at),
        _ => false,
    };
    let joined_before = start >= 2 && is_digit(byte_before(text, start - 1)) && joins(start - 1);
    let joined_after = is_digit(byte(text, end + 1)) && joins(end);
    joined_before || joined_after
}

/// Whether the comma at `comma`, between digits, may be the mark of a decimal. It is none where the row goes on with
/// another comma, and none beside a date or time. Only for runs of more than three digits, which are no thousands.
pub(crate) fn is_decimal_comma(text: &[u8], comma: usize) -> bool {
    // Longer than every number that is looked for, so that a hostile text is not read again and again.
    const REACH: usize = 20;
    let before = text[..comma].iter().rev().take(REACH).take_while(|byte| byte.is_ascii_digit()).count();
    let after = text[comma + 1..].iter().take(REACH).take_while(|byte| byte.is_ascii_digit()).count();
    let (start, end) = (comma - before, comma + 1 + after);
    let another_before = match byte_before(text, start) {
        Some(b',') => true,
        Some(b'-' | b'/' | b':') => start >= 2 && is_digit(byte_before(text, start - 1)),
        _ => false,
    };
    let another_after = match byte(text, end) {
        Some(b',') => byte(text, end + 1).is_some_and(|next| !next.is_ascii_whitespace() && next != b'\\'),
        Some(b'.' | b'-' | b'/' | b':') => is_digit(byte(text, end + 1)),
        _ => false,
    };
    !another_before && !another_after
}

/// The words before `at` on the same line, the nearest first: of `phoneNumber` both, of `iPhone` the whole. An escape is no
/// part of one.
pub(crate) fn words_before(text: &[u8], at: usize) -> impl Iterator<Item = &[u8]> {
    places_before(text, at).map(|place| &text[place])
}

/// Where these words stand.
pub(crate) fn places_before(text: &[u8], at: usize) -> impl Iterator<Item = Range<usize>> {
    let from = at.saturating_sub(REACH);
    let pieces = std::iter::successors(last_piece(&text[from..at]), |(before, _)| last_piece(before));
    let words = pieces.filter(|(_, word)| !word.is_empty());
    words.map(move |(before, word)| from + before.len()..from + before.len() + word.len())
}

/// In which words are looked for.
pub(crate) const REACH: usize = 32;

/// What stands before the last word or mark of a line, always less than the line, and that word; empty, if it is none.
fn last_piece(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let (last, before) = line.split_last().filter(|(last, _)| **last != b'\n')?;
    match escape_before(line, line.len()) {
        Some(('\n', _)) => return None,
        Some((_, length)) => return Some((&before[..line.len() - length], &[])),
        None if !last.is_ascii_alphabetic() => return Some((before, &[])),
        None => {}
    }
    let letters = line.iter().rev().take_while(|byte| byte.is_ascii_alphabetic()).count();
    let start = line.len() - letters;
    let begins = |three: &[u8]| three[1].is_ascii_lowercase() && three[2].is_ascii_uppercase();
    let start = start + line[start..].windows(3).rposition(begins).map_or(0, |before| before + 2);
    // The first letter may be that of `\n`. Alone, as in `C:\D` and `\u00fc`, it is no word.
    let start = start + usize::from(line[..start].ends_with(b"\\"));
    Some((&before[..start.min(before.len())], &line[start..]))
}

/// The words of a name, the last first.
pub(crate) fn words(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    words_before(name, name.len())
}

pub(crate) fn is_any(word: &[u8], words: &[&str]) -> bool {
    words.iter().any(|one| word.eq_ignore_ascii_case(one.as_bytes()))
}

/// Whether `name` ends so, in any case.
pub(crate) fn ends_with(name: &[u8], end: &[u8]) -> bool {
    name[name.len().saturating_sub(end.len())..].eq_ignore_ascii_case(end)
}

/// Whether one of the last three words before `at`, on the same line, is one of `cues` (in lower case).
pub(crate) fn follows(text: &[u8], at: usize, cues: &[&str]) -> bool {
    words_before(text, at).take(3).any(|word| is_any(word, cues))
}

/// The word directly before `at`, or before any of those that are `passed`.
pub(crate) fn word_before<'a>(text: &'a [u8], at: usize, passed: &[&str]) -> Option<&'a [u8]> {
    words_before(text, at).find(|word| !is_any(word, passed))
}

/// The word that says what the number at `at` is: the one directly before it, or before `no.`, `is` and the like.
pub(crate) fn name_before(text: &[u8], at: usize) -> Option<&[u8]> {
    word_before(text, at, &["number", "no", "nr", "id", "is"])
}

/// The key of the value at `at`: the word directly before it, or before `number` and the like.
pub(crate) fn key_before(text: &[u8], at: usize) -> Option<&[u8]> {
    word_before(text, at, NUMBER)
}

/// Where the name stands whose value the number at `at` is: one in quotation marks, or of several words such as `user_id`
/// and `ssnHash`, with a mark behind it that gives it a value.
pub(crate) fn name_of_value(text: &[u8], at: usize) -> Option<Range<usize>> {
    const REACH: usize = 64;
    let from = at.saturating_sub(REACH);
    let before = &text[from..at];
    let belongs = |byte: &&u8| is_word(Some(**byte));
    let last = before.iter().rposition(u8::is_ascii_alphabetic)?;
    let end = last + 1 + before[last + 1..].iter().take_while(belongs).count();
    let (name, marks) = before.split_at(end);
    let is_quoted = matches!(marks, [b'"' | b'\'' | b'\\', ..]);
    let start = match is_quoted {
        true => name.iter().rposition(|byte| matches!(byte, b'"' | b'\'')).map_or(0, |quote| quote + 1),
        false => end - name.iter().rev().take_while(belongs).count(),
    };
    let joins = |pair: &[u8]| pair[0] == b'_' || pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase();
    // In `SSN (jane_doe): 123456789` the bracket is a remark.
    let gives = marks.iter().any(|byte| b":=>(".contains(byte)) && !marks.starts_with(b")");
    (gives && (is_quoted || name[start..=last].windows(2).any(joins))).then(|| from + start..from + end)
}

/// Whether the word directly before `at` is `number` or the like.
pub(crate) fn is_number_before(text: &[u8], at: usize) -> bool {
    word_before(text, at, &[]).is_some_and(|word| is_any(word, NUMBER))
}

const NUMBER: &[&str] = &["number", "no", "nr"];

/// Whether that word is one of [`REFERENCES`].
pub(crate) fn is_reference(text: &[u8], at: usize) -> bool {
    name_before(text, at).is_some_and(|name| is_any(name, REFERENCES))
}

/// Words that announce a number which is no personal datum although it may look like one.
pub(crate) const REFERENCES: &[&str] = &[
    "order",
    "invoice",
    "ticket",
    "case",
    "ref",
    "reference",
    "sku",
    "part",
    "isbn",
    "issn",
    "ean",
    "tracking",
    "shipment",
    "parcel",
    "serial",
    "build",
    "version",
    "commit",
    "article",
    "bestellung",
    "rechnung",
    "commande",
];

/// Whether the range stands inside a UUID.
pub(crate) fn is_in_uuid(text: &[u8], start: usize, end: usize) -> bool {
    let belongs = |byte: &u8| byte.is_ascii_hexdigit() || *byte == b'-';
    let before = text[..start].iter().rev().take(37).take_while(|byte| belongs(byte)).count();
    let after = text[end..].iter().take(37).take_while(|byte| belongs(byte)).count();
    let token = &text[start - before..end + after];
    token.len() == 36 && (0..36).all(|at| (token[at] == b'-') == matches!(at, 8 | 13 | 18 | 23))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_end_whatever_backslashes_stand_among_them() {
        let mut texts = vec![Vec::new()];
        for _ in 0..=6 {
            for text in &texts {
                let words: Vec<_> = words(text).take(text.len() + 1).collect();
                let letters: usize = words.iter().map(|word| word.len()).sum();
                assert!(letters <= text.len() && !words.contains(&&b""[..]), "{}", text.escape_ascii());
            }
            let longer = |text: &Vec<u8>| br#"\unDf0""#.map(|byte| [&text[..], &[byte]].concat());
            texts = texts.iter().flat_map(longer).collect();
        }
    }

    #[test]
    fn an_escape_is_no_part_of_a_word() {
        for (text, expected) in [
            (r"phoneNumber: ", &["Number", "phone"][..]),
            (r"iPhone ", &["iPhone"]),
            (r"id\nSSN: ", &["SSN"]),
            (r"id\tSSN: ", &["SSN", "id"]),
            (r"M\u00fc ssn", &["ssn", "M"]),
            (r"C:\Users\D: ", &["sers", "C"]),
            (r"\d \\D \U", &[]),
        ] {
            let expected: Vec<_> = expected.iter().map(|word| word.as_bytes()).collect();
            assert_eq!(words(text.as_bytes()).collect::<Vec<_>>(), expected, "{text}");
        }
    }
}
