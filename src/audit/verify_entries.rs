//! Checking the tables that are searched against the records that they follow.
//!
//! The rows of `entries` stand in the order of the records that opened them: they are read beside them. The rows of
//! `entry_policies` stand in another order: for each stretch of entries, the sum of their hashes is compared, under a key
//! that is made anew each time.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::hash::BuildHasher as _;

use super::chain::{Place, Seq};
use super::reader::{AuditReader, ChainInfo, TrailRecord};
use super::row::{Effect, EntryKind, Opening};
use super::store::{EntryRow, Node, PolicyRow, StoredRecord, Texts, storable};
use super::verify::Misfit;
use super::{AuditError, CheckpointKind};

/// Rows that are read at a time.
const AT_ONCE: usize = 1_000;
/// Places of a stretch, as bits.
const STRETCH: u32 = 10;

/// Checks `entries` and `entry_policies` while chains are read whole, one behind the other. What does not fit is told at the
/// end of its chain: where the chain itself does not fit, nobody can say what its rows should be. What comes meanwhile is
/// passed over, and of what is completed meanwhile its policies; so is an entry whose request was removed and whose outcome
/// was not, but for what completed it.
pub struct EntryVerifier<'r> {
    reader: &'r AuditReader,
    chain: Chain,
    /// The chains that were read, by the numbers of their nodes.
    read: BTreeMap<i64, Chain>,
    /// Rows that say that they are completed, by the place of a record that was not read yet.
    completed: HashMap<i64, Completed>,
    /// Outcomes that no row names yet, by their places.
    outcomes: HashMap<i64, Closing>,
    /// Requests whose rows are not completed, by their ids.
    open: HashMap<String, Place>,
    /// Entries whose policies cannot be said.
    unsaid: HashSet<i64>,
    /// Records that cannot be read.
    unreadable: HashSet<i64>,
    /// Sums of what should be in `entry_policies` and was not found there, by stretches.
    policies: BTreeMap<i64, u64>,
    hashes: RandomState,
    entries: u64,
    /// The first thing in the chain that does not fit.
    misfit: Option<Misfit>,
}

/// A chain, as far as it was read.
struct Chain {
    node: Node,
    /// Its first record and its last, of those whose entries a search finds.
    first: Place,
    last: Place,
    /// Rows that were read ahead, where the next ones begin, and up to where they follow the records.
    rows: VecDeque<EntryRow>,
    next: Option<Place>,
    through: Place,
}

/// A row that is completed.
struct Completed {
    row: EntryRow,
    /// The policies that matched before; `None`: the record that opened it was removed, or cannot be read.
    matched: Option<Vec<String>>,
}

/// What an outcome says.
struct Closing {
    id: String,
    decision: &'static str,
    matched: Vec<String>,
}

/// Why a check ended.
enum Unfit {
    Audit(AuditError),
    Misfit(Misfit),
}

impl From<AuditError> for Unfit {
    fn from(error: AuditError) -> Self {
        Self::Audit(error)
    }
}

impl From<Misfit> for Unfit {
    fn from(misfit: Misfit) -> Self {
        Self::Misfit(misfit)
    }
}

impl<'r> EntryVerifier<'r> {
    /// Of this store.
    pub fn new(reader: &'r AuditReader) -> Self {
        Self {
            reader,
            chain: Chain::new(Node { number: 0, id: String::new() }, Place(0)),
            read: BTreeMap::new(),
            completed: HashMap::new(),
            outcomes: HashMap::new(),
            open: HashMap::new(),
            unsaid: HashSet::new(),
            unreadable: HashSet::new(),
            policies: BTreeMap::new(),
            hashes: RandomState::new(),
            entries: 0,
            misfit: None,
        }
    }

    /// The records of this chain follow. To be called before the first of them is read.
    pub fn begin(&mut self, chain: &ChainInfo) -> Result<(), AuditError> {
        let node = Node { number: chain.number, id: chain.node.clone() };
        self.chain = Chain::new(node, self.reader.store.indexed(chain.number)?);
        Ok(())
    }

