//! Byte ranges from other ways to count.
//!
//! The gateway counts bytes of UTF-8, as Rust does. Other programs and libraries count characters (Unicode scalar
//! values, Python's `str`) or UTF-16 units (JavaScript, Java, .NET).

use std::ops::Range;

/// The byte range of a range of characters (Unicode scalar values). `None` if it is not inside the text.
///
/// ```
/// assert_eq!(octroi_policy::byte_range::from_chars("né 😀 x", 3..4), Some(4..8));
/// ```
#[must_use]
pub fn from_chars(text: &str, chars: Range<usize>) -> Option<Range<usize>> {
    from_units(text, chars, |_| 1)
}

/// The byte range of a range of UTF-16 units. `None` if it is not inside the text or cuts a surrogate pair.
///
/// ```
/// assert_eq!(octroi_policy::byte_range::from_utf16("né 😀 x", 3..5), Some(4..8));
/// assert_eq!(octroi_policy::byte_range::from_utf16("né 😀 x", 3..4), None);
/// ```
#[must_use]
pub fn from_utf16(text: &str, units: Range<usize>) -> Option<Range<usize>> {
    from_units(text, units, char::len_utf16)
}

fn from_units(text: &str, range: Range<usize>, width: impl Fn(char) -> usize) -> Option<Range<usize>> {
    if range.start > range.end {
        return None;
    }
    let (mut start, mut units) = (None, 0);
    let ends = text.char_indices().map(|(at, char)| (at, width(char))).chain([(text.len(), 0)]);
    for (at, wide) in ends {
        if units == range.start && start.is_none() {
            start = Some(at);
        }
        if units == range.end {
            return Some(start?..at);
        }
        units += wide;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_converted_or_refused() {
        let text = "aé😀z";
        assert_eq!(from_chars(text, 0..4), Some(0..8));
        assert_eq!(from_chars(text, 4..4), Some(8..8));
        assert_eq!(from_chars(text, 2..3), Some(3..7));
        assert_eq!(from_chars(text, 3..5), None);
        assert_eq!(from_utf16(text, 2..4), Some(3..7));
        assert_eq!(from_utf16(text, 3..4), None);
        assert_eq!(from_utf16(text, 4..5), Some(7..8));
        assert_eq!(from_utf16(text, 1..6), None);
    }
}
