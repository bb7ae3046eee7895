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
    waiter: Waiter,
}

impl Job {
    /// Frees the slots, then tells the waiter; one who appends again on the answer finds the room.
    pub(crate) fn answer(self, result: Result<Seq, AuditError>) {
        self.queued_bytes.fetch_sub(self.size, Ordering::Relaxed);
        drop(self.slots);
        self.waiter.tell(result);
    }
}

/// Who is told what became of a job.
enum Waiter {
    /// Whoever has the receipt.
    Receipt(oneshot::Sender<Result<Seq, AuditError>>),
    /// Nobody: an outcome, whose answer has left.
    Nobody(Unwritten),
}

impl Waiter {
    fn with_receipt() -> (Self, Receipt) {
        let (sender, receiver) = oneshot::channel();
        (Self::Receipt(sender), Receipt(receiver))
    }

    fn tell(self, result: Result<Seq, AuditError>) {
        match (self, result) {
            // Whoever gave the receipt up does not want to know.
            (Self::Receipt(sender), result) => drop(sender.send(result)),
            (Self::Nobody(outcome), Ok(_)) => outcome.written(),
            (Self::Nobody(outcome), Err(error)) => outcome.lost(&error),
        }
    }
}

/// An outcome on its way. It is told of once if it is lost, were it that the writer ended and never read it.
struct Unwritten;

impl Unwritten {
    fn written(self) {
        std::mem::forget(self);
    }

    fn lost(self, error: &AuditError) {
        self.written();
        lost(error);
    }
}

impl Drop for Unwritten {
    fn drop(&mut self) {
        lost(&AuditError::Closed);
    }
}

fn lost(error: &AuditError) {
    tracing::error!(%error, "the outcome of a request could not be recorded; its intent stands");
    metrics::counter!("octroi_audit_lost_outcomes_total", "code" => error.code()).increment(1);
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

    fn send(&self, slots: OwnedSemaphorePermit, records: Vec<Record>, haste: Haste, waiter: Waiter) {
        let rows: Result<Vec<Row>, AuditError> =
            records.into_iter().map(|record| Row::new(record, &self.rule)).collect();
        let rows = match rows {
            Ok(rows) => rows,
            Err(error) => {
                drop(slots);
                return waiter.tell(Err(error));
            }
        };
        let size = rows.iter().map(Row::size).sum();
        self.queued_bytes.fetch_add(size, Ordering::Relaxed);
        let job = Job { rows, size, haste, queued_bytes: Arc::clone(&self.queued_bytes), slots, waiter };
        // An ended writer drops the job, and with it the waiter, who then knows that it is `Closed`.
        let _ = self.sender.send(Message::Write(job));
        if haste == Haste::AtOnce {
            self.hurry();
        }
    }
}

/// Slots that were taken.
pub(crate) struct Slots {
    slots: OwnedSemaphorePermit,
    queue: Queue,
}

impl Slots {
    pub(crate) fn send(self, records: Vec<Record>, haste: Haste) -> Receipt {
        let (waiter, receipt) = Waiter::with_receipt();
        self.queue.send(self.slots, records, haste, waiter);
        receipt
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
        let (waiter, receipt) = Waiter::with_receipt();
        match slots.split(1) {
            Some(one) => queue.send(one, vec![intent.into()], Haste::WithOthers, waiter),
            None => waiter.tell(Err(AuditError::Overloaded)),
        }
        (receipt, OutcomePermit(Slots { slots, queue }))
    }

    /// Queues both at once, in one transaction: for a request that was over before it reached a provider.
    pub fn intent_and_outcome(self, intent: Intent, outcome: Outcome) -> Receipt {
        self.0.send(vec![intent.into(), outcome.into()], Haste::AtOnce)
    }
}

/// The right to write the outcome of a request whose intent was queued.
#[must_use = "an intent whose outcome is never written is shown as an error"]
pub struct OutcomePermit(Slots);

impl OutcomePermit {
    /// Queues the outcome. Nobody waits for it: one that cannot be written is logged and counted.
    pub fn outcome(self, outcome: Outcome) {
        let Slots { slots, queue } = self.0;
        queue.send(slots, vec![outcome.into()], Haste::WithOthers, Waiter::Nobody(Unwritten));
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
        self.0.send(vec![record.into()], Haste::AtOnce)
    }
}

/// Resolves when the record is durable, with its place, or with the reason why it is not. The record is written
/// whether or not anybody waits.
#[must_use = "the record is durable only when the receipt has resolved"]
pub struct Receipt(oneshot::Receiver<Result<Seq, AuditError>>);

impl Future for Receipt {
    type Output = Result<Seq, AuditError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|answer| answer.unwrap_or(Err(AuditError::Closed)))
    }
}
