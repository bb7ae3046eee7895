//! US social security numbers.

use std::ops::Range;

use crate::bytes::{
    REACH, byte, ends_with, is_alphanumeric, is_alphanumeric_before, is_any, is_digit, is_joined, name_of_value,
    places_before, words,
};
use crate::digits::{Gap, Groups, shape};
use crate::row::is_outside_row;

/// Where the number that begins at `start` ends. Nine digits without their dashes or spaces count only when the words
/// before them say what they are.
pub(crate) fn ssn(text: &[u8], start: usize) -> Option<usize> {
    let (end, digits) = if let Some(end) = shape(text, start, "ddddddddd") {
        (is_announced(text, start).then_some(end)?, [start, start + 3, start + 5])
    } else {
        grouped(text, start)?
    };
    let [area, group, serial] = digits;
    (is_given_out(&text[area..area + 3], &text[group..group + 2], &text[serial..serial + 4])
        && is_apart(text, start, end)
        && !is_joined(text, start, end))
    .then_some(end)
}

/// No part of a word, save of a name by an underscore, `session_123-45-6789`. `ssn` may touch it, and behind that letters.
fn is_apart(text: &[u8], start: usize, end: usize) -> bool {
    let is_named = || is_said(text, places_before(text, start), 1);
    let is_free_before = !is_alphanumeric_before(text, start) || ends_with(&text[..start], b"ssn");
    let is_free_behind = !is_alphanumeric(byte(text, end)) || (!is_digit(byte(text, end)) && is_named());
    is_free_before && is_free_behind
}

/// A value's own name counts, whatever other names stand before it, or the string beside it: `"type": "SSN", "id": "..."`.
fn is_announced(text: &[u8], start: usize) -> bool {
    /// Last words of names such as `ssnHash`, whose values are no such numbers.
    const OTHERS: &[&str] = &[
        "hash",
        "hashed",
        "digest",
        "checksum",
        "hmac",
        "signature",
        "token",
        "encrypted",
        "verified",
        "status",
        "count",
        "at",
        "by",
    ];
    let Some(place) = name_of_value(text, start) else { return is_said(text, places_before(text, start), 3) };
    let name = &text[place.clone()];
    let places = places_before(text, start);
    let places = places.skip_while(|place| is_any(&text[place.clone()], &["number", "no", "nr", "value"]));
    !words(name).next().is_some_and(|word| is_any(word, OTHERS))
        && (names_ssn(name) || is_said(text, places, 1) || string_beside(text, place.start).is_some_and(names_ssn))
}

/// Whether one of the words at the first `count` places is `ssn`, or `security` behind `social`: a guard, an incident and a
/// bond have numbers, too.
fn is_said(text: &[u8], places: impl Iterator<Item = Range<usize>>, count: usize) -> bool {
    places.take(count).any(|place| {
        let word = &text[place.clone()];
        is_any(word, &["ssn"]) || (is_any(word, &["security"]) && is_behind_social(text, place.start))
    })
}

/// `Social (US) `, `<b>Social</b> `, `social\n> `: remarks, marks and a line's break may stand between, but no comma.
fn is_behind_social(text: &[u8], at: usize) -> bool {
    let before = &text[at.saturating_sub(REACH)..at];
    let before = before.rsplit(|byte| *byte == b',').next().unwrap_or_default();
    let line = (0..before.len()).rev().find(|at| before[*at] == b'\n' || before[*at..].starts_with(br"\n"));
    let above = words(&before[..line.unwrap_or(0)]);
    words(before).chain(above).any(|word| is_any(word, &["social", "soc"]))
}

fn names_ssn(name: &[u8]) -> bool {
    let has = |cue: &str| words(name).any(|word| is_any(word, &[cue]));
    has("ssn") || (has("social") && has("security"))
}

/// The string that a comma parts from the name at `start`.
fn string_beside(text: &[u8], start: usize) -> Option<&[u8]> {
    const REACH: usize = 64;
    let before = &text[start.saturating_sub(REACH)..start];
    let is_mark = |byte: &&u8| b" ,\"'\\".contains(byte);
    let marks = before.iter().rev().take_while(is_mark).count();
    let (string, marks) = before.split_at(before.len() - marks);
    let is_beside = marks.contains(&b',') && !marks.starts_with(b" ") && !marks.starts_with(b",");
    let opening = string.iter().rposition(|byte| matches!(byte, b'"' | b'\''))?;
    is_beside.then(|| &string[opening + 1..])
}

