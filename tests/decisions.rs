//! Tools that applications report, and decisions that they read: AxonFlow's routes beside the search.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panics")]

mod support;

use octroi::policy::digest::Digest;
use serde_json::{Value, json};
use support::guest::Guest;
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
        ("timestamp", reported.body["timestamp"].clone()),
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

const INJECTION: &str = "zanzibar' UNION SELECT password FROM users --";

/// A request that is judged, and goes to no model.
async fn judged(gateway: &Gateway, query: &str) -> String {
    let body = json!({ "query": query, "skip_llm": true });
    let answer = post_as(gateway, "helpdesk", "/api/request", body).await;
    answer.body["request_id"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned()
}

async fn list(gateway: &Gateway, query: &str) -> Vec<Value> {
    let answer = get_as(gateway, "helpdesk", &format!("/api/v1/decisions?{query}")).await;
    assert_eq!(answer.status, 200, "{query}: {answer:?}");
    answer.body["decisions"].as_array().unwrap().clone()
}

async fn explain(gateway: &Gateway, id: &str) -> Value {
    let answer = get_as(gateway, "helpdesk", &format!("/api/v1/decisions/{id}/explain")).await;
    assert_eq!(answer.status, 200, "{id}: {answer:?}");
    answer.body
}

#[tokio::test]
async fn a_refused_request_is_listed_with_its_policy_and_explained_by_its_rule() {
    let gateway = Setup::without_provider().start();
    let id = judged(&gateway, INJECTION).await;
    let listed = list(&gateway, "").await;
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(
        (&listed[0]["decision_id"], &listed[0]["decision"], &listed[0]["policy_id"]),
        (&json!(id), &json!("blocked"), &json!("sql-injection"))
    );
    assert!(listed[0].get("tool_signature").is_none(), "{listed:?}");

    let told = explain(&gateway, &id).await;
    for (key, expected) in [
        ("decision_id", json!(id)),
        ("timestamp", listed[0]["timestamp"].clone()),
        ("decision", json!("blocked")),
        ("override_available", json!(false)),
        ("historical_hit_count_session", json!(0)),
    ] {
        assert_eq!(told[key], expected, "{key}: {told}");
    }
    assert!(told["reason"].as_str().unwrap().starts_with("Request blocked by policy: sql-injection"), "{told}");
    let policies = told["policy_matches"].as_array().unwrap();
    assert_eq!(policies.len(), 1, "{told}");
    for (key, expected) in [
        ("policy_id", json!("sql-injection")),
        ("policy_name", json!("sql-injection")),
        ("action", json!("block")),
        ("allow_override", json!(false)),
        ("risk_level", told["risk_level"].clone()),
    ] {
        assert_eq!(policies[0][key], expected, "{key}: {told}");
    }
    assert!(policies[0]["policy_description"].is_string(), "{told}");

    // What the record says of the findings, in other words.
    let entry = &gateway.search_as("helpdesk", json!({ "decision_id": id })).await[0];
    let evaluations = entry["policy_details"]["evaluations"].as_array().unwrap();
    let evaluation = evaluations.iter().find(|it| it["policy"] == "sql-injection").unwrap();
    let findings = evaluation["findings"].as_array().unwrap();
    assert!(!findings.is_empty(), "{entry}");
    let rules = told["matched_rules"].as_array().unwrap();
    assert_eq!(rules.len(), findings.len(), "{told}");
    for (rule, finding) in rules.iter().zip(findings) {
        let place = &finding["place"];
        let place = format!(
            "request, message {}, part {}, bytes {} to {}",
            place["message"], place["part"], place["start"], place["end"]
        );
        assert_eq!((&rule["rule_id"], &rule["matched_on"]), (&finding["rule"], &json!(place)), "{told}");
        assert_eq!(rule["policy_id"], "sql-injection");
        assert!(!rule["rule_text"].as_str().unwrap().is_empty(), "{told}");
    }
    assert!(findings.iter().any(|finding| finding["severity"] == told["risk_level"]), "{told} {findings:?}");
    assert!(!told.to_string().contains("zanzibar") && !told.to_string().contains("null"), "{told}");
}

#[tokio::test]
async fn decisions_are_filtered() {
    let gateway = Setup::without_provider().start();
    let allowed = judged(&gateway, "Hello").await;
    let blocked = judged(&gateway, INJECTION).await;
    let redacted = judged(&gateway, "Write to jane.doe@example.org").await;
    let checked = post_as(&gateway, "helpdesk", "/api/policy/pre-check", json!({ "query": "Hello again" })).await;
    let checked = checked.body["decision_id"].as_str().unwrap().to_owned();
    let report = json!({ "context_id": checked, "client_id": "helpdesk", "provider": "mistral", "model": "m" });
    let reported = post_as(&gateway, "helpdesk", "/api/audit/llm-call", report).await;
    let run = tool(&gateway, json!({ "tool_name": "clock", "output": "jane.doe@example.org" })).await;
    let run = run.body["audit_id"].as_str().unwrap().to_owned();

    let all = [&run, &checked, &redacted, &blocked, &allowed];
    for (query, expected) in [
        ("", &all[..]),
        ("decision=&policy_id=&since=&limit=&tool_signature=", &all),
        ("since=2026-01-01", &all),
        ("since=2026-01-01T00:00:00Z&unknown=1", &all),
        ("since=2126-01-01T00:00:00", &[]),
        ("limit=2", &all[..2]),
        ("limit=1000", &all),
        ("decision=allowed", &[&run, &checked, &allowed]),
        ("decision=blocked", &[&blocked]),
        ("decision=redacted", &[&redacted]),
        ("decision=needs_approval", &[]),
        ("decision=error", &[]),
        ("policy_id=pii", &[&redacted]),
        ("policy_id=sql-injection&decision=blocked&limit=1", &[&blocked]),
        ("policy_id=sql-injection&decision=allowed", &[]),
        // It masks what is stored, and decides about no request.
        ("policy_id=audit-redact", &[]),
        ("tool_signature=clock", &[&run]),
        ("tool_signature=cloc", &[]),
    ] {
        let found = list(&gateway, query).await;
        let found: Vec<_> = found.iter().map(|it| it["decision_id"].as_str().unwrap()).collect();
        assert_eq!(found, expected, "{query}");
    }
    let shown = &list(&gateway, "tool_signature=clock").await[0];
    assert_eq!((&shown["tool_signature"], &shown["decision"]), (&json!("clock"), &json!("allowed")));

    let told = explain(&gateway, &redacted).await;
    assert_eq!((&told["decision"], &told["policy_matches"][0]["action"]), (&json!("redacted"), &json!("redact")));
    assert_eq!(told["matched_rules"][0]["rule_id"], "email", "{told}");
    assert!(!told.to_string().contains("jane.doe"), "{told}");
    let told = explain(&gateway, &allowed).await;
    assert_eq!((&told["policy_matches"], &told["matched_rules"]), (&json!([]), &json!([])), "{told}");
    assert!(told.get("risk_level").is_none(), "{told}");
    assert_eq!(explain(&gateway, &run).await["tool_signature"], "clock");
    // A call under a pre-check is none of its own.
    let path = format!("/api/v1/decisions/{}/explain", reported.body["audit_id"].as_str().unwrap());
    assert_eq!(get_as(&gateway, "helpdesk", &path).await.status, 404);
}

#[tokio::test]
async fn what_is_rare_is_found_behind_what_is_not() {
    let gateway = Setup::without_provider().start();
    for name in [&["needle"][..], &["hay"; 120], &["needle"], &["hay"; 3]].concat() {
        assert_eq!(tool(&gateway, json!({ "tool_name": name })).await.status, 200);
    }
    assert_eq!(list(&gateway, "tool_signature=needle").await.len(), 2);
    assert_eq!(list(&gateway, "tool_signature=needle&limit=1").await.len(), 1);
    assert_eq!(list(&gateway, "tool_signature=hay&limit=110").await.len(), 110);
    assert_eq!(list(&gateway, "").await.len(), 100);
}

#[tokio::test]
async fn approval_is_told_apart_from_refusal_and_shadows_decide_nothing() {
    let prepared = Setup::default().prepare();
    Guest::pre_check("require-approval").reason("Ask the owner").put(&prepared.policies(), "owner", "order: 20\n");
    Guest::pre_check("deny").put(&prepared.policies(), "shadowed", "order: 10\nmode: shadow\n");
    let gateway = prepared.start();
    let id = judged(&gateway, "Hello").await;
    for (query, count) in
        [("decision=needs_approval", 1), ("decision=blocked", 0), ("policy_id=owner", 1), ("policy_id=shadowed", 0)]
    {
        assert_eq!(list(&gateway, query).await.len(), count, "{query}");
    }
    let told = explain(&gateway, &id).await;
    assert_eq!(told["decision"], "needs_approval");
    assert_eq!(told["reason"], "Approval required by policy: owner. Ask the owner");
    let policies = told["policy_matches"].as_array().unwrap();
    assert_eq!((policies.len(), &policies[0]["action"]), (1, &json!("require_approval")), "{told}");
}

#[tokio::test]
async fn a_parameter_that_cannot_be_is_named() {
    let gateway = Setup::without_provider().start();
    for (query, field) in [
        ("since=yesterday", "since"),
        ("decision=deny", "decision"),
        ("decision=Blocked", "decision"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=-1", "limit"),
        ("limit=ten", "limit"),
        ("limit=1&limit=2", "query"),
    ] {
        let answer = get_as(&gateway, "helpdesk", &format!("/api/v1/decisions?{query}")).await;
        let error = &answer.body["error"];
        assert_eq!((answer.status, &error["code"]), (400, &json!("VALIDATION_ERROR")), "{query}: {answer:?}");
        assert_eq!(error["details"][0]["field"], field, "{query}: {answer:?}");
    }
    for id in ["req_nothing", "a%00b", "%FF", "5b0c0f0e-7c43-4f5e-9a71-3f0c9b6c2d11"] {
        let answer = get_as(&gateway, "helpdesk", &format!("/api/v1/decisions/{id}/explain")).await;
        assert_eq!((answer.status, &answer.body["error"]["code"]), (404, &json!("NOT_FOUND")), "{id}: {answer:?}");
    }
}

/// A read with this `X-User-Token`: its status, the scope that it was made in, its body.
async fn read_as(gateway: &Gateway, person: Option<&str>, path: &str, body: Option<Value>) -> (u16, String, Value) {
    let url = gateway.url(path);
    let request = match &body {
        Some(body) => gateway.client.post(url).json(body),
        None => gateway.client.get(url),
    };
    let request = request.header("x-client-id", "helpdesk");
    let request = match person {
        Some(person) => request.header("x-user-token", person),
        None => request,
    };
    let response = request.send().await.unwrap();
    let scope = response.headers().get("x-axonflow-read-scope").map(|it| it.to_str().unwrap().to_owned());
    let answer = support::answer(response).await;
    (answer.status, scope.unwrap_or_default(), answer.body)
}

#[tokio::test]
async fn a_read_that_is_made_for_a_person_shows_nobody_elses_records() {
    let gateway = Setup::without_provider().start();
    let token = "eyJhbGciOiJIUzI1NiJ9.e30.c2ln";
    let mut ids = Vec::new();
    for person in ["jane@example.org", "joe@example.org", token] {
        let body = json!({ "query": INJECTION, "user_token": person, "skip_llm": true });
        let asked = post_as(&gateway, "helpdesk", "/api/request", body).await;
        ids.push((person, asked.body["request_id"].as_str().unwrap().to_owned()));
    }
    let all: Vec<_> = ids.iter().map(|(_, id)| id.as_str()).rev().collect();
    let search = "/api/v1/audit/search";
    let found = |body: &Value, list: &str, id: &str| -> Vec<String> {
        let entries = body[list].as_array().unwrap_or_else(|| panic!("{body}"));
        entries.iter().map(|entry| entry[id].as_str().unwrap().to_owned()).collect()
    };
    for (person, own) in
        ids.iter().map(|(person, id)| (Some(*person), vec![id.as_str()])).chain([(Some("nobody"), vec![]), (None, all)])
    {
        let expected = if person.is_some() { "own-rows" } else { "tenant" };
        for (path, body, list, id) in [
            (search, Some(json!({})), "entries", "id"),
            ("/api/v1/audit/tenant/helpdesk", None, "entries", "id"),
            ("/api/v1/decisions", None, "decisions", "decision_id"),
            ("/api/v1/decisions?policy_id=sql-injection&decision=blocked", None, "decisions", "decision_id"),
        ] {
            let (status, scope, body) = read_as(&gateway, person, path, body).await;
            assert_eq!((status, scope.as_str()), (200, expected), "{person:?} {path}: {body}");
            assert_eq!(found(&body, list, id), own, "{person:?} {path}");
        }
        for (_, id) in &ids {
            let (status, scope, body) =
                read_as(&gateway, person, &format!("/api/v1/decisions/{id}/explain"), None).await;
            let seen = if own.contains(&id.as_str()) { 200 } else { 404 };
            assert_eq!((status, scope.as_str()), (seen, expected), "{person:?}: {body}");
        }
    }
    for (asked, total) in [("jane@example.org", 1), ("joe@example.org", 0)] {
        let filter = json!({ "user_email": asked });
        let (status, scope, body) = read_as(&gateway, Some("jane@example.org"), search, Some(filter)).await;
        assert_eq!((status, scope.as_str(), &body["total"]), (200, "own-rows", &json!(total)), "{body}");
    }
    let twice = gateway.client.get(gateway.url("/api/v1/decisions"));
    let twice = twice.header("x-client-id", "helpdesk").header("x-user-token", "jane").header("x-user-token", "joe");
    let answer = support::answer(twice.send().await.unwrap()).await;
    assert_eq!(answer.status, 400, "{answer:?}");
    assert!(answer.body.to_string().contains("X-User-Token"), "{answer:?}");
    for blank in ["", " ", "\u{a0}"] {
        let (status, scope, body) = read_as(&gateway, Some(blank), search, Some(json!({}))).await;
        assert_eq!((status, scope.as_str()), (400, ""), "{blank:?}: {body}");
        assert!(body.to_string().contains("X-User-Token"), "{body}");
    }
    let (status, _, body) = read_as(&gateway, None, search, Some(json!({ "user_email": " " }))).await;
    assert_eq!(status, 400, "who names nobody is not shown everybody: {body}");
    assert!(body.to_string().contains("user_email"), "{body}");
}

#[tokio::test]
async fn a_reported_tool_is_of_the_person_of_the_headers_where_the_body_names_none() {
    let gateway = Setup::without_provider().start();
    let path = "/api/v1/audit/tool-call";
    for (named, expected) in [(Value::Null, "jane"), (json!(""), "jane"), (json!(" "), "jane"), (json!("joe"), "joe")] {
        let body = json!({ "tool_name": "clock", "user_id": named });
        let (status, _, answer) = read_as(&gateway, Some("jane"), path, Some(body)).await;
        assert_eq!(status, 200, "{answer}");
        let found = gateway.search_as("helpdesk", json!({ "decision_id": answer["audit_id"] })).await;
        assert_eq!(found[0]["user_email"], expected, "{found:?}");
    }
}

#[tokio::test]
async fn tenants_do_not_see_each_others_decisions() {
    let secret = |client: &str| format!("{client}-secret-0123456789abcdef0123456789abcdef");
    let digest = |client: &str| Digest::of(secret(client).as_bytes()).to_string();
    let gateway = Setup::without_provider()
        .yaml(&format!(
            "auth:\n  mode: clients\n  clients:\n    - {{ id: one, tenant: north, secret_sha256: {} }}\n    - {{ id: also, \
             tenant: north, secret_sha256: {} }}\n    - {{ id: two, tenant: south, secret_sha256: {} }}\n",
            digest("one"),
            digest("also"),
            digest("two")
        ))
        .start();
    for path in ["/api/v1/decisions", "/api/v1/decisions/x/explain"] {
        assert_eq!(gateway.get(path).await.status, 401, "{path}");
    }
    assert_eq!(gateway.post("/api/v1/audit/tool-call", json!({ "tool_name": "clock" })).await.status, 401);
    let send = async |request: reqwest::RequestBuilder, client: &str| {
        support::answer(request.bearer_auth(secret(client)).send().await.unwrap()).await
    };
    let get = async |client: &str, path: &str| send(gateway.client.get(gateway.url(path)), client).await;
    let body = json!({ "query": INJECTION, "skip_llm": true });
    let asked = send(gateway.client.post(gateway.url("/api/request")).json(&body), "one").await;
    let body = json!({ "tool_name": "clock", "client_id": "two" });
    let foreign = send(gateway.client.post(gateway.url("/api/v1/audit/tool-call")).json(&body), "one").await;
    assert_eq!((foreign.status, &foreign.body["error"]), (403, &json!("Tenant mismatch")));

    let path = format!("/api/v1/decisions/{}/explain", asked.body["request_id"].as_str().unwrap());
    for (client, count, status) in [("one", 1, 200), ("also", 1, 200), ("two", 0, 404)] {
        let listed = get(client, "/api/v1/decisions").await;
        assert_eq!(listed.body["decisions"].as_array().unwrap().len(), count, "{client}: {listed:?}");
        assert_eq!(get(client, &path).await.status, status, "{client}");
    }
    let nobodys = get("two", "/api/v1/decisions/nobodys/explain").await;
    assert_eq!(get("two", &path).await, nobodys, "another's is like nobody's");
}
