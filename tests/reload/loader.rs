//! A loader, or a device, that has a bad moment.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use octroi::policy::engine::{Allocation, Engine};
use octroi::policy::load::worker::Worker;
use octroi::policy::load::{LoadCode, Module, Step};
use octroi::policy::manifest::Manifest;

use super::support::{Gateway, Prepared, eventually};
use super::{NEVER, bare, in_namespaces, refusing, replace, said, scans, start_through, until_said, until_scanned};

/// The loader, but it dies while there is a file `pressure`, as one that the system kills for want of memory; it says
/// each time that it was started.
const LOADER: &str =
    "#!/bin/sh\necho started >> FOLDER/starts\n[ -e FOLDER/pressure ] && kill -9 $$\nexec OCTROI \"$@\"\n";

/// Makes it the worker of a gateway that has `worker: ./loader`.
pub(super) fn counted(prepared: &Prepared) {
    let loader = LOADER.replace("FOLDER", &prepared.path().display().to_string());
    let loader = loader.replace("OCTROI", env!("CARGO_BIN_EXE_octroi"));
    fs::write(prepared.path().join("loader"), loader).unwrap();
    fs::set_permissions(prepared.path().join("loader"), fs::Permissions::from_mode(0o700)).unwrap();
}

/// How often it was started.
pub(super) fn starts(gateway: &Gateway) -> usize {
    fs::read_to_string(gateway.folder().join("starts")).unwrap().lines().count()
}

#[tokio::test]
async fn a_loader_that_was_killed_is_tried_again_later_and_not_at_once() {
    let prepared = bare(&format!("{NEVER}, worker: ./loader")).prepare();
    counted(&prepared);
    refusing("old").put(&prepared.policies(), "house", "");
    let gateway = prepared.start();
    assert_eq!(starts(&gateway), 1);
    fs::write(gateway.folder().join("pressure"), "").unwrap();
    replace(&gateway.policies().join("house.wasm"), refusing("new").module());
    let health = gateway.until("/health", |body| body["status"] == "degraded").await;
    assert_eq!(health["policies"]["errors"][0]["code"], "loader_failed");
    let told = gateway.log.wait(|line| line["fields"]["code"] == "loader_failed").await.unwrap();
    assert!(
        told["fields"]["message"]
            .as_str()
            .unwrap()
            .ends_with("it is tried again in 30s, when its files change or when a reload is asked for")
    );
    // Changes of others start nothing.
    let failed = starts(&gateway);
    for number in 0..3 {
        let reads = scans(&gateway).await;
        fs::write(gateway.policies().join(format!("other-{number}.wasm")), "").unwrap();
        until_scanned(&gateway, reads + 1, "old").await;
    }
    assert_eq!(starts(&gateway), failed);
    fs::remove_file(gateway.folder().join("pressure")).unwrap();
    until_said(&gateway, "old", "new").await;
    assert_eq!(starts(&gateway), failed + 1);
}

#[tokio::test]
async fn a_reload_that_is_asked_for_tries_again_at_once() {
    let prepared = bare(&format!("{NEVER}, worker: ./loader")).prepare();
    counted(&prepared);
    refusing("old").put(&prepared.policies(), "house", "");
    let gateway = prepared.start();
    fs::write(gateway.folder().join("pressure"), "").unwrap();
    replace(&gateway.policies().join("house.wasm"), refusing("new").module());
    gateway.until("/health", |body| body["status"] == "degraded").await;
    assert_eq!(said(&gateway).await, "old");
    fs::remove_file(gateway.folder().join("pressure")).unwrap();
    gateway.reload().await;
    assert_eq!(said(&gateway).await, "new");
}

#[tokio::test]
async fn a_memory_may_be_full_to_its_limit_but_not_to_its_own_maximum() {
    let prepared = bare(NEVER).prepare();
    refusing("tight").put(&prepared.policies(), "house", "limits: { memory: 131072 }\n");
    let gateway = prepared.start();
    assert_eq!(said(&gateway).await, "tight");
    refusing("full").at_its_maximum().put(&gateway.policies(), "full", "");
    let health = gateway.until("/health", |body| body["status"] == "degraded").await;
    let refused = serde_json::json!({ "policy": "full", "step": "snapshot", "code": "not_freezable" });
    assert_eq!(health["policies"]["errors"][0], refused);
    let told = gateway.log.wait(|line| line["fields"]["code"] == "not_freezable").await.unwrap();
    let message = told["fields"]["message"].as_str().unwrap();
    assert!(message.contains("its memory is at its own maximum; to be frozen it must have room"), "{message}");
}

#[tokio::test]
async fn a_loader_that_does_not_come_to_an_end_is_ended() {
    let folder = tempfile::tempdir().unwrap();
    let (loader, process) = (folder.path().join("loader"), folder.path().join("process"));
    // It says how far it is, reads nothing, and then says nothing more.
    let script =
        format!("#!/bin/sh\necho $$ > {}\necho '{{\"step\":\"compile\"}}'\nexec sleep 600\n", process.display());
    fs::write(&loader, script).unwrap();
    fs::set_permissions(&loader, fs::Permissions::from_mode(0o700)).unwrap();
    let engine = Engine::start(Allocation::Pooled(4)).unwrap();
    let worker = Worker::new(engine, None, loader, Duration::from_millis(1));
    let manifest = "name: house\nmodule: house.wasm\nlimits: { compile_time: 1s }\n";
    let manifest = Manifest::parse(manifest, "house").unwrap();
    let error = worker.load(&manifest, Module::new(vec![0; 1 << 20])).await.map(|_| ()).unwrap_err();
    assert_eq!((error.step, error.code), (Step::Compile, LoadCode::LoaderTimeout), "{error}");
    // Twice the processor time that it may use, which it would run into first if it worked.
    assert_eq!(error.message, "the loader was not done after 2 s and was ended");
    let process = fs::read_to_string(process).unwrap();
    assert!(!Path::new("/proc").join(process.trim()).exists(), "it goes on");
}

/// A process's own memory is a file whose beginning cannot be read (EIO); it stands in the module's place.
#[tokio::test]
async fn a_file_whose_device_failed_is_read_again_later() {
    let prepared = bare(NEVER).prepare();
    refusing("old").put(&prepared.policies(), "house", "");
    let module = prepared.policies().join("house.wasm");
    let Some(command) = in_namespaces(&format!("mount --bind /proc/$$/mem {}", module.display())) else { return };
    let gateway = start_through(prepared, command);
    let health = gateway.get("/health").await.body;
    let failed = serde_json::json!({ "policy": "house", "step": "read", "code": "read_failed" });
    assert_eq!(health["policies"]["errors"][0], failed);
    let told = gateway.log.wait(|line| line["fields"]["code"] == "read_failed").await.unwrap();
    assert!(
        told["fields"]["message"]
            .as_str()
            .unwrap()
            .ends_with("it is tried again in 30s, when its files change or when a reload is asked for")
    );
    let pid = gateway.child.id().to_string();
    let mut well_again = Command::new("nsenter");
    well_again.args(["--target", &pid, "--user", "--mount", "umount"]).arg(&module);
    assert!(well_again.status().unwrap().success());
    eventually("`old` in force", async || said(&gateway).await == "old").await;
}
