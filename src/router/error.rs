//! Why a request went nowhere, and why a router cannot be built.

use std::time::Duration;

use super::attempt::Attempt;
use crate::provider::{ProviderError, Surface};

/// Why a router cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A weight that is none.
    #[error("provider `{name}`: weight: must be a number of zero or more")]
    Weight {
        /// The provider's name.
        name: String,
    },
    /// Two providers of one name.
    #[error("two providers are named `{name}`")]
    DuplicateName {
        /// Their name.
        name: String,
    },
}

impl BuildError {
    /// The stable name of the error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::DuplicateName { .. } => "duplicate_provider",
            Self::Weight { .. } => "weight_invalid",
        }
    }
}

/// Why weights are not taken. Nothing has changed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WeightError {
    /// Of a provider that is not there.
    #[error("unknown provider `{name}`; configured: {known}", known = known.join(", "))]
    Unknown {
        /// The name, cleaned.
        name: String,
        /// Those that are there.
        known: Vec<String>,
    },
    /// A number that is no weight.
    #[error("the weight of `{name}` must be a number of zero or more")]
    Number {
        /// The provider's name.
        name: String,
    },
    /// Of a provider that has another one already, under its name in other letters.
    #[error("`{name}` has two weights, in capitals and in small letters")]
    Twice {
        /// The provider's name.
        name: String,
    },
    /// Nobody would be asked.
    #[error("at least one weight must be above 0")]
    AllZero,
}

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouteError {
    /// The gateway has no provider at all.
    #[error(
        "no LLM provider is configured: set an API key, for example MISTRAL_API_KEY, or add one under `llm_providers`"
    )]
    NoProviders,
    /// The caller named a provider that is not there.
    #[error("unknown provider `{name}`; configured: {known}", known = known.join(", "))]
    UnknownProvider {
        /// The name, cleaned.
        name: String,
        /// Those that are there.
        known: Vec<String>,
    },
    /// The caller named a provider that takes no traffic.
    #[error("provider `{name}` takes no traffic: its weight is 0 or it is not listed in the routing weights")]
    NoTraffic {
        /// Its name.
        name: String,
    },
    /// A caller's own key, and nothing in the request that says whose it is.
    #[error(
        "the request does not say whose X-Provider-Key it brings: name the provider (X-Provider under /v1, \
         context.provider with strict_provider in /api/request), or a model that it alone serves; as it is, it could be \
         a key of {}", among.join(", ")
    )]
    KeyWithoutProvider {
        /// Those that serve what was asked for.
        among: Vec<String>,
    },
    /// A caller's own key, and a provider to which it would travel in the clear.
    #[error("X-Provider-Key is not sent to provider `{name}`: its endpoint is neither https nor on this machine")]
    KeyInClear {
        /// Its name.
        name: String,
    },
    /// Nobody who takes traffic serves the model that was asked for.
    #[error("no provider of this gateway serves the model {model}")]
    NotServed {
        /// Its name, cleaned.
        model: String,
    },
    /// Bounds, weights and the model's name leave nobody.
    #[error("no provider may answer this request ({reason})")]
    NoCandidate {
        /// What left them out.
        reason: String,
    },
    /// Some have failed too often lately to be asked now, and of the others none can answer.
    #[error("no provider can answer now: each that could has failed too often lately")]
    BreakerOpen {
        /// When the first of them is tried again.
        retry_after: Duration,
        /// Those of the others, in order.
        attempts: Vec<Attempt>,
    },
    /// All that could be asked failed.
    #[error("{error}")]
    Failed {
        /// Of the attempts that were sent the failure of one that passes by itself where there is one, else of the last;
        /// of one that was not sent where none was.
        error: Box<ProviderError>,
        /// All attempts, in order. Never empty.
        attempts: Vec<Attempt>,
    },
}

impl RouteError {
    /// The stable name of the error: the class of the failure that stands for all where providers were asked.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoProviders => "no_providers",
            Self::UnknownProvider { .. } => "unknown_provider",
            Self::NoTraffic { .. } => "provider_without_traffic",
            Self::KeyWithoutProvider { .. } => "key_without_provider",
            Self::KeyInClear { .. } => "key_in_clear",
            Self::NotServed { .. } | Self::NoCandidate { .. } => "no_candidate",
            Self::BreakerOpen { .. } => "breaker_open",
            Self::Failed { error, .. } => error.code(),
        }
    }

    /// The same in words that are kept: of a provider's failure not the vendor's own, which may repeat the request.
    pub fn brief(&self) -> String {
        match self {
            Self::Failed { error, .. } => error.brief(),
            other => other.to_string(),
        }
    }

    /// How it is shown to a client.
    pub fn surface_as(&self) -> Surface {
        match self {
            Self::NoProviders => Surface { status: 503, code: "no_providers" },
            Self::UnknownProvider { .. } => Surface { status: 400, code: "unknown_provider" },
            Self::NoTraffic { .. } => Surface { status: 400, code: "provider_without_traffic" },
            Self::KeyWithoutProvider { .. } => Surface { status: 400, code: "key_without_provider" },
            Self::KeyInClear { .. } => Surface { status: 400, code: "key_in_clear" },
            Self::NotServed { .. } | Self::NoCandidate { .. } => Surface { status: 503, code: "no_candidate" },
            Self::BreakerOpen { .. } => Surface { status: 503, code: "upstream_unavailable" },
            Self::Failed { error, .. } => error.surface_as(),
        }
    }

    /// When to come again, where that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::BreakerOpen { retry_after, .. } => Some(*retry_after),
            _ => self.provider_error().and_then(ProviderError::retry_after),
        }
    }

    /// The failure that stands for all.
    pub fn provider_error(&self) -> Option<&ProviderError> {
        match self {
            Self::Failed { error, .. } => Some(error),
            _ => None,
        }
    }

    /// Which providers were asked, in order.
    pub fn attempts(&self) -> &[Attempt] {
        match self {
            Self::Failed { attempts, .. } | Self::BreakerOpen { attempts, .. } => attempts,
            _ => &[],
        }
    }
}
