//! The characters that may stand at one place of a match.

use regex_syntax::hir;

/// A set of characters: exact below 128, exact above it when they are few, else by kind and so perhaps too large.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Class {
    ascii: u128,
    others: Others,
}

/// The part of a class that is not ASCII.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Others {
    Few(Box<[char]>),
    /// A bit for each of [`Kind`].
    Kinds(u8),
}

/// More characters beyond ASCII than this are known by their kinds only. A letter has at most four forms.
const FEW: usize = 6;

/// A class with more characters beyond ASCII than this is taken to have every kind of them, without a look at each.
const COUNTED: usize = 4_096;

/// What a text consists of when it is searched for windows: one column for each ASCII character, and one for each kind
/// of other character.
pub(crate) const COLUMNS: usize = 128 + KINDS;

const KINDS: usize = 4;
const ALL_KINDS: u8 = (1 << KINDS) - 1;

/// The kind of a character beyond ASCII: letter, digit, white space, anything else.
fn kind(character: char) -> u8 {
    if character.is_alphabetic() {
        0
    } else if character.is_numeric() {
        1
    } else if character.is_whitespace() {
        2
    } else {
        3
    }
}

/// The column of a character.
pub(crate) fn column(character: char) -> u8 {
    match u8::try_from(u32::from(character)) {
        Ok(byte) if byte.is_ascii() => byte,
        _ => 128 + kind(character),
    }
}

impl Others {
    fn kinds(&self) -> u8 {
        match self {
            Self::Few(few) => few.iter().fold(0, |kinds, character| kinds | 1 << kind(*character)),
            Self::Kinds(kinds) => *kinds,
        }
    }
}

impl Class {
    /// No character.
    pub(crate) fn none() -> Self {
        Self::of_ranges([])
    }

    /// Adds the characters of another class.
    pub(crate) fn join(&mut self, other: &Self) {
        self.ascii |= other.ascii;
        self.others = match (&self.others, &other.others) {
            (Others::Few(few), Others::Few(more)) if more.iter().all(|it| few.contains(it)) => return,
            (Others::Few(few), Others::Few(more)) if few.len() + more.len() <= FEW => {
                Others::Few(few.iter().chain(more).copied().collect())
            }
            (few, more) => Others::Kinds(few.kinds() | more.kinds()),
        };
    }

    /// Whether every character is in the class.
    pub(crate) fn is_everything(&self) -> bool {
        self.ascii == u128::MAX && self.others == Others::Kinds(ALL_KINDS)
    }

    /// One character, as it is.
    pub(crate) fn of(character: char) -> Self {
        Self::of_ranges([(character, character)])
    }

    /// The class of an expression.
    pub(crate) fn of_class(class: &hir::Class) -> Self {
        match class {
            hir::Class::Unicode(class) => {
                Self::of_ranges(class.ranges().iter().map(|range| (range.start(), range.end())))
            }
            hir::Class::Bytes(class) => {
                Self::of_ranges(class.ranges().iter().map(|range| (range.start().into(), range.end().into())))
            }
        }
    }

    fn of_ranges(ranges: impl IntoIterator<Item = (char, char)>) -> Self {
        let (mut ascii, mut count, mut others) = (0, 0, Vec::new());
        for (start, end) in ranges {
            for code in u32::from(start)..=u32::from(end).min(127) {
                ascii |= 1 << code;
            }
            if !end.is_ascii() {
                let start = start.max('\u{80}');
                count += (u32::from(end) - u32::from(start)) as usize + 1;
                others.push(start..=end);
            }
        }
        let others = if count <= FEW {
            Others::Few(others.into_iter().flatten().collect())
        } else if count <= COUNTED {
            Others::Kinds(others.into_iter().flatten().fold(0, |kinds, character| kinds | 1 << kind(character)))
        } else {
            Others::Kinds(ALL_KINDS)
        };
        Self { ascii, others }
    }

    /// Whether no character may stand there.
    pub(crate) fn is_empty(&self) -> bool {
        self.ascii == 0 && matches!(&self.others, Others::Few(few) if few.is_empty())
    }

    /// Whether the character is in the class; exact when the class came from one character.
    pub(crate) fn has(&self, character: char) -> bool {
        match &self.others {
            _ if character.is_ascii() => self.ascii & 1 << u32::from(character) != 0,
            Others::Few(few) => few.contains(&character),
            Others::Kinds(kinds) => kinds & 1 << kind(character) != 0,
        }
    }

