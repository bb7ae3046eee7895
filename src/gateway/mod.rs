//! The pipeline of a request: policies, router, policies again, audit.
//!
//! Three surfaces, one pipeline: a rule that holds on one way in holds on all. [`Gateway`] knows no HTTP; surfaces
//! translate to and from [`Request`] and [`Reply`]. It guarantees that nothing passes without a durable record, that a
//! request sees one generation of policies from its first to its last step, and that a client that goes away cancels
//! the upstream call but never the record.

mod archive;
mod llm_call;
pub(crate) mod meter;
mod pipeline;
mod pre_check;
mod record;
pub mod replay;
mod reported;
mod request;
mod sharing;
pub mod static_policies;
mod streaming;
mod text;
mod to_its_end;
mod tool_call;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Mutex, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::audit::record::{Lifecycle, LifecycleEvent, LivePolicy, PolicySetChange};
use crate::audit::{AuditError, AuditLog};
use crate::policy::{Change, PolicyHost};
use crate::router::Router;
use static_policies::StaticPolicies;

pub use crate::policy::Surface;

pub(crate) use streaming::Transcript;
pub use streaming::{AnswerEvent, AnswerStream, Ended, StreamEnd, StreamFailure};

pub use llm_call::LlmCallReport;
pub use pre_check::{PreCheckReply, PreCheckRequest};
pub use request::{
    Answered, Caller, GatewayError, Outcome, PolicyInfo, REQUIRE_APPROVAL, Refusal, Reply, Request, RequestId,
};
pub use tool_call::{ToolCallReply, ToolCallReport};

/// How long a call may be reported after its pre-check.
pub const CONTEXT_LIFETIME: Duration = Duration::from_secs(5 * 60);

/// From a change of the policies that could not be recorded to the next attempt.
const CHANGE_AGAIN: Duration = Duration::from_secs(1);

/// For changes of the policies that are still to be recorded when requests have taken all the time there was.
const LAST_CHANGES: Duration = Duration::from_secs(1);

/// For the record of the end, and for the audit to close: as long as a store that hangs may take to be given up, and to be
/// tried again.
const LAST_RECORD: Duration = Duration::from_secs(20);

/// The gateway: policies, router and audit, joined.
pub struct Gateway {
    policies: Arc<PolicyHost>,
    router: Arc<Router>,
    audit: AuditLog,
    static_policies: Arc<StaticPolicies>,
    /// Held while the traffic is shared anew.
    sharing: Mutex<()>,
    tasks: TaskTracker,
    /// Records changes of the policies for as long as there may be any: tasks make them, too.
    recording: TaskTracker,
    /// The time that requests in flight have is over.
    out_of_time: CancellationToken,
    /// What is still to be recorded is; nothing more comes.
    stopping: CancellationToken,
    run: Run,
}

/// One run of the process, for its records.
#[derive(Clone, Debug)]
struct Run {
    id: String,
    config_digest: String,
    models: Models,
}

/// Who answers in this run, which its records say for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Models {
    /// The configured providers.
    Real,
    /// An offline double in their place.
    Double,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Gateway").field("run", &self.run).finish_non_exhaustive()
    }
}

impl Gateway {
    /// Joins the parts and records the start. `changes` are those of the policy host, each of which is recorded.
    pub async fn start(
        policies: Arc<PolicyHost>,
        changes: mpsc::Receiver<Change>,
        router: Arc<Router>,
        audit: AuditLog,
        config_digest: String,
        models: Models,
    ) -> Result<Arc<Self>, AuditError> {
        let run = Run { id: uuid::Uuid::now_v7().to_string(), config_digest, models };
        let tasks = TaskTracker::new();
        let static_policies = StaticPolicies::new(policies.clone(), audit.clone(), tasks.clone());
        let (recording, stopping) = (TaskTracker::new(), CancellationToken::new());
        let (sharing, out_of_time) = (Mutex::default(), CancellationToken::new());
        let gateway = Arc::new(Self {
            policies,
            router,
            audit,
            static_policies,
            sharing,
            tasks,
            recording,
            out_of_time,
            stopping,
            run,
        });
        gateway.audit.append(gateway.lifecycle(LifecycleEvent::Start))?.await?;
        gateway.recording.spawn(record_changes(gateway.audit.clone(), changes, gateway.stopping.clone()));
        Ok(gateway)
    }

