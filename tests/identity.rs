//! Who may call, and who sees what.

#![expect(clippy::unwrap_used, reason = "tests fail by panics")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use octroi::policy::digest::Digest;
use serde_json::{Value, json};
use support::{Answer, Gateway, Setup};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const ONE: &str = "secret-of-one-0123456789abcdef0123456789abcdef";
const TWO: &str = "secret-of-two-0123456789abcdef0123456789abcdef";
const OFF: &str = "secret-of-off-0123456789abcdef0123456789abcdef";

fn clients() -> Gateway {
    let digest = |secret: &str| Digest::of(secret.as_bytes()).to_string();
    Setup::without_provider()
        .yaml(&format!(
            "auth:\n  mode: clients\n  clients:\n    - {{ id: one, tenant: north, secret_sha256: {} }}\n    - {{ id: two, \
             tenant: south, secret_sha256: {} }}\n    - {{ id: off, secret_sha256: {}, enabled: false }}\n",
            digest(ONE),
            digest(TWO),
            digest(OFF)
        ))
        .start()
}

async fn send(gateway: &Gateway, path: &str, headers: &[(&str, String)], body: Value) -> Answer {
    let mut request = gateway.client.post(gateway.url(path)).json(&body);
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    support::answer(request.send().await.unwrap()).await
}

fn basic(id: &str, secret: &str) -> (&'static str, String) {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(format!("{id}:{secret}"));
    ("authorization", format!("Basic {text}"))
}

fn bearer(secret: &str) -> (&'static str, String) {
    ("authorization", format!("Bearer {secret}"))
}

/// All routes that want a secret, with the methods that are served. Every other method is a 405 to anybody.
const ROUTES: [(&str, &[&str]); 36] = [
    ("/metrics", &["GET"]),
    ("/prometheus", &["GET"]),
    ("/api/request", &["POST"]),
    ("/api/policy/pre-check", &["POST"]),
    ("/api/audit/llm-call", &["POST"]),
    ("/api/v1/audit/search", &["POST"]),
    ("/api/v1/audit/tenant/{tenant}", &["GET"]),
    ("/api/v1/audit/tool-call", &["POST"]),
    ("/api/v1/pricing", &["GET"]),
    ("/api/v1/hitl/{*path}", &["GET", "POST", "PUT", "PATCH", "DELETE"]),
    ("/api/v1/decisions", &["GET"]),
    ("/api/v1/decisions/{id}/explain", &["GET"]),
    ("/api/v1/llm-providers", &["GET"]),
    ("/api/v1/llm-providers/status", &["GET"]),
    ("/api/v1/llm-providers/routing", &["GET", "PUT"]),
    ("/api/v1/llm-providers/{name}", &["GET"]),
    ("/api/v1/llm-providers/{name}/health", &["GET"]),
    ("/api/v1/llm-providers/{name}/test", &["POST"]),
    ("/api/v1/llm-provider-types", &["GET"]),
    ("/api/v1/providers/status", &["GET"]),
    ("/api/v1/providers/weights", &["GET", "PUT"]),
    ("/api/v1/static-policies", &["GET", "POST"]),
    ("/api/v1/static-policies/effective", &["GET"]),
    ("/api/v1/static-policies/overrides", &["GET"]),
    ("/api/v1/static-policies/test", &["POST"]),
    ("/api/v1/static-policies/{id}", &["GET", "PUT", "PATCH", "DELETE"]),
    ("/api/v1/static-policies/{id}/override", &["POST", "DELETE"]),
    ("/api/v1/static-policies/{id}/versions", &["GET"]),
    ("/v1/chat/completions", &["POST"]),
    ("/v1/fim/completions", &["POST"]),
    ("/v1/completions", &["POST"]),
    ("/v1/embeddings", &["POST"]),
    ("/v1/moderations", &["POST"]),
    ("/v1/chat/moderations", &["POST"]),
    ("/v1/models", &["GET"]),
    ("/v1/models/{*id}", &["GET"]),
];

