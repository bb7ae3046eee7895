//! Every wrong configuration is one error that says where, what was found and what is allowed.

use super::{body, environment, parse};

/// Below `version: "1.0"`; the error, without the file's name.
const CASES: &[(&str, &str)] = &[
    (
        "server: {lissten: 1}",
        "2:10: server.lissten: unknown key (did you mean `listen`?), allowed: listen, hosts, allowed_origins, body_limit, \
         max_bytes_in_flight, caller_keys, honest_status, max_connections, header_timeout, shutdown_timeout",
    ),
    (
        "colour: red",
        "2:1: colour: unknown key, allowed: version, server, auth, admin, llm_providers, routing, policies, audit, log",
    ),
    ("server: here", "2:1: server: found a text, allowed: a mapping"),
    ("server: [1]", "2:1: server: found a list, allowed: a mapping"),
    (
        "server:\n  listen: 8080",
        "3:3: server.listen: found the number 8080, allowed: `ADDRESS:PORT`, such as \"127.0.0.1:8080\", \
         \"[::1]:8080\" or \"localhost:8080\"",
    ),
    (
        "server:\n  listen: example.org:80",
        "3:3: server.listen: found the text \"example.org:80\", allowed: `ADDRESS:PORT`, such as \"127.0.0.1:8080\", \
         \"[::1]:8080\" or \"localhost:8080\"",
    ),
    (
        "server:\n  listen: 0.0.0.0:8080",
        "3:3: server.listen: found 0.0.0.0:8080, which other machines can reach, while auth.mode is open: set \
         auth.mode: clients and list auth.clients, or listen on 127.0.0.1, or set auth.allow_open_network: true to let \
         everybody in",
    ),
    (
        "server: {allowed_origins: [\"*\"]}",
        "2:28: server.allowed_origins[0]: found the text \"*\", allowed: an origin as browsers send it, such as \
         \"https://app.example.org\" or \"tauri://localhost\", without a path",
    ),
    (
        "server:\n  body_limit: 10 bananas",
        "3:3: server.body_limit: found the text \"10 bananas\", allowed: a size such as \"10MiB\", or a number of \
         bytes, from 1KiB to 1GiB",
    ),
    (
        "server:\n  body_limit: -1",
        "3:3: server.body_limit: found the number -1, allowed: a size such as \"10MiB\", or a number of bytes, from \
         1KiB to 1GiB",
    ),
    (
        "server:\n  header_timeout: 10",
        "3:3: server.header_timeout: found the number 10, allowed: a duration with its unit, such as \"2s\", from \
         100ms to 5m",
    ),
    (
        "server:\n  shutdown_timeout: 1h",
        "3:3: server.shutdown_timeout: found the text \"1h\", allowed: a duration with its unit, such as \"2s\", from \
         0s to 10m",
    ),
    (
        "server:\n  max_connections: 0",
        "3:3: server.max_connections: found the number 0, allowed: an integer from 1 to 1000000",
    ),
    (
        "server:\n  honest_status: \"true\"",
        "3:3: server.honest_status: found the text \"true\", allowed: true or false",
    ),
    ("auth: {mode: closed}", "2:8: auth.mode: found the text \"closed\", allowed: open, clients"),
    ("auth: {mode: clients}", "2:1: auth.clients: found none while auth.mode is clients, allowed: at least one"),
    (
        "auth:\n  clients:\n    - {id: a, secret_sha256: 0000000000000000000000000000000000000000000000000000000000000001}",
        "3:3: auth.clients: found clients while auth.mode is open, where nobody is asked for a secret: set auth.mode: \
         clients, or remove them",
    ),
    ("auth:\n  mode: clients\n  clients:\n    - id: a", "5:7: auth.clients[0].secret_sha256: missing, and required"),
    (
        "auth:\n  mode: clients\n  clients:\n    - id: a\n      secret_sha256: hunter2",
        "6:7: auth.clients[0].secret_sha256: found a text (not shown), allowed: the SHA-256 of a secret that is not \
         empty, as 64 hexadecimal digits",
    ),
    (
        "auth:\n  mode: clients\n  clients:\n    - id: a\n      secret_sha256: \
         e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6:7: auth.clients[0].secret_sha256: found a text (not shown), allowed: the SHA-256 of a secret that is not \
         empty, as 64 hexadecimal digits",
    ),
    (
        "auth:\n  mode: clients\n  clients:\n    - {id: a, secret_sha256: \
         a000000000000000000000000000000000000000000000000000000000000001}\n    - {id: a, secret_sha256: \
         a000000000000000000000000000000000000000000000000000000000000002}",
        "6:8: auth.clients[1].id: found the id of auth.clients[0], allowed: one entry a client",
    ),
    (
        "auth:\n  mode: clients\n  clients:\n    - {id: a, secret_sha256: \
         a000000000000000000000000000000000000000000000000000000000000001}\n    - {id: b, secret_sha256: \
         a000000000000000000000000000000000000000000000000000000000000001}",
        "6:15: auth.clients[1].secret_sha256: found the secret of auth.clients[0], allowed: one secret a client",
    ),
    (
        "auth:\n  mode: clients\n  clients:\n    - {id: \"a:b\", secret_sha256: \
         a000000000000000000000000000000000000000000000000000000000000001}",
        "5:8: auth.clients[0].id: found the text \"a:b\", allowed: letters, digits, `.`, `_` and `-`, beginning with a \
         letter or digit, at most 63",
    ),
    (
        "admin:\n  listen: 8090",
        "3:3: admin.listen: found the number 8090, allowed: `ADDRESS:PORT`, such as \"127.0.0.1:8080\", \
         \"[::1]:8080\" or \"localhost:8080\"",
    ),
    (
        "admin:\n  listen: \"[::]:8090\"",
        "3:3: admin.listen: found [::]:8090, which other machines can reach, without a token: set admin.token_sha256 \
         (the SHA-256 of a random token), or listen on 127.0.0.1, or set admin.enabled: false",
    ),
    (
        "admin:\n  listen: \"127.0.0.1:8080\"",
        "3:3: admin.listen: found 127.0.0.1:8080, allowed: another port than that of server.listen (127.0.0.1:8080)",
    ),
    (
        "policies:\n  max_concurrent: 10000",
        "2:1: policies: found max_concurrent 10000 and max_streams 256, allowed: at most 10000 together, since each \
         reserves addresses",
    ),
    (
        "admin: {token_sha256: hunter2}",
        "2:9: admin.token_sha256: found a text (not shown), allowed: the SHA-256 of a secret that is not empty, as 64 \
         hexadecimal digits",
    ),
    (
        "admin: {hosts: [\"octroi.example.org:8090\"]}",
        "2:17: admin.hosts[0]: found the text \"octroi.example.org:8090\", allowed: a host's name without port, such \
         as \"octroi.example.org\"",
    ),
    (
        "llm_providers:\n  mistral:\n    priority: ten",
        "4:5: llm_providers.mistral.priority: found the text \"ten\", allowed: an integer from -1000000 to 1000000",
    ),
    (
        "llm_providers:\n  mistral:\n    priority: 1.5",
        "4:5: llm_providers.mistral.priority: found the number 1.5, allowed: an integer from -1000000 to 1000000",
    ),
    (
        "llm_providers:\n  mistral:\n    weight: 1.5",
        "4:5: llm_providers.mistral.weight: found the number 1.5, allowed: a number from 0 to 1",
    ),
    (
        "llm_providers:\n  mistral:\n    weight: 70",
        "4:5: llm_providers.mistral.weight: found the number 70, allowed: a number from 0 to 1",
    ),
    (
        "llm_providers:\n  mistral:\n    enabled: yes",
        "4:5: llm_providers.mistral.enabled: found the text \"yes\", allowed: true or false",
    ),
    (
        "llm_providers:\n  mistral:\n    type: mistrall",
        "4:5: llm_providers.mistral.type: found the text \"mistrall\", allowed: mistral, openai, azure-openai, \
         anthropic, gemini, ollama, openai-compatible, bedrock",
    ),
    (
        "llm_providers:\n  house:\n    enabled: true",
        "3:3: llm_providers.house: found no type, and \"house\" is not one, allowed: a `type` among mistral, openai, \
         azure-openai, anthropic, gemini, ollama, openai-compatible, bedrock",
    ),
    (
        "llm_providers:\n  \"a,b\": {type: mistral}",
        "3:3: llm_providers.a,b: not a provider's name, allowed: letters, digits, `.`, `_` and `-`, beginning with a \
         letter or digit, at most 63",
    ),
    (
        "llm_providers:\n  mistral:\n    config: {timeout_seconds: 0}",
        "4:14: llm_providers.mistral.config.timeout_seconds: found the number 0, allowed: an integer from 1 to 3600",
    ),
    (
        "llm_providers:\n  mistral:\n    config: {modle: x}",
        "4:14: llm_providers.mistral.config.modle: unknown key (did you mean `model`?), allowed: model, models, \
         bridge_user_after_tool, prompt_cache_key, without_reasoning_content, deployment_name, api_version, endpoint, \
         http2, max_tokens, timeout_seconds, model_map",
    ),
    (
        "llm_providers:\n  mistral:\n    config: {prompt_cache_key: mine}",
        "4:14: llm_providers.mistral.config.prompt_cache_key: found the text \"mine\", allowed: caller, derived",
    ),
    (
        "llm_providers:\n  mistral:\n    config: {endpoint: api.mistral.ai}",
        "4:14: llm_providers.mistral.config.endpoint: found the text \"api.mistral.ai\", allowed: an http or https URL \
         without a call's path, credentials, query and fragment, such as \"https://api.mistral.ai\"",
    ),
    (
        "llm_providers:\n  mistral:\n    config: {endpoint: \"https://me:hunter2@host\"}",
        "4:14: llm_providers.mistral.config.endpoint: found a URL with credentials or a query (not shown), allowed: an \
         http or https URL without a call's path, credentials, query and fragment, such as \"https://api.mistral.ai\"",
    ),
    (
        "routing: {strategy: fastest}",
        "2:11: routing.strategy: found the text \"fastest\", allowed: weighted, round_robin, failover, least_latency, \
         cost_optimized, lowest_cost",
    ),
    (
        "routing: {default: openai}",
        "2:11: routing.default: found the text \"openai\", allowed: a provider's name (mistral)",
    ),
    ("routing: {weights: {openai: 1}}", "2:21: routing.weights.openai: unknown key, allowed: mistral"),
    (
        "routing: {weights: {mistral: -1}}",
        "2:21: routing.weights.mistral: found the number -1, allowed: a number, not negative",
    ),
    (
        "routing: {weights: {mistral: 0}}",
        "2:11: routing.weights: found a mapping, allowed: numbers that are not negative, at least one above 0",
    ),
    (
        "llm_providers: {mistral: {}, openai: {}}\nrouting: {weights: {openai: 1}}",
        "3:11: routing.weights: no provider that is started has a weight above 0, and no request would be answered: give \
         one to mistral, or start openai, which has one",
    ),
    (
        "llm_providers: {mistral: {weight: 0}}",
        "2:1: llm_providers: no provider that is started has a weight above 0, and no request would be answered: give one \
         to mistral",
    ),
    (
        "routing: {retry: {attempts: 0}}",
        "2:19: routing.retry.attempts: found the number 0, allowed: an integer from 1 to 10",
    ),
    (
        "routing: {retry: {budget: 11}}",
        "2:19: routing.retry.budget: found the number 11, allowed: a number from 0 to 10",
    ),
    (
        "routing: {breaker: {open_for: 1h}}",
        "2:21: routing.breaker.open_for: found the text \"1h\", allowed: a duration with its unit, such as \"2s\", \
         from 100ms to 10m",
    ),
    (
        "llm_providers:\n  mistral:\n    config: {model_map: {a: \"\"}}",
        "4:26: llm_providers.mistral.config.model_map.a: found the text \"\", allowed: a text of one line, not empty, \
         at most 4096 bytes",
    ),
    (
        "policies: {required: [PII]}",
        "2:23: policies.required[0]: found the text \"PII\", allowed: a policy's name: lower-case letters, digits and \
         `-`, at most 63",
    ),
    ("policies: {required: pii}", "2:12: policies.required: found a text, allowed: a list"),
    (
        "policies: {cache: ./policies/.cache}",
        "2:12: policies.cache: found a folder inside the watched one (policies), allowed: any other",
    ),
    (
        "policies: {cache_size: 1KiB}",
        "2:12: policies.cache_size: found the text \"1KiB\", allowed: a size such as \"10MiB\", or a number of bytes, \
         from 1MiB to 1TiB",
    ),
    (
        "policies: {max_concurrent: 0}",
        "2:12: policies.max_concurrent: found the number 0, allowed: an integer from 1 to 10000",
    ),
    ("audit: {durability: maybe}", "2:9: audit.durability: found the text \"maybe\", allowed: process, disk"),
    (
        "audit: {url: \"mysql://me:hunter2@host/db\"}",
        "2:9: audit.url: found a URL with credentials or a query (not shown), allowed: `sqlite://FILE`, \
         `postgres://USER:PASSWORD@HOST/DATABASE` or `none`",
    ),
    ("audit: {queue: 0}", "2:9: audit.queue: found the number 0, allowed: an integer from 1 to 1000000"),
    ("log: {level: loud}", "2:7: log.level: found the text \"loud\", allowed: error, warn, info, debug, trace"),
    ("log: {level: info}\nlog: {level: warn}", "3:1: log: given twice in one mapping"),
    ("log: {format: \"${LOG}-\"}", "2:7: log.format: found the text \"${LOG}-\" once expanded, allowed: text, json"),
    (
        "log: {format: \"${LOG\"}",
        "2:7: log.format: found the text \"${LOG\", allowed: `${NAME}` or `${NAME:-default}`; `$${` stands for `${` \
         itself",
    ),
];

