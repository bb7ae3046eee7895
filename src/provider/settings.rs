//! What a provider is made from, and what it tells about itself.

use std::sync::Arc;
use std::time::Duration;

use super::key::{ApiKey, KeyError};
use super::price::PriceTable;
use super::upstream::http::Credential;
use crate::config::{self, Endpoint, ProviderKind as Kind};
use crate::in_flight::InFlight;

/// Everything that makes one provider.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its entry in the configuration. Of its keys nothing is read here: they come beside it, in the form that is sent.
    pub entry: config::Provider,
    /// The entry's key; some upstreams of one's own want none.
    pub api_key: Option<ApiKey>,
    /// The entry's further keys: when one is over its limit or refused, the next is used.
    pub further_keys: Vec<ApiKey>,
    /// Time that a whole stream may take. The entry's own time-out bounds a whole call; of a stream the wait for its
    /// beginning and for each next event.
    pub stream_deadline: Duration,
    /// The longest answer that is read, in bytes.
    pub max_response_bytes: usize,
    /// What answers may hold together, this provider's and all others'.
    pub in_flight: InFlight,
    /// What its models cost.
    pub prices: Arc<PriceTable>,
}

#[cfg(test)]
impl Settings {
    /// A provider of this kind there, with this default model, no key, no prices and otherwise every default.
    pub(crate) fn new(kind: Kind, endpoint: &str, model: &str) -> Self {
        Self {
            entry: config::Provider::new(kind, endpoint, model),
            api_key: None,
            further_keys: Vec::new(),
            stream_deadline: Duration::from_secs(3_600),
            max_response_bytes: 32 << 20,
            in_flight: InFlight::default(),
            prices: Arc::default(),
        }
    }

    /// The same with another entry.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut config::Provider)) -> Self {
        change(&mut self.entry);
        self
    }

    /// The same at another address.
    pub(crate) fn at(self, endpoint: &str) -> Self {
        self.with(|entry| entry.endpoint = Endpoint::parse(endpoint).unwrap())
    }
}

impl Settings {
    /// The endpoint without `/v1`, if the settings hold what every provider needs.
    pub(super) fn origin(&self) -> Result<Endpoint, BuildError> {
        let provider = || self.entry.name.to_string();
        if self.entry.model.trim().is_empty() {
            return Err(BuildError::Model { provider: provider() });
        }
        if self.entry.timeout.is_zero() {
            return Err(BuildError::Timeout { provider: provider() });
        }
        Ok(self.entry.endpoint.without("/v1"))
    }

    /// What opens an upstream that wants a key; `of` makes it of one.
    pub(super) fn credential(&self, of: impl FnOnce(&ApiKey) -> Option<Credential>) -> Result<Credential, BuildError> {
        let made = self.api_key.as_ref().and_then(of);
        made.ok_or_else(|| BuildError::Key { provider: self.entry.name.to_string(), source: KeyError::Empty })
    }

    /// What a provider of these settings, at this origin, tells about itself.
    pub(super) fn info(&self, origin: &Endpoint) -> Info {
        let entry = &self.entry;
        Info {
            name: entry.name.to_string(),
            kind: entry.kind,
            display_name: entry.display_name.clone(),
            endpoint: origin.to_string(),
            model: entry.model.clone(),
            timeout: entry.timeout,
            region: entry.region.clone(),
            priority: entry.priority,
            weight: entry.weight,
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
