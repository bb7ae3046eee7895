//! Who gets a name that several manifests say. It stays with the one that has it: whatever another one of that name says,
//! and wherever its path stands in the order, it would change a policy that is in force.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Instant;

use super::known::{Known, absent_since};
use super::take::Round;
use crate::policy::load::worker::version_id;
use crate::policy::manifest::Name;
use crate::policy::scan::Found;
use crate::policy::set::PolicySet;

/// How near a manifest is to the name that it says. The nearer one is taken first, and of equals the first path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Claim {
    /// Its path has the name. What cannot be read says what it said before.
    Holds,
    /// It says what is in force under the name, from another path.
    Moved,
    /// Its path has another name, under which it stays where this one is taken.
    Renamed,
    Says,
}

impl Known {
    pub(super) fn claim(&self, found: &Found) -> Claim {
        let (held, said) = (self.names.get(&found.path), found.manifest.as_ref().map(|it| &it.name));
        match held {
            Some(held) if said.is_none_or(|said| said == held) => Claim::Holds,
            _ if self.is_in_force(found) => Claim::Moved,
            Some(_) => Claim::Renamed,
            None => Claim::Says,
        }
    }

    fn is_in_force(&self, found: &Found) -> bool {
        let (Some(manifest), Ok(Some(module))) = (&found.manifest, &found.module) else { return false };
        let live = self.live.get(&manifest.name).filter(|live| *live.manifest == *manifest);
        live.is_some_and(|live| live.version.id == version_id(manifest, &module.digest))
    }

    /// Keeps everybody else from the names whose manifests are out of sight and not yet gone.
    pub(super) fn reserve(&self, round: &mut Round, found: &[Found], before: &PolicySet, now: Instant) {
        let there: HashSet<_> = found.iter().map(|it| it.path.as_path()).collect();
        let says = |it: &Found, name: &Name| it.manifest.as_ref().is_some_and(|manifest| manifest.name == *name);
        let has_moved = |name: &Name| found.iter().any(|it| says(it, name) && self.claim(it) == Claim::Moved);
        let is_reserved = |(path, name): &(&PathBuf, &Name)| {
            let counts = self.live.contains_key(*name) || before.broken().any(|it| it.path == **path);
            let absent = self.absent.get(*name).or_else(|| self.absent_broken.get(*path));
            counts && (round.is_closed(path) || (absent_since(absent, now).is_some() && !has_moved(name)))
        };
        let out_of_sight = self.names.iter().filter(|(path, _)| !there.contains(path.as_path()));
        let reserved = out_of_sight.filter(is_reserved).map(|(path, name)| (name.clone(), path.clone()));
        round.seen = reserved.collect();
    }
}
