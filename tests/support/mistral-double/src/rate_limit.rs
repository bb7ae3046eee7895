//! Rate-limit headers, in both families, and the 429 that goes with them.

use hyper::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use serde_json::{Value, json};

use crate::refusal::error_body;
use crate::route::Endpoint;

/// The names the limits are reported under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RateLimitHeaders {
    /// `x-ratelimit-limit-req-minute` and its kin: 2026.
    #[default]
    Current,
    /// `ratelimitbysize-limit` and its kin: to mid 2025.
    Older,
    /// None at all.
    Absent,
}

/// Requests a minute that the double claims to allow. It enforces none: a 429 is scripted.
const REQUESTS_PER_MINUTE: u64 = 3_600;
/// Tokens a minute that the double claims to allow.
const TOKENS_PER_MINUTE: u64 = 20_000_000;

const fn name(text: &'static str) -> HeaderName {
    HeaderName::from_static(text)
}

/// Adds the headers of a successful answer. Embeddings have the request pair only, `/v1/models` none.
pub(crate) fn add(headers: &mut HeaderMap, family: RateLimitHeaders, endpoint: Endpoint, tokens: u64) {
    if endpoint == Endpoint::Models {
        return;
    }
    match family {
        RateLimitHeaders::Absent => {}
        RateLimitHeaders::Current => {
            headers.insert(name("x-ratelimit-limit-req-minute"), REQUESTS_PER_MINUTE.into());
            headers.insert(name("x-ratelimit-remaining-req-minute"), (REQUESTS_PER_MINUTE - 1).into());
            if endpoint != Endpoint::Embeddings {
                headers.insert(name("x-ratelimit-limit-tokens-minute"), TOKENS_PER_MINUTE.into());
                let remaining = TOKENS_PER_MINUTE.saturating_sub(tokens);
                headers.insert(name("x-ratelimit-remaining-tokens-minute"), remaining.into());
                headers.insert(name("x-ratelimit-tokens-query-cost"), tokens.into());
            }
        }
        RateLimitHeaders::Older => {
            let remaining = TOKENS_PER_MINUTE.saturating_sub(tokens);
            headers.insert(name("ratelimitbysize-limit"), TOKENS_PER_MINUTE.into());
            headers.insert(name("ratelimitbysize-remaining"), remaining.into());
            headers.insert(name("ratelimitbysize-reset"), HeaderValue::from(42_u64));
            headers.insert(name("ratelimitbysize-query-cost"), tokens.into());
            headers.insert(name("x-ratelimitbysize-limit-minute"), TOKENS_PER_MINUTE.into());
            headers.insert(name("x-ratelimitbysize-remaining-minute"), remaining.into());
        }
    }
}

/// A 429.
#[derive(Debug, Clone)]
pub struct RateLimit {
    cause: Cause,
    headers: RateLimitHeaders,
    extra: Vec<(HeaderName, HeaderValue)>,
    body: RateLimitBody,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    Requests,
    Tokens,
    NotAllowed,
    Capacity,
}

/// Who refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RateLimitBody {
    Application,
    Edge,
}

impl RateLimit {
    const fn new(cause: Cause) -> Self {
        Self { cause, headers: RateLimitHeaders::Current, extra: Vec::new(), body: RateLimitBody::Application }
    }

    /// The requests of this minute are spent (code 1300).
    #[must_use]
    pub const fn requests() -> Self {
        Self::new(Cause::Requests)
    }

    /// The tokens of this minute are spent (code 1300).
    #[must_use]
    pub const fn tokens() -> Self {
        Self::new(Cause::Tokens)
    }

    /// The key may never use this model: the limit is 0 (code 1300).
    #[must_use]
    pub const fn not_allowed() -> Self {
        Self::new(Cause::NotAllowed)
    }

    /// The model's capacity is spent, for everybody (code 3505).
    #[must_use]
    pub const fn capacity() -> Self {
        Self::new(Cause::Capacity)
    }

    /// Reports the limits in this family, or not at all.
    #[must_use]
    pub const fn headers(mut self, family: RateLimitHeaders) -> Self {
        self.headers = family;
        self
    }

    /// Adds `Retry-After`: seconds or an HTTP date. Without this call there is none.
    #[must_use]
    pub fn retry_after(mut self, value: &str) -> Self {
        if let Ok(value) = HeaderValue::try_from(value) {
            self.extra.push((RETRY_AFTER, value));
        }
        self
    }

    /// Adds `retry-after-ms`.
    #[must_use]
    pub fn retry_after_ms(mut self, milliseconds: u64) -> Self {
        self.extra.push((name("retry-after-ms"), milliseconds.into()));
        self
    }

    /// Answers with the edge's body, `{"message":"Requests rate limit exceeded"}`.
    #[must_use]
    pub const fn from_edge(mut self) -> Self {
        self.body = RateLimitBody::Edge;
        self
    }

    pub(crate) fn body(&self) -> Value {
        match (self.body, self.cause) {
            (RateLimitBody::Edge, _) => json!({ "message": "Requests rate limit exceeded" }),
            (RateLimitBody::Application, Cause::Capacity) => error_body(
                429,
                "service_tier_capacity_exceeded",
                Some("3505"),
                &Value::from("Service tier capacity exceeded for this model."),
            ),
            (RateLimitBody::Application, _) => {
                error_body(429, "rate_limited", Some("1300"), &Value::from("Rate limit exceeded"))
            }
        }
    }

    /// Only the exhausted pair is present.
    pub(crate) fn add_headers(&self, headers: &mut HeaderMap) {
        let limit = if self.cause == Cause::NotAllowed { 0 } else { REQUESTS_PER_MINUTE };
        match (self.headers, self.cause) {
            (RateLimitHeaders::Absent, _) | (RateLimitHeaders::Current, Cause::Capacity) => {}
            (RateLimitHeaders::Current, Cause::Requests | Cause::NotAllowed) => {
                headers.insert(name("x-ratelimit-limit-req-minute"), limit.into());
                headers.insert(name("x-ratelimit-remaining-req-minute"), 0_u64.into());
            }
            (RateLimitHeaders::Current, Cause::Tokens) => {
                headers.insert(name("x-ratelimit-limit-tokens-minute"), TOKENS_PER_MINUTE.into());
                headers.insert(name("x-ratelimit-remaining-tokens-minute"), 0_u64.into());
            }
            (RateLimitHeaders::Older, cause) => {
                let limit = if cause == Cause::NotAllowed { 0 } else { TOKENS_PER_MINUTE };
                headers.insert(name("ratelimitbysize-limit"), limit.into());
                headers.insert(name("ratelimitbysize-remaining"), 0_u64.into());
                headers.insert(name("ratelimitbysize-reset"), 17_u64.into());
                headers.insert(name("ratelimitbysize-query-cost"), 32_u64.into());
            }
        }
        for (name, value) in &self.extra {
            headers.insert(name.clone(), value.clone());
        }
    }
}
