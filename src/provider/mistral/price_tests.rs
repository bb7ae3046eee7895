//! The shipped prices, and what follows from them.

use super::*;
use crate::provider::{PriceError, Tier};

const M: u64 = 1_000_000;

fn cost(model: &str, prompt_tokens: u64, cached_tokens: u64, completion_tokens: u64, terms: Terms) -> Option<f64> {
    let usage = Usage { prompt_tokens, completion_tokens, cached_tokens };
    PriceTable::parse(PRICES).unwrap().cost(model, &usage, terms)
}

#[test]
fn the_rules_of_billing_hold() {
    let standard = Terms::default();
    let regional = Terms { host: Host::Regional, tier: Tier::Standard };
    let priority = Terms { host: Host::Global, tier: Tier::Priority };
    let both = Terms { host: Host::Regional, tier: Tier::Priority };
    for (model, prompt, cached, completion, terms, expected) in [
        ("mistral-small-latest", M, 0, M, standard, Some(0.75)),
        ("mistral-small-2603", M, 0, M, standard, Some(0.75)),
        ("mistral-large-latest", M, M, 0, standard, Some(0.05)),
        ("mistral-large-latest", M, 2 * M, 0, standard, Some(0.05)),
        ("mistral-medium-latest", M, M / 2, M, standard, Some(0.75 + 0.075 + 7.5)),
        ("mistral-large-latest", M, 0, M, regional, Some(2.2)),
        ("mistral-large-latest", M, M, M, priority, Some(1.55 * 1.75)),
        ("mistral-large-latest", M, 0, 0, both, Some(0.5 * 1.1 * 1.75)),
        ("magistral-small-2509", M, 0, M, standard, Some(2.0)),
        ("labs-leanstral-1-5", M, 0, M, standard, Some(0.0)),
        ("ft:mistral-small:mine", M, 0, M, standard, None),
        ("gpt-4o", M, 0, M, standard, None),
        ("", 0, 0, 0, standard, None),
    ] {
        let actual = cost(model, prompt, cached, completion, terms);
        match (actual, expected) {
            (Some(actual), Some(expected)) => assert!((actual - expected).abs() < 1e-9, "{model}: {actual}"),
            _ => assert_eq!(actual, expected, "{model}"),
        }
    }
}

#[test]
fn the_table_is_dated() {
    assert_eq!(PriceTable::parse(PRICES).unwrap().as_of().to_string(), "2026-08-21");
}

#[test]
fn a_table_that_does_not_hold_is_refused() {
    let table = |factor: &str, models: &str| {
        format!(
            r#"{{"as_of":"2026-01-01","sources":[],"cached_input_factor":{factor},"priority_factor":1,"regional_factor":1,"models":[{models}]}}"#
        )
    };
    let a = r#"{"ids":["a"],"input":1,"output":1}"#;
    assert!(PriceTable::parse(&table("0.1", a)).is_ok());
    assert!(
        matches!(PriceTable::parse(&table("0.1", &format!("{a},{a}"))), Err(PriceError::Duplicate(id)) if id == "a")
    );
    assert!(matches!(PriceTable::parse(&table("-1", a)), Err(PriceError::Factor("cached_input_factor"))));
    let negative = r#"{"ids":["a"],"input":-1,"output":1}"#;
    assert!(matches!(PriceTable::parse(&table("0.1", negative)), Err(PriceError::Negative(_))));
    let unknown = r#"{"ids":["a"],"input":1,"output":1,"typo":1}"#;
    assert!(matches!(PriceTable::parse(&table("0.1", unknown)), Err(PriceError::Format(_))));
}

#[test]
fn plain_http_is_for_loopback() {
    for (url, exposed) in [
        ("https://api.mistral.ai", false),
        ("http://127.0.0.1:9", false),
        ("http://[::1]:9", false),
        ("http://localhost:9", false),
        ("http://api.mistral.ai", true),
        ("http://10.0.0.1", true),
    ] {
        assert_eq!(crate::provider::endpoint::is_exposed(&Url::parse(url).unwrap()), exposed, "{url}");
    }
}

#[test]
fn only_mistrals_regional_hosts_are_regional() {
    for (url, region) in [
        ("https://api.mistral.ai", None),
        ("https://api.eu.mistral.ai", Some("eu")),
        ("https://api.us.mistral.ai/v1", Some("us")),
        ("https://codestral.mistral.ai", None),
        ("https://api.eu.mistral.ai.example", None),
        ("http://127.0.0.1:1", None),
    ] {
        assert_eq!(regional_host(&Url::parse(url).unwrap()), region, "{url}");
    }
}
