//! Telephone numbers: international, and the national forms whose grouping gives them away.
//!
//! Ten bare digits are an order number or a time as often as a telephone; they count only behind a word such as
//! "phone". Grouped national numbers do not count behind a word such as "order".

use crate::bytes::{
    REFERENCES, byte, byte_before, follows, is_digit, is_outside_row, is_whole_number, is_word, is_word_before,
};
use crate::digits::{Gap, Group, shape};

/// North American numbers that begin with the area code. `d` stands for a digit.
const FROM_AREA: &[&str] =
    &["ddd-ddd-dddd", "ddd.ddd.dddd", "ddd ddd dddd", "ddd ddd-dddd", "ddd/ddd-dddd", "ddd-ddd dddd"];

/// Those with the country code.
const FROM_COUNTRY: &[&str] =
    &["1-ddd-ddd-dddd", "1 ddd ddd dddd", "1.ddd.ddd.dddd", "1 (ddd) ddd-dddd", "1-(ddd)-ddd-dddd", "1 ddd-ddd-dddd"];

/// Those with the area code in brackets.
const FROM_BRACKET: &[&str] =
    &["(ddd) ddd-dddd", "(ddd)ddd-dddd", "(ddd) ddd dddd", "(ddd)-ddd-dddd", "(ddd) ddd.dddd"];

const CUES: &[&str] = &[
    "phone",
    "telephone",
    "tel",
    "mobile",
    "cell",
    "cellphone",
    "fax",
    "whatsapp",
    "telefon",
    "handy",
    "handynummer",
    "mobil",
    "telefono",
    "portable",
    "sms",
];

/// `+` and a country code, at `start`. The end, if it is one.
pub(crate) fn international(text: &[u8], start: usize) -> Option<usize> {
    let before = byte_before(text, start);
    if is_word_before(text, start)
        || matches!(before, Some(b'+' | b')'))
        || !matches!(text.get(start + 1), Some(b'1'..=b'9'))
    {
        return None;
    }
    let (end, digits) = read_loosely(text, start + 1);
    (digits >= 8 && !is_word(byte(text, end)) && !is_decimal(text, end)).then_some(end)
}

/// Digits with at most two of ` -./()` and no-break spaces between them, up to the 15 of E.164; groups beyond are left.
fn read_loosely(text: &[u8], start: usize) -> (usize, usize) {
    let (mut at, mut end, mut digits) = (start, start, 0);
    loop {
        let group = text[at..].iter().take(16).take_while(|byte| byte.is_ascii_digit()).count();
        if group == 0 || digits + group > 15 {
            return (end, digits);
        }
        digits += group;
        end = at + group;
        let no_break_spaces = if text[end..].starts_with("\u{a0}".as_bytes()) { 2 } else { 0 };
        let separators = text[end + no_break_spaces..]
            .iter()
            .take(2)
            .take_while(|byte| matches!(byte, b' ' | b'-' | b'.' | b'/' | b'(' | b')'))
            .count();
        at = end + no_break_spaces + separators;
    }
}

/// A national number that begins at `start` with a run of `digits` digits. The end, if it is one.
pub(crate) fn national(text: &[u8], start: usize, digits: usize, groups: &[Group]) -> Option<usize> {
    let patterns = match digits {
        1 if text[start] == b'1' => FROM_COUNTRY,
        3 => FROM_AREA,
        _ => &[],
    };
    north_american(text, start, patterns)
        .or_else(|| with_trunk_zero(text, groups))
        .or_else(|| announced(text, start))
        .filter(|_| !follows(text, start, REFERENCES))
}

/// A North American number whose area code stands in brackets, the first of them at `start`.
pub(crate) fn in_brackets(text: &[u8], start: usize) -> Option<usize> {
    let patterns = if is_digit(byte(text, start + 1)) { FROM_BRACKET } else { &[] };
    north_american(text, start, patterns).filter(|_| !follows(text, start, REFERENCES))
}

fn north_american(text: &[u8], start: usize, patterns: &[&str]) -> Option<usize> {
    patterns.iter().find_map(|pattern| {
        let end = shape(text, start, pattern)?;
        let area = text[start + pattern.find('d')?];
        let spaced = !pattern.contains(['-', '.', '/', '(']);
        ((b'2'..=b'9').contains(&area)
            && is_whole_number(text, start, end)
            && (!spaced || is_outside_row(text, start, end)))
        .then_some(end)
    })
}

