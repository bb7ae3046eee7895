//! How requests of applications end, on every surface: answered and counted.

use std::time::{Duration, Instant};

use axum::response::{IntoResponse, Response};

use super::stats::Ending;
use super::{ApiError, App, meter};

/// How a request of an application is answered, and how it is counted.
pub(super) struct Handled {
    pub(super) ending: Ending,
    pub(super) response: Response,
}

/// The answer of a handler, counted under `kind`.
pub(super) fn counted(
    app: &App,
    kind: &'static str,
    started: Instant,
    handled: Handled,
) -> (Response, Ending, Duration) {
    let Handled { ending, response } = handled;
    let elapsed = started.elapsed();
    app.stats.record(kind, ending, elapsed);
    meter::request(kind, ending, elapsed);
    (response, ending, elapsed)
}

impl From<Result<Handled, ApiError>> for Handled {
    fn from(handled: Result<Self, ApiError>) -> Self {
        handled.unwrap_or_else(|error| Self { ending: Ending::Error, response: error.into_response() })
    }
}
