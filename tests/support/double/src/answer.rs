//! Answers and refusals, and how they leave.

use std::time::Duration;

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::Value;

use crate::body::{AnswerBody, Step};

/// An answer that is ready, and when and how it leaves.
#[derive(Debug)]
pub struct Answer {
    pub(crate) response: Response<AnswerBody>,
    /// The wait before the status line.
    pub delay: Duration,
    /// What comes in place of the answer.
    pub(crate) ending: Option<Ending>,
}

/// How a request ends that gets no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// With RST.
    Reset,
    /// With FIN.
    Close,
    /// Never.
    Silence,
}

/// The answer to a request that is refused for what it says, not because a test asked for the error.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// The vendor's error object.
    pub body: Value,
}

impl Answer {
    /// An answer in one piece.
    #[must_use]
    pub fn whole(status: u16, content_type: Option<&'static str>, body: impl Into<Bytes>) -> Self {
        Self::with(status, content_type, AnswerBody::whole(body.into()))
    }

    /// An answer in JSON.
    #[must_use]
    pub fn json(status: u16, body: &Value) -> Self {
        Self::whole(status, Some("application/json"), body.to_string())
    }

    /// An answer in chunks.
    #[must_use]
    pub fn steps(content_type: &'static str, steps: Vec<Step>) -> Self {
        Self::with(200, Some(content_type), AnswerBody::steps(steps))
    }

    /// No answer.
    #[must_use]
    pub fn none(ending: Ending) -> Self {
        Self { ending: Some(ending), ..Self::whole(500, None, "") }
    }

    /// The headers, to be changed.
    pub fn headers_mut(&mut self) -> &mut HeaderMap {
        self.response.headers_mut()
    }

    /// A status that HTTP does not have becomes 500.
    fn with(status: u16, content_type: Option<&'static str>, body: AnswerBody) -> Self {
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if let Some(content_type) = content_type {
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        Self { response, delay: Duration::ZERO, ending: None }
    }
}
