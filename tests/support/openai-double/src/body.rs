//! The body of an answer, played step by step.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// One thing an answer does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Sends bytes; over the wire they are one chunk.
    Send(Bytes),
    /// Lets what was sent leave.
    Flush,
    /// Says nothing more, and keeps the connection.
    Stall,
    /// Closes the connection without ending the answer.
    Cut,
}

/// The server broke its own answer off, because a script said so.
#[derive(Debug)]
pub(crate) struct CutOff;

impl std::fmt::Display for CutOff {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("the answer was cut off by the script")
    }
}

impl std::error::Error for CutOff {}

/// A body whose steps are known beforehand.
#[derive(Debug)]
pub(crate) struct AnswerBody {
    steps: VecDeque<Step>,
    /// Known for answers in one piece.
    size: Option<u64>,
    flushed: bool,
    /// Counts streams that the client left before their end.
    cancelled: Option<Arc<AtomicUsize>>,
}

impl AnswerBody {
    /// An answer in one piece.
    pub(crate) fn whole(bytes: Bytes) -> Self {
        let size = Some(bytes.len() as u64);
        Self { steps: VecDeque::from([Step::Send(bytes)]), size, flushed: false, cancelled: None }
    }

    /// An answer in chunks.
    pub(crate) fn steps(steps: Vec<Step>, cancelled: Arc<AtomicUsize>) -> Self {
        Self { steps: steps.into(), size: None, flushed: false, cancelled: Some(cancelled) }
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        if let Some(cancelled) = self.cancelled.take().filter(|_| !self.steps.is_empty()) {
            cancelled.fetch_add(1, Ordering::AcqRel);
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        loop {
            match self.steps.front() {
                Some(Step::Stall) => return Poll::Pending,
                Some(Step::Flush) if !self.flushed => {
                    // hyper writes out what it has whenever the body is not ready.
                    self.flushed = true;
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                _ => {}
            }
            match self.steps.pop_front() {
                None => return Poll::Ready(None),
                Some(Step::Send(bytes)) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Some(Step::Cut) => return Poll::Ready(Some(Err(CutOff))),
                Some(Step::Flush | Step::Stall) => self.flushed = false,
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.steps.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        self.size.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
