//! The running gateway: how long a change takes from the last write to being in force, and what it keeps in memory under
//! load.
//!
//! `make bench`. The real binary with the shipped policies in a folder of its own; changes are written as editors do (beside
//! it, then renamed), and seen through `/health`. Memory is read from the system while pre-checks come at a fixed rate,
//! whether or not earlier ones are answered (`OCTROI_BENCH_SECONDS`, by default 60, at 3,000 a second).

#![expect(clippy::print_stdout, reason = "the table is what a bench is for")]
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a bench that cannot run says why and ends")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{Gateway, Setup};
use tokio::sync::Semaphore;
use tokio::time::MissedTickBehavior;

/// Requests a second.
const RATE: u32 = 3_000;
/// Requests in flight; more wait, and their waiting is counted.
const IN_FLIGHT: usize = 256;

fn main() {
    // `cargo test --benches` only asks whether it runs.
    let once = std::env::args().any(|it| it == "--test");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        changes(once).await;
        memory(once).await;
    });
}

async fn changes(once: bool) {
    let prepared = Setup::without_provider().yaml("policies: placeholder\n").prepare();
    // A cache of its own: what "new" means must not depend on earlier runs.
    let cache = prepared.path().join("cache");
    let policies = format!("{{ directory: \"{}\", cache: \"{}\" }}", prepared.policies().display(), cache.display());
    let yaml = fs::read_to_string(prepared.path().join("octroi.yaml")).unwrap();
    fs::write(prepared.path().join("octroi.yaml"), yaml.replace("placeholder", &policies)).unwrap();
    let gateway = prepared.start();
    println!("from the last write to being in force (200 ms of it are the wait for quiet), milliseconds");
    println!("{:<58} {:>6} {:>8} {:>8} {:>8}", "change", "times", "median", "least", "most");
    let manifest = fs::read_to_string(gateway.policies().join("pii.yaml")).unwrap();
    let module = fs::read(gateway.policies().join("pii.wasm")).unwrap();
    let size = module.len() / 1_000;
    let with_mask = |mask: &str| manifest.replace("\"[EMAIL]\"", &format!("\"[{mask}]\""));
    assert_ne!(with_mask("A"), manifest, "the manifest has changed its form");
    let times = |many: usize| if once { 1 } else { many };

    let mut took = Vec::new();
    for number in 0..times(8) {
        let settings = with_mask(&format!("NEW {number}"));
        took.push(live_after(&gateway, || replace(&gateway.policies().join("pii.yaml"), &settings)).await);
    }
    row(&format!("new settings of `pii` ({size} kB, one compile)"), &mut took);
    let mut took = Vec::new();
    for number in 0..times(20) {
        let settings = with_mask(&format!("NEW {}", number % 2));
        took.push(live_after(&gateway, || replace(&gateway.policies().join("pii.yaml"), &settings)).await);
    }
    row("settings of `pii` that were live before", &mut took);
    let mut took = Vec::new();
    for number in 0..times(8) {
        let module = another(&module, number);
        took.push(live_after(&gateway, || replace(&gateway.policies().join("pii.wasm"), &module)).await);
    }
    row(&format!("a new component `pii` ({size} kB, two compiles)"), &mut took);
    for (name, folder, module) in examples() {
        let size = fs::metadata(&module).unwrap().len() / 1_000;
        fs::copy(&module, gateway.policies().join(format!("{name}.wasm"))).unwrap();
        let manifest = fs::read(folder.join(format!("{name}.yaml"))).unwrap();
        let mut took =
            vec![live_after(&gateway, || replace(&gateway.policies().join(format!("{name}.yaml")), manifest)).await];
        row(&format!("a newcomer `{name}` ({size} kB, two compiles)"), &mut took);
    }
}

/// The examples in JavaScript and Python, if `make examples` has built them.
fn examples() -> Vec<(&'static str, PathBuf, PathBuf)> {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins/examples");
    [("secrets", "javascript-secrets"), ("internal-hosts", "python-internal-hosts")]
        .into_iter()
        .map(|(name, folder)| (name, examples.join(folder)))
        .map(|(name, folder)| (name, folder.clone(), folder.join(format!("{name}.wasm"))))
        .filter(|(_, _, module)| module.exists())
        .collect()
}

