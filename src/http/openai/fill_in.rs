//! `POST /v1/fim/completions`, Mistral's, and `POST /v1/completions`, OpenAI's older form of it: the text between two texts.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use serde::Deserialize;

use super::answer::Form;
use super::exchange::{self, Asked};
use super::request::{self, Pieces, Stop, StreamOptions};
use crate::chat::{ChatRequest, Object, Task};
use crate::http::{ApiError, App, body, whole};

/// Where the caller names no model: a provider's default is one that chats.
const MODEL: &str = "codestral-latest";

/// What is known of a body of either route. Whatever else it holds is kept as `extra`.
#[derive(Deserialize)]
struct Body {
    model: Option<String>,
    prompt: Option<Prompt>,
    suffix: Option<String>,
    #[serde(default, deserialize_with = "whole::read")]
    max_tokens: Option<u32>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    stop: Option<Stop>,
    #[serde(default, deserialize_with = "whole::read")]
    seed: Option<i64>,
    /// Mistral's name for it.
    #[serde(default, deserialize_with = "whole::read")]
    random_seed: Option<i64>,
    stream: Option<bool>,
    stream_options: Option<Object<StreamOptions>>,
    user: Option<String>,
}

/// Its fields.
const KNOWN: [&str; 12] = [
    "model",
    "prompt",
    "suffix",
    "max_tokens",
    "temperature",
    "top_p",
    "stop",
    "seed",
    "random_seed",
    "stream",
    "stream_options",
    "user",
];

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a text, or a list of one")]
enum Prompt {
    One(String),
    /// OpenAI takes several; here it must be one.
    Several([String; 1]),
}

/// `POST /v1/fim/completions`.
pub(super) async fn fim(State(app): State<Arc<App>>, request: Request) -> Response {
    exchange::handle(app, request, Task::FillIn, Ok(Form::Chat), parse).await
}

/// `POST /v1/completions`.
pub(super) async fn completions(State(app): State<Arc<App>>, request: Request) -> Response {
    exchange::handle(app, request, Task::FillIn, Ok(Form::Text), parse).await
}

fn parse(bytes: &Bytes) -> Result<Asked, ApiError> {
    let read: Body = body::parse(bytes)?;
    let prompt = match read.prompt.ok_or(ApiError::Required("prompt"))? {
        Prompt::One(prompt) | Prompt::Several([prompt]) => prompt,
    };
    let model = request::model(read.model)?.unwrap_or_else(|| MODEL.to_owned());
    let chat = ChatRequest {
        max_tokens: read.max_tokens,
        temperature: read.temperature,
        top_p: read.top_p,
        stop: read.stop.map(Stop::texts).unwrap_or_default(),
        seed: read.seed.or(read.random_seed),
        extra: request::extra(bytes, &KNOWN)?,
        ..ChatRequest::about(Task::FillIn, Some(model), [prompt].into_iter().chain(read.suffix).collect())
    };
    Ok(Asked { chat, user: read.user, stream: Pieces::of(read.stream, read.stream_options) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_field_has_its_place_and_the_rest_is_kept() {
        let body = json!({
            "model": "m", "prompt": ["fn "], "suffix": "}", "max_tokens": 5, "temperature": 0.5, "top_p": 0.9, "stop": "END",
            "seed": 1, "random_seed": 2, "stream": true, "stream_options": { "include_usage": true }, "user": "u-1",
            "min_tokens": 3,
        });
        let Asked { chat, user, stream } = parse(&Bytes::from(body.to_string())).unwrap();
        assert_eq!((chat.max_tokens, chat.seed, user.as_deref()), (Some(5), Some(1), Some("u-1")));
        assert!(stream.is_some_and(|pieces| pieces.include_usage));
        assert_eq!(serde_json::to_value(&chat.extra).unwrap(), json!({ "min_tokens": 3 }));
    }
}
