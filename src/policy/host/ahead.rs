//! What goes ahead of a load that takes long: changes that need none.
//!
//! A reload takes what stood in the folder at one moment, and is through when all of it is loaded: a minute, where an
//! interpreter is compiled. `mode: off`, another `mode` or `match`, or a version that is in the cache must not wait for
//! that. So the folder is looked at meanwhile, and such changes come into force as a set of their own, beside what else is
//! in force then. The reload has them in the place of what it had read.
//!
//! What changes together goes in together: nothing goes ahead where something that [came with it](super::together) must
//! be loaded, has another name than before, or where the manifest of a policy in force is gone, which a second scan has to
//! agree on. What comes at fault holds nothing up, and changes no set but by what it refuses, if it was never in force.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::task::spawn_blocking;

use super::PolicyHost;
use super::claims::Claim;
use super::intake::Intake;
use super::known::Known;
use super::together::{Together, lacks_something};
use crate::policy::digest::Digest;
use crate::policy::load::LoadError;
use crate::policy::manifest::{Manifest, Name};
use crate::policy::original::Original;
use crate::policy::scan::{self, Found, Scan};
use crate::policy::set::{BrokenPolicy, LivePolicy, Member};
use crate::policy::status::PolicyStatus;

/// The folder is looked at no more often than this.
pub(super) const LOOK: Duration = Duration::from_millis(100);
/// A change is looked at no later than this, even if something in the folder changes all the time: as by the watch.
const AT_MOST: Duration = Duration::from_secs(2);

/// What a reload knows of the folder, which may change while it loads.
#[derive(Default)]
pub(super) struct Lookout {
    /// As the watch has them, for glances.
    directories: Vec<PathBuf>,
    /// How it looked when it was last read; `None` until the first glance, which reads it.
    read: Option<Digest>,
    /// And at the last glance.
    last: Option<Digest>,
    /// Since when it has been seen to differ from that.
    changed: Option<Instant>,
}

impl Lookout {
    pub(super) fn new(scan: &Scan) -> Self {
        Self { directories: scan.directories.clone(), ..Self::default() }
    }

    /// Whether it is to be read, and then how long it must stand still meanwhile: not at all, where it has since the last
    /// glance.
    fn is_due(&mut self, glance: Option<Digest>, quiet: Duration) -> Option<Duration> {
        let is_still = glance.is_some() && glance == self.last;
        self.last = glance;
        if glance.is_none() || glance == self.read {
            self.changed = None;
            return None;
        }
        let changed = *self.changed.get_or_insert_with(Instant::now);
        if is_still { Some(Duration::ZERO) } else { (changed.elapsed() >= AT_MOST).then_some(quiet) }
    }

    /// It was read when it looked like this.
    fn is_read(&mut self, glance: Option<Digest>) {
        self.read = glance;
        self.changed = None;
    }
}

/// What a change comes to that need not be waited for.
enum Next {
    Off,
    /// With what is archived of a version that was not in force before.
    Live(Arc<LivePolicy>, Option<Original>),
    /// It was never in force, and refuses what its manifest covers, as that says it now.
    Refuses(Arc<BrokenPolicy>),
}

/// It must be loaded first, or come back.
struct NeedsLoad;

impl PolicyHost {
    /// Looks whether the folder has changed, and lets go ahead what can.
    pub(super) async fn look_out(&self, known: &mut Known, intake: &mut Intake) {
        let (directory, further) = (self.settings.directory.clone(), intake.lookout.directories.clone());
        let glance = spawn_blocking(move || scan::glance(&directory, &further)).await.ok().flatten();
        let Some(still_for) = intake.lookout.is_due(glance, self.settings.quiet) else { return };
        let directory = self.settings.directory.clone();
        let scanned = spawn_blocking(move || scan::scan(&directory, still_for)).await;
        let Ok(Ok(Scan { found, .. })) = scanned else { return };
        intake.lookout.is_read(glance);
        known.read(&found, &self.set.load());
        // What the reload has read itself waits as well.
        let (mut ahead, mut waiting) = (HashMap::new(), Vec::new());
        for together in &known.arrivals.waiting {
            match self.all_without_load(known, intake, together, &found).await {
                Ok(next) => ahead.extend(next),
                Err(NeedsLoad) => waiting.push(together.clone()),
            }
        }
        let ready: Vec<_> = found.into_iter().filter_map(|it| ahead.remove(&it.path).map(|next| (it, next))).collect();
        if !ready.is_empty() {
            self.go_ahead(known, intake, ready).await;
        }
        known.arrivals.waiting = waiting;
    }

