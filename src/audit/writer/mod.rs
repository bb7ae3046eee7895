//! The one thread that writes.
//!
//! It takes what is queued, up to a bound, into one transaction, and answers every waiter when that is durable. A record
//! that an answer waits for is committed at once, and while one transaction commits the next batch gathers; one that can
//! wait is given a few milliseconds in which others may come.
//! It also links each record to the one before and has the chain signed now and then.
//!
//! When the store does not take records, their waiters are told; or, where a spill journal is configured, they go there,
//! and from there into the store, in order and once, as soon as it takes them again.

mod chain;
mod inbox;
mod retention;
mod spill;
mod takeover;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use self::inbox::Inbox;
use super::AuditError;
use super::chain::{Head, Seq};
use super::contexts::RecentContexts;
use super::journal::Journal;
use super::queue::{Job, Message};
use super::record::RecordKind;
use super::row::Row;
use super::store::{Session, Store};
pub(crate) use chain::Chain;
pub use retention::Keep;

/// How long a context is kept after it expired.
const KEEP_EXPIRED: SignedDuration = SignedDuration::from_hours(24);
/// How often expired contexts are looked for, and how many are removed at a time.
const CLEAN_EVERY: Duration = Duration::from_secs(60);
const CLEAN_AT_MOST: usize = 500;
/// How often a batch is linked anew because another process of the same node was quicker.
const MOVES: usize = 8;

/// Writes until it is told to stop.
pub(crate) fn run(
    store: &dyn Store,
    receiver: Receiver<Message>,
    contexts: Arc<RecentContexts>,
    chain: Chain,
    journal: Option<Journal>,
    keep: Keep,
) {
    let mut writer = Writer::new(receiver, contexts, chain, journal, keep);
    while !writer.inbox.has_ended() {
        let (mut served, tried) = (Ok(()), Instant::now());
        let opened = store.write(&mut |session| served = writer.serve(session)).and(served);
        if let Err(error) = opened {
            tracing::error!(code = error.code(), %error, "the audit store cannot be opened for writing");
            writer.do_without_store(&error, tried.elapsed());
        }
    }
}

struct Writer {
    inbox: Inbox,
    contexts: Arc<RecentContexts>,
    chain: Chain,
    /// Where records go that the store does not take; `None`: they are refused.
    journal: Option<Journal>,
    /// How long records are kept.
    keep: Keep,
    /// What is being removed.
    cutting: Vec<retention::Cutting>,
    /// While there is no room and more is removed: the bytes that records took before.
    crowded: Option<u64>,
    /// Where the chain ends in the store: before the records in the journal.
    stored: Head,
    /// Up to where the store's chain needs no telling of: it is this process's own, or signed, or was told of. `None` before
    /// the first look.
    own: Option<Head>,
    /// What tells of other records, until it is written.
    taken_over: Option<takeover::Planned>,
    /// What was being committed when the connection broke.
    unsure: Option<Unsure>,
    /// What was taken from the queue behind that and waits for the next connection.
    behind: Vec<Job>,
    /// When the store is next asked to take what waits in the journal.
    next_drain: Instant,
    /// Whether the journal was looked through for what an earlier process linked anew.
    looked_through: bool,
    /// Whether it was told that what waits in the journal is being linked anew.
    links_anew: bool,
    next_clean: Instant,
    /// When old records are next looked for.
    next_retention: Instant,
}

/// A batch that is answered when the store is open again.
struct Unsure {
    batch: Vec<Job>,
    /// The chain's head if the store has it already.
    head: Head,
}

/// What a commit left of the connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Connection {
    Usable,
    Broken,
}

/// When the chain is signed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sign {
    /// With what is being written.
    Now,
    /// When it is time, or a record asks for it.
    WhenDue,
}

/// Whether a batch whose connection breaks is tried on the next one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Attempt {
    First,
    Last,
}

impl Writer {
    fn new(
        receiver: Receiver<Message>,
        contexts: Arc<RecentContexts>,
        chain: Chain,
        journal: Option<Journal>,
        keep: Keep,
    ) -> Self {
        let now = Instant::now();
        Self {
            inbox: Inbox::new(receiver),
            contexts,
            chain,
            journal,
            keep,
            cutting: Vec::new(),
            crowded: None,
            stored: Head::EMPTY,
            own: None,
            taken_over: None,
            unsure: None,
            behind: Vec::new(),
            next_drain: now,
            looked_through: false,
            links_anew: false,
            next_clean: now,
            next_retention: now,
        }
    }

    /// Commits batch after batch. Returns at the end, or when the connection is to be replaced; an error when it could
    /// not begin.
    fn serve(&mut self, session: &mut dyn Session) -> Result<(), AuditError> {
        self.find_head(session, self.unsure.as_ref().map(|unsure| unsure.head))?;
        let mut state = self.go_on(session);
        loop {
            if state == Connection::Usable {
                state = self.index(session);
            }
            self.tell_marks();
            if state == Connection::Broken {
                return Ok(());
            }
            if self.inbox.is_to_end() {
                while let Some(rest) = self.inbox.queued() {
                    if self.take(session, rest, Attempt::First) == Connection::Broken {
                        return Ok(());
                    }
                }
                let finished = self.sign(session).and_then(|()| session.finish());
                self.inbox.end(&finished);
                return Ok(());
            }
            session.tidy();
            self.clean(session);
            state = self.turn(session);
        }
    }

