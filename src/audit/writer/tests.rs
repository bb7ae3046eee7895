//! A store that answers late, or not at all, or as nobody likes it.

use std::collections::VecDeque;

use futures_util::{FutureExt as _, poll};

use super::*;
use crate::audit::chain::{ChainHash, Place};
use crate::audit::queue::{Haste, Queue, Receipt};
use crate::audit::record::PolicySetChange;
use crate::audit::store::{Link, Node};
use crate::audit::text_rule::{ContentMode, TextRule};
use crate::audit::{AuditStore, Checkpoint, Settings};

/// What is said to an attempt.
enum Answer {
    Takes,
    Refuses(AuditError),
    /// It has the records, and says something else.
    TakesAndSays(AuditError),
}
use Answer::{Refuses, Takes, TakesAndSays};

/// Answers the first attempts like this, and takes the records of all others.
struct Scripted {
    answers: VecDeque<Answer>,
    attempts: usize,
    records: Vec<(Head, String)>,
    signed: Option<Checkpoint>,
    /// When the first records were, where that counts.
    times: Vec<Timestamp>,
}

impl Scripted {
    fn new(answers: impl Into<VecDeque<Answer>>) -> Self {
        Self { answers: answers.into(), attempts: 0, records: Vec::new(), signed: None, times: Vec::new() }
    }

    fn ids(&self) -> Vec<&str> {
        self.records.iter().map(|(_, id)| id.as_str()).collect()
    }

    /// Somebody else writes behind the last record.
    fn forge(&mut self) -> Head {
        let last = self.records.last().map_or(Seq(0), |(head, _)| head.seq);
        let head = Head { seq: Seq(last.0 + 1), hash: ChainHash([7; 32]) };
        self.records.push((head, "forged".to_owned()));
        head
    }
}

impl Session for Scripted {
    fn head(&mut self, _: &Node) -> Result<(Head, Seq), AuditError> {
        let signed = self.signed.as_ref().map_or(Seq(0), |it| it.head.seq);
        Ok((self.records.last().map_or(Head::EMPTY, |(head, _)| *head), signed))
    }

    fn last_checkpoint(&mut self, _: &Node) -> Result<Option<Checkpoint>, AuditError> {
        Ok(self.signed.clone())
    }