#[test]
fn each_is_one_error_with_its_place() {
    for (text, expected) in CASES {
        let error = body(text).map(|_| ()).unwrap_err().to_string();
        assert_eq!(error, format!("octroi.yaml:{expected}"), "for\n{text}");
    }
}

#[test]
fn a_protection_whose_variable_is_not_set_is_not_left_out_without_a_word() {
    for (text, key) in [
        ("admin: {token_sha256: \"${TOKEN}\"}", "admin.token_sha256"),
        ("admin: {token_sha256: \"${TOKEN:-}\"}", "admin.token_sha256"),
        ("admin: {token_sha256: }", "admin.token_sha256"),
        ("auth: {mode: \"${MODE}\"}", "auth.mode"),
        ("auth: {mode: }", "auth.mode"),
    ] {
        let error = body(text).map(|_| ()).unwrap_err().to_string();
        assert!(
            error.contains(&format!("{key}: found nothing")) && error.contains("without the key"),
            "{text}: {error}"
        );
    }
    for (client, expected) in [
        (
            "id: \"${APP}\", secret_sha256: x",
            "auth.clients[0].id: found nothing, once variables are expanded: APP is not set",
        ),
        (
            "id: app, secret_sha256: \"${APP_SECRET_SHA256}\"",
            "auth.clients[0].secret_sha256: found nothing, once variables are expanded: APP_SECRET_SHA256 is not set",
        ),
        (
            "id: app, secret_sha256: \"${ONE}${OTHER:-}\"",
            "auth.clients[0].secret_sha256: found nothing, once variables are expanded, allowed",
        ),
    ] {
        let error = body(&format!("auth: {{mode: clients, clients: [{{{client}}}]}}")).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains(expected), "{client}: {error}");
    }
    body("admin: {enabled: false, token_sha256: \"${TOKEN}\"}").unwrap();
    body("auth: {mode: \"${MODE:-open}\"}").unwrap();
}

