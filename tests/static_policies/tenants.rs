//! Whose they are.

use octroi::policy::digest::Digest;
use reqwest::Method;
use serde_json::{Value, json};

use super::support::{self, Answer, Setup};
use super::{PATH, code, create, open, pre_check, prepared, project_x};

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
