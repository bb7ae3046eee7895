//! Digits that only a word before them makes a telephone number: `Tel. 5551234`, `{"phone": "5551234567"}`.

use super::{is_date, read_loosely};
use crate::bytes::{
    byte, byte_before, ends_with, follows, is_any, is_digit, is_number_before, is_word_before, is_word_behind,
    key_before, words_before,
};
use crate::checksum::ean13;
use crate::digits::{Gap, Group, Groups, in_threes};

/// Words that announce a telephone number, beside `phone`.
const PHONES: &[&str] =
    &["tel", "telefon", "telefono", "telefone", "telefoon", "mobiltelefon", "diensttelefon", "fax", "telefax"];

/// First halves of words that end in "phone". Fairphones, speakerphones and iPhones announce none.
const OF_PHONE: &[&str] = &[
    "", "home", "work", "mobile", "cell", "tele", "office", "contact", "primary", "business", "private", "day",
    "evening", "customer", "user", "client",
];

/// Those with a letter beyond ASCII, as they are written: where such a letter stands a word ends.
const ACCENTED: &[&str] = &["tél", "Tél", "TÉL", "móvil", "Móvil", "MÓVIL", "rückrufnummer", "Rückrufnummer"];

/// Words that announce one as often as something else: a device, a channel, a cell of a table.
const DEVICES: &[&str] = &["mobile", "cell", "whatsapp", "handy", "mobil", "celular", "cellulare", "portable", "sms"];

/// Whether a word announces a telephone number: also `Telefonnummer`, `faxnr`, `mobilenumber`, and `Rufnummer`.
fn is_phone(word: &[u8]) -> bool {
    const CALLED: &[&str] = &["ruf", "festnetz", "mobilfunk", "mobiel"];
    const NUMBERS: &[&str] = &["number", "nummer", "nummern", "num", "nr", "no"];
    let is_phone = |word: &[u8]| {
        let first = word.len().saturating_sub("phone".len());
        (ends_with(word, b"phone") && is_any(&word[..first], OF_PHONE)) || is_any(word, PHONES)
    };
    let is_number = |number: &&str| {
        let named = &word[..word.len().saturating_sub(number.len())];
        // `cellnumber` is that of a table's or notebook's cell.
        let is_device = is_any(named, DEVICES) && !is_any(named, &["cell"]);
        ends_with(word, number.as_bytes()) && (is_phone(named) || is_device || is_any(named, CALLED))
    };
    is_phone(word) || NUMBERS.iter().any(is_number)
}

/// Whether such a word with a letter beyond ASCII ends at `end`.
fn is_accented_before(text: &[u8], end: usize) -> bool {
    let is_word = |word: &&str| {
        let before = text[..end].strip_suffix(word.as_bytes());
        before.is_some_and(|before| !before.last().is_some_and(|last| last.is_ascii_alphabetic() || !last.is_ascii()))
    };
    ACCENTED.iter().any(is_word)
}

/// Seven digits or more behind a word that says what they are, ten or more where more than a colon stands between: fewer
/// are a count or a date as well.
pub(super) fn announced(text: &[u8], start: usize) -> Option<usize> {
    // Looked at first because it is cheap: a word ends within a few marks before the number, such as in "Tel.: " and in
    // a key's `\": \"`.
    let is_mark = |byte: &&u8| b" :.#=\"'\\(>|".contains(byte);
    let marks = text[..start].iter().rev().take(8).take_while(is_mark).count();
    let is_behind_word = byte_before(text, start - marks).is_some_and(|byte| byte.is_ascii_alphabetic());
    if !is_behind_word || is_word_before(text, start) {
        return None;
    }
    let (end, digits) = read_loosely(text, start);
    if digits < 7 || is_word_behind(text, end) {
        return None;
    }
    let marks = &text[start - marks..start];
    let is_plain = marks.len() <= 4 && marks.iter().all(|byte| b" :.#=".contains(byte));
    let is_said = if is_plain {
        is_accented_before(text, start - marks.len())
            || words_before(text, start).take(3).any(is_phone)
            || follows(text, start, DEVICES)
    } else {
        digits >= 10 && is_value_of_phone(text, marks, start, end)
    };
    let is_certain = is_plain && names_phone(text, marks, start, end);
    (is_said && !is_date(text, start) && (is_certain || !is_dotted(text, start, end))).then_some(end)
}

