//! Which changes of the folder came together: those that one reading saw, and with each what it came with before.
//!
//! A change that is not in force yet waits, and all that came with it. When one of them changes again, that is no change
//! of its own: whoever wrote `mode: off` beside a successor, and then a comment into it, still wants both or neither.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::known::Known;
use crate::policy::digest::Digest;
use crate::policy::scan::Found;
use crate::policy::set::PolicySet;

/// Changes that came together, by path: whether it could be read, then or since.
pub(super) type Together = HashMap<PathBuf, bool>;

/// What was read of the folder, and what of it waits.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    /// Each manifest, with its module, as it was read last.
    seen: HashMap<PathBuf, Digest>,
    /// Each path stands in one of them. A path that is missing was taken as it was seen, or came to nothing.
    pub(super) waiting: Vec<Together>,
}

impl Arrivals {
    /// All of it is in force, or was refused.
    pub(super) fn taken(found: &[Found]) -> Self {
        Self { seen: fingerprints(found), waiting: Vec::new() }
    }
}

impl Known {
    /// What this reading changes waits with what came with it, until it is taken. Of what is gone, only that counts for
    /// which requests are judged.
    pub(super) fn read(&mut self, found: &[Found], set: &PolicySet) {
        let now = fingerprints(found);
        let before = &self.arrivals.seen;
        let gone = before.keys().filter(|path| !now.contains_key(*path) && self.counts(path, set));
        let changed = found.iter().filter(|it| before.get(&it.path) != Some(&it.fingerprint));
        let changed = changed.map(|it| (it.path.clone(), it.module.is_ok()));
        let mut together: Together = gone.map(|path| (path.clone(), true)).chain(changed).collect();
        let arrivals = &mut self.arrivals;
        arrivals.seen = now;
        let touched: Vec<_> =
            arrivals.waiting.extract_if(.., |it| it.keys().any(|path| together.contains_key(path))).collect();
        for (path, was_readable) in touched.into_iter().flatten() {
            *together.entry(path).or_default() |= was_readable;
        }
        arrivals.waiting.extend((!together.is_empty()).then_some(together));
    }
}

/// Whether something of it is gone, or could be read before and is being written now.
pub(super) fn lacks_something(together: &Together, found: &[Found]) -> bool {
    let readable: HashSet<&Path> = found.iter().filter(|it| it.module.is_ok()).map(|it| it.path.as_path()).collect();
    together.iter().any(|(path, was_readable)| *was_readable && !readable.contains(path.as_path()))
}

fn fingerprints(found: &[Found]) -> HashMap<PathBuf, Digest> {
    found.iter().map(|it| (it.path.clone(), it.fingerprint)).collect()
}
