//! How single files change, and what is no policy's file at all.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Instant;

use serde_json::Value;

use super::support::guest::{Guest, manifest};
use super::support::{Gateway, PATIENCE, eventually};
use super::{
    NEVER, bare, generation, loads, refusing, replace, said, scans, start_through, until_generation, until_looked_at,
    until_said, until_scanned, without_privileges,
};

const CASE: &str = "tests: [{ name: any, query: Hello, expect: { action: deny } }]\n";

fn error_of<'a>(health: &'a Value, policy: &str) -> &'a Value {
    let errors = health["policies"]["errors"].as_array().unwrap();
    errors.iter().find(|error| error["policy"] == policy).unwrap_or(&Value::Null)
}

#[tokio::test]
async fn a_file_that_is_renamed_into_place_is_in_force_once() {
    let prepared = bare(NEVER).prepare();
    refusing("old").put(&prepared.policies(), "house", CASE);
    let gateway = prepared.start();
    let before = generation(&gateway).await;
    replace(&gateway.policies().join("house.wasm"), refusing("new").module());
    until_said(&gateway, "old", "new").await;
    replace(&gateway.policies().join("house.yaml"), manifest("house", "mode: shadow\n"));
    until_said(&gateway, "new", "nothing").await;
    until_looked_at(&gateway).await;
    assert_eq!(generation(&gateway).await, before + 3, "module, manifest, and the one behind them");
}

#[tokio::test]
async fn a_module_that_is_copied_over_slowly_is_loaded_once_and_whole() {
    // Longer than this test's own pauses, so that only the cap of two seconds makes the gateway look meanwhile.
    let prepared = bare(&format!("{NEVER}, reload_debounce: 2s")).prepare();
    let new = refusing("new").bytes(200_000).module();
    refusing("old").bytes(200_000).put(&prepared.policies(), "house", CASE);
    let gateway = prepared.start();
    let before = generation(&gateway).await;
    let reads = scans(&gateway).await;
    // Again, until it is certain that it was looked at in the middle.
    for copies in 0.. {
        assert!(copies < 100, "it was never looked at");
        if copies > 0 && scans(&gateway).await > reads {
            break;
        }
        let mut file = File::create(gateway.policies().join("house.wasm")).unwrap();
        for chunk in new.chunks(new.len() / 2_000) {
            file.write_all(chunk).unwrap();
            assert_eq!(said(&gateway).await, "old");
        }
    }
    until_said(&gateway, "old", "new").await;
    assert_eq!(generation(&gateway).await, before + 1);
    assert_eq!(loads(&gateway, "house", "ok").await, 2, "the old one and the new one");
    for code in ["invalid", "not_wasm", "not_encodable", "bad_exports", "case_failed"] {
        assert_eq!(loads(&gateway, "house", code).await, 0, "a half was given to the loader: {code}");
    }
}

/// What is read half written is refused, wherever it was cut.
#[test]
fn no_beginning_of_a_module_is_a_policy() {
    use octroi::policy::load::module::{encode, validate};
    for whole in [refusing("whole").module(), fs::read(super::repository_policies().join("pii.wasm")).unwrap()] {
        let mut ends = vec![8];
        while let Some(end) = ends.last().copied().filter(|end| *end < whole.len()) {
            // A section: its id, its length in LEB128, its bytes.
            let (mut length, mut at) = (0, end + 1);
            for shift in (0..).step_by(7) {
                length |= usize::from(whole[at] & 0x7f) << shift;
                at += 1;
                if whole[at - 1] < 0x80 {
                    break;
                }
            }
            ends.push(at + length);
        }
        assert!(ends.len() > 5 && ends.last() == Some(&whole.len()));
        let component_type = ends.iter().position(|end| whole[..*end].windows(14).any(|it| it == b"component-type"));
        for end in &ends[..component_type.unwrap()] {
            for cut in [*end, end + 1, end + 3] {
                let judged = encode(whole[..cut].to_vec()).and_then(|component| validate(&component, &[]));
                assert!(judged.is_err(), "the first {cut} of {} bytes are taken for a policy", whole.len());
            }
        }
    }
}

