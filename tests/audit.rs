//! `octroi audit`, as an operator and as somebody who does not trust them.

#![expect(clippy::unwrap_used, reason = "tests fail by panics")]

mod support;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ed25519_dalek::{Signer as _, SigningKey};
use mistral_double::MistralDouble;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use support::{Gateway, Prepared, Setup, eventually};

/// Exit code, and both outputs.
fn run(prepared: &Prepared, arguments: &[&str]) -> (Option<i32>, String) {
    let arguments: Vec<_> = ["audit"].iter().chain(arguments).copied().collect();
    let output = prepared.command(&arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code(), text)
}

fn fine(prepared: &Prepared, arguments: &[&str]) -> String {
    let (code, text) = run(prepared, arguments);
    assert_eq!(code, Some(0), "{arguments:?}\n{text}");
    text
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A gateway that answered, masked, refused, pre-checked and took a report.
async fn busy() -> (MistralDouble, Gateway, String) {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&double).start();
    assert_eq!(gateway.ask("What is an octroi?").await.status, 200);
    assert_eq!(gateway.ask("Write to eva@example.org").await.status, 200);
    let refused = gateway.ask("My IBAN is DE89370400440532013000").await;
    assert_eq!(refused.body["blocked"], true, "{refused:?}");
    let checked = gateway.pre_check("Hello").await;
    let context = checked.body["context_id"].as_str().unwrap().to_owned();
    let report = json!({
        "context_id": context, "client_id": "community", "provider": "mistral", "model": "mistral-small-latest",
        "response_summary": "It greeted.", "token_usage": { "prompt_tokens": 3, "completion_tokens": 4 }
    });
    assert_eq!(gateway.post("/api/audit/llm-call", report).await.status, 200);
    (double, gateway, context)
}

