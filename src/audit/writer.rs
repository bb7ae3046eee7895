//! The one thread that writes.
//!
//! It takes what is queued, up to a bound, into one transaction, and answers every waiter when that is durable. There
//! is no timer: a lone record is committed at once, and while one transaction commits the next batch gathers.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::oneshot;

use super::AuditError;
use super::contexts::RecentContexts;
use super::queue::{Job, Message, Seq};
use super::row::Row;
use super::store::{Session, Store};

/// Records of one transaction at most: bounds how long its first waiter waits for its last.
const MOST_RECORDS: usize = 512;
/// Bytes of one transaction at most.
const MOST_BYTES: usize = 4 << 20;
/// How long a context is kept after it expired.
const KEEP_EXPIRED: SignedDuration = SignedDuration::from_hours(24);
/// How often expired contexts are looked for, and how many are removed at a time.
const CLEAN_EVERY: Duration = Duration::from_secs(60);
const CLEAN_AT_MOST: usize = 500;

/// Writes until it is told to stop.
pub(crate) fn run(store: &dyn Store, receiver: Receiver<Message>, contexts: Arc<RecentContexts>) {
    let mut writer = Writer { receiver, contexts, stop: Stop::NotAsked, marks: Vec::new(), next_clean: Instant::now() };
    loop {
        let opened = store.write(&mut |session| writer.serve(session));
        if let Err(error) = opened {
            tracing::error!(code = error.code(), %error, "the audit store cannot be opened for writing");
            // One attempt for each batch: its waiters learn of it, and the next one tries again.
            let batch = writer.next_batch();
            if batch.is_empty() {
                writer.end(Err(error));
            } else {
                fail(batch, &error);
                writer.tell_marks();
            }
        }
        if matches!(writer.stop, Stop::Done) {
            return;
        }
    }
}

/// Whether the writer is to end.
enum Stop {
    NotAsked,
    /// It ends when the queue is empty, and tells these.
    Asked(Vec<oneshot::Sender<Result<(), AuditError>>>),
    Done,
}

struct Writer {
    receiver: Receiver<Message>,
    contexts: Arc<RecentContexts>,
    stop: Stop,
    /// Who waits for what was queued before it; told when the batch that it came with is over.
    marks: Vec<oneshot::Sender<()>>,
    next_clean: Instant,
}

impl Writer {
    /// Commits batch after batch. Returns at the end, or when the connection is to be replaced.
    fn serve(&mut self, session: &mut dyn Session) {
        self.clean(session);
        loop {
            let batch = self.next_batch();
            let broken = !batch.is_empty() && self.commit(session, batch) == Connection::Broken;
            self.tell_marks();
            if broken {
                return;
            }
            if matches!(self.stop, Stop::Asked(_)) {
                while let Some(rest) = self.queued() {
                    if self.commit(session, rest) == Connection::Broken {
                        return;
                    }
                }
                let checkpointed = session.checkpoint();
                self.end(checkpointed);
                return;
            }
            session.tidy();
            self.clean(session);
        }
    }

    /// Waits for something to write, then takes what else is queued, up to the bounds. Empty when it is to end.
    fn next_batch(&mut self) -> Vec<Job> {
        if !matches!(self.stop, Stop::NotAsked) {
            return self.queued().unwrap_or_default();
        }
        loop {
            match self.receiver.recv() {
                Ok(Message::Write(job)) => return self.gather(job),
                // What was queued before it has been written: it came in an earlier batch.
                Ok(Message::Mark(mark)) => {
                    let _ = mark.send(());
                }
                Ok(Message::Stop(done)) => {
                    self.ask_to_stop(done);
                    return Vec::new();
                }
                Err(_) => {
                    self.ask_to_stop(None);
                    return Vec::new();
                }
            }
        }
    }

    fn tell_marks(&mut self) {
        for mark in self.marks.drain(..) {
            // Whoever gave the wait up does not want to know.
            let _ = mark.send(());
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

    /// What is queued right now, without waiting.
    fn queued(&mut self) -> Option<Vec<Job>> {
        loop {
            match self.receiver.try_recv() {
                Ok(Message::Write(job)) => return Some(self.gather(job)),
                Ok(Message::Mark(mark)) => self.marks.push(mark),
                Ok(Message::Stop(done)) => self.ask_to_stop(done),
                Err(_) => return None,
            }
        }
    }

    fn ask_to_stop(&mut self, done: Option<oneshot::Sender<Result<(), AuditError>>>) {
        match &mut self.stop {
            Stop::Asked(waiting) => waiting.extend(done),
            Stop::NotAsked | Stop::Done => self.stop = Stop::Asked(done.into_iter().collect()),
        }
    }

    fn end(&mut self, result: Result<(), AuditError>) {
        if let Stop::Asked(waiting) = std::mem::replace(&mut self.stop, Stop::Done) {
            for waiter in waiting {
                let _ = waiter.send(result.clone());
            }
        }
    }

    /// Commits a batch and answers its waiters. When one record is at fault, each job gets a transaction of its own,
    /// so that its neighbours are kept.
    fn commit(&mut self, session: &mut dyn Session, batch: Vec<Job>) -> Connection {
        let started = Instant::now();
        let rows: Vec<&Row> = batch.iter().flat_map(|job| &job.rows).collect();
        let result = session.commit(&rows);
        metrics::histogram!("octroi_audit_commit_seconds").record(started.elapsed().as_secs_f64());
        metrics::histogram!("octroi_audit_commit_records").record(rows.len() as f64);
        match result {
            Ok(seqs) => {
                let mut seqs = seqs.into_iter();
                for job in batch {
                    // The last one's: once that is there, all of the job are.
                    let seq = seqs.by_ref().take(job.rows.len()).last().unwrap_or(Seq(0));
                    self.succeed(job, seq);
                }
                Connection::Usable
            }
            Err(error) if error.is_of_one_record() && batch.len() > 1 => {
                let mut state = Connection::Usable;
                for job in batch {
                    if self.commit(session, vec![job]) == Connection::Broken {
                        state = Connection::Broken;
                    }
                }
                state
            }
            Err(error) => {
                let state = if error.ends_the_connection() { Connection::Broken } else { Connection::Usable };
                tracing::error!(code = error.code(), %error, "audit records were not written");
                fail(batch, &error);
                state
            }
        }
    }

    fn succeed(&self, job: Job, seq: Seq) {
        for row in &job.rows {
            metrics::counter!("octroi_audit_records_total", "kind" => row.kind).increment(1);
            if let Some((id, context)) = row.context() {
                self.contexts.remember(id, context);
            }
        }
        job.answer(Ok(seq));
    }

    /// Removes a bounded number of old contexts, now and then.
    fn clean(&mut self, session: &mut dyn Session) {
        let now = Instant::now();
        if now < self.next_clean {
            return;
        }
        self.next_clean = now + CLEAN_EVERY;
        let Ok(before) = Timestamp::now().checked_sub(KEEP_EXPIRED) else { return };
        match session.clean_contexts(before, CLEAN_AT_MOST) {
            // There is more: go on behind the next batch.
            Ok(removed) if removed >= CLEAN_AT_MOST => self.next_clean = now,
            Ok(_) => {}
            Err(error) => tracing::warn!(code = error.code(), %error, "expired contexts were not removed"),
        }
    }
}

/// What a commit left of the connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Connection {
    Usable,
    Broken,
}

fn fail(batch: Vec<Job>, error: &AuditError) {
    for job in batch {
        let records = job.rows.len() as u64;
        metrics::counter!("octroi_audit_failed_records_total", "code" => error.code()).increment(records);
        job.answer(Err(error.clone()));
    }
}
