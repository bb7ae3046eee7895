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

/// A request that is to be counted once, however it ends. Dropped before, as when its client went away, it counts as an
/// error.
pub(super) struct Counting {
    app: Arc<App>,
    /// What it is counted as.
    pub(super) kind: &'static str,
    started: Instant,
    is_over: bool,
}

impl Counting {
    pub(super) fn begin(app: &Arc<App>, kind: &'static str) -> Self {
        Self { app: app.clone(), kind, started: Instant::now(), is_over: false }
    }

    /// The answer of a handler, counted.
    pub(super) fn end(mut self, handled: Handled) -> (Response, Ending, Duration) {
        let Handled { ending, response } = handled;
        (response, ending, self.count(ending))
    }

    fn count(&mut self, ending: Ending) -> Duration {
        self.is_over = true;
        let elapsed = self.started.elapsed();
        self.app.stats.record(self.kind, ending, elapsed);
        elapsed
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        if !self.is_over {
            self.count(Ending::Error);
        }
    }
}

/// How a request is answered whose answer may stream.
pub(super) enum Answer {
    /// All at once.
    Whole(Handled),
    /// Piece by piece; what becomes of it is known at its end.
    Streams(Response, oneshot::Receiver<Arc<Ended>>),
}

impl Answer {
    /// The response, counted: at once, or when the stream is over.
    pub(super) fn counted(self, mut counting: Counting) -> Response {
        match self {
            Self::Whole(handled) => counting.end(handled).0,
            Self::Streams(response, ended) => {
                tokio::spawn(async move {
                    // Without a word the gateway's task has failed, and said so.
                    let ending = match ended.await {
                        Ok(ended) => {
                            meter::policies_asked(ended.policies.asked.len());
                            match ended.how {
                                StreamEnd::Whole => Ending::Success,
                                StreamEnd::Refused(_) => Ending::Blocked,
                                StreamEnd::Failed(_) | StreamEnd::ClientGone => Ending::Error,
                            }
                        }
                        Err(_) => Ending::Error,
                    };
                    counting.count(ending);
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
