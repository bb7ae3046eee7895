//! What is recorded: immutable facts, appended in the order in which they became durable.
//!
//! A record has two halves. Its *body* is everything but text: who, what, which policy decided what, tokens, cost, and
//! the HMAC of the text. Its *content* is the text as the audit policies left it, or nothing when they withheld it. They
//! are stored apart, so that text can be erased later while the body, which the hash chain covers, stays as it was
//! written.

mod content;
mod gateway_mode;
mod history;
mod kind;
mod policy;
mod request;
mod tool_call;

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use content::Content;
pub use gateway_mode::{LlmCall, PreCheck};
pub use history::{
    Erasure, Found, Lifecycle, LifecycleEvent, LivePolicy, PolicySetChange, Retention, RoutingChange,
    StaticPolicyChange, Takeover,
};
pub use kind::RecordKind;
pub(crate) use policy::matched_names;
pub use policy::{
    Action, CounterReading, EvaluationError, Finding, Mode, Phase, Place, PolicyEvaluation, Readings, StreamMode,
};
pub use request::{Call, Intent, NotInspected, Outcome, StreamedText};
pub use tool_call::ToolCall;

/// Who asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// The client's id.
    pub client: String,
    /// The tenant that the client belongs to; reads are isolated by it.
    pub tenant: String,
    /// The person, as the client named them; empty when it named nobody.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user: String,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It went through as it was.
    Allowed,
    /// A policy refused it.
    Blocked,
    /// It went through with text masked.
    Redacted,
    /// It failed, or its outcome is not known.
    Error,
}

impl Decision {
    /// The word in records, entries and the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Blocked => "blocked",
            Self::Redacted => "redacted",
            Self::Error => "error",
        }
    }

    /// Reads a decision as callers spell it; older verdict names are understood.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "allowed" | "allow" => Some(Self::Allowed),
            "blocked" | "block" | "deny" | "denied" => Some(Self::Blocked),
            "redacted" | "redact" => Some(Self::Redacted),
            "error" => Some(Self::Error),
            _ => None,
        }
    }
}

/// One fact of the audit trail.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// A request was accepted and its pre-check policies have decided.
    Intent(Box<Intent>),
    /// What became of that request.
    Outcome(Box<Outcome>),
    /// An application asked for a decision and will call the model itself.
    PreCheck(Box<PreCheck>),
    /// An application reports a call that it made under a pre-check.
    LlmCall(Box<LlmCall>),
    /// An application reports a tool that it ran.
    ToolCall(Box<ToolCall>),
    /// The live policies changed.
    PolicySetChange(Box<PolicySetChange>),
    /// A static policy is changed over HTTP.
    StaticPolicyChange(Box<StaticPolicyChange>),
    /// The traffic is shared anew over HTTP.
    RoutingChange(Box<RoutingChange>),
    /// The gateway started or stopped.
    Lifecycle(Box<Lifecycle>),
    /// A gateway took over records that nobody had signed.
    Takeover(Box<Takeover>),
    /// Texts were erased.
    Erasure(Box<Erasure>),
    /// Old records are removed.
    Retention(Box<Retention>),
}

impl Record {
    /// What it is about.
    pub fn kind(&self) -> RecordKind {
        match self {
            Self::Intent(_) => RecordKind::Intent,
            Self::Outcome(_) => RecordKind::Outcome,
            Self::PreCheck(_) => RecordKind::PreCheck,
            Self::LlmCall(_) => RecordKind::LlmCall,
            Self::ToolCall(_) => RecordKind::ToolCall,
            Self::PolicySetChange(_) => RecordKind::PolicySetChange,
            Self::StaticPolicyChange(_) => RecordKind::StaticPolicyChange,
            Self::RoutingChange(_) => RecordKind::RoutingChange,
            Self::Lifecycle(_) => RecordKind::Lifecycle,
            Self::Takeover(_) => RecordKind::Takeover,
            Self::Erasure(_) => RecordKind::Erasure,
            Self::Retention(_) => RecordKind::Retention,
        }
    }

    /// When it happened.
    pub fn at(&self) -> Timestamp {
        match self {
            Self::Intent(record) => record.at,
            Self::Outcome(record) => record.at,
            Self::PreCheck(record) => record.at,
            Self::LlmCall(record) => record.at,
            Self::ToolCall(record) => record.at,
            Self::PolicySetChange(record) => record.at,
            Self::StaticPolicyChange(record) => record.at,
            Self::RoutingChange(record) => record.at,
            Self::Lifecycle(record) => record.at,
            Self::Takeover(record) => record.at,
            Self::Erasure(record) => record.at,
            Self::Retention(record) => record.at,
        }
    }

    /// The request, context or audit id, or the generation, run, takeover or erasure that it is about.
    pub fn id(&self) -> Cow<'_, str> {
        match self {
            Self::Intent(record) => (&*record.request_id).into(),
            Self::Outcome(record) => (&*record.request_id).into(),
            Self::PreCheck(record) => (&*record.context_id).into(),
            Self::LlmCall(record) => (&*record.audit_id).into(),
            Self::ToolCall(record) => (&*record.audit_id).into(),
            Self::PolicySetChange(record) => format!("generation-{}", record.to_generation).into(),
            Self::StaticPolicyChange(record) => (&*record.change_id).into(),
            Self::RoutingChange(record) => (&*record.change_id).into(),
            Self::Lifecycle(record) => (&*record.run_id).into(),
            Self::Takeover(record) => (&*record.takeover_id).into(),
            Self::Erasure(record) => (&*record.erasure_id).into(),
            Self::Retention(record) => (&*record.retention_id).into(),
        }
    }
}

macro_rules! into_record {
    ($($name:ident),*) => {$(
        impl From<$name> for Record {
            fn from(record: $name) -> Self {
                Self::$name(Box::new(record))
            }
        }
    )*};
}
into_record!(
    Intent,
    Outcome,
    PreCheck,
    LlmCall,
    ToolCall,
    PolicySetChange,
    StaticPolicyChange,
    RoutingChange,
    Lifecycle,
    Takeover,
    Erasure,
    Retention
);

fn is_zero<N: Default + PartialEq>(number: &N) -> bool {
    *number == N::default()
}
