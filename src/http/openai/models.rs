//! `GET /v1/models`: the models that requests may name.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::errors;
use crate::http::App;
use crate::http::answer::json;
use crate::router::Model;

/// `GET /v1/models`.
pub(super) async fn list(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    match app.identity.presented(&headers) {
        Ok(_) => {
            let models = app.gateway.router().models();
            let data: Vec<_> = models.into_iter().map(|(id, model)| card(&id, model)).collect();
            json(StatusCode::OK, &json!({ "object": "list", "data": data }))
        }
        Err(error) => errors::api(&error),
    }
}

/// `GET /v1/models/{id}`: any model that some provider would be asked for under this name.
pub(super) async fn one(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    path: Result<Path<String>, PathRejection>,
) -> Response {
    if let Err(error) = app.identity.presented(&headers) {
        return errors::api(&error);
    }
    // No name ends with a slash, though a provider of any models would be asked for one.
    let Some(Path(id)) = path.ok().filter(|Path(id)| !id.ends_with('/')) else { return errors::no_such_model() };
    if let Err(error) = crate::http::identity::checked("model", &id) {
        return errors::api(&error);
    }
    match app.gateway.router().model(&id) {
        Some(model) => json(StatusCode::OK, &card(&id, model)),
        None => errors::no_such_model(),
    }
}

/// What both families' clients read of a model. Mistral's read none without a type and capabilities, OpenAI's none without
/// the time at which it was made, which where its vendor does not say is nobody's knowledge.
fn card(id: &str, model: Model<'_>) -> Map<String, Value> {
    let mut card = model.told;
    card.entry("created").or_insert_with(|| json!(0));
    card.entry("capabilities").or_insert_with(|| json!({ "completion_chat": model.chats }));
    for (name, value) in [("id", id), ("object", "model"), ("owned_by", model.provider), ("type", "base")] {
        card.insert(name.to_owned(), value.into());
    }
    card
}
