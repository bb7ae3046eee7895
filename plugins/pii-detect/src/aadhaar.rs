//! Indian Aadhaar numbers: twelve digits, the first not 0 or 1, Verhoeff.

use crate::bytes::{
    REFERENCES, byte, byte_before, ends_with, follows, is_alphanumeric_before, is_in_uuid, is_whole_number, is_word,
    is_word_before, places_before,
};
use crate::checksum::{upc, verhoeff};
use crate::digits::{Digits, Gap, Group};
use crate::row::is_outside_row;

/// Words that say what the number is, as people spell them.
const NAMES: &[&str] = &["aadhaar", "aadhar", "adhaar", "adhar", "uidai"];

/// Words before other numbers of twelve digits. For this rule only: a telephone may well stand behind "account".
const ACCOUNTS: &[&str] = &[
    "account",
    "accountid",
    "accounts",
    "barcode",
    "barcodes",
    "gtin",
    "project",
    "projectid",
    "projectnumber",
    "projects",
    "upc",
    "waybill",
];

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
    let is_one_of_many =
        || groups.last().and_then(|group| group.gap).is_some_and(|gap| !is_outside_row(text, start, end, gap));
    (digits[0] >= b'2'
        && verhoeff(digits)
        && is_whole_number(text, start, end)
        && !is_one_of_many()
        && !is_in_uuid(text, start, end)
        && match count {
            1 => !is_another_number(text, start, end),
            _ => !are_years(text, groups) || follows(text, start, NAMES),
        })
    .then_some(end)
}

/// `2023 2024 2025`.
fn are_years(text: &[u8], groups: &[Group]) -> bool {
    groups.iter().all(|group| matches!(&text[group.start..group.start + 2], b"19" | b"20"))
}

/// One in ten numbers of twelve digits has a fitting check digit; these are known to be something else: a time such as
/// `202401021230`, a field of a name such as `arn:aws:iam::234123412346:user`, a part of a name such as
/// `234123412346-compute@developer.gserviceaccount.com`, an article's number, a number introduced as a reference.
fn is_another_number(text: &[u8], start: usize, end: usize) -> bool {
    let pair = |at: usize| (text[start + at] - b'0') * 10 + (text[start + at + 1] - b'0');
    let is_time = matches!(pair(0), 20)
        && (1..=12).contains(&pair(4))
        && (1..=31).contains(&pair(6))
        && pair(8) < 24
        && pair(10) < 60;
    let is_field = byte_before(text, start) == Some(b':') && byte(text, end) == Some(b':');
    let glues = |byte: Option<u8>| matches!(byte, Some(b'.' | b'-' | b'/' | b'@'));
    let is_part = (glues(byte_before(text, start)) && is_word_before(text, start - 1))
        || (glues(byte(text, end)) && is_word(byte(text, end + 1)));
    // `FedEx` is two words by its letters, of which the first may be another.
    let is_parcel = || places_before(text, start).take(3).any(|place| ends_with(&text[..place.end], b"fedex"));
    let is_reference = follows(text, start, REFERENCES) || follows(text, start, ACCOUNTS) || is_parcel();
    // Those from 2, 4 and 5 on are for a shop's own use and for coupons.
    let is_article = matches!(text[start], b'3' | b'6'..=b'9') && upc(&text[start..end]);
    let is_other = is_part || is_reference || is_article || is_in_name_behind(text, start, end);
    is_time || is_field || (is_other && !follows(text, start, NAMES))
}

/// `"Id": "234123412346", "Arn": "arn:aws:organizations::111122223333:account/o-x/234123412346"`.
fn is_in_name_behind(text: &[u8], start: usize, end: usize) -> bool {
    const REACH: usize = 160;
    let (number, behind) = (&text[start..end], &text[end..text.len().min(end + REACH)]);
    let is_field = |at: &usize| behind[*at..].starts_with(number) && matches!(behind[at - 1], b':' | b'/');
    let is_name = |at: usize| behind[at..].starts_with(b"arn:") && !is_alphanumeric_before(behind, at);
    let ends = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\\');
    (1..behind.len()).filter(is_field).any(|at| {
        let begin = behind[..at].iter().rposition(ends).map_or(0, |mark| mark + 1);
        (begin..at).any(is_name)
    })
}

