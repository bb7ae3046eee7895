//! Where errors become bodies on AxonFlow's surface; those of `/v1` and of the admin API have their own.
//!
//! There are two families, as AxonFlow's clients know them: `{"success":false,"error":TEXT,"code":CODE}` on the core
//! routes, and `{"error":{"code","message","details"}}` on those that list resources. A refusal by a policy is no error
//! and is not here. Texts never repeat what the caller sent, nor paths of the machine.

use std::borrow::Cow;
use std::time::Duration;

use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::answer::json;
use crate::audit::AuditError;
use crate::gateway::GatewayError;
use crate::in_flight::Full;
use crate::router::RouteError;

/// Why a request is not answered as it was meant to be.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The body is not the JSON that the route takes; with the reason and the place.
    #[error("Invalid request body: {}{problem}", field.as_deref().map(|field| format!("{field}: ")).unwrap_or_default())]
    Body {
        /// The field at fault, where one is.
        field: Option<String>,
        /// What is wrong.
        problem: Cow<'static, str>,
    },
    /// The body is compressed.
    #[error("Content-Encoding: compressed bodies are not read; send the body as it is, or `identity`")]
    Encoded,
    /// A field that must be there is not.
    #[error("{0} field is required")]
    Required(&'static str),
    /// A field, header or parameter has a value that it cannot have.
    #[error("{field}: {problem}")]
    Field {
        /// Which.
        field: Cow<'static, str>,
        /// What is allowed.
        problem: Cow<'static, str>,
    },
    /// The same, on routes that list resources.
    #[error("{field}: {problem}")]
    Parameter {
        /// Which.
        field: &'static str,
        /// What is allowed.
        problem: &'static str,
    },
    /// No credentials where some are needed.
    #[error("Authentication required: send `Authorization: Basic base64(client_id:secret)` or `Bearer secret`")]
    NoCredentials,
    /// Credentials of nobody.
    #[error("Authentication failed: unknown client or wrong secret")]
    WrongCredentials,
    /// The client's entry says `enabled: false`.
    #[error("Client disabled")]
    ClientDisabled,
    /// A header, the body or the path names another client or tenant than the credentials.
    #[error("Tenant mismatch")]
    TenantMismatch,
    /// A web page of another origin asks.
    #[error("requests from web pages of another origin are not answered{remedy}")]
    ForeignOrigin {
        /// What helps, behind a semicolon, if anything does.
        remedy: &'static str,
    },
    /// The `Host` header is not a name of this gateway.
    #[error(
        "the Host header is no name of this gateway: use an IP address or localhost as the host (a proxy in front can \
         set the header), or {remedy}"
    )]
    ForeignHost {
        /// What else helps.
        remedy: &'static str,
    },
    /// Something is to wait for a person's approval.
    #[error("there is no approval queue here: what a policy wants approved stays refused")]
    NoApprovals,
    /// There is no such route.
    #[error("no such route{hint}")]
    NotFound {
        /// What helps, behind a semicolon, if anything does.
        hint: &'static str,
    },
    /// The route does not know the method.
    #[error("the route exists, but not for this method; see the Allow header")]
    MethodNotAllowed,
    /// The body is longer than allowed.
    #[error("the request body is longer than the {limit} bytes that server.body_limit allows")]
    TooLarge {
        /// What is allowed.
        limit: usize,
    },
    /// There is no room for the body now.
    #[error("{0}")]
    Full(#[from] Full),
    /// The body did not come in time.
    #[error("the request body did not arrive in time")]
    Slow,
    /// The body's transfer broke.
    #[error("Invalid request body: its transfer broke off")]
    Broken,
    /// The gateway gives no answer.
    #[error("{}", told(.0))]
    Gateway(#[from] GatewayError),
}

impl From<AuditError> for ApiError {
    fn from(error: AuditError) -> Self {
        match error {
            AuditError::Query { field, reason } => Self::Field { field: field.into(), problem: reason.into() },
            error => Self::Gateway(error.into()),
        }
    }
}

/// An error of the gateway in words for callers: an audit error's own text may name files.
fn told(error: &GatewayError) -> String {
    match error {
        GatewayError::Audit(AuditError::Off) => {
            "nothing is recorded here (audit.url is `none`), so nothing can be searched (audit_off)".to_owned()
        }
        GatewayError::Audit(error) => {
            format!("the audit log cannot serve this request ({}); without it no request passes", error.code())
        }
        other => other.to_string(),
    }
}

impl ApiError {
    /// A body that is wrong as a whole.
    pub fn body(problem: impl Into<Cow<'static, str>>) -> Self {
        Self::Body { field: None, problem: problem.into() }
    }

    /// A field with a wrong value.
    pub fn field(field: impl Into<Cow<'static, str>>, problem: impl Into<Cow<'static, str>>) -> Self {
        Self::Field { field: field.into(), problem: problem.into() }
    }

    /// Stable: the `code` in bodies and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Body { .. } => "invalid_body",
            Self::Encoded => "body_encoded",
            Self::Required(_) => "field_required",
            Self::Field { .. } | Self::Parameter { .. } => "invalid_field",
            Self::NoCredentials => "authentication_required",
            Self::WrongCredentials => "authentication_failed",
            Self::ClientDisabled => "client_disabled",
            Self::TenantMismatch => "tenant_mismatch",
            Self::ForeignOrigin { .. } => "foreign_origin",
            Self::ForeignHost { .. } => "foreign_host",
            Self::NoApprovals => "no_approval_queue",
            Self::NotFound { .. } => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::TooLarge { .. } => "body_too_large",
            Self::Full(_) => "no_room",
            Self::Slow => "body_timeout",
            Self::Broken => "body_broken",
            Self::Gateway(error) => error.code(),
        }
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Body { .. } | Self::Required(_) | Self::Field { .. } | Self::Parameter { .. } | Self::Broken => {
                StatusCode::BAD_REQUEST
            }
            Self::Encoded => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::NoCredentials | Self::WrongCredentials => StatusCode::UNAUTHORIZED,
            Self::ClientDisabled
            | Self::TenantMismatch
            | Self::ForeignOrigin { .. }
            | Self::ForeignHost { .. }
            | Self::NoApprovals => StatusCode::FORBIDDEN,
            Self::NotFound { .. } => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Full(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Gateway(error) => match error {
                GatewayError::Overloaded
                | GatewayError::TooManyStreams(_)
                | GatewayError::Audit(_)
                | GatewayError::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
                GatewayError::InvalidContext => StatusCode::BAD_REQUEST,
                GatewayError::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            },
        }
    }
}

