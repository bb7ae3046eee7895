//! `GET /metrics` (JSON, or Prometheus text for who asks for it) and `GET /prometheus`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use jiff::Timestamp;
use serde::Serialize;

use super::stats::Summary;
use super::{ApiError, App, answer};

/// Prometheus's text format.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

#[derive(Serialize)]
struct Metrics {
    agent_metrics: AgentMetrics,
    health: Health,
    request_types: BTreeMap<&'static str, Summary>,
    connectors: BTreeMap<String, ()>,
    timestamp: Timestamp,
}

#[derive(Serialize)]
struct AgentMetrics {
    uptime_seconds: f64,
    #[serde(flatten)]
    requests: Summary,
    /// 0 to 100; 100 while nothing was asked.
    success_rate: f64,
    rps: f64,
    error_rate_per_sec: f64,
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
    healthy: bool,
    consecutive_errors: u64,
    up: bool,
}

/// `GET /metrics`.
pub(super) async fn handle(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, ApiError> {
    app.identity.presented(&headers)?;
    Ok(if wants_text(&headers) { text(&app) } else { json(&app) })
}

/// `GET /prometheus`.
pub(super) async fn prometheus(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, ApiError> {
    app.identity.presented(&headers)?;
    Ok(text(&app))
}

/// Whether `Accept` asks for text and not for JSON: some clients ask for both and mean JSON.
fn wants_text(headers: &HeaderMap) -> bool {
    let names = |wanted: &[&str]| {
        headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).any(
            |part| {
                let media_type = part.split(';').next().unwrap_or_default().trim();
                wanted.iter().any(|it| media_type.eq_ignore_ascii_case(it))
            },
        )
    };
    names(&["text/plain", "application/openmetrics-text"]) && !names(&["application/json"])
}

fn text(app: &App) -> Response {
    ::metrics::gauge!("octroi_bytes_in_flight").set(app.in_flight.held() as f64);
    app.gateway.router().meter_breakers();
    answer::text(PROMETHEUS, app.prometheus.render())
}

fn json(app: &App) -> Response {
    let uptime = app.started.elapsed().as_secs_f64();
    let (requests, request_types) = app.stats.summaries();
    let per_second = |count: u64| if uptime > 0.0 { count as f64 / uptime } else { 0.0 };
    let success_rate = match requests.total_requests {
        0 => 100.0,
        total => requests.success_requests as f64 * 100.0 / total as f64,
    };
    let metrics = Metrics {
        agent_metrics: AgentMetrics {
            uptime_seconds: uptime,
            success_rate,
            rps: per_second(requests.total_requests),
            error_rate_per_sec: per_second(requests.failed_requests),
            requests,
        },
        health: Health { status: "healthy", healthy: true, consecutive_errors: app.stats.errors_in_a_row(), up: true },
        request_types,
        connectors: BTreeMap::new(),
        timestamp: Timestamp::now(),
    };
    answer::json(StatusCode::OK, &metrics)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_for_those_who_ask_for_it_and_for_nothing_else() {
        for (accept, text) in [
            (None, false),
            (Some("*/*"), false),
            (Some("application/json"), false),
            (Some("application/json, text/plain, */*"), false),
            (Some("text/html,application/xhtml+xml,*/*;q=0.8"), false),
            (Some("text/plain"), true),
            (Some("Text/Plain;version=0.0.4"), true),
            (Some("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.1"), true),
        ] {
            let headers = accept.map(|it| (ACCEPT, it.parse().unwrap())).into_iter().collect();
            assert_eq!(wants_text(&headers), text, "{accept:?}");
        }
    }
}
