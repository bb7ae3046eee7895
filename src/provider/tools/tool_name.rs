//! Names of tools, of which each vendor takes its own. The tools that a request offers are checked, so that the error can
//! say which it is, and that no answer holds a name from here; others may take it. Names in a history are replaced, also
//! where another vendor's model made them up: one that is refused there is refused at every later turn.

use std::borrow::Cow;

use crate::chat::{Message, Part, Tool};
use crate::provider::{ErrorKind, ProviderError};

/// Whose rule it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ToolNames {
    /// Mistral's (Q8), OpenAI's and Azure's.
    Common,
    /// Anthropic's.
    Anthropic,
    /// Gemini's.
    Gemini,
}

impl ToolNames {
    /// What is taken, in words.
    fn expected(self) -> &'static str {
        match self {
            Self::Common => "at most 64 letters, digits, `_` and `-`",
            Self::Anthropic => "at most 128 letters, digits, `_` and `-`",
            Self::Gemini => "at most 64 letters, digits, `_`, `-`, `.` and `:`, a letter or `_` first",
        }
    }

    fn longest(self) -> usize {
        match self {
            Self::Common | Self::Gemini => 64,
            Self::Anthropic => 128,
        }
    }

    fn may_have(self, char: char) -> bool {
        char.is_ascii_alphanumeric() || matches!(char, '_' | '-') || self == Self::Gemini && matches!(char, '.' | ':')
    }

    fn may_begin_with(self, char: char) -> bool {
        self != Self::Gemini || char.is_ascii_alphabetic() || char == '_'
    }

    /// Whether a tool may have this name.
    pub(crate) fn fits(self, name: &str) -> bool {
        name.len() <= self.longest()
            && name.starts_with(|first: char| self.may_begin_with(first))
            && name.chars().all(|char| self.may_have(char))
    }

    /// Checks the tools that a request offers.
    pub(crate) fn check(self, tools: &[Tool]) -> Result<(), ProviderError> {
        let Some(Tool { name, .. }) = tools.iter().find(|tool| !self.fits(&tool.name)) else { return Ok(()) };
        let message = format!("tool `{name}`: this provider wants a name of {}", self.expected());
        Err(ProviderError::new(ErrorKind::Unsupported, &message))
    }

    /// A conversation whose calls and their answers have names that are taken, and a note on how many calls were given
    /// another. The same name always gets the same.
    pub(crate) fn renamed<'a>(self, messages: impl Into<Cow<'a, [Message]>>) -> (Cow<'a, [Message]>, Option<String>) {
        let mut messages = messages.into();
        let mut names = messages.iter().flat_map(|message| &message.parts).filter_map(name);
        if names.all(|name| self.fits(name)) {
            return (messages, None);
        }
        let mut calls = 0;
        for part in messages.to_mut().iter_mut().flat_map(|message| &mut message.parts) {
            match part {
                Part::ToolCall { name, .. } if !self.fits(name) => {
                    *name = self.fitted(name);
                    calls += 1;
                }
                // One without a name has that of its call.
                Part::ToolResult { name: Some(name), .. } if !name.is_empty() => *name = self.fitted(name),
                _ => {}
            }
        }
        let note = format!("{calls} tool calls renamed: the provider takes names of {}", self.expected());
        (messages, (calls > 0).then_some(note))
    }

    /// The name, or the nearest that is taken.
    fn fitted(self, name: &str) -> String {
        let fitting = name.chars().map(|char| if self.may_have(char) { char } else { '_' });
        let begins = fitting.clone().next().is_some_and(|first| self.may_begin_with(first));
        let before = (!begins).then_some('_');
        before.into_iter().chain(fitting).take(self.longest()).collect()
    }
}

fn name(part: &Part) -> Option<&str> {
    match part {
        Part::ToolCall { name, .. } => Some(name),
        Part::ToolResult { name, .. } => name.as_deref().filter(|name| !name.is_empty()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::Role;

    #[test]
    fn every_name_becomes_one_that_is_taken() {
        use ToolNames::{Anthropic, Common, Gemini};
        let (long, longer) = ("x".repeat(65), "x".repeat(129));
        for (vendor, name, expected) in [
            (Common, "look_up-2", "look_up-2"),
            (Common, "functions.x", "functions_x"),
            (Common, "", "_"),
            (Common, "ümlaut", "_mlaut"),
            (Common, "1st", "1st"),
            (Common, &long, &long[..64]),
            (Anthropic, "fs.read", "fs_read"),
            (Anthropic, &long, &long),
            (Anthropic, &longer, &longer[..128]),
            (Gemini, "fs.read:1", "fs.read:1"),
            (Gemini, "a/b", "a_b"),
            (Gemini, "", "_"),
            (Gemini, "1st", "_1st"),
            (Gemini, "-x", "_-x"),
            (Gemini, &long, &long[..64]),
        ] {
            assert_eq!(vendor.fitted(name), expected, "{vendor:?}");
            assert_eq!(vendor.fits(name), name == expected, "{vendor:?} {name}");
            assert!(vendor.fits(expected), "{vendor:?} {name}");
        }
    }

    #[test]
    fn a_call_and_its_answer_are_renamed_alike() {
        let call = Part::ToolCall { id: "1".into(), name: "fs.read".into(), arguments: "{}".into(), seal: None };
        let answer =
            |name: Option<&str>| Part::ToolResult { id: "1".into(), name: name.map(Into::into), text: "".into() };
        let parts = vec![call, answer(Some("fs.read")), answer(Some("")), answer(None)];
        let messages = [Message { role: Role::Assistant, parts }];
        let (renamed, note) = ToolNames::Common.renamed(&messages);
        let names: Vec<_> = renamed[0].parts.iter().map(name).collect();
        assert_eq!(names, [Some("fs_read"), Some("fs_read"), None, None]);
        let expected = "1 tool calls renamed: the provider takes names of at most 64 letters, digits, `_` and `-`";
        assert_eq!(note.as_deref(), Some(expected));
        assert!(matches!(ToolNames::Gemini.renamed(&messages), (Cow::Borrowed(_), None)));
    }
}
