//! One rate for a long time: what stays resident, minute by minute.

use std::rc::Rc;
use std::time::Duration;

use crate::clock::Clock;
use crate::subject::{Measured, Pressure, Subject};

const MINUTE: Duration = Duration::from_secs(60);

/// Prints a line for each minute.
pub(crate) async fn run(clock: &Rc<Clock>, subject: &Subject, pressure: Pressure, minutes: u32) {
    println!("\n{}, {} requests a second for {minutes} minutes", subject.name, pressure.rate);
    println!("{:>6} {:>6} {:>16} {:>9} {:>9} {:>9}", "minute", "MB", "us of core each", "p50, ms", "p99, ms", "failed");
    for minute in 1..=minutes {
        let Measured { run, cost, resident, .. } = subject.try_once(clock, Pressure { time: MINUTE, ..pressure }).await;
        let [p50, p99] = [0.5, 0.99].map(|quantile| run.whole.value_at_quantile(quantile) as f64 / 1e6);
        println!("{minute:>6} {resident:>6.1} {cost:>16.0} {p50:>9.2} {p99:>9.2} {:>9}", run.failed);
    }
}
