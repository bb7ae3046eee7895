//! Lists of tokens as the input of vectors: OpenAI's API takes them beside texts, and LangChain's `OpenAIEmbeddings` sends
//! nothing else. Policies read text, so they are read here, and what is passed on is the text.

use tiktoken_rs::{DecodeKeyError, cl100k_base_singleton};

use crate::http::ApiError;

/// Whether the tokens of this model's clients are known to be of `cl100k_base`, as those of OpenAI's models for vectors are.
/// A number says nothing by itself: read by another vocabulary it is another text.
pub(super) fn are_known(model: &str) -> bool {
    model.starts_with("text-embedding-")
}

/// The text of each list. Of a character that a list cuts in two, a replacement character is left. A token has at most 128
/// bytes, and the body that it came in took room for more than that.
pub(super) fn texts(lists: &[Vec<u32>]) -> Result<Vec<String>, ApiError> {
    let refused = |reason: String| ApiError::field("input", reason);
    if lists.iter().any(Vec::is_empty) {
        return Err(refused("a list of tokens has at least one".to_owned()));
    }
    let vocabulary = cl100k_base_singleton();
    let text = |tokens: &Vec<u32>| {
        let unknown = |error: DecodeKeyError| refused(format!("{} is no token of cl100k_base", error.token));
        let bytes = vocabulary.decode_bytes(tokens).map_err(unknown)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    lists.iter().map(text).collect()
}
