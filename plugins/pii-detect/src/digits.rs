//! Digits in groups, as people write long numbers.

/// What stands between two groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gap {
    /// One space.
    Space,
    /// One dash.
    Dash,
    /// More than one, or a typographic space or dash, or an invisible character.
    Other,
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

/// One to three separators, as `(where the next digit may stand, what they are)`.
fn read_gap(text: &[u8], start: usize) -> Option<(usize, Gap)> {
    let mut end = start;
    for _ in 0..3 {
        match separator(&text[end..]) {
            0 => break,
            length => end += length,
        }
    }
    match &text[start..end] {
        b"" => None,
        b" " => Some((end, Gap::Space)),
        b"-" => Some((end, Gap::Dash)),
        _ => Some((end, Gap::Other)),
    }
}

/// Bytes of the separator that `text` begins with; 0 if there is none.
fn separator(text: &[u8]) -> usize {
    match text {
        [b' ' | b'-', ..] => 1,
        // No-break space, soft hyphen.
        [0xc2, 0xa0 | 0xad, ..] => 2,
        // U+2007 to U+2015 (figure and thin spaces, zero-width characters, hyphens, dashes), U+202F, U+2060, U+2212.
        [0xe2, 0x80, 0x87..=0x95 | 0xaf, ..] | [0xe2, 0x81, 0xa0, ..] | [0xe2, 0x88, 0x92, ..] => 3,
        // Zero-width no-break space.
        [0xef, 0xbb, 0xbf, ..] => 3,
        _ => 0,
    }
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

/// Whether `text` has the given shape at `start`: `d` stands for a digit, everything else for itself. The end, if so.
pub(crate) fn shape(text: &[u8], start: usize, pattern: &str) -> Option<usize> {
    let end = start + pattern.len();
    let found = text.get(start..end)?;
    let same = |(byte, wanted): (&u8, u8)| if wanted == b'd' { byte.is_ascii_digit() } else { *byte == wanted };
    found.iter().zip(pattern.bytes()).all(same).then_some(end)
}