/// The body on core routes.
#[derive(Serialize)]
struct Core<'a> {
    success: bool,
    error: &'a str,
    code: &'static str,
    /// Python's SDK shows this of a 403, and says "blocked by policy" where it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
}

/// The body on routes that list resources.
#[derive(Serialize)]
struct Listing<'a> {
    error: ListingError<'a>,
    /// As in [`Core`].
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
}

#[derive(Serialize)]
struct ListingError<'a> {
    code: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<[Detail<'a>; 1]>,
}

/// The field at fault.
#[derive(Serialize)]
pub(super) struct Detail<'a> {
    pub(super) field: &'a str,
    pub(super) message: &'a str,
}

/// An error on a route that lists resources.
pub(super) fn listing(status: StatusCode, message: &str, detail: Option<Detail<'_>>) -> Response {
    let code = match status {
        StatusCode::BAD_REQUEST => "VALIDATION_ERROR",
        StatusCode::FORBIDDEN => "FORBIDDEN",
        StatusCode::NOT_FOUND => "NOT_FOUND",
        StatusCode::METHOD_NOT_ALLOWED => "METHOD_NOT_ALLOWED",
        StatusCode::CONFLICT => "CONFLICT",
        StatusCode::SERVICE_UNAVAILABLE => "SERVICE_UNAVAILABLE",
        _ => "INTERNAL_ERROR",
    };
    let error = ListingError { code, message, details: detail.map(|detail| [detail]) };
    json(status, &Listing { error, message: (status == StatusCode::FORBIDDEN).then_some(message) })
}

/// The same of an error of the request itself. What is said of callers and of the gateway has one form everywhere.
pub(super) fn on_listing(error: ApiError) -> Response {
    let status = error.status();
    if status != StatusCode::BAD_REQUEST {
        return error.into_response();
    }
    metrics::counter!("octroi_http_errors_total", "code" => error.code()).increment(1);
    let text = error.to_string();
    let detail = match &error {
        ApiError::Field { field, problem } => Some(Detail { field, message: problem }),
        ApiError::Parameter { field, problem } => Some(Detail { field, message: problem }),
        ApiError::Body { field: Some(field), problem } => Some(Detail { field, message: problem }),
        ApiError::Required(field) => Some(Detail { field, message: "is required" }),
        _ => None,
    };
    listing(status, &text, detail)
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status();
        metrics::counter!("octroi_http_errors_total", "code" => self.code()).increment(1);
        let text = self.to_string();
        let response = match self {
            Self::Parameter { field, problem } => listing(status, &text, Some(Detail { field, message: problem })),
            _ => {
                let message = (status == StatusCode::FORBIDDEN).then_some(text.as_str());
                json(status, &Core { success: false, error: &text, code: self.code(), message })
            }
        };
        with_hints(response, "Basic realm=\"octroi\"")
    }
}

/// An error that says what to do where its status has a header for that: when to come again, or by which `challenge` to
/// prove who asks.
pub(super) fn with_hints(mut response: Response, challenge: &'static str) -> Response {
    match response.status() {
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
            retry_after(&mut response, Duration::from_secs(1));
        }
        StatusCode::UNAUTHORIZED => {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        _ => {}
    }
    response
}

/// When to come again where a provider that is over its limit did not say.
const UNSAID: Duration = Duration::from_secs(1);

/// When to come again after a failure, where that is known. After a 429 in any case: clients that are told nothing come
/// back at once.
pub(super) fn wait(error: &RouteError) -> Option<Duration> {
    let unsaid = (error.surface_as().status == StatusCode::TOO_MANY_REQUESTS.as_u16()).then_some(UNSAID);
    error.retry_after().or(unsaid)
}

/// Says when to come again.
pub(super) fn retry_after(response: &mut Response, wait: Duration) {
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds(wait)));
}

/// Whole seconds, rounded up, one at least.
pub(super) fn seconds(wait: Duration) -> u64 {
    wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1)
}