/// Whether the digits from `start` to `end` are said to be a telephone number by a word directly before them, so that dots
/// may stand where they do in decimals and versions: behind an area's code, or a country's of one digit if the rest is
/// long. Without a colon every group has two digits or more.
fn names_phone(text: &[u8], marks: &[u8], start: usize, end: usize) -> bool {
    let groups = Groups::read(text, start);
    let lengths = || groups.as_slice().iter().take_while(|group| group.end <= end).map(Group::len);
    let is_code = match lengths().next() {
        Some(1) => lengths().sum::<usize>() >= 10,
        first => first.is_some_and(|first| first <= 5),
    };
    let is_said = key_before(text, start).is_some_and(is_phone);
    is_said && is_code && (marks.contains(&b':') || lengths().all(|length| length >= 2))
}

/// Whether the digits from `start` to `end` are given to a telephone by the `marks` before them, which are more than a
/// colon. The nearest word counts. Beside a bar, a bracket or in an element it must be certain, and the digits must have
/// the form. A device's value must be a string, or an element that is no cell: `{"mobile": 1234567890}` counts visitors.
fn is_value_of_phone(text: &[u8], marks: &[u8], start: usize, end: usize) -> bool {
    let Some(key) = key_before(text, start) else { return false };
    let is_device = is_any(key, DEVICES);
    let is_certain =
        is_phone(key) || is_accented_before(text, start - marks.len()) || (is_device && is_number_before(text, start));
    let is_string = matches!(marks, [.., b'"' | b'\'']) && !marks.contains(&b'|');
    let is_element = marks == b">" && text[end..].starts_with(b"</") && !is_any(key, &["cell"]);
    // `=>` is a colon in other languages.
    let is_beside = (0..marks.len()).any(|at| match marks[at] {
        b'|' | b'(' => true,
        b'>' => byte_before(marks, at) != Some(b'='),
        _ => false,
    });
    let may_be = is_certain || is_device && (is_string || is_element);
    may_be && (!is_beside || has_form(text, start, end)) && !is_amount(text, start, end)
}

/// Whether digits in one piece are neither an article's number nor a time. Of 13 digits those of times in milliseconds
/// begin with a one, those of telephones do not.
fn has_form(text: &[u8], start: usize, end: usize) -> bool {
    let groups = Groups::read(text, start);
    match groups.as_slice() {
        [only, ..] if only.end == end => {
            only.len() <= 12 || (only.len() == 13 && text[start] != b'1' && !ean13(&text[start..end]))
        }
        _ => true,
    }
}

/// `1.234.567.890`, `1 234 567 890`. In `34 612 345 678` the first is a country's code.
fn is_amount(text: &[u8], start: usize, end: usize) -> bool {
    match in_threes(text, start, end) {
        Some(Gap::Space) => !is_digit(byte(text, start + 1)),
        gap => gap.is_some(),
    }
}

/// `3.14159265358979`, `1715524211.25`, `10.0.19041.1234`: between dots a telephone number has groups of two to four
/// digits, unless it begins with a zero.
fn is_dotted(text: &[u8], start: usize, end: usize) -> bool {
    let groups = Groups::read(text, start);
    let [first, rest @ ..] = groups.as_slice() else { return false };
    let has_trunk_zero = text[start] == b'0' && first.len() > 1;
    let is_point = |group: &Group| group.gap == Some(Gap::Dot) && !(2..=4).contains(&group.len());
    let is_decimal = matches!(rest, [fraction, ..] if fraction.gap == Some(Gap::Dot) && fraction.end == end);
    !has_trunk_zero && (is_decimal || rest.iter().take_while(|group| group.end <= end).any(is_point))
}

