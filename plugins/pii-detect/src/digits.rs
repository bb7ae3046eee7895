//! Digits in groups, as people write long numbers.

use crate::bytes::{byte, byte_before};
use crate::escape::{escape, escape_before};

/// What stands between two groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gap {
    /// One space, also a typographic one.
    Space,
    /// One dash, also a typographic one.
    Dash,
    /// One dot.
    Dot,
    /// One slash.
    Slash,
    /// One underscore.
    Underscore,
    /// One tab.
    Tab,
    /// A line break is among them.
    Line,
    /// More than one, or an invisible character.
    Other,
}

impl Gap {
    /// As between the groups of one number on a line; the others stand between numbers, too.
    pub(crate) fn is_plain(self) -> bool {
        matches!(self, Self::Space | Self::Dash | Self::Other)
    }
}

/// A run of digits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Group {
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// What joins it to the group before; `None` for the first.
    pub(crate) gap: Option<Gap>,
}

impl Group {
    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }
}

/// Groups that are looked at together: the longest number (19 digits in fours) has five, and phone numbers six.
pub(crate) const MOST_GROUPS: usize = 6;

/// A group longer than this belongs to nothing that is looked for; reading stops behind it.
const LONGEST: usize = 20;

/// Groups of digits with gaps between, from a first digit on.
pub(crate) struct Groups {
    list: [Group; MOST_GROUPS],
    count: usize,
}

impl Groups {
    /// Reads the groups that start at `start`, where a digit stands.
    pub(crate) fn read(text: &[u8], start: usize) -> Self {
        let mut groups = Self { list: [Group { start, end: start, gap: None }; MOST_GROUPS], count: 0 };
        let (mut at, mut gap) = (start, None);
        while groups.count < MOST_GROUPS {
            let end = at + text[at..].iter().take(LONGEST).take_while(|byte| byte.is_ascii_digit()).count();
            if end == at {
                break;
            }
            groups.list[groups.count] = Group { start: at, end, gap };
            groups.count += 1;
            match read_gap(text, end) {
                Some((next, kind)) => (at, gap) = (next, Some(kind)),
                None => break,
            }
        }
        groups
    }

    pub(crate) fn as_slice(&self) -> &[Group] {
        &self.list[..self.count]
    }
}

/// A dot, a slash, an underscore, or one to three other separators, as `(where the next digit may stand, what they are)`.
pub(crate) fn read_gap(text: &[u8], start: usize) -> Option<(usize, Gap)> {
    match byte(text, start)? {
        b'.' => return Some((start + 1, Gap::Dot)),
        b'/' => return Some((start + 1, Gap::Slash)),
        b'_' => return Some((start + 1, Gap::Underscore)),
        _ => {}
    }
    let (mut end, mut gap) = (start, None);
    for _ in 0..3 {
        let Some((char, length)) = separator(&text[end..]) else { break };
        end += length;
        gap = Some(match (gap, char) {
            (Some(Gap::Line), _) | (_, '\n' | '\r') => Gap::Line,
            (None, '\t') => Gap::Tab,
            (None, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}') => Gap::Dash,
            (None, ' ' | '\u{a0}' | '\u{2007}'..='\u{200a}' | '\u{202f}') => Gap::Space,
            _ => Gap::Other,
        });
    }
    gap.map(|gap| (end, gap))
}

/// The group before the one that begins at `start`, and the gap between them. A longer one than is looked for is cut.
pub(crate) fn group_before(text: &[u8], start: usize) -> Option<(Group, Gap)> {
    let mut end = start;
    match byte_before(text, start)? {
        b'.' | b'/' | b'_' => end -= 1,
        _ => (0..3).for_each(|_| end -= separator_before(text, end)),
    }
    let (next, gap) = read_gap(text, end)?;
    let digits = text[..end].iter().rev().take(LONGEST).take_while(|byte| byte.is_ascii_digit()).count();
    // Those of an escape are none.
    let is_group = next == start && digits > 0 && escape_before(text, end).is_none();
    is_group.then_some((Group { start: end - digits, end, gap: None }, gap))
}

