//! Checking a chain: every record against the one before, every checkpoint against both.
//!
//! It is fed in order, from a store or from an export, and stops at the first thing that does not fit.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde_json::Value;
use thiserror::Error;

use super::AuditKey;
use super::chain::{ChainHash, Covered, Head, Seq};
use super::checkpoint::{Checkpoint, CheckpointKind};
use super::erase::OPERATOR;
use super::key::PublicKey;
use super::reader::TrailRecord;
use super::record::{Found, RecordKind};
use super::verify_unsigned::{TakenOver, UnsignedVerifier};

/// The first thing in a chain that does not fit.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Misfit {
    /// Numbers are missing.
    #[error("{}", missing(node, .after, .found))]
    Missing {
        /// The chain.
        node: String,
        /// The last record before the gap.
        after: Seq,
        /// The first behind it.
        found: Seq,
    },
    /// A record is not what was written.
    #[error("{node}: record {seq} ({kind} {id}) was changed, or the one before it: its hash does not fit", seq = seq.0)]
    Changed {
        /// The chain.
        node: String,
        /// The record.
        seq: Seq,
        /// Its kind.
        kind: String,
        /// What it is about.
        id: String,
    },
    /// A record has no hash although its chain has begun.
    #[error("{node}: record {seq} ({kind} {id}) has no hash", seq = seq.0)]
    Unchained {
        /// The chain.
        node: String,
        /// The record.
        seq: Seq,
        /// Its kind.
        kind: String,
        /// What it is about.
        id: String,
    },
    /// A checkpoint was signed for a chain that was another one.
    #[error("{node}: record {seq}: the signed checkpoint says another hash: records up to it were rewritten", seq = seq.0)]
    Rewritten {
        /// The chain.
        node: String,
        /// The checkpoint's record.
        seq: Seq,
    },
    /// A checkpoint covers records that are not there.
    #[error("{node}: records {} to {} are missing at the end: a signed checkpoint covers them", last.0 + 1, signed.0)]
    CutOff {
        /// The chain.
        node: String,
        /// The last record that is there.
        last: Seq,
        /// The last record that was signed.
        signed: Seq,
    },
    /// A signature is not that of the key that it names.
    #[error("{node}: the checkpoint at record {seq} has a wrong signature", seq = seq.0)]
    Signature {
        /// The chain.
        node: String,
        /// The checkpoint's record.
        seq: Seq,
    },
    /// A key signed that is not trusted.
    #[error(
        "{node}: the checkpoint at record {seq} is signed by another key, {key}; if it is one of yours, name it with \
         --public-key",
        seq = seq.0
    )]
    Untrusted {
        /// The chain.
        node: String,
        /// The checkpoint's record.
        seq: Seq,
        /// The key.
        key: PublicKey,
    },
    /// A checkpoint does not stand right behind the record that it ends with: whatever stands between was not compared.
    #[error("{}", misplaced(node, .seq, .behind, *.kind))]
    Misplaced {
        /// The chain.
        node: String,
        /// The record that it ends with.
        seq: Seq,
        /// The record that it stands behind; none where it stands before the first.
        behind: Option<Seq>,
        /// What it is for.
        kind: CheckpointKind,
    },
    /// Nothing in the chain is signed.
    #[error(
        "{node}: not one of its checkpoints is there: nothing says that its {records} records are the ones written"
    )]
    Unsigned {
        /// The chain.
        node: String,
        /// Its records.
        records: u64,
    },
    /// Records stood in the store unsigned, and no gateway leaves such.
    #[error(
        "{node}: records {} to {} were not signed, although {why}: somebody wrote them who has no key, and what is signed \
         behind them covers them since",
        from.0,
        through.0
    )]
    NotLeft {
        /// The chain.
        node: String,
        /// The first of them.
        from: Seq,
        /// The last of them.
        through: Seq,
        /// What tells.
        why: String,
    },
    /// Records were removed that a key had signed which is not trusted.
    #[error(
        "{node}: record {seq} says that records of {of_node} were removed as the key {key} had signed them; if it is one of \
         yours, name it with --public-key, and if not, somebody made that chain",
        seq = seq.0
    )]
    CutOfUntrusted {
        /// The chain of the gateway that removed them.
        node: String,
        /// The record that says so.
        seq: Seq,
        /// The chain whose records they were.
        of_node: String,
        /// The key.
        key: String,
    },
    /// A text is not the one that its record names.
    #[error("{node}: the text of record {seq} ({kind} {id}) was changed: its HMAC does not fit", seq = seq.0)]
    Text {
        /// The chain.
        node: String,
        /// The record.
        seq: Seq,
        /// Its kind.
        kind: String,
        /// What it is about.
        id: String,
    },
    /// What a search goes by is not what the record says.
    #[error("{node}: the row of record {seq} ({id}) in `entries`: {what}", seq = seq.0)]
    Entry {
        /// The chain.
        node: String,
        /// The record that opened the entry, or the place of a row that none opened.
        seq: Seq,
        /// What the entry is about.
        id: String,
        /// What does not fit.
        what: String,
    },
    /// Entries are found by other policies than those that matched.
    #[error(
        "{node}: the rows of `entry_policies` of records {first} to {last}: one is missing, was changed or was added",
        first = first.0,
        last = last.0
    )]
    Policies {
        /// The chain.
        node: String,
        /// The first record that may have opened the entry.
        first: Seq,
        /// The last one.
        last: Seq,
    },
    /// Texts vanished.
    #[error(
        "{missing} texts are missing, and erasures account for {erased} of them; the first that none names is that of \
         {first}"
    )]
    Vanished {
        /// Texts that records name and that are not there.
        missing: u64,
        /// Those that erasures account for.
        erased: u64,
        /// Chain and number of the first record whose text is missing and that no erasure names.
        first: String,
    },
    /// A record stands where no gateway writes.
    #[error("the record at place {place} ({kind} {id}) stands in no chain: no gateway and no erasure wrote it")]
    OfNobody {
        /// Its place in the store.
        place: i64,
        /// Its kind.
        kind: String,
        /// What it is about.
        id: String,
    },
    /// A record without a chain stands where none ever was.
    #[error(
        "record {seq} ({kind} {id}) stands among those that are older than the chain: in such a store there never were any",
        seq = seq.0
    )]
    NotOlder {
        /// Its number among them.
        seq: Seq,
        /// Its kind.
        kind: String,
        /// What it is about.
        id: String,
    },
}

