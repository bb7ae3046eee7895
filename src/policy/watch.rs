//! Watching the policies directory. Every event means "something changed"; what did is found by content.
//!
//! Directories are watched, never files: editors and Kubernetes replace files by rename, and a watch on a file dies
//! with its inode. Events are never filtered by name: on a ConfigMap's swap no event names the policy's file. Where
//! there are no events (network file systems, a full table of watches) the directory is looked at every few seconds.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::host::PolicyHost;
use super::scan;

/// How changes are gathered.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// A reload begins when nothing has happened for this long.
    pub quiet: Duration,
    /// But no later than this after the first event.
    pub at_most: Duration,
    /// The directory is looked at this often where there are no events.
    pub poll: Duration,
}

/// A running watch. Dropping it ends it.
#[derive(Debug)]
pub struct Watcher(JoinHandle<()>);

impl Drop for Watcher {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Watcher {
    /// Watches the host's directory and reloads on changes. `directories` are those of the last reload.
    pub fn start(host: Arc<PolicyHost>, directories: Vec<PathBuf>, pace: Pace) -> Self {
        Self(tokio::spawn(async move {
            let changed = Arc::new(Notify::new());
            let mut eyes = Eyes::open(host.directory(), &changed);
            eyes.look_at(&directories);
            let mut last = scan::glance(host.directory());
            // What changed between the first load and this moment has no event.
            changed.notify_one();
            loop {
                if tokio::time::timeout(pace.poll, changed.notified()).await.is_err() {
                    let directory = host.directory().to_owned();
                    let now = tokio::task::spawn_blocking(move || scan::glance(&directory)).await.ok().flatten();
                    if now == last {
                        continue;
                    }
                }
                settle(&changed, pace).await;
                let directory = host.directory().to_owned();
                last = tokio::task::spawn_blocking(move || scan::glance(&directory)).await.ok().flatten();
                match host.reload().await {
                    Ok(reload) => {
                        eyes.look_at(&reload.directories);
                        if reload.again {
                            changed.notify_one();
                        }
                    }
                    Err(error) => tracing::error!(
                        directory = %host.directory().display(),
                        %error,
                        "the policies directory cannot be read; the policies in force stay"
                    ),
                }
            }
        }))
    }
}

/// Waits until nothing has happened for a while.
async fn settle(changed: &Notify, pace: Pace) {
    let latest = Instant::now() + pace.at_most;
    loop {
        let quiet = Instant::now() + pace.quiet;
        if timeout_at(quiet.min(latest), changed.notified()).await.is_err() || Instant::now() >= latest {
            return;
        }
    }
}

/// The operating system's notifications, if there are any.
struct Eyes {
    watcher: Option<RecommendedWatcher>,
    watched: HashSet<PathBuf>,
    root: PathBuf,
}

impl Eyes {
    fn open(root: &Path, changed: &Arc<Notify>) -> Self {
        let changed = changed.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // Our own reading must not wake us.
            let reading = matches!(
                &event,
                Ok(Event { kind: EventKind::Access(kind), .. }) if *kind != AccessKind::Close(AccessMode::Write)
            );
            if !reading {
                changed.notify_one();
            }
        });
        let watcher = watcher
            .inspect_err(
                |error| tracing::warn!(%error, "no notifications of changed files; the policies directory is polled"),
            )
            .ok();
        Self { watcher, watched: HashSet::new(), root: root.to_owned() }
    }

    fn look_at(&mut self, directories: &[PathBuf]) {
        let Some(watcher) = &mut self.watcher else { return };
        // The directory as it was named as well as what it resolves to: either may be swapped by a link.
        let parent = self.root.parent().filter(|_| self.root.is_symlink()).map(Path::to_owned);
        let wanted: HashSet<_> = directories.iter().cloned().chain(parent).collect();
        for gone in self.watched.difference(&wanted) {
            let _ = watcher.unwatch(gone);
        }
        let mut watched = HashSet::new();
        for directory in wanted {
            let known = self.watched.contains(&directory);
            match if known { Ok(()) } else { watcher.watch(&directory, RecursiveMode::NonRecursive) } {
                Ok(()) => {
                    watched.insert(directory);
                }
                Err(error) => tracing::warn!(
                    directory = %directory.display(),
                    %error,
                    "this directory cannot be watched; it is polled"
                ),
            }
        }
        self.watched = watched;
    }
}
