//! Who else may write the policies directory. Whoever may decides what passes, so the operator is told; nothing is
//! refused for it, since modes say little about containers and volumes.

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::StatVfsMountFlags;

use super::scan::Scan;
use crate::text::one_line;

/// The most paths that are named; more are counted.
const MAX_NAMED: usize = 16;

/// One sentence for each directory and file that was scanned and that others may write. Named from the directory on: no
/// path of the machine.
pub(super) fn warnings(directory: &Path, scan: &Scan) -> Vec<String> {
    let Ok(root) = fs::canonicalize(directory) else { return Vec::new() };
    let manifests = scan.found.iter().map(|found| found.path.clone());
    let modules =
        scan.found.iter().filter_map(|found| Some(found.path.parent()?.join(&found.manifest.as_ref()?.module)));
    // Wherever links lead within the directory. Who may write a folder on the way may put another file there.
    let paths: BTreeSet<_> = scan
        .directories
        .iter()
        .cloned()
        .chain(manifests)
        .chain(modules)
        .filter_map(|path| fs::canonicalize(path).ok())
        .flat_map(|path| {
            path.ancestors().take_while(|it| it.starts_with(&root)).map(Path::to_owned).collect::<Vec<_>>()
        })
        .collect();
    let me = rustix::process::geteuid().as_raw();
    let mut warnings: Vec<_> = paths
        .iter()
        .filter_map(|path| {
            let about = fs::metadata(path).ok()?;
            let problem = Access::of(&about).problem(me)?;
            (!is_read_only(path)).then(|| format!("{}: {problem}", named(path, &root)))
        })
        .collect();
    if let Some(more) = warnings.len().checked_sub(MAX_NAMED).filter(|more| *more > 0) {
        warnings.truncate(MAX_NAMED);
        warnings.push(format!("the same is true of {more} more"));
    }
    warnings
}

fn named(path: &Path, root: &Path) -> String {
    let inside = path.strip_prefix(root).unwrap_or(path).to_string_lossy();
    if inside.is_empty() { "the policies directory".to_owned() } else { one_line(&inside, 256) }
}

/// Kubernetes mounts ConfigMaps read-only, with modes that would let everybody write.
fn is_read_only(path: &Path) -> bool {
    rustix::fs::statvfs(path).is_ok_and(|about| about.f_flag.contains(StatVfsMountFlags::RDONLY))
}

/// What decides who may write.
struct Access {
    mode: u32,
    user: u32,
    group: u32,
}

impl Access {
    fn of(about: &Metadata) -> Self {
        Self { mode: about.mode() & 0o7777, user: about.uid(), group: about.gid() }
    }

    /// What is wrong with it for a gateway that runs as the user `me`. A group with the number of that user is the one
    /// that many systems give to each user alone; with it, files are often made writable by the group.
    fn problem(&self, me: u32) -> Option<String> {
        let own_group = me != 0 && self.group == me;
        if self.user != 0 && self.user != me {
            Some(format!("it belongs to user {}, who may change it", self.user))
        } else if self.mode & 0o002 != 0 {
            Some(format!("everybody may write it (mode {:04o})", self.mode))
        } else if self.mode & 0o020 != 0 && !own_group {
            Some(format!("group {} may write it (mode {:04o})", self.group, self.mode))
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_everybody_but_root_and_the_gateway() {
        for (me, mode, user, group, expected) in [
            (1000, 0o755, 1000, 1000, None),
            (1000, 0o755, 0, 0, None),
            (1000, 0o775, 1000, 1000, None),
            (1000, 0o775, 1000, 50, Some("group 50 may write it (mode 0775)")),
            (1000, 0o2775, 0, 2000, Some("group 2000 may write it (mode 2775)")),
            (1000, 0o644, 1001, 1000, Some("it belongs to user 1001, who may change it")),
            (1000, 0o1777, 0, 0, Some("everybody may write it (mode 1777)")),
            (0, 0o755, 0, 0, None),
            (0, 0o664, 0, 0, Some("group 0 may write it (mode 0664)")),
            (0, 0o600, 1000, 1000, Some("it belongs to user 1000, who may change it")),
        ] {
            let problem = Access { mode, user, group }.problem(me);
            assert_eq!(problem.as_deref(), expected, "{mode:o} of {user}:{group} for {me}");
        }
    }
}