#[test]
fn origins_are_bounded() {
    let origins = |count| {
        let origins: Vec<_> = (0..count).map(|it| format!("\"https://{it}.example\"")).collect();
        body(&format!("server: {{allowed_origins: [{}]}}", origins.join(",")))
    };
    assert_eq!(origins(100).unwrap().config.server.allowed_origins.len(), 100);
    let error = origins(101).unwrap_err().to_string();
    assert_eq!(error, "octroi.yaml:2:10: server.allowed_origins: found 101 origins, allowed: at most 100");
}

#[test]
fn a_file_without_its_version_is_refused() {
    for (text, expected) in [
        ("", "octroi.yaml: version: missing, and required"),
        ("# nothing but this\n", "octroi.yaml: version: missing, and required"),
        ("log: {level: info}", "octroi.yaml: version: missing, and required"),
        ("version: 2", "octroi.yaml:1:1: version: found the number 2, allowed: \"1.0\""),
        ("version: \"1\"", "octroi.yaml:1:1: version: found the text \"1\", allowed: \"1.0\""),
        ("- version", "octroi.yaml: found a list, allowed: a mapping"),
        ("a: b: c", "octroi.yaml:1:5: not valid YAML: mapping values are not allowed in this context"),
    ] {
        assert_eq!(parse(text, &environment([])).map(|_| ()).unwrap_err().to_string(), expected, "for\n{text}");
    }
}

