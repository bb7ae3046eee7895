//! `/api/v1/llm-providers` and what belongs to it: the providers that were started, how they are, how traffic is shared.
//!
//! Nothing here makes or changes a provider: an endpoint set by a caller would be sent the operator's key. Shares are
//! changed, and providers tested, by the role `admin` alone.

mod list;
mod routing;
mod status;
mod test;

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header::ALLOW;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use serde::Serialize;

use crate::http::answer::json;
use crate::http::errors::listing;
use crate::http::{ApiError, App};
use crate::provider::Kind;
use crate::router::ProviderStatus;

/// The routes. `routing` and `status` stand beside names.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/llm-providers", get(list::list).fallback(configured))
        .route("/api/v1/llm-providers/status", get(status::all))
        .route("/api/v1/llm-providers/routing", get(routing::read).put(routing::change))
        .route("/api/v1/llm-providers/{name}", get(list::one).fallback(configured))
        .route("/api/v1/llm-providers/{name}/health", get(list::health))
        .route("/api/v1/llm-providers/{name}/test", post(test::handle))
        .route("/api/v1/llm-provider-types", get(types))
        .route("/api/v1/providers/status", get(status::by_name))
        .route("/api/v1/providers/weights", get(routing::read).put(routing::change))
}

/// A provider is nothing that callers make.
async fn configured() -> Response {
    let message =
        "providers stand in the gateway's configuration (llm_providers); they are not made or changed over HTTP";
    let mut response = listing(StatusCode::METHOD_NOT_ALLOWED, message, None);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

/// The provider that the path names.
fn named(app: &App, path: Result<Path<String>, PathRejection>) -> Option<ProviderStatus<'_>> {
    let Path(name) = path.ok()?;
    app.gateway.router().providers().find(|status| status.info.name.eq_ignore_ascii_case(&name))
}

fn unknown() -> Response {
    listing(StatusCode::NOT_FOUND, "no provider of this name was started", None)
}

#[derive(Serialize)]
struct Types {
    provider_types: Vec<Type>,
    count: usize,
}

#[derive(Serialize)]
struct Type {
    r#type: &'static str,
    /// AxonFlow sells some; here all are there for everybody.
    community: bool,
    required_tier: &'static str,
}

/// `GET /api/v1/llm-provider-types`.
async fn types(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, ApiError> {
    app.identity.presented(&headers)?;
    let types = Kind::ALL.iter().map(|kind| Type { r#type: kind.as_str(), community: true, required_tier: "" });
    let provider_types: Vec<_> = types.collect();
    let count = provider_types.len();
    Ok(json(StatusCode::OK, &Types { provider_types, count }))
}
