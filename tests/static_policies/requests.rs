//! What is asked of them: made, changed, listed, tried, and refused.

use std::fs;
use std::time::Instant;

use mistral_double::{Behaviour, MistralDouble};
use reqwest::Method;
use serde_json::{Value, json};

use super::support::{Answer, Setup};
use super::{PATH, code, create, file, generation, get, open, pre_check, prepared, project_x, send};

/// On ten thousand letters it takes ten times as long as it may: at each of them hundreds of ways are open.
const COSTLY: &str = r"(?-u:(?:[a-zA-Z]\w{0,200}){10}[A-Z][A-Z])";

#[tokio::test]
async fn a_new_policy_is_in_force_when_the_call_answers_in_both_modes_and_after_a_restart() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = prepared(Setup::with(&double)).start();
    let started = Instant::now();
    let made = create(&gateway, "helpdesk", project_x()).await;
    eprintln!("the first static policy was in force after {:?}", started.elapsed());
    assert_eq!(made.status, 201, "{made:?}");
    for (key, expected) in [
        ("name", json!("No project X")),
        ("description", json!("Keeps it in the house")),
        ("category", json!("sensitive-data")),
        ("tier", json!("tenant")),
        ("tenant_id", json!("helpdesk")),
        ("pattern", json!(r"(?i)project\s+x")),
        ("severity", json!("high")),
        ("enabled", json!(true)),
        ("action", json!("block")),
        ("priority", json!(50)),
        ("tags", json!(["secret", "r&d"])),
        ("version", json!(1)),
    ] {
        assert_eq!(made.body[key], expected, "{key}: {made:?}");
    }
    assert_eq!(made.body["created_at"], made.body["updated_at"]);
    assert!(made.body["created_at"].as_str().unwrap().ends_with('Z'));
    assert!(made.body["policy_id"].as_str().unwrap().starts_with("no_project_x-"), "{made:?}");

    let refused = |answer: &Answer| {
        assert_eq!(answer.body["block_reason"], "Request blocked by policy: static-policies", "{answer:?}");
        assert_eq!(answer.body["explanation"], "Blocked by tenant policy: No project X", "{answer:?}");
    };
    let query = "When does PROJECT  X start?";
    let asked = |client: &str| json!({ "query": query, "client_id": client });
    let proxied = gateway.post("/api/request", asked("helpdesk")).await;
    assert_eq!(proxied.status, 403, "{proxied:?}");
    refused(&proxied);
    refused(&pre_check(&gateway, "helpdesk", query).await);
    let asked_a_model = double.requests().iter().any(|request| request.path().contains("chat"));
    assert!(!asked_a_model);
    // Another tenant's requests are its own business.
    assert_eq!(pre_check(&gateway, "sales", query).await.body["approved"], true);
    assert_eq!(gateway.post("/api/request", asked("sales")).await.status, 200);

    let path = format!("/{}", made.body["id"].as_str().unwrap());
    assert_eq!(get(&gateway, "helpdesk", &path).await.body, made.body);
    let gateway = gateway.restart();
    assert_eq!(get(&gateway, "helpdesk", "?tier=tenant").await.body["policies"], json!([made.body]));
    refused(&gateway.post("/api/request", asked("helpdesk")).await);
    refused(&pre_check(&gateway, "helpdesk", query).await);
}