    /// The next record of the chain.
    pub fn record(&mut self, record: &TrailRecord) -> Result<(), AuditError> {
        if self.misfit.is_none() {
            let checked = self.compare(record);
            self.misfit = self.told(checked)?.err();
        }
        Ok(())
    }

    /// The chain is over, and fits.
    pub fn end_chain(&mut self) -> Result<Result<(), Misfit>, AuditError> {
        if let Some(misfit) = self.misfit.take() {
            return Ok(Err(misfit));
        }
        let checked = self.rest_of_chain();
        self.told(checked)
    }

    /// All chains are over: how many entries fit.
    pub fn end(mut self) -> Result<Result<u64, Misfit>, AuditError> {
        let checked = self.completions().and_then(|()| self.rows_of_nobody()).and_then(|()| self.policy_rows());
        Ok(self.told(checked)?.map(|()| self.entries))
    }

    /// What does not fit because retention removed it meanwhile is no misfit.
    fn told(&self, checked: Result<(), Unfit>) -> Result<Result<(), Misfit>, AuditError> {
        let misfit = match checked {
            Ok(()) => return Ok(Ok(())),
            Err(Unfit::Audit(error)) => return Err(error),
            Err(Unfit::Misfit(misfit)) => misfit,
        };
        for chain in self.read.values().chain([&self.chain]).filter(|it| it.first <= it.last) {
            let first = self.reader.store.extent(chain.node.number)?.map(|(first, _)| first);
            if first != Some(chain.first) {
                return Err(AuditError::Removed { node: chain.node.id.clone() });
            }
        }
        Ok(Err(misfit))
    }

    fn compare(&mut self, record: &TrailRecord) -> Result<(), Unfit> {
        let place = Place::new(self.chain.node.number, record.seq);
        if place > self.chain.through {
            return Ok(());
        }
        if self.chain.first > self.chain.last {
            self.chain.first = place;
            self.rows_of_removed(place)?;
        }
        self.chain.last = place;
        let row = match self.chain.row_before(self.reader, Place(place.0 + 1))? {
            Some(row) if row.place != place.0 => return Err(self.extra(&row).into()),
            row => row,
        };
        match (Effect::of_stored(&record.kind, &record.body), row) {
            (Ok(Effect::Open(opening)), Some(row)) => self.opened(record, opening, row),
            (Ok(Effect::Open(_)), None) => Err(self.misfit(place, &record.id, "it is missing").into()),
            (Ok(Effect::Close { decision, matched }), None) => {
                let closing = Closing { id: record.id.clone(), decision: decision.as_str(), matched };
                self.closed(place, closing)
            }
            (Ok(_), None) => Ok(()),
            (Ok(_), Some(row)) => Err(self.extra(&row).into()),
            // Another version's: nobody here can say what its row should be, or that of what it completed.
            (Err(_), row) => {
                self.unsaid.insert(place.0);
                self.unreadable.insert(place.0);
                match row {
                    Some(row) => self.row_is_completed(row, None),
                    None => Ok(()),
                }
            }
        }
    }

    /// Rows of requests that were removed stay until their outcomes are.
    fn rows_of_removed(&mut self, first: Place) -> Result<(), Unfit> {
        while let Some(row) = self.chain.row_before(self.reader, first)? {
            if row.outcome_place.is_some_and(|outcome| outcome < first.0) {
                return Err(self.extra(&row).into());
            }
            self.row_is_completed(row, None)?;
        }
        Ok(())
    }

