//! Retention: the oldest records go, by age and by size, and a signed cut stands in their place.
//!
//! A cut names the last record that was removed and its hash, so that what follows still proves itself. It goes into the
//! store in the transaction that removes the records; a record of its own says why.
//!
//! A cut says that this gateway knew the chain, and removes what tells which records a gateway may have left unsigned. So a
//! chain is cut up to its last signature and no further, and not at all where more follows that than a gateway leaves; and
//! where another key made it, the record says which.

use std::fmt;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::chain::last_signature;
use super::{Connection, Sign, Writer, state_after};
use crate::audit::chain::{Head, Place, Seq};
use crate::audit::checkpoint::{Checkpoint, CheckpointKind};
use crate::audit::record::Retention;
use crate::audit::row::Row;
use crate::audit::store::{Node, Session};
use crate::audit::text_rule::{ContentMode, TextRule};
use crate::audit::{AuditError, CheckpointEvery, PublicKey};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(600);
/// The same in microseconds.
const A_LOOK: i64 = LOOK_EVERY.as_micros() as i64;
/// Records that one transaction removes.
const AT_ONCE: i64 = 1_000;
/// Of the records, so many go when there is no room: one in so many.
const PART: i64 = 20;
/// So many of a chain at least: one record says that they go.
const MORE_THAN_IT_WRITES: i64 = 2;

/// How long records are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// No longer than this.
    pub age: Option<Duration>,
    /// The oldest no longer than they all fit into so many bytes.
    pub size: Option<u64>,
}

/// What is to be removed.
#[derive(Debug)]
pub(super) struct Cutting {
    node: Node,
    through: Seq,
    why: Why,
    /// The key that signed them, or what stands behind them.
    signed_by: PublicKey,
}

/// A chain of which something can be removed.
struct SignedChain {
    /// The time of its first record, in microseconds.
    begins: i64,
    first: Seq,
    last: Seq,
    /// The last one.
    signature: Checkpoint,
}

/// Why records are to be removed.
#[derive(Clone, Copy, Debug)]
enum Why {
    /// They are older than this. None that is not is removed, nor what stands behind it.
    Age(Timestamp),
    /// There is no room for them: so many bytes are used, and so many may be.
    Room { used: u64, most: u64 },
}

impl fmt::Display for Why {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Age(cutoff) => write!(formatter, "older than {cutoff}"),
            Self::Room { used, most } => write!(formatter, "{used} bytes are used, and {most} may be"),
        }
    }
}

impl Writer {
    /// Removes a bounded number of records whose time is over.
    pub(super) fn retain(&mut self, session: &mut dyn Session) -> Connection {
        match self.retain_some(session) {
            Ok(()) => Connection::Usable,
            Err(error) => {
                tracing::warn!(code = error.code(), %error, "old audit records were not removed; later again");
                self.cutting.clear();
                self.next_retention = Instant::now() + LOOK_EVERY;
                state_after(&error)
            }
        }
    }

    /// How long until there is something to remove, or to look for.
    pub(super) fn retain_in(&self) -> Option<Duration> {
        let keeps_all = self.keep == Keep::default();
        (!keeps_all).then(|| self.next_retention.saturating_duration_since(Instant::now()))
    }

    fn retain_some(&mut self, session: &mut dyn Session) -> Result<(), AuditError> {
        if self.retain_in().is_none_or(|left| !left.is_zero()) || self.is_spilling() {
            return Ok(());
        }
        if self.cutting.is_empty() {
            self.next_retention = Instant::now() + LOOK_EVERY;
            self.look(session)?;
        }
        let Some(cutting) = self.cutting.last() else { return Ok(()) };
        let done = unless_unreadable(&cutting.node, self.cut(session, cutting).map(Some))?;
        if done.unwrap_or(true) {
            self.cutting.pop();
        }
        if !self.cutting.is_empty() {
            // The rest goes with the next turns, between which others are served.
            self.next_retention = Instant::now();
        }
        Ok(())
    }

