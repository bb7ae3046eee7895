//! The tables that are searched, which follow the records.
//!
//! A record touches one page of each index, and a transaction writes every page that it touched: filled with every
//! record, these tables would be most of what is written. So a commit writes the records alone, and what they mean for the
//! search waits here until there is much of it, or a moment has passed, or somebody searches. By then most requests have
//! their outcome, and one row takes both. The tables are filled in small steps, between which records are committed. What
//! waits is only a copy: `indexed` says up to which record the tables are filled, and after a crash the rest is read from
//! the records.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rusqlite::types::{Null, ToSqlOutput};
use rusqlite::{Connection, OptionalExtension as _, Statement, params};

use super::failure::rolled_back;
use super::insert::Insert;
use super::{Turns, archive};
use crate::audit::AuditError;
use crate::audit::chain::Place;
use crate::audit::contexts::REMEMBERED;
use crate::audit::record::Decision;
use crate::audit::row::{ContextRow, Effect, EntryKind, Opening, Row};
use crate::audit::store::{Link, StoredRecord, Texts, storable};

/// Records that wait, and how long the first of them does, before the tables are filled.
const MANY: usize = 512;
const A_MOMENT: Duration = Duration::from_millis(100);
/// Records of one step: a third of a millisecond, for which requests wait on a busy core.
const A_FEW: usize = 128;
/// Entries that one statement enters.
const TOGETHER: usize = 16;
/// Records that wait at most. Beyond it commits fail with whatever keeps the tables from being filled.
const MOST: usize = 16_384;
/// Records that are read from the store at a time.
const AT_ONCE: usize = 512;

/// What waits for the tables, and the statements that fill them.
pub(super) struct Index<'c> {
    connection: &'c Connection,
    /// In the order of their places.
    waiting: VecDeque<Waiting>,
    /// Of the entries that records wait for, by id: the record that completed it, if there is one.
    complete: HashMap<Arc<str>, Option<Place>>,
    /// After a failure: when it is tried again.
    again_at: Option<Instant>,
    lags: &'c AtomicBool,
    open: Insert<'c, { COLUMNS.len() }>,
    context: Statement<'c>,
    close: Statement<'c>,
    matched: Statement<'c>,
    matched_later: Statement<'c>,
    entry: Statement<'c>,
    reached: Statement<'c>,
    reach: Statement<'c>,
}

/// A committed record, or one that is being committed.
struct Waiting {
    since: Instant,
    place: Place,
    at: i64,
    id: Arc<str>,
    /// `None`: its entry says so already.
    effect: Option<Arc<Effect>>,
}

impl Waiting {
    /// The record that completes the entry, if this is it.
    fn completes(&self) -> Option<Place> {
        match self.effect.as_deref()? {
            Effect::Close { .. } => Some(self.place),
            // Only a request is completed by a second record.
            Effect::Open(opening) => (opening.entry != EntryKind::Request).then_some(self.place),
            Effect::None | Effect::Erase(_) => None,
        }
    }
}

/// What completes an entry: where it stands, and what it says.
type Completion<'a> = (Place, &'a Decision, &'a [String]);

