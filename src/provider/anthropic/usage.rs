//! What an answer of Anthropic's is billed by.

use serde_json::Value;

use crate::chat::Usage;
use crate::provider::answer::completion::number;
use crate::provider::price::{Host, Terms, Tier};

/// What the `usage` of an answer, or of its events so far, tells.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counted {
    input: Option<u64>,
    output: Option<u64>,
    /// Of the output, that which was thought.
    thinking: Option<u64>,
    cached: Option<u64>,
    cache_write: Option<u64>,
    cache_write_1h: Option<u64>,
    /// Whether it was bought ahead.
    priority: Option<bool>,
    /// Whether inference was kept in the United States.
    american: Option<bool>,
}

impl Counted {
    /// Reads a `usage`. What is of another type than usual is not told.
    pub(super) fn read(usage: &Value) -> Self {
        let count = |name: &str| usage.get(name).and_then(number);
        let is = |name: &str, word: &str| usage.get(name).and_then(Value::as_str).map(|said| said == word);
        let for_an_hour = usage.get("cache_creation").and_then(|it| it.get("ephemeral_1h_input_tokens"));
        Self {
            input: count("input_tokens"),
            output: count("output_tokens"),
            thinking: usage.get("output_tokens_details").and_then(|it| it.get("thinking_tokens")).and_then(number),
            cached: count("cache_read_input_tokens"),
            cache_write: count("cache_creation_input_tokens"),
            cache_write_1h: for_an_hour.and_then(number),
            priority: is("service_tier", "priority"),
            american: is("inference_geo", "us"),
        }
    }

    /// Of several counts the last holds.
    pub(super) fn then(self, later: Self) -> Self {
        Self {
            input: later.input.or(self.input),
            output: later.output.or(self.output),
            thinking: later.thinking.or(self.thinking),
            cached: later.cached.or(self.cached),
            cache_write: later.cache_write.or(self.cache_write),
            cache_write_1h: later.cache_write_1h.or(self.cache_write_1h),
            priority: later.priority.or(self.priority),
            american: later.american.or(self.american),
        }
    }

    /// Tokens. Those that were read from the cache, or written to it, are not among the vendor's `input_tokens`.
    pub(super) fn usage(self) -> Option<Usage> {
        if self.input.is_none() && self.output.is_none() {
            return None;
        }
        let cached_tokens = self.cached.unwrap_or(0);
        let cache_write_tokens = self.cache_write.unwrap_or(0);
        Some(Usage {
            prompt_tokens: self.input.unwrap_or(0).saturating_add(cached_tokens).saturating_add(cache_write_tokens),
            completion_tokens: self.output.unwrap_or(0),
            reasoning_tokens: self.thinking.unwrap_or(0).min(self.output.unwrap_or(0)),
            cached_tokens,
            cache_write_tokens,
            cache_write_1h_tokens: self.cache_write_1h.unwrap_or(0),
            ..Usage::default()
        })
    }

    /// Which prices hold: inference that is kept in the United States has a surcharge, priority is bought ahead.
    pub(super) fn terms(self) -> Terms {
        let host = if self.american == Some(true) { Host::Regional } else { Host::Global };
        let tier = if self.priority == Some(true) { Tier::Other } else { Tier::Standard };
        Terms { host, tier }
    }
}