/// Where three, two and four digits end, with a space or dash between, and where each begins.
fn grouped(text: &[u8], start: usize) -> Option<(usize, [usize; 3])> {
    let groups = Groups::read(text, start);
    let [area, group, serial, rest @ ..] = groups.as_slice() else { return None };
    let gap = group.gap.filter(|gap| matches!(gap, Gap::Space | Gap::Dash))?;
    let is_row = gap == Gap::Space && !is_outside_row(text, start, serial.end, gap);
    let goes_on = rest.first().is_some_and(|next| next.gap == Some(gap));
    ([area.len(), group.len(), serial.len()] == [3, 2, 4] && serial.gap == Some(gap) && !is_row && !goes_on)
        .then_some((serial.end, [area.start, group.start, serial.start]))
}

/// Whether nine digits, and nothing else, are such a number.
pub(crate) fn is_ssn(digits: &[u8]) -> bool {
    digits.len() == 9 && is_given_out(&digits[..3], &digits[3..5], &digits[5..])
}

/// No area 000, 666 or from 900 on, no group 00, no serial 0000.
fn is_given_out(area: &[u8], group: &[u8], serial: &[u8]) -> bool {
    area != b"000" && area != b"666" && area[0] != b'9' && group != b"00" && serial != b"0000"
}

#[cfg(test)]
mod tests {
    use crate::Rule::UsSsn;
    use crate::support::{assert_finds, assert_passes, found};

