//! What a reload says: to the log, to the metrics, and to whoever asks how policies fare.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use super::PolicyHost;
use crate::policy::load::{LoadError, Step};
use crate::policy::manifest::Mode;
use crate::policy::set::{LivePolicy, PolicySet};
use crate::policy::status::{self, PolicyStatus};
use crate::policy::{meter, scan};
use crate::text::one_line;

impl PolicyHost {
    /// The directory is at fault until a scan succeeds; its policies stay.
    pub(super) fn note_unreadable(&self, error: &std::io::Error) {
        let directory = &self.settings.directory;
        let error = scan::unreadable(directory, Step::Manifest, error);
        if self.is_news(directory, &error) {
            tracing::error!(
                directory = %directory.display(),
                error = error.message,
                "the policies directory cannot be read; the policies in force stay"
            );
        }
        let mut statuses: Vec<_> = self.statuses.load().iter().filter(|it| it.path != *directory).cloned().collect();
        statuses.push(PolicyStatus::failed(directory.clone(), None, error));
        self.tell(statuses, &self.set.load());
    }

    /// Says how every policy fares.
    pub(super) fn tell(&self, mut statuses: Vec<PolicyStatus>, set: &PolicySet) {
        let failed: HashSet<_> = statuses.iter().filter(|it| it.error.is_some()).map(|it| it.name.as_str()).collect();
        let degraded = failed.len() + set.missing().filter(|name| !failed.contains(name.as_str())).count();
        meter::in_force(set.generation().0, set.live().count(), degraded);
        self.compare(&statuses);
        status::complete(&mut statuses, &self.statuses.load(), &self.settings.directory);
        self.statuses.store(Arc::new(statuses));
    }

    /// Says who else may write the directory, once.
    pub(super) fn warn(&self, warnings: Vec<String>) {
        if **self.warnings.load() == warnings {
            return;
        }
        for warning in &warnings {
            tracing::warn!("others may change what policies decide: {warning}");
        }
        self.warnings.store(Arc::new(warnings));
    }

    /// Says which manifests name providers that are not configured, once. Without any provider the gateway judges requests
    /// for whatever providers the applications call.
    fn compare(&self, statuses: &[PolicyStatus]) {
        let configured = &self.settings.providers;
        let mut mismatches = Vec::new();
        for status in statuses.iter().filter(|_| !configured.is_empty()) {
            let judged = status.manifest.iter().filter(|manifest| manifest.mode != Mode::Off);
            let entries = judged.flat_map(|manifest| manifest.scope.providers_beside(configured));
            mismatches.extend(entries.map(|entry| {
                let entry = one_line(entry, 128);
                format!(
                    "{}: match.providers: `{entry}` fits no configured provider ({})",
                    status.name,
                    configured.join(", ")
                )
            }));
        }
        if **self.mismatches.load() == mismatches {
            return;
        }
        for mismatch in &mismatches {
            tracing::warn!("a policy applies to less than it says: {mismatch}");
        }
        self.mismatches.store(Arc::new(mismatches));
    }

    /// Whether this error was not standing before: scans that find nothing new say nothing.
    pub(super) fn is_news(&self, path: &Path, error: &LoadError) -> bool {
        !self.statuses.load().iter().any(|it| it.path == path && it.error.as_ref() == Some(error))
    }
}

pub(super) fn report(policy: &str, error: &LoadError, last_good: Option<&LivePolicy>) {
    let message = one_line(&error.message, 4_096);
    let (step, code) = (error.step.as_str(), error.code.as_str());
    match last_good {
        Some(last) => {
            let version = last.version.id;
            tracing::error!(policy, step, code, %version, "policy not loaded, its last good version stays: {message}");
        }
        None => tracing::error!(policy, step, code, "policy not loaded, and no version of it is in force: {message}"),
    }
}
