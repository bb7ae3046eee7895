//! Counters of retries and breakers. Labels are names of configured providers, and words of this program.

/// A failed call is tried again, or is not since too many are.
pub(super) fn retry(provider: &str, within_budget: bool) {
    let result = if within_budget { "tried" } else { "over_budget" };
    metrics::counter!("octroi_provider_retries_total", "provider" => provider.to_owned(), "result" => result)
        .increment(1);
}

/// A breaker has changed.
pub(super) fn breaker(provider: &str, to: &'static str) {
    metrics::counter!("octroi_breaker_changes_total", "provider" => provider.to_owned(), "to" => to).increment(1);
}

/// So many breakers of a provider let nothing pass.
pub(super) fn breakers_open(provider: &str, count: usize) {
    metrics::gauge!("octroi_breakers_open", "provider" => provider.to_owned()).set(count as f64);
}
