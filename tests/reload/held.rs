//! A loader that can be held, for what happens while a policy loads.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::support::guest::manifest;
use super::support::{Gateway, Prepared, eventually};
use super::{NEVER, bare, refusing, replace};

/// The loader, but it waits for as long as there is a file `hold`, or for a file `permit`, which lets one through; and it
/// dies while there is a file `pressure`, as one that the system kills.
const LOADER: &str = "#!/bin/sh\nwhile [ -e FOLDER/hold ] && ! rm FOLDER/permit 2>/dev/null; do sleep 0.05; done\n\
                      [ -e FOLDER/pressure ] && kill -9 $$\nexec OCTROI \"$@\"\n";

/// A gateway's folder with such a loader.
pub(super) fn holding() -> Prepared {
    holding_with("reload_debounce: 200ms")
}

/// The same, with further keys of `policies`.
pub(super) fn holding_with(further: &str) -> Prepared {
    let prepared = bare(&format!("{NEVER}, worker: ./loader, {further}")).prepare();
    let loader = LOADER.replace("FOLDER", &prepared.path().display().to_string());
    let loader = loader.replace("OCTROI", env!("CARGO_BIN_EXE_octroi"));
    fs::write(prepared.path().join("loader"), loader).unwrap();
    fs::set_permissions(prepared.path().join("loader"), fs::Permissions::from_mode(0o700)).unwrap();
    prepared
}

pub(super) fn hold(gateway: &Gateway) {
    fs::write(gateway.folder().join("hold"), "").unwrap();
}

pub(super) fn release(gateway: &Gateway) {
    fs::remove_file(gateway.folder().join("hold")).unwrap();
}

/// Lets one loader through that is being held.
pub(super) fn permit(gateway: &Gateway) {
    fs::write(gateway.folder().join("permit"), "").unwrap();
}

pub(super) async fn until_loading(gateway: &Gateway, policy: &str) {
    assert!(gateway.log.wait(is_loading(policy)).await.is_some(), "{policy} is not being loaded");
}

/// Until a version of it is being loaded for that time.
pub(super) async fn until_loading_again(gateway: &Gateway, policy: &str, times: usize) {
    eventually(&format!("{policy} being loaded for the {times}. time"), async || {
        gateway.log.all(is_loading(policy)).len() >= times
    })
    .await;
}

fn is_loading(policy: &str) -> impl Fn(&serde_json::Value) -> bool {
    move |line| line["fields"]["message"] == "policy is being loaded" && line["fields"]["policy"] == policy
}

/// A policy that applies to no request of these tests.
pub(super) const NOBODYS: &str = "match: { clients: [nobody] }\n";

/// More than changes are waited for in one test.
const BRAKES: usize = 10;

/// Puts in policies whose changes, by themselves, go ahead: they show that the folder was looked at.
pub(super) fn put_brakes(prepared: &Prepared) {
    for number in 0..BRAKES {
        refusing("brake").put(&prepared.policies(), &format!("brake-{number}"), NOBODYS);
    }
}

/// Until everything that was changed before has been looked at, though a policy is being loaded.
pub(super) async fn until_seen(gateway: &Gateway) {
    // What is seen together with something that waits, waits with it, and so does its next change.
    let mut brakes = (0..BRAKES).map(|number| format!("brake-{number}"));
    loop {
        let brake = brakes.next();
        assert!(brake.is_some(), "nothing goes ahead");
        let brake = brake.unwrap();
        let path = gateway.policies().join(format!("{brake}.yaml"));
        let is = async |mode: &str| gateway.policy(&brake).await["mode"] == mode;
        let is_shadow = fs::read_to_string(&path).unwrap().contains("shadow");
        let (before, mode) = if is_shadow { ("shadow", "enforce") } else { ("enforce", "shadow") };
        if !is(before).await {
            continue;
        }
        replace(&path, manifest(&brake, &format!("{NOBODYS}mode: {mode}\n")));
        let seen = async || while !is(mode).await {};
        if tokio::time::timeout(Duration::from_secs(2), seen()).await.is_ok() {
            return;
        }
    }
}

pub(super) async fn state(gateway: &Gateway, policy: &str) -> String {
    gateway.policy(policy).await["state"].as_str().unwrap().to_owned()
}

pub(super) async fn until_off(gateway: &Gateway, policy: &str) {
    eventually(&format!("{policy} off"), async || state(gateway, policy).await == "off").await;
}

pub(super) async fn until_live(gateway: &Gateway, policy: &str) {
    eventually(&format!("{policy} live"), async || {
        let body = gateway.admin_get("/admin/policies").await.body;
        body["policies"].as_array().unwrap().iter().any(|it| it["name"] == policy && it["state"] == "live")
    })
    .await;
}

/// A file that never stands still, until it is aborted.
pub(super) fn writing_all_the_time(file: PathBuf) -> JoinHandle<()> {
    tokio::spawn(async move {
        for number in 0_u64.. {
            tokio::fs::write(&file, number.to_string()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
}