#[cfg(test)]
mod tests {
    use crate::Rule::Aadhaar;
    use crate::support::{assert_finds, assert_passes, found};
    use crate::{Rules, find};

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
        for text in [
            "My ticket: Aadhaar 234123412346",
            "Aadhaar: 234123412346",
            "account holder's Aadhaar 234123412346",
            "project Aadhar: 234123412346",
            "/aadhaar/234123412346/photo",
            "Aadhaar-234123412346",
        ] {
            assert_eq!(found(Aadhaar, text), ["234123412346"], "{text}");
        }
        assert_eq!(found(Aadhaar, "Aadhaar 885909950805"), ["885909950805"]);
    }

    #[test]
    fn what_only_looks_like_a_name_behind_it_does_not_hide_a_number() {
        for behind in [
            " has enrolled\nwarn: account 234123412346 exists already",
            " learn:234123412346",
            r" \nwarn:/234123412346",
            " arn: 234123412346",
            r" arn:\n/234123412346",
            " arn:aws:iam::1234:user 5/234123412346",
        ] {
            let text = format!("Customer 234123412346{behind}");
            assert_eq!(find(&text, Rules::ALL)[0].range, 9..21, "{text}");
        }
    }

    #[test]
    fn marks_around_a_number_make_it_no_part_of_a_name() {
        for text in [
            "Jane has 234123412346.",
            "Jane has 234123412346.\nThanks",
            r"Jane has 234123412346.\nThanks",
            r"Jane has\n-234123412346",
            "Jane - 234123412346 - Delhi",
            "- 234123412346",
            "I am fed up with 234123412346",
        ] {
            assert_eq!(found(Aadhaar, text), ["234123412346"], "{text}");
        }
    }

    #[test]
    fn columns_beside_a_number_are_no_part_of_it() {
        for (text, number) in [
            ("17,2341 2341 2346,Jane", "2341 2341 2346"),
            ("Jane,2341 2341 2346,42", "2341 2341 2346"),
            ("17,2341-2341-2346,42", "2341-2341-2346"),
            ("17,234123412346,Jane", "234123412346"),
            ("Jane,234123412346,42", "234123412346"),
            ("Jane,17,234123412346", "234123412346"),
            ("234123412346,42,Jane", "234123412346"),
            ("1980-01-01,234123412346", "234123412346"),
            ("234123412346,1980-01-01", "234123412346"),
        ] {
            assert_eq!(found(Aadhaar, text), [number], "{text}");
        }
        assert_passes(Aadhaar, &["0,234123412346", "-17,234123412346", "234123412346,50", "1.234,234123412346"]);
    }

    #[test]
    fn another_number_beside_it_with_another_gap_makes_no_row() {
        for text in
            ["17  2341 2341 2346  42", "17\t2341 2341 2346\t42", "17 - 2341 2341 2346", r"caf\u00e9 2341 2341 2346"]
        {
            assert_eq!(found(Aadhaar, text), ["2341 2341 2346"], "{text}");
        }
    }

    #[test]
    fn years_pass() {
        assert_passes(
            Aadhaar,
            &[
                "Our revenue in 2023 2024 2025 was 4.1, 4.4 and 4.9 million",
                "2023-2024-2025",
                "2022 2024 2026",
                "Umsatz 2004 2003 2002",
            ],
        );
        assert_eq!(found(Aadhaar, "Aadhaar no. 2023 2024 2025"), ["2023 2024 2025"]);
        assert_eq!(found(Aadhaar, "2341 2341 2346 in 2024"), ["2341 2341 2346"]);
    }

    #[test]
    fn numbers_of_accounts_and_articles_pass() {
        assert_passes(
            Aadhaar,
            &[
                "Push to 234123412346.dkr.ecr.eu-central-1.amazonaws.com/app",
                "Grant access to 234123412346-compute@developer.gserviceaccount.com",
                "gcloud config set project projects/234123412346",
                "my AWS account 234123412346 has no budget",
                "{\"AccountId\":\"234123412346\"}",
                "{\"account_id\":\"234123412346\"}",
                "s3://logs-234123412346/x",
                "jane@234123412346",
                "UPC 234123412346",
                r#"{"Accounts":[{"Id":"234123412346","Name":"x"}]}"#,
                r#""accounts": ["987654321098", "234123412346"]"#,
                r#"{"Id":"234123412346","Arn":"arn:aws:organizations::111122223333:account/o-x/234123412346"}"#,
                r#"{"Id":"234123412346","Arn":"arn:aws:iam::234123412346:root"}"#,
                r#"{\"Id\":\"234123412346\",\"Arn\":\"arn:aws:iam::234123412346:root\"}"#,
                "234123412346\tarn:aws:iam::234123412346:root",
                r"234123412346\narn:aws:iam::234123412346:root",
                "waybill 234123412346",
                "FedEx 999941057058",
                "FEDEX: 999941057058",
                "fedex parcel no. 999941057058",
                r#""gtin12":"234123412346""#,
                "sku,upc,price\nA1,885909950805,499.00",
                "barcode 711719541028",
                "PlayStation 711719541028",
            ],
        );
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
                "1201  2341  2341  2346  9870",
                "9870   2341   2341   2346",
                "12010  2341  2341  2346 98700",
                "12\u{a0}2341\u{a0}2341\u{a0}2346",
                "23412341-2346",
                "2341\n2341\n2346",
                "2341\t2341\t2346",
                "2341.2341.2346",
                "12345678-2341-2341-2346-123456789012",
            ],
        );
    }
}