    /// Removes some of them; says whether that was all.
    fn cut(&self, session: &mut dyn Session, cutting: &Cutting) -> Result<bool, AuditError> {
        let Cutting { node, through, why, signed_by } = cutting;
        let signature = self.last_checkpoint(session, node)?.filter(|it| it.public_key == *signed_by);
        let (Some(signature), Some((first, _))) = (signature, session.extent(node.number)?) else { return Ok(true) };
        let through = (*through).min(signature.head.seq);
        let step = Place::new(node.number, Seq(through.0.min(first.seq().0 + AT_ONCE - 1)));
        let kept = match why {
            Why::Age(cutoff) => session.first_since(first, step, *cutoff)?,
            Why::Room { .. } => None,
        };
        let place = kept.map_or(step, |kept| Place(kept.0 - 1));
        let done = match session.record_at(place)? {
            Some((at, _, hash)) if at == place => {
                let head = Head { seq: place.seq(), hash };
                let cut = Checkpoint::sign(CheckpointKind::Cut, &node.id, Timestamp::now(), head, self.chain.key());
                session.cut(place, &cut)?;
                kept.is_some() || place.seq() >= through
            }
            // Somebody removed it; or the first one is to be kept.
            _ => true,
        };
        if let (Some(kept), Why::Age(cutoff)) = (kept, why) {
            tell_of_stop(session, node, kept, *cutoff)?;
        }
        Ok(done)
    }

    /// Finds out what is to be removed, and says so in a record.
    fn look(&mut self, session: &mut dyn Session) -> Result<(), AuditError> {
        // Of its own chain all may go.
        self.sign(session)?;
        if let Some(cutoff) = self.keep.age.and_then(|age| Timestamp::now().checked_sub(age).ok()) {
            let mut unsigned = Vec::new();
            for node in session.gateways()? {
                let found = self.older(session, &node, cutoff);
                let Some((last, signature, stay)) = unless_unreadable(&node, found)? else { continue };
                if stay {
                    unsigned.push(node.id.clone());
                }
                if let Some(signature) = signature {
                    let (through, signed_by) = (last.min(signature.head.seq), signature.public_key);
                    self.plan(session, Cutting { node, through, why: Why::Age(cutoff), signed_by })?;
                }
            }
            if let Some(node) = unsigned.first() {
                tracing::warn!(
                    node,
                    chains = unsigned.len(),
                    "records that are older than `audit.retention.age` stay: no signature covers them, as behind a kill, or more \
                     follows the last one than a gateway leaves unsigned. A gateway of that name signs them when it starts; \
                     where none was killed, somebody wrote them, or that gateway has a larger `audit.checkpoint.records`"
                );
            }
        }
        if self.cutting.is_empty()
            && let Some(most) = self.keep.size
        {
            self.make_room(session, most)?;
        }
        Ok(())
    }

    /// Plans to remove the oldest part of all records, from the chain that begins with the oldest one, then from the next.
    fn make_room(&mut self, session: &mut dyn Session, most: u64) -> Result<(), AuditError> {
        let used = session.used_bytes()?;
        let before = self.crowded.take();
        if used <= most {
            return Ok(());
        }
        let mut chains = Vec::new();
        for node in session.gateways()? {
            let found = self.signed_chain(session, &node);
            chains.extend(unless_unreadable(&node, found)?.map(|chain| (chain, node)));
        }
        chains.sort_by_key(|(chain, _)| chain.begins);
        let records: i64 = chains.iter().map(|(chain, _)| chain.last.0 - chain.first.0 + 1).sum();
        let mut part = (records / PART).max(MORE_THAN_IT_WRITES);
        for (SignedChain { first: Seq(first), last: Seq(last), signature, .. }, node) in chains {
            let through = (first + part - 1).min(last - 1).min(signature.head.seq.0);
            let removed = through - first + 1;
            if removed >= MORE_THAN_IT_WRITES {
                part -= removed;
                let (through, why, signed_by) = (Seq(through), Why::Room { used, most }, signature.public_key);
                self.plan(session, Cutting { node, through, why, signed_by })?;
            }
        }
        // There may be more to remove, unless what was removed last made no room.
        if !self.cutting.is_empty() && before.is_none_or(|before| used < before) {
            self.crowded = Some(used);
            self.next_retention = Instant::now();
        }
        Ok(())
    }

    /// The last of a chain's records that are older, its last signature, and whether some stay because none covers them.
    fn older(
        &self,
        session: &mut dyn Session,
        node: &Node,
        cutoff: Timestamp,
    ) -> Result<Option<(Seq, Option<Checkpoint>, bool)>, AuditError> {
        let Some(last) = last_before(session, node, cutoff)? else { return Ok(None) };
        let signature = self.last_checkpoint(session, node)?;
        let signed = signature.as_ref().map_or(Seq(0), |it| it.head.seq);
        let stay = signed < last && is_long_before(session, Place::new(node.number, Seq(signed.0 + 1)), cutoff)?;
        Ok(Some((last, signature, stay)))
    }

    fn signed_chain(&self, session: &mut dyn Session, node: &Node) -> Result<Option<SignedChain>, AuditError> {
        let Some((first, last)) = session.extent(node.number)? else { return Ok(None) };
        let Some((_, begins, _)) = session.record_at(first)? else { return Ok(None) };
        let signature = self.last_checkpoint(session, node)?;
        Ok(signature.map(|signature| SignedChain { begins, first: first.seq(), last: last.seq(), signature }))
    }

