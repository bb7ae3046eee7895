//! Headers of the gateway's own.

use axum::http::{HeaderMap, HeaderName};

use super::ApiError;

/// One that may stand once, in visible ASCII characters. `field` is its name in errors.
pub(super) fn once<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
    field: &'static str,
) -> Result<Option<&'h str>, ApiError> {
    let mut sent = headers.get_all(name).iter();
    let Some(value) = sent.next() else { return Ok(None) };
    if sent.next().is_some() {
        return Err(ApiError::field(field, "expected once"));
    }
    value.to_str().map(Some).map_err(|_| ApiError::field(field, "expected visible ASCII characters"))
}
