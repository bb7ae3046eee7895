//! How whole folders are replaced: a ConfigMap's links, a link that is swapped, a folder that is exchanged.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::support::guest::Guest;
use super::support::{Gateway, Prepared, Setup};
use super::{NEVER, generation, refusing, replace, scans, until_said, until_scanned};

/// Policies in `directory`, of which the system tells and which nobody polls.
fn prepare(directory: &str) -> Prepared {
    let yaml = format!("policies: {{ directory: {directory}, cache: cache, {NEVER} }}\n");
    Setup::without_provider().policies(&[]).yaml(&yaml).prepare()
}

/// Points a link elsewhere at once.
fn point(link: &Path, to: impl AsRef<Path>) {
    let beside = link.with_file_name("..beside");
    symlink(to, &beside).unwrap();
    fs::rename(beside, link).unwrap();
}

/// As the kubelet writes a ConfigMap: a new folder, `..data` swung over, the old folder away.
fn config_map(volume: &Path, revision: usize, guest: &Guest) {
    let (name, old) = (format!("..2024_{revision}"), fs::read_link(volume.join("..data")));
    fs::create_dir(volume.join(&name)).unwrap();
    guest.put(&volume.join(&name), "house", "");
    symlink(&name, volume.join("..data_tmp")).unwrap();
    fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
    match old {
        Ok(old) => fs::remove_dir_all(volume.join(old)).unwrap(),
        Err(_) => {
            for file in ["house.yaml", "house.wasm"] {
                symlink(Path::new("..data").join(file), volume.join(file)).unwrap();
            }
        }
    }
}

async fn follows_a_config_map(gateway: Gateway, volume: &Path) {
    for revision in 1..4 {
        let before = generation(&gateway).await;
        let [old, new] = [revision - 1, revision].map(|it| format!("revision {it}"));
        config_map(volume, revision, &refusing(&new));
        until_said(&gateway, &old, &new).await;
        assert_eq!(generation(&gateway).await, before + 1);
        assert_eq!(gateway.get("/health").await.body["status"], "healthy");
    }
}

#[tokio::test]
async fn a_config_map_is_followed_through_its_swaps() {
    let prepared = prepare("policies");
    let volume = prepared.policies();
    config_map(&volume, 0, &refusing("revision 0"));
    follows_a_config_map(prepared.start(), &volume).await;
}

#[tokio::test]
async fn a_config_map_in_a_subfolder_is_followed_too() {
    let prepared = prepare("policies");
    let volume = prepared.policies().join("mounted");
    fs::create_dir(&volume).unwrap();
    config_map(&volume, 0, &refusing("revision 0"));
    follows_a_config_map(prepared.start(), &volume).await;
}

#[tokio::test]
async fn a_policies_directory_that_is_a_link_is_followed_where_it_leads() {
    // Relative, as the default is: the link's own folder is then `.`.
    let prepared = prepare("live");
    let release = |number: usize| prepared.path().join(format!("release-{number}"));
    for number in 0..3 {
        fs::create_dir(release(number)).unwrap();
        refusing(&format!("release {number}")).put(&release(number), "house", "");
    }
    let (last, link) = (release(2), prepared.path().join("live"));
    point(&link, "release-0");
    let gateway = prepared.start();
    let before = generation(&gateway).await;
    for number in 1..3 {
        point(&link, format!("release-{number}"));
        until_said(&gateway, &format!("release {}", number - 1), &format!("release {number}")).await;
        assert_eq!(generation(&gateway).await, before + number as u64);
    }
    // Where it leads now is watched.
    replace(&last.join("house.wasm"), refusing("mended").module());
    until_said(&gateway, "release 2", "mended").await;
    // A release whose manifest cannot be read is a broken version, not a removal.
    let broken = gateway.folder().join("release-3");
    fs::create_dir(&broken).unwrap();
    fs::write(broken.join("house.yaml"), "name: [").unwrap();
    point(&link, "release-3");
    let health = gateway.until("/health", |body| body["status"] == "degraded").await;
    assert_eq!(health["policies"]["errors"][0]["code"], "bad_manifest");
    let reads = scans(&gateway).await;
    for number in 0..2 {
        fs::write(broken.join("no-policy"), number.to_string()).unwrap();
        until_scanned(&gateway, reads + number + 1, "mended").await;
    }
}

#[tokio::test]
async fn a_subfolder_that_is_a_link_is_followed_where_it_leads() {
    let prepared = prepare("policies");
    let policies = prepared.policies();
    for release in ["old", "new"] {
        let folder = policies.join(format!(".{release}"));
        fs::create_dir(&folder).unwrap();
        refusing(release).put(&folder, "house", "");
    }
    point(&policies.join("team"), ".old");
    let gateway = prepared.start();
    point(&policies.join("team"), ".new");
    until_said(&gateway, "old", "new").await;
    replace(&policies.join(".new/house.wasm"), refusing("newer").module());
    until_said(&gateway, "new", "newer").await;
}

#[tokio::test]
async fn a_directory_that_is_exchanged_for_another_is_watched_in_its_stead() {
    let prepared = prepare("policies");
    let policies = prepared.policies();
    let other = prepared.path().join("other");
    fs::create_dir(&other).unwrap();
    refusing("old").put(&policies, "house", "");
    refusing("new").put(&other, "house", "");
    let gateway = prepared.start();
    renameat_with(CWD, &policies, CWD, &other, RenameFlags::EXCHANGE).unwrap();
    until_said(&gateway, "old", "new").await;
    replace(&policies.join("house.wasm"), refusing("newer").module());
    until_said(&gateway, "new", "newer").await;
}

/// Modules may lie deeper than manifests are looked for.
#[tokio::test]
async fn a_module_outside_of_the_folders_that_are_scanned_is_watched() {
    let prepared = prepare("policies");
    let policies = prepared.policies();
    let deep = policies.join("modules/rust/v1");
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("house.wasm"), refusing("old").module()).unwrap();
    fs::write(policies.join("house.yaml"), "name: house\nmodule: modules/rust/v1/house.wasm\n").unwrap();
    let gateway = prepared.start();
    replace(&deep.join("house.wasm"), refusing("new").module());
    until_said(&gateway, "old", "new").await;
}
