//! The cache of compiled code: what of it is believed, what is not, and what happens when there is no room.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use octroi::policy::digest::Digest;
use serde_json::Value;

use super::support::{Gateway, Prepared};
use super::{NEVER, bare, in_namespaces, refusing, replace, said, skipped, start_through, until_said};

fn cache(folder: &Path) -> PathBuf {
    folder.join("cache")
}

/// The entry of a version that is in force: code and note.
fn entry(gateway: &Gateway) -> (PathBuf, PathBuf) {
    let mapped = gateway.mapped();
    assert_eq!(mapped.len(), 1, "{mapped:?}");
    let code = PathBuf::from(mapped.keys().next().unwrap());
    let note = code.with_extension("json");
    (code, note)
}

fn note(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn write_note(path: &Path, note: &Value) {
    fs::write(path, note.to_string()).unwrap();
}

/// Stops it; when it is started again, any loader that it starts ends at once.
fn without_a_loader(gateway: Gateway) -> Prepared {
    let prepared = gateway.stop();
    let yaml = prepared.path().join("octroi.yaml");
    let text = fs::read_to_string(&yaml).unwrap();
    fs::write(&yaml, text.replace(NEVER, &format!("{NEVER}, worker: /bin/false"))).unwrap();
    prepared
}

fn complaints(gateway: &Gateway) -> Vec<String> {
    let told = "an entry of the policies' cache is not used and compiled anew: ";
    let lines = gateway.log.all(|line| line["level"] == "WARN");
    let messages = lines.iter().filter_map(|line| line["fields"]["message"].as_str());
    messages.filter_map(|message| message.strip_prefix(told)).map(str::to_owned).collect()
}

#[tokio::test]
async fn an_entry_that_does_not_fit_is_told_of_and_made_anew() {
    let prepared = bare(NEVER).prepare();
    refusing("house").put(&prepared.policies(), "house", "");
    let mut gateway = prepared.start();
    let (code, about) = entry(&gateway);
    let good = (fs::read(&code).unwrap(), note(&about));
    let rehash = || {
        let mut changed = note(&about);
        changed["sha256"] = Digest::of(&fs::read(&code).unwrap()).to_string().into();
        write_note(&about, &changed);
    };
    let rewrite = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = fs::read(&code).unwrap();
        change(&mut bytes);
        fs::write(&code, bytes).unwrap();
    };
    let find = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).position(|it| it == what).unwrap();
    type Tamper<'a> = (&'a str, &'a str, &'a dyn Fn());
    let tampers: [Tamper<'_>; 11] = [
        ("a flipped bit", "corrupted", &|| rewrite(&|bytes| bytes[5_000] ^= 4)),
        ("cut off", "corrupted", &|| rewrite(&|bytes| bytes.truncate(3_000))),
        ("empty", "corrupted", &|| rewrite(&Vec::clear)),
        ("another wasmtime's", "Module was compiled with", &|| {
            rewrite(&|bytes| {
                // The section of wasmtime's own facts: a format's number, the length of the version, the version.
                let at = find(bytes, b"\0\x0248");
                bytes[at + 2..at + 4].copy_from_slice(b"47");
            });
            rehash();
        }),
        ("no object file", "parse", &|| {
            rewrite(&|bytes| bytes[..4].copy_from_slice(b"#!/b"));
            rehash();
        }),
        ("an empty one with its hash", "", &|| {
            rewrite(&Vec::clear);
            rehash();
        }),
        ("no JSON", "its note is not readable", &|| fs::write(&about, "{").unwrap()),
        ("another entry's note", "another entry's", &|| {
            let mut changed = note(&about);
            changed["key"] = Digest::of(b"another").to_string().into();
            write_note(&about, &changed);
        }),
        ("writable by the group", "other users may write it", &|| {
            fs::set_permissions(&code, Permissions::from_mode(0o620)).unwrap();
        }),
        ("a link", "no regular file", &|| {
            let elsewhere = code.with_extension("moved");
            fs::rename(&code, &elsewhere).unwrap();
            std::os::unix::fs::symlink(elsewhere, &code).unwrap();
        }),
        ("a folder", "no regular file", &|| {
            fs::remove_file(&code).unwrap();
            fs::create_dir(&code).unwrap();
            fs::set_permissions(&code, Permissions::from_mode(0o700)).unwrap();
        }),
    ];
    for (what, complaint, tamper) in tampers {
        let prepared = gateway.stop();
        tamper();
        gateway = prepared.start();
        assert_eq!(said(&gateway).await, "house", "{what}");
        let told = complaints(&gateway);
        assert!(!told.is_empty() && told[0].contains(complaint), "{what}: {told:?}");
        if what == "a folder" {
            assert!(gateway.mapped().is_empty(), "it cannot be replaced; the policy is in force from memory");
            continue;
        }
        assert_eq!(entry(&gateway), (code.clone(), about.clone()), "{what}");
        assert!(fs::read(&code).unwrap() == good.0, "{what}: it is made anew, to the byte");
        assert_eq!(note(&about)["sha256"], good.1["sha256"], "{what}");
        let prepared = gateway.stop();
        gateway = prepared.start();
        assert_eq!(complaints(&gateway), [""; 0], "{what}: and then believed again");
    }
}