    /// What came together, by path, if nothing of it needs a load or is gone.
    async fn all_without_load(
        &self,
        known: &Known,
        intake: &Intake,
        together: &Together,
        found: &[Found],
    ) -> Result<HashMap<PathBuf, Next>, NeedsLoad> {
        if lacks_something(together, found) {
            return Err(NeedsLoad);
        }
        let holders = found.iter().filter(|it| known.claim(it) == Claim::Holds);
        let held = holders.filter_map(|it| known.names.get(&it.path).cloned()).collect();
        let mut ready = HashMap::new();
        for found in found.iter().filter(|it| together.contains_key(&it.path)) {
            let next = self.without_load(known, intake, found, &held).await?;
            ready.extend(next.map(|next| (found.path.clone(), next)));
        }
        Ok(ready)
    }

    /// What this comes to without a load, which it needs also where it is another policy's than in the set in force.
    /// `None`: it is at fault, and what is in force stays; the next reload tells of it. `held` are the names that manifests
    /// have and go on saying.
    async fn without_load(
        &self,
        known: &Known,
        intake: &Intake,
        found: &Found,
        held: &HashSet<Name>,
    ) -> Result<Option<Next>, NeedsLoad> {
        let Some(manifest) = &found.manifest else { return Ok(None) };
        if known.names.get(&found.path) != Some(&manifest.name) {
            let is_at_fault = found.module.is_err() || held.contains(&manifest.name);
            return if is_at_fault { Ok(None) } else { Err(NeedsLoad) };
        }
        let module = match &found.module {
            Ok(Some(module)) => module,
            Ok(None) => return Ok(Some(Next::Off)),
            Err(error) => return Ok(self.at_fault(found, manifest, error)),
        };
        let loaded = match intake.at_hand(known, &found.path, manifest, &module.digest, found.fingerprint) {
            Some(loaded) => loaded,
            None => self.worker.cached(manifest, &module.digest).await.ok_or(NeedsLoad)?,
        };
        let version = match loaded {
            Ok(version) => version,
            Err(error) => return Ok(self.at_fault(found, manifest, &error)),
        };
        let live = known.live.get(&manifest.name).filter(|live| live.version.id == version.id);
        if let Some(tally) = live.map(|live| live.tally.clone()) {
            return Ok(Some(Next::Live(LivePolicy::counted_on(manifest.clone(), version, tally), None)));
        }
        let bytes = module.read().await.map_err(|_| NeedsLoad)?.bytes;
        let original = Original { version: version.id, manifest: found.text.clone(), module: bytes };
        Ok(Some(Next::Live(LivePolicy::new(manifest.clone(), version), Some(original))))
    }

    fn at_fault(&self, found: &Found, manifest: &Manifest, error: &LoadError) -> Option<Next> {
        let (path, set) = (found.path.clone(), self.set.load());
        if !set.broken().any(|it| it.path == path) {
            return None;
        }
        let (name, manifest) = (manifest.name.to_string(), Some(Arc::new(manifest.clone())));
        Some(Next::Refuses(Arc::new(BrokenPolicy { path, name, manifest, error: error.clone() })))
    }

    /// Swaps in a set with these changes and nothing else.
    async fn go_ahead(&self, known: &mut Known, intake: &mut Intake, ready: Vec<(Found, Next)>) {
        // The last wait, as of a reload.
        let place = self.changes.reserve().await.ok();
        let mut members = self.set.load().members().to_vec();
        let mut statuses = Vec::clone(&self.statuses.load());
        let mut originals = Vec::new();
        for (found, next) in ready {
            let Some(manifest) = &found.manifest else { continue };
            members.retain(|member| match member {
                Member::Live(policy) => policy.manifest.name != manifest.name,
                Member::Broken(policy) => policy.path != found.path,
            });
            statuses.retain(|it| it.path != found.path);
            match next {
                Next::Live(policy, original) => {
                    known.live.insert(manifest.name.clone(), policy.clone());
                    if original.is_some() {
                        known.since.insert(manifest.name.clone(), Timestamp::now());
                        originals.extend(original);
                    }
                    let since = known.since.get(&manifest.name).copied();
                    statuses.push(PolicyStatus::live(found.path.clone(), &policy, None, since));
                    intake.is_loaded(found.path.clone(), found.fingerprint, Ok(policy.version.clone()));
                    members.push(Member::Live(policy));
                }
                Next::Refuses(policy) => {
                    let error = policy.error.clone();
                    statuses.push(PolicyStatus::failed(found.path.clone(), Some(manifest.clone()), error));
                    members.push(Member::Broken(policy));
                }
                Next::Off => {
                    known.live.remove(&manifest.name);
                    statuses.push(PolicyStatus::off(found.path.clone(), Some(manifest.clone())));
                }
            }
            intake.replace(found);
        }
        let set = self.publish(members, originals, place, false);
        self.tell(statuses, &set);
    }
}
