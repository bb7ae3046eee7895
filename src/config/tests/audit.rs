//! `audit`: the store, the key and what is kept.

use std::path::Path;
use std::time::Duration;

use crate::config::{AuditContent, AuditKeySource};

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
fn what_is_left_open_has_the_documented_defaults() {
    let audit = body("").unwrap().config.audit;
    assert_eq!((audit.content, audit.node), (AuditContent::Redacted, None));
    assert_eq!((audit.checkpoint_records, audit.checkpoint_interval), (1_000, Duration::from_secs(60)));
    let audit =
        body("audit: {content: none, node: east-1, checkpoint: {records: 5, seconds: 7}}").unwrap().config.audit;
    assert_eq!((audit.content, audit.node.as_deref()), (AuditContent::None, Some("east-1")));
    assert_eq!((audit.checkpoint_records, audit.checkpoint_interval), (5, Duration::from_secs(7)));
}

#[test]
fn what_is_not_allowed_is_refused() {
    for text in [
        "audit: {content: everything}",
        "audit: {node: \"a b\"}",
        "audit: {key: [a]}",
        "audit: {checkpoint: {records: 0}}",
        "audit: {checkpoint: {minutes: 1}}",
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
