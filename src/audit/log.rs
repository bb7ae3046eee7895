//! The front door: what the rest of the gateway holds of the audit log.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};
use tokio_util::sync::CancellationToken;

use super::contexts::RecentContexts;
use super::journal::Journal;
use super::queue::{Queue, Receipt, RecordPermit, RequestPermit};
use super::record::Record;
use super::row::ContextRow;
use super::search::{Page, Query};
use super::store::{Role, Store};
use super::text_rule::TextRule;
use super::{ArchivedVersion, AuditError, AuditKey, Durability, PublicKey, Settings, store, writer};
use crate::line::Line;

/// Searches that run at once, one of each tenant; more wait, and so long at most, and then so long for the records before
/// them. A search reads much, and the gateway has better things to do.
const SEARCHES: usize = 2;
const SEARCH_PATIENCE: Duration = Duration::from_secs(20);
/// Lookups of contexts in the store that run at once, and how long one waits for its turn. They do not wait behind
/// searches.
const LOOKUPS: usize = 4;
const LOOKUP_PATIENCE: Duration = Duration::from_secs(5);

/// The audit log of this gateway. Clones share it. When the last one is dropped, what is queued is written first.
#[derive(Clone)]
pub struct AuditLog(Arc<Shared>);

struct Shared {
    queue: Queue,
    store: Arc<dyn Store>,
    contexts: Arc<RecentContexts>,
    key: AuditKey,
    /// The most records of the chain that stand in the store unsigned.
    most_unsigned: u64,
    searches: Line,
    lookups: Arc<Semaphore>,
    /// Whether there is a journal for what the store does not take.
    spills: bool,
    writer: Mutex<Option<JoinHandle<()>>>,
    /// Cancelled when the writer's thread is over, however it ended.
    ended: CancellationToken,
}

impl AuditLog {
    /// Opens the store, makes or updates its tables, and starts the writer. Blocks for a moment.
    pub fn open(settings: &Settings) -> Result<Self, AuditError> {
        settings.check()?;
        let spill = settings.spill.as_ref();
        let flush = settings.durability == Durability::Disk;
        let journal = spill.map(|spill| Journal::open(&spill.file, spill.size, flush)).transpose()?;
        let (store, node) = apart(|| {
            let store = store::open(settings)?;
            let node = store.enrol(settings.node.as_deref(), Role::Gateway)?;
            Ok((store, node))
        })?;
        let store: Arc<dyn Store> = store.into();
        let rule = TextRule { key: settings.key.clone(), mode: settings.content };
        let (queue, receiver) = Queue::new(settings.queue, rule);
        let chain = writer::Chain::new(node, settings);
        let contexts = Arc::new(RecentContexts::default());
        if let Some(journal) = &journal {
            journal.each_waiting(|row| {
                if let Some((id, context)) = row.context() {
                    contexts.remember(id, context);
                }
            })?;
        }
        let keep = settings.keep;
        let (for_writer, remembered) = (Arc::clone(&store), Arc::clone(&contexts));
        let ended = CancellationToken::new();
        let ends = ended.clone().drop_guard();
        let writer = std::thread::Builder::new()
            .name("audit-writer".to_owned())
            .spawn(move || {
                let _ends = ends;
                writer::run(&*for_writer, receiver, remembered, chain, journal, keep);
            })
            .map_err(|error| AuditError::Io(format!("cannot start the audit writer: {error}")))?;
        queue.is_read_by(writer.thread());
        Ok(Self(Arc::new(Shared {
            queue,
            store,
            contexts,
            key: settings.key.clone(),
            most_unsigned: settings.checkpoint.records,
            searches: Line::new(SEARCHES, SEARCH_PATIENCE),
            lookups: Arc::new(Semaphore::new(LOOKUPS)),
            spills: spill.is_some(),
            writer: Mutex::new(Some(writer)),
            ended,
        })))
    }

    /// The key that signs checkpoints.
    pub fn public_key(&self) -> PublicKey {
        self.0.key.public()
    }

    /// The most records of this gateway's chain that stand in the store without a signature behind them.
    pub fn most_unsigned(&self) -> u64 {
        self.0.most_unsigned
    }

    /// Digests what a record must not hold as it is.
    pub(crate) fn key(&self) -> &AuditKey {
        &self.0.key
    }

    /// Takes the two slots of a request, before any work is done for it. Never waits: a full queue is `Overloaded`.
    pub fn reserve_request(&self) -> Result<RequestPermit, AuditError> {
        self.0.queue.reserve(2).map(RequestPermit::new)
    }

    /// Takes one slot, for a record whose making costs something.
    pub fn reserve(&self) -> Result<RecordPermit, AuditError> {
        self.0.queue.reserve(1).map(RecordPermit::new)
    }

