//! Rows of numbers: what looks like a number in groups may be some of them.

use crate::digits::{Gap, group_after, group_before};

/// Not in the middle of a row of numbers: none stands beside it with the gap that stands between its own groups. Columns
/// of numbers that differ in length have one space between as well as more.
pub(crate) fn is_outside_row(text: &[u8], start: usize, end: usize, gap: Gap) -> bool {
    let joins = |beside: Gap| beside == gap || (gap == Gap::Other && beside == Gap::Space);
    let before = group_before(text, start).is_some_and(|(_, beside)| joins(beside));
    let after = group_after(text, end).is_some_and(|(_, beside)| joins(beside));
    !before && !after
}

/// Whether three pairs with spaces between, hexadecimal digits with letters among them, stand on one side, as in the dump
/// of a file. Fewer may be an address: `Bât 2B 4e 06 12 34 56 78`.
pub(crate) fn is_in_dump(text: &[u8], start: usize, end: usize) -> bool {
    /// Three pairs, two spaces at two places and one at another, and what shows whether the last pair ends.
    const REACH: usize = 12;
    let before = &text[start.saturating_sub(REACH)..start];
    let after = text[end..].get(..REACH).unwrap_or(&text[end..]);
    (before.ends_with(b" ") && begins_like_a_dump(before.rsplit(|byte| *byte == b' ')))
        || (after.starts_with(b" ") && begins_like_a_dump(after.split(|byte| *byte == b' ')))
}

fn begins_like_a_dump<'a>(words: impl Iterator<Item = &'a [u8]>) -> bool {
    let is_pair = |word: &&[u8]| word.len() == 2 && word.iter().all(u8::is_ascii_hexdigit);
    let pairs = words.filter(|word| !word.is_empty()).take(3).take_while(is_pair);
    let (pairs, letters) = pairs.fold((0, 0), |(pairs, letters), pair| {
        (pairs + 1, letters + pair.iter().filter(|byte| byte.is_ascii_alphabetic()).count())
    });
    pairs == 3 && letters > 0
}
