//! The shipped prices, and what follows from them.

use super::*;

const M: u64 = 1_000_000;

fn cost(model: &str, prompt_tokens: u64, cached_tokens: u64, completion_tokens: u64, terms: Terms) -> Option<f64> {
    let usage = Usage { prompt_tokens, completion_tokens, cached_tokens, ..Usage::default() };
    Prices::shipped().unwrap().of("mistral", Kind::Mistral).cost(model, &usage, terms)
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
        ("mistral-moderation-latest", M, 0, 0, standard, Some(0.0)),
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
fn every_vendor_has_dated_prices() {
    let prices = Prices::shipped().unwrap();
    for (kind, model) in [
        (Kind::Mistral, "mistral-small-latest"),
        (Kind::OpenAi, "gpt-4o"),
        (Kind::Anthropic, "claude-sonnet-4-6"),
        (Kind::Gemini, "gemini-3.5-flash-lite"),
        (Kind::Ollama, "whatever"),
    ] {
        let table = prices.of(kind.as_str(), kind);
        assert!(table.as_of().year() >= 2026, "{kind}");
        assert!(table.get(model).is_some(), "{kind}");
    }
    for kind in [Kind::AzureOpenAi, Kind::OpenAiCompatible] {
        assert_eq!(prices.of(kind.as_str(), kind).models().count(), 0, "{kind}: names of deployments tell no price");
    }
}

#[test]
fn a_deployment_costs_what_its_model_does_unless_a_file_says_otherwise() {
    let mut prices = Prices::shipped().unwrap();
    let openais = prices.of("openai", Kind::OpenAi).get("gpt-4o");
    let table = prices.of_deployment("azure-openai", "prod", "gpt-4o");
    assert!(openais.is_some() && table.get("prod") == openais && table.get("gpt-4o").is_none());
    assert!(table.as_of().year() >= 2026);
    assert_eq!(prices.of_deployment("azure-openai", "prod", "nobodys").get("prod"), None);
    let file = r#"{"azure-openai":{"as_of":"2026-11-01","models":[{"ids":["prod"],"input":1,"output":2}]}}"#;
    prices.put_over(file).unwrap();
    assert_eq!(prices.of_deployment("azure-openai", "prod", "gpt-4o").get("prod").unwrap().rates.input, 1.0);
}

#[test]
fn an_alias_is_priced_as_what_stands_behind_it_unless_a_file_names_the_alias() {
    let mut prices = Prices::shipped().unwrap();
    let row = |id: &str| {
        let rates = r#""input": 7, "output": 7"#;
        format!(r#"{{"mistral":{{"as_of":"2026-11-01","models":[{{"ids":["{id}"],{rates}}}]}}}}"#)
    };
    let priced_as = |prices: &Prices, asked: &str, told: Option<&str>| {
        prices.of("mistral", Kind::Mistral).priced_as(asked, told.map(str::to_owned))
    };
    for (asked, told, expected) in [
        ("mistral-large-latest", Some("mistral-large-4"), "mistral-large-4"),
        ("pixtral-large-latest", Some("pixtral-large-2411"), "pixtral-large-2411"),
        ("mistral-large-latest", Some("of-the-future"), "mistral-large-latest"),
        ("mistral-large-latest", Some("*"), "mistral-large-latest"),
        ("mistral-large-latest", None, "mistral-large-latest"),
    ] {
        assert_eq!(priced_as(&prices, asked, told), expected, "{told:?}");
    }
    prices.put_over(&row("*")).unwrap();
    assert_eq!(priced_as(&prices, "mistral-large-latest", Some("mistral-large-4")), "mistral-large-4");
    prices.put_over(&row("mistral-large-latest")).unwrap();
    assert_eq!(priced_as(&prices, "mistral-large-latest", Some("mistral-large-4")), "mistral-large-latest");
}

#[test]
fn a_tier_without_a_known_price_has_none() {
    let table = Prices::shipped().unwrap().of("openai", Kind::OpenAi);
    let usage = Usage { prompt_tokens: M, ..Usage::default() };
    let cost = |model: &str, word: Option<&str>| {
        table.cost(model, &usage, Terms { tier: Tier::named(word), ..Terms::default() })
    };
    for (model, tier, expected) in [
        ("gpt-5", None, Some(1.25)),
        ("gpt-5", Some("default"), Some(1.25)),
        ("gpt-5", Some("on_demand"), Some(1.25)),
        ("gpt-5", Some("priority"), Some(2.5)),
        ("gpt-5", Some("flex"), Some(0.625)),
        ("gpt-5", Some("scale"), None),
        ("o1", Some("flex"), None),
        ("omni-moderation-latest", Some("scale"), Some(0.0)),
    ] {
        assert_eq!(cost(model, tier), expected, "{model} {tier:?}");
    }
}

#[test]
fn a_long_prompt_has_its_own_rates() {
    let table = Prices::shipped().unwrap().of("openai", Kind::OpenAi);
    let cost = |prompt_tokens| table.cost("gpt-5.4", &Usage { prompt_tokens, ..Usage::default() }, Terms::default());
    assert_eq!(cost(272_000), Some(0.272 * 2.5));
    assert_eq!(cost(272_001), Some(0.272_001 * 5.0));
}

#[test]
fn openais_newer_models_charge_for_writing_to_the_cache() {
    let table = Prices::shipped().unwrap().of("openai", Kind::OpenAi);
    let usage = Usage { prompt_tokens: M, cache_write_tokens: M, ..Usage::default() };
    let few = Usage { prompt_tokens: 100_000, cache_write_tokens: 100_000, ..Usage::default() };
    for (model, short, long) in [
        ("gpt-5.6-terra", 2.5, 5.0),
        ("gpt-5.6-luna", 0.25, 0.5),
        ("gpt-6-sol", 2.5, 5.0),
        ("gpt-6-luna", 0.125, 0.25),
        ("gpt-6.2-sol", 2.5, 5.0),
    ] {
        let cost = |usage| table.cost(model, usage, Terms::default()).unwrap();
        assert!((cost(&few) - short / 10.0).abs() < 1e-9 && (cost(&usage) - long).abs() < 1e-9, "{model}");
    }
}

#[test]
fn writing_to_the_cache_has_its_price() {
    let mut prices = Prices::shipped().unwrap();
    let usage = Usage { prompt_tokens: 5 * M, cached_tokens: M, cache_write_tokens: 3 * M, ..Usage::default() };
    let an_hour = Usage { cache_write_1h_tokens: M, ..usage };
    let costs = |prices: &Prices, usage: &Usage, expected: f64| {
        let table = prices.of("anthropic", Kind::Anthropic);
        let cost = table.cost("claude-sonnet-4-6", usage, Terms::default()).unwrap();
        assert!((cost - expected).abs() < 1e-9, "{cost} {expected}");
    };
    // One fresh at 3, one read at 0.3, three written at 3.75, or one of them at 6.
    costs(&prices, &usage, 3.0 + 0.3 + 3.0 * 3.75);
    costs(&prices, &an_hour, 3.0 + 0.3 + 2.0 * 3.75 + 6.0);
    let more_than_there_are = Usage { cache_write_tokens: 9 * M, cache_write_1h_tokens: 9 * M, ..usage };
    costs(&prices, &more_than_there_are, 0.3 + 4.0 * 6.0);
    let row = r#"{"ids": ["claude-sonnet-4-6"], "input": 1, "cached_input": 0, "cache_write": 0, "output": 1}"#;
    prices.put_over(&format!(r#"{{"anthropic": {{"as_of": "2026-11-01", "models": [{row}]}}}}"#)).unwrap();
    costs(&prices, &an_hour, 1.0 + 2.0);
    let mistral = prices.of("mistral", Kind::Mistral);
    assert_eq!(mistral.cost("mistral-small-latest", &usage, Terms::default()), None, "nobody knows what that costs");
}

#[test]
fn an_image_may_have_a_price() {
    let mut prices = Prices::shipped().unwrap();
    let usage = Usage { prompt_tokens: M, images: 3, ..Usage::default() };
    let cost = |prices: &Prices, terms| prices.of("mistral", Kind::Mistral).cost("mistral-small-latest", &usage, terms);
    assert_eq!(cost(&prices, Terms::default()), Some(0.15), "no shipped price is by the image");
    let put = |prices: &mut Prices, image: &str| {
        let row = format!(r#"{{"ids":["mistral-small-latest"],"input":1,"output":1,"image":{image}}}"#);
        prices.put_over(&format!(r#"{{"mistral":{{"as_of":"2026-11-01","models":[{row}]}}}}"#))
    };
    put(&mut prices, "0.5").unwrap();
    assert_eq!(cost(&prices, Terms::default()), Some(1.0 + 1.5));
    assert_eq!(cost(&prices, Terms { tier: Tier::Priority, ..Terms::default() }), Some(2.5 * 1.75));
    let refused = put(&mut prices, "-1").unwrap_err().to_string();
    assert!(refused.contains("image of model `mistral-small-latest`"), "{refused}");
}

#[test]
fn a_file_goes_over_the_shipped_prices() {
    let mut prices = Prices::shipped().unwrap();
    prices
        .put_over(
            r#"{
                "mistral": { "as_of": "2026-11-01", "models": [{ "ids": ["mistral-small-latest", "ft:mine"], "input": 9, "output": 9 }] },
                "groq": { "as_of": "2026-10-01", "models": [{ "ids": ["llama"], "input": 1, "output": 2 }] },
                "eu": { "as_of": "2026-10-02", "regional_factor": 2, "models": [{ "ids": ["ft:eu"], "input": 3, "output": 3 }] }
            }"#,
        )
        .unwrap();
    let mistral = prices.of("mistral", Kind::Mistral);
    let million = Usage { prompt_tokens: M, ..Usage::default() };
    let cost = |table: &PriceTable, model: &str| table.cost(model, &million, Terms::default());
    assert_eq!(mistral.as_of().to_string(), "2026-11-01");
    assert_eq!((cost(&mistral, "mistral-small-latest"), cost(&mistral, "ft:mine")), (Some(9.0), Some(9.0)));
    assert_eq!(cost(&mistral, "mistral-large-latest"), Some(0.5), "the others stay");
    let cached = Usage { cached_tokens: M, ..million };
    assert_eq!(mistral.cost("ft:mine", &cached, Terms::default()), Some(0.9), "the section's factors stay");
    assert_eq!(cost(&prices.of("groq", Kind::OpenAiCompatible), "llama"), Some(1.0));
    let eu = prices.of("eu", Kind::Mistral);
    assert_eq!((cost(&eu, "ft:eu"), cost(&eu, "ft:mine")), (Some(3.0), Some(9.0)));
    let regional = Terms { host: Host::Regional, ..Terms::default() };
    assert_eq!(eu.cost("ft:eu", &million, regional), Some(6.0));
    let close = |cost: Option<f64>, expected: f64| assert!((cost.unwrap() - expected).abs() < 1e-9, "{cost:?}");
    close(eu.cost("ft:eu", &cached, Terms::default()), 0.3);
    assert_eq!(eu.cost("ft:eu", &million, Terms { tier: Tier::Priority, ..Terms::default() }), Some(3.0 * 1.75));
}

#[test]
fn a_providers_own_section_has_the_factors_of_its_type_unless_it_has_its_own() {
    let mut prices = Prices::shipped().unwrap();
    let section = |factor: &str| {
        format!(r#"{{"as_of":"2026-11-01",{factor}"models":[{{"ids":["mine"],"input":2,"output":0}}]}}"#)
    };
    let one = section("");
    let other = section(r#""cached_input_factor":0.5,"#);
    prices.put_over(&format!(r#"{{"claude-eu":{one},"claude-us":{other}}}"#)).unwrap();
    let usage = Usage { prompt_tokens: 3 * M, cached_tokens: M, cache_write_tokens: M, ..Usage::default() };
    // One fresh at 2, one read at a tenth or half of that, one written at five quarters of it.
    for (name, model, expected) in [
        ("claude-eu", "mine", 2.0 + 0.2 + 2.5),
        ("claude-us", "mine", 2.0 + 1.0 + 2.5),
        ("claude-us", "claude-haiku-4-5", 1.0 + 0.5 + 1.25),
        ("anthropic", "claude-haiku-4-5", 1.0 + 0.1 + 1.25),
    ] {
        let cost = prices.of(name, Kind::Anthropic).cost(model, &usage, Terms::default()).unwrap();
        assert!((cost - expected).abs() < 1e-9, "{name} {model}: {cost}");
    }
}

#[test]
fn prices_that_do_not_hold_are_refused_and_change_nothing() {
    let a = r#"{"ids":["a"],"input":1,"output":1}"#;
    let file = |factor: &str, models: &str| {
        format!(r#"{{"mistral":{{"as_of":"2026-01-01","cached_input_factor":{factor},"models":[{models}]}}}}"#)
    };
    let mut prices = Prices::shipped().unwrap();
    let mut refused = |json: String| prices.put_over(&json).unwrap_err().to_string();
    assert_eq!(refused(file("0.1", &format!("{a},{a}"))), "`mistral`: model `a` has two prices");
    assert_eq!(refused(file("-1", a)), "`mistral`: cached_input_factor must be a number of zero or more");
    let negative = r#"{"ids":["a"],"input":-1,"output":1}"#;
    assert_eq!(refused(file("0.1", negative)), "`mistral`: input of model `a` must be a number of zero or more");
    assert!(refused(file("0.1", r#"{"ids":["a"],"input":1,"output":1,"typo":1}"#)).contains("typo"));
    let odd = refused(file("0.1", &format!(r#"{a},{{"ids":["b"],"input":"1","output":1}}"#)));
    assert!(odd.starts_with("mistral.models[1].input: ") && odd.contains(" at line 1 column "), "{odd}");
    assert!(refused("{} {}".into()).starts_with("trailing characters"));
    assert!(refused("[]".into()).contains("map"));
    assert!(prices.of("mistral", Kind::Mistral).get("a").is_none());
}
