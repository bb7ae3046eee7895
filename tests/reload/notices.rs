//! Where the system tells nothing: its tables of watches are full, and the folder is polled.
//!
//! The tables are filled in a user namespace of the gateway's own, which has limits of its own; nobody else notices.

use std::fs::{self, File};

use super::{bare, in_namespaces, refusing, replace, said, start_through, until_said};

const POLLED: &str = "poll_interval: 200ms";

#[tokio::test]
async fn without_notifications_every_change_is_still_seen() {
    let Some(command) = in_namespaces("echo 0 > /proc/sys/user/max_inotify_instances") else { return };
    let prepared = bare(POLLED).prepare();
    refusing("one").put(&prepared.policies(), "house", "");
    let gateway = start_through(prepared, command);
    let told = "no notifications of changed files; the policies directory is polled";
    assert!(gateway.log.wait(|line| line["fields"]["message"] == told).await.is_some());
    let (module, manifest) = (gateway.policies().join("house.wasm"), gateway.policies().join("house.yaml"));
    replace(&module, refusing("two").module());
    until_said(&gateway, "one", "two").await;
    // Of the same size, in the same file, with the time of the last change set back to what it was.
    let modified = fs::metadata(&module).unwrap().modified().unwrap();
    fs::write(&module, refusing("six").module()).unwrap();
    File::options().write(true).open(&module).unwrap().set_modified(modified).unwrap();
    until_said(&gateway, "two", "six").await;
    let text = fs::read(&manifest).unwrap();
    fs::remove_file(&manifest).unwrap();
    until_said(&gateway, "six", "nothing").await;
    fs::create_dir(gateway.policies().join("team")).unwrap();
    fs::rename(&module, gateway.policies().join("team/house.wasm")).unwrap();
    fs::write(gateway.policies().join("team/house.yaml"), text).unwrap();
    until_said(&gateway, "nothing", "six").await;
    assert_eq!(gateway.log.all(|line| line["fields"]["message"] == told).len(), 1, "told once");
}

#[tokio::test]
async fn a_directory_beyond_the_table_of_watches_is_polled_and_the_others_are_not() {
    let Some(command) = in_namespaces("echo 1 > /proc/sys/user/max_inotify_watches") else { return };
    let prepared = bare(POLLED).prepare();
    let team = prepared.policies().join("team");
    fs::create_dir(&team).unwrap();
    refusing("one").put(&team, "house", "");
    let gateway = start_through(prepared, command);
    let told = "this directory cannot be watched; it is polled";
    assert!(gateway.log.wait(|line| line["fields"]["message"] == told).await.is_some());
    for (old, new) in [("one", "two"), ("two", "six")] {
        replace(&team.join("house.wasm"), refusing(new).module());
        until_said(&gateway, old, new).await;
    }
    fs::remove_dir_all(&team).unwrap();
    until_said(&gateway, "six", "nothing").await;
    assert_eq!(said(&gateway).await, "nothing");
    assert_eq!(gateway.log.all(|line| line["fields"]["message"] == told).len(), 1, "told once");
}