#[tokio::test]
async fn what_is_on_record_is_found_shown_and_exported_beside_a_running_gateway() {
    let (_double, gateway, context) = busy().await;
    let prepared = gateway.prepared.as_ref().unwrap();

    let table = fine(prepared, &["search"]);
    assert!(table.contains("1 to 5 of 5"), "{table}");
    let blocked = lines(&fine(prepared, &["search", "--decision", "blocked", "--since", "1h", "--json"]));
    assert_eq!(blocked.len(), 1, "{blocked:?}");
    assert_eq!(blocked[0]["policy_details"]["policies"][0], "pii");
    assert!(fine(prepared, &["search", "--client", "nobody"]).contains("nothing fits"));
    assert!(fine(prepared, &["search", "--until", "1h"]).contains("nothing fits"));
    assert_eq!(lines(&fine(prepared, &["search", "--policy", "pii", "--tenant", "community", "--json"])).len(), 2);

    let masked = lines(&fine(prepared, &["search", "--decision", "redacted", "--json"]));
    let story = fine(prepared, &["show", masked[0]["id"].as_str().unwrap()]);
    for expected in [
        "intent",
        "outcome",
        "pii",
        "audit-redact",
        "pre-check",
        "enforce",
        "redact",
        "email",
        "Write to [EMAIL]",
        "mistral-small-latest",
        "call",
        "code ok",
        "prompt tokens",
        "generation",
    ] {
        assert!(story.contains(expected), "{expected} is missing:\n{story}");
    }
    assert!(!story.contains("eva@"), "{story}");
    let records = lines(&fine(prepared, &["show", &context, "--json"]));
    let kinds: Vec<_> = records.iter().map(|record| record["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["pre_check", "llm_call"], "a context shows its pre-check and its calls");
    assert_eq!(records[1]["content"]["response_summary"], "It greeted.");
    // Other records are shown by their ids in an export.
    let trail = lines(&fine(prepared, &["export"]));
    for (kind, expected) in [("policy_set_change", "name pii"), ("lifecycle", "start")] {
        let record = trail.iter().find(|line| line["kind"] == kind).unwrap();
        let story = fine(prepared, &["show", record["id"].as_str().unwrap()]);
        assert!(story.starts_with(kind) && story.contains(expected), "{story}");
    }
    let (code, text) = run(prepared, &["show", "req_nothing"]);
    assert!(code == Some(1) && text.contains("req_nothing"), "{text}");

    let csv = fine(prepared, &["export", "--format", "csv"]);
    assert_eq!(csv.lines().count(), 6, "{csv}");
    assert!(csv.lines().next().unwrap().starts_with("timestamp,id,request_id,tenant_id,client_id"), "{csv}");
    let exported: Vec<_> = csv.lines().skip(1).map(|line| line.split(',').nth(1).unwrap().to_owned()).collect();
    let searched = lines(&fine(prepared, &["search", "--json"]));
    let searched: Vec<_> = searched.iter().map(|entry| entry["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(exported, searched, "newest first");
    let blocked = fine(prepared, &["export", "--format", "csv", "--decision", "blocked"]);
    assert_eq!(blocked.lines().count(), 2, "{blocked}");
    let (code, text) = run(prepared, &["export", "--client", "community"]);
    assert!(code == Some(1) && text.contains("--format csv"), "{text}");
    let unmade = prepared.path().join("unmade");
    for wrong in [&["--client", "community"][..], &["--format", "csv", "--without-content"]] {
        let arguments = [&["export", "--output", unmade.to_str().unwrap()], wrong].concat();
        assert_eq!(run(prepared, &arguments).0, Some(1), "{wrong:?}");
        assert!(!unmade.exists(), "{wrong:?}");
    }
}

#[tokio::test]
async fn show_says_of_a_request_that_its_outcome_is_missing() {
    let double = MistralDouble::builder().start().await.unwrap();
    let mut gateway = Setup::with(&double).start();
    let id = gateway.ask("What is an octroi?").await.body["request_id"].as_str().unwrap().to_owned();
    gateway.terminate();
    gateway.wait();
    let prepared = gateway.prepared.take().unwrap();
    let told = "outcome  none is on record: the request is still under way, or the gateway ended before";
    assert!(!fine(&prepared, &["show", &id]).contains(told));
    let database = rusqlite::Connection::open(prepared.path().join("octroi.db")).unwrap();
    assert_eq!(database.execute("DELETE FROM records WHERE kind = 'outcome'", []), Ok(1));
    drop(database);
    let story = fine(&prepared, &["show", &id]);
    assert!(story.starts_with("intent") && story.contains(told), "{story}");
}

#[tokio::test]
async fn tail_shows_what_is_there_and_what_comes() {
    let (_double, gateway, _) = busy().await;
    let prepared = gateway.prepared.as_ref().unwrap();
    let mut command = prepared.command(&["audit", "tail", "--json", "--lines", "1"]);
    let mut tail = support::Running(command.stdout(Stdio::piped()).spawn().unwrap());
    let lines = support::Written::of(tail.0.stdout.take().unwrap());
    let next = || serde_json::from_str::<Value>(&lines.line()).unwrap();
    assert_eq!(next()["request_type"], "llm-call", "the newest that was there");
    let answer = gateway.ask("And what comes now?").await;
    let entry = next();
    assert_eq!(entry["id"], answer.body["request_id"]);
    assert_eq!(entry["policy_decision"], "allowed");
    let context = gateway.pre_check("Hello").await.body["context_id"].clone();
    assert_eq!(next()["id"], context);
}

/// The same command of somebody who may read the folder and write nothing; `None` where there is nobody of that kind.
fn of_a_reader(prepared: &Prepared, arguments: &[&str]) -> Option<Command> {
    let is_root = rustix::process::getuid().is_root();
    let mode = if is_root { 0o755 } else { 0o555 };
    fs::set_permissions(prepared.path(), fs::Permissions::from_mode(mode)).unwrap();
    for file in ["octroi.db", "octroi.yaml"] {
        fs::set_permissions(prepared.path().join(file), fs::Permissions::from_mode(0o444)).unwrap();
    }
    let own = prepared.command(arguments);
    if !is_root {
        return Some(own);
    }
    let of_nobody = |program: &std::ffi::OsStr| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program);
        command
    };
    // A folder that is root's alone may stand above the binary.
    let reaches = of_nobody("test".as_ref()).arg("-x").arg(own.get_program()).status();
    if !reaches.is_ok_and(|it| it.success()) {
        let _ = writeln!(std::io::stderr(), "SKIPPED: nobody but root may run the binary");
        return None;
    }
    let mut command = of_nobody(own.get_program());
    command.args(own.get_args()).current_dir(prepared.path());
    command.env_clear().envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Some(command)
}

#[tokio::test]
async fn check_finds_a_store_that_this_user_may_not_write() {
    let (_double, mut gateway, _) = busy().await;
    gateway.terminate();
    gateway.wait();
    let prepared = gateway.prepared.take().unwrap();
    fs::set_permissions(prepared.path().join("octroi.key"), fs::Permissions::from_mode(0o444)).unwrap();
    let Some(mut command) = of_a_reader(&prepared, &["check"]) else { return };
    let output = command.output().unwrap();
    fs::set_permissions(prepared.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("octroi.db cannot be written: Permission denied"), "{said}");
    assert!(said.contains("this user must be able to write the file and its folder (audit.url)"), "{said}");
}

#[tokio::test]
async fn check_looks_at_the_folder_that_a_link_to_the_store_leads_to() {
    let (_double, mut gateway, _) = busy().await;
    gateway.terminate();
    gateway.wait();
    let prepared = gateway.prepared.take().unwrap();
    let (linked, elsewhere) = (prepared.path().join("octroi.db"), tempfile::tempdir().unwrap());
    let store = elsewhere.path().join("octroi.db");
    fs::copy(&linked, &store).unwrap();
    fs::remove_file(&linked).unwrap();
    std::os::unix::fs::symlink(&store, &linked).unwrap();
    fs::set_permissions(prepared.path().join("octroi.key"), fs::Permissions::from_mode(0o444)).unwrap();
    let Some(mut command) = of_a_reader(&prepared, &["check"]) else { return };
    fs::set_permissions(&store, fs::Permissions::from_mode(0o666)).unwrap();
    fs::set_permissions(elsewhere.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let output = command.output().unwrap();
    fs::set_permissions(prepared.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
}

#[tokio::test]
async fn who_may_read_the_store_and_not_write_it_is_told_what_to_do() {
    let (_double, mut gateway, _) = busy().await;
    gateway.terminate();
    gateway.wait();
    let prepared = gateway.prepared.take().unwrap();
    let Some(mut command) = of_a_reader(&prepared, &["audit", "search"]) else { return };
    let output = command.output().unwrap();
    fs::set_permissions(prepared.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("octroi.db: ") && said.contains("run this as the gateway's user"), "{said}");
}

/// The export, and the public key.
fn exported(prepared: &Prepared) -> (PathBuf, String) {
    let path = prepared.path().join("trail.jsonl");
    fine(prepared, &["export", "--output", path.to_str().unwrap()]);
    (path, fine(prepared, &["key"]).trim().to_owned())
}

/// `make test` makes it, with what checks signatures. With OCTROI_SKIP_VENV=1 another one checks the hashes alone.
fn prepared_python() -> Option<PathBuf> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin/python");
    if python.exists() {
        return Some(python);
    }
    let skip = std::env::var("OCTROI_SKIP_VENV").is_ok_and(|it| it == "1");
    assert!(
        skip,
        "target/venv is missing: `make target/venv/.ready` makes it; OCTROI_SKIP_VENV=1 leaves the signatures unchecked"
    );
    // Past the harness, which shows nothing of a test that passes.
    let _ = writeln!(std::io::stderr(), "SKIPPED: OCTROI_SKIP_VENV=1, the signatures are not checked");
    None
}

fn second_implementation(export: &Path, key: &str) -> (Option<i32>, String) {
    const ONLY_HASHES: i32 = 3;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/verify-audit.py");
    let python = prepared_python();
    let fits = if python.is_some() { 0 } else { ONLY_HASHES };
    let command = python.unwrap_or_else(|| "python3".into());
    let output = Command::new(command).arg(script).arg(export).arg(key).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().map(|code| if code == fits { 0 } else { code }), text)
}

#[tokio::test]
async fn the_store_and_an_export_of_it_verify_and_a_change_of_either_is_named() {
    let (_double, gateway, _) = busy().await;
    let mut gateway = gateway;
    let beside = fine(gateway.prepared.as_ref().unwrap(), &["verify"]);
    assert!(beside.contains("\nok"), "beside a running gateway: {beside}");
    gateway.terminate();
    gateway.wait();
    let prepared = gateway.prepared.take().unwrap();
    let whole = fine(&prepared, &["verify"]);
    assert!(whole.contains("records fit") && !whole.contains("not signed yet"), "{whole}");

    let (path, key) = exported(&prepared);
    let export = path.to_str().unwrap();
    let verified = fine(&prepared, &["verify", "--export", export, "--public-key", &key]);
    let head = |text: &str| text.lines().find_map(|line| line.split(": head ").nth(1).map(str::to_owned));
    assert!(head(&whole).is_some() && head(&verified) == head(&whole), "{verified}{whole}");
    let (code, text) = second_implementation(&path, &key);
    assert_eq!(code, Some(0), "{text}");
    let other = "00".repeat(32);
    assert_eq!(run(&prepared, &["verify", "--export", export, "--public-key", &other]).0, Some(1));
    assert_eq!(second_implementation(&path, &other).0, Some(1));

    assert!(verified.contains("texts: not checked"), "{verified}");

    // Somebody moves the signatures: behind the last record, where nothing is compared with them; or before the first.
    let lines: Vec<_> = fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect();
    let (signed, others): (Vec<_>, Vec<_>) =
        lines[1..].iter().cloned().partition(|line| line.starts_with(r#"{"type":"checkpoint""#));
    let moved = prepared.path().join("moved.jsonl");
    let older = r#"{"type":"record","node":"","seq":1,"at":0,"kind":"intent","id":"r0","body":"{}"}"#;
    fs::write(&moved, format!("{}\n{older}\n{}\n", lines[0], lines[1..].join("\n"))).unwrap();
    let told = "1 records are older than the chain; nothing proves them";
    let verified = fine(&prepared, &["verify", "--export", moved.to_str().unwrap(), "--public-key", &key]);
    let (code, text) = second_implementation(&moved, &key);
    assert!(code == Some(0) && text.contains(told) && verified.contains(told), "{text}{verified}");

    let first = |whole| lines[0].replace(r#""whole":true"#, whole);
    for (lines, expected) in [
        ([&[first(r#""whole":true"#)], &*others, &*signed].concat(), "stands behind record"),
        ([&[first(r#""whole":false"#)], &*signed, &*others].concat(), "stands before the first record"),
    ] {
        fs::write(&moved, lines.join("\n") + "\n").unwrap();
        let (code, text) = run(&prepared, &["verify", "--export", moved.to_str().unwrap(), "--public-key", &key]);
        assert!(code == Some(1) && text.contains(expected), "{text}");
        let (code, text) = second_implementation(&moved, &key);
        assert!(code == Some(1) && text.contains(expected), "{text}");
    }

    // Somebody makes a refusal look like an answer.
    let forged =
        fs::read_to_string(&path).unwrap().replace(r#"\"decision\":\"blocked\""#, r#"\"decision\":\"allowed\""#);
    fs::write(&path, forged).unwrap();
    let (code, text) = run(&prepared, &["verify", "--export", export, "--public-key", &key]);
    assert!(code == Some(1) && text.contains("was changed"), "{text}");
    assert_eq!(second_implementation(&path, &key).0, Some(1));

    let database = rusqlite::Connection::open(prepared.path().join("octroi.db")).unwrap();
    let changed = database.execute("UPDATE records SET body = replace(body, 'blocked', 'allowed')", []);
    assert!(changed.is_err(), "a trigger refuses it");
    database.execute_batch("DROP TRIGGER records_are_never_changed").unwrap();
    database.execute("UPDATE records SET body = replace(body, 'blocked', 'allowed')", []).unwrap();
    drop(database);
    let (code, text) = run(&prepared, &["verify"]);
    assert!(code == Some(1) && text.contains("record 7 (intent"), "{text}");
}

#[test]
fn the_documented_vector_fits_the_second_implementation() {
    let vector = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/audit-vector.jsonl");
    let first_checkpoint = fs::read_to_string(&vector).unwrap().lines().nth(1).map(str::to_owned).unwrap();
    let checkpoint: Value = serde_json::from_str(&first_checkpoint).unwrap();
    let (code, text) = second_implementation(&vector, checkpoint["public_key"].as_str().unwrap());
    assert_eq!(code, Some(0), "{text}");
    let forged = tempfile::NamedTempFile::new().unwrap();
    fs::write(forged.path(), fs::read_to_string(&vector).unwrap().replace("run-1", "run-2")).unwrap();
    assert_eq!(second_implementation(forged.path(), checkpoint["public_key"].as_str().unwrap()).0, Some(1));
    if prepared_python().is_some() {
        let signature = checkpoint["signature"].as_str().unwrap();
        let unsigned = fs::read_to_string(&vector).unwrap().replace(signature, &"00".repeat(64));
        fs::write(forged.path(), unsigned).unwrap();
        let (code, text) = second_implementation(forged.path(), checkpoint["public_key"].as_str().unwrap());
        assert!(code == Some(1) && text.contains("wrong signature"), "{text}");
    }
}

/// The documented vector, and the key that signed it.
fn vector_and_key() -> (String, String) {
    let vector = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/audit-vector.jsonl");
    let vector = fs::read_to_string(vector).unwrap();
    let checkpoint: Value = serde_json::from_str(vector.lines().nth(1).unwrap()).unwrap();
    let key = checkpoint["public_key"].as_str().unwrap().to_owned();
    (vector, key)
}

#[test]
fn where_an_export_begins_is_said_by_both() {
    let prepared = Setup::without_provider().prepare();
    let (vector, key) = vector_and_key();
    let (lines, key): (Vec<_>, _) = (vector.lines().collect(), key.as_str());
    let part = lines[0].replace(r#""whole":true"#, r#""whole":false"#);
    let path = prepared.path().join("part.jsonl");
    for (text, expected) in [
        (vector.clone(), "those up to 1 were removed by a signed cut"),
        (format!("{part}\n{}\n", lines[3..].join("\n")), "they begin at 3"),
    ] {
        fs::write(&path, text).unwrap();
        let verified = fine(&prepared, &["verify", "--export", path.to_str().unwrap(), "--public-key", key]);
        let (code, text) = second_implementation(&path, key);
        assert!(code == Some(0) && text.contains(expected) && verified.contains(expected), "{text}{verified}");
    }
}

#[test]
fn both_take_and_refuse_the_same_exports() {
    let prepared = Setup::without_provider().prepare();
    let (vector, key) = vector_and_key();
    let (lines, key): (Vec<_>, _) = (vector.lines().collect(), key.as_str());
    let path = prepared.path().join("variant.jsonl");
    let record: Value = serde_json::from_str(lines[2]).unwrap();
    let [previous, hash] = ["previous", "hash"].map(|key| record[key].as_str().unwrap());
    let part = lines[0].replace(r#""whole":true"#, r#""whole":false"#);
    let first = |from: &str, to: &str| {
        assert!(lines[2].contains(from), "{from}");
        format!("{}\n{}\n{}\n{}\n", lines[0], lines[1], lines[2].replacen(from, to, 1), lines[3..].join("\n"))
    };
    // The cut, and its record as it would be then, with the hash that fits.
    let at_another_time = |at: i64| {
        let mut covered = b"octroi.audit.record.1\0".to_vec();
        covered.extend(2_i64.to_be_bytes());
        covered.extend(hex::decode(previous).unwrap());
        covered.extend(at.to_be_bytes());
        for key in ["node", "kind", "id", "body"] {
            let text = record[key].as_str().unwrap();
            covered.extend((text.len() as u64).to_be_bytes());
            covered.extend(text.as_bytes());
        }
        let mut record = record.clone();
        record["at"] = at.into();
        record["hash"] = hex::encode(Sha256::digest(covered)).into();
        format!("{part}\n{}\n{record}\n", lines[1])
    };
    let hexadecimal = |text: &str| text.len() >= 64 && text.bytes().all(|it| it.is_ascii_hexdigit());
    let upper: String = vector
        .split('"')
        .map(|it| if hexadecimal(it) { it.to_uppercase() } else { it.to_owned() })
        .collect::<Vec<_>>()
        .join("\"");
    assert_ne!(upper, vector);
    let least = i64::MIN;
    for (what, text, key, fits) in [
        ("as it is", vector.clone(), key.to_owned(), true),
        ("capital digits", upper, key.to_owned(), true),
        ("a key in capital digits", vector.clone(), key.to_uppercase(), true),
        ("no previous", first(&format!(r#""previous":"{previous}","#), ""), key.to_owned(), false),
        ("no hash", first(&format!(r#""hash":"{hash}","#), ""), key.to_owned(), false),
        ("a space in a hash", first(&hash[..8], &format!("{} ", &hash[..8])), key.to_owned(), false),
        ("two bodies", first(r#""body":"#, r#""body":"{}","body":"#), key.to_owned(), false),
        ("number 0", first(r#""seq":2"#, r#""seq":0"#), key.to_owned(), false),
        ("true for a number", first(r#""seq":2"#, r#""seq":true"#), key.to_owned(), false),
        ("a fraction for a number", first(r#""seq":2"#, r#""seq":2.0"#), key.to_owned(), false),
        ("a text that is a number", first(r#""body":"#, r#""content":7,"body":"#), key.to_owned(), false),
        ("no text", first(r#""body":"#, r#""content":null,"body":"#), key.to_owned(), true),
        ("a carriage return", first(r#""body":"#, "\r\"body\":"), key.to_owned(), true),
        ("what is no number", first(r#""body":"#, r#""x":1e999,"body":"#), key.to_owned(), false),
        (
            "an integer that is none",
            first(r#""body":"#, &format!(r#""x":{},"body":"#, "1".repeat(400))),
            key.to_owned(),
            false,
        ),
        ("a zero below zero", at_another_time(0).replace(r#""at":0"#, r#""at":-0"#), key.to_owned(), false),
        ("half a character", first(r#""body":"#, r#""content":"\ud800","body":"#), key.to_owned(), false),
        ("format true", vector.replace(r#""format":1"#, r#""format":true"#), key.to_owned(), false),
        ("whole 1", vector.replace(r#""whole":true"#, r#""whole":1"#), key.to_owned(), false),
        ("whole as a text", vector.replace(r#""whole":true"#, r#""whole":"yes""#), key.to_owned(), false),
        ("no time", vector.replacen(r#""at":"#, r#""when":"#, 1), key.to_owned(), false),
        ("before the first of all times", at_another_time(-377_705_023_201_000_001), key.to_owned(), false),
        ("the first of all times", at_another_time(-377_705_023_201_000_000), key.to_owned(), true),
        ("the last of all times", at_another_time(253_402_207_200_000_000), key.to_owned(), true),
        ("behind the last of all times", at_another_time(253_402_207_200_000_001), key.to_owned(), false),
        (
            "the least number",
            format!("{part}\n{}\n", lines[2].replace(r#""seq":2"#, &format!(r#""seq":{least}"#))),
            key.to_owned(),
            false,
        ),
        (
            "a signature at 0",
            format!("{part}\n{}\n", lines[1].replace(r#""seq":1"#, r#""seq":0"#)),
            key.to_owned(),
            false,
        ),
    ] {
        fs::write(&path, text).unwrap();
        let (code, said) = run(&prepared, &["verify", "--export", path.to_str().unwrap(), "--public-key", &key]);
        assert_eq!(code, Some(if fits { 0 } else { 1 }), "{what}: {said}");
        let (code, said) = second_implementation(&path, &key);
        assert_eq!(code == Some(0), fits, "{what}: {said}");
        assert!(!said.contains("Traceback"), "{what}: {said}");
    }
}

/// An export of one chain, and the key that signed its first record (with a start behind it) and what tells of others.
fn signed(records: &[(&str, String)]) -> (String, String) {
    behind_a_cut(0, records)
}

/// The same where so many of these records were removed.
fn behind_a_cut(cut: i64, records: &[(&str, String)]) -> (String, String) {
    let signing = SigningKey::from_bytes(&[7; 32]);
    let (mut lines, mut previous) = (Vec::new(), [0; 32]);
    lines.push(json!({ "type": "export", "format": 1, "at": "2026-09-21T14:13:29Z", "whole": true }));
    let text = |text: &str| [&(text.len() as u64).to_be_bytes(), text.as_bytes()].concat();
    for (number, (kind, body)) in records.iter().enumerate() {
        let (seq, at, id) = (number as i64 + 1, 0_i64, "some");
        let mut covered = b"octroi.audit.record.1\0".to_vec();
        covered.extend([&seq.to_be_bytes()[..], &previous, &at.to_be_bytes()].concat());
        covered.extend(["n", kind, id, body].map(text).concat());
        let hash: [u8; 32] = Sha256::digest(covered).into();
        let [before, its] = [previous, hash].map(hex::encode);
        previous = hash;
        if seq < cut {
            continue;
        }
        if seq > cut {
            lines.push(json!({
                "type": "record", "node": "n", "seq": seq, "at": at, "kind": kind, "id": id, "body": body,
                "previous": before, "hash": its
            }));
        }
        let begun = if records[0].0 == "lifecycle" { 1 } else { 2 };
        if seq == cut || seq == begun || *kind == "takeover" {
            let of = if seq == cut { "cut" } else { "checkpoint" };
            let mut signed = format!("octroi.audit.{of}.1\0").into_bytes();
            signed.extend([&text("n")[..], &seq.to_be_bytes(), &at.to_be_bytes(), &hash].concat());
            let [key, signature] =
                [signing.verifying_key().to_bytes().to_vec(), signing.sign(&signed).to_bytes().to_vec()];
            lines.push(json!({
                "type": of, "node": "n", "seq": seq, "at": at, "hash": its,
                "public_key": hex::encode(key), "signature": hex::encode(signature)
            }));
        }
    }
    let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
    (lines, hex::encode(signing.verifying_key().to_bytes()))
}

#[test]
fn both_say_the_same_of_what_stood_unsigned() {
    let prepared = Setup::without_provider().prepare();
    let path = prepared.path().join("unsigned.jsonl");
    let start = |most: &str| ("lifecycle", format!(r#"{{"event":"start"{most}}}"#));
    let nested = |levels: usize| {
        let lists = levels - 1;
        format!(r#","most_unsigned":1,"x":{}{}"#, "[".repeat(lists), "]".repeat(lists))
    };
    let note = || ("note", "{}".to_owned());
    // Behind a start that names a number, two records that somebody took over.
    let left = |most: &str, told: &str| vec![note(), start(most), note(), note(), ("takeover", told.to_owned())];
    let told = r#"{"found":"at_the_start","from":3,"through":4}"#;
    let most = |number: &str| left(&format!(r#","most_unsigned":{number}"#), told);
    let removed = |key: &str| vec![note(), start(""), ("retention", format!(r#"{{"of_node":"m","signed_by":{key}}}"#))];
    let behind_a_start = |body: &str| vec![start(r#","most_unsigned":9"#), ("lifecycle", body.to_owned())];
    for (what, records, fits) in [
        ("as many as may be", most("2"), true),
        ("more", most("1"), false),
        ("no number", left("", told), true),
        ("less than none", most("-1"), true),
        ("a fraction", most("0.5"), true),
        ("a whole fraction", most("1.0"), true),
        ("a text", most(r#""x""#), true),
        ("a zero below zero", most("-0"), true),
        ("a number that is too great beside it", most(&format!(r#"1,"x":{}"#, "1".repeat(400))), true),
        ("yes", most("true"), true),
        ("more than there is", most("18446744073709551616"), true),
        ("the last of two", most(r#"1,"most_unsigned":2"#), true),
        ("the last of two, which is less", most(r#"2,"most_unsigned":1"#), false),
        ("a start that is nested as deep as it may be", left(&nested(127), told), false),
        ("one that is nested deeper", left(&nested(128), told), true),
        ("one that is nested very deep", left(&nested(100_000), told), true),
        ("half a character", left(r#","most_unsigned":1,"x":"\ud800""#, told), true),
        ("half a character, and another value", left(r#","most_unsigned":1,"x":"\ud800","x":0"#, told), true),
        ("what is no number, and another value", left(r#","most_unsigned":1,"x":1e999,"x":0"#, told), true),
        ("what is nested deeper, and another value", left(&format!(r#"{},"x":0"#, nested(128)), told), true),
        (
            "found in a way that nobody knows",
            left(r#","most_unsigned":1"#, r#"{"found":"so","from":3,"through":4}"#),
            false,
        ),
        ("found in no way", left(r#","most_unsigned":1"#, r#"{"from":3,"through":4}"#), false),
        ("from a text", left(r#","most_unsigned":1"#, r#"{"from":"3","through":4}"#), true),
        ("another key had signed what was removed", removed(r#""00""#), false),
        ("a known key had", removed(&format!(r#""{}""#, signed(&[]).1)), true),
        ("a number had", removed("0"), true),
        ("through itself", left(r#","most_unsigned":1"#, r#"{"from":3,"through":5}"#), true),
        ("an end", behind_a_start(r#"{"event":"stop"}"#), false),
        ("a start twice", behind_a_start(r#"{"event":"start","event":"start"}"#), false),
        ("an event that nobody knows", behind_a_start(r#"{"event":"pause"}"#), false),
        ("no event", behind_a_start("{}"), false),
        ("no JSON", behind_a_start("{"), false),
        ("brackets", behind_a_start(&"[".repeat(100_000)), false),
        (
            "behind an end",
            vec![
                note(),
                start(r#","most_unsigned":9"#),
                ("lifecycle", r#"{"event":"stop"}"#.to_owned()),
                note(),
                ("takeover", r#"{"from":4,"through":4}"#.to_owned()),
            ],
            false,
        ),
    ] {
        both_say(&prepared, &path, what, &signed(&records), fits);
    }
}

fn both_say(prepared: &Prepared, path: &Path, what: &str, (text, key): &(String, String), fits: bool) {
    fs::write(path, text).unwrap();
    let (code, said) = run(prepared, &["verify", "--export", path.to_str().unwrap(), "--public-key", key]);
    assert_eq!(code, Some(if fits { 0 } else { 1 }), "{what}: {said}");
    let (code, said) = second_implementation(path, key);
    assert_eq!(code, Some(if fits { 0 } else { 1 }), "{what}: {said}");
}

#[test]
fn both_say_the_same_of_what_stands_unsigned_behind_a_cut() {
    let prepared = Setup::without_provider().prepare();
    let path = prepared.path().join("cut.jsonl");
    let start = |most: &str| ("lifecycle", format!(r#"{{"event":"start"{most}}}"#));
    let of_nine = || start(r#","most_unsigned":9"#);
    let note = || ("note", "{}".to_owned());
    let told = |from: i64, through: i64| ("takeover", format!(r#"{{"from":{from},"through":{through}}}"#));
    // The first three are removed, a start among them.
    let removed = [note(), start(r#","most_unsigned":1"#), note()];
    let behind = |records: &[(&'static str, String)]| behind_a_cut(3, &[&removed[..], records].concat());
    for (what, records, fits) in [
        ("nothing", vec![], true),
        ("more than a start said that was removed", vec![note(), note()], true),
        ("more, and taken over", vec![note(), note(), told(2, 5)], true),
        ("a start", vec![note(), of_nine()], false),
        ("a start, taken over", vec![note(), of_nine(), told(2, 5)], false),
        ("an earlier version's start", vec![note(), start("")], true),
        ("a start that is signed", vec![note(), of_nine(), told(0, 0), note(), note()], true),
        (
            "more than the only start in sight says, of a gateway whose own was removed",
            vec![told(0, 0), start(r#","most_unsigned":1"#), told(0, 0), note(), note(), note(), told(7, 9)],
            true,
        ),
    ] {
        both_say(&prepared, &path, what, &behind(&records), fits);
    }
    let (text, key) = behind(&[note(), of_nine()]);
    let part = text.replace(r#""whole":true"#, r#""whole":false"#);
    both_say(&prepared, &path, "a start in a part", &(part, key), true);
}

#[test]
fn what_is_no_export_is_not_said_to_be_changed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("part.jsonl");
    let key = "00".repeat(32);
    let (code, text) = second_implementation(&path, &key);
    assert!(code == Some(2) && text.contains("part.jsonl cannot be read"), "{text}");
    let export = r#"{"type":"export","format":1,"at":"2026-09-21T14:13:29Z","whole":false}"#;
    let zeros = "00".repeat(32);
    let record = format!(
        r#"{{"type":"record","node":"n","seq":1,"at":0,"kind":"k","id":"i","body":"{{}}","hash":"{zeros}","previous":"{zeros}"}}"#
    );
    let of_a_record = |from: &str, to: &str| format!("{export}\n{}\n", record.replace(from, to));
    for (text, expected) in [
        (String::new(), "line 1: the file is empty"),
        ("[]\n".to_owned(), "line 1: "),
        (format!("{export}\n[]\n"), "line 2: "),
        (format!("{export}\n{export}\n"), "line 2: "),
        (of_a_record("\"n\"", "[]"), "line 2: "),
        (of_a_record("\"seq\":1", "\"seq\":\"1\""), "line 2: "),
        (of_a_record("\"at\":0", "\"at\":9223372036854775808"), "line 2: "),
        (of_a_record("\"previous\":\"", "\"previous\":\"0"), "line 2: "),
        (of_a_record("\"k\"", &"[".repeat(100_000)), "line 2: "),
    ] {
        fs::write(&path, &text).unwrap();
        let (code, said) = second_implementation(&path, &key);
        assert!(code == Some(2) && said.contains("this is no export") && said.contains(expected), "{said}");
    }
    fs::write(&path, [0xff]).unwrap();
    let (code, text) = second_implementation(&path, &key);
    assert!(code == Some(2) && text.contains("cannot be read"), "{text}");
}

#[tokio::test]
async fn erased_texts_are_gone_and_everything_still_verifies() {
    let (_double, gateway, context) = busy().await;
    let prepared = gateway.prepared.as_ref().unwrap();
    assert!(fine(prepared, &["erase", "--id", &context, "--reason", "asked for"]).contains("2 texts erased"));
    assert_eq!(run(prepared, &["erase", "--id", &context]).0, Some(1), "nothing is left to be erased");
    let story = fine(prepared, &["show", &context]);
    assert!(story.contains("erased") && !story.contains("It greeted"), "{story}");
    let erased = fine(prepared, &["erase", "--client", "community", "--before", "0s"]);
    assert!(erased.contains("5 texts erased"), "three prompts and two answers: {erased}");
    assert_eq!(gateway.ask("The gateway goes on").await.status, 200);
    let verified = fine(prepared, &["verify"]);
    assert!(verified.contains("operator: 2 records fit") && verified.contains("7 were erased"), "{verified}");
    let (path, key) = exported(prepared);
    let records = lines(&fs::read_to_string(&path).unwrap());
    let by = records.iter().find(|line| line["kind"] == "erasure").unwrap()["body"].as_str().unwrap();
    assert!(by.contains("\"reason\":\"asked for\"") && by.contains("\"by\":\"uid "), "{by}");
    assert_eq!(second_implementation(&path, &key).0, Some(0));
    for wrong in [&["erase"][..], &["erase", "--client", "c"], &["erase", "--id", "i", "--client", "c"]] {
        assert_eq!(run(prepared, wrong).0, Some(2), "{wrong:?}");
    }
}

#[tokio::test]
async fn an_erasure_tells_of_texts_outside_the_store() {
    let double = MistralDouble::builder().start().await.unwrap();
    let audit = "{ url: \"sqlite://FOLDER/octroi.db\", on_failure: spill }";
    let mut gateway = Setup::with(&double).audit(audit).start();
    assert_eq!(gateway.ask("Hello").await.status, 200);
    gateway.terminate();
    gateway.wait();
    let prepared = gateway.prepared.take().unwrap();
    let erase = ["erase", "--client", "community", "--before", "0s"];
    let journal = prepared.path().join("octroi.spill");
    fs::write(&journal, "a record").unwrap();
    let (code, text) = run(&prepared, &erase);
    assert!(code == Some(1) && text.contains("octroi.spill holds records that are not in the store"), "{text}");
    fs::write(&journal, "").unwrap();
    fs::write(prepared.path().join("octroi.damaged-1790000000"), "a record").unwrap();
    let text = fine(&prepared, &erase);
    assert!(text.contains("2 texts erased") && text.contains("octroi.damaged-1790000000 was set aside"), "{text}");
}

#[tokio::test]
async fn the_key_comes_from_the_environment_or_a_file_and_is_made_once() {
    let secret = "5a".repeat(32);
    let double = MistralDouble::builder().start().await.unwrap();
    let mut gateway = Setup::with(&double).env("OCTROI_AUDIT_KEY", &secret).start();
    assert_eq!(gateway.ask("Hello").await.status, 200);
    gateway.terminate();
    gateway.wait();
    let mut prepared = gateway.prepared.take().unwrap();
    assert!(!prepared.path().join("octroi.key").exists());
    let public = fine(&prepared, &["key"]);
    fine(&prepared, &["verify"]);
    gateway.log.wait(|_| false).await;
    assert!(!gateway.log.text().contains(&secret));

    // Another key takes over. Whoever trusts both sees one chain.
    prepared.environment.clear();
    assert_eq!(run(&prepared, &["key"]).0, Some(1), "none is made by looking");
    let mut gateway = prepared.start();
    gateway.terminate();
    gateway.wait();
    let prepared = gateway.prepared.take().unwrap();
    let (code, text) = run(&prepared, &["verify"]);
    assert!(code == Some(1) && text.contains("another key") && text.contains(public.trim()), "{text}");
    let now = fine(&prepared, &["key"]);
    let both = fine(&prepared, &["verify", "--public-key", public.trim(), "--public-key", now.trim()]);
    assert!(both.contains("2 are from the time of another key"), "{both}");
}

#[test]
fn a_key_that_is_none_stops_the_start_and_is_not_shown() {
    let prepared = Setup::without_provider().env("OCTROI_AUDIT_KEY", "hunter2").prepare();
    let output = prepared.command(&["serve"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains("OCTROI_AUDIT_KEY") && !text.contains("hunter2"), "{text}");
    let (code, text) = run(&prepared, &["search"]);
    assert!(code == Some(1) && text.contains("octroi.db"), "{text}");
}

#[test]
fn where_nothing_is_recorded_there_is_no_key_to_verify_with() {
    let prepared = Setup::without_provider().audit("{ url: none }").prepare();
    let (code, text) = run(&prepared, &["key"]);
    assert!(code == Some(1) && text.contains("audit.url: none"), "{text}");
}

#[test]
fn an_erasure_makes_no_files() {
    let audit = "{ url: \"postgres://me@127.0.0.1:1/octroi\" }";
    let prepared = Setup::without_provider().audit(audit).env("OCTROI_AUDIT_KEY", &"5a".repeat(32)).prepare();
    let (code, text) = run(&prepared, &["erase", "--id", "r1"]);
    assert!(code == Some(1) && text.contains("cannot open the audit store"), "{text}");
    let made: Vec<_> = fs::read_dir(prepared.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert!(made.iter().all(|name| name != "octroi.node" && name != "octroi.key"), "{made:?}");
}

#[tokio::test]
async fn what_callers_wrote_does_nothing_to_a_terminal() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&double).start();
    let prepared = gateway.prepared.as_ref().unwrap();
    let asked = gateway.ask("\u{9b}2J and \u{202e}back").await;
    let id = asked.body["request_id"].as_str().unwrap();
    let database = rusqlite::Connection::open(prepared.path().join("octroi.db")).unwrap();
    // However it came there.
    assert!(fine(prepared, &["search"]).contains(id), "its entry is there");
    database.execute("UPDATE entries SET user = ?", ["eva\u{202e}gro\u{1b}[2J\nnobody"]).unwrap();
    for arguments in [&["search"][..], &["search", "--json"], &["show", id], &["show", id, "--json"]] {
        let text = fine(prepared, arguments);
        let harm = text.chars().find(|it| matches!(it, '\u{7f}'..='\u{9f}' | '\u{202e}' | '\u{1b}'));
        assert_eq!(harm, None, "{arguments:?} {text:?}");
        let shown = if arguments.contains(&"--json") || arguments[0] == "show" { r"\u202e" } else { r"\u{202e}gro" };
        assert!(text.contains(shown), "{arguments:?} {text}");
    }
}

#[tokio::test]
async fn without_the_key_the_chains_are_checked_by_the_public_one() {
    let (_double, gateway, _) = busy().await;
    let prepared = gateway.prepared.as_ref().unwrap();
    let public = fine(prepared, &["key"]);
    fs::rename(prepared.path().join("octroi.key"), prepared.path().join("elsewhere.key")).unwrap();
    let (code, text) = run(prepared, &["verify"]);
    assert!(code == Some(1) && text.contains("name the public key with `--public-key`"), "{text}");
    assert!(fine(prepared, &["verify", "--public-key", public.trim()]).contains("texts: not checked"));
}

#[tokio::test]
async fn a_version_comes_out_of_the_archive_as_it_was_loaded_or_not_at_all() {
    let (_double, gateway, _) = busy().await;
    let prepared = gateway.prepared.as_ref().unwrap();
    let version = gateway.policy("pii").await["version"].as_str().unwrap().to_owned();
    let written = prepared.path().join("former");
    let arguments = ["version", &version, "--output", written.to_str().unwrap()];
    eventually("archived", async || run(prepared, &arguments).0 == Some(0)).await;
    for file in ["pii.yaml", "pii.wasm"] {
        assert!(fs::read(written.join(file)).unwrap() == fs::read(prepared.policies().join(file)).unwrap(), "{file}");
    }
    let (code, text) = run(prepared, &arguments);
    assert!(code == Some(1) && text.contains("pii.wasm"), "what is there is not overwritten: {text}");
    fs::remove_file(written.join("pii.wasm")).unwrap();
    let (code, text) = run(prepared, &arguments);
    assert!(code == Some(1) && text.contains("pii.yaml"), "{text}");
    assert!(!written.join("pii.wasm").exists(), "nothing is left half done");
    let (code, text) = run(prepared, &["version", &"0".repeat(64), "--output", written.to_str().unwrap()]);
    assert!(code == Some(1) && text.contains("is not in the archive"), "{text}");

    let database = rusqlite::Connection::open(prepared.path().join("octroi.db")).unwrap();
    // What the version does not cover is not vouched for, and that is said.
    database.execute("UPDATE versions SET manifest = replace(manifest, 'mode: enforce', 'mode: off')", []).unwrap();
    let other = prepared.path().join("other");
    let text = fine(prepared, &["version", &version, "--output", other.to_str().unwrap()]);
    assert!(fs::read_to_string(other.join("pii.yaml")).unwrap().contains("\nmode: off"));
    assert!(
        text.contains("the manifest is `pii`'s\nnot part of a version, and not checked: name, order, mode,"),
        "{text}"
    );

    database.execute("UPDATE versions SET manifest = replace(manifest, 'redact', 'allow')", []).unwrap();
    let (code, text) =
        run(prepared, &["version", &version, "--output", prepared.path().join("forged").to_str().unwrap()]);
    assert!(code == Some(1) && text.contains("somebody changed it"), "{text}");
    assert!(!prepared.path().join("forged").exists());
}
