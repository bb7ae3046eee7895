//! What a handler leaves unread of a request's body.
//!
//! A connection that is closed with its client's bytes in it is reset, and a client that is still sending sees the reset
//! instead of the answer. So the rest is read and thrown away, in bounds, while the answer is on its way.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::http::Request;
use axum::http::header::EXPECT;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::runtime::Handle;

/// How much is thrown away, in bytes, and for how long. What is left then ends the connection.
const MOST: usize = 32 << 20;
const PATIENCE: Duration = Duration::from_secs(3);

/// A request's body, of which nothing stays in the connection.
#[derive(Debug)]
pub struct Drained {
    /// Until its end.
    body: Option<Incoming>,
    /// Its client waits to be told to send it (`Expect: 100-continue`), which asking for it does. Who is answered instead
    /// has sent nothing.
    is_awaited: bool,
}

impl Drained {
    /// The request with its body so.
    pub(super) fn of(request: Request<Incoming>) -> Request<Self> {
        let is_awaited = request.headers().contains_key(EXPECT);
        request.map(|body| Self { body: Some(body), is_awaited })
    }
}

impl Body for Drained {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.is_awaited = false;
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(context));
        if !matches!(frame, Some(Ok(_))) {
            self.body = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Incoming::size_hint)
    }
}

impl Drop for Drained {
    fn drop(&mut self) {
        if self.is_awaited || self.is_end_stream() {
            return;
        }
        // Without a runtime there is no connection any more.
        if let (Some(body), Ok(runtime)) = (self.body.take(), Handle::try_current()) {
            runtime.spawn(discard(body));
        }
    }
}

async fn discard(mut body: impl Body<Data = Bytes> + Unpin) {
    let drain = async {
        let mut read = 0;
        while let Some(Ok(frame)) = body.frame().await {
            read += frame.data_ref().map_or(0, Bytes::len);
            if read > MOST {
                break;
            }
        }
    };
    // Whether it came to an end makes no difference to the answer.
    let _ = tokio::time::timeout(PATIENCE, drain).await;
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use futures_util::StreamExt as _;
    use futures_util::stream;
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_does_not_end_is_given_up() {
        let begun = Instant::now();
        let piece = || Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 1 << 10]));
        discard(Body::from_stream(stream::repeat_with(piece))).await;
        assert_eq!(begun.elapsed(), Duration::ZERO, "too much");
        discard(Body::from_stream(stream::iter([piece()]).chain(stream::pending()))).await;
        assert_eq!(begun.elapsed(), PATIENCE, "too long");
    }
}