#[cfg(test)]
mod tests {
    use crate::Rule::Phone;
    use crate::support::found;

    #[test]
    fn bare_digits_count_behind_a_word_that_says_so() {
        assert_eq!(found(Phone, "Phone number: 5551234567."), ["5551234567"]);
        assert_eq!(found(Phone, "Tel.: 5551234"), ["5551234"]);
        for text in [
            r#"{"phone":"5551234567"}"#,
            r#"{"phoneNumber": 5551234567}"#,
            r#"{"mobile_number": "5551234567"}"#,
            r#"{"person":"{\"homePhone\": \"5551234567\"}"}"#,
            "phone: '5551234567'",
            "<phone>5551234567</phone>",
            "| Phone | 5551234567 |",
            "Phone (5551234567)",
            "Telefone: 5551234567",
        ] {
            assert_eq!(found(Phone, text), ["5551234567"], "{text}");
        }
        for text in [
            r#"{"orderNumber":"5551234567"}"#,
            r#"{"id":"5551234567"}"#,
            "phone\n5551234567",
            "iPhone 15",
            r#"{"mobile":true,"id":12345678}"#,
            r#"{"cell":"B7","value":1234567}"#,
            r#"{"device":"mobile","users":1234567890}"#,
            r#"{"phone_verified_at":"2023-01-01 10:00:00"}"#,
            r#"{"phone":null,"id":5551234567}"#,
            r#"{"type":"fax","timestamp":1700000000}"#,
            r#"{"smsSentAt":"1700000000"}"#,
            r#"{"phoneId":"1700000000"}"#,
            "<cell>20230101</cell>",
            "| mobile | 1234567 |",
            "cell.value = \"2024-01-01\"",
            "new phone (2023 - 2024)",
            "iPhone (2024-09-20)",
        ] {
            assert_eq!(found(Phone, text), [""; 0], "{text}");
        }
    }

    #[test]
    fn words_of_other_languages_and_joined_ones_count() {
        for text in [
            "Telefonnummer: {}",
            r#"{"telefonnummer":"{}"}"#,
            "| Telefonnummer | {} |",
            "Telefonnr.: {}",
            "Rufnummer: {}",
            "Telefonnummern: {}",
            "Mobiltelefon: {}",
            "Diensttelefonnummer: {}",
            "Rückrufnummer: {}",
            r#"{"workphone":"{}"}"#,
            "Mobilfunknummer: {}",
            "Mobilnummer: {}",
            "Handynummer: {}",
            "Faxnummer: {}",
            "FAXNR {}",
            "Telefoonnummer: {}",
            "Tél : {}",
            "tél. {}",
            "N° tél: {}",
            r#"{"tél":"{}"}"#,
            "Móvil: {}",
            "Teléfono móvil: {}",
            r#"{"phonenumber":"{}"}"#,
            r#"{"mobilephone":{}}"#,
            r#"{"homephone":"{}"}"#,
            r#"{"mobilenumber": {}}"#,
            "telephonenumber: {}",
            "cellphone {}",
            "Telephone {}",
        ] {
            assert_eq!(found(Phone, &text.replace("{}", "01711234567")), ["01711234567"], "{text}");
        }
        assert_eq!(found(Phone, "Móvil: 612 345 678"), ["612 345 678"]);
        for text in [
            "smartphone 1234567",
            "Fairphone 5 1234567890",
            "| Featurephone | 1500000000 |",
            "speakerphone 12345678",
            "Dictaphone 1234567",
            "cellnumber: 12345678",
            "iphonenumber 1234567",
            "microphone: 12345678",
            "saison francophone 2024-2025",
            "Hôtél 12345678",
            "cartél: 12345678",
            "Rufus: 12345678",
            "Telefonica 12345678",
            "Telefonrechnung 12345678",
            "Rechnungsnummer: 12345678",
            "Kundennummer: 12345678",
        ] {
            assert_eq!(found(Phone, text), [""; 0], "{text}");
        }
    }

