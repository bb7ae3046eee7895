//! Records that the store does not take: into the journal, and from there into the store.
//!
//! The chain goes on in the journal: each record gets its number and its hash there, and keeps them. So a record that is in
//! both is known by its number, and none is written twice. While the journal holds anything, whatever comes goes behind it.

use std::time::{Duration, Instant};

use super::{Connection, Sign, Writer, fail, state_after};
use crate::audit::AuditError;
use crate::audit::chain::{Head, Place, Seq};
use crate::audit::journal::{Journal, Spilled};
use crate::audit::queue::Job;
use crate::audit::row::Row;
use crate::audit::store::Session;

/// Between two attempts to have the store take records: at least, and at most.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A pause is so many times as long as the attempt before it. A store that is gone says so at once; one that hangs holds
/// all records up for as long as it is waited for.
const PAUSE_FACTOR: u32 = 10;
/// Records that go from the journal into the store at a time, between which others are served.
const AT_ONCE: usize = 512;

impl Writer {
    /// Whether records wait in the journal.
    pub(super) fn is_spilling(&self) -> bool {
        self.journal.as_ref().is_some_and(|journal| !journal.is_empty())
    }

    /// Writes a batch into the journal and answers its waiters.
    pub(super) fn spill(&mut self, batch: Vec<Job>) {
        // As the store was asked to take them. Behind others that wait is no place for what is to come before them.
        let told = self.taken_over.as_ref().filter(|it| it.through == self.stored && !self.is_spilling());
        let told = told.map(|it| &it.row);
        let rows: Vec<&Row> = told.into_iter().chain(batch.iter().flat_map(|job| &job.rows)).collect();
        let (links, head) = self.chain.links_behind(self.chain.head(), &rows);
        let Some(journal) = &mut self.journal else { return fail(batch, &AuditError::Closed) };
        match journal.append(&links) {
            Ok(()) => {
                metrics::counter!("octroi_audit_spilled_records_total").increment(rows.len() as u64);
                self.chain.moved_to(head, None);
                if told.is_some() {
                    self.has_told(self.stored);
                }
                self.succeed_all(batch, head.seq);
            }
            Err(error) => {
                tracing::error!(code = error.code(), %error, "audit records were not written");
                fail(batch, &error);
            }
        }
    }

