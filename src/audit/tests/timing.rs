//! Figures, not claims: `cargo test --release audit::tests::timing -- --ignored --nocapture`.

use std::time::{Duration, Instant};

use super::*;

async fn measure(callers: usize, each: usize, durability: Durability) -> (Duration, Duration, f64) {
    let home = Home::sqlite();
    let log = AuditLog::open(&Settings { durability, ..home.settings() }).unwrap();
    let started = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let log = log.clone();
            tokio::spawn(async move {
                let mut took = Vec::with_capacity(2 * each);
                for number in 0..each {
                    let id = format!("request-{caller}-{number}");
                    let permit = log.reserve_request().unwrap();
                    let asked = intent(&id, number as i64);
                    let before = Instant::now();
                    let (durable, permit) = permit.intent(asked);
                    durable.await.unwrap();
                    took.push(before.elapsed());
                    let answered = outcome(&id, number as i64);
                    let before = Instant::now();
                    permit.outcome(answered);
                    log.settle().await;
                    took.push(before.elapsed());
                }
                took
            })
        })
        .collect();
    let mut took = Vec::new();
    for task in tasks {
        took.extend(task.await.unwrap());
    }
    let rate = took.len() as f64 / started.elapsed().as_secs_f64();
    took.sort();
    (took[took.len() / 2], took[took.len() * 99 / 100], rate)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints figures"]
#[expect(clippy::print_stdout, reason = "it prints figures")]
async fn append_latency() {
    for durability in [Durability::Process, Durability::Disk] {
        for (callers, each) in [(1, 10_000), (64, 1_000), (256, 500)] {
            let (p50, p99, rate) = measure(callers, each, durability).await;
            println!("{durability:?}, {callers} callers: p50 {p50:?}, p99 {p99:?}, {rate:.0} records/s");
        }
    }
}
