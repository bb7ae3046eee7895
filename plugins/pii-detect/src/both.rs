//! A text as it is written, and as its reader takes it.

use std::cmp::Reverse;
use std::ops::Range;

use octroi_policy::Plain;

use crate::{Match, Rules, find};

/// Everything that `rules` find in `text` as it is written, or as its reader takes it ([`Plain`]), by place. A character
/// that is not seen may part a number, which only the reader's text has whole, and may part it from the word behind it,
/// from which only the written text tells it apart. Matches of one rule that overlap are one; those of two rules both
/// count, and [`joined`] makes places without overlap of them.
#[must_use]
pub fn find_both(text: &str, rules: Rules) -> Vec<Match> {
    let mut matches = find(text, rules);
    let plain = Plain::of(text);
    if plain.differs() {
        let as_read = find(&plain, rules).into_iter();
        matches.extend(as_read.map(|Match { rule, range }| Match { rule, range: plain.original(range) }));
        matches.sort_unstable_by_key(|found| (found.rule, found.range.start));
        matches.dedup_by(|next, before| next.rule == before.rule && takes(&mut before.range, &next.range));
        matches.sort_unstable_by_key(|found| (found.range.start, Reverse(found.range.end), found.rule));
    }
    matches
}

/// Of matches by place, those that overlap as one, under the rule of the first.
pub fn joined(matches: impl IntoIterator<Item = Match>) -> impl Iterator<Item = Match> {
    let mut matches = matches.into_iter().peekable();
    std::iter::from_fn(move || {
        let mut first = matches.next()?;
        while matches.next_if(|next| takes(&mut first.range, &next.range)).is_some() {}
        Some(first)
    })
}

/// Makes a range as long as one that begins in it needs. Whether it does.
fn takes(range: &mut Range<usize>, next: &Range<usize>) -> bool {
    let overlaps = next.start < range.end;
    if overlaps {
        range.end = range.end.max(next.end);
    }
    overlaps
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
    fn what_both_readings_find_is_one_match() {
        let text = "\u{feff}10.1.2.3, a\u{200b}jane@example.org, jane@example.org";
        let addresses = [(Rule::Email, "a\u{200b}jane@example.org"), (Rule::Email, "jane@example.org")];
        assert_eq!(found(text)[0], (Rule::IpAddress, "10.1.2.3"));
        assert_eq!(found(text)[1..], addresses);
    }

    #[test]
    fn matches_that_overlap_are_joined_under_the_first() {
        let found = |rule, range| Match { rule, range };
        let matches = [
            found(Rule::Phone, 0..9),
            found(Rule::Pan, 2..4),
            found(Rule::Email, 8..12),
            found(Rule::Iban, 12..14),
            found(Rule::Iban, 20..21),
        ];
        let expected = [found(Rule::Phone, 0..12), found(Rule::Iban, 12..14), found(Rule::Iban, 20..21)];
        assert_eq!(joined(matches).collect::<Vec<_>>(), expected);
    }
}
