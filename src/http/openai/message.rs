//! One message of a conversation, as OpenAI's clients write it or Mistral's.

use std::borrow::Cow;
use std::fmt;

use serde::de::value::SeqAccessDeserializer;
use serde::de::{Error as _, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::seal::{self, ThinkingBlock};
use crate::chat::{
    CacheControl, Detail, ExtraContent, Message, Object, Part, Reference, Role, Seal, unescaped, unescaped_if_json,
    whole_characters,
};
use crate::http::ApiError;
use crate::http::image::is_image;
use crate::provider::names;
use crate::provider::tools::call_id;

/// A message on the wire. What is not read here, such as a reference to audio, is not passed on.
#[derive(Deserialize)]
pub(super) struct Wire {
    role: WireRole,
    /// Mistral's users may say null, which none of OpenAI's may, and which is not the same as nothing.
    #[serde(default, deserialize_with = "given")]
    content: Option<Option<Content>>,
    /// What OpenAI's models say instead of content when they refuse.
    refusal: Option<String>,
    /// How several vendors and their clients carry reasoning beside the text.
    reasoning_content: Option<String>,
    /// The same as others call it. Some of those put more into it than text.
    reasoning: Option<serde_json::Value>,
    /// The same with what its vendor wants back.
    thinking_blocks: Option<Vec<Object<ThinkingBlock>>>,
    tool_calls: Option<Vec<Object<ToolCall>>>,
    /// The older form of one call.
    function_call: Option<IgnoredAny>,
    tool_call_id: Option<String>,
    name: Option<String>,
    /// Of the last part, for content that has no parts of its own.
    cache_control: Option<Object<CacheControl>>,
}

/// A field that is there, be it null.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// A message in the gateway's terms, who speaks it, and the parts of it that the vendor's cache is to keep.
pub(super) struct Read {
    pub(super) message: Message,
    /// A tool's stands in its part.
    pub(super) name: Option<String>,
    pub(super) cache: Vec<(usize, CacheControl)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WireRole {
    System,
    /// OpenAI's newer name for it.
    Developer,
    User,
    Assistant,
    Tool,
}

/// Not an untagged one, whose errors name no place within a part.
enum Content {
    Text(String),
    Pieces(Vec<Object<Piece>>),
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a text or a list of parts")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Content, E> {
        self.visit_string(text.to_owned())
    }

    fn visit_string<E: serde::de::Error>(self, text: String) -> Result<Content, E> {
        Ok(Content::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, pieces: A) -> Result<Content, A::Error> {
        Deserialize::deserialize(SeqAccessDeserializer::new(pieces)).map(Content::Pieces)
    }
}

/// A part, with the fields of every type.
#[derive(Deserialize)]
struct Piece {
    #[serde(rename = "type")]
    kind: String,
    text: Option<String>,
    refusal: Option<String>,
    image_url: Option<ImageUrl>,
    thinking: Option<Vec<Object<Thought>>>,
    signature: Option<String>,
    reference_ids: Option<Vec<serde_json::Value>>,
    /// Read apart: an error in here would be one of the content as a whole.
    cache_control: Option<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected a URL, or an object with a `url`, and a `detail` of `auto`, `low` or `high` if need be"
)]
enum ImageUrl {
    Mistral(String),
    OpenAi(Object<Address>),
}

#[derive(Deserialize)]
struct Address {
    url: String,
    detail: Option<Detail>,
}

#[derive(Deserialize)]
struct Thought {
    text: Option<String>,
    reference_ids: Option<Vec<serde_json::Value>>,
}

#[derive(Deserialize)]
struct ToolCall {
    id: Option<String>,
    extra_content: Option<Object<ExtraContent>>,
    cache_control: Option<Object<CacheControl>>,
    function: Object<Function>,
}

#[derive(Deserialize)]
struct Function {
    name: String,
    arguments: Option<Arguments>,
}

/// OpenAI sends JSON as text, Mistral's SDKs an object too. That is kept as it is written: a [`serde_json::Value`] keeps
/// neither the order of keys nor all digits of a number.
struct Arguments(String);

impl<'de> Deserialize<'de> for Arguments {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Box::<RawValue>::deserialize(deserializer)?;
        // What is read by itself is not read once more with its body.
        let written = whole_characters(written.get().as_bytes());
        let text = match written.first() {
            Some(b'{') => Ok(String::from_utf8_lossy(&written).into_owned()),
            _ => serde_json::from_slice(&written).map_err(|_| D::Error::custom("expected a text or an object")),
        };
        text.map(unescaped).map(Self)
    }
}

