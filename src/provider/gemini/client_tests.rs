//! What the provider is made from, where it sends what, which names it takes, and what tokens cost.

use std::time::Duration;

use super::*;
use crate::chat::Usage;
use crate::provider::names::tests::serves_what_it_lists;
use crate::provider::{Kind, Prices, Settings};

const M: u64 = 1_000_000;

fn settings() -> Settings {
    Settings {
        api_key: Some(ApiKey::new("AIza-very-secret").unwrap()),
        prices: Prices::shipped().unwrap().of("gemini", Kind::Gemini),
        ..Settings::new(Kind::Gemini, "https://host.example/base/v1beta/", "gemini-3.5-flash-lite")
            .with(|entry| entry.timeout = Duration::from_secs(5))
    }
}

#[test]
fn the_address_holds_the_model_and_never_the_key() {
    let made = Gemini::new(settings()).unwrap();
    for (model, path) in [
        ("gemini-3.5-flash", "/base/v1beta/models/gemini-3.5-flash:generateContent"),
        ("my gem/../ini", "/base/v1beta/models/my%20gem%2F..%2Fini:generateContent"),
    ] {
        let url = made.url(&["models", &format!("{model}:generateContent")]);
        assert_eq!((url.path(), url.query()), (path, None));
    }
    assert_eq!(made.models_url().as_str(), "https://host.example/base/v1beta/models?pageSize=1000");
    let printed = format!("{made:?}");
    assert!(!printed.contains("very-secret"), "{printed}");
    assert_eq!(Gemini::new(Settings { api_key: None, ..settings() }).unwrap_err().code(), "key_empty");
}

#[test]
fn only_its_own_names_are_asked() {
    let made = Gemini::new(settings()).unwrap();
    for (model, served) in [("gemini-2.5-pro", true), ("claude-opus-5", false), ("mistral-small-latest", false)] {
        assert_eq!(made.serves(model), served, "{model}");
    }
    let listing = Gemini::new(settings().with(|entry| entry.models = vec!["gemini-2.5-pro".into()])).unwrap();
    assert!(listing.serves("gemini-2.5-pro") && !listing.serves("gemini-3.5-flash"));
}

#[test]
fn the_rules_of_billing_hold() {
    let made = Gemini::new(settings()).unwrap();
    for (model, cached_tokens, expected) in [
        ("gemini-3.5-flash-lite", 0, Some(2.8)),
        ("gemini-3.5-flash-lite", M, Some(2.53)),
        ("gemini-2.0-flash", M, Some(0.425)),
        ("gemini-3.1-pro-preview", 0, None),
    ] {
        let cost =
            made.price(model, &Usage { prompt_tokens: M, completion_tokens: M, cached_tokens, ..Usage::default() });
        match (cost, expected) {
            (Some(cost), Some(expected)) => assert!((cost - expected).abs() < 1e-9, "{model}: {cost}"),
            _ => assert_eq!(cost, expected, "{model}"),
        }
    }
}

#[test]
fn what_it_lists_is_asked_of_it_unless_it_is_plainly_anothers() {
    serves_what_it_lists(&Gemini::new(settings()).unwrap());
}
