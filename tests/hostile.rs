//! Hostile policies: what becomes of each attack, and that nobody else notices. `tests/hostile/README.md` says how the
//! files are read.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests fail by panics, and say which attack"
)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use octroi::chat::{Message, Role};
use octroi::policy::Question;
use octroi::policy::counters::InProcess;
use octroi::policy::engine::{Allocation, Engine};
use octroi::policy::load::worker::Worker;
use octroi::policy::load::{LoadCode, LoadError, Step};
use octroi::policy::manifest::{CaseContext, Manifest};
use octroi::policy::readings::Source;
use octroi::policy::run::Runner;
use octroi::policy::set::LivePolicy;
use serde_json::json;
use support::Setup;
use wit_component::StringEncoding;

const LOG: &str = r#"(import "octroi:policy/log@0.1.0" "write" (func $log (param i32 i32 i32)))"#;
const MEMORY: &str = r#"(memory (export "memory") 2)"#;
const REALLOC: &str = r#"
(global $next (mut i32) (i32.const 65536))
(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
  (local $at i32)
  (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
  (global.set $next (i32.add (local.get $at) (local.get 3)))
  (local.get $at))"#;
const CONFIGURE: &str =
    r#"(func (export "octroi:policy/lifecycle@0.1.0#configure") (param i32 i32) (result i32) (i32.const 1024))"#;
const DESCRIBE: &str = r#"(func (export "octroi:policy/lifecycle@0.1.0#describe") (result i32) (i32.const 1024))"#;

/// What must come of an attack.
#[derive(Debug, PartialEq)]
enum Outcome {
    Refused(String, String),
    Error(String),
    Passes,
}

struct Attack {
    name: String,
    expected: Outcome,
    module: Vec<u8>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile")
}

fn attacks() -> Vec<Attack> {
    let mut files: Vec<_> = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().filter(|path| path.extension().is_some_and(|it| it == "wat")).map(|path| attack(path)).collect()
}

fn attack(path: &Path) -> Attack {
    let text = fs::read_to_string(path).unwrap();
    let first = text.lines().next().unwrap().trim_start_matches(";; ");
    let expected = match first.split(' ').collect::<Vec<_>>().as_slice() {
        ["load", step, code] => Outcome::Refused((*step).into(), (*code).into()),
        ["evaluate", code] => Outcome::Error((*code).into()),
        ["passes"] => Outcome::Passes,
        _ => panic!("{}: `{first}` is no expectation", path.display()),
    };
    let line = text.lines().find(|line| line.starts_with(";; prelude")).unwrap();
    let parts =
        [("log", LOG), ("memory", MEMORY), ("realloc", REALLOC), ("configure", CONFIGURE), ("describe", DESCRIBE)];
    let prelude: String = parts.iter().filter(|(name, _)| !line.contains(name)).map(|(_, text)| *text).collect();
    let module = format!("(module {prelude}\n{text}\n)");
    let mut module = wat::parse_str(&module).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    describe_world(&mut module);
    Attack { name: path.file_stem().unwrap().to_string_lossy().replace('_', "-"), expected, module }
}

/// What `wit-bindgen` leaves in a core module, so that the loader can make a component of it.
fn describe_world(module: &mut Vec<u8>) {
    let mut resolve = wit_parser::Resolve::default();
    let (package, _) = resolve.push_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("wit")).unwrap();
    let world = resolve.select_world(&[package], Some("pre-check-policy")).unwrap();
    wit_component::embed_component_metadata(module, &resolve, world, StringEncoding::UTF8).unwrap();
}

/// A manifest. With a case, the evaluation is part of loading.
fn manifest(name: &str, with_case: bool) -> String {
    let case = if with_case { "tests: [{ name: any, query: Hello, expect: {} }]\n" } else { "" };
    format!("name: {name}\nmodule: {name}.wasm\norder: 50\n{case}")
}

struct Bench {
    worker: Worker,
    runner: Runner,
}

impl Bench {
    fn new() -> Self {
        let engine = Engine::start(Allocation::Pooled(16)).unwrap();
        let octroi = PathBuf::from(env!("CARGO_BIN_EXE_octroi"));
        Self {
            worker: Worker::new(engine.clone(), None, octroi, Duration::from_secs(120)),
            runner: Runner::new(engine, 16, Arc::new(InProcess::default())).unwrap(),
        }
    }

    async fn load(&self, name: &str, module: Vec<u8>, with_case: bool) -> Result<Arc<LivePolicy>, LoadError> {
        let manifest = Manifest::parse(&manifest(name, with_case), name).unwrap();
        let version = self.worker.load(&manifest, Arc::new(module)).await?;
        let settings_hash = manifest.settings_hash();
        Ok(Arc::new(LivePolicy { manifest: Arc::new(manifest), version, settings_hash, tally: Arc::default() }))
    }

    async fn outcome(&self, name: &str, module: Vec<u8>, with_case: bool) -> Outcome {
        let policy = match self.load(name, module, with_case).await {
            Ok(policy) => policy,
            Err(error) => return Outcome::Refused(error.step.as_str().into(), error.code.as_str().into()),
        };
        let context = Arc::new(CaseContext::default().context());
        let messages = Arc::new(vec![Message::text(Role::User, "Grüße 😀")]);
        let mut last = Outcome::Passes;
        // Again and again: nothing of one evaluation may reach the next.
        for _ in 0..5 {
            last = match self.runner.evaluate(&policy, source(&policy), Question::PreCheck, &context, &messages).await {
                Ok(evaluated) if evaluated.verdict.action.refuses() => Outcome::Error("verdict changed".into()),
                Ok(_) => Outcome::Passes,
                Err(failed) => Outcome::Error(failed.error.code().into()),
            };
        }
        last
    }
}