    /// The policies.
    pub fn policies(&self) -> &Arc<PolicyHost> {
        &self.policies
    }

    /// The static policies.
    pub fn static_policies(&self) -> &Arc<StaticPolicies> {
        &self.static_policies
    }

    /// The providers.
    pub fn router(&self) -> &Arc<Router> {
        &self.router
    }

    /// The records.
    pub fn audit(&self) -> &AuditLog {
        &self.audit
    }

    /// When cancelled, answers that stream end: they are told why, and recorded.
    pub fn out_of_time(&self) -> &CancellationToken {
        &self.out_of_time
    }

    /// Waits until requests in flight are recorded, and then until changes of the policies are, at most `patience` and a
    /// second more, and closes the audit, for which there are [`LAST_RECORD`] more. New requests are refused.
    pub async fn shutdown(&self, patience: Duration) -> Result<(), AuditError> {
        self.tasks.close();
        self.recording.close();
        self.audit.prefer_journal();
        let until = Instant::now() + patience;
        if tokio::time::timeout_at(until, self.tasks.wait()).await.is_err() {
            tracing::warn!(requests = self.tasks.len(), "requests were still in flight when the time to stop was over");
        }
        // Outcomes are queued when their requests end; the rest finds room once they are written.
        let _ = tokio::time::timeout_at(until, self.audit.settle()).await;
        self.stopping.cancel();
        let until = until.max(Instant::now() + LAST_CHANGES);
        if tokio::time::timeout_at(until, self.recording.wait()).await.is_err() {
            tracing::warn!("changes of the policies were still to be recorded when the time to stop was over");
        }
        let until = Instant::now() + LAST_RECORD;
        let late = |what: &str| {
            self.audit.abandon();
            AuditError::Unreachable(format!("no answer within {LAST_RECORD:?}; {what}"))
        };
        // It is the last one: what was queued before it has been written or refused when it is.
        let recorded = tokio::time::timeout_at(until, self.record_end()).await;
        recorded.map_err(|_| late("what was still to be written is lost"))?;
        let closed = tokio::time::timeout_at(until, self.audit.shutdown()).await;
        closed.unwrap_or_else(|_| Err(late("nothing waited to be written any more; the next start does the rest")))
    }

    async fn record_end(&self) {
        let recorded = match self.audit.append(self.lifecycle(LifecycleEvent::Stop)) {
            Ok(receipt) => receipt.await.map(|_| ()),
            // Where the queue is full, what it holds is waited for all the same.
            Err(error) => {
                self.audit.settle().await;
                Err(error)
            }
        };
        if let Err(error) = recorded {
            tracing::error!(%error, "the end of the gateway could not be recorded");
        }
    }

    fn lifecycle(&self, event: LifecycleEvent) -> Lifecycle {
        Lifecycle {
            run_id: self.run.id.clone(),
            at: Timestamp::now(),
            event,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            config_digest: self.run.config_digest.clone(),
            most_unsigned: Some(self.audit.most_unsigned()),
            public_key: Some(self.audit.public_key().to_string()),
            offline: self.run.models == Models::Double,
        }
    }
}

async fn record_changes(audit: AuditLog, mut changes: mpsc::Receiver<Change>, stopping: CancellationToken) {
    let mut archivist = archive::Archivist::new(audit.clone());
    // What waits comes before the end.
    while let Some(change) = tokio::select! {
        biased;
        change = changes.recv() => change,
        () = stopping.cancelled() => None,
    } {
        let from = change.from.0;
        let record = PolicySetChange {
            at: Timestamp::now(),
            from_generation: (from > 0).then_some(from),
            to_generation: change.set.generation().0,
            policies: change
                .set
                .live()
                .map(|policy| LivePolicy {
                    name: policy.manifest.name.to_string(),
                    version: policy.version.id.to_string(),
                    settings_hash: policy.settings_hash.to_string(),
                    mode: record::mode(policy.manifest.mode),
                })
                .collect(),
            reason: if from > 0 { "files changed" } else { "start" }.to_owned(),
        };
        record_change(&audit, record, &stopping).await;
        archivist.keep(change.originals).await;
    }
}

