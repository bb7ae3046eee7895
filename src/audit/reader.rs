//! Reading a store beside the gateway, or without one: search, single stories, whole chains.
//!
//! It changes nothing, and blocks: it is for commands, and for threads that drive no runtime.

use std::collections::{HashMap, VecDeque};

use jiff::Timestamp;

use super::chain::{ChainHash, Place, Seq};
use super::checkpoint::Checkpoint;
use super::entry::Entry;
use super::erase::OPERATOR;
use super::record::RecordKind;
use super::search::{Page, Query};
use super::store::{self, Node, Store, StoredRecord};
use super::verify::Misfit;
use super::{ArchivedVersion, AuditError, AuditStore, CheckpointKind, PublicKey, Texts};

/// Records that are read at a time.
const AT_ONCE: usize = 1_000;
/// Places of entries that are read at a time.
const PLACES_AT_ONCE: usize = 250_000;

/// A store that is read.
pub struct AuditReader {
    pub(super) store: Box<dyn Store>,
}

/// A record as it stands in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrailRecord {
    /// Whose chain it is in; empty where it is older than the chain. Where it is in none, that says so.
    pub node: String,
    /// Its number there.
    pub seq: Seq,
    /// When it happened.
    pub at: Timestamp,
    /// The kind's name; another version may have others.
    pub kind: String,
    /// What it is about.
    pub id: String,
    /// Its body, as JSON: the bytes that the hash covers.
    pub body: String,
    /// Its hash; none where it is older than the chain.
    pub hash: Option<ChainHash>,
    /// Its text, as JSON, if one is stored.
    pub content: Option<String>,
}

impl TrailRecord {
    fn of(node: &str, record: StoredRecord) -> Result<Self, AuditError> {
        let StoredRecord { place, at_microseconds, kind, id, body, hash, content } = record;
        let at = Timestamp::from_microsecond(at_microseconds)
            .map_err(|error| AuditError::Encoding(format!("the time of {id}: {error}")))?;
        Ok(Self { node: node.to_owned(), seq: place.seq(), at, kind, id, body, hash, content })
    }

    /// Its kind, where this version has it.
    pub fn known_kind(&self) -> Option<RecordKind> {
        RecordKind::parse(&self.kind)
    }
}

/// One thing that stands in a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A record.
    Record(TrailRecord),
    /// A signature over what came before. A cut stands before the first record that was not removed.
    Checkpoint(Checkpoint),
}

/// One node's chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainInfo {
    /// The node; empty for records that are older than the chain.
    pub node: String,
    /// The first record that is there.
    pub first: Seq,
    /// The last one; before the first where there is none.
    pub last: Seq,
    /// The node's in this store.
    pub(super) number: i64,
}

impl ChainInfo {
    /// Records that are there, where none is missing.
    pub fn records(&self) -> u64 {
        u64::try_from(self.last.0 - self.first.0 + 1).unwrap_or(0)
    }
}

impl AuditReader {
    /// Opens a store that is there.
    pub fn open(store: &AuditStore) -> Result<Self, AuditError> {
        Ok(Self { store: store::open_existing(store)? })
    }

    /// A page of entries, newest first.
    pub fn search(&self, query: &Query) -> Result<Page, AuditError> {
        query.check()?;
        self.store.search(query)
    }

    /// All entries that fit, newest first, in pages; the query's own page does not count. Where they are is found first:
    /// a page costs the same however many stand before it, and what comes meanwhile moves none.
    pub fn entries(&self, query: &Query) -> Result<impl Iterator<Item = Result<Vec<Entry>, AuditError>>, AuditError> {
        self.entries_by(query, PLACES_AT_ONCE, AT_ONCE)
    }

