//! How the providers are, and what they were asked so far.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use jiff::Timestamp;
use serde::Serialize;

use super::list::percent;
use crate::http::answer::json;
use crate::http::{ApiError, App};
use crate::router::{ProviderStatus, State as Health};

#[derive(Serialize)]
struct Status<'a> {
    name: &'a str,
    healthy: bool,
    status: &'static str,
    /// What is wrong; empty when nothing is.
    message: String,
    weight: u64,
    /// Calls since the start, retries included.
    request_count: u64,
    error_count: u64,
    /// Of a stream the time to its first event.
    avg_latency_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_checked: Option<Timestamp>,
}

impl<'a> From<ProviderStatus<'a>> for Status<'a> {
    fn from(status: ProviderStatus<'a>) -> Self {
        Self {
            name: &status.info.name,
            // Nothing has been heard that speaks against it.
            healthy: status.health.state != Health::Unhealthy,
            status: status.health.state.as_str(),
            message: status.health.message,
            weight: percent(status.weight),
            request_count: status.counts.requests,
            error_count: status.counts.errors,
            avg_latency_ms: (status.counts.average().as_secs_f64() * 1_000_000.0).round() / 1_000.0,
            last_used: status.counts.last_used,
            last_checked: status.health.last_checked,
        }
    }
}

#[derive(Serialize)]
struct All<'a> {
    providers: Vec<Status<'a>>,
    total: usize,
    healthy: usize,
}

/// `GET /api/v1/llm-providers/status`.
pub(super) async fn all(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, ApiError> {
    app.identity.presented(&headers)?;
    let providers: Vec<Status<'_>> = app.gateway.router().providers().map(Status::from).collect();
    let (total, healthy) = (providers.len(), providers.iter().filter(|status| status.healthy).count());
    Ok(json(StatusCode::OK, &All { providers, total, healthy }))
}

/// `GET /api/v1/providers/status`, AxonFlow's older form: a map by name.
pub(super) async fn by_name(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, ApiError> {
    app.identity.presented(&headers)?;
    let providers: BTreeMap<&str, Status<'_>> =
        app.gateway.router().providers().map(|status| (status.info.name.as_str(), status.into())).collect();
    Ok(json(StatusCode::OK, &providers))
}
