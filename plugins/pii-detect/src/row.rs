//! Rows of numbers: what looks like a number in groups may be some of them.

use crate::bytes::{byte, is_digit};
use crate::digits::{Gap, Group, Groups, group_before, read_gap};

/// Not in the middle of a row of numbers: none stands beside it with the gap that stands between its own groups. Columns
/// of numbers that differ in length have one space between as well as more.
pub(crate) fn is_outside_row(text: &[u8], start: usize, end: usize, gap: Gap) -> bool {
    let joins = |beside: Gap| beside == gap || (gap == Gap::Other && beside == Gap::Space);
    let before = group_before(text, start).is_some_and(|(_, beside)| joins(beside));
    let after = read_gap(text, end).is_some_and(|(next, beside)| joins(beside) && is_digit(byte(text, next)));
    !before && !after
}

/// Whether groups of one length, of which the last may be a rest, are some of a row of such groups: there are others on
/// both sides, or two on one. One alone may be a date or a code. Others that together are `found` as well are no row.
pub(crate) fn is_part_of_row(text: &[u8], groups: &[Group], found: impl Fn(&[Group]) -> bool) -> bool {
    let [first, second, ..] = groups else { return false };
    let (count, last) = (groups.len(), &groups[groups.len() - 1]);
    if groups[..count - 1].iter().any(|group| group.len() != first.len()) {
        return false;
    }
    let is_other = |group: &Group, gap: Option<Gap>| group.len() == first.len() && gap == second.gap;
    let behind = Groups::read(text, last.start);
    let behind = &behind.as_slice()[1..];
    let after = behind.iter().take_while(|group| is_other(group, group.gap)).count();
    let others_before =
        std::iter::successors(group_before(text, first.start), |(group, _)| group_before(text, group.start));
    let others_before = others_before.take(count).take_while(|(group, gap)| is_other(group, Some(*gap)));
    let (before, farthest) = others_before.fold((0, first.start), |(before, _), (group, _)| (before + 1, group.start));
    let is_free_after = after == 0 || (after >= count && found(&behind[..count]));
    let farthest = Groups::read(text, farthest);
    let is_free_before = before == 0 || (before == count && farthest.as_slice().get(..count).is_some_and(&found));
    match (is_free_before, is_free_after) {
        (true, true) => false,
        (true, false) => after >= 2,
        (false, true) => before >= 2,
        (false, false) => true,
    }
}

/// Whether pairs of hexadecimal digits stand beside, as in the dump of a file. Two letters alone may be a word.
pub(crate) fn is_in_dump(text: &[u8], start: usize, end: usize) -> bool {
    /// Two spaces, a pair, a space, a pair and what shows whether it ends.
    const REACH: usize = 8;
    let before = text[start.saturating_sub(REACH)..start].rsplit(|byte| *byte == b' ');
    let after = text[end..].get(..REACH).unwrap_or(&text[end..]).split(|byte| *byte == b' ');
    begins_like_a_dump(before) || begins_like_a_dump(after)
}

fn begins_like_a_dump<'a>(words: impl Iterator<Item = &'a [u8]>) -> bool {
    let mut words = words.filter(|word| !word.is_empty());
    let mut letters_of_pair = || {
        let pair = words.next().filter(|word| word.len() == 2 && word.iter().all(u8::is_ascii_hexdigit));
        pair.map(|pair| pair.iter().filter(|byte| byte.is_ascii_alphabetic()).count())
    };
    match letters_of_pair() {
        Some(1) => true,
        Some(_) => letters_of_pair().is_some_and(|letters| letters > 0),
        None => false,
    }
}