#[tokio::test]
async fn without_a_note_there_is_no_entry_and_without_code_neither() {
    let prepared = bare(NEVER).prepare();
    refusing("house").put(&prepared.policies(), "house", "");
    let mut gateway = prepared.start();
    let (code, about) = entry(&gateway);
    for gone in [&code, &about] {
        let prepared = gateway.stop();
        fs::remove_file(gone).unwrap();
        gateway = prepared.start();
        assert_eq!((said(&gateway).await.as_str(), complaints(&gateway)), ("house", Vec::new()));
        assert!(gone.exists());
    }
}

#[tokio::test]
async fn a_second_start_needs_no_loader() {
    let prepared = bare(NEVER).prepare();
    refusing("house").put(&prepared.policies(), "house", "");
    let prepared = without_a_loader(prepared.start());
    let gateway = prepared.start();
    assert_eq!(said(&gateway).await, "house");
    replace(&gateway.policies().join("house.wasm"), refusing("new").module());
    let health = gateway.until("/health", |body| body["status"] == "degraded").await;
    assert_eq!(health["policies"]["errors"][0]["code"], "loader_failed", "there really is none");
}

#[tokio::test]
async fn a_folder_that_others_may_write_is_not_used() {
    type MakeForeign<'a> = (&'a str, &'a dyn Fn(&Path));
    let foreigners: [MakeForeign<'_>; 2] = [
        ("other users may write it", &|cache| fs::set_permissions(cache, Permissions::from_mode(0o777)).unwrap()),
        ("another user owns it", &|cache| std::os::unix::fs::chown(cache, Some(65_534), None).unwrap()),
    ];
    for (problem, make_foreign) in foreigners {
        if problem.starts_with("another") && !rustix::process::geteuid().is_root() {
            skipped("only root can give a folder away; that of another user is not tested");
            continue;
        }
        let prepared = bare(NEVER).prepare();
        refusing("house").put(&prepared.policies(), "house", "");
        fs::create_dir(cache(prepared.path())).unwrap();
        make_foreign(&cache(prepared.path()));
        let gateway = prepared.start();
        assert_eq!(said(&gateway).await, "house");
        assert!(gateway.mapped().is_empty());
        assert_eq!(fs::read_dir(cache(gateway.folder())).unwrap().count(), 0, "{problem}");
        let told =
            gateway.log.wait(|line| line["fields"]["error"].as_str().is_some_and(|it| it.contains(problem))).await;
        assert!(told.is_some_and(|it| it.to_string().contains("compiled policies are not kept")), "{problem}");
    }
}

