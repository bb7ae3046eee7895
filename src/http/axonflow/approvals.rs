//! `/api/v1/hitl`: the queue of requests that wait for a person, in some of AxonFlow's editions. There is none here, and
//! the answer is its community edition's: what a policy wants approved stays refused. Clients take a 403 for a refusal, and
//! a 404 for a gateway that has failed: after a few AxonFlow's plug-in for LiteLLM asks no policy for a while.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::request::Parts;
use axum::response::Response;
use axum::routing::any;

use crate::http::{ApiError, App};

/// The routes.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/api/v1/hitl/{*path}", any(refused))
}

async fn refused(State(app): State<Arc<App>>, head: Parts) -> Result<Response, ApiError> {
    app.presented(&head)?;
    Err(ApiError::NoApprovals)
}
