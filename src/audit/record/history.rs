//! The records of the gateway's own history: which policies were live, when it ran, and what was erased.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Mode;
use crate::audit::chain::Place;

/// A policy of a set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LivePolicy {
    /// The policy's name.
    pub name: String,
    /// Digest of component, settings and cases together.
    pub version: String,
    /// Digest of the settings alone.
    pub settings_hash: String,
    /// The manifest's mode.
    pub mode: Mode,
}

/// The live policies changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicySetChange {
    /// When the new set went live.
    pub at: Timestamp,
    /// The generation before; `None` at the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_generation: Option<u64>,
    /// The generation now.
    pub to_generation: u64,
    /// The whole new set.
    pub policies: Vec<LivePolicy>,
    /// Why, in words: `start`, `files changed`.
    pub reason: String,
}

/// Somebody changes a static policy over HTTP. Written before the change is made; what came of it, the next change of the
/// live policies tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaticPolicyChange {
    /// Its own id.
    pub change_id: String,
    /// When.
    pub at: Timestamp,
    /// The client that changes it.
    pub client: String,
    /// Its tenant.
    pub tenant: String,
    /// The policy.
    pub policy: String,
    /// `create`, `update` or `delete`, in the words of the policy's history.
    pub change: String,
}

/// Somebody shares the traffic anew over HTTP. Written before it is in force; it holds until the next start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoutingChange {
    /// Its own id.
    pub change_id: String,
    /// When.
    pub at: Timestamp,
    /// The client that changes it.
    pub client: String,
    /// Its tenant.
    pub tenant: String,
    /// The weight of each provider so far.
    pub before: BTreeMap<String, f64>,
    /// The weight of each from now on.
    pub after: BTreeMap<String, f64>,
}

/// What happened to the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LifecycleEvent {
    /// It began to serve.
    Start,
    /// It ended on request.
    Stop,
}

/// The gateway started or stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifecycle {
    /// An id that start and stop of one run share.
    pub run_id: String,
    /// When.
    pub at: Timestamp,
    /// What happened.
    pub event: LifecycleEvent,
    /// The gateway's version.
    pub version: String,
    /// Digest of the configuration, secrets left out.
    pub config_digest: String,
    /// The most records of this run that stand in the store without a signature behind them. `None` in records of versions
    /// that kept to no such number, and did not sign each start and each stop at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most_unsigned: Option<u64>,
    /// The key that signs checkpoints from here on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    /// Whether the answers of this run come from an offline double, whatever its records call the provider. Left out where
    /// they do not, as by the versions that did not say it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub offline: bool,
}

/// How a gateway came upon records that nobody had signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// They stood there when it opened the store: what wrote them ended before it had signed them.
    AtTheStart,
    /// They came while it ran, and are not its own.
    WhileRunning,
}

/// A gateway writes behind records that nobody had signed, and signs them with its own. It cannot say who wrote them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Takeover {
    /// Its own id.
    pub takeover_id: String,
    /// When.
    pub at: Timestamp,
    /// How it came upon them.
    pub found: Found,
    /// The first of them, in the chain of this record.
    pub from: i64,
    /// The last of them.
    pub through: i64,
}

/// Texts were erased; their records stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erasure {
    /// Its own id.
    pub erasure_id: String,
    /// When.
    pub at: Timestamp,
    /// Who had it done, as the system knows them.
    pub by: String,
    /// The one request, pre-check or reported call whose texts were erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of_id: Option<String>,
    /// The client whose texts were erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of_client: Option<String>,
    /// That client's texts before this instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Timestamp>,
    /// Why, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How many texts.
    pub texts: u64,
    /// Which they are: the numbers of their records, by node.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub records: BTreeMap<String, Vec<i64>>,
    /// And where the store has them.
    #[serde(skip)]
    pub(crate) places: Vec<Place>,
}

/// Old records are removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// Its own id.
    pub retention_id: String,
    /// When.
    pub at: Timestamp,
    /// Whose records.
    pub of_node: String,
    /// The last one that is to be removed. By age fewer are, where one before it turns out not to be old enough.
    pub through: i64,
    /// Why, in words.
    pub reason: String,
    /// The key that signed that chain, where it is not the one that signs this record and the cut: whoever verifies knows
    /// whether it is one of theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<String>,
}
