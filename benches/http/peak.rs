//! The highest rate that is kept up with: looked for from below, in the same rounds for all.

use std::rc::Rc;
use std::time::Duration;

use crate::clock::Clock;
use crate::report::Series;
use crate::subject::{Measured, Pressure, Subject};

/// Kept up with: every request is answered, and 99 of 100 within this time of their turn. What falls behind by 5 in 100
/// is that late at the end of two seconds.
const LATE: Duration = Duration::from_millis(100);
/// Where the search begins.
const FROM: u32 = 4_000;
/// Runs at a rate that is not kept, while others disturb.
const TRIES: usize = 3;
/// It ends when the highest rate kept and the lowest that was not are this close.
const CLOSE: f64 = 1.06;

#[derive(Clone, Default)]
struct Row {
    rate: Series,
    cost: Series,
    resident: Series,
}

/// Prints a table. `pressure.rate` is what is looked for.
pub(crate) async fn search(clock: &Rc<Clock>, subjects: &[Subject], pressure: Pressure, rounds: usize) {
    let mut rows = vec![Row::default(); subjects.len()];
    for _ in 0..rounds {
        for (subject, row) in subjects.iter().zip(&mut rows) {
            let from = if row.rate.is_empty() { FROM } else { (row.rate.median() * 0.85) as u32 };
            let (rate, measured) = highest(clock, subject, pressure, from).await;
            row.rate.push(f64::from(rate));
            row.cost.push(measured.cost);
            row.resident.push(measured.resident);
        }
    }
    println!("\nhighest rate kept up with (99 % within {LATE:?}), {rounds} interleaved rounds of {:?}", pressure.time);
    println!("{:<36} {:>26} {:>18} {:>7}", "requests a second", "rate", "us of core each", "MB");
    for (subject, row) in subjects.iter().zip(&rows) {
        println!("{:<36} {:>26.0} {:>18.0} {:>7.0}", subject.name, row.rate, row.cost, row.resident.median());
    }
}

/// Upwards by a third, then between the highest that was kept and the lowest that was not.
async fn highest(clock: &Rc<Clock>, subject: &Subject, pressure: Pressure, from: u32) -> (u32, Measured) {
    let (mut rate, mut broken) = (from, None);
    let mut best = None;
    loop {
        let tried = keeps_up(clock, subject, Pressure { rate, ..pressure }).await;
        match tried {
            Some(measured) => best = Some((rate, measured)),
            None => broken = Some(rate),
        }
        let kept = best.as_ref().map_or(0, |(rate, _)| *rate);
        rate = match broken {
            None => rate + rate / 3,
            Some(broken) if kept > 0 && f64::from(broken) < f64::from(kept) * CLOSE => break,
            Some(broken) => (kept + broken) / 2,
        };
        assert!(rate > 100, "{} keeps up with no rate", subject.name);
    }
    best.expect("a rate that was kept")
}

/// Several times, while others disturb: their moment is no limit of this.
async fn keeps_up(clock: &Rc<Clock>, subject: &Subject, pressure: Pressure) -> Option<Measured> {
    for _ in 0..TRIES {
        let measured = subject.try_once(clock, pressure).await;
        let late = Duration::from_nanos(measured.run.whole.value_at_quantile(0.99));
        if measured.run.failed == 0 && late <= LATE {
            return Some(measured);
        }
        if measured.is_quiet() {
            return None;
        }
    }
    None
}
