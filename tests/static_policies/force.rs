//! How they come into force: at once, one behind the other, or not at all.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use mistral_double::MistralDouble;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use super::support::{self, Prepared, Setup, eventually};
use super::{PATH, code, create, file, get, open, pre_check, prepared, project_x, send};

/// How long a file of very many rules may take to be loaded.
const LOADING: Duration = Duration::from_secs(900);

#[tokio::test]
async fn a_policy_that_does_not_come_into_force_is_taken_back() {
    let prepared = prepared(Setup::without_provider().policies(&["pii"]));
    // Another policy of this name, earlier in the order of paths: the new file is a duplicate.
    let pii = fs::read_to_string(prepared.policies().join("pii.yaml")).unwrap();
    let other = pii.replace("name: pii\n", "name: static-policies\n");
    fs::create_dir(prepared.policies().join("a")).unwrap();
    fs::write(prepared.policies().join("a/other.yaml"), other.replace("module: ", "module: ../")).unwrap();
    let gateway = prepared.start();
    let answer = create(&gateway, "helpdesk", project_x()).await;
    assert_eq!(code(&answer), (503, "SERVICE_UNAVAILABLE"), "{answer:?}");
    assert!(answer.body["error"]["message"].as_str().unwrap().contains("duplicate_name"), "{answer:?}");
    assert!(!file(&gateway).exists());
    gateway.until("/health", |body| body["status"] == "healthy").await;
}

