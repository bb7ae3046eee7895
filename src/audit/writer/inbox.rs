//! What is queued for the writer, batch by batch, and who waits for its end.

use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::audit::AuditError;
use crate::audit::queue::{Haste, Job, Message};

/// Records of one transaction at most: bounds how long its first waiter waits for its last.
const MOST_RECORDS: usize = 512;
/// Bytes of one transaction at most.
const MOST_BYTES: usize = 4 << 20;
/// How long a batch waits for others while nothing in it is in haste: short beside most models, long beside a record.
/// Each transaction writes the same dozen pages, and on a busy core waking the writer costs as much as a record.
const FOR_OTHERS: Duration = Duration::from_millis(10);

/// The receiving side of the queue.
pub(super) struct Inbox {
    receiver: Receiver<Message>,
    stop: Stop,
    /// Who waits for what was queued before it; told when the batch that it came with is over.
    marks: Vec<oneshot::Sender<()>>,
}

/// Whether the writer is to end.
enum Stop {
    NotAsked,
    /// It ends when the queue is empty, and tells these.
    Asked(Vec<oneshot::Sender<Result<(), AuditError>>>),
    Done,
}

impl Inbox {
    pub(super) fn new(receiver: Receiver<Message>) -> Self {
        Self { receiver, stop: Stop::NotAsked, marks: Vec::new() }
    }

    /// Waits for something to write, at most so long, then takes what else is queued, up to the bounds. Empty when
    /// nothing came, when somebody waits for what came before, or when the writer is to end.
    pub(super) fn next_batch(&mut self, patience: Option<Duration>) -> Vec<Job> {
        if self.is_to_end() {
            return self.queued().unwrap_or_default();
        }
        let message = match patience {
            Some(patience) => self.receiver.recv_timeout(patience),
            None => self.receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match message {
            Ok(Message::Write(job)) => {
                if job.haste == Haste::WithOthers {
                    // Not in `recv`: there each of those others would wake it. One in haste does.
                    std::thread::park_timeout(FOR_OTHERS);
                }
                return self.gather(job);
            }
            // What was queued before it has been written: it came in an earlier batch.
            Ok(Message::Mark(mark)) => self.marks.push(mark),
            Ok(Message::Stop(done)) => self.ask_to_stop(done),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => self.ask_to_stop(None),
        }
        Vec::new()
    }

    /// What is queued right now, without waiting.
    pub(super) fn queued(&mut self) -> Option<Vec<Job>> {
        loop {
            match self.receiver.try_recv() {
                Ok(Message::Write(job)) => return Some(self.gather(job)),
                Ok(Message::Mark(mark)) => self.marks.push(mark),
                Ok(Message::Stop(done)) => self.ask_to_stop(done),
                Err(_) => return None,
            }
        }
    }

    fn gather(&mut self, first: Job) -> Vec<Job> {
        let (mut records, mut bytes) = (first.rows.len(), first.size);
        let mut batch = vec![first];
        while records < MOST_RECORDS && bytes < MOST_BYTES {
            match self.receiver.try_recv() {
                Ok(Message::Write(job)) => {
                    records += job.rows.len();
                    bytes += job.size;
                    batch.push(job);
                }
                Ok(Message::Mark(mark)) => self.marks.push(mark),
                Ok(Message::Stop(done)) => self.ask_to_stop(done),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        batch
    }

    /// Whether somebody waits for what was queued before.
    pub(super) fn has_marks(&self) -> bool {
        !self.marks.is_empty()
    }

    /// The batch that they came with is over.
    pub(super) fn tell_marks(&mut self) {
        for mark in self.marks.drain(..) {
            // Whoever gave the wait up does not want to know.
            let _ = mark.send(());
        }
    }

    fn ask_to_stop(&mut self, done: Option<oneshot::Sender<Result<(), AuditError>>>) {
        match &mut self.stop {
            Stop::Asked(waiting) => waiting.extend(done),
            Stop::NotAsked | Stop::Done => self.stop = Stop::Asked(done.into_iter().collect()),
        }
    }

    /// Whether the writer is to end when nothing is queued.
    pub(super) fn is_to_end(&self) -> bool {
        matches!(self.stop, Stop::Asked(_))
    }

    /// It has ended.
    pub(super) fn end(&mut self, result: &Result<(), AuditError>) {
        self.tell_marks();
        if let Stop::Asked(waiting) = std::mem::replace(&mut self.stop, Stop::Done) {
            for waiter in waiting {
                let _ = waiter.send(result.clone());
            }
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        matches!(self.stop, Stop::Done)
    }
}
