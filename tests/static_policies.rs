//! Rules that applications make over HTTP while the gateway runs.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests fail by panics, and tell what they measured"
)]

mod support;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use mistral_double::MistralDouble;
use octroi::policy::digest::Digest;
use reqwest::Method;
use serde_json::{Value, json};
use support::{Answer, Gateway, Prepared, Setup, eventually, repository_policies};

const PATH: &str = "/api/v1/static-policies";

/// How long a file of very many rules may take to be loaded.
const LOADING: Duration = Duration::from_secs(900);

/// On ten thousand letters it takes ten times as long as it may: at each of them hundreds of ways are open.
const COSTLY: &str = r"(?-u:(?:[a-zA-Z]\w{0,200}){10}[A-Z][A-Z])";

/// A gateway that has the module of which static policies are rules.
fn prepared(setup: Setup) -> Prepared {
    let prepared = setup.prepare();
    let module = repository_policies().join("pattern.wasm");
    fs::copy(&module, prepared.policies().join("pattern.wasm"))
        .unwrap_or_else(|error| panic!("{}: {error}; run `make plugins`", module.display()));
    prepared
}

fn open() -> Gateway {
    prepared(Setup::without_provider().policies(&["pii"])).start()
}

fn file(gateway: &Gateway) -> PathBuf {
    gateway.policies().join("api/static.yaml")
}

/// One request as a client, who is its own tenant in open mode.
async fn send(gateway: &Gateway, client: &str, method: Method, path: &str, body: Value) -> Answer {
    let mut request =
        gateway.client.request(method, gateway.url(&format!("{PATH}{path}"))).header("x-client-id", client);
    if !body.is_null() {
        request = request.json(&body);
    }
    support::answer(request.send().await.unwrap()).await
}

async fn create(gateway: &Gateway, client: &str, body: Value) -> Answer {
    send(gateway, client, Method::POST, "", body).await
}

async fn get(gateway: &Gateway, client: &str, path: &str) -> Answer {
    send(gateway, client, Method::GET, path, Value::Null).await
}

fn project_x() -> Value {
    json!({
        "name": "No project X", "description": "Keeps it in the house", "category": "sensitive-data",
        "pattern": r"(?i)project\s+x", "severity": "high", "priority": 50, "tags": ["secret", "r&d"],
    })
}

async fn pre_check(gateway: &Gateway, client: &str, query: &str) -> Answer {
    gateway.post("/api/policy/pre-check", json!({ "query": query, "client_id": client })).await
}

fn code(answer: &Answer) -> (u16, &str) {
    (answer.status, answer.body["error"]["code"].as_str().unwrap_or_default())
}

