//! What came of a replay.

use std::time::Duration;

use hdrhistogram::Histogram;
use jiff::Timestamp;
use serde::Serialize;

/// How what a candidate says differs from what is on record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It refuses what was not refused.
    NewlyDenied,
    /// It does not refuse what was refused.
    NewlyAllowed,
    /// It replaces other text, or other text by it.
    ChangedEdits,
    /// It says something else, which changes nothing for the caller.
    ChangedOtherwise,
    /// It gave no verdict.
    Error,
}

/// What came of a replay.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// Records that were read.
    pub records: u64,
    /// Requests that were judged again.
    pub requests: u64,
    /// Pre-checks that were judged again.
    pub pre_checks: u64,
    /// Answers that were judged again.
    pub answers: u64,
    /// Of these, those about which the same was said.
    pub unchanged: u64,
    /// It refuses what was not refused.
    pub newly_denied: Group,
    /// It does not refuse what was refused.
    pub newly_allowed: Group,
    /// Other text is replaced, or by other text.
    pub changed_edits: Group,
    /// Something else was said, which changes nothing for the caller.
    pub changed_otherwise: Group,
    /// No verdict.
    pub errors: Group,
    /// What was not judged again.
    pub unasked: Unasked,
    /// Judged on text that the audit policies had changed, or without attributes.
    pub on_masked_text: u64,
    /// Judged on the text as it came, while policies before it had changed it.
    pub on_text_before_edits: u64,
    /// Answers that were streamed, and were judged as a whole.
    pub streamed: u64,
    /// What it cost.
    pub figures: Figures,
}

/// Decisions that changed in one way.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Group {
    /// How many.
    pub count: u64,
    /// Of these, those judged on another text than the one on record was: masked, before edits, or streamed.
    pub on_other_text: u64,
    /// The oldest of them.
    pub examples: Vec<Example>,
}

/// One decision that changed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Example {
    /// When it was decided.
    pub at: Timestamp,
    /// `request`, `pre-check` or `answer`.
    pub about: &'static str,
    /// Its id.
    pub id: String,
    /// The client.
    pub client: String,
    /// What is on record.
    pub recorded: String,
    /// What is said now.
    pub now: String,
    /// Whether the text is the one that was judged then.
    pub same_text: bool,
    /// The beginning of the text, as it is stored.
    pub text: String,
}

/// What was not judged again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Unasked {
    /// The candidate does not cover it.
    pub not_covered: u64,
    /// It was refused or broke off before the policy was asked, so that nothing was said that could be compared.
    pub refused_before: u64,
    /// No text was stored.
    pub text_not_kept: u64,
    /// The text was erased.
    pub text_erased: u64,
    /// An answer whose request is not on record any more.
    pub without_request: u64,
    /// A record that cannot be understood.
    pub unreadable: u64,
}

/// What it cost.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Evaluations, each in a sandbox of its own.
    pub evaluations: u64,
    /// Microseconds of one, at the median.
    pub p50_us: f64,
    /// Microseconds that 99 of 100 stay below.
    pub p99_us: f64,
    /// Seconds from the first record to the last.
    pub seconds: f64,
    /// Cores.
    pub cores: usize,
    /// Evaluations for each second and core, everything included.
    pub per_second_per_core: f64,
}

impl Report {
    /// The decisions that changed so.
    pub fn of(&self, change: Change) -> &Group {
        match change {
            Change::NewlyDenied => &self.newly_denied,
            Change::NewlyAllowed => &self.newly_allowed,
            Change::ChangedEdits => &self.changed_edits,
            Change::ChangedOtherwise => &self.changed_otherwise,
            Change::Error => &self.errors,
        }
    }

    pub(super) fn group(&mut self, change: Change) -> &mut Group {
        match change {
            Change::NewlyDenied => &mut self.newly_denied,
            Change::NewlyAllowed => &mut self.newly_allowed,
            Change::ChangedEdits => &mut self.changed_edits,
            Change::ChangedOtherwise => &mut self.changed_otherwise,
            Change::Error => &mut self.errors,
        }
    }

    /// The ways in which decisions changed.
    pub const CHANGES: [Change; 5] =
        [Change::NewlyDenied, Change::NewlyAllowed, Change::ChangedEdits, Change::ChangedOtherwise, Change::Error];
}

