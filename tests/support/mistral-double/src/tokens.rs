//! Tokens, estimated the same way every time: a word with the space before it, cut after eight characters.

/// The longest piece, in characters.
const LONGEST: usize = 8;

/// What a message costs beside its text.
pub(crate) const PER_MESSAGE: u64 = 4;

/// Splits a text into the pieces that are streamed and counted. Joined, they are the text.
pub(crate) fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (piece, after) = rest.split_at(first_piece(rest));
        rest = after;
        Some(piece)
    })
}

/// Where the first piece ends.
fn first_piece(text: &str) -> usize {
    for (count, (index, character)) in text.char_indices().enumerate() {
        if count == LONGEST || (count > 0 && character == ' ') {
            return index;
        }
    }
    text.len()
}

/// How many tokens a text is taken to have.
pub(crate) fn count(text: &str) -> u64 {
    pieces(text).map(|_| 1).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_join_to_the_text() {
        for text in
            ["", " ", "a", "hello world", "  two  spaces ", "incomprehensibilities", "häuser in Köln, 日本語のテキスト"]
        {
            assert_eq!(pieces(text).collect::<String>(), text);
        }
    }

    #[test]
    fn words_are_tokens() {
        assert_eq!(count("hello brave new world"), 4);
        assert_eq!(count(""), 0);
    }
}
