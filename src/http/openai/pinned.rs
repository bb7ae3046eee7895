//! `X-Provider`: the provider that is to answer. A body of this surface has no place for it.

use axum::http::{HeaderMap, HeaderName};

use crate::http::{ApiError, header, identity};
use crate::router::Preference;

const HEADER: HeaderName = HeaderName::from_static("x-provider");
const FIELD: &str = "X-Provider";

/// That provider and no other, where one is named.
pub(super) fn read(headers: &HeaderMap) -> Result<Preference, ApiError> {
    let Some(text) = header::once(headers, &HEADER, FIELD)? else { return Ok(Preference::Any) };
    Ok(identity::checked(FIELD, text)?.map_or(Preference::Any, |name| Preference::Pin(name.to_owned())))
}