impl Group {
    /// One more. Of the examples the oldest are kept, whoever finds them first.
    pub(super) fn add(&mut self, example: Example, most: usize) {
        self.count += 1;
        self.on_other_text += u64::from(!example.same_text);
        self.examples.push(example);
        self.keep_oldest(most);
    }

    fn keep_oldest(&mut self, most: usize) {
        self.examples.sort_by(|one, two| (one.at, &one.id).cmp(&(two.at, &two.id)));
        self.examples.truncate(most);
    }
}

/// What one thread has found.
pub(super) struct Tally {
    pub(super) report: Report,
    /// Nanoseconds.
    times: Option<Histogram<u64>>,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self { report: Report::default(), times: Histogram::new_with_bounds(1, 3_600_000_000_000, 3).ok() }
    }

    pub(super) fn took(&mut self, elapsed: Duration) {
        self.report.figures.evaluations += 1;
        if let Some(times) = &mut self.times {
            times.saturating_record(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX));
        }
    }

    /// Takes what another thread has found.
    pub(super) fn absorb(&mut self, other: Self, examples: usize) {
        let Self { report: mut theirs, times } = other;
        let ours = &mut self.report;
        ours.figures.evaluations += theirs.figures.evaluations;
        for change in Report::CHANGES {
            let Group { count, on_other_text, examples: found } = std::mem::take(theirs.group(change));
            let group = ours.group(change);
            group.count += count;
            group.on_other_text += on_other_text;
            group.examples.extend(found);
            group.keep_oldest(examples);
        }
        for (ours, theirs) in [
            (&mut ours.records, theirs.records),
            (&mut ours.requests, theirs.requests),
            (&mut ours.pre_checks, theirs.pre_checks),
            (&mut ours.answers, theirs.answers),
            (&mut ours.unchanged, theirs.unchanged),
            (&mut ours.unasked.not_covered, theirs.unasked.not_covered),
            (&mut ours.unasked.refused_before, theirs.unasked.refused_before),
            (&mut ours.unasked.text_not_kept, theirs.unasked.text_not_kept),
            (&mut ours.unasked.text_erased, theirs.unasked.text_erased),
            (&mut ours.unasked.without_request, theirs.unasked.without_request),
            (&mut ours.unasked.unreadable, theirs.unasked.unreadable),
            (&mut ours.on_masked_text, theirs.on_masked_text),
            (&mut ours.on_text_before_edits, theirs.on_text_before_edits),
            (&mut ours.streamed, theirs.streamed),
        ] {
            *ours += theirs;
        }
        if let (Some(ours), Some(theirs)) = (&mut self.times, times) {
            // Both have the same bounds.
            let _ = ours.add(theirs);
        }
    }

    /// The report, with its figures.
    pub(super) fn end(mut self, elapsed: Duration, cores: usize) -> Report {
        let at = |quantile| self.times.as_ref().map_or(0.0, |times| times.value_at_quantile(quantile) as f64 / 1_000.0);
        let (p50_us, p99_us) = (at(0.5), at(0.99));
        let evaluations = self.report.figures.evaluations;
        let seconds = elapsed.as_secs_f64();
        let per_second_per_core = if seconds > 0.0 { evaluations as f64 / seconds / cores as f64 } else { 0.0 };
        self.report.figures = Figures { evaluations, p50_us, p99_us, seconds, cores, per_second_per_core };
        self.report
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(second: i64) -> Example {
        Example {
            at: Timestamp::from_second(second).unwrap(),
            about: "request",
            id: format!("r{second}"),
            client: "c".into(),
            recorded: "allow".into(),
            now: "deny".into(),
            same_text: second % 2 == 0,
            text: "t".into(),
        }
    }

    #[test]
    fn the_examples_are_the_oldest_whoever_found_them() {
        let (mut one, mut two) = (Tally::new(), Tally::new());
        for second in [9, 4, 7] {
            one.report.newly_denied.add(example(second), 2);
        }
        for second in [5, 8] {
            two.report.newly_denied.add(example(second), 2);
        }
        one.took(Duration::from_micros(10));
        two.took(Duration::from_micros(30));
        one.absorb(two, 2);
        let report = one.end(Duration::from_secs(1), 2);
        let ids: Vec<_> = report.newly_denied.examples.iter().map(|it| it.id.as_str()).collect();
        assert_eq!((report.newly_denied.count, report.newly_denied.on_other_text), (5, 3));
        assert_eq!(ids, ["r4", "r5"]);
        assert_eq!((report.figures.evaluations, report.figures.per_second_per_core), (2, 1.0));
    }
}
