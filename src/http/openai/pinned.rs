//! `X-Provider`: the provider that is to answer. A body of this surface has no place for it.

use axum::http::{HeaderMap, HeaderName};

use crate::http::{ApiError, identity};
use crate::router::Preference;

const HEADER: HeaderName = HeaderName::from_static("x-provider");
const FIELD: &str = "X-Provider";

/// That provider and no other, where one is named.
pub(super) fn read(headers: &HeaderMap) -> Result<Preference, ApiError> {
    let mut sent = headers.get_all(HEADER).iter();
    let Some(value) = sent.next() else { return Ok(Preference::Any) };
    if sent.next().is_some() {
        return Err(ApiError::field(FIELD, "expected once"));
    }
    let text = value.to_str().map_err(|_| ApiError::field(FIELD, "expected visible ASCII characters"))?;
    Ok(identity::checked(FIELD, text)?.map_or(Preference::Any, |name| Preference::Pin(name.to_owned())))
}
