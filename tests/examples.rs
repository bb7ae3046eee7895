//! The example policies, one in each language, in a real gateway; and what a language's runtime gets of the world.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panics")]

mod support;

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Once;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mistral_double::MistralDouble;
use octroi::policy::load::module;
use serde_json::json;
use support::{Gateway, Prepared, Setup, author};

/// Name, module as `make examples` leaves it, manifest.
const EXAMPLES: [(&str, &str, &str); 3] = [
    ("no-project-x", "target/wasm32-unknown-unknown/guest/no_project_x.wasm", "plugins/templates/rust"),
    ("secrets", "plugins/examples/javascript-secrets/secrets.wasm", "plugins/examples/javascript-secrets"),
    (
        "internal-hosts",
        "plugins/examples/python-internal-hosts/internal-hosts.wasm",
        "plugins/examples/python-internal-hosts",
    ),
];

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn built(module: &str) -> Vec<u8> {
    fs::read(repository().join(module)).unwrap_or_else(|error| panic!("{module}: {error}; run `make examples`"))
}

/// Interpreters are compiled for longer than a test waits for a gateway; the code is kept for the tests that follow.
fn compiled(prepared: Prepared, once: &Once) -> Prepared {
    once.call_once(|| {
        let output = prepared.command(&["check"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    });
    prepared
}

fn gateway(double: &MistralDouble) -> Gateway {
    static COMPILED: Once = Once::new();
    let prepared = Setup::with(double).policies(&["audit-redact"]).prepare();
    for (name, module, folder) in EXAMPLES {
        fs::write(prepared.policies().join(format!("{name}.wasm")), built(module)).unwrap();
        let manifest = format!("{name}.yaml");
        let text = fs::read_to_string(repository().join(folder).join(&manifest)).unwrap();
        fs::write(prepared.policies().join(&manifest), author::unhurried(&text)).unwrap();
    }
    compiled(prepared, &COMPILED).start()
}

#[tokio::test]
async fn a_policy_in_each_language_refuses_in_both_modes() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = gateway(&double);
    let key = "Schlüssel 🔑:\n-----BEGIN RSA PRIVATE KEY-----\nMIIBOgIBAAJBAKj3\n-----END RSA PRIVATE KEY-----";
    let vault = "Wie lese ich das Geheimnis für 🔐 aus https://eu.vault.corp.example.com:8200/v1?";
    let cases = [
        ("no-project-x", "Grüße 😀! Wann beginnt PROJECT X?", "The request names a confidential project"),
        ("secrets", key, "The request holds credentials"),
        ("internal-hosts", vault, "The request names a host that must not be named"),
    ];
    for (policy, query, explanation) in cases {
        let reason = format!("Request blocked by policy: {policy}");
        let answer = gateway.ask(query).await;
        assert_eq!((answer.status, &answer.body["block_reason"]), (403, &json!(reason)), "{answer:?}");
        assert_eq!(answer.body["explanation"], explanation);
        let answer = gateway.pre_check(query).await;
        assert_eq!(answer.body["approved"], false, "{answer:?}");
        assert_eq!((&answer.body["block_reason"], &answer.body["explanation"]), (&json!(reason), &json!(explanation)));
    }
    assert!(double.requests().iter().all(|request| request.path() == "/v1/models"), "the model was asked");
}

#[tokio::test]
async fn what_javascript_and_python_mask_behind_other_alphabets_the_model_never_sees() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = gateway(&double);
    let cases = [
        ("Grüße 😀 密钥AKIAIOSFODNN7EXAMPLE，谢谢", "Grüße 😀 密钥[AWS KEY]，谢谢"),
        ("Grüße 😀 主机db1.corp.example.com，谢谢", "Grüße 😀 主机[HOST-1]，谢谢"),
        // Each policy counts in the text as the one before it left it.
        (
            "😀 主机db1.corp.example.com 密钥AKIAIOSFODNN7EXAMPLE ü cache.internal",
            "😀 主机[HOST-1] 密钥[AWS KEY] ü [HOST-2]",
        ),
        ("Grüße 😀, was kostet ein 打印机?", "Grüße 😀, was kostet ein 打印机?"),
    ];
    for (query, seen) in cases {
        let answer = gateway.ask(query).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(double.last_request().unwrap().json()["messages"][0]["content"], seen);
        let masked = query != seen;
        let entries = gateway.search(json!({ "limit": 1, "decision_id": answer.body["request_id"] })).await;
        assert_eq!(entries[0]["policy_decision"], if masked { "redacted" } else { "allowed" }, "{}", entries[0]);
        let answer = gateway.pre_check(query).await;
        assert_eq!(answer.body["approved"], true, "{answer:?}");
        assert_eq!(answer.body["requires_redaction"].as_bool().unwrap_or_default(), masked, "{answer:?}");
    }
}