    #[test]
    fn written_numbers_are_found() {
        for number in [
            "123-45-6789",
            "078-05-1120",
            "899 45 6789",
            "001-01-0001",
            "123\u{2011}45\u{2011}6789",
            "123–45–6789",
            "123\u{a0}45\u{a0}6789",
        ] {
            assert_finds(UsSsn, number);
        }
        assert_eq!(found(UsSsn, "My SSN is 123456789."), ["123456789"]);
        assert_eq!(found(UsSsn, "social security number: 123456789"), ["123456789"]);
        for key in ["ssn", "userSsn", "socialSecurityNumber", "social_security_number"] {
            assert_eq!(found(UsSsn, &format!(r#"{{"{key}":"123456789"}}"#)), ["123456789"], "{key}");
        }
        for text in [
            r#"{"label": "SSN", "value": "123456789"}"#,
            r#"{"ssn": {"value": 123456789}}"#,
            "SSN for Jane: 123456789",
            "SSN of Jane: '123456789'",
            "user_ssn=123456789",
            r#"{"SSN_NUM": "123456789"}"#,
            r#"{"social_security_num": 123456789}"#,
            r#"{"SocialSecurityNbr":"123456789"}"#,
            r#"{"ssnOrEin":"123456789"}"#,
            r#"{"ssn_id":"123456789"}"#,
            r#"{"type":"SSN","id":"123456789"}"#,
            r#"{"args":"{\"label\": \"SSN\", \"text\": \"123456789\"}"}"#,
            r#"{"question":"What is your SSN?","answer":"123456789"}"#,
            r#"{"name":"M\u00fcller","ssn":123456789}"#,
            "String ssnStr = \"123456789\";",
            "validate_ssn(\"123456789\")",
            "SSN McDonald 123456789",
            "SSN (jane_doe): 123456789",
            "the SSN of 'Jane' 123456789",
            "userSsn: 123456789",
        ] {
            assert_eq!(found(UsSsn, text), ["123456789"], "{text}");
        }
    }

    #[test]
    fn what_another_key_says_passes() {
        assert_passes(
            UsSsn,
            &[
                r#"{"ssnHash": "123456789"}"#,
                r#"{"ssn": null, "id": 123456789}"#,
                r#"{"user":"{\"ssn\": \"\", \"customerId\": \"123456789\"}"}"#,
                r#"{"securityGroupId": 123456789}"#,
                r#"{"type":"SSN","hash":"123456789"}"#,
                r#"{"columns":["ssn","dob"],"id":123456789}"#,
                r#"{"ssn_verified_by": 123456789}"#,
                "ssn_hash=123456789",
                "ssnHash: 123456789",
                r#"{"name": "M\u00fcller", "id": 123456789}"#,
                r#"{"path": "C:\\Users\\D", "id": 123456789}"#,
                r#"{"pattern": "\\d+", "id": "123456789"}"#,
            ],
        );
    }

    #[test]
    fn words_may_touch_a_number_that_is_named() {
        for text in ["SSN123-45-6789", "ssn:123-45-6789dob", "mySSN123-45-6789DOB"] {
            assert_eq!(found(UsSsn, text), ["123-45-6789"], "{text}");
        }
        assert_eq!(found(UsSsn, "SSN123456789"), ["123456789"]);
        assert_passes(UsSsn, &["x123-45-6789", "123-45-6789dob", "ssn 123-45-67890"]);
    }

    #[test]
    fn underscores_are_no_part_of_a_number() {
        for text in ["__123-45-6789__", "session_123-45-6789", "123-45-6789_2024.pdf"] {
            assert_eq!(found(UsSsn, text), ["123-45-6789"], "{text}");
        }
        assert_eq!(found(UsSsn, "ssn_123456789.pdf"), ["123456789"]);
    }

    #[test]
    fn other_numbers_of_security_pass() {
        assert_passes(
            UsSsn,
            &[
                "security incident 123456789",
                "AWS security group 123456789",
                "Security Officer badge 123456789",
                "security no. 594918104",
                r#"{"security": {"number": 123456789}}"#,
                "social media, security: 123456789",
                "Our social.\n\nSecurity: 123456789",
                "antisocial security badge 123456789",
                r#"{"social_id": 7, "security": {"number": 123456789}}"#,
            ],
        );
        for text in [
            "Social Security 123456789",
            "Social-Security no. is: 123456789",
            "soc. security number 123456789",
            "social_security: 123456789",
            "social security of Jane: 123456789",
            "This is my social\nsecurity number is 123456789.",
            "> my social\n> security number is 123456789",
            "my social\r\nsecurity number is 123456789",
            r#"{"text": "her social\nsecurity number is 123456789"}"#,
            r"her social\r\nsecurity number is 123456789",
            "Social Security Number:            123456789",
            "<b>Social</b> Security No. 123456789",
            "<td>Social Security</td><td>123456789</td>",
            "Social&nbsp;Security number 123456789",
            r"Social\u00a0Security number 123456789",
            "Social Security Number (required): 123456789",
            "Social Security Number (9 digits): 123456789",
            "Social (US) Security No. 123456789",
            r#"{"social_security": {"number": 123456789}}"#,
        ] {
            assert_eq!(found(UsSsn, text), ["123456789"], "{text}");
        }
    }

    #[test]
    fn columns_beside_a_number_are_no_part_of_it() {
        for text in [
            "id,ssn,name\n17,123-45-6789,Jane",
            "Jane,123-45-6789,42",
            "1980-01-01,123-45-6789",
            "123-45-6789,1980-01-01",
            r"id,ssn,name\n17,123-45-6789,42\n",
        ] {
            assert_eq!(found(UsSsn, text), ["123-45-6789"], "{text}");
        }
        assert_eq!(found(UsSsn, "ssn: 17,123456789,Jane"), ["123456789"]);
        assert_passes(UsSsn, &["ssn 0,123456789", "ssn 123456789,5"]);
    }

    #[test]
    fn numbers_that_were_never_given_out_pass() {
        assert_passes(
            UsSsn,
            &["000-12-3456", "666-12-3456", "900-12-3456", "987-65-4321", "123-00-4567", "123-45-0000"],
        );
    }

    #[test]
    fn nine_digits_in_another_form_pass() {
        assert_passes(
            UsSsn,
            &[
                "123456789",
                "1-123-45-6789",
                "123-45-6789-1",
                "123-45-67890",
                "10 123 45 6789",
                "a123-45-6789",
                "12-345-6789",
                "123 45-6789",
                "123.45.6789",
                "123\t45\t6789",
                "123\n45\n6789",
                "123\u{2011}45\u{2011}6789\u{2011}1",
            ],
        );
    }
}