    /// There is no store: what comes goes into the journal, until it is time to try again.
    pub(super) fn spill_for_a_while(&mut self, first: Vec<Job>, tried_for: Duration) {
        let until = Instant::now() + pause_after(tried_for);
        self.spill(first);
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            let batch = self.inbox.next_batch(Some(left));
            if batch.is_empty() && self.inbox.is_to_end() {
                // What waits is as durable as it will be without a store.
                self.inbox.end(&Ok(()));
                return;
            }
            self.spill(batch);
            self.inbox.tell_marks();
        }
    }

    /// When the next attempt is due; `None` when nothing waits.
    pub(super) fn drain_in(&self) -> Option<Duration> {
        self.is_spilling().then(|| self.next_drain.saturating_duration_since(Instant::now()))
    }

    /// Has the store take some of the records that wait, when it is time.
    pub(super) fn drain(&mut self, session: &mut dyn Session) -> Connection {
        if self.drain_in().is_none_or(|left| !left.is_zero()) {
            return Connection::Usable;
        }
        let tried = Instant::now();
        match self.drain_some(session) {
            Ok(()) => {
                if !self.is_spilling() {
                    tracing::info!("the audit store has all records of the spill journal");
                }
                Connection::Usable
            }
            Err(error) => {
                tracing::warn!(code = error.code(), %error, "the audit store does not take the spill journal's records yet");
                self.next_drain = Instant::now() + pause_after(tried.elapsed());
                state_after(&error)
            }
        }
    }

    fn drain_some(&mut self, session: &mut dyn Session) -> Result<(), AuditError> {
        let Some(journal) = &self.journal else { return Ok(()) };
        let (records, end) = journal.next(journal.drained(), AT_ONCE)?;
        // Those that the store has are there from an attempt whose answer never came: if the last of them is, all are.
        let (there, missing): (Vec<&Spilled>, Vec<&Spilled>) =
            records.iter().partition(|it| it.place.seq() <= self.stored.seq);
        if let Some(last) = there.last()
            && !is_stored(session, last)?
        {
            let mut passed = journal.drained();
            for spilled in &records {
                if !is_stored(session, spilled)? {
                    break;
                }
                passed = spilled.frame.end;
            }
            self.drained_to(passed)?;
            return self.drain_anew(session, &AuditError::ChainMoved);
        }
        if let Some(last) = there.last() {
            self.vouch_for(last.head()?);
        }
        if let Some(last) = missing.last() {
            self.look_for_others(session)?;
            let rows: Vec<&Row> = missing.iter().map(|it| &it.row).collect();
            let continues = self.chain.node.number == last.place.node() && self.attempted(&rows) == last.head()?;
            // The journal may hold more of them than may stand in the store unsigned.
            let written = if continues { self.write(session, &rows, Sign::Now) } else { Err(AuditError::ChainMoved) };
            match written {
                Ok(()) => {}
                Err(error) if error == AuditError::ChainMoved || error.is_of_one_record() => {
                    return self.drain_anew(session, &error);
                }
                Err(error) => return Err(error),
            }
        }
        self.drained_to(end)
    }

    /// The records do not go in as they are: the store's chain is not the one that the journal goes on with (another process
    /// wrote as this node, or a backup was restored), what is there is to be told of first, or one of them is refused. Some
    /// are linked to what is there; those that are there already stay as they are. The next step comes here again: what is
    /// left does not fit either.
    fn drain_anew(&mut self, session: &mut dyn Session, why: &AuditError) -> Result<(), AuditError> {
        // What is to be told of first is in the log.
        if self.taken_over.is_none() && !std::mem::replace(&mut self.links_anew, true) {
            tracing::error!(
                node = self.chain.node.id, code = why.code(), %why,
                "the audit store does not take the spill journal's records as they are; they are linked anew"
            );
        }
        self.stored = session.head(&self.chain.node)?.0;
        if self.pass_over_linked(session)? {
            return Ok(());
        }
        let Some(journal) = &self.journal else { return Ok(()) };
        let (records, end) = journal.next(journal.drained(), AT_ONCE)?;
        let rows: Vec<&Row> = records.iter().map(|it| &it.row).collect();
        match self.write(session, &rows, Sign::Now) {
            Ok(()) => self.drained_to(end),
            Err(error) if error.is_of_one_record() => self.drain_one_by_one(session, &records),
            Err(error) => Err(error),
        }
    }

    /// Passes over what was linked anew by an attempt whose answer never came, or by a process that was killed: then the
    /// store's last record is one of the journal's. Says whether it is.
    fn pass_over_linked(&mut self, session: &mut dyn Session) -> Result<bool, AuditError> {
        let Some(journal) = &self.journal else { return Ok(false) };
        let before = Place::new(self.chain.node.number, Seq(self.stored.seq.0 - 1));
        let before = match session.record_at(before)? {
            Some((place, _, hash)) if place == before => Head { seq: place.seq(), hash },
            _ => Head::EMPTY,
        };
        let mut from = journal.drained();
        loop {
            let (records, end) = journal.next(from, AT_ONCE)?;
            if let Some(linked) = records.iter().find(|it| self.chain.behind(before, &it.row) == self.stored) {
                return self.drained_to(linked.frame.end).map(|()| true);
            }
            // This process itself linked none behind these.
            if records.is_empty() || self.looked_through {
                self.looked_through = true;
                return Ok(false);
            }
            from = end;
        }
    }

    /// Each in a transaction of its own: one that is at fault keeps no other from the store.
    fn drain_one_by_one(&mut self, session: &mut dyn Session, records: &[Spilled]) -> Result<(), AuditError> {
        for spilled in records {
            match self.write(session, &[&spilled.row], Sign::Now) {
                Ok(()) => {}
                Err(error @ AuditError::Duplicate { .. }) => tracing::info!(%error, "nothing to be done"),
                Err(error) if error.is_for_good() => self.set_aside(spilled, &error)?,
                Err(error) if error.is_of_one_record() && self.is_at_fault(session, spilled)? => {
                    self.set_aside(spilled, &error)?;
                }
                // It was acknowledged, and stays.
                Err(error) => return Err(error),
            }
            self.drained_to(spilled.frame.end)?;
        }
        Ok(())
    }

    /// Whether a record was refused for its own sake: the store would take one of those behind it, and still not this one.
    fn is_at_fault(&self, session: &mut dyn Session, refused: &Spilled) -> Result<bool, AuditError> {
        let Some(journal) = &self.journal else { return Ok(false) };
        let (behind, _) = journal.next(refused.frame.end, AT_ONCE)?;
        let mut would_take = |spilled: &Spilled| {
            let (links, _) = self.chain.links_behind(self.stored, &[&spilled.row]);
            match session.would_take(&links) {
                Ok(()) => Ok(true),
                Err(error) if error.is_of_one_record() => Ok(false),
                Err(error) => Err(error),
            }
        };
        for spilled in &behind {
            if would_take(spilled)? {
                return Ok(!would_take(refused)?);
            }
        }
        Ok(false)
    }

    fn set_aside(&self, spilled: &Spilled, error: &AuditError) -> Result<(), AuditError> {
        let Some(journal) = &self.journal else { return Ok(()) };
        let copy = journal.set_aside(spilled)?;
        metrics::counter!("octroi_audit_failed_records_total", "code" => error.code()).increment(1);
        tracing::error!(
            code = error.code(), %error, record = spilled.row.body, copy = %copy.display(),
            "a record of the spill journal was not written; it was set aside"
        );
        Ok(())
    }

    fn drained_to(&mut self, end: u64) -> Result<(), AuditError> {
        let drained = self.journal.as_mut().map_or(Ok(()), |journal: &mut Journal| journal.drained_to(end));
        if !self.is_spilling() {
            self.links_anew = false;
            self.chain.moved_to(self.stored, None);
        }
        drained
    }
}

/// How long the store is left alone after an attempt that took so long.
fn pause_after(tried_for: Duration) -> Duration {
    (tried_for * PAUSE_FACTOR).clamp(PAUSE, LONGEST_PAUSE)
}

/// Whether the store has the record, at its place.
fn is_stored(session: &mut dyn Session, spilled: &Spilled) -> Result<bool, AuditError> {
    let hash = spilled.head()?.hash;
    Ok(session.record_at(spilled.place)?.is_some_and(|(place, _, its)| place == spilled.place && its == hash))
}