#[test]
fn the_modules_import_nothing_but_the_policy_interfaces() {
    for (name, path, _) in EXAMPLES {
        let survey = module::survey(&module::encode(built(path)).unwrap()).unwrap();
        let mut imports = survey.imports;
        imports.sort();
        assert_eq!(imports, ["octroi:policy/log@0.1.0", "octroi:policy/types@0.1.0"], "{name}");
    }
}

/// A gateway with one policy of this source, made as an author would make it. The module is kept for as long as neither
/// the source nor the template changes: no two builds give the same bytes, and other bytes are compiled anew.
fn ambient(language: &str, source: &str, once: &Once) -> Gateway {
    let source = repository().join("tests/examples").join(source);
    let mut hasher = DefaultHasher::new();
    fs::read(&source).unwrap().hash(&mut hasher);
    for folder in [format!("plugins/templates/{language}"), "wit".to_owned()] {
        let entries = fs::read_dir(repository().join(folder)).unwrap();
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
        paths.sort();
        paths.iter().for_each(|path| fs::read(path).unwrap().hash(&mut hasher));
    }
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let module = kept.join(format!("ambient-{language}-{:016x}.wasm", hasher.finish()));
    if !module.exists() {
        let folder = tempfile::tempdir_in(kept).unwrap();
        author::run(folder.path(), &["policy", "new", "ambient", "--lang", language, "--path", "."]).fine();
        let place = folder.path().join("src/policy").with_extension(source.extension().unwrap());
        fs::copy(&source, place).unwrap();
        author::run(folder.path(), &["policy", "build"]).fine();
        fs::rename(folder.path().join("ambient.wasm"), &module).unwrap();
    }
    let prepared = Setup::without_provider().policies(&["audit-redact"]).prepare();
    fs::copy(module, prepared.policies().join("ambient.wasm")).unwrap();
    let manifest = "name: ambient\nmodule: ambient.wasm\nlimits: { compile_time: 900s, time: 1s }\n";
    fs::write(prepared.policies().join("ambient.yaml"), manifest).unwrap();
    compiled(prepared, once).start()
}

/// What the policy got, or the reason why there is no verdict.
async fn tried(gateway: &Gateway, what: &str) -> String {
    let answer = gateway.pre_check(what).await;
    assert_eq!(answer.body["approved"], false, "{answer:?}");
    let body = &answer.body;
    let got = if body["explanation"].is_string() { &body["explanation"] } else { &body["block_reason"] };
    got.as_str().unwrap().to_owned()
}

const TRAPPED: &str = "Request blocked by policy: ambient (trap)";

fn now() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()
}

#[tokio::test]
async fn javascript_keeps_nothing_and_gets_nothing_of_the_world() {
    static COMPILED: Once = Once::new();
    let gateway = ambient("javascript", "ambient.js", &COMPILED);
    for what in ["file", "network", "timer"] {
        assert_eq!(tried(&gateway, "global").await, "1", "an evaluation before this one is remembered");
        assert_eq!(tried(&gateway, what).await, TRAPPED, "{what}");
    }
    assert_eq!(tried(&gateway, "random").await, tried(&gateway, "random").await);
    // The clock stands at the moment of the build.
    let asked = now();
    let clock: u128 = tried(&gateway, "clock").await.parse().unwrap();
    assert!(clock < asked, "{clock} is not before {asked}");
    while now() == asked {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(tried(&gateway, "clock").await, clock.to_string());
}

#[tokio::test]
async fn python_keeps_nothing_and_gets_nothing_of_the_world() {
    static COMPILED: Once = Once::new();
    let gateway = ambient("python", "ambient.py", &COMPILED);
    for what in ["clock", "entropy", "file", "network"] {
        assert_eq!(tried(&gateway, "global").await, "1", "an evaluation before this one is remembered");
        assert_eq!(tried(&gateway, what).await, TRAPPED, "{what}");
    }
    assert_eq!(tried(&gateway, "random").await, tried(&gateway, "random").await);
    assert_eq!(tried(&gateway, "environment").await, "{}");
}