#[tokio::test]
async fn what_editors_leave_behind_changes_nothing() {
    let prepared = bare(NEVER).prepare();
    refusing("old").put(&prepared.policies(), "house", CASE);
    let gateway = prepared.start();
    let policies = gateway.policies();
    let manifest = policies.join("house.yaml");
    let text = fs::read_to_string(&manifest).unwrap();
    let draft = text.replace("name: house", "name: draft");
    for name in ["house.yaml~", ".house.yaml.swp", "#house.yaml#", "4913", "house.yaml.bak", ".hidden.yaml"] {
        fs::write(policies.join(name), &draft).unwrap();
    }
    for name in ["house.wasm~", ".house.wasm.swp", "#house.wasm#"] {
        fs::write(policies.join(name), "half").unwrap();
    }
    symlink("nobody@nowhere.4711", policies.join(".#house.yaml")).unwrap();
    until_looked_at(&gateway).await;
    let health = gateway.get("/health").await.body;
    assert_eq!(health["status"], "healthy", "{health}");
    assert_eq!(health["policies"]["live"], 2);
    assert_eq!(loads(&gateway, "house", "ok").await, 1);
    // As vim saves: the old one aside, the new one in its place, the old one away.
    fs::rename(&manifest, policies.join("house.yaml~")).unwrap();
    fs::write(&manifest, text.replace("name: house", "name: house\nmode: shadow")).unwrap();
    fs::remove_file(policies.join("house.yaml~")).unwrap();
    until_said(&gateway, "old", "nothing").await;
}

#[tokio::test]
async fn a_file_that_comes_back_at_once_was_never_gone() {
    let prepared = bare(&format!("{NEVER}, reload_debounce: 2s")).prepare();
    refusing("old").put(&prepared.policies(), "house", CASE);
    let gateway = prepared.start();
    let manifest = gateway.policies().join("house.yaml");
    let text = fs::read(&manifest).unwrap();
    let before = generation(&gateway).await;
    let reads = scans(&gateway).await;
    fs::remove_file(&manifest).unwrap();
    // One look is not enough.
    until_scanned(&gateway, reads + 1, "old").await;
    fs::write(&manifest, text).unwrap();
    until_scanned(&gateway, scans(&gateway).await + 1, "old").await;
    until_looked_at(&gateway).await;
    assert_eq!((generation(&gateway).await, said(&gateway).await.as_str()), (before + 1, "old"), "the one behind it");
}

#[tokio::test]
async fn a_file_that_is_removed_takes_its_policy_along_and_brings_it_back() {
    let prepared = bare(NEVER).prepare();
    refusing("old").put(&prepared.policies(), "house", CASE);
    let gateway = prepared.start();
    let manifest = gateway.policies().join("house.yaml");
    let text = fs::read(&manifest).unwrap();
    for _ in 0..2 {
        let reads = scans(&gateway).await;
        fs::remove_file(&manifest).unwrap();
        until_said(&gateway, "old", "nothing").await;
        assert!(scans(&gateway).await >= reads + 2, "two looks must agree");
        fs::write(&manifest, &text).unwrap();
        until_said(&gateway, "nothing", "old").await;
    }
    fs::remove_file(gateway.policies().join("house.wasm")).unwrap();
    let health = gateway.until("/health", |body| body["status"] == "degraded").await;
    assert_eq!(error_of(&health, "house")["step"], "read");
    assert_eq!(said(&gateway).await, "old", "a manifest without its module keeps the last good version");
}

#[tokio::test]
async fn content_decides_and_never_the_clock() {
    let prepared = bare(NEVER).prepare();
    refusing("one").put(&prepared.policies(), "house", CASE);
    let module = prepared.policies().join("house.wasm");
    let written = fs::metadata(&module).unwrap();
    let gateway = prepared.start();
    // In place, of the same size, and the time of the last change set back to what it was.
    let two = refusing("two").module();
    assert_eq!(two.len() as u64, written.len());
    fs::write(&module, two).unwrap();
    File::options().write(true).open(&module).unwrap().set_modified(written.modified().unwrap()).unwrap();
    until_said(&gateway, "one", "two").await;
    // A file from a machine whose clock is years behind.
    let beside = module.with_extension("new");
    fs::write(&beside, refusing("six").module()).unwrap();
    File::options().write(true).open(&beside).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    fs::rename(beside, &module).unwrap();
    until_said(&gateway, "two", "six").await;
    // Touched, and nothing else.
    let before = generation(&gateway).await;
    File::options().write(true).open(&module).unwrap().set_modified(std::time::SystemTime::now()).unwrap();
    until_looked_at(&gateway).await;
    assert_eq!(generation(&gateway).await, before + 1, "the one behind it");
    assert_eq!(loads(&gateway, "house", "ok").await, 3);
}

