//! The file that they are kept in.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use reqwest::Method;
use serde_json::{Value, json};

use super::support::{Setup, eventually};
use super::{code, create, file, get, open, pre_check, prepared, project_x, send};

#[tokio::test]
async fn edits_by_hand_count_and_are_kept() {
    let gateway = open();
    let made = create(&gateway, "helpdesk", project_x()).await;
    let edited = fs::read_to_string(file(&gateway)).unwrap()
        + "    - name: by-hand\n      keywords: [codeword]\n      roles: [user]\n      tenants: [helpdesk, sales]\n"
        + "rollout: 100\n";
    let edited = edited.replace("order: 5", "order: 7 # earlier than pii");
    fs::write(file(&gateway), edited).unwrap();
    eventually("it is in force", async || get(&gateway, "helpdesk", "/by-hand").await.status == 200).await;
    let seen = get(&gateway, "helpdesk", "/by-hand").await;
    assert_eq!((&seen.body["tier"], &seen.body["pattern"]), (&json!("organization"), &json!("keywords: codeword")));
    // A change made at once finds what stands in the file, in force or not.
    let put = send(&gateway, "helpdesk", Method::PUT, "/by-hand", json!({ "severity": "low" })).await;
    assert_eq!((put.status, &put.body["severity"], &put.body["version"]), (200, &json!("low"), &json!(2)), "{put:?}");
    let text = fs::read_to_string(file(&gateway)).unwrap();
    for kept in ["order: 7", "rollout: 100", "roles:", "- codeword", "- sales", made.body["id"].as_str().unwrap()] {
        assert!(text.contains(kept), "{kept}: {text}");
    }
    assert_eq!(pre_check(&gateway, "sales", "the codeword").await.body["approved"], false);
    assert_eq!(pre_check(&gateway, "elsewhere", "the codeword").await.body["approved"], true);
    let versions = get(&gateway, "sales", "/by-hand/versions").await;
    assert_eq!(versions.body["versions"][0]["change_summary"], "changed: severity", "{versions:?}");
}

#[tokio::test]
async fn what_does_not_count_is_not_shown_as_if_it_did() {
    let gateway = open();
    let made = create(&gateway, "helpdesk", project_x()).await;
    let path = format!("/{}", made.body["id"].as_str().unwrap());
    let good = fs::read_to_string(file(&gateway)).unwrap();
    let write = async |keys: &str| {
        fs::write(file(&gateway), good.replace("order: 5", &format!("order: 5\n{keys}"))).unwrap();
        gateway.reload().await;
    };
    let effective = async |client: &str| {
        let answer = get(&gateway, client, "/effective").await;
        let names = answer.body["static"].as_array().unwrap().iter().map(|it| it["name"].clone());
        names.collect::<Vec<_>>()
    };
    assert_eq!(effective("helpdesk").await, ["No project X", "pii"]);

    write("mode: shadow").await;
    assert_eq!(pre_check(&gateway, "helpdesk", "project x").await.body["approved"], true);
    let listed = get(&gateway, "helpdesk", "?tier=tenant").await.body["policies"][0].clone();
    let found = get(&gateway, "helpdesk", "/effective").await.body["static"][0].clone();
    for shown in [get(&gateway, "helpdesk", &path).await.body, listed, found] {
        assert_eq!((&shown["action"], &shown["enabled"]), (&json!("log"), &json!(true)), "{shown}");
    }
    // As clients do that send back what they were shown.
    let put = send(&gateway, "helpdesk", Method::PUT, &path, json!({ "action": "log", "severity": "low" })).await;
    assert_eq!((put.status, &put.body["action"]), (200, &json!("log")), "{put:?}");
    let text = fs::read_to_string(file(&gateway)).unwrap();
    assert!(text.contains("mode: shadow") && text.contains("action: deny"), "{text}");

    write("mode: off").await;
    assert_eq!(get(&gateway, "helpdesk", &path).await.body["enabled"], false);
    assert_eq!(effective("helpdesk").await, ["pii"]);

    write("match: { clients: [sales] }").await;
    assert_eq!(get(&gateway, "helpdesk", &path).await.body["enabled"], true);
    assert_eq!(effective("helpdesk").await, ["pii"], "its requests are not judged");
    let pii = gateway.policies().join("pii.yaml");
    let text = fs::read_to_string(&pii).unwrap();
    fs::write(&pii, text.replace("mode: enforce", "mode: enforce\nmatch: { clients: [\"sal*\"] }")).unwrap();
    gateway.reload().await;
    assert_eq!((effective("helpdesk").await, effective("sales").await), (vec![], vec![json!("pii")]));
}