impl Wire {
    /// The message at a place of the body.
    pub(super) fn read(self, place: &str) -> Result<Read, ApiError> {
        let field = |name: &str| Cow::Owned(format!("{place}.{name}"));
        let role = match self.role {
            WireRole::System | WireRole::Developer => Role::System,
            WireRole::User => Role::User,
            WireRole::Assistant => Role::Assistant,
            WireRole::Tool => Role::Tool,
        };
        if self.function_call.is_some() {
            return Err(ApiError::field(field("function_call"), "the older form is not taken; use `tool_calls`"));
        }
        let mut parts = Vec::new();
        let mut cache = Vec::new();
        let own_cache = self.cache_control.map(|Object(control)| control);
        let blocks = self.thinking_blocks.filter(|blocks| !blocks.is_empty() && role == Role::Assistant);
        // Beside calls the empty one counts: DeepSeek and Kimi want it back.
        let calls = self.tool_calls.as_ref().is_some_and(|calls| !calls.is_empty());
        let reasoning = match (self.reasoning_content, self.reasoning) {
            (None, Some(serde_json::Value::String(text))) => Some(text),
            (own, _) => own,
        };
        let reasoning = reasoning.filter(|text| role == Role::Assistant && (calls || !text.is_empty()));
        match (blocks, reasoning) {
            (Some(blocks), reasoning) => parts.extend(seal::thoughts(blocks, reasoning.as_deref())),
            (None, Some(text)) => parts.push(Part::Thinking { text, seal: None }),
            (None, None) => {}
        }
        let says_null = role == Role::User && matches!(self.content, Some(None));
        let content = match self.content.flatten() {
            Some(content) if !content.is_empty() => Some(content),
            empty => self.refusal.map(Content::Text).or(empty),
        };
        let is_empty = content.as_ref().is_none_or(Content::is_empty);
        match content {
            None => {}
            Some(Content::Text(text)) => parts.push(Part::Text { text }),
            Some(Content::Pieces(pieces)) => {
                // By themselves: a thought among them goes on from none that stands beside them.
                let mut said = Vec::with_capacity(pieces.len());
                for (place, Object(mut piece)) in pieces.into_iter().enumerate() {
                    let field = field(&format!("content[{place}]"));
                    let (control, at) = (piece.cache(&field)?, said.len());
                    piece.read(&field, &mut said)?;
                    let at = parts.len() + at.min(said.len().saturating_sub(1));
                    cache.extend(control.map(|control| (at, control)));
                }
                parts.append(&mut said);
            }
        }
        if role == Role::Tool {
            let id = self.tool_call_id.ok_or_else(|| ApiError::field(field("tool_call_id"), "required of a tool"))?;
            let id = call_id::bounded(id);
            // Some clients write the empty name.
            let name = self.name.filter(|name| !name.is_empty());
            if let Some(name) = &name {
                check_name(name, || field("name"))?;
            }
            if let Some(place) = parts.iter().position(|part| !matches!(part, Part::Text { .. })) {
                return Err(ApiError::field(field(&format!("content[{place}].type")), "a tool's result is text"));
            }
            // A line each: two results must not become one word.
            let texts: Vec<&str> = parts.iter().filter_map(Part::text).collect();
            let text = unescaped_if_json(texts.join("\n"));
            let message = Message { role, parts: vec![Part::ToolResult { id, name, text }] };
            let last = own_cache.or(cache.last().map(|(_, control)| *control));
            return Ok(Read { message, name: None, cache: last.map(|control| (0, control)).into_iter().collect() });
        }
        if let Some(calls) = self.tool_calls {
            if role != Role::Assistant && !calls.is_empty() {
                return Err(ApiError::field(field("tool_calls"), "only an assistant calls tools"));
            }
            // The empty text beside calls is how clients write "no text".
            if is_empty && !calls.is_empty() {
                parts.retain(|part| !matches!(part, Part::Text { .. }));
            }
            for (place, Object(call)) in calls.into_iter().enumerate() {
                check_name(&call.function.0.name, || field(&format!("tool_calls[{place}].function.name")))?;
                cache.extend(call.cache_control.map(|Object(control)| (parts.len(), control)));
                parts.push(call.part());
            }
        }
        if parts.is_empty() && says_null {
            parts.push(Part::Text { text: String::new() });
        }
        if parts.is_empty() && role != Role::Assistant {
            return Err(ApiError::field(field("content"), "expected a text or a list of parts"));
        }
        cache.extend(parts.len().checked_sub(1).zip(own_cache));
        Ok(Read { message: Message { role, parts }, name: self.name.filter(|name| !name.is_empty()), cache })
    }
}

