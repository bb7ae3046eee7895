//! Errors of these routes, in the form of routes that list resources.

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::gateway::static_policies::StaticPolicyError;
use crate::http::ApiError;
use crate::http::errors::{Detail, listing, on_listing, retry_after};

/// Why there is no answer.
pub(super) enum Failure {
    /// As on every route.
    Api(ApiError),
    /// Of static policies.
    Policy(StaticPolicyError),
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

impl From<StaticPolicyError> for Failure {
    fn from(error: StaticPolicyError) -> Self {
        Self::Policy(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Self::Api(error) => on_listing(error),
            Self::Policy(error) => {
                metrics::counter!("octroi_http_errors_total", "code" => error.code()).increment(1);
                answered(&error)
            }
        }
    }
}

fn answered(error: &StaticPolicyError) -> Response {
    let text = error.to_string();
    let (status, detail) = match error {
        StaticPolicyError::Field(of) => {
            (StatusCode::BAD_REQUEST, Some(Detail { field: of.field, message: &of.problem }))
        }
        StaticPolicyError::Refused(problem) => {
            let message = problem.strip_prefix("pattern: ").unwrap_or(problem);
            (StatusCode::BAD_REQUEST, Some(Detail { field: "pattern", message }))
        }
        StaticPolicyError::NotFound => (StatusCode::NOT_FOUND, None),
        StaticPolicyError::System
        | StaticPolicyError::Organization
        | StaticPolicyError::Foreign
        | StaticPolicyError::Full(_) => (StatusCode::FORBIDDEN, None),
        StaticPolicyError::Conflict(_) => (StatusCode::CONFLICT, None),
        StaticPolicyError::Busy
        | StaticPolicyError::Overloaded
        | StaticPolicyError::Unavailable(_)
        | StaticPolicyError::ShuttingDown => (StatusCode::SERVICE_UNAVAILABLE, None),
        StaticPolicyError::Internal => (StatusCode::INTERNAL_SERVER_ERROR, None),
    };
    let mut response = listing(status, &text, detail);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        let wait = if *error == StaticPolicyError::Busy { 5 } else { 1 };
        retry_after(&mut response, Duration::from_secs(wait));
    }
    response
}
