//! The set in force and how it changes: scan, load what is new, keep what was good, swap.

mod candidate;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use tokio::sync::{Mutex, mpsc};

use super::component::{Evaluated, Failed, Question};
use super::counters::{CounterStore, InProcess};
use super::digest::Digest;
use super::engine::{Allocation, Engine, EngineError};
use super::load::cache::Cache;
use super::load::worker::{Version, Worker, version_id};
use super::load::{LoadCode, LoadError, Step};
use super::manifest::{Manifest, Mode, Name, Phase};
use super::original::Original;
use super::readings::{Source, Stated};
use super::refused::Refused;
use super::run::{Decision, Overloaded, Runner};
use super::scan::{self, Found, Scan};
use super::set::{BrokenPolicy, Generation, LivePolicy, Member, PolicySet};
use super::status::{self, PolicyStatus};
use super::stream::Inspection;
use super::{Context, meter, writers};
use crate::chat::Message;
pub use candidate::{Candidate, CandidateError};

/// What the host needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder of manifests and modules.
    pub directory: PathBuf,
    /// Policies without which requests are refused.
    pub required: Vec<Name>,
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
    /// How long one load may take.
    pub load_timeout: Duration,
}

/// A file that vanished goes when a scan so much later agrees.
const GONE_AFTER: Duration = Duration::from_millis(100);

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
    /// Why compiled code is not kept.
    cache_problem: Option<String>,
    /// Held for a whole reload: loads are serial.
    known: Mutex<Known>,
    changes: mpsc::Sender<Change>,
}

/// What the last reload found.
#[derive(Debug, Default)]
struct Known {
    live: BTreeMap<Name, Arc<LivePolicy>>,
    /// When each went live.
    since: HashMap<Name, Timestamp>,
    /// Names whose manifests are gone, since when that was seen.
    absent: HashMap<Name, Instant>,
    /// The same for those that were never in force, by path.
    absent_broken: HashMap<PathBuf, Instant>,
    /// The names that paths had when they could be read.
    names: HashMap<PathBuf, Name>,
    refused: Refused,
    /// Modules without a manifest, that were told of.
    orphans: Vec<PathBuf>,
    /// Whether a set was ever published.
    warm: bool,
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
    /// Whether it is another one.
    pub changed: bool,
    /// When another reload is due, even if nothing changes until then: a file vanished or did not stand still, or a
    /// loader that failed is to be tried again.
    pub again: Option<Instant>,
    /// The directories to be watched; the policies directory first.
    pub directories: Vec<PathBuf>,
}

