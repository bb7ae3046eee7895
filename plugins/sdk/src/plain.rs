//! A text as its reader takes it, whatever stands in it that cannot be seen.

use std::borrow::Cow;
use std::ops::{Deref, Range};

/// A text without what hides words and numbers from whoever searches it. Use it as a `str`.
///
/// - Characters that are not drawn are left out: zero-width and direction marks, soft hyphens, fillers, variation
///   selectors, tags.
/// - Full-width forms of ASCII (`４１１１`, `＠`) are ASCII, no-break spaces and those of other widths are spaces, and
///   Unicode's own ends of lines are line feeds.
/// - `\u0041`, `\n`, `\r` and `\t`, behind any number of backslashes, are the characters: a text may be JSON, or JSON in
///   JSON.
///
/// A text that has none of these is not copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plain<'a> {
    text: Cow<'a, str>,
    /// Where the two texts drift apart, by place.
    seams: Vec<Seam>,
}

/// A place in the plain text, and what it is in the original: that of a range's end, and that of a range's start. They
/// differ where something is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seam {
    plain: u32,
    end: u32,
    start: u32,
}

impl<'a> Plain<'a> {
    /// The plain reading of a text. Offsets are 32 bits wide: of a longer text, which cannot be handed to a policy, there
    /// is no other reading.
    #[must_use]
    pub fn of(text: &'a str) -> Self {
        let mut plain = Self { text: Cow::Borrowed(text), seams: Vec::new() };
        if u32::try_from(text.len()).is_err() {
            return plain;
        }
        let (mut out, mut copied, mut at) = (String::new(), 0, 0);
        while let Some(step) = text.as_bytes()[at..].iter().position(|byte| MAY_DIFFER[usize::from(*byte)]) {
            at += step;
            let (reading, length) = read(&text[at..]);
            if reading != Reading::Same {
                out.push_str(&text[copied..at]);
                let before = out.len();
                if let Reading::As(char) = reading {
                    out.push(char);
                }
                plain.join(out.len(), if before == out.len() { at } else { at + length }, at + length);
                copied = at + length;
            }
            at += length;
        }
        if copied > 0 {
            out.push_str(&text[copied..]);
            plain.text = Cow::Owned(out);
        }
        plain
    }

    fn join(&mut self, plain: usize, end: usize, start: usize) {
        let seam = Seam { plain: plain as u32, end: end as u32, start: start as u32 };
        match self.seams.last_mut() {
            Some(last) if last.plain == seam.plain => last.start = seam.start,
            _ => self.seams.push(seam),
        }
    }

    /// Whether the text reads otherwise than it is written.
    #[must_use]
    pub fn differs(&self) -> bool {
        !self.seams.is_empty()
    }

    /// What a range of the plain text is in the original one.
    #[must_use]
    pub fn original(&self, range: Range<usize>) -> Range<usize> {
        let before = |at: usize| self.seams.partition_point(|seam| seam.plain as usize <= at).checked_sub(1);
        let behind = |seam: &Seam, at: usize| seam.start as usize + (at - seam.plain as usize);
        let start = before(range.start).map_or(range.start, |index| behind(&self.seams[index], range.start));
        let end = before(range.end).map_or(range.end, |index| match &self.seams[index] {
            seam if seam.plain as usize == range.end => seam.end as usize,
            seam => behind(seam, range.end),
        });
        // Of an empty range beside something that is left out.
        start.min(end)..end
    }
}

impl Deref for Plain<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

/// How a character, or an escape, is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    Same,
    Nothing,
    As(char),
}

/// The bytes with which something may begin that reads otherwise: a backslash, and the first bytes of the characters in
/// [`reading`].
const MAY_DIFFER: [bool; 256] = {
    let mut table = [false; 256];
    let firsts = [b'\\', 0xc2, 0xcd, 0xd8, 0xe1, 0xe2, 0xe3, 0xef, 0xf3];
    let mut index = 0;
    while index < firsts.len() {
        table[firsts[index] as usize] = true;
        index += 1;
    }
    table
};

