//! The gateway over HTTP: what it adds to a call of the model, how many calls it carries, and what they cost it.
//!
//! `make bench-http`. The load generator and the model share one core (and one thread); the gateway, and beside it for
//! comparison nginx and a bare proxy, has another one for itself: of those that are not measured at the moment each
//! stands still. All are measured in the same rounds, one after the other, and set against the direct calls of their
//! own round, so that a noisy machine disturbs all alike; medians count, and the range is shown. What others took of
//! the two cores meanwhile stands beside; a run that they disturb is repeated a few times, and the least disturbed
//! counts.
//!
//! Words behind `cargo bench --bench http --` choose: only what has one of them in its name is measured, beside `direct`.
//! `OCTROI_BENCH_OTHER` names another build of the gateway, which is measured in the same rounds: before and after.
//! `OCTROI_BENCH_MINUTES` makes it one load of so many minutes instead, to see what stays resident.
//! `OCTROI_BENCH_PROFILES` names a folder in which gateways of a build that was made to (`make release`) write down what
//! they ran through.

#![expect(clippy::print_stdout, reason = "the table is what a bench is for")]
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a bench that cannot run says why and ends")]

mod bare;
mod clock;
mod connection;
mod load;
mod long;
mod mock;
mod nginx;
mod peak;
mod process;
mod report;
mod rounds;
mod subject;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use bare::Bare;
use clock::Clock;
use mimalloc::MiMalloc;
use nginx::Nginx;
use process::Process;
use subject::{Pressure, Server, Subject};
use support::{Gateway, Setup};

/// Where the gateway runs, and where the load generator and the model.
const CORES: [usize; 2] = [0, 1];

/// Whole answers, and pre-checks.
const CALLS: Pressure =
    Pressure { rate: 3_000, connections: 256, warm: Duration::from_millis(400), time: Duration::from_secs(3) };
/// Of 54 events each.
const STREAMS: Pressure = Pressure { rate: 100, ..CALLS };
/// Its rate is looked for.
const PEAK: Pressure =
    Pressure { connections: 1_024, warm: Duration::from_millis(200), time: Duration::from_millis(1_500), ..CALLS };

/// The gateway's.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const ROUNDS: usize = 5;
const PEAK_ROUNDS: usize = 3;

fn main() {
    if let Some(model) = bare::upstream() {
        return bare::run(model);
    }
    // `cargo test --benches` only asks whether it runs.
    let once = std::env::args().any(|it| it == "--test");
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    assert!(cores >= CORES.len(), "the gateway and the load generator need a core each");
    println!("{}", report::machine());
    process::stay_on(CORES[1]);
    process::allow_open_files();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    tokio::task::LocalSet::new().block_on(&runtime, measure(once));
}

