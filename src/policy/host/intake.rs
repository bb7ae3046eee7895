//! What a reload reads, and loads before it takes any of it.
//!
//! Loads take their time, and the folder may change meanwhile. Nothing of what was read is taken until all of it is
//! loaded: until then names, versions and the set are what the last reload left, save for what goes ahead. If the folder
//! says something else by then, nothing of it is taken at all; everything is read anew, and what is loaded already is not
//! loaded again. So nothing goes out of force by what the folder said before.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::{Duration, Instant};

use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::PolicyHost;
use super::ahead::{LOOK, Lookout};
use super::known::Known;
use crate::policy::digest::Digest;
use crate::policy::load::worker::{Version, load_id, version_id};
use crate::policy::load::{LoadError, Module};
use crate::policy::manifest::{Manifest, Name};
use crate::policy::scan::{self, Found, ModuleFile, Scan};
use crate::policy::{meter, writers};

/// How often everything is read for one reload. What was read last is taken, even if it was overtaken again: edits
/// without end must not keep every version from going live.
const READINGS: usize = 3;

/// What became of loading a version.
pub(super) type Loaded = Result<Version, LoadError>;

/// The same by path, with the fingerprint of what was loaded.
pub(super) type LoadedByPath = HashMap<PathBuf, (Digest, Loaded)>;

/// What one reload read, and what became of loading it.
pub(super) struct Intake {
    /// When it was read.
    pub(super) at: Instant,
    pub(super) found: Vec<Found>,
    /// The names that are kept for manifests out of sight.
    pub(super) reserved: HashMap<Name, PathBuf>,
    pub(super) orphans: Vec<PathBuf>,
    pub(super) directories: Vec<PathBuf>,
    /// Subfolders that cannot be read, and manifests beyond those that are.
    pub(super) closed: Vec<PathBuf>,
    /// Whether something changed all the time.
    pub(super) moving: bool,
    /// The folder, while it loads.
    pub(super) lookout: Lookout,
    /// What is loaded or cannot be; of former readings too.
    pub(super) loaded: LoadedByPath,
    /// The modules of versions that are not in force. Many manifests may name one.
    pub(super) modules: HashMap<Digest, Module>,
    /// Whether the loader was waited for.
    waited: bool,
}

impl PolicyHost {
    /// Reads the folder and loads what is new there, until none of it was overtaken.
    pub(super) async fn take_in(&self, known: &mut Known, still_for: Duration) -> Result<Intake, std::io::Error> {
        let (mut still_for, mut loaded) = (still_for, HashMap::new());
        for _ in 1..READINGS {
            let mut intake = self.read_and_load(known, still_for, loaded).await?;
            if !self.is_overtaken(known, &mut intake).await? {
                return Ok(intake);
            }
            (still_for, loaded) = (self.settings.quiet, intake.loaded);
        }
        self.read_and_load(known, still_for, loaded).await
    }

    /// What is loaded already is not loaded again.
    async fn read_and_load(
        &self,
        known: &mut Known,
        still_for: Duration,
        loaded: LoadedByPath,
    ) -> Result<Intake, std::io::Error> {
        let mut intake = self.read_whole(known, still_for, loaded).await?;
        intake.reserved = known.reserved(&intake, &self.set.load());
        self.load_all(known, &mut intake).await;
        Ok(intake)
    }

    /// Reads what stands in the folder, and of what is new there the modules.
    async fn read_whole(
        &self,
        known: &mut Known,
        still_for: Duration,
        mut loaded: LoadedByPath,
    ) -> Result<Intake, std::io::Error> {
        let mut readings = 0;
        loop {
            let scan = self.read(still_for).await?;
            known.read(&scan.found, &self.set.load());
            let mut intake = Intake::new(scan, loaded);
            readings += 1;
            if intake.read_modules(known).await || readings == READINGS {
                return Ok(intake);
            }
            loaded = intake.loaded;
        }
    }

    async fn read(&self, still_for: Duration) -> Result<Scan, std::io::Error> {
        let directory = self.settings.directory.clone();
        let scanning = spawn_blocking(move || {
            let scan = scan::scan(&directory, still_for)?;
            let warnings = writers::warnings(&directory, &scan);
            std::io::Result::Ok((scan, warnings))
        });
        let scanned = scanning.await.map_err(std::io::Error::other).and_then(|scanned| scanned);
        let (scan, warnings) = scanned.inspect_err(|error| self.note_unreadable(error))?;
        self.warn(warnings);
        tracing::debug!(manifests = scan.found.len(), moving = scan.moving, "policies directory read");
        meter::scanned();
        Ok(scan)
    }

