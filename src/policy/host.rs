//! The set in force and how it changes: scan, load what is new, keep what was good, swap.

mod ahead;
mod candidate;
mod claims;
mod intake;
mod known;
mod take;
mod together;
mod told;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::{Mutex, mpsc};

use self::intake::Intake;
use self::known::Known;
use self::take::Round;
use self::together::Arrivals;
use super::Context;
use super::component::{Evaluated, Failed, Question};
use super::counters::{CounterStore, InProcess};
use super::engine::{Allocation, Engine, EngineError};
use super::load::cache::Cache;
use super::load::worker::Worker;
use super::manifest::{Manifest, Mode, Name, Phase};
use super::original::Original;
use super::readings::{Source, Stated};
use super::run::{Decision, Overloaded, Runner, TooFewPlaces};
use super::set::{Generation, LivePolicy, Member, PolicySet};
use super::status::PolicyStatus;
use super::stream::{Inspection, NoPlaces};
use crate::chat::Message;
use crate::config::Tenants;
pub use candidate::{Candidate, CandidateError};

/// What the host needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder of manifests and modules.
    pub directory: PathBuf,
    /// Policies without which requests are refused.
    pub required: Vec<Name>,
    /// The configured providers, for telling of a `match` that fits none of them.
    pub providers: Vec<String>,
    /// Where compiled code is kept; `None`: nowhere.
    pub cache: Option<PathBuf>,
    /// Bytes that the compiled code of versions that are not in force may take there.
    pub cache_size: u64,
    /// The executable that is started as the loader; `None`: the running one.
    pub worker: Option<PathBuf>,
    /// Evaluations at once.
    pub max_concurrent: u32,
    /// Instances that streamed answers keep, beside those: one for each stream and policy that it is shown to.
    pub max_streams: u32,
    /// Who the tenants are that share these.
    pub tenants: Tenants,
    /// How long one load may take.
    pub load_timeout: Duration,
    /// How long the folder stands still before a change of it is taken while a policy loads.
    pub quiet: Duration,
}

/// The host could not be started.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// wasmtime said no.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The threads of the slow lane could not be started, or the running executable is not known.
    #[error("the policy host could not be started: {0}")]
    Io(#[from] std::io::Error),
}

/// The policies, from a folder to a decision.
#[derive(Debug)]
pub struct PolicyHost {
    settings: Settings,
    runner: Runner,
    counters: Arc<dyn CounterStore>,
    worker: Worker,
    set: ArcSwap<PolicySet>,
    statuses: ArcSwap<Vec<PolicyStatus>>,
    warnings: ArcSwap<Vec<String>>,
    mismatches: ArcSwap<Vec<String>>,
    /// Why compiled code is not kept.
    cache_problem: Option<String>,
    /// Held for a whole reload.
    known: Mutex<Known>,
    /// Held while the loader runs, for a reload or for a trial: one at a time.
    loader: Mutex<()>,
    changes: mpsc::Sender<Change>,
}

/// A change of the set, for whoever records it.
#[derive(Clone, Debug)]
pub struct Change {
    /// The set before.
    pub from: Generation,
    /// The set now in force.
    pub set: Arc<PolicySet>,
    /// The versions in it that were not in force before, as they were read.
    pub originals: Vec<Original>,
}

/// A change of the set, or the finding that there is none.
#[derive(Clone, Debug)]
pub struct Reload {
    /// The set before.
    pub from: Generation,
    /// The set now in force.
    pub set: Arc<PolicySet>,
    /// Whether it is another one; it may also have come into force while others were loaded.
    pub changed: bool,
    /// When another reload is due, even if nothing changes until then: a file vanished or did not stand still, or a
    /// loader that failed is to be tried again.
    pub again: Option<Instant>,
    /// The directories to be watched; the policies directory first.
    pub directories: Vec<PathBuf>,
}

impl PolicyHost {
    /// Starts the engine, with no policy yet. Changes of the set are sent to the receiver, which must be read or dropped:
    /// a set that cannot be told of is not put into force.
    pub fn start(settings: Settings) -> Result<(Arc<Self>, mpsc::Receiver<Change>), HostError> {
        let engine = Engine::start(Allocation::Pooled(settings.max_concurrent.saturating_add(settings.max_streams)))?;
        let (cache, cache_problem) = match settings.cache.as_deref().map(Cache::open).transpose() {
            Ok(cache) => (cache, None),
            Err(error) => {
                tracing::warn!(%error, "compiled policies are not kept; every start compiles them again");
                (None, Some(error.to_string()))
            }
        };
        let executable = match &settings.worker {
            Some(path) => path.clone(),
            None => std::env::current_exe()?,
        };
        let worker = Worker::new(engine.clone(), cache, executable, settings.load_timeout);
        let (changes, received) = mpsc::channel(16);
        let counters: Arc<dyn CounterStore> = Arc::new(InProcess::default());
        let host = Self {
            runner: Runner::new(
                engine,
                settings.max_concurrent as usize,
                settings.max_streams as usize,
                settings.tenants,
                counters.clone(),
            )?,
            counters,
            worker,
            set: ArcSwap::from_pointee(PolicySet::new(Generation(0), Vec::new(), &settings.required)),
            statuses: ArcSwap::default(),
            warnings: ArcSwap::default(),
            mismatches: ArcSwap::default(),
            cache_problem,
            known: Mutex::default(),
            loader: Mutex::default(),
            changes,
            settings,
        };
        Ok((Arc::new(host), received))
    }

