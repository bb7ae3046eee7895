//! Watching the policies directory. Every event means "something changed"; what did is found by content.
//!
//! Directories are watched, never files: editors and Kubernetes replace files by rename, and a watch on a file dies
//! with its inode. Events are never filtered by name: on a ConfigMap's swap no event names the policy's file. Where
//! there are no events (network file systems, a full table of watches) the directory is looked at every few seconds.

use std::collections::{HashMap, HashSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::digest::Digest;
use super::host::{PolicyHost, Reload};
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
pub struct Watcher(AbortOnDropHandle<()>);

impl Watcher {
    /// Waits for an end that nobody asked for: a fault. From then on changes of the folder are not seen.
    pub async fn ended(&mut self) {
        if let Err(error) = (&mut self.0).await {
            tracing::error!(%error, "the watch of the policies directory ended");
        }
    }

    /// Watches the host's directory and reloads on changes. `first` is the reload that was made before.
    pub fn start(host: Arc<PolicyHost>, first: &Reload, pace: Pace) -> Self {
        let (directories, due) = (first.directories.clone(), first.again.map(Instant::from_std));
        Self(AbortOnDropHandle::new(tokio::spawn(async move {
            let changed = Arc::new(Notify::new());
            let eyes = Eyes::new(changed.clone());
            // What changed between the first load and this moment has no event.
            changed.notify_one();
            Watch { host, pace, changed, eyes: Some(eyes), directories, due, last: None, sure: false }.run().await;
        })))
    }
}

struct Watch {
    host: Arc<PolicyHost>,
    pace: Pace,
    changed: Arc<Notify>,
    /// `None` while they are on a thread that may block.
    eyes: Option<Eyes>,
    /// Those of the last reload.
    directories: Vec<PathBuf>,
    /// When a reload is due though nothing changes.
    due: Option<Instant>,
    /// How the directory looked before the last reload.
    last: Option<Digest>,
    /// Whether it still looked so a while later. A change within the file system's clock tick leaves no mark, so that
    /// every reload is followed by one that makes sure.
    sure: bool,
}

/// What a reload was begun by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    Event,
    Clock,
}

impl Watch {
    async fn run(mut self) {
        self.look().await;
        loop {
            let told = self.wait().await == Reason::Event;
            let quiet = settle(&self.changed, self.pace).await;
            // Quiet means something only where events come.
            let still_for = if told && quiet { Duration::ZERO } else { self.pace.quiet };
            self.last = self.glance().await;
            match self.host.reload_what_stands_still(still_for).await {
                Ok(reload) => {
                    self.due = reload.again.map(Instant::from_std);
                    self.directories = reload.directories;
                    self.look().await;
                }
                // The host tells of it. That it can be read again shows in the next glance, or by its coming back.
                Err(_) => self.due = None,
            }
        }
    }

    /// Waits for a reason to reload.
    async fn wait(&mut self) -> Reason {
        loop {
            let poll = Instant::now() + self.pace.poll;
            if timeout_at(self.due.map_or(poll, |due| due.min(poll)), self.changed.notified()).await.is_ok() {
                self.sure = false;
                return Reason::Event;
            }
            if self.due.is_some_and(|due| due <= Instant::now()) {
                return Reason::Clock;
            }
            let same = self.glance().await == self.last;
            if !(same && self.sure) {
                self.sure = same;
                return Reason::Clock;
            }
        }
    }

    async fn glance(&self) -> Option<Digest> {
        let (directory, further) = (self.host.directory().to_owned(), self.directories.clone());
        spawn_blocking(move || scan::glance(&directory, &further)).await.ok().flatten()
    }

    /// Watches the directories of the last reload.
    async fn look(&mut self) {
        let Some(mut eyes) = self.eyes.take() else { return };
        let (root, directories) = (self.host.directory().to_owned(), self.directories.clone());
        let looked = spawn_blocking(move || {
            let newly = eyes.look_at(&root, &directories);
            (eyes, newly)
        });
        // Only a panic is an error here; then the directory is polled.
        let Ok((eyes, newly)) = looked.await else { return };
        self.eyes = Some(eyes);
        if newly {
            // What changed there between the reading and the watching has no event.
            self.changed.notify_one();
        }
    }
}

/// Waits until nothing has happened for a while, but not for ever. Returns whether it is quiet.
async fn settle(changed: &Notify, pace: Pace) -> bool {
    let latest = Instant::now() + pace.at_most;
    loop {
        let quiet = Instant::now() + pace.quiet;
        if timeout_at(quiet.min(latest), changed.notified()).await.is_err() {
            return quiet <= latest;
        }
        if Instant::now() >= latest {
            return false;
        }
    }
}

/// The operating system's notifications, if there are any.
struct Eyes {
    changed: Arc<Notify>,
    watcher: Option<RecommendedWatcher>,
    /// By device and inode: a path may come to lead elsewhere, and two may lead to one directory.
    watched: HashMap<(u64, u64), PathBuf>,
    /// What is polled instead, and was told of.
    polled: HashSet<PathBuf>,
}

impl Eyes {
    fn new(changed: Arc<Notify>) -> Self {
        Self { changed, watcher: None, watched: HashMap::new(), polled: HashSet::new() }
    }

    /// Watches these directories and no others. Returns whether one of them was not watched before.
    fn look_at(&mut self, root: &Path, directories: &[PathBuf]) -> bool {
        self.open(root);
        let Some(watcher) = &mut self.watcher else { return false };
        // A link's own place as well as where it leads: either may be swapped.
        let parent = root.parent().filter(|_| root.is_symlink());
        let parent = parent.map(|it| if it.as_os_str().is_empty() { Path::new(".") } else { it }.to_owned());
        let mut wanted = HashMap::new();
        for directory in directories.iter().cloned().chain(parent) {
            if let Ok(about) = directory.metadata() {
                wanted.entry((about.dev(), about.ino())).or_insert(directory);
            }
        }
        // Those first that are no longer wanted: one path may lead to another directory now.
        for (inode, path) in &self.watched {
            if wanted.get(inode) != Some(path) {
                let _ = watcher.unwatch(path);
            }
        }
        let mut newly = false;
        let mut watched = HashMap::new();
        for (inode, directory) in wanted {
            // Known ones too: a directory that was away for a moment is watched no longer.
            match watcher.watch(&directory, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    newly |= !self.watched.contains_key(&inode);
                    self.polled.remove(&directory);
                    watched.insert(inode, directory);
                }
                Err(error) if self.polled.insert(directory.clone()) => tracing::warn!(
                    directory = %directory.display(),
                    %error,
                    "this directory cannot be watched; it is polled"
                ),
                Err(_) => {}
            }
        }
        self.watched = watched;
        newly
    }

    /// Asks the system for notifications, until it gives them.
    fn open(&mut self, root: &Path) {
        if self.watcher.is_some() {
            return;
        }
        let changed = self.changed.clone();
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
        match watcher {
            Ok(watcher) => {
                self.polled.clear();
                self.watcher = Some(watcher);
            }
            Err(error) if self.polled.insert(root.to_owned()) => {
                tracing::warn!(%error, "no notifications of changed files; the policies directory is polled");
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_watch_that_panics_is_known_to_have_ended() {
        let broken = async { std::panic::resume_unwind(Box::new("a fault")) };
        Watcher(AbortOnDropHandle::new(tokio::spawn(broken))).ended().await;
    }
}
