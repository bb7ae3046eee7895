//! Counters of evaluations and loads. Labels are bounded: names of manifests, and words of this program.

use std::time::Duration;

use super::load::LoadError;
use super::manifest::Phase;
use super::run::Outcome;

/// Counts one evaluation.
pub(super) fn evaluated(policy: &str, phase: Phase, enforced: bool, outcome: &Outcome, elapsed: Duration) {
    let result = match outcome {
        Outcome::Verdict(verdict) => verdict.action.as_str(),
        Outcome::Error { code, .. } => code,
        Outcome::Skipped => "skipped",
    };
    metrics::counter!(
        "octroi_policy_evaluations_total",
        "policy" => policy.to_owned(),
        "phase" => phase.as_str(),
        "enforced" => if enforced { "true" } else { "false" },
        "result" => result,
    )
    .increment(1);
    metrics::histogram!("octroi_policy_evaluation_seconds", "policy" => policy.to_owned(), "phase" => phase.as_str())
        .record(elapsed.as_secs_f64());
}

/// Counts one load.
pub(super) fn loaded(policy: &str, outcome: Result<(), &LoadError>) {
    let result = outcome.map_or_else(|error| error.code.as_str(), |()| "ok");
    metrics::counter!("octroi_policy_loads_total", "policy" => policy.to_owned(), "result" => result).increment(1);
}

/// Notes the set in force.
pub(super) fn in_force(generation: u64, live: usize, degraded: usize) {
    metrics::gauge!("octroi_policy_generation").set(generation as f64);
    metrics::gauge!("octroi_policies_live").set(live as f64);
    metrics::gauge!("octroi_policies_degraded").set(degraded as f64);
}
