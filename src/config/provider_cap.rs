//! How many providers are started, and in which order they stand: `DEPLOYMENT_MODE=community` starts two, as AxonFlow's
//! community edition does; `routing.max_providers` says another number.

use std::cmp::Reverse;

use super::assembly::Assembly;
use super::error::ConfigError;
use super::provider::{Provider, ProviderKind};
use super::routing::Weights;
use super::scalar::Whole;
use super::yaml::{Document, KeyPath, Node};

/// What AxonFlow's community edition starts.
const COMMUNITY: usize = 2;

/// Puts the providers into the order of `LLM_PROVIDERS` where it is set, and leaves out those beyond the cap, if there is
/// one, and their weights with them: the last in that list; where there is none, those that have a weight stay before those
/// that have none, of them Mistral before all others, then those of more weight, then those of the file in its order.
pub(super) fn apply(
    started: &mut Vec<Provider>,
    max: Option<Whole<1, 1_000>>,
    weights: &mut Weights,
    assembly: &mut Assembly<'_>,
) -> Result<(), ConfigError> {
    let listed: Vec<&str> = assembly.environment.list("LLM_PROVIDERS").collect();
    if !listed.is_empty() {
        started.sort_by_key(|provider| place(&listed, provider));
    }
    let community = assembly.environment.get("DEPLOYMENT_MODE").is_some_and(|mode| mode.trim() == "community");
    let cap = match max {
        Some(max) => max.get::<u16>().into(),
        None if community => COMMUNITY,
        None => return Ok(()),
    };
    if started.len() <= cap {
        return Ok(());
    }
    let file = in_file(assembly.document);
    let mut ranked: Vec<_> = started.iter().collect();
    if listed.is_empty() {
        ranked.sort_by_key(|provider| {
            let weight = weights.of(provider);
            // None is negative, and of such numbers the bits are in the same order.
            let by_weight = Reverse(weight.to_bits());
            (weight == 0.0, provider.kind != ProviderKind::Mistral, by_weight, place(&file, provider))
        });
    }
    let left_out: Vec<_> = ranked.into_iter().skip(cap).map(|provider| provider.name.clone()).collect();
    started.retain(|provider| !left_out.contains(&provider.name));
    weights.leave_out(&left_out);
    let said_by = if max.is_some() { "routing.max_providers" } else { "DEPLOYMENT_MODE=community" };
    let left_out: Vec<_> = left_out.iter().map(|name| name.as_str()).collect();
    let left_out = left_out.join(", ");
    if started.iter().all(|provider| weights.of(provider) == 0.0) {
        let reason = format!(
            "no provider that is started has a weight above 0: {said_by} starts at most {cap}, and leaves out {left_out}; \
             give weight to those that LLM_PROVIDERS names first, or lift the limit with routing.max_providers"
        );
        return Err(assembly.invalid(KeyPath::of("routing.weights"), reason));
    }
    assembly.warn(format!(
        "Provider limit exceeded: {said_by} starts at most {cap}; left out: {left_out}. Choose with \
         LLM_PROVIDERS=NAME,..., or lift the limit with routing.max_providers"
    ));
    Ok(())
}

/// The names of the file's entries, in its order.
fn in_file<'a>(document: &'a Document<'_>) -> Vec<&'a str> {
    let Node::Map(sections) = &document.root else { return Vec::new() };
    match sections.iter().find(|(name, _)| name == "llm_providers") {
        Some((_, Node::Map(entries))) => entries.iter().map(|(name, _)| name.as_str()).collect(),
        _ => Vec::new(),
    }
}

/// Where the provider stands in the list; behind it when it does not.
fn place(list: &[&str], provider: &Provider) -> usize {
    list.iter().position(|name| name.eq_ignore_ascii_case(provider.name.as_str())).unwrap_or(usize::MAX)
}
