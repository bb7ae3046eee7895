//! Payment cards: issuer's prefix, length, Luhn.

use std::iter::successors;
use std::ops::{Range, RangeInclusive};

use crate::bytes::{byte, byte_before, is_digit, is_in_uuid, is_word};
use crate::checksum::{ean13, luhn};
use crate::digits::{Digits, Gap, Group, group_after, group_before};
use crate::row::is_outside_row;

/// How many digits a card has.
const LENGTHS: RangeInclusive<usize> = 12..=19;

/// Where the card number that begins with the first group ends.
pub(crate) fn card(text: &[u8], groups: &[Group]) -> Option<usize> {
    let start = groups.first()?.start;
    // The longest first: a number of 19 digits may begin with one of 16.
    (1..=groups.len().min(5)).rev().find_map(|count| {
        let groups = &groups[..count];
        let end = groups[count - 1].end;
        // First what is cheap: in a table there are such groups at each number.
        (LENGTHS.contains(&groups.iter().map(Group::len).sum())
            && is_grouped_like_a_card(groups)
            && is_joined_like_a_card(text, groups)
            && is_number_of_card(text, groups)
            && stands_alone(text, start, end)
            && !is_in_uuid(text, start, end)
            && !is_part_of_row(text, groups))
        .then_some(end)
    })
}

/// Whether an issuer gives out such numbers, with this check digit. Articles have thirteen digits, too, and are more
/// common than such old Visa cards.
fn is_number_of_card(text: &[u8], groups: &[Group]) -> bool {
    Digits::of(text, groups).is_some_and(|digits| {
        let digits = digits.as_slice();
        has_issuer(digits) && luhn(digits) && !ean13(digits)
    })
}

/// All together, in fours (or eights, twelves) with a rest, or as printed on American Express, Diners Club and old
/// Visa cards. Other groups are rows of unrelated numbers more often than cards, and with underscores a name's date and
/// time: `scan_3024_20240512_143011.pdf`.
fn is_grouped_like_a_card(groups: &[Group]) -> bool {
    let mut lengths = [0; 5];
    for (length, group) in lengths.iter_mut().zip(groups) {
        *length = group.len();
    }
    let is_joined = groups.iter().any(|group| group.gap == Some(Gap::Underscore));
    match lengths {
        [_, 0, ..] | [4, 6, 5 | 4, 0, 0] => true,
        _ if is_joined => {
            groups[..groups.len() - 1].iter().all(|group| group.len() == 4) && groups[groups.len() - 1].len() <= 4
        }
        [6, 13, 0, ..] | [4, 3, 3, 3, 0] => true,
        _ => groups[..groups.len() - 1].iter().all(|group| group.len() % 4 == 0),
    }
}

/// With spaces and dashes, or dots, tabs or underscores throughout. A number that began on a line, behind something that is none,
/// may be wrapped once; rows and columns of numbers are not read as one.
fn is_joined_like_a_card(text: &[u8], groups: &[Group]) -> bool {
    let gaps = || groups.iter().filter_map(|group| group.gap);
    let (start, end) = (groups[0].start, groups[groups.len() - 1].end);
    let inner = gaps().find(|gap| *gap != Gap::Line).unwrap_or(Gap::Space);
    let begins_on_line =
        || !matches!(byte_before(text, start), None | Some(b'\n')) && is_outside_row(text, start, end, inner);
    match gaps().filter(|gap| *gap == Gap::Line).count() {
        0 => {
            [Gap::Dot, Gap::Tab, Gap::Underscore].iter().any(|one| gaps().all(|gap| gap == *one))
                || gaps().all(Gap::is_plain)
        }
        1 => gaps().all(|gap| gap.is_plain() || gap == Gap::Line) && groups.len() > 2 && begins_on_line(),
        _ => false,
    }
}

