//! The one thread that writes.
//!
//! It takes what is queued, up to a bound, into one transaction, and answers every waiter when that is durable. No
//! record waits for a timer: a lone one is committed at once, and while one transaction commits the next batch gathers.
//! It also links each record to the one before and has the chain signed now and then.

mod chain;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::oneshot;

use super::AuditError;
use super::chain::Seq;
use super::contexts::RecentContexts;
use super::queue::{Job, Message};
use super::row::Row;
use super::store::{Session, Store};
pub(crate) use chain::Chain;

/// Records of one transaction at most: bounds how long its first waiter waits for its last.
const MOST_RECORDS: usize = 512;
/// Bytes of one transaction at most.
const MOST_BYTES: usize = 4 << 20;
/// How long a context is kept after it expired.
const KEEP_EXPIRED: SignedDuration = SignedDuration::from_hours(24);
/// How often expired contexts are looked for, and how many are removed at a time.
const CLEAN_EVERY: Duration = Duration::from_secs(60);
const CLEAN_AT_MOST: usize = 500;
/// How often a batch is linked anew because another process of the same node was quicker.
const MOVES: usize = 8;

/// Writes until it is told to stop.
pub(crate) fn run(store: &dyn Store, receiver: Receiver<Message>, contexts: Arc<RecentContexts>, chain: Chain) {
    let (marks, next_clean) = (Vec::new(), Instant::now());
    let mut writer = Writer { receiver, contexts, chain, stop: Stop::NotAsked, marks, next_clean };
    loop {
        let mut begun = Ok(());
        let opened = store.write(&mut |session| begun = writer.serve(session)).and(begun);
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
    chain: Chain,
    stop: Stop,
    /// Who waits for what was queued before it; told when the batch that it came with is over.
    marks: Vec<oneshot::Sender<()>>,
    next_clean: Instant,
}

impl Writer {
    /// Commits batch after batch. Returns at the end, or when the connection is to be replaced; an error when it could
    /// not begin.
    fn serve(&mut self, session: &mut dyn Session) -> Result<(), AuditError> {
        self.find_head(session)?;
        self.clean(session);
        loop {
            let batch = self.next_batch();
            let state = if batch.is_empty() { self.sign_when_due(session) } else { self.commit(session, batch) };
            self.tell_marks();
            if state == Connection::Broken {
                return Ok(());
            }
            if matches!(self.stop, Stop::Asked(_)) {
                while let Some(rest) = self.queued() {
                    if self.commit(session, rest) == Connection::Broken {
                        return Ok(());
                    }
                }
                let finished = self.sign(session).and_then(|()| session.finish());
                self.end(finished);
                return Ok(());
            }
            session.tidy();
            self.clean(session);
        }
    }

    fn find_head(&mut self, session: &mut dyn Session) -> Result<(), AuditError> {
        let (head, signed) = session.head(&self.chain.node)?;
        self.chain.go_on_from(head, signed);
        Ok(())
    }

    /// Waits for something to write, then takes what else is queued, up to the bounds. Empty when it is to end, or when
    /// the chain is to be signed and nothing came.
    fn next_batch(&mut self) -> Vec<Job> {
        if !matches!(self.stop, Stop::NotAsked) {
            return self.queued().unwrap_or_default();
        }
        loop {
            let message = match self.chain.due_in() {
                Some(patience) => self.receiver.recv_timeout(patience),
                None => self.receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match message {
                Ok(Message::Write(job)) => return self.gather(job),
                // What was queued before it has been written: it came in an earlier batch.
                Ok(Message::Mark(mark)) => {
                    let _ = mark.send(());
                }
                Ok(Message::Stop(done)) => {
                    self.ask_to_stop(done);
                    return Vec::new();
                }
                Err(RecvTimeoutError::Timeout) => return Vec::new(),
                Err(RecvTimeoutError::Disconnected) => {
                    self.ask_to_stop(None);
                    return Vec::new();
                }
            }
        }
    }

    /// Signs the chain where no record did it on its way.
    fn sign_when_due(&mut self, session: &mut dyn Session) -> Connection {
        if self.chain.due_in().is_none_or(|left| !left.is_zero()) {
            return Connection::Usable;
        }
        match self.sign(session) {
            Ok(()) => Connection::Usable,
            Err(error) => {
                tracing::warn!(code = error.code(), %error, "the audit chain could not be signed; later again");
                self.chain.put_off();
                state_after(&error)
            }
        }
    }

    fn sign(&mut self, session: &mut dyn Session) -> Result<(), AuditError> {
        let Some(checkpoint) = self.chain.last_checkpoint() else { return Ok(()) };
        session.commit(&[], Some((self.chain.place(&checkpoint), &checkpoint)))?;
        self.chain.moved_to(self.chain.head(), Some(checkpoint.head.seq));
        Ok(())
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
        let result = self.append(session, &rows);
        metrics::histogram!("octroi_audit_commit_seconds").record(started.elapsed().as_secs_f64());
        metrics::histogram!("octroi_audit_commit_records").record(rows.len() as f64);
        match result {
            Ok(Seq(before)) => {
                let mut last = before;
                for job in batch {
                    // The last one's: once that is there, all of the job are.
                    last += i64::try_from(job.rows.len()).unwrap_or(0);
                    self.succeed(job, Seq(last));
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
                tracing::error!(code = error.code(), %error, "audit records were not written");
                fail(batch, &error);
                state_after(&error)
            }
        }
    }

    /// Links the rows to the chain and writes them; returns the number of the record before the first.
    fn append(&mut self, session: &mut dyn Session, rows: &[&Row]) -> Result<Seq, AuditError> {
        let mut moves = 0;
        loop {
            let before = self.chain.head().seq;
            let (links, head) = self.chain.links(rows);
            let checkpoint = self.chain.checkpoint(head);
            let placed = checkpoint.as_ref().map(|checkpoint| (self.chain.place(checkpoint), checkpoint));
            match session.commit(&links, placed) {
                Ok(()) => {
                    self.chain.moved_to(head, checkpoint.map(|checkpoint| checkpoint.head.seq));
                    return Ok(before);
                }
                Err(AuditError::ChainMoved) if moves < MOVES => {
                    tracing::warn!(node = self.chain.node.id, "{}", AuditError::ChainMoved);
                    moves += 1;
                    self.find_head(session)?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn succeed(&self, job: Job, seq: Seq) {
        for row in &job.rows {
            metrics::counter!("octroi_audit_records_total", "kind" => row.kind.as_str()).increment(1);
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

fn state_after(error: &AuditError) -> Connection {
    if error.ends_the_connection() { Connection::Broken } else { Connection::Usable }
}

fn fail(batch: Vec<Job>, error: &AuditError) {
    for job in batch {
        let records = job.rows.len() as u64;
        metrics::counter!("octroi_audit_failed_records_total", "code" => error.code()).increment(records);
        job.answer(Err(error.clone()));
    }
}
