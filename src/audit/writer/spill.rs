//! Records that the store does not take: into the journal, and from there into the store.
//!
//! The chain goes on in the journal: each record gets its number and its hash there, and keeps them. So a record that is in
//! both is known by its number, and none is written twice. While the journal holds anything, whatever comes goes behind it.

use std::time::{Duration, Instant};

use super::{Connection, Writer, fail, state_after};
use crate::audit::AuditError;
use crate::audit::chain::{ChainHash, Head, Place, Seq};
use crate::audit::journal::{Journal, Spilled};
use crate::audit::queue::Job;
use crate::audit::row::Row;
use crate::audit::store::{Link, Session};

/// Between two attempts to have the store take records.
const PAUSE: Duration = Duration::from_secs(1);
/// Records that go from the journal into the store at a time, between which others are served.
const AT_ONCE: usize = 512;

impl Writer {
    /// Whether records wait in the journal.
    pub(super) fn is_spilling(&self) -> bool {
        self.journal.as_ref().is_some_and(|journal| !journal.is_empty())
    }

    /// Writes a batch into the journal and answers its waiters.
    pub(super) fn spill(&mut self, batch: Vec<Job>) {
        let rows: Vec<&Row> = batch.iter().flat_map(|job| &job.rows).collect();
        let (links, head) = self.chain.links(&rows);
        let Some(journal) = &mut self.journal else { return fail(batch, &AuditError::Closed) };
        match journal.append(&links) {
            Ok(()) => {
                metrics::counter!("octroi_audit_spilled_records_total").increment(rows.len() as u64);
                self.chain.moved_to(head, None);
                self.succeed_all(batch, head.seq);
            }
            Err(error) => {
                tracing::error!(code = error.code(), %error, "audit records were not written");
                fail(batch, &error);
            }
        }
    }

    /// There is no store: what comes goes into the journal, until it is time to try again.
    pub(super) fn spill_for_a_while(&mut self, first: Option<Vec<Job>>) {
        let until = Instant::now() + PAUSE;
        if let Some(batch) = first {
            self.spill(batch);
        }
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
        match self.drain_some(session) {
            Ok(()) => {
                if !self.is_spilling() {
                    tracing::info!("the audit store has all records of the spill journal");
                }
                Connection::Usable
            }
            Err(error) => {
                tracing::warn!(code = error.code(), %error, "the audit store does not take the spill journal's records yet");
                self.next_drain = Instant::now() + PAUSE;
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
            && session.record_at(last.place)?.is_none_or(|(_, _, hash)| last.head().map(|it| it.hash) != Ok(hash))
        {
            return self.drain_anew(session);
        }
        if let (Some(first), Some(last)) = (missing.first(), missing.last()) {
            let links = missing.iter().map(|it| link(it)).collect::<Result<Vec<_>, _>>()?;
            let continues = first.head()? == self.chain.behind(self.stored, &first.row)
                && self.chain.node.number == first.place.node();
            let committed = if continues { session.commit(&links, None) } else { Err(AuditError::ChainMoved) };
            match committed {
                Ok(()) => self.stored = last.head()?,
                Err(error) if error == AuditError::ChainMoved || error.is_for_good() => {
                    return self.drain_anew(session);
                }
                Err(error) => return Err(error),
            }
        }
        self.drained_to(end)
    }

    /// The store's chain is not the one that the journal goes on with: another process wrote as this node, or a backup was
    /// restored. Some of the records are linked to what is there, one by one; those that are there already stay as they
    /// are. The next step comes here again: what is left does not fit either.
    fn drain_anew(&mut self, session: &mut dyn Session) -> Result<(), AuditError> {
        if !self.links_anew {
            self.links_anew = true;
            tracing::error!(
                node = self.chain.node.id,
                "the audit store's chain is not the one that the spill journal's records belong to; they are linked anew"
            );
        }
        self.pass_over_linked(session)?;
        let (head, signed) = session.head(&self.chain.node)?;
        self.chain.go_on_from(head, signed);
        for _ in 0..AT_ONCE {
            let Some(journal) = self.journal.as_ref().filter(|journal| !journal.is_empty()) else { break };
            let from = journal.drained();
            let (records, end) = journal.next(from, 1)?;
            for Spilled { row, .. } in &records {
                let (links, head) = self.chain.links(&[row]);
                match session.commit(&links, None) {
                    Ok(()) => {
                        self.chain.moved_to(head, None);
                        self.stored = head;
                    }
                    Err(error @ AuditError::Duplicate { .. }) => tracing::info!(%error, "nothing to be done"),
                    Err(error) if error.is_for_good() => {
                        let copy = journal.set_aside(from, end)?;
                        metrics::counter!("octroi_audit_failed_records_total", "code" => error.code()).increment(1);
                        tracing::error!(
                            code = error.code(), %error, record = row.body, copy = %copy.display(),
                            "a record of the spill journal was not written; it was set aside"
                        );
                    }
                    // It was acknowledged, and stays.
                    Err(error) => return Err(error),
                }
            }
            self.drained_to(end)?;
        }
        Ok(())
    }

    /// Passes over what an earlier attempt linked anew before the process was killed: the store's last record is one of
    /// the journal's.
    fn pass_over_linked(&mut self, session: &mut dyn Session) -> Result<(), AuditError> {
        let Some(journal) = self.journal.as_ref().filter(|journal| journal.drained() == 0) else { return Ok(()) };
        let (last, _) = session.head(&self.chain.node)?;
        let before = Place::new(self.chain.node.number, Seq(last.seq.0 - 1));
        let before = match session.record_at(before)? {
            Some((place, _, hash)) if place == before => Head { seq: place.seq(), hash },
            _ => Head::EMPTY,
        };
        let mut end = 0;
        loop {
            let (records, behind) = journal.next(end, 1)?;
            let Some(Spilled { row, .. }) = records.first() else { return Ok(()) };
            end = behind;
            if self.chain.behind(before, row) == last {
                return self.drained_to(end);
            }
        }
    }

    fn drained_to(&mut self, end: u64) -> Result<(), AuditError> {
        self.journal.as_mut().map_or(Ok(()), |journal: &mut Journal| journal.drained_to(end))?;
        self.links_anew = self.links_anew && self.is_spilling();
        Ok(())
    }
}

fn link(spilled: &Spilled) -> Result<Link<'_>, AuditError> {
    let hash: ChainHash = spilled.head()?.hash;
    Ok(Link { place: spilled.place, hash, row: &spilled.row })
}
