//! `${VAR}` stays inside the text that names it.

use super::{environment, parse};

fn display_name(template: &str, value: &str) -> String {
    let text = format!(
        "version: \"1.0\"\nllm_providers:\n  mistral:\n    display_name: \"{template}\"\n    credentials: {{api_key: k}}\n"
    );
    let loaded = parse(&text, &environment([("X", value)])).unwrap();
    loaded.config.providers[0].display_name.clone()
}

#[test]
fn variables_are_expanded_anywhere_in_a_text() {
    assert_eq!(display_name("${X}", "one"), "one");
    assert_eq!(display_name("a ${X}-${X} ${Y:-two}", "one"), "a one-one two");
    assert_eq!(display_name("${X:-default}", "one"), "one");
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    assert_eq!(display_name("${X:-default}", ""), "default");
    assert_eq!(display_name("[${X}]", ""), "[]");
    // Left open: the name is the default.
    assert_eq!(display_name("${X}", ""), "mistral");
}

#[test]
fn a_value_cannot_inject_yaml() {
    for value in ["a: b", "[1, 2]", "{a: b}", "\"", "*anchor", "# comment", "${X}", "${Y:-z}"] {
        assert_eq!(display_name("${X}", value), value);
    }
    let text = "version: \"1.0\"\nlog: {format: \"${X}\"}\n";
    let error = parse(text, &environment([("X", "text\nserver:\n  honest_status: true")])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "octroi.yaml:2:7: log.format: found the text \"${X}\" once expanded, allowed: text, json"
    );
    let text = "version: \"1.0\"\nllm_providers: \"${X}\"\n";
    let error = parse(text, &environment([("X", "a: b\n- c")])).unwrap_err();
    assert_eq!(error.to_string(), "octroi.yaml:2:1: llm_providers: found a text, allowed: a mapping");
}

#[test]
fn a_doubled_dollar_is_a_literal_and_a_bare_name_is_not_expanded() {
    assert_eq!(display_name("$${X}", "one"), "${X}");
    assert_eq!(display_name("cost: $5, $X", "one"), "cost: $5, $X");
    let text = "version: \"1.0\"\nllm_providers: {mistral: {credentials: {api_key: $KEY}}}\n";
    let loaded = parse(text, &environment([("KEY", "k")])).unwrap();
    assert_eq!(
        loaded.warnings,
        ["llm_providers.mistral.credentials.api_key: $KEY is taken as it stands; write ${KEY} to expand it"]
    );
}

#[test]
fn numbers_and_truth_values_may_be_expanded() {
    let text = "version: \"${V:-1.0}\"
server: {honest_status: \"${HONEST}\", body_limit: \"${LIMIT}\", max_connections: \"${NOT_SET}\"}
llm_providers:
  mistral:
    priority: \"${PRIO:-10}\"
    weight: \"${W:-0.25}\"
    credentials: {api_key: k}
    config: {max_tokens: \"${NOT_SET}\", timeout_seconds: \"${TIME}\"}
";
    let environment = environment([("HONEST", "true"), ("LIMIT", "2048"), ("TIME", "7")]);
    let config = parse(text, &environment).unwrap().config;
    assert!(config.server.honest_status);
    assert_eq!(config.server.body_limit, 2_048);
    assert_eq!(config.server.max_connections, 4_096);
    let mistral = &config.providers[0];
    assert_eq!((mistral.priority, mistral.weight, mistral.max_tokens), (10, 0.25, None));
    assert_eq!(mistral.timeout.as_secs(), 7);
}