/// How `text` begins, and the bytes that this takes.
fn read(text: &str) -> (Reading, usize) {
    match text.chars().next() {
        Some('\\') => escape(text),
        Some(char) => (reading(char), char.len_utf8()),
        None => (Reading::Same, 0),
    }
}

fn reading(char: char) -> Reading {
    match char {
        // What Unicode calls default ignorable, save for marks of shorthand and of music (U+1BCA0, U+1D173 and behind):
        // they begin with the same byte as emoji, all of which would be looked at.
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' => Reading::Nothing,
        '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' => Reading::Nothing,
        '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' => Reading::Nothing,
        '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{e0000}'..='\u{e0fff}' => Reading::Nothing,
        // The other space separators, and what ends a line as a line feed does.
        '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => Reading::As(' '),
        '\u{85}' | '\u{2028}' | '\u{2029}' => Reading::As('\n'),
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(char) - 0xfee0).map_or(Reading::Same, Reading::As),
        _ => Reading::Same,
    }
}

/// Backslashes, and what is behind them if that is the rest of an escape: of white space by its letter, or by number.
fn escape(text: &str) -> (Reading, usize) {
    let slashes = text.bytes().take_while(|byte| *byte == b'\\').count();
    match text.as_bytes().get(slashes) {
        Some(b'n') => return (Reading::As('\n'), slashes + 1),
        Some(b'r') => return (Reading::As('\r'), slashes + 1),
        Some(b't') => return (Reading::As('\t'), slashes + 1),
        _ => {}
    }
    let first = unit(&text[slashes..]);
    let char = first.and_then(|unit| char::from_u32(unit.into()));
    if let Some(char) = char {
        return (within(char), slashes + 5);
    }
    // The second half of a pair has as many backslashes.
    let second = text.get(slashes + 5..2 * slashes + 5).filter(|between| between.bytes().all(|byte| byte == b'\\'));
    let second = second.and_then(|_| unit(text.get(2 * slashes + 5..)?));
    match first.zip(second).map(|(first, second)| char::decode_utf16([first, second]).next()) {
        Some(Some(Ok(char))) => (within(char), 2 * slashes + 10),
        _ => (Reading::Same, slashes),
    }
}

/// How a character is read that was written as an escape.
fn within(char: char) -> Reading {
    match reading(char) {
        Reading::Same => Reading::As(char),
        other => other,
    }
}

