//! What an entry shows.

use serde_json::{Value, json};

use super::*;
use crate::audit::AuditReader;
use crate::audit::record::{Lifecycle, LifecycleEvent, LivePolicy, NotInspected, PolicySetChange, StreamMode};

on_both_stores! {
    intent_and_outcome_are_one_entry,
    an_intent_without_outcome_is_an_error_and_found_as_one,
    a_pre_check_and_its_calls_are_entries_joined_by_the_context,
    a_reported_tool_is_an_entry_of_its_own,
    a_long_answer_is_cut_between_characters,
    history_is_recorded_and_is_nobodys_entry,
    an_entry_that_cannot_be_read_says_so_and_keeps_no_other_from_being_found,
    a_context_is_there_when_its_append_has_returned,
}

async fn only_entry(log: &AuditLog) -> Value {
    let page = log.search(Query::new("acme")).await.unwrap();
    assert_eq!((page.total, page.entries.len()), (1, 1));
    serde_json::to_value(&page.entries[0]).unwrap()
}

fn assert_no_nulls(value: &Value) {
    match value {
        Value::Null => panic!("a null"),
        Value::Array(items) => items.iter().for_each(assert_no_nulls),
        Value::Object(fields) => fields.values().for_each(assert_no_nulls),
        _ => {}
    }
}

async fn intent_and_outcome_are_one_entry(home: Home) {
    let log = home.open();
    let mut asked = intent("r1", 0);
    asked.policies =
        vec![evaluation("sql", Action::Allow), evaluation("mail", Action::Redact), evaluation("pii", Action::Deny)];
    asked.policies[1].edits_hmac = Some("0f".into());
    asked.not_inspected = vec![NotInspected { kind: "image".into(), media_type: "image/png".into(), size: Some(9) }];
    let mut answered = outcome("r1", 1);
    answered.policies = vec![evaluation("tone", Action::Warn)];
    answered.policies[0].stream = Some(StreamMode::Observe);
    answered.not_inspected = vec![NotInspected { kind: "seals".into(), media_type: String::new(), size: Some(9) }];
    request(&log, asked, answered).await;

    let entry = only_entry(&log).await;
    assert_no_nulls(&entry);
    let expected = json!({
        "id": "r1", "request_id": "r1", "timestamp": at(0).to_string(), "user_email": "eva@example.org",
        "client_id": "acme-app", "tenant_id": "acme", "request_type": "chat", "policy_decision": "allowed",
        "response_time_ms": 812, "provider": "mistral", "model": "mistral-small-latest", "tokens_used": 214,
        "cost": 0.00004, "query": "What is an octroi?", "response_sample": "A gate."
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&entry[key], value, "{key}");
    }
    assert!(entry["timestamp"].as_str().unwrap().ends_with('Z'));
    let details = &entry["policy_details"];
    assert_eq!(details["policies"], json!(["pii", "mail", "tone"]), "the strongest first, allowing ones left out");
    assert_eq!(details["evaluations"].as_array().unwrap().len(), 3);
    assert_eq!(details["response_evaluations"][0]["policy"], "tone");
    assert_eq!(details["generation"], 7);
    assert_eq!(details["not_inspected"][0]["media_type"], "image/png");
    assert_eq!(details["response_evaluations"][0]["stream"], "observe");
    assert_eq!(details["response_not_inspected"], json!([{ "kind": "seals", "size": 9 }]));
}

async fn an_intent_without_outcome_is_an_error_and_found_as_one(home: Home) {
    let log = home.open();
    append(&log, intent("r1", 0)).await.unwrap();
    let entry = only_entry(&log).await;
    assert_no_nulls(&entry);
    assert_eq!(entry["policy_decision"], "error");
    assert_eq!(entry["policy_details"]["outcome"], "missing");
    let failed = Query { action: Some("error".into()), ..Query::new("acme") };
    assert_eq!(ids(&log, failed.clone()).await, ["r1"]);
    append(&log, outcome("r1", 1)).await.unwrap();
    assert_eq!(ids(&log, failed).await, [""; 0]);
    assert_eq!(only_entry(&log).await["policy_decision"], "allowed");
}

async fn a_pre_check_and_its_calls_are_entries_joined_by_the_context(home: Home) {
    let log = home.open();
    append(&log, pre_check("c1", 0)).await.unwrap();
    append(&log, llm_call("a1", "c1", 1)).await.unwrap();
    append(&log, llm_call("a2", "c1", 2)).await.unwrap();
    let page = log.search(Query { request_id: Some("c1".into()), ..Query::new("acme") }).await.unwrap();
    let entries = serde_json::to_value(&page.entries).unwrap();
    assert_no_nulls(&entries);
    assert_eq!(entries[0]["id"], "a2");
    assert_eq!(entries[0]["audit_id"], "a2");
    assert_eq!(entries[0]["tokens_used"], 3);
    assert_eq!(entries[0]["response_sample"], "It was said.");
    assert_eq!(entries[0]["metadata"]["ticket"], "4711");
    assert_eq!(entries[2]["decision_id"], "c1");
    assert_eq!(entries[2]["policy_decision"], "redacted");
    assert_eq!(entries[2]["query"], "write to [email]");
    for entry in entries.as_array().unwrap() {
        assert_eq!((&entry["context_id"], &entry["request_id"]), (&json!("c1"), &json!("c1")));
    }
}

