//! The text of one part on its way past one policy: what waits, what was passed on, and where a match may still grow.

use crate::policy::component::Window;
use crate::policy::verdict::Edit;

/// A replacement that would change text which was passed on already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TouchesReleased {
    /// Its place among the replacements.
    pub(super) edit: usize,
    /// The end of what was passed on, in the text that was shown.
    pub(super) released: usize,
}

/// How much may wait for one match to end, in windows and in bytes beside them. A policy that replaces all it sees
/// would else hold back the whole answer.
const PATIENCE: (usize, usize) = (8, 4_096);

/// The text of one part.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// The end of what was passed on, as it was passed on.
    behind: String,
    /// Bytes passed on before `behind`.
    offset: u64,
    /// Bytes of the part as it came before what waits.
    taken: u64,
    /// What was not passed on yet.
    text: String,
    /// Whether its end waits for nothing more.
    over: bool,
    /// Whether a verdict was about it that did not refuse.
    judged: bool,
}

impl Held {
    pub(super) fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Whether its end waits for nothing more. A part that is over may go on all the same.
    pub(super) fn set_over(&mut self, over: bool) {
        self.over = over;
    }

    /// See [`set_over`](Self::set_over).
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// Whether a verdict was about it that did not refuse.
    pub(super) fn is_judged(&self) -> bool {
        self.judged
    }

    /// Bytes that wait.
    pub(super) fn waiting(&self) -> usize {
        self.text.len()
    }

    /// Where what waits begins, in what was shown.
    pub(super) fn behind(&self) -> usize {
        self.behind.len()
    }

    /// Whether a match that ends there, in what was shown, may still become another.
    pub(super) fn ends_at(&self, end: usize) -> bool {
        !self.over && end == self.behind_and_waiting()
    }

    /// Whether so many bytes are more than may wait for one match to end.
    pub(super) fn is_too_much(waiting: usize, window: usize) -> bool {
        let (windows, bytes) = PATIENCE;
        waiting > windows.saturating_mul(window).saturating_add(bytes)
    }

    /// The end of what was shown.
    pub(super) fn behind_and_waiting(&self) -> usize {
        self.behind.len() + self.text.len()
    }

    /// Where a byte of what was shown stands in the part as it came; what was passed on stands before what waits.
    pub(super) fn place(&self, byte: usize) -> u64 {
        let (byte, behind) = (byte as u64, self.behind.len() as u64);
        (self.taken + byte).saturating_sub(behind)
    }

    /// Whether some of it could be passed on when a policy has seen it.
    pub(super) fn is_due(&self, window: usize) -> bool {
        !self.text.is_empty() && (self.over || self.text.len() > window)
    }

    /// What a policy is shown: the end of what was passed on, and what waits.
    pub(super) fn shown(&self) -> (String, Window) {
        let mut shown = String::with_capacity(self.behind.len() + self.text.len());
        shown.push_str(&self.behind);
        shown.push_str(&self.text);
        let released = u32::try_from(self.behind.len()).unwrap_or(u32::MAX);
        (shown, Window { offset: self.offset, released })
    }

