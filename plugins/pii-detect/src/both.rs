//! A text as it is written, and as its reader takes it.

use std::cmp::Reverse;

use crate::{Match, Rules, find};

/// Everything that `rules` find in `text` in either reading, by place, the longest first: see [`octroi_policy::find_both`].
#[must_use]
pub fn find_both(text: &str, rules: Rules) -> Vec<Match> {
    let mut matches = octroi_policy::find_both(text, |text| find(text, rules));
    matches.sort_by_key(|found| (found.range.start, Reverse(found.range.end)));
    matches
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rule;

    fn found(text: &str) -> Vec<(Rule, &str)> {
        find_both(text, Rules::ALL).into_iter().map(|found| (found.rule, &text[found.range])).collect()
    }

    #[test]
    fn a_mark_beside_a_number_hides_it_as_little_as_one_inside() {
        for (before, data, after, rule) in [
            ("", "DE89370400440532013000", "\u{200b}BIC", Rule::Iban),
            ("Jane\u{200b}", "DE89370400440532013000", "", Rule::Iban),
            ("", "123-45-6789", "\u{200b}DOB", Rule::UsSsn),
            ("", "1\u{200b}23-45-6789", " DOB", Rule::UsSsn),
            ("", "ABCPD1234E", "\u{200b}Name", Rule::Pan),
            ("", "jane@example.org", "\u{200b}24h", Rule::Email),
            ("", "jane@\u{200b}example.org", " 24h", Rule::Email),
            ("", "+49 30 123456", "\u{200b}Fax", Rule::Phone),
            ("card ", "4111111111111111", "\u{200b}", Rule::PaymentCard),
        ] {
            assert_eq!(found(&format!("{before}{data}{after}")), [(rule, data)], "{before:?} {after:?}");
        }
        assert_eq!(found("nothing\u{200b} of the kind"), []);
    }

    #[test]
    fn of_two_that_begin_at_one_place_the_longest_is_first() {
        let address = "123-45-6789\u{34f}x@example.org";
        assert_eq!(found(address), [(Rule::Email, address), (Rule::UsSsn, "123-45-6789")]);
    }

    #[test]
    fn what_both_readings_find_is_one_match() {
        let text = "\u{feff}10.1.2.3, a\u{200b}jane@example.org, jane@example.org";
        let addresses = [(Rule::Email, "a\u{200b}jane@example.org"), (Rule::Email, "jane@example.org")];
        assert_eq!(found(text)[0], (Rule::IpAddress, "10.1.2.3"));
        assert_eq!(found(text)[1..], addresses);
    }
}