/// Whatever is read under one digest is what is loaded under it: a version never has another version's sentence.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_replaced_while_it_is_read_is_taken_whole() {
    let prepared = bare(&format!("{NEVER}, reload_debounce: 50ms")).prepare();
    let sentences = ["a", "b", "c"].map(|letter| letter.repeat(200));
    let modules = sentences.each_ref().map(|it| refusing(it).bytes(300_000).module());
    assert!(modules.iter().all(|it| it.len() == modules[0].len()));
    refusing(&sentences[0]).bytes(300_000).put(&prepared.policies(), "house", CASE);
    let gateway = prepared.start();
    let module = gateway.policies().join("house.wasm");
    let reads = scans(&gateway).await;
    // Half of the time in place, in two halves.
    let (mut turn, until) = (0, Instant::now() + 5 * PATIENCE);
    while scans(&gateway).await < reads + 15 {
        assert!(Instant::now() < until, "it was looked at too seldom");
        turn += 1;
        let bytes = &modules[turn % 3];
        if turn % 2 == 0 {
            replace(&module, bytes);
        } else {
            let mut file = File::options().write(true).open(&module).unwrap();
            file.write_all(&bytes[..150_000]).unwrap();
            file.write_all(&bytes[150_000..]).unwrap();
        }
        assert!(sentences.contains(&said(&gateway).await), "a mix of two versions");
    }
    eventually("the last version in force", async || {
        let said = said(&gateway).await;
        assert!(sentences.contains(&said), "a mix of two versions");
        said == sentences[turn % 3]
    })
    .await;
    let mut meanings = std::collections::BTreeMap::<String, String>::new();
    for entry in gateway.search(serde_json::json!({ "limit": 1000 })).await {
        let evaluation = &entry["policy_details"]["evaluations"][0];
        let text = |key: &str| evaluation[key].as_str().unwrap().to_owned();
        let first = meanings.entry(text("version")).or_insert(text("reason")).clone();
        assert_eq!(first, text("reason"), "one version, two meanings");
    }
    assert!(meanings.len() <= 3, "{meanings:?}");
}

#[tokio::test]
async fn what_is_no_file_of_the_folder_is_not_read() {
    let prepared = bare(NEVER).prepare();
    refusing("old").put(&prepared.policies(), "house", CASE);
    let outside = prepared.path().join("outside");
    fs::create_dir(&outside).unwrap();
    refusing("foreign").put(&outside, "foreign", CASE);
    let gateway = prepared.start();
    let policies = gateway.policies();
    let before = generation(&gateway).await;
    let fifo = |name: &str| {
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, policies.join(name), rustix::fs::FileType::Fifo, mode, 0).unwrap();
    };
    symlink(outside.join("foreign.yaml"), policies.join("link.yaml")).unwrap();
    symlink("link-to-itself.yaml", policies.join("link-to-itself.yaml")).unwrap();
    fifo("fifo.yaml");
    let _socket = UnixListener::bind(policies.join("socket.yaml")).unwrap();
    fs::create_dir(policies.join("directory.yaml")).unwrap();
    symlink(outside.join("foreign.wasm"), policies.join("link-module.wasm")).unwrap();
    fifo("fifo-module.wasm");
    let _socket = UnixListener::bind(policies.join("socket-module.wasm")).unwrap();
    fs::create_dir(policies.join("directory-module.wasm")).unwrap();
    let modules = ["link-module", "fifo-module", "socket-module", "directory-module", "no-module"];
    for name in modules {
        fs::write(policies.join(format!("{name}.yaml")), manifest(name, "")).unwrap();
    }
    fs::write(policies.join("upwards.yaml"), "name: upwards\nmodule: ../outside/foreign.wasm\n").unwrap();
    let manifests = ["link", "link-to-itself", "fifo", "socket"];
    let all = manifests.len() + modules.len() + 1;
    let health =
        gateway.until("/health", |body| body["policies"]["errors"].as_array().is_some_and(|it| it.len() == all)).await;
    for (names, step) in [(&manifests[..], "manifest"), (&modules[..], "read"), (&["upwards"], "read")] {
        for name in names {
            let error = error_of(&health, name);
            assert_eq!((&error["step"], &error["code"]), (&step.into(), &"unreadable".into()), "{name}: {health}");
        }
    }
    assert_eq!(
        (generation(&gateway).await, said(&gateway).await.as_str()),
        (before, "old"),
        "newcomers change nothing"
    );
    let gateway = gateway.restart();
    let answer = gateway.pre_check("Hello").await;
    assert_eq!(answer.body["block_reason"], "Request blocked by policy: fifo (policy_not_loaded)", "{answer:?}");
}

