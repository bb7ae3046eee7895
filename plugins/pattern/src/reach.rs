//! How far a match can reach from a place inside it.

use std::ops::Range;

use regex_syntax::hir::{Hir, HirKind};

use crate::class::Class;

/// Matches of more bytes than this are bounded by their characters alone.
const NEAR: usize = 256;

/// What bounds the matches of an expression.
#[derive(Debug)]
pub(crate) enum Reach {
    /// None has more bytes.
    Bytes(usize),
    /// None has a character that is not in the class.
    Run(Class),
    /// Nothing.
    Whole,
}

impl Reach {
    pub(crate) fn of(hir: &Hir) -> Self {
        if let Some(longest) = hir.properties().maximum_len().filter(|longest| *longest <= NEAR) {
            return Self::Bytes(longest);
        }
        let mut alphabet = Class::none();
        collect(hir, &mut alphabet);
        if alphabet.is_everything() { Self::Whole } else { Self::Run(alphabet) }
    }

    /// The part of the text that holds every match in which the character before `at` stands.
    pub(crate) fn around(&self, text: &str, at: usize) -> Range<usize> {
        match self {
            Self::Whole => 0..text.len(),
            Self::Bytes(longest) => {
                text.ceil_char_boundary(at.saturating_sub(*longest))
                    ..text.floor_char_boundary(at.saturating_add(*longest))
            }
            Self::Run(alphabet) => {
                let outside = |character: char| !alphabet.has(character);
                let before = text[..at].char_indices().rfind(|(_, character)| outside(*character));
                let start = before.map_or(0, |(before, character)| before + character.len_utf8());
                start..text[at..].find(outside).map_or(text.len(), |behind| at + behind)
            }
        }
    }

    /// Whether what [`around`](Self::around) gave for one place is what it gives for any other place in it.
    pub(crate) fn is_shared(&self) -> bool {
        !matches!(self, Self::Bytes(_))
    }
}

fn collect(hir: &Hir, alphabet: &mut Class) {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => {
            String::from_utf8_lossy(&literal.0).chars().for_each(|character| alphabet.join(&Class::of(character)));
        }
        HirKind::Class(class) => alphabet.join(&Class::of_class(class)),
        HirKind::Capture(capture) => collect(&capture.sub, alphabet),
        HirKind::Repetition(repetition) => collect(&repetition.sub, alphabet),
        HirKind::Concat(pieces) | HirKind::Alternation(pieces) => {
            pieces.iter().for_each(|piece| collect(piece, alphabet));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_match_ends_where_it_must() {
        let text = "ä: 😀 see PROJECT \n x, ünïcode jane@Example.org;\nand then some more text of any kind";
        for (pattern, needle, expected) in [
            (r"(?i)project\s+x", "PROJECT", " PROJECT \n x"),
            (r"[\w.]+@[\w.]+", "@E", "jane@Example.org"),
            (
                r".*Example.*",
                "Example",
                "ä: 😀 see PROJECT \n x, ünïcode jane@Example.org;\nand".split('\n').nth(1).unwrap(),
            ),
            (r"(?s).+Example", "Example", text),
            (r"\wn\w", "n", "ün"),
        ] {
            let reach = Reach::of(&regex_syntax::parse(pattern).unwrap());
            let at = text.find(needle).unwrap() + needle.len();
            assert!(text[reach.around(text, at)].contains(expected), "{pattern}");
            assert!(text[reach.around(text, at)].len() <= expected.len() + 16, "{pattern}");
        }
    }
}
