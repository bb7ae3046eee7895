//! Hostile policies: what becomes of each attack, and that nobody else notices. `tests/hostile/README.md` says how the
//! files are written.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "tests fail by panics, and say what they measured")]

#[path = "hostile/attack.rs"]
mod attack;
mod support;
#[path = "hostile/texts.rs"]
mod texts;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use attack::{Attack, Outcome};
use futures_util::StreamExt;
use octroi::policy::engine::{Allocation, Engine};
use octroi::policy::load::worker::Worker;
use octroi::policy::load::{LoadCode, Module, Step};
use octroi::policy::manifest::Manifest;
use serde_json::{Value, json};
use support::{Gateway, Setup};

/// What every victim is asked; the files count on its bytes.
const QUERY: &str = "Grüße 😀";

/// How long a folder full of attacks may take to load: compile bombs are among them.
const LOADING: Duration = Duration::from_secs(900);

/// How much more a gateway may hold after all attacks than before them: the pool keeps pages of its warm slots, and
/// the allocator what it has taken from the system.
const KEPT: u64 = 96 << 20;

/// How much more it may hold after the last round of attacks than after the first.
const CREPT: u64 = 32 << 20;

/// How much more it may hold in between. The largest module has 60 MB, and is in memory while it is loaded.
const PEAK: u64 = 256 << 20;

const ON_ERROR: [&str; 2] = ["deny", "allow"];

/// All shipped policies, and compiled code that no other test has compiled.
fn setup() -> Setup {
    Setup::without_provider().yaml("policies: { directory: policies, cache: cache }\n")
}

/// Its policies are compiled first. How long the innocent ones take beside attacks is measured elsewhere.
fn start() -> Gateway {
    setup().prepare().unhurried().start_within(LOADING)
}

fn name(attack: &Attack, on_error: &str) -> String {
    format!("{}-{on_error}", attack.name)
}

/// Puts an attack into a folder: for a client of its own, so that the innocent do not meet it.
fn put(attack: &Attack, on_error: &str, folder: &Path) {
    // With a case, evaluations are part of loading.
    let case = match attack.expected {
        Outcome::Passes if !attack.manifest.contains("tests:") => "tests: [{ name: any, query: Hello, expect: {} }]\n",
        _ => "",
    };
    let (name, module) = (name(attack, on_error), format!("{}.wasm", attack.name));
    fs::write(folder.join(&module), &attack.module).unwrap();
    fs::write(
        folder.join(format!("{name}.yaml")),
        format!(
            "name: {name}\nmodule: {module}\norder: 50\non_error: {on_error}\nmatch: {{ clients: [{name}] }}\n{}{case}",
            attack.manifest
        ),
    )
    .unwrap();
}

/// Asks as the client that meets this policy, and gives the answer and what the record says of the policy.
async fn ask(gateway: &Gateway, policy: &str) -> (Value, Value) {
    let answer = gateway.post("/api/policy/pre-check", json!({ "query": QUERY, "client_id": policy })).await;
    let entries = gateway.search(json!({ "client_id": policy, "limit": 1 })).await;
    let evaluations = entries[0]["policy_details"]["evaluations"].as_array().unwrap();
    let evaluation = evaluations.iter().find(|it| it["policy"] == policy).cloned().unwrap_or_default();
    (answer.body, evaluation)
}

/// What is wrong with how an attack ended, if anything is.
async fn judge(gateway: &Gateway, attack: &Attack) -> Vec<String> {
    let mut wrong = Vec::new();
    for on_error in ON_ERROR {
        let policy = name(attack, on_error);
        let (answer, evaluation) = ask(gateway, &policy).await;
        let fits = match &attack.expected {
            Outcome::Error(code) => {
                let found = evaluation["error"]["code"].as_str().unwrap_or_default();
                let refused = answer["block_reason"] == format!("Request blocked by policy: {policy} ({found})");
                // On a machine that is busy enough an endless loop meets the wall before its own limit.
                (found == code || (code == "time_limit" && found == "wall_limit"))
                    && evaluation["action"] == on_error
                    && answer["approved"] == (on_error == "allow")
                    && refused == (on_error == "deny")
            }
            _ => answer["approved"] == true && evaluation["action"] == "allow" && evaluation["error"].is_null(),
        };
        if !fits {
            wrong.push(format!("{policy}: expected {:?}, got {answer} and {evaluation}", attack.expected));
        }
    }
    wrong
}

