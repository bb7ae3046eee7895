//! `POST /v1/embeddings` and `POST /v1/moderations`: one result for each text. `POST /v1/chat/moderations`: one for each
//! conversation.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::answer::Form;
use super::exchange::{self, Asked};
use super::message::Wire;
use super::request::{self, MOST};
use super::tokens;
use crate::chat::{AsWritten, ChatRequest, Object, Task, VectorForm};
use crate::http::{ApiError, App, body, whole};

#[derive(Deserialize)]
struct Body {
    model: Option<String>,
    input: Option<Input>,
    /// OpenAI's name.
    #[serde(default, deserialize_with = "whole::read")]
    dimensions: Option<u32>,
    /// Mistral's.
    #[serde(default, deserialize_with = "whole::read")]
    output_dimension: Option<u32>,
    output_dtype: Option<String>,
    encoding_format: Option<String>,
    user: Option<String>,
}

/// Its fields. `user` is not one of them: it is read for the record, and that of a request for vectors passed on too.
const KNOWN: [&str; 6] = ["model", "input", "dimensions", "output_dimension", "output_dtype", "encoding_format"];

#[derive(Deserialize)]
#[serde(untagged)]
enum Input {
    One(String),
    Several(Vec<String>),
    /// OpenAI's form of one input to be moderated.
    Parts(Vec<Object<Piece>>),
    /// One input as tokens, and several.
    Tokens(Vec<u32>),
    Lists(Vec<Vec<u32>>),
    Other(IgnoredAny),
}

#[derive(Deserialize)]
struct Piece {
    #[serde(rename = "type")]
    kind: String,
    text: Option<String>,
}

/// A body of conversations.
#[derive(Deserialize)]
struct Conversations {
    model: Option<String>,
    input: Option<Vec<Value>>,
    user: Option<String>,
}

/// `POST /v1/embeddings`.
pub(super) async fn embeddings(State(app): State<Arc<App>>, request: Request) -> Response {
    exchange::handle(app, request, Task::Embed, Ok(Form::Vectors), |bytes| {
        let read: Body = body::parse(bytes)?;
        let model = request::model(read.model.clone())?.ok_or(ApiError::Required("model"))?;
        asked(read, request::extra(bytes, &KNOWN)?, Task::Embed, Some(model))
    })
    .await
}

/// `POST /v1/moderations`.
pub(super) async fn moderations(State(app): State<Arc<App>>, request: Request) -> Response {
    exchange::handle(app, request, Task::Moderate, Ok(Form::Judgements), |bytes| {
        let read: Body = body::parse(bytes)?;
        let model = request::model(read.model.clone())?;
        let mut extra = request::extra(bytes, &KNOWN)?;
        extra.remove("user");
        asked(read, extra, Task::Moderate, model)
    })
    .await
}

/// `POST /v1/chat/moderations`, Mistral's: one conversation, or several.
pub(super) async fn chat_moderations(State(app): State<Arc<App>>, request: Request) -> Response {
    exchange::handle(app, request, Task::ModerateChats, Ok(Form::Judgements), |bytes| {
        let read: Conversations = body::parse(bytes)?;
        let model = request::model(read.model)?;
        let input = read.input.filter(|input| !input.is_empty()).ok_or(ApiError::Required("input"))?;
        let (task, extra) = (Task::ModerateChats, request::extra(bytes, &["model", "input", "user"])?);
        let mut chat = ChatRequest { task, model, extra, ..ChatRequest::default() };
        if input.iter().any(Value::is_array) {
            for (index, conversation) in input.into_iter().enumerate() {
                let place = format!("input[{index}]");
                let Value::Array(messages) = conversation else {
                    return Err(ApiError::field(place, "expected a conversation beside others, a list of messages"));
                };
                add(&mut chat, messages, &place)?;
            }
        } else {
            add(&mut chat, input, "input")?;
        }
        Ok(Asked { chat, user: read.user, stream: None })
    })
    .await
}

