//! Changes that need no load, while a policy loads that takes long.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::held::{
    NOBODYS, hold, holding, holding_with, put_brakes, release, state, until_live, until_loading, until_loading_again,
    until_off, until_seen, writing_all_the_time,
};
use super::support::guest::manifest;
use super::support::{Gateway, eventually};
use super::{generation, refusing, replace, said, stands, until_said};

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
    put_brakes(&prepared);
    let gateway = prepared.start();
    hold(&gateway);
    refusing("slow").put(&gateway.policies(), "slow", NOBODYS);
    until_loading(&gateway, "slow").await;
    swap(&gateway.policies(), ".new");
    until_seen(&gateway).await;
    assert_eq!((state(&gateway, "house").await, said(&gateway).await), ("live".to_owned(), "one".to_owned()));
    release(&gateway);
    until_succeeded(&gateway).await;
}

/// Until the successor is live, and the house off from the same generation on.
async fn until_succeeded(gateway: &Gateway) {
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

#[tokio::test]
async fn what_came_with_something_that_must_be_loaded_waits_for_it_though_it_changes_again() {
    for beside_another_load in [false, true] {
        let prepared = holding();
        let [old, new, newer] = [".old", ".new", ".newer"].map(|folder| prepared.policies().join(folder));
        for folder in [&old, &new, &newer] {
            fs::create_dir(folder).unwrap();
        }
        refusing("one").put(&old, "house", "");
        for (folder, remark) in [(&new, ""), (&newer, "# off for good\n")] {
            refusing("one").put(folder, "house", &format!("mode: off\n{remark}"));
            refusing("successor").put(folder, "successor", "");
        }
        swap(&prepared.policies(), ".old");
        put_brakes(&prepared);
        let gateway = prepared.start();
        let stays = async |when: &str| {
            until_seen(&gateway).await;
            let found = (state(&gateway, "house").await, said(&gateway).await);
            assert_eq!(found, ("live".to_owned(), "one".to_owned()), "{when}, beside another: {beside_another_load}");
        };
        hold(&gateway);
        if beside_another_load {
            refusing("slow").put(&gateway.policies(), "slow", NOBODYS);
            until_loading(&gateway, "slow").await;
            swap(&gateway.policies(), ".new");
            stays("when it came").await;
        } else {
            swap(&gateway.policies(), ".new");
            until_loading(&gateway, "successor").await;
        }
        swap(&gateway.policies(), ".newer");
        stays("when it changed").await;
        let (text, successor) = (newer.join("house.yaml"), newer.join("successor.yaml"));
        let whole = fs::read(&successor).unwrap();
        fs::write(&successor, &whole[..whole.len() / 2]).unwrap();
        stays("when the other was written by halves").await;
        fs::remove_file(&successor).unwrap();
        replace(&text, manifest("house", "mode: off\n"));
        stays("when the other went").await;
        replace(&successor, whole);
        release(&gateway);
        until_succeeded(&gateway).await;
    }
}

/// A name that goes over from one manifest to another: in force it is still the former's.
#[tokio::test]
async fn what_takes_over_a_name_switches_nothing_off_before_it_has_it() {
    let prepared = holding();
    refusing("one").put(&prepared.policies(), "house", "");
    put_brakes(&prepared);
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

/// Each of these in the same look as the change that is to go ahead.
#[tokio::test]
async fn what_changes_no_set_keeps_nothing_from_going_ahead() {
    let prepared = holding();
    refusing("one").put(&prepared.policies(), "house", "");
    put_brakes(&prepared);
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
    replace(&text, "name: [");
    until_seen(&gateway).await;
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
    let writing = writing_all_the_time(gateway.policies().join("notes.txt"));
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

/// Quiet for long enough that it is the call which reads the change, and tries again what is no part of it.
#[tokio::test]
async fn what_a_reload_has_read_itself_does_not_wait_for_what_it_loads_again() {
    let prepared = holding_with("reload_debounce: 1s");
    refusing("one").put(&prepared.policies(), "house", "mode: shadow\n");
    let gateway = prepared.start();
    let pressure = gateway.folder().join("pressure");
    fs::write(&pressure, "").unwrap();
    refusing("again").put(&gateway.policies(), "again", NOBODYS);
    gateway.until("/health", |body| body["policies"]["errors"][0]["code"] == "loader_failed").await;
    fs::remove_file(&pressure).unwrap();
    hold(&gateway);
    replace(&gateway.policies().join("house.yaml"), manifest("house", ""));
    let change = async {
        until_loading(&gateway, "again").await;
        until_said(&gateway, "nothing", "one").await;
        release(&gateway);
    };
    tokio::join!(gateway.reload(), change);
    until_live(&gateway, "again").await;
}

/// As when an operator ends the refusals of what cannot be loaded: by itself, and while another policy loads.
#[tokio::test]
async fn what_was_never_in_force_refuses_as_its_manifest_says_now_without_a_load() {
    let prepared = holding();
    refusing("bad").wants_settings(true).put(&prepared.policies(), "house", "");
    let gateway = prepared.start();
    let text = gateway.policies().join("house.yaml");
    let until_approved = async |approved: bool| {
        eventually(&format!("approved: {approved}"), async || {
            gateway.pre_check("Hello").await.body["approved"] == approved
        })
        .await;
    };
    until_approved(false).await;
    hold(&gateway);
    replace(&text, manifest("house", "on_error: allow\n"));
    until_approved(true).await;
    refusing("slow").put(&gateway.policies(), "slow", NOBODYS);
    until_loading(&gateway, "slow").await;
    for (further, approved) in [("", false), ("mode: shadow\n", true), ("order: 7\n", false), (NOBODYS, true)] {
        replace(&text, manifest("house", further));
        until_approved(approved).await;
    }
    assert_eq!(stands(&gateway, "house.yaml").await, "settings_refused");
    release(&gateway);
    until_live(&gateway, "slow").await;
    until_approved(true).await;
}
