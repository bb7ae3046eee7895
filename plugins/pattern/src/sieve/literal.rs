//! Rows that can be spelt out, in one automaton: its speed hardly depends on their number.

use std::ops::Range;

use aho_corasick::{AhoCorasick, MatchKind};

use crate::class::Class;

/// The fewest bytes that are worth looking for; shorter rows are left to the windows.
const SHORTEST: usize = 3;

/// The most characters that are looked for. More would seldom exclude more, and make the automaton larger.
const LONGEST: usize = 8;

/// The most ways to write one character, and one row. In ASCII the case does not count.
const CHARACTER_SPELLINGS: usize = 4;
const ROW_SPELLINGS: usize = 16;

/// The part of a row that is looked for, and every way to write it. `None` if no part can be spelt out.
pub(super) fn best(chain: &[Class]) -> Option<(Range<usize>, Vec<String>)> {
    let spellings: Vec<_> = chain.iter().map(|class| class.spellings(CHARACTER_SPELLINGS)).collect();
    let mut best: Option<(usize, Range<usize>)> = None;
    for start in 0..spellings.len() {
        let (mut ways, mut bytes) = (1, 0);
        for (end, of_character) in spellings.iter().enumerate().skip(start).take(LONGEST) {
            let Some(of_character) = of_character else { break };
            ways *= of_character.len();
            bytes += of_character.iter().copied().map(char::len_utf8).min().unwrap_or_default();
            if ways > ROW_SPELLINGS {
                break;
            }
            // A character more is worth more than half the ways.
            let score = 4 * (end + 1 - start) + 2 * ROW_SPELLINGS.ilog2() as usize - 2 * ways.max(1).ilog2() as usize;
            if bytes >= SHORTEST && best.as_ref().is_none_or(|(before, _)| score > *before) {
                best = Some((score, start..end + 1));
            }
        }
    }
    let (_, range) = best?;
    let mut texts = vec![String::new()];
    for of_character in spellings[range.clone()].iter().flatten() {
        texts = texts
            .iter()
            .flat_map(|text| of_character.iter().map(move |character| format!("{text}{character}")))
            .collect();
    }
    Some((range, texts))
}

/// Texts to look for, in any ASCII case.
#[derive(Debug)]
pub(super) struct Literals {
    automaton: Option<AhoCorasick>,
    numbers: Vec<u32>,
}

impl Literals {
    pub(super) fn new(literals: Vec<(String, u32)>) -> Result<Self, String> {
        let (texts, numbers): (Vec<String>, Vec<u32>) = literals.into_iter().unzip();
        if texts.is_empty() {
            return Ok(Self { automaton: None, numbers });
        }
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .ascii_case_insensitive(true)
            .build(texts)
            .map_err(|error| format!("settings.patterns: too much to look for: {error}"))?;
        Ok(Self { automaton: Some(automaton), numbers })
    }

    pub(super) fn search(&self, text: &str, report: &mut impl FnMut(u32, usize)) {
        let Some(automaton) = &self.automaton else { return };
        for found in automaton.find_overlapping_iter(text) {
            report(self.numbers[found.pattern()], found.end());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelt(pattern: &str) -> Option<Vec<String>> {
        let chains = crate::factor::factor(&regex_syntax::parse(pattern).unwrap()).unwrap();
        best(&chains[0]).map(|(_, texts)| texts)
    }

    #[test]
    fn the_part_with_the_fewest_spellings_is_taken() {
        assert_eq!(spelt("(?i)union"), Some(vec!["union".into()]));
        assert_eq!(spelt("(?i)tulip and rose"), Some(vec!["tulip an".into()]));
        assert_eq!(spelt(r"[ab]cd\d"), Some(vec!["acd".into(), "bcd".into()]));
        assert_eq!(spelt("€"), Some(vec!["€".into()]));
        assert_eq!(spelt("(?i)стоп").map(|texts| texts.len() <= ROW_SPELLINGS), Some(true));
        for pattern in ["ab", r"\d\d:\d\d", r"\w\w\wx"] {
            assert_eq!(spelt(pattern), None, "{pattern}");
        }
    }
}
