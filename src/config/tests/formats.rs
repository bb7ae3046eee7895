//! AxonFlow's files load as they stand, and ours has the documented defaults.

use std::path::Path;
use std::time::Duration;

use crate::config::yaml;
use crate::config::{
    AuditStore, Auth, Config, Durability, LogFormat, LogLevel, PolicyName, ProviderKind, Role, Strategy, Weights,
};

use super::{body, environment, parse};

const SEED: &str = r#"version: "1.0"
llm_providers:
  mistral:
    enabled: true
    display_name: Mistral EU
    config: { model: mistral-small-latest, endpoint: "${MISTRAL_ENDPOINT:-https://api.mistral.ai}", max_tokens: 4096 }
    credentials: { api_key: "${MISTRAL_API_KEY}" }
    priority: 10
    weight: 0.7
connectors: {}
"#;

#[test]
fn the_seed_format_is_accepted_as_it_stands() {
    let loaded = parse(SEED, &environment([("MISTRAL_API_KEY", "sk-seed")])).unwrap();
    assert_eq!(loaded.warnings, ["keys without meaning here were passed over: connectors"]);
    let [mistral] = loaded.config.providers.as_slice() else { panic!("{:?}", loaded.config.providers) };
    assert_eq!((mistral.name.as_str(), mistral.kind), ("mistral", ProviderKind::Mistral));
    assert_eq!(mistral.display_name, "Mistral EU");
    assert_eq!(mistral.model, "mistral-small-latest");
    assert_eq!(mistral.endpoint.as_str(), "https://api.mistral.ai");
    assert_eq!(mistral.max_tokens, Some(4_096));
    assert_eq!(mistral.api_key.as_ref().unwrap().expose(), "sk-seed");
    assert_eq!((mistral.priority, mistral.weight), (10, 0.7));
    assert_eq!(mistral.timeout, Duration::from_secs(120));
}

#[test]
fn foreign_keys_make_one_warning() {
    let text = "connectors: {db: {type: postgres, connection_url: \"${DATABASE_URL}\"}}
llm_providers:
  bedrock: {config: {region: eu-west-1}, credentials: {secret_access_key: hunter2}}
  mistral: {config: {region: eu, deployment_name: x, api_version: y, timeout: 3}}
";
    let loaded = body(text).unwrap();
    assert_eq!(
        loaded.warnings,
        [
            "keys without meaning here were passed over: connectors, llm_providers.bedrock.config.region, \
             llm_providers.bedrock.credentials.secret_access_key, llm_providers.mistral.config.region, \
             llm_providers.mistral.config.timeout",
            "provider bedrock is left out: provider type bedrock is not built into this version",
            "llm_providers.mistral.config.deployment_name was passed over: only azure-openai has it",
            "llm_providers.mistral.config.api_version was passed over: only azure-openai has it",
        ]
    );
    assert_eq!(loaded.config.providers.len(), 1);
}

#[test]
fn the_version_may_be_a_number() {
    assert!(parse("version: 1.0", &environment([])).is_ok());
}

#[test]
fn defaults_are_those_documented() {
    let Config { server, auth, admin, providers, routing, policies, audit, log } =
        parse("version: \"1.0\"", &environment([])).unwrap().config;
    assert_eq!(server.listen, "127.0.0.1:8080".parse().unwrap());
    assert_eq!((server.body_limit, server.max_connections, server.honest_status), (10 << 20, 4_096, false));
    assert_eq!((server.header_timeout.as_secs(), server.shutdown_timeout.as_secs()), (10, 30));
    assert!(matches!(auth, Auth::Open) && providers.is_empty());
    let admin = admin.unwrap();
    assert_eq!((admin.listen, admin.token.is_none()), ("127.0.0.1:8090".parse().unwrap(), true));
    assert!(admin.hosts.is_empty() && server.hosts.is_empty());
    assert_eq!((routing.strategy, routing.weights, routing.default), (Strategy::Weighted, Weights::OfProviders, None));
    assert_eq!((policies.directory.as_path(), policies.required.len()), (Path::new("policies"), 0));
    assert_eq!((policies.cache.as_path(), policies.worker), (Path::new("/home/someone/.cache/octroi"), None));
    assert_eq!((policies.cache_size, policies.allow_none, policies.max_concurrent), (1 << 30, false, 256));
    assert_eq!((policies.poll_interval.as_millis(), policies.reload_debounce.as_millis()), (2_000, 200));
    assert_eq!(audit.store, AuditStore::Sqlite("octroi.db".into()));
    assert_eq!((audit.durability, audit.queue), (Durability::Process, 10_000));
    assert_eq!((log.format, log.level), (LogFormat::Text, LogLevel::Info));
}