/// Some clients write the empty name.
fn check_name(name: &str, field: impl FnOnce() -> Cow<'static, str>) -> Result<(), ApiError> {
    if name.is_empty() || names::is_call(name) {
        return Ok(());
    }
    Err(ApiError::field(field(), names::EXPECTED))
}

impl Content {
    fn is_empty(&self) -> bool {
        match self {
            Self::Text(text) => text.is_empty(),
            Self::Pieces(pieces) => pieces.is_empty(),
        }
    }
}

impl Piece {
    fn cache(&mut self, field: &str) -> Result<Option<CacheControl>, ApiError> {
        let control = self.cache_control.take().map(serde_json::from_value::<Object<_>>).transpose();
        control.map(|control| control.map(|Object(control)| control)).map_err(|_| {
            let allowed = "expected `{\"type\":\"ephemeral\"}`, with a `ttl` of `5m` or `1h` if any";
            ApiError::field(format!("{field}.cache_control"), allowed)
        })
    }

    fn read(self, field: &str, parts: &mut Vec<Part>) -> Result<(), ApiError> {
        let missing = |name: &str| ApiError::field(format!("{field}.{name}"), "required of a part of this type");
        let mut cited = Vec::new();
        match self.kind.as_str() {
            "text" => parts.push(Part::Text { text: self.text.ok_or_else(|| missing("text"))? }),
            "refusal" => parts.push(Part::Text { text: self.refusal.ok_or_else(|| missing("refusal"))? }),
            "thinking" => {
                let thoughts = self.thinking.ok_or_else(|| missing("thinking"))?;
                let ids = thoughts.iter().filter_map(|Object(thought)| thought.reference_ids.as_deref());
                cited.extend(ids.flat_map(Reference::read));
                let more: String = thoughts.into_iter().filter_map(|Object(thought)| thought.text).collect();
                let signed = self.signature.and_then(Seal::of_mistral);
                // Of a stream a client may keep one thought in as many parts as it came in, the signature in the last.
                match parts.last_mut() {
                    Some(Part::Thinking { text, seal: seal @ None }) => {
                        text.push_str(&more);
                        *seal = signed;
                    }
                    _ => parts.push(Part::Thinking { text: more, seal: signed }),
                }
            }
            "reference" => {
                cited.extend(Reference::read(&self.reference_ids.ok_or_else(|| missing("reference_ids"))?));
            }
            "image_url" => {
                let (url, detail) = match self.image_url.ok_or_else(|| missing("image_url"))? {
                    ImageUrl::Mistral(url) => (url, None),
                    ImageUrl::OpenAi(Object(Address { url, detail })) => (url, detail),
                };
                if !is_image(&url) {
                    let allowed = "expected an http or https URL, or data:image/TYPE;base64,...";
                    return Err(ApiError::field(format!("{field}.image_url"), allowed));
                }
                parts.push(Part::Image { url, detail });
            }
            _ => {
                return Err(ApiError::field(
                    format!("{field}.type"),
                    "expected `text`, `image_url`, `thinking`, `reference` or `refusal`; policies cannot see other \
                     parts, so none is passed on",
                ));
            }
        }
        parts.extend((!cited.is_empty()).then_some(Part::Reference { ids: cited }));
        Ok(())
    }
}

impl ToolCall {
    fn part(self) -> Part {
        let Object(Function { name, arguments }) = self.function;
        let arguments = arguments.map(|Arguments(text)| text).unwrap_or_default();
        let seal = self.extra_content.and_then(|Object(extra)| extra.seal());
        Part::ToolCall { id: self.id.map(call_id::bounded).unwrap_or_default(), name, arguments, seal }
    }
}