/// Whether groups of one length, of which the last may be a rest, are some of a row of such groups: five others stand on
/// one side. A card's expiry, year and PIN are fewer, and so are the groups of one more card, even a mistyped one. Nor
/// is it a row where that one begins like a card, or there is a card behind the first of the others. In a table two others
/// do, whatever they are.
fn is_part_of_row(text: &[u8], groups: &[Group]) -> bool {
    const ROW: usize = 5;
    /// A card and three groups between.
    const REACH: usize = 7;
    let [first, second, ..] = groups else { return false };
    let (length, last) = (first.len(), &groups[groups.len() - 1]);
    if groups[..groups.len() - 1].iter().any(|group| group.len() != length) {
        return false;
    }
    let of_card = 16usize.div_ceil(length);
    let is_issued = |groups: &[Group]| Digits::of(text, groups).is_some_and(|digits| has_issuer(digits.as_slice()));
    let has_card = |others: &[Group]| others.windows(of_card).any(|groups| is_number_of_card(text, groups));
    let is_other = |(group, gap): &(Group, Gap)| group.len() == length && Some(*gap) == second.gap;
    let (mut before, mut after) = ([*first; REACH], [*first; REACH]);
    let others = successors(group_before(text, first.start), |(group, _)| group_before(text, group.start));
    let slots = before.iter_mut().rev().zip(others.take_while(is_other));
    let count = slots.map(|(slot, (group, _))| *slot = group).count();
    let before = &before[REACH - count..];
    let others = successors(group_after(text, last.end), |(group, _)| group_after(text, group.end));
    let slots = after.iter_mut().zip(others.take_while(is_other));
    let count = slots.map(|(slot, (group, _))| *slot = group).count();
    let after = &after[..count];
    let is_row = |others: &[Group], nearest: &[Group]| !is_issued(nearest) && !has_card(others);
    (before.len() >= ROW && is_row(before, &before[before.len() - of_card..]))
        || (after.len() >= ROW && is_row(after, &after[..of_card]))
        || (before.len() + after.len() >= 2 && is_in_table(text, first.start, last.end, groups.len()))
}

/// Whether the number stands in a table: of the lines beside its own, up to three above and below, two have as many numbers
/// and in its place some of the same lengths, and less than half of these have a card there. Cards in a list stand above
/// each other, and few of them are mistyped, or all of them begin like cards; in a long table two that look like cards do,
/// too.
fn is_in_table(text: &[u8], start: usize, end: usize, count: usize) -> bool {
    const LINES: usize = 3;
    let Some(own) = line_around(text, start) else { return false };
    if end > own.end {
        return false;
    }
    let place = runs(text, own.start..start).count();
    let (numbers, lengths) = (runs(text, own.clone()).count(), runs(text, start..end).map(|run| run.len()));
    let before = |line: &Range<usize>| line_around(text, line.start.checked_sub(1)?);
    let behind =
        |line: &Range<usize>| Some(line.end + 1).filter(|at| *at < text.len()).and_then(|at| line_around(text, at));
    let is_alike = |line: &Range<usize>| runs(text, line.clone()).count() == numbers;
    let above = successors(before(&own), before).take(LINES).take_while(is_alike);
    let below = successors(behind(&own), behind).take(LINES).take_while(is_alike);
    let lengths: Vec<_> = lengths.collect();
    let (mut alike, mut issued, mut cards) = (0, 0, 0);
    for line in above.chain(below) {
        let there: Vec<_> = runs(text, line).skip(place).take(count).collect();
        alike += usize::from(there.iter().map(Range::len).eq(lengths.iter().copied()));
        let digits: Vec<u8> = there.into_iter().flat_map(|run| text[run].iter().copied()).collect();
        issued += usize::from(has_issuer(&digits));
        cards += usize::from(has_issuer(&digits) && luhn(&digits));
    }
    alike >= 2 && cards * 2 < alike && (cards == 0 || issued < alike)
}

/// The line in which a place is, without its break; `None` for a long one.
fn line_around(text: &[u8], at: usize) -> Option<Range<usize>> {
    const LONGEST: usize = 160;
    let is_break = |byte: &u8| *byte == b'\n';
    let before = text[..at].iter().rev().take(LONGEST).position(is_break);
    let start = before.map_or_else(|| (at <= LONGEST).then_some(0), |length| Some(at - length))?;
    let after = text[at..].iter().take(LONGEST).position(is_break);
    let end = after.map_or_else(|| (text.len() - at <= LONGEST).then_some(text.len()), |length| Some(at + length))?;
    Some(start..end)
}

/// The runs of digits there.
fn runs(text: &[u8], range: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let mut at = range.start;
    std::iter::from_fn(move || {
        let rest = text.get(at..range.end)?;
        let start = at + rest.iter().position(u8::is_ascii_digit)?;
        let end = start + text[start..range.end].iter().take_while(|byte| byte.is_ascii_digit()).count();
        at = end;
        Some(start..end)
    })
}

