//! In which order the files of a change arrive: of one policy, and of two that belong together.

use std::fs;

use serde_json::json;

use octroi::policy::digest::Digest;

use super::support::guest::{Guest, manifest};
use super::support::{Gateway, eventually};
use super::{NEVER, bare, generation, loads, replace, said, until_generation, until_looked_at, until_said};

#[tokio::test]
async fn a_newcomer_comes_to_life_with_its_second_file_whichever_that_is() {
    let gateway = bare(NEVER).start();
    let policies = gateway.policies();
    let module = Guest::pre_check("deny").reason("here").module();
    let before = generation(&gateway).await;

    fs::write(policies.join("first.yaml"), manifest("first", "")).unwrap();
    let health = gateway.until("/health", |body| body["status"] == "degraded").await;
    let error = json!([{ "policy": "first", "step": "read", "code": "unreadable" }]);
    assert_eq!(health["policies"]["errors"], error, "{health}");
    assert_eq!((generation(&gateway).await, said(&gateway).await.as_str()), (before, "nothing"));
    fs::write(policies.join("first.wasm"), &module).unwrap();
    until_said(&gateway, "nothing", "here").await;
    gateway.until("/health", |body| body["status"] == "healthy").await;

    fs::write(policies.join("second.wasm"), &module).unwrap();
    assert!(
        gateway
            .log
            .wait(|line| line["fields"]["message"] == "no manifest names this module; it is not loaded")
            .await
            .is_some()
    );
    let before = generation(&gateway).await;
    fs::write(policies.join("second.yaml"), manifest("second", "")).unwrap();
    until_generation(&gateway, before + 1).await;
    assert_eq!(loads(&gateway, "second", "ok").await, 1);
}

/// Manifest and module of the next version arrive one after the other, with time between them. What guards against the
/// mix of both: a pin; cases; settings that only one of the modules takes.
#[tokio::test]
async fn a_guarded_change_of_manifest_and_module_has_no_moment_between() {
    let old = Guest::pre_check("deny").reason("old");
    let new = Guest::pre_check("require-approval").reason("new");
    let pin = |guest: &Guest| format!("sha256: {}\n", Digest::of(&guest.module()));
    let case = |action: &str| format!("tests: [{{ name: any, query: Hello, expect: {{ action: {action} }} }}]\n");
    let (none, some) = (old.clone().wants_settings(false), new.clone().wants_settings(true));
    let guards = [
        ("pinned", [(old.clone(), pin(&old)), (new.clone(), pin(&new))], ["digest_mismatch"; 2]),
        ("tested", [(old, case("deny")), (new, case("require-approval"))], ["case_failed"; 2]),
        ("set-up", [(none, String::new()), (some, "settings: { x: 1 }\n".into())], ["settings_refused"; 2]),
    ];
    for (guard, [(old, old_lines), (new, new_lines)], [module_alone, manifest_alone]) in guards {
        for module_first in [true, false] {
            let prepared = bare(NEVER).prepare();
            old.put(&prepared.policies(), "house", &old_lines);
            let gateway = prepared.start();
            let before = generation(&gateway).await;
            let module = || replace(&gateway.policies().join("house.wasm"), new.module());
            let manifest = || replace(&gateway.policies().join("house.yaml"), manifest("house", &new_lines));
            let code = if module_first { module_alone } else { manifest_alone };
            if module_first {
                module()
            } else {
                manifest()
            }
            let health = gateway.until("/health", |body| body["status"] == "degraded").await;
            assert_eq!(health["policies"]["errors"][0]["code"], code, "{guard}");
            assert_eq!((generation(&gateway).await, said(&gateway).await.as_str()), (before, "old"), "{guard}");
            if module_first {
                manifest()
            } else {
                module()
            }
            until_said(&gateway, "old", "new").await;
            assert_eq!(generation(&gateway).await, before + 1, "{guard}");
            // It is told a moment after it is in force.
            gateway.until("/health", |body| body["status"] == "healthy").await;
        }
    }
}

/// What is written within the quiet time is one change, for one policy and for many.
#[tokio::test]
async fn manifest_and_module_written_together_are_one_generation_without_any_guard() {
    let prepared = bare(&format!("{NEVER}, reload_debounce: 2s")).prepare();
    Guest::pre_check("deny").reason("old").put(&prepared.policies(), "house", "order: 1\n");
    let gateway = prepared.start();
    let before = generation(&gateway).await;
    let new = Guest::pre_check("deny").reason("new");
    fs::write(gateway.policies().join("house.wasm"), new.module()).unwrap();
    assert_eq!(said(&gateway).await, "old");
    fs::write(gateway.policies().join("house.yaml"), manifest("house", "order: 2\n")).unwrap();
    until_said(&gateway, "old", "new").await;
    assert_eq!(generation(&gateway).await, before + 1);
}

/// The names of those that had something to say.
async fn matched(gateway: &Gateway) -> Vec<String> {
    let answer = gateway.pre_check("Hello").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body["policies"].as_array().unwrap().iter().map(|it| it.as_str().unwrap().to_owned()).collect()
}

/// Two policies of which exactly one speaks. They are written one after the other: the second is never in force without
/// the first.
#[tokio::test]
async fn two_policies_come_into_force_together_or_in_the_order_of_writing() {
    let prepared = bare(NEVER).prepare();
    let speaker = |speaks| Guest::pre_check(if speaks { "warn" } else { "allow" });
    let put = |folder: &std::path::Path, turn: usize| {
        for (name, guest) in [("one", speaker(turn.is_multiple_of(2))), ("two", speaker(turn % 2 == 1))] {
            replace(&folder.join(format!("{name}.wasm")), guest.module());
        }
    };
    for name in ["one", "two"] {
        fs::write(prepared.policies().join(format!("{name}.yaml")), manifest(name, "")).unwrap();
    }
    put(&prepared.policies(), 0);
    let gateway = prepared.start();
    for turn in 1..6 {
        let (speaks, spoke) = if turn % 2 == 1 { ("two", "one") } else { ("one", "two") };
        let before = generation(&gateway).await;
        put(&gateway.policies(), turn);
        // `one` is written first: to begin with it may be new beside the old `two`.
        let between: &[&str] = if turn % 2 == 1 { &[] } else { &["one", "two"] };
        eventually("the other one speaks", async || {
            let matched = matched(&gateway).await;
            assert!(matched == [speaks] || matched == [spoke] || matched == between, "{matched:?}");
            matched == [speaks]
        })
        .await;
        assert!(generation(&gateway).await <= before + 2);
    }
    until_looked_at(&gateway).await;
}