/// The number in `u0041`.
fn unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix('u')?.get(..4)?;
    let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    u16::from_str_radix(digits, 16).ok().filter(|_| is_hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_does_not_hide_words() {
        for (written, expected) in [
            ("due dili\u{200b}gence", "due diligence"),
            ("\u{feff}４１１１\u{2060}\u{ad}１ ｊａｎｅ＠example.org", "41111 jane@example.org"),
            ("UNION\u{2003}SELECT\u{3000}1", "UNION SELECT 1"),
            (r"jane\u0040example\u002eorg \\u0041\\\u0042", "jane@example.org AB"),
            (r"\ud83d\ude00 \\ud83d\\ude00 \uff14", "😀 😀 4"),
            (r"\u200ba\u000a", "a\n"),
            (r"Hi,\nproject\\r\\\tX \\n", "Hi,\nproject\r\tX \n"),
            ("❤\u{fe0f} \u{e0041}x", "❤ x"),
        ] {
            let plain = Plain::of(written);
            assert_eq!(&*plain, expected);
            assert!(plain.differs());
            assert_eq!(plain.original(0..plain.len()).end, written.trim_end_matches(is_unseen).len());
        }
    }

    #[test]
    fn every_character_that_is_not_drawn_is_left_out_and_every_space_is_one() {
        let unseen = "\u{ad}\u{34f}\u{61c}\u{115f}\u{1160}\u{17b4}\u{17b5}\u{180b}\u{180e}\u{180f}\u{200b}\u{200f}\u{202a}\
                      \u{202e}\u{2060}\u{2065}\u{206f}\u{3164}\u{fe00}\u{fe0f}\u{feff}\u{ffa0}\u{fff0}\u{fff8}\u{e0000}\
                      \u{e007f}\u{e0100}\u{e01ef}\u{e01f0}\u{e0fff}";
        for unseen in unseen.chars() {
            assert_eq!(&*Plain::of(&format!("tu{unseen}lip")), "tulip", "{unseen:?}");
        }
        let spaces = ('\0'..=char::MAX).filter(|char| char.is_whitespace() && !char.is_ascii());
        for space in spaces {
            let expected = if matches!(space, '\u{85}' | '\u{2028}' | '\u{2029}') { "a\nb" } else { "a b" };
            assert_eq!(&*Plain::of(&format!("a{space}b")), expected, "{space:?}");
        }
    }

    /// And no more of them than need be.
    #[test]
    fn what_may_read_otherwise_is_known_by_its_first_byte() {
        let first = |char: char| char.encode_utf8(&mut [0; 4]).as_bytes()[0];
        let mut firsts: Vec<u8> =
            ('\0'..=char::MAX).filter(|char| reading(*char) != Reading::Same).map(first).collect();
        firsts.push(b'\\');
        firsts.sort_unstable();
        firsts.dedup();
        assert_eq!(firsts, (0..=255).filter(|byte| MAY_DIFFER[usize::from(*byte)]).collect::<Vec<u8>>());
        assert!("éß€αжא😀한".chars().filter(|char| MAY_DIFFER[usize::from(first(*char))]).eq(['€']));
    }

    fn is_unseen(char: char) -> bool {
        reading(char) == Reading::Nothing
    }

    #[test]
    fn what_hides_nothing_is_not_copied() {
        for text in [
            "",
            "plain",
            "“Grüße” — 😀, 日本。ÿ",
            r"C:\users \b \\ \u00 \u00g1 \ud83d \ud83dx \\ud83d\ude00 \u+041",
            "\\",
            "\\\\u",
        ] {
            let plain = Plain::of(text);
            assert_eq!((&*plain, plain.differs()), (text, false));
        }
        assert_eq!(&*Plain::of(r"\ud83d\u0041"), r"\ud83dA");
    }

    #[test]
    fn ranges_are_those_of_the_original() {
        let text = "é \u{200b}a\u{200b}\u{ad}ｂ\u{200b} \\u0063 d\\\\ne";
        let plain = Plain::of(text);
        assert_eq!(&*plain, "é ab c d\ne");
        for (found, original) in [
            ("é", "é"),
            ("a", "a"),
            ("ab", "a\u{200b}\u{ad}ｂ"),
            ("b", "ｂ"),
            ("b c", "ｂ\u{200b} \\u0063"),
            ("c", "\\u0063"),
            ("d", "d"),
            ("e", "e"),
            ("\n", "\\\\n"),
            ("é ab c d\ne", text),
        ] {
            let start = plain.find(found).unwrap();
            assert_eq!(&text[plain.original(start..start + found.len())], original);
        }
        for at in 0..=plain.len() {
            assert!(plain.original(at..at).is_empty());
        }
    }

    /// Each was made to cost more with every byte.
    #[test]
    fn hostile_texts_are_read_to_their_end() {
        for (piece, reading) in
            [("\\", "\\"), ("\\n", "\n"), ("\\u", "\\u"), ("\\ud83d", "\\ud83d"), ("\u{200b}", ""), ("ａ", "a")]
        {
            let plain = piece.repeat(300_000);
            assert_eq!(Plain::of(&plain).len(), reading.len() * 300_000, "{piece}");
        }
    }
}