impl PolicyHost {
    /// Starts the engine, with no policy yet. Changes of the set are sent to the receiver, which must be read.
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
                counters.clone(),
            )?,
            counters,
            worker,
            set: ArcSwap::from_pointee(PolicySet::new(Generation(0), Vec::new(), &settings.required)),
            statuses: ArcSwap::default(),
            warnings: ArcSwap::default(),
            cache_problem,
            known: Mutex::default(),
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
    pub fn inspect(&self, set: &PolicySet, context: &Arc<Context>, request_id: &str) -> Result<Inspection, Overloaded> {
        self.runner.inspect(set, context, request_id)
    }

    /// Who else may write the directory, as the last reload found it. In words, without paths of the machine.
    pub fn warnings(&self) -> Arc<Vec<String>> {
        self.warnings.load_full()
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

    /// The directory that is watched.
    pub fn directory(&self) -> &Path {
        &self.settings.directory
    }

    /// Scans the directory, loads what is new, and swaps the set if it is another one. Never fails as a whole: what
    /// cannot be loaded is in [`Self::statuses`], and its last good version stays.
    pub async fn reload(&self) -> Result<Reload, std::io::Error> {
        self.reload_what_stands_still(Duration::ZERO).await
    }

    /// The same, but a policy whose files changed less than `still_for` ago stays as it is for this time.
    pub async fn reload_what_stands_still(&self, still_for: Duration) -> Result<Reload, std::io::Error> {
        let mut known = self.known.lock().await;
        let directory = self.settings.directory.clone();
        let scanning = tokio::task::spawn_blocking(move || {
            let scan = scan::scan(&directory, still_for)?;
            let warnings = writers::warnings(&directory, &scan);
            std::io::Result::Ok((scan, warnings))
        });
        let scanned = scanning.await.map_err(std::io::Error::other).and_then(|scanned| scanned);
        let (scan, warnings) = scanned.inspect_err(|error| self.note_unreadable(error))?;
        self.warn(warnings);
        let Scan { found, orphans, directories, closed, moving, .. } = scan;
        tracing::debug!(manifests = found.len(), moving, "policies directory read");
        for orphan in orphans.iter().filter(|it| !known.orphans.contains(it)) {
            tracing::info!(module = %orphan.display(), "no manifest names this module; it is not loaded");
        }
        known.orphans = orphans;
        let cold = !known.warm;
        let mut round = Round { closed, ..Round::default() };
        for found in found {
            self.take(&mut known, &mut round, found, cold).await;
        }
        let gone = known.forget_absent(&mut round, &self.set.load());
        let again = moving.then(Instant::now).into_iter().chain(gone).chain(known.refused.due()).min();
        known.live = round.live.clone();
        known.warm = true;
        let members =
            round.live.into_values().map(Member::Live).chain(round.broken.into_iter().map(Member::Broken)).collect();
        let (from, set, changed) = self.publish(members, cold);
        self.tell(round.statuses, &set);
        let needed = set.live().map(|policy| (policy.manifest.as_ref(), &policy.version));
        self.worker.tidy(self.settings.cache_size, needed).await;
        if changed {
            // The receiver writes it to the audit; when it is gone the gateway is going down.
            let _ = self.changes.send(Change { from, set: set.clone(), originals: round.originals }).await;
        }
        Ok(Reload { from, set, changed, again, directories })
    }

    /// The directory is at fault until a scan succeeds; its policies stay.
    fn note_unreadable(&self, error: &std::io::Error) {
        let directory = &self.settings.directory;
        let error = scan::unreadable(directory, Step::Manifest, error);
        if self.is_news(directory, &error) {
            tracing::error!(
                directory = %directory.display(),
                error = error.message,
                "the policies directory cannot be read; the policies in force stay"
            );
        }
        let mut statuses: Vec<_> = self.statuses.load().iter().filter(|it| it.path != *directory).cloned().collect();
        statuses.push(PolicyStatus::failed(directory.clone(), None, error));
        self.tell(statuses, &self.set.load());
    }

    /// Says how every policy fares.
    fn tell(&self, mut statuses: Vec<PolicyStatus>, set: &PolicySet) {
        let failed: HashSet<_> = statuses.iter().filter(|it| it.error.is_some()).map(|it| it.name.as_str()).collect();
        let degraded = failed.len() + set.missing().filter(|name| !failed.contains(name.as_str())).count();
        meter::in_force(set.generation().0, set.live().count(), degraded);
        status::complete(&mut statuses, &self.statuses.load(), &self.settings.directory);
        self.statuses.store(Arc::new(statuses));
    }

    /// Says who else may write the directory, once.
    fn warn(&self, warnings: Vec<String>) {
        if **self.warnings.load() == warnings {
            return;
        }
        for warning in &warnings {
            tracing::warn!("others may change what policies decide: {warning}");
        }
        self.warnings.store(Arc::new(warnings));
    }

    fn publish(&self, members: Vec<Member>, cold: bool) -> (Generation, Arc<PolicySet>, bool) {
        let before = self.set.load_full();
        let from = before.generation();
        let next = PolicySet::new(Generation(from.0 + 1), members, &self.settings.required);
        if !cold && before.same_as(&next) {
            return (from, before, false);
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
        let keeps_text = |policy: &Arc<LivePolicy>| {
            policy.manifest.mode == Mode::Enforce && policy.version.ready.answers(Phase::Audit)
        };
        if !next.live().any(keeps_text) {
            tracing::warn!("no audit policy is in force: records are kept without their texts");
        }
        (from, next, true)
    }

    async fn take(&self, known: &mut Known, round: &mut Round, found: Found, cold: bool) {
        let Found { path, manifest, text, module, fingerprint, .. } = found;
        let read = module.as_ref().ok().cloned().flatten();
        let called_before = known.names.get(&path).cloned();
        let name = match &manifest {
            Some(manifest) => Some(manifest.name.clone()),
            // Unless another manifest has taken the name over.
            None => known.names.get(&path).filter(|name| !round.seen.contains_key(*name)).cloned(),
        };
        if let (Some(name), Some(_)) = (&name, &manifest) {
            if let Some(first) = round.seen.get(name) {
                let message = format!("{} has this name already; names are unique", first.display());
                let error = LoadError::new(Step::Manifest, LoadCode::DuplicateName, message);
                // A policy that was given a name which is taken stays in force under its own.
                let stays = called_before.filter(|before| !round.seen.contains_key(before));
                let last_good = stays.and_then(|before| Some((known.live.get(&before)?.clone(), before)));
                if self.is_news(&path, &error) {
                    let policy = last_good.as_ref().map(|(policy, _)| policy.as_ref());
                    report(&path.display().to_string(), &error, policy);
                }
                round.statuses.push(match last_good {
                    Some((policy, before)) => {
                        let status = PolicyStatus::live(path, &policy, Some(error), known.since.get(&before).copied());
                        round.live.insert(before, policy);
                        status
                    }
                    None => PolicyStatus::failed(path, manifest, error),
                });
                return;
            }
            round.seen.insert(name.clone(), path.clone());
            known.names.insert(path.clone(), name.clone());
        }
        let loaded = match (module, manifest.as_ref()) {
            (Err(error), _) => {
                let error = known.noted(&path, fingerprint, error);
                if self.is_news(&path, &error) {
                    meter::loaded(name.as_ref().map_or("unknown", Name::as_str), Err(&error));
                }
                Err(error)
            }
            (Ok(Some(module)), Some(manifest)) => self.load_found(known, &path, manifest, module, fingerprint).await,
            (Ok(_), _) => {
                if let Some(name) = &name {
                    round.off.insert(name.clone());
                }
                round.statuses.push(PolicyStatus::off(path, manifest));
                return;
            }
        };
        match (loaded, manifest, name) {
            (Ok(version), Some(manifest), Some(name)) => {
                let failed_before = |it: &PolicyStatus| it.path == path && it.error.is_some();
                if self.statuses.load().iter().any(failed_before) {
                    tracing::info!(policy = %name, "policy is in order again");
                }
                let same = known.live.get(&name).filter(|it| it.version.id == version.id);
                let policy = match same.map(|it| it.tally.clone()) {
                    Some(tally) => LivePolicy::counted_on(manifest, version, tally),
                    None => {
                        known.since.insert(name.clone(), Timestamp::now());
                        let original = |module| Original { version: version.id, manifest: text, module };
                        round.originals.extend(read.map(original));
                        LivePolicy::new(manifest, version)
                    }
                };
                let since = known.since.get(&name).copied();
                round.statuses.push(PolicyStatus::live(path, &policy, None, since));
                round.live.insert(name, policy);
            }
            (Err(error), manifest, name) => {
                // A name that was changed together with a mistake is not yet taken on: the policy stays under its own.
                let stays = called_before.filter(|before| {
                    known.live.contains_key(before)
                        && !round.seen.contains_key(before)
                        && name.as_ref().is_none_or(|name| !known.live.contains_key(name))
                });
                if let Some(before) = &stays {
                    known.names.insert(path.clone(), before.clone());
                }
                let name = stays.or(name);
                let last_good = name.as_ref().and_then(|name| known.live.get(name).cloned());
                if self.is_news(&path, &error) {
                    report(name.as_ref().map_or("unknown", Name::as_str), &error, last_good.as_deref());
                }
                match (last_good, name) {
                    (Some(policy), Some(name)) => {
                        let since = known.since.get(&name).copied();
                        round.statuses.push(PolicyStatus::live(path, &policy, Some(error), since));
                        round.live.insert(name, policy);
                    }
                    _ => {
                        let status = PolicyStatus::failed(path, manifest, error.clone());
                        // While the gateway runs, a newcomer that fails changes nothing; at the start nobody knows
                        // what it would have stopped.
                        let before = self.broken_before(&status);
                        if cold || before.is_some() {
                            let (path, name) = (status.path.clone(), status.name.clone());
                            // A manifest that is being written says nothing; the last word counts.
                            let last = before.and_then(|before| before.manifest.clone());
                            let manifest = status.manifest.clone().or(last);
                            round.broken.push(Arc::new(BrokenPolicy { path, name, manifest, error }));
                        }
                        round.statuses.push(status);
                    }
                }
            }
            (Ok(_), ..) => {}
        }
    }

    /// Whether this error was not standing before: scans that find nothing new say nothing.
    fn is_news(&self, path: &Path, error: &LoadError) -> bool {
        !self.statuses.load().iter().any(|it| it.path == path && it.error.as_ref() == Some(error))
    }

    /// The one that refused, by its path or its name; else its folder, which could not be read and may have held it.
    fn broken_before(&self, status: &PolicyStatus) -> Option<Arc<BrokenPolicy>> {
        let set = self.set.load();
        let itself = set.broken().find(|it| it.path == status.path || it.name == status.name);
        itself.or_else(|| set.broken().find(|it| status.path.starts_with(&it.path))).cloned()
    }

    async fn load_found(
        &self,
        known: &mut Known,
        path: &Path,
        manifest: &Manifest,
        module: Arc<Vec<u8>>,
        fingerprint: Digest,
    ) -> Result<Version, LoadError> {
        if let Some(live) = known.live.get(&manifest.name) {
            let same_conditions =
                live.manifest.limits == manifest.limits && live.manifest.capabilities == manifest.capabilities;
            if same_conditions && live.version.id == version_id(manifest, &module) {
                return Ok(live.version.clone());
            }
        }
        if let Some(error) = known.refused.standing(path, fingerprint) {
            return Err(error.clone());
        }
        let started = Instant::now();
        let mut loaded = self.worker.load(manifest, module).await;
        meter::loaded(manifest.name.as_str(), loaded.as_ref().map(|_| ()));
        match &mut loaded {
            Ok(version) => {
                known.refused.forget(path);
                tracing::info!(
                    policy = %manifest.name,
                    version = %version.id,
                    milliseconds = started.elapsed().as_millis() as u64,
                    "policy loaded"
                );
            }
            Err(error) => known.refused.note(path, fingerprint, error, started.elapsed()),
        }
        loaded
    }
}

/// What one reload gathers.
#[derive(Default)]
struct Round {
    live: BTreeMap<Name, Arc<LivePolicy>>,
    broken: Vec<Arc<BrokenPolicy>>,
    off: HashSet<Name>,
    /// Of the versions that were not in force before.
    originals: Vec<Original>,
    seen: HashMap<Name, PathBuf>,
    /// Subfolders that cannot be read, and manifests beyond those that are.
    closed: Vec<PathBuf>,
    statuses: Vec<PolicyStatus>,
}

impl Round {
    fn is_closed(&self, path: &Path) -> bool {
        self.closed.iter().any(|folder| path.starts_with(folder))
    }
}

impl Known {
    /// What could not be read, with the time of the next try where one may help.
    fn noted(&mut self, path: &Path, fingerprint: Digest, mut error: LoadError) -> LoadError {
        if !error.code.may_pass() {
            return error;
        }
        match self.refused.standing(path, fingerprint).filter(|it| it.code == error.code) {
            Some(standing) => standing.clone(),
            None => {
                self.refused.note(path, fingerprint, &mut error, Duration::ZERO);
                error
            }
        }
    }

    /// A file that vanished goes only when a later scan agrees: editors and deployments take files away for a moment.
    /// What stands in a folder that cannot be read stays. Returns when that scan is due.
    fn forget_absent(&mut self, round: &mut Round, before: &PolicySet) -> Option<Instant> {
        let now = Instant::now();
        let mut absent = HashMap::new();
        for (name, policy) in &self.live {
            if round.live.contains_key(name) || round.off.contains(name) {
                continue;
            }
            let path = self.names.iter().find_map(|(path, of)| (of == name).then(|| path.clone())).unwrap_or_default();
            if !round.is_closed(&path) {
                let seen = self.absent.get(name).copied().unwrap_or(now);
                if now.duration_since(seen) >= GONE_AFTER {
                    tracing::warn!(policy = %name, "the policy's manifest is gone; it is no longer in force");
                    self.since.remove(name);
                    continue;
                }
                absent.insert(name.clone(), seen);
            }
            round.statuses.push(PolicyStatus::live(path, policy, None, self.since.get(name).copied()));
            round.live.insert(name.clone(), policy.clone());
        }
        self.absent = absent;
        let standing: HashMap<_, _> =
            round.statuses.iter().filter_map(|status| Some((status.path.as_path(), status.error.as_ref()?))).collect();
        self.refused.keep_only(|path, error| standing.get(path) == Some(&error));
        self.keep_absent_broken(round, before, now);
        let there: HashSet<_> = round.statuses.iter().map(|status| status.path.as_path()).collect();
        self.names.retain(|path, name| there.contains(path.as_path()) || round.live.contains_key(name));
        self.absent.values().chain(self.absent_broken.values()).map(|seen| *seen + GONE_AFTER).min()
    }

    /// The same for policies that refuse because they were never in force.
    fn keep_absent_broken(&mut self, round: &mut Round, before: &PolicySet, now: Instant) {
        let mut absent = HashMap::new();
        for policy in before.broken() {
            let is_there = round.statuses.iter().any(|it| it.path == policy.path);
            let name = policy.manifest.as_ref().map(|it| &it.name);
            let elsewhere = name.is_some_and(|name| round.seen.contains_key(name));
            // A folder whose manifests can be seen now.
            let opened = round.statuses.iter().any(|it| it.path.starts_with(&policy.path));
            if is_there || elsewhere || opened {
                continue;
            }
            if !round.is_closed(&policy.path) {
                let seen = self.absent_broken.get(&policy.path).copied().unwrap_or(now);
                if now.duration_since(seen) >= GONE_AFTER {
                    tracing::warn!(
                        policy = policy.name,
                        "the manifest of a policy that was never in force is gone; nothing is refused for it any more"
                    );
                    continue;
                }
                absent.insert(policy.path.clone(), seen);
            }
            let manifest = policy.manifest.as_deref().cloned();
            round.statuses.push(PolicyStatus::failed(policy.path.clone(), manifest, policy.error.clone()));
            round.broken.push(policy.clone());
        }
        self.absent_broken = absent;
    }
}

fn report(policy: &str, error: &LoadError, last_good: Option<&LivePolicy>) {
    let message = super::verdict::one_line(&error.message, 4_096);
    let (step, code) = (error.step.as_str(), error.code.as_str());
    match last_good {
        Some(last) => {
            let version = last.version.id;
            tracing::error!(policy, step, code, %version, "policy not loaded, its last good version stays: {message}");
        }
        None => tracing::error!(policy, step, code, "policy not loaded, and no version of it is in force: {message}"),
    }
}
