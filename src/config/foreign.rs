//! Keys of AxonFlow's configuration that mean nothing here. They are taken out before the rest is checked, and named in
//! one warning, so that a file written for AxonFlow loads as it stands.

use super::environment::Environment;
use super::yaml::{Document, Node};

/// At the top.
const TOP: &[&str] = &["connectors"];

/// In `llm_providers.NAME.config`.
const PROVIDER_CONFIG: &[&str] = &["region", "timeout"];

/// In `llm_providers.NAME.credentials`.
const PROVIDER_CREDENTIALS: &[&str] = &["access_key_id", "secret_access_key", "session_token"];

/// Takes the keys out of the document. Returns the warning, if there were any.
pub(super) fn take(document: &mut Document<'_>) -> Option<String> {
    let mut taken = Vec::new();
    take_from(&mut document.root, TOP, "", &mut taken);
    if let Some(Node::Map(providers)) = child(&mut document.root, "llm_providers") {
        for (name, provider) in providers {
            for (section, keys) in [("config", PROVIDER_CONFIG), ("credentials", PROVIDER_CREDENTIALS)] {
                if let Some(node) = child(provider, section) {
                    take_from(node, keys, &format!("llm_providers.{}.{section}.", name.escape_debug()), &mut taken);
                }
            }
        }
    }
    (!taken.is_empty()).then(|| format!("keys without meaning here were passed over: {}", taken.join(", ")))
}

/// Variables of AxonFlow that mean nothing here, and what stands for them.
const VARIABLES: &[(&str, &str)] = &[
    ("AXONFLOW_PRICING_CONFIG", "prices are read from the file in routing.prices"),
    ("PROVIDER_COSTS", "prices are read from the file in routing.prices"),
];

/// One warning for each such variable that is set.
pub(super) fn variables(environment: &Environment) -> impl Iterator<Item = String> {
    let set = VARIABLES.iter().filter(|(name, _)| environment.get(name).is_some());
    set.map(|(name, instead)| format!("{name} was passed over: {instead}"))
}

fn child<'a>(node: &'a mut Node, key: &str) -> Option<&'a mut Node> {
    let Node::Map(entries) = node else { return None };
    entries.iter_mut().find(|(name, _)| name == key).map(|(_, value)| value)
}

fn take_from(node: &mut Node, keys: &[&str], prefix: &str, taken: &mut Vec<String>) {
    let Node::Map(entries) = node else { return };
    entries.retain(|(name, _)| {
        let foreign = keys.contains(&name.as_str());
        if foreign {
            taken.push(format!("{prefix}{name}"));
        }
        !foreign
    });
}