#[tokio::test]
async fn what_may_not_be_read_keeps_its_last_good_version() {
    let Some(command) = without_privileges() else { return };
    let prepared = bare(NEVER).prepare();
    let folder = prepared.policies().join("team");
    fs::create_dir(&folder).unwrap();
    refusing("old").put(&folder, "house", CASE);
    let gateway = start_through(prepared, command);
    let before = generation(&gateway).await;
    let manifest = folder.join("house.yaml");
    let locked = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let cases = [(manifest.as_path(), "manifest", "house"), (&folder.join("house.wasm"), "read", "house")];
    for (path, step, policy) in cases.into_iter().chain([(folder.as_path(), "manifest", "team")]) {
        let mode = fs::metadata(path).unwrap().permissions().mode();
        locked(path, 0);
        let health = gateway.until("/health", |body| body["status"] == "degraded").await;
        let error = error_of(&health, policy);
        assert_eq!((&error["step"], &error["code"]), (&step.into(), &"unreadable".into()), "{health}");
        let reads = scans(&gateway).await;
        // Newcomers are looked for again and again; what is locked is never taken for gone.
        for number in 0..2 {
            fs::write(gateway.policies().join("no-policy"), number.to_string()).unwrap();
            until_scanned(&gateway, reads + number + 1, "old").await;
        }
        locked(path, mode);
        gateway.until("/health", |body| body["status"] == "healthy").await;
    }
    // Its names can be read and nothing of what they name: that `team` is a folder is all that is known.
    let policies = gateway.policies();
    let mode = fs::metadata(&policies).unwrap().permissions().mode();
    for names_only in [0o400, 0o440] {
        let reads = scans(&gateway).await;
        locked(&policies, names_only);
        until_scanned(&gateway, reads + 1, "old").await;
    }
    assert_eq!(error_of(&gateway.get("/health").await.body, "team")["code"], "unreadable");
    locked(&policies, mode);
    gateway.until("/health", |body| body["status"] == "healthy").await;
    assert_eq!((generation(&gateway).await, said(&gateway).await.as_str()), (before, "old"));
    replace(&manifest, "garbage");
    gateway.until("/health", |body| body["status"] == "degraded").await;
    fs::remove_file(&manifest).unwrap();
    until_generation(&gateway, before + 1).await;
}

/// Why a request is refused.
async fn refusal(gateway: &Gateway) -> String {
    gateway.pre_check("Hello").await.body["block_reason"].as_str().unwrap_or("nothing").to_owned()
}

#[tokio::test]
async fn a_name_that_is_taken_is_no_way_out_for_what_is_broken_since_the_start() {
    let prepared = bare(NEVER).prepare();
    Guest::pre_check("allow").put(&prepared.policies(), "house", "");
    fs::write(prepared.policies().join("team.yaml"), manifest("team", "")).unwrap();
    fs::write(prepared.policies().join("team.wasm"), "garbage").unwrap();
    let gateway = prepared.start();
    let refused = "Request blocked by policy: team (policy_not_loaded)";
    assert_eq!(refusal(&gateway).await, refused);
    let taken = manifest("house", "").replace("house.wasm", "team.wasm");
    replace(&gateway.policies().join("team.yaml"), &taken);
    let is_taken = |body: &Value| body["policies"]["errors"][0]["code"] == "duplicate_name";
    gateway.until("/health", is_taken).await;
    assert_eq!(refusal(&gateway).await, refused);
    let gateway = gateway.restart();
    assert_eq!(refusal(&gateway).await, refused);
    replace(&gateway.policies().join("team.yaml"), format!("{taken}mode: off\n"));
    eventually("nothing is refused", async || refusal(&gateway).await == "nothing").await;
    // To a running gateway it is a newcomer.
    let reads = scans(&gateway).await;
    replace(&gateway.policies().join("team.yaml"), &taken);
    until_scanned(&gateway, reads + 1, "nothing").await;
    gateway.until("/health", is_taken).await;
    assert_eq!(refusal(&gateway).await, "nothing");
    refusing("its own name").put(&gateway.policies(), "team", "");
    until_said(&gateway, "nothing", "its own name").await;
}

