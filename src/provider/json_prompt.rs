//! JSON asked for in words, where a model cannot be held to it.

use crate::chat::ResponseFormat;

/// What to tell the model; nothing where text is wanted.
pub(crate) fn words(format: &ResponseFormat) -> Option<String> {
    match format {
        ResponseFormat::Text => None,
        ResponseFormat::JsonObject => Some("Answer with a JSON object and nothing else.".to_owned()),
        ResponseFormat::JsonSchema(asked) => {
            Some(format!("Answer with JSON that follows this JSON schema, and nothing else:\n{}", asked.schema.get()))
        }
    }
}

/// What the record says about it.
pub(crate) const NOTE: &str = "JSON is asked for in the instructions: the provider cannot hold the model to it here";
