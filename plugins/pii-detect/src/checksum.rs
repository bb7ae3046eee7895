//! Check digits.

/// Luhn (ISO/IEC 7812), over ASCII digits.
pub(crate) fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match (u32::from(digit - b'0'), place % 2) {
            (digit, 0) => digit,
            (digit, _) => digit * 2 / 10 + digit * 2 % 10,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// The check digit of article numbers (EAN-13), over ASCII digits.
pub(crate) fn ean13(digits: &[u8]) -> bool {
    digits.len() == 13 && gtin(digits)
}

/// The same for those of twelve digits (UPC-A).
pub(crate) fn upc(digits: &[u8]) -> bool {
    digits.len() == 12 && gtin(digits)
}

/// From the last digit on each other one counts three times.
fn gtin(digits: &[u8]) -> bool {
    let weighted = digits.iter().rev().zip([1, 3].into_iter().cycle());
    weighted.map(|(digit, weight)| u32::from(digit - b'0') * weight).sum::<u32>().is_multiple_of(10)
}

/// Mod 97 (ISO 13616): the first four characters moved to the end, letters as 10 to 35. Over ASCII letters and digits.
pub(crate) fn mod97(characters: &[u8]) -> bool {
    let (head, tail) = characters.split_at(4.min(characters.len()));
    let rest = tail.iter().chain(head).fold(0u32, |rest, character| match character {
        b'0'..=b'9' => (rest * 10 + u32::from(character - b'0')) % 97,
        letter => (rest * 100 + u32::from(letter.to_ascii_uppercase().saturating_sub(b'A')) + 10) % 97,
    });
    rest == 1
}

/// The check digit of US bank routing numbers, and a prefix in use: Federal Reserve districts, thrift institutions,
/// electronic payments, traveller's cheques. Over ASCII digits.
pub(crate) fn aba(digits: &[u8]) -> bool {
    const WEIGHTS: [u32; 9] = [3, 7, 1, 3, 7, 1, 3, 7, 1];
    if digits.len() != WEIGHTS.len() {
        return false;
    }
    let prefix = (digits[0] - b'0') * 10 + (digits[1] - b'0');
    let sum: u32 = digits.iter().zip(WEIGHTS).map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
    matches!(prefix, 0..=12 | 21..=32 | 61..=72 | 80) && sum > 0 && sum.is_multiple_of(10)
}

/// Verhoeff, over ASCII digits: the tables of the dihedral group of order ten.
pub(crate) fn verhoeff(digits: &[u8]) -> bool {
    const MULTIPLY: [[u8; 10]; 10] = [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
        [1, 2, 3, 4, 0, 6, 7, 8, 9, 5],
        [2, 3, 4, 0, 1, 7, 8, 9, 5, 6],
        [3, 4, 0, 1, 2, 8, 9, 5, 6, 7],
        [4, 0, 1, 2, 3, 9, 5, 6, 7, 8],
        [5, 9, 8, 7, 6, 0, 4, 3, 2, 1],
        [6, 5, 9, 8, 7, 1, 0, 4, 3, 2],
        [7, 6, 5, 9, 8, 2, 1, 0, 4, 3],
        [8, 7, 6, 5, 9, 3, 2, 1, 0, 4],
        [9, 8, 7, 6, 5, 4, 3, 2, 1, 0],
    ];
    const PERMUTE: [[u8; 10]; 8] = [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
        [1, 5, 7, 6, 2, 8, 3, 0, 9, 4],
        [5, 8, 0, 3, 7, 9, 6, 1, 4, 2],
        [8, 9, 1, 6, 0, 4, 3, 5, 2, 7],
        [9, 4, 5, 3, 1, 2, 6, 8, 7, 0],
        [4, 2, 8, 6, 5, 7, 3, 9, 0, 1],
        [2, 7, 9, 3, 8, 0, 6, 4, 1, 5],
        [7, 0, 4, 6, 9, 1, 3, 2, 5, 8],
    ];
    let rest = digits.iter().rev().enumerate().fold(0u8, |rest, (place, digit)| {
        MULTIPLY[usize::from(rest)][usize::from(PERMUTE[place % 8][usize::from(digit - b'0')])]
    });
    rest == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_vectors_hold_and_every_changed_digit_is_noticed() {
        type Check = fn(&[u8]) -> bool;
        let vectors: [(Check, &[&str]); 6] = [
            (luhn, &["4111111111111111", "378282246310005", "6011111111111117", "79927398713"]),
            (ean13, &["4006000000169", "9783161484100", "4006381333931"]),
            (upc, &["885909950805", "711719541028", "036000291452"]),
            (mod97, &["GB82WEST12345698765432", "DE89370400440532013000", "FR1420041010050500013M02606"]),
            (aba, &["021000021", "011401533", "121000358", "091000019"]),
            (verhoeff, &["2363", "123451", "234123412346", "999941057058"]),
        ];
        for (check, numbers) in vectors {
            for number in numbers {
                assert!(check(number.as_bytes()), "{number}");
                for place in 0..number.len() {
                    let mut changed = number.as_bytes().to_vec();
                    if changed[place].is_ascii_digit() {
                        changed[place] = b'0' + (changed[place] - b'0' + 1) % 10;
                        assert!(!check(&changed), "{number} at {place}");
                    }
                }
            }
        }
    }
}