#[tokio::test]
async fn a_policy_judges_requests_unless_it_says_that_it_judges_answers() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = prepared(Setup::with(&double).policies(&["pii"])).start();
    let said = async || {
        double.script(Behaviour::text("It is project x."));
        let asked = json!({ "query": "Which one?", "client_id": "helpdesk" });
        let answer = gateway.post("/api/request", asked).await;
        answer.body["data"]["data"].as_str().unwrap_or_default().to_owned()
    };
    let mut rule = project_x();
    rule["action"] = json!("redact");
    let made = create(&gateway, "helpdesk", rule.clone()).await;
    assert_eq!(made.body["phases"], json!(["pre-check"]), "{made:?}");
    assert_eq!(said().await, "It is project x.");
    let path = format!("/{}", made.body["id"].as_str().unwrap());
    let put = send(&gateway, "helpdesk", Method::PUT, &path, json!({ "phases": ["response"] })).await;
    assert_eq!(put.body["phases"], json!(["response"]), "{put:?}");
    assert_eq!(get(&gateway, "helpdesk", &path).await.body, put.body);
    assert_eq!(said().await, "It is [REDACTED].");
    assert_eq!(pre_check(&gateway, "helpdesk", "project x").await.body["requires_redaction"], false);
    let versions = get(&gateway, "helpdesk", &format!("{path}/versions")).await;
    assert_eq!(versions.body["versions"][0]["change_summary"], "changed: phases", "{versions:?}");
    rule["phases"] = json!(["response", "pre-check"]);
    let both = create(&gateway, "helpdesk", rule.clone()).await;
    assert_eq!(both.body["phases"], json!(["pre-check", "response"]), "{both:?}");
    assert_eq!(pre_check(&gateway, "helpdesk", "project x").await.body["requires_redaction"], true);
    for wrong in [json!([]), json!(["audit"]), json!(["answers"]), json!("response")] {
        rule["phases"] = wrong.clone();
        let answer = create(&gateway, "helpdesk", rule.clone()).await;
        assert_eq!(code(&answer), (400, "VALIDATION_ERROR"), "{wrong}: {answer:?}");
        assert!(answer.body["error"]["message"].as_str().unwrap().contains("phases"), "{wrong}: {answer:?}");
    }
}

#[tokio::test]
async fn a_policy_is_changed_switched_and_deleted_and_each_is_in_force_at_once() {
    let gateway = open();
    let made = create(&gateway, "helpdesk", project_x()).await;
    let path = format!("/{}", made.body["id"].as_str().unwrap());
    let approved = async |query: &str| pre_check(&gateway, "helpdesk", query).await.body["approved"] == true;
    assert!(!approved("project x").await);

    let put =
        json!({ "pattern": r"(?i)project\s+y", "name": "No project Y", "severity": "critical", "description": "" });
    let changed = send(&gateway, "helpdesk", Method::PUT, &path, put).await;
    assert_eq!((changed.status, &changed.body["version"]), (200, &json!(2)), "{changed:?}");
    assert_eq!((&changed.body["id"], &changed.body["policy_id"]), (&made.body["id"], &made.body["policy_id"]));
    assert_eq!((&changed.body["category"], &changed.body["action"]), (&json!("sensitive-data"), &json!("block")));
    assert!(changed.body.get("description").is_none() && changed.body["tags"] == json!(["secret", "r&d"]));
    assert!(approved("project x").await);
    let refused = pre_check(&gateway, "helpdesk", "project y").await;
    assert_eq!(refused.body["explanation"], "Blocked by tenant policy: No project Y");

    let off = send(&gateway, "helpdesk", Method::PATCH, &path, json!({ "enabled": false })).await;
    assert_eq!((off.status, &off.body["enabled"]), (200, &json!(false)));
    assert!(approved("project y").await);
    assert_eq!(get(&gateway, "helpdesk", "/effective").await.body["static"].as_array().unwrap().len(), 1, "pii only");
    let all = get(&gateway, "helpdesk", "/effective?include_disabled=true").await;
    assert_eq!(all.body["static"].as_array().unwrap().len(), 2);
    assert_eq!((&all.body["dynamic"], &all.body["tenant_id"]), (&json!([]), &json!("helpdesk")));
    let on = send(&gateway, "helpdesk", Method::PATCH, &path, json!({ "enabled": true, "action": "redact" })).await;
    assert_eq!((&on.body["enabled"], &on.body["action"]), (&json!(true), &json!("redact")));
    let masked = pre_check(&gateway, "helpdesk", "project y").await;
    assert_eq!((&masked.body["approved"], &masked.body["requires_redaction"]), (&json!(true), &json!(true)));
    let off = send(&gateway, "helpdesk", Method::PATCH, &path, json!({ "enabled": false })).await;
    // What changes nothing leaves no trace.
    let (text, before) = (fs::read_to_string(file(&gateway)).unwrap(), generation(&gateway).await);
    for same in [json!({}), json!({ "enabled": false }), off.body.clone()] {
        let answer = send(&gateway, "helpdesk", Method::PUT, &path, same.clone()).await;
        assert_eq!((answer.status, &answer.body), (200, &off.body), "{same}");
    }
    assert_eq!((fs::read_to_string(file(&gateway)).unwrap(), generation(&gateway).await), (text, before));

    let versions = get(&gateway, "helpdesk", &format!("{path}/versions")).await;
    assert_eq!((&versions.body["policy_id"], &versions.body["count"]), (&made.body["id"], &json!(5)), "{versions:?}");
    let versions = versions.body["versions"].as_array().unwrap();
    let kinds: Vec<_> = versions.iter().map(|it| (&it["version"], it["change_type"].as_str().unwrap())).collect();
    let expected = [(5, "disabled"), (4, "updated"), (3, "disabled"), (2, "updated"), (1, "created")];
    assert_eq!(kinds, expected.map(|(number, kind)| (json!(number), kind)).each_ref().map(|(n, k)| (n, *k)));
    assert_eq!(versions[3]["change_summary"], "changed: name, description, pattern, severity");
    assert_eq!(versions[3]["snapshot"], changed.body);
    assert_eq!(versions[0]["changed_by"], "helpdesk");

    let gone = gateway.client.delete(gateway.url(&format!("{PATH}{path}"))).header("x-client-id", "helpdesk");
    let gone = gone.send().await.unwrap();
    assert_eq!((gone.status().as_u16(), gone.bytes().await.unwrap().len()), (204, 0));
    assert!(approved("project y").await && approved("project x").await);
    for (method, path) in
        [(Method::GET, path.clone()), (Method::DELETE, path.clone()), (Method::GET, path + "/versions")]
    {
        let answer = send(&gateway, "helpdesk", method, &path, Value::Null).await;
        assert_eq!(code(&answer), (404, "NOT_FOUND"), "{answer:?}");
    }
    assert_eq!(fs::read_dir(gateway.policies().join("api/.static-policies")).unwrap().count(), 0);
}

