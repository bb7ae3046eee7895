//! What is wanted of a model beside a conversation.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::{ChatRequest, Message, Part, Role};

/// What is wanted of a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Task {
    /// The next message of a conversation.
    #[default]
    Chat,
    /// The text between two texts: the one message has what stands before, and in a second part what stands behind.
    FillIn,
    /// A vector for each text: the one message has each in a part of its own.
    Embed,
    /// A judgement of each text, which stand as for [`Task::Embed`].
    Moderate,
    /// A judgement of each conversation: the messages of all stand behind one another.
    ModerateChats,
}

impl Task {
    /// As records, metrics and policies name it (`request-type`).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::FillIn => "completion",
            Self::Embed => "embedding",
            Self::Moderate | Self::ModerateChats => "moderation",
        }
    }
}

/// The form of vectors; what is `None` is the model's default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VectorForm {
    /// How many numbers.
    pub dimensions: Option<u32>,
    /// Their type, as Mistral names it: `float`, `int8` and so on.
    pub dtype: Option<String>,
    /// `float` or `base64`.
    pub encoding: Option<String>,
}

impl ChatRequest {
    /// A request about texts.
    pub fn about(task: Task, model: Option<String>, texts: Vec<String>) -> Self {
        let parts = texts.into_iter().map(|text| Part::Text { text }).collect();
        Self { task, model, messages: vec![Message { role: Role::User, parts }], ..Self::default() }
    }

    /// The conversations of [`Task::ModerateChats`], as policies left them.
    pub fn conversations(&self) -> impl Iterator<Item = &[Message]> {
        self.conversations_of(&self.messages)
    }

    /// Messages that stand for its own, divided as those are.
    pub(crate) fn conversations_of<'m>(&'m self, messages: &'m [Message]) -> impl Iterator<Item = &'m [Message]> {
        let mut rest = messages;
        self.lengths.iter().map(move |length| {
            let (conversation, others) = rest.split_at_checked(*length).unwrap_or((rest, &[]));
            rest = others;
            conversation
        })
    }

    /// The texts of such a request, as policies left them.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.messages.iter().flat_map(|message| &message.parts).filter_map(Part::text)
    }
}

/// JSON that is passed on as it was written.
#[derive(Clone)]
pub struct Json(Arc<RawValue>);

impl Json {
    /// As it was written.
    pub fn get(&self) -> &str {
        self.0.get()
    }

    /// The same, to be written into JSON as it is.
    pub(crate) fn raw(&self) -> &RawValue {
        &self.0
    }
}

impl From<Box<RawValue>> for Json {
    fn from(raw: Box<RawValue>) -> Self {
        Self(raw.into())
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.get())
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(Self::from)
    }
}