async fn a_reported_tool_is_an_entry_of_its_own(home: Home) {
    let log = home.open();
    append(&log, tool_call("t1", 0)).await.unwrap();
    let entry = only_entry(&log).await;
    assert_no_nulls(&entry);
    for (key, expected) in [
        ("id", json!("t1")),
        ("request_id", json!("t1")),
        ("audit_id", json!("t1")),
        ("request_type", json!("tool-call")),
        ("policy_decision", json!("error")),
        ("response_time_ms", json!(45)),
        ("error_message", json!("no [email]")),
        ("metadata", json!({ "input": { "mail": "[email]" } })),
    ] {
        assert_eq!(entry[key], expected, "{key}: {entry}");
    }
    let details = &entry["policy_details"];
    assert_eq!((&details["tool_name"], &details["policies"]), (&json!("getUserInfo"), &json!(["mask"])));
    assert!(details.get("tool_type").is_none() && entry.get("context_id").is_none(), "{entry}");
    let by_policy = Query { policy_name: Some("mask".into()), ..Query::new("acme") };
    assert_eq!(ids(&log, by_policy).await, ["t1"]);
}

async fn a_long_answer_is_cut_between_characters(home: Home) {
    let log = home.open();
    let answer = Outcome { content: Content::unchanged(&"\u{e9}".repeat(500)), ..outcome("r1", 1) };
    request(&log, intent("r1", 0), answer).await;
    assert_eq!(only_entry(&log).await["response_sample"], json!("\u{e9}".repeat(200)));
}

async fn history_is_recorded_and_is_nobodys_entry(home: Home) {
    let log = home.open();
    let policy = LivePolicy {
        name: "pii".into(),
        version: "sha256:1".into(),
        settings_hash: "sha256:2".into(),
        mode: Mode::Shadow,
    };
    let change = PolicySetChange {
        at: at(0),
        from_generation: None,
        to_generation: 1,
        policies: vec![policy],
        reason: "start".into(),
    };
    let started = Lifecycle {
        run_id: "run".into(),
        at: at(0),
        event: LifecycleEvent::Start,
        version: "0.1.0".into(),
        config_digest: "sha256:3".into(),
        most_unsigned: None,
        public_key: None,
        offline: false,
    };
    append(&log, started.clone()).await.unwrap();
    append(&log, change).await.unwrap();
    append(&log, Lifecycle { event: LifecycleEvent::Stop, ..started }).await.unwrap();
    assert_eq!(home.count("SELECT count(*) FROM records"), 3);
    assert_eq!(log.search(Query::new("acme")).await.unwrap().total, 0);
}

async fn a_context_is_there_when_its_append_has_returned(home: Home) {
    let log = home.open();
    assert_eq!(log.context("c1").await.unwrap(), None);
    append(&log, PreCheck { approved: false, ..pre_check("c1", 0) }).await.unwrap();
    let context = log.context("c1").await.unwrap().unwrap();
    assert_eq!((context.client.as_str(), context.tenant.as_str(), context.approved), ("acme-app", "acme", false));
}

async fn an_entry_that_cannot_be_read_says_so_and_keeps_no_other_from_being_found(home: Home) {
    let log = home.open();
    request(&log, intent("r1", 0), outcome("r1", 1)).await;
    request(&log, intent("r2", 2), outcome("r2", 3)).await;
    append(&log, pre_check("c1", 4)).await.unwrap();
    append(&log, tool_call("t1", 5)).await.unwrap();
    assert_eq!(ids(&log, Query::new("acme")).await.len(), 4);
    home.tamper(
        "UPDATE records SET body = '{' WHERE kind = 'outcome' AND id = 'r1';
         UPDATE records SET body = 'null' WHERE id = 'c1'; UPDATE contents SET content = '[' WHERE place & 255 = 6",
    );
    if let At::Sqlite(_) = home.at {
        home.tamper("UPDATE records SET body = CAST(x'7bff7d' AS TEXT) WHERE id = 'c1'");
    }
    let found = log.search(Query::new("acme")).await.unwrap().entries;
    let read: Vec<_> = apart(|| {
        let reader = AuditReader::open(&home.store()).unwrap();
        reader.entries(&Query::everything()).unwrap().flat_map(Result::unwrap).collect()
    });
    assert_eq!(read, found);
    let unreadable: Vec<_> = found.iter().map(|it| it.policy_details.contains_key("unreadable")).collect();
    assert_eq!(unreadable, [true, true, false, true]);
    let damaged = serde_json::to_value(&found[3]).unwrap();
    assert_eq!(
        damaged,
        json!({
            "id": "r1", "request_id": "r1", "timestamp": at(0), "user_email": "eva@example.org",
            "client_id": "acme-app", "tenant_id": "acme", "request_type": "chat", "policy_decision": "allowed",
            "policy_details": {"policies": [], "unreadable": true}, "response_time_ms": 0, "provider": "", "model": "",
            "tokens_used": 0, "prompt_tokens": 0, "completion_tokens": 0
        })
    );
}
