//! Telephone numbers: international, and the national forms whose grouping gives them away.
//!
//! Ten bare digits are an order number or a time as often as a telephone; they count only behind a word such as
//! "phone". Grouped national numbers do not count directly behind a word such as
//! "order".

mod announced;
mod exit_code;
mod zip;

use crate::bytes::{
    byte, byte_before, is_any, is_decimal_comma, is_digit, is_reference, is_whole_number, is_word_before,
    is_word_behind, name_before,
};
use crate::digits::{Gap, Group, Groups, in_threes, read_gap, separator_on_line, shape};
use crate::escape::{escape, escape_before};
use crate::row::{is_in_dump, is_outside_row};

/// North American numbers that begin with the area code. `d` stands for a digit.
const FROM_AREA: &[&str] =
    &["ddd-ddd-dddd", "ddd.ddd.dddd", "ddd ddd dddd", "ddd ddd-dddd", "ddd/ddd-dddd", "ddd-ddd dddd"];

/// Those with the country code.
const FROM_COUNTRY: &[&str] =
    &["1-ddd-ddd-dddd", "1 ddd ddd dddd", "1.ddd.ddd.dddd", "1 (ddd) ddd-dddd", "1-(ddd)-ddd-dddd", "1 ddd-ddd-dddd"];

/// Those with the area code in brackets.
const FROM_BRACKET: &[&str] =
    &["(ddd) ddd-dddd", "(ddd)ddd-dddd", "(ddd) ddd dddd", "(ddd)-ddd-dddd", "(ddd) ddd.dddd"];

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
    let is_number = digits >= 8 && !is_word_behind(text, end) && !goes_on(text, start + 1, end, digits);
    let is_bare = end - start - 1 == digits;
    let is_added = || {
        is_first_on_line(text, start) && (is_date(text, start + 1) || is_bare && is_behind_diff(text, start, digits))
    };
    (is_number && !is_decimal(&text[start + 1..end]) && !is_added()).then_some(end)
}