    fn commit(&mut self, links: &[Link<'_>], checkpoint: Option<(Place, &Checkpoint)>) -> Result<(), AuditError> {
        self.attempts += 1;
        let answer = match self.answers.pop_front().unwrap_or(Takes) {
            Refuses(error) => return Err(error),
            TakesAndSays(error) => Err(error),
            Takes => Ok(()),
        };
        let records = links.iter().map(|it| (Head { seq: it.place.seq(), hash: it.hash }, it.row.id.to_string()));
        self.records.extend(records);
        if let Some((_, checkpoint)) = checkpoint {
            let ids = self.ids();
            let told = ids.iter().rposition(|id| id.starts_with("takeover-"));
            assert!(ids.iter().rposition(|id| *id == "forged") <= told, "signed, and not told of: {ids:?}");
            self.signed = Some(checkpoint.clone());
        }
        answer
    }

    fn would_take(&mut self, _: &[Link<'_>]) -> Result<(), AuditError> {
        Ok(())
    }

    fn gateways(&mut self) -> Result<Vec<Node>, AuditError> {
        Ok(vec![node()])
    }

    fn extent(&mut self, node: i64) -> Result<Option<(Place, Place)>, AuditError> {
        let last = self.times.len() as i64;
        Ok((last > 0).then(|| (Place::new(node, Seq(1)), Place::new(node, Seq(last)))))
    }

    fn record_at(&mut self, place: Place) -> Result<Option<(Place, i64, ChainHash)>, AuditError> {
        if let Some(at) = (place.seq().0 as usize).checked_sub(1).and_then(|number| self.times.get(number)) {
            return Ok(Some((place, at.as_microsecond(), ChainHash::NONE)));
        }
        let found = self.records.iter().find(|(head, _)| head.seq >= place.seq());
        Ok(found.map(|(Head { seq, hash }, _)| (Place::new(place.node(), *seq), 0, *hash)))
    }

    fn first_since(&mut self, from: Place, through: Place, since: Timestamp) -> Result<Option<Place>, AuditError> {
        let mut places = (from.0..=through.0).map(Place);
        Ok(places.find(|place| self.times[place.seq().0 as usize - 1] >= since))
    }

    fn used_bytes(&mut self) -> Result<u64, AuditError> {
        Ok(0)
    }

    fn cut(&mut self, _: Place, _: &Checkpoint) -> Result<(), AuditError> {
        Ok(())
    }

    fn clean_contexts(&mut self, _: Timestamp, _: usize) -> Result<usize, AuditError> {
        Ok(0)
    }

    fn tidy(&mut self) {}

    fn finish(&mut self) -> Result<(), AuditError> {
        Ok(())
    }
}

fn node() -> Node {
    Node { number: 1, id: "node-1".to_owned() }
}

/// A writer, and the queue in front of it.
fn writing(journal: Option<Journal>) -> (Queue, Writer) {
    let settings = Settings::new(AuditStore::None).unwrap();
    let rule = TextRule { key: settings.key.clone(), mode: ContentMode::Full };
    let (queue, receiver) = Queue::new(2_000, rule);
    let chain = Chain::new(node(), &settings);
    (queue, Writer::new(receiver, Arc::default(), chain, journal, Keep::default()))
}

/// Queues the record `generation-N`.
fn queue_change(queue: &Queue, generation: u64) -> Receipt {
    let changed = PolicySetChange {
        at: Timestamp::UNIX_EPOCH,
        from_generation: Some(1),
        to_generation: generation,
        policies: Vec::new(),
        reason: "files changed".to_owned(),
    };
    queue.reserve(1).unwrap().send(vec![changed.into()], Haste::AtOnce)
}

fn no_answer() -> AuditError {
    AuditError::Unreachable("no answer".to_owned())
}

fn of_one_record() -> AuditError {
    AuditError::Duplicate { id: "one of them".to_owned() }
}

#[tokio::test]
async fn a_commit_that_was_given_up_and_got_through_is_not_taken_for_another_process() {
    let (queue, mut writer) = writing(None);
    let durable = queue_change(&queue, 2);
    let batch = writer.inbox.queued().unwrap();

    // What is given up at the first attempt goes on in the store, and is there before the second one.
    let mut store = Scripted::new([Refuses(no_answer()), TakesAndSays(AuditError::ChainMoved)]);
    assert!(writer.commit(&mut store, batch, Attempt::First) == Connection::Broken);
    writer.find_head(&mut store, writer.unsure.as_ref().map(|unsure| unsure.head)).unwrap();
    assert!(writer.go_on(&mut store) == Connection::Usable);
    assert_eq!(durable.await, Ok(Seq(1)), "it is there");
    assert_eq!((store.attempts, store.ids()), (2, vec!["generation-2"]), "and is not written behind itself");
    assert_eq!(writer.chain.head(), store.records[0].0);
    assert_eq!(writer.chain.due_in(), None, "its signature too");
}

#[tokio::test]
async fn of_records_that_are_tried_one_by_one_each_is_written_once_whenever_the_connection_breaks() {
    let there = [Ok(Seq(1)), Ok(Seq(2)), Ok(Seq(3))];
    // What is said behind the refusal of all three together, and what becomes of each.
    for (answers, expected) in [
        (vec![TakesAndSays(no_answer())], there.clone()),
        (vec![Refuses(no_answer())], there.clone()),
        (vec![Takes, TakesAndSays(no_answer())], there.clone()),
        (vec![Takes, Refuses(no_answer())], there.clone()),
        (vec![Refuses(no_answer()), Refuses(no_answer())], [Err(no_answer()), Ok(Seq(1)), Ok(Seq(2))]),
    ] {
        let (queue, mut writer) = writing(None);
        let receipts = [1, 2, 3].map(|generation| queue_change(&queue, generation));
        let batch = writer.inbox.queued().unwrap();
        let answers: Vec<_> = [Refuses(of_one_record())].into_iter().chain(answers).collect();
        let mut store = Scripted::new(answers);
        let mut state = writer.commit(&mut store, batch, Attempt::First);
        while state == Connection::Broken {
            writer.find_head(&mut store, writer.unsure.as_ref().map(|unsure| unsure.head)).unwrap();
            state = writer.go_on(&mut store);
        }
        let told = receipts.map(|receipt| receipt.now_or_never().expect("it is answered"));
        assert_eq!(told, expected);
        let written: Vec<_> = store.records.iter().map(|(head, _)| head.seq).collect();
        assert_eq!(written, (1..=written.len() as i64).map(Seq).collect::<Vec<_>>());
        let first = 3 - written.len();
        assert_eq!(store.ids(), ["generation-1", "generation-2", "generation-3"][first..], "in order and once");
    }
}

#[tokio::test]
async fn behind_a_record_that_waits_in_the_journal_none_goes_into_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(&folder.path().join("audit.spill"), 1 << 20, false).unwrap();
    let (queue, mut writer) = writing(Some(journal));
    let receipts = [1, 2, 3].map(|generation| queue_change(&queue, generation));
    let batch = writer.inbox.queued().unwrap();
    let mut store = Scripted::new([Refuses(of_one_record()), Takes, Refuses(AuditError::Locked)]);
    assert!(writer.commit(&mut store, batch, Attempt::First) == Connection::Usable);
    let told = receipts.map(|receipt| receipt.now_or_never().expect("it is answered"));
    assert_eq!(told, [Ok(Seq(1)), Ok(Seq(2)), Ok(Seq(3))]);
    assert_eq!(store.ids(), ["generation-1"]);
    assert!(writer.drain(&mut store) == Connection::Usable && !writer.is_spilling());
    assert_eq!(store.ids(), ["generation-1", "generation-2", "generation-3"]);
    assert_eq!(store.records[2].0, writer.chain.head(), "under the numbers that were told");
    assert_eq!(store.signed.unwrap().head, store.records[2].0, "and signed: many may have waited");
}

/// A writer with a journal of so many bytes, which holds `generation-2` then; the store has `generation-1`.
fn spilling(folder: &std::path::Path, most: u64, store: &mut Scripted) -> (Queue, Writer) {
    let (queue, mut writer) = writing(Some(Journal::open(&folder.join("audit.spill"), most, false).unwrap()));
    store.answers = [Takes, Refuses(AuditError::Locked)].into();
    for generation in [1, 2] {
        let _receipt = queue_change(&queue, generation);
        let batch = writer.inbox.queued().unwrap();
        assert!(writer.commit(store, batch, Attempt::First) == Connection::Usable);
    }
    (queue, writer)
}

/// The records, and the one that tells of others under its kind's name.
fn kinds(store: &Scripted) -> Vec<&str> {
    store.ids().into_iter().map(|id| if id.starts_with("takeover-") { "takeover" } else { id }).collect()
}

#[tokio::test]
async fn what_a_killed_process_left_in_the_store_is_told_of_before_what_waits_there_is_signed() {
    // There need be no room in the journal for what tells of it.
    for is_full in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Scripted::new([]);
        drop(spilling(folder.path(), 1 << 20, &mut store));
        store.signed = None;
        let waiting = std::fs::metadata(folder.path().join("audit.spill")).unwrap().len();
        let most = if is_full { waiting } else { 1 << 20 };
        let (_queue, mut writer) =
            writing(Some(Journal::open(&folder.path().join("audit.spill"), most, false).unwrap()));
        writer.find_head(&mut store, None).unwrap();
        store.answers = [Refuses(AuditError::Locked), Takes].into();
        for is_waiting in [true, false] {
            writer.next_drain = Instant::now();
            assert!(writer.drain(&mut store) == Connection::Usable);
            assert_eq!(writer.is_spilling(), is_waiting);
        }
        assert_eq!(kinds(&store), ["generation-1", "takeover", "generation-2"], "full: {is_full}");
        assert_eq!(store.signed.unwrap().head, store.records[2].0, "signed with them");
    }
}