    /// The last signature of a chain over a record that is there, whosever key made it; none where more follows unsigned than
    /// a gateway leaves: this one, or one with the default settings.
    fn last_checkpoint(&self, session: &mut dyn Session, node: &Node) -> Result<Option<Checkpoint>, AuditError> {
        let signature = last_signature(session, node)?.filter(|it| it.kind == CheckpointKind::Checkpoint);
        let last = session.extent(node.number)?.map_or(Seq(0), |(_, last)| last.seq());
        let most = self.chain.most_unsigned().max(CheckpointEvery::default().records);
        Ok(signature.filter(|it| u64::try_from(last.0 - it.head.seq.0).is_ok_and(|unsigned| unsigned <= most)))
    }

    fn plan(&mut self, session: &mut dyn Session, cutting: Cutting) -> Result<(), AuditError> {
        let Cutting { node, through, why, signed_by } = &cutting;
        tracing::info!(node = node.id, through = through.0, reason = %why, "audit records are removed");
        let record = Retention {
            retention_id: format!("retention-{}", uuid::Uuid::now_v7().simple()),
            at: Timestamp::now(),
            of_node: node.id.clone(),
            through: through.0,
            reason: why.to_string(),
            signed_by: (*signed_by != self.chain.key().public()).then(|| signed_by.to_string()),
        };
        let rule = TextRule { key: self.chain.key().clone(), mode: ContentMode::Nothing };
        let row = Row::new(record.into(), &rule)?;
        self.append(session, &[&row], Sign::Now)?;
        metrics::counter!("octroi_audit_records_total", "kind" => row.kind.as_str()).increment(1);
        self.cutting.push(cutting);
        Ok(())
    }
}

/// What was found of a chain; nothing of one in which something stands that no gateway wrote: it holds up no other.
fn unless_unreadable<T>(node: &Node, found: Result<Option<T>, AuditError>) -> Result<Option<T>, AuditError> {
    match found {
        Err(error) if error.is_of_one_record() => {
            tracing::warn!(
                node = node.id, code = error.code(), %error,
                "no audit records of this chain are removed: something in it cannot be read"
            );
            Ok(None)
        }
        found => found,
    }
}

/// The last record of a node up to which all are older, as far as the first step shows, and beyond it where times never
/// fall: records stand in the order in which they became durable, and a clock may be set. Each further step looks again.
/// The last one of all is never meant.
fn last_before(session: &mut dyn Session, node: &Node, cutoff: Timestamp) -> Result<Option<Seq>, AuditError> {
    let Some((Place(first), Place(last))) = session.extent(node.number)? else { return Ok(None) };
    let is_older = |session: &mut dyn Session, place: i64| {
        Ok::<bool, AuditError>(session.record_at(Place(place))?.is_some_and(|(_, at, _)| at < cutoff.as_microsecond()))
    };
    // Below `low` all are older; from `high` on none is.
    let (mut low, mut high) = (first, last);
    while low < high {
        let middle = low + (high - low) / 2;
        if is_older(session, middle)? { low = middle + 1 } else { high = middle }
    }
    let step = Place((low - 1).min(first + AT_ONCE - 1));
    let kept = session.first_since(Place(first), step, cutoff)?;
    if let Some(kept) = kept {
        tell_of_stop(session, node, kept, cutoff)?;
    }
    let through = kept.map_or(low - 1, |kept| kept.0 - 1);
    Ok((through >= first).then(|| Place(through).seq()))
}

/// Tells of a record that keeps older ones behind it, and will at the next look too. By less, the times of those fall that
/// were asked at once: the one that has its record last may have come first.
fn tell_of_stop(session: &mut dyn Session, node: &Node, kept: Place, cutoff: Timestamp) -> Result<(), AuditError> {
    let Some((_, at, _)) = session.record_at(kept)? else { return Ok(()) };
    if at.saturating_sub(cutoff.as_microsecond()) > A_LOOK {
        tracing::warn!(
            node = node.id,
            record = kept.seq().0,
            "a record is not older than records behind it, as by a clock that was wrong: retention stops there"
        );
    }
    Ok(())
}

/// Whether a record is so much too old that a look before this one found it so. Of a gateway that runs, what is not signed
/// yet is so in a moment.
fn is_long_before(session: &mut dyn Session, place: Place, cutoff: Timestamp) -> Result<bool, AuditError> {
    let found = session.record_at(place)?;
    Ok(found.is_some_and(|(_, at, _)| cutoff.as_microsecond().saturating_sub(at) > A_LOOK))
}
