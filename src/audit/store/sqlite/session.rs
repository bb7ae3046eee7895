//! The connection that writes, with its statements prepared once.

use jiff::Timestamp;
use rusqlite::{Connection, Statement, params};

use super::checkpoint::Checkpointer;
use super::failure::{classed, is_constraint};
use crate::audit::row::{Effect, Opening, Row};
use crate::audit::store::Session;
use crate::audit::{AuditError, Seq};

pub(super) struct SqliteSession<'c> {
    connection: &'c Connection,
    checkpointer: Checkpointer,
    begin: Statement<'c>,
    commit: Statement<'c>,
    rollback: Statement<'c>,
    record: Statement<'c>,
    open: Statement<'c>,
    close: Statement<'c>,
    matched: Statement<'c>,
    matched_later: Statement<'c>,
    context: Statement<'c>,
    clean: Statement<'c>,
}

impl<'c> SqliteSession<'c> {
    pub(super) fn new(connection: &'c Connection, checkpointer: Checkpointer) -> Result<Self, AuditError> {
        let prepare = |sql: &str| connection.prepare(sql).map_err(classed);
        Ok(Self {
            connection,
            checkpointer,
            begin: prepare("BEGIN IMMEDIATE")?,
            commit: prepare("COMMIT")?,
            rollback: prepare("ROLLBACK")?,
            record: prepare("INSERT INTO records (at, kind, id, body, content) VALUES (?, ?, ?, ?, ?)")?,
            open: prepare(
                "INSERT INTO entries (seq, id, context_id, kind, at, tenant, client, user, request_type, decision) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )?,
            close: prepare(
                "UPDATE entries SET outcome_seq = ?, decision = ? \
                 WHERE id = ? AND kind = 'request' AND outcome_seq IS NULL",
            )?,
            matched: prepare("INSERT INTO entry_policies (tenant, policy, at, entry) VALUES (?, ?, ?, ?)")?,
            matched_later: prepare(
                "INSERT OR IGNORE INTO entry_policies (tenant, policy, at, entry) \
                 SELECT tenant, ?, at, seq FROM entries WHERE id = ?",
            )?,
            context: prepare(
                "INSERT INTO contexts (context_id, client, tenant, approved, expires_at) VALUES (?, ?, ?, ?, ?)",
            )?,
            clean: prepare(
                "DELETE FROM contexts WHERE context_id IN \
                 (SELECT context_id FROM contexts WHERE expires_at < ? ORDER BY expires_at LIMIT ?)",
            )?,
        })
    }

    fn write_all(&mut self, rows: &[&Row]) -> Result<Vec<Seq>, AuditError> {
        self.begin.execute([]).map_err(classed)?;
        let mut seqs = Vec::with_capacity(rows.len());
        for row in rows {
            seqs.push(self.write(row)?);
        }
        self.commit.execute([]).map_err(classed)?;
        Ok(seqs)
    }

    fn write(&mut self, row: &Row) -> Result<Seq, AuditError> {
        let at = row.at.as_microsecond();
        let seq = self.record.insert(params![at, row.kind, row.id, row.body, row.content]).map_err(classed)?;
        match &row.effect {
            Effect::None => {}
            Effect::Open(opening) => self.open(row, opening, at, seq)?,
            Effect::Close { decision, matched } => {
                if self.close.execute(params![seq, decision.as_str(), row.id]).map_err(classed)? != 1 {
                    return Err(self.why_not_closed(row));
                }
                for policy in matched {
                    self.matched_later.execute(params![policy, row.id]).map_err(classed)?;
                }
            }
        }
        Ok(Seq(seq))
    }

    fn open(&mut self, row: &Row, opening: &Opening, at: i64, seq: i64) -> Result<(), AuditError> {
        let duplicate = |error: rusqlite::Error| match is_constraint(&error) {
            true => AuditError::Duplicate { id: row.id.clone() },
            false => classed(error),
        };
        let Opening { entry, caller, request_type, decision, matched, context_id, context } = opening;
        self.open
            .execute(params![
                seq,
                row.id,
                context_id,
                entry.as_str(),
                at,
                caller.tenant,
                caller.client,
                caller.user,
                request_type,
                decision.as_str()
            ])
            .map_err(duplicate)?;
        for policy in matched {
            self.matched.execute(params![caller.tenant, policy, at, seq]).map_err(classed)?;
        }
        if let Some(context) = context {
            let expires_at = context.expires_at.as_microsecond();
            self.context
                .execute(params![row.id, context.client, context.tenant, context.approved, expires_at])
                .map_err(duplicate)?;
        }
        Ok(())
    }

    fn why_not_closed(&self, row: &Row) -> AuditError {
        let sql = "SELECT count(*) FROM entries WHERE id = ?";
        match self.connection.query_row(sql, [&row.id], |found| found.get::<_, i64>(0)) {
            Ok(0) => AuditError::NoIntent { id: row.id.clone() },
            Ok(_) => AuditError::Duplicate { id: row.id.clone() },
            Err(error) => classed(error),
        }
    }
}

impl Session for SqliteSession<'_> {
    fn commit(&mut self, rows: &[&Row]) -> Result<Vec<Seq>, AuditError> {
        let result = self.write_all(rows);
        match &result {
            Ok(_) => self.checkpointer.wrote(rows),
            // A failed COMMIT leaves the transaction open; some errors have ended it already.
            Err(_) if !self.connection.is_autocommit() => {
                if let Err(error) = self.rollback.execute([]) {
                    return Err(AuditError::Io(format!("a failed transaction cannot be rolled back: {error}")));
                }
            }
            Err(_) => {}
        }
        result
    }

    fn clean_contexts(&mut self, before: Timestamp, at_most: usize) -> Result<usize, AuditError> {
        self.clean.execute(params![before.as_microsecond(), at_most as i64]).map_err(classed)
    }

    fn tidy(&mut self) {
        self.checkpointer.finish(self.connection);
    }

    fn checkpoint(&mut self) -> Result<(), AuditError> {
        self.checkpointer.stop();
        // A reader may hold a part of the log back; the rest stays in the log, which is as durable.
        self.connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .map_err(classed)
            .or_else(|error| if error == AuditError::Locked { Ok(()) } else { Err(error) })
    }
}
