use axum::http::{HeaderName, HeaderValue};

use super::*;
use crate::config::{Config, Environment};

fn clients() -> Resolver {
    let digest = |secret: &str| hex::encode(Sha256::digest(secret));
    let yaml = format!(
        "version: \"1.0\"\nauth:\n  mode: clients\n  clients:\n    - {{ id: one, tenant: north, secret_sha256: {} }}\n    \
         - {{ id: also, tenant: north, secret_sha256: {} }}\n    - {{ id: two, secret_sha256: {} }}\n    \
         - {{ id: off, secret_sha256: {}, enabled: false }}\n",
        digest("secret-1"),
        digest("secret-2"),
        digest("secret-3"),
        digest("secret-4"),
    );
    Resolver::new(Config::parse(&yaml, "test", &Environment::default()).unwrap().config.auth)
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap()))
        .collect()
}

fn basic(text: &str) -> String {
    format!("Basic {}", STANDARD.encode(text))
}

#[test]
fn in_open_mode_body_header_and_basic_user_count_in_this_order() {
    let open = Resolver::new(Auth::Open);
    let user = basic("by-basic:");
    let all = [("x-client-id", "by-header"), ("authorization", user.as_str())];
    for (pairs, body, expected) in [
        (&all[..], Some("by-body"), "by-body"),
        (&all[..], None, "by-header"),
        (&all[..], Some(""), "by-header"),
        (&all[1..], None, "by-basic"),
        (&[("authorization", "Bearer key")], None, "community"),
        (&[("authorization", "Basic %%%")], None, "community"),
        (&[], None, "community"),
    ] {
        let caller = open.presented(&headers(pairs)).unwrap().caller(body, None).unwrap();
        assert_eq!((caller.client.as_str(), caller.tenant.as_str()), (expected, expected), "{pairs:?} {body:?}");
    }
}

#[test]
fn with_clients_only_the_right_secret_opens() {
    let resolver = clients();
    for (credentials, expected) in [
        (basic("one:secret-1"), Ok("one")),
        ("Bearer secret-1".to_owned(), Ok("one")),
        ("bearer  secret-3".to_owned(), Ok("two")),
        (basic("two:secret-1"), Err("authentication_failed")),
        (basic(":secret-1"), Err("authentication_failed")),
        (basic("one:"), Err("authentication_failed")),
        (basic("one"), Err("authentication_failed")),
        ("Bearer wrong".to_owned(), Err("authentication_failed")),
        ("Bearer ".to_owned(), Err("authentication_failed")),
        ("Digest secret-1".to_owned(), Err("authentication_failed")),
        ("secret-1".to_owned(), Err("authentication_failed")),
        (basic("off:secret-4"), Err("client_disabled")),
    ] {
        let presented = headers(&[("authorization", &credentials)]);
        let client = resolver.presented(&presented).and_then(|it| it.caller(None, None)).map(|it| it.client);
        assert_eq!(client.as_deref().map_err(ApiError::code), expected, "{credentials}");
    }
    assert!(matches!(resolver.presented(&HeaderMap::new()), Err(ApiError::NoCredentials)));
}

#[test]
fn naming_another_client_or_tenant_is_a_mismatch() {
    let resolver = clients();
    let me = basic("one:secret-1");
    let with = |name: &'static str, value: &'static str| headers(&[("authorization", me.as_str()), (name, value)]);
    for (headers, fits) in [
        (with("x-client-id", "one"), true),
        (with("x-client-id", ""), true),
        (with("x-client-id", "also"), false),
        (with("x-tenant-id", "north"), true),
        (with("x-tenant-id", "two"), false),
    ] {
        assert_eq!(resolver.presented(&headers).is_ok(), fits, "{headers:?}");
    }
    let headers = headers(&[("authorization", &me)]);
    let presented = resolver.presented(&headers).unwrap();
    for (body, fits) in [(None, true), (Some("one"), true), (Some(""), true), (Some("also"), false), (Some("x"), false)]
    {
        assert_eq!(presented.caller(body, None).is_ok(), fits, "{body:?}");
    }
    for (filter, fits) in [(None, true), (Some("one"), true), (Some("also"), true), (Some("two"), false)] {
        let tenant = presented.searched_tenant(filter);
        assert_eq!(tenant.ok().as_deref(), fits.then_some("north"), "{filter:?}");
    }
    assert!(presented.tenant_of_path("north").is_ok());
    assert!(presented.tenant_of_path("one").is_err() && presented.tenant_of_path("two").is_err());
}

#[test]
fn in_open_mode_reads_belong_to_the_identity_of_the_headers() {
    let open = Resolver::new(Auth::Open);
    let helpdesk = headers(&[("x-client-id", "helpdesk")]);
    let claimed = open.presented(&helpdesk).unwrap();
    assert_eq!(claimed.searched_tenant(None).unwrap(), "helpdesk");
    assert_eq!(claimed.searched_tenant(Some("other")).unwrap(), "helpdesk");
    assert!(claimed.tenant_of_path("helpdesk").is_ok() && claimed.tenant_of_path("other").is_err());
    let empty = HeaderMap::new();
    let nobody = open.presented(&empty).unwrap();
    assert_eq!(nobody.searched_tenant(None).unwrap(), "community");
    assert_eq!(nobody.searched_tenant(Some("helpdesk")).unwrap(), "helpdesk");
    assert!(nobody.tenant_of_path("helpdesk").is_ok());
    assert!(nobody.named_caller(None, None).unwrap().is_none());
}

#[test]
fn ids_that_could_do_harm_are_refused_by_name() {
    let open = Resolver::new(Auth::Open);
    let empty = HeaderMap::new();
    let presented = open.presented(&empty).unwrap();
    for id in ["x".repeat(129), "a\u{0}b".to_owned(), "a\nb".to_owned(), "a\u{202e}b".to_owned()] {
        let error = presented.caller(Some(&id), None).unwrap_err().to_string();
        assert!(error.starts_with("client_id: expected"), "{error}");
    }
    assert!(presented.caller(Some(&"é".repeat(64)), None).is_ok());
    let error = open.presented(&headers(&[("x-client-id", &"x".repeat(129))])).unwrap_err().to_string();
    assert!(error.starts_with("X-Client-ID: "), "{error}");
}