/// Whether an issuer gives out numbers with this beginning and length. Ranges as published by the networks.
fn has_issuer(digits: &[u8]) -> bool {
    let length = digits.len();
    if !LENGTHS.contains(&length) {
        return false;
    }
    let prefix = digits[..6].iter().fold(0u32, |number, digit| number * 10 + u32::from(digit - b'0'));
    match prefix {
        // Visa
        400_000..=499_999 => matches!(length, 13 | 16 | 19),
        // Mastercard
        510_000..=559_999 | 222_100..=272_099 => length == 16,
        // American Express
        340_000..=349_999 | 370_000..=379_999 => length == 15,
        // Diners Club
        300_000..=305_999 | 309_500..=309_599 | 360_000..=369_999 | 380_000..=399_999 => (14..=19).contains(&length),
        // JCB
        352_800..=358_999 => (16..=19).contains(&length),
        // Maestro
        501_800..=501_899
        | 502_000..=502_099
        | 503_800..=503_899
        | 589_300..=589_399
        | 630_400..=630_499
        | 675_900..=675_999
        | 676_100..=676_399 => true,
        // Verve, RuPay
        506_099..=506_198 | 508_000..=508_999 => (16..=19).contains(&length),
        // Discover, RuPay
        601_100..=601_199 | 644_000..=659_999 | 600_000..=600_999 | 606_900..=608_999 => (16..=19).contains(&length),
        // UnionPay, RuPay
        620_000..=629_999 | 810_000..=829_999 => (16..=19).contains(&length),
        // Mir
        220_000..=220_499 => (16..=19).contains(&length),
        // Troy
        979_200..=979_299 => length == 16,
        _ => false,
    }
}

/// Not part of a decimal, and not inside a mixture of letters and digits such as a hash. A plain word may touch it:
/// `card4111...` is a card.
fn stands_alone(text: &[u8], start: usize, end: usize) -> bool {
    let decimal_before = byte_before(text, start) == Some(b'.') && start >= 2 && is_digit(byte_before(text, start - 1));
    let decimal_after =
        byte(text, end) == Some(b'.') && is_digit(byte(text, end + 1)) && !is_whole_decimal(text, start, end);
    let letters_before = text[..start].iter().rev().take(16).take_while(|byte| byte.is_ascii_alphabetic()).count();
    let letters_after = text[end..].iter().take(16).take_while(|byte| byte.is_ascii_alphabetic()).count();
    let mixed_before = letters_before > 0 && is_digit(byte_before(text, start - letters_before));
    let mixed_after = letters_after > 0 && is_digit(byte(text, end + letters_after));
    !(decimal_before || decimal_after || mixed_before || mixed_after)
}

/// Whether the fraction of a decimal is zeros alone, as tools for tables write whole numbers: `4111111111111111.0`.
fn is_whole_decimal(text: &[u8], start: usize, end: usize) -> bool {
    const REACH: usize = 16;
    let zeros = text[end + 1..].iter().take(REACH).take_while(|byte| **byte == b'0').count();
    let behind = end + 1 + zeros;
    let goes_on = is_word(byte(text, behind)) || byte(text, behind) == Some(b'.') && is_digit(byte(text, behind + 1));
    text[start..end].iter().all(u8::is_ascii_digit) && zeros > 0 && !goes_on
}

#[cfg(test)]
mod tests {
    use crate::Rule::PaymentCard;
    use crate::support::{assert_finds, assert_passes, found};

    #[test]
    fn cards_of_every_network_are_found() {
        for card in [
            "4111111111111111",
            "4222222222222",
            "4111 1111 1111 1111",
            "4111-1111-1111-1111",
            "4111\u{a0}1111\u{a0}1111\u{a0}1111",
            "4111 - 1111 - 1111 - 1111",
            "41111111 11111111",
            "4111.1111.1111.1111",
            "4111\t1111\t1111\t1111",
            "4111_1111_1111_1111",
            r"4111\t1111\t1111\t1111",
            r"4111\u00a01111\u00a01111\u00a01111",
            "4111\u{200b}1111\u{200b}1111\u{200b}1111",
            "5555 5555 5555 4444",
            "2223003122003222",
            "378282246310005",
            "3782 822463 10005",
            "3056 930902 5904",
            "36227206271667",
            "6011 1111 1111 1117",
            "3530111333300000",
            "6200000000000005",
            "6759649826438453",
            "6304000000000000",
            "2200000000000004",
        ] {
            assert_finds(PaymentCard, card);
        }
    }

