//! Whose of a tenant's records a read shows. AxonFlow's SDKs say with `X-User-Token` that a read is made for one person
//! (`as_user`), and read in `X-Axonflow-Read-Scope` whether the answer is that person's alone. The person is nobody's
//! proof, as in bodies: who may read the tenant may leave the header out.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;

use crate::http::ApiError;
use crate::http::identity::user;

const USER_TOKEN: &str = "X-User-Token";
const READ_SCOPE: HeaderName = HeaderName::from_static("x-axonflow-read-scope");

/// Whose records.
pub(super) enum ReadScope {
    /// The tenant's.
    Tenant,
    /// Those of one person, as records name them.
    OwnRows(String),
}

impl ReadScope {
    /// As the headers say. A token finds the records of requests whose `user_token` it was. One without a word is refused:
    /// who meant a person would be shown everybody.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        let Some(token) = user_token(headers)? else { return Ok(Self::Tenant) };
        user(token).map(Self::OwnRows).ok_or(ApiError::field(USER_TOKEN, "expected a person, or no such header"))
    }

    /// The person to filter by, as records name them.
    pub(super) fn person(&self) -> Option<String> {
        match self {
            Self::Tenant => None,
            Self::OwnRows(person) => Some(person.clone()),
        }
    }

    /// Whether it shows no record of this person.
    pub(super) fn excludes(&self, other: &str) -> bool {
        matches!(self, Self::OwnRows(person) if person != other)
    }

    /// The answer that says so.
    pub(super) fn stated(&self, mut response: Response) -> Response {
        let scope = match self {
            Self::Tenant => "tenant",
            Self::OwnRows(_) => "own-rows",
        };
        response.headers_mut().insert(READ_SCOPE, HeaderValue::from_static(scope));
        response
    }
}

/// The person that the headers name, in the caller's words; `None` without such a header.
pub(super) fn user_token(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let mut sent = headers.get_all(USER_TOKEN).iter();
    let Some(value) = sent.next() else { return Ok(None) };
    if sent.next().is_some() {
        return Err(ApiError::field(USER_TOKEN, "expected once"));
    }
    let token = std::str::from_utf8(value.as_bytes()).map_err(|_| ApiError::field(USER_TOKEN, "expected UTF-8"))?;
    Ok(Some(token.to_owned()))
}
