//! Changes that need no load, while a policy loads that takes long.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use super::support::guest::manifest;
use super::support::{Gateway, Prepared, eventually};
use super::{NEVER, bare, generation, refusing, replace, said, until_said};

/// The loader, but it waits for as long as there is a file `hold`, or for a file `permit`, which lets one through.
const LOADER: &str =
    "#!/bin/sh\nwhile [ -e FOLDER/hold ] && ! rm FOLDER/permit 2>/dev/null; do sleep 0.05; done\nexec OCTROI \"$@\"\n";

/// A gateway's folder with such a loader.
fn holding() -> Prepared {
    holding_with("reload_debounce: 200ms")
}

/// The same, with further keys of `policies`.
fn holding_with(further: &str) -> Prepared {
    let prepared = bare(&format!("{NEVER}, worker: ./loader, {further}")).prepare();
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

/// Lets one loader through that is being held.
fn permit(gateway: &Gateway) {
    fs::write(gateway.folder().join("permit"), "").unwrap();
}

async fn until_loading(gateway: &Gateway, policy: &str) {
    assert!(gateway.log.wait(is_loading(policy)).await.is_some(), "{policy} is not being loaded");
}

/// Until a version of it is being loaded for that time.
async fn until_loading_again(gateway: &Gateway, policy: &str, times: usize) {
    eventually(&format!("{policy} being loaded for the {times}. time"), async || {
        gateway.log.all(is_loading(policy)).len() >= times
    })
    .await;
}

fn is_loading(policy: &str) -> impl Fn(&serde_json::Value) -> bool {
    move |line| line["fields"]["message"] == "policy is being loaded" && line["fields"]["policy"] == policy
}

const NOBODYS: &str = "match: { clients: [nobody] }\n";

/// Puts in a policy whose changes, by themselves, go ahead: they show that the folder was looked at.
fn put_brake(prepared: &Prepared) {
    refusing("brake").put(&prepared.policies(), "brake", NOBODYS);
}

/// Until everything that was changed before has been looked at, though a policy is being loaded.
async fn until_seen(gateway: &Gateway) {
    let mode = if gateway.policy("brake").await["mode"] == "enforce" { "shadow" } else { "enforce" };
    // What is seen together with something that waits, waits with it.
    for attempt in 0.. {
        assert!(attempt < 10, "nothing goes ahead");
        let text = format!("{NOBODYS}mode: {mode} # {attempt}\n");
        replace(&gateway.policies().join("brake.yaml"), manifest("brake", &text));
        let seen = async || while gateway.policy("brake").await["mode"] != mode {};
        if tokio::time::timeout(Duration::from_secs(2), seen()).await.is_ok() {
            return;
        }
    }
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
    refusing("slow").put(&gateway.policies(), "slow", NOBODYS);
    until_loading(&gateway, "slow").await;
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
    until_loading(&gateway, "house").await;
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
    put_brake(&prepared);
    let gateway = prepared.start();
    hold(&gateway);
    refusing("slow").put(&gateway.policies(), "slow", NOBODYS);
    until_loading(&gateway, "slow").await;
    swap(&gateway.policies(), ".new");
    until_seen(&gateway).await;
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

/// A name that goes over from one manifest to another: in force it is still the former's.
#[tokio::test]
async fn what_takes_over_a_name_switches_nothing_off_before_it_has_it() {
    let prepared = holding();
    refusing("one").put(&prepared.policies(), "house", "");
    put_brake(&prepared);
    let gateway = prepared.start();
    hold(&gateway);
    fs::write(gateway.policies().join("new.wasm"), refusing("new").module()).unwrap();
    let deployed = gateway.policies().join(".deployed");
    fs::create_dir(&deployed).unwrap();
    fs::write(deployed.join("house.yaml"), "name: mansion\nmodule: house.wasm\n").unwrap();
    fs::write(deployed.join("new.yaml"), format!("name: house\nmodule: new.wasm\n{NOBODYS}")).unwrap();
    for file in ["house.yaml", "new.yaml"] {
        fs::rename(deployed.join(file), gateway.policies().join(file)).unwrap();
    }
    until_loading(&gateway, "house").await;
    replace(&gateway.policies().join("new.yaml"), "name: house\nmodule: new.wasm\nmode: off\n");
    until_seen(&gateway).await;
    assert_eq!(said(&gateway).await, "one");
    release(&gateway);
    eventually("the successor off, and the first under its new name", async || {
        assert_eq!(said(&gateway).await, "one");
        let body = gateway.admin_get("/admin/policies").await.body;
        let is = |name: &str, state: &str| {
            body["policies"].as_array().unwrap().iter().any(|it| it["name"] == name && it["state"] == state)
        };
        is("house", "off") && is("mansion", "live")
    })
    .await;
}

#[tokio::test]
async fn a_version_that_is_overtaken_by_another_waits_for_it_but_not_for_ever() {
    let prepared = holding();
    refusing("one").put(&prepared.policies(), "house", "");
    put_brake(&prepared);
    let gateway = prepared.start();
    let module = gateway.policies().join("house.wasm");
    hold(&gateway);
    replace(&module, refusing("two").module());
    for (times, next) in [(1, "three"), (2, "four"), (3, "five")] {
        until_loading_again(&gateway, "house", times).await;
        assert_eq!(said(&gateway).await, "one", "before {next}");
        replace(&module, refusing(next).module());
        until_seen(&gateway).await;
        permit(&gateway);
    }
    until_said(&gateway, "one", "four").await;
    until_loading_again(&gateway, "house", 4).await;
    release(&gateway);
    until_said(&gateway, "four", "five").await;
}

#[tokio::test]
async fn a_newcomer_whose_manifest_went_while_it_loaded_never_goes_live() {
    let prepared = holding();
    refusing("one").put(&prepared.policies(), "house", "mode: off\n");
    put_brake(&prepared);
    let gateway = prepared.start();
    hold(&gateway);
    refusing("oops").put(&gateway.policies(), "oops", "");
    until_loading(&gateway, "oops").await;
    fs::remove_file(gateway.policies().join("oops.yaml")).unwrap();
    refusing("slow").put(&gateway.policies(), "slow", NOBODYS);
    until_seen(&gateway).await;
    permit(&gateway);
    until_loading(&gateway, "slow").await;
    assert_eq!(said(&gateway).await, "nothing");
    release(&gateway);
    eventually("the next one live", async || {
        assert_eq!(said(&gateway).await, "nothing");
        let body = gateway.admin_get("/admin/policies").await.body;
        body["policies"].as_array().unwrap().iter().any(|it| it["name"] == "slow" && it["state"] == "live")
    })
    .await;
}

/// Each of these in the same look as the change that is to go ahead.
#[tokio::test]
async fn what_changes_no_set_keeps_nothing_from_going_ahead() {
    let prepared = holding();
    refusing("one").put(&prepared.policies(), "house", "");
    let gateway = prepared.start();
    let (policies, text) = (gateway.policies(), gateway.policies().join("house.yaml"));
    hold(&gateway);
    refusing("slow").put(&policies, "slow", NOBODYS);
    until_loading(&gateway, "slow").await;
    let off = async || {
        replace(&text, manifest("house", "mode: off\n"));
        until_off(&gateway, "house").await;
        replace(&text, manifest("house", ""));
        until_said(&gateway, "nothing", "one").await;
    };
    fs::write(policies.join("house-copy.yaml"), manifest("house", "order: 7\n")).unwrap();
    off().await;
    fs::write(policies.join("draft.yaml"), "name: [").unwrap();
    off().await;
    fs::remove_file(policies.join("slow.yaml")).unwrap();
    off().await;
    release(&gateway);
}

#[tokio::test]
async fn a_file_that_is_written_all_the_time_keeps_nothing_from_going_ahead() {
    let prepared = holding();
    refusing("one").put(&prepared.policies(), "house", "");
    let gateway = prepared.start();
    hold(&gateway);
    refusing("slow").put(&gateway.policies(), "slow", NOBODYS);
    until_loading(&gateway, "slow").await;
    let notes = gateway.policies().join("notes.txt");
    let writing = tokio::spawn(async move {
        for number in 0_u64.. {
            tokio::fs::write(&notes, number.to_string()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    replace(&gateway.policies().join("house.yaml"), manifest("house", "mode: off\n"));
    until_off(&gateway, "house").await;
    assert!(!writing.is_finished());
    writing.abort();
    release(&gateway);
}

/// Quiet for long enough that it is the call which reads the new files.
#[tokio::test]
async fn a_reload_says_that_the_set_changed_though_it_did_so_ahead_of_a_load_that_failed() {
    let prepared = holding_with("reload_debounce: 1s");
    refusing("one").put(&prepared.policies(), "house", "");
    let gateway = prepared.start();
    let before = generation(&gateway).await;
    hold(&gateway);
    refusing("bad").wants_settings(true).put(&gateway.policies(), "bad", "");
    let change = async {
        until_loading_again(&gateway, "bad", 1).await;
        replace(&gateway.policies().join("house.yaml"), manifest("house", "mode: off\n"));
        until_off(&gateway, "house").await;
        release(&gateway);
    };
    let (reloaded, ()) = tokio::join!(gateway.reload(), change);
    assert_eq!((&reloaded["from_generation"], &reloaded["changed"]), (&before.into(), &true.into()), "{reloaded}");
}