fn codes(health: &Value) -> BTreeSet<&str> {
    let errors = health["policies"]["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
    errors.iter().map(|error| error["code"].as_str().unwrap()).collect()
}

/// Manifests that say `house` and may not have it, in front of it in the order of paths and behind it.
const DRAFTS: [&str; 2] = ["a-draft.yaml", "z-draft.yaml"];

/// Puts them there beside the one that has it.
async fn draft(gateway: &Gateway, further: &str) {
    for draft in DRAFTS {
        replace(&gateway.policies().join(draft), manifest("house", further));
    }
    let refused = |body: &Value| body["policies"]["errors"].as_array().map(Vec::len) == Some(DRAFTS.len());
    assert_eq!(codes(&gateway.until("/health", refused).await), ["duplicate_name"].into());
}

#[tokio::test]
async fn a_name_stays_with_the_manifest_that_has_it() {
    let prepared = bare(NEVER).prepare();
    refusing("old").put(&prepared.policies(), "house", "");
    let gateway = prepared.start();
    let house = gateway.policies().join("house.yaml");
    let until = async |expected: &[&str]| {
        gateway.until("/health", |body| codes(body).iter().eq(expected)).await;
        assert_eq!(said(&gateway).await, "old", "{expected:?}");
    };
    draft(&gateway, "mode: off\n").await;
    let text = fs::read(&house).unwrap();
    replace(&house, "garbage");
    until(&["bad_manifest", "duplicate_name"]).await;
    replace(&house, &text);
    until(&["duplicate_name"]).await;
    fs::remove_file(&house).unwrap();
    until_said(&gateway, "old", "nothing").await;
}

#[tokio::test]
async fn the_module_of_a_policy_in_force_is_not_told_as_one_without_a_manifest() {
    let prepared = bare(NEVER).prepare();
    refusing("old").put(&prepared.policies(), "house", CASE);
    let gateway = prepared.start();
    replace(&gateway.policies().join("house.yaml"), "name: [");
    gateway.until("/health", |body| body["status"] == "degraded").await;
    assert_eq!(said(&gateway).await, "old");
    fs::write(gateway.policies().join("stray.wasm"), refusing("stray").module()).unwrap();
    let message = "no manifest names this module; it is not loaded";
    let told = |line: &Value| line["fields"]["message"] == message;
    assert!(gateway.log.wait(told).await.is_some());
    let modules: Vec<_> = gateway.log.all(told).iter().map(|line| line["fields"]["module"].to_string()).collect();
    assert!(modules.len() == 1 && modules[0].contains("stray.wasm"), "{modules:?}");
}

#[tokio::test]
async fn a_manifest_that_moves_takes_its_name_along() {
    for to in ["m-house.yaml", "zz-house.yaml"] {
        let prepared = bare(NEVER).prepare();
        refusing("old").put(&prepared.policies(), "house", "");
        let gateway = prepared.start();
        draft(&gateway, "mode: off\n").await;
        let reads = scans(&gateway).await;
        fs::rename(gateway.policies().join("house.yaml"), gateway.policies().join(to)).unwrap();
        until_scanned(&gateway, reads + 1, "old").await;
        until_looked_at(&gateway).await;
        replace(&gateway.policies().join("house.wasm"), refusing("new").module());
        until_said(&gateway, "old", "new").await;
        replace(&gateway.policies().join(to), manifest("house", "mode: shadow\n"));
        until_said(&gateway, "new", "nothing").await;
    }
}

#[tokio::test]
async fn a_new_name_that_comes_with_a_mistake_gives_the_old_one_to_nobody() {
    let prepared = bare(NEVER).prepare();
    refusing("old").put(&prepared.policies(), "house", "");
    refusing("other").put(&prepared.policies(), "pii", "match: { request_types: [none] }\n");
    let gateway = prepared.start();
    draft(&gateway, "mode: off\n").await;
    fs::write(gateway.policies().join("garbage.wasm"), "garbage").unwrap();
    let garbage = manifest("team", "").replace("team.wasm", "garbage.wasm");
    for (text, code) in [(garbage, "not_wasm"), (manifest("pii", ""), "duplicate_name")] {
        let reads = scans(&gateway).await;
        replace(&gateway.policies().join("house.yaml"), text);
        until_scanned(&gateway, reads + 1, "old").await;
        until_looked_at(&gateway).await;
        assert_eq!(said(&gateway).await, "old", "{code}");
        assert!(codes(&gateway.get("/health").await.body).contains(code));
    }
}

#[tokio::test]
async fn a_name_waits_for_its_manifest_until_that_is_gone() {
    let prepared = bare(&format!("{NEVER}, reload_debounce: 2s")).prepare();
    refusing("old").put(&prepared.policies(), "house", "");
    let gateway = prepared.start();
    draft(&gateway, "mode: off\n").await;
    let house = gateway.policies().join("house.yaml");
    let text = fs::read(&house).unwrap();
    let reads = scans(&gateway).await;
    fs::remove_file(&house).unwrap();
    until_scanned(&gateway, reads + 1, "old").await;
    fs::write(&house, text).unwrap();
    until_scanned(&gateway, scans(&gateway).await + 1, "old").await;
    until_looked_at(&gateway).await;
    replace(&gateway.policies().join("house.wasm"), refusing("new").module());
    until_said(&gateway, "old", "new").await;
    let draft = manifest("house", "").replace("house.wasm", "draft.wasm");
    fs::write(gateway.policies().join("draft.wasm"), refusing("draft").module()).unwrap();
    replace(&gateway.policies().join(DRAFTS[0]), draft);
    until_scanned(&gateway, scans(&gateway).await + 1, "new").await;
    fs::remove_file(&house).unwrap();
    until_said(&gateway, "new", "draft").await;
}

#[tokio::test]
async fn a_name_waits_for_a_folder_that_is_closed() {
    let Some(command) = without_privileges() else { return };
    let prepared = bare(NEVER).prepare();
    let folder = prepared.policies().join("team");
    fs::create_dir(&folder).unwrap();
    refusing("old").put(&folder, "house", "");
    let gateway = start_through(prepared, command);
    draft(&gateway, "mode: off\n").await;
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o0)).unwrap();
    gateway.until("/health", |body| codes(body).contains("unreadable")).await;
    for _ in 0..2 {
        let reads = scans(&gateway).await;
        fs::write(gateway.policies().join("no-policy"), reads.to_string()).unwrap();
        until_scanned(&gateway, reads + 1, "old").await;
    }
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn what_is_broken_since_the_start_refuses_on_while_its_manifest_is_away() {
    let prepared = bare(&format!("{NEVER}, reload_debounce: 2s")).prepare();
    Guest::pre_check("allow").put(&prepared.policies(), "other", "");
    fs::write(prepared.policies().join("house.yaml"), manifest("house", "")).unwrap();
    fs::write(prepared.policies().join("house.wasm"), "garbage").unwrap();
    let gateway = prepared.start();
    let house = gateway.policies().join("house.yaml");
    let until_scanned = async |change: &dyn Fn()| {
        let reads = scans(&gateway).await;
        change();
        eventually("the directory is read", async || {
            assert_eq!(refusal(&gateway).await, "Request blocked by policy: house (policy_not_loaded)");
            scans(&gateway).await > reads
        })
        .await;
    };
    let text = fs::read(&house).unwrap();
    until_scanned(&|| replace(&gateway.policies().join(DRAFTS[0]), manifest("house", "mode: off\n"))).await;
    until_scanned(&|| fs::remove_file(&house).unwrap()).await;
    until_scanned(&|| fs::write(&house, &text).unwrap()).await;
    until_scanned(&|| fs::write(gateway.policies().join("no-policy"), "").unwrap()).await;
    fs::remove_file(&house).unwrap();
    eventually("nothing is refused", async || refusal(&gateway).await == "nothing").await;
}

