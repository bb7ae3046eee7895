//! JSON answers: one way to make them, so that all carry the same headers.

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use serde::Serialize;

use crate::in_flight::{Full, Held};

/// Under this id the request is found in the audit.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-octroi-request-id");

/// The body of an error that cannot be told in detail.
const INTERNAL: &str = r#"{"success":false,"error":"internal error; the gateway's log has more","code":"internal"}"#;

/// An answer of this body.
pub(super) fn json<T: Serialize + ?Sized>(status: StatusCode, body: &T) -> Response {
    json_that_holds(None, status, body)
}

/// The same. What is held is given back when the last of it has been sent: clients may read slowly.
pub(super) fn json_that_holds<T: Serialize + ?Sized>(held: Option<&Held>, status: StatusCode, body: &T) -> Response {
    let Some(bytes) = encoded(body) else { return internal() };
    with_headers(status, "application/json", Body::from(that_hold(held.cloned(), bytes)))
}

/// The same with status 200, of a body that may be large: it takes the room that it needs beside the request's.
pub(super) fn json_that_takes_room<T: Serialize + ?Sized>(head: &Parts, body: &T) -> Result<Response, Full> {
    let Some(bytes) = encoded(body) else { return Ok(internal()) };
    let held = head.extensions.get::<Held>().cloned();
    if let Some(held) = &held {
        held.add(bytes.len())?;
    }
    Ok(with_headers(StatusCode::OK, "application/json", Body::from(that_hold(held, bytes))))
}

fn encoded<T: Serialize + ?Sized>(body: &T) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(1_024);
    match serde_json::to_writer(&mut bytes, body) {
        Ok(()) => Some(bytes),
        Err(error) => {
            tracing::error!(%error, "an answer could not be encoded");
            None
        }
    }
}

/// Bytes of an answer. What is held is given back when the last of them has been sent.
pub(super) fn that_hold(held: Option<Held>, bytes: Vec<u8>) -> Bytes {
    match held {
        Some(held) => Bytes::from_owner(Holding { bytes, _held: held }),
        None => bytes.into(),
    }
}

struct Holding {
    bytes: Vec<u8>,
    _held: Held,
}

impl AsRef<[u8]> for Holding {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// An answer that is not JSON.
pub(super) fn text(content_type: &'static str, body: String) -> Response {
    with_headers(StatusCode::OK, content_type, Body::from(body))
}

/// The answer where a body cannot be written. Never fails itself.
fn internal() -> Response {
    with_headers(StatusCode::INTERNAL_SERVER_ERROR, "application/json", Body::from(INTERNAL))
}

fn with_headers(status: StatusCode, content_type: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Adds the request's id.
pub(super) fn with_request_id(mut response: Response, id: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;
    use crate::in_flight::InFlight;

    #[test]
    fn an_answer_that_may_be_large_holds_its_room_until_it_is_sent() {
        let in_flight = InFlight::new(10);
        let head = || {
            let mut head = Request::new(()).into_parts().0;
            head.extensions.insert(in_flight.hold());
            head
        };
        let answer = json_that_takes_room(&head(), "12345678").unwrap();
        assert_eq!(in_flight.held(), 10);
        assert_eq!(json_that_takes_room(&head(), "").unwrap_err(), Full::All);
        drop(answer);
        assert_eq!(in_flight.held(), 0);
    }
}
