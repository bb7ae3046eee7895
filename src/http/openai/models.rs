//! `GET /v1/models`: the models that requests go to when they name none, one for each provider.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Serialize;

use super::errors;
use crate::http::App;
use crate::http::answer::json;
use crate::router::{Constraints, Preference};

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<Model<'a>>,
}

#[derive(Serialize)]
struct Model<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    owned_by: &'a str,
    /// Mistral's clients read no card without a type and capabilities.
    #[serde(rename = "type")]
    kind: &'static str,
    capabilities: Capabilities,
}

#[derive(Serialize)]
struct Capabilities {
    completion_chat: bool,
}

impl<'a> Model<'a> {
    /// When a model was made is nobody's knowledge here.
    fn new(id: &'a str, owned_by: &'a str) -> Self {
        Self {
            id,
            object: "model",
            created: 0,
            owned_by,
            kind: "base",
            capabilities: Capabilities { completion_chat: true },
        }
    }
}

/// `GET /v1/models`.
pub(super) async fn list(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    match app.identity.presented(&headers) {
        Ok(_) => {
            let mut owners = BTreeMap::new();
            for provider in app.gateway.router().providers() {
                owners.entry(provider.info.model.as_str()).or_insert(provider.info.name.as_str());
            }
            let data = owners.into_iter().map(|(id, owner)| Model::new(id, owner)).collect();
            json(StatusCode::OK, &List { object: "list", data })
        }
        Err(error) => errors::api(&error),
    }
}

/// `GET /v1/models/{id}`: any model that some provider would be asked for under this name.
pub(super) async fn one(State(app): State<Arc<App>>, headers: HeaderMap, Path(id): Path<String>) -> Response {
    if let Err(error) = app.identity.presented(&headers) {
        return errors::api(&error);
    }
    if let Err(error) = crate::http::identity::checked("model", &id) {
        return errors::api(&error);
    }
    match owner(&app, &id) {
        Some(owner) => json(StatusCode::OK, &Model::new(&id, owner)),
        None => errors::no_such_model(),
    }
}

/// Whether some provider would be asked for a model of this name.
pub(super) fn is_served(app: &App, model: &str) -> bool {
    owner(app, model).is_some()
}

/// The first provider that would be.
fn owner<'a>(app: &'a App, model: &'a str) -> Option<&'a str> {
    app.gateway.router().names(Some(model), &Constraints::new(Preference::Any)).ok()?.first().copied()
}