    /// One batch, or what is due when none comes.
    fn turn(&mut self, session: &mut dyn Session) -> Connection {
        if self.drain(session) == Connection::Broken {
            return Connection::Broken;
        }
        if self.retain(session) == Connection::Broken {
            return Connection::Broken;
        }
        let patience = match self.drain_in() {
            Some(drain) => Some(drain),
            None => self.chain.due_in().into_iter().chain(self.retain_in()).chain(session.index_in()).min(),
        };
        let batch = self.inbox.next_batch(patience);
        if batch.is_empty() { self.sign_when_due(session) } else { self.take(session, batch, Attempt::First) }
    }

    /// Tells those who wait for what came before them, once all of that is written or refused.
    fn tell_marks(&mut self) {
        if self.unsure.is_none() && self.behind.is_empty() {
            self.inbox.tell_marks();
        }
    }

    /// Brings what is searched up to date when somebody waits for it, and nearer to that when it is time.
    fn index(&mut self, session: &mut dyn Session) -> Connection {
        let indexed = if self.inbox.has_marks() {
            session.index()
        } else if session.index_in().is_some_and(|left| left.is_zero()) {
            session.index_some()
        } else {
            return Connection::Usable;
        };
        indexed.map_or_else(
            |error| {
                tracing::warn!(code = error.code(), %error, "the tables that are searched lag behind; later again");
                state_after(&error)
            },
            |()| Connection::Usable,
        )
    }

    /// Into the store; or behind those that wait for it.
    fn take(&mut self, session: &mut dyn Session, batch: Vec<Job>, attempt: Attempt) -> Connection {
        if self.is_spilling() {
            self.spill(batch);
            return Connection::Usable;
        }
        self.commit(session, batch, attempt)
    }

    /// Where the store's chain ends; `tried` is where an attempt ends of which nobody knows yet what became of it.
    fn find_head(&mut self, session: &mut dyn Session, tried: Option<Head>) -> Result<(), AuditError> {
        let (head, _) = session.head(&self.chain.node)?;
        let signed = self.last_signed(session)?;
        self.stored = head;
        if tried == Some(head) {
            self.has_told(head);
        }
        // With the records that wait, the chain ends later than the store knows.
        let waiting = self.journal.as_ref().and_then(Journal::head).filter(|waiting| waiting.seq > head.seq);
        self.chain.go_on_from(waiting.unwrap_or(head), signed);
        Ok(())
    }

    /// Answers the batch whose connection broke, if the store has it, or else tries it once more; then those behind it.
    fn go_on(&mut self, session: &mut dyn Session) -> Connection {
        if let Some(Unsure { batch, head }) = self.unsure.take() {
            if head == self.stored {
                self.succeed_all(batch, head.seq);
            } else if self.take(session, batch, Attempt::Last) == Connection::Broken {
                return Connection::Broken;
            }
        }
        let behind = std::mem::take(&mut self.behind);
        if behind.is_empty() { Connection::Usable } else { self.take(session, behind, Attempt::First) }
    }

