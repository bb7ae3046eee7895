//! Changes that need no load, while a policy loads that takes long.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use super::support::guest::manifest;
use super::support::{Gateway, Prepared, eventually};
use super::{NEVER, bare, generation, refusing, replace, said, until_said};

/// The loader, but it waits for as long as there is a file `hold`.
const LOADER: &str = "#!/bin/sh\nwhile [ -e FOLDER/hold ]; do sleep 0.05; done\nexec OCTROI \"$@\"\n";

/// A gateway's folder with such a loader.
fn holding() -> Prepared {
    let prepared = bare(&format!("{NEVER}, worker: ./loader")).prepare();
    let loader = LOADER.replace("FOLDER", &prepared.path().display().to_string());
    let loader = loader.replace("OCTROI", env!("CARGO_BIN_EXE_octroi"));
    fs::write(prepared.path().join("loader"), loader).unwrap();
    fs::set_permissions(prepared.path().join("loader"), fs::Permissions::from_mode(0o700)).unwrap();
    prepared
}

fn hold(gateway: &Gateway) {
    fs::write(gateway.folder().join("hold"), "").unwrap();
}

fn release(gateway: &Gateway) {
    fs::remove_file(gateway.folder().join("hold")).unwrap();
}

fn until_loading(gateway: &Gateway, policy: &str) {
    let is_loading = |line: &serde_json::Value| {
        line["fields"]["message"] == "policy is being loaded" && line["fields"]["policy"] == policy
    };
    assert!(gateway.log.wait(is_loading).is_some(), "{policy} is not being loaded");
}

async fn state(gateway: &Gateway, policy: &str) -> String {
    gateway.policy(policy).await["state"].as_str().unwrap().to_owned()
}

async fn until_off(gateway: &Gateway, policy: &str) {
    eventually(&format!("{policy} off"), async || state(gateway, policy).await == "off").await;
}

#[tokio::test]
async fn what_needs_no_load_does_not_wait_for_one() {
    let prepared = holding();
    refusing("one").put(&prepared.policies(), "house", "");
    let gateway = prepared.start();
    let (module, text) = (gateway.policies().join("house.wasm"), gateway.policies().join("house.yaml"));
    replace(&module, refusing("two").module());
    until_said(&gateway, "one", "two").await;
    hold(&gateway);
    refusing("slow").put(&gateway.policies(), "slow", "match: { clients: [nobody] }\n");
    until_loading(&gateway, "slow");
    // A version that was live before, another mode, none, and all the way back.
    replace(&module, refusing("one").module());
    until_said(&gateway, "two", "one").await;
    replace(&text, manifest("house", "mode: shadow\n"));
    until_said(&gateway, "one", "nothing").await;
    replace(&text, manifest("house", "mode: off\n"));
    until_off(&gateway, "house").await;
    replace(&text, manifest("house", ""));
    until_said(&gateway, "nothing", "one").await;
    let before = generation(&gateway).await;
    assert!(
        gateway.log.all(|line| line["fields"]["policy"] == "slow" && line["fields"]["version"].is_string()).is_empty()
    );
    release(&gateway);
    super::until_generation(&gateway, before + 1).await;
    assert_eq!((state(&gateway, "slow").await, said(&gateway).await), ("live".to_owned(), "one".to_owned()));
}

#[tokio::test]
async fn a_version_that_was_overtaken_while_it_loaded_never_goes_live() {
    let prepared = holding();
    refusing("one").put(&prepared.policies(), "house", "");
    let gateway = prepared.start();
    hold(&gateway);
    replace(&gateway.policies().join("house.wasm"), refusing("two").module());
    until_loading(&gateway, "house");
    replace(&gateway.policies().join("house.yaml"), manifest("house", "mode: off\n"));
    until_off(&gateway, "house").await;
    let off = generation(&gateway).await;
    release(&gateway);
    // Behind the one that is under way.
    gateway.reload().await;
    assert_eq!((generation(&gateway).await, state(&gateway, "house").await), (off, "off".to_owned()));
}

/// Leads the link `team` to this folder, as a deployment does.
fn swap(policies: &Path, folder: &str) {
    symlink(folder, policies.join(".next")).unwrap();
    fs::rename(policies.join(".next"), policies.join("team")).unwrap();
}

#[tokio::test]
async fn what_came_with_something_that_must_be_loaded_waits_for_it() {
    let prepared = holding();
    let (old, new) = (prepared.policies().join(".old"), prepared.policies().join(".new"));
    fs::create_dir(&old).unwrap();
    fs::create_dir(&new).unwrap();
    refusing("one").put(&old, "house", "");
    refusing("one").put(&new, "house", "mode: off\n");
    refusing("successor").put(&new, "successor", "");
    swap(&prepared.policies(), ".old");
    refusing("brake").put(&prepared.policies(), "brake", "match: { clients: [nobody] }\n");
    let gateway = prepared.start();
    hold(&gateway);
    refusing("slow").put(&gateway.policies(), "slow", "match: { clients: [nobody] }\n");
    until_loading(&gateway, "slow");
    swap(&gateway.policies(), ".new");
    // Once that was seen, what comes later by itself goes ahead; seen together, all of it waits.
    for attempt in 0.. {
        replace(&gateway.policies().join("brake.yaml"), manifest("brake", &format!("mode: off # {attempt}\n")));
        let off = async || while state(&gateway, "brake").await != "off" {};
        if tokio::time::timeout(Duration::from_secs(2), off()).await.is_ok() {
            break;
        }
        assert!(attempt < 10, "nothing goes ahead");
    }
    assert_eq!((state(&gateway, "house").await, said(&gateway).await), ("live".to_owned(), "one".to_owned()));
    release(&gateway);
    eventually("the successor live", async || {
        let body = gateway.admin_get("/admin/policies").await.body;
        let is = |name: &str, state: &str| {
            body["policies"].as_array().unwrap().iter().any(|it| it["name"] == name && it["state"] == state)
        };
        assert_eq!(is("house", "off"), is("successor", "live"), "in one generation: {body}");
        is("successor", "live")
    })
    .await;
}
