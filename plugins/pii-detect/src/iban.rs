//! International bank account numbers: the country's length and mod 97.

use crate::bytes::{byte, byte_before, ends_with, is_alphanumeric, is_alphanumeric_before, is_digit};
use crate::checksum::mod97;
use crate::digits::{Gap, read_gap, separator_on_line};

/// Length for each country (ISO 13616 registry).
#[rustfmt::skip]
const LENGTHS: &[(&[u8; 2], usize)] = &[
    (b"AD", 24), (b"AE", 23), (b"AL", 28), (b"AT", 20), (b"AZ", 28), (b"BA", 20), (b"BE", 16), (b"BG", 22),
    (b"BH", 22), (b"BI", 27), (b"BR", 29), (b"BY", 28), (b"CH", 21), (b"CR", 22), (b"CY", 28), (b"CZ", 24),
    (b"DE", 22), (b"DJ", 27), (b"DK", 18), (b"DO", 28), (b"EE", 20), (b"EG", 29), (b"ES", 24), (b"FI", 18),
    (b"FK", 18), (b"FO", 18), (b"FR", 27), (b"GB", 22), (b"GE", 22), (b"GI", 23), (b"GL", 18), (b"GR", 27),
    (b"GT", 28), (b"HN", 28), (b"HR", 21), (b"HU", 28), (b"IE", 22), (b"IL", 23), (b"IQ", 23), (b"IS", 26),
    (b"IT", 27), (b"JO", 30), (b"KW", 30), (b"KZ", 20), (b"LB", 28), (b"LC", 32), (b"LI", 21), (b"LT", 20),
    (b"LU", 20), (b"LV", 21), (b"LY", 25), (b"MC", 27), (b"MD", 24), (b"ME", 22), (b"MK", 19), (b"MN", 20),
    (b"MR", 27), (b"MT", 31), (b"MU", 30), (b"NI", 28), (b"NL", 18), (b"NO", 15), (b"OM", 23), (b"PK", 24),
    (b"PL", 28), (b"PS", 29), (b"PT", 25), (b"QA", 29), (b"RO", 24), (b"RS", 22), (b"RU", 33), (b"SA", 24),
    (b"SC", 31), (b"SD", 18), (b"SE", 24), (b"SI", 19), (b"SK", 24), (b"SM", 27), (b"SO", 23), (b"ST", 25),
    (b"SV", 28), (b"TL", 23), (b"TN", 24), (b"TR", 26), (b"UA", 29), (b"VA", 22), (b"VG", 24), (b"XK", 20),
    (b"YE", 30),
];

/// The number whose check digits begin at `digits`, as start and end. A space before them takes a country in capitals.
pub(crate) fn iban(text: &[u8], digits: usize) -> Option<(usize, usize)> {
    let country_end = digits - usize::from(byte_before(text, digits) == Some(b' '));
    let start = country_end.checked_sub(2)?;
    let letters = &text[start..country_end];
    if country_end < digits && !letters.iter().all(u8::is_ascii_uppercase) {
        return None;
    }
    let country = letters.to_ascii_uppercase();
    let is_named = || ends_with(&text[..start], b"iban") || ends_with(&text[..start], b"konto");
    if !country.iter().all(u8::is_ascii_uppercase) || (is_alphanumeric_before(text, start) && !is_named()) {
        return None;
    }
    let length = length(&country)?;
    let (characters, end) = read(text, start, length)?;
    is_iban(&characters[..length]).then_some((start, end))
}

/// Whether ASCII letters and digits, and nothing else, are such a number.
pub(crate) fn is_iban(characters: &[u8]) -> bool {
    characters.split_at_checked(2).is_some_and(|(country, rest)| {
        length(&country.to_ascii_uppercase()) == Some(characters.len())
            && rest[..2].iter().all(u8::is_ascii_digit)
            && mod97(characters)
    })
}

fn length(country: &[u8]) -> Option<usize> {
    LENGTHS.iter().find(|(code, _)| code[..] == *country).map(|(_, length)| *length)
}

/// `length` letters and digits, with single separators between, and where they end. In capitals they may be wrapped once,
/// behind the second group of four or a later one.
fn read(text: &[u8], start: usize, length: usize) -> Option<([u8; 34], usize)> {
    let (mut characters, mut count, mut at, mut may_part, mut may_wrap) = ([0; 34], 0, start, false, true);
    while count < length {
        let byte = *text.get(at)?;
        if byte.is_ascii_alphanumeric() {
            characters[count] = byte;
            count += 1;
            at += 1;
        } else if let Some(separator) = separator_on_line(&text[at..]).filter(|_| may_part)
            && text.get(at + separator).is_some_and(u8::is_ascii_alphanumeric)
        {
            at += separator;
        } else {
            let is_group = may_wrap && count >= 8 && count.is_multiple_of(4);
            (at, _) = read_gap(text, at).filter(|(_, gap)| is_group && *gap == Gap::Line)?;
            may_wrap = false;
        }
        may_part = byte.is_ascii_alphanumeric();
    }
    let is_whole = may_wrap || !characters.iter().any(u8::is_ascii_lowercase);
    (is_whole && !is_in_code(text, at)).then_some((characters, at))
}