    /// There is no store to ask: one round of refusing, or of spilling.
    fn do_without_store(&mut self, error: &AuditError, tried_for: Duration) {
        let mut waiting = self.unsure.take().map_or_else(Vec::new, |unsure| unsure.batch);
        waiting.append(&mut self.behind);
        if self.journal.is_some() {
            self.spill_for_a_while(waiting, tried_for);
            return self.inbox.tell_marks();
        }
        // What was queued during the attempt has had it, too: behind a store that hangs nobody waits for a second one.
        fail(waiting, error);
        while let Some(batch) = self.inbox.queued() {
            fail(batch, error);
        }
        self.inbox.tell_marks();
        // The store is tried again for whoever comes next.
        self.behind = self.inbox.next_batch(None);
        if self.behind.is_empty() {
            if self.inbox.is_to_end() {
                self.inbox.end(&Err(error.clone()));
            } else {
                self.inbox.tell_marks();
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

    /// Signs what the store has and nobody signed.
    fn sign(&mut self, session: &mut dyn Session) -> Result<(), AuditError> {
        // Of records that wait nobody can say yet that the store has them.
        if self.is_spilling() || !self.chain.is_unsigned() {
            return Ok(());
        }
        self.append(session, &[], Sign::Now).map(drop)
    }

    /// Commits a batch and answers its waiters. When one record is at fault, each job gets a transaction of its own,
    /// so that its neighbours are kept.
    fn commit(&mut self, session: &mut dyn Session, batch: Vec<Job>, attempt: Attempt) -> Connection {
        let started = Instant::now();
        let rows: Vec<&Row> = batch.iter().flat_map(|job| &job.rows).collect();
        let result = self.append(session, &rows, Sign::WhenDue);
        metrics::histogram!("octroi_audit_commit_seconds").record(started.elapsed().as_secs_f64());
        metrics::histogram!("octroi_audit_commit_records").record(rows.len() as f64);
        match result {
            Ok(last) => {
                self.succeed_all(batch, last);
                Connection::Usable
            }
            Err(error) if error.is_of_one_record() && batch.len() > 1 => {
                let mut jobs = batch.into_iter();
                while let Some(job) = jobs.next() {
                    // Once one of them waits in the journal, the others wait behind it.
                    if self.take(session, vec![job], attempt) == Connection::Broken {
                        drop(self.behind.splice(0..0, jobs));
                        return Connection::Broken;
                    }
                }
                Connection::Usable
            }
            Err(error) if error.leaves_it_open() && attempt == Attempt::First => {
                tracing::warn!(code = error.code(), %error, "the audit store's connection broke; once more on a new one");
                let head = self.attempted(&rows);
                self.unsure = Some(Unsure { batch, head });
                Connection::Broken
            }
            Err(error) => {
                tracing::error!(code = error.code(), %error, "the audit store did not take records");
                if self.journal.is_some() && !error.is_of_one_record() {
                    self.spill(batch);
                } else {
                    fail(batch, &error);
                }
                state_after(&error)
            }
        }
    }

    /// Writes rows at the end of the chain; returns the number of the last.
    fn append(&mut self, session: &mut dyn Session, rows: &[&Row], sign: Sign) -> Result<Seq, AuditError> {
        let mut moves = 0;
        loop {
            match self.write(session, rows, sign) {
                Ok(()) => return Ok(self.stored.seq),
                Err(AuditError::ChainMoved) if moves < MOVES => {
                    moves += 1;
                    let attempted = self.attempted(rows);
                    self.find_head(session, Some(attempted))?;
                    // It was this very batch: an attempt that was given up here went on in the store.
                    if self.stored == attempted {
                        return Ok(attempted.seq);
                    }
                    tracing::warn!(node = self.chain.node.id, "{}", AuditError::ChainMoved);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Links rows to what the store has and writes them. Nothing else signs this chain, and what others wrote is told of
    /// in front of them: so a checkpoint covers no such record without that.
    fn write(&mut self, session: &mut dyn Session, rows: &[&Row], sign: Sign) -> Result<(), AuditError> {
        self.look_for_others(session)?;
        let written = self.with_takeover(rows);
        let (links, head) = self.chain.links_behind(self.stored, &written);
        let at_once =
            sign == Sign::Now || self.inbox.is_to_end() || written.iter().any(|row| is_signed_at_once(row.kind));
        let checkpoint = if at_once { Some(self.chain.signed_head(head)) } else { self.chain.checkpoint(head) };
        session.commit(&links, checkpoint.as_ref().map(|checkpoint| (self.chain.place(checkpoint), checkpoint)))?;
        // What waits in the journal comes behind it.
        let end = if self.is_spilling() { self.chain.head() } else { head };
        self.chain.moved_to(end, checkpoint.map(|checkpoint| checkpoint.head.seq));
        self.stored = head;
        self.has_told(head);
        Ok(())
    }

    /// Where the chain ended if an attempt to write these got through.
    fn attempted(&self, rows: &[&Row]) -> Head {
        self.chain.links_behind(self.stored, &self.with_takeover(rows)).1
    }

    /// Answers the waiters of records that are durable; `last` is the number of the last record.
    fn succeed_all(&self, batch: Vec<Job>, Seq(last): Seq) {
        let records = |job: &Job| i64::try_from(job.rows.len()).unwrap_or(0);
        let mut number = last - batch.iter().map(records).sum::<i64>();
        let mut of_kind = BTreeMap::<&str, u64>::new();
        for row in batch.iter().flat_map(|job| &job.rows) {
            *of_kind.entry(row.kind.as_str()).or_default() += 1;
            if let Some((id, context)) = row.context() {
                self.contexts.remember(id, context);
            }
        }
        if self.is_spilling() {
            self.contexts.forget_expired(Timestamp::now());
        } else {
            self.contexts.forget_old();
        }
        for (kind, records) in of_kind {
            metrics::counter!("octroi_audit_records_total", "kind" => kind).increment(records);
        }
        for job in batch {
            // The last one's: once that is there, all of the job are.
            number += records(&job);
            job.answer(Ok(Seq(number)));
        }
    }

    /// Removes a bounded number of old contexts, now and then.
    fn clean(&mut self, session: &mut dyn Session) {
        let now = Instant::now();
        // A store that takes no records is not asked for what can wait.
        if now < self.next_clean || self.is_spilling() {
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

/// Whether a record is signed in its own transaction: so nothing unsigned stands between an end and the next start, but what
/// somebody else wrote.
fn is_signed_at_once(kind: RecordKind) -> bool {
    matches!(kind, RecordKind::Lifecycle | RecordKind::Takeover)
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