#[tokio::test]
async fn a_file_that_somebody_broke_is_left_as_it_is() {
    let gateway = open();
    let made = create(&gateway, "helpdesk", project_x()).await;
    let good = fs::read_to_string(file(&gateway)).unwrap();
    let path = format!("/{}", made.body["id"].as_str().unwrap());
    for broken in [good.replace("order: 5", "order: five"), good.replace(r"project\s+x", "project(")] {
        fs::write(file(&gateway), &broken).unwrap();
        gateway.until("/health", |body| body["status"] == "degraded").await;
        let answer = create(&gateway, "helpdesk", project_x()).await;
        assert_eq!(code(&answer), (409, "CONFLICT"), "{answer:?}");
        let message = answer.body["error"]["message"].as_str().unwrap();
        assert!(message.contains("api/static.yaml"), "{message}");
        assert!(!message.contains(gateway.folder().to_str().unwrap()), "{message}");
        // Nothing would change, but what the file says is not what requests meet.
        let same = send(&gateway, "helpdesk", Method::PUT, &path, json!({ "enabled": true })).await;
        assert_eq!(code(&same), (409, "CONFLICT"), "{same:?}");
        assert_eq!(fs::read_to_string(file(&gateway)).unwrap(), broken);
        // What is in force is shown, and goes on.
        assert_eq!(get(&gateway, "helpdesk", &path).await.body, made.body);
        assert_eq!(pre_check(&gateway, "helpdesk", "project x").await.body["approved"], false);
    }
    // A change that puts the file in order is one.
    let put = json!({ "pattern": "project z" });
    assert_eq!(send(&gateway, "helpdesk", Method::PUT, &path, put).await.status, 200);
    assert_eq!(gateway.get("/health").await.body["status"], "healthy");
    assert_eq!(pre_check(&gateway, "helpdesk", "project z").await.body["approved"], false);
    fs::write(file(&gateway), good.replace("order: 5", "order: 5\nmode: off")).unwrap();
    let answer = create(&gateway, "helpdesk", project_x()).await;
    assert_eq!(code(&answer), (409, "CONFLICT"), "{answer:?}");
    fs::remove_file(file(&gateway)).unwrap();
    symlink(gateway.folder().join("octroi.yaml"), file(&gateway)).unwrap();
    let answer = create(&gateway, "helpdesk", project_x()).await;
    assert_eq!(code(&answer), (503, "SERVICE_UNAVAILABLE"), "{answer:?}");
    assert!(fs::symlink_metadata(file(&gateway)).unwrap().is_symlink());
}

#[tokio::test]
async fn without_the_patterns_module_the_error_says_so() {
    let gateway = Setup::without_provider().policies(&["pii"]).start();
    for answer in [
        create(&gateway, "helpdesk", project_x()).await,
        send(&gateway, "helpdesk", Method::POST, "/test", json!({ "pattern": "x", "inputs": ["x"] })).await,
    ] {
        assert_eq!(code(&answer), (503, "SERVICE_UNAVAILABLE"), "{answer:?}");
        assert!(answer.body["error"]["message"].as_str().unwrap().contains("pattern.wasm"), "{answer:?}");
    }
    assert!(!gateway.policies().join("api").exists());
    assert_eq!(get(&gateway, "helpdesk", "?tier=tenant").await.body["policies"], json!([]));
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_an_error_and_changes_nothing() {
    let gateway = open();
    // A file where the folder would be: nobody can write into that, not even the superuser.
    fs::write(gateway.policies().join("api"), "").unwrap();
    let answer = create(&gateway, "helpdesk", project_x()).await;
    assert_eq!(code(&answer), (503, "SERVICE_UNAVAILABLE"), "{answer:?}");
    fs::remove_file(gateway.policies().join("api")).unwrap();
    let outside = gateway.folder().join("outside");
    fs::create_dir(&outside).unwrap();
    symlink(&outside, gateway.policies().join("api")).unwrap();
    let answer = create(&gateway, "helpdesk", project_x()).await;
    assert_eq!(code(&answer), (503, "SERVICE_UNAVAILABLE"), "{answer:?}");
    assert_eq!(fs::read_dir(outside).unwrap().count(), 0);
    fs::remove_file(gateway.policies().join("api")).unwrap();
    assert_eq!(create(&gateway, "helpdesk", project_x()).await.status, 201);
    let mode = fs::metadata(file(&gateway)).unwrap().permissions().mode();
    assert_eq!(mode & 0o133, 0, "{mode:o}");
}

/// As a ConfigMap's volume or a release's folder is, and as a relative path is too: not what links resolve to.
#[tokio::test]
async fn they_are_found_in_a_directory_that_is_a_link() {
    let prepared = prepared(Setup::without_provider().policies(&["pii"]));
    let real = prepared.path().join("real");
    fs::rename(prepared.policies(), &real).unwrap();
    symlink(&real, prepared.policies()).unwrap();
    let gateway = prepared.start();
    let made = create(&gateway, "helpdesk", project_x()).await;
    assert_eq!(made.status, 201, "{made:?}");
    let path = format!("/{}", made.body["id"].as_str().unwrap());
    assert_eq!(get(&gateway, "helpdesk", &path).await.body, made.body);
    let tiers: Vec<_> = get(&gateway, "helpdesk", "").await.body["policies"].as_array().unwrap().clone();
    let tiers: Vec<_> = tiers.iter().map(|it| (it["name"].clone(), it["tier"].clone())).collect();
    assert_eq!(tiers, [(json!("No project X"), json!("tenant")), (json!("pii"), json!("system"))]);
    assert_eq!(send(&gateway, "helpdesk", Method::DELETE, &path, Value::Null).await.status, 204);
    assert_eq!(code(&get(&gateway, "helpdesk", &path).await), (404, "NOT_FOUND"));
}
