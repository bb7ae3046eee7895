//! Where records are kept: one trait, so that every store has the same semantics and the same tests.
//!
//! The trait is blocking on purpose. Writing happens on the writer's own thread and reading on tokio's blocking
//! threads, so a store over a network drives its asynchronous client there, and nothing above this line differs.

mod cut;
mod filter;
mod none;
mod page;
mod postgres;
mod sqlite;
mod trail;

use std::borrow::Cow;
use std::time::Duration;

use jiff::Timestamp;

use super::chain::{ChainHash, Head, Place, Seq};
use super::checkpoint::Checkpoint;
use super::entry::Entry;
use super::node_id::new_node_id;
use super::row::{ContextRow, Row};
use super::search::{Page, Query};
use super::{ArchivedVersion, AuditError, AuditStore, Selection, Settings};

/// How long an answer of a database, or the end of a search, is waited for. After that nobody knows what became of the
/// question, and a connection to a database is given up.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// The same of a command's questions, some of which read whole tables.
const COMMANDS_ANSWER_WITHIN: Duration = Duration::from_secs(3_600);

/// Bytes of records and texts that are read at a time: how long a record is, its callers have a say in.
const PAGE_BYTES: i64 = 8 << 20;

/// Records that are looked at to say what all of them take, of all nodes together, and of each at least.
const SAMPLED: usize = 1_000;
const SAMPLED_OF_EACH: usize = 50;

/// Records that are looked at of each of so many nodes.
fn sampled_of_each(nodes: usize) -> i64 {
    (SAMPLED / nodes.max(1)).max(SAMPLED_OF_EACH) as i64
}

/// How many of these, in order, are read at a time: places with the bytes that are read of each. At least one.
fn page_of(sized: &[(Place, i64)]) -> usize {
    let mut bytes = 0;
    let fits = |(_, size): &&(Place, i64)| {
        let fits = bytes < PAGE_BYTES;
        bytes += size;
        fits
    };
    sized.iter().take_while(fits).count()
}

/// How many of the places that were asked for are done, when so many of those that are there were read.
fn done(asked: &[Place], sized: &[(Place, i64)], read: usize) -> usize {
    let next = sized.get(read).and_then(|(next, _)| asked.iter().position(|place| place == next));
    next.unwrap_or(asked.len())
}

/// A store of records.
pub(crate) trait Store: Send + Sync {
    /// The node of that name, made if it is not there. Without a name: the first of that role that wrote here, or a new
    /// one. A name that has another role is refused.
    fn enrol(&self, node: Option<&str>, role: Role) -> Result<Node, AuditError>;

    /// Opens the one connection that writes and lends it to `work` until that returns. What is prepared for the
    /// connection lives exactly as long.
    fn write(&self, work: &mut dyn FnMut(&mut dyn Session)) -> Result<(), AuditError>;

    /// From now on an answer of the store's is waited for only a moment, that which is being waited for too.
    fn hurry(&self) {}

    /// One page of the entries that fit, and how many fit in all. It ends early where its entries are long.
    fn search(&self, query: &Query) -> Result<Page, AuditError>;

    /// When the entries were that fit, and where they are: at most so many behind this place, in order of their places.
    fn places(&self, query: &Query, behind: Place, at_most: usize) -> Result<Vec<(i64, Place)>, AuditError>;

    /// The entries at these places, which are in order, newest first; and how many of the places that was: fewer than all
    /// where entries are long. Those that have been removed meanwhile are not among them.
    fn entries(&self, places: &[Place]) -> Result<(Vec<Entry>, usize), AuditError>;

    /// The last record of a node up to which a search finds what it should; the last that there can be, where that is all.
    fn indexed(&self, node: i64) -> Result<Place, AuditError> {
        Ok(Place::of_node(node).1)
    }

    /// Whether there may be contexts that neither [`Self::context`] finds nor anybody remembers: after the next
    /// [`Session::index`] it finds them.
    fn lags(&self) -> bool {
        false
    }

    /// The context of that id.
    fn context(&self, id: &str) -> Result<Option<ContextRow>, AuditError>;

    /// Whether a version before the chain can have written here, at node 0.
    fn may_be_older(&self) -> bool {
        false
    }

    /// All nodes that ever wrote here.
    fn nodes(&self) -> Result<Vec<Node>, AuditError>;

