//! What becomes of one manifest that was found.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;

use super::PolicyHost;
use super::intake::{Loaded, LoadedByPath};
use super::known::Known;
use super::told::report;
use crate::policy::digest::Digest;
use crate::policy::load::worker::Version;
use crate::policy::load::{LoadCode, LoadError, Module, Step};
use crate::policy::manifest::{Manifest, Mode, Name};
use crate::policy::meter;
use crate::policy::original::Original;
use crate::policy::scan::Found;
use crate::policy::set::{BrokenPolicy, LivePolicy};
use crate::policy::status::{self, PolicyStatus};

impl PolicyHost {
    /// Takes a manifest that was read, and loaded where it must be: it goes live, or is off, or is at fault.
    pub(super) fn take(&self, known: &mut Known, round: &mut Round, found: Found, cold: bool) {
        let Found { path, manifest, text, module, fingerprint, .. } = found;
        let said = manifest.as_ref().map(|it| &it.name);
        let name = said.into_iter().chain(known.names.get(&path)).find(|name| round.names.get(*name) == Some(&path));
        let name = name.cloned();
        if let Some(other) = said.and_then(|said| round.names.get(said)).filter(|at| **at != path) {
            let message = format!("{} has this name already; names are unique", other.display());
            let error = LoadError::new(Step::Manifest, LoadCode::DuplicateName, message);
            return self.name_is_taken(known, round, Fault { path, manifest, name, error }, cold);
        }
        let fault = match (module, manifest) {
            (Ok(Some(module)), Some(manifest)) => match round.loaded(&path, fingerprint) {
                Ok(version) => {
                    let module = round.modules.get(&module.digest).map(|read| read.bytes.clone());
                    let original = module.map(|module| Original { version: version.id, manifest: text, module });
                    return self.goes_live(known, round, path, manifest, version, original);
                }
                Err(error) => Fault { path, manifest: Some(manifest), name, error },
            },
            (Ok(_), manifest) => return round.is_off(path, manifest),
            (Err(error), manifest) => {
                let error = known.noted(&path, fingerprint, error);
                if self.is_news(&path, &error) {
                    meter::loaded(name.as_ref().map_or("unknown", Name::as_str), Err(&error));
                }
                Fault { path, manifest, name, error }
            }
        };
        self.failed(known, round, fault, cold);
    }

    fn goes_live(
        &self,
        known: &mut Known,
        round: &mut Round,
        path: PathBuf,
        manifest: Manifest,
        version: Version,
        original: Option<Original>,
    ) {
        let failed_before = |it: &PolicyStatus| it.path == path && it.error.is_some();
        if self.statuses.load().iter().any(failed_before) {
            tracing::info!(policy = %manifest.name, "policy is in order again");
        }
        let same = known.live.get(&manifest.name).filter(|it| it.version.id == version.id);
        let policy = match same.map(|it| it.tally.clone()) {
            Some(tally) => LivePolicy::counted_on(manifest, version, tally),
            None => {
                known.since.insert(manifest.name.clone(), Timestamp::now());
                round.originals.extend(original);
                LivePolicy::new(manifest, version)
            }
        };
        round.keeps_live(known, path, policy, None);
    }

    fn name_is_taken(&self, known: &Known, round: &mut Round, fault: Fault, cold: bool) {
        let Fault { path, manifest, name, error } = fault;
        let last_good = name.and_then(|name| known.live.get(&name).cloned());
        if self.is_news(&path, &error) {
            report(&path.display().to_string(), &error, last_good.as_deref());
        }
        if let Some(policy) = last_good {
            return round.keeps_live(known, path, policy, Some(error));
        }
        // A name that is taken is no reason to let pass what it would stop, unless it came to a running gateway.
        let refused_before = self.set.load().broken().any(|it| path.starts_with(&it.path));
        let status = PolicyStatus::failed(path, manifest, error);
        let manifest = status.manifest.clone().filter(|it| it.mode != Mode::Off);
        if (cold || refused_before) && manifest.is_some() {
            round.refuses(&status, status::stem(&status.path), manifest);
        }
        round.statuses.push(status);
    }

