//! Numbers behind `00` and a country's code that stands for itself, as the one of `+` does: `0033 6 12 34 56 78`,
//! `0049 (0)171 1234567`, `0049 171/1234567`, `00 49 171 1234567`.
//!
//! Zeros stand before the numbers of orders and lines, too. So only what such a number has and a row has less often: an
//! area of one digit or in brackets, a slash behind the area, a gap behind the zeros.

use super::{is_date, read_loosely};
use crate::bytes::{byte, byte_before, is_digit, is_whole_number};
use crate::digits::{Gap, Group, read_gap};

/// Where the number that begins with the first group ends.
pub(super) fn with_exit_code(text: &[u8], groups: &[Group]) -> Option<usize> {
    let [first, others @ ..] = groups else { return None };
    let start = first.start;
    if !text[start..first.end].starts_with(b"00") {
        return None;
    }
    let (code, others) = match others {
        [code, others @ ..] if first.len() == 2 && code.gap == Some(Gap::Space) => (code.start..code.end, others),
        _ => (start + 2..first.end, others),
    };
    // In `10:00 49 171` and `1,00 49 171` the zeros belong to what stands before them.
    let joins = |byte: u8| byte == b':' || (byte == b',' && first.len() == 2);
    let is_behind_number = start >= 2 && joins(text[start - 1]) && is_digit(byte_before(text, start - 1));
    if !is_country(&text[code.clone()]) || is_behind_number {
        return None;
    }
    let area = read_gap(text, code.end).filter(|(_, gap)| gap.is_plain()).map_or(code.end, |(end, _)| end);
    // A dot ends a sentence, and further numbers may stand behind it.
    let dot = text[code.end..].iter().take(REACH).position(|byte| *byte == b'.').unwrap_or(REACH);
    let (end, digits) = read_loosely(&text[..text.len().min(code.end + dot)], code.start);
    let has_form = match (others, byte(text, area)?) {
        (_, b'(') => true,
        ([_, after, ..], _) if after.gap == Some(Gap::Slash) => true,
        ([area, ..], digit) => digit != b'0' && (first.len() == 2 || area.len() == 1),
        _ => false,
    };
    let lengths = || text[code.start..end].split(|byte| !byte.is_ascii_digit()).map(<[u8]>::len).filter(|len| *len > 0);
    let (count, short) = (lengths().count(), lengths().filter(|length| *length == 1).count());
    let is_row = short * 2 > count || lengths().all(|length| length == 2);
    let is_dated = is_date(text, area) || others.get(1).is_some_and(|group| is_date(text, group.start));
    (has_form && digits >= 10 && !is_row && !is_dated && is_whole_number(text, start, end)).then_some(end)
}

/// Longer than every number behind a country's code, with its separators.
const REACH: usize = 64;

/// Whether a country, or some of them together, has this code (E.164). One of three digits begins like none of two.
fn is_country(code: &[u8]) -> bool {
    let two = |code: &[u8]| {
        let number = (code[0] - b'0') * 10 + code[1] - b'0';
        matches!(number, 20 | 27 | 30..=34 | 36 | 39..=41 | 43..=49 | 51..=58 | 60..=66 | 81 | 82 | 84 | 86 | 90..=95 | 98)
    };
    match code {
        [only] => matches!(only, b'1' | b'7'),
        [_, _] => two(code),
        [b'2'..=b'6' | b'8' | b'9', _, _] => !two(code),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::Rule::Phone;
    use crate::support::{assert_passes, found};

    #[test]
    fn what_stands_beside_such_a_number_does_not_hide_it() {
        for (text, number) in [
            ("Call 0033 6 12 34 56 78. 24 hours", "0033 6 12 34 56 78"),
            ("17,0043 1 5123456,42", "0043 1 5123456"),
            ("0031 6 12345678 or mail", "0031 6 12345678"),
            ("Tel: 00491711234567", "00491711234567"),
            ("Tel: 00 49 171 1234567", "00 49 171 1234567"),
        ] {
            assert_eq!(found(Phone, text), [number], "{text}");
        }
    }

    #[test]
    fn numbers_and_rows_with_zeros_in_front_pass() {
        assert_passes(
            Phone,
            &[
                "00491711234567",
                "0012345678",
                "0044 0045 0046 0047 0048",
                "0033 2024-05-06 10:30",
                "0031 5/6/2024 10:30",
                "0043 5 2024-01-01",
                "0020 2 100 300",
                "0033 1 0 0 2 3 1 4 5 0",
                "0012 5 1234567",
                "00 20 30 40 50 60 70",
                "10:00 49 171 1234567",
                "1,00 49 171 1234567",
                "1.00 49 171 1234567",
                "00 10 12345678",
                "007 1 2 3 4 5 6 7",
                "0049 1",
                "order 0033 6 12 34 56 78",
            ],
        );
    }
}
