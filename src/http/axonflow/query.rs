//! What stands behind the `?` on routes that list resources, and pages of what they list.

use axum::extract::Query;
use axum::http::Uri;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::http::ApiError;

/// Reads the parameters; `expected` says which there are.
pub(super) fn read<T: DeserializeOwned>(uri: &Uri, expected: &'static str) -> Result<T, ApiError> {
    let read = Query::try_from_uri(uri).map_err(|_| ApiError::Parameter { field: "query", problem: expected });
    read.map(|Query(asked)| asked)
}

/// A text; an empty one is not given.
pub(super) fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// A whole number from `least`, which is 0 or 1, on.
pub(super) fn number(field: &'static str, text: Option<&str>, least: usize) -> Result<Option<usize>, ApiError> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    match text.parse() {
        Ok(number) if number >= least => Ok(Some(number)),
        _ if least == 0 => Err(ApiError::Parameter { field, problem: "expected a whole number from 0 on" }),
        _ => Err(ApiError::Parameter { field, problem: "expected a whole number from 1 on" }),
    }
}

/// A truth value.
pub(super) fn truth(field: &'static str, text: Option<&str>) -> Result<Option<bool>, ApiError> {
    match text {
        None | Some("") => Ok(None),
        Some("true" | "1") => Ok(Some(true)),
        Some("false" | "0") => Ok(Some(false)),
        Some(_) => Err(ApiError::Parameter { field, problem: "expected true or false" }),
    }
}

/// Which page of how many this is.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Pagination {
    page: usize,
    page_size: usize,
    total_items: usize,
    total_pages: usize,
}

impl Pagination {
    /// Pages are counted from one.
    pub(super) fn new(page: usize, page_size: usize, total_items: usize) -> Self {
        Self { page, page_size, total_items, total_pages: total_items.div_ceil(page_size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_begins_where_it_is_said_to() {
        assert_eq!(number("page", None, 1).unwrap(), None);
        assert_eq!(number("page", Some("3"), 1).unwrap(), Some(3));
        for text in ["0", "-1", "1.5", "one"] {
            let error = number("page", Some(text), 1).unwrap_err().to_string();
            assert_eq!(error, "page: expected a whole number from 1 on");
        }
        assert_eq!(number("offset", Some("0"), 0).unwrap(), Some(0));
        assert_eq!(
            number("offset", Some("-1"), 0).unwrap_err().to_string(),
            "offset: expected a whole number from 0 on"
        );
    }
}
