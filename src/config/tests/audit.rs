//! `audit`: the store, the key and what is kept.

use std::path::Path;
use std::time::Duration;

use crate::config::{AuditContent, AuditFailure, AuditKeySource, AuditNode, AuditStore};

use super::{body, environment, parse};

#[test]
fn the_key_is_named_given_or_made_beside_the_store() {
    let key = |yaml: &str, variable: &str| {
        let text = format!("version: \"1.0\"\n{yaml}");
        parse(&text, &environment([("OCTROI_AUDIT_KEY", variable)])).unwrap().config.audit.key
    };
    let made = |key| matches!(key, AuditKeySource::MadeOnce(path) if path == Path::new("/var/lib/trail.key"));
    assert!(made(key("audit: {url: \"sqlite:///var/lib/trail.db\"}", "")));
    assert!(matches!(key("", ""), AuditKeySource::MadeOnce(path) if path == Path::new("octroi.key")));
    assert!(matches!(key("", "abc"), AuditKeySource::Given(secret) if secret.expose() == "abc"));
    let named = key("audit: {key: /etc/octroi/key}", "abc");
    assert!(matches!(named, AuditKeySource::File(path) if path == Path::new("/etc/octroi/key")), "the file wins");
}

#[test]
fn the_files_of_two_databases_have_two_names() {
    let files = |url: &str| {
        let audit = body(&format!("audit: {{url: \"sqlite://{url}\"}}")).unwrap().config.audit;
        let AuditKeySource::MadeOnce(key) = audit.key else { panic!("{:?}", audit.key) };
        [key, audit.spill_file].map(|file| file.display().to_string())
    };
    for (url, expected) in [
        ("octroi.db", ["octroi.key", "octroi.spill"]),
        ("a/trail.sqlite", ["a/trail.key", "a/trail.spill"]),
        ("a.b/trail", ["a.b/trail.key", "a.b/trail.spill"]),
        ("audit.emea", ["audit.emea.key", "audit.emea.spill"]),
        ("audit.apac", ["audit.apac.key", "audit.apac.spill"]),
    ] {
        assert_eq!(files(url), expected, "{url}");
    }
}

#[test]
fn what_may_be_there_under_another_name_is_known() {
    let others = |text: &str| {
        let beside = body(&format!("audit: {{{text}}}")).unwrap().config.audit.files_beside();
        beside.into_iter().map(|it| (it.key, it.other.display().to_string())).collect::<Vec<_>>()
    };
    let (key, spill) = (("audit.key", "a/audit.key".to_owned()), ("audit.spill.file", "a/audit.spill".to_owned()));
    assert_eq!(others("url: \"sqlite://a/audit.data\""), [key.clone(), spill.clone()]);
    assert_eq!(others("url: \"sqlite://a/audit.data\", key: a/audit.key"), [spill]);
    assert_eq!(others("url: \"sqlite://a/audit.data\", spill: {file: a/audit.spill}"), [key]);
    for usual in ["url: \"sqlite://a/audit.db\"", "url: \"sqlite://a/audit\"", "url: \"postgres://h/d\""] {
        assert_eq!(others(usual), [], "{usual}");
    }
}

#[test]
fn no_two_of_its_files_are_one() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().display();
    std::os::unix::fs::symlink(folder.path(), folder.path().join("link")).unwrap();
    for (text, named, other) in [
        ("audit: {spill: {file: octroi.db}}".to_owned(), "audit.spill.file", "audit.url"),
        ("audit: {spill: {file: ./octroi.key}}".to_owned(), "audit.spill.file", "audit.key"),
        ("audit: {key: src/../octroi.db}".to_owned(), "audit.key", "audit.url"),
        (
            "audit: {url: \"sqlite://octroi.spill.db\", key: octroi.spill.spill}".to_owned(),
            "audit.spill.file",
            "audit.key",
        ),
        ("audit: {url: \"postgres://h/d\", key: octroi.node}".to_owned(), "audit.key", "audit.node"),
        (format!("audit: {{url: \"sqlite://{at}/a.db\", key: {at}/link/a.db}}"), "audit.key", "audit.url"),
    ] {
        let refused = body(&text).unwrap_err().to_string();
        assert!(refused.contains(named) && refused.contains(other), "{text}: {refused}");
    }
}

