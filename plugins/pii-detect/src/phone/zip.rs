//! US ZIP codes with their four, which look like a number behind a trunk's zero: `MA 02110-1301`, `"zip":"02110-1301"`,
//! `02110-1301 USA`. Elsewhere such digits are a telephone number, too.

use crate::bytes::{is_any, is_word, word_before};
use crate::digits::{Gap, Group};

/// States and territories where such codes begin with a zero.
const STATES: &[&str] = &["AE", "CT", "MA", "ME", "NH", "NJ", "NY", "PR", "RI", "VI", "VT"];

/// Words that say what the code is, the last of them before "code".
const NAMES: &[&str] = &["zip", "zipcode", "postal", "postalcode", "postcode"];

/// Whether the groups are a ZIP code by what stands around them.
pub(super) fn is_zip(text: &[u8], groups: &[Group]) -> bool {
    /// `postal_code`, and marks on both sides.
    const REACH: usize = 24;
    let [a, b] = groups else { return false };
    if (a.len(), b.len(), b.gap) != (5, 4, Some(Gap::Dash)) {
        return false;
    }
    let (before, behind) = (&text[a.start.saturating_sub(REACH)..a.start], &text[b.end..]);
    let marks = behind.iter().take(3).take_while(|byte| b" ,".contains(byte)).count();
    is_behind_state(before) || is_behind_name(before) || behind[marks..].starts_with(b"USA")
}

/// Behind a state's letters, also as fields of a record. `ME` is a word in capitals, too, where nothing parts it from the
/// word before it.
fn is_behind_state(before: &[u8]) -> bool {
    let Some((rest, state)) = without_marks(before, b" \t\r\n,'\"|\\").split_last_chunk::<2>() else { return false };
    let is_field = || rest.trim_ascii_end().last().is_some_and(|mark| b",'\"|".contains(mark));
    !is_word(rest.last().copied()) && STATES.iter().any(|one| state == one.as_bytes()) && (state != b"ME" || is_field())
}

/// The value of a key, or behind such a word: `zip: `, `"postalCode": "`.
fn is_behind_name(before: &[u8]) -> bool {
    let name = without_marks(before, b" :=>'\"|\\");
    name.last().is_some_and(u8::is_ascii_alphabetic)
        && word_before(name, name.len(), &["code"]).is_some_and(|word| is_any(word, NAMES))
}

fn without_marks<'a>(before: &'a [u8], marks: &[u8]) -> &'a [u8] {
    let count = before.iter().rev().take_while(|byte| marks.contains(byte)).count();
    &before[..before.len() - count]
}

#[cfg(test)]
mod tests {
    use crate::Rule::Phone;
    use crate::support::{assert_passes, found};

    #[test]
    fn codes_of_states_and_fields_pass() {
        assert_passes(
            Phone,
            &[
                "Boston, MA 02110-1301 USA",
                "Cambridge, MA  02139-4307, USA",
                "02110-1301, USA",
                "MA\n02110-1301",
                "Portland, ME 04101-1234",
                r#"{"city":"Boston","state":"MA","zip":"02110-1301"}"#,
                r#"{"args":"{\"state\": \"MA\", \"zip\": \"02110-1301\"}"}"#,
                "zip: 02110-1301",
                "ZIP code 02110-1301",
                "zip_code=02110-1301",
                r#""postalCode": "02110-1301""#,
                "<postal>02110-1301</postal>",
                "Boston,MA,02110-1301,US",
                "Portland,ME,04101-1234,US",
                "VALUES (1,'Boston','MA','02110-1301')",
                "| Boston | MA | 02110-1301 |",
                "| Portland | ME | 04101-1234 |",
            ],
        );
    }

    #[test]
    fn elsewhere_such_digits_are_a_number() {
        for before in [
            "Fax ",
            "(",
            "erreichbar unter ",
            "Rufnummer: ",
            "call me ",
            "CALL ME ",
            "TEXT ME: ",
            "IBM A ",
            "OHMA ",
            "zip 79379, Tel. ",
            "zip file, ",
            r#"{"zip":"79379","phone":""#,
            r#"{"state":"MA","phone":""#,
            "MA 02110, ",
        ] {
            assert_eq!(found(Phone, &format!("{before}07763-9299 PLEASE")), ["07763-9299"], "{before}");
        }
    }
}
