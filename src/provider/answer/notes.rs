//! What is left out of an answer, for the record.

/// So many different things are noted of one answer.
const MOST: usize = 16;

/// Notes on an answer, each once: an upstream may repeat a thing as often as it likes.
#[derive(Debug, Default)]
pub(crate) struct Notes(Vec<String>);

impl Notes {
    /// Notes a thing, unless that was done or there are enough.
    pub(crate) fn add(&mut self, note: impl Into<String>) {
        if self.0.len() < MOST {
            let note = note.into();
            if !self.0.contains(&note) {
                self.0.push(note);
            }
        }
    }
}

impl IntoIterator for Notes {
    type Item = String;
    type IntoIter = std::vec::IntoIter<String>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_is_noted_once_and_few_things_are() {
        let mut notes = Notes::default();
        for number in 0..1_000 {
            notes.add("the same");
            notes.add(format!("another, {number}"));
        }
        let notes: Vec<_> = notes.into_iter().collect();
        assert_eq!((notes.len(), notes[0].as_str(), notes[15].as_str()), (MOST, "the same", "another, 14"));
    }
}
