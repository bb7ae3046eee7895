//! The texts of a request, with their places.

use std::ops::{Deref, Range};

use crate::{Edit, Masker, Message, PartKind, Place, Plain, Role, Window};

/// The text of one part, and where it stands. Use it as a `str`.
#[derive(Debug, Clone, Copy)]
pub struct Text<'a> {
    /// Who spoke it.
    pub role: Role,
    /// What it is. A tool call's text is JSON.
    pub kind: PartKind,
    /// Index of the message.
    pub message: u32,
    /// Index of the part in that message.
    pub part: u32,
    text: &'a str,
    /// Of a piece of a stream.
    window: Option<Window>,
}

/// Every text of every message, in the order in which they were spoken. Parts without text are left out.
pub fn texts(messages: &[Message]) -> impl Iterator<Item = Text<'_>> {
    (0..).zip(messages).flat_map(|(message, Message { role, parts })| {
        (0..).zip(parts).filter(|(_, part)| !part.text.is_empty()).map(move |(index, part)| Text {
            role: *role,
            kind: part.kind,
            message,
            part: index,
            text: &part.text,
            window: part.window,
        })
    })
}

/// The names of tools in calls and results, and who spoke them. No edit reaches them: who finds something in one can only
/// refuse.
pub fn names(messages: &[Message]) -> impl Iterator<Item = (Role, &str)> {
    messages.iter().flat_map(|Message { role, parts }| {
        parts.iter().filter_map(|part| part.name.as_deref()).filter(|name| !name.is_empty()).map(|name| (*role, name))
    })
}

impl<'a> Text<'a> {
    /// The text, for as long as the messages live.
    #[must_use]
    pub fn as_str(&self) -> &'a str {
        self.text
    }

    /// The text as its reader takes it. What is found in it stands in [`Plain::original`] of its range.
    #[must_use]
    pub fn plain(&self) -> Plain<'a> {
        Plain::of(self.text)
    }

    /// The place of a byte range of this text.
    #[must_use]
    pub fn place(&self, range: Range<usize>) -> Place {
        Place { message: self.message, part: self.part, start: offset(range.start), end: offset(range.end) }
    }

    /// A replacement for a byte range of this text, with `original` filled in. A range outside the text or inside a
    /// character makes an edit that the gateway refuses (`bad_edit`).
    #[must_use]
    pub fn edit(&self, range: Range<usize>, replacement: impl Into<String>) -> Edit {
        Edit {
            original: self.text.get(range.clone()).unwrap_or_default().to_owned(),
            place: self.place(range),
            replacement: replacement.into(),
        }
    }

    /// Masks what was found in it, so that a text that is JSON, such as the arguments of a tool call, is JSON still.
    #[must_use]
    pub fn masker(&self) -> Masker<'a> {
        Masker::new(*self)
    }

    /// Whether the text's beginning is not shown any more.
    pub(crate) fn is_cut(&self) -> bool {
        self.window.is_some_and(|window| window.offset > 0)
    }

    /// Bytes at the start that the client already has.
    fn released(&self) -> usize {
        self.window.map_or(0, |window| window.released as usize)
    }

    /// Whether the gateway would take an edit of this range: not if the client already has some of it. Always true
    /// outside streamed answers.
    #[must_use]
    pub fn may_edit(&self, range: &Range<usize>) -> bool {
        range.start >= self.released()
    }

    /// What of this range can still be replaced: all of it outside streamed answers, `None` when the client already has
    /// the whole of it. To mask the rest of a match that began in what went out is better than to let it go.
    #[must_use]
    pub fn editable(&self, range: Range<usize>) -> Option<Range<usize>> {
        if self.may_edit(&range) {
            return Some(range);
        }
        (range.end > self.released()).then_some(self.released()..range.end)
    }

    /// Where a word or phrase stands, in upper and lower case; also inside longer words.
    pub fn keyword(&self, phrase: &str) -> impl Iterator<Item = Range<usize>> {
        let text = self.text;
        text.char_indices().filter_map(move |(start, _)| Some(start..start + beginning(&text[start..], phrase)?))
    }
}

