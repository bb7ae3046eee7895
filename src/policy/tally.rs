//! What one version of a policy said since it went live, for whoever runs the gateway. Kept beside the version: another
//! version begins at nothing, and what nobody holds any more is gone.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;

use super::manifest::{Name, Phase};
use super::meter::Evaluations;
use super::run::Outcome;

/// Counts of one version's evaluations.
pub struct Tally {
    policy: Name,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    metrics: Evaluations,
    enforced: Said,
    shadow: Said,
    /// In microseconds, of evaluations that were run. Made with the first of them: some 10 kB.
    elapsed: Option<Histogram<u32>>,
    largest_memory: Option<usize>,
}

/// What evaluations of one side of a roll-out came to. The keys are words of this program, so their number is bounded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Verdicts by action.
    pub actions: BTreeMap<&'static str, u64>,
    /// Evaluations without a verdict, by code.
    pub errors: BTreeMap<&'static str, u64>,
    /// Evaluations that were not run, since an earlier policy had refused or a stream broke off before.
    pub skipped: u64,
}

impl Said {
    /// Evaluations that were run.
    pub fn evaluations(&self) -> u64 {
        self.actions.values().chain(self.errors.values()).sum()
    }
}

/// A moment's view of a [`Tally`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Evaluations whose verdicts counted.
    pub enforced: Said,
    /// Evaluations whose verdicts did not count: in `shadow`, and on the other side of a roll-out.
    pub shadow: Said,
    /// Microseconds within which half of the evaluations ended, waiting included.
    pub p50_us: Option<u64>,
    /// Microseconds within which 99 of 100 ended.
    pub p99_us: Option<u64>,
    /// Bytes of memories and tables at the end of the largest evaluation that gave a verdict.
    pub largest_memory: Option<usize>,
}

impl fmt::Debug for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Tally").field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl Tally {
    /// Nothing counted yet.
    pub(super) fn new(policy: Name) -> Self {
        Self { policy, counts: Mutex::default() }
    }

    /// Counts one evaluation, here and in the metrics. `memory` is what it had at its end, where that is known.
    pub(super) fn count(
        &self,
        phase: Phase,
        enforced: bool,
        outcome: &Outcome,
        elapsed: Duration,
        memory: Option<usize>,
    ) {
        let mut counts = self.lock();
        counts.metrics.count(self.policy.as_str(), phase, enforced, outcome, elapsed);
        let said = if enforced { &mut counts.enforced } else { &mut counts.shadow };
        match outcome {
            Outcome::Verdict(verdict) => *said.actions.entry(verdict.action.as_str()).or_default() += 1,
            Outcome::Error { code, .. } => *said.errors.entry(code).or_default() += 1,
            Outcome::Skipped => {
                said.skipped += 1;
                return;
            }
        }
        if counts.elapsed.is_none() {
            // Two digits from a microsecond to 20 minutes, twenty times the longest `limits.time`.
            counts.elapsed = Histogram::new_with_bounds(1, 1_200_000_000, 2).ok();
        }
        if let Some(histogram) = &mut counts.elapsed {
            histogram.saturating_record(u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX));
        }
        counts.largest_memory = counts.largest_memory.max(memory);
    }

    /// What was counted so far.
    pub fn summary(&self) -> Summary {
        let counts = self.lock();
        let at = |quantile| counts.elapsed.as_ref().map(|histogram| histogram.value_at_quantile(quantile));
        Summary {
            enforced: counts.enforced.clone(),
            shadow: counts.shadow.clone(),
            p50_us: at(0.5),
            p99_us: at(0.99),
            largest_memory: counts.largest_memory,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::manifest::OnError;
    use crate::policy::verdict::{Action, Verdict};

    fn verdict(action: Action) -> Outcome {
        Outcome::Verdict(Verdict { action, ..Verdict::default() })
    }

    #[test]
    fn both_sides_of_a_roll_out_are_counted_apart() {
        let tally = Tally::new("pii".to_owned().try_into().unwrap());
        assert_eq!(tally.summary(), Summary::default());
        for microseconds in 1..=100 {
            tally.count(
                Phase::PreCheck,
                true,
                &verdict(Action::Allow),
                Duration::from_micros(microseconds),
                Some(65_536),
            );
        }
        tally.count(Phase::PreCheck, false, &verdict(Action::Deny), Duration::from_micros(50), Some(131_072));
        let trap = Outcome::Error { code: "trap", message: String::new(), on_error: OnError::Deny, said: None };
        tally.count(Phase::PreCheck, false, &trap, Duration::from_micros(50), None);
        tally.count(Phase::PreCheck, true, &Outcome::Skipped, Duration::ZERO, None);
        let summary = tally.summary();
        assert_eq!(summary.enforced.actions, BTreeMap::from([("allow", 100)]));
        assert_eq!((summary.enforced.evaluations(), summary.enforced.skipped), (100, 1));
        assert_eq!(summary.shadow.actions, BTreeMap::from([("deny", 1)]));
        assert_eq!(summary.shadow.errors, BTreeMap::from([("trap", 1)]));
        assert_eq!((summary.shadow.evaluations(), summary.shadow.skipped), (2, 0));
        assert_eq!((summary.p50_us, summary.p99_us, summary.largest_memory), (Some(50), Some(99), Some(131_072)));
    }
}