    /// Whether the folder says something else by now: of what was read, or of what is in force and was gone, which a
    /// newcomer may be. Nobody waited for anything where nothing was loaded, and at the start nothing is in force.
    async fn is_overtaken(&self, known: &Known, intake: &mut Intake) -> Result<bool, std::io::Error> {
        if !(intake.waited && known.warm) {
            return Ok(false);
        }
        let (directory, found) = (self.settings.directory.clone(), std::mem::take(&mut intake.found));
        let looking = spawn_blocking(move || {
            let manifests = scan::manifests(&directory);
            let is_as_read = found.iter().all(Found::stands_still);
            (found, manifests, is_as_read)
        });
        let (found, manifests, is_as_read) = looking.await.map_err(std::io::Error::other)?;
        let there: HashSet<_> = found.iter().map(|it| it.path.as_path()).collect();
        let before = self.set.load();
        let is_gone = |path: &PathBuf| !there.contains(path.as_path()) && known.counts(path, &before);
        // Of a folder that cannot be read the next reading tells.
        let came = || manifests.is_ok_and(|now| now.iter().any(|path| !there.contains(path.as_path())));
        let overtaken = !is_as_read || (known.names.keys().any(is_gone) && came());
        intake.found = found;
        Ok(overtaken)
    }

    /// Loads what is not at hand of all that have the names that they say, one after the other. What cannot be loaded may
    /// leave its name to another, which is then loaded as well.
    async fn load_all(&self, known: &mut Known, intake: &mut Intake) {
        loop {
            let missing = intake.missing(known);
            if missing.is_empty() {
                return;
            }
            for at in missing {
                self.load_found(known, intake, at).await;
            }
        }
    }

    /// Loads what stands there in `found`.
    async fn load_found(&self, known: &mut Known, intake: &mut Intake, at: usize) {
        let Some(Found { path, manifest: Some(manifest), module: Ok(Some(module)), fingerprint, .. }) =
            intake.found.get(at)
        else {
            return;
        };
        let (path, fingerprint) = (path.clone(), *fingerprint);
        let loaded = match intake.at_hand(known, &path, manifest, &module.digest, fingerprint) {
            Some(loaded) => loaded,
            None => {
                let (manifest, module) = (manifest.clone(), module.clone());
                self.load_one(known, intake, &path, &manifest, module).await
            }
        };
        // What went ahead of it meanwhile stays.
        if intake.found.get(at).is_some_and(|found| found.fingerprint == fingerprint) {
            intake.is_loaded(path, fingerprint, loaded);
        }
    }

    async fn load_one(
        &self,
        known: &mut Known,
        intake: &mut Intake,
        path: &Path,
        manifest: &Manifest,
        module: ModuleFile,
    ) -> Loaded {
        let (started, load) = (Instant::now(), load_id(manifest, &module.digest));
        let module = match intake.modules.get(&module.digest) {
            Some(read) => read.clone(),
            // Its error stood until now, or another had its name.
            None => {
                let read = module.read().await.inspect_err(|_| intake.moving = true)?;
                intake.modules.entry(module.digest).or_insert(read).clone()
            }
        };
        let mut loaded = match self.worker.cached(manifest, &module.digest).await {
            Some(cached) => cached,
            None => {
                intake.waited = true;
                self.load_on_the_lookout(known, intake, manifest, module).await
            }
        };
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
            Err(error) => known.refused.note(path, load, error, started.elapsed()),
        }
        loaded
    }

    /// Loads a version; while that takes its time, lets go ahead what need not wait for it.
    async fn load_on_the_lookout(
        &self,
        known: &mut Known,
        intake: &mut Intake,
        manifest: &Manifest,
        module: Module,
    ) -> Loaded {
        let mut load = pin!(async {
            let _turn = self.loader.lock().await;
            self.worker.load(manifest, module).await
        });
        let mut told = false;
        loop {
            if let Ok(loaded) = timeout(self.settings.quiet.max(LOOK), &mut load).await {
                return loaded;
            }
            if !std::mem::replace(&mut told, true) {
                tracing::info!(policy = %manifest.name, "policy is being loaded");
            }
            // At the start nothing is in force, and everything counts.
            if known.warm {
                self.look_out(known, intake).await;
            }
        }
    }
}