#[test]
fn what_is_left_open_has_the_documented_defaults() {
    let audit = body("").unwrap().config.audit;
    assert_eq!((audit.content, audit.node), (AuditContent::Redacted, AuditNode::OfTheStore));
    assert_eq!((audit.checkpoint.records, audit.checkpoint.interval), (1_000, Duration::from_secs(60)));
    let audit =
        body("audit: {content: none, node: east-1, checkpoint: {records: 5, seconds: 7}}").unwrap().config.audit;
    assert_eq!((audit.content, audit.node), (AuditContent::None, AuditNode::Named("east-1".into())));
    assert_eq!((audit.checkpoint.records, audit.checkpoint.interval), (5, Duration::from_secs(7)));
}

#[test]
fn what_is_not_allowed_is_refused() {
    for text in [
        "audit: {content: everything}",
        "audit: {node: \"a b\"}",
        "audit: {key: [a]}",
        "audit: {checkpoint: {records: 0}}",
        "audit: {checkpoint: {minutes: 1}}",
        "audit: {on_failure: allow}",
        "audit: {spill: {size: 1}}",
        "audit: {retention: {age: 1s}}",
        "audit: {retention: {age: 90}}",
        "audit: {retention: {size: 5}}",
    ] {
        assert!(body(text).is_err(), "{text}");
    }
}

#[test]
fn the_key_is_not_part_of_the_digest() {
    let digest =
        |key: &str| parse("version: \"1.0\"", &environment([("OCTROI_AUDIT_KEY", key)])).unwrap().config.digest();
    assert_eq!(digest("one"), digest("two"));
}

#[test]
fn a_database_is_taken_and_shown_without_its_password() {
    let audit = body("audit: {url: \"postgres://me:hunter2@host:5432/db?sslmode=require\"}").unwrap().config.audit;
    let AuditStore::Postgres(url) = &audit.store else { panic!("{audit:?}") };
    assert_eq!(url.expose(), "postgres://me:hunter2@host:5432/db?sslmode=require");
    assert_eq!(format!("{url:?}"), "postgres://me@host:5432/db");
    for url in [
        "postgres://me:hun?ter2@host/db",
        "postgres://me:h@hun?ter2@host/db",
        "postgres://host/db?password=hun@ter2",
        "postgres://h/d?password=ter2",
    ] {
        let audit = body(&format!("audit: {{url: \"{url}\"}}")).unwrap().config.audit;
        let shown = format!("{:?}", audit.store);
        assert!(!shown.contains("hun") && !shown.contains("ter2"), "{shown}");
    }
    assert_eq!(audit.node, AuditNode::KeptIn("octroi.node".into()));
    assert!(matches!(audit.key, AuditKeySource::MadeOnce(path) if path == Path::new("octroi.key")));
}

#[test]
fn records_are_refused_or_spilled_and_kept_as_long_as_is_said() {
    let audit = body("audit: {spill: {size: 1MiB}}").unwrap().config.audit;
    assert_eq!((audit.on_failure, audit.retention_age, audit.retention_size), (AuditFailure::Deny, None, None));
    let audit = body("audit: {on_failure: spill, url: \"sqlite://a/b.db\"}").unwrap().config.audit;
    assert_eq!(audit.on_failure, AuditFailure::Spill { file: "a/b.spill".into(), size: 256 << 20 });
    let text = "audit: {on_failure: spill, spill: {file: /fast/disk, size: 1GiB}, retention: {age: 180d, size: 50GiB}}";
    let audit = body(text).unwrap().config.audit;
    assert_eq!(audit.on_failure, AuditFailure::Spill { file: "/fast/disk".into(), size: 1 << 30 });
    assert_eq!(audit.retention_age, Some(Duration::from_secs(180 * 86_400)));
    assert_eq!(audit.retention_size, Some(50 << 30));
}