/// The group behind the one that ends at `end`, and the gap between them; cut, too.
pub(crate) fn group_after(text: &[u8], end: usize) -> Option<(Group, Gap)> {
    let (start, gap) = read_gap(text, end)?;
    let digits = text[start..].iter().take(LONGEST).take_while(|byte| byte.is_ascii_digit()).count();
    (digits > 0).then_some((Group { start, end: start + digits, gap: None }, gap))
}

/// The bytes of the separator that ends at `end`; 0, if none does.
fn separator_before(text: &[u8], end: usize) -> usize {
    let ends = |length: &usize| {
        let last = end.checked_sub(*length).and_then(|start| separator(&text[start..end]));
        last.is_some_and(|(_, found)| found == *length)
    };
    [1, 2, 3, 6].into_iter().find(ends).unwrap_or(0)
}

/// The separator that `text` begins with, also as an escape, and its bytes.
fn separator(text: &[u8]) -> Option<(char, usize)> {
    let decode = |length| Some((core::str::from_utf8(text.get(..length)?).ok()?.chars().next()?, length));
    let (char, length) = match text.first()? {
        ascii @ (b' ' | b'-' | b'\t' | b'\n' | b'\r') => (char::from(*ascii), 1),
        b'\\' => escape(text)?,
        0xc2 => decode(2)?,
        0xe2 | 0xef => decode(3)?,
        _ => return None,
    };
    let is_separator = match char {
        ' ' | '-' | '\t' | '\n' | '\r' => true,
        // No-break space, soft hyphen.
        '\u{a0}' | '\u{ad}' => true,
        // Figure and thin spaces, zero-width characters, hyphens, dashes, and others of the kind.
        '\u{2007}'..='\u{2015}' | '\u{202f}' | '\u{2060}' | '\u{2212}' | '\u{feff}' => true,
        _ => false,
    };
    is_separator.then_some((char, length))
}

/// The same, if it does not end a column or line. Its bytes.
pub(crate) fn separator_on_line(text: &[u8]) -> Option<usize> {
    separator(text).filter(|(char, _)| !char.is_control()).map(|(_, length)| length)
}

/// Whether the digits from `start` to `end` are grouped like thousands, `12 345 678` or `12.345.678`. With what, if so.
pub(crate) fn in_threes(text: &[u8], start: usize, end: usize) -> Option<Gap> {
    let groups = Groups::read(text, start);
    let [first, rest @ ..] = groups.as_slice() else { return None };
    let gap = rest.first()?.gap.filter(|gap| matches!(gap, Gap::Space | Gap::Dot))?;
    let count = rest.iter().take_while(|group| group.end <= end).count();
    let rest = &rest[..count];
    let are_alike = rest.iter().all(|group| group.gap == Some(gap) && group.len() == 3);
    (first.len() <= 3 && are_alike && rest.last()?.end == end).then_some(gap)
}

/// The digits of some groups, without what stands between. At most 19; `None` if there are more.
pub(crate) struct Digits {
    bytes: [u8; 19],
    count: usize,
}

impl Digits {
    pub(crate) fn of(text: &[u8], groups: &[Group]) -> Option<Self> {
        let mut digits = Self { bytes: [0; 19], count: 0 };
        for group in groups {
            let slot = digits.bytes.get_mut(digits.count..digits.count + group.len())?;
            slot.copy_from_slice(&text[group.start..group.end]);
            digits.count += group.len();
        }
        Some(digits)
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.count]
    }
}

/// Whether `text` has the given shape at `start`: `d` stands for a digit, a space or dash also for its typographic
/// kin, everything else for itself. The end, if so.
pub(crate) fn shape(text: &[u8], start: usize, pattern: &str) -> Option<usize> {
    pattern.bytes().try_fold(start, |at, wanted| {
        let found = byte(text, at)?;
        match wanted {
            b'd' => found.is_ascii_digit().then_some(at + 1),
            _ if found == wanted => Some(at + 1),
            b' ' => read_gap(text, at).filter(|(_, gap)| *gap == Gap::Space).map(|(end, _)| end),
            b'-' => read_gap(text, at).filter(|(_, gap)| *gap == Gap::Dash).map(|(end, _)| end),
            _ => None,
        }
    })
}
