//! What is known from one reload to the next, and what of it goes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::take::Round;
use super::together::Arrivals;
use crate::policy::digest::Digest;
use crate::policy::load::LoadError;
use crate::policy::manifest::Name;
use crate::policy::refused::Refused;
use crate::policy::set::{LivePolicy, PolicySet};
use crate::policy::status::PolicyStatus;

/// A file that vanished goes when a scan so much later agrees.
const GONE_AFTER: Duration = Duration::from_millis(100);

/// What the last reload found.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) live: BTreeMap<Name, Arc<LivePolicy>>,
    /// When each went live.
    pub(super) since: HashMap<Name, Timestamp>,
    /// Names whose manifests are gone, since when that was seen.
    pub(super) absent: HashMap<Name, Instant>,
    /// The same for those that were never in force, by path.
    pub(super) absent_broken: HashMap<PathBuf, Instant>,
    /// The names that paths had when they could be read: one path for each.
    pub(super) names: HashMap<PathBuf, Name>,
    pub(super) refused: Refused,
    pub(super) arrivals: Arrivals,
    /// Modules without a manifest, that were told of.
    pub(super) orphans: Vec<PathBuf>,
    /// Whether a set was ever published.
    pub(super) warm: bool,
}

impl Known {
    /// Remembers who has which name. Nobody else has it then, and no path two.
    pub(super) fn call(&mut self, names: &HashMap<Name, PathBuf>) {
        self.names.retain(|path, name| names.get(name).is_none_or(|at| at == path));
        self.names.extend(names.iter().map(|(name, path)| (path.clone(), name.clone())));
    }

    /// Whether a policy in force is made of this module, whatever its manifest says now.
    fn has_in_force(&self, module: &Path) -> bool {
        self.names.iter().any(|(path, name)| {
            let policy = self.live.get(name);
            policy.is_some_and(|policy| path.with_file_name(&policy.manifest.module) == module)
        })
    }

    /// Says which modules no manifest names, once.
    pub(super) fn tell_orphans(&mut self, mut orphans: Vec<PathBuf>) {
        orphans.retain(|module| !self.has_in_force(module));
        for orphan in orphans.iter().filter(|it| !self.orphans.contains(it)) {
            tracing::info!(module = %orphan.display(), "no manifest names this module; it is not loaded");
        }
        self.orphans = orphans;
    }

    /// What could not be read, with the time of the next try where one may help.
    pub(super) fn noted(&mut self, path: &Path, fingerprint: Digest, mut error: LoadError) -> LoadError {
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
    pub(super) fn forget_absent(&mut self, round: &mut Round, before: &PolicySet, now: Instant) -> Option<Instant> {
        let mut absent = HashMap::new();
        for (name, policy) in &self.live {
            if round.live.contains_key(name) || round.off.contains(name) {
                continue;
            }
            let path = self.names.iter().find_map(|(path, of)| (of == name).then(|| path.clone())).unwrap_or_default();
            if !round.is_closed(&path) {
                let Some(seen) = absent_since(self.absent.get(name), now) else {
                    tracing::warn!(policy = %name, "the policy's manifest is gone; it is no longer in force");
                    self.since.remove(name);
                    continue;
                };
                absent.insert(name.clone(), seen);
            }
            round.keeps_live(self, path, policy.clone(), None);
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
            // Not one whose name another manifest had from the beginning.
            let name = policy.manifest.as_ref().map(|it| &it.name).filter(|name| name.as_str() == policy.name);
            let elsewhere = name.is_some_and(|name| round.is_taken(name, &policy.path));
            // A folder whose manifests can be seen now.
            let opened = round.statuses.iter().any(|it| it.path.starts_with(&policy.path));
            if is_there || elsewhere || opened {
                continue;
            }
            if !round.is_closed(&policy.path) {
                let Some(seen) = absent_since(self.absent_broken.get(&policy.path), now) else {
                    tracing::warn!(
                        policy = policy.name,
                        "the manifest of a policy that was never in force is gone; nothing is refused for it any more"
                    );
                    continue;
                };
                absent.insert(policy.path.clone(), seen);
            }
            let manifest = policy.manifest.as_deref().cloned();
            round.statuses.push(PolicyStatus::failed(policy.path.clone(), manifest, policy.error.clone()));
            round.broken.push(policy.clone());
        }
        self.absent_broken = absent;
    }
}

/// Since when it is absent; `None` when that is long enough for it to be gone.
pub(super) fn absent_since(seen_before: Option<&Instant>, now: Instant) -> Option<Instant> {
    let seen = seen_before.copied().unwrap_or(now);
    (now.duration_since(seen) < GONE_AFTER).then_some(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_that_moved_is_looked_for_where_it_went() {
        let name = |name: &str| Name::try_from(name.to_owned()).unwrap();
        let [old, new, other] = ["team/pii.yaml", "pii.yaml", "other.yaml"].map(Path::new);
        let mut known = Known::default();
        known.call(&HashMap::from([(name("pii"), old.to_owned()), (name("other"), other.to_owned())]));
        known.call(&HashMap::from([(name("pii"), new.to_owned())]));
        let expected = [(new.to_owned(), name("pii")), (other.to_owned(), name("other"))];
        assert_eq!(known.names, HashMap::from(expected));
    }
}