/// Requests of innocent clients, for as long as it lives.
struct Innocents {
    served: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
}

impl Innocents {
    fn start(gateway: &Arc<Gateway>) -> Self {
        let (served, stop) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let (gateway, counter, ended) = (gateway.clone(), served.clone(), stop.clone());
        let task = tokio::spawn(async move {
            while !ended.load(Ordering::Relaxed) {
                let fine = gateway.pre_check("Hello").await;
                assert_eq!((fine.status, &fine.body["approved"]), (200, &json!(true)), "{fine:?}");
                let injection = gateway.pre_check("x'; DROP TABLE users; --").await;
                assert_eq!((injection.status, &injection.body["approved"]), (200, &json!(false)), "{injection:?}");
                counter.fetch_add(2, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        Self { served, stop, task }
    }

    /// Waits until so many more are served.
    async fn served(&self, more: usize) {
        let wanted = self.served.load(Ordering::Relaxed) + more;
        while self.served.load(Ordering::Relaxed) < wanted && !self.task.is_finished() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn end(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap();
        self.served.load(Ordering::Relaxed)
    }
}

/// Bytes that a process holds, or held at most.
fn memory(gateway: &Gateway, what: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", gateway.child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with(what)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

/// Waits until the gateway has something to say of so many policies, good or bad.
async fn until_known(gateway: &Gateway, policies: usize) -> Value {
    let until = Instant::now() + LOADING;
    loop {
        let health = gateway.get("/health").await.body;
        let (live, errors) = (health["policies"]["live"].as_u64().unwrap(), errors(&health).len());
        if live as usize + errors == policies {
            return health;
        }
        assert!(Instant::now() < until, "{policies} policies were never known: {health}\n{}", gateway.log.text());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn errors(health: &Value) -> &[Value] {
    health["policies"]["errors"].as_array().unwrap()
}

fn failure_of<'a>(health: &'a Value, policy: &str) -> (&'a str, &'a str) {
    errors(health)
        .iter()
        .find(|it| it["policy"] == policy)
        .map_or(("", "loaded"), |it| (it["step"].as_str().unwrap(), it["code"].as_str().unwrap()))
}

/// Every attack comes into the folder of a running gateway, is met by requests, and goes again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_attack_ends_as_its_file_says_and_nobody_else_notices() {
    let gateway = Arc::new(start());
    let innocents = Innocents::start(&gateway);
    innocents.served(200).await;
    let before = memory(&gateway, "VmRSS");

    let attacks = attack::all();
    assert!(attacks.len() >= 100, "only {} attacks were found", attacks.len());
    let (refused, loaded): (Vec<_>, Vec<_>) =
        attacks.iter().partition(|attack| matches!(attack.expected, Outcome::Refused(..)));
    for attack in &attacks {
        put(attack, "deny", &gateway.policies());
    }
    // The same module and cases: what is refused is not compiled again for this.
    for attack in &loaded {
        put(attack, "allow", &gateway.policies());
    }
    let started = Instant::now();
    let health = until_known(&gateway, 3 + refused.len() + 2 * loaded.len()).await;
    eprintln!("{} attacks loaded or refused in {:?}", attacks.len(), started.elapsed());
    let mut wrong = Vec::new();
    for attack in &attacks {
        let expected = match &attack.expected {
            Outcome::Refused(step, code) => (step.as_str(), code.as_str()),
            _ => ("", "loaded"),
        };
        let found = failure_of(&health, &name(attack, "deny"));
        if found != expected {
            let policy = name(attack, "deny");
            let message =
                gateway.log.text().lines().rfind(|line| line.contains(&policy)).unwrap_or_default().to_owned();
            wrong.push(format!("{policy}: expected {:?}, came to {found:?}: {message}", attack.expected));
        }
    }
    let (harmless, failing): (Vec<_>, Vec<_>) =
        loaded.into_iter().partition(|attack| attack.expected == Outcome::Passes);
    // Again and again: nothing of one evaluation may reach the next, and nothing of it may stay.
    let mut held = Vec::new();
    for _ in 0..if std::env::var_os("OCTROI_SOAK").is_some() { 20 } else { 3 } {
        for attack in &failing {
            wrong.extend(judge(&gateway, attack).await);
        }
        let mut judged = futures_util::stream::iter(&harmless).map(|attack| judge(&gateway, attack)).buffered(4);
        while let Some(found) = judged.next().await {
            wrong.extend(found);
        }
        held.push(memory(&gateway, "VmRSS"));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    for attack in &attacks {
        for on_error in ON_ERROR {
            let _ = fs::remove_file(gateway.policies().join(format!("{}.yaml", name(attack, on_error))));
        }
        fs::remove_file(gateway.policies().join(&attack.name).with_extension("wasm")).unwrap();
    }
    until_known(&gateway, 3).await;
    innocents.served(200).await;
    let (after, peak) = (memory(&gateway, "VmRSS"), memory(&gateway, "VmHWM"));
    let served = innocents.end().await;
    let mib = |bytes: u64| bytes >> 20;
    let (first, last) = (held[0], held[held.len() - 1]);
    eprintln!(
        "{served} innocent requests served; {} MiB held before, {} after the first of {} rounds, {} after the last, {} \
         when all were gone, {} at most",
        mib(before),
        mib(first),
        held.len(),
        mib(last),
        mib(after),
        mib(peak)
    );
    assert!(last <= first + CREPT, "memory creeps");
    assert!(after <= before + KEPT, "memory is not given back");
    assert!(peak <= before + PEAK, "somebody else's memory was the gateway's");
}

/// Attacks that are refused at load, one for each way: nobody knows what they would have stopped, so that at a start
/// `on_error` decides.
const REFUSED: [&str; 8] = [
    "undeclared_core_import",
    "missing_export",
    "answer_by_table",
    "memory_bomb_by_minimum",
    "trap_in_configure",
    "settings_refused",
    "error_of_megabytes_from_configure",
    "table_that_is_too_large_for_the_pool",
];

#[tokio::test]
async fn an_attack_that_is_there_at_the_start_refuses_what_it_would_have_judged() {
    let prepared = setup().prepare();
    let attacks = REFUSED.map(attack::named);
    for attack in &attacks {
        ON_ERROR.iter().for_each(|on_error| put(attack, on_error, &prepared.policies()));
    }
    let gateway = prepared.start_within(LOADING);
    let health = gateway.get("/health").await.body;
    assert_eq!(gateway.pre_check("Hello").await.body["approved"], true);
    for attack in &attacks {
        let Outcome::Refused(step, code) = &attack.expected else { panic!("{} is not refused", attack.name) };
        for on_error in ON_ERROR {
            let policy = name(attack, on_error);
            assert_eq!(failure_of(&health, &policy), (step.as_str(), code.as_str()), "{policy}");
            let (answer, evaluation) = ask(&gateway, &policy).await;
            assert_eq!(answer["approved"], on_error == "allow", "{policy}: {answer}");
            if on_error == "deny" {
                let reason = format!("Request blocked by policy: {policy} (policy_not_loaded)");
                assert_eq!(answer["block_reason"], reason, "{policy}");
            }
            assert_eq!(evaluation["error"]["code"], "policy_not_loaded", "{policy}: {evaluation}");
            let message = evaluation["error"]["message"].as_str().unwrap();
            assert!(message.contains(step) && message.contains(code), "{policy}: {message}");
        }
    }
}

#[tokio::test]
async fn settings_that_crash_a_policy_leave_its_last_version_in_force() {
    let gateway = start();
    let crash = attack::named("settings_that_crash_configure");
    let policy = name(&crash, "deny");
    let calm = Attack { manifest: String::new(), ..crash.clone() };
    put(&calm, "deny", &gateway.policies());
    until_known(&gateway, 4).await;
    let (_, before) = ask(&gateway, &policy).await;
    put(&crash, "deny", &gateway.policies());
    let health = gateway.until("/health", |body| body["status"] == "degraded").await;
    assert_eq!(failure_of(&health, &policy), ("configure", "guest_failed"));
    let (answer, after) = ask(&gateway, &policy).await;
    assert_eq!(answer["approved"], true);
    assert_eq!((&after["version"], &after["error"]), (&before["version"], &Value::Null));
}

/// What `log_of_terminal_escapes` writes, as it must come out.
const HARMLESS: &str = r#"\u{1b}[31mred\u{1b}]0;owned\u{7}\r\n{"level":"ERROR"}\u{0}\u{202e}end"#;

#[tokio::test]
async fn a_policys_log_can_neither_steer_a_terminal_nor_forge_a_line() {
    let gateway = start();
    let attack = attack::named("log_of_terminal_escapes");
    put(&attack, "deny", &gateway.policies());
    until_known(&gateway, 4).await;
    let policy = name(&attack, "deny");
    assert_eq!(ask(&gateway, &policy).await.0["approved"], true);
    let said = async |level: &str, message: &str| {
        let wanted = |line: &Value| line["level"] == level && line["fields"]["message"] == message;
        assert!(gateway.log.wait(|line| wanted(line) && line["fields"]["policy"] == policy).await.is_some(), "{level}");
    };
    said("INFO", &format!("ERROR: {HARMLESS}")).await;
    for level in ["DEBUG", "INFO", "WARN", "ERROR"] {
        said(level, HARMLESS).await;
    }
    let of_the_request = gateway.log.all(|line| line["fields"]["message"] == HARMLESS);
    assert!(of_the_request.iter().all(|line| line["fields"]["request"].is_string()), "{of_the_request:?}");
    for line in gateway.log.text().lines() {
        assert!(serde_json::from_str::<Value>(line).is_ok_and(|it| it["timestamp"].is_string()), "forged: {line}");
        assert!(!line.contains(|it: char| it.is_control()), "{line:?}");
    }
}

#[tokio::test]
async fn a_policys_names_can_not_steer_a_terminal_from_the_record() {
    let gateway = start();
    let attack = attack::named("control_characters_in_a_rule");
    put(&attack, "deny", &gateway.policies());
    until_known(&gateway, 4).await;
    let (_, evaluation) = ask(&gateway, &name(&attack, "deny")).await;
    let harmless = r"\u{1b}[2J\r\nforged";
    assert_eq!(evaluation["findings"][0]["rule"], harmless);
    assert_eq!(evaluation["findings"][0]["category"], harmless);
    assert_eq!(evaluation["tags"][0], format!("{harmless}={harmless}"));
}

/// As many spinning requests as there are cores, all the time, and not one innocent request waits for one of them.
/// How little they wait is measured by `make soak` (`benches/spinning.rs`).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn innocent_requests_are_served_while_others_spin() {
    let gateway = Arc::new(start());
    let mut spin = attack::named("endless_loop");
    spin.manifest = "limits: { time: 60s }\n".into();
    put(&spin, "deny", &gateway.policies());
    until_known(&gateway, 4).await;
    let client = name(&spin, "deny");
    let cores = std::thread::available_parallelism().unwrap().get();
    let spinning: Vec<_> = (0..cores)
        .map(|_| {
            let request = support::client(LOADING).post(gateway.url("/api/policy/pre-check"));
            tokio::spawn(request.json(&json!({ "query": QUERY, "client_id": client })).send())
        })
        .collect();
    let innocents = Innocents::start(&gateway);
    innocents.served(100).await;
    assert!(spinning.iter().all(|it| !it.is_finished()), "they were to spin for a minute");
    innocents.end().await;
    spinning.iter().for_each(|it| it.abort());
}

#[tokio::test]
async fn files_that_are_no_policies_are_called_by_their_names() {
    let engine = Engine::start(Allocation::Pooled(4)).unwrap();
    let octroi = PathBuf::from(env!("CARGO_BIN_EXE_octroi"));
    let worker = Worker::new(engine, None, octroi, Duration::from_secs(120));
    let component = wat::parse_str("(component)").unwrap();
    let native = wasmtime::Engine::default().precompile_component(&component).unwrap();
    let mut truncated = fs::read(support::repository_policies().join("pii.wasm")).unwrap();
    truncated.truncate(100_000);
    let random = (0..5_000_u32).map(|it| (it.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let cases: Vec<(&str, Vec<u8>, Step, LoadCode)> = vec![
        ("empty", Vec::new(), Step::Encode, LoadCode::NotWasm),
        ("text", b"(module)".to_vec(), Step::Encode, LoadCode::NotWasm),
        ("native", native, Step::Encode, LoadCode::NotWasm),
        ("random", random, Step::Encode, LoadCode::NotWasm),
        ("header-alone", b"\0asm\x01\0\0\0".to_vec(), Step::Validate, LoadCode::BadExports),
        ("unknown-version", b"\0asm\x02\0\0\0".to_vec(), Step::Encode, LoadCode::NotWasm),
        ("truncated", truncated, Step::Encode, LoadCode::Invalid),
        ("empty-component", component, Step::Validate, LoadCode::BadExports),
    ];
    for (name, bytes, step, code) in cases {
        let manifest = Manifest::parse(&format!("name: {name}\nmodule: {name}.wasm\n"), name).unwrap();
        let error = worker.load(&manifest, Module::new(bytes)).await.map(|_| ()).unwrap_err();
        assert_eq!((error.step, error.code), (step, code), "{name}: {error}");
    }
}

/// Hundreds of policies of 25 kB each, all of which see every request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_of_many_policies_is_loaded_and_judged() {
    let many = if std::env::var_os("OCTROI_SOAK").is_some() { 500 } else { 25 };
    let gateway = start();
    let module = attack::named("one_of_many").module;
    assert!((20_000..30_000).contains(&module.len()), "{} bytes", module.len());
    for number in 0..many {
        let path = gateway.policies().join(format!("one-of-many-{number}.wasm"));
        // A custom section makes each another component, so that none is another one's version.
        let section = format!("\0\x0b\x06number{number:04}");
        fs::write(&path, [module.as_slice(), section.as_bytes()].concat()).unwrap();
        let manifest = format!("name: one-of-many-{number}\nmodule: one-of-many-{number}.wasm\n");
        fs::write(path.with_extension("yaml"), manifest).unwrap();
    }
    let started = Instant::now();
    let health = until_known(&gateway, many + 3).await;
    eprintln!("{many} policies of {} bytes were live after {:?}", module.len(), started.elapsed());
    assert_eq!(health["status"], "healthy", "{health}");
    let checked = gateway.pre_check("Hello").await;
    assert_eq!(checked.body["approved"], true, "{checked:?}");
    let entries = gateway.search(json!({ "limit": 1 })).await;
    let evaluations = entries[0]["policy_details"]["evaluations"].as_array().unwrap();
    let asked = evaluations.iter().filter(|it| it["policy"].as_str().unwrap().starts_with("one-of-many")).count();
    assert_eq!(asked, many);
    eprintln!("{} MiB held", memory(&gateway, "VmRSS") >> 20);
}