    fn opened(&mut self, record: &TrailRecord, opening: Opening, row: EntryRow) -> Result<(), Unfit> {
        let place = Place(row.place);
        let is_request = opening.entry == EntryKind::Request;
        let Opening { entry, caller, request_type, decision, matched, context_id, .. } = opening;
        // What completed it has the last word.
        let decision =
            if is_request && row.outcome_place.is_some() { row.decision.as_str() } else { decision.as_str() };
        let at = record.at.as_microsecond();
        let columns: [(&str, &str, &str); 9] = [
            ("id", &*row.id, &*record.id),
            ("context_id", row.context_id.as_deref().unwrap_or_default(), context_id.as_deref().unwrap_or_default()),
            ("kind", &row.kind, entry.as_str()),
            ("at", &row.at.to_string(), &at.to_string()),
            ("tenant", &row.tenant, &storable(&caller.tenant)),
            ("client", &row.client, &storable(&caller.client)),
            ("user", &row.user, &storable(&caller.user)),
            ("request_type", &row.request_type, &storable(&request_type)),
            ("decision", &row.decision, decision),
        ];
        if let Some((column, found, said)) = columns.iter().find(|(_, found, said)| found != said) {
            let what = format!("its `{column}` is `{found}`, and the record says `{said}`");
            return Err(self.misfit(place, &record.id, &what).into());
        }
        self.entries += 1;
        match row.outcome_place {
            Some(_) if !is_request => {
                Err(self.misfit(place, &record.id, "it has an outcome, as only requests do").into())
            }
            Some(_) => self.row_is_completed(row, Some(matched)),
            None if is_request => {
                self.unsaid.insert(place.0);
                self.open.insert(row.id, place);
                Ok(())
            }
            None => {
                self.should_be_found(&row, &matched);
                Ok(())
            }
        }
    }

    /// Takes down what completed a row, if anything did.
    fn row_is_completed(&mut self, row: EntryRow, matched: Option<Vec<String>>) -> Result<(), Unfit> {
        let Some(outcome) = row.outcome_place else { return Ok(()) };
        let completed = Completed { row, matched };
        if let Some(closing) = self.outcomes.remove(&outcome) {
            return self.completes(completed, &closing);
        }
        match self.completed.insert(outcome, completed) {
            None => Ok(()),
            Some(other) => {
                Err(self.misfit(Place(other.row.place), &other.row.id, "another has its outcome too").into())
            }
        }
    }

    fn closed(&mut self, place: Place, closing: Closing) -> Result<(), Unfit> {
        if let Some(completed) = self.completed.remove(&place.0) {
            return self.completes(completed, &closing);
        }
        self.is_not_open(place, &closing)?;
        self.outcomes.insert(place.0, closing);
        Ok(())
    }

    fn is_not_open(&self, place: Place, closing: &Closing) -> Result<(), Unfit> {
        match self.open.get(&closing.id) {
            None => Ok(()),
            Some(entry) => {
                let what = format!("it is not completed, and record {} did", place.seq().0);
                Err(self.misfit(*entry, &closing.id, &what).into())
            }
        }
    }

    fn completes(&mut self, Completed { row, matched }: Completed, closing: &Closing) -> Result<(), Unfit> {
        let place = Place(row.place);
        if row.id != closing.id {
            let what = format!("it is completed by the outcome of {}", closing.id);
            return Err(self.misfit(place, &row.id, &what).into());
        }
        if row.decision != closing.decision {
            let what = format!("its `decision` is `{}`, and its outcome says `{}`", row.decision, closing.decision);
            return Err(self.misfit(place, &row.id, &what).into());
        }
        match matched {
            Some(mut matched) => {
                matched.extend_from_slice(&closing.matched);
                self.should_be_found(&row, &matched);
            }
            None => {
                self.unsaid.insert(row.place);
            }
        }
        Ok(())
    }

    /// An entry is found by these policies.
    fn should_be_found(&mut self, row: &EntryRow, matched: &[String]) {
        let sum = self.policies.entry(row.place >> STRETCH).or_default();
        for policy in matched.iter().collect::<HashSet<_>>() {
            *sum = sum.wrapping_add(self.hashes.hash_one((row.tenant.as_str(), policy.as_str(), row.at, row.place)));
        }
    }