    #[test]
    fn other_long_numbers_pass() {
        assert_passes(
            PaymentCard,
            &[
                "4111 1111 1111 1112", // Luhn
                "1234567812345670",    // no issuer
                "41111111111111111",   // no such length
                "0.4111111111111111",  // a decimal
                "4111111111111111.5",  // another
                "4111111111111111.05",
                "4111111111111111.0e1",
                "4111111111111111.0.1", // a version
                "4111.1111.1111.1111.0",
                "3f4111111111111111ab09", // a hash
                "Unix time 1700000000000 or 1700000000000000",
                "IMEI 490154203237518",
                "01234567-4111-1111-1111-111111111111",
                "the years 2020 2021 2022 2023",
                "EAN 4006000000169",
                "ISBN 978-3-16-148410-0",
                "00000000000000000000",
                "scan_3024_20240512_143011.pdf",
                "4111_111111111111",
            ],
        );
    }

    #[test]
    fn a_card_may_be_wrapped_but_columns_of_numbers_are_none() {
        for card in ["4111 1111\n1111 1111", "4111 1111 1111\r\n1111", r"4111 1111\n1111 1111", "3782 822463\n10005"] {
            assert_eq!(found(PaymentCard, &format!("My card {card} is lost")), [card]);
        }
        assert_passes(
            PaymentCard,
            &[
                "4111\n1111\n1111\n1111",
                "41111111\n11111111",
                "12 4111 1111\n1111 1111",
                "a\n4111 1111\n1111 1111",
                "4111/1111/1111/1111",
                "4111.1111 1111.1111",
                "4111.1111.1111.1111.5",
            ],
        );
    }

    #[test]
    fn rows_of_numbers_in_fours_are_none() {
        for row in [
            "6007 2230 4319 5039 1234 1234 1234 1234 1234",
            "1234 6007 2230 4319 5039 1234 1234 1234 1234 1234",
            "1234 1234 1234 1234 1234 6007 2230 4319 5039",
            "2816 2762 3127 1844 2098 2816 6007 2230 4319 5039 2644 2371",
            "41111111 11111111 12345678 12345678 12345678 12345678 12345678",
        ] {
            for gap in [" ", "  ", "   ", "\t", r"\t", "-", "\u{a0}"] {
                let row = row.replace(' ', gap);
                assert_passes(PaymentCard, &[&row, &format!("{row}\n{row}"), &format!(r"a\n{row}\n{row}")]);
            }
        }
        assert_passes(PaymentCard, &["1 2816  2762\n6007  2230  4319", "1  4111  1111\n1111  1111"]);
    }

    #[test]
    fn cards_in_a_table_are_found_whatever_stands_in_other_columns() {
        let (one, two) = ("4111 1111 1111 1111", "5555 5555 5555 4444");
        for between in [" ", "  ", "\t", "\n", r"\t", r"\n", " 1234\n"] {
            for row in [[one, two].join(between), ["17", one, two].join(between), [one, two, "1225"].join(between)] {
                assert_eq!(found(PaymentCard, &row), [one, two], "{row}");
            }
        }
        for text in ["2024 {} 123", "{} 1225", "2024  {}  1225", "1234 1234  {}\t1225 1234", r"caf\u00e9 {} 1225"] {
            assert_eq!(found(PaymentCard, &text.replace("{}", one)), [one], "{text}");
        }
    }

