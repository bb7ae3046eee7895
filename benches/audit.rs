//! The audit store by itself: records a second into SQLite, how long an append waits, how long a search takes, and how
//! fast a policy is tried on what is recorded.
//!
//! `make bench`. Requests of an ordinary size, intent and outcome each, as the gateway writes them, into a file in the
//! system's temporary folder. `OCTROI_BENCH_RECORDS` (by default 5,000,000) records are there when searches and the
//! replay are measured.

#![expect(clippy::print_stdout, reason = "the table is what a bench is for")]
#![expect(clippy::expect_used, reason = "a bench that cannot run says why and ends")]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use octroi::audit::record::{
    Action, Caller, Content, Decision, Finding, Intent, Mode, Outcome, Phase, PolicyEvaluation, Readings,
};
use octroi::audit::{AuditKey, AuditLog, AuditStore, Durability, Query, Settings};

/// Requests in flight at once.
const CALLERS: usize = 256;
/// How often each search is asked.
const SEARCHES: usize = 21;

fn main() {
    // `cargo test --benches` only asks whether it runs.
    let once = std::env::args().any(|it| it == "--test");
    let records = std::env::var("OCTROI_BENCH_RECORDS").ok().and_then(|it| it.parse().ok()).unwrap_or(5_000_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        println!("{:<44} {:>12} {:>12} {:>12}", "appending, requests in flight", "records/s", "p50", "p99");
        for (durability, callers) in
            [(Durability::Process, 1), (Durability::Process, CALLERS), (Durability::Disk, CALLERS)]
        {
            let requests = if once { callers } else { (callers * 200).clamp(5_000, 100_000) };
            let folder = tempfile::tempdir().expect("a folder");
            let log = open(folder.path(), durability);
            let appended = append(&log, callers, requests, 0).await;
            println!(
                "{:<44} {:>12.0} {:>12?} {:>12?}",
                format!("{durability:?}, {callers}"),
                appended.rate,
                appended.p50,
                appended.p99
            );
            log.shutdown().await.expect("an end");
        }
        let folder = tempfile::tempdir().expect("a folder");
        let log = open(folder.path(), Durability::Process);
        let requests = if once { 1_000 } else { records / 2 };
        let filled = append(&log, CALLERS, requests, 0).await;
        println!(
            "\n{} records at {:.0} a second; then, newest first, pages of 100 (median, most):",
            requests * 2,
            filled.rate
        );
        search(&log).await;
        log.shutdown().await.expect("an end");
        replay(folder.path());
    });
}

fn open(folder: &Path, durability: Durability) -> AuditLog {
    let (key, _) = AuditKey::read_or_make(&folder.join("audit.key")).expect("a key");
    let settings = Settings { durability, key, ..Settings::new(store(folder)).expect("random bytes") };
    AuditLog::open(&settings).expect("a store")
}

fn store(folder: &Path) -> AuditStore {
    AuditStore::Sqlite(folder.join("audit.db"))
}

struct Appended {
    rate: f64,
    p50: Duration,
    p99: Duration,
}

async fn append(log: &AuditLog, callers: usize, requests: usize, from: usize) -> Appended {
    let started = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let log = log.clone();
            tokio::spawn(async move {
                let mut took = Vec::new();
                for number in (caller..requests).step_by(callers) {
                    let (intent, outcome) = request(from + number);
                    let permit = log.reserve_request().expect("room");
                    let before = Instant::now();
                    let (durable, permit) = permit.intent(intent);
                    durable.await.expect("an intent");
                    took.push(before.elapsed());
                    permit.outcome(outcome);
                }
                took
            })
        })
        .collect();
    let mut took = Vec::new();
    for task in tasks {
        took.extend(task.await.expect("a caller"));
    }
    log.settle().await;
    let rate = 2.0 * took.len() as f64 / started.elapsed().as_secs_f64();
    took.sort();
    let at = |part: usize| took.get(took.len() * part / 100).copied().unwrap_or_default();
    Appended { rate, p50: at(50), p99: at(99) }
}

async fn search(log: &AuditLog) {
    let some = |text: &str| Some(text.to_owned());
    let tenant = || Query::new("acme");
    for (name, query) in [
        ("a tenant", tenant()),
        ("a client", Query { client_id: some("client-3"), ..tenant() }),
        ("a person", Query { user_email: some("person-43@example.org"), ..tenant() }),
        ("blocked", Query { action: some("blocked"), ..tenant() }),
        ("a policy", Query { policy_name: some("pii"), ..tenant() }),
        ("an hour", Query { start: Some(Timestamp::now() - SignedDuration::from_hours(1)), ..tenant() }),
        ("an id", Query { decision_id: some("req_0000000777"), ..tenant() }),
    ] {
        let mut took = Vec::new();
        let mut total = 0;
        for _ in 0..SEARCHES {
            let before = Instant::now();
            total = log.search(query.clone()).await.expect("a page").total;
            took.push(before.elapsed());
        }
        took.sort();
        let (median, most) = (took[SEARCHES / 2], took[SEARCHES - 1]);
        println!("{name:<44} {median:>12?} {most:>12?} of {total}");
    }
}