/// Digits with at most three separators and `./()` between them, up to the 15 of E.164; groups beyond are left.
fn read_loosely(text: &[u8], start: usize) -> (usize, usize) {
    let (mut at, mut end, mut digits) = (start, start, 0);
    loop {
        let group = text[at..].iter().take(16).take_while(|byte| byte.is_ascii_digit()).count();
        if group == 0 || digits + group > 15 {
            return (end, digits);
        }
        digits += group;
        end = at + group;
        at = end;
        for _ in 0..3 {
            at += match byte(text, at) {
                Some(b'.' | b'/' | b'(' | b')') => 1,
                _ => separator_on_line(&text[at..]).unwrap_or(0),
            };
        }
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
        .or_else(|| with_trunk_zero(text, groups).filter(|_| !is_part_of_code(text, groups)))
        .or_else(|| exit_code::with_exit_code(text, groups))
        .or_else(|| announced::announced(text, start))
        .filter(|_| !is_reference(text, start))
        .filter(|end| !text[start..].starts_with(b"00") || !exit_code::hides_another(text, start, *end))
}

/// A number whose area code stands in brackets, the first of them at `start`.
pub(crate) fn in_brackets(text: &[u8], start: usize) -> Option<usize> {
    let end = match byte(text, start + 1)? {
        b'0' => with_trunk_zero_in_brackets(text, start),
        b'1'..=b'9' => north_american(text, start, FROM_BRACKET),
        _ => None,
    };
    end.filter(|_| !is_reference(text, start))
}

fn north_american(text: &[u8], start: usize, patterns: &[&str]) -> Option<usize> {
    patterns.iter().find_map(|pattern| {
        let end = shape(text, start, pattern)?;
        let country = usize::from(pattern.starts_with('1'));
        let area = *text[start..end].iter().filter(|byte| byte.is_ascii_digit()).nth(country)?;
        let spaced = !pattern.contains(['-', '.', '/', '(']);
        ((b'2'..=b'9').contains(&area)
            && is_whole_number(text, start, end)
            && (!spaced || is_outside_row(text, start, end, Gap::Space)))
        .then_some(end)
    })
}

/// `030 1234567`, `06 12 34 56 78`, `020 7946 0958`, `0049 30 1234567`, `030/123 45 67`: a zero, and gaps of one kind,
/// or a slash behind the area code.
fn with_trunk_zero(text: &[u8], groups: &[Group]) -> Option<usize> {
    let [first, second, ..] = groups else { return None };
    let next = *text.get(first.start + 1)?;
    let international = next == b'0' && matches!(text.get(first.start + 2), Some(b'1'..=b'9'));
    let area = !international && (2..=5).contains(&first.len()) && (b'1'..=b'9').contains(&next);
    let same = match second.gap? {
        Gap::Slash => 1 + alike(&groups[1..]),
        _ => alike(groups),
    };
    // Two groups with a dot between are a decimal.
    if text[first.start] != b'0' || !(area || international) || same < 2 || (same == 2 && second.gap == Some(Gap::Dot))
    {
        return None;
    }
    let groups = &groups[..same];
    let digits: usize = groups.iter().map(Group::len).sum();
    let (start, end) = (first.start, groups[same - 1].end);
    let most = if international { 17 } else { 12 };
    let is_date = matches!(groups, [a, b, c, ..] if a.len() == 2 && b.len() == 2 && c.len() == 4);
    let is_time = byte_before(text, start) == Some(b':') && start >= 2 && is_digit(byte_before(text, start - 1));
    // Numbers of one length are a row, such as `01 02 03 04 05 06`; a French number has five pairs and stands alone.
    let is_row = groups.iter().all(|group| group.len() == first.len())
        && ((first.len() == 2 && (same != 5 || second.gap == Some(Gap::Space) && is_in_dump(text, start, end)))
            || (second.gap == Some(Gap::Space) && !is_outside_row(text, start, end, Gap::Space)));
    ((9..=most).contains(&digits)
        && !is_date
        && !is_time
        && !zip::is_zip(text, groups)
        && !is_row
        && is_whole_number(text, start, end))
    .then_some(end)
}

/// `model 0258-006537`, and the end of a parcel's `1Z 999 AA1 01 2345 6784`.
fn is_part_of_code(text: &[u8], groups: &[Group]) -> bool {
    let [first, second, ..] = groups else { return false };
    let is_model = || name_before(text, first.start).is_some_and(|name| is_any(name, &["model"]));
    let parcel = first.start.checked_sub("1Z 999 AA1 ".len()).map(|start| &text[start..first.start]);
    (second.gap == Some(Gap::Dash) && is_model()) || parcel.is_some_and(|parcel| parcel.starts_with(b"1Z "))
}

/// `(030) 1234567`, `(01) 23 45 67 89`.
fn with_trunk_zero_in_brackets(text: &[u8], start: usize) -> Option<usize> {
    let area = text[start + 1..].iter().take(6).take_while(|byte| byte.is_ascii_digit()).count();
    let close = start + 1 + area;
    if !(2..=5).contains(&area) || text[start + 2] == b'0' || byte(text, close) != Some(b')') {
        return None;
    }
    let rest = read_gap(text, close + 1).filter(|(_, gap)| gap.is_plain()).map_or(close + 1, |(end, _)| end);
    let groups = Groups::read(text, rest);
    let groups = &groups.as_slice()[..alike(groups.as_slice())];
    let (digits, end) = (area + groups.iter().map(Group::len).sum::<usize>(), groups.last()?.end);
    ((9..=12).contains(&digits) && is_whole_number(text, start, end)).then_some(end)
}

/// How many groups from the first on have the same space, dash or dot between them, and two digits or more.
fn alike(groups: &[Group]) -> usize {
    let gap = groups.get(1).and_then(|group| group.gap).filter(|gap| matches!(gap, Gap::Space | Gap::Dash | Gap::Dot));
    let belongs = |group: &&Group| gap.is_some() && group.gap == gap && group.len() >= 2;
    groups.len().min(1) + groups.iter().skip(1).take_while(belongs).count()
}

/// `+52.5200066`. The one dot of `+1.5551234567`, as registries of domains write it, has nine digits or more behind it.
fn is_decimal(number: &[u8]) -> bool {
    let mut parts = number.split(|byte| !byte.is_ascii_digit());
    let fraction = parts.nth(1).filter(|_| number.contains(&b'.') && parts.next().is_none());
    fraction.is_some_and(|fraction| fraction.len() < 9)
}

/// A point and further digits follow, or a comma and the rest of an amount such as `+12.345.678,90` or `+12345678,90`.
/// With another form, or more digits than an amount has as a rule, the comma is that of a table.
fn goes_on(text: &[u8], start: usize, end: usize, digits: usize) -> bool {
    let is_amount = || match in_threes(text, start, end) {
        Some(gap) => gap == Gap::Dot || digits <= 10,
        None => end - start == digits && digits <= 9 && is_decimal_comma(text, end),
    };
    is_digit(byte(text, end + 1))
        && match byte(text, end) {
            Some(b'.') => true,
            Some(b',') => is_amount(),
            _ => false,
        }
}

/// The line, or the text, begins at `at`.
fn is_first_on_line(text: &[u8], at: usize) -> bool {
    matches!(byte_before(text, at), None | Some(b'\n' | b'\r'))
        || matches!(escape_before(text, at), Some(('\n' | '\r', _)))
}

/// Whether what stands before the line at `start`, and before others that are added, is a line of a diff: `@@ -1 +1 @@`, or
/// a number of as many digits that is taken out.
fn is_behind_diff(text: &[u8], start: usize, digits: usize) -> bool {
    const REACH: usize = 100;
    // The last byte of a line break, also of one that is escaped, is looked at first.
    let is_begin = |at: &usize| {
        matches!(byte_before(text, *at), None | Some(b'\n' | b'\r' | b'n' | b'r'))
            && is_first_on_line(text, *at)
            && !text[..=*at].ends_with(b"\r\n")
    };
    let lines = (start.saturating_sub(REACH)..start).rev().filter(is_begin);
    let line = lines.map(|at| &text[at..]).find(|line| !line.starts_with(b"+"));
    let is_as_long = |number: &[u8]| {
        let (number, behind) = number.split_at_checked(digits).unwrap_or_default();
        number.iter().all(u8::is_ascii_digit)
            && (matches!(behind, [b'\n' | b'\r', ..]) || matches!(escape(behind), Some(('\n' | '\r', _))))
    };
    match line {
        Some([b'-', number @ ..]) => is_as_long(number),
        Some(line) => matches!(line, [b'@', b'@', b' ', b'-', b'0'..=b'9', ..]),
        None => false,
    }
}

/// A date at `start`: `2024-05-06`, `6.5.2024`, `05/06/2024`, `20240506`, `20240506103000`.
fn is_date(text: &[u8], start: usize) -> bool {
    let is_year = |at: usize| matches!(&text[at..at + 2], b"19" | b"20");
    let number = |digits: &[u8]| digits.iter().fold(0u32, |number, digit| number * 10 + u32::from(digit - b'0'));
    let is_day = |month: &[u8], day: &[u8]| {
        month.len() <= 2 && day.len() <= 2 && (1..=12).contains(&number(month)) && (1..=31).contains(&number(day))
    };
    let groups = Groups::read(text, start);
    match groups.as_slice() {
        [one, ..] if matches!(one.len(), 8 | 14) => {
            is_year(start) && is_day(&text[start + 4..start + 6], &text[start + 6..start + 8])
        }
        [a, b, c, ..] if b.gap == c.gap && matches!(b.gap, Some(Gap::Dash | Gap::Dot | Gap::Slash)) => {
            let [first, second, third] = [a, b, c].map(|group| &text[group.start..group.end]);
            match (first.len(), third.len()) {
                (4, _) => is_year(a.start) && is_day(second, third),
                (_, 4) => is_year(c.start) && (is_day(second, first) || is_day(first, second)),
                _ => false,
            }
        }
        _ => false,
    }
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
            "+1.5551234567",
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
            "06.12.34.56.78",
            "06-12-34-56-78",
            "06\u{202f}12\u{202f}34\u{202f}56\u{202f}78",
            "030/1234567",
            "0170/1234567",
            "030/123 45 67",
            "(030) 1234567",
            "(030)1234567",
            "(0211) 12 34 56",
            "+33\u{202f}6\u{202f}12\u{202f}34\u{202f}56\u{202f}78",
            r"+33\u202f6\u202f12\u202f34\u202f56\u202f78",
            "+49 30 – 123456",
            "555\u{2011}123\u{2011}4567",
            "1\u{2011}555\u{2011}123\u{2011}4567",
            "(555)\u{a0}123\u{2011}4567",
            "0033 6 12 34 56 78",
            "0033 1 23 45 67 89",
            "0049 (0)171 1234567",
            "0049(0)171 1234567",
        ] {
            assert_finds(Phone, number);
        }
    }

    #[test]
    fn only_a_word_directly_before_makes_it_another_number() {
        for text in [
            "To order, call 555-123-4567",
            "In case of emergency: 555-123-4567",
            "order by phone: 555-123-4567",
            "Your order\n555-123-4567",
            r"Your order\n555-123-4567",
            "part of (555-123-4567)",
            "Account 555-123-4567",
        ] {
            assert_eq!(found(Phone, text), ["555-123-4567"], "{text}");
        }
    }

    #[test]
    fn columns_beside_a_number_are_no_part_of_it() {
        for (text, number) in [
            ("17,555-123-4567,Jane", "555-123-4567"),
            ("Jane,555-123-4567,42", "555-123-4567"),
            ("17,555 123 4567,42", "555 123 4567"),
            ("17,(555) 123-4567,42", "(555) 123-4567"),
            ("17,030 1234567,42", "030 1234567"),
            ("17,06 12 34 56 78,42", "06 12 34 56 78"),
            ("de 06 12 34 56 78 ou 07", "06 12 34 56 78"),
            ("06 12 34 56 78  01", "06 12 34 56 78"),
            ("_+49 30 123456_", "+49 30 123456"),
            ("*_555-123-4567_*", "555-123-4567"),
            ("_Tel: 5551234567_", "5551234567"),
            ("75011 Paris 2e 06 12 34 56 78", "06 12 34 56 78"),
            ("Bât 2B 06 12 34 56 78", "06 12 34 56 78"),
            ("Bât 2B 4e 06 12 34 56 78", "06 12 34 56 78"),
            ("chambre 4A 06 12 34 56 78", "06 12 34 56 78"),
            ("06.12.34.56.78 2e étage", "06.12.34.56.78"),
            ("06-12-34-56-78 2b", "06-12-34-56-78"),
            ("06-12-34-56-78 2b 3c 4d", "06-12-34-56-78"),
            ("06 12 34 56 78, 2b 3c 4d", "06 12 34 56 78"),
            ("My WhatsApp account is 0171-1234567", "0171-1234567"),
            ("PayPal account 0171-1234567", "0171-1234567"),
            (r#"{"phone_account":"0171-1234567"}"#, "0171-1234567"),
            ("17,+49 30 123456,42", "+49 30 123456"),
            ("17,+34 612 345 678,42", "+34 612 345 678"),
            ("+15551234567,42", "+15551234567"),
            ("id,phone\n17,+15551234567,1980-01-01", "+15551234567"),
        ] {
            assert_eq!(found(Phone, text), [number], "{text}");
        }
    }

    #[test]
    fn dates_and_numbers_where_a_diff_adds_a_line_pass() {
        for text in [
            "+2024-05-06 10:30 started",
            "+20240101 12:00 backup",
            "+1999-12-31 23:59",
            "-1699999999\n+1700000000",
            r"-1699999999\n+1700000000",
            "-1699999999\r\n+1700000000\r\n+1700000001",
            "@@ -1,2 +1,2 @@ fn main()\n+1700000000",
            r"@@ -1,2 +1,2 @@\n+1700000000",
            "@@ -1 +1 @@\n+2024-05-06 10:30 started\n+20240101 12:00 backup\n",
            r"@@ -1 +1 @@\n+2024-05-06 10:30 started\n+20240101 12:00 backup",
        ] {
            assert_eq!(found(Phone, text), [""; 0], "{text}");
        }
        assert_eq!(found(Phone, "+4930123456\n+4930123457"), ["+4930123456", "+4930123457"]);
        for (text, number) in [
            ("+20 24 0101 1234", "+20 24 0101 1234"),
            ("+201001234567", "+201001234567"),
            ("+2024-13-06 10", "+2024-13-06 10"),
            ("call +20240101 12", "+20240101 12"),
            ("- Jane:\n+4930123456", "+4930123456"),
            ("-1\n\n+4930123456", "+4930123456"),
            ("Balance\n-250\n+4930123456", "+4930123456"),
            (r"Balance\n-250\n+4930123456", "+4930123456"),
            ("Temperatur\n-5\n+491701234567", "+491701234567"),
            ("-2 weeks\n+491701234567 is my new number", "+491701234567"),
            ("-4930123456 EUR\n+4930123456", "+4930123456"),
            ("-49301234567\n+4930123456", "+4930123456"),
            ("@@everyone call\n+491701234567", "+491701234567"),
            ("@@ team\n+491701234567", "+491701234567"),
            ("-1699999999\n+49 30 123456", "+49 30 123456"),
            ("+49 30 123456", "+49 30 123456"),
        ] {
            assert_eq!(found(Phone, text), [number], "{text}");
        }
    }

    #[test]
    fn other_numbers_pass() {
        assert_passes(
            Phone,
            &[
                "5551234567",
                "1700000000",
                "01 02 03 04 05 06 07 08 09 10",
                "01 02 03 04 05 06",
                "07 02 73 69 39 fb 00 1f 00",
                "0a 00 01 07 02 73 69 39",
                "07 02 73 69 39  08 ff  0a 00",
                "ff fe  00 07 02 73 69 39",
                "Lottery: 03 12 25 31 44 48",
                "012 013 014 015 016",
                "Model no. 0258-006537",
                "1Z 999 AA1 01 2345 6784",
                "01.02.2024 1030",
                "01/02/2024 1030",
                "01/02/2024/1030",
                "05.12345678",
                "(01) 04012345123456",
                "(00) 123456789",
                "012\t3456\t7890",
                "012\n3456\n7890",
                "1700000000000",
                "2024-01-02 10:30:00",
                "01-02-2024 10:30",
                "01 02 2024 10",
                "2024-01-02T10:30:00+01:00",
                "+5 points",
                "+3.14159265 rad",
                "+52.5200066, +13.4049540",
                "1+12345678",
                "+12.345.678,90",
                "+12 345 678,90",
                "+12345678,90",
                "+12,345,678.90",
                "0,012 345 678",
                "12.345,67",
                "123.456.789,01",
                "order 555-123-4567",
                "order no. 555-123-4567",
                "The order number is 555-123-4567",
                r"My\nOrder:\u00a0555-123-4567",
                r#"{"orderNumber":"555-123-4567"}"#,
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
