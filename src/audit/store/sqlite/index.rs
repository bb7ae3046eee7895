//! The tables that are searched, which follow the records.
//!
//! A record touches one page of each index, and a transaction writes every page that it touched: filled with every
//! record, these tables would be most of what is written. So a commit writes the records alone, and what they mean for the
//! search waits here until there is much of it, or a moment has passed, or somebody searches. What waits is only a copy:
//! `indexed` says up to which record the tables are filled, and after a crash the rest is read from the records.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension as _, Statement, params};

use super::failure::{classed, rolled_back};
use super::{Turns, archive};
use crate::audit::AuditError;
use crate::audit::chain::Place;
use crate::audit::row::{Effect, EntryKind, Opening, Row};
use crate::audit::store::{Link, StoredRecord, storable};

/// Records that wait, and how long the first of them does, before the tables are filled.
const MANY: usize = 512;
const A_MOMENT: Duration = Duration::from_millis(100);
/// Records that wait at most. Beyond it commits fail with whatever keeps the tables from being filled.
const MOST: usize = 16_384;
/// Records that are read from the store at a time.
const AT_ONCE: usize = 512;

/// What waits for the tables, and the statements that fill them.
pub(super) struct Index<'c> {
    connection: &'c Connection,
    waiting: Vec<Waiting>,
    /// Of the entries that wait: whether each is complete. Of others: those that were completed since.
    closed: HashMap<String, bool>,
    since: Option<Instant>,
    /// So many are too many to wait for the moment's end.
    many: usize,
    open: Statement<'c>,
    close: Statement<'c>,
    matched: Statement<'c>,
    matched_later: Statement<'c>,
    entry: Statement<'c>,
    reached: Statement<'c>,
    reach: Statement<'c>,
}

/// A committed record, or one that is being committed.
struct Waiting {
    place: Place,
    at: i64,
    id: String,
    effect: Effect,
}

impl<'c> Index<'c> {
    pub(super) fn new(connection: &'c Connection) -> Result<Self, AuditError> {
        let prepare = |sql: &str| connection.prepare(sql).map_err(classed);
        Ok(Self {
            connection,
            waiting: Vec::new(),
            closed: HashMap::new(),
            since: None,
            many: MANY,
            // Whether the id is new was asked before the record was written.
            open: prepare(
                "INSERT OR IGNORE INTO entries \
                 (place, id, context_id, kind, at, tenant, client, \"user\", request_type, decision) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )?,
            close: prepare(
                "UPDATE entries SET outcome_place = ?, decision = ? \
                 WHERE id = ? AND kind = 'request' AND outcome_place IS NULL",
            )?,
            matched: prepare("INSERT OR IGNORE INTO entry_policies (tenant, policy, at, entry) VALUES (?, ?, ?, ?)")?,
            matched_later: prepare(
                "INSERT OR IGNORE INTO entry_policies (tenant, policy, at, entry) \
                 SELECT tenant, ?, at, place FROM entries WHERE id = ?",
            )?,
            entry: prepare("SELECT kind = 'request' AND outcome_place IS NULL FROM entries WHERE id = ?")?,
            reached: prepare("SELECT place FROM indexed WHERE node = ?")?,
            reach: prepare("INSERT OR REPLACE INTO indexed (node, place) VALUES (?, ?)")?,
        })
    }

    /// Takes a record that is being committed, if it may be: its id is new, or that of a request without an outcome.
    pub(super) fn take(&mut self, &Link { place, row, .. }: &Link<'_>) -> Result<(), AuditError> {
        let Row { id, effect, .. } = row;
        match effect {
            Effect::None | Effect::Erase(_) => {}
            Effect::Open(opening) => {
                if self.is_open(id)?.is_some() {
                    return Err(AuditError::Duplicate { id: id.clone() });
                }
                self.closed.insert(id.clone(), has_no_outcome(opening));
            }
            Effect::Close { .. } => {
                match self.is_open(id)? {
                    Some(true) => {}
                    Some(false) => return Err(AuditError::Duplicate { id: id.clone() }),
                    None => return Err(AuditError::NoIntent { id: id.clone() }),
                }
                self.closed.insert(id.clone(), true);
            }
        }
        self.waiting.push(Waiting { place, at: row.at.as_microsecond(), id: id.clone(), effect: effect.clone() });
        Ok(())
    }

    /// Whether the entry of that id waits for an outcome; `None`: there is no such entry.
    fn is_open(&mut self, id: &str) -> Result<Option<bool>, AuditError> {
        match self.closed.get(id) {
            Some(closed) => Ok(Some(!closed)),
            None => self.entry.query_row([id], |row| row.get(0)).optional().map_err(classed),
        }
    }

    /// How many records wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// What was taken is committed.
    pub(super) fn committed(&mut self) {
        if !self.waiting.is_empty() {
            self.since.get_or_insert_with(Instant::now);
        }
    }

    /// What was taken beyond so many is not committed.
    pub(super) fn not_committed(&mut self, kept: usize) {
        self.waiting.truncate(kept);
        self.closed.clear();
        for Waiting { id, effect, .. } in &self.waiting {
            match effect {
                Effect::None | Effect::Erase(_) => {}
                Effect::Open(opening) => drop(self.closed.insert(id.clone(), has_no_outcome(opening))),
                Effect::Close { .. } => drop(self.closed.insert(id.clone(), true)),
            }
        }
    }

    /// Whether no more may wait.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= MOST
    }