/// Adds a conversation.
fn add(chat: &mut ChatRequest, messages: Vec<Value>, place: &str) -> Result<(), ApiError> {
    if messages.is_empty() {
        return Err(ApiError::field(place.to_owned(), "a conversation has at least one message"));
    }
    if chat.messages.len() + messages.len() > MOST {
        return Err(ApiError::field("input", format!("more than {MOST} messages")));
    }
    chat.lengths.push(messages.len());
    for (index, message) in messages.into_iter().enumerate() {
        let place = format!("{place}[{index}]");
        let Object(wire): Object<Wire> =
            serde_json::from_value(message).map_err(|_| ApiError::field(place.clone(), "expected a message"))?;
        let read = wire.read(&place)?;
        chat.names.extend(read.name.map(|name| (chat.messages.len(), name)));
        chat.messages.push(read.message);
    }
    Ok(())
}

/// The parts of one input as one text: they are judged together.
fn one_text(pieces: Vec<Object<Piece>>) -> Result<String, ApiError> {
    let texts: Result<Vec<_>, _> = pieces
        .into_iter()
        .enumerate()
        .map(|(index, Object(piece))| match (piece.kind.as_str(), piece.text) {
            ("text", Some(text)) => Ok(text),
            ("text", None) => Err(ApiError::field(format!("input[{index}].text"), "required of a text")),
            _ => Err(ApiError::field(format!("input[{index}].type"), "only texts are moderated")),
        })
        .collect();
    Ok(texts?.join("\n"))
}

fn asked(read: Body, extra: BTreeMap<String, AsWritten>, task: Task, model: Option<String>) -> Result<Asked, ApiError> {
    let takes_tokens = task == Task::Embed && model.as_deref().is_some_and(tokens::are_known);
    let texts = match read.input {
        Some(Input::One(text)) => vec![text],
        Some(Input::Several(texts)) if !texts.is_empty() => texts,
        Some(Input::Parts(pieces)) if task == Task::Moderate => vec![one_text(pieces)?],
        Some(Input::Tokens(tokens)) if takes_tokens => tokens::texts(&[tokens])?,
        Some(Input::Lists(lists)) if takes_tokens => tokens::texts(&lists)?,
        Some(Input::Tokens(_) | Input::Lists(_)) if task == Task::Embed => {
            let reason = "expected texts: tokens are read for OpenAI's models text-embedding-... alone, since policies \
                          read text, and for another model it is not known which text they are. Let the client send \
                          texts (LangChain's OpenAIEmbeddings: check_embedding_ctx_length=False)";
            return Err(ApiError::field("input", reason));
        }
        Some(Input::Parts(_) | Input::Tokens(_) | Input::Lists(_) | Input::Other(_)) => {
            return Err(ApiError::field("input", "expected a text, or a list of texts"));
        }
        _ => return Err(ApiError::Required("input")),
    };
    if texts.len() > MOST {
        return Err(ApiError::field("input", format!("{} texts, at most {MOST} are taken", texts.len())));
    }
    let vectors = VectorForm {
        dimensions: read.dimensions.or(read.output_dimension),
        dtype: read.output_dtype,
        encoding: read.encoding_format,
    };
    let chat = ChatRequest { vectors, extra, ..ChatRequest::about(task, model, texts) };
    Ok(Asked { chat, user: read.user, stream: None })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_field_has_its_place_and_the_rest_is_kept() {
        let body = json!({
            "model": "m", "input": "Hi", "dimensions": 8, "output_dimension": 9, "output_dtype": "int8",
            "encoding_format": "float", "user": "u-1", "task": "search",
        });
        let bytes = body.to_string();
        let read: Body = body::parse(bytes.as_bytes()).unwrap();
        let extra = request::extra(bytes.as_bytes(), &KNOWN).unwrap();
        let Asked { chat, user, .. } = asked(read, extra, Task::Embed, Some("m".to_owned())).unwrap();
        assert_eq!((chat.vectors.dimensions, user.as_deref()), (Some(8), Some("u-1")));
        assert_eq!(serde_json::to_value(&chat.extra).unwrap(), json!({ "user": "u-1", "task": "search" }));
    }
}
