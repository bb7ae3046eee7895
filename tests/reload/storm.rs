//! A storm of changes under load.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mistral_double::{Behaviour, MistralDouble, Recording, Rule};
use serde_json::Value;

use super::support::guest::Guest;
use super::support::{Gateway, Setup, copy_policy, eventually};
use super::{EMAIL, generation, pii_with_email, until_generation};

/// How much more the gateway may hold at the end than after a tenth of the changes.
const KEPT: u64 = 24 << 20;

/// How many instances the pool lets go before it cleans their memory.
const POOL_BATCH: usize = 32;

/// Two states of four policies that belong together. In each, exactly one of `one` and `two` speaks about a question,
/// and `answer` speaks in the second only: any mix of the two would show.
fn write_states(policies: &Path) {
    for (state, speaks, email) in [(1, "one", "redact"), (2, "two", "deny")] {
        let folder = policies.join(format!(".state-{state}"));
        fs::create_dir(&folder).unwrap();
        let word = |speaks: bool| if speaks { "warn" } else { "allow" };
        for name in ["one", "two"] {
            Guest::pre_check(word(name == speaks)).put(&folder, name, "order: 1\n");
        }
        Guest::response(word(state == 2)).put(&folder, "answer", "");
        copy_policy("pii", &folder);
        fs::write(folder.join("pii.yaml"), pii_with_email(email)).unwrap();
    }
    symlink(".state-1", policies.join("rules")).unwrap();
}

/// Swaps all of them at once.
fn swap(policies: &Path, state: usize) {
    symlink(format!(".state-{state}"), policies.join(".rules")).unwrap();
    fs::rename(policies.join(".rules"), policies.join("rules")).unwrap();
}

fn names(value: &Value) -> BTreeSet<&str> {
    value.as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect()
}

/// Whether this is the answer of one of the states.
async fn asked_well(gateway: &Gateway, proxied: bool) -> bool {
    if proxied {
        let answer = gateway.ask("Hello, how are you?").await;
        let matched = names(&answer.body["policy_info"]["policies_evaluated"]);
        let whole = matched == BTreeSet::from(["one"]) || matched == BTreeSet::from(["two", "answer"]);
        return answer.status == 200 && answer.body["success"] == true && whole;
    }
    let answer = gateway.pre_check(EMAIL).await;
    let matched = names(&answer.body["policies"]);
    let masked = answer.body["requires_redaction"] == true && matched == BTreeSet::from(["one", "pii"]);
    let refused = answer.body["approved"] == false && matched == BTreeSet::from(["two", "pii"]);
    answer.status == 200 && (masked != refused)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads_under_load_fail_no_request_and_none_sees_two_generations() {
    let reloads = if std::env::var_os("OCTROI_SOAK").is_some() { 1_000 } else { 25 };
    let double = MistralDouble::builder().recording(Recording::Off).start().await.unwrap();
    // Long enough that many requests are in flight at each change.
    double.script(Rule::always(Behaviour::answer().before_first_byte(Duration::from_millis(20))));
    let prepared = Setup::with(&double).policies(&["audit-redact", "sql-injection"]).prepare();
    write_states(&prepared.policies());
    let gateway = Arc::new(prepared.start());
    let done = Arc::new(AtomicBool::new(false));
    let (asked, failed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..4)
        .map(|number| {
            let (gateway, done) = (gateway.clone(), done.clone());
            let (asked, failed) = (asked.clone(), failed.clone());
            tokio::spawn(async move {
                while !done.load(Ordering::Relaxed) {
                    let fine = asked_well(&gateway, number % 2 == 0).await;
                    asked.fetch_add(1, Ordering::Relaxed);
                    failed.fetch_add(usize::from(!fine), Ordering::Relaxed);
                }
            })
        })
        .collect();
    let mappings = || gateway.mapped().values().sum::<usize>();
    let (started, mut warm) = (Instant::now(), (0, 0));
    for number in 0..reloads {
        let before = generation(&gateway).await;
        swap(&gateway.policies(), 2 - number % 2);
        until_generation(&gateway, before + 1).await;
        if number == reloads / 10 {
            warm = (gateway.memory(), mappings());
        }
    }
    let (took, end) = (started.elapsed(), (gateway.memory(), mappings()));
    let changes = generation(&gateway).await - 1;
    done.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    let (asked, failed) = (asked.load(Ordering::Relaxed), failed.load(Ordering::Relaxed));
    eprintln!(
        "{reloads} reloads in {took:?} under load: {asked} requests, {failed} failed; after a tenth {} MB resident and \
         {} mappings of code, at the end {} and {}",
        warm.0 >> 20,
        warm.1,
        end.0 >> 20,
        end.1
    );
    assert_eq!(failed, 0);
    assert_eq!(changes, reloads as u64, "each swap of four policies is one generation");
    assert!(asked > reloads);
    assert!(end.0 < warm.0 + KEPT, "memory grows: {warm:?} bytes, then {end:?}");
    // Old sets die with their last request. What the pool has not yet cleaned, and what it keeps warm, holds the code of
    // a few old versions on; every reload maps four more.
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    eventually("old sets are gone", async || mappings() <= 6 + POOL_BATCH + 2 * cores).await;
    one_generation_a_request(&gateway.folder().join("octroi.db"));
}

/// What the records say: every policy that was asked about a request, its answer and its record is in that version and
/// with those settings in which the generation has it that the request began with.
fn one_generation_a_request(store: &Path) {
    let store = rusqlite::Connection::open(store).unwrap();
    let mut records = store.prepare("SELECT kind, id, body FROM records ORDER BY place").unwrap();
    let records = records.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    let (mut sets, mut began, mut judged) = (BTreeMap::new(), BTreeMap::new(), 0_u64);
    let mut evaluations = Vec::new();
    let part = |policy: &Value, name: &str| {
        let text = |key: &str| policy[key].as_str().unwrap().to_owned();
        (text(name), text("version"), text("settings_hash"))
    };
    for record in records {
        let (kind, id, body): (String, String, String) = record.unwrap();
        let body: Value = serde_json::from_str(&body).unwrap();
        let parts = body["policies"].as_array().cloned().unwrap_or_default();
        match kind.as_str() {
            "policy_set_change" => {
                let set: BTreeSet<_> = parts.iter().map(|policy| part(policy, "name")).collect();
                sets.insert(body["to_generation"].as_u64().unwrap(), set);
            }
            "intent" | "pre_check" => {
                began.insert(id.clone(), body["generation"].as_u64().unwrap());
                evaluations.push((id, parts));
            }
            "outcome" => evaluations.push((id, parts)),
            _ => {}
        }
    }
    for (id, parts) in evaluations {
        let set = &sets[&began[&id]];
        for policy in &parts {
            judged += 1;
            assert!(
                set.contains(&part(policy, "policy")),
                "request {id}: {policy} is not of generation {}",
                began[&id]
            );
        }
    }
    eprintln!("{judged} evaluations of {} requests, each of the generation that its request began with", began.len());
    assert!(judged > began.len() as u64);
}