    /// The same, by so many places and entries at a time.
    pub(super) fn entries_by(
        &self,
        query: &Query,
        places_at_once: usize,
        at_once: usize,
    ) -> Result<impl Iterator<Item = Result<Vec<Entry>, AuditError>>, AuditError> {
        let mut found: Vec<(i64, Place)> = Vec::new();
        loop {
            let behind = found.last().map_or(Place(0), |(_, place)| *place);
            let more = self.store.places(query, behind, places_at_once)?;
            let is_last = more.len() < places_at_once;
            found.extend(more);
            if is_last {
                break;
            }
        }
        found.sort_unstable_by(|one, other| other.cmp(one));
        let places: Vec<Place> = found.into_iter().map(|(_, place)| place).collect();
        let mut next = 0;
        Ok(std::iter::from_fn(move || {
            let rest = places.get(next..).filter(|rest| !rest.is_empty())?;
            match self.store.entries(rest.get(..at_once).unwrap_or(rest)) {
                Ok((entries, read)) => {
                    next += read.max(1);
                    Some(Ok(entries))
                }
                Err(error) => {
                    next = places.len();
                    Some(Err(error))
                }
            }
        }))
    }

    /// The records of a request, a pre-check or a reported call, oldest first; of a context, those of its pre-check and
    /// its calls.
    pub fn records_of(&self, id: &str) -> Result<Vec<TrailRecord>, AuditError> {
        self.named(self.store.records_of(id)?)
    }

    /// The records of that id, of whatever kind, oldest first. Looks through the whole trail.
    pub fn records_with_id(&self, id: &str) -> Result<Vec<TrailRecord>, AuditError> {
        self.named(self.store.records_with_id(id)?)
    }

    /// The version of a policy that has this digest, if it was archived.
    pub fn version(&self, digest: &str) -> Result<Option<ArchivedVersion>, AuditError> {
        self.store.version(digest)
    }

    /// The chains in the store as they are now: first the records that are older, if there are any; last the operator's.
    /// Whoever reads them in this order knows of the erasure of every text that was not there.
    pub fn chains(&self) -> Result<Vec<ChainInfo>, AuditError> {
        let mut chains = Vec::new();
        if let Some((first, last)) = self.store.extent(0)? {
            chains.push(ChainInfo { node: String::new(), first: first.seq(), last: last.seq(), number: 0 });
        }
        for Node { number, id } in self.store.nodes()? {
            let (first, last) = ends(self.store.extent(number)?);
            chains.push(ChainInfo { node: id, first, last, number });
        }
        chains.sort_by_key(|chain| chain.node == OPERATOR);
        Ok(chains)
    }

    /// The same, one by one, for whoever reads each whole before the next. The operator's is looked for when all others were
    /// read: the first erasure makes it, perhaps meanwhile.
    pub fn chains_in_turn(&self) -> Result<impl Iterator<Item = Result<ChainInfo, AuditError>>, AuditError> {
        let others = self.chains()?.into_iter().filter(|chain| chain.node != OPERATOR);
        let operators = || Ok(self.chains()?.pop().filter(|chain| chain.node == OPERATOR));
        Ok(others.map(Ok).chain(std::iter::once_with(operators).filter_map(Result::transpose)))
    }

    /// The key that signed last, of all chains; none where nothing is signed.
    pub fn last_signer(&self) -> Result<Option<PublicKey>, AuditError> {
        let mut last: Option<Checkpoint> = None;
        for node in self.store.nodes()? {
            let newest = self.store.checkpoints(node.number)?.into_iter().max_by_key(|it| it.at);
            last = last.into_iter().chain(newest).max_by_key(|it| it.at);
        }
        Ok(last.map(|it| it.public_key))
    }