    /// What stands behind the last record has come since; or no record ever was there.
    fn rest_of_chain(&mut self) -> Result<(), Unfit> {
        let store = &self.reader.store;
        let (number, (start, end)) = (self.chain.node.number, Place::of_node(self.chain.node.number));
        // The last place that has a record; the node's first, where there never was one. `None` where a cut removed all:
        // nobody can say then which rows may stay.
        let last = || {
            let Some((_, last)) = store.extent(number)? else {
                let was_cut = store.checkpoints(number)?.iter().any(|it| it.kind == CheckpointKind::Cut);
                return Ok::<_, AuditError>((!was_cut).then_some(start));
            };
            Ok(Some(last))
        };
        if let Some(Place(written)) = last()?
            && let Some(row) = store.entry_rows(Place(written + 1), end, 1)?.first()
            && last()?.is_some_and(|last| row.place > last.0)
        {
            return Err(self.extra(row).into());
        }
        let over = Chain::new(Node { number: 0, id: String::new() }, Place(0));
        let chain = std::mem::replace(&mut self.chain, over);
        self.read.insert(chain.node.number, chain);
        Ok(())
    }

    /// Rows and outcomes that never met.
    fn completions(&mut self) -> Result<(), Unfit> {
        for (outcome, Completed { row, .. }) in std::mem::take(&mut self.completed) {
            if !self.unreadable.contains(&outcome) && !self.was_removed(Place(outcome), &row)? {
                self.is_completed_meanwhile(Place(outcome), row)?;
            } else {
                self.unsaid.insert(row.place);
            }
        }
        self.outcomes.iter().try_for_each(|(place, closing)| {
            self.is_not_open(Place(*place), closing)?;
            self.is_not_passed_over(Place(*place), closing)
        })
    }

    /// Whether an outcome may have been removed and its request not: as of a gateway that was given another name while its
    /// outcome waited in the journal. In the request's own chain it stands behind it.
    fn was_removed(&self, outcome: Place, row: &EntryRow) -> Result<bool, AuditError> {
        let number = outcome.node();
        let Some(chain) = self.read.get(&number) else { return Ok(false) };
        Ok(number != Place(row.place).node()
            && outcome < chain.first
            && self
                .reader
                .store
                .checkpoints(number)?
                .iter()
                .any(|it| it.kind == CheckpointKind::Cut && it.head.seq >= outcome.seq()))
    }

    /// What was not read as an outcome came since, or is none.
    fn is_completed_meanwhile(&mut self, outcome: Place, row: EntryRow) -> Result<(), Unfit> {
        let was_read = self.read.get(&outcome.node()).is_some_and(|it| it.has(outcome));
        // No older record completes one of a chain.
        let record = if was_read || outcome.node() == 0 {
            None
        } else {
            self.reader.store.records(outcome, outcome, 1, Texts::Left)?.pop()
        };
        match record.map(|record| (Effect::of_stored(&record.kind, &record.body), record.id)) {
            Some((Ok(Effect::Close { decision, matched }), id)) => {
                let closing = Closing { id, decision: decision.as_str(), matched };
                self.completes(Completed { row, matched: None }, &closing)
            }
            Some((Err(_), _)) => {
                self.unsaid.insert(row.place);
                Ok(())
            }
            _ => {
                let what = format!("it is completed by record {}, which is no outcome", outcome.seq().0);
                Err(self.misfit(Place(row.place), &row.id, &what).into())
            }
        }
    }

    /// An outcome that no row names is that of a request whose row was removed.
    fn is_not_passed_over(&self, outcome: Place, closing: &Closing) -> Result<(), Unfit> {
        let named = self.reader.store.records_of(&closing.id)?;
        let its = |record: &StoredRecord| record.id == closing.id;
        match named.iter().find(|record| its(record)) {
            Some(first) if !named.iter().any(|record| record.place == outcome) => {
                let what = format!("it is completed by another record than {}, its outcome", outcome.seq().0);
                Err(self.misfit(first.place, &closing.id, &what).into())
            }
            _ => Ok(()),
        }
    }

