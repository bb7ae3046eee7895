//! The connection that writes, with its statements prepared once.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Statement, params};

use super::Turns;
use super::archive;
use super::failure::{is_taken_place, rolled_back};
use super::index::Index;
use super::named::{Identity, NamedFile};
use super::wal::{self, WalMover};
use crate::audit::chain::{ChainHash, Head, Place, Seq};
use crate::audit::row::Effect;
use crate::audit::store::{Link, Node, Session, cut, sampled_of_each};
use crate::audit::{AuditError, Checkpoint};

/// Pages that a cut changes, guessed.
const CUT_PAGES: usize = 256;

pub(super) struct SqliteSession<'c> {
    connection: &'c Connection,
    file: &'c NamedFile,
    /// The write-ahead log that the connection has open.
    log: Option<Identity>,
    wal: WalMover,
    turns: &'c Turns,
    index: Index<'c>,
    begin: Statement<'c>,
    commit: Statement<'c>,
    record: Statement<'c>,
    content: Statement<'c>,
    checkpoint: Statement<'c>,
    clean: Statement<'c>,
    erase: Statement<'c>,
}

impl<'c> SqliteSession<'c> {
    pub(super) fn new(
        connection: &'c Connection,
        file: &'c NamedFile,
        wal: WalMover,
        turns: &'c Turns,
        lags: &'c AtomicBool,
    ) -> Result<Self, AuditError> {
        let prepare = |sql: &str| connection.prepare(sql);
        Ok(Self {
            connection,
            file,
            log: file.log()?,
            wal,
            turns,
            index: Index::new(connection, lags)?,
            begin: prepare("BEGIN IMMEDIATE")?,
            commit: prepare("COMMIT")?,
            // One row each: for several with a key of their own SQLite keeps copies of the pages that the statement touches.
            record: prepare("INSERT INTO records (place, at, kind, id, body, hash) VALUES (?, ?, ?, ?, ?, ?)")?,
            content: prepare("INSERT INTO contents (place, content) VALUES (?, ?)")?,
            checkpoint: prepare(
                "INSERT OR REPLACE INTO checkpoints (place, kind, at, hash, public_key, signature) \
                 VALUES (?, ?, ?, ?, ?, ?)",
            )?,
            erase: prepare("DELETE FROM contents WHERE place = ?")?,
            clean: prepare(
                "DELETE FROM contexts WHERE context_id IN \
                 (SELECT context_id FROM contexts WHERE expires_at < ? ORDER BY expires_at LIMIT ?)",
            )?,
        })
    }

