//! What the folder says when a load is through, and no longer what it said before.

use std::fs;

use super::held::{
    NOBODYS, hold, holding, permit, put_brakes, release, state, until_live, until_loading, until_loading_again,
    until_off, until_seen, writing_all_the_time,
};
use super::support::eventually;
use super::support::guest::manifest;
use super::{generation, refusing, replace, said, until_said};

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

#[tokio::test]
async fn a_version_that_is_overtaken_by_another_waits_for_it_but_not_for_ever() {
    let prepared = holding();
    refusing("one").put(&prepared.policies(), "house", "");
    put_brakes(&prepared);
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
    put_brakes(&prepared);
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

#[tokio::test]
async fn a_policy_that_is_on_again_before_its_reload_is_through_never_goes_off() {
    let prepared = holding();
    refusing("one").put(&prepared.policies(), "house", "");
    put_brakes(&prepared);
    let gateway = prepared.start();
    let (module, text) = (gateway.policies().join("house.wasm"), gateway.policies().join("house.yaml"));
    hold(&gateway);
    refusing("slow").put(&gateway.policies(), "slow", NOBODYS);
    replace(&text, manifest("house", "mode: off\n"));
    until_loading(&gateway, "slow").await;
    replace(&module, refusing("two").module());
    replace(&text, manifest("house", ""));
    until_seen(&gateway).await;
    permit(&gateway);
    until_loading(&gateway, "house").await;
    assert_eq!(said(&gateway).await, "one");
    release(&gateway);
    until_said(&gateway, "one", "two").await;
}

/// Behind two reloads that did not find it, the later of which is not through.
#[tokio::test]
async fn a_policy_that_is_back_before_its_reload_is_through_never_goes() {
    let prepared = holding();
    refusing("one").put(&prepared.policies(), "house", "");
    put_brakes(&prepared);
    let gateway = prepared.start();
    let (policies, text) = (gateway.policies(), gateway.policies().join("house.yaml"));
    hold(&gateway);
    refusing("first").put(&policies, "first", NOBODYS);
    fs::remove_file(&text).unwrap();
    until_loading(&gateway, "first").await;
    let writing = writing_all_the_time(policies.join("notes.txt"));
    permit(&gateway);
    until_live(&gateway, "first").await;
    refusing("second").put(&policies, "second", NOBODYS);
    writing.abort();
    until_loading(&gateway, "second").await;
    replace(&policies.join("house.wasm"), refusing("two").module());
    replace(&text, manifest("house", ""));
    until_seen(&gateway).await;
    permit(&gateway);
    until_loading(&gateway, "house").await;
    assert_eq!(said(&gateway).await, "one");
    release(&gateway);
    until_said(&gateway, "one", "two").await;
}
