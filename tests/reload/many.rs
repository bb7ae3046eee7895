//! A folder with very many policies.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::loader::{counted, starts};
use super::support::guest::{Guest, manifest};
use super::support::{eventually, eventually_within};
use super::{NEVER, bare, generation, refusing, replace, said, scans, until_generation};

/// How long a start may take, and a look at the folder: many policies are compiled twice, or very many files read.
const LOADING: Duration = Duration::from_secs(900);

/// Each is another module of about 25 kB, so that each is compiled, kept and mapped by itself.
#[tokio::test]
async fn hundreds_of_policies_are_all_asked_and_a_second_start_compiles_nothing() {
    let many = if std::env::var_os("OCTROI_SOAK").is_some() { 500 } else { 60 };
    let prepared = bare(&format!("{NEVER}, worker: ./loader")).prepare();
    counted(&prepared);
    let mut size = 0;
    for number in 0..many {
        let guest = Guest::pre_check("log").reason(&format!("number {number}")).bytes(25_000);
        let name = format!("policy-{number}");
        guest.put(&prepared.policies(), &name, "");
        size = fs::metadata(prepared.policies().join(format!("{name}.wasm"))).unwrap().len();
    }
    assert!((24_000..27_000).contains(&size), "{size} bytes");
    let start = Instant::now();
    let gateway = prepared.start_within(LOADING);
    let (first, fresh) = (start.elapsed(), gateway.memory());
    assert_eq!(gateway.get("/health").await.body["policies"]["live"], many);
    assert_eq!(gateway.mapped().len(), many);
    assert_eq!(starts(&gateway), many);
    // Each policy in force holds a file open; the gateway asks the system for more than it is given here.
    let mut prepared = gateway.stop();
    let few = ["sh", "-c", "ulimit -Sn 64 && exec \"$@\"", "sh"];
    prepared.wrapper = few.map(str::to_owned).into();
    let start = Instant::now();
    let gateway = prepared.start_within(LOADING);
    let second = start.elapsed();
    let mapped = gateway.memory();
    assert_eq!(starts(&gateway), many, "all of them came from the cache");
    let mut quickest = Duration::MAX;
    for _ in 0..20 {
        let start = Instant::now();
        let answer = gateway.pre_check("Hello").await;
        quickest = quickest.min(start.elapsed());
        assert_eq!(answer.body["approved"], true);
        assert_eq!(answer.body["policies"].as_array().unwrap().len(), many, "every one of them was asked");
    }
    let entries = gateway.search(json!({ "limit": 1 })).await;
    let evaluations = entries[0]["policy_details"]["evaluations"].as_array().unwrap();
    assert!(evaluations.iter().all(|it| it["error"].is_null()));
    let mut took: Vec<_> = evaluations.iter().map(|it| it["elapsed_us"].as_u64().unwrap()).collect();
    took.sort_unstable();
    let versions: std::collections::BTreeSet<_> =
        evaluations.iter().map(|it| it["version"].as_str().unwrap()).collect();
    assert_eq!(versions.len(), many);
    let used = gateway.memory();
    let before = generation(&gateway).await;
    let changed = Instant::now();
    replace(
        &gateway.policies().join("policy-7.wasm"),
        Guest::pre_check("log").reason("changed").bytes(25_000).module(),
    );
    until_generation(&gateway, before + 1).await;
    eprintln!(
        "{many} policies of {size} bytes: first start {first:?} ({} MB resident), second {second:?} ({} MB), after \
         requests {} MB and {} file descriptors",
        fresh >> 20,
        mapped >> 20,
        used >> 20,
        fs::read_dir(format!("/proc/{}/fd", gateway.child.id())).unwrap().count(),
    );
    eprintln!(
        "a request that asks all of them {quickest:?}, an evaluation {} us at the median; a change of one in force after {:?}",
        took[took.len() / 2],
        changed.elapsed()
    );
}

#[tokio::test]
async fn more_manifests_than_are_read_are_told_of_and_cost_no_live_policy() {
    let prepared = bare(NEVER).prepare();
    let off = |name: &str| {
        let manifest = format!("name: {name}\nmodule: none.wasm\nmode: off\n");
        fs::write(prepared.policies().join(format!("{name}.yaml")), manifest).unwrap();
    };
    for number in 1..20_000 {
        off(&format!("off-{number}"));
    }
    refusing("old").put(&prepared.policies(), "the-last", "");
    let gateway = prepared.start_within(LOADING);
    assert_eq!(gateway.get("/health").await.body["status"], "healthy");
    let newcomer = gateway.policies().join("a-newcomer.yaml");
    fs::write(&newcomer, "name: a-newcomer\nmodule: none.wasm\nmode: off\n").unwrap();
    let health = gateway.until_within(LOADING, "/health", |body| body["status"] == "degraded").await;
    let at_fault = json!([{ "policy": "policies", "step": "manifest", "code": "too_many" }]);
    assert_eq!(health["policies"]["errors"], at_fault);
    assert_eq!(gateway.metric("octroi_policies_degraded").await, 1.0);
    assert_eq!(gateway.policy("policies").await["path"], "policies");
    let reads = scans(&gateway).await;
    fs::write(gateway.policies().join("no-policy"), "").unwrap();
    eventually_within(LOADING, "the directory is read", async || {
        assert_eq!(said(&gateway).await, "old");
        scans(&gateway).await > reads
    })
    .await;
    assert_eq!(
        gateway.log.count("at most 20000 manifests are read, in order of path; 1 more are not").await,
        1,
        "told once"
    );

    // At the start nobody knows what it would have judged.
    let gateway = gateway.stop().start_within(LOADING);
    let refused = gateway.pre_check("Hello").await;
    assert_eq!(refused.body["block_reason"], "Request blocked by policy: policies (policy_not_loaded)");
    let prepared = gateway.stop();
    let checked = prepared.command(&["check"]).output().unwrap();
    let text = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(!checked.status.success() && text.contains("at most 20000 manifests are read"), "{text}");
    fs::remove_file(&newcomer).unwrap();
    assert_eq!(said(&prepared.start_within(LOADING)).await, "old");
}

/// None of them is the one that its manifest pins, or has the name that it says: their digests are all that is asked for.
#[tokio::test]
async fn a_look_at_the_folder_has_no_modules_in_memory_that_it_does_not_load() {
    const EACH: usize = 32 << 20;
    for code in ["digest_mismatch", "duplicate_name"] {
        let prepared = bare("reload_debounce: 200ms").prepare();
        refusing("one").put(&prepared.policies(), "house", "");
        let gateway = prepared.start();
        let before = gateway.peak_memory();
        for number in 0..12_u8 {
            let file = format!("large-{number}");
            let text = match code {
                "digest_mismatch" => manifest(&file, &format!("sha256: {}\n", "0".repeat(64))),
                _ => format!("name: house\nmodule: {file}.wasm\n"),
            };
            fs::write(gateway.policies().join(format!("{file}.wasm")), vec![number; EACH]).unwrap();
            fs::write(gateway.policies().join(format!("{file}.yaml")), text).unwrap();
        }
        eventually("all are refused", async || {
            let body = gateway.admin_get("/admin/policies").await.body;
            let refused = |it: &&Value| it["error"]["code"] == code;
            body["policies"].as_array().unwrap().iter().filter(refused).count() == 12
        })
        .await;
        let more = gateway.peak_memory() - before;
        assert!(more < 3 * EACH as u64, "{code}: {} MiB more", more >> 20);
    }
}
