//! Tokens where nobody has counted them: a stream that broke off, a server that does not say. An estimate is recorded as
//! one, and never shown to a client as what was counted.

use crate::chat::{Message, Part, Usage, images};

/// AxonFlow's rule.
const CHARACTERS_OF_A_TOKEN: u64 = 4;

/// About so many tokens: a quarter of the characters, at least one. Images are counted, and no tokens for them.
pub(super) fn usage<'a>(prompt: &'a [Message], answer: impl IntoIterator<Item = &'a Message>) -> Usage {
    let images = images(prompt);
    Usage { prompt_tokens: tokens(prompt), completion_tokens: tokens(answer), images, ..Usage::default() }
}

fn tokens<'a>(messages: impl IntoIterator<Item = &'a Message>) -> u64 {
    let texts = messages.into_iter().flat_map(|message| &message.parts).filter_map(Part::text);
    let characters: usize = texts.map(|text| text.chars().count()).sum();
    (characters as u64 / CHARACTERS_OF_A_TOKEN).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::Role;

    #[test]
    fn four_characters_are_a_token() {
        let said = |text: &str| [Message::text(Role::User, text)];
        for (prompt, answer, expected) in
            [("", "", (1, 1)), ("üüüüüüüü", "abc", (2, 1)), ("a", &"x".repeat(401), (1, 100))]
        {
            let usage = usage(&said(prompt), &said(answer));
            assert_eq!((usage.prompt_tokens, usage.completion_tokens), expected);
        }
        let image = Part::Image { url: "https://example.com/a.png".into(), detail: None };
        let asked = [Message { role: Role::User, parts: vec![image.clone(), image] }];
        assert_eq!(usage(&asked, &said("Yes.")).images, 2);
    }
}