/// Whether the code, or the word, goes on at `end`. A word may touch a number, whose length is known, `00BIC`; letters with
/// digits behind them belong to a hash.
fn is_in_code(text: &[u8], end: usize) -> bool {
    const LONGEST_WORD: usize = 16;
    let letters = text[end..].iter().take(LONGEST_WORD).take_while(|byte| byte.is_ascii_alphabetic()).count();
    is_alphanumeric(byte(text, end + letters)) || (letters > 0 && !is_digit(byte_before(text, end)))
}

#[cfg(test)]
mod tests {
    use crate::Rule::Iban;
    use crate::support::{assert_finds, assert_passes, found};

    #[test]
    fn examples_of_the_registry_are_found() {
        for number in [
            "GB29NWBK60161331926819",
            "GB29 NWBK 6016 1331 9268 19",
            "gb29 nwbk 6016 1331 9268 19",
            "GB29\u{a0}NWBK\u{a0}6016\u{a0}1331\u{a0}9268\u{a0}19",
            "GB29\u{202f}NWBK\u{202f}6016\u{202f}1331\u{202f}9268\u{202f}19",
            r"GB29\u00a0NWBK\u00a06016\u00a01331\u00a09268\u00a019",
            "GB 29 NWBK 6016 1331 9268 19",
            "DE 89370400440532013000",
            "DE89370400440532013000",
            "DE89 3704 0044 0532 0130 00",
            "FR1420041010050500013M02606",
            "NL91ABNA0417164300",
            "CH9300762011623852957",
            "NO9386011117947",
            "BE68539007547034",
            "ES9121000418450200051332",
            "IT60X0542811101000000123456",
            "AT611904300234573201",
            "MT84MALT011000012345MTLCAST001S",
            "SA0380000000608010167519",
            "TR330006100519786457841326",
            "PL61109010140000071219812874",
            "SE4550000000058398257466",
            "LC55HEMM000100010012001200023015",
        ] {
            assert_finds(Iban, number);
        }
    }

    #[test]
    fn a_number_may_be_wrapped_once_between_its_groups() {
        for number in [
            "DE89 3704 0044\n0532 0130 00",
            "DE89 3704 \r\n0044 0532 0130 00",
            r"GB29 NWBK\n6016 1331 9268 19",
            "FR1420041010\n050500013M02606",
        ] {
            assert_eq!(found(Iban, &format!("My account {number}.")), [number]);
        }
        assert_passes(
            Iban,
            &["DE89 3704\n0044 0532\n0130 00", "DE89 37\n04 0044 0532 0130 00", "gb29 nwbk\n6016 1331 9268 19"],
        );
    }

    #[test]
    fn words_may_touch_a_number() {
        for (text, number) in [
            ("IBAN DE89 3704 0044 0532 0130 00BIC COBADEFFXXX", "DE89 3704 0044 0532 0130 00"),
            ("IBAN:DE89370400440532013000BIC:COBADEFFXXX", "DE89370400440532013000"),
            ("IBANDE89370400440532013000", "DE89370400440532013000"),
            ("ibande89370400440532013000", "de89370400440532013000"),
            ("KontoDE89 3704 0044 0532 0130 00bei", "DE89 3704 0044 0532 0130 00"),
        ] {
            assert_eq!(found(Iban, text), [number], "{text}");
        }
        assert_passes(Iban, &["DE89370400440532013000ab12", "caféDE89370400440532013001", "xDE89370400440532013000"]);
    }

    #[test]
    fn underscores_are_no_part_of_a_number() {
        for text in ["_{}_", "export_{}.csv", "{}_2024"] {
            let number = "DE89370400440532013000";
            assert_eq!(found(Iban, &text.replace("{}", number)), [number], "{text}");
        }
    }

    #[test]
    fn what_only_looks_like_one_passes() {
        assert_passes(
            Iban,
            &[
                "GB29NWBK60161331926818",
                "GB29NWBK6016133192681",
                "XGB29NWBK60161331926819",
                "ZZ29NWBK60161331926819",
                "DE893704004405320130001",
                "DE89  370400440532013000",
                "DE89\n370400440532013000",
                "de 89 3704 0044 0532 0130 00",
                "it is in DE32 that we read about thermal baths",
                "it is in DE20 that we read about the 30 towns",
            ],
        );
    }
}
