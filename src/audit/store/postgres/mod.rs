//! The store past one machine: PostgreSQL 15 or later, shared by several gateways.
//!
//! Each gateway writes its own chain on one connection; reading goes over a few others. What is acknowledged is flushed by
//! the database, whatever `audit.durability` says: `process` has no meaning for a process on another machine.

mod archive;
mod batch;
mod connection;
mod failure;
mod read;
mod schema;
mod session;
#[cfg(test)]
mod tests;
mod versions;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::{
    ANSWER_WITHIN, COMMANDS_ANSWER_WITHIN, EntryRow, Node, Outline, PolicyRow, Role, Session, Store, StoredRecord,
    Texts, new_node_id,
};
use crate::audit::chain::Place;
use crate::audit::entry::Entry;
use crate::audit::row::ContextRow;
use crate::audit::search::{Page, Query};
use crate::audit::{ArchivedVersion, AuditError, Checkpoint, DatabaseUrl, Selection};
use connection::{Address, Connection};

/// Connections that are kept open when nobody reads.
const KEPT: usize = 4;

/// Whether this can be a database's address.
pub(super) fn check(url: &DatabaseUrl) -> Result<(), AuditError> {
    Address::parse(url, ANSWER_WITHIN).map(drop)
}

/// A database.
pub(super) struct PostgresStore {
    address: Address,
    idle: Mutex<Vec<Connection>>,
}

impl PostgresStore {
    /// Makes the tables if they are not there, and brings them up to date.
    pub(super) fn open(url: &DatabaseUrl) -> Result<Self, AuditError> {
        // No request waits yet, and a migration given up goes on in the server, where the next start would wait for it.
        let patient = Self::new(url, COMMANDS_ANSWER_WITHIN)?;
        patient.with(|connection| connection.ask(async |client| schema::migrate(&client, &patient.address).await))?;
        Self::new(url, ANSWER_WITHIN)
    }

    /// A database that has the tables of this version. For commands: no request waits for an answer, and whoever reads
    /// or erases millions of records has the time.
    pub(super) fn open_existing(url: &DatabaseUrl) -> Result<Self, AuditError> {
        let store = Self::new(url, COMMANDS_ANSWER_WITHIN)?;
        store.with(|connection| connection.ask(async |client| schema::check(&client, &store.address).await))?;
        Ok(store)
    }

    fn new(url: &DatabaseUrl, answer_within: Duration) -> Result<Self, AuditError> {
        Ok(Self { address: Address::parse(url, answer_within)?, idle: Mutex::default() })
    }

    /// Lends a connection. One that reported an error is not kept.
    fn with<T>(&self, work: impl FnOnce(&Connection) -> Result<T, AuditError>) -> Result<T, AuditError> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        // One that broke while nobody used it is no news, and where one did, so did the others.
        let last = idle().pop();
        let usable = last.filter(Connection::answers);
        if usable.is_none() {
            idle().clear();
        }
        let connection = usable.map_or_else(|| self.address.connect(), Ok)?;
        let result = work(&connection)?;
        let mut idle = idle();
        if idle.len() < KEPT {
            idle.push(connection);
        }
        Ok(result)
    }
}

impl Store for PostgresStore {
    fn enrol(&self, node: Option<&str>, role: Role) -> Result<Node, AuditError> {
        let id = node.map_or_else(new_node_id, str::to_owned);
        let (number, its): (i64, String) = self.with(|connection| {
            connection.ask(async |client| {
                let insert = "INSERT INTO nodes (id, role) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING";
                client.execute(insert, &[&id, &role.as_str()]).await?;
                let row = client.query_one("SELECT number, role FROM nodes WHERE id = $1", &[&id]).await?;
                Ok((row.get(0), row.get(1)))
            })
        })?;
        Node { number, id }.in_role(&its, role)
    }

    fn write(&self, work: &mut dyn FnMut(&mut dyn Session)) -> Result<(), AuditError> {
        let connection = self.address.connect()?;
        let mut session = session::PostgresSession::new(&connection)?;
        work(&mut session);
        Ok(())
    }

    fn hurry(&self) {
        self.address.hurry();
    }

    fn search(&self, query: &Query) -> Result<Page, AuditError> {
        self.with(|connection| connection.ask(async |client| read::search(&client, query).await))
    }

    fn places(&self, query: &Query, behind: Place, at_most: usize) -> Result<Vec<(i64, Place)>, AuditError> {
        self.with(|connection| connection.ask(async |client| read::places(&client, query, behind, at_most).await))
    }

    fn entries(&self, places: &[Place]) -> Result<(Vec<Entry>, usize), AuditError> {
        self.with(|connection| connection.ask(async |client| read::entries(&client, places).await))
    }

    fn context(&self, id: &str) -> Result<Option<ContextRow>, AuditError> {
        self.with(|connection| connection.ask(async |client| read::context(&client, id).await))
    }

    fn nodes(&self) -> Result<Vec<Node>, AuditError> {
        self.with(|connection| connection.ask(async |client| archive::nodes(&client).await))
    }

    fn extent(&self, node: i64) -> Result<Option<(Place, Place)>, AuditError> {
        self.with(|connection| connection.ask(async |client| archive::extent(&client, node).await))
    }

    fn outline(&self, node: i64) -> Result<Outline, AuditError> {
        self.with(|connection| connection.ask(async |client| archive::outline(&client, node).await))
    }

    fn records(&self, from: Place, to: Place, at_most: usize, texts: Texts) -> Result<Vec<StoredRecord>, AuditError> {
        self.with(|connection| connection.ask(async |client| archive::records(&client, from, to, at_most, texts).await))
    }

    fn entry_rows(&self, from: Place, to: Place, at_most: usize) -> Result<Vec<EntryRow>, AuditError> {
        self.with(|connection| connection.ask(async |client| archive::entry_rows(&client, from, to, at_most).await))
    }

    fn policy_rows(&self, behind: &PolicyRow, at_most: usize) -> Result<Vec<PolicyRow>, AuditError> {
        self.with(|connection| connection.ask(async |client| archive::policy_rows(&client, behind, at_most).await))
    }

    fn checkpoints(&self, node: i64) -> Result<Vec<Checkpoint>, AuditError> {
        self.with(|connection| connection.ask(async |client| archive::checkpoints(&client, node).await))
    }

    fn records_of(&self, id: &str) -> Result<Vec<StoredRecord>, AuditError> {
        self.with(|connection| connection.ask(async |client| archive::records_of(&client, id).await))
    }

    fn records_with_id(&self, id: &str) -> Result<Vec<StoredRecord>, AuditError> {
        self.with(|connection| connection.ask(async |client| archive::records_with_id(&client, id).await))
    }

    fn keep_version(&self, version: &ArchivedVersion) -> Result<(), AuditError> {
        self.with(|connection| connection.ask(async |client| versions::keep(&client, version).await))
    }

    fn version(&self, digest: &str) -> Result<Option<ArchivedVersion>, AuditError> {
        self.with(|connection| connection.ask(async |client| versions::find(&client, digest).await))
    }

    fn texts(&self, selection: &Selection, behind: Place, at_most: usize) -> Result<(Vec<Place>, Place), AuditError> {
        self.with(|connection| connection.ask(async |client| archive::texts(&client, selection, behind, at_most).await))
    }
}