#[tokio::test]
async fn a_required_policy_whose_file_has_another_ones_name_is_missing_for_all() {
    let prepared = bare(&format!("{NEVER}, required: [team]")).prepare();
    Guest::pre_check("allow").put(&prepared.policies(), "house", "");
    let copied = manifest("house", "").replace("house.wasm", "team.wasm");
    fs::write(prepared.policies().join("team.yaml"), format!("{copied}match: {{ request_types: [sql] }}\n")).unwrap();
    fs::write(prepared.policies().join("team.wasm"), "garbage").unwrap();
    let gateway = prepared.start();
    assert_eq!(refusal(&gateway).await, "Request blocked by policy: team (policy_missing)");
}

#[tokio::test]
async fn what_is_broken_since_the_start_refuses_on_while_its_folder_closes_and_opens() {
    let Some(command) = without_privileges() else { return };
    let prepared = bare(NEVER).prepare();
    let folder = prepared.policies().join("team");
    fs::create_dir(&folder).unwrap();
    Guest::pre_check("allow").put(&prepared.policies(), "other", "");
    fs::write(folder.join("house.yaml"), manifest("house", "")).unwrap();
    fs::write(folder.join("house.wasm"), "garbage").unwrap();
    let locked = |mode| fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
    let gateway = start_through(prepared, command.clone());
    let refused = "Request blocked by policy: house (policy_not_loaded)";
    assert_eq!(refusal(&gateway).await, refused);
    let is_at_fault = |body: &Value, policy: &str| !error_of(body, policy).is_null();
    locked(0);
    gateway.until("/health", |body| is_at_fault(body, "team") && is_at_fault(body, "house")).await;
    assert_eq!(refusal(&gateway).await, refused, "its folder is closed");
    let reads = scans(&gateway).await;
    fs::write(gateway.policies().join("no-policy"), "").unwrap();
    eventually("another scan", async || scans(&gateway).await > reads).await;
    assert_eq!(refusal(&gateway).await, refused, "and still is");
    locked(0o755);
    gateway.until("/health", |body| !is_at_fault(body, "team")).await;
    assert_eq!(refusal(&gateway).await, refused, "its folder is open again");

    // A folder that was closed at the start may have held anything.
    locked(0);
    let gateway = start_through(gateway.stop(), command);
    assert_eq!(refusal(&gateway).await, "Request blocked by policy: team (policy_not_loaded)");
    locked(0o755);
    gateway.until("/health", |body| !is_at_fault(body, "team")).await;
    assert_eq!(refusal(&gateway).await, refused, "what could not be loaded stood in it");
    replace(&folder.join("house.wasm"), refusing("new").module());
    gateway.until("/health", |body| body["status"] == "healthy").await;
    assert_eq!(said(&gateway).await, "new");
}

