//! Which records stood in the store unsigned, and whether a gateway can have left them so.
//!
//! Whoever may write the store can write behind the last checkpoint, and the next one covers it. A gateway says what it
//! took over, and what it can have left there itself is little: each start and each end is signed at once, and never more
//! than a number of records that each start names stand unsigned.

use std::collections::BTreeMap;

use super::chain::Seq;
use super::reader::TrailRecord;
use super::record::{Found, LifecycleEvent, RecordKind};
use super::verify::Misfit;

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
#[derive(Default)]
pub(super) struct UnsignedVerifier {
    /// Its starts and ends.
    history: Vec<Event>,
    /// The records that checkpoints and the cut end with.
    signed: Vec<Seq>,
    taken_over: BTreeMap<Found, TakenOver>,
}

struct Event {
    seq: Seq,
    run: String,
    event: LifecycleEvent,
    most_unsigned: Option<u64>,
}

impl UnsignedVerifier {
    /// The next record, which fits.
    pub(super) fn record(&mut self, record: &TrailRecord) -> Result<(), Misfit> {
        #[derive(serde::Deserialize)]
        struct Lifecycle {
            event: LifecycleEvent,
            most_unsigned: Option<u64>,
        }
        #[derive(serde::Deserialize)]
        struct Takeover {
            found: Found,
            from: i64,
            through: i64,
            most_unsigned: u64,
        }
        match record.known_kind() {
            Some(RecordKind::Lifecycle) => {
                if let Ok(Lifecycle { event, most_unsigned }) = serde_json::from_str(&record.body) {
                    self.history.push(Event { seq: record.seq, run: record.id.clone(), event, most_unsigned });
                }
                Ok(())
            }
            Some(RecordKind::Takeover) => match serde_json::from_str(&record.body) {
                Ok(Takeover { found, from, through, most_unsigned }) if through < record.seq.0 => {
                    self.is_taken_over(&record.node, found, (Seq(from), Seq(through)), most_unsigned)
                }
                _ => Ok(()),
            },
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
        found: Found,
        (Seq(from), through): (Seq, Seq),
        most_unsigned: u64,
    ) -> Result<(), Misfit> {
        // The gateway goes by its own key. Others that are trusted may have signed some.
        let signed = self.signed.partition_point(|signed| *signed <= through);
        let signed = signed.checked_sub(1).and_then(|last| self.signed.get(last)).map_or(0, |last| last.0);
        let from = Seq(from.max(signed + 1));
        if from > through {
            return Ok(());
        }
        self.can_be_left(node, from, through, Some(most_unsigned))?;
        let stretches = self.taken_over.entry(found).or_default();
        // One that could not be written at once may be told of twice.
        let told = stretches.latest.map_or(0, |(_, last)| last.0);
        if through.0 > told {
            stretches.times += 1;
            stretches.records += u64::try_from(through.0 - told.max(from.0 - 1)).unwrap_or(0);
            stretches.latest = Some((from, through));
        }
        Ok(())
    }

    /// Whether a gateway can have left these records unsigned; `most_unsigned` counts where no start before them says how
    /// many that may be.
    fn can_be_left(&self, node: &str, from: Seq, through: Seq, most_unsigned: Option<u64>) -> Result<(), Misfit> {
        let before = self.history.partition_point(|event| event.seq < from);
        let (before, since) = self.history.split_at(before);
        let start = before.iter().rev().find(|it| it.event == LifecycleEvent::Start);
        let most = match start {
            Some(start) => start.most_unsigned,
            None => most_unsigned,
        };
        // A version that kept to nothing of this.
        let Some(most) = most else { return Ok(()) };
        let within = since.iter().find(|it| it.seq <= through);
        let has_ended = before.last().is_some_and(|last| {
            last.event == LifecycleEvent::Stop
                && last.seq.0 == from.0 - 1
                && start.is_some_and(|start| start.run == last.run)
        });
        let records = u64::try_from(through.0 - from.0 + 1).unwrap_or(0);
        let why = if let (Some(event), Some(_)) = (within, start) {
            format!("record {} is a start or an end, which a gateway signs at once", event.seq.0)
        } else if has_ended {
            "they stand behind the end of a gateway, which leaves nothing unsigned".to_owned()
        } else if records > most {
            format!("they are {records}, and a gateway leaves {most} unsigned at most")
        } else {
            return Ok(());
        };
        Err(Misfit::NotLeft { node: node.to_owned(), from, through, why })
    }

    /// The chain is over: what was taken over, unless what is still unsigned at its end cannot be a gateway's.
    pub(super) fn end(self, node: &str, signed: Seq, last: Seq) -> Result<BTreeMap<Found, TakenOver>, Misfit> {
        if last > signed {
            self.can_be_left(node, Seq(signed.0 + 1), last, None)?;
        }
        Ok(self.taken_over)
    }
}
