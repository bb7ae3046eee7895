//! How much a text may ask of the library and of us.

use super::brackets;
use super::error::Problem;

/// Length times depth of brackets: the library's time grows with it. This much takes it a second or two.
const MAX_EFFORT: usize = 1 << 27;

/// Lines that begin with `%`: directives. The library compares each with all others.
const MAX_DIRECTIVES: usize = 16;

/// The largest text of a kind that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes.
    pub bytes: usize,
    /// Values, and keys, once aliases are followed.
    pub nodes: usize,
}

impl Bounds {
    /// Of configurations: the biggest have a few hundred values.
    pub const CONFIGURATION: Self = Self { bytes: 1 << 20, nodes: 50_000 };

    /// Whether the library may see the text.
    pub(super) fn admit(&self, text: &str) -> Result<(), Problem> {
        if text.len() > self.bytes {
            return Err(Problem::TooLarge { found: text.len(), allowed: self.bytes });
        }
        if directives(text) > MAX_DIRECTIVES {
            return Err(Problem::TooComplex(format!("at most {MAX_DIRECTIVES} lines that begin with `%`")));
        }
        let depth = MAX_EFFORT / text.len().max(1);
        if brackets::deepest(text) > depth {
            return Err(Problem::TooComplex(format!(
                "at most {depth} brackets that are open, or may be, in a text of this length (close them on their line, \
                 or write lists and mappings by indentation)"
            )));
        }
        Ok(())
    }
}

fn directives(text: &str) -> usize {
    text.split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).filter(|line| line.starts_with('%')).count()
}
