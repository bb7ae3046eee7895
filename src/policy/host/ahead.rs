//! What goes ahead of a load that takes long: changes that need none.
//!
//! A reload takes what stood in the folder at one moment, and is through when all of it is loaded: a minute, where an
//! interpreter is compiled. `mode: off`, another `mode` or `match`, or a version that is in the cache must not wait for
//! that. So the folder is looked at meanwhile, and such changes come into force as a set of their own, beside what else is
//! in force then. The reload takes them, when it is through, in the place of what it had read.
//!
//! What changes together goes in together: nothing goes ahead where something that came with it must be loaded, or where a
//! manifest is gone, which a second scan has to agree on.

use std::collections::HashMap;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::known::Known;
use super::take::Round;
use super::{Change, PolicyHost};
use crate::policy::digest::Digest;
use crate::policy::load::worker::{Version, version_id};
use crate::policy::load::{LoadError, Module};
use crate::policy::manifest::Manifest;
use crate::policy::original::Original;
use crate::policy::scan::{self, Found, Scan};
use crate::policy::set::{LivePolicy, Member};
use crate::policy::status::PolicyStatus;

/// The folder is looked at no more often than this.
const LOOK: Duration = Duration::from_millis(100);

/// What a reload knows of the folder, which may change while it loads.
#[derive(Default)]
pub(super) struct Lookout {
    /// As the watch has them, for glances.
    directories: Vec<PathBuf>,
    /// How it looked when it was last read; `None` until the first glance, which reads it.
    read: Option<Digest>,
    /// And at the last glance.
    last: Option<Digest>,
    /// Each manifest, with its module, as it was when the folder was last read.
    seen: HashMap<PathBuf, Digest>,
}

impl Lookout {
    pub(super) fn new(scan: &Scan) -> Self {
        let seen = scan.found.iter().map(|it| (it.path.clone(), it.fingerprint)).collect();
        Self { directories: scan.directories.clone(), seen, ..Self::default() }
    }

    /// Whether it has changed since it was read, and not since the last glance.
    fn is_still(&mut self, glance: Option<Digest>) -> bool {
        let still = glance.is_some() && glance == self.last && glance != self.read;
        self.last = glance;
        still
    }

    /// What is new since it was last read; nothing, where something is gone.
    fn news(&mut self, found: Vec<Found>) -> Vec<Found> {
        let seen: HashMap<_, _> = found.iter().map(|it| (it.path.clone(), it.fingerprint)).collect();
        let before = std::mem::replace(&mut self.seen, seen);
        if before.keys().any(|path| !self.seen.contains_key(path)) {
            return Vec::new();
        }
        found.into_iter().filter(|it| before.get(&it.path) != Some(&it.fingerprint)).collect()
    }
}

/// What a change comes to that needs no load.
enum Next {
    Off,
    Live(Arc<LivePolicy>),
}

impl PolicyHost {
    /// Loads a version; while that takes its time, lets go ahead what need not wait for it.
    pub(super) async fn load_on_the_lookout(
        &self,
        known: &mut Known,
        round: &mut Round,
        manifest: &Manifest,
        module: Module,
    ) -> Result<Version, LoadError> {
        let mut load = pin!(self.worker.load(manifest, module));
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
                self.look_out(known, round).await;
            }
        }
    }

    async fn look_out(&self, known: &mut Known, round: &mut Round) {
        let (directory, further) = (self.settings.directory.clone(), round.lookout.directories.clone());
        let glance = spawn_blocking(move || scan::glance(&directory, &further)).await.ok().flatten();
        if !round.lookout.is_still(glance) {
            return;
        }
        let directory = self.settings.directory.clone();
        let scanned = spawn_blocking(move || scan::scan(&directory, Duration::ZERO)).await;
        let Ok(Ok(scan)) = scanned else { return };
        if scan.moving {
            return;
        }
        round.lookout.read = glance;
        let mut ready = Vec::new();
        for found in round.lookout.news(scan.found) {
            let Some(next) = self.without_load(known, &found).await else { return };
            ready.push((found, next));
        }
        if !ready.is_empty() {
            self.go_ahead(known, round, ready).await;
        }
    }

    /// What the manifest comes to without a load; `None` where it needs one, or is another policy's than before.
    async fn without_load(&self, known: &Known, found: &Found) -> Option<Next> {
        let manifest = found.manifest.as_ref().filter(|it| known.names.get(&found.path) == Some(&it.name))?;
        let Some(module) = found.module.as_ref().ok()? else { return Some(Next::Off) };
        let id = version_id(manifest, &module.digest);
        let live = known.live.get(&manifest.name);
        if let Some(live) = live.filter(|live| live.is_ready_as(&id, manifest)) {
            let policy = LivePolicy::counted_on(manifest.clone(), live.version.clone(), live.tally.clone());
            return Some(Next::Live(policy));
        }
        let version = self.worker.cached(manifest, &module.digest).await?.ok()?;
        Some(Next::Live(LivePolicy::new(manifest.clone(), version)))
    }

    /// Swaps in a set with these changes and nothing else.
    async fn go_ahead(&self, known: &mut Known, round: &mut Round, ready: Vec<(Found, Next)>) {
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
                Next::Off => {
                    known.live.remove(&manifest.name);
                    statuses.push(PolicyStatus::off(found.path.clone(), Some(manifest.clone())));
                }
                Next::Live(policy) => {
                    let before = known.live.insert(manifest.name.clone(), policy.clone());
                    if before.is_none_or(|before| before.version.id != policy.version.id) {
                        known.since.insert(manifest.name.clone(), Timestamp::now());
                        originals.extend(original(&found, policy.version.id));
                    }
                    let since = known.since.get(&manifest.name).copied();
                    statuses.push(PolicyStatus::live(found.path.clone(), &policy, None, since));
                    members.push(Member::Live(policy));
                }
            }
            round.ahead.insert(found.path.clone(), found);
        }
        let (from, set, changed) = self.publish(members, false);
        if let Some(place) = place.filter(|_| changed) {
            place.send(Change { from, set: set.clone(), originals });
        }
        self.tell(statuses, &set);
    }

    /// Takes what went ahead of what the reload had already taken, in its place.
    pub(super) async fn take_what_went_ahead(&self, known: &mut Known, round: &mut Round) {
        while let Some(path) = round.ahead.keys().next().cloned()
            && let Some(found) = round.ahead.remove(&path)
        {
            round.forget(&found);
            self.take(known, round, found, false).await;
        }
    }
}

fn original(found: &Found, version: Digest) -> Option<Original> {
    let module = found.module.as_ref().ok()?.as_ref()?;
    Some(Original { version, manifest: found.text.clone(), module: module.bytes.clone() })
}

impl Round {
    /// As if nothing had been taken of this manifest's path.
    fn forget(&mut self, found: &Found) {
        self.seen.retain(|_, at| *at != found.path);
        self.statuses.retain(|it| it.path != found.path);
        self.broken.retain(|it| it.path != found.path);
        if let Some(Manifest { name, .. }) = &found.manifest {
            self.off.remove(name);
            if let Some(taken) = self.live.remove(name) {
                self.originals.retain(|it| it.version != taken.version.id);
            }
        }
    }
}