fn missing(node: &str, Seq(after): &Seq, Seq(found): &Seq) -> String {
    match (*found - after, *after) {
        (..=1, _) => format!("{node}: record {found} stands behind record {after}"),
        (2, 0) => format!("{node}: record 1 is missing, and no signed cut says that it was removed"),
        (_, 0) => {
            format!("{node}: records 1 to {} are missing, and no signed cut says that they were removed", found - 1)
        }
        (2, _) => format!("{node}: record {} is missing", after + 1),
        _ => format!("{node}: records {} to {} are missing", after + 1, found - 1),
    }
}

fn misplaced(node: &str, Seq(seq): &Seq, behind: &Option<Seq>, kind: CheckpointKind) -> String {
    let kind = kind.as_str();
    match behind {
        Some(Seq(behind)) => {
            format!("{node}: the {kind} at record {seq} stands behind record {behind}, not where it belongs")
        }
        None => format!("{node}: the {kind} at record {seq} stands before the first record, not where it belongs"),
    }
}

/// Where a chain may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begins {
    /// At its first record, or behind a signed cut.
    AtItsStart,
    /// Anywhere: an export of a part. What stood before is proven by the first checkpoint behind it.
    Anywhere,
}

/// What was found in a chain that fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The chain.
    pub node: String,
    /// Records that were checked.
    pub records: u64,
    /// The first of them.
    pub first: Seq,
    /// Where it ends.
    pub head: Head,
    /// Checkpoints and cuts that fit.
    pub checkpoints: u64,
    /// The last record that a checkpoint covers.
    pub signed: Seq,
    /// Records up to this one were removed on purpose.
    pub cut: Option<Seq>,
    /// Records that were not signed when a gateway went on behind them, by how it came upon them, where that is known.
    pub taken_over: BTreeMap<Option<Found>, TakenOver>,
}

/// Checks one chain.
pub struct ChainVerifier<'k> {
    trusted: &'k [PublicKey],
    begins: Begins,
    head: Option<Head>,
    unsigned: UnsignedVerifier,
    found: Verified,
}

impl<'k> ChainVerifier<'k> {
    /// Of this node's chain; only these keys count.
    pub fn new(node: &str, trusted: &'k [PublicKey], begins: Begins) -> Self {
        let found = Verified {
            node: node.to_owned(),
            records: 0,
            first: Seq(0),
            head: Head::EMPTY,
            checkpoints: 0,
            signed: Seq(0),
            cut: None,
            taken_over: BTreeMap::new(),
        };
        Self { trusted, begins, head: None, unsigned: UnsignedVerifier::new(begins), found }
    }

