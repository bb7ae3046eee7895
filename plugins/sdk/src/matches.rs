//! What a search finds in a text, in both of its readings.

use std::ops::Range;

use crate::Plain;

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match<R> {
    /// By what; of two that begin at one place the lesser counts first.
    pub rule: R,
    /// Where it stands, in bytes.
    pub range: Range<usize>,
}

/// Everything that `find` finds in `text` as it is written, or as its reader takes it ([`Plain`]), by place. A character
/// that is not seen may part a number, which only the reader's text has whole, and may part it from the word behind it,
/// from which only the written text tells it apart. Matches of one rule that overlap in the two readings are one; those
/// of two rules both count, and [`join_overlapping`] makes places without overlap of them.
#[must_use]
pub fn find_both<R: Copy + Ord>(text: &str, mut find: impl FnMut(&str) -> Vec<Match<R>>) -> Vec<Match<R>> {
    let mut matches = find(text);
    let plain = Plain::of(text);
    if plain.differs() {
        let as_read = find(&plain).into_iter();
        matches.extend(as_read.map(|Match { rule, range }| Match { rule, range: plain.original(range) }));
        matches.sort_unstable_by_key(|found| (found.rule, found.range.start));
        matches.dedup_by(|next, before| next.rule == before.rule && takes(&mut before.range, &next.range));
        matches.sort_unstable_by_key(|found| (found.range.start, found.rule));
    }
    matches
}

/// Of matches by place, those that overlap as one, under the rule of the first: edits may not overlap.
pub fn join_overlapping<R>(matches: impl IntoIterator<Item = Match<R>>) -> impl Iterator<Item = Match<R>> {
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

    #[test]
    fn matches_that_overlap_are_joined_under_the_first() {
        let found = |rule, range| Match { rule, range };
        let matches = [found(6, 0..9), found(3, 2..4), found(5, 8..12), found(2, 12..14), found(2, 20..21)];
        let expected = [found(6, 0..12), found(2, 12..14), found(2, 20..21)];
        assert_eq!(join_overlapping(matches).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn both_readings_are_searched_and_what_both_have_is_one_match() {
        let words = |text: &str, rule: u8, word: &str| -> Vec<Match<u8>> {
            text.match_indices(word).map(|(at, found)| Match { rule, range: at..at + found.len() }).collect()
        };
        let find = |text: &str| [words(text, 2, "tulip"), words(text, 1, "lip")].concat();
        let text = "tu\u{200b}lip, tulip";
        let found: Vec<_> = find_both(text, find).into_iter().map(|found| (found.rule, &text[found.range])).collect();
        assert_eq!(found, [(2, "tu\u{200b}lip"), (1, "lip"), (2, "tulip"), (1, "lip")]);
    }
}
