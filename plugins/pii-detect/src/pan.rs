//! Indian permanent account numbers: five letters, of which the fourth says what kind of entity holds it, four digits,
//! one letter.

use crate::bytes::{follows, is_whole_word};

/// Association, body of individuals, company, firm, government, Hindu undivided family, artificial juridical person,
/// local authority, person, trust.
const ENTITIES: &[u8] = b"ABCFGHJLPT";

/// The number whose four digits begin at `digits`, as start and end. Other than in capitals, in which `photo2024a` is no
/// number, it counts only when the words before it say what it is.
pub(crate) fn pan(text: &[u8], digits: usize) -> Option<(usize, usize)> {
    let (start, end) = (digits.checked_sub(5)?, digits + 5);
    let number = text.get(start..end)?;
    let is_known = || !number.iter().any(u8::is_ascii_lowercase) || follows(text, start, &["pan"]);
    (is_pan(number) && is_whole_word(text, start, end) && is_known()).then_some((start, end))
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
    use crate::support::{assert_finds, assert_passes, found};

    #[test]
    fn numbers_of_every_entity_are_found() {
        for number in ["ABCPD1234E", "AAACR5055K", "AAAFT1234Q", "AAATB0001Z"] {
            assert_finds(Pan, number);
        }
    }

    #[test]
    fn small_letters_count_behind_a_word_that_says_so() {
        for number in ["abcpd1234e", "AbCgD1234e"] {
            for before in ["PAN: ", "my pan is ", "{\"pan\":\"", "{\"panNumber\":\""] {
                assert_eq!(found(Pan, &format!("{before}{number}")), [number]);
            }
        }
        assert_passes(Pan, &["photo2024a.jpg", "draft2023b.docx", "build1234a", "AbCgD1234e"]);
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
