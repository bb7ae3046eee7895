//! No store: records are made, linked, and forgotten. For gateways whose record is kept elsewhere, and to measure what
//! keeping it costs.

use jiff::Timestamp;

use super::{EntryRow, Link, Node, Outline, PolicyRow, Role, Session, Store, StoredRecord, Texts, new_node_id};
use crate::audit::chain::{ChainHash, Head, Place, Seq};
use crate::audit::entry::Entry;
use crate::audit::row::ContextRow;
use crate::audit::search::{Page, Query};
use crate::audit::{ArchivedVersion, AuditError, Checkpoint, Selection};

/// Takes everything and has nothing.
pub(super) struct NoStore;

impl Store for NoStore {
    fn enrol(&self, node: Option<&str>, _: Role) -> Result<Node, AuditError> {
        Ok(Node { number: 1, id: node.map_or_else(new_node_id, str::to_owned) })
    }

    fn write(&self, work: &mut dyn FnMut(&mut dyn Session)) -> Result<(), AuditError> {
        work(&mut NoSession { head: Head::EMPTY });
        Ok(())
    }

    fn search(&self, _: &Query) -> Result<Page, AuditError> {
        Err(AuditError::Off)
    }

    fn places(&self, _: &Query, _: Place, _: usize) -> Result<Vec<(i64, Place)>, AuditError> {
        Err(AuditError::Off)
    }

    fn entries(&self, _: &[Place]) -> Result<(Vec<Entry>, usize), AuditError> {
        Err(AuditError::Off)
    }

    /// The contexts of this start are remembered elsewhere; there are no others.
    fn context(&self, _: &str) -> Result<Option<ContextRow>, AuditError> {
        Ok(None)
    }

    fn nodes(&self) -> Result<Vec<Node>, AuditError> {
        Err(AuditError::Off)
    }

    fn extent(&self, _: i64) -> Result<Option<(Place, Place)>, AuditError> {
        Err(AuditError::Off)
    }

    fn outline(&self, _: i64) -> Result<Outline, AuditError> {
        Err(AuditError::Off)
    }

    fn records(&self, _: Place, _: Place, _: usize, _: Texts) -> Result<Vec<StoredRecord>, AuditError> {
        Err(AuditError::Off)
    }

    fn entry_rows(&self, _: Place, _: Place, _: usize) -> Result<Vec<EntryRow>, AuditError> {
        Err(AuditError::Off)
    }

    fn policy_rows(&self, _: &PolicyRow, _: usize) -> Result<Vec<PolicyRow>, AuditError> {
        Err(AuditError::Off)
    }

    fn checkpoints(&self, _: i64) -> Result<Vec<Checkpoint>, AuditError> {
        Err(AuditError::Off)
    }

    fn records_of(&self, _: &str) -> Result<Vec<StoredRecord>, AuditError> {
        Err(AuditError::Off)
    }

    fn records_with_id(&self, _: &str) -> Result<Vec<StoredRecord>, AuditError> {
        Err(AuditError::Off)
    }

    fn keep_version(&self, _: &ArchivedVersion) -> Result<(), AuditError> {
        Ok(())
    }

    fn version(&self, _: &str) -> Result<Option<ArchivedVersion>, AuditError> {
        Err(AuditError::Off)
    }

    fn texts(&self, _: &Selection, _: Place, _: usize) -> Result<(Vec<Place>, Place), AuditError> {
        Err(AuditError::Off)
    }
}

struct NoSession {
    head: Head,
}

impl Session for NoSession {
    fn head(&mut self, _: &Node) -> Result<(Head, Seq), AuditError> {
        Ok((self.head, self.head.seq))
    }

    fn last_checkpoint(&mut self, _: &Node) -> Result<Option<Checkpoint>, AuditError> {
        Ok(None)
    }

    fn commit(&mut self, links: &[Link<'_>], _: Option<(Place, &Checkpoint)>) -> Result<(), AuditError> {
        if let Some(Link { place, hash, .. }) = links.last() {
            self.head = Head { seq: place.seq(), hash: *hash };
        }
        Ok(())
    }

    fn would_take(&mut self, _: &[Link<'_>]) -> Result<(), AuditError> {
        Ok(())
    }

    fn gateways(&mut self) -> Result<Vec<Node>, AuditError> {
        Ok(Vec::new())
    }

    fn extent(&mut self, _: i64) -> Result<Option<(Place, Place)>, AuditError> {
        Ok(None)
    }

    fn record_at(&mut self, _: Place) -> Result<Option<(Place, i64, ChainHash)>, AuditError> {
        Ok(None)
    }

    fn first_since(&mut self, _: Place, _: Place, _: Timestamp) -> Result<Option<Place>, AuditError> {
        Ok(None)
    }

    fn used_bytes(&mut self) -> Result<u64, AuditError> {
        Ok(0)
    }

    fn cut(&mut self, _: Place, _: &Checkpoint) -> Result<(), AuditError> {
        Ok(())
    }

    fn clean_contexts(&mut self, _: Timestamp, _: usize) -> Result<usize, AuditError> {
        Ok(0)
    }

    fn tidy(&mut self) {}

    fn finish(&mut self) -> Result<(), AuditError> {
        Ok(())
    }
}
