//! `/api/v1/decisions`: what was decided about the caller's tenant's requests, and why.
//!
//! Decisions are entries of the audit's search, in other words. What is told of one are names: of policies, of their
//! rules, of places in the text; never the text. There are no overrides.

mod decided;
mod explain;
mod list;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;

use crate::http::App;

/// The routes.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/decisions", get(list::handle))
        .route("/api/v1/decisions/{id}/explain", get(explain::handle))
}