    /// The set in force. A request takes it once and keeps it.
    pub fn set(&self) -> Arc<PolicySet> {
        self.set.load_full()
    }

    /// How every policy fares.
    pub fn statuses(&self) -> Arc<Vec<PolicyStatus>> {
        self.statuses.load_full()
    }

    /// Asks every policy of `set` that answers the question and covers the request.
    pub async fn decide(
        &self,
        set: &PolicySet,
        question: Question,
        context: &Arc<Context>,
        messages: &mut Arc<Vec<Message>>,
        request_id: &str,
    ) -> Result<Decision, Overloaded> {
        self.runner.decide(set, question, context, messages, request_id).await
    }

    /// Takes the places that the response policies of `set` need to judge one streamed answer.
    pub fn inspect(&self, set: &PolicySet, context: &Arc<Context>, request_id: &str) -> Result<Inspection, NoPlaces> {
        self.runner.inspect(set, context, request_id)
    }

    /// Who else may write the directory, as the last reload found it. In words, without paths of the machine.
    pub fn warnings(&self) -> Arc<Vec<String>> {
        self.warnings.load_full()
    }

    /// What stands in a manifest's `match` and fits nothing, as the last reload found it.
    pub fn mismatches(&self) -> Arc<Vec<String>> {
        self.mismatches.load_full()
    }

    /// Whether streams may meet more policies of the set in force than they can have places for.
    pub fn too_few_places(&self) -> Option<TooFewPlaces> {
        self.places_lacking(&self.set.load())
    }

    fn places_lacking(&self, set: &PolicySet) -> Option<TooFewPlaces> {
        let counts = |it: &Manifest| it.mode == Mode::Enforce && it.rollout.percent() > 0;
        let judges = |it: &&Arc<LivePolicy>| counts(&it.manifest) && it.answers(Phase::Response);
        self.runner.too_few_places(set.live().filter(judges).count())
    }

    /// All of them, for answers.
    pub fn all_warnings(&self) -> Vec<String> {
        let places = self.too_few_places().map(|it| it.to_string());
        self.warnings.load().iter().chain(self.mismatches.load().iter()).cloned().chain(places).collect()
    }

    /// Why compiled code is not kept, if there is a reason.
    pub fn cache_problem(&self) -> Option<&str> {
        self.cache_problem.as_deref()
    }

    /// Tries one policy on a request. Whether its `match` covers the request makes no difference, host interfaces answer
    /// what is stated, and nothing is kept: no record, no count, no line in the log.
    pub async fn evaluate(
        &self,
        policy: &Arc<LivePolicy>,
        stated: Stated,
        question: Question,
        context: &Arc<Context>,
        messages: &Arc<Vec<Message>>,
    ) -> Result<Evaluated, Failed> {
        self.runner.evaluate(policy, Source::Stated(Arc::new(stated)), question, context, messages).await
    }

    /// The same on the caller's own thread, beside no request: for commands.
    pub async fn evaluate_here(
        &self,
        policy: &LivePolicy,
        stated: Stated,
        question: Question,
        context: &Context,
        messages: &[Message],
    ) -> Result<Evaluated, Failed> {
        self.runner.evaluate_here(policy, Source::Stated(Arc::new(stated)), question, context, messages).await
    }

    /// Whether requests are refused without a policy of this name.
    pub fn is_required(&self, name: &str) -> bool {
        self.settings.required.iter().any(|it| it.as_str() == name)
    }

    /// The directory that is watched.
    pub fn directory(&self) -> &Path {
        &self.settings.directory
    }

    /// Scans the directory, loads what is new, and swaps the set if it is another one. Never fails as a whole: what
    /// cannot be loaded is in [`Self::statuses`], and its last good version stays. So does what is being written, once a
    /// set is in force: whoever asks for this need not be the one who writes.
    pub async fn reload(&self) -> Result<Reload, std::io::Error> {
        let first = self.set.load().generation() == Generation(0);
        self.reload_what_stands_still(if first { Duration::ZERO } else { self.settings.quiet }).await
    }

    /// The same, and what may have had a bad moment is tried now: who asks has perhaps mended it.
    pub async fn reload_anew(&self) -> Result<Reload, std::io::Error> {
        self.known.lock().await.refused.hurry();
        self.reload().await
    }

