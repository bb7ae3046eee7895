//! Which records stood in the store unsigned, and whether a gateway can have left them so.
//!
//! Whoever may write the store can write behind the last checkpoint, and the next one covers it. So gateways say what they
//! took over, and that is counted. Where all signatures are in sight, some of it cannot be a gateway's: each start and each
//! end is signed at once, and so is what one writes behind another's. None leaves more unsigned than its start says; behind a
//! cut nobody knows what that was.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::chain::Seq;
use super::erase::OPERATOR;
use super::reader::TrailRecord;
use super::record::{Found, LifecycleEvent, RecordKind};
use super::verify::{Begins, Misfit};

/// Stretches of records that were taken over, each at the end of the chain then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TakenOver {
    /// How many.
    pub times: u64,
    /// Their records.
    pub records: u64,
    /// The first and the last record of the latest.
    pub latest: Option<(Seq, Seq)>,
}

/// What is known of one chain, as far as it was read.
pub(super) struct UnsignedVerifier {
    begins: Begins,
    /// Its records of the kind `lifecycle`.
    history: Vec<Lifecycle>,
    /// The records that checkpoints and the cut end with.
    signed: Vec<Seq>,
    taken_over: BTreeMap<Option<Found>, TakenOver>,
    /// Which records those are: the last one of each stretch by its first. No two have one in common.
    stretches: BTreeMap<Option<Found>, BTreeMap<Seq, Seq>>,
}

struct Lifecycle {
    seq: Seq,
    /// Its id: of a start and its end the same.
    run: String,
    /// Start or end, if it is one.
    event: Option<LifecycleEvent>,
    most_unsigned: Option<u64>,
}

impl UnsignedVerifier {
    pub(super) fn new(begins: Begins) -> Self {
        Self {
            begins,
            history: Vec::new(),
            signed: Vec::new(),
            taken_over: BTreeMap::new(),
            stretches: BTreeMap::new(),
        }
    }

    /// The next record, which fits; `first` is the first one in sight.
    pub(super) fn record(&mut self, record: &TrailRecord, first: Seq) -> Result<(), Misfit> {
        let kind = record.known_kind();
        if !matches!(kind, Some(RecordKind::Lifecycle | RecordKind::Takeover)) {
            return Ok(());
        }
        // What is none has none of these.
        let body: Value = serde_json::from_str(&record.body).unwrap_or_default();
        if kind == Some(RecordKind::Lifecycle) {
            let (event, most_unsigned) = (word(&body["event"]), body["most_unsigned"].as_u64());
            self.history.push(Lifecycle { seq: record.seq, run: record.id.clone(), event, most_unsigned });
            return Ok(());
        }
        match (body["from"].as_i64(), body["through"].as_i64()) {
            (Some(from), Some(through)) if through < record.seq.0 => {
                self.is_taken_over(&record.node, first, word(&body["found"]), (Seq(from), Seq(through)))
            }
            _ => Ok(()),
        }
    }

    /// The next checkpoint or cut, which fits.
    pub(super) fn checkpoint(&mut self, seq: Seq) {
        self.signed.push(seq);
    }

    fn is_taken_over(
        &mut self,
        node: &str,
        first: Seq,
        found: Option<Found>,
        (from, through): (Seq, Seq),
    ) -> Result<(), Misfit> {
        // The gateway goes by its own key. Others that are trusted may have signed some.
        let signed = self.signed.partition_point(|signed| *signed <= through);
        let signed = signed.checked_sub(1).and_then(|last| self.signed.get(last)).map_or(0, |last| last.0);
        let from = from.max(Seq(signed + 1)).max(first);
        if from > through {
            return Ok(());
        }
        self.can_be_left(node, first, from, through)?;
        // One that could not be written at once may be told of twice, and where signatures were removed, with more before it.
        let stretches = self.stretches.entry(found).or_default();
        let (mut first, mut last, mut told) = (from, through, 0);
        while let Some((&since, &until)) = stretches.range(..=last).next_back().filter(|(_, until)| **until >= first) {
            stretches.remove(&since);
            (first, last) = (first.min(since), last.max(until));
            told += until.0 - since.0 + 1;
        }
        stretches.insert(first, last);
        let new = last.0 - first.0 + 1 - told;
        if new > 0 {
            let of_these = self.taken_over.entry(found).or_default();
            of_these.times += 1;
            of_these.records += u64::try_from(new).unwrap_or(0);
            of_these.latest = Some((from, through));
        }
        Ok(())
    }

    /// Whether a gateway can have left these records unsigned. In a part of a chain, what tells is not in sight. Versions
    /// whose starts and ends say no number kept to nothing of this.
    fn can_be_left(&self, node: &str, first: Seq, from: Seq, through: Seq) -> Result<(), Misfit> {
        let has_all_starts = first == Seq(1);
        if self.begins == Begins::Anywhere && !has_all_starts {
            return Ok(());
        }
        let (before, since) = self.history.split_at(self.history.partition_point(|it| it.seq < from));
        let starts = || before.iter().filter(|it| it.event == Some(LifecycleEvent::Start));
        let start = starts().next_back();
        let within = since.first().filter(|it| it.seq <= through);
        let within = within.filter(|it| start.unwrap_or(it).most_unsigned.is_some());
        // Several gateways may write it in turns: then another one's end is none of this.
        let is_behind_an_end = before.last().is_some_and(|last| {
            last.event == Some(LifecycleEvent::Stop)
                && last.seq.0 == from.0 - 1
                && start.is_some_and(|start| start.run == last.run && start.most_unsigned.is_some())
        });
        // One whose start was removed may write still, and leave more.
        let most: Option<Vec<u64>> = starts().map(|it| it.most_unsigned).collect();
        let most = most.filter(|_| has_all_starts).and_then(|all| all.into_iter().max());
        let records = u64::try_from(through.0 - from.0 + 1).unwrap_or(0);
        let why = if from == Seq(1) {
            "a gateway signs the first record at once".to_owned()
        } else if node == OPERATOR {
            "an erasure is signed with what it erases".to_owned()
        } else if let Some(lifecycle) = within {
            format!("record {} is a start or an end, which a gateway signs at once", lifecycle.seq.0)
        } else if is_behind_an_end {
            "they stand behind the end of a gateway, which leaves nothing unsigned".to_owned()
        } else if let Some(most) = most.filter(|most| records > *most) {
            format!("they are {records}, and a gateway leaves {most} unsigned at most")
        } else {
            return Ok(());
        };
        Err(Misfit::NotLeft { node: node.to_owned(), from, through, why })
    }

    /// The chain is over: what was taken over, unless what is still unsigned at its end cannot be a gateway's.
    pub(super) fn end(
        self,
        node: &str,
        first: Seq,
        signed: Seq,
        last: Seq,
    ) -> Result<BTreeMap<Option<Found>, TakenOver>, Misfit> {
        if last > signed {
            self.can_be_left(node, first, Seq(signed.0 + 1), last)?;
        }
        Ok(self.taken_over)
    }
}

/// One of a few words, if it is one.
fn word<T: DeserializeOwned>(value: &Value) -> Option<T> {
    value.as_str().and_then(|word| serde_json::from_value(word.into()).ok())
}
