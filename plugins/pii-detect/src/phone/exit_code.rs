//! Numbers behind `00` and a country's code, which stand for themselves as those of `+` do.
//!
//! Zeros stand before the numbers of orders, lines and files, too. So only two forms that these hardly have: four pairs
//! behind an area of one digit, `0033 6 12 34 56 78`, and the zero in brackets, `0049 (0)171 1234567`. All others count
//! only behind a word such as "phone".

use crate::aadhaar::aadhaar;
use crate::bytes::{byte, is_whole_number};
use crate::digits::{Gap, Group, Groups, read_gap};
use crate::ip_address::v6;
use crate::payment_card::card;
use crate::row::is_outside_row;
use crate::ssn::ssn;

/// Where the number that begins with the first group ends.
pub(super) fn with_exit_code(text: &[u8], groups: &[Group]) -> Option<usize> {
    let first = groups.first()?;
    if !is_country(text[first.start..first.end].strip_prefix(b"00")?) {
        return None;
    }
    in_pairs(text, groups).or_else(|| with_zero_in_brackets(text, first))
}

/// `0033 6 12 34 56 78`, in no longer row.
fn in_pairs(text: &[u8], groups: &[Group]) -> Option<usize> {
    let [country, area, pairs @ ..] = groups else { return None };
    let gap = area.gap.filter(|gap| matches!(gap, Gap::Space | Gap::Dash))?;
    let is_form = (country.len(), area.len(), pairs.len()) == (4, 1, 4)
        && text[area.start] != b'0'
        && pairs.iter().all(|pair| pair.len() == 2 && pair.gap == Some(gap));
    let end = groups.last()?.end;
    (is_form && is_outside_row(text, country.start, end, gap) && is_whole_number(text, country.start, end))
        .then_some(end)
}

/// `(0)171 1234567` behind the country's code, up to a number that is none of it.
fn with_zero_in_brackets(text: &[u8], country: &Group) -> Option<usize> {
    let behind_gap = |at| read_gap(text, at).filter(|(_, gap)| gap.is_plain()).map_or(at, |(end, _)| end);
    let bracket = behind_gap(country.end);
    if !text[bracket..].starts_with(b"(0)") {
        return None;
    }
    let area = behind_gap(bracket + b"(0)".len());
    let groups = Groups::read(text, area);
    let belongs = |group: &&Group| group.gap.is_none_or(|gap| gap.is_plain() || matches!(gap, Gap::Dot | Gap::Slash));
    let count = groups.as_slice().iter().take_while(belongs).count();
    (2..=count).rev().map(|count| &groups.as_slice()[..count]).find_map(|groups| {
        let (digits, end) = (groups.iter().map(Group::len).sum::<usize>(), groups.last()?.end);
        let is_number = (7..=12).contains(&digits) && text[area] != b'0' && is_whole_number(text, country.start, end);
        (is_number && !hides_another(text, country.start, end)).then_some(end)
    })
}

/// Whether a card, a social security or Aadhaar number begins behind the first group of the digits from `start` to `end`, or
/// the last of them belong to an IPv6 address: the zeros are no country's then.
pub(super) fn hides_another(text: &[u8], start: usize, end: usize) -> bool {
    let is_begin = |at: &usize| text[*at].is_ascii_digit() && !text[at - 1].is_ascii_digit();
    let begins = |at: usize| {
        let groups = Groups::read(text, at);
        let groups = groups.as_slice();
        // Nine digits in one piece are a telephone number as often.
        let is_written = |ssn: usize| ssn > at + 9;
        card(text, groups).or_else(|| aadhaar(text, groups)).is_some() || ssn(text, at).is_some_and(is_written)
    };
    let is_of_address = byte(text, end) == Some(b':') && v6(text, end, start).is_ok();
    is_of_address || (start + 1..end).filter(is_begin).any(begins)
}

