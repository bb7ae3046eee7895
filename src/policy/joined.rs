//! Neighbouring texts of a message, shown to policies as one: a number in two parts would pass every rule that looks for it
//! in one. Where a policy says something about them, it is said about the parts again.

use super::verdict::{Edit, Place, Verdict};
use crate::chat::{Message, Part};

/// Messages whose neighbouring texts are one.
pub(super) struct Joined {
    pub(super) messages: Vec<Message>,
    /// By message and part, as they are shown.
    origins: Vec<Vec<Origin>>,
}

/// The parts that one shown part is made of.
struct Origin {
    /// Index of the first.
    first: u32,
    /// Where each begins in the text.
    starts: Vec<u32>,
    /// The bytes of the text.
    length: u32,
}

impl Joined {
    /// `None` where no texts are neighbours: messages are shown as they are.
    pub(super) fn of(messages: &[Message]) -> Option<Self> {
        let mut pairs = messages.iter().flat_map(|message| message.parts.array_windows());
        if !pairs.any(|[one, other]| are_one(one, other)) {
            return None;
        }
        let (messages, origins) = messages.iter().map(join).unzip();
        Some(Self { messages, origins })
    }

    /// A verdict about the messages as they were shown, with the places that the messages themselves have.
    pub(super) fn back(&self, mut verdict: Verdict) -> Verdict {
        for finding in &mut verdict.findings {
            finding.place = finding.place.map(|place| self.pieces(place).next().unwrap_or(place));
        }
        verdict.edits = verdict.edits.into_iter().flat_map(|edit| self.edits(edit)).collect();
        verdict
    }

    /// The replacement stands in the first part that an edit touches; of the others the text goes.
    fn edits(&self, edit: Edit) -> Vec<Edit> {
        let Edit { place, mut replacement } = edit;
        let pieces = self.pieces(place);
        pieces.map(|place| Edit { place, replacement: std::mem::take(&mut replacement) }).collect()
    }

    /// A place by part; the place itself where nothing was joined or nothing is there.
    fn pieces(&self, place: Place) -> impl Iterator<Item = Place> {
        let parts = self.origins.get(place.message as usize);
        let origin = parts.and_then(|parts| parts.get(place.part as usize));
        let first =
            origin.map_or(0, |origin| origin.starts.partition_point(|start| *start <= place.start).saturating_sub(1));
        let count = origin.map_or(1, |origin| origin.starts.len());
        (first..count).map_while(move |index| {
            let Some(origin) = origin else { return Some(place) };
            let begin = *origin.starts.get(index)?;
            let end = origin.starts.get(index + 1).copied().unwrap_or(origin.length);
            if index > first && begin >= place.end {
                return None;
            }
            let part = origin.first + u32::try_from(index).unwrap_or(u32::MAX);
            let (start, end) = (place.start.max(begin) - begin, place.end.min(end).max(begin) - begin);
            Some(Place { message: place.message, part, start: start.min(end), end })
        })
    }
}

fn are_one(one: &Part, other: &Part) -> bool {
    matches!((one, other), (Part::Text { .. }, Part::Text { .. }) | (Part::Thinking { .. }, Part::Thinking { .. }))
}

fn join(message: &Message) -> (Message, Vec<Origin>) {
    let mut parts: Vec<Part> = Vec::with_capacity(message.parts.len());
    let mut origins: Vec<Origin> = Vec::with_capacity(message.parts.len());
    for (index, part) in message.parts.iter().enumerate() {
        let length = |part: &Part| u32::try_from(part.text().unwrap_or_default().len()).unwrap_or(u32::MAX);
        match (parts.last_mut(), origins.last_mut()) {
            (Some(last), Some(origin)) if are_one(last, part) => {
                if let (Some(text), Some(further)) = (last.text_mut(), part.text()) {
                    text.push_str(further);
                }
                origin.starts.push(origin.length);
                origin.length = length(last);
            }
            _ => {
                let first = u32::try_from(index).unwrap_or(u32::MAX);
                origins.push(Origin { first, starts: vec![0], length: length(part) });
                parts.push(part.clone());
            }
        }
    }
    (Message { role: message.role, parts }, origins)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::Role;
    use crate::policy::verdict::{Finding, Severity, apply};

    fn text(text: &str) -> Part {
        Part::Text { text: text.into() }
    }

    fn image() -> Part {
        Part::Image { url: "https://example.org/a.png".into(), detail: None }
    }

    fn said(parts: &[Part]) -> Vec<Message> {
        vec![Message::text(Role::System, "Be brief"), Message { role: Role::User, parts: parts.to_vec() }]
    }

    fn place(part: u32, start: u32, end: u32) -> Place {
        Place { message: 1, part, start, end }
    }

    #[test]
    fn neighbours_are_one_text_and_others_stay() {
        let thinking = |text: &str| Part::Thinking { text: text.into(), seal: None };
        let joined = Joined::of(&said(&[text("a"), text("b"), image(), thinking("c"), thinking("d"), text("e")]));
        let expected = said(&[text("ab"), image(), thinking("cd"), text("e")]);
        assert_eq!(joined.unwrap().messages, expected);
        assert!(Joined::of(&said(&[text("a"), image(), text("b")])).is_none());
    }

    #[test]
    fn edits_land_in_the_parts() {
        for (parts, edits, expected) in [
            (vec![text("card 4111"), text("1111!")], vec![(5, 13, "[CARD]")], vec![text("card [CARD]"), text("!")]),
            (vec![text("ab"), text("cd"), text("ef")], vec![(1, 5, "-")], vec![text("a-"), text(""), text("f")]),
            (vec![text("ab"), text("cd")], vec![(0, 2, "x"), (2, 4, "y")], vec![text("x"), text("y")]),
            (vec![text("ab"), text("cd")], vec![(2, 2, "|")], vec![text("ab"), text("|cd")]),
            (vec![text("ab"), text("cd")], vec![(4, 4, "|")], vec![text("ab"), text("cd|")]),
            (vec![text("ü"), text(""), text("é!")], vec![(0, 4, "x")], vec![text("x"), text(""), text("!")]),
            (vec![text("ab"), text("")], vec![(1, 2, "x")], vec![text("ax"), text("")]),
        ] {
            let mut messages = said(&parts);
            let joined = Joined::of(&messages).unwrap();
            let edits = edits.iter().map(|(start, end, replacement)| Edit {
                place: place(0, *start, *end),
                replacement: (*replacement).to_owned(),
            });
            let verdict = joined.back(Verdict { edits: edits.collect(), ..Verdict::default() });
            apply(&verdict.edits, &mut messages);
            assert_eq!(messages, said(&expected), "{parts:?}");
        }
    }

    #[test]
    fn places_are_those_of_the_message() {
        let joined = Joined::of(&said(&[text("ab"), text("cd"), image(), text("ef")])).unwrap();
        for (shown, expected) in [
            (place(0, 0, 1), place(0, 0, 1)),
            (place(0, 2, 4), place(1, 0, 2)),
            (place(0, 1, 3), place(0, 1, 2)),
            (place(2, 0, 2), place(3, 0, 2)),
            (place(7, 1, 2), place(7, 1, 2)),
            (place(0, 90, 99), place(1, 2, 2)),
        ] {
            let (rule, category) = ("r".to_owned(), "c".to_owned());
            let finding = Finding { rule, category, severity: Severity::Low, place: Some(shown) };
            let verdict = joined.back(Verdict { findings: vec![finding], ..Verdict::default() });
            assert_eq!(verdict.findings.first().unwrap().place, Some(expected), "{shown:?}");
        }
    }
}
