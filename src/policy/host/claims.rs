//! Who said a name first. A name stays with the manifest that has it: whatever a newcomer of that name says, and wherever
//! its path stands in the order, it would change a policy that is in force.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::known::absent_since;
use crate::policy::manifest::Name;

/// What each manifest says that its name is, and for how long it has.
#[derive(Debug, Default)]
pub(super) struct Claims {
    of: HashMap<PathBuf, Claim>,
    /// Reloads until now.
    reloads: u64,
}

#[derive(Debug)]
struct Claim {
    name: Name,
    /// The reload that first found it.
    since: u64,
    /// Since when the manifest is gone.
    absent: Option<Instant>,
}

impl Claims {
    /// Notes which names stand at which paths in this reload. What cannot be read says what it said before.
    pub(super) fn note<'f>(&mut self, found: impl Iterator<Item = (&'f Path, &'f Name)>) {
        self.reloads += 1;
        for (path, name) in found {
            if self.of.get(path).is_none_or(|claim| claim.name != *name) {
                let claim = Claim { name: name.clone(), since: self.reloads, absent: None };
                self.of.insert(path.to_owned(), claim);
            }
        }
    }

    /// Orders manifests: those first that have said their names for longer, and last those that never said one.
    pub(super) fn since(&self, path: &Path) -> u64 {
        self.of.get(path).map_or(u64::MAX, |claim| claim.since)
    }

    /// Forgets those whose manifests are gone, when a later look agrees: who is away for a moment comes back to its name.
    pub(super) fn forget_absent(&mut self, now: Instant, is_there: impl Fn(&Path) -> bool) {
        self.of.retain(|path, claim| {
            let is_there = is_there(path);
            claim.absent = if is_there { None } else { absent_since(claim.absent.as_ref(), now) };
            is_there || claim.absent.is_some()
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn who_said_a_name_first_is_first_again_after_a_moment_away() {
        let name = |name: &str| Name::try_from(name.to_owned()).unwrap();
        let (pii, other) = (name("pii"), name("other"));
        let [draft, live] = ["draft-pii.yaml", "pii.yaml"].map(Path::new);
        let is_first = |claims: &Claims| claims.since(live) < claims.since(draft);
        let mut claims = Claims::default();
        claims.note([(live, &pii)].into_iter());
        claims.note([(draft, &pii), (live, &pii)].into_iter());
        assert!(is_first(&claims));
        let begun = Instant::now();
        let later = |milliseconds: u64| begun + Duration::from_millis(milliseconds);
        for (milliseconds, stays) in [(0, true), (50, true), (150, false)] {
            claims.forget_absent(later(milliseconds), |path| path == draft);
            claims.note([(draft, &pii)].into_iter());
            assert_eq!(claims.since(live) < u64::MAX, stays, "{milliseconds}");
        }
        claims.note([(draft, &pii), (live, &pii)].into_iter());
        assert!(!is_first(&claims), "it comes anew");
        claims.note([(draft, &other), (live, &pii)].into_iter());
        claims.note([(draft, &pii), (live, &pii)].into_iter());
        assert!(is_first(&claims), "the other one had another name");
    }
}
