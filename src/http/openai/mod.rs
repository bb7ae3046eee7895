//! The OpenAI surface, under `/v1`: one base URL for OpenAI's clients and Mistral's.
//!
//! Both dialects are served by the same routes, and none is guessed from headers: answers carry what either family reads,
//! and error bodies have both shapes at once. Fields of a request that are not known here are kept and passed on to
//! providers that speak OpenAI's dialect.

mod answer;
mod chat;
mod errors;
mod exchange;
mod fill_in;
mod message;
mod models;
mod request;
mod seal;
mod stream;
mod texts;

use std::sync::Arc;

use axum::Router;
use axum::routing::any;

use super::{ApiError, App};

/// The routes of this surface.
pub(super) fn routes() -> Router<Arc<App>> {
    let wrong_method = any(async || errors::api(&ApiError::MethodNotAllowed));
    Router::new()
        .route("/v1/chat/completions", wrong_method.clone().post(chat::handle))
        .route("/v1/fim/completions", wrong_method.clone().post(fill_in::fim))
        .route("/v1/completions", wrong_method.clone().post(fill_in::completions))
        .route("/v1/embeddings", wrong_method.clone().post(texts::embeddings))
        .route("/v1/moderations", wrong_method.clone().post(texts::moderations))
        .route("/v1/chat/moderations", wrong_method.clone().post(texts::chat_moderations))
        .route("/v1/models", wrong_method.clone().get(models::list))
        .route("/v1/models/{*id}", wrong_method.get(models::one))
        .route("/v1/{*path}", any(async || errors::api(&ApiError::NotFound)))
}