/// As an editor or a copy does that takes its time. Half a manifest may cover less.
#[tokio::test]
async fn a_manifest_that_is_being_written_is_taken_neither_by_a_change_nor_by_a_call() {
    let gateway = open();
    let pii = gateway.policies().join("pii.yaml");
    let half = fs::read_to_string(&pii).unwrap().replace("mode: enforce", "mode: shadow");
    let mut file = tokio::fs::File::create(&pii).await.unwrap();
    let writing = tokio::spawn(async move {
        file.write_all(half.as_bytes()).await.unwrap();
        loop {
            file.write_all(b"# and so on\n").await.unwrap();
            file.flush().await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    eventually("half of it is written", async || fs::metadata(&pii).is_ok_and(|about| about.len() > 0)).await;
    assert_eq!(create(&gateway, "helpdesk", project_x()).await.status, 201);
    assert_eq!(gateway.policy("pii").await["mode"], "enforce");
    gateway.reload().await;
    assert_eq!(gateway.policy("pii").await["mode"], "enforce");
    writing.abort();
    eventually("it is written", async || gateway.policy("pii").await["mode"] == "shadow").await;
}

#[tokio::test]
async fn changes_at_once_are_all_in_force() {
    let gateway = open();
    let rule = |number: usize| json!({ "name": format!("Rule {number}"), "category": "sensitive-data", "pattern": format!("word{number}word") });
    let clients = ["one", "two", "three", "four"];
    let made = clients.iter().enumerate().map(async |(number, client)| {
        // On a slow machine the last one's turn does not come in time.
        eventually("its turn comes", async || match create(&gateway, client, rule(number)).await.status {
            201 => true,
            other => {
                assert_eq!(other, 503);
                false
            }
        })
        .await;
    });
    futures_util::future::join_all(made).await;
    for (number, client) in clients.iter().enumerate() {
        for other in 0..clients.len() {
            let answer = pre_check(&gateway, client, &format!("a word{other}word")).await;
            assert_eq!(answer.body["approved"], other != number, "{client} {other}: {answer:?}");
        }
    }
}

/// There is room for one policy on one stream, and that is another's.
#[tokio::test]
async fn rules_about_requests_take_no_part_in_answers_and_without_rules_there_is_no_policy() {
    let double = MistralDouble::builder().start().await.unwrap();
    let setup = Setup::with(&double).policies(&["pii"]).policies_further(", max_streams: 1");
    let gateway = prepared(setup).start();
    let made = create(&gateway, "helpdesk", project_x()).await;
    assert_eq!(made.status, 201, "{made:?}");
    let body = json!({ "messages": [{ "role": "user", "content": "Hello" }], "stream": true });
    assert_eq!(gateway.post("/v1/chat/completions", body).await.status, 200);
    let live = async || gateway.get("/health").await.body["policies"]["live"].clone();
    assert_eq!(live().await, 2);
    let path = format!("/{}", made.body["id"].as_str().unwrap());
    assert_eq!(send(&gateway, "helpdesk", Method::DELETE, &path, Value::Null).await.status, 204);
    assert_eq!(pre_check(&gateway, "helpdesk", "project x").await.body["approved"], true);
    eventually("the policy is gone", async || !file(&gateway).exists() && live().await == 1).await;
    assert_eq!(create(&gateway, "helpdesk", project_x()).await.status, 201);
    assert_eq!(pre_check(&gateway, "helpdesk", "project x").await.body["approved"], false);
}

#[tokio::test]
async fn a_required_policy_stays_without_rules() {
    let setup = Setup::without_provider().policies(&["pii"]).policies_further(", required: [static-policies]");
    let gateway = prepared(setup).start();
    assert_eq!(pre_check(&gateway, "helpdesk", "Hello").await.body["approved"], false, "it is not there yet");
    let made = create(&gateway, "helpdesk", project_x()).await;
    let path = format!("/{}", made.body["id"].as_str().unwrap());
    assert_eq!(send(&gateway, "helpdesk", Method::DELETE, &path, Value::Null).await.status, 204);
    assert!(file(&gateway).exists());
    assert_eq!(pre_check(&gateway, "helpdesk", "Hello").await.body["approved"], true);
}

/// A loader that begins when the test lets it, and tells that it was started.
struct Gate {
    open: PathBuf,
    reached: PathBuf,
}

/// An open one.
fn gated(prepared: &Prepared) -> Gate {
    let [open, reached, worker] = ["open", "reached", "worker"].map(|name| prepared.path().join(name));
    let script = format!(
        "#!/bin/sh\n: > {}\nuntil [ -e {} ]; do sleep 0.02; done\nexec {} \"$@\"\n",
        reached.display(),
        open.display(),
        env!("CARGO_BIN_EXE_octroi")
    );
    fs::write(&worker, script).unwrap();
    fs::set_permissions(&worker, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(&open, "").unwrap();
    fs::write(&reached, "").unwrap();
    let file = prepared.path().join("octroi.yaml");
    let yaml = fs::read_to_string(&file).unwrap();
    fs::write(file, yaml.replace("policies: {", &format!("policies: {{ worker: \"{}\",", worker.display()))).unwrap();
    Gate { open, reached }
}

#[tokio::test]
async fn a_caller_who_goes_away_leaves_no_half_of_a_change() {
    let prepared = prepared(Setup::without_provider().policies(&["pii"]));
    let gate = gated(&prepared);
    let gateway = prepared.start();
    fs::remove_file(&gate.open).unwrap();
    fs::remove_file(&gate.reached).unwrap();
    let request = gateway.client.post(gateway.url(PATH)).header("x-client-id", "helpdesk").json(&project_x());
    let asking = tokio::spawn(request.send());
    eventually("the server is at work", async || gate.reached.exists()).await;
    asking.abort();
    assert!(asking.await.unwrap_err().is_cancelled());
    fs::write(&gate.open, "").unwrap();
    eventually("it is in force", async || {
        get(&gateway, "helpdesk", "?tier=tenant").await.body["pagination"]["total_items"] == 1
    })
    .await;
    assert_eq!(pre_check(&gateway, "helpdesk", "project x").await.body["approved"], false);
}

#[tokio::test]
async fn a_policy_that_is_being_tried_keeps_no_other_from_being_switched_off() {
    let prepared = prepared(Setup::without_provider().policies(&["pii"]));
    let gate = gated(&prepared);
    let gateway = prepared.start();
    fs::remove_file(&gate.open).unwrap();
    fs::remove_file(&gate.reached).unwrap();
    let switch = async {
        eventually("the policy is being tried", async || gate.reached.exists()).await;
        let manifest = gateway.policies().join("pii.yaml");
        let text = fs::read_to_string(&manifest).unwrap();
        assert!(text.contains("\nmode: enforce "));
        fs::write(manifest, text.replace("\nmode: enforce ", "\nmode: off ")).unwrap();
        eventually("the other one off", async || gateway.policy("pii").await["state"] == "off").await;
        fs::write(&gate.open, "").unwrap();
    };
    let (made, ()) = tokio::join!(create(&gateway, "helpdesk", project_x()), switch);
    assert_eq!(made.status, 201, "{made:?}");
}

/// It would end without a verdict on every longer request, and refuse it.
#[tokio::test]
async fn a_policy_that_is_too_slow_for_its_limits_is_not_taken() {
    let gateway = open();
    assert_eq!(create(&gateway, "helpdesk", project_x()).await.status, 201);
    let text = fs::read_to_string(file(&gateway)).unwrap();
    let text = text.replace("'50ms'", "1ms").replace("'500ms'", "1ms");
    fs::write(file(&gateway), &text).unwrap();
    let slow = json!({ "name": "Slow", "category": "x", "pattern": "(?s:.{300})[0-9a-z](?s:.{300})[0-9]" });
    let answer = create(&gateway, "helpdesk", slow).await;
    assert_eq!(code(&answer), (400, "VALIDATION_ERROR"), "{answer:?}");
    assert!(answer.body["error"]["message"].as_str().unwrap().contains("too expensive"), "{answer:?}");
    assert_eq!(fs::read_to_string(file(&gateway)).unwrap(), text);
}

/// A thousand rules of a thousand characters, of four bytes each or all brackets: one file, one version.
#[tokio::test]
async fn a_thousand_rules_are_held_and_no_more() {
    let mut gateway = open();
    gateway.client = support::client(LOADING);
    // Little to look for, with a long comment: the automata of a thousand long expressions would not fit.
    let pattern = |number: usize| {
        let head = format!("(?x) word{number:04}word #");
        let room = 1_000 - head.len();
        let comment = match number % 3 {
            0 => "😀".repeat(room),
            1 => "[{".repeat(room / 2),
            _ => "'\"".repeat(room / 2),
        };
        head + &comment
    };
    let rules: Vec<_> = (0..999)
        .map(|number| {
            json!({ "name": format!("rule-{number}"), "pattern": pattern(number), "tenants": ["helpdesk"],
                    "annotations": { "title": format!("Rule {number}"), "description": "😀".repeat(250) } })
        })
        .collect();
    let manifest = json!({
        "name": "static-policies", "module": "../pattern.wasm", "limits": { "settings": "8MiB" },
        "settings": { "patterns": rules },
    });
    fs::create_dir(gateway.policies().join("api")).unwrap();
    let text = octroi::config::yaml::write(&manifest, &["name", "module"]);
    assert!(text.len() > 3 << 20, "{}", text.len());
    let beside = gateway.policies().join("api/.new");
    fs::write(&beside, &text).unwrap();
    fs::rename(beside, file(&gateway)).unwrap();
    gateway.until_within(LOADING, "/health", |body| body["policies"]["live"] == 2).await;
    let started = Instant::now();
    let mut for_all = project_x();
    assert_eq!(code(&create(&gateway, "helpdesk", for_all.clone()).await), (403, "FORBIDDEN"), "the tenant has enough");
    for_all["tier"] = json!("organization");
    let made = create(&gateway, "helpdesk", for_all.clone()).await;
    eprintln!("the thousandth policy, in a file of {} bytes, was in force after {:?}", text.len(), started.elapsed());
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(pre_check(&gateway, "helpdesk", "project x").await.body["approved"], false);
    let answer = pre_check(&gateway, "helpdesk", "it is word0997word").await;
    assert_eq!(answer.body["approved"], false, "{answer:?}");
    let full = create(&gateway, "helpdesk", for_all).await;
    assert_eq!(code(&full), (403, "FORBIDDEN"), "{full:?}");
    assert!(full.body["message"].as_str().unwrap().contains("1000"), "{full:?}");
}