    /// Everything up to the commit.
    fn write_all(&mut self, links: &[Link<'_>], checkpoint: Option<(Place, &Checkpoint)>) -> Result<(), AuditError> {
        self.begin.execute([])?;
        for link in links {
            self.index.take(link)?;
        }
        self.write(links)?;
        if let Some((place, checkpoint)) = checkpoint {
            self.sign(place, checkpoint)?;
        }
        Ok(())
    }

    fn sign(&mut self, Place(place): Place, checkpoint: &Checkpoint) -> Result<(), AuditError> {
        let Checkpoint { kind, at, head, public_key, signature } = checkpoint;
        let (at, hash) = (at.as_microsecond(), head.hash.0);
        let values = params![place, kind.as_str(), at, hash, public_key.0, signature];
        Ok(self.checkpoint.execute(values).map(drop)?)
    }

    fn write(&mut self, links: &[Link<'_>]) -> Result<(), AuditError> {
        let moved = |error| if is_taken_place(&error) { AuditError::ChainMoved } else { error.into() };
        for Link { place: Place(place), hash, row } in links {
            let values = params![place, row.at.as_microsecond(), row.kind.as_str(), row.id, row.body, hash.0];
            self.record.execute(values).map_err(moved)?;
        }
        for Link { place: Place(place), row, .. } in links {
            if let Some(content) = &row.content {
                self.content.execute(params![place, content])?;
            }
            if let Effect::Erase(places) = &*row.effect {
                self.erase(places)?;
            }
        }
        Ok(())
    }

    /// The texts are overwritten, not only let go. One that is not there any more was somebody else's to erase.
    fn erase(&mut self, places: &[Place]) -> Result<(), AuditError> {
        self.connection.execute_batch("PRAGMA secure_delete = ON")?;
        for Place(place) in places {
            if self.erase.execute([place])? != 1 {
                return Err(AuditError::ChainMoved);
            }
        }
        Ok(())
    }
}

impl Session for SqliteSession<'_> {
    fn head(&mut self, node: &Node) -> Result<(Head, Seq), AuditError> {
        // What comes may refer to what another process, or this one before it was killed, left for later.
        self.index()?;
        self.index.catch_up(self.turns, node.number)?;
        self.index.tell_lag();
        let last = |column: &str, table: &str| {
            let sql =
                format!("SELECT place, {column} FROM {table} WHERE place BETWEEN ? AND ? ORDER BY place DESC LIMIT 1");
            let (first, last) = Place::of_node(node.number);
            self.connection
                .query_row(&sql, [first.0, last.0], |row| Ok((Place(row.get(0)?).seq(), ChainHash(row.get(1)?))))
                .optional()
        };
        let head = last("hash", "records")?.map_or(Head::EMPTY, |(seq, hash)| Head { seq, hash });
        let signed = last("hash", "checkpoints")?.map_or(Head::EMPTY, |(seq, hash)| Head { seq, hash });
        // All records may have been removed by a cut: the chain goes on from it.
        Ok(if signed.seq > head.seq { (signed, signed.seq) } else { (head, signed.seq) })
    }

    fn last_checkpoint(&mut self, node: &Node) -> Result<Option<Checkpoint>, AuditError> {
        archive::last_checkpoint(self.connection, node.number)
    }

    fn commit(&mut self, links: &[Link<'_>], checkpoint: Option<(Place, &Checkpoint)>) -> Result<(), AuditError> {
        if self.index.is_full() {
            self.index()?;
        }
        let waiting = self.index.len();
        let _turn = self.turns.wait();
        let result = self.write_all(links, checkpoint).and_then(|()| {
            self.file.check_log(self.log)?;
            Ok(self.commit.execute([]).map(drop)?)
        });
        match result {
            Ok(()) => self.wal.wrote(links),
            Err(_) => self.index.not_committed(waiting),
        }
        rolled_back(self.connection, result)
    }

    fn would_take(&mut self, links: &[Link<'_>]) -> Result<(), AuditError> {
        let waiting = self.index.len();
        let _turn = self.turns.wait();
        let result = self.write_all(links, None).and_then(|()| Ok(self.connection.execute_batch("ROLLBACK")?));
        self.index.not_committed(waiting);
        rolled_back(self.connection, result)
    }

    fn index(&mut self) -> Result<(), AuditError> {
        let pages = self.index.fill_all(self.turns)?;
        self.wal.wrote_pages(pages);
        Ok(())
    }

    fn index_some(&mut self) -> Result<(), AuditError> {
        let pages = self.index.fill_some(self.turns)?;
        self.wal.wrote_pages(pages);
        Ok(())
    }

    fn index_in(&self) -> Option<Duration> {
        self.index.due_in()
    }

    fn gateways(&mut self) -> Result<Vec<Node>, AuditError> {
        archive::gateways(self.connection)
    }

    fn extent(&mut self, node: i64) -> Result<Option<(Place, Place)>, AuditError> {
        archive::extent(self.connection, node)
    }

    fn record_at(&mut self, place: Place) -> Result<Option<(Place, i64, ChainHash)>, AuditError> {
        archive::record_at(self.connection, place)
    }

    fn first_since(&mut self, from: Place, through: Place, since: Timestamp) -> Result<Option<Place>, AuditError> {
        let sql = "SELECT place FROM records WHERE place BETWEEN ? AND ? AND at >= ? ORDER BY place LIMIT 1";
        let values = [from.0, through.0, since.as_microsecond()];
        Ok(self.connection.query_row(sql, values, |row| row.get(0).map(Place)).optional()?)
    }

    fn used_bytes(&mut self) -> Result<u64, AuditError> {
        let number = |sql: &str| self.connection.query_row(sql, [], |row| row.get::<_, i64>(0));
        let (pages, page) =
            (number("PRAGMA page_count")? - number("PRAGMA freelist_count")?, number("PRAGMA page_size")?);
        // No cut makes room there.
        let archive = "SELECT (SELECT coalesce(sum(octet_length(bytes)), 0) FROM modules) \
                       + (SELECT coalesce(sum(octet_length(manifest)), 0) FROM versions)";
        let in_pages = pages * page - number(archive)?;
        // Nor among the contexts. What those take could be said by reading them all, and there may be millions.
        let nodes = archive::nodes(self.connection)?;
        let sampled = sampled_of_each(nodes.len());
        let of = |node: &Node| archive::used_bytes(self.connection, node.number, sampled, page);
        let of_records = nodes.iter().map(of).sum::<Result<i64, _>>()?;
        Ok(u64::try_from(in_pages.min(of_records)).unwrap_or(0))
    }

    fn cut(&mut self, through: Place, cut: &Checkpoint) -> Result<(), AuditError> {
        self.index()?;
        self.index.catch_up(self.turns, through.node())?;
        let (Place(first), _) = Place::of_node(through.node());
        let _turn = self.turns.wait();
        let result = (|| -> Result<(), AuditError> {
            self.begin.execute([])?;
            if archive::record_at(self.connection, through)?.is_none_or(|(at, ..)| at != through) {
                return Ok(self.connection.execute_batch("ROLLBACK")?);
            }
            for sql in cut::statements(cut.at) {
                self.connection.execute(&sql, [first, through.0])?;
            }
            self.sign(through, cut)?;
            self.file.check_log(self.log)?;
            self.commit.execute([])?;
            self.wal.wrote_pages(CUT_PAGES);
            Ok(())
        })();
        rolled_back(self.connection, result)
    }

    fn clean_contexts(&mut self, before: Timestamp, at_most: usize) -> Result<usize, AuditError> {
        let _turn = self.turns.wait();
        Ok(self.clean.execute(params![before.as_microsecond(), at_most as i64])?)
    }

    fn tidy(&mut self) {
        self.wal.finish(self.connection);
    }

    fn finish(&mut self) -> Result<(), AuditError> {
        self.index()?;
        self.wal.stop();
        // A reader may hold a part of the log back; the rest stays in the log, which is as durable.
        wal::empty(self.connection)
            .map_err(AuditError::from)
            .map(drop)
            .or_else(|error| if error == AuditError::Locked { Ok(()) } else { Err(error) })
    }
}
