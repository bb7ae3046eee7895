//! Records of this node's chain that are not this process's own, and that its key has not signed.
//!
//! After a kill they are those of the process before; otherwise somebody wrote them who may write the store. Nobody here can
//! tell which, and the next checkpoint covers them with what is written behind them. So a record of their own says of them
//! that they were taken over: it is written right behind them, with whatever comes next, and signed at once.

use jiff::Timestamp;

use super::Writer;
use super::chain::{has, last_signature};
use crate::audit::chain::{Head, Seq};
use crate::audit::record::{Found, Takeover};
use crate::audit::row::Row;
use crate::audit::store::Session;
use crate::audit::text_rule::{ContentMode, TextRule};
use crate::audit::{AuditError, AuditKey};

/// The record that tells of others.
pub(super) struct Planned {
    pub(super) row: Row,
    /// The last of them.
    pub(super) through: Head,
}

impl Writer {
    /// Plans the record that tells of what stands in the store, is not this process's own, and is not signed either.
    pub(super) fn look_for_others(&mut self, session: &mut dyn Session) -> Result<(), AuditError> {
        let head = self.stored;
        if self.own == Some(head) || self.taken_over.as_ref().is_some_and(|it| it.through == head) {
            return Ok(());
        }
        self.taken_over = None;
        let from = self.last_own(session)?.max(self.last_signed(session)?).0 + 1;
        let through = head.seq.0;
        if from > through {
            self.own = Some(head);
            return Ok(());
        }
        let found = if self.own.is_none() { Found::AtTheStart } else { Found::WhileRunning };
        tracing::warn!(
            node = self.chain.node.id, from, through, hash = %head.hash,
            "{}", match found {
                Found::AtTheStart =>
                    "records at the end of the audit chain are not signed by this key, as after a kill: they are taken over, \
                     and a record of the kind `takeover` says so",
                Found::WhileRunning =>
                    "records of this node came that are not this process's, and that nobody signed: they are taken over, and \
                     a record of the kind `takeover` says so",
            }
        );
        let row = row(self.chain.key(), found, Seq(from), head.seq)?;
        self.taken_over = Some(Planned { row, through: head });
        Ok(())
    }

    /// The rows behind what tells of others.
    pub(super) fn with_takeover<'r>(&'r self, rows: &[&'r Row]) -> Vec<&'r Row> {
        self.taken_over.iter().map(|it| &it.row).chain(rows.iter().copied()).collect()
    }

    /// Up to here the store's chain is what waited in this process's journal. Of what another process left nobody knows that.
    pub(super) fn vouch_for(&mut self, head: Head) {
        if self.taken_over.is_none() && self.own.is_some_and(|own| own.seq < head.seq) {
            self.own = Some(head);
        }
    }

    /// Others are told of, with what was written up to here.
    pub(super) fn has_told(&mut self, head: Head) {
        if let Some(Planned { row, .. }) = self.taken_over.take() {
            metrics::counter!("octroi_audit_records_total", "kind" => row.kind.as_str()).increment(1);
        }
        self.own = Some(head);
    }

    /// The last record that this process vouches for and that is still as it was.
    fn last_own(&self, session: &mut dyn Session) -> Result<Seq, AuditError> {
        let Some(own) = self.own.filter(|own| own.seq > Seq(0)) else { return Ok(Seq(0)) };
        Ok(if has(session, &self.chain.node, own)? { own.seq } else { Seq(0) })
    }

    /// The last record that this gateway's own key signed.
    pub(super) fn last_signed(&self, session: &mut dyn Session) -> Result<Seq, AuditError> {
        let last = last_signature(session, &self.chain.node)?;
        Ok(last.filter(|it| self.chain.has_signed(it)).map_or(Seq(0), |it| it.head.seq))
    }
}

/// The record that says that these were taken over.
pub(super) fn row(key: &AuditKey, found: Found, Seq(from): Seq, Seq(through): Seq) -> Result<Row, AuditError> {
    let takeover = Takeover {
        takeover_id: format!("takeover-{}", uuid::Uuid::now_v7().simple()),
        at: Timestamp::now(),
        found,
        from,
        through,
    };
    Row::new(takeover.into(), &TextRule { key: key.clone(), mode: ContentMode::Nothing })
}