    /// Records and rows at places of no node.
    fn rows_of_nobody(&mut self) -> Result<(), Unfit> {
        let store = &self.reader.store;
        let is_nobodys = |place: Place| Ok::<_, AuditError>(!store.nodes()?.iter().any(|it| it.number == place.node()));
        let nodes = store.nodes()?.into_iter().map(|node| Place::of_node(node.number));
        let mut from = Place(i64::MIN);
        for (first, last) in [Place::of_node(0)].into_iter().chain(nodes).chain([(Place(i64::MAX), Place(i64::MAX))]) {
            if from < first {
                let through = Place(first.0 - 1);
                if let Some(StoredRecord { place, kind, id, .. }) = store.records(from, through, 1, Texts::Left)?.pop()
                    && is_nobodys(place)?
                {
                    return Err(Misfit::OfNobody { place: place.0, kind, id }.into());
                }
                if let Some(row) = store.entry_rows(from, through, 1)?.first()
                    && is_nobodys(Place(row.place))?
                {
                    return Err(self.extra(row).into());
                }
            }
            from = Place(last.0.saturating_add(1));
        }
        Ok(())
    }

    fn policy_rows(&mut self) -> Result<(), Unfit> {
        let mut behind = PolicyRow { tenant: String::new(), policy: String::new(), at: i64::MIN, entry: i64::MIN };
        loop {
            let rows = self.reader.store.policy_rows(&behind, AT_ONCE)?;
            for PolicyRow { tenant, policy, at, entry } in &rows {
                let chain = self.read.get(&Place(*entry).node());
                if chain.is_some_and(|it| it.has(Place(*entry))) && !self.unsaid.contains(entry) {
                    let hash = self.hashes.hash_one((tenant.as_str(), policy.as_str(), *at, *entry));
                    let sum = self.policies.entry(entry >> STRETCH).or_default();
                    *sum = sum.wrapping_sub(hash);
                }
            }
            match rows.into_iter().last() {
                Some(last) => behind = last,
                None => break,
            }
        }
        match self.policies.iter().find(|(_, sum)| **sum != 0) {
            None => Ok(()),
            Some((stretch, _)) => {
                let first = Place(stretch << STRETCH);
                let last = Seq(first.seq().0 + (1 << STRETCH) - 1);
                Err(Misfit::Policies { node: self.name(first), first: first.seq(), last }.into())
            }
        }
    }

    fn extra(&self, row: &EntryRow) -> Misfit {
        self.misfit(Place(row.place), &row.id, "no record opened it")
    }

    fn misfit(&self, place: Place, id: &str, what: &str) -> Misfit {
        Misfit::Entry { node: self.name(place), seq: place.seq(), id: id.to_owned(), what: what.to_owned() }
    }

    fn name(&self, place: Place) -> String {
        let chain = self.read.get(&place.node()).unwrap_or(&self.chain);
        chain.node.id.clone()
    }
}

impl Chain {
    fn new(node: Node, through: Place) -> Self {
        let (start, end) = Place::of_node(node.number);
        Self { node, first: end, last: start, rows: VecDeque::new(), next: Some(start), through }
    }

    /// The next row, if it stands before this place.
    fn row_before(&mut self, reader: &AuditReader, place: Place) -> Result<Option<EntryRow>, AuditError> {
        if self.rows.is_empty()
            && let Some(from) = self.next.take()
        {
            let rows = reader.store.entry_rows(from, self.through, AT_ONCE)?;
            self.next = rows.last().map(|last| Place(last.place + 1));
            self.rows = rows.into();
        }
        Ok(self.rows.pop_front_if(|row| row.place < place.0))
    }

    /// Whether a record of that place was read, and its entry compared.
    fn has(&self, place: Place) -> bool {
        self.first <= place && place <= self.last
    }
}
