//! The way in and out of every request: guarded, counted among what is in flight, and answered even if a handler panics.
//!
//! It stands around the routes as a whole. A layer would stand around each of them, and be copied for each request.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::Router;
use axum::http::Request;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;
use tower::Service as _;

use super::guard::OfPage;
use super::serve::Drained;
use super::{ApiError, App, cors, openai};
use crate::gateway::GatewayError;

/// The applications' surfaces, for the server.
#[derive(Clone)]
pub(super) struct Entry {
    app: Arc<App>,
    routes: Router,
}

impl Entry {
    /// To these routes.
    pub(super) fn new(app: Arc<App>, routes: Router) -> Self {
        Self { app, routes }
    }

    /// What comes of a request.
    pub(super) async fn handle(self, request: Request<Drained>) -> Result<Response, Infallible> {
        let refused = if openai::is_at(request.uri().path()) { openai::refused } else { ApiError::into_response };
        Ok(answered(self.admitted(request), refused).await)
    }

    async fn admitted(mut self, request: Request<Drained>) -> Result<Response, ApiError> {
        let (mut parts, body) = request.into_parts();
        let listed = self.app.guard.check(&parts)?.cloned();
        if let Some((origin, response)) = listed.as_ref().zip(cors::preflight(&parts)) {
            return Ok(cors::readable(response, origin.clone()));
        }
        if listed.is_some() {
            parts.extensions.insert(OfPage);
        }
        // Until the request is answered, and for a stream until its end.
        let held = self.app.in_flight.hold();
        parts.extensions.insert(held.clone());
        let Ok(response) = self.routes.call(Request::from_parts(parts, body)).await;
        Ok(match listed {
            Some(origin) => cors::readable(response, origin),
            None => response,
        })
    }
}

/// The answer, or the error in the form that its surface has.
async fn answered(
    answer: impl Future<Output = Result<Response, ApiError>>,
    refused: fn(ApiError) -> Response,
) -> Response {
    match AssertUnwindSafe(answer).catch_unwind().await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => refused(error),
        // The panic itself is in the log.
        Err(_) => refused(ApiError::Gateway(GatewayError::Internal)),
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use serde_json::Value;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_error_in_the_form_of_its_surface() {
        for (is_openai, code) in [(false, "/code"), (true, "/error/code")] {
            let refused = if is_openai { openai::refused } else { ApiError::into_response };
            let response = answered(async { panic!("a handler's") }, refused).await;
            assert_eq!(response.status(), 500);
            let body = response.into_body().collect().await.unwrap().to_bytes();
            let body: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(body.pointer(code).unwrap(), "internal", "{body}");
        }
    }
}
