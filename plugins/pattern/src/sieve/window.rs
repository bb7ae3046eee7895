//! Rows that cannot be spelt out, such as digits: bit-parallel matching (Shift-And), a few rows in each word.
//!
//! A bit of the word stands for a place in a row, and says whether what was read so far fits the row up to there. Each
//! character moves all bits by one place and lets those stay whose class has it.

use std::ops::Range;

use crate::class::{COLUMNS, Class, column};
use crate::factor::Chain;

/// The longest row that is looked for; longer ones by their rarest part.
const LONGEST: usize = 12;

/// Stands for a byte inside a character.
const INSIDE: u8 = u8::MAX;

/// The rarest part of a row.
pub(super) fn best(chain: &[Class]) -> Range<usize> {
    let weight = |range: &Range<usize>| chain[range.clone()].iter().map(Class::weight).sum::<u32>();
    let last = chain.len().saturating_sub(LONGEST);
    let all = (0..=last).map(|start| start..chain.len().min(start + LONGEST));
    // The first of equals.
    let Range { mut start, mut end } = all.rev().max_by_key(weight).unwrap_or_default();
    // What every character fits tells nothing, at the ends.
    while start < end && chain[start].weight() == 0 {
        start += 1;
    }
    while start < end && chain[end - 1].weight() == 0 {
        end -= 1;
    }
    start..end
}

/// Rows to look for.
#[derive(Debug)]
pub(super) struct Windows {
    words: Vec<Word>,
}

#[derive(Debug)]
struct Word {
    /// For each column the places that have it. As many as a byte has values, so that no look-up is checked.
    masks: Box<[u64; 256]>,
    /// First places.
    starts: u64,
    /// Last places.
    ends: u64,
    /// The number of the row that ends at a place.
    numbers: Box<[u32; 64]>,
    used: u32,
}

impl Windows {
    pub(super) fn new(rows: Vec<(Chain, u32)>) -> Self {
        let mut words: Vec<Word> = Vec::new();
        for (row, number) in &rows {
            match words.iter_mut().rev().take(8).find(|word| word.used as usize + row.len() <= 64) {
                Some(word) => word.add(row, *number),
                None => {
                    let mut word = Word::empty();
                    word.add(row, *number);
                    words.push(word);
                }
            }
        }
        Self { words }
    }

    pub(super) fn search(&self, text: &str, report: &mut impl FnMut(u32, usize)) {
        if self.words.is_empty() {
            return;
        }
        let columns = columns(text);
        for word in &self.words {
            let mut state = 0_u64;
            for (at, column) in columns.iter().enumerate() {
                if *column == INSIDE {
                    continue;
                }
                state = (state << 1 | word.starts) & word.masks[usize::from(*column)];
                let mut found = state & word.ends;
                while found != 0 {
                    let place = found.trailing_zeros() as usize;
                    found &= found - 1;
                    report(word.numbers[place], text.ceil_char_boundary(at + 1));
                }
            }
        }
    }
}

impl Word {
    fn empty() -> Self {
        Self { masks: Box::new([0; 256]), starts: 0, ends: 0, numbers: Box::new([0; 64]), used: 0 }
    }

    /// There must be room.
    fn add(&mut self, row: &[Class], number: u32) {
        let first = self.used;
        for (place, class) in (first..).zip(row) {
            for column in (0..COLUMNS).filter(|column| class.has_column(*column)) {
                self.masks[column] |= 1 << place;
            }
            self.used = place + 1;
        }
        self.starts |= 1 << first;
        self.ends |= 1 << (self.used - 1);
        self.numbers[self.used as usize - 1] = number;
    }
}

/// The column of each character at its first byte.
fn columns(text: &str) -> Vec<u8> {
    let mut columns = text.as_bytes().to_vec();
    if !text.is_ascii() {
        for (at, character) in text.char_indices().filter(|(_, character)| !character.is_ascii()) {
            columns[at] = column(character);
            columns[at + 1..at + character.len_utf8()].fill(INSIDE);
        }
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_stands_at_the_first_byte_of_each_character() {
        assert_eq!(columns("aé€1"), [b'a', 128, INSIDE, 131, INSIDE, INSIDE, b'1']);
    }

    #[test]
    fn the_rarest_part_of_a_long_row_is_taken() {
        let chains = crate::factor::factor(&regex_syntax::parse(r"\w{12}\d{3}-\d{2}.").unwrap()).unwrap();
        assert_eq!(best(&chains[0]), 6..18);
    }
}
