//! Checks of a number that something else has found, such as an operator's own expression.

use serde::Deserialize;

use crate::checksum::{aba, luhn, verhoeff};
use crate::{iban, pan, ssn};

/// What a number must hold to. Only the number is looked at, not what stands around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Validator {
    /// The check digit of payment cards and of much else (ISO/IEC 7812), over the digits.
    Luhn,
    /// International bank account number: the country's length, mod 97.
    Iban,
    /// The check digit of Aadhaar numbers, over the digits.
    Verhoeff,
    /// US social security number: nine digits, with area, group and serial as given out.
    UsSsn,
    /// US bank routing number: nine digits, a prefix in use, and the check digit of the American Bankers Association.
    Aba,
    /// Indian permanent account number: the form, and the entity type's letter.
    Pan,
}

/// Characters that are looked at; a text with more holds to nothing.
const LONGEST: usize = 64;

impl Validator {
    /// Whether `text` holds to it. Those over digits take the digits of the text and skip everything else (`SSN:
    /// 123-45-6789`); the others skip what is neither letter nor digit. ASCII only.
    #[must_use]
    pub fn accepts(self, text: &str) -> bool {
        match self {
            Self::Luhn => Kept::of(text, u8::is_ascii_digit).is_some_and(|it| it.count > 1 && luhn(it.as_slice())),
            Self::Verhoeff => {
                Kept::of(text, u8::is_ascii_digit).is_some_and(|it| it.count > 1 && verhoeff(it.as_slice()))
            }
            Self::UsSsn => Kept::of(text, u8::is_ascii_digit).is_some_and(|it| ssn::is_ssn(it.as_slice())),
            Self::Aba => Kept::of(text, u8::is_ascii_digit).is_some_and(|it| aba(it.as_slice())),
            Self::Iban => Kept::of(text, u8::is_ascii_alphanumeric).is_some_and(|it| iban::is_iban(it.as_slice())),
            Self::Pan => Kept::of(text, u8::is_ascii_alphanumeric).is_some_and(|it| pan::is_pan(it.as_slice())),
        }
    }
}

/// The characters that count.
struct Kept {
    bytes: [u8; LONGEST],
    count: usize,
}

impl Kept {
    /// `None` if there are too many.
    fn of(text: &str, counts: impl Fn(&u8) -> bool) -> Option<Self> {
        let mut kept = Self { bytes: [0; LONGEST], count: 0 };
        for byte in text.bytes().filter(counts) {
            *kept.bytes.get_mut(kept.count)? = byte;
            kept.count += 1;
        }
        Some(kept)
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.count]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_holds_or_does_not() {
        for (validator, good, bad) in [
            (Validator::Luhn, "4111 1111-1111.1111", "4111 1111 1111 1112"),
            (Validator::Luhn, "card: 79927398713", "79927398710"),
            (Validator::Iban, "de89 3704 0044 0532 0130 00", "DE89 3704 0044 0532 0130 01"),
            (Validator::Iban, "GB29NWBK60161331926819", "GB29NWBK6016133192681"),
            (Validator::Iban, "(NO93 8601 1117 947)", "IBAN NO93 8601 1117 947"),
            (Validator::Verhoeff, "2341 2341 2346", "2341 2341 2345"),
            (Validator::UsSsn, "SSN 123-45-6789", "666-45-6789"),
            (Validator::UsSsn, "123456789", "123-45-678"),
            (Validator::Aba, "021000021", "021000022"),
            (Validator::Aba, "1210-0035-8", "991000020"),
            (Validator::Pan, "ABCPD 1234 E", "ABCDE1234F"),
            (Validator::Pan, "abcpd1234e", "ABCPD0000E"),
        ] {
            assert!(validator.accepts(good), "{validator:?} {good}");
            assert!(!validator.accepts(bad), "{validator:?} {bad}");
        }
    }

    #[test]
    fn a_text_that_is_too_short_or_too_long_holds_to_nothing() {
        for validator in
            [Validator::Luhn, Validator::Iban, Validator::Verhoeff, Validator::UsSsn, Validator::Aba, Validator::Pan]
        {
            for text in ["", "0", "DE", "é", &"0".repeat(65)] {
                assert!(!validator.accepts(text), "{validator:?} {text}");
            }
        }
    }
}
