//! Who gets a name that several manifests say. It stays with the one that has it: whatever another one of that name says,
//! and wherever its path stands in the order, it would change a policy that is in force. And what cannot go over to
//! another name, since that is taken or it cannot be loaded, stays in force under its own.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::intake::Intake;
use super::known::{Known, absent_since};
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

impl Intake {
    /// Who has which name, one name for each path, by what is known of faults. Whoever stays under its own name may keep
    /// another one from it, which then stays too: names are given out anew until no more do.
    pub(super) fn names(&self, known: &Known) -> HashMap<Name, PathBuf> {
        let at_fault = self.found.iter().filter(|it| self.is_at_fault(it));
        let mut stay: HashMap<_, _> = at_fault.filter_map(|it| Some((&it.path, known.keeps(it)?))).collect();
        let claims = self.found.iter().filter_map(|it| Some((known.claim(it), it, &it.manifest.as_ref()?.name)));
        let mut claims: Vec<_> = claims.collect();
        claims.sort_by(|(one, a, _), (two, b, _)| one.cmp(two).then_with(|| a.path.cmp(&b.path)));
        loop {
            let stayed = stay.len();
            let mut names = self.reserved.clone();
            names.extend(stay.iter().map(|(path, name)| ((*name).clone(), (*path).clone())));
            for (_, found, said) in &claims {
                if stay.contains_key(&found.path) {
                    continue;
                }
                match names.entry((*said).clone()) {
                    Entry::Vacant(free) => {
                        free.insert(found.path.clone());
                    }
                    Entry::Occupied(_) => stay.extend(known.keeps(found).map(|name| (&found.path, name))),
                }
            }
            if stay.len() == stayed {
                return names;
            }
        }
    }
}

impl Known {
    /// The name under which a manifest stays that does not get the one it says: its path's. Where it says any, only with a
    /// version in force.
    fn keeps(&self, found: &Found) -> Option<&Name> {
        let name = self.names.get(&found.path)?;
        (found.manifest.is_none() || self.live.contains_key(name)).then_some(name)
    }

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

    /// The names that nobody gets whose manifests are out of sight and not yet gone, with the paths of those.
    pub(super) fn reserved(&self, intake: &Intake, before: &PolicySet) -> HashMap<Name, PathBuf> {
        let found = &intake.found;
        let there: HashSet<_> = found.iter().map(|it| it.path.as_path()).collect();
        let says = |it: &Found, name: &Name| it.manifest.as_ref().is_some_and(|manifest| manifest.name == *name);
        let has_moved = |name: &Name| found.iter().any(|it| says(it, name) && self.claim(it) == Claim::Moved);
        let is_closed = |path: &Path| intake.closed.iter().any(|folder| path.starts_with(folder));
        let is_reserved = |(path, name): &(&PathBuf, &Name)| {
            let absent = self.absent.get(*name).or_else(|| self.absent_broken.get(*path));
            self.counts(path, before)
                && (is_closed(path) || (absent_since(absent, intake.at).is_some() && !has_moved(name)))
        };
        let out_of_sight = self.names.iter().filter(|(path, _)| !there.contains(path.as_path()));
        out_of_sight.filter(is_reserved).map(|(path, name)| (name.clone(), path.clone())).collect()
    }

    /// Whether requests are judged, or refused, for what stood at this path.
    pub(super) fn counts(&self, path: &Path, before: &PolicySet) -> bool {
        let is_live = self.names.get(path).is_some_and(|name| self.live.contains_key(name));
        is_live || before.broken().any(|it| it.path == *path)
    }
}