/// What `pii` says of every request, by the command that tries a policy before it goes live.
fn replay(folder: &Path) {
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let yaml = format!(
        "version: \"1.0\"\naudit: {{ url: \"sqlite://audit.db\" }}\npolicies: {{ directory: \"{}\" }}\n",
        policies.display()
    );
    std::fs::write(folder.join("octroi.yaml"), yaml).expect("a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_octroi"));
    command.args(["audit", "replay", "--since", "1d", "--policy"]).arg(policies.join("pii.yaml")).current_dir(folder);
    let output = command.output().expect("octroi starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report = String::from_utf8_lossy(&output.stdout);
    for line in report.lines().filter(|line| line.starts_with("judged again") || line.starts_with("time")) {
        println!("replay, {line}");
    }
}

/// One tenant, by which no search is narrowed, with ten clients of ten people each; every tenth request is refused by a
/// policy.
fn request(number: usize) -> (Intent, Outcome) {
    let blocked = number % 10 == 7;
    let decision = if blocked { Decision::Blocked } else { Decision::Allowed };
    let client = number / 10 % 10;
    let request_id = format!("req_{number:010}");
    let said = |role: &str, text: &str| serde_json::json!([{ "role": role, "parts": [{ "kind": "text", "text": text.repeat(8) }] }]);
    let policies = ["pii", "sql-injection", "audit-redact"]
        .map(|policy| evaluation(policy, if blocked && policy == "pii" { Action::Deny } else { Action::Allow }));
    let intent = Intent {
        request_id: request_id.clone(),
        at: Timestamp::now(),
        surface: "proxy".into(),
        request_type: "chat".into(),
        caller: Caller {
            client: format!("client-{client}"),
            tenant: "acme".to_owned(),
            user: format!("person-{}@example.org", number / 10 % 100),
        },
        provider: String::new(),
        model: "mistral-small-latest".into(),
        provider_key_hmac: None,
        providers: vec!["mistral".into()],
        model_aliases: Vec::new(),
        estimated_cost_usd: None,
        attributes: 0,
        decision,
        block_reason: None,
        generation: 1,
        policies: policies.into(),
        not_inspected: Vec::new(),
        error: None,
        content: Content::unchanged(&said("user", "Explain the AI Act in two sentences to a baker in Lyon. ")),
    };
    let outcome = Outcome {
        request_id,
        at: Timestamp::now(),
        decision,
        provider: "mistral".into(),
        model: "mistral-small-latest".into(),
        attempts: 1,
        calls: Vec::new(),
        prompt_tokens: 100,
        completion_tokens: 80,
        cached_tokens: 0,
        cache_write_tokens: 0,
        cost_usd: Some(0.00004),
        estimated: false,
        latency_ms: 20,
        finish_reason: Some("stop".into()),
        block_reason: None,
        policies: vec![evaluation("audit-redact", Action::Allow)],
        not_inspected: Vec::new(),
        error: None,
        client_gone: false,
        streamed: None,
        notes: Vec::new(),
        content: Content::unchanged(&said("assistant", "It sorts uses by risk, and asks more of the risky ones. ")),
    };
    (intent, outcome)
}

fn evaluation(policy: &str, action: Action) -> PolicyEvaluation {
    let finding = Finding { rule: "iban".into(), category: "pii".into(), severity: "high".into(), place: None };
    PolicyEvaluation {
        policy: policy.into(),
        phase: Phase::PreCheck,
        version: "6140c5b1d9b4f1d02a7c6a5b3e8d7f90123456789abcdef0123456789abcdef0".into(),
        settings_hash: "1681af3be9c2d4e5f60718293a4b5c6d7e8f90123456789abcdef0123456789a".into(),
        mode: Mode::Enforce,
        enforced: true,
        stream: None,
        action,
        reason: None,
        findings: if action == Action::Allow { Vec::new() } else { vec![finding] },
        edits: 0,
        edits_hmac: None,
        tags: Vec::new(),
        error: None,
        readings: Readings::default(),
        elapsed_us: 9,
        skipped: false,
    }
}
