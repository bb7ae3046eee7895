//! Interleaved rounds at one rate: each subject's percentiles, and what they are above the direct call of their round.

use std::rc::Rc;

use hdrhistogram::Histogram;

use crate::clock::Clock;
use crate::load::Run;
use crate::report::Series;
use crate::subject::{AnsweredBy, Pressure, Subject};

/// The figures of one subject, once a round.
#[derive(Clone, Default)]
struct Row {
    first: [Series; 2],
    whole: [Series; 2],
    cost: Series,
    waited: Series,
    resident: Series,
    others: Series,
    failed: u64,
}

impl Row {
    fn milliseconds(histogram: &Histogram<u64>) -> [f64; 2] {
        [0.5, 0.99].map(|quantile| histogram.value_at_quantile(quantile) as f64 / 1e6)
    }

    fn push(&mut self, run: &Run) {
        for (figures, histogram) in [(&mut self.first, &run.first), (&mut self.whole, &run.whole)] {
            for (series, figure) in figures.iter_mut().zip(Self::milliseconds(histogram)) {
                series.push(figure);
            }
        }
        self.failed += run.failed;
    }
}

async fn measure(clock: &Rc<Clock>, subjects: &[Subject], pressure: Pressure, rounds: usize) -> Vec<Row> {
    let mut rows = vec![Row::default(); subjects.len()];
    for _ in 0..rounds {
        for (subject, row) in subjects.iter().zip(&mut rows) {
            let measured = subject.measure(clock, pressure).await;
            if let Some(failure) = &measured.run.failure {
                println!("{}: {} failed, first with: {failure}", subject.name, measured.run.failed);
            }
            row.push(&measured.run);
            row.cost.push(measured.cost);
            row.waited.push(measured.waited);
            row.resident.push(measured.resident);
            row.others.push(measured.others * 100.0);
        }
    }
    rows
}

/// Prints a table of whole answers; the first subject is the one that the others are above.
pub(crate) async fn whole(clock: &Rc<Clock>, subjects: &[Subject], pressure: Pressure, rounds: usize) {
    let rows = measure(clock, subjects, pressure, rounds).await;
    println!(
        "\n{} requests a second, {rounds} interleaved rounds of {:?}: median of the rounds (least..most)",
        pressure.rate, pressure.time
    );
    println!(
        "{:<36} {:>22} {:>22} {:>20} {:>22} {:>18} {:>14} {:>5} {:>8} {:>6}",
        "ms",
        "p50",
        "p50 above direct",
        "p99",
        "p99 above direct",
        "us of core each",
        "us for a core",
        "MB",
        "others %",
        "failed"
    );
    for (subject, row) in subjects.iter().zip(&rows) {
        let [p50, p99] = &row.whole;
        let [above50, above99] = match subject.answered_by {
            AnsweredBy::Model => above(&row.whole, &rows[0].whole),
            AnsweredBy::Gateway => <[Series; 2]>::default(),
        };
        println!(
            "{:<36} {p50:>22.3} {above50:>22.3} {p99:>20.2} {above99:>22.2} {:>18.0} {:>14.0} {:>5.0} {:>8.1} {:>6}",
            subject.name,
            row.cost,
            row.waited,
            row.resident.median(),
            row.others.median(),
            row.failed
        );
    }
}

/// Prints a table of streams.
pub(crate) async fn streams(clock: &Rc<Clock>, subjects: &[Subject], pressure: Pressure, rounds: usize) {
    let rows = measure(clock, subjects, pressure, rounds).await;
    println!(
        "\n{} streams a second, {rounds} interleaved rounds of {:?}, a token every {:?}",
        pressure.rate,
        pressure.time,
        crate::mock::PACE
    );
    println!(
        "{:<36} {:>22} {:>22} {:>22} {:>22} {:>18} {:>8} {:>6}",
        "ms",
        "first token, p50",
        "above direct",
        "p99 above direct",
        "last, p50 above direct",
        "us of core each",
        "others %",
        "failed"
    );
    for (subject, row) in subjects.iter().zip(&rows) {
        let [above50, above99] = above(&row.first, &rows[0].first);
        let [last, _] = above(&row.whole, &rows[0].whole);
        println!(
            "{:<36} {:>22.3} {above50:>22.3} {above99:>22.2} {last:>22.3} {:>18.0} {:>8.0} {:>6}",
            subject.name,
            row.first[0],
            row.cost,
            row.others.median(),
            row.failed
        );
    }
}

fn above(these: &[Series; 2], those: &[Series; 2]) -> [Series; 2] {
    [these[0].above(&those[0]), these[1].above(&those[1])]
}