#[tokio::test]
async fn what_is_wrong_is_named_and_changes_nothing() {
    let gateway = open();
    create(&gateway, "helpdesk", project_x()).await;
    let (before, text) = (generation(&gateway).await, fs::read_to_string(file(&gateway)).unwrap());
    let long = "x".repeat(1_001);
    for (change, field, says) in [
        (json!({ "pattern": "(?i)project(" }), "pattern", "unclosed group"),
        (json!({ "pattern": "a*" }), "pattern", "empty text"),
        (json!({ "pattern": r"\p{L}{1000}" }), "pattern", "repeat less often"),
        (json!({ "pattern": long }), "pattern", "1000 characters"),
        (json!({ "pattern": "a\u{7}" }), "pattern", "control characters"),
        (json!({ "pattern": "" }), "pattern", "is required"),
        (json!({ "name": "" }), "name", "is required"),
        (json!({ "name": null }), "name", "is required"),
        (json!({ "name": "a\nb" }), "name", "control characters"),
        (json!({ "category": null }), "category", "is required"),
        (json!({ "category": "with space" }), "category", "letters"),
        (json!({ "tags": vec!["x"; 17] }), "tags", "at most 16"),
        (json!({ "description": "x".repeat(1_001) }), "description", "1000 bytes"),
    ] {
        let mut body = project_x();
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let answer = create(&gateway, "helpdesk", body).await;
        assert_eq!(code(&answer), (400, "VALIDATION_ERROR"), "{change}: {answer:?}");
        let detail = &answer.body["error"]["details"][0];
        assert_eq!(detail["field"], field, "{answer:?}");
        assert!(detail["message"].as_str().unwrap().contains(says), "{answer:?}");
        assert!(!answer.body.to_string().contains("settings"), "{answer:?}");
    }
    for (body, field, says) in [
        (json!({ "severity": "grave" }), json!("severity"), "expected one of"),
        (json!({ "action": "deny" }), json!("action"), "expected one of"),
        (json!({ "enabled": "yes" }), json!("enabled"), "expected true or false"),
        (json!({ "phases": ["pre-check", "audit"] }), json!("phases[1]"), "expected `pre-check` or `response`"),
        (json!([]), Value::Null, ""),
    ] {
        let answer = create(&gateway, "helpdesk", body).await;
        assert_eq!(code(&answer), (400, "VALIDATION_ERROR"), "{answer:?}");
        let detail = &answer.body["error"]["details"][0];
        assert_eq!(detail["field"], field, "{answer:?}");
        assert!(detail["message"].as_str().unwrap_or_default().starts_with(says), "{answer:?}");
    }
    let answer =
        create(&gateway, "helpdesk", json!({ "tier": "system", "name": "x", "category": "y", "pattern": "z" })).await;
    assert_eq!(code(&answer), (403, "FORBIDDEN"), "{answer:?}");
    for query in ["?sort_by=colour", "?sort_order=up", "?limit=0", "?enabled=maybe", "?tier=galaxy", "?limit=1&limit=2"]
    {
        assert_eq!(code(&get(&gateway, "helpdesk", query).await), (400, "VALIDATION_ERROR"), "{query}");
    }
    let id = get(&gateway, "helpdesk", "?tier=tenant").await.body["policies"][0]["id"].as_str().unwrap().to_owned();
    for wrong in [json!({ "pattern": "[" }), json!({ "tier": "organization" })] {
        let answer = send(&gateway, "helpdesk", Method::PUT, &format!("/{id}"), wrong.clone()).await;
        assert_eq!(code(&answer), (400, "VALIDATION_ERROR"), "{wrong}: {answer:?}");
    }
    assert_eq!(generation(&gateway).await, before);
    assert_eq!(fs::read_to_string(file(&gateway)).unwrap(), text);
}