/// `030 1234567`, `06 12 34 56 78`, `020 7946 0958`, `0049 30 1234567`: a zero, and gaps of one kind.
fn with_trunk_zero(text: &[u8], groups: &[Group]) -> Option<usize> {
    let [first, second, ..] = groups else { return None };
    let (digit, next) = (text[first.start], *text.get(first.start + 1)?);
    let international = next == b'0' && matches!(text.get(first.start + 2), Some(b'1'..=b'9'));
    let area = !international && (2..=5).contains(&first.len()) && (b'1'..=b'9').contains(&next);
    let gap = second.gap?;
    if digit != b'0' || !(area || international) || gap == Gap::Other {
        return None;
    }
    let same = 1 + groups[1..].iter().take_while(|group| group.gap == Some(gap) && group.len() >= 2).count();
    let groups = &groups[..same];
    let digits: usize = groups.iter().map(Group::len).sum();
    let (start, end) = (first.start, groups.last()?.end);
    let most = if international { 17 } else { 12 };
    let is_date = matches!(groups, [a, b, c, ..] if a.len() == 2 && b.len() == 2 && c.len() == 4);
    let is_time = byte_before(text, start) == Some(b':') && start >= 2 && is_digit(byte_before(text, start - 1));
    (same > 1 && (9..=most).contains(&digits) && !is_date && !is_time && is_whole_number(text, start, end))
        .then_some(end)
}

/// Seven digits or more behind a word that says what they are.
fn announced(text: &[u8], start: usize) -> Option<usize> {
    // Looked at first because it is cheap: a word ends within a few marks before the number, such as in "Tel.: ".
    let marks = text[..start].iter().rev().take(4).take_while(|byte| matches!(byte, b' ' | b':' | b'.' | b'#' | b'='));
    let is_behind_word = byte_before(text, start - marks.count()).is_some_and(|byte| byte.is_ascii_alphabetic());
    if !is_behind_word || is_word_before(text, start) {
        return None;
    }
    let (end, digits) = read_loosely(text, start);
    (digits >= 7 && follows(text, start, CUES) && !is_word(byte(text, end))).then_some(end)
}

fn is_decimal(text: &[u8], end: usize) -> bool {
    matches!(byte(text, end), Some(b'.' | b',')) && is_digit(byte(text, end + 1))
}

#[cfg(test)]
mod tests {
    use crate::Rule::Phone;
    use crate::support::{assert_finds, assert_passes, found};

    #[test]
    fn numbers_are_found() {
        for number in [
            "+49 30 123456",
            "+49 (0)30 1234-567",
            "+1 (555) 123-4567",
            "+15551234567",
            "+33 6 12 34 56 78",
            "+91 98765 43210",
            "+44\u{a0}20\u{a0}7946\u{a0}0958",
            "+1.555.123.4567",
            "(555) 123-4567",
            "555-123-4567",
            "555.123.4567",
            "1-555-123-4567",
            "555 123 4567",
            "030 1234567",
            "030-1234567",
            "06 12 34 56 78",
            "020 7946 0958",
            "0049 30 1234567",
            "07911 123456",
        ] {
            assert_finds(Phone, number);
        }
    }

    #[test]
    fn bare_digits_count_behind_a_word_that_says_so() {
        assert_eq!(found(Phone, "Phone number: 5551234567."), ["5551234567"]);
        assert_eq!(found(Phone, "Tel.: 5551234"), ["5551234"]);
    }

    #[test]
    fn other_numbers_pass() {
        assert_passes(
            Phone,
            &[
                "5551234567",
                "1700000000",
                "1700000000000",
                "2024-01-02 10:30:00",
                "01-02-2024 10:30",
                "01 02 2024 10",
                "2024-01-02T10:30:00+01:00",
                "+5 points",
                "1+12345678",
                "order 555-123-4567",
                "order no. 555-123-4567",
                "100 200 300 400",
                "10 555 123 4567",
                "1,234,567,890",
                "1.234.567.890",
                "$555.123.4567.1",
                "0.123456789",
                "555-123-45678",
                "12345-123-1234",
                "978-3-16-148410-0",
                "550e8400-e29b-41d4-a716-446655440000",
                "192.168.100.200",
                "123-45-6789",
            ],
        );
    }
}