fn source(policy: &LivePolicy) -> Source {
    Source::World { counters: Arc::new(InProcess::default()), policy: policy.manifest.clone(), shadow: false }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_attack_ends_as_its_file_says() {
    let bench = Arc::new(Bench::new());
    let attacks = attacks();
    assert!(attacks.len() >= 30, "only {} attacks were found", attacks.len());
    let mut running = tokio::task::JoinSet::new();
    for attack in attacks {
        let bench = bench.clone();
        running.spawn(async move {
            let with_case = !matches!(attack.expected, Outcome::Error(_));
            let outcome = bench.outcome(&attack.name, attack.module, with_case).await;
            (outcome == attack.expected)
                .then_some(())
                .ok_or(format!("{}: expected {:?}, came to {outcome:?}", attack.name, attack.expected))
        });
        // Two at once: each load is a process that compiles.
        while running.len() >= 2 {
            report(running.join_next().await);
        }
    }
    while let Some(done) = running.join_next().await {
        report(Some(done));
    }
    assert!(!FAILED.load(std::sync::atomic::Ordering::Relaxed), "see above");
}

static FAILED: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

fn report(done: Option<Result<Result<(), String>, tokio::task::JoinError>>) {
    if let Some(Err(wrong)) = done.map(|it| it.unwrap()) {
        eprintln!("{wrong}");
        FAILED.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

#[tokio::test]
async fn files_that_are_no_policies_are_called_by_their_names() {
    let bench = Bench::new();
    let mut no_metadata = wat::parse_str("(module (memory (export \"memory\") 1))").unwrap();
    let component = wat::parse_str("(component)").unwrap();
    let wasi = wat::parse_str(r#"(component (import "wasi:cli/environment@0.2.6" (instance (export "get" (func)))))"#)
        .unwrap();
    let mut truncated = fs::read(support::repository_policies().join("pii.wasm")).unwrap();
    truncated.truncate(100_000);
    let cases: Vec<(&str, Vec<u8>, Step, LoadCode)> = vec![
        ("empty", Vec::new(), Step::Encode, LoadCode::NotWasm),
        ("text", b"(module)".to_vec(), Step::Encode, LoadCode::NotWasm),
        ("native", b"\x7fELF\x02\x01\x01".to_vec(), Step::Encode, LoadCode::NotWasm),
        (
            "random",
            (0..5_000_u32).map(|it| (it.wrapping_mul(2_654_435_761) >> 24) as u8).collect(),
            Step::Encode,
            LoadCode::NotWasm,
        ),
        ("truncated", truncated, Step::Encode, LoadCode::Invalid),
        ("no-metadata", std::mem::take(&mut no_metadata), Step::Validate, LoadCode::BadExports),
        ("empty-component", component, Step::Validate, LoadCode::BadExports),
        ("wasi", wasi, Step::Validate, LoadCode::ImportRefused),
    ];
    for (name, bytes, step, code) in cases {
        let error = bench.load(name, bytes, false).await.map(|_| ()).unwrap_err();
        assert_eq!((error.step, error.code), (step, code), "{name}: {error}");
    }
}

/// Bombs for the compiler cost a refused policy or some seconds of a process that limits itself, never the gateway.
#[tokio::test]
async fn a_compile_bomb_costs_a_refused_policy() {
    let bench = Bench::new();
    let functions = "(func)".repeat(120_000);
    let mut module = wat::parse_str(format!(
        "(module {LOG} {MEMORY} {REALLOC} {CONFIGURE} {DESCRIBE} {functions}
        (func (export \"octroi:policy/pre-check@0.1.0#evaluate\") (param i32) (result i32) (i32.const 1024)))"
    ))
    .unwrap();
    describe_world(&mut module);
    let error = bench.load("functions", module, false).await.map(|_| ()).unwrap_err();
    assert_eq!((error.step, error.code), (Step::Validate, LoadCode::TooLarge), "{error}");
}

/// A folder full of attacks beside one good policy: the good one judges, and innocent requests are served.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_of_attacks_leaves_the_others_alone() {
    let prepared = Setup::without_provider().prepare();
    for attack in attacks() {
        if !matches!(attack.expected, Outcome::Error(_)) {
            continue;
        }
        // Only for one client, so that the innocent do not meet them.
        let manifest = manifest(&attack.name, false) + "match: { clients: [victim] }\n";
        fs::write(prepared.policies().join(format!("{}.yaml", attack.name)), manifest).unwrap();
        fs::write(prepared.policies().join(format!("{}.wasm", attack.name)), &attack.module).unwrap();
    }
    let gateway = Arc::new(prepared.start());
    let ask = |client: &'static str| {
        let gateway = gateway.clone();
        async move { gateway.post("/api/policy/pre-check", json!({ "query": "Hello", "client_id": client })).await }
    };
    for _ in 0..20 {
        let (victim, innocent) = tokio::join!(ask("victim"), ask("library"));
        assert_eq!(victim.body["approved"], false, "a policy that gives no verdict denies: {victim:?}");
        assert_eq!(innocent.body["approved"], true, "{innocent:?}");
    }
    let entries = gateway
        .client
        .post(gateway.url("/api/v1/audit/search"))
        .header("x-client-id", "victim")
        .json(&json!({ "limit": 1 }))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(entries.contains("\"code\":"), "the record says why: {entries}");
}
