//! The text of a request or an answer as it is recorded, and back from there to what policies were shown.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::audit::record::Content;
use crate::chat::{Binary, Message, Part, Role};

/// Attributes beside the text, as policies are told them.
pub(super) type Attributes = Vec<(String, String)>;

/// What is recorded of messages and of the attributes beside them: as they came, and what the audit policies left of
/// the messages, if anything. Attributes are callers' text too, and no policy can mask them: they belong to the text as
/// it came and to nothing else.
pub(super) fn content(
    original: &Arc<Vec<Message>>,
    attributes: &Attributes,
    kept: Option<&Arc<Vec<Message>>>,
) -> Option<Content> {
    if attributes.is_empty() {
        return match kept {
            Some(kept) if Arc::ptr_eq(kept, original) => Content::unchanged(&said(original)),
            Some(kept) => Content::edited(&said(original), &said(kept)),
            None => Content::withheld(&said(original)),
        };
    }
    let attributes = attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let asked = Asked { attributes, messages: said(original) };
    match kept {
        Some(kept) => Content::edited(&asked, &said(kept)),
        None => Content::withheld(&asked),
    }
}

/// Messages with attributes beside them.
#[derive(Serialize)]
struct Asked<'m> {
    attributes: BTreeMap<&'m str, &'m str>,
    messages: Vec<Said<'m>>,
}

/// A message as it is recorded: every part at its place, of binary ones what policies are told of them.
#[derive(Serialize)]
struct Said<'m> {
    role: Role,
    parts: Vec<SaidPart<'m>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum SaidPart<'m> {
    Text(&'m Part),
    Binary(Binary<'m>),
}

fn said(messages: &[Message]) -> Vec<Said<'_>> {
    let part = |part| Part::binary(part).map_or(SaidPart::Text(part), SaidPart::Binary);
    messages
        .iter()
        .map(|message| Said { role: message.role, parts: message.parts.iter().map(part).collect() })
        .collect()
}

/// Text that was recorded.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Recorded {
    /// The messages; of binary parts only what policies are told of them is as it was.
    pub(super) messages: Vec<Message>,
    /// The attributes, where they are stored.
    pub(super) attributes: Attributes,
}

/// Reads recorded text.
pub(super) fn read(content: &str) -> serde_json::Result<Recorded> {
    let (attributes, messages) = match serde_json::from_str(content)? {
        Stored::Asked { attributes, messages } => (attributes, messages),
        Stored::Messages(messages) => (BTreeMap::new(), messages),
    };
    let messages = messages
        .into_iter()
        .map(|StoredMessage { role, parts }| Message { role, parts: parts.into_iter().map(Part::from).collect() });
    Ok(Recorded { messages: messages.collect(), attributes: attributes.into_iter().collect() })
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Stored {
    Messages(Vec<StoredMessage>),
    Asked { attributes: BTreeMap<String, String>, messages: Vec<StoredMessage> },
}

#[derive(Deserialize)]
struct StoredMessage {
    role: Role,
    parts: Vec<StoredPart>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum StoredPart {
    Text(Part),
    Binary {
        #[serde(default)]
        media_type: Option<String>,
        size: usize,
    },
}

impl From<StoredPart> for Part {
    fn from(part: StoredPart) -> Self {
        match part {
            StoredPart::Text(part) => part,
            // An image of which the same can be told.
            StoredPart::Binary { media_type: None, .. } => Self::Image { url: String::new(), detail: None },
            StoredPart::Binary { media_type: Some(media_type), size } => {
                let url = format!("data:{media_type};base64,{}", "A".repeat((size * 4).div_ceil(3)));
                Self::Image { url, detail: None }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages() -> Arc<Vec<Message>> {
        let (id, name, arguments) = ("c1".to_owned(), "look".to_owned(), "{\"at\":1}".to_owned());
        Arc::new(vec![
            Message::text(Role::System, "Be kind."),
            Message {
                role: Role::User,
                parts: vec![
                    Part::Text { text: "And this?".into() },
                    Part::Image { url: "data:image/png;base64,AAAABBBB".into(), detail: None },
                    Part::Image { url: "https://example.org/a.png".into(), detail: None },
                ],
            },
            Message {
                role: Role::Assistant,
                parts: vec![
                    Part::Thinking { text: "Hm.".into(), seal: None },
                    Part::ToolCall { id: id.clone(), name: name.clone(), arguments, seal: None },
                ],
            },
            Message { role: Role::Tool, parts: vec![Part::ToolResult { id, name: Some(name), text: "4711".into() }] },
        ])
    }

    /// What policies are told of messages.
    fn told(messages: &[Message]) -> Vec<String> {
        let part = |part: &Part| format!("{:?} {:?}", part.text(), part.binary());
        messages.iter().flat_map(|message| message.parts.iter().map(part)).collect()
    }

    #[test]
    fn what_policies_are_told_is_read_as_it_was_recorded() {
        let original = messages();
        let recorded = content(&original, &Vec::new(), Some(&original)).unwrap();
        let read = read(&recorded.original).unwrap();
        assert_eq!(told(&read.messages), told(&original));
        assert_eq!(read.messages[3], original[3]);
        assert_eq!(read.attributes, Vec::new());
        assert_eq!(recorded.kept, Some(recorded.original), "one text, kept as it came");
    }

    #[test]
    fn an_image_is_read_back_with_the_size_that_policies_were_told() {
        for size in [0, 1, 2, 3, 100] {
            let media_type = Some("image/png".to_owned());
            let part = Part::from(StoredPart::Binary { media_type, size });
            let told = part.binary().unwrap();
            assert_eq!((told.media_type, told.size), (Some("image/png"), size));
        }
    }

    #[test]
    fn attributes_belong_to_the_text_as_it_came_and_not_to_what_audit_policies_left() {
        let (original, attributes) = (messages(), vec![("ticket".to_owned(), "4711".to_owned())]);
        let recorded = content(&original, &attributes, Some(&original)).unwrap();
        assert_eq!(read(&recorded.original).unwrap().attributes, attributes);
        let kept = read(recorded.kept.as_deref().unwrap()).unwrap();
        assert_eq!((told(&kept.messages), kept.attributes), (told(&original), Vec::new()));
        assert_eq!(content(&original, &attributes, None).unwrap().kept, None);
    }
}
