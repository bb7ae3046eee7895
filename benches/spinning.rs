//! What innocent requests notice of spinning ones: their latency under a constant load, undisturbed, with one spinning
//! request in flight all the time, and with as many as there are cores.
//!
//! `make soak`. The bounds are meant for the release build. Rounds of the three kinds are interleaved and each gives its
//! own percentiles, of which the median counts: a noisy neighbour spoils a round, not the figure. The records are kept in
//! memory where the system has a folder for that: flushes of a disk, which are in every figure's 99th percentile, are not
//! what is looked for. Ends with an error when a bound is broken.

#![expect(clippy::print_stdout, reason = "the table is what a bench is for")]
#![expect(clippy::unwrap_used, reason = "a bench that cannot run says why and ends")]

#[path = "../tests/hostile/attack.rs"]
mod attack;
#[path = "../tests/support/mod.rs"]
mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use support::Setup;

/// Innocent requests a second, spread over the connections.
const RATE: u32 = 500;
const CONNECTIONS: u32 = 4;
const ROUND: Duration = Duration::from_secs(2);
const ROUNDS: usize = 15;

/// What people send, of the kind that no policy minds.
const PROMPT: &str = "Please summarise the minutes of our meeting on the new printer contract. The supplier offers 3 \
    devices for each floor, delivery within 14 days, and a technician within 4 hours on working days.";

fn main() -> ExitCode {
    let prepared = Setup::without_provider().prepare();
    let configuration = prepared.path().join("octroi.yaml");
    let quiet = fs::read_to_string(&configuration).unwrap().replace("level: debug", "level: info");
    let memory = tempfile::tempdir_in("/dev/shm").ok();
    let quiet = match &memory {
        Some(memory) => quiet.replace(
            &format!("sqlite://{}", prepared.path().display()),
            &format!("sqlite://{}", memory.path().display()),
        ),
        None => quiet,
    };
    fs::write(configuration, quiet).unwrap();
    let spin = attack::named("endless_loop");
    fs::write(prepared.policies().join("spin.wasm"), spin.module).unwrap();
    let manifest = "name: spin\nmodule: spin.wasm\nmatch: { clients: [spinner] }\n";
    fs::write(prepared.policies().join("spin.yaml"), manifest).unwrap();
    let gateway = prepared.start();

    let cores = std::thread::available_parallelism().unwrap().get();
    let kinds = [0, 1, cores];
    println!(
        "{RATE} innocent requests a second on {CONNECTIONS} connections, {ROUNDS} rounds of {ROUND:?} of each kind, {} \
         cores; milliseconds",
        cores
    );
    let mut rounds: Vec<Vec<Percentiles>> = vec![Vec::new(); kinds.len()];
    let mut spun = vec![0; kinds.len()];
    round(gateway.address, 0);
    for _ in 0..ROUNDS {
        for (index, spinners) in kinds.into_iter().enumerate() {
            let (percentiles, ended) = round(gateway.address, spinners);
            rounds[index].push(percentiles);
            spun[index] += ended;
        }
    }
    println!("{:<10} {:>8} {:>8} {:>8} {:>8} {:>10}", "spinning", "p50", "p90", "p99", "worst", "spun");
    let figures: Vec<_> = rounds.iter().map(|rounds| Percentiles::median(rounds)).collect();
    for ((spinners, figure), spun) in kinds.iter().zip(&figures).zip(&spun) {
        let Percentiles { p50, p90, p99, worst } = figure;
        println!("{spinners:<10} {p50:>8.3} {p90:>8.3} {p99:>8.3} {worst:>8.3} {spun:>10}");
    }
    let [undisturbed, one, many] = figures.as_slice() else { return ExitCode::FAILURE };
    let bounds = [
        ("one spinning request: p99 within twice the undisturbed one", one.p99, 2.0 * undisturbed.p99),
        ("as many as cores: median within twice the undisturbed one", many.p50, 2.0 * undisturbed.p50),
        ("as many as cores: p99 below 10 ms", many.p99, 10.0),
    ];
    let mut kept = true;
    for (what, found, allowed) in bounds {
        let holds = found <= allowed;
        kept &= holds;
        println!("{} {what} ({found:.3} of {allowed:.3})", if holds { "kept  " } else { "BROKEN" });
    }
    if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[derive(Clone, Copy)]
struct Percentiles {
    p50: f64,
    p90: f64,
    p99: f64,
    worst: f64,
}

impl Percentiles {
    fn of(mut durations: Vec<Duration>) -> Self {
        durations.sort();
        let at = |share: f64| durations[((durations.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
        Self { p50: at(0.5), p90: at(0.9), p99: at(0.99), worst: at(1.0) }
    }

    fn median(rounds: &[Self]) -> Self {
        let of = |figure: fn(&Self) -> f64| {
            let mut figures: Vec<_> = rounds.iter().map(figure).collect();
            figures.sort_by(f64::total_cmp);
            figures[figures.len() / 2]
        };
        Self { p50: of(|it| it.p50), p90: of(|it| it.p90), p99: of(|it| it.p99), worst: of(|it| it.worst) }
    }
}

/// One round: the innocents' latencies, and how many spinning requests ended meanwhile.
fn round(address: SocketAddr, spinners: usize) -> (Percentiles, usize) {
    let (done, spun) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..spinners {
            scope.spawn(|| {
                let mut connection = Connection::open(address, "spinner", "Hello");
                while !done.load(Ordering::Relaxed) {
                    assert!(connection.ask().contains("_limit)"));
                    spun.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let innocents: Vec<_> = (0..CONNECTIONS).map(|number| scope.spawn(move || innocent(address, number))).collect();
        let durations = innocents.into_iter().flat_map(|it| it.join().unwrap()).collect();
        done.store(true, Ordering::Relaxed);
        (Percentiles::of(durations), spun.load(Ordering::Relaxed))
    })
}

/// Asks at a constant rate. Whoever is late because the answer before was late has waited since the request was due.
fn innocent(address: SocketAddr, number: u32) -> Vec<Duration> {
    let mut connection = Connection::open(address, "library", PROMPT);
    let interval = Duration::from_secs(1) * CONNECTIONS / RATE;
    let mut due = Instant::now() + interval * number / CONNECTIONS;
    let end = Instant::now() + ROUND;
    let mut durations = Vec::new();
    while due < end {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let began = if durations.is_empty() || due > connection.answered { Instant::now() } else { due };
        assert!(connection.ask().contains("\"approved\":true"));
        durations.push(connection.answered - began);
        due += interval;
    }
    durations
}

/// A kept connection and a pre-check for it.
struct Connection {
    stream: TcpStream,
    request: String,
    answered: Instant,
}

impl Connection {
    fn open(address: SocketAddr, client: &str, query: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(support::PATIENCE)).unwrap();
        let body = format!(r#"{{"query":"{query}","client_id":"{client}"}}"#);
        let request = format!(
            "POST /api/policy/pre-check HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        Self { stream, request, answered: Instant::now() }
    }

    fn ask(&mut self) -> String {
        self.stream.write_all(self.request.as_bytes()).unwrap();
        let (mut answer, mut piece) = (Vec::new(), [0; 4_096]);
        loop {
            let read = self.stream.read(&mut piece).unwrap();
            assert!(read > 0, "the gateway closed the connection");
            answer.extend_from_slice(&piece[..read]);
            if complete(&answer) {
                self.answered = Instant::now();
                return String::from_utf8(answer).unwrap();
            }
        }
    }
}

fn complete(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    body.len() >= length.unwrap_or(usize::MAX)
}