/// Whether a country, or some of them together, has this code (E.164). One of three digits begins like none of two.
fn is_country(code: &[u8]) -> bool {
    let two = |code: &[u8]| {
        let number = (code[0] - b'0') * 10 + code[1] - b'0';
        matches!(number, 20 | 27 | 30..=34 | 36 | 39..=41 | 43..=49 | 51..=58 | 60..=66 | 81 | 82 | 84 | 86 | 90..=95 | 98)
    };
    match code {
        [_, _] => two(code),
        [b'2'..=b'6' | b'8' | b'9', _, _] => !two(code),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::Rule::{self, Phone};
    use crate::support::{assert_passes, found};
    use crate::{Rules, find};

    #[test]
    fn what_stands_beside_such_a_number_does_not_hide_it() {
        for (text, number) in [
            ("Call 0033 6 12 34 56 78. 24 hours", "0033 6 12 34 56 78"),
            ("17,0033 6 12 34 56 78,42", "0033 6 12 34 56 78"),
            ("0049 (0)171 1234567 or mail", "0049 (0)171 1234567"),
            ("0033 (0)6 12 34 56 78 2001:db8::1", "0033 (0)6 12 34 56 78"),
            ("0044 (0) 20 7946 0958.", "0044 (0) 20 7946 0958"),
            ("0049 (0)171/1234567", "0049 (0)171/1234567"),
            ("0049 (0)30 123456 4111 1111 1111 1111", "0049 (0)30 123456"),
            ("0049 (0)30 123456 2024-05-06", "0049 (0)30 123456"),
            ("0033 6 12 34 56 78:Bea", "0033 6 12 34 56 78"),
        ] {
            assert_eq!(found(Phone, text), [number], "{text}");
        }
    }

    #[test]
    fn others_count_behind_a_word_that_says_so() {
        for number in [
            "0043 1 5123456",
            "0031 6 12345678",
            "0031-6-12345678",
            "0049 171/1234567",
            "00 49 171 1234567",
            "00 33 6 12 34 56 78",
            "001 (555) 123-4567",
            "00353 1 234 5678",
            "00491711234567",
        ] {
            assert_eq!(found(Phone, &format!("Tel: {number}")), [number]);
        }
    }

    #[test]
    fn zeros_in_front_take_no_other_number_away() {
        for (text, rule, datum) in [
            ("Customer 00 44 {}", Rule::PaymentCard, "4111 1111 1111 1111"),
            ("0020 1 {} 10.00", Rule::PaymentCard, "4111 1111 1111 1111"),
            ("001 ({})", Rule::PaymentCard, "5500 0000 0000 0004"),
            ("00 7 {}", Rule::PaymentCard, "4222222222222"),
            ("0044-{}", Rule::PaymentCard, "4222222222222"),
            ("0049 (0)30 123456 {}", Rule::PaymentCard, "4111 1111 1111 1111"),
            ("0049 (0){}", Rule::PaymentCard, "4111 1111 1111 1111"),
            ("Tel 0044 1 {}", Rule::PaymentCard, "4111 1111 1111 1111"),
            ("phone: 001 ({})", Rule::PaymentCard, "5500 0000 0000 0004"),
            ("row 0044 1 {} Jane", Rule::UsSsn, "123-45-6789"),
            ("Kunde 001 ({})", Rule::UsSsn, "123-45-6789"),
            ("0049 (0)30 {}", Rule::UsSsn, "123-45-6789"),
            ("SSN 0044 1 {}", Rule::UsSsn, "123456789"),
            ("Aadhaar 001 ({})", Rule::Aadhaar, "2341 2341 2346"),
            ("Tel 001 ({})", Rule::Aadhaar, "2341 2341 2346"),
            ("0033 6 12 34 56 78 {}", Rule::IpAddress, "2001:db8::1"),
            ("0049 (0)30 123456 {}", Rule::IpAddress, "2001:db8::1"),
        ] {
            let text = text.replace("{}", datum);
            let found = find(&text, Rules::ALL);
            assert!(found.iter().any(|found| found.rule == rule && &text[found.range.clone()] == datum), "{text}");
        }
    }

    #[test]
    fn numbers_and_rows_with_zeros_in_front_pass() {
        assert_passes(
            Phone,
            &[
                "0043 1 5123456",
                "0031-6-12345678",
                "0049 171/1234567",
                "00 49 171 1234567",
                "00353 1 234 5678",
                "ADR 0020 (2024-05-06)",
                "PEP 0020 (2004-08-19)",
                "backup.tar.001 (1073741824 bytes)",
                "Artikel 007 (4006381333931)",
                "Il y a 20 001 (100 000 000 habitants)",
                "0020 1 10023456 Schraube M8 0,50 EUR",
                "frame 007 3 1920 1080",
                "001 2 1024 4096",
                "seq 0031 4 1700000000",
                "Kunden-Nr. 0049-1-2345678",
                "Konto 0049/1234/5678",
                "Aktenzeichen: 0049 123/2024-12",
                "cpu 00 7 1700000000",
                "20240506 00 30 12345678",
                "0033 6 12 34 56 78 90",
                "17 0033 6 12 34 56 78",
                "0033 0 12 34 56 78",
                "0033 6 12 34 56",
                "0033 6 12-34-56-78",
                "0033  6  12  34  56  78",
                "0012 6 12 34 56 78",
                "007 9 12 34 56 78",
                "0049 (0) 12345678",
                "0049 (0)1 234",
                "0049 (1)171 1234567",
                "0012 (0)171 1234567",
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
