//! What becomes of one manifest that was found.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;

use super::PolicyHost;
use super::known::Known;
use super::told::report;
use crate::policy::digest::Digest;
use crate::policy::load::worker::{Version, version_id};
use crate::policy::load::{LoadCode, LoadError, Module, Step};
use crate::policy::manifest::{Manifest, Mode, Name};
use crate::policy::meter;
use crate::policy::original::Original;
use crate::policy::scan::Found;
use crate::policy::set::{BrokenPolicy, LivePolicy};
use crate::policy::status::{self, PolicyStatus};

impl PolicyHost {
    pub(super) async fn take(&self, known: &mut Known, round: &mut Round, found: Found, cold: bool) {
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
                if let Some((policy, before)) = last_good {
                    let since = known.since.get(&before).copied();
                    round.statuses.push(PolicyStatus::live(path, &policy, Some(error), since));
                    round.live.insert(before, policy);
                    return;
                }
                let status = PolicyStatus::failed(path, manifest, error.clone());
                // A name that is taken is no reason to let pass what it would stop, unless it came to a running gateway.
                let refused_before = self.set.load().broken().any(|it| status.path.starts_with(&it.path));
                let manifest = status.manifest.clone().filter(|it| it.mode != Mode::Off);
                if (cold || refused_before) && manifest.is_some() {
                    let (path, name) = (status.path.clone(), status::stem(&status.path));
                    round.broken.push(Arc::new(BrokenPolicy { path, name, manifest, error }));
                }
                round.statuses.push(status);
                return;
            }
            round.seen.insert(name.clone(), path.clone());
            known.call(&path, name);
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
                        let original =
                            |read: Module| Original { version: version.id, manifest: text, module: read.bytes };
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
                    known.call(&path, before);
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
        module: Module,
        fingerprint: Digest,
    ) -> Result<Version, LoadError> {
        let id = version_id(manifest, &module.digest);
        if let Some(live) = known.live.get(&manifest.name).filter(|live| live.is_ready_as(&id, manifest)) {
            return Ok(live.version.clone());
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
pub(super) struct Round {
    pub(super) live: BTreeMap<Name, Arc<LivePolicy>>,
    pub(super) broken: Vec<Arc<BrokenPolicy>>,
    pub(super) off: HashSet<Name>,
    /// Of the versions that were not in force before.
    pub(super) originals: Vec<Original>,
    pub(super) seen: HashMap<Name, PathBuf>,
    /// Subfolders that cannot be read, and manifests beyond those that are.
    pub(super) closed: Vec<PathBuf>,
    pub(super) statuses: Vec<PolicyStatus>,
}

impl Round {
    pub(super) fn is_closed(&self, path: &Path) -> bool {
        self.closed.iter().any(|folder| path.starts_with(folder))
    }
}