#[test]
fn a_wrong_variable_is_named() {
    for (name, value, expected) in [
        ("PORT", "http", "PORT: found the text \"http\", allowed: an integer from 0 to 65535"),
        (
            "MISTRAL_TIMEOUT_SECONDS",
            "2m",
            "MISTRAL_TIMEOUT_SECONDS: found the text \"2m\", allowed: an integer from 1 to 3600",
        ),
        (
            "MISTRAL_ENDPOINT",
            "https://me:hunter2@host",
            "MISTRAL_ENDPOINT: found a URL with credentials or a query (not shown), allowed: an http or https URL \
             without a call's path, credentials, query and fragment, such as \"https://api.mistral.ai\"",
        ),
        (
            "MISTRAL_ENDPOINT",
            "hunter2@host",
            "MISTRAL_ENDPOINT: found a URL with credentials or a query (not shown), allowed: an http or https URL \
             without a call's path, credentials, query and fragment, such as \"https://api.mistral.ai\"",
        ),
        (
            "MISTRAL_API_KEY",
            "hunter2 hunter3",
            "MISTRAL_API_KEY: found a text (not shown), allowed: visible ASCII characters without spaces",
        ),
    ] {
        let environment = environment([("MISTRAL_API_KEY", "sk-environment")]).with(name, value);
        let error = parse("version: \"1.0\"", &environment).map(|_| ()).unwrap_err().to_string();
        assert_eq!(error, format!("environment variable {expected}"));
    }
}
