//! The providers that were started, page by page and one by one.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::super::query::{self, Pagination};
use super::{named, unknown};
use crate::http::answer::json;
use crate::http::{ApiError, App};
use crate::router::{Deprecation, ProviderStatus};

/// Providers on a page when the caller names no number, and at most.
const PAGE: usize = 20;
const MOST: usize = 100;

#[derive(Default, Deserialize)]
struct Asked {
    #[serde(rename = "type")]
    kind: Option<String>,
    enabled: Option<String>,
    page: Option<String>,
    page_size: Option<String>,
}

#[derive(Serialize)]
struct Answer<'a> {
    providers: Vec<Provider<'a>>,
    pagination: Pagination,
}

#[derive(Serialize)]
pub(super) struct Provider<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    display_name: &'a str,
    enabled: bool,
    priority: i32,
    /// Percent: SDKs read whole numbers, and one half would become nothing.
    weight: u64,
    has_api_key: bool,
    pub(super) health: Health,
    endpoint: &'a str,
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<&'a str>,
    timeout_seconds: u64,
    settings: Settings,
}

#[derive(Serialize)]
pub(super) struct Health {
    status: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_checked: Option<Timestamp>,
    /// Models in use that the vendor will take away.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    deprecations: Vec<Deprecation>,
}

/// Providers have no further settings.
#[derive(Serialize)]
struct Settings {}

/// `GET /api/v1/llm-providers`.
pub(super) async fn list(State(app): State<Arc<App>>, headers: HeaderMap, uri: Uri) -> Result<Response, ApiError> {
    app.identity.presented(&headers)?;
    let asked: Asked = query::read(&uri, "expected `type`, `enabled`, `page` and `page_size`, each at most once")?;
    let page = query::number("page", asked.page.as_deref(), 1)?.unwrap_or(1);
    let page_size = query::number("page_size", asked.page_size.as_deref(), 1)?.unwrap_or(PAGE).min(MOST);
    let enabled = query::truth("enabled", asked.enabled.as_deref())?;
    let kind = query::given(asked.kind);
    // What is not enabled was not started.
    let fits = |status: &ProviderStatus<'_>| {
        enabled != Some(false) && kind.as_deref().is_none_or(|kind| kind == status.info.kind.as_str())
    };
    let fitting: Vec<_> = app.gateway.router().providers().filter(fits).collect();
    let pagination = Pagination::new(page, page_size, fitting.len());
    let providers = fitting.into_iter().skip((page - 1).saturating_mul(page_size)).take(page_size).map(shown).collect();
    Ok(json(StatusCode::OK, &Answer { providers, pagination }))
}

#[derive(Serialize)]
struct One<'a> {
    provider: Provider<'a>,
}

/// `GET /api/v1/llm-providers/{name}`.
pub(super) async fn one(
    State(app): State<Arc<App>>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    app.identity.presented(&headers)?;
    Ok(match named(&app, path) {
        Some(status) => json(StatusCode::OK, &One { provider: shown(status) }),
        None => unknown(),
    })
}

#[derive(Serialize)]
struct HealthOf<'a> {
    name: &'a str,
    health: Health,
}

/// `GET /api/v1/llm-providers/{name}/health`: what is known; nothing is asked for it.
pub(super) async fn health(
    State(app): State<Arc<App>>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    app.identity.presented(&headers)?;
    Ok(match named(&app, path) {
        Some(status) => {
            let shown = shown(status);
            json(StatusCode::OK, &HealthOf { name: shown.name, health: shown.health })
        }
        None => unknown(),
    })
}

pub(super) fn shown(status: ProviderStatus<'_>) -> Provider<'_> {
    let info = status.info;
    Provider {
        name: &info.name,
        kind: info.kind.as_str(),
        display_name: &info.display_name,
        enabled: true,
        priority: info.priority,
        weight: percent(status.weight),
        has_api_key: info.has_api_key,
        health: Health {
            status: status.health.state.as_str(),
            message: status.health.message,
            last_checked: status.health.last_checked,
            deprecations: status.deprecations,
        },
        endpoint: &info.endpoint,
        model: &info.model,
        region: info.region.as_deref(),
        timeout_seconds: info.timeout.as_secs(),
        settings: Settings {},
    }
}

/// A share as whole percent; one that takes traffic is never shown as 0.
pub(super) fn percent(weight: f64) -> u64 {
    let percent = (weight * 100.0).round() as u64;
    if weight > 0.0 { percent.max(1) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_whole_percent() {
        for (weight, expected) in [(1.0, 100), (0.7, 70), (0.333, 33), (0.0, 0), (0.001, 1)] {
            assert_eq!(percent(weight), expected);
        }
    }
}
