//! What a provider is made from, and what it tells about itself.

use std::sync::Arc;
use std::time::Duration;

use super::http::Credential;
use super::key::{ApiKey, KeyError};
use super::price::PriceTable;
use crate::config::{Endpoint, ProviderKind as Kind};
use crate::in_flight::InFlight;

/// Everything that makes one provider.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The entry's name, unique in a gateway.
    pub name: String,
    /// Whose dialect it speaks.
    pub kind: Kind,
    /// The name for people.
    pub display_name: String,
    /// With or without `/v1`: `https://api.mistral.ai`.
    pub endpoint: Endpoint,
    /// Whether it is spoken to in HTTP/2: all calls over one connection, side by side.
    pub http2: bool,
    /// The secret; some upstreams of one's own want none.
    pub api_key: Option<ApiKey>,
    /// Further keys of the account: when one is over its limit or refused, the next is used.
    pub further_keys: Vec<ApiKey>,
    /// The model when a caller names none.
    pub model: String,
    /// The model of OpenAI's that this one is, where Azure calls it by another name.
    pub base_model: Option<String>,
    /// The models that may be asked beside the default one, `*` for all; empty: those of its kind.
    pub models: Vec<String>,
    /// Of Mistral: models that take no user's message right behind a tool's answer, `*` for all.
    pub bridge_user_after_tool: Vec<String>,
    /// Of Mistral: whether conversations without a key for the vendor's prompt cache get one.
    pub derives_cache_key: bool,
    /// Of servers like OpenAI's: models that refuse `reasoning_content` in a history, `*` for all.
    pub without_reasoning_content: Vec<String>,
    /// The version of Azure's API.
    pub api_version: Option<String>,
    /// The operator's `max_tokens` for requests that set none themselves.
    pub max_tokens: Option<u32>,
    /// From the first byte sent to the last byte read; of a stream, the wait for its beginning and for each next event.
    pub timeout: Duration,
    /// Time that a whole stream may take.
    pub stream_deadline: Duration,
    /// The longest answer that is read, in bytes.
    pub max_response_bytes: usize,
    /// What answers may hold together, this provider's and all others'.
    pub in_flight: InFlight,
    /// What its models cost.
    pub prices: Arc<PriceTable>,
    /// Where answers are made, for routing constraints; from the endpoint where it says so.
    pub region: Option<String>,
    /// Higher is asked first.
    pub priority: i32,
    /// The share inside its priority, relative to the others'; 0 takes no traffic.
    pub weight: f64,
}

impl Settings {
    /// A provider of this kind there, named as its kind, with no key, no model, no prices and otherwise every default.
    #[cfg(test)]
    pub(crate) fn new(kind: Kind, endpoint: &str) -> Self {
        Self {
            name: kind.as_str().to_owned(),
            kind,
            display_name: kind.as_str().to_owned(),
            endpoint: Endpoint::parse(endpoint).unwrap(),
            http2: false,
            api_key: None,
            further_keys: Vec::new(),
            model: String::new(),
            base_model: None,
            models: Vec::new(),
            bridge_user_after_tool: Vec::new(),
            derives_cache_key: false,
            without_reasoning_content: Vec::new(),
            api_version: None,
            max_tokens: None,
            timeout: Duration::from_secs(120),
            stream_deadline: Duration::from_secs(3_600),
            max_response_bytes: 32 << 20,
            in_flight: InFlight::default(),
            prices: Arc::default(),
            region: None,
            priority: 5,
            weight: 1.0,
        }
    }

    /// The endpoint without `/v1`, if the settings hold what every provider needs.
    pub(super) fn origin(&self) -> Result<Endpoint, BuildError> {
        let provider = || self.name.clone();
        if self.model.trim().is_empty() {
            return Err(BuildError::Model { provider: provider() });
        }
        if self.timeout.is_zero() {
            return Err(BuildError::Timeout { provider: provider() });
        }
        Ok(self.endpoint.without("/v1"))
    }

    /// What opens an upstream that wants a key; `of` makes it of one.
    pub(super) fn credential(&self, of: impl FnOnce(&ApiKey) -> Option<Credential>) -> Result<Credential, BuildError> {
        let made = self.api_key.as_ref().and_then(of);
        made.ok_or_else(|| BuildError::Key { provider: self.name.clone(), source: KeyError::Empty })
    }

    /// What a provider of these settings, at this origin, tells about itself.
    pub(super) fn info(&self, origin: &Endpoint) -> Info {
        Info {
            name: self.name.clone(),
            kind: self.kind,
            display_name: self.display_name.clone(),
            endpoint: origin.to_string(),
            model: self.model.clone(),
            timeout: self.timeout,
            region: self.region.clone(),
            priority: self.priority,
            weight: self.weight,
            has_api_key: self.api_key.is_some(),
            is_exposed: origin.is_in_clear(),
        }
    }
}

/// What a provider tells about itself. Holds no secret.
#[derive(Clone, Debug, PartialEq)]
pub struct Info {
    /// The entry's name.
    pub name: String,
    /// Whose dialect it speaks.
    pub kind: Kind,
    /// The name for people.
    pub display_name: String,
    /// The origin, without `/v1`.
    pub endpoint: String,
    /// The model when a caller names none.
    pub model: String,
    /// The time that one call may take.
    pub timeout: Duration,
    /// Where answers are made.
    pub region: Option<String>,
    /// Higher is asked first.
    pub priority: i32,
    /// The share inside its priority, relative to the others'; 0 takes no traffic.
    pub weight: f64,
    /// Whether it is called with a key.
    pub has_api_key: bool,
    /// Whether what it is sent travels in the clear, and not on this machine alone.
    pub is_exposed: bool,
}

/// Why a provider cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// No default model.
    #[error("provider `{provider}`: model: name a default model, for example `mistral-small-latest`")]
    Model {
        /// The entry's name.
        provider: String,
    },
    /// A time-out of nothing.
    #[error("provider `{provider}`: timeout: must be longer than zero")]
    Timeout {
        /// The entry's name.
        provider: String,
    },
    /// The key can be none.
    #[error("provider `{provider}`: api_key: {source}")]
    Key {
        /// The entry's name.
        provider: String,
        /// Why.
        source: KeyError,
    },
    /// The HTTP client could not be set up; the system's certificate store is the usual cause.
    #[error("provider `{provider}`: HTTP client: {reason}")]
    Client {
        /// The entry's name.
        provider: String,
        /// The client's own words.
        reason: String,
    },
}

impl BuildError {
    /// The stable name of the error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Model { .. } => "model_missing",
            Self::Timeout { .. } => "timeout_invalid",
            Self::Key { source, .. } => source.code(),
            Self::Client { .. } => "client_failed",
        }
    }
}