    /// Lines of numbers that begin with any digit: nearly each such table has what looks like a card.
    #[test]
    fn tables_of_numbers_are_no_cards() {
        let mut state = 1_u64;
        let mut number = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            1_000 + (state >> 33) % 9_000
        };
        for (columns, rows, gap) in
            [(6, 10, "  "), (7, 10, " "), (8, 10, "\t"), (10, 10, "  "), (12, 10, " "), (8, 100, " "), (12, 100, "  ")]
        {
            let mut reported = 0;
            for _ in 0..100 {
                let mut line = || (0..columns).map(|_| number().to_string()).collect::<Vec<_>>().join(gap);
                let table = (0..rows).map(|_| line()).collect::<Vec<_>>().join("\n");
                reported += usize::from(!found(PaymentCard, &table).is_empty());
            }
            assert!(reported < 5, "{columns} columns, {rows} rows: {reported} of 100");
        }
        assert_passes(
            PaymentCard,
            &["3349 4082 5215 4491 1102 1949 1595 8525\n5661 4644 9576 2798 2277 3451 4325 3919\n\
               1511 8139 3570 3813 8208 6252 1848 8318\n9224 6859 5701 3091 9903 9550 1863 4985\n\
               2862 8408 9054 4764 9420 6186 2828 6012"],
        );
    }

    #[test]
    fn cards_in_lines_of_a_list_are_found() {
        let (one, two, mistyped) = ("4111 1111 1111 1111", "5555 5555 5555 4444", "5555 5555 5555 4445");
        for (lines, cards) in [
            ("1001 A 1225\n1002 B 1226", &[one, two][..]),
            ("1001 A 1225 4321\n1002 B 1226 4322\n1003 A 1227 4323", &[one, two, one]),
            ("A 1225\nX 1226", &[one]),
            ("1 A 1225 123\n2 X 1226 124", &[one]),
            ("A 1225 2027\nX 1226 2027\nX 1227 2027\nB 1228 2027", &[one, two]),
            ("A 1225 2027\nX 1226 2027\n1227 X 2027\nB 1228 2027", &[]),
            ("1001 X 1225\n1002 A 1226\n1003 B 1227", &[one, two]),
            ("1001 A 1225\n1002 X 1226\n1003 B 1227", &[one, two]),
            ("1001 A 1225\n1002 1234 5678 1234 5678 2026", &[one]),
            ("A 1225 2027\n0000 0000 0000 0000 1225 2027", &[one]),
        ] {
            let text = lines.replace('A', one).replace('B', two).replace('X', mistyped);
            assert_eq!(found(PaymentCard, &text), cards, "{text}");
        }
    }

    /// Expiry, year, PIN, a line's number, and another card, even a mistyped one.
    #[test]
    fn what_stands_beside_cards_makes_no_row() {
        let (one, two, mistyped) = ("4111 1111 1111 1111", "5555 5555 5555 4444", "5555 5555 5555 4445");
        for (text, cards) in [
            ("A 1225 4321", &[one][..]),
            ("1001 A 1225 123 Jane", &[one]),
            ("1001 2024 A 1225 4321 8001", &[one]),
            ("2024 A 2025", &[one]),
            ("PO 2024 A 1225", &[one]),
            ("A 1225 4321 1234 8001", &[one]),
            ("A X", &[one]),
            ("X A", &[one]),
            ("A X 1225", &[one]),
            ("1001 X A 1225", &[one]),
            ("A 1111 2222 3333 4444", &[one]),
            ("A B 1225 1234", &[one, two]),
            ("1234 1234 A B", &[one, two]),
            ("A 1225 B 1226", &[one, two]),
            ("1001 A 1225 4321 1002 B 1226 4322", &[one, two]),
            ("A B A B", &[one, two, one, two]),
        ] {
            let text = text.replace('A', one).replace('B', two).replace('X', mistyped);
            for gap in [" ", "  ", "\t", r"\t", "-", "\u{a0}", " - "] {
                let cards = cards.iter().map(|card| card.replace(' ', gap)).collect::<Vec<_>>();
                assert_eq!(found(PaymentCard, &text.replace(' ', gap)), cards, "{text}");
            }
        }
    }

    #[test]
    fn a_card_is_found_among_other_numbers() {
        assert_finds(PaymentCard, "4111 1111 1111 1111");
        let text = "12 4111 1111 1111 1111 12/27 123";
        assert_eq!(found(PaymentCard, text), ["4111 1111 1111 1111"]);
        for text in ["17,4111111111111111.0,Jane", "4111111111111111.00", r#"{"card":4111111111111111.0}"#] {
            assert_eq!(found(PaymentCard, text), ["4111111111111111"], "{text}");
        }
        assert_eq!(found(PaymentCard, "cc4111111111111111."), ["4111111111111111"]);
    }
}
