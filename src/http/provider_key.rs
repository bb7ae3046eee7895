//! `X-Provider-Key`: a caller's own key for the upstream.

use axum::http::{HeaderMap, HeaderName};

use super::{ApiError, App};
use crate::provider::ApiKey;

const HEADER: HeaderName = HeaderName::from_static("x-provider-key");
const FIELD: &str = "X-Provider-Key";

/// The key, where one is sent and the gateway takes them. Where it does not, it says so: to pass over the header would
/// spend the operator's key in the place of the caller's.
pub(super) fn read(app: &App, headers: &HeaderMap) -> Result<Option<ApiKey>, ApiError> {
    let mut sent = headers.get_all(HEADER).iter();
    let Some(value) = sent.next() else { return Ok(None) };
    if !app.caller_keys {
        let remedy = "this gateway takes no keys of callers: drop the header, or set server.caller_keys: true";
        return Err(ApiError::field(FIELD, remedy));
    }
    if sent.next().is_some() {
        return Err(ApiError::field(FIELD, "expected once"));
    }
    let text = value.to_str().map_err(|_| ApiError::field(FIELD, "expected visible ASCII characters"))?;
    ApiKey::new(text).map(Some).map_err(|error| ApiError::field(FIELD, error.to_string()))
}
