//! Moves the log's pages into the main file, beside the writer.
//!
//! SQLite would do it inside the commit that makes the log 1,000 pages long, and that commit would wait for two
//! flushes of the device. Here a thread of its own does it; the writer goes on appending to the log meanwhile. The log
//! can start over only when nothing was appended since the last page was moved, which under load never happens by
//! itself: when it has grown to `FINISH_AT`, the writer moves the few pages that are left.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use rusqlite::Connection;
use rustix::process::setpriority_process;

use crate::audit::AuditError;
use crate::audit::store::Link;

/// Bytes that are appended between two rounds of the thread. What is written several times meanwhile is moved once; but on
/// a busy core requests wait behind a round for as long as the system lets it run.
const ROUND_AFTER: usize = 4 << 20;
/// Bytes of the log at which the writer finishes a round itself.
const FINISH_AT: i64 = 128 << 20;
/// Bytes that the writer moves in a moment.
const FEW: i64 = 2 << 20;
/// Rounds in which the thread tries to leave only a few.
const CATCH_UP_ROUNDS: usize = 4;

/// Of the thread: about a tenth of a busy core, more than it needs. With less the log would grow under load.
const NICENESS: i32 = 10;

/// The writer's end of the thread.
pub(super) struct WalMover {
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    appended: usize,
    page_bytes: u32,
    finish: Arc<AtomicBool>,
}

impl WalMover {
    pub(super) fn start(connection: Connection) -> Result<Self, AuditError> {
        let page_bytes = page_bytes(&connection)?;
        // One round waits at most; more would do nothing.
        let (wake, rounds) = sync_channel::<()>(1);
        let finish = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&finish);
        let thread = std::thread::Builder::new()
            .name("audit-checkpoint".to_owned())
            .spawn(move || {
                step_back();
                while rounds.recv().is_ok() {
                    // The last pages are the writer's: two at once would keep each other out.
                    if flag.load(Ordering::Acquire) {
                        continue;
                    }
                    match catch_up(&connection) {
                        Ok(log) => flag.store(log >= FINISH_AT, Ordering::Release),
                        Err(error) => tracing::warn!(%error, "the audit log's pages were not moved; it grows"),
                    }
                }
            })
            .map_err(|error| AuditError::Io(format!("cannot start the checkpoint thread: {error}")))?;
        Ok(Self { wake: Some(wake), thread: Some(thread), appended: 0, page_bytes, finish })
    }

    /// A transaction was appended to the log.
    pub(super) fn wrote(&mut self, links: &[Link<'_>]) {
        // The pages of a transaction are guessed: the ends of the tables and indexes, and what the records fill. Only the
        // rhythm depends on it.
        let filled: usize = links.iter().map(|link| link.row.size()).sum();
        self.wrote_pages(8 + filled / self.page_bytes as usize);
    }

    /// So many pages were appended, about.
    pub(super) fn wrote_pages(&mut self, pages: usize) {
        self.appended += pages * self.page_bytes as usize;
        if self.appended >= ROUND_AFTER
            && let Some(wake) = &self.wake
        {
            self.appended = 0;
            // Full: a round is due already.
            let _ = wake.try_send(());
        }
    }

    /// Between two transactions: ends the log's growth when it is due.
    pub(super) fn finish(&self, writer: &Connection) {
        if !self.finish.load(Ordering::Acquire) {
            return;
        }
        if let Err(error) = move_pages(writer) {
            tracing::warn!(%error, "the audit log's last pages were not moved; it grows");
        }
        self.finish.store(false, Ordering::Release);
    }

    /// Ends the thread.
    pub(super) fn stop(&mut self) {
        drop(self.wake.take());
        if let Some(thread) = self.thread.take() {
            // It does not panic; if it did, the log is only longer.
            let _ = thread.join();
        }
    }
}

impl Drop for WalMover {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Lowers the priority of the thread that calls this (on Linux each thread has its own): nobody waits for it, and on a
/// busy core requests would wait behind its copying.
fn step_back() {
    if let Err(error) = setpriority_process(None, NICENESS) {
        tracing::debug!(%error, "the checkpoint thread runs at the priority of the others");
    }
}

/// A round. When the log is long enough to start over, rounds follow until few pages are left for the writer.
fn catch_up(connection: &Connection) -> rusqlite::Result<i64> {
    let mut moved = 0;
    for _ in 0..CATCH_UP_ROUNDS {
        let log = move_pages(connection)?;
        if log < FINISH_AT || log - moved < FEW {
            return Ok(log);
        }
        moved = log;
    }
    Ok(moved)
}

/// Moves what no reader needs to stay; returns the bytes that the log holds.
fn move_pages(connection: &Connection) -> rusqlite::Result<i64> {
    let pages: i64 = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get(1))?;
    Ok(pages * i64::from(page_bytes(connection)?))
}

/// Moves all pages and leaves an empty log. Where somebody reads or writes, it moves what can be moved, and tells `false`.
pub(super) fn empty(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| Ok(row.get::<_, i64>(0)? == 0))
}

fn page_bytes(connection: &Connection) -> rusqlite::Result<u32> {
    connection.query_row("PRAGMA page_size", [], |row| row.get(0))
}
