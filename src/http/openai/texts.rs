//! `POST /v1/embeddings` and `POST /v1/moderations`: one result for each text.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use serde::Deserialize;

use super::answer::Form;
use super::exchange::{self, Asked};
use super::request;
use crate::chat::{ChatRequest, Task, VectorForm};
use crate::http::{ApiError, App, body};

/// Where the caller names no model: a provider's default is one that chats.
const MODERATION: &str = "mistral-moderation-latest";

/// More texts than this no request has.
const MOST: usize = 10_000;

#[derive(Deserialize)]
struct Body {
    model: Option<String>,
    input: Option<Input>,
    /// OpenAI's name.
    dimensions: Option<u32>,
    /// Mistral's.
    output_dimension: Option<u32>,
    output_dtype: Option<String>,
    encoding_format: Option<String>,
    user: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Input {
    One(String),
    Several(Vec<String>),
}

/// `POST /v1/embeddings`.
pub(super) async fn embeddings(State(app): State<Arc<App>>, request: Request) -> Response {
    exchange::handle(app, request, Task::Embed, Form::Vectors, |bytes| {
        let read: Body = body::parse(bytes)?;
        let model = request::model(read.model.clone())?.ok_or(ApiError::Required("model"))?;
        asked(read, Task::Embed, model)
    })
    .await
}

/// `POST /v1/moderations`.
pub(super) async fn moderations(State(app): State<Arc<App>>, request: Request) -> Response {
    exchange::handle(app, request, Task::Moderate, Form::Judgements, |bytes| {
        let read: Body = body::parse(bytes)?;
        let model = request::model(read.model.clone())?.unwrap_or_else(|| MODERATION.to_owned());
        asked(read, Task::Moderate, model)
    })
    .await
}

fn asked(read: Body, task: Task, model: String) -> Result<Asked, ApiError> {
    let texts = match read.input {
        Some(Input::One(text)) => vec![text],
        Some(Input::Several(texts)) if !texts.is_empty() => texts,
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
    let chat = ChatRequest { vectors, ..ChatRequest::about(task, Some(model), texts) };
    Ok(Asked { chat, user: read.user, stream: None })
}
