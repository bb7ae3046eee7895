//! Whether a call's arguments are whole, read as they come.

/// A JSON text of which pieces come, read as far as its end takes. Of one that is no JSON nothing is known.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    /// Objects and arrays that are open.
    open: usize,
    at: At,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum At {
    /// Before the first value that says where it ends: an object, an array or a string.
    #[default]
    Beginning,
    /// Outside of strings.
    Outside,
    String,
    /// Behind a string's backslash.
    Escape,
}

impl Arguments {
    pub(super) fn push(&mut self, text: &str) {
        for byte in text.bytes() {
            self.at = match (&self.at, byte) {
                (At::Escape, _) => At::String,
                (At::String, b'\\') => At::Escape,
                (At::String, b'"') => At::Outside,
                (At::String, _) => At::String,
                (_, b'"') => At::String,
                (_, b'{' | b'[') => {
                    self.open += 1;
                    At::Outside
                }
                (At::Outside, b'}' | b']') => {
                    self.open = self.open.saturating_sub(1);
                    At::Outside
                }
                (At::Beginning, _) => At::Beginning,
                (At::Outside, _) => At::Outside,
            };
        }
    }

    /// Whether a value has come to its end.
    pub(super) fn are_whole(&self) -> bool {
        self.at == At::Outside && self.open == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_whole_when_their_value_ends_however_they_are_cut() {
        for (text, whole) in [
            (r#"{"card":{"no":[4111]},"note":"} \"]\\"}"#, true),
            (r#"[{"a":"é"}] "#, true),
            (r#""text""#, true),
            ("{}", true),
            ("", false),
            ("4111", false),
            (r#"{"card":4111"#, false),
            (r#"{"card":"}"#, false),
            (r#"{"card":"\"}"#, false),
            (r#"{"card":[4111}"#, false),
            (r#"{}{"card":4111"#, false),
        ] {
            for cut in (0..=text.len()).filter(|cut| text.is_char_boundary(*cut)) {
                let mut arguments = Arguments::default();
                arguments.push(&text[..cut]);
                assert!(!arguments.are_whole() || whole || text.starts_with("{}"), "{text} up to {cut}");
                arguments.push(&text[cut..]);
                assert_eq!(arguments.are_whole(), whole, "{text} cut at {cut}");
            }
        }
    }
}