    #[test]
    fn dates_amounts_articles_and_times_beside_such_a_word_pass() {
        for text in [
            r#"{"cell": 3.14159265358979, "mobile": "2024-01-01 10:00"}"#,
            r#"{"phone": "12.05.2024 14:30", "tel": "20240512 143011", "fax": "20240512143011"}"#,
            r#"{"mobile": 1234567890, "desktop": 987654321}"#,
            "| Mobile | 1.234.567.890 € |",
            "| Phone | 1 234 567 890 € |",
            "| Telefon | 12.05.2024 14:30 | 20 min |",
            "| Ordinateur portable | 3760123456789 | 899 € |",
            "| Fuel cell | 1234567890 |",
            "| iPhone | 194252707654 |",
            "| Phone | 1715524211.250 |",
            "| Phone | 4006381333931 |",
            "sms | 2024-05-12 14:30:11 | sent",
            "sms|1715524211|delivered",
            "Artikel: Handy (4006381333931)",
            "Le portable (2024 2025 2026)",
            "fax (12.05.2024 14:00)",
            "fax (1/5/2024 14.00.00)",
            "mobile > 1000000000",
            "send_sms(1234567890)",
            "grid.cell(1000000000)",
            "phone=\"10.0.19041.1234\"",
            "Windows Mobile 10.0.15063.2108",
            "mobile: 2024-01-01 10:00",
            "cell: 3.14159265358979",
            "| Phone | 1715524211000 |",
            "phone battery 4.12345678",
            "phone: 12345678.90",
            "fax: 1715524211.25",
            "Tel: 3.14159265",
            "Windows Phone 10.0.15063.2108",
            "| mobile | \"1234567890\" |",
            "<cell>1234567890</cell>",
        ] {
            assert_eq!(found(Phone, text), [""; 0], "{text}");
        }
        for (text, number) in [
            (r#"{"phoneNumber": "4155550123"}"#, "4155550123"),
            (r#"{"mobile": "415 555 0123"}"#, "415 555 0123"),
            (r#"{"mobile": "8613812345678"}"#, "8613812345678"),
            (r#"{"mobileNumber": 4155550123}"#, "4155550123"),
            (r#"{"phone": "34 612 345 678"}"#, "34 612 345 678"),
            ("'mobile' => '4155550123'", "4155550123"),
            ("<Tel>98765 43210</Tel>", "98765 43210"),
            ("| Phone | 415-555-0123 |", "415-555-0123"),
            ("| Mobile number | 4155550123 |", "4155550123"),
            ("setPhone(\"919876543210\")", "919876543210"),
            ("Tel: 030 12345678", "030 12345678"),
            ("Tel: 089.12345678", "089.12345678"),
            ("Tel: 912.345.678", "912.345.678"),
            ("Tel: 69.12345678", "69.12345678"),
            ("Telefon 49.30.1234567", "49.30.1234567"),
            ("tel: 1.800.5551234", "1.800.5551234"),
            ("phone: 91.9876543210", "91.9876543210"),
            (r#"{"fax":4155550123}"#, "4155550123"),
            ("setMobile(\"9876543210\")", "9876543210"),
            ("<mobile>9876543210</mobile>", "9876543210"),
            ("| Phone | 8613812345678 |", "8613812345678"),
            ("<phone>5511987654321</phone>", "5511987654321"),
        ] {
            assert_eq!(found(Phone, text), [number], "{text}");
        }
    }

    #[test]
    fn a_number_in_a_table_may_have_gaps_of_several_kinds() {
        for number in [
            "030 / 12345678",
            "089/123 456-78",
            "0049 (0)30 12345678",
            "44 (0)20 7946 0958",
            "33 6 12 34 56 78",
            "91 98765-43210",
            "7 (495) 123-45-67",
            "49 (30) 12345678",
        ] {
            for text in [format!("| Phone | {number} |"), format!("<phone>{number}</phone>")] {
                assert_eq!(found(Phone, &text), [number], "{text}");
            }
        }
    }
}