#[tokio::test]
async fn a_folder_that_becomes_writable_for_others_is_no_longer_used() {
    let prepared = bare(NEVER).prepare();
    refusing("old").put(&prepared.policies(), "house", "");
    let gateway = prepared.start();
    let cache = cache(gateway.folder());
    let before = fs::read_dir(&cache).unwrap().count();
    fs::set_permissions(&cache, Permissions::from_mode(0o777)).unwrap();
    replace(&gateway.policies().join("house.wasm"), refusing("new").module());
    until_said(&gateway, "old", "new").await;
    assert_eq!(fs::read_dir(&cache).unwrap().count(), before, "nothing was written");
    let told = gateway
        .log
        .wait(|line| {
            let error = line["fields"]["error"].as_str().unwrap_or_default();
            error.contains("other users may write it") && line.to_string().contains("cannot be kept")
        })
        .await;
    assert!(told.is_some());
}

#[tokio::test]
async fn a_full_disk_costs_the_cache_and_not_the_policy() {
    let mount = "mkdir cache && mount -t tmpfs -o size=256k,mode=700 tmpfs cache";
    let Some(command) = in_namespaces(mount) else { return };
    let prepared = bare(NEVER).prepare();
    // The first is small and fits, the second does not.
    refusing("small").put(&prepared.policies(), "house", "");
    let gateway = start_through(prepared, command);
    assert_eq!((said(&gateway).await.as_str(), gateway.mapped().len()), ("small", 1));
    replace(&gateway.policies().join("house.wasm"), refusing("large").bytes(100_000).module());
    until_said(&gateway, "small", "large").await;
    let told = "compiled policies cannot be kept; the next start compiles them again";
    let line = gateway.log.wait(|line| line["fields"]["message"] == told).await.unwrap();
    assert!(line["fields"]["error"].as_str().unwrap().contains("No space left on device"), "{line}");
    assert_eq!(gateway.get("/health").await.body["status"], "healthy");
    // In the namespace, the folder is what the gateway sees there.
    let seen = PathBuf::from(format!("/proc/{}/cwd/cache", gateway.child.id()));
    let names: Vec<_> = fs::read_dir(seen).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    assert!(names.iter().all(|name| !name.starts_with(".tmp")), "halves are left behind: {names:?}");
    let codes = names.iter().filter(|name| name.ends_with(".cwasm")).count();
    assert_eq!(codes * 2, names.len(), "code without a note, or a note without code: {names:?}");
    // The small one comes from the cache again.
    replace(&gateway.policies().join("house.wasm"), refusing("small").module());
    until_said(&gateway, "large", "small").await;
}

#[tokio::test]
async fn the_cache_keeps_to_its_size_and_what_is_in_force() {
    let size = 1 << 20;
    let prepared = bare(&format!("{NEVER}, cache_size: 1MiB")).prepare();
    let versions = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"].map(|letter| letter.repeat(3));
    let guest = |sentence: &str| refusing(sentence).bytes(60_000);
    guest(&versions[0]).put(&prepared.policies(), "house", "");
    refusing("silent").put(&prepared.policies(), "other", "mode: shadow\n");
    let gateway = prepared.start();
    let cache = cache(gateway.folder());
    // What is removed between the two has no size.
    let entries = || fs::read_dir(&cache).unwrap().filter_map(|it| it.unwrap().metadata().ok());
    let bytes = || -> u64 { entries().map(|it| it.len()).sum() };
    let (one, mut written) = (bytes(), bytes());
    for pair in versions.windows(2) {
        replace(&gateway.policies().join("house.wasm"), guest(&pair[1]).module());
        until_said(&gateway, &pair[0], &pair[1]).await;
        written += one;
    }
    assert!(written > 2 * size, "{one} bytes a version are too few to test anything");
    let tidied = gateway.log.wait(|line| line["fields"]["message"] == "removed from the policies' cache").await;
    assert!(tidied.is_some());
    super::until_looked_at(&gateway).await;
    assert!(bytes() <= size + one, "{} bytes", bytes());
    let live = gateway.get("/health").await.body["policies"]["live"].as_u64().unwrap();
    let prepared = without_a_loader(gateway);
    let gateway = prepared.start();
    assert_eq!(said(&gateway).await, versions[9], "what is in force stays");
    let health = gateway.get("/health").await.body;
    assert_eq!((&health["status"], &health["policies"]["live"]), (&"healthy".into(), &live.into()), "{health}");
}
