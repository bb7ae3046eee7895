//! A word or phrase, in any case.

use std::ops::Range;

use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

use crate::class::Class;

/// The longest keyword, in characters.
pub(crate) const LONGEST_KEYWORD: usize = 256;

/// A word or phrase. A space in it stands for white space of any length.
#[derive(Debug)]
pub(crate) struct Keyword {
    /// Each character in every case; `None` for white space.
    characters: Vec<Option<Class>>,
    /// Whether a word must begin at its first character, and end at its last.
    is_word: (bool, bool),
}

impl Keyword {
    /// The error says what is wrong with it.
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let spaced = words.join(" ");
        let (Some(first), Some(last)) = (spaced.chars().next(), spaced.chars().next_back()) else {
            return Err("must not be empty".into());
        };
        if spaced.chars().nth(LONGEST_KEYWORD).is_some() {
            return Err(format!("longer than {LONGEST_KEYWORD} characters"));
        }
        let characters = spaced.chars().map(|character| (character != ' ').then(|| in_every_case(character)));
        Ok(Self { characters: characters.collect(), is_word: (is_joined(first), is_joined(last)) })
    }

    /// Its longest word, and how many characters stand before that.
    pub(crate) fn longest_word(&self) -> (usize, Vec<Class>) {
        let (mut longest, mut start) = (0..0, 0);
        for (place, character) in self.characters.iter().enumerate() {
            match character {
                Some(_) if place + 1 - start > longest.len() => longest = start..place + 1,
                Some(_) => {}
                None => start = place + 1,
            }
        }
        (longest.start, self.characters[longest].iter().flatten().cloned().collect())
    }

    /// The match whose first `place` characters end at byte `at`, if it is one.
    pub(crate) fn around(&self, text: &str, at: usize, place: usize) -> Option<Range<usize>> {
        let (before, after) = (text.get(..at)?, text.get(at..)?);
        let (head, tail) = self.characters.split_at_checked(place)?;
        let rest = before_head(before, head)?;
        let left = behind_tail(after, tail)?;
        let (starts_word, ends_word) = self.is_word;
        let runs_on = starts_word && rest.chars().next_back().is_some_and(is_part_of_word)
            || ends_word && left.chars().next().is_some_and(is_part_of_word);
        (!runs_on).then(|| rest.len()..text.len() - left.len())
    }
}

/// What is left of `text` before `head`, with which it must end.
fn before_head<'a>(mut text: &'a str, head: &[Option<Class>]) -> Option<&'a str> {
    for class in head.iter().rev() {
        text = match class {
            Some(class) => text.strip_suffix(|character| class.has(character))?,
            None => skipped(text, text.trim_end())?,
        };
    }
    Some(text)
}

/// What is left of `text` behind `tail`, with which it must begin.
fn behind_tail<'a>(mut text: &'a str, tail: &[Option<Class>]) -> Option<&'a str> {
    for class in tail {
        text = match class {
            Some(class) => text.strip_prefix(|character| class.has(character))?,
            None => skipped(text, text.trim_start())?,
        };
    }
    Some(text)
}

/// `trimmed` if it is shorter than `text`.
fn skipped<'a>(text: &str, trimmed: &'a str) -> Option<&'a str> {
    (trimmed.len() < text.len()).then_some(trimmed)
}

/// As `(?i)` in an expression.
fn in_every_case(character: char) -> Class {
    let mut class = ClassUnicode::new([ClassUnicodeRange::new(character, character)]);
    class.case_fold_simple();
    Class::of_class(&regex_syntax::hir::Class::Unicode(class))
}

/// Whether the character is joined to its neighbours in a word (as `\w` in an expression).
fn is_part_of_word(character: char) -> bool {
    if character.is_ascii() {
        character.is_ascii_alphanumeric() || character == '_'
    } else {
        regex_syntax::is_word_character(character)
    }
}

/// Whether a keyword with this character at its end must end a word there. Not in scripts that put no spaces between
/// words, or that hang particles on them: nobody could say where a word ends.
fn is_joined(character: char) -> bool {
    let has_spaces = !matches!(character,
        '\u{e00}'..='\u{eff}'       // Thai, Lao
        | '\u{1000}'..='\u{109f}'   // Myanmar
        | '\u{1100}'..='\u{11ff}'   // Hangul
        | '\u{1780}'..='\u{17ff}'   // Khmer
        | '\u{2e80}'..='\u{9fff}'   // Han, Kana, Bopomofo
        | '\u{a960}'..='\u{a97f}' | '\u{ac00}'..='\u{d7ff}' // Hangul
        | '\u{f900}'..='\u{faff}' | '\u{ff66}'..='\u{ffdc}' | '\u{1b000}'..='\u{1b2ff}' | '\u{20000}'..='\u{3ffff}');
    has_spaces && is_part_of_word(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first match, tried at every place.
    fn found<'a>(keyword: &str, text: &'a str) -> Option<&'a str> {
        let keyword = Keyword::new(keyword).unwrap();
        let (start, word) = keyword.longest_word();
        let mut ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
        ends.find_map(|at| keyword.around(text, at, start + word.len())).map(|range| &text[range])
    }

    #[test]
    fn a_word_is_found_whole_and_in_any_case() {
        for (keyword, text, expected) in [
            ("tulip", "A TULIP.", Some("TULIP")),
            ("tulip", "tulips", None),
            ("tulip", "xtulip", None),
            ("tulip", "_tulip", None),
            ("tulip", "«tulip»", Some("tulip")),
            ("tulip", "éTulip", None),
            ("straße", "Die STRASSE, die STRAẞE", Some("STRAẞE")),
            ("kelvin", "\u{212a}elvin", Some("\u{212a}elvin")),
            ("σας", "ΣΑΣ", Some("ΣΑΣ")),
            ("москва", "в МОСКВА-реке", Some("МОСКВА")),
        ] {
            assert_eq!(found(keyword, text), expected, "{keyword} in {text}");
        }
    }

    #[test]
    fn a_space_stands_for_any_white_space() {
        for (text, expected) in [
            ("Project X", Some("Project X")),
            ("project \n\u{a0} x!", Some("project \n\u{a0} x")),
            ("projectx", None),
            ("project xy", None),
            ("project-x", None),
        ] {
            assert_eq!(found("  project   x ", text), expected, "{text}");
        }
    }

    #[test]
    fn an_end_that_is_no_letter_needs_no_boundary() {
        for (keyword, text, expected) in [
            ("c++", "C++11", Some("C++")),
            ("c++", "xc++", None),
            (".env", "prod.env", Some(".env")),
            ("@example.org", "jane@Example.org", Some("@Example.org")),
            ("机密", "这是机密文件", Some("机密")),
            ("기밀", "기밀을", Some("기밀")),
        ] {
            assert_eq!(found(keyword, text), expected, "{keyword} in {text}");
        }
    }

    #[test]
    fn a_keyword_must_have_something_to_look_for() {
        assert!(Keyword::new(" \t").is_err());
        assert!(Keyword::new(&"x".repeat(257)).is_err());
        assert!(Keyword::new(&"x".repeat(256)).is_ok());
    }
}