#[tokio::test]
async fn what_somebody_wrote_while_records_waited_is_told_of_in_the_transaction_that_signs_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Scripted::new([]);
    let (queue, mut writer) = spilling(folder.path(), 1 << 20, &mut store);
    store.forge();
    // The first attempt is in vain, and more comes meanwhile.
    store.answers = [Refuses(AuditError::ChainMoved), Refuses(AuditError::Locked)].into();
    writer.next_drain = Instant::now();
    assert!(writer.drain(&mut store) == Connection::Usable && writer.is_spilling());
    let _receipt = queue_change(&queue, 3);
    let batch = writer.inbox.queued().unwrap();
    assert!(writer.take(&mut store, batch, Attempt::First) == Connection::Usable);
    writer.next_drain = Instant::now();
    assert!(writer.drain(&mut store) == Connection::Usable && !writer.is_spilling());
    let expected = ["generation-1", "forged", "takeover", "generation-2", "generation-3"];
    assert_eq!(kinds(&store), expected);
    // Nor is it told of again.
    writer.find_head(&mut store, None).unwrap();
    writer.sign(&mut store).unwrap();
    assert_eq!(kinds(&store), expected);
}

/// A writer whose store has what waited, which nobody heard, and somebody's record behind that. All of it is unsigned.
fn behind_somebody(folder: &std::path::Path, store: &mut Scripted) -> (Queue, Writer) {
    let (queue, mut writer) = spilling(folder, 1 << 20, store);
    store.answers = [TakesAndSays(no_answer())].into();
    writer.next_drain = Instant::now();
    assert!(writer.drain(store) == Connection::Broken);
    store.forge();
    writer.find_head(store, None).unwrap();
    writer.next_drain = Instant::now();
    assert!(writer.drain(store) == Connection::Usable && !writer.is_spilling());
    (queue, writer)
}