impl<'c> Index<'c> {
    pub(super) fn new(connection: &'c Connection, lags: &'c AtomicBool) -> Result<Self, AuditError> {
        let prepare = |sql: &str| connection.prepare(sql);
        Ok(Self {
            connection,
            waiting: VecDeque::new(),
            complete: HashMap::new(),
            again_at: None,
            lags,
            // Whether their ids are new was asked before the records were written.
            open: Insert::new(connection, "INSERT OR IGNORE INTO entries", COLUMNS, TOGETHER)?,
            context: prepare(
                "INSERT OR IGNORE INTO contexts (context_id, client, tenant, approved, expires_at) \
                 VALUES (?, ?, ?, ?, ?)",
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
        match &**effect {
            Effect::None | Effect::Erase(_) => {}
            Effect::Open(_) => {
                if self.is_open(id)?.is_some() {
                    return Err(AuditError::Duplicate { id: id.to_string() });
                }
            }
            Effect::Close { .. } => match self.is_open(id)? {
                Some(true) => {}
                Some(false) => return Err(AuditError::Duplicate { id: id.to_string() }),
                None => return Err(AuditError::NoIntent { id: id.to_string() }),
            },
        }
        let (since, at) = (Instant::now(), row.at.as_microsecond());
        let record = Waiting { since, place, at, id: id.clone(), effect: Some(effect.clone()) };
        note(&mut self.complete, &record);
        self.waiting.push_back(record);
        self.tell_lag();
        Ok(())
    }

    /// Tells the store whether contexts may wait that nobody remembers. The newest are remembered: behind one that is
    /// forgotten and still waits, more records wait than that.
    pub(super) fn tell_lag(&self) {
        self.lags.store(self.waiting.len() > REMEMBERED, Ordering::Release);
    }

    /// Whether the entry of that id waits for an outcome; `None`: there is no such entry.
    fn is_open(&mut self, id: &str) -> Result<Option<bool>, AuditError> {
        match self.complete.get(id) {
            Some(completion) => Ok(Some(completion.is_none())),
            None => Ok(self.entry.query_row([id], |row| row.get(0)).optional()?),
        }
    }

    /// How many records wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// What was taken beyond so many is not committed.
    pub(super) fn not_committed(&mut self, kept: usize) {
        self.waiting.truncate(kept);
        self.complete.clear();
        self.waiting.iter().for_each(|record| note(&mut self.complete, record));
    }

    /// Whether no more may wait.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= MOST
    }

    /// When the next step is due; `None`: nothing waits.
    pub(super) fn due_in(&self) -> Option<Duration> {
        let first = self.waiting.front()?;
        Some(match self.again_at {
            Some(again_at) => again_at.saturating_duration_since(Instant::now()),
            None if self.waiting.len() >= MANY => Duration::ZERO,
            None => A_MOMENT.saturating_sub(first.since.elapsed()),
        })
    }

    /// Fills the tables with a few of the records that wait, or with all that are too many. Returns about how many pages
    /// were written.
    pub(super) fn fill_some(&mut self, turns: &Turns) -> Result<usize, AuditError> {
        self.fill(turns, A_FEW.max(self.waiting.len().saturating_sub(MANY)))
    }

    /// Fills the tables with all that waits. Returns about how many pages were written.
    pub(super) fn fill_all(&mut self, turns: &Turns) -> Result<usize, AuditError> {
        self.fill(turns, usize::MAX)
    }

    fn fill(&mut self, turns: &Turns, at_most: usize) -> Result<usize, AuditError> {
        let Some(node) = self.waiting.front().map(|first| first.place.node()) else { return Ok(0) };
        let mut waiting = std::mem::take(&mut self.waiting);
        let some = waiting.len().min(at_most);
        let filled = self.in_transaction(turns, |index| {
            // Another process may have done a part.
            let reached = index.reached(node)?;
            let mut rest = waiting.range(..some).filter(|it| it.place > reached).peekable();
            if let Some(first) = rest.peek()
                && first.place.0 > reached.0 + 1
            {
                index.fill_from_records(Place(reached.0 + 1), Place(first.place.0 - 1))?;
            }
            let records: Vec<_> = rest.map(|record| (record, index.completion(&waiting, record))).collect();
            index.enter(&records)?;
            let last = records.last().map_or(reached, |(record, _)| record.place);
            let completed: Vec<_> = records.iter().filter_map(|(_, completion)| Some(completion.as_ref()?.0)).collect();
            index.reach(last)?;
            Ok(completed)
        });
        let filled = filled.map(|completed| {
            for place in completed {
                if let Ok(index) = waiting.binary_search_by_key(&place, |it| it.place) {
                    waiting[index].effect = None;
                }
            }
            for done in waiting.drain(..some) {
                // What completes it may wait still.
                if self.complete.get(&done.id).is_some_and(|by| by.is_none_or(|by| by <= done.place)) {
                    self.complete.remove(&done.id);
                }
            }
            8 + some / 8
        });
        self.waiting = waiting;
        self.tell_lag();
        self.again_at = filled.is_err().then(|| Instant::now() + A_MOMENT);
        filled
    }

    /// What completes the entry that a record opens, if it waits behind it.
    fn completion<'w>(&self, waiting: &'w VecDeque<Waiting>, record: &Waiting) -> Option<Completion<'w>> {
        let place = self.complete.get(&record.id).copied().flatten()?;
        let index = waiting.binary_search_by_key(&place, |it| it.place).ok()?;
        match waiting.get(index)?.effect.as_deref()? {
            Effect::Close { decision, matched } if place > record.place => Some((place, decision, matched)),
            _ => None,
        }
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

    fn in_transaction<T>(
        &mut self,
        turns: &Turns,
        work: impl FnOnce(&mut Self) -> Result<T, AuditError>,
    ) -> Result<T, AuditError> {
        let _turn = turns.wait();
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let done = work(self).and_then(|done| Ok(self.connection.execute_batch("COMMIT").map(|()| done)?));
        rolled_back(self.connection, done)
    }

    /// Up to where the tables are filled.
    fn reached(&mut self, node: i64) -> Result<Place, AuditError> {
        let reached = self.reached.query_row([node], |row| row.get(0).map(Place)).optional()?;
        Ok(reached.unwrap_or(Place::of_node(node).0))
    }

    fn reach(&mut self, place: Place) -> Result<(), AuditError> {
        Ok(self.reach.execute([place.node(), place.0]).map(drop)?)
    }

    fn fill_from_records(&mut self, from: Place, through: Place) -> Result<(), AuditError> {
        let mut from = from;
        while from <= through {
            let records = archive::records(self.connection, from, through, AT_ONCE, Texts::Left)?;
            let Some(last) = records.last() else { return Ok(()) };
            from = Place(last.place.0 + 1);
            let mut read = Vec::with_capacity(records.len());
            for StoredRecord { place, at_microseconds: at, kind, id, body, .. } in records {
                match Effect::of_stored(&kind, &body) {
                    Ok(effect) => {
                        let (id, effect) = (id.into(), Some(effect.into()));
                        read.push(Waiting { since: Instant::now(), place, at, id, effect });
                    }
                    // It stays in the chain, where `verify` judges it; for its sake nothing else may go unrecorded.
                    Err(error) => tracing::error!(
                        record = place.seq().0, kind, id, %error,
                        "a record cannot be read: a search will not find it"
                    ),
                }
            }
            let records: Vec<_> = read.iter().map(|record| (record, None)).collect();
            self.enter(&records)?;
        }
        Ok(())
    }

    /// Makes entries and completes them; those with what completes them, both at once.
    fn enter(&mut self, records: &[(&Waiting, Option<Completion<'_>>)]) -> Result<(), AuditError> {
        let entries: Vec<_> =
            records.iter().filter_map(|(record, completion)| Entry::of(record, *completion)).collect();
        let rows: Vec<_> = entries.iter().map(Entry::columns).collect();
        self.open.rows(&rows)?;
        for Entry { place, id, at, opening, later, .. } in &entries {
            if let Some(ContextRow { client, tenant, approved, expires_at, .. }) = &opening.context {
                let context = params![id, client, tenant, approved, expires_at.as_microsecond()];
                self.context.execute(context)?;
            }
            let tenant = storable(&opening.caller.tenant);
            for policy in opening.matched.iter().chain(*later) {
                self.matched.execute(params![tenant, policy, at, place])?;
            }
        }
        let complete: HashSet<i64> = entries.iter().filter_map(|entry| entry.outcome).collect();
        for (Waiting { place: Place(place), id, effect, .. }, _) in records {
            if let Some(Effect::Close { decision, matched }) = effect.as_deref()
                && !complete.contains(place)
            {
                self.close.execute(params![place, decision.as_str(), id])?;
                for policy in matched {
                    self.matched_later.execute(params![policy, id])?;
                }
            }
        }
        Ok(())
    }
}

/// A row to be of `entries`.
struct Entry<'a> {
    place: i64,
    outcome: Option<i64>,
    id: &'a str,
    at: i64,
    opening: &'a Opening,
    decision: Decision,
    /// Policies that matched when it was completed.
    later: &'a [String],
}

impl<'a> Entry<'a> {
    /// What a record opens, as what completes it left it; `None`: it opens none.
    fn of(record: &'a Waiting, completion: Option<Completion<'a>>) -> Option<Self> {
        let Waiting { place: Place(place), at, id, effect, .. } = record;
        let Effect::Open(opening) = effect.as_deref()? else { return None };
        let (outcome, decision, later) = match completion {
            Some((Place(outcome), decision, later)) => (Some(outcome), *decision, later),
            None => (None, opening.decision, [].as_slice()),
        };
        Some(Self { place: *place, outcome, id, at: *at, opening, decision, later })
    }

    /// The values of [`COLUMNS`].
    fn columns(&self) -> [ToSqlOutput<'_>; COLUMNS.len()] {
        let Opening { entry, caller, request_type, context_id, .. } = self.opening;
        let texts = [&caller.tenant, &caller.client, &caller.user, request_type];
        let [tenant, client, user, request_type] = texts.map(|text| match storable(text) {
            Cow::Borrowed(text) => text.into(),
            Cow::Owned(text) => text.into(),
        });
        [
            self.place.into(),
            self.outcome.map_or(Null.into(), Into::into),
            self.id.into(),
            context_id.as_deref().map_or(Null.into(), Into::into),
            entry.as_str().into(),
            self.at.into(),
            tenant,
            client,
            user,
            request_type,
            self.decision.as_str().into(),
        ]
    }
}

/// The columns of `entries` that are filled.
const COLUMNS: [&str; 11] = [
    "place",
    "outcome_place",
    "id",
    "context_id",
    "kind",
    "at",
    "tenant",
    "client",
    "\"user\"",
    "request_type",
    "decision",
];

/// Notes what a record that waits means for its entry.
fn note(complete: &mut HashMap<Arc<str>, Option<Place>>, record: &Waiting) {
    if let Some(Effect::Open(_) | Effect::Close { .. }) = record.effect.as_deref() {
        complete.insert(record.id.clone(), record.completes());
    }
}
