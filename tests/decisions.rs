//! Tools that applications report, and decisions that they read: AxonFlow's routes beside the search.

mod support;

use serde_json::{Value, json};
use support::{Answer, Gateway, Setup};

async fn get_as(gateway: &Gateway, client: &str, path: &str) -> Answer {
    let request = gateway.client.get(gateway.url(path)).header("x-client-id", client);
    support::answer(request.send().await.unwrap()).await
}

async fn post_as(gateway: &Gateway, client: &str, path: &str, body: Value) -> Answer {
    let request = gateway.client.post(gateway.url(path)).header("x-client-id", client).json(&body);
    support::answer(request.send().await.unwrap()).await
}

async fn tool(gateway: &Gateway, body: Value) -> Answer {
    post_as(gateway, "helpdesk", "/api/v1/audit/tool-call", body).await
}

#[tokio::test]
async fn a_reported_tool_is_on_record_without_personal_data() {
    let gateway = Setup::without_provider().start();
    let reported = tool(
        &gateway,
        json!({
            "tool_name": "getUserInfo", "caller_name": "claude_code", "tool_type": "mcp",
            "input": { "mail": "jane.doe@example.org", "depth": 2 },
            "output": { "found": ["jane.doe@example.org", 1] },
            "workflow_id": "wf_1", "step_id": "step_2", "user_id": "jane", "duration_ms": 44.6,
            "policies_applied": ["own-rule"], "success": false, "error_message": "mailbox of jane.doe@example.org is full",
        }),
    )
    .await;
    assert_eq!((reported.status, &reported.body["status"]), (200, &json!("recorded")), "{reported:?}");
    assert!(reported.body["timestamp"].as_str().unwrap().ends_with('Z'), "{reported:?}");
    let id = reported.body["audit_id"].as_str().unwrap();

    let found = gateway.search_as("helpdesk", json!({ "decision_id": id })).await;
    let entry = &found[0];
    for (key, expected) in [
        ("request_type", json!("tool-call")),
        ("policy_decision", json!("error")),
        ("user_email", json!("jane")),
        ("response_time_ms", json!(45)),
        ("audit_id", json!(id)),
        ("error_message", json!("mailbox of [EMAIL] is full")),
        ("metadata", json!({ "input": { "mail": "[EMAIL]", "depth": 2 }, "output": { "found": ["[EMAIL]", 1] } })),
    ] {
        assert_eq!(entry[key], expected, "{key}: {entry}");
    }
    let details = &entry["policy_details"];
    for (key, expected) in [
        ("tool_name", json!("getUserInfo")),
        ("caller_name", json!("claude_code")),
        ("tool_type", json!("mcp")),
        ("workflow_id", json!("wf_1")),
        ("step_id", json!("step_2")),
        ("policies_applied", json!(["own-rule"])),
        ("success", json!(false)),
        ("policies", json!(["audit-redact"])),
    ] {
        assert_eq!(details[key], expected, "{key}: {details}");
    }
    assert_eq!(gateway.search_as("other", json!({ "decision_id": id })).await, [] as [Value; 0]);
    let bare = tool(&gateway, json!({ "tool_name": "clock", "input": null, "success": null })).await;
    assert_eq!(bare.status, 200, "{bare:?}");
    let tools = gateway.search_as("helpdesk", json!({ "request_type": "tool-call", "action": "allowed" })).await;
    assert_eq!((tools.len(), &tools[0]["policy_details"]["tool_name"]), (1, &json!("clock")), "{tools:?}");

    let id = id.to_owned();
    let prepared = gateway.stop();
    let audit = |arguments: &[&str]| {
        let output = prepared.command(&[&["audit"], arguments].concat()).output().unwrap();
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{arguments:?}\n{text}");
        text
    };
    audit(&["verify"]);
    let story = audit(&["show", &id]);
    for expected in ["tool_call", "getUserInfo", "audit-redact", "[EMAIL]", "wf_1"] {
        assert!(story.contains(expected), "{expected} is missing:\n{story}");
    }
    assert!(!audit(&["export"]).contains("jane.doe"));
}

#[tokio::test]
async fn what_was_said_of_a_tool_comes_out_the_same_when_it_is_judged_again() {
    let gateway = Setup::without_provider().audit("{ url: \"sqlite://FOLDER/octroi.db\", content: full }").start();
    let body = json!({ "tool_name": "mail", "input": { "b": 1.50, "a": "jane.doe@example.org" }, "output": "sent" });
    let reported = tool(&gateway, body).await;
    let prepared = gateway.stop();
    let id = reported.body["audit_id"].as_str().unwrap();
    let output = prepared.command(&["audit", "reproduce", id]).output().unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && text.contains("reported tool") && text.contains("audit-redact"), "{text}");
}

#[tokio::test]
async fn a_report_of_a_tool_that_is_not_one_is_refused_by_its_field() {
    let gateway = Setup::without_provider().start();
    for (body, error) in [
        (json!({}), "tool_name field is required"),
        (json!({ "tool_name": "  " }), "tool_name field is required"),
        (json!({ "tool_name": "x".repeat(129) }), "tool_name: "),
        (json!({ "tool_name": "a\nb" }), "tool_name: "),
        (json!({ "tool_name": "x", "workflow_id": "x".repeat(129) }), "workflow_id: "),
        (json!({ "tool_name": "x", "policies_applied": vec!["p"; 101] }), "policies_applied: "),
        (json!({ "tool_name": "x", "policies_applied": ["a\u{0}"] }), "policies_applied: "),
        (json!({ "tool_name": "x", "duration_ms": "fast" }), "duration_ms"),
        (json!({ "tool_name": "x", "success": "yes" }), "success"),
    ] {
        let answer = tool(&gateway, body.clone()).await;
        assert_eq!((answer.status, &answer.body["success"]), (400, &json!(false)), "{body}: {answer:?}");
        assert!(answer.body["error"].as_str().unwrap().contains(error), "{body}: {answer:?}");
    }
}
