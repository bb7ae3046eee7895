//! How traffic is shared, and sharing it anew.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::{Deserialize, Serialize};

use super::list::percent;
use crate::config::Role;
use crate::http::answer::json;
use crate::http::errors::{Detail, listing, on_listing};
use crate::http::{ApiError, App, body};

#[derive(Serialize)]
struct Routing<'a> {
    strategy: &'static str,
    /// Whole percent, as SDKs read them.
    weights: BTreeMap<&'a str, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    default_provider: Option<&'a str>,
}

#[derive(Deserialize)]
struct Change {
    weights: Option<BTreeMap<String, f64>>,
}

fn shown(app: &App) -> Response {
    let router = app.gateway.router();
    let weights = router.providers().map(|status| (status.info.name.as_str(), percent(status.weight))).collect();
    let strategy = router.strategy().as_str();
    json(StatusCode::OK, &Routing { strategy, weights, default_provider: router.default_provider() })
}

/// `GET /api/v1/llm-providers/routing`.
pub(super) async fn read(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, ApiError> {
    app.identity.presented(&headers)?;
    Ok(shown(&app))
}

/// `PUT /api/v1/llm-providers/routing`: shares for all providers, until the next start. One that is left out gets nothing.
pub(super) async fn change(State(app): State<Arc<App>>, request: Request) -> Response {
    changed(&app, request).await.unwrap_or_else(on_listing)
}

async fn changed(app: &App, request: Request) -> Result<Response, ApiError> {
    let (head, content) = request.into_parts();
    let presented = app.presented(&head)?;
    if app.role(&head, &presented) != Role::Admin {
        let message = "sharing the traffic anew is for clients of role admin (auth.clients[].role)";
        return Ok(listing(StatusCode::FORBIDDEN, message, None));
    }
    let Change { weights } = body::parse(&body::read(&head, content, app.body_limit).await?)?;
    let weights = weights.ok_or(ApiError::Required("weights"))?;
    let shares = match app.gateway.router().shares(&weights) {
        Ok(shares) => shares,
        Err(error) => {
            let message = error.to_string();
            let detail = Detail { field: "weights", message: &message };
            return Ok(listing(StatusCode::BAD_REQUEST, &message, Some(detail)));
        }
    };
    app.gateway.share(presented.caller(None, None)?, shares).await?;
    Ok(shown(app))
}