    /// A whole chain, up to the record that is its last by now.
    pub fn chain(&self, chain: &ChainInfo, texts: Texts) -> Result<Items<'_>, AuditError> {
        // Of one moment: a gateway beside this one may write more, and remove records, and whatever a checkpoint covers that
        // is read here must be there, or the cut that says that it was removed.
        let (checkpoints, extent) = self.store.outline(chain.number)?;
        let (first, last) = ends(extent);
        Ok(Items {
            reader: self,
            node: chain.node.clone(),
            texts,
            next: (first <= last).then(|| Place::new(chain.number, first)),
            last: Place::new(chain.number, last),
            records: VecDeque::new(),
            checkpoints: checkpoints
                .into_iter()
                .filter(|it| it.head.seq >= first || it.kind == CheckpointKind::Cut)
                .collect(),
        })
    }

    /// How many of the records that are older than the chain name a time that is not: a clock may have been set back, or
    /// somebody wrote them. Where there never were any it names the first.
    pub fn check_older(&self, older: &ChainInfo) -> Result<Result<u64, Misfit>, AuditError> {
        let may_be = self.store.may_be_older();
        let begun = if may_be { self.first_chain_begun()? } else { Some(Timestamp::MIN) };
        let mut later = 0;
        let (mut next, last) = (Place::new(older.number, older.first), Place::new(older.number, older.last));
        while let Some(begun) = begun
            && next <= last
        {
            let records = self.store.records(next, last, AT_ONCE, Texts::Left)?;
            let Some(end) = records.last().map(|record| record.place) else { break };
            for record in records {
                let TrailRecord { seq, at, kind, id, .. } = TrailRecord::of("", record)?;
                if !may_be {
                    return Ok(Err(Misfit::NotOlder { seq, kind, id }));
                }
                later += u64::from(at >= begun);
            }
            next = Place(end.0 + 1);
        }
        Ok(Ok(later))
    }

    /// When the first record of the first chain was; `None` where that has none, or was cut.
    fn first_chain_begun(&self) -> Result<Option<Timestamp>, AuditError> {
        let Some(node) = self.store.nodes()?.into_iter().min_by_key(|node| node.number) else { return Ok(None) };
        let (checkpoints, extent) = self.store.outline(node.number)?;
        let is_cut = checkpoints.iter().any(|it| it.kind == CheckpointKind::Cut);
        extent.filter(|_| !is_cut).map_or(Ok(None), |(first, _)| self.time_at(first))
    }

    /// So many records behind this one; fewer at the end alone.
    pub fn records_after(&self, chain: &ChainInfo, after: Seq, count: usize) -> Result<Vec<TrailRecord>, AuditError> {
        let (mut from, (_, end)) = (Place::new(chain.number, Seq(after.0 + 1)), Place::of_node(chain.number));
        let mut records = Vec::new();
        // A store may stop earlier.
        while records.len() < count {
            let more = self.store.records(from, end, count - records.len(), Texts::Read)?;
            let Some(last) = more.last() else { break };
            from = Place(last.place.0 + 1);
            records.extend(more);
        }
        records.into_iter().map(|record| TrailRecord::of(&chain.node, record)).collect()
    }

    /// At most so many records behind this one, without their texts, and fewer where they are long; as far as a search
    /// finds their entries as they are: the entries follow the records.
    pub fn searchable_after(
        &self,
        chain: &ChainInfo,
        after: Seq,
        at_most: usize,
    ) -> Result<Vec<TrailRecord>, AuditError> {
        let from = Place::new(chain.number, Seq(after.0 + 1));
        let records = self.store.records(from, self.store.indexed(chain.number)?, at_most, Texts::Left)?;
        records.into_iter().map(|record| TrailRecord::of(&chain.node, record)).collect()
    }

    /// The last record of a chain, as it is now, whose entry a search finds as it is.
    pub fn last_searchable(&self, chain: &ChainInfo) -> Result<Seq, AuditError> {
        Ok(chain.last.min(self.store.indexed(chain.number)?.seq()))
    }

    /// The first record of a chain that is not older, or the place behind its last. A chain's records stand in the order in
    /// which they were written: those of one moment may stand a little apart.
    pub fn first_since(&self, chain: &ChainInfo, since: Timestamp) -> Result<Seq, AuditError> {
        let (mut first, mut end) = (chain.first.0, chain.last.0 + 1);
        while first < end {
            let middle = first + (end - first) / 2;
            match self.time_at(Place::new(chain.number, Seq(middle)))? {
                Some(at) if at < since => first = middle + 1,
                _ => end = middle,
            }
        }
        Ok(Seq(first))
    }

    /// When the record at this place was, or the next one of its node.
    fn time_at(&self, place: Place) -> Result<Option<Timestamp>, AuditError> {
        let (_, end) = Place::of_node(place.node());
        let found = self.store.records(place, end, 1, Texts::Left)?.pop();
        found.map(|record| Ok(TrailRecord::of("", record)?.at)).transpose()
    }

    fn named(&self, records: Vec<StoredRecord>) -> Result<Vec<TrailRecord>, AuditError> {
        let mut names: HashMap<i64, String> = self.store.nodes()?.into_iter().map(|it| (it.number, it.id)).collect();
        names.insert(0, String::new());
        let of_nobody = |place: Place| format!("no node {}: nothing proves it;", place.node());
        let name = |place: Place| names.get(&place.node()).cloned().unwrap_or_else(|| of_nobody(place));
        records.into_iter().map(|record| TrailRecord::of(&name(record.place), record)).collect()
    }
}