#[test]
fn every_key_is_read() {
    let text = "server: {listen: \"[::]:1\", body_limit: 1MiB, honest_status: true, max_connections: 5, \
                header_timeout: 1s, shutdown_timeout: 2s}
auth:
  mode: clients
  clients:
    - {id: app, tenant: acme, secret_sha256: \
                AB00000000000000000000000000000000000000000000000000000000000001, enabled: false, role: admin}
    - {id: web, secret_sha256: ab00000000000000000000000000000000000000000000000000000000000002}
admin: {enabled: true, listen: \"0.0.0.0:2\", hosts: [Octroi.example.org.], token_sha256: \
                AC00000000000000000000000000000000000000000000000000000000000001}
llm_providers:
  eu: {type: mistral, region: eu, weight: 1, credentials: {api_key: k}}
  us: {type: mistral, weight: 0.005, credentials: {api_key: k}}
routing: {strategy: cost_optimized, weights: {eu: 3, us: 1}, default: us}
policies: {directory: p, required: [pii, pii], cache: c, cache_size: 64MiB, worker: w, allow_none: true, max_concurrent: 2, \
                poll_interval: 1s, reload_debounce: 50ms}
audit: {url: \"sqlite:///var/lib/octroi.db\", durability: disk, queue: 7}
log: {format: json, level: debug}
";
    let loaded = body(text).unwrap();
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let Config { server, auth, admin, providers, routing, policies, audit, log } = loaded.config;
    assert!(!server.is_loopback() && server.honest_status);
    assert_eq!((server.body_limit, server.max_connections), (1 << 20, 5));
    let Auth::Clients(clients) = auth else { panic!("open") };
    assert_eq!((clients[0].tenant.as_str(), clients[0].enabled, clients[0].role), ("acme", false, Role::Admin));
    assert_eq!((clients[1].tenant.as_str(), clients[1].enabled, clients[1].role), ("web", true, Role::Client));
    assert_eq!(clients[0].secret.as_bytes()[0], 0xab);
    let admin = admin.unwrap();
    assert_eq!((admin.listen.port(), admin.hosts.as_slice()), (2, ["octroi.example.org".to_owned()].as_slice()));
    assert_eq!(admin.token.unwrap().as_bytes()[0], 0xac);
    assert_eq!(providers.len(), 2);
    assert_eq!((providers[0].region.as_deref(), providers[0].weight), (Some("eu"), 1.0));
    assert_eq!(providers[1].weight, 0.005);
    assert_eq!(routing.strategy, Strategy::LowestCost);
    let Weights::Listed(weights) = &routing.weights else { panic!("each its own") };
    assert_eq!((weights[&providers[0].name], weights[&providers[1].name]), (0.75, 0.25));
    assert_eq!(routing.default.unwrap().as_str(), "us");
    assert_eq!((policies.required.len(), policies.worker.as_deref()), (1, Some(Path::new("w"))));
    assert_eq!((policies.cache.as_path(), policies.allow_none), (Path::new("c"), true));
    assert_eq!(policies.cache_size, 64 << 20);
    assert_eq!(audit.store, AuditStore::Sqlite("/var/lib/octroi.db".into()));
    assert_eq!((audit.durability, audit.queue), (Durability::Disk, 7));
    assert_eq!((log.format, log.level), (LogFormat::Json, LogLevel::Debug));
}

#[test]
fn the_admin_api_can_be_switched_off() {
    assert!(body("admin: {enabled: false, listen: \"0.0.0.0:8090\"}").unwrap().config.admin.is_none());
}

#[test]
fn the_shipped_file_loads_without_a_warning() {
    let text = include_str!("../../../octroi.yaml");
    let loaded = parse(text, &environment([("MISTRAL_API_KEY", "k")])).unwrap();
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    assert_eq!(loaded.config.providers.len(), 1);
    assert_eq!(
        loaded.config.policies.required.iter().map(PolicyName::as_str).collect::<Vec<_>>(),
        ["pii", "sql-injection"]
    );
    assert!(parse(text, &environment([])).unwrap().config.providers.is_empty());
}

#[test]
fn an_endpoint_is_made_plain() {
    let endpoint = |text: &str| {
        let mistral = format!("{{config: {{endpoint: \"{text}\"}}, credentials: {{api_key: k}}}}");
        let body = body(&format!("llm_providers: {{mistral: {mistral}}}")).unwrap();
        (body.config.providers[0].endpoint.to_string(), body.warnings)
    };
    assert_eq!(endpoint("http://[::1]:9/").1, Vec::<String>::new());
    assert_eq!(
        endpoint("http://host/v1/"),
        (
            "http://host/v1".into(),
            vec![
                "llm_providers.mistral.config.endpoint: keys and prompts go to http://host/v1 unencrypted; use https"
                    .into(),
            ]
        )
    );
}

#[test]
fn an_endpoint_keeps_what_its_kind_needs() {
    let dropped = |what: &str| {
        vec![format!(
            "llm_providers.x.config.endpoint: the {what} at the end is dropped, the provider adds the path of a deployment"
        )]
    };
    for (kind, written, endpoint, warnings) in [
        ("openai-compatible", "https://host/openai/v1", "https://host/openai/v1", vec![]),
        ("openai-compatible", "https://host/api/v3", "https://host/api/v3", vec![]),
        ("azure-openai", "https://host", "https://host", vec![]),
        ("azure-openai", "https://host/openai/", "https://host", dropped("/openai")),
        ("azure-openai", "https://host/openai/v1/", "https://host", dropped("/openai/v1")),
        ("azure-openai", "https://host/v1", "https://host", dropped("/v1")),
    ] {
        let provider =
            format!("{{type: {kind}, config: {{model: m, endpoint: \"{written}\"}}, credentials: {{api_key: k}}}}");
        let body = body(&format!("llm_providers: {{x: {provider}}}")).unwrap();
        let provider = body.config.providers.iter().find(|provider| provider.name.as_str() == "x").unwrap();
        assert_eq!((provider.endpoint.as_str(), body.warnings), (endpoint, warnings), "{kind} {written}");
    }
}

#[test]
fn a_byte_order_mark_is_no_part_of_a_file() {
    assert_eq!(parse("\u{feff}version: \"1.0\"\n", &environment([])).unwrap().config.server.body_limit, 10 << 20);
    let value = yaml::parse::<serde_json::Value>("\u{feff}a: 1\n", "pii.yaml").unwrap();
    assert_eq!(value, serde_json::json!({ "a": 1 }));
    let error = yaml::parse::<std::collections::BTreeMap<String, u8>>("\u{feff}a: 300", "pii.yaml").unwrap_err();
    assert_eq!(error.to_string(), "pii.yaml:1:1: a: found the number 300, allowed: an integer from 0 to 255");
}

#[test]
fn other_documents_are_read_without_expansion() {
    let value = yaml::parse::<serde_json::Value>("a: [1, 2.5, \"${HOME}\", ~]\nb: {c: true}", "pii.yaml").unwrap();
    assert_eq!(value, serde_json::json!({"a": [1, 2.5, "${HOME}", null], "b": {"c": true}}));
    let error = yaml::parse::<std::collections::BTreeMap<String, u8>>("a: 1\nb: 300", "pii.yaml").unwrap_err();
    assert_eq!(error.to_string(), "pii.yaml:2:1: b: found the number 300, allowed: an integer from 0 to 255");
    assert_eq!(error.code(), "wrong_value");
}

#[test]
fn a_body_that_may_be_longer_than_all_that_is_held_is_a_warning() {
    let warnings = |server: &str| body(&format!("server: {{{server}}}")).unwrap().warnings;
    let warned = warnings("max_bytes_in_flight: 4MiB");
    assert!(matches!(&warned[..], [one] if one.contains("body_limit") && one.contains("413")), "{warned:?}");
    assert!(warnings("max_bytes_in_flight: 4MiB, body_limit: 4MiB").is_empty());
}
