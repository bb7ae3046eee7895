//! The bounded queue in front of the writer: slots, permits and receipts.
//!
//! A slot is a promise that one record will be taken. A request takes two before its work begins, one for the intent
//! and one for the outcome, so that a store which cannot keep up refuses requests *before* a model is paid for, and a
//! request that was accepted never finds the queue full at its end. Records are queued when the method is called,
//! not when the receipt is awaited: dropping a receipt gives up the answer, not the record.
//!
//! An intent is written while a model works, and nobody waits for an outcome: these two can wait a moment for others
//! ([`Haste`]), so that one transaction, and one turn of the writer's thread, serves several requests.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::thread::Thread;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::AuditError;
use super::chain::Seq;
use super::record::{Intent, Outcome, Record};
use super::row::Row;
use super::text_rule::TextRule;

/// Bytes of queued records beyond which nothing new is accepted. Promised slots are honoured beyond it.
const MOST_QUEUED_BYTES: usize = 256 << 20;

/// What travels to the writer.
pub(crate) enum Message {
    /// Records that are committed together or not at all.
    Write(Job),
    /// Say when everything that was queued before is written or refused.
    Mark(oneshot::Sender<()>),
    /// Write what is queued, then end.
    Stop(Option<oneshot::Sender<Result<(), AuditError>>>),
}

/// Whether a record may wait a moment for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Haste {
    /// An answer waits for it alone.
    AtOnce,
    /// Meanwhile a model works, or the answer has left.
    WithOthers,
}

/// Records on their way, and who waits for them.
pub(crate) struct Job {
    pub(crate) rows: Vec<Row>,
    pub(crate) size: usize,
    pub(crate) haste: Haste,
    queued_bytes: Arc<AtomicUsize>,
    slots: OwnedSemaphorePermit,
    answer: oneshot::Sender<Result<Seq, AuditError>>,
}

impl Job {
    /// Frees the slots, then tells the waiter; one who appends again on the answer finds the room.
    pub(crate) fn answer(self, result: Result<Seq, AuditError>) {
        self.queued_bytes.fetch_sub(self.size, Ordering::Relaxed);
        drop(self.slots);
        // Whoever gave the receipt up does not want to know.
        let _ = self.answer.send(result);
    }
}

/// The sending side.
#[derive(Clone)]
pub(crate) struct Queue {
    sender: Sender<Message>,
    slots: Arc<Semaphore>,
    queued_bytes: Arc<AtomicUsize>,
    rule: Arc<TextRule>,
    /// The thread at the other end, once it runs.
    writer: Arc<OnceLock<Thread>>,
}

impl Queue {
    pub(crate) fn new(size: usize, rule: TextRule) -> (Self, Receiver<Message>) {
        let (sender, receiver) = std::sync::mpsc::channel();
        let slots = Arc::new(Semaphore::new(size.clamp(2, Semaphore::MAX_PERMITS)));
        (Self { sender, slots, queued_bytes: Arc::default(), rule: Arc::new(rule), writer: Arc::default() }, receiver)
    }

    /// Names the thread that a record in haste wakes.
    pub(crate) fn is_read_by(&self, writer: &Thread) {
        let _ = self.writer.set(writer.clone());
    }

    /// Takes slots, at once or not at all.
    pub(crate) fn reserve(&self, slots: u32) -> Result<Slots, AuditError> {
        let refused = |error: AuditError| {
            metrics::counter!("octroi_audit_refused_total", "code" => error.code()).increment(1);
            error
        };
        if self.queued_bytes.load(Ordering::Relaxed) > MOST_QUEUED_BYTES {
            return Err(refused(AuditError::Overloaded));
        }
        match Arc::clone(&self.slots).try_acquire_many_owned(slots) {
            Ok(slots) => Ok(Slots { slots, queue: self.clone() }),
            Err(tokio::sync::TryAcquireError::NoPermits) => Err(refused(AuditError::Overloaded)),
            Err(tokio::sync::TryAcquireError::Closed) => Err(refused(AuditError::Closed)),
        }
    }

    /// From now on nothing is promised; promises already made are kept until the writer ends.
    pub(crate) fn close(&self) {
        self.slots.close();
    }

    /// Waits until everything that is queued now is written or refused.
    pub(crate) async fn settle(&self) {
        let (mark, reached) = oneshot::channel();
        if self.sender.send(Message::Mark(mark)).is_ok() {
            self.hurry();
            // An ended writer drops the mark: nothing is queued any more.
            let _ = reached.await;
        }
    }

