//! The policy host: WebAssembly components decide what may pass.
//!
//! It owns everything between a folder of manifests and components and a decision about a request: loading, freezing,
//! compiling, hot reload ([`PolicyHost`]), the immutable set in force ([`PolicySet`]), and evaluation in fresh sandboxes
//! ([`PolicyHost::decide`]). It never sees HTTP, never calls a model, and never writes a record: what it decided goes back
//! to the gateway, with everything that a record needs.

mod bindings;
pub mod component;
pub mod counters;
pub mod digest;
pub mod engine;
mod host;
pub mod lane;
pub mod limits;
pub mod load;
pub mod manifest;
pub mod measure;
mod meter;
mod original;
mod places;
pub mod readings;
mod refused;
pub mod run;
pub mod sandbox;
mod scan;
pub mod set;
mod status;
pub mod stream;
pub mod tally;
pub mod verdict;
mod watch;
mod writers;

use serde::{Deserialize, Serialize};

pub use component::Question;
pub use host::{Candidate, CandidateError, Change, HostError, PolicyHost, Reload, Settings};
pub use original::{NOT_COVERED, NotOriginal, Original};
pub use run::{Decision, Evaluation, Outcome, Overloaded, TooFewPlaces};
pub(crate) use scan::is_manifest;
pub use set::{Generation, Label, LivePolicy, PolicySet};
pub use status::{PolicyState, PolicyStatus};
pub use watch::{Pace, Watcher};

/// A way into the gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Surface {
    /// `/api/request`.
    #[default]
    Proxy,
    /// `/api/policy/pre-check` and `/api/audit/llm-call`: the application calls the model itself.
    Gateway,
    /// `/v1/...`.
    OpenAi,
}

impl Surface {
    /// As policies, manifests, records and metrics name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Proxy => "proxy",
            Self::Gateway => "gateway",
            Self::OpenAi => "openai",
        }
    }

    /// The one that is named so.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Proxy, Self::Gateway, Self::OpenAi].into_iter().find(|surface| surface.as_str() == word)
    }
}

/// What is known about a request beside its text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// The way in.
    pub surface: Surface,
    /// The kind of request, as the caller named it.
    pub request_type: String,
    /// The client's id.
    pub client: String,
    /// The tenant.
    pub tenant: String,
    /// The person, where the caller said so.
    pub user: Option<String>,
    /// Providers that the request could still go to, or the one it went to.
    pub providers: Vec<String>,
    /// The model: as the caller named it, then as the provider was asked for it.
    pub model: Option<String>,
    /// Its other names, which policies are not told but may apply to: first those under which providers would be asked for
    /// it, then the caller's.
    pub model_aliases: Vec<String>,
    /// Further facts, sorted by name.
    pub attributes: Vec<(String, String)>,
}

/// Which half of a record an audit policy is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditPhase {
    /// The prompt.
    Intent,
    /// The answer.
    Outcome,
}
