//! Counters of evaluations and loads. Labels are bounded: names of manifests, and words of this program.

use std::collections::BTreeMap;
use std::time::Duration;

use metrics::{Counter, Histogram};

use super::load::LoadError;
use super::manifest::Phase;
use super::run::Outcome;

/// The counters of one policy's evaluations. Looking one up by its labels costs more than counting, so each is kept.
#[derive(Default)]
pub(super) struct Evaluations {
    /// By phase, whether it was enforced, and the result: words of this program, so their number is bounded.
    counted: BTreeMap<(Phase, bool, &'static str), Counter>,
    elapsed: BTreeMap<Phase, Histogram>,
}

impl Evaluations {
    /// Counts one evaluation.
    pub(super) fn count(&mut self, policy: &str, phase: Phase, enforced: bool, outcome: &Outcome, elapsed: Duration) {
        let result = match outcome {
            Outcome::Verdict(verdict) => verdict.action.as_str(),
            Outcome::Error { code, .. } => code,
            Outcome::Skipped => "skipped",
        };
        let counter = self.counted.entry((phase, enforced, result)).or_insert_with(|| {
            metrics::counter!(
                "octroi_policy_evaluations_total",
                "policy" => policy.to_owned(),
                "phase" => phase.as_str(),
                "enforced" => if enforced { "true" } else { "false" },
                "result" => result,
            )
        });
        counter.increment(1);
        let histogram = self.elapsed.entry(phase).or_insert_with(|| {
            let policy = policy.to_owned();
            metrics::histogram!("octroi_policy_evaluation_seconds", "policy" => policy, "phase" => phase.as_str())
        });
        histogram.record(elapsed.as_secs_f64());
    }
}

/// Counts one load.
pub(super) fn loaded(policy: &str, outcome: Result<(), &LoadError>) {
    let result = outcome.map_or_else(|error| error.code.as_str(), |()| "ok");
    metrics::counter!("octroi_policy_loads_total", "policy" => policy.to_owned(), "result" => result).increment(1);
}

/// Counts one look at the whole directory.
pub(super) fn scanned() {
    metrics::counter!("octroi_policies_scans_total").increment(1);
}

/// Notes the set in force.
pub(super) fn in_force(generation: u64, live: usize, degraded: usize) {
    metrics::gauge!("octroi_policy_generation").set(generation as f64);
    metrics::gauge!("octroi_policies_live").set(live as f64);
    metrics::gauge!("octroi_policies_degraded").set(degraded as f64);
}
