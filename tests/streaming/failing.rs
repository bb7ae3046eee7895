//! Policies that give no verdict on an answer while it streams.

use mistral_double::{Behaviour, MistralDouble};
use serde_json::{Value, json};

use super::socket::mistral_that_says;
use super::support::guest::Guest;
use super::support::{Gateway, Setup};
use super::{ask, last_record, stream};

/// Seven windows.
const WORDS: usize = 56;

/// A gateway whose only policy on answers is this one.
fn behind(double: &MistralDouble, guest: &Guest, manifest: &str) -> Gateway {
    let prepared = Setup::with(double).policies(&["audit-redact"]).prepare();
    guest.put(&prepared.policies(), "failing", manifest);
    prepared.start()
}

/// The error that the record of the last request has of the policy.
async fn error(gateway: &Gateway, record: &Value) -> Value {
    let evaluations = record["policy_details"]["response_evaluations"].as_array().unwrap();
    let failing = evaluations.iter().find(|it| it["policy"] == "failing").unwrap();
    assert!(failing["error"].is_object(), "{record}");
    let code = failing["error"]["code"].as_str().unwrap();
    let counts = gateway.policy("failing").await["evaluations"].clone();
    let side = if failing["enforced"] == true { "enforced" } else { "shadow" };
    assert_eq!(counts[side]["errors"], json!({ code: 1 }), "a stream is one evaluation");
    failing["error"].clone()
}

#[tokio::test]
async fn a_policy_that_fails_on_a_stream_ends_it_or_lets_it_pass_as_its_manifest_says() {
    let double = MistralDouble::builder().start().await.unwrap();
    let text = "word ".repeat(WORDS);
    let spinning = Guest::response("allow").spinning();
    for mode in ["observe", "transform", "buffer"] {
        for (on_error, enforcement) in [("deny", "enforce"), ("allow", "enforce"), ("deny", "shadow")] {
            let case = format!("{mode}, {on_error}, {enforcement}");
            let manifest = format!(
                "mode: {enforcement}\non_error: {on_error}\nstream: {{ mode: {mode}, window: 40B }}\nlimits: {{ time: 1ms }}\n"
            );
            let gateway = behind(&double, &spinning, &manifest);
            double.script(Behaviour::text(&text));
            let seen = stream(&gateway, ask("Hello")).await;
            assert_eq!((seen.status, seen.done, seen.whole), (200, true, true), "{case}: {seen:?}");
            let record = last_record(&gateway).await;
            let error = error(&gateway, &record).await;
            assert!(["time_limit", "wall_limit"].map(|it| json!(it)).contains(&error["code"]), "{case}: {record}");
            let (said, released) = (seen.text(), &record["policy_details"]["streamed"]["released"]);
            assert_eq!(released, said.len(), "{case}: {record}");
            if (on_error, enforcement) == ("deny", "enforce") {
                assert_eq!(seen.finish(), Some("content_filter"), "{case}: {seen:?}");
                assert!(text.starts_with(&said) && (mode == "observe" || said.is_empty()), "{case}: {said}");
                let reason = format!("Request blocked by policy: failing ({})", error["code"].as_str().unwrap());
                assert_eq!(record["policy_decision"], "blocked", "{case}: {record}");
                assert_eq!(seen.events.last().unwrap()["octroi"]["message"], reason, "{case}: {seen:?}");
            } else {
                assert_eq!((seen.finish(), said.as_str()), (Some("stop"), text.as_str()), "{case}");
                assert_eq!(record["policy_decision"], "allowed", "{case}: {record}");
            }
        }
    }
}

#[tokio::test]
async fn an_edit_of_what_the_client_has_fails_and_what_went_out_before_stays() {
    let double = MistralDouble::builder().start().await.unwrap();
    let text = "word ".repeat(WORDS);
    // The second piece is shown the end of the first, and the edit is longer than that.
    let editing = Guest::response("redact").edits("word word");
    for on_error in ["deny", "allow"] {
        let manifest = format!("on_error: {on_error}\nstream: {{ mode: transform, window: 8B }}\n");
        let gateway = behind(&double, &editing, &manifest);
        double.script(Behaviour::text(&text));
        let seen = stream(&gateway, ask("Hello")).await;
        assert!(seen.done && seen.whole, "{on_error}: {seen:?}");
        let record = last_record(&gateway).await;
        let error = error(&gateway, &record).await;
        assert_eq!(error["code"], "bad_edit", "{on_error}: {error}");
        assert!(error["message"].as_str().unwrap().contains("which the client already has"), "{on_error}: {error}");
        let said = seen.text();
        let expected = if on_error == "deny" { ("content_filter", "word word w") } else { ("stop", text.as_str()) };
        assert_eq!((seen.finish().unwrap(), said.as_str()), expected, "{on_error}: {record}");
        assert_eq!(record["policy_decision"], if on_error == "deny" { "blocked" } else { "redacted" }, "{record}");
        let evaluations = record["policy_details"]["response_evaluations"].as_array().unwrap();
        let failing = evaluations.iter().find(|it| it["policy"] == "failing").unwrap();
        let action = if on_error == "deny" { "deny" } else { "redact" };
        assert_eq!((&failing["edits"], &failing["action"]), (&json!(1), &json!(action)), "{record}");
    }
}

#[tokio::test]
async fn a_refusal_that_waits_counts_though_the_next_piece_gets_no_verdict() {
    let says = |text: &str| (0, json!({ "content": text }), Value::Null);
    // What is found ends where the first piece does, and may still grow.
    let refusing = Guest::response("deny").finds(8..12).once();
    for (mode, most) in [("transform", ""), ("observe", "One bad word, and more of it.")] {
        let events = [says("One bad word"), says(", and more of it."), (0, json!({}), json!("stop"))].to_vec();
        let prepared = mistral_that_says(events).await.prepare();
        let manifest = format!("on_error: allow\nstream: {{ mode: {mode}, window: 8B }}\n");
        refusing.put(&prepared.policies(), "failing", &manifest);
        let gateway = prepared.start();
        let seen = stream(&gateway, ask("Hello")).await;
        let said = seen.text();
        assert_eq!(seen.finish(), Some("content_filter"), "{mode}: {seen:?}");
        assert!(most.starts_with(&said), "{mode}: {said}");
        let record = last_record(&gateway).await;
        assert_eq!(record["policy_decision"], "blocked", "{mode}: {record}");
        let evaluations = record["policy_details"]["response_evaluations"].as_array().unwrap();
        let failing = evaluations.iter().find(|it| it["policy"] == "failing").unwrap();
        assert_eq!(
            (&failing["action"], &failing["error"]["code"]),
            (&json!("deny"), &json!("trap")),
            "{mode}: {record}"
        );
        assert_eq!(failing["findings"].as_array().map(Vec::len), Some(1), "{mode}: {record}");
    }
}