    /// When the tables are to be filled; `None`: nothing waits.
    pub(super) fn due_in(&self) -> Option<Duration> {
        let since = self.since?;
        Some(if self.waiting.len() >= self.many { Duration::ZERO } else { A_MOMENT.saturating_sub(since.elapsed()) })
    }

    /// Fills the tables with all that waits. Returns about how many pages were written.
    pub(super) fn fill(&mut self, turns: &Turns) -> Result<usize, AuditError> {
        let Some(node) = self.waiting.first().map(|first| first.place.node()) else { return Ok(0) };
        let waiting = std::mem::take(&mut self.waiting);
        let filled = self.in_transaction(turns, |index| {
            // Another process may have done a part.
            let reached = index.reached(node)?;
            let rest = waiting.iter().filter(|it| it.place > reached);
            if let Some(first) = rest.clone().next()
                && first.place.0 > reached.0 + 1
            {
                index.fill_from_records(Place(reached.0 + 1), Place(first.place.0 - 1))?;
            }
            for record in rest {
                index.apply(record)?;
            }
            match waiting.last() {
                Some(last) if last.place > reached => index.reach(last.place),
                _ => Ok(()),
            }
        });
        if let Err(error) = filled {
            self.waiting = waiting;
            // Not at once again.
            self.since = Some(Instant::now());
            self.many = self.waiting.len() + MANY;
            return Err(error);
        }
        self.closed.clear();
        (self.since, self.many) = (None, MANY);
        Ok(8 + waiting.len() / 2)
    }

    /// Fills the tables up to the last record of a node that is in the store.
    pub(super) fn catch_up(&mut self, turns: &Turns, node: i64) -> Result<(), AuditError> {
        loop {
            let Some((first, last)) = archive::extent(self.connection, node)? else { return Ok(()) };
            let reached = self.reached(node)?.max(Place(first.0 - 1));
            if reached >= last {
                return Ok(());
            }
            self.in_transaction(turns, |index| {
                let reached = index.reached(node)?.max(Place(first.0 - 1));
                let through = Place(last.0.min(reached.0 + AT_ONCE as i64));
                index.fill_from_records(Place(reached.0 + 1), through)?;
                index.reach(through)
            })?;
        }
    }

    fn in_transaction(
        &mut self,
        turns: &Turns,
        work: impl FnOnce(&mut Self) -> Result<(), AuditError>,
    ) -> Result<(), AuditError> {
        let _turn = turns.wait();
        self.connection.execute_batch("BEGIN IMMEDIATE").map_err(classed)?;
        let done = work(self).and_then(|()| self.connection.execute_batch("COMMIT").map_err(classed));
        rolled_back(self.connection, done)
    }

    /// Up to where the tables are filled.
    fn reached(&mut self, node: i64) -> Result<Place, AuditError> {
        let reached = self.reached.query_row([node], |row| row.get(0).map(Place)).optional().map_err(classed)?;
        Ok(reached.unwrap_or(Place::of_node(node).0))
    }

    fn reach(&mut self, place: Place) -> Result<(), AuditError> {
        self.reach.execute([place.node(), place.0]).map(drop).map_err(classed)
    }

    fn fill_from_records(&mut self, from: Place, through: Place) -> Result<(), AuditError> {
        let mut from = from;
        while from <= through {
            let records = archive::records(self.connection, from, through, AT_ONCE)?;
            let Some(last) = records.last() else { return Ok(()) };
            from = Place(last.place.0 + 1);
            for StoredRecord { place, at_microseconds: at, kind, id, body, .. } in records {
                match Effect::of_stored(&kind, &body) {
                    Ok(effect) => self.apply(&Waiting { place, at, id, effect })?,
                    // It stays in the chain, where `verify` judges it; for its sake nothing else may go unrecorded.
                    Err(error) => tracing::error!(
                        record = place.seq().0, kind, id, %error,
                        "a record cannot be read: a search will not find it"
                    ),
                }
            }
        }
        Ok(())
    }

    fn apply(&mut self, Waiting { place: Place(place), at, id, effect }: &Waiting) -> Result<(), AuditError> {
        match effect {
            Effect::None | Effect::Erase(_) => Ok(()),
            Effect::Open(Opening { entry, caller, request_type, decision, matched, context_id, context: _ }) => {
                let tenant = storable(&caller.tenant);
                self.open
                    .execute(params![
                        place,
                        id,
                        context_id,
                        entry.as_str(),
                        at,
                        tenant,
                        storable(&caller.client),
                        storable(&caller.user),
                        storable(request_type),
                        decision.as_str()
                    ])
                    .map_err(classed)?;
                matched.iter().try_for_each(|policy| {
                    self.matched.execute(params![tenant, policy, at, place]).map(drop).map_err(classed)
                })
            }
            Effect::Close { decision, matched } => {
                self.close.execute(params![place, decision.as_str(), id]).map_err(classed)?;
                matched
                    .iter()
                    .try_for_each(|policy| self.matched_later.execute(params![policy, id]).map(drop).map_err(classed))
            }
        }
    }
}

/// Only a request is completed by a second record.
fn has_no_outcome(opening: &Opening) -> bool {
    opening.entry != EntryKind::Request
}