    /// As [`Self::reload`], but a policy whose files changed less than `still_for` ago stays as it is for this time.
    pub async fn reload_what_stands_still(&self, still_for: Duration) -> Result<Reload, std::io::Error> {
        let mut known = self.known.lock().await;
        let from = self.set.load().generation();
        let intake = self.take_in(&mut known, still_for).await?;
        // The last wait. Behind it the set is known, comes into force and is told of, and whoever drops this reload on its
        // way drops all of that or nothing. The receiver writes it to the audit; when it is gone nobody asks for a record.
        let place = self.changes.reserve().await.ok();
        let names = intake.names(&known);
        let Intake { at: now, found, orphans, directories, closed, moving, loaded, modules, .. } = intake;
        known.tell_orphans(orphans);
        known.arrivals = Arrivals::taken(&found);
        let cold = !known.warm;
        let mut round = Round { names, closed, loaded, modules, ..Round::default() };
        for found in found {
            self.take(&mut known, &mut round, found, cold);
        }
        known.call(&round.names);
        let gone = known.forget_absent(&mut round, &self.set.load(), now);
        let again = moving.then(Instant::now).into_iter().chain(gone).chain(known.refused.due()).min();
        known.live = round.live.clone();
        known.warm = true;
        let members =
            round.live.into_values().map(Member::Live).chain(round.broken.into_iter().map(Member::Broken)).collect();
        let set = self.publish(members, round.originals, place, cold);
        self.tell(round.statuses, &set);
        let needed = set.live().map(|policy| (policy.manifest.as_ref(), &policy.version));
        self.worker.tidy(self.settings.cache_size, needed).await;
        let changed = set.generation() != from;
        Ok(Reload { from, set, changed, again, directories })
    }

    /// Puts these into force, if they make another set, and tells of it in the place that was kept for that.
    fn publish(
        &self,
        members: Vec<Member>,
        originals: Vec<Original>,
        place: Option<mpsc::Permit<'_, Change>>,
        cold: bool,
    ) -> Arc<PolicySet> {
        let before = self.set.load_full();
        let from = before.generation();
        let next = PolicySet::new(Generation(from.0 + 1), members, &self.settings.required);
        if !cold && before.same_as(&next) {
            return before;
        }
        let next = Arc::new(next);
        self.set.store(next.clone());
        let names: Vec<_> = next.live().map(|policy| policy.manifest.name.as_str()).collect();
        self.counters.keep_only(&|policy| names.contains(&policy));
        tracing::info!(generation = next.generation().0, policies = names.join(", "), "policies in force");
        for name in next.missing() {
            tracing::error!(
                policy = %name,
                "a required policy is not live in `enforce`: the requests that it would see are denied"
            );
        }
        let keeps_text =
            |policy: &Arc<LivePolicy>| policy.manifest.mode == Mode::Enforce && policy.answers(Phase::Audit);
        if !next.live().any(keeps_text) {
            tracing::warn!("no audit policy is in force: records are kept without their texts");
        }
        if let Some(too_few) = self.places_lacking(&next) {
            tracing::warn!("{too_few}");
        }
        if let Some(place) = place {
            place.send(Change { from, set: next.clone(), originals });
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn host(folder: &Path) -> (Arc<PolicyHost>, mpsc::Receiver<Change>) {
        let (directory, cache) = (folder.join("policies"), folder.join("cache"));
        for made in [&directory, &cache] {
            std::fs::create_dir(made).unwrap();
            std::fs::set_permissions(made, std::fs::Permissions::from_mode(0o700)).unwrap();
        }
        let settings = Settings {
            directory,
            required: Vec::new(),
            providers: Vec::new(),
            cache: Some(cache),
            cache_size: 0,
            worker: None,
            max_concurrent: 1,
            max_streams: 1,
            tenants: Tenants::Claimed,
            load_timeout: Duration::from_secs(1),
            quiet: Duration::from_millis(200),
        };
        PolicyHost::start(settings).unwrap()
    }

    /// As when the gateway is told to end while policies are loaded.
    #[tokio::test]
    async fn a_set_that_came_into_force_is_told_of_though_its_reload_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let (host, mut changes) = host(folder.path());
        let mut reload = Box::pin(host.reload());
        while host.set().generation() == Generation(0) {
            assert!(changes.try_recv().is_err(), "told before it is in force");
            if futures_util::poll!(&mut reload).is_pending() {
                tokio::task::yield_now().await;
            }
        }
        drop(reload);
        assert_eq!(changes.try_recv().unwrap().set.generation(), host.set().generation());
    }

    /// As when the audit keeps the receiver waiting: nothing is known of a set that did not come into force.
    #[tokio::test(start_paused = true)]
    async fn a_reload_that_is_dropped_before_its_set_is_in_force_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (host, mut changes) = host(folder.path());
        let places = host.changes.reserve_many(host.changes.max_capacity()).await.unwrap();
        assert!(tokio::time::timeout(Duration::from_secs(1), host.reload()).await.is_err(), "there is no place");
        drop(places);
        assert!(host.reload().await.unwrap().changed);
        assert_eq!(changes.try_recv().unwrap().set.generation(), host.set().generation());
    }

    #[tokio::test]
    async fn without_anybody_to_tell_sets_come_into_force_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let (host, changes) = host(folder.path());
        drop(changes);
        assert!(host.reload().await.unwrap().changed);
    }
}