/// How many bytes of the beginning of `text` are `phrase`: upper and lower case may differ in length.
fn beginning(text: &str, phrase: &str) -> Option<usize> {
    let mut wanted = phrase.chars().flat_map(lower).peekable();
    for (at, char) in text.char_indices() {
        if !lower(char).all(|lower| wanted.next() == Some(lower)) {
            return None;
        }
        if wanted.peek().is_none() {
            return Some(at + char.len_utf8());
        }
    }
    None
}

/// A sigma at the end of a word is one, too: `ΟΔΟΣ`, `οδος`.
fn lower(char: char) -> impl Iterator<Item = char> {
    char.to_lowercase().map(|lower| if lower == 'ς' { 'σ' } else { lower })
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        self.text
    }
}

impl Edit {
    /// A replacement of a byte range of one part, with `original` filled in. `None` if the place is outside the
    /// messages or inside a character.
    #[must_use]
    pub fn new(messages: &[Message], place: Place, replacement: impl Into<String>) -> Option<Self> {
        let text = &messages.get(place.message as usize)?.parts.get(place.part as usize)?.text;
        let original = text.get(place.start as usize..place.end as usize)?.to_owned();
        Some(Self { place, original, replacement: replacement.into() })
    }
}

/// Offsets are 32 bits wide, as memory is in a policy. On a wider host a longer text cannot be handed over.
fn offset(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_behind_other_alphabets_names_the_bytes() {
        let messages = [Message::system(""), Message::user("Grüße 😀 Projekt X")];
        let text = texts(&messages).next().unwrap();
        let found = text.keyword("projekt x").next().unwrap();
        let edit = text.edit(found, "[PROJECT]");
        assert_eq!((edit.place.message, edit.place.start, edit.place.end), (1, 13, 22));
        assert_eq!(edit.original, "Projekt X");
        assert_eq!(Edit::new(&messages, edit.place, "[PROJECT]"), Some(edit));
    }

    #[test]
    fn a_place_inside_a_character_makes_no_edit() {
        let messages = [Message::user("é")];
        assert_eq!(Edit::new(&messages, Place { message: 0, part: 0, start: 1, end: 2 }, ""), None);
        assert_eq!(Edit::new(&messages, Place { message: 0, part: 1, start: 0, end: 0 }, ""), None);
    }

    #[test]
    fn a_keyword_is_found_in_every_case_and_place() {
        let messages = [Message::user("abcABC ab")];
        let text = texts(&messages).next().unwrap();
        assert_eq!(text.keyword("aBc").collect::<Vec<_>>(), [0..3, 3..6]);
        assert_eq!(text.keyword("").count(), 0);
        let messages = [Message::user("über ÜBER ⱥx Ⱥx İ i i")];
        let text = texts(&messages).next().unwrap();
        assert_eq!(text.keyword("Über").collect::<Vec<_>>(), [0..5, 6..11]);
        assert_eq!(text.keyword("ȺX").collect::<Vec<_>>(), [12..16, 17..20]);
        assert_eq!(text.keyword("i").collect::<Vec<_>>(), [24..25, 26..27]);
        assert_eq!(text.keyword("much longer than the text").count(), 0);
        let messages = [Message::user("ΟΔΟΣ οδός Οδος οδοσ")];
        let text = texts(&messages).next().unwrap();
        for phrase in ["οδος", "ΟΔΟΣ"] {
            assert_eq!(text.keyword(phrase).collect::<Vec<_>>(), [0..8, 18..26, 27..35], "{phrase}");
        }
    }

    #[test]
    fn names_of_tools_come_with_their_speaker() {
        let messages = [
            Message::user("Look"),
            Message::tool_call("look", "{}"),
            Message::tool("see", "closed"),
            Message::tool("", "open"),
        ];
        assert_eq!(names(&messages).collect::<Vec<_>>(), [(messages[1].role, "look"), (Role::Tool, "see")]);
    }

    #[test]
    fn what_the_client_has_may_not_be_edited() {
        let mut message = Message::assistant("abcdef");
        message.parts[0].window = Some(Window { offset: 10, released: 3 });
        let messages = [message];
        let text = texts(&messages).next().unwrap();
        assert!(!text.may_edit(&(2..4)));
        assert!(text.may_edit(&(3..4)));
    }
}
