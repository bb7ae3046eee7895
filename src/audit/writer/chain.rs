//! The end of the chain, as the writer knows it, and when it is signed.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::takeover;
use crate::audit::chain::{Covered, Head, Place, Seq};
use crate::audit::checkpoint::{Checkpoint, CheckpointKind};
use crate::audit::record::Found;
use crate::audit::row::Row;
use crate::audit::store::{Link, Node, Session};
use crate::audit::{AuditError, AuditKey, CheckpointEvery, Settings};

/// One node's chain.
pub(crate) struct Chain {
    pub(super) node: Node,
    key: AuditKey,
    every: CheckpointEvery,
    head: Head,
    /// The last record that a checkpoint covers.
    signed: Seq,
    /// When what is not signed yet is to be, at the latest; `None` when all is.
    due: Option<Instant>,
    /// After a failure: until when a store that took no checkpoint is not asked for that alone, on a new connection either.
    put_off: Option<Instant>,
    /// Whether this process has signed nothing yet behind what others wrote.
    is_behind_others: bool,
}

impl Chain {
    /// Of this node; where it ends is found out when the store is open.
    pub(crate) fn new(node: Node, settings: &Settings) -> Self {
        let (key, every) = (settings.key.clone(), settings.checkpoint);
        Self { node, key, every, head: Head::EMPTY, signed: Seq(0), due: None, put_off: None, is_behind_others: true }
    }

    /// Goes on from what the store says. What is not signed there is signed with the next records.
    pub(super) fn go_on_from(&mut self, head: Head, signed: Seq) {
        self.is_behind_others |= head != self.head;
        (self.head, self.signed) = (head, signed);
        let now = Instant::now();
        self.due = (head.seq > signed).then(|| self.put_off.map_or(now, |until| until.max(now)));
    }

    /// The head that a row makes behind another one.
    pub(super) fn behind(&self, head: Head, row: &Row) -> Head {
        let seq = Seq(head.seq.0 + 1);
        let covered = Covered {
            node: &self.node.id,
            seq,
            previous: head.hash,
            at_microseconds: row.at.as_microsecond(),
            kind: row.kind.as_str(),
            id: &row.id,
            body: &row.body,
        };
        Head { seq, hash: covered.hash() }
    }