/// The same module under another digest: with a custom section more.
fn another(module: &[u8], number: usize) -> Vec<u8> {
    let name = format!("bench-{number:04}");
    let mut section = vec![0, u8::try_from(name.len() + 1).unwrap(), u8::try_from(name.len()).unwrap()];
    section.extend_from_slice(name.as_bytes());
    [module, &section].concat()
}

fn replace(path: &Path, bytes: impl AsRef<[u8]>) {
    let beside = path.with_extension("new");
    fs::write(&beside, bytes).unwrap();
    fs::rename(beside, path).unwrap();
}

async fn live_after(gateway: &Gateway, change: impl FnOnce()) -> f64 {
    let generation = |health: &Value| health["policies"]["generation"].as_u64().unwrap();
    let before = generation(&gateway.get("/health").await.body);
    change();
    let written = Instant::now();
    let deadline = written + Duration::from_secs(300);
    loop {
        let health = gateway.get("/health").await.body;
        if generation(&health) > before {
            return written.elapsed().as_secs_f64() * 1e3;
        }
        assert!(health["status"] == "healthy" && Instant::now() < deadline, "never live: {health}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn row(change: &str, took: &mut [f64]) {
    took.sort_by(f64::total_cmp);
    let (least, most) = (took.first().copied().unwrap(), took.last().copied().unwrap());
    println!("{change:<58} {:>6} {:>8.0} {least:>8.0} {most:>8.0}", took.len(), took[took.len() / 2]);
}

async fn memory(once: bool) {
    let seconds = std::env::var("OCTROI_BENCH_SECONDS").ok().and_then(|it| it.parse().ok()).unwrap_or(60);
    let seconds = if once { 1 } else { seconds };
    let gateway = Arc::new(Setup::without_provider().start());
    let at_rest = resident(&gateway);
    let (answered, failed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let places = Arc::new(Semaphore::new(IN_FLIGHT));
    let mut tick = tokio::time::interval(Duration::from_millis(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let started = Instant::now();
    let mut sampled = started;
    let mut samples = Vec::new();
    while started.elapsed() < Duration::from_secs(seconds) {
        tick.tick().await;
        for _ in 0..RATE / 1_000 {
            let place = places.clone().acquire_owned().await.unwrap();
            let (gateway, answered, failed) = (gateway.clone(), answered.clone(), failed.clone());
            tokio::spawn(async move {
                let answer =
                    gateway.post("/api/policy/pre-check", json!({ "query": PROMPT, "client_id": "bench" })).await;
                let fine = answer.status == 200 && answer.body["approved"] == true;
                let counter = if fine { answered } else { failed };
                counter.fetch_add(1, Ordering::Relaxed);
                drop(place);
            });
        }
        if sampled.elapsed() > Duration::from_secs(1) {
            sampled = Instant::now();
            samples.push(resident(&gateway));
        }
    }
    let _all = places.acquire_many(IN_FLIGHT as u32).await.unwrap();
    samples.push(resident(&gateway));
    let rate = answered.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64();
    let half = samples.len() / 2;
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len().max(1) as f64;
    println!("\nresident memory, shipped policies, MB (10^6 bytes)");
    println!("{:<58} {at_rest:>8.1}", "at rest");
    println!(
        "{:<58} {:>8.1}",
        format!("most, in {seconds} s of {rate:.0} pre-checks/s ({} failed)", failed.load(Ordering::Relaxed)),
        samples.iter().copied().fold(0.0, f64::max)
    );
    println!("{:<58} {:>8.1}", "mean of the first half", mean(&samples[..half]));
    println!("{:<58} {:>8.1}", "mean of the second half", mean(&samples[half..]));
}

/// 416 characters of the kind that people send.
const PROMPT: &str = "Please summarise the minutes of our meeting on the new printer contract. The supplier offers \
    3 devices for each floor, delivery within 14 days, and a technician within 4 hours on working days. The board asked \
    whether toner is included, what happens after the first 36 months, and who pays for repairs that the users caused. \
    Keep it short, use plain words, list what is still open, and end with a proposal for a vote next week.";

/// Megabytes.
fn resident(gateway: &Gateway) -> f64 {
    let statm = fs::read_to_string(format!("/proc/{}/statm", gateway.child.id())).unwrap();
    let pages: f64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4_096.0 / 1e6
}
