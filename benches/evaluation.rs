//! What one evaluation costs: in a fresh sandbox (store, instantiate, call, drop), as every request pays it, against
//! the same call on an instance that is kept.
//!
//! `make bench`. The rounds are interleaved, so that a noisy machine disturbs both alike; medians count.

#![expect(clippy::print_stdout, reason = "the table is what a bench is for")]
#![expect(clippy::expect_used, reason = "a bench that cannot run says why and ends")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use octroi::chat::{Message, Role};
use octroi::policy::engine::{Allocation, Engine};
use octroi::policy::load::Module;
use octroi::policy::load::worker::{Version, Worker};
use octroi::policy::manifest::{CaseContext, Manifest};
use octroi::policy::measure::{Figures, measure};
use octroi::policy::readings::Source;
use octroi::policy::sandbox::Allowance;
use octroi::policy::{Context, Question};

const ROUNDS: usize = 400;
const CALLS: usize = 50;

/// 426 characters of the kind that people send.
const PROMPT: &str = "Please summarise the minutes of our meeting on the new printer contract. The supplier offers \
    3 devices for each floor, delivery within 14 days, and a technician within 4 hours on working days. The board asked \
    whether toner is included, what happens after the first 36 months, and who pays for repairs that the users caused. \
    Keep it short, use plain words, list what is still open, and end with a proposal for a vote next week.";

fn main() {
    // `cargo test --benches` only asks whether it runs.
    let rounds = if std::env::args().any(|it| it == "--test") { 1 } else { ROUNDS };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let engine = Engine::start(Allocation::Pooled(64)).expect("an engine");
    let worker =
        Worker::new(engine.clone(), None, PathBuf::from(env!("CARGO_BIN_EXE_octroi")), Duration::from_secs(120));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let context = Arc::new(CaseContext::default().context());
    let messages = Arc::new(vec![Message::text(Role::User, PROMPT)]);
    println!(
        "one evaluation of a prompt of {} characters, microseconds, {rounds} interleaved rounds of {CALLS}",
        PROMPT.len()
    );
    println!(
        "{:<16} {:>10} {:>10} {:>10} {:>10} {:>12} {:>10}",
        "policy", "fresh p50", "p99", "reused p50", "p99", "difference", "2 threads"
    );
    let chosen: Vec<_> = std::env::args().skip(1).filter(|it| !it.starts_with('-')).collect();
    for name in ["pii", "sql-injection", "audit-redact"] {
        if !chosen.is_empty() && !chosen.iter().any(|it| it == name) {
            continue;
        }
        let text = std::fs::read_to_string(folder.join(name).with_extension("yaml")).expect("the manifest");
        let manifest = Manifest::parse(&text, name).expect("a right manifest");
        let module = std::fs::read(folder.join(&manifest.module)).expect("the module: run `make plugins`");
        let version = runtime.block_on(worker.load(&manifest, Module::new(module))).expect("a version");
        let phase = *version.about.phases.first().expect("a phase");
        let question = Question::of_case(phase);
        let allowance = manifest.limits.budget().allowance(PROMPT.len());
        let measured = measure(&engine, &version, allowance, question, &context, &messages, rounds);
        let Figures { fresh, reused, .. } = runtime.block_on(measured).expect("a verdict");
        let parallel = in_parallel(&engine, &version, allowance, question, &context, &messages, rounds);
        println!(
            "{name:<16} {:>10.2} {:>10.2} {:>10.2} {:>10.2} {:>12.2} {parallel:>10.2}",
            fresh.at(0.5),
            fresh.at(0.99),
            reused.at(0.5),
            reused.at(0.99),
            fresh.at(0.5) - reused.at(0.5),
        );
    }
}

/// Microseconds for each fresh evaluation when two threads evaluate at once.
fn in_parallel(
    engine: &Arc<Engine>,
    version: &Version,
    allowance: Allowance,
    question: Question,
    context: &Arc<Context>,
    messages: &Arc<Vec<Message>>,
    rounds: usize,
) -> f64 {
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
                runtime.block_on(async {
                    for _ in 0..rounds * CALLS {
                        version
                            .ready
                            .evaluate(engine, allowance, Source::Closed, question, context, messages)
                            .await
                            .expect("a verdict");
                    }
                });
            });
        }
    });
    started.elapsed().as_secs_f64() * 1e6 / (2 * rounds * CALLS) as f64
}
