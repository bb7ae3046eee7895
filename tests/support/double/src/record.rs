//! What the double saw: the requests it received, and its counters.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use hyper::header::{HeaderMap, HeaderValue};
use hyper::{Method, Uri};
use serde_json::Value;
use tokio::sync::Notify;

/// A request as it arrived, whether it was then accepted or refused.
#[derive(Debug, Clone)]
pub struct ReceivedRequest {
    /// Counts the double's requests from 1.
    pub sequence: u64,
    /// Counts the double's connections from 1: two requests with the same number shared one.
    pub connection: u64,
    /// When it was read.
    pub at: SystemTime,
    /// The method.
    pub method: Method,
    /// Path and query, as sent.
    pub uri: Uri,
    /// The headers, as sent.
    pub headers: HeaderMap<HeaderValue>,
    /// The body, byte by byte; empty when it was too large.
    pub body: Bytes,
    /// Whether the body was larger than the vendor reads.
    pub too_large: bool,
}

impl ReceivedRequest {
    /// The path without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.uri.path()
    }

    /// Whether it only asks what models there are.
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.method == Method::GET
    }

    /// A header's text, or `None` when it is absent or not text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as text, with replacement characters where it is not UTF-8.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; `null` when it is not JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// Whether the double keeps the requests it receives. The last 1024 by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recording {
    /// The last so many.
    Last(usize),
    /// None: for load tests. Counters go on.
    Off,
}

impl Default for Recording {
    fn default() -> Self {
        Self::Last(1024)
    }
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Connections accepted.
    pub connections: u64,
    /// Requests received, refused ones included.
    pub received: u64,
    /// Requests refused for what they said: wrong key, unknown field, bad order.
    pub refused: u64,
    /// Requests whose answer is not yet complete.
    pub in_flight: u64,
    /// Answers that began as an event stream.
    pub streams: u64,
    /// Event streams that ended before their last event because the client had gone.
    pub cancelled_streams: u64,
    /// Requests whose client had gone before the first byte of the answer.
    pub cancelled_requests: u64,
}

/// The counters and the ring of requests.
#[derive(Debug, Default)]
pub(crate) struct Record {
    recording: Recording,
    ring: Mutex<VecDeque<Arc<ReceivedRequest>>>,
    connections: AtomicU64,
    received: AtomicU64,
    refused: AtomicU64,
    in_flight: AtomicU64,
    streams: AtomicU64,
    cancelled_streams: AtomicU64,
    cancelled_requests: AtomicU64,
    changed: Notify,
}

impl Record {
    pub(crate) fn new(recording: Recording) -> Self {
        Self { recording, ..Self::default() }
    }

    /// The number of a new connection.
    pub(crate) fn connected(&self) -> u64 {
        let number = self.connections.fetch_add(1, Ordering::Relaxed) + 1;
        self.changed.notify_waiters();
        number
    }

    /// The number of a new request.
    pub(crate) fn next_sequence(&self) -> u64 {
        self.received.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn keep(&self, request: &Arc<ReceivedRequest>) {
        if let Recording::Last(most) = self.recording {
            let mut ring = lock(&self.ring);
            while ring.len() >= most.max(1) {
                ring.pop_front();
            }
            ring.push_back(Arc::clone(request));
        }
        self.changed.notify_waiters();
    }

    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        self.changed.notify_waiters();
    }

    pub(crate) fn requests(&self) -> Vec<Arc<ReceivedRequest>> {
        lock(&self.ring).iter().cloned().collect()
    }

    pub(crate) fn last_request(&self) -> Option<Arc<ReceivedRequest>> {
        lock(&self.ring).iter().rfind(|request| !request.is_probe()).cloned()
    }

    pub(crate) fn forget(&self) {
        lock(&self.ring).clear();
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats {
            connections: self.connections.load(Ordering::Acquire),
            received: self.received.load(Ordering::Acquire),
            refused: self.refused.load(Ordering::Acquire),
            in_flight: self.in_flight.load(Ordering::Acquire),
            streams: self.streams.load(Ordering::Acquire),
            cancelled_streams: self.cancelled_streams.load(Ordering::Acquire),
            cancelled_requests: self.cancelled_requests.load(Ordering::Acquire),
        }
    }

    /// Waits until the counters satisfy the condition.
    pub(crate) async fn until(&self, condition: impl Fn(&Stats) -> bool) -> Stats {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // Registered before the counters are read, so that no change falls between.
            changed.as_mut().enable();
            let stats = self.stats();
            if condition(&stats) {
                return stats;
            }
            changed.await;
        }
    }
}

/// A test that panicked while it held the lock must not hide what the others saw.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One request in flight. Dropping it before its end counts as the client's leaving.
#[derive(Debug)]
pub(crate) struct Ticket {
    record: Arc<Record>,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Waiting,
    Streaming,
    Complete,
}

impl Ticket {
    pub(crate) fn new(record: &Arc<Record>) -> Self {
        record.in_flight.fetch_add(1, Ordering::AcqRel);
        Self { record: Arc::clone(record), phase: Phase::Waiting }
    }

    pub(crate) fn streaming(&mut self) {
        self.record.streams.fetch_add(1, Ordering::AcqRel);
        self.phase = Phase::Streaming;
        self.record.changed.notify_waiters();
    }

    pub(crate) fn complete(&mut self) {
        self.phase = Phase::Complete;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        match self.phase {
            Phase::Waiting => self.record.cancelled_requests.fetch_add(1, Ordering::AcqRel),
            Phase::Streaming => self.record.cancelled_streams.fetch_add(1, Ordering::AcqRel),
            Phase::Complete => 0,
        };
        self.record.in_flight.fetch_sub(1, Ordering::AcqRel);
        self.record.changed.notify_waiters();
    }
}
