//! The OpenAI surface, under `/v1`: one base URL for OpenAI's clients and Mistral's.
//!
//! Both dialects are served by the same routes, and none is guessed: answers carry what either family reads, and error
//! bodies have both shapes at once. Reasoning cannot stand in both places: it stands where OpenAI's clients look, unless a
//! header asks for the other. Fields of a request that are not known here are kept and passed on to providers that speak
//! OpenAI's dialect.

mod answer;
mod chat;
mod errors;
mod exchange;
mod fill_in;
mod message;
mod models;
mod pinned;
mod reasoning;
mod request;
mod seal;
mod stream;
mod texts;
mod tokens;

use std::sync::Arc;

use axum::Router;
use axum::response::Response;
use axum::routing::{get, post};

use super::{ApiError, App};

/// The routes of this surface.
pub(super) fn routes() -> Router<Arc<App>> {
    let wrong_method = async || errors::api(&ApiError::MethodNotAllowed);
    Router::new()
        .route("/v1/chat/completions", post(chat::handle).fallback(wrong_method))
        .route("/v1/fim/completions", post(fill_in::fim).fallback(wrong_method))
        .route("/v1/completions", post(fill_in::completions).fallback(wrong_method))
        .route("/v1/embeddings", post(texts::embeddings).fallback(wrong_method))
        .route("/v1/moderations", post(texts::moderations).fallback(wrong_method))
        .route("/v1/chat/moderations", post(texts::chat_moderations).fallback(wrong_method))
        .route("/v1/models", get(models::list).fallback(wrong_method))
        .route("/v1/models/{*id}", get(models::one).fallback(wrong_method))
}

/// Whether a path is of this surface.
pub(super) fn is_at(path: &str) -> bool {
    path == "/v1" || path.starts_with("/v1/")
}

/// The answer to a request that gets no further.
pub(super) fn refused(error: ApiError) -> Response {
    errors::api(&error)
}