#[tokio::test]
async fn what_somebody_wrote_behind_what_waited_is_told_of_although_nothing_else_comes() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Scripted::new([]);
    let (_queue, mut writer) = behind_somebody(folder.path(), &mut store);
    assert!(writer.sign_when_due(&mut store) == Connection::Usable);
    assert_eq!(kinds(&store), ["generation-1", "generation-2", "forged", "takeover"]);
    assert_eq!(writer.chain.due_in(), None, "all is signed");
}

#[tokio::test]
async fn a_store_that_takes_no_checkpoint_is_not_asked_again_at_once_on_each_connection() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Scripted::new([]);
    let (_queue, mut writer) = behind_somebody(folder.path(), &mut store);
    store.answers = [Refuses(no_answer())].into();
    assert!(writer.sign_when_due(&mut store) == Connection::Broken);
    writer.find_head(&mut store, None).unwrap();
    assert!(writer.chain.due_in().is_some_and(|left| !left.is_zero()), "it waits its time");
}

#[tokio::test]
async fn what_is_written_behind_another_process_is_signed_at_once() {
    let (queue, mut writer) = writing(None);
    let mut store = Scripted::new([]);
    let write = |writer: &mut Writer, store: &mut Scripted, generation| {
        let _receipt = queue_change(&queue, generation);
        let batch = writer.inbox.queued().unwrap();
        assert!(writer.commit(store, batch, Attempt::First) == Connection::Usable);
        store.signed.as_ref().unwrap().head.seq
    };
    assert_eq!([1, 2].map(|generation| write(&mut writer, &mut store, generation)), [Seq(1), Seq(1)]);
    // It has the same key, and signed its own.
    let others = Head { seq: Seq(3), hash: ChainHash([7; 32]) };
    store.records.push((others, "generation-0".to_owned()));
    store.signed = Some(writer.chain.signed_head(others));
    writer.find_head(&mut store, None).unwrap();
    assert!(writer.sign_when_due(&mut store) == Connection::Usable && writer.chain.due_in().is_none());
    assert_eq!([3, 4].map(|generation| write(&mut writer, &mut store, generation)), [Seq(4), Seq(4)]);
    assert_eq!(store.ids(), ["generation-1", "generation-2", "generation-0", "generation-3", "generation-4"]);
}