/// The first and the last of these records.
fn ends(extent: Option<(Place, Place)>) -> (Seq, Seq) {
    // All were removed, or none was written yet.
    extent.map_or((Seq(1), Seq(0)), |(first, last)| (first.seq(), last.seq()))
}

/// What stands in a chain, in order.
pub struct Items<'a> {
    reader: &'a AuditReader,
    node: String,
    texts: Texts,
    next: Option<Place>,
    last: Place,
    records: VecDeque<TrailRecord>,
    checkpoints: VecDeque<Checkpoint>,
}

impl Iterator for Items<'_> {
    type Item = Result<Item, AuditError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.records.is_empty()
            && let Some(from) = self.next.take()
            && let Err(error) = self.read_on(from)
        {
            return Some(Err(error));
        }
        let next = self.records.front().map(|record| record.seq);
        // Behind its record, and before the next one.
        if let Some(checkpoint) = self.checkpoints.pop_front_if(|it| next.is_none_or(|next| it.head.seq < next)) {
            return Some(Ok(Item::Checkpoint(checkpoint)));
        }
        self.records.pop_front().map(|record| Ok(Item::Record(record)))
    }
}

impl Items<'_> {
    fn read_on(&mut self, from: Place) -> Result<(), AuditError> {
        let records = self.reader.store.records(from, self.last, AT_ONCE, self.texts)?;
        if records.first().is_none_or(|first| first.place != from) && self.is_removed(from)? {
            return Err(AuditError::Removed { node: self.node.clone() });
        }
        self.next = records.last().map(|last| Place(last.place.0 + 1)).filter(|next| *next <= self.last);
        self.records =
            records.into_iter().map(|record| TrailRecord::of(&self.node, record)).collect::<Result<_, _>>()?;
        Ok(())
    }

    /// Whether a record was removed on purpose since the chain's beginning was looked for.
    fn is_removed(&self, place: Place) -> Result<bool, AuditError> {
        let checkpoints = self.reader.store.checkpoints(place.node())?;
        Ok(checkpoints.iter().any(|it| it.kind == CheckpointKind::Cut && it.head.seq >= place.seq()))
    }

    /// The last record that a checkpoint or a cut covers, before any was read.
    pub(super) fn last_signed(&self) -> Option<Seq> {
        self.checkpoints.back().map(|checkpoint| checkpoint.head.seq)
    }

    /// Whether its last record is not older.
    pub(super) fn ends_since(&self, since: Timestamp) -> Result<bool, AuditError> {
        Ok(self.next.is_some() && self.reader.time_at(self.last)?.is_some_and(|at| at >= since))
    }
}