    /// Where the text ends that may be passed on now, in what was shown: at the end, or a window before it; before a
    /// replacement that begins there and could still grow. `edits` are in order and in bytes of what was shown.
    pub(super) fn boundary<'a>(
        &self,
        edits: impl Iterator<Item = &'a Edit>,
        window: usize,
    ) -> Result<usize, TouchesReleased> {
        let released = self.behind.len();
        let mut boundary = if self.over {
            self.behind_and_waiting()
        } else {
            released + self.text.floor_char_boundary(self.text.len().saturating_sub(window))
        };
        for (index, edit) in edits.enumerate() {
            let (start, end) = (edit.place.start as usize, edit.place.end as usize);
            // What was passed on is shown again, and found again. It was settled when it went.
            if start < released && end <= released {
                continue;
            }
            if start < released {
                return Err(TouchesReleased { edit: index, released });
            }
            if start < boundary && end > boundary {
                boundary = if Self::is_too_much(self.text.len(), window) { end } else { start };
            }
        }
        Ok(boundary)
    }

    /// Whether something that ends there is settled by passing on up to `boundary`, and was not before.
    pub(super) fn settles(&self, start: usize, end: usize, boundary: usize) -> bool {
        let released = self.behind.len();
        let is_new = end > released || (start == end && end == released);
        is_new && end <= boundary && (start < boundary || self.over)
    }

    /// Passes on what stands before `boundary`, with these replacements.
    pub(super) fn release<'a>(
        &mut self,
        boundary: usize,
        edits: impl Iterator<Item = &'a Edit>,
        window: usize,
    ) -> String {
        self.judged = true;
        let released = self.behind.len();
        let mut out = String::new();
        let mut rest = 0;
        for edit in edits {
            let (start, end) = (edit.place.start as usize, edit.place.end as usize);
            if start < released || !self.settles(start, end, boundary) {
                continue;
            }
            out.push_str(self.text.get(rest..start - released).unwrap_or_default());
            out.push_str(&edit.replacement);
            rest = end - released;
        }
        out.push_str(self.text.get(rest..boundary - released).unwrap_or_default());
        self.text.drain(..boundary - released);
        self.taken += (boundary - released) as u64;
        self.remember(&out, window);
        out
    }

    /// Keeps the end of what was passed on. It begins with a whole word where that costs little of it, since half a number
    /// may look like another.
    fn remember(&mut self, passed: &str, window: usize) {
        self.behind.push_str(passed);
        let cut = self.behind.floor_char_boundary(self.behind.len().saturating_sub(window));
        if cut == 0 {
            return;
        }
        let tail = self.behind.get(cut..).unwrap_or_default();
        let word = tail.find(char::is_whitespace).filter(|space| *space < window / 4).map_or(0, |space| space + 1);
        let cut = self.behind.ceil_char_boundary(cut + word);
        self.behind.drain(..cut);
        self.offset += cut as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::verdict::Place;

    /// Replaces every run of digits, as a policy would: in the whole text that it is shown.
    fn digits(shown: &str) -> Vec<Edit> {
        let mut edits = Vec::new();
        let mut start = None;
        for (index, character) in shown.char_indices().chain([(shown.len(), ' ')]) {
            match (character.is_ascii_digit(), start) {
                (true, None) => start = Some(index),
                (false, Some(from)) => {
                    let place = Place { message: 0, part: 0, start: from as u32, end: index as u32 };
                    edits.push(Edit { place, replacement: "#".into() });
                    start = None;
                }
                _ => {}
            }
        }
        edits
    }

    /// What comes out when the text arrives in these pieces.
    fn stream<'a>(pieces: impl Iterator<Item = &'a str>, window: usize) -> Result<String, TouchesReleased> {
        let mut held = Held::default();
        let mut out = String::new();
        let mut pieces = pieces.peekable();
        while let Some(piece) = pieces.next() {
            held.push(piece);
            if pieces.peek().is_none() {
                held.set_over(true);
            }
            if !held.is_due(window) {
                continue;
            }
            let (shown, _) = held.shown();
            let edits = digits(&shown);
            let boundary = held.boundary(edits.iter(), window)?;
            out.push_str(&held.release(boundary, edits.iter(), window));
        }
        assert_eq!(held.waiting(), 0);
        Ok(out)
    }

    #[test]
    fn a_match_is_replaced_however_the_text_is_cut() {
        let text = "Grüße: 4111 und 1234567890, dann 55é5 und noch einmal 42";
        let whole = stream(std::iter::once(text), 16).unwrap();
        assert_eq!(whole, "Grüße: # und #, dann #é# und noch einmal #");
        let ends: Vec<_> = text.char_indices().map(|(index, _)| index).chain([text.len()]).collect();
        for window in [12, 16, 100] {
            for &cut in &ends {
                for &second in ends.iter().filter(|it| **it >= cut) {
                    let pieces = [&text[..cut], &text[cut..second], &text[second..]];
                    assert_eq!(stream(pieces.into_iter(), window).as_deref(), Ok(whole.as_str()), "{pieces:?}");
                }
            }
            let single = ends.windows(2).map(|pair| &text[pair[0]..pair[1]]);
            assert_eq!(stream(single, window).as_deref(), Ok(whole.as_str()), "one character at a time");
        }
    }

    #[test]
    fn places_are_those_in_the_text_as_it_came() {
        let text = "a 4111 b 22 c 333333 d 4 and so on";
        let places = |size: usize| {
            let (mut held, mut places) = (Held::default(), Vec::new());
            let pieces: Vec<_> = text.as_bytes().chunks(size).collect();
            for (index, piece) in pieces.iter().enumerate() {
                held.push(std::str::from_utf8(piece).unwrap());
                held.set_over(index + 1 == pieces.len());
                let edits = digits(&held.shown().0);
                let boundary = held.boundary(edits.iter(), 8).unwrap();
                let settled = edits.iter().map(|edit| (edit.place.start as usize, edit.place.end as usize));
                let settled = settled.filter(|(start, end)| held.settles(*start, *end, boundary));
                places.extend(settled.map(|(start, end)| (held.place(start), held.place(end))));
                held.release(boundary, edits.iter(), 8);
            }
            places
        };
        assert_eq!(places(text.len()), [(2, 6), (9, 11), (14, 20), (23, 24)]);
        for size in 1..text.len() {
            assert_eq!(places(size), places(text.len()), "{size}");
        }
    }

    #[test]
    fn a_match_that_waits_is_passed_on_once_it_is_longer_than_patience() {
        let (windows, bytes) = PATIENCE;
        let text = "7".repeat(3 * (windows * 8 + bytes));
        let out = stream(text.as_bytes().chunks(50).map(|chunk| std::str::from_utf8(chunk).unwrap()), 8);
        // Its replacement went out while it was still growing; what followed is replaced by itself.
        let out = out.unwrap();
        assert!(out.len() < 10 && out.chars().all(|it| it == '#'), "{out}");
    }

    #[test]
    fn a_late_word_is_no_beginning_of_what_is_shown_again() {
        let mut held = Held::default();
        let mut shown = String::new();
        let card = "4111 1111 1111 1111";
        for token in "x".repeat(120).as_bytes().chunks(4).chain([" ".as_bytes()]).chain(card.as_bytes().chunks(5)) {
            held.push(std::str::from_utf8(token).unwrap());
            shown = held.shown().0;
            held.release(held.behind_and_waiting(), [].iter(), 128);
        }
        assert!(shown.ends_with(card), "{shown}");
    }

    #[test]
    fn what_was_passed_on_is_shown_again_and_not_settled_again() {
        let mut held = Held::default();
        held.push("one two three four");
        let boundary = held.boundary([].iter(), 8).unwrap();
        assert_eq!(held.release(boundary, [].iter(), 8), "one two th");
        let (shown, window) = held.shown();
        assert_eq!((shown.as_str(), window), ("two three four", Window { offset: 4, released: 6 }));
        let edit = |start, end| Edit { place: Place { message: 0, part: 0, start, end }, replacement: "x".into() };
        assert_eq!(held.boundary([edit(0, 3)].iter(), 8), Ok(6), "settled before");
        assert_eq!(held.boundary([edit(4, 9)].iter(), 8), Err(TouchesReleased { edit: 0, released: 6 }));
        held.set_over(true);
        assert_eq!(held.boundary([edit(10, 14)].iter(), 8), Ok(14));
        assert_eq!(held.release(14, [edit(10, 14)].iter(), 8), "ree x");
    }
}
