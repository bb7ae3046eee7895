//! What surfaces hand to the gateway, and what they get back.

use std::time::Duration;

use uuid::Uuid;

use super::streaming::AnswerStream;
use crate::audit::AuditError;
use crate::chat::ChatRequest;
use crate::in_flight::Held;
use crate::policy::stream::NoPlaces;
use crate::policy::{Context, Decision, Overloaded, Surface};
use crate::provider::ApiKey;
use crate::router::{Preference, RouteError, Routed};

/// Who asks, as the surface's identity found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The client application.
    pub client: String,
    /// The tenant whose data this is.
    pub tenant: String,
    /// The person, where the caller said so. Never verified.
    pub user: Option<String>,
}

impl Caller {
    /// What policies are told of who asks.
    pub(super) fn context(&self, surface: Surface, request_type: &str) -> Context {
        Context {
            surface,
            request_type: request_type.to_owned(),
            client: self.client.clone(),
            tenant: self.tenant.clone(),
            user: self.user.clone(),
            ..Context::default()
        }
    }
}

/// A conversation to be judged and answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The way it came in.
    pub surface: Surface,
    /// Who asks.
    pub caller: Caller,
    /// The kind of request, as the caller named it.
    pub request_type: String,
    /// What is asked.
    pub chat: ChatRequest,
    /// The provider that the caller wants.
    pub preference: Preference,
    /// Further facts for policies, sorted by name.
    pub attributes: Vec<(String, String)>,
    /// The caller's own key for the upstream, in the place of the operator's.
    pub provider_key: Option<ApiKey>,
    /// Policies only; no model is asked.
    pub skip_llm: bool,
    /// Its room among the bytes in flight, given back when the request is dropped.
    pub held: Option<Held>,
}

/// The id of a request: made by the gateway, in the order of time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(String);

impl RequestId {
    /// A new one.
    pub fn new() -> Self {
        Self(format!("req_{}", Uuid::now_v7().simple()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for RequestId {
    fn default() -> Self {
        Self::new()
    }
}

/// What policies said, for an answer's `policy_info`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyInfo {
    /// Enforced policies that had something to say, the deciding one first.
    pub matched: Vec<String>,
    /// Policies that were asked.
    pub asked: Vec<String>,
    /// Time that they took.
    pub elapsed: Duration,
}

impl PolicyInfo {
    /// Puts the policy that refused the request first.
    pub(super) fn refused_by(&mut self, policy: &str) {
        self.matched.retain(|it| it != policy);
        self.matched.insert(0, policy.to_owned());
    }

    /// Adds what was decided at another moment.
    pub(super) fn add(&mut self, decision: &Decision) {
        for name in &decision.matched {
            if !self.matched.contains(name) {
                self.matched.push(name.clone());
            }
        }
        if decision.refused()
            && let Some(name) = &decision.decided_by
        {
            self.refused_by(name);
        }
        for evaluation in &decision.evaluations {
            if matches!(evaluation.outcome, crate::policy::Outcome::Skipped) {
                continue;
            }
            let name = &*evaluation.label.policy;
            if !self.asked.iter().any(|it| it == name) {
                self.asked.push(name.to_owned());
            }
        }
        self.elapsed += decision.elapsed;
    }
}

/// The reason of a refusal that makes AxonFlow's clients ask a human, which nothing else does.
pub const REQUIRE_APPROVAL: &str = "require_approval";

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The policy that refused it.
    pub policy: String,
    /// One line for the caller: `Request blocked by policy: NAME`, or [`REQUIRE_APPROVAL`].
    pub reason: String,
    /// The policy's own sentence.
    pub explanation: Option<String>,
    /// The rule of its first finding.
    pub rule: Option<String>,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// A model answered.
    Answered(Box<Routed>),
    /// Policies let it pass; no model was to be asked.
    Checked,
    /// A policy refused it.
    Refused(Refusal),
    /// A policy refused the answer that a model gave.
    Withheld(Refusal, Box<Routed>),
    /// No model answered.
    Failed(Box<RouteError>),
}

/// The gateway's answer to a [`Request`]. A record of it is durable.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The request's id.
    pub request_id: RequestId,
    /// What became of it.
    pub outcome: Outcome,
    /// What policies said.
    pub policies: PolicyInfo,
    /// The set of policies that judged it.
    pub generation: u64,
}

/// What comes of a request whose answer may stream.
#[derive(Debug)]
pub enum Answered {
    /// All there is to say, at once.
    Reply(Reply),
    /// An answer that has begun.
    Stream(AnswerStream),
}

/// Why the gateway gives no answer at all.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// Too many evaluations: try again later.
    #[error("the gateway is at its limit of concurrent policy evaluations; try again shortly")]
    Overloaded,
    /// Too many streams that policies judge, or too many policies for any.
    #[error("{0}")]
    TooManyStreams(NoPlaces),
    /// No record can be written, and without a record nothing passes.
    #[error("no audit record can be written ({0}); without one no request passes")]
    Audit(#[from] AuditError),
    /// The gateway is going down.
    #[error("the gateway is shutting down")]
    ShuttingDown,
    /// A fault of the gateway.
    #[error("internal error; the gateway's log has more")]
    Internal,
    /// The context of a report is unknown, expired, or another client's.
    #[error("Invalid or expired context")]
    InvalidContext,
}

impl From<Overloaded> for GatewayError {
    fn from(_: Overloaded) -> Self {
        Self::Overloaded
    }
}

impl GatewayError {
    /// Stable, for metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Overloaded | Self::TooManyStreams(_) => "overloaded",
            Self::Audit(error) => error.code(),
            Self::ShuttingDown => "shutting_down",
            Self::Internal => "internal",
            Self::InvalidContext => "invalid_context",
        }
    }
}