    /// Asks the writer to write what is queued and to end. Whether it was still there to hear it.
    pub(crate) fn stop(&self, done: Option<oneshot::Sender<Result<(), AuditError>>>) -> bool {
        let is_there = self.sender.send(Message::Stop(done)).is_ok();
        self.hurry();
        is_there
    }

    /// Nothing waits for others any longer.
    pub(crate) fn hurry(&self) {
        if let Some(writer) = self.writer.get() {
            writer.unpark();
        }
    }

    fn send(&self, slots: OwnedSemaphorePermit, records: &[Record], haste: Haste) -> Receipt {
        let rows: Result<Vec<Row>, AuditError> = records.iter().map(|record| Row::new(record, &self.rule)).collect();
        let rows = match rows {
            Ok(rows) => rows,
            Err(error) => return Receipt(Waiting::Refused(Some(error))),
        };
        let size = rows.iter().map(Row::size).sum();
        let (answer, receiver) = oneshot::channel();
        self.queued_bytes.fetch_add(size, Ordering::Relaxed);
        let job = Job { rows, size, haste, queued_bytes: Arc::clone(&self.queued_bytes), slots, answer };
        // An ended writer drops the job, and with it the sender: the receipt then says `Closed`.
        let _ = self.sender.send(Message::Write(job));
        if haste == Haste::AtOnce {
            self.hurry();
        }
        Receipt(Waiting::Queued(receiver))
    }
}

/// Slots that were taken.
pub(crate) struct Slots {
    slots: OwnedSemaphorePermit,
    queue: Queue,
}

impl Slots {
    pub(crate) fn send(self, records: &[Record], haste: Haste) -> Receipt {
        self.queue.send(self.slots, records, haste)
    }
}

/// The right to write the two records of one request.
#[must_use = "a permit that is dropped gives its slots back"]
pub struct RequestPermit(Slots);

impl RequestPermit {
    /// Of two slots.
    pub(crate) fn new(slots: Slots) -> Self {
        Self(slots)
    }

    /// Queues the intent, and leaves the right to write the outcome.
    pub fn intent(self, intent: Intent) -> (Receipt, OutcomePermit) {
        let Slots { mut slots, queue } = self.0;
        let receipt = match slots.split(1) {
            Some(one) => queue.send(one, &[intent.into()], Haste::WithOthers),
            None => Receipt(Waiting::Refused(Some(AuditError::Overloaded))),
        };
        (receipt, OutcomePermit(Slots { slots, queue }))
    }

    /// Queues both at once, in one transaction: for a request that was over before it reached a provider.
    pub fn intent_and_outcome(self, intent: Intent, outcome: Outcome) -> Receipt {
        self.0.send(&[intent.into(), outcome.into()], Haste::AtOnce)
    }
}

/// The right to write the outcome of a request whose intent was queued.
#[must_use = "an intent whose outcome is never written is shown as an error"]
pub struct OutcomePermit(Slots);

impl OutcomePermit {
    /// Queues the outcome.
    pub fn outcome(self, outcome: Outcome) -> Receipt {
        self.0.send(&[outcome.into()], Haste::WithOthers)
    }
}

/// The right to write one record of any kind.
#[must_use = "a permit that is dropped gives its slot back"]
pub struct RecordPermit(Slots);

impl RecordPermit {
    pub(crate) fn new(slots: Slots) -> Self {
        Self(slots)
    }

    /// Queues the record.
    pub fn append(self, record: impl Into<Record>) -> Receipt {
        self.0.send(&[record.into()], Haste::AtOnce)
    }
}

enum Waiting {
    Queued(oneshot::Receiver<Result<Seq, AuditError>>),
    Refused(Option<AuditError>),
}

/// Resolves when the record is durable, with its place, or with the reason why it is not. The record is written
/// whether or not anybody waits.
#[must_use = "the record is durable only when the receipt has resolved"]
pub struct Receipt(Waiting);

impl Future for Receipt {
    type Output = Result<Seq, AuditError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Waiting::Queued(receiver) => {
                Pin::new(receiver).poll(context).map(|answer| answer.unwrap_or(Err(AuditError::Closed)))
            }
            Waiting::Refused(error) => Poll::Ready(Err(error.take().unwrap_or(AuditError::Closed))),
        }
    }
}
