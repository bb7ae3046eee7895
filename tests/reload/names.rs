//! Names that go over from one manifest to another, or cannot.

use std::fs;

use super::held::{NOBODYS, hold, holding, put_brakes, release, until_live, until_loading, until_seen};
use super::loader::{counted, starts};
use super::support::guest::manifest;
use super::support::{Prepared, eventually};
use super::{NEVER, bare, refusing, replace, said, says, stands};

/// A manifest with this name, for a module with another.
fn named(name: &str, module: &str) -> String {
    manifest(name, "").replace(&format!("module: {name}."), &format!("module: {module}."))
}

/// Whichever comes first in the order of paths.
#[tokio::test]
async fn what_gets_another_name_and_cannot_be_loaded_stays_in_force_under_its_own() {
    // The new names of `a` and `b`, which of them is at fault, and what the policies `a`, `b` and `c` say then.
    let cases = [
        (["b", "c"], "a", ["alpha", "nothing", "new"]),
        (["c", "a"], "b", ["nothing", "beta", "new"]),
        (["b", "a"], "a", ["alpha", "beta", "nothing"]),
        (["b", "a"], "b", ["alpha", "beta", "nothing"]),
    ];
    for (names, at_fault, expected) in cases {
        let prepared = bare(NEVER).prepare();
        for (name, reason) in [("a", "alpha"), ("b", "beta")] {
            refusing(reason).put(&prepared.policies(), name, "");
        }
        let policies = prepared.policies();
        fs::write(policies.join("new.wasm"), refusing("new").module()).unwrap();
        fs::write(policies.join("bad.wasm"), refusing("bad").wants_settings(true).module()).unwrap();
        let gateway = prepared.start();
        for (path, name) in ["a", "b"].into_iter().zip(names) {
            let module = if path == at_fault { "bad" } else { "new" };
            replace(&policies.join(format!("{path}.yaml")), named(name, module));
        }
        gateway.until("/health", |body| body["status"] == "degraded").await;
        // A name that nobody says any more goes with a later scan.
        eventually(&format!("{names:?}, {at_fault} at fault: {expected:?}"), async || {
            let mut said = Vec::new();
            for name in ["a", "b", "c"] {
                said.push(says(&gateway, name).await);
            }
            said == expected
        })
        .await;
        gateway.reload().await;
        gateway.reload().await;
        for (name, expected) in ["a", "b", "c"].into_iter().zip(expected) {
            assert_eq!(says(&gateway, name).await, expected, "{name} of {names:?}, {at_fault} at fault");
        }
    }
}

/// A holder of the name that cannot be read, and one that says a name which is taken.
#[tokio::test]
async fn what_cannot_have_its_name_is_not_loaded() {
    for holder in ["name: [".to_owned(), named("b", "a")] {
        let prepared = bare(&format!("{NEVER}, worker: ./loader")).prepare();
        counted(&prepared);
        for (name, reason) in [("a", "alpha"), ("b", "beta")] {
            refusing(reason).put(&prepared.policies(), name, "");
        }
        let gateway = prepared.start();
        let (policies, before) = (gateway.policies(), starts(&gateway));
        replace(&policies.join("a.yaml"), holder);
        fs::write(policies.join("bad.wasm"), refusing("bad").wants_settings(true).module()).unwrap();
        replace(&policies.join("new.yaml"), named("a", "bad"));
        gateway.until("/health", |body| body["policies"]["errors"].as_array().is_some_and(|it| it.len() == 2)).await;
        assert_eq!(stands(&gateway, "new.yaml").await, "duplicate_name");
        assert_eq!((says(&gateway, "a").await, starts(&gateway)), ("alpha".to_owned(), before));
    }
}