    /// The first and the last record of a node; `None` when there is none.
    fn extent(&self, node: i64) -> Result<Option<(Place, Place)>, AuditError>;

    /// What a node has, at one moment.
    fn outline(&self, node: i64) -> Result<Outline, AuditError>;

    /// At most so many records from this place on, up to that one, in order; fewer where they are long, and at least one
    /// where there is any.
    fn records(&self, from: Place, to: Place, at_most: usize, texts: Texts) -> Result<Vec<StoredRecord>, AuditError>;

    /// At most so many rows of `entries` at these places, in order.
    fn entry_rows(&self, from: Place, to: Place, at_most: usize) -> Result<Vec<EntryRow>, AuditError>;

    /// At most so many rows of `entry_policies` behind this one, in the order of their key.
    fn policy_rows(&self, behind: &PolicyRow, at_most: usize) -> Result<Vec<PolicyRow>, AuditError>;

    /// The checkpoints of a node, in order.
    fn checkpoints(&self, node: i64) -> Result<Vec<Checkpoint>, AuditError>;

    /// The records of a request, a pre-check or a reported call; of a context, those of its pre-check and its calls.
    fn records_of(&self, id: &str) -> Result<Vec<StoredRecord>, AuditError>;

    /// The records of that id, of whatever kind. No index leads to them: the whole trail is looked through.
    fn records_with_id(&self, id: &str) -> Result<Vec<StoredRecord>, AuditError>;

    /// Keeps a version of a policy, and its module if no other version has it. One that is there stays as it is.
    fn keep_version(&self, version: &ArchivedVersion) -> Result<(), AuditError>;

    /// The version of that digest.
    fn version(&self, digest: &str) -> Result<Option<ArchivedVersion>, AuditError>;

    /// The records that have texts, of at most so many entries behind this one that a selection covers and that have
    /// any; and the last of those entries.
    fn texts(&self, selection: &Selection, behind: Place, at_most: usize) -> Result<(Vec<Place>, Place), AuditError>;
}

/// The checkpoints of a node, in order, and its first and last record; `None` when there is none.
pub(crate) type Outline = (Vec<Checkpoint>, Option<(Place, Place)>);

/// Whether texts are read with their records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Texts {
    /// They are.
    Read,
    /// They are not, whether or not there are any.
    Left,
}

/// A record as it stands in a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredRecord {
    pub(crate) place: Place,
    pub(crate) at_microseconds: i64,
    pub(crate) kind: String,
    pub(crate) id: String,
    pub(crate) body: String,
    /// None of a record that is older than the chain.
    pub(crate) hash: Option<ChainHash>,
    pub(crate) content: Option<String>,
}

impl StoredRecord {
    /// Bytes that callers had a say in.
    fn size(&self) -> i64 {
        (self.body.len() + self.content.as_ref().map_or(0, String::len)) as i64
    }
}

/// A row of `entries`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EntryRow {
    pub(crate) place: i64,
    pub(crate) outcome_place: Option<i64>,
    pub(crate) id: String,
    pub(crate) context_id: Option<String>,
    pub(crate) kind: String,
    pub(crate) at: i64,
    pub(crate) tenant: String,
    pub(crate) client: String,
    pub(crate) user: String,
    pub(crate) request_type: String,
    pub(crate) decision: String,
}

/// A row of `entry_policies`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PolicyRow {
    pub(crate) tenant: String,
    pub(crate) policy: String,
    pub(crate) at: i64,
    pub(crate) entry: i64,
}

/// What a node writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Requests.
    Gateway,
    /// Erasures.
    Operator,
}

impl Role {
    fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Operator => "operator",
        }
    }
}

/// The connection that writes.
pub(crate) trait Session {
    /// Where a node's chain ends, and the last record that a checkpoint covers.
    fn head(&mut self, node: &Node) -> Result<(Head, Seq), AuditError>;

    /// The last checkpoint or cut of a node's chain, whoever signed it.
    fn last_checkpoint(&mut self, node: &Node) -> Result<Option<Checkpoint>, AuditError>;

