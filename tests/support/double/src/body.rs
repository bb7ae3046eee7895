//! The body of an answer, played step by step.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

use crate::record::Ticket;

/// One thing an answer does.
#[derive(Debug, Clone)]
pub enum Step {
    /// Sends bytes; over the wire they are one chunk.
    Send(Bytes),
    /// Waits.
    Pause(Duration),
    /// Lets what was sent leave as a write of its own.
    Flush,
    /// Says nothing more, and keeps the connection.
    Stall,
    /// Closes the connection without ending the answer.
    Cut,
}

/// The server broke its own answer off, because a script said so.
#[derive(Debug, thiserror::Error)]
#[error("the answer was cut off by the script")]
pub(crate) struct CutOff;

/// A body whose steps are known beforehand.
#[derive(Debug)]
pub(crate) struct AnswerBody {
    steps: VecDeque<Step>,
    /// Known for answers in one piece, which then carry a content length.
    size: Option<u64>,
    sleep: Option<Pin<Box<Sleep>>>,
    flushed: bool,
    ticket: Option<Ticket>,
}

impl AnswerBody {
    /// An answer in one piece.
    pub(crate) fn whole(bytes: Bytes) -> Self {
        let size = Some(bytes.len() as u64);
        let steps = if bytes.is_empty() { VecDeque::new() } else { VecDeque::from([Step::Send(bytes)]) };
        Self { steps, size, sleep: None, flushed: false, ticket: None }
    }

    /// An answer in chunks.
    pub(crate) fn steps(steps: Vec<Step>) -> Self {
        Self { steps: steps.into(), size: None, sleep: None, flushed: false, ticket: None }
    }

    /// Holds the request in flight until the last step.
    pub(crate) fn hold(&mut self, ticket: Ticket) {
        self.ticket = Some(ticket);
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.size.is_some()
    }

    fn release(&mut self) {
        if let Some(mut ticket) = self.ticket.take() {
            ticket.complete();
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        loop {
            if let Some(sleep) = self.sleep.as_mut() {
                std::task::ready!(sleep.as_mut().poll(context));
                self.sleep = None;
            }
            match self.steps.front() {
                None => {
                    self.release();
                    return Poll::Ready(None);
                }
                Some(Step::Stall) => return Poll::Pending,
                Some(Step::Flush) if !self.flushed => {
                    // hyper writes out what it has whenever the body is not ready.
                    self.flushed = true;
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Some(_) => {}
            }
            match self.steps.pop_front() {
                Some(Step::Send(bytes)) => {
                    if self.steps.is_empty() {
                        self.release();
                    }
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                Some(Step::Pause(time)) => self.sleep = Some(Box::pin(tokio::time::sleep(time))),
                Some(Step::Flush) => self.flushed = false,
                Some(Step::Cut) => {
                    self.release();
                    return Poll::Ready(Some(Err(CutOff)));
                }
                Some(Step::Stall) | None => {}
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.steps.is_empty() && self.sleep.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.size.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
