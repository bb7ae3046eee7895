//! How policies fare, for answers: in the order in which they run, those without a readable manifest first.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::policy::digest::Digest;
use crate::policy::manifest::{Mode, Phase};
use crate::policy::tally::{Said, Tally};
use crate::policy::{PolicyHost, PolicySet, PolicyStatus};

#[derive(Serialize)]
pub(super) struct Policies {
    generation: u64,
    policies: Vec<Policy>,
    /// Required policies that are not live in `enforce`.
    missing: Vec<String>,
    /// Who else may write the policies directory.
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct Policy {
    name: String,
    path: String,
    state: &'static str,
    #[serde(flatten)]
    manifest: Option<Manifest>,
    #[serde(flatten)]
    version: Option<Version>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Error>,
}

/// What the manifest in force says, or the newest one where none is.
#[derive(Serialize)]
struct Manifest {
    mode: Mode,
    rollout: u8,
    order: i32,
}

/// The version in force.
#[derive(Serialize)]
struct Version {
    version: Digest,
    component: Digest,
    settings_hash: Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Timestamp>,
    phases: Vec<Phase>,
    cases: usize,
    compile_ms: u64,
    memory_bytes: Memory,
    evaluations: Evaluations,
}

#[derive(Serialize)]
struct Memory {
    /// When it was frozen: what every evaluation begins with.
    configured: usize,
    /// At the end of the largest evaluation.
    #[serde(skip_serializing_if = "Option::is_none")]
    largest: Option<usize>,
}

/// Since the version is in force.
#[derive(Serialize)]
struct Evaluations {
    total: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    p50_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p99_us: Option<u64>,
    enforced: Side,
    shadow: Side,
}

#[derive(Serialize)]
struct Side {
    actions: BTreeMap<&'static str, u64>,
    errors: BTreeMap<&'static str, u64>,
    skipped: u64,
}

/// Why the newest version is not the one in force.
#[derive(Serialize)]
struct Error {
    step: &'static str,
    code: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Timestamp>,
}

impl Policies {
    pub(super) fn of(host: &PolicyHost, set: &PolicySet) -> Self {
        let statuses = host.statuses();
        let mut ordered: Vec<_> = statuses.iter().collect();
        ordered.sort_by_key(|status| (status.manifest.as_ref().map(|it| it.order), &status.name));
        Self {
            generation: set.generation().0,
            policies: ordered.into_iter().map(Policy::from).collect(),
            missing: set.missing().map(ToString::to_string).collect(),
            warnings: host.all_warnings(),
        }
    }
}

impl From<&PolicyStatus> for Policy {
    fn from(status: &PolicyStatus) -> Self {
        Self {
            name: status.name.clone(),
            path: status.file.clone(),
            state: status.state.as_str(),
            manifest: status.manifest.as_ref().map(|manifest| Manifest {
                mode: manifest.mode,
                rollout: manifest.rollout.percent(),
                order: manifest.order,
            }),
            version: version(status),
            error: status.error.as_ref().map(|error| Error {
                step: error.step.as_str(),
                code: error.code.as_str(),
                message: error.message.clone(),
                at: status.failed_at,
            }),
        }
    }
}

fn version(status: &PolicyStatus) -> Option<Version> {
    let (about, summary) = (status.about.as_ref()?, status.tally.as_deref().map(Tally::summary)?);
    Some(Version {
        version: status.version?,
        component: about.component,
        settings_hash: status.settings_hash?,
        since: status.since,
        phases: status.phases(),
        cases: about.cases,
        compile_ms: about.compile_ms,
        memory_bytes: Memory { configured: about.memory_bytes, largest: summary.largest_memory },
        evaluations: Evaluations {
            total: summary.enforced.evaluations() + summary.shadow.evaluations(),
            p50_us: summary.p50_us,
            p99_us: summary.p99_us,
            enforced: summary.enforced.into(),
            shadow: summary.shadow.into(),
        },
    })
}

impl From<Said> for Side {
    fn from(said: Said) -> Self {
        Self { actions: said.actions, errors: said.errors, skipped: said.skipped }
    }
}