async fn measure(once: bool) {
    let clock = Clock::start();
    let model = mock::start(clock.clone()).await.expect("a port");
    let mut wrapper = process::wrapper(CORES[0]);
    if let Ok(folder) = std::env::var("OCTROI_BENCH_PROFILES") {
        wrapper.extend(["env".to_owned(), format!("LLVM_PROFILE_FILE={folder}/%p.profraw")]);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let started = nginx::version().map(|version| (version, Nginx::start(folder.path(), &wrapper, model)));
    let bare = Bare::start(&wrapper, model);
    let gateways = [
        gateway(&wrapper, model, "process", "transform"),
        gateway(&wrapper, model, "process", "observe"),
        gateway(&wrapper, model, "disk", "transform"),
        without_audit(&wrapper, model),
    ];
    let other = std::env::var("OCTROI_BENCH_OTHER").ok();
    let other = other.map(|binary| gateway(&instead(&wrapper, &binary), model, "process", "transform"));
    match &started {
        Some((version, _)) => println!("nginx {version}: one process, kept connections, nothing buffered, no log"),
        None => println!("nginx is not there and left out: apt-get install nginx"),
    }

    let direct = Server { address: model, process: None };
    let nginx = started.as_ref().map(|(_, nginx)| running(nginx.address, nginx.child.id()));
    let bare_server = running(bare.address, bare.child.id());
    let of = |gateway: &Gateway| running(gateway.address, gateway.child.id());
    let [shipped, observing, on_disk, unrecorded] = gateways.each_ref().map(of);
    let other_server = other.as_ref().map(of);
    let pressure = |it: Pressure| if once { Pressure { time: Duration::from_millis(200), ..it } } else { it };
    let rounds = if once { 1 } else { ROUNDS };

    let calls = chosen([
        Some(direct.chat("direct")),
        nginx.map(|it| it.chat("nginx")),
        Some(bare_server.chat("axum and reqwest alone")),
        Some(shipped.chat("octroi, completions")),
        other_server.map(|it| it.chat("other, completions")),
        Some(shipped.request("octroi, request")),
        Some(shipped.pre_check("octroi, pre-check")),
        other_server.map(|it| it.pre_check("other, pre-check")),
        Some(unrecorded.chat("octroi without audit, completions")),
        Some(on_disk.chat("octroi on disk, completions")),
        Some(on_disk.request("octroi on disk, request")),
        Some(on_disk.pre_check("octroi on disk, pre-check")),
    ]);
    if let Some(minutes) = std::env::var("OCTROI_BENCH_MINUTES").ok().and_then(|minutes| minutes.parse().ok()) {
        return long::run(&clock, &shipped.chat("octroi, completions"), CALLS, minutes).await;
    }
    rounds::whole(&clock, &calls, pressure(CALLS), rounds).await;
    let streams = chosen([
        Some(direct.stream("direct")),
        nginx.map(|it| it.stream("nginx")),
        Some(observing.stream("octroi, stream, pii observes")),
        Some(shipped.stream("octroi, stream, pii transforms")),
        other_server.map(|it| it.stream("other, stream, pii transforms")),
    ]);
    rounds::streams(&clock, &streams, pressure(STREAMS), rounds).await;
    if !once {
        let peaks = chosen([
            Some(direct.chat("direct")),
            nginx.map(|it| it.chat("nginx")),
            Some(bare_server.chat("axum and reqwest alone")),
            Some(shipped.chat("octroi, completions")),
            Some(unrecorded.chat("octroi without audit, completions")),
            other_server.map(|it| it.chat("other, completions")),
            Some(shipped.pre_check("octroi, pre-check")),
            other_server.map(|it| it.pre_check("other, pre-check")),
        ]);
        peak::search(&clock, &peaks, PEAK, PEAK_ROUNDS).await;
    }
    println!("\nload average at the end {}", report::load_average());
    gateways.into_iter().chain(other).for_each(end);
}

/// By itself, not killed: only then profiles are written.
fn end(mut gateway: Gateway) {
    gateway.signal("-CONT");
    gateway.terminate();
    gateway.wait();
}

/// Those that are there and that the command line names; the first always.
fn chosen<const N: usize>(subjects: [Option<Subject>; N]) -> Vec<Subject> {
    let words: Vec<_> = std::env::args().skip(1).filter(|it| !it.starts_with('-')).collect();
    let named = |subject: &Subject| words.is_empty() || words.iter().any(|it| subject.name.contains(it.as_str()));
    let there = subjects.into_iter().flatten().enumerate();
    there.filter(|(at, subject)| *at == 0 || named(subject)).map(|(_, subject)| subject).collect()
}

/// A wrapper that runs another binary than the one it is given.
fn instead(wrapper: &[String], binary: &str) -> Vec<String> {
    let other = ["sh", "-c", &format!("shift; exec '{binary}' \"$@\""), "sh"].map(str::to_owned);
    wrapper.iter().cloned().chain(other).collect()
}

/// It stands still until it is measured.
fn running(address: SocketAddr, process: u32) -> Server {
    let process = Process(process);
    process.stand_still();
    Server { address, process: Some(process) }
}

/// The shipped policies in front of the model. `shown`: how `pii` is shown streams.
fn gateway(wrapper: &[String], model: SocketAddr, durability: &str, shown: &str) -> Gateway {
    audited(wrapper, model, &format!("{{ url: \"sqlite://FOLDER/octroi.db\", durability: {durability} }}"), shown)
}

/// The same, and nothing is recorded.
fn without_audit(wrapper: &[String], model: SocketAddr) -> Gateway {
    audited(wrapper, model, "{ url: none }", "transform")
}

fn audited(wrapper: &[String], model: SocketAddr, audit: &str, shown: &str) -> Gateway {
    let provider = format!(
        "llm_providers:\n  mistral:\n    credentials: {{ api_key: bench }}\n    config: {{ endpoint: \"http://{model}\" \
         }}\n"
    );
    let setup = Setup { double: Some(provider), policies: support::shipped(), ..Setup::default() }.audit(audit);
    let mut prepared = setup.prepare();
    prepared.wrapper = wrapper.to_vec();
    let configuration = prepared.path().join("octroi.yaml");
    let yaml = fs::read_to_string(&configuration).unwrap();
    let quieter = yaml.replace("level: debug", "level: info");
    assert_ne!(quieter, yaml, "the support's configuration has changed its form");
    fs::write(configuration, quieter).unwrap();
    let manifest = prepared.policies().join("pii.yaml");
    let pii = fs::read_to_string(&manifest).unwrap();
    fs::write(manifest, format!("{pii}\nstream: {{ mode: {shown} }}\n")).unwrap();
    prepared.start()
}