    /// Queues one record at once, or refuses it at once. The receipt resolves when it is durable.
    pub fn append(&self, record: impl Into<Record>) -> Result<Receipt, AuditError> {
        Ok(self.reserve()?.append(record))
    }

    /// Somebody waits for a record that could have waited for others.
    pub(crate) fn hurry(&self) {
        self.0.queue.hurry();
    }

    /// Waits until everything that is queued now is written or refused.
    pub async fn settle(&self) {
        self.0.queue.settle().await;
    }

    /// A page of one tenant's entries, newest first. Sees every record that was queued before it was asked: an
    /// answer's outcome may still be on its way when the client that got the answer searches for it. `Busy` when these are
    /// not written in time, or others' searches are not over.
    pub async fn search(&self, query: Query) -> Result<Page, AuditError> {
        query.check()?;
        let turn = self.0.searches.turn(query.tenant.as_deref().unwrap_or_default()).await?;
        self.settle_within(SEARCH_PATIENCE).await?;
        let store = Arc::clone(&self.0.store);
        reading(turn, move || store.search(&query)).await
    }

    /// The context of a pre-check: there at once when its append has returned, and after a restart, until about a day
    /// after it expired.
    pub async fn context(&self, id: &str) -> Result<Option<ContextRow>, AuditError> {
        if let Some(context) = self.0.contexts.get(id) {
            return Ok(Some(context));
        }
        // Asked first: what the table lacked then, it may have by the time of the look.
        let lags = self.0.store.lags();
        let found = self.look_up(id).await?;
        if found.is_some() || !lags {
            return Ok(found);
        }
        self.settle_within(LOOKUP_PATIENCE).await?;
        self.look_up(id).await
    }

    async fn settle_within(&self, patience: Duration) -> Result<(), AuditError> {
        tokio::time::timeout(patience, self.settle()).await.map_err(|_| AuditError::Busy)
    }

    async fn look_up(&self, id: &str) -> Result<Option<ContextRow>, AuditError> {
        let (store, id) = (Arc::clone(&self.0.store), id.to_owned());
        let turn = tokio::time::timeout(LOOKUP_PATIENCE, Arc::clone(&self.0.lookups).acquire_owned());
        let turn = turn.await.map_err(|_| AuditError::Busy)?.map_err(|_| AuditError::Closed)?;
        reading(turn, move || store.context(&id)).await
    }

    /// Keeps a version of a policy. Beside the writer: no record waits for it.
    pub async fn archive(&self, version: ArchivedVersion) -> Result<(), AuditError> {
        let store = Arc::clone(&self.0.store);
        blocking(move || store.keep_version(&version)).await
    }

    /// Waits for the end of the writer. Before [`Self::shutdown`] that is a fault: nothing is recorded any more.
    pub async fn ended(&self) {
        self.0.ended.cancelled().await;
    }

    /// From now on a store that does not answer is waited for only a moment, where there is a journal that takes its
    /// records: the gateway ends, and whoever ended it does not wait for ever.
    pub fn prefer_journal(&self) {
        if self.0.spills {
            self.0.store.hurry();
        }
    }

    /// The same as [`Self::shutdown`], without waiting for the writer: what it has not written when the process ends is
    /// lost.
    pub fn abandon(&self) {
        self.0.queue.close();
        self.0.queue.stop(None);
        drop(self.0.writer.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Refuses new records, writes those that are queued, and ends the writer. Call it when no request is in flight
    /// any more: an outcome that comes later is answered `Closed`.
    pub async fn shutdown(&self) -> Result<(), AuditError> {
        self.0.queue.close();
        let (done, ended) = oneshot::channel();
        if !self.0.queue.stop(Some(done)) {
            return Ok(());
        }
        let result = ended.await.unwrap_or(Err(AuditError::Closed));
        let thread = self.0.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            blocking(move || thread.join().map_err(|_| AuditError::Closed)).await?;
        }
        result
    }
}

/// Without what is in it.
impl std::fmt::Debug for AuditLog {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("AuditLog").field("public_key", &self.0.key.public()).finish_non_exhaustive()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let thread = self.writer.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            self.queue.stop(None);
            if thread.join().is_err() {
                tracing::error!("the audit writer panicked");
            }
        }
    }
}

/// On a thread of its own: a store may drive a runtime, which cannot be done inside another.
fn apart<T: Send>(work: impl FnOnce() -> Result<T, AuditError> + Send) -> Result<T, AuditError> {
    std::thread::scope(|scope| match scope.spawn(work).join() {
        Ok(result) => result,
        Err(_) => Err(AuditError::Store("the store could not be opened: its thread panicked".to_owned())),
    })
}

