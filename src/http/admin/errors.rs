//! The admin API's errors, in their one shape.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::http::answer::json;
use crate::http::errors::{ApiError, with_hints};

/// Why a request of the admin API is not answered as it was meant to be.
#[derive(Debug, thiserror::Error)]
pub(super) enum AdminError {
    /// What every surface refuses: foreign pages and hosts, bodies that cannot be read.
    #[error(transparent)]
    Http(#[from] ApiError),
    /// No credentials.
    #[error("the admin API wants its token: send `Authorization: Bearer TOKEN`")]
    NoToken,
    /// Another token, or another scheme.
    #[error("this is not the token whose SHA-256 is admin.token_sha256")]
    WrongToken,
    /// There is no such route.
    #[error("no such route")]
    NotFound,
    /// The route does not know the method.
    #[error("the route exists, but not for this method; see the Allow header")]
    MethodNotAllowed,
    /// No manifest has the name in the path.
    #[error("no policy has this name")]
    UnknownPolicy,
    /// There is a manifest, but no version that could be asked.
    #[error("no version of this policy is in force: it is {0}")]
    NotInForce(&'static str),
    /// The policy is not asked in the phase that was named.
    #[error("phase: the policy answers {answers}")]
    OtherPhase {
        /// Those in which it is.
        answers: String,
    },
    /// All places are taken.
    #[error("too many {what} at once; try again later")]
    Busy {
        /// Of what.
        what: &'static str,
    },
    /// The policies directory.
    #[error("the policies directory cannot be read; the policies in force stay: {0}")]
    Directory(std::io::Error),
    /// A fault of the gateway.
    #[error("internal error; the gateway's log has more")]
    Internal,
}

impl AdminError {
    fn code(&self) -> &'static str {
        match self {
            Self::Http(error) => error.code(),
            Self::NoToken => "authentication_required",
            Self::WrongToken => "authentication_failed",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::UnknownPolicy => "unknown_policy",
            Self::NotInForce(_) => "policy_not_in_force",
            Self::OtherPhase { .. } => "invalid_field",
            Self::Busy { .. } => "overloaded",
            Self::Directory(_) => "policies_unreadable",
            Self::Internal => "internal",
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Http(error) => error.status(),
            Self::NoToken | Self::WrongToken => StatusCode::UNAUTHORIZED,
            Self::NotFound | Self::UnknownPolicy => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotInForce(_) => StatusCode::CONFLICT,
            Self::OtherPhase { .. } => StatusCode::BAD_REQUEST,
            Self::Busy { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Directory(_) | Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

#[derive(Serialize)]
struct Body<'a> {
    error: Error<'a>,
}

#[derive(Serialize)]
struct Error<'a> {
    code: &'static str,
    message: &'a str,
}

impl IntoResponse for AdminError {
    fn into_response(self) -> Response {
        let status = self.status();
        metrics::counter!("octroi_admin_errors_total", "code" => self.code()).increment(1);
        let body = Body { error: Error { code: self.code(), message: &self.to_string() } };
        with_hints(json(status, &body), "Bearer realm=\"octroi\"")
    }
}

#[cfg(test)]
mod tests {
    use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};

    use super::*;
    use crate::in_flight::Full;

    #[test]
    fn errors_say_when_to_come_again_and_how_to_prove_who_asks() {
        for (error, header, expected) in [
            (AdminError::Busy { what: "reloads" }, RETRY_AFTER, "1"),
            (AdminError::Http(Full::All.into()), RETRY_AFTER, "1"),
            (AdminError::NoToken, WWW_AUTHENTICATE, "Bearer realm=\"octroi\""),
        ] {
            let told = error.to_string();
            assert_eq!(error.into_response().headers()[header], expected, "{told}");
        }
    }
}