/// Tries until the record is there, or the gateway goes down: the set is in force, whatever becomes of its record.
async fn record_change(audit: &AuditLog, record: PolicySetChange, stopping: &CancellationToken) {
    loop {
        let written = match audit.append(record.clone()) {
            Ok(receipt) => receipt.await.map(|_| ()),
            Err(error) => Err(error),
        };
        let Err(error) = written else { return };
        let generation = record.to_generation;
        tracing::error!(generation, %error, "a change of the policies could not be recorded; trying again");
        if stopping.run_until_cancelled(tokio::time::sleep(CHANGE_AGAIN)).await.is_none() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use futures_util::FutureExt as _;

    use super::*;
    use crate::audit::{AuditReader, AuditStore, Seq, Settings};
    use crate::policy;

    /// Without policies and providers.
    async fn started(folder: &Path) -> (Arc<Gateway>, AuditStore) {
        let store = AuditStore::Sqlite(folder.join("audit.db"));
        let settings = policy::Settings {
            directory: folder.to_owned(),
            required: Vec::new(),
            providers: Vec::new(),
            cache: None,
            cache_size: 0,
            worker: None,
            max_concurrent: 1,
            max_streams: 1,
            tenants: crate::config::Tenants::Claimed,
            load_timeout: Duration::from_secs(1),
            quiet: Duration::from_millis(200),
        };
        let (policies, changes) = PolicyHost::start(settings).unwrap();
        let router = Router::new(Vec::new(), crate::router::Routing::default()).unwrap();
        let audit = AuditLog::open(&Settings::new(store.clone()).unwrap()).unwrap();
        (Gateway::start(policies, changes, Arc::new(router), audit, String::new(), Models::Real).await.unwrap(), store)
    }

    #[tokio::test]
    async fn an_end_that_the_store_does_not_take_is_one_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let (gateway, _) = started(folder.path()).await;
        let other = rusqlite::Connection::open(folder.path().join("audit.db")).unwrap();
        other.busy_timeout(Duration::from_secs(60)).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let _ = gateway.shutdown(Duration::ZERO).await;
        assert!(gateway.audit.ended().now_or_never().is_some(), "nobody writes any more");
    }

    #[tokio::test]
    async fn an_end_is_not_put_off_by_a_store_that_does_not_answer() {
        let folder = tempfile::tempdir().unwrap();
        let (gateway, _) = started(folder.path()).await;
        let other = rusqlite::Connection::open(folder.path().join("audit.db")).unwrap();
        other.busy_timeout(Duration::from_secs(60)).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        // The store takes a second to say that it is locked, and here any time is over at once.
        tokio::time::pause();
        let closed = gateway.shutdown(Duration::ZERO).await;
        let error = closed.unwrap_err();
        assert!(error.code() == "audit_unreachable" && error.to_string().contains("is lost"), "{error}");
    }

    #[tokio::test]
    async fn a_change_that_a_task_makes_while_the_gateway_ends_is_on_record() {
        let folder = tempfile::tempdir().unwrap();
        let (gateway, store) = started(folder.path()).await;
        let changing = gateway.clone();
        gateway.tasks.spawn(async move {
            while !changing.tasks.is_closed() {
                tokio::task::yield_now().await;
            }
            changing.policies.reload().await.unwrap();
        });
        gateway.shutdown(Duration::from_secs(60)).await.unwrap();
        let reader = AuditReader::open(&store).unwrap();
        let chains = reader.chains().unwrap();
        let records = reader.records_after(&chains[0], Seq(0), 10).unwrap();
        let kinds: Vec<_> = records.iter().map(|it| it.kind.as_str()).collect();
        assert_eq!(kinds, ["lifecycle", "policy_set_change", "lifecycle"]);
    }
}