impl Intake {
    fn new(scan: Scan, loaded: LoadedByPath) -> Self {
        let (at, lookout) = (Instant::now(), Lookout::new(&scan));
        let Scan { found, orphans, directories, closed, moving, .. } = scan;
        let (reserved, modules, waited) = (HashMap::new(), HashMap::new(), false);
        Self { at, found, reserved, orphans, directories, closed, moving, lookout, loaded, modules, waited }
    }

    /// Where those stand that have the names that they say, and are neither off nor loaded nor at fault.
    fn missing(&self, known: &Known) -> Vec<usize> {
        let names = self.names(known);
        let is_missing = |found: &Found| {
            let (Some(manifest), Ok(Some(_))) = (&found.manifest, &found.module) else { return false };
            names.get(&manifest.name) == Some(&found.path) && self.loaded(found).is_none()
        };
        self.found.iter().enumerate().filter(|(_, found)| is_missing(found)).map(|(at, _)| at).collect()
    }

    fn loaded(&self, found: &Found) -> Option<&Loaded> {
        self.loaded.get(&found.path).filter(|(of, _)| *of == found.fingerprint).map(|(_, loaded)| loaded)
    }

    /// Whether no version of it can go live, as far as that is known yet.
    pub(super) fn is_at_fault(&self, found: &Found) -> bool {
        found.module.is_err() || self.loaded(found).is_some_and(Result::is_err)
    }

    /// What this comes to, where that is known without the cache and the loader.
    pub(super) fn at_hand(
        &self,
        known: &Known,
        path: &Path,
        manifest: &Manifest,
        module: &Digest,
        fingerprint: Digest,
    ) -> Option<Loaded> {
        let id = version_id(manifest, module);
        if let Some(live) = known.live.get(&manifest.name).filter(|live| live.is_ready_as(&id, manifest)) {
            return Some(Ok(live.version.clone()));
        }
        if let Some((_, loaded)) = self.loaded.get(path).filter(|(of, _)| *of == fingerprint) {
            return Some(loaded.clone());
        }
        known.refused.standing(path, load_id(manifest, module)).map(|error| Err(error.clone()))
    }

    pub(super) fn is_loaded(&mut self, path: PathBuf, fingerprint: Digest, loaded: Loaded) {
        self.loaded.insert(path, (fingerprint, loaded));
    }

    /// Reads the modules of what is not in force, as it was found: to load it, and for the archive. Gives whether that was
    /// still so; what is another by now is left out.
    async fn read_modules(&mut self, known: &Known) -> bool {
        let (mut is_whole, names) = (true, self.names(known));
        for at in 0..self.found.len() {
            let needed = |found| self.needed(known, &names, found);
            let Some(module) = self.found.get(at).and_then(needed) else { continue };
            if let Ok(module) = module.read().await {
                self.modules.insert(module.digest, module);
            } else {
                (is_whole, self.moving) = (false, true);
                self.found.get_mut(at).into_iter().for_each(Found::leave_out);
            }
        }
        is_whole
    }

    /// The module of what goes live under the name that it says and is not in force, where it is not read yet.
    fn needed(&self, known: &Known, names: &HashMap<Name, PathBuf>, found: &Found) -> Option<ModuleFile> {
        let (manifest, module) = (found.manifest.as_ref()?, found.module.as_ref().ok()?.as_ref()?);
        names.get(&manifest.name).filter(|path| **path == found.path)?;
        let is_in_force =
            |version: &Version| known.live.get(&manifest.name).is_some_and(|live| live.version.id == version.id);
        match self.at_hand(known, &found.path, manifest, &module.digest, found.fingerprint) {
            Some(Err(_)) => None,
            Some(Ok(version)) if is_in_force(&version) => None,
            _ => (!self.modules.contains_key(&module.digest)).then(|| module.clone()),
        }
    }

    /// Has this in the place of what was read of its path.
    pub(super) fn replace(&mut self, found: Found) {
        match self.found.iter_mut().find(|it| it.path == found.path) {
            Some(read) => *read = found,
            // It was away when the rest was read, and its name kept for it.
            None => {
                self.reserved.retain(|_, path| *path != found.path);
                self.found.push(found);
            }
        }
    }
}