    /// The next record. `previous` is what the record itself says of the one before, where it says it.
    pub fn record(&mut self, record: &TrailRecord, previous: Option<ChainHash>) -> Result<(), Misfit> {
        let node = || self.found.node.clone();
        let before = match (self.head, self.begins, previous) {
            (Some(head), _, _) => head,
            (None, Begins::Anywhere, Some(hash)) => Head { seq: Seq(record.seq.0 - 1), hash },
            (None, _, _) => Head::EMPTY,
        };
        // None of them is below 0.
        if record.seq.0 - before.seq.0 != 1 {
            return Err(Misfit::Missing { node: node(), after: before.seq, found: record.seq });
        }
        let Some(hash) = record.hash else {
            let (kind, id) = (record.kind.clone(), record.id.clone());
            return Err(Misfit::Unchained { node: node(), seq: record.seq, kind, id });
        };
        let covered = Covered {
            node: &self.found.node,
            seq: record.seq,
            previous: before.hash,
            at_microseconds: record.at.as_microsecond(),
            kind: &record.kind,
            id: &record.id,
            body: &record.body,
        };
        if covered.hash() != hash || previous.is_some_and(|previous| previous != before.hash) {
            let (kind, id) = (record.kind.clone(), record.id.clone());
            return Err(Misfit::Changed { node: node(), seq: record.seq, kind, id });
        }
        if self.found.records == 0 {
            self.found.first = record.seq;
        }
        self.found.records += 1;
        self.head = Some(Head { seq: record.seq, hash });
        if record.known_kind() == Some(RecordKind::Retention) {
            self.removed(record)?;
        }
        self.unsigned.record(record, self.found.first)
    }

    /// A cut is signed by the gateway that made it: it says which key had signed what it removed, where that was another.
    fn removed(&self, record: &TrailRecord) -> Result<(), Misfit> {
        let body: Value = serde_json::from_str(&record.body).unwrap_or_default();
        match body["signed_by"].as_str() {
            Some(key) if !self.trusted.iter().any(|it| it.to_string() == key) => Err(Misfit::CutOfUntrusted {
                node: self.found.node.clone(),
                seq: record.seq,
                of_node: body["of_node"].as_str().unwrap_or_default().to_owned(),
                key: key.to_owned(),
            }),
            _ => Ok(()),
        }
    }

    /// The next checkpoint, behind the record that it ends with.
    pub fn checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<(), Misfit> {
        let node = || self.found.node.clone();
        let Head { seq, hash } = checkpoint.head;
        if !self.trusted.contains(&checkpoint.public_key) {
            return Err(Misfit::Untrusted { node: node(), seq, key: checkpoint.public_key });
        }
        if !checkpoint.is_signed_for(&self.found.node) {
            return Err(Misfit::Signature { node: node(), seq });
        }
        let kind = checkpoint.kind;
        match (kind, self.head) {
            (CheckpointKind::Cut, None) => {
                self.head = Some(checkpoint.head);
                self.found.cut = Some(seq);
            }
            (_, Some(head)) if head.seq < seq => {
                return Err(Misfit::CutOff { node: node(), last: head.seq, signed: seq });
            }
            // One that is passed over would be counted for records that it does not cover.
            (CheckpointKind::Checkpoint, Some(head)) if head.seq == seq => {
                if head.hash != hash {
                    return Err(Misfit::Rewritten { node: node(), seq });
                }
            }
            (_, Some(head)) => {
                return Err(Misfit::Misplaced { node: node(), seq, behind: Some(head.seq), kind });
            }
            (CheckpointKind::Checkpoint, None) => {
                return Err(match self.begins {
                    Begins::AtItsStart => Misfit::CutOff { node: node(), last: Seq(0), signed: seq },
                    Begins::Anywhere => Misfit::Misplaced { node: node(), seq, behind: None, kind },
                });
            }
        }
        self.unsigned.checkpoint(seq);
        self.found.checkpoints += 1;
        self.found.signed = self.found.signed.max(seq);
        Ok(())
    }

    /// The chain is over.
    pub fn end(mut self) -> Result<Verified, Misfit> {
        if self.found.records > 0 && self.found.checkpoints == 0 {
            return Err(Misfit::Unsigned { node: self.found.node, records: self.found.records });
        }
        self.found.head = self.head.unwrap_or(Head::EMPTY);
        let Verified { node, first, signed, head, .. } = &self.found;
        self.found.taken_over = self.unsigned.end(node, *first, *signed, head.seq)?;
        Ok(self.found)
    }
}