async fn generation(gateway: &Gateway) -> u64 {
    gateway.get("/health").await.body["policies"]["generation"].as_u64().unwrap()
}

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
    for _ in 0..2 {
        send(&gateway, "helpdesk", Method::PATCH, &path, json!({ "enabled": false })).await;
    }

    let versions = get(&gateway, "helpdesk", &format!("{path}/versions")).await;
    assert_eq!((&versions.body["policy_id"], &versions.body["count"]), (&made.body["id"], &json!(5)), "{versions:?}");
    let versions = versions.body["versions"].as_array().unwrap();
    let kinds: Vec<_> = versions.iter().map(|it| (&it["version"], it["change_type"].as_str().unwrap())).collect();
    let expected = [(6, "updated"), (5, "disabled"), (4, "updated"), (3, "disabled"), (2, "updated")];
    assert_eq!(kinds, expected.map(|(number, kind)| (json!(number), kind)).each_ref().map(|(n, k)| (n, *k)));
    assert_eq!(versions[4]["change_summary"], "changed: name, description, pattern, severity");
    assert_eq!(versions[4]["snapshot"], changed.body);
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
    for body in [json!({ "severity": "grave" }), json!({ "action": "deny" }), json!({ "enabled": "yes" }), json!([])] {
        let answer = create(&gateway, "helpdesk", body).await;
        assert_eq!(code(&answer), (400, "VALIDATION_ERROR"), "{answer:?}");
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
async fn a_tenant_sees_and_changes_its_own_policies_only() {
    let digest = |secret: &str| Digest::of(secret.as_bytes()).to_string();
    let auth = format!(
        "auth:\n  mode: clients\n  clients:\n    - {{ id: one, tenant: north, secret_sha256: {} }}\n    - {{ id: also, \
         tenant: north, secret_sha256: {} }}\n    - {{ id: two, tenant: south, secret_sha256: {} }}\n    - {{ id: boss, \
         tenant: head, secret_sha256: {}, role: admin }}\n",
        digest("one-secret"),
        digest("also-secret"),
        digest("two-secret"),
        digest("boss-secret")
    );
    let gateway = prepared(Setup::without_provider().policies(&["pii"]).yaml(&auth)).start();
    let call = async |client: &str, method: Method, path: &str, body: Value| {
        let mut request = gateway.client.request(method, gateway.url(path)).bearer_auth(format!("{client}-secret"));
        if !body.is_null() {
            request = request.json(&body);
        }
        support::answer(request.send().await.unwrap()).await
    };
    let list = async |client: &str| {
        let answer = call(client, Method::GET, &format!("{PATH}?sort_by=name"), Value::Null).await;
        let names =
            answer.body["policies"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    let rule = |name: &str, pattern: &str, tier: &str| json!({ "name": name, "category": "sensitive-data", "pattern": pattern, "tier": tier });
    assert_eq!(gateway.get(PATH).await.status, 401);
    let own = call("one", Method::POST, PATH, rule("Of the north", "falcon", "tenant")).await;
    assert_eq!((own.status, &own.body["tenant_id"]), (201, &json!("north")), "{own:?}");
    // The same name twice is no business of the other tenant's.
    let others = call("two", Method::POST, PATH, rule("Of the north", "eagle", "tenant")).await;
    assert_eq!(others.status, 201);
    let refused = call("one", Method::POST, PATH, rule("Of all", "owl", "organization")).await;
    assert_eq!(code(&refused), (403, "FORBIDDEN"));
    assert_eq!(refused.body["message"], refused.body["error"]["message"], "Python reads the message at the top");
    let shared = call("boss", Method::POST, PATH, rule("Of all", "owl", "organization")).await;
    assert_eq!((&shared.body["tier"], &shared.body["organization_id"]), (&json!("organization"), &json!("community")));
    assert!(shared.body.get("tenant_id").is_none());

    assert_eq!(list("one").await, ["Of all", "Of the north", "pii"]);
    assert_eq!(list("also").await, ["Of all", "Of the north", "pii"]);
    assert_eq!(list("boss").await, ["Of all", "pii"]);
    let path = |policy: &Answer| format!("{PATH}/{}", policy.body["id"].as_str().unwrap());
    let system = format!("{PATH}/pii");
    for (client, path, status) in [
        ("also", path(&own), 200),
        ("two", path(&own), 404),
        ("one", path(&shared), 403),
        ("boss", path(&shared), 200),
        ("boss", system.clone(), 403),
    ] {
        let answer = call(client, Method::PATCH, &path, json!({ "enabled": true })).await;
        assert_eq!(answer.status, status, "{client} {path}: {answer:?}");
        let seen = call(client, Method::GET, &path, Value::Null).await.status;
        assert_eq!(seen, if status == 404 { 404 } else { 200 }, "{client} {path}");
        if status != 200 {
            let answer = call(client, Method::DELETE, &path, Value::Null).await;
            assert_eq!(answer.status, status, "{client} {path}: {answer:?}");
        }
    }
    for (client, query, approved) in [
        ("one", "falcon", false),
        ("one", "eagle", true),
        ("two", "falcon", true),
        ("two", "eagle", false),
        ("boss", "falcon eagle", true),
        ("one", "owl", false),
        ("two", "owl", false),
    ] {
        let body = json!({ "query": query, "client_id": client });
        let answer = call(client, Method::POST, "/api/policy/pre-check", body).await;
        assert_eq!(answer.body["approved"], approved, "{client} {query}: {answer:?}");
    }
    assert_eq!(call("boss", Method::DELETE, &path(&shared), Value::Null).await.status, 204);
    assert_eq!(list("two").await, ["Of the north", "pii"]);

    let of_north = format!("{PATH}?tenant_id=north&tier=tenant");
    assert_eq!(call("two", Method::GET, &of_north, Value::Null).await.status, 403);
    let listed = call("boss", Method::GET, &of_north, Value::Null).await;
    assert_eq!(listed.body["policies"][0]["id"], own.body["id"], "{listed:?}");
    for (change, status) in [
        (json!({ "enabled": true }), 403),
        (json!({ "enabled": false, "pattern": "x" }), 403),
        (json!({ "enabled": false }), 200),
    ] {
        let answer = call("boss", Method::PATCH, &path(&own), change.clone()).await;
        assert_eq!(answer.status, status, "{change}: {answer:?}");
    }
    let body = json!({ "query": "falcon", "client_id": "one" });
    assert_eq!(call("one", Method::POST, "/api/policy/pre-check", body).await.body["approved"], true);
    assert_eq!(call("boss", Method::DELETE, &path(&own), Value::Null).await.status, 204);
    assert_eq!(list("one").await, ["pii"]);
}

#[tokio::test]
async fn on_an_open_network_nobody_speaks_for_all() {
    let yaml = "server: { listen: \"0.0.0.0:0\" }\nauth: { mode: open, allow_open_network: true }\n";
    let mut gateway = prepared(Setup::without_provider().policies(&["pii"]).yaml(yaml)).start();
    gateway.address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    let mut body = project_x();
    assert_eq!(create(&gateway, "helpdesk", body.clone()).await.status, 201);
    body["tier"] = json!("organization");
    assert_eq!(code(&create(&gateway, "helpdesk", body.clone()).await), (403, "FORBIDDEN"));
    // On loopback the caller is taken for the owner of the machine.
    let gateway = open();
    assert_eq!(create(&gateway, "helpdesk", body).await.status, 201);
    assert_eq!(pre_check(&gateway, "sales", "project x").await.body["approved"], false);
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
        (json!({ "inputs": [] }), Value::Null),
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

#[tokio::test]
async fn one_tenants_expressions_leave_room_for_anothers() {
    let gateway = open();
    let mut dear = project_x();
    dear["pattern"] = json!(r"x\w{12}y");
    let refused = loop {
        let made = create(&gateway, "greedy", dear.clone()).await;
        if made.status != 201 {
            break made;
        }
    };
    let says = "all expressions of this tenant take more than 1 MiB; make them simpler or fewer";
    assert_eq!(
        (code(&refused), &refused.body["error"]["details"][0]["message"]),
        ((400, "VALIDATION_ERROR"), &json!(says))
    );
    assert_eq!(create(&gateway, "modest", dear.clone()).await.status, 201);
    dear["pattern"] = json!(r"x\w{40}y");
    let refused = create(&gateway, "modest", dear).await;
    assert!(refused.body["error"]["message"].as_str().unwrap().contains("it takes more than 512 KiB"), "{refused:?}");
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
