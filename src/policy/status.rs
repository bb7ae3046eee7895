//! How policies fare: what `check`, `/health` and the admin API tell.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;

use super::digest::Digest;
use super::load::LoadError;
use super::load::protocol::About;
use super::manifest::{Manifest, Mode, Phase};
use super::set::LivePolicy;
use super::tally::Tally;

/// How a policy fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyState {
    /// Its newest version is in force.
    Live,
    /// An earlier version is in force; the newest was refused.
    Degraded,
    /// No version is in force.
    Broken,
    /// Its manifest says `mode: off`.
    Off,
}

impl PolicyState {
    /// As it stands in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Degraded => "degraded",
            Self::Broken => "broken",
            Self::Off => "off",
        }
    }
}

/// How a policy fares, with the reason.
#[derive(Clone, Debug)]
pub struct PolicyStatus {
    /// Its name; the file's where the manifest cannot be read.
    pub name: String,
    /// The manifest's path.
    pub path: PathBuf,
    /// The same from the policies directory on, for answers.
    pub file: String,
    /// How it fares.
    pub state: PolicyState,
    /// The manifest in force, or the newest one where none is.
    pub manifest: Option<Arc<Manifest>>,
    /// The version in force.
    pub version: Option<Digest>,
    /// What is known about that version.
    pub about: Option<Arc<About>>,
    /// Digest of that version's settings.
    pub settings_hash: Option<Digest>,
    /// What that version said since then.
    pub tally: Option<Arc<Tally>>,
    /// Why the newest was refused.
    pub error: Option<LoadError>,
    /// When that was found.
    pub failed_at: Option<Timestamp>,
    /// Since when the version is in force.
    pub since: Option<Timestamp>,
}

impl PolicyStatus {
    pub(super) fn live(path: PathBuf, policy: &LivePolicy, error: Option<LoadError>, since: Option<Timestamp>) -> Self {
        Self {
            name: policy.manifest.name.to_string(),
            path,
            file: String::new(),
            state: if error.is_some() { PolicyState::Degraded } else { PolicyState::Live },
            manifest: Some(policy.manifest.clone()),
            version: Some(policy.version.id),
            about: Some(policy.version.about.clone()),
            settings_hash: Some(policy.settings_hash),
            tally: Some(policy.tally.clone()),
            error,
            failed_at: None,
            since,
        }
    }

    /// The phases in which the version in force is asked: those that it exports and the manifest does not leave out.
    pub fn phases(&self) -> Vec<Phase> {
        let exported = self.about.iter().flat_map(|about| about.phases.iter().copied());
        exported.filter(|phase| self.manifest.as_ref().is_none_or(|manifest| manifest.asks(*phase))).collect()
    }

    pub(super) fn failed(path: PathBuf, manifest: Option<Manifest>, error: LoadError) -> Self {
        Self { error: Some(error), ..Self::without_version(path, manifest, PolicyState::Broken) }
    }

    pub(super) fn off(path: PathBuf, manifest: Option<Manifest>) -> Self {
        debug_assert!(manifest.as_ref().is_some_and(|it| it.mode == Mode::Off));
        Self::without_version(path, manifest, PolicyState::Off)
    }

    fn without_version(path: PathBuf, manifest: Option<Manifest>, state: PolicyState) -> Self {
        Self {
            name: manifest.as_ref().map_or_else(|| stem(&path), |it| it.name.to_string()),
            path,
            file: String::new(),
            state,
            manifest: manifest.map(Arc::new),
            version: None,
            about: None,
            settings_hash: None,
            tally: None,
            error: None,
            failed_at: None,
            since: None,
        }
    }
}

/// What a policy goes by that has no name.
pub(super) fn stem(path: &Path) -> String {
    path.file_stem().map(|it| it.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Adds what only the whole round knows: since when an error has been standing, and paths from the directory on.
pub(super) fn complete(statuses: &mut [PolicyStatus], before: &[PolicyStatus], root: &Path) {
    for status in statuses {
        let inside = status.path.strip_prefix(root).ok().map(Path::as_os_str);
        // The directory itself goes by its name.
        let inside = inside.filter(|it| !it.is_empty());
        let shown = inside.or(status.path.file_name()).unwrap_or_default();
        status.file = shown.to_string_lossy().into_owned();
        if status.error.is_some() {
            let standing = before.iter().find(|it| it.path == status.path && it.error == status.error);
            status.failed_at = standing.and_then(|it| it.failed_at).or_else(|| Some(Timestamp::now()));
        }
    }
}