#[tokio::test]
async fn a_first_policy_that_is_refused_leaves_no_trace() {
    let gateway = open();
    let mut body = project_x();
    body["pattern"] = json!("(");
    assert_eq!(code(&create(&gateway, "helpdesk", body).await), (400, "VALIDATION_ERROR"));
    assert!(!gateway.policies().join("api").exists());
    assert_eq!(gateway.get("/health").await.body["status"], "healthy");
}

#[tokio::test]
async fn policies_are_filtered_sorted_and_paged() {
    let gateway = open();
    for (name, category, severity, action) in [
        ("Beta", "code-secrets", "low", "warn"),
        ("alpha", "sensitive-data", "critical", "block"),
        ("Gamma ray", "sensitive-data", "medium", "log"),
    ] {
        let body =
            json!({ "name": name, "category": category, "pattern": "x{3}", "severity": severity, "action": action });
        assert_eq!(create(&gateway, "helpdesk", body).await.status, 201);
    }
    for (query, expected) in [
        ("", vec!["Beta", "alpha", "Gamma ray", "pii"]),
        ("?tier=tenant&sort_by=name", vec!["Beta", "Gamma ray", "alpha"]),
        ("?tier=tenant&sort_by=severity&sort_order=desc", vec!["alpha", "Gamma ray", "Beta"]),
        ("?tier=tenant&sort_by=createdAt&sort_order=desc", vec!["Gamma ray", "alpha", "Beta"]),
        ("?category=sensitive-data", vec!["alpha", "Gamma ray"]),
        ("?search=gAMMA%20r", vec!["Gamma ray"]),
        ("?tier=system", vec!["pii"]),
        ("?tier=organization", vec![]),
        ("?enabled=false", vec![]),
        ("?limit=2&offset=1", vec!["alpha", "Gamma ray"]),
        ("?page=2&page_size=3", vec!["pii"]),
        ("?offset=100", vec![]),
        ("?organization_id=community&unknown=1&limit=1", vec!["Beta"]),
    ] {
        let answer = get(&gateway, "helpdesk", query).await;
        let names: Vec<_> = answer.body["policies"].as_array().unwrap().iter().map(|it| it["name"].clone()).collect();
        assert_eq!(names, expected, "{query}: {answer:?}");
    }
    let page = get(&gateway, "helpdesk", "?page=2&page_size=3").await.body["pagination"].clone();
    assert_eq!(page, json!({ "page": 2, "page_size": 3, "total_items": 4, "total_pages": 2 }));
    let system = get(&gateway, "helpdesk", "/pii").await;
    for key in
        ["id", "policy_id", "name", "category", "tier", "pattern", "severity", "action", "created_at", "updated_at"]
    {
        assert!(system.body[key].as_str().is_some_and(|text| !text.is_empty()), "{key}: {system:?}");
    }
    assert_eq!((&system.body["tier"], &system.body["category"]), (&json!("system"), &json!("pii-global")));
    assert!(system.body["pattern"].as_str().unwrap().contains("payment-card"));
    assert_eq!(get(&gateway, "helpdesk", "/pii/versions").await.body["versions"], json!([]));
}

#[tokio::test]
async fn there_are_no_overrides_and_that_is_said() {
    let gateway = open();
    for (method, path) in [
        (Method::GET, "/overrides"),
        (Method::POST, "/sql-injection/override"),
        (Method::DELETE, "/sql-injection/override"),
    ] {
        let answer = send(&gateway, "helpdesk", method, path, json!({ "action_override": "log" })).await;
        assert_eq!((answer.status, &answer.body["code"]), (404, &json!("not_found")), "{path}: {answer:?}");
        assert!(answer.body["error"].as_str().unwrap().contains("no overrides"), "{path}: {answer:?}");
    }
}