    /// The rows as the next links behind this head, and the head that they make.
    pub(super) fn links_behind<'r>(&self, mut head: Head, rows: &[&'r Row]) -> (Vec<Link<'r>>, Head) {
        let links = rows
            .iter()
            .map(|row| {
                head = self.behind(head, row);
                Link { place: Place::new(self.node.number, head.seq), hash: head.hash, row }
            })
            .collect();
        (links, head)
    }

    /// The checkpoint of this head, if it is time for one.
    pub(super) fn checkpoint(&self, head: Head) -> Option<Checkpoint> {
        let unsigned = head.seq.0 - self.signed.0;
        // What a process writes first, or behind others, is signed at once: a chain without any checkpoint is no chain, and
        // what stands unsigned is of one process alone.
        let due = self.is_behind_others
            || unsigned >= i64::try_from(self.every.records).unwrap_or(i64::MAX)
            || self.due.is_some_and(|due| due <= Instant::now());
        (unsigned > 0 && due).then(|| self.signed_head(head))
    }

    /// Whether anything is not signed yet.
    pub(super) fn is_unsigned(&self) -> bool {
        self.head.seq > self.signed
    }

    /// The checkpoint of this head, whether or not it is time for one.
    pub(super) fn signed_head(&self, head: Head) -> Checkpoint {
        Checkpoint::sign(CheckpointKind::Checkpoint, &self.node.id, Timestamp::now(), head, &self.key)
    }

    /// Appends one record from where the store says that the chain ends, and signs it at once. What stands there unsigned
    /// is not this chain's: it would be signed with it. What another key signed may be, as before the key was changed. Nobody
    /// here can tell whose key that is, so a record in front says that this one had not signed it.
    pub(crate) fn append_signed(&mut self, session: &mut dyn Session, row: &Row) -> Result<Seq, AuditError> {
        let (head, _) = session.head(&self.node)?;
        let signature = last_signature(session, &self.node)?;
        let signed = signature.as_ref().map_or(Head::EMPTY, |it| it.head);
        if signed.seq > head.seq {
            return Err(AuditError::ChainMoved);
        }
        if signed != head {
            return Err(AuditError::Corrupt(format!(
                "the end of the chain `{}`, record {}, is signed by nobody, as none of its own is: somebody else wrote there, \
                 or into `checkpoints`, and that is to be removed before a record is written behind it",
                self.node.id, head.seq.0
            )));
        }
        let is_anothers = signature.is_some_and(|it| !self.has_signed(&it));
        let told = is_anothers.then(|| takeover::row(&self.key, Found::AtTheStart, Seq(1), head.seq)).transpose()?;
        self.go_on_from(head, head.seq);
        let rows: Vec<&Row> = told.iter().chain([row]).collect();
        let (links, head) = self.links_behind(head, &rows);
        let checkpoint = self.signed_head(head);
        session.commit(&links, Some((self.place(&checkpoint), &checkpoint)))?;
        self.moved_to(head, Some(head.seq));
        Ok(head.seq)
    }

    /// Whether this chain's key made the signature.
    pub(super) fn has_signed(&self, checkpoint: &Checkpoint) -> bool {
        checkpoint.public_key == self.key.public() && checkpoint.is_signed_for(&self.node.id)
    }

    /// The place of a checkpoint: that of the record that it ends with.
    pub(super) fn place(&self, checkpoint: &Checkpoint) -> Place {
        Place::new(self.node.number, checkpoint.head.seq)
    }

    /// These are durable.
    pub(super) fn moved_to(&mut self, head: Head, signed: Option<Seq>) {
        self.head = head;
        self.is_behind_others &= signed.is_none();
        self.signed = signed.unwrap_or(self.signed);
        self.put_off = self.put_off.filter(|_| signed.is_none());
        self.due = match self.due {
            _ if self.head.seq <= self.signed => None,
            Some(due) if signed.is_none() => Some(due),
            _ => Some(Instant::now() + self.every.interval),
        };
    }

    /// A checkpoint could not be written: the next attempt waits as long as the first did.
    pub(super) fn put_off(&mut self) {
        self.put_off = Some(Instant::now() + self.every.interval);
        self.due = self.due.and(self.put_off);
    }

    /// How long until what is not signed is to be; `None` when all is signed.
    pub(super) fn due_in(&self) -> Option<Duration> {
        self.due.map(|due| due.saturating_duration_since(Instant::now()))
    }

    /// The most records of this process that stand in the store unsigned.
    pub(super) fn most_unsigned(&self) -> u64 {
        self.every.records
    }

    pub(super) fn key(&self) -> &AuditKey {
        &self.key
    }

    pub(super) fn head(&self) -> Head {
        self.head
    }
}

/// The last signature of a node's chain, whosever key made it; none where that is not one, or is over another record than
/// the one that is there. A row of `checkpoints` is there quickly, and as quickly gone.
pub(super) fn last_signature(session: &mut dyn Session, node: &Node) -> Result<Option<Checkpoint>, AuditError> {
    let last = match session.last_checkpoint(node) {
        // It is none.
        Err(error) if error.is_of_one_record() => None,
        last => last?,
    };
    let Some(last) = last.filter(|it| it.is_signed_for(&node.id)) else { return Ok(None) };
    // Behind a cut its records are gone.
    let fits = last.kind == CheckpointKind::Cut || has(session, node, last.head)?;
    Ok(fits.then_some(last))
}

/// Whether the store has the record that this head ends with.
pub(super) fn has(session: &mut dyn Session, node: &Node, Head { seq, hash }: Head) -> Result<bool, AuditError> {
    let place = Place::new(node.number, seq);
    Ok(session.record_at(place)?.is_some_and(|(at, _, its)| at == place && its == hash))
}
