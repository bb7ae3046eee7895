//! Keys and variables of AxonFlow's configuration that mean nothing here. The keys are taken out before the rest is checked,
//! and named in one warning, so that a file written for AxonFlow loads as it stands; variables are warned of.

use super::assembly::Assembly;
use super::auth::Auth;
use super::yaml::{Document, KeyPath, Node};

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

/// What AxonFlow's detections do, by kind; each also for one surface.
const ACTIONS: &[&str] = &[
    "PII_ACTION",
    "SQLI_ACTION",
    "SENSITIVE_DATA_ACTION",
    "HIGH_RISK_ACTION",
    "DANGEROUS_QUERY_ACTION",
    "DANGEROUS_COMMAND_ACTION",
];

/// What a variable of one surface begins with there.
const SURFACES: &[&str] = &["", "GATEWAY_", "MCP_"];

/// Further variables about detections.
const POSTURE: &[&str] = &[
    "AXONFLOW_PROFILE",
    "AXONFLOW_ENFORCE",
    "GATEWAY_STATIC_POLICIES_ENABLED",
    "GATEWAY_STATIC_POLICIES_SKIP_CATEGORIES",
    "SQLI_SCANNER_MODE",
];

/// Variables of AxonFlow that mean nothing here, the key that says the same, and what to know about it.
const VARIABLES: &[(&[&str], Option<&str>, &str)] = &[
    (&["AXONFLOW_PRICING_CONFIG"], None, "prices are read from the file in routing.prices"),
    (&["PROVIDER_COSTS"], None, "prices are read from the file in routing.prices"),
    (&["DATABASE_URL", "DATABASE_HOST"], Some("audit.url"), "if meant for the records, their store is audit.url"),
    (&["JWT_SECRET"], Some("auth.clients"), "user tokens are not verified; who may call is listed in auth.clients"),
    (&["AUDIT_MODE"], Some("audit.durability"), "how durable a record is says audit.durability"),
    (&["AUDIT_FALLBACK_PATH"], Some("audit.on_failure"), "records wait in a file with audit.on_failure: spill"),
];

/// Warns of such variables that are set, by their names alone: several hold secrets. Where the file has the key that says
/// the same, nothing is missing.
pub(super) fn variables(assembly: &mut Assembly<'_>) {
    let (document, environment) = (assembly.document, assembly.environment);
    let warn = |names: &[&str], instead: &str| {
        let set: Vec<_> = names.iter().copied().filter(|name| environment.get(name).is_some()).collect();
        let were = if set.len() == 1 { "was" } else { "were" };
        (!set.is_empty()).then(|| format!("{} {were} passed over: {instead}", set.join(", ")))
    };
    let missing = |key: &Option<&str>| key.is_none_or(|key| !document.has(&KeyPath::of(key)));
    let rows = VARIABLES.iter().filter(|(_, key, _)| missing(key));
    let mut warnings: Vec<_> = rows.filter_map(|(names, _, instead)| warn(names, instead)).collect();
    let actions = SURFACES.iter().flat_map(|surface| ACTIONS.iter().map(move |action| format!("{surface}{action}")));
    let actions: Vec<_> = actions.collect();
    let names: Vec<_> = actions.iter().map(String::as_str).chain(POSTURE.iter().copied()).collect();
    warnings.extend(warn(&names, "what is done about a finding is set in the manifests of the policies folder"));
    assembly.warnings.extend(warnings);
}

/// Warns where AxonFlow would check callers, and nobody checks them here.
pub(super) fn posture(auth: &Auth, assembly: &mut Assembly<'_>) {
    let mode = assembly.environment.get("DEPLOYMENT_MODE").map(str::trim);
    if mode.is_some_and(|mode| mode != "community") && matches!(auth, Auth::Open) {
        assembly.warn(
            "DEPLOYMENT_MODE is not community, but auth.mode is open: callers are not checked; list them in auth.clients",
        );
    }
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
