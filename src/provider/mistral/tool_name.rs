//! Names of tools in a history. Mistral refuses those that it would not take of a tool (Q8), also where another vendor's
//! model made them up; the tools that a request offers are checked, so that no answer holds a name from here.

use std::borrow::Cow;

use crate::chat::{Message, Part};
use crate::provider::names::{COMMON, is_common, is_commons};

/// A conversation whose calls have names that Mistral takes, and how many were given another. The same name always gets the
/// same.
pub(super) fn renamed(mut messages: Cow<'_, [Message]>) -> (Cow<'_, [Message]>, usize) {
    let parts = messages.iter().flat_map(|message| &message.parts);
    let odd = parts.filter(|part| matches!(part, Part::ToolCall { name, .. } if !is_common(name))).count();
    if odd > 0 {
        for part in messages.to_mut().iter_mut().flat_map(|message| &mut message.parts) {
            if let Part::ToolCall { name, .. } = part {
                *name = common(name);
            }
        }
    }
    (messages, odd)
}

fn common(name: &str) -> String {
    let name = if name.is_empty() { "_" } else { name };
    name.chars().map(|char| if is_commons(char) { char } else { '_' }).take(COMMON).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_becomes_one_that_is_taken() {
        let long = "x".repeat(65);
        for (name, expected) in [
            ("look_up-2", "look_up-2"),
            ("functions.x", "functions_x"),
            ("", "_"),
            ("ümlaut", "_mlaut"),
            (&long, &long[..64]),
        ] {
            assert_eq!(common(name), expected);
            assert!(is_common(expected), "{name}");
        }
    }
}