#[tokio::test]
async fn a_manifest_that_was_away_for_a_moment_has_its_name_though_another_says_it_meanwhile() {
    let prepared = holding();
    refusing("one").put(&prepared.policies(), "house", "");
    put_brakes(&prepared);
    let gateway = prepared.start();
    let (policies, text) = (gateway.policies(), gateway.policies().join("house.yaml"));
    replace(&policies.join("backup.yaml"), manifest("house", "mode: off\n"));
    gateway.until("/health", |body| body["policies"]["errors"][0]["code"] == "duplicate_name").await;
    hold(&gateway);
    fs::rename(&text, policies.join(".away")).unwrap();
    refusing("slow").put(&policies, "slow", NOBODYS);
    until_loading(&gateway, "slow").await;
    fs::rename(policies.join(".away"), &text).unwrap();
    until_seen(&gateway).await;
    release(&gateway);
    until_live(&gateway, "slow").await;
    gateway.reload().await;
    assert_eq!(said(&gateway).await, "one");
    let at = async |path: &str| stands(&gateway, path).await;
    assert_eq!((at("house.yaml").await, at("backup.yaml").await), ("live".to_owned(), "duplicate_name".to_owned()));
}

#[tokio::test]
async fn a_name_that_is_taken_back_while_its_successor_loads_stays_with_its_manifest() {
    let prepared = holding();
    for (name, reason) in [("a", "alpha"), ("b", "beta")] {
        refusing(reason).put(&prepared.policies(), name, "");
    }
    put_brakes(&prepared);
    let gateway = prepared.start();
    let policies = gateway.policies();
    hold(&gateway);
    fs::write(policies.join("new.wasm"), refusing("new").module()).unwrap();
    replace(&policies.join("a.yaml"), named("b", "new"));
    replace(&policies.join("b.yaml"), named("a", "new"));
    until_loading(&gateway, "b").await;
    replace(&policies.join("b.yaml"), manifest("b", ""));
    until_seen(&gateway).await;
    release(&gateway);
    gateway.reload().await;
    assert_eq!((says(&gateway, "a").await, says(&gateway, "b").await), ("alpha".to_owned(), "beta".to_owned()));
    assert_eq!(stands(&gateway, "a.yaml").await, "duplicate_name");
}

/// A version that only another gateway's archive has, and that gets its name when another manifest cannot have it.
#[tokio::test]
async fn what_gets_its_name_late_is_archived_though_it_comes_from_the_cache() {
    let prepared = bare(&format!("{NEVER}, worker: ./loader")).prepare();
    counted(&prepared);
    let policies = prepared.policies();
    let [first, second] = ["a.yaml", "b.yaml"].map(|file| policies.join(file));
    for (name, reason) in [("a", "alpha"), ("b", "beta")] {
        refusing(reason).put(&policies, name, "");
    }
    replace(&second, named("c", "b"));
    let gateway = prepared.start();
    let version = gateway.policy("c").await["version"].as_str().unwrap().to_owned();
    let until_archived = async |prepared: &Prepared| {
        eventually("archived", async || {
            let to = tempfile::tempdir().unwrap().path().join("former").display().to_string();
            let arguments = ["audit", "version", &version, "--output", &to];
            prepared.command(&arguments).output().unwrap().status.success()
        })
        .await;
    };
    until_archived(gateway.prepared.as_ref().unwrap()).await;
    let prepared = gateway.stop();
    let database = rusqlite::Connection::open(prepared.path().join("octroi.db")).unwrap();
    assert_eq!(database.execute("DELETE FROM versions", []).unwrap(), 2);
    drop(database);
    let away = policies.join(".b.yaml");
    fs::rename(&second, &away).unwrap();
    fs::write(policies.join("bad.wasm"), refusing("bad").wants_settings(true).module()).unwrap();
    let gateway = prepared.start();
    let before = starts(&gateway);
    replace(&first, named("c", "bad"));
    fs::rename(&away, &second).unwrap();
    until_live(&gateway, "c").await;
    assert_eq!(stands(&gateway, "a.yaml").await, "duplicate_name");
    assert_eq!(starts(&gateway), before + 1, "only for the one that cannot be loaded");
    until_archived(gateway.prepared.as_ref().unwrap()).await;
}