/// The paths of all routes in a folder of the code, but for the admin API's, which has a token of its own.
fn routes(folder: &Path) -> BTreeSet<String> {
    let mut routes = BTreeSet::new();
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            if !path.ends_with("admin") {
                routes.append(&mut self::routes(&path));
            }
        } else if !path.ends_with("tests.rs") {
            let code = fs::read_to_string(path).unwrap();
            let made = code.split(".route(").skip(1);
            routes.extend(made.map(|made| made.trim_start().split('"').nth(1).unwrap().to_owned()));
        }
    }
    routes
}

#[test]
fn the_table_of_routes_is_that_of_the_code() {
    let known: BTreeSet<_> = ROUTES.iter().map(|(path, _)| *path).chain(["/health"]).map(str::to_owned).collect();
    assert_eq!(routes(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http")), known);
}

#[tokio::test]
async fn with_clients_configured_every_route_but_health_wants_a_secret() {
    let gateway = clients();
    assert_eq!(gateway.get("/health").await.status, 200);
    assert_eq!(gateway.get("/v1/nowhere").await.status, 404);
    let body = json!({ "query": "Hello", "client_id": "one" });
    for (route, served) in ROUTES {
        let path = route.split('/').map(|part| if part.starts_with('{') { "x" } else { part }).collect::<Vec<_>>();
        let url = gateway.url(&path.join("/"));
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let expected = if served.contains(&method) { 401 } else { 405 };
            for header in [None, Some(basic("one", TWO)), Some(basic("nobody", ONE)), Some(bearer("wrong"))] {
                let mut request = gateway.client.request(method.parse().unwrap(), &url).json(&body);
                if let Some((name, value)) = &header {
                    request = request.header(*name, value);
                }
                let answer = support::answer(request.send().await.unwrap()).await;
                assert_eq!(answer.status, expected, "{method} {route} {header:?}: {answer:?}");
            }
        }
    }
    for header in [basic("one", ONE), bearer(ONE)] {
        let answer = send(&gateway, "/api/policy/pre-check", &[header], body.clone()).await;
        assert_eq!((answer.status, &answer.body["approved"]), (200, &json!(true)), "{answer:?}");
    }
    let body = json!({ "query": "x", "client_id": "off" });
    let answer = send(&gateway, "/api/policy/pre-check", &[basic("off", OFF)], body).await;
    assert_eq!((answer.status, &answer.body["error"]), (403, &json!("Client disabled")));
    assert!(!gateway.whole_log().await.contains(ONE));
}

#[tokio::test]
async fn another_client_or_tenant_is_a_mismatch() {
    let gateway = clients();
    let me = basic("one", ONE);
    let mismatch = (403, json!("Tenant mismatch"));
    let answer =
        send(&gateway, "/api/policy/pre-check", std::slice::from_ref(&me), json!({ "query": "x", "client_id": "two" }))
            .await;
    assert_eq!((answer.status, answer.body["error"].clone()), mismatch);
    for header in [("x-client-id", "two".to_owned()), ("x-tenant-id", "south".to_owned())] {
        let body = json!({ "query": "x", "client_id": "one" });
        let answer = send(&gateway, "/api/policy/pre-check", &[me.clone(), header], body).await;
        assert_eq!((answer.status, answer.body["error"].clone()), mismatch);
    }
    let request = gateway.client.get(gateway.url("/api/v1/audit/tenant/south")).header(me.0, &me.1);
    let answer = support::answer(request.send().await.unwrap()).await;
    assert_eq!((answer.status, answer.body["error"].clone()), mismatch);
}

#[tokio::test]
async fn a_tenant_sees_its_own_records_only() {
    let gateway = clients();
    for (id, secret, query) in [("one", ONE, "of the north"), ("two", TWO, "of the south")] {
        let body = json!({ "query": query, "client_id": id });
        assert_eq!(send(&gateway, "/api/policy/pre-check", &[basic(id, secret)], body).await.status, 200);
    }
    for (id, secret, tenant) in [("one", ONE, "north"), ("two", TWO, "south")] {
        let found = send(&gateway, "/api/v1/audit/search", &[basic(id, secret)], json!({ "limit": 100 })).await;
        let entries = found.body["entries"].as_array().unwrap();
        assert_eq!(entries.len(), 1, "{found:?}");
        assert_eq!(entries[0]["tenant_id"], tenant);
        let (name, value) = basic(id, secret);
        let request = gateway.client.get(gateway.url(&format!("/api/v1/audit/tenant/{tenant}"))).header(name, value);
        assert_eq!(support::answer(request.send().await.unwrap()).await.body["total"], 1);
    }
}

#[tokio::test]
async fn in_open_mode_the_caller_says_who_it_is() {
    let gateway = Setup::without_provider().start();
    type Case = (&'static str, Vec<(&'static str, String)>, Value, &'static str);
    let cases: [Case; 4] = [
        ("body", vec![("x-client-id", "header".into()), basic("basic", "")], json!("body"), "body"),
        ("header", vec![("x-client-id", "header".into()), basic("basic", "")], Value::Null, "header"),
        ("basic", vec![basic("basic", "")], Value::Null, "basic"),
        ("nobody", vec![bearer("ignored")], Value::Null, "community"),
    ];
    for (query, headers, client_id, expected) in cases {
        let body = json!({ "query": query, "client_id": client_id, "skip_llm": true });
        let answer = send(&gateway, "/api/request", &headers, body).await;
        assert_eq!(answer.body["policy_info"]["tenant_id"], expected, "{answer:?}");
    }
    assert!(!gateway.whole_log().await.contains("ignored"));
}

#[tokio::test]
async fn an_id_that_could_do_harm_is_refused() {
    let gateway = Setup::without_provider().start();
    for (id, expected) in [
        ("x".repeat(200), "at most 128 bytes"),
        ("a\u{0}b".to_owned(), "control characters"),
        ("a\nb".to_owned(), "control characters"),
        ("a\u{2028}b".to_owned(), "line separators"),
        ("a\u{202e}b".to_owned(), "marks of direction"),
    ] {
        let answer = gateway.post("/api/request", json!({ "query": "x", "client_id": id })).await;
        assert_eq!(answer.status, 400, "{answer:?}");
        let error = answer.body["error"].as_str().unwrap();
        assert!(error.contains("client_id") && error.contains(expected), "{answer:?}");
        let body = json!({ "model": id, "messages": [{ "role": "user", "content": "x" }] });
        let model = gateway.post("/v1/chat/completions", body).await;
        assert!(model.body["message"].as_str().unwrap().contains(expected), "{model:?}");
    }
}

#[tokio::test]
async fn who_is_refused_before_the_body_is_read_may_send_it_all_and_reads_the_answer() {
    let gateway = clients();
    let body = vec![b'x'; 4 << 20];
    let one = format!("authorization: Bearer {ONE}\r\n");
    let wrong = "authorization: Bearer wrong\r\n".to_owned();
    let foreign = format!("{one}origin: https://evil.example\r\n");
    let compressed = format!("{one}content-encoding: gzip\r\n");
    for (line, headers, status) in [
        ("POST /nowhere", &one, 404),
        ("POST /v1/nowhere", &one, 404),
        ("PUT /api/request", &one, 405),
        ("PUT /v1/chat/completions", &one, 405),
        ("POST /api/request", &wrong, 401),
        ("POST /v1/chat/completions", &wrong, 401),
        ("POST /api/policy/pre-check", &wrong, 401),
        ("POST /api/audit/llm-call", &wrong, 401),
        ("POST /api/v1/audit/tool-call", &wrong, 401),
        ("POST /api/request", &foreign, 403),
        ("POST /api/v1/hitl/queue", &one, 403),
        ("PUT /api/v1/llm-providers/routing", &one, 403),
        ("POST /api/request", &compressed, 415),
    ] {
        let mut stream = TcpStream::connect(gateway.address).await.unwrap();
        let head = format!(
            "{line} HTTP/1.1\r\nhost: {}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n",
            gateway.address,
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&body).await.unwrap_or_else(|error| panic!("{line}: {error}"));
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer).await;
        assert!(read.is_ok() && answer.starts_with(&format!("HTTP/1.1 {status} ")), "{line}: {read:?} {answer}");
    }
}
