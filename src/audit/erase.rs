//! Erasing texts: their records stand, and one more says what was erased.
//!
//! Erasures are a chain of their own, the operator's, so that they can be made beside a running gateway. Text and record
//! go in one transaction.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;

use super::chain::{Place, Seq};
use super::record::Erasure;
use super::row::Row;
use super::store::{self, Role, Session, Store};
use super::text_rule::{ContentMode, TextRule};
use super::writer::Chain;
use super::{AuditError, Settings};

/// The chain of erasures.
pub(super) const OPERATOR: &str = "operator";
/// Entries whose texts, two at most, one transaction erases: a gateway beside it waits for no more.
const AT_ONCE: usize = 1_000;
/// How often a transaction is tried anew because another one was quicker.
const ATTEMPTS: usize = 8;

/// Whose texts are erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Those of one request, pre-check or reported call; of a context, those of its pre-check and its calls.
    Id(String),
    /// Those of a client, older than an instant.
    Client {
        /// The client's id.
        client: String,
        /// The first instant that is not covered.
        before: Timestamp,
    },
}

/// Who erases, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErasureOrder {
    /// Whose texts.
    pub selection: Selection,
    /// Who has it done, as the system knows them.
    pub by: String,
    /// Why, in words.
    pub reason: Option<String>,
}

/// Erases texts of a store that is there; returns how many. Blocks, on a thread that drives no runtime.
pub fn erase(settings: &Settings, order: &ErasureOrder) -> Result<u64, AuditError> {
    // What waits there comes into the store later, with its texts.
    if let Some(file) = settings.journal()
        && file.metadata().is_ok_and(|journal| journal.len() > 0)
    {
        return Err(AuditError::Spill(format!(
            "{} holds records that are not in the store yet, and nothing was erased: have the gateway run with \
             `audit.on_failure: spill` until it has written them, then erase again",
            file.display()
        )));
    }
    let store = store::open_existing(&settings.store)?;
    if store.texts(&order.selection, Place(0), 1)?.0.is_empty() {
        return Ok(0);
    }
    let node = store.enrol(Some(OPERATOR), Role::Operator)?;
    let rule = TextRule { key: settings.key.clone(), mode: ContentMode::Nothing };
    let mut chain = Chain::new(node, settings);
    let mut erased = Ok(0);
    store.write(&mut |session| {
        erased = erase_all(&*store, session, &mut chain, &rule, order);
    })?;
    erased
}

fn erase_all(
    store: &dyn Store,
    session: &mut dyn Session,
    chain: &mut Chain,
    rule: &TextRule,
    order: &ErasureOrder,
) -> Result<u64, AuditError> {
    let mut erased = 0;
    let mut attempts = 0;
    // Once more from the beginning when the end is reached: an answer's text may have come to an entry that was passed.
    let (mut behind, mut erased_before) = (Place(0), 0);
    loop {
        let (places, last) = store.texts(&order.selection, behind, AT_ONCE)?;
        if places.is_empty() && erased > erased_before {
            (behind, erased_before) = (Place(0), erased);
            continue;
        }
        if places.is_empty() {
            // The log still holds the texts; what a gateway's readers keep of it goes with the log's next beginning.
            session.finish()?;
            return Ok(erased);
        }
        let count = places.len() as u64;
        let nodes: HashMap<i64, String> = store.nodes()?.into_iter().map(|node| (node.number, node.id)).collect();
        let mut records = BTreeMap::<String, Vec<i64>>::new();
        for place in &places {
            // Records of no node are older than the chains.
            let node = nodes.get(&place.node()).cloned().unwrap_or_default();
            records.entry(node).or_default().push(place.seq().0);
        }
        let (of_id, of_client, before) = match &order.selection {
            Selection::Id(id) => (Some(id.clone()), None, None),
            Selection::Client { client, before } => (None, Some(client.clone()), Some(*before)),
        };
        let erasure = Erasure {
            erasure_id: format!("erasure-{}", uuid::Uuid::now_v7().simple()),
            at: Timestamp::now(),
            by: order.by.clone(),
            of_id,
            of_client,
            before,
            reason: order.reason.clone(),
            texts: count,
            records,
            places,
        };
        let row = Row::new(erasure.into(), rule)?;
        match chain.append_signed(session, &row) {
            Ok(Seq(_)) => (erased, attempts, behind) = (erased + count, 0, last),
            Err(AuditError::ChainMoved | AuditError::Locked) if attempts < ATTEMPTS => attempts += 1,
            Err(error) => return Err(error),
        }
    }
}
