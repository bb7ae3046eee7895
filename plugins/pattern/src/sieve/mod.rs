//! Which of many rows of characters stand in a text: a few passes over it, however many rows there are.
//!
//! Next to nothing is written while a text is searched in which none of them stands: writing is what costs in a sandbox
//! that is made for one evaluation.

mod literal;
mod window;

use std::ops::Range;

use crate::class::Class;
use crate::factor::Chain;
use literal::Literals;
use window::Windows;

/// Rows of characters, each with a number that is reported when it is found.
#[derive(Debug)]
pub(crate) struct Sieve {
    literals: Literals,
    windows: Windows,
}

/// Takes rows one by one.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    literals: Vec<(String, u32)>,
    windows: Vec<(Chain, u32)>,
}

impl Builder {
    /// Adds a row. Of a long one a part is looked for: answers how many of its characters are behind us when it is
    /// reported.
    pub(crate) fn add(&mut self, chain: &[Class], number: u32) -> usize {
        if let Some((range, spellings)) = literal::best(chain) {
            self.literals.extend(spellings.into_iter().map(|spelling| (spelling, number)));
            return range.end;
        }
        let Range { start, end } = window::best(chain);
        self.windows.push((chain[start..end].to_vec(), number));
        end
    }

    pub(crate) fn build(self) -> Result<Sieve, String> {
        Ok(Sieve { literals: Literals::new(self.literals)?, windows: Windows::new(self.windows)? })
    }
}

impl Sieve {
    /// Reports each row that stands in the text, by its number and the byte behind it; not in order.
    pub(crate) fn search(&self, text: &str, mut report: impl FnMut(u32, usize)) {
        self.literals.search(text, &mut report);
        self.windows.search(text, &mut report);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(patterns: &[&str], text: &str) -> Vec<(u32, usize)> {
        let mut builder = Builder::default();
        for (number, pattern) in (0..).zip(patterns) {
            for chain in crate::factor::factor(&regex_syntax::parse(pattern).unwrap()).unwrap() {
                builder.add(&chain, number);
            }
        }
        let mut found = Vec::new();
        builder.build().unwrap().search(text, |number, end| found.push((number, end)));
        found.sort_unstable();
        found
    }

    #[test]
    fn every_row_is_found_in_every_spelling_and_place() {
        assert_eq!(found(&["(?i)secret", r"\d{3}-\d{2}"], "SeCRet, ſecret, 123-45"), [(0, 6), (0, 15), (1, 23)]);
        assert_eq!(found(&["(?i)grüße"], "GRÜSSE Grüße gRÜẞe"), [(0, 15), (0, 24)]);
        assert_eq!(found(&["abcd", "bc", "cde"], "abcde"), [(0, 4), (1, 3), (2, 5)]);
        assert_eq!(found(&["€€", r"[а-я]{3}\d"], "€€ где1"), [(0, 6), (1, 14)]);
        assert_eq!(found(&["ab", "ab", "foo", "foo"], "foo ab"), [(0, 6), (1, 6), (2, 3), (3, 3)]);
    }

    #[test]
    fn a_hundred_windows_are_kept_apart() {
        let patterns: Vec<String> = (0..100).map(|number| format!(r"\d:{number:02}")).collect();
        let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
        for number in 0..100 {
            assert_eq!(found(&patterns, &format!("ä 7:{number:02}")), [(number, 7)]);
        }
    }
}
