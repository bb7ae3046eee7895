//! `X-Octroi-Reasoning: content`: reasoning where Mistral has it, in the content, which is a list of parts then. Its own
//! clients and those made for it look nowhere else.

use axum::http::{HeaderMap, HeaderName};
use serde::{Serialize, Serializer};

use super::answer::Form;
use crate::chat::Seal;
use crate::http::{ApiError, header};

const HEADER: HeaderName = HeaderName::from_static("x-octroi-reasoning");
const FIELD: &str = "X-Octroi-Reasoning";

/// The form that a chat's caller asks for; without the header, OpenAI's.
pub(super) fn form(headers: &HeaderMap) -> Result<Form, ApiError> {
    match header::once(headers, &HEADER, FIELD)? {
        None => Ok(Form::Chat),
        Some("content") => Ok(Form::ChatInParts),
        Some(_) => Err(ApiError::field(FIELD, "expected `content`, or no such header")),
    }
}

/// What an assistant says: on the wire a text, or a list of parts where reasoning stands in it.
#[derive(Debug, Default)]
pub(super) struct Content(Vec<ContentPart>);

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum ContentPart {
    Text {
        text: String,
    },
    Thinking {
        thinking: Vec<ContentPart>,
        /// What Mistral wants back.
        #[serde(skip_serializing_if = "Option::is_none")]
        signature: Option<String>,
    },
}

impl Content {
    /// Adds text.
    pub(super) fn say(&mut self, more: &str) {
        match self.0.last_mut() {
            Some(ContentPart::Text { text }) => text.push_str(more),
            _ => self.0.push(ContentPart::Text { text: more.to_owned() }),
        }
    }

    /// Adds reasoning.
    pub(super) fn think(&mut self, text: &str, seal: Option<&Seal>) {
        let signature = match seal {
            Some(Seal::Mistral(signature)) => Some(signature.clone()),
            _ => None,
        };
        let text = Some(text.to_owned()).filter(|text| !text.is_empty());
        let thinking = text.map(|text| ContentPart::Text { text }).into_iter().collect();
        self.0.push(ContentPart::Thinking { thinking, signature });
    }

    /// Signs the reasoning that was added last. Where that went out before, an empty one says so, as Mistral's own streams
    /// do.
    pub(super) fn sign(&mut self, with: &str) {
        match self.0.last_mut() {
            Some(ContentPart::Thinking { signature: signature @ None, .. }) => *signature = Some(with.to_owned()),
            _ => self.0.push(ContentPart::Thinking { thinking: Vec::new(), signature: Some(with.to_owned()) }),
        }
    }

    /// Whether nothing is said.
    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|part| matches!(part, ContentPart::Text { text } if text.is_empty()))
    }

    /// The text alone.
    pub(super) fn into_text(self) -> String {
        let texts = self.0.into_iter().filter_map(|part| match part {
            ContentPart::Text { text } => Some(text),
            ContentPart::Thinking { .. } => None,
        });
        texts.collect()
    }
}

impl Serialize for Content {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0[..] {
            [] => serializer.serialize_str(""),
            [ContentPart::Text { text }] => serializer.serialize_str(text),
            parts => serializer.collect_seq(parts.iter().filter(|part| match part {
                ContentPart::Text { text } => !text.is_empty(),
                ContentPart::Thinking { .. } => true,
            })),
        }
    }
}
