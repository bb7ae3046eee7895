//! Indian permanent account numbers: five letters, of which the fourth says what kind of entity holds it, four digits,
//! one letter.

use crate::bytes::is_whole_word;

/// Association, body of individuals, company, firm, government, Hindu undivided family, artificial juridical person,
/// local authority, person, trust.
const ENTITIES: &[u8] = b"ABCFGHJLPT";

/// The number whose four digits begin at `digits`, as start and end.
pub(crate) fn pan(text: &[u8], digits: usize) -> Option<(usize, usize)> {
    let (start, end) = (digits.checked_sub(5)?, digits + 5);
    (is_pan(text.get(start..end)?) && is_whole_word(text, start, end)).then_some((start, end))
}

/// Whether ten characters are such a number.
pub(crate) fn is_pan(characters: &[u8]) -> bool {
    let [letters @ .., a, b, c, d, check] = characters else { return false };
    let serial = [*a, *b, *c, *d];
    letters.len() == 5
        && letters.iter().chain([check]).all(u8::is_ascii_alphabetic)
        && ENTITIES.contains(&letters[3].to_ascii_uppercase())
        && serial.iter().all(u8::is_ascii_digit)
        && serial != *b"0000"
}

#[cfg(test)]
mod tests {
    use crate::Rule::Pan;
    use crate::support::{assert_finds, assert_passes};

    #[test]
    fn numbers_of_every_entity_are_found_in_either_case() {
        for number in ["ABCPD1234E", "abcpd1234e", "AAACR5055K", "AAAFT1234Q", "AAATB0001Z", "AbCgD1234e"] {
            assert_finds(Pan, number);
        }
    }

    #[test]
    fn other_codes_pass() {
        assert_passes(
            Pan,
            &[
                "ABCDE1234F",
                "ABCPD0000E",
                "ABCP1234E",
                "ABCPD12345E",
                "XABCPD1234E",
                "ABCPD1234EF",
                "ABCPD1234",
                "ABCPD_1234E",
            ],
        );
    }
}