    /// Writes all records and the checkpoint, or nothing; durable on return. `ChainMoved` when a place is taken.
    fn commit(&mut self, links: &[Link<'_>], checkpoint: Option<(Place, &Checkpoint)>) -> Result<(), AuditError>;

    /// Whether [`Self::commit`] would write these now; writes nothing.
    fn would_take(&mut self, links: &[Link<'_>]) -> Result<(), AuditError>;

    /// Brings what is searched up to the last record, where it may be a moment behind.
    fn index(&mut self) -> Result<(), AuditError> {
        Ok(())
    }

    /// A step towards it that keeps nobody waiting for long.
    fn index_some(&mut self) -> Result<(), AuditError> {
        self.index()
    }

    /// When [`Self::index_some`] is due; `None`: nothing waits for it.
    fn index_in(&self) -> Option<Duration> {
        None
    }

    /// The nodes whose records are of requests.
    fn gateways(&mut self) -> Result<Vec<Node>, AuditError>;

    /// The first and the last record of a node; `None` when there is none.
    fn extent(&mut self, node: i64) -> Result<Option<(Place, Place)>, AuditError>;

    /// Place, time and hash of the record at this place, or of the next one of its node.
    fn record_at(&mut self, place: Place) -> Result<Option<(Place, i64, ChainHash)>, AuditError>;

    /// The first of these records that is not older than this. They are all read: a bounded number.
    fn first_since(&mut self, from: Place, through: Place, since: Timestamp) -> Result<Option<Place>, AuditError>;

    /// About how many bytes the records take; what no cut removes is not counted, as the archive of versions and contexts.
    fn used_bytes(&mut self) -> Result<u64, AuditError>;

    /// Removes the records of a node up to this place, and puts the cut there. Nothing, where somebody else has removed
    /// the record at that place.
    fn cut(&mut self, through: Place, cut: &Checkpoint) -> Result<(), AuditError>;

    /// Removes at most so many contexts that expired before; returns how many.
    fn clean_contexts(&mut self, before: Timestamp, at_most: usize) -> Result<usize, AuditError>;

    /// A moment between two transactions, when nobody waits for the last one: bounded work of the store's own.
    fn tidy(&mut self);

    /// Leaves everything in the main file, at the end.
    fn finish(&mut self) -> Result<(), AuditError>;
}

/// A record with its place in the chain.
pub(crate) struct Link<'r> {
    pub(crate) place: Place,
    pub(crate) hash: ChainHash,
    pub(crate) row: &'r Row,
}

/// Who writes a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    /// In this store.
    pub(crate) number: i64,
    /// Everywhere.
    pub(crate) id: String,
}

/// What callers name things by may hold a NUL, which PostgreSQL's texts cannot: it is shown as a mark, in both stores.
pub(super) fn storable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text.into() }
}

impl Node {
    /// This node, unless it has another role than the one that is wanted.
    fn in_role(self, its: &str, wanted: Role) -> Result<Self, AuditError> {
        if its == wanted.as_str() {
            return Ok(self);
        }
        Err(AuditError::Settings(format!(
            "audit.node: `{}` is the name of the store's {its} chain; take another one",
            self.id
        )))
    }
}

/// Opens the store that the settings name, bringing its schema up to date.
pub(crate) fn open(settings: &Settings) -> Result<Box<dyn Store>, AuditError> {
    Ok(match &settings.store {
        AuditStore::Sqlite(file) => Box::new(sqlite::SqliteStore::open(file.clone(), settings.durability)?),
        AuditStore::Postgres(url) => Box::new(postgres::PostgresStore::open(url)?),
        AuditStore::None => Box::new(none::NoStore),
    })
}

/// Whether the store's address can be one, without a look at the store.
pub(crate) fn check(store: &AuditStore) -> Result<(), AuditError> {
    match store {
        AuditStore::Postgres(url) => postgres::check(url),
        AuditStore::Sqlite(_) | AuditStore::None => Ok(()),
    }
}

/// Opens a store that is there, to be read or to have texts erased. Changes nothing by itself but the tables that are
/// searched, where they are a moment behind the records and may be written.
pub(crate) fn open_existing(store: &AuditStore) -> Result<Box<dyn Store>, AuditError> {
    Ok(match store {
        AuditStore::Sqlite(file) => Box::new(sqlite::SqliteStore::open_existing(file.clone())?),
        AuditStore::Postgres(url) => Box::new(postgres::PostgresStore::open_existing(url)?),
        AuditStore::None => return Err(AuditError::Off),
    })
}
