//! A canonical conversation as Gemini's contents.
//!
//! There are two roles, which take turns; instructions stand outside. A tool's answer names its function and has nothing
//! else beside it, and newer models want each step of calls to carry the signature of the thoughts before it.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::value::RawValue;

use super::model::Model;
use crate::chat::{Message, Part, Role, Seal};
use crate::provider::request::changes::{Changes, OPENING};
use crate::provider::request::image::{self, asks};
use crate::provider::tools::arguments::{Arguments, object};
use crate::provider::{ErrorKind, ProviderError};

/// What stands in the place of a signature that is not there: Google's documentation gives it for calls that come from
/// elsewhere.
const NO_SIGNATURE: &str = "skip_thought_signature_validator";

/// A conversation, and what was changed in it.
#[derive(Debug)]
pub(super) struct Conversation<'a> {
    model: Model,
    /// The functions that were called, by the ids of the calls.
    called: HashMap<&'a str, &'a str>,
    pub(super) system: Vec<&'a str>,
    pub(super) contents: Vec<Content<'a>>,
    changes: Changes,
}

#[derive(Debug, Serialize)]
pub(super) struct Content<'a> {
    role: Speaker,
    parts: Vec<WirePart<'a>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Speaker {
    User,
    Model,
}

#[derive(Debug, Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
enum WirePart<'a> {
    Text {
        text: &'a str,
    },
    Image {
        inline_data: Blob<'a>,
    },
    Call {
        function_call: Call<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        thought_signature: Option<&'a str>,
    },
    Response {
        function_response: Response<'a>,
    },
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Blob<'a> {
    mime_type: &'a str,
    data: &'a str,
}

#[derive(Debug, Serialize)]
struct Call<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    id: &'a str,
    name: &'a str,
    args: Arguments<'a>,
}

#[derive(Debug, Serialize)]
struct Response<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    id: &'a str,
    name: &'a str,
    response: Answered<'a>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Answered<'a> {
    Object(&'a RawValue),
    Text { output: &'a str },
}

impl<'a> Conversation<'a> {
    /// Reads the messages of a request to a model.
    pub(super) fn of(messages: &'a [Message], model: Model) -> Result<Self, ProviderError> {
        let calls = messages.iter().flat_map(|message| &message.parts).filter_map(|part| match part {
            Part::ToolCall { id, name, .. } => Some((id.as_str(), name.as_str())),
            _ => None,
        });
        let mut conversation = Self {
            model,
            called: calls.collect(),
            system: Vec::new(),
            contents: Vec::new(),
            changes: Changes::default(),
        };
        for message in messages {
            conversation.add(message)?;
        }
        if conversation.contents.is_empty() && !conversation.system.is_empty() {
            conversation.say(Speaker::User, vec![WirePart::Text { text: OPENING }]);
            conversation.changes.opened = 1;
        }
        if conversation.contents.is_empty() {
            return Err(ProviderError::new(ErrorKind::Unsupported, "no message is left to send"));
        }
        Ok(conversation)
    }

    /// What was changed, for the record.
    pub(super) fn notes(&self) -> Vec<String> {
        self.changes.notes()
    }

    fn add(&mut self, message: &'a Message) -> Result<(), ProviderError> {
        if message.role == Role::System {
            let texts = message.parts.iter().filter_map(Part::text).filter(|text| !text.is_empty());
            let before = self.system.len();
            self.system.extend(texts);
            self.changes.moved_system += usize::from(!self.contents.is_empty() && self.system.len() > before);
            return Ok(());
        }
        let speaker = if message.role == Role::Assistant { Speaker::Model } else { Speaker::User };
        let mut parts = Vec::with_capacity(message.parts.len());
        let mut answers = Vec::new();
        // The first of the calls that are made at once carries the signature.
        let mut stand_in = self.model.wants_signatures().then_some(NO_SIGNATURE);
        for part in &message.parts {
            match part {
                Part::Text { text } | Part::Refusal { text } if text.is_empty() => {}
                Part::Text { text } | Part::Refusal { text } => parts.push(WirePart::Text { text }),
                Part::Image { url, detail } => {
                    self.changes.details += usize::from(asks(*detail));
                    parts.push(WirePart::Image { inline_data: blob(url)? });
                }
                Part::Thinking { .. } => self.changes.thinking += 1,
                Part::Reference { .. } => self.changes.citations += 1,
                Part::ToolCall { id, name, arguments, seal } if speaker == Speaker::Model => {
                    let args = Arguments::read(arguments);
                    self.changes.wrapped += usize::from(args.is_text());
                    let function_call = Call { id, name, args };
                    let own = match seal {
                        Some(Seal::Google(signature)) => Some(signature.as_str()),
                        _ => None,
                    };
                    parts.push(WirePart::Call { function_call, thought_signature: own.or(stand_in) });
                    stand_in = None;
                }
                Part::ToolCall { .. } => self.changes.misplaced += 1,
                Part::ToolResult { .. } if speaker == Speaker::Model => self.changes.misplaced += 1,
                Part::ToolResult { id, name, text } => {
                    let own = name.as_deref().filter(|name| !name.is_empty());
                    let name = own.or_else(|| self.called.get(id.as_str()).copied()).ok_or_else(|| {
                        let message = "a tool's answer names no tool, and no call before it has its id";
                        ProviderError::new(ErrorKind::Unsupported, message)
                    })?;
                    // The vendor takes each `$ref` for one to a part of the answer's own, and refuses those that are not.
                    let object = object(text).filter(|object| !object.get().contains("\"$ref\""));
                    let response = object.map_or(Answered::Text { output: text }, Answered::Object);
                    answers.push(WirePart::Response { function_response: Response { id, name, response } });
                }
            }
        }
        self.answer(answers);
        self.say(speaker, parts);
        Ok(())
    }

    /// Adds tools' answers to those of the user's turn, which stand at its beginning, right behind their calls.
    fn answer(&mut self, mut parts: Vec<WirePart<'a>>) {
        let turn = self.contents.iter().rposition(|content| content.role == Speaker::Model).map_or(0, |last| last + 1);
        match self.contents.get_mut(turn) {
            _ if parts.is_empty() => {}
            Some(first) if first.answers() => first.parts.append(&mut parts),
            _ => self.contents.insert(turn, Content { role: Speaker::User, parts }),
        }
    }

    /// Adds to what the same speaker said last, since turns alternate; else begins a content. Behind tools' answers too:
    /// newer models take text or images beside those for a turn of the model's, and refuse it.
    fn say(&mut self, role: Speaker, mut parts: Vec<WirePart<'a>>) {
        match self.contents.last_mut() {
            _ if parts.is_empty() => {}
            Some(last) if last.role == role && !last.answers() => last.parts.append(&mut parts),
            _ => self.contents.push(Content { role, parts }),
        }
    }
}

impl Content<'_> {
    /// Whether it holds tools' answers, and then nothing else.
    fn answers(&self) -> bool {
        matches!(self.parts.first(), Some(WirePart::Response { .. }))
    }
}

/// The gateway fetches nothing that a request names, and the vendor takes no foreign addresses.
fn blob(url: &str) -> Result<Blob<'_>, ProviderError> {
    match image::inline(url) {
        Some(image) => Ok(Blob { mime_type: image.media_type, data: image.content }),
        None => {
            let message = "this provider takes images as `data:` in base 64 only; the gateway fetches none";
            Err(ProviderError::new(ErrorKind::Unsupported, message))
        }
    }
}
