//! Asking a provider now whether it is there and knows the key.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use serde::Serialize;

use super::list::{Health, shown};
use super::{named, unknown};
use crate::config::Role;
use crate::http::answer::json;
use crate::http::errors::{listing, retry_after};
use crate::http::{ApiError, App};

#[derive(Serialize)]
struct Tested<'a> {
    name: &'a str,
    success: bool,
    latency_ms: u64,
    health: Health,
}

/// `POST /api/v1/llm-providers/{name}/test`: the active probe, out of turn. Nothing of the request goes to the provider.
pub(super) async fn handle(
    State(app): State<Arc<App>>,
    path: Result<Path<String>, PathRejection>,
    head: Parts,
) -> Result<Response, ApiError> {
    if app.role(&head, &app.presented(&head)?) != Role::Admin {
        let message = "testing a provider is for clients of role admin (auth.clients[].role)";
        return Ok(listing(StatusCode::FORBIDDEN, message, None));
    }
    let Some(name) = named(&app, path).map(|status| status.info.name.as_str()) else { return Ok(unknown()) };
    let Some((success, took)) = app.gateway.router().probe(name).await else {
        let mut busy = listing(StatusCode::SERVICE_UNAVAILABLE, "the provider is being tested already", None);
        retry_after(&mut busy, Duration::from_secs(1));
        return Ok(busy);
    };
    let Some(status) = app.gateway.router().providers().find(|status| status.info.name == name) else {
        return Ok(unknown());
    };
    let latency_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    Ok(json(StatusCode::OK, &Tested { name, success, latency_ms, health: shown(status).health }))
}