    fn failed(&self, known: &Known, round: &mut Round, fault: Fault, cold: bool) {
        let Fault { path, manifest, name, error } = fault;
        let last_good = name.as_ref().and_then(|name| known.live.get(name).cloned());
        if self.is_news(&path, &error) {
            report(name.as_ref().map_or("unknown", Name::as_str), &error, last_good.as_deref());
        }
        if let Some(policy) = last_good {
            return round.keeps_live(known, path, policy, Some(error));
        }
        let status = PolicyStatus::failed(path, manifest, error);
        // While the gateway runs, a newcomer that fails changes nothing; at the start nobody knows what it would have
        // stopped.
        let before = self.broken_before(&status);
        if cold || before.is_some() {
            // A manifest that is being written says nothing; the last word counts.
            let last = before.and_then(|before| before.manifest.clone());
            round.refuses(&status, status.name.clone(), status.manifest.clone().or(last));
        }
        round.statuses.push(status);
    }

    /// The one that refused, by its path or its name; else its folder, which could not be read and may have held it.
    fn broken_before(&self, status: &PolicyStatus) -> Option<Arc<BrokenPolicy>> {
        let set = self.set.load();
        let itself = set.broken().find(|it| it.path == status.path || it.name == status.name);
        itself.or_else(|| set.broken().find(|it| status.path.starts_with(&it.path))).cloned()
    }
}

/// A manifest of which no version can go live.
struct Fault {
    path: PathBuf,
    manifest: Option<Manifest>,
    /// The name that it has, or stays under.
    name: Option<Name>,
    error: LoadError,
}

/// What one reload gathers.
#[derive(Default)]
pub(super) struct Round {
    pub(super) live: BTreeMap<Name, Arc<LivePolicy>>,
    pub(super) broken: Vec<Arc<BrokenPolicy>>,
    pub(super) off: HashSet<Name>,
    /// The modules of versions that were not in force before.
    pub(super) modules: HashMap<Digest, Module>,
    /// Of the versions that were not in force before.
    pub(super) originals: Vec<Original>,
    /// Who has which name.
    pub(super) names: HashMap<Name, PathBuf>,
    /// Subfolders that cannot be read, and manifests beyond those that are.
    pub(super) closed: Vec<PathBuf>,
    pub(super) statuses: Vec<PolicyStatus>,
    pub(super) loaded: LoadedByPath,
}

impl Round {
    /// What became of loading this.
    fn loaded(&mut self, path: &Path, fingerprint: Digest) -> Loaded {
        let loaded = self.loaded.remove(path).filter(|(of, _)| *of == fingerprint);
        loaded.map(|(_, loaded)| loaded).unwrap_or_else(|| {
            // Not as things are: all that have names are loaded.
            let message = "another manifest had its name while policies were loaded; it is loaded next";
            Err(LoadError::new(Step::Manifest, LoadCode::DuplicateName, message))
        })
    }

    /// Whether another manifest has this name.
    pub(super) fn is_taken(&self, name: &Name, path: &Path) -> bool {
        self.names.get(name).is_some_and(|at| at != path)
    }

    pub(super) fn is_closed(&self, path: &Path) -> bool {
        self.closed.iter().any(|folder| path.starts_with(folder))
    }

    /// This version is in force, beside the error of a newer one if there is any.
    pub(super) fn keeps_live(
        &mut self,
        known: &Known,
        path: PathBuf,
        policy: Arc<LivePolicy>,
        error: Option<LoadError>,
    ) {
        let name = policy.manifest.name.clone();
        self.names.insert(name.clone(), path.clone());
        self.statuses.push(PolicyStatus::live(path, &policy, error, known.since.get(&name).copied()));
        self.live.insert(name, policy);
    }

    /// No version is in force, and what this manifest covers is refused for it.
    fn refuses(&mut self, status: &PolicyStatus, name: String, manifest: Option<Arc<Manifest>>) {
        let Some(error) = status.error.clone() else { return };
        self.broken.push(Arc::new(BrokenPolicy { path: status.path.clone(), name, manifest, error }));
    }

    fn is_off(&mut self, path: PathBuf, manifest: Option<Manifest>) {
        self.off.extend(manifest.as_ref().map(|it| it.name.clone()));
        self.statuses.push(PolicyStatus::off(path, manifest));
    }
}
