//! How requests of applications end, on every surface: answered and counted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::response::{IntoResponse, Response};
use tokio::sync::oneshot;

use super::stats::Ending;
use super::{ApiError, App, meter};
use crate::gateway::{Ended, StreamEnd};

/// How a request of an application is answered, and how it is counted.
pub(super) struct Handled {
    pub(super) ending: Ending,
    pub(super) response: Response,
}

/// The answer of a handler, counted under `kind`.
pub(super) fn counted(
    app: &App,
    kind: &'static str,
    started: Instant,
    handled: Handled,
) -> (Response, Ending, Duration) {
    let Handled { ending, response } = handled;
    let elapsed = started.elapsed();
    app.stats.record(kind, ending, elapsed);
    meter::request(kind, ending, elapsed);
    (response, ending, elapsed)
}

/// How a request is answered whose answer may stream.
pub(super) enum Answer {
    /// All at once.
    Whole(Handled),
    /// Piece by piece; what becomes of it is known at its end.
    Streams(Response, oneshot::Receiver<Arc<Ended>>),
}

impl Answer {
    /// The response, counted under `kind`: at once, or when the stream is over.
    pub(super) fn counted(self, app: &Arc<App>, kind: &'static str, started: Instant) -> Response {
        match self {
            Self::Whole(handled) => counted(app, kind, started, handled).0,
            Self::Streams(response, ended) => {
                let app = app.clone();
                tokio::spawn(async move {
                    // Without a word the gateway's task has failed, and said so.
                    let ending = match ended.await {
                        Ok(ended) => {
                            meter::policies_asked(ended.policies.asked.len());
                            meter::routed(&app, &ended.routed);
                            match ended.how {
                                StreamEnd::Whole => Ending::Success,
                                StreamEnd::Refused(_) => Ending::Blocked,
                                StreamEnd::Failed(_) | StreamEnd::ClientGone => Ending::Error,
                            }
                        }
                        Err(_) => Ending::Error,
                    };
                    let elapsed = started.elapsed();
                    app.stats.record(kind, ending, elapsed);
                    meter::request(kind, ending, elapsed);
                });
                response
            }
        }
    }
}

impl From<Result<Handled, ApiError>> for Handled {
    fn from(handled: Result<Self, ApiError>) -> Self {
        handled.unwrap_or_else(|error| Self { ending: Ending::Error, response: error.into_response() })
    }
}
