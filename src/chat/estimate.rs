//! Tokens where nobody has counted them: before a call, of a stream that broke off, of a server that does not say. An
//! estimate is recorded as one, and never shown to a client as what was counted.

use super::{ChatRequest, Message, Part, Usage, images};

/// AxonFlow's rules.
const CHARACTERS_OF_A_TOKEN: u64 = 4;
const TOKENS_OF_AN_ANSWER: u32 = 1_000;

/// About so many tokens: a quarter of the characters, at least one. Images are counted, and no tokens for them.
pub fn estimate<'a>(prompt: &'a [Message], answer: impl IntoIterator<Item = &'a Message>) -> Usage {
    let images = images(prompt);
    Usage { prompt_tokens: tokens(prompt), completion_tokens: tokens(answer), images, ..Usage::default() }
}

/// What a request may use: its prompt, and in the answer as many tokens as it may have, or a thousand.
pub fn estimate_before(request: &ChatRequest) -> Usage {
    let answers = request.n.unwrap_or(1).max(1);
    let of_one = request.max_tokens.unwrap_or(TOKENS_OF_AN_ANSWER);
    Usage {
        prompt_tokens: tokens(&request.messages),
        completion_tokens: u64::from(of_one) * u64::from(answers),
        images: images(&request.messages),
        ..Usage::default()
    }
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
            let usage = estimate(&said(prompt), &said(answer));
            assert_eq!((usage.prompt_tokens, usage.completion_tokens), expected);
        }
        let image = Part::Image { url: "https://example.com/a.png".into(), detail: None };
        let asked = [Message { role: Role::User, parts: vec![image.clone(), image] }];
        assert_eq!(estimate(&asked, &said("Yes.")).images, 2);
    }

    #[test]
    fn a_request_says_how_long_its_answer_may_be() {
        let messages = vec![Message::text(Role::User, "x".repeat(400))];
        let request = ChatRequest { messages, ..ChatRequest::default() };
        let used = |request: &ChatRequest| {
            let usage = estimate_before(request);
            (usage.prompt_tokens, usage.completion_tokens)
        };
        assert_eq!(used(&request), (100, 1_000));
        assert_eq!(used(&ChatRequest { max_tokens: Some(5), n: Some(3), ..request }), (100, 15));
    }
}