/// Checks texts against the HMACs in their records: for whoever has the key.
pub struct TextVerifier<'k> {
    key: &'k AuditKey,
    /// Whether a chain may have been another key's.
    others: bool,
    found: VerifiedTexts,
    /// The records whose texts are missing and that no erasure names, by chain.
    missing: BTreeMap<String, BTreeSet<i64>>,
    /// Erasures that no checkpoint covers yet. Until one does, anybody can have written them who may write the store.
    unsigned: Vec<Erased>,
    /// Texts of erasures that name no records.
    unnamed: u64,
    /// Chains that are another key's, or may be.
    other_keys: HashSet<String>,
}

/// What an erasure accounts for.
enum Erased {
    /// The texts of these records, by chain.
    Records(BTreeMap<String, Vec<i64>>),
    /// So many texts: an older version named no records.
    Texts(u64),
}

/// What was found of texts that fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VerifiedTexts {
    /// Texts that are there and fit.
    pub texts: u64,
    /// Texts that were erased.
    pub erased: u64,
    /// Texts that are there, and whose HMAC another key made.
    pub unchecked: u64,
}

impl<'k> TextVerifier<'k> {
    /// With the deployment's key, where these keys are trusted.
    pub fn new(key: &'k AuditKey, trusted: &[PublicKey]) -> Self {
        let others = trusted.iter().any(|it| *it != key.public());
        let (found, missing, unsigned, other_keys) = Default::default();
        Self { key, others, found, missing, unsigned, unnamed: 0, other_keys }
    }

    /// The next checkpoint of a chain, which must have been checked: it says whose records follow.
    pub fn checkpoint(&mut self, node: &str, checkpoint: &Checkpoint) {
        if node == OPERATOR {
            for erased in std::mem::take(&mut self.unsigned) {
                self.account_for(erased);
            }
        }
        match checkpoint.kind {
            // The start that named their key may be among what was removed.
            CheckpointKind::Cut if self.others => {
                self.other_keys.insert(node.to_owned());
            }
            CheckpointKind::Checkpoint if checkpoint.public_key == self.key.public() => {
                self.other_keys.remove(node);
            }
            _ => {}
        }
    }

    /// The next record of any chain, the operator's last. Its body must have been checked.
    pub fn record(&mut self, record: &TrailRecord) -> Result<(), Misfit> {
        #[derive(Default, serde::Deserialize)]
        #[serde(default)]
        struct Body {
            kept_hmac: Option<String>,
            texts: u64,
            records: Option<BTreeMap<String, Vec<i64>>>,
            public_key: Option<String>,
        }
        let body: Body = serde_json::from_str(&record.body).unwrap_or_default();
        match (record.known_kind(), body.public_key) {
            // In any other chain it would be signed with whatever its gateway writes next.
            (Some(RecordKind::Erasure), _) if record.node == OPERATOR => {
                self.unsigned.push(body.records.map_or(Erased::Texts(body.texts), Erased::Records));
            }
            (Some(RecordKind::Lifecycle), Some(key)) if key == self.key.public().to_string() => {
                self.other_keys.remove(&record.node);
            }
            (Some(RecordKind::Lifecycle), Some(_)) => {
                self.other_keys.insert(record.node.clone());
            }
            _ => {}
        }
        match (&record.content, body.kept_hmac) {
            (None, None) => {}
            (Some(text), Some(hmac)) if self.key.hmac(text) == hmac => self.found.texts += 1,
            (Some(_), Some(_)) if self.other_keys.contains(&record.node) => self.found.unchecked += 1,
            (None, Some(_)) => {
                self.found.erased += 1;
                self.missing.entry(record.node.clone()).or_default().insert(record.seq.0);
            }
            (Some(_), _) => {
                let (kind, id) = (record.kind.clone(), record.id.clone());
                return Err(Misfit::Text { node: record.node.clone(), seq: record.seq, kind, id });
            }
        }
        Ok(())
    }

    fn account_for(&mut self, erased: Erased) {
        match erased {
            Erased::Texts(texts) => self.unnamed += texts,
            Erased::Records(records) => {
                for (node, erased) in records {
                    if let Some(missing) = self.missing.get_mut(&node) {
                        for seq in erased {
                            missing.remove(&seq);
                        }
                    }
                }
            }
        }
    }

    /// All chains are over.
    pub fn end(self) -> Result<VerifiedTexts, Misfit> {
        let missing = self.found.erased;
        let vanished = self.missing.values().map(|records| records.len() as u64).sum::<u64>();
        match self.missing.iter().find_map(|(node, records)| Some(format!("{node} {}", records.first()?))) {
            Some(first) if vanished > self.unnamed => {
                Err(Misfit::Vanished { missing, erased: missing - vanished + self.unnamed, first })
            }
            _ => Ok(self.found),
        }
    }
}
