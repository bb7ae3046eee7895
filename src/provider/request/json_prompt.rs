//! JSON asked for in words, where a model cannot be held to it.

use crate::chat::{Message, Part, ResponseFormat, Role};

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

/// What is said to a model in JSON mode that nobody told of JSON: some write white space without end then, and OpenAI
/// refuses the request.
pub(crate) const ASK: &str = "Answer with a JSON object.";

/// What the record says about it.
pub(crate) fn asked(role: Role) -> String {
    let speaker = if role == Role::User { "user" } else { "system" };
    format!("a {speaker} message added that asks for JSON, as JSON mode wants")
}

/// Whether the word stands in what a conversation says.
pub(crate) fn is_said(messages: &[Message]) -> bool {
    let says_json = |text: &str| text.as_bytes().windows(4).any(|window| window.eq_ignore_ascii_case(b"json"));
    messages.iter().flat_map(|message| &message.parts).any(|part| match part {
        Part::Text { text } | Part::Refusal { text } | Part::ToolResult { text, .. } => says_json(text),
        Part::Thinking { .. } | Part::ToolCall { .. } | Part::Image { .. } | Part::Reference { .. } => false,
    })
}