#[tokio::test]
async fn an_expression_is_tried_in_the_sandbox() {
    let gateway = open();
    let test = async |body: Value| send(&gateway, "helpdesk", Method::POST, "/test", body).await;
    let inputs = json!(["Grüße an 😀 SSN: 123-45-6789 und 987-65-4321", "nothing", ""]);
    let answer = test(json!({ "pattern": r"\b(\d{3})-(\d{2})-(\d{4})\b", "inputs": inputs })).await;
    assert_eq!((answer.status, &answer.body["valid"]), (200, &json!(true)), "{answer:?}");
    assert_eq!((&answer.body["inputs"], answer.body.get("error")), (&inputs, None));
    assert_eq!(
        answer.body["matches"],
        json!([
            { "input": inputs[0], "matched": true, "matched_text": "123-45-6789", "position": 21,
              "groups": ["123", "45", "6789"] },
            { "input": "nothing", "matched": false },
            { "input": "", "matched": false },
        ])
    );
    let optional = test(json!({ "pattern": "(a)?(b)(c)?", "inputs": ["xb"] })).await;
    assert_eq!(optional.body["matches"][0]["groups"], json!(["", "b"]));
    let wrong = test(json!({ "pattern": "(unclosed", "inputs": ["x"] })).await;
    assert_eq!((wrong.status, &wrong.body["valid"], &wrong.body["matches"]), (200, &json!(false), &json!([])));
    assert!(wrong.body["error"].as_str().unwrap().contains("unclosed group"), "{wrong:?}");
    assert_eq!(test(json!({ "pattern": "x" })).await.body["valid"], true);
    for (body, field) in [
        (json!({ "inputs": [] }), json!("pattern")),
        (json!({ "pattern": "x".repeat(1_001) }), json!("pattern")),
        (json!({ "pattern": "x", "inputs": vec!["x"; 101] }), json!("inputs")),
        (json!({ "pattern": "x", "inputs": ["x".repeat(10_001)] }), json!("inputs")),
    ] {
        let answer = test(body).await;
        assert_eq!((code(&answer), &answer.body["error"]["details"][0]["field"]), ((400, "VALIDATION_ERROR"), &field));
    }
    // As much as may be sent, and an expression that backtracking engines never finish.
    let many = json!({ "pattern": "^(a+)+$", "inputs": vec!["a".repeat(9_999) + "!"; 100] });
    let answer = test(many).await;
    assert_eq!((&answer.body["valid"], &answer.body["matches"][99]["matched"]), (&json!(true), &json!(false)));
    // One that costs more than it may is told off.
    let costly = json!({ "pattern": COSTLY, "inputs": ["aA".repeat(5_000)] });
    let answer = test(costly).await;
    assert_eq!(answer.body["valid"], false, "{answer:?}");
    assert!(answer.body["error"].as_str().unwrap().starts_with("too expensive: on inputs[0] "), "{answer:?}");
    assert!(!gateway.policies().join("api").exists(), "nothing is left of it");
}

#[tokio::test]
async fn who_changes_a_policy_is_on_record_before_it_is_in_force() {
    let gateway = open();
    let made = create(&gateway, "alice", project_x()).await;
    let id = made.body["id"].as_str().unwrap_or_else(|| panic!("{made:?}")).to_owned();
    let gone = send(&gateway, "alice", Method::DELETE, &format!("/{id}"), Value::Null).await;
    assert!(gone.status < 300, "{gone:?}");
    let refused = create(&gateway, "bob", json!({ "name": "none" })).await;
    assert_eq!(refused.status, 400, "{refused:?}");
    let database = rusqlite::Connection::open(gateway.folder().join("octroi.db")).unwrap();
    let mut statement =
        database.prepare("SELECT body FROM records WHERE kind = 'static_policy_change' ORDER BY place").unwrap();
    let bodies = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let bodies: Vec<Value> = bodies.map(|body| serde_json::from_str(&body.unwrap()).unwrap()).collect();
    let told: Vec<_> = bodies.iter().map(|it| (&it["client"], &it["tenant"], &it["policy"], &it["change"])).collect();
    let (alice, id) = (json!("alice"), json!(id));
    assert_eq!(told, [(&alice, &alice, &id, &json!("created")), (&alice, &alice, &id, &json!("deleted"))]);
}
