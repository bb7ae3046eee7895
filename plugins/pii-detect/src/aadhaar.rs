//! Indian Aadhaar numbers: twelve digits, the first not 0 or 1, Verhoeff.

use crate::bytes::{REFERENCES, byte, byte_before, follows, is_in_uuid, is_outside_row, is_whole_number};
use crate::checksum::verhoeff;
use crate::digits::{Digits, Gap, Group};

/// Where the number that begins with the first group ends.
pub(crate) fn aadhaar(text: &[u8], groups: &[Group]) -> Option<usize> {
    let count = match groups {
        [a, ..] if a.len() == 12 => 1,
        [a, b, c, ..]
            if [a, b, c].iter().all(|group| group.len() == 4) && b.gap == c.gap && b.gap.is_some_and(Gap::is_plain) =>
        {
            3
        }
        _ => return None,
    };
    let groups = &groups[..count];
    let (start, end) = (groups[0].start, groups[count - 1].end);
    let digits = Digits::of(text, groups)?;
    let digits = digits.as_slice();
    let one_of_many = groups.last()?.gap == Some(Gap::Space) && !is_outside_row(text, start, end);
    (digits[0] >= b'2'
        && verhoeff(digits)
        && is_whole_number(text, start, end)
        && !one_of_many
        && !is_in_uuid(text, start, end)
        && (count > 1 || !is_another_number(text, start, end)))
    .then_some(end)
}

/// One in ten numbers of twelve digits has a fitting check digit; these are known to be something else: a time such as
/// `202401021230`, a field of a name such as `arn:aws:iam::234123412346:user`, a number introduced as a reference.
fn is_another_number(text: &[u8], start: usize, end: usize) -> bool {
    let pair = |at: usize| (text[start + at] - b'0') * 10 + (text[start + at + 1] - b'0');
    let is_time = matches!(pair(0), 20)
        && (1..=12).contains(&pair(4))
        && (1..=31).contains(&pair(6))
        && pair(8) < 24
        && pair(10) < 60;
    let is_field = byte_before(text, start) == Some(b':') && byte(text, end) == Some(b':');
    let is_reference = follows(text, start, REFERENCES) && !follows(text, start, &["aadhaar"]);
    is_time || is_field || is_reference
}

#[cfg(test)]
mod tests {
    use crate::Rule::Aadhaar;
    use crate::support::{assert_finds, assert_passes, found};

    #[test]
    fn numbers_are_found_together_and_in_fours() {
        for number in [
            "234123412346",
            "2341 2341 2346",
            "2341-2341-2346",
            "999941057058",
            "9999 4105 7058",
            "2341\u{a0}2341\u{a0}2346",
        ] {
            assert_finds(Aadhaar, number);
        }
    }

    #[test]
    fn a_reference_that_says_aadhaar_is_one() {
        assert_eq!(found(Aadhaar, "My ticket: Aadhaar 234123412346"), ["234123412346"]);
    }

    #[test]
    fn other_numbers_of_twelve_digits_pass() {
        assert_passes(
            Aadhaar,
            &[
                "234123412345",
                "134123412346",
                "1999 4105 7058",
                "order 234123412346",
                "order number 234123412346",
                "arn:aws:iam::234123412346:user/jane",
                "2341 2341 2346 1234",
                "23412341-2346",
                "2341\n2341\n2346",
                "2341\t2341\t2346",
                "2341.2341.2346",
                "12345678-2341-2341-2346-123456789012",
            ],
        );
    }
}