#[tokio::test]
async fn what_is_broken_since_the_start_is_not_forgotten_for_a_moment_without_its_manifest() {
    let prepared = bare(&format!("{NEVER}, reload_debounce: 2s")).prepare();
    Guest::pre_check("allow").put(&prepared.policies(), "other", "");
    let manifest_of_house = prepared.policies().join("house.yaml");
    fs::write(&manifest_of_house, manifest("house", "")).unwrap();
    let gateway = prepared.start();
    let refused = "Request blocked by policy: house (policy_not_loaded)";
    assert_eq!(refusal(&gateway).await, refused);
    let reads = scans(&gateway).await;
    fs::remove_file(&manifest_of_house).unwrap();
    // One look is not enough.
    eventually("a scan without it", async || scans(&gateway).await > reads).await;
    assert_eq!(refusal(&gateway).await, refused);
    fs::write(&manifest_of_house, manifest("house", "")).unwrap();
    until_looked_at(&gateway).await;
    assert_eq!(refusal(&gateway).await, refused);
    fs::remove_file(&manifest_of_house).unwrap();
    eventually("it is forgotten", async || refusal(&gateway).await == "nothing").await;
}

#[tokio::test]
async fn a_folder_that_is_away_is_told_of_until_it_is_back() {
    let prepared = bare("poll_interval: 200ms").prepare();
    refusing("old").put(&prepared.policies(), "house", "");
    let gateway = prepared.start();
    let (folder, away) = (gateway.policies(), gateway.folder().join("away"));
    fs::rename(&folder, &away).unwrap();
    let health = gateway.until("/health", |body| body["status"] == "degraded").await;
    let error = error_of(&health, "policies");
    assert_eq!((&error["step"], &error["code"]), (&"manifest".into(), &"unreadable".into()), "{health}");
    assert_eq!(gateway.metric("octroi_policies_degraded").await, 1.0);
    assert_eq!(gateway.policy("policies").await["state"], "broken");
    assert_eq!(said(&gateway).await, "old");
    fs::rename(&away, &folder).unwrap();
    gateway.until("/health", |body| body["status"] == "healthy").await;
    assert_eq!(gateway.metric("octroi_policies_degraded").await, 0.0);
    assert_eq!(gateway.log.count("the policies directory cannot be read").await, 1, "told once");
}