/// Reads. The turn lasts as long as that: whoever asked may have gone away meanwhile.
async fn reading<T: Send + 'static>(
    turn: impl Send + 'static,
    read: impl FnOnce() -> Result<T, AuditError> + Send + 'static,
) -> Result<T, AuditError> {
    blocking(move || {
        let _turn = turn;
        read()
    })
    .await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, AuditError> + Send + 'static,
) -> Result<T, AuditError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(AuditError::Store(format!("a read did not end: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::audit::AuditStore;
    use crate::audit::queue::Message;
    use crate::audit::store::Session;

    #[tokio::test]
    async fn a_turn_lasts_as_long_as_the_reading_although_nobody_waits_for_it() {
        let turns = Arc::new(Semaphore::new(1));
        let turn = Arc::clone(&turns).acquire_owned().await.unwrap();
        let (begun, has_begun) = oneshot::channel();
        let (release, held) = mpsc::channel::<()>();
        let asked = tokio::spawn(reading(turn, move || {
            begun.send(()).unwrap();
            held.recv().map_err(|_| AuditError::Closed)
        }));
        has_begun.await.unwrap();
        asked.abort();
        assert!(asked.await.unwrap_err().is_cancelled());
        assert_eq!(turns.available_permits(), 0);
        release.send(()).unwrap();
        drop(turns.acquire().await.unwrap());
    }

    #[tokio::test]
    async fn one_tenants_searches_do_not_hold_up_anothers_and_none_waits_without_end() {
        let folder = tempfile::tempdir().unwrap();
        let store = AuditStore::Sqlite(folder.path().join("audit.db"));
        let log = AuditLog::open(&Settings::new(store).unwrap()).unwrap();
        let line = &log.0.searches;
        let greedy = line.turn("greedy").await.unwrap();
        let mut more: Vec<_> = (0..20).map(|_| Box::pin(line.turn("greedy"))).collect();
        for waiting in &mut more {
            assert!(futures_util::poll!(waiting).is_pending());
        }
        assert_eq!(log.search(Query::new("acme")).await.unwrap().total, 0);
        let other = line.turn("other").await.unwrap();
        tokio::time::pause();
        assert_eq!(log.search(Query::new("acme")).await, Err(AuditError::Busy));
        tokio::time::resume();
        drop((greedy, other, more));
        assert!(log.search(Query::new("acme")).await.is_ok());
    }

    /// A log whose writer never gets to what is queued.
    fn unwritten(folder: &tempfile::TempDir) -> (AuditLog, mpsc::Receiver<Message>) {
        let settings = Settings::new(AuditStore::Sqlite(folder.path().join("audit.db"))).unwrap();
        let rule = TextRule { key: settings.key.clone(), mode: settings.content };
        let (queue, receiver) = Queue::new(settings.queue, rule);
        let log = AuditLog(Arc::new(Shared {
            queue,
            store: store::open(&settings).unwrap().into(),
            contexts: Arc::default(),
            key: settings.key.clone(),
            most_unsigned: settings.checkpoint.records,
            searches: Line::new(SEARCHES, SEARCH_PATIENCE),
            lookups: Arc::new(Semaphore::new(LOOKUPS)),
            spills: false,
            writer: Mutex::default(),
            ended: CancellationToken::new(),
        }));
        (log, receiver)
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_waits_for_the_records_before_only_so_long_and_keeps_nobody_else_from_it() {
        let folder = tempfile::tempdir().unwrap();
        let (log, _queued) = unwritten(&folder);
        assert_eq!(log.search(Query::new("acme")).await, Err(AuditError::Busy));
        assert!(log.0.searches.turn("acme").await.is_ok());
        assert!(log.0.store.lags(), "nobody has looked at what an earlier process left");
        assert_eq!(log.context("c1").await, Err(AuditError::Busy));
    }

    #[tokio::test]
    async fn a_context_that_is_unknown_does_not_make_the_writer_hurry() {
        let folder = tempfile::tempdir().unwrap();
        let (log, queued) = unwritten(&folder);
        let node = log.0.store.enrol(None, Role::Gateway).unwrap();
        let look = &mut |session: &mut dyn Session| {
            session.head(&node).unwrap();
        };
        log.0.store.write(look).unwrap();
        assert_eq!(log.context("c1").await, Ok(None));
        assert!(queued.try_recv().is_err(), "nothing was asked of it");
    }

    #[tokio::test(start_paused = true)]
    async fn a_lookup_waits_for_others_only_so_long() {
        let folder = tempfile::tempdir().unwrap();
        let store = AuditStore::Sqlite(folder.path().join("audit.db"));
        let log = AuditLog::open(&Settings::new(store).unwrap()).unwrap();
        let others = log.0.lookups.acquire_many(LOOKUPS as u32).await.unwrap();
        assert_eq!(log.context("c1").await, Err(AuditError::Busy));
        drop(others);
        tokio::time::resume();
        assert_eq!(log.context("c1").await, Ok(None));
    }
}
