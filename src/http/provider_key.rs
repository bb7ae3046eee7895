//! `X-Provider-Key`: a caller's own key for the upstream.

use axum::http::{HeaderMap, HeaderName};

use super::{ApiError, App, header};
use crate::provider::ApiKey;

const HEADER: HeaderName = HeaderName::from_static("x-provider-key");
const FIELD: &str = "X-Provider-Key";

/// The key, where one is sent and the gateway takes them. Where it does not, it says so: to pass over the header would
/// spend the operator's key in the place of the caller's.
pub(super) fn read(app: &App, headers: &HeaderMap) -> Result<Option<ApiKey>, ApiError> {
    let Some(text) = header::once(headers, &HEADER, FIELD)? else { return Ok(None) };
    if !app.caller_keys {
        let remedy = "this gateway takes no keys of callers: drop the header, or set server.caller_keys: true";
        return Err(ApiError::field(FIELD, remedy));
    }
    ApiKey::new(text).map(Some).map_err(|error| ApiError::field(FIELD, error.to_string()))
}
