//! Secrets are never printed.

use crate::config::{Environment, Secret};

use super::{body, environment, parse};

const SECRET: &str = "hunter2-hunter2";

/// A client's digest, which could tell a weak secret.
const DIGEST: &str = "feedfacefeedfacefeedfacefeedfacefeedfacefeedfacefeedfacefeedface";

#[test]
fn a_secret_prints_as_a_mark() {
    let secret = Secret::new(SECRET);
    assert_eq!((format!("{secret}"), format!("{secret:?}")), ("[secret]".into(), "[secret]".into()));
    assert_eq!(secret.expose(), SECRET);
}

#[test]
fn a_configuration_does_not_show_its_secrets() {
    let text = format!(
        "auth: {{mode: clients, clients: [{{id: a, secret_sha256: {DIGEST}}}]}}\nadmin: {{token_sha256: {DIGEST}}}\n\
         llm_providers: {{mistral: {{credentials: {{api_key: {SECRET}}}}}}}\n\
         audit: {{url: \"postgres://me:{SECRET}@host/db?password={SECRET}\"}}"
    );
    let loaded = body(&text).unwrap();
    let shown = format!("{loaded:?} {loaded:#?} {}", serde_json::to_string(&loaded.config).unwrap());
    assert!(!shown.contains(SECRET) && !shown.to_lowercase().contains(DIGEST), "{shown}");
    let variables: Environment = [("MISTRAL_API_KEY", SECRET)].into_iter().collect();
    assert_eq!(format!("{variables:?}"), "{\"MISTRAL_API_KEY\"}");
}

#[test]
fn an_error_does_not_show_a_secret_wherever_it_was_put() {
    let environment = environment([("KEY", SECRET), ("URL", "https://me:hunter2-hunter2@host")]);
    for body in [
        "llm_providers: {mistral: {credentials: {api_key: \"hunter2-hunter2 x\"}}}",
        "llm_providers: {mistral: {credentials: {api_key: [hunter2-hunter2]}}}",
        "llm_providers: {mistral: {credentials: {api_key: {x: hunter2-hunter2}}}}",
        "llm_providers: {mistral: {credentials: {api_key: \"${hunter2-hunter2\"}}}",
        "llm_providers: {mistral: {credentials: hunter2-hunter2}}",
        "llm_providers: {mistral: {credentials: {hunter2-hunter2: }}}",
        "llm_providers: {mistral: {credentials: {apikey: hunter2-hunter2}}}",
        "llm_providers: {mistral: {credentials: [hunter2-hunter2]}}",
        "llm_providers: {mistral: hunter2-hunter2}",
        "llm_providers: hunter2-hunter2",
        "llm_providers: {mistral: {priority: \"${KEY}\"}}",
        "llm_providers: {mistral: {type: \"${KEY}\"}}",
        "llm_providers: {mistral: {credentials: {api_key: k}, config: {endpoint: \"${KEY}\"}}}",
        "llm_providers: {mistral: {credentials: {api_key: k}, config: {endpoint: \"${URL}\"}}}",
        "llm_providers: {mistral: {credentials: {api_key: k}, config: {endpoint: \"https://me:hunter2-hunter2@h\"}}}",
        "auth: {mode: clients, clients: [{id: a, secret_sha256: hunter2-hunter2}]}",
        "auth: {mode: clients, clients: [{id: a, secret: hunter2-hunter2}]}",
        "auth: {mode: clients, clients: hunter2-hunter2}",
        "admin: {token_sha256: hunter2-hunter2}",
        "admin: {token: hunter2-hunter2}",
        "audit: {url: \"mysql://me:hunter2-hunter2@host/db\"}",
        "audit: {url: \"postgres://me:hunter2-hunter2@host/d b\"}",
        "audit: {url: \"host=host password=hunter2-hunter2\"}",
        "audit: {url: \"host=host PassWord = 'hunter2-hunter2'\"}",
        "audit: {url: \"me:hunter2-hunter2@host/db\"}",
        "audit: {url: \"postgres:/me:hunter2-hunter2@host/db\"}",
        "audit: {url: \"postgres:me:hunter2-hunter2@${HOST}/db\"}",
        "llm_providers: {mistral: {credentials: {api_key: k}, config: {endpoint: hunter2-hunter2@host}}}",
        "llm_providers: {mistral: {credentials: {api_key: k}, config: {endpoint: \"http:/hunter2-hunter2@host\"}}}",
        "log: {level: \"password = hunter2-hunter2\"}",
        "routing: {default: \"${KEY}\"}",
        "log: {level: \"${KEY}\"}",
        "llm_providers: {mistral: {credentials: {api_key: hunter2-hunter2, api_key: hunter2-hunter2}}}",
    ] {
        let error = parse(&format!("version: \"1.0\"\n{body}"), &environment).map(|_| ()).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("hunter2"), "{body}\n{shown}");
    }
}

#[test]
fn the_digest_tells_configurations_apart_but_not_their_secrets() {
    let digest = |text: &str| body(text).unwrap().config.digest();
    let first = digest("llm_providers: {mistral: {credentials: {api_key: one}}}");
    assert_eq!(first.len(), 64);
    assert_eq!(first, digest("llm_providers: {mistral: {credentials: {api_key: two}}}"));
    assert_ne!(first, digest("llm_providers: {mistral: {weight: 0.5}}"));
    let with_token = |token: &str| digest(&format!("admin: {{token_sha256: {token}}}"));
    assert_eq!(with_token(DIGEST), with_token(&DIGEST.replace('f', "a")));
    assert_ne!(with_token(DIGEST), digest("admin: {}"));
}