#[tokio::test]
async fn who_waits_for_what_was_queued_is_told_when_it_is_written_on_the_next_connection_and_not_before() {
    let (queue, mut writer) = writing(None);
    let durable = queue_change(&queue, 2);
    let mut settled = Box::pin(queue.settle());
    assert!(poll!(&mut settled).is_pending());
    let mut store = Scripted::new([Refuses(no_answer())]);
    writer.serve(&mut store).unwrap();
    assert!(poll!(&mut settled).is_pending(), "nobody knows what became of it");
    // Nothing else is queued until it is told.
    let serving = tokio::task::spawn_blocking(move || writer.serve(&mut store));
    tokio::time::timeout(Duration::from_secs(60), settled).await.expect("it is told");
    assert_eq!(durable.now_or_never(), Some(Ok(Seq(1))));
    assert!(queue.stop(None));
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_was_queued_while_the_store_was_tried_in_vain_is_refused_at_once_however_much_it_is() {
    let (queue, mut writer) = writing(None);
    let tried = queue_change(&queue, 1);
    let batch = writer.inbox.queued().unwrap();
    let mut store = Scripted::new([Refuses(no_answer())]);
    assert!(writer.commit(&mut store, batch, Attempt::First) == Connection::Broken);
    let meanwhile: Vec<_> = (2..1_500).map(|generation| queue_change(&queue, generation)).collect();
    let (done, ended) = tokio::sync::oneshot::channel();
    assert!(queue.stop(Some(done)));
    writer.do_without_store(&no_answer(), Duration::ZERO);
    // Whoever it has not answered is told that it is gone.
    drop(writer);
    for refused in [tried].into_iter().chain(meanwhile) {
        assert_eq!(refused.await, Err(no_answer()));
    }
    assert_eq!(ended.await, Ok(Err(no_answer())), "nor does the end wait for another attempt");
}

#[test]
fn a_record_that_stops_retention_is_told_of_at_each_look_and_one_that_is_old_a_moment_later_is_not() {
    let hour = SignedDuration::from_hours(1);
    let hours = |ages: &[f64]| -> Vec<Timestamp> {
        ages.iter().map(|hours| Timestamp::now() - SignedDuration::from_secs_f64(hours * 3_600.0)).collect()
    };
    for (what, times, told) in [
        ("of a clock that ran ahead", hours(&[9.0, 9.0, -9.0, 9.0, 9.0, 9.0, 9.0, 0.0]), true),
        ("the first of all", hours(&[-9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 0.0]), true),
        ("asked at once with those behind it", hours(&[9.0, 9.0, 0.999, 1.001, 1.001, 1.001, 1.001, 0.0]), false),
        ("in order", hours(&[9.0, 9.0, 9.0, 0.5, 0.4, 0.3, 0.2, 0.0]), false),
    ] {
        let (_queue, mut writer) = writing(None);
        writer.keep = Keep { age: Some(hour.unsigned_abs()), size: None };
        let signed = writer.chain.signed_head(Head { seq: Seq(times.len() as i64), hash: ChainHash::NONE });
        let mut store = Scripted { times, signed: Some(signed), ..Scripted::new([]) };
        for look in ["the first", "the next"] {
            writer.next_retention = Instant::now();
            let lines = tempfile::NamedTempFile::new().unwrap();
            let log = tracing_subscriber::fmt().with_writer(Arc::new(lines.reopen().unwrap())).finish();
            tracing::subscriber::with_default(log, || assert!(writer.retain(&mut store) == Connection::Usable));
            let lines = std::fs::read_to_string(lines.path()).unwrap();
            assert_eq!(lines.contains("retention stops there"), told, "{what}, {look} look: {lines}");
        }
    }
}
