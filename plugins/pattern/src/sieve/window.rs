//! Rows that cannot be spelt out, such as digits: bit-parallel matching (Shift-And), a few rows in each word.
//!
//! A bit of the word stands for a place in a row, and says whether what was read so far fits the row up to there. Each
//! character moves all bits by one place and lets those stay whose class has it. A word in which no bit is set rests
//! until a character comes that begins one of its rows.

use std::ops::Range;

use crate::class::{COLUMNS, Class, column};
use crate::factor::Chain;

/// The longest row that is looked for; longer ones by their rarest part.
const LONGEST: usize = 8;

/// The rarest part of a row.
pub(super) fn best(chain: &[Class]) -> Range<usize> {
    let weight = |range: &Range<usize>| chain[range.clone()].iter().map(Class::weight).sum::<u32>();
    let last = chain.len().saturating_sub(LONGEST);
    let all = (0..=last).map(|start| start..chain.len().min(start + LONGEST));
    // The first of equals.
    let Range { mut start, mut end } = all.rev().max_by_key(weight).unwrap_or_default();
    // Ends that fit many characters say little, and a row that seldom begins costs little.
    let common = if chain[start..end].iter().any(|class| class.weight() > 3) { 1 } else { 0 };
    while start < end && chain[start].weight() <= common {
        start += 1;
    }
    while start < end && chain[end - 1].weight() <= common {
        end -= 1;
    }
    start..end
}

/// Rows to look for.
#[derive(Debug)]
pub(super) struct Windows {
    words: Vec<Word>,
    /// For each column the words that have a row which begins with it. In prose most columns begin hardly any row, so
    /// that most words rest most of the time.
    begun_by: Vec<Vec<u16>>,
}

/// Up to 64 places of rows.
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
    pub(super) fn new(mut rows: Vec<(Chain, u32)>) -> Result<Self, String> {
        // Rows that begin alike come into the same words.
        rows.sort_by(|(one, _), (other, _)| one.first().cmp(&other.first()));
        let mut words: Vec<Word> = Vec::new();
        for (row, number) in &rows {
            match words.last_mut().filter(|word| word.used as usize + row.len() <= 64) {
                Some(word) => word.add(row, *number),
                None => words.push(Word::of(row, *number)),
            }
        }
        let count = u16::try_from(words.len()).map_err(|_| "settings.patterns: too much to look for".to_owned())?;
        let begun_by = |column: usize| {
            let begins = |word: &u16| words[usize::from(*word)].step(0, column as u8) != 0;
            (0..count).filter(begins).collect()
        };
        Ok(Self { begun_by: (0..COLUMNS).map(begun_by).collect(), words })
    }

    pub(super) fn search(&self, text: &str, report: &mut impl FnMut(u32, usize)) {
        if self.words.is_empty() {
            return;
        }
        let mut states = vec![0_u64; self.words.len()];
        // Words that are somewhere inside a row.
        let mut active: Vec<u16> = Vec::new();
        for (at, character) in text.char_indices() {
            let column = column(character);
            let end = at + character.len_utf8();
            active.retain(|word| self.advance(*word, &mut states, column, end, report));
            for word in &self.begun_by[usize::from(column)] {
                if states[usize::from(*word)] == 0 && self.advance(*word, &mut states, column, end, report) {
                    active.push(*word);
                }
            }
        }
    }

    /// Reads a character into a word; whether it is inside a row then.
    fn advance(
        &self,
        word: u16,
        states: &mut [u64],
        column: u8,
        end: usize,
        report: &mut impl FnMut(u32, usize),
    ) -> bool {
        let (word, state) = (&self.words[usize::from(word)], &mut states[usize::from(word)]);
        *state = word.step(*state, column);
        let mut found = *state & word.ends;
        while found != 0 {
            report(word.numbers[found.trailing_zeros() as usize], end);
            found &= found - 1;
        }
        *state != 0
    }
}

impl Word {
    fn of(row: &[Class], number: u32) -> Self {
        let mut word = Self { masks: Box::new([0; 256]), starts: 0, ends: 0, numbers: Box::new([0; 64]), used: 0 };
        word.add(row, number);
        word
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

    fn step(&self, state: u64, column: u8) -> u64 {
        (state << 1 | self.starts) & self.masks[usize::from(column)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(pattern: &str) -> Range<usize> {
        best(&crate::factor::factor(&regex_syntax::parse(pattern).unwrap()).unwrap()[0])
    }

    #[test]
    fn the_rarest_part_of_a_long_row_is_taken() {
        assert_eq!(window(r"\w{12}\d{3}-\d{2}."), 12..18);
        assert_eq!(window(r"\d{20}"), 0..8);
        assert_eq!(window(r"\w@\w"), 1..2);
        assert_eq!(window(r"\w\w\w"), 0..3);
        assert_eq!(window(r".\s\d."), 1..3);
    }
}
