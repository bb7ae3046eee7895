//! What a double is set to for its whole life.

use std::time::Duration;

use crate::models::{Model, default_models};
use crate::rate_limit::RateLimitHeaders;
use crate::refusal::ValidationShape;
use crate::route::Host;

/// A point on which Mistral's behaviour changed or differs between deployments. The double's default is the one of
/// `api.mistral.ai` in August 2026; each quirk asks for the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quirk {
    /// A user message right after a tool result is 400 with code 3230, as until April 2026.
    RefuseUserAfterTool,
    /// `stream_options` is accepted and ignored, as the documentation says; no schema has it.
    AcceptStreamOptions,
    /// `safe_prompt` is 422, as on dedicated deployments.
    RefuseSafePrompt,
    /// Content beside tool calls is 400, as with old tokenizers.
    RefuseContentBesideToolCalls,
    /// The keywords `format` and `pattern` in a JSON schema are 400, the first before the second.
    RefuseKeywordsInSchema,
}

#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) host: Host,
    pub(crate) keys: Vec<String>,
    pub(crate) quirks: Vec<Quirk>,
    pub(crate) validation_shape: ValidationShape,
    pub(crate) rate_limits: RateLimitHeaders,
    pub(crate) models: Vec<Model>,
    pub(crate) before_first_byte: Duration,
    pub(crate) between_chunks: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            host: Host::default(),
            keys: Vec::new(),
            quirks: Vec::new(),
            validation_shape: ValidationShape::default(),
            rate_limits: RateLimitHeaders::default(),
            models: default_models(),
            before_first_byte: Duration::ZERO,
            between_chunks: Duration::ZERO,
        }
    }
}

impl Settings {
    pub(crate) fn has(&self, quirk: Quirk) -> bool {
        self.quirks.contains(&quirk)
    }
}