    /// Whether characters of this column are in the class.
    pub(crate) fn has_column(&self, column: usize) -> bool {
        match column.checked_sub(128) {
            None => self.ascii & 1 << column != 0,
            Some(of_kind) => self.others.kinds() & 1 << of_kind != 0,
        }
    }

    /// The characters, with ASCII letters in lower case, if they are at most `most`.
    pub(crate) fn spellings(&self, most: usize) -> Option<Vec<char>> {
        let Others::Few(few) = &self.others else { return None };
        // The upper half of the alphabet lies 32 places below the lower.
        const UPPER: u128 = 0x3ff_ffff << b'A';
        let lower = (self.ascii & !UPPER) | (self.ascii & UPPER) << 32;
        if lower.count_ones() as usize + few.len() > most {
            return None;
        }
        let ascii = (0..128_u8).filter(|code| lower & 1 << code != 0).map(char::from);
        Some(ascii.chain(few.iter().copied()).collect())
    }

    /// How much it says about a text that such a character stands in it; not exact in any way.
    pub(crate) fn weight(&self) -> u32 {
        const SPACES: u128 = 1 << b' ' | 1 << b'\t' | 1 << b'\n' | 1 << b'\r';
        if self.ascii & SPACES != 0 {
            return u32::from(self.ascii & !SPACES == 0 || self.ascii.count_ones() < 8);
        }
        let others = match &self.others {
            Others::Few(few) => few.len() as u32,
            Others::Kinds(ALL_KINDS) if self.ascii == 0 => 128,
            // Beside ASCII characters they matter in few texts only.
            Others::Kinds(_) if self.ascii != 0 => 0,
            Others::Kinds(_) => 64,
        };
        match self.ascii.count_ones() + others {
            0..=3 => 6,
            4..=6 => 4,
            7..=16 => 3,
            17..=32 => 2,
            33..=70 => 1,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use regex_syntax::hir::HirKind;

    use super::*;

    fn class(pattern: &str) -> Class {
        match regex_syntax::parse(pattern).unwrap().kind() {
            HirKind::Class(class) => Class::of_class(class),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_character_of_a_class_is_in_its_column() {
        for pattern in [r"\d", r"\w", r"\s", r"[^a]", ".", "(?i)s", "(?i)ü", r"[а-яё]", r"\p{Han}", r"(?-u:\w)", "[€£]"]
        {
            let HirKind::Class(set) = regex_syntax::parse(pattern).unwrap().into_kind() else { panic!("{pattern}") };
            let hir::Class::Unicode(set) = &set else { continue };
            let class = class(pattern);
            for range in set.ranges() {
                for character in (range.start()..=range.end()).step_by(97) {
                    assert!(class.has_column(usize::from(column(character))), "{pattern} {character}");
                    assert!(class.has(character), "{pattern} {character}");
                }
            }
        }
        assert!(!class(r"\d").has_column(usize::from(column('ü'))));
        assert!(!class(r"[а-яё]").has_column(usize::from(column('٣'))));
    }

    #[test]
    fn a_letter_has_its_spellings_in_any_case() {
        assert_eq!(class("(?i)a").spellings(4), Some(vec!['a']));
        assert_eq!(class("(?i)s").spellings(4), Some(vec!['s', 'ſ']));
        assert_eq!(class("(?i)ü").spellings(4), Some(vec!['Ü', 'ü']));
        assert_eq!(class("[aB@]").spellings(4), Some(vec!['@', 'a', 'b']));
        assert_eq!(class("[a-e]").spellings(4), None);
        assert_eq!(class(r"\w").spellings(200), None);
        assert_eq!(Class::of('€').spellings(1), Some(vec!['€']));
    }

    #[test]
    fn rare_characters_weigh_more() {
        let weights: Vec<u32> = ["[@]", "(?i)a", r"\d", r"(?-u:\d)", "[a-z]", r"\w", r"\s", "."]
            .map(|pattern| regex_syntax::parse(pattern).unwrap())
            .iter()
            .map(|hir| match hir.kind() {
                HirKind::Class(class) => Class::of_class(class).weight(),
                _ => Class::of('@').weight(),
            })
            .collect();
        assert_eq!(weights, [6, 6, 3, 3, 2, 1, 1, 0]);
    }
}
