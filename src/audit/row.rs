//! A record as a store takes it: encoded once, in its caller's task, so that the one writer only moves bytes.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::AuditError;
use super::chain::Place;
use super::record::{
    Caller, Content, Decision, Intent, LlmCall, Outcome, PreCheck, Record, RecordKind, ToolCall, matched_names,
};
use super::text_rule::TextRule;

/// An encoded record and what it does to the tables that are searched.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) kind: RecordKind,
    pub(crate) id: Arc<str>,
    pub(crate) at: Timestamp,
    /// Compact JSON in the order of the fields' declaration, without nulls. The hash chain covers these very bytes.
    pub(crate) body: String,
    /// What is stored of the text.
    pub(crate) content: Option<Arc<str>>,
    pub(crate) effect: Arc<Effect>,
}

/// What a record does beside being kept.
#[expect(clippy::large_enum_variant, reason = "most are openings, and each stands behind an `Arc`")]
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Effect {
    /// Nothing: it is not an entry of the search.
    None,
    /// It opens an entry.
    Open(Opening),
    /// It removes the texts of these records.
    Erase(Vec<Place>),
    /// It completes the entry of its id.
    Close { decision: Decision, matched: Vec<String> },
}

impl Effect {
    /// What a record does.
    fn of(record: Record) -> Self {
        match record {
            Record::Intent(intent) => Self::of_intent(*intent),
            Record::Outcome(outcome) => Self::of_outcome(&outcome),
            Record::PreCheck(check) => Self::of_pre_check(*check),
            Record::LlmCall(call) => Self::of_llm_call(*call),
            Record::ToolCall(call) => Self::of_tool_call(*call),
            Record::PolicySetChange(_)
            | Record::StaticPolicyChange(_)
            | Record::RoutingChange(_)
            | Record::Lifecycle(_)
            | Record::Takeover(_)
            | Record::Retention(_) => Self::None,
            Record::Erasure(erasure) => Self::Erase(erasure.places),
        }
    }

    /// What a record did to the search that is in the store already.
    pub(crate) fn of_stored(kind: &str, body: &str) -> serde_json::Result<Self> {
        Ok(match RecordKind::parse(kind) {
            Some(RecordKind::Intent) => Self::of_intent(serde_json::from_str(body)?),
            Some(RecordKind::Outcome) => Self::of_outcome(&serde_json::from_str(body)?),
            Some(RecordKind::PreCheck) => Self::of_pre_check(serde_json::from_str(body)?),
            Some(RecordKind::LlmCall) => Self::of_llm_call(serde_json::from_str(body)?),
            Some(RecordKind::ToolCall) => Self::of_tool_call(serde_json::from_str(body)?),
            _ => Self::None,
        })
    }

    fn of_intent(intent: Intent) -> Self {
        Self::Open(Opening {
            entry: EntryKind::Request,
            caller: intent.caller,
            request_type: intent.request_type,
            // What became of the request is not known before its outcome: until then the entry says "error".
            decision: Decision::Error,
            matched: matched_names(&intent.policies),
            context_id: None,
            context: None,
        })
    }

    fn of_outcome(outcome: &Outcome) -> Self {
        Self::Close { decision: outcome.decision, matched: matched_names(&outcome.policies) }
    }

    fn of_pre_check(check: PreCheck) -> Self {
        Self::Open(Opening {
            entry: EntryKind::PreCheck,
            context: Some(ContextRow {
                client: check.caller.client.clone(),
                tenant: check.caller.tenant.clone(),
                user: check.caller.user.clone(),
                approved: check.approved,
                expires_at: whole_microseconds(check.expires_at),
            }),
            caller: check.caller,
            request_type: check.request_type,
            decision: check.decision,
            matched: matched_names(&check.policies),
            context_id: Some(check.context_id),
        })
    }

    fn of_llm_call(call: LlmCall) -> Self {
        Self::Open(Opening {
            entry: EntryKind::LlmCall,
            caller: call.caller,
            request_type: "llm-call".to_owned(),
            decision: Decision::Allowed,
            matched: matched_names(&call.policies),
            context_id: Some(call.context_id),
            context: None,
        })
    }

    fn of_tool_call(call: ToolCall) -> Self {
        Self::Open(Opening {
            entry: EntryKind::ToolCall,
            decision: call.decision(),
            matched: matched_names(&call.policies),
            caller: call.caller,
            request_type: "tool-call".to_owned(),
            context_id: None,
            context: None,
        })
    }
}

/// What an entry is found by.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Opening {
    pub(crate) entry: EntryKind,
    pub(crate) caller: Caller,
    pub(crate) request_type: String,
    pub(crate) decision: Decision,
    pub(crate) matched: Vec<String>,
    /// The pre-check that the entry is or belongs to.
    pub(crate) context_id: Option<String>,
    /// The context that it makes.
    pub(crate) context: Option<ContextRow>,
}

/// What an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum EntryKind {
    Request,
    PreCheck,
    LlmCall,
    ToolCall,
}

impl EntryKind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::PreCheck => "pre_check",
            Self::LlmCall => "llm_call",
            Self::ToolCall => "tool_call",
        }
    }
}

/// A pre-check's context: what a later report of a call is checked against.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextRow {
    /// The client that asked.
    pub client: String,
    /// Its tenant.
    pub tenant: String,
    /// The person for whom it asked; empty when it named nobody. Stores have it in the pre-check's entry.
    #[serde(default)]
    pub user: String,
    /// Whether the call was approved.
    pub approved: bool,
    /// Until when calls may be reported. A context is found for about a day longer: compare with the clock.
    pub expires_at: Timestamp,
}

impl Row {
    /// Encodes a record, with what the rule says of its text.
    pub(crate) fn new(record: Record, rule: &TextRule) -> Result<Self, AuditError> {
        let (body, content) = match &record {
            Record::Intent(it) => encoded(it, it.content.as_ref(), rule)?,
            Record::Outcome(it) => encoded(it, it.content.as_ref(), rule)?,
            Record::PreCheck(it) => encoded(it, it.content.as_ref(), rule)?,
            Record::LlmCall(it) => encoded(it, it.content.as_ref(), rule)?,
            Record::ToolCall(it) => encoded(it, it.content.as_ref(), rule)?,
            Record::PolicySetChange(it) => encoded(it, None, rule)?,
            Record::StaticPolicyChange(it) => encoded(it, None, rule)?,
            Record::RoutingChange(it) => encoded(it, None, rule)?,
            Record::Lifecycle(it) => encoded(it, None, rule)?,
            Record::Takeover(it) => encoded(it, None, rule)?,
            Record::Retention(it) => encoded(it, None, rule)?,
            Record::Erasure(it) => encoded(it, None, rule)?,
        };
        let (kind, id, at) = (record.kind(), record.id().into(), record.at());
        Ok(Self { kind, id, at, body, content, effect: Effect::of(record).into() })
    }

    /// Bytes of text that the row holds.
    pub(crate) fn size(&self) -> usize {
        self.body.len() + self.content.as_ref().map_or(0, |content| content.len())
    }

    /// The context that it makes, with its id.
    pub(crate) fn context(&self) -> Option<(&str, &ContextRow)> {
        match &*self.effect {
            Effect::Open(Opening { context: Some(context), .. }) => Some((&self.id, context)),
            _ => None,
        }
    }
}

/// Stores keep microseconds: what is remembered, or signed, is what will be read.
pub(super) fn whole_microseconds(instant: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(instant.as_microsecond()).unwrap_or(instant)
}

/// Bytes of most bodies at most.
const USUAL_BODY: usize = 2_048;

/// A record's body with the HMACs of its text, and what is stored of the text.
fn encoded<T: Serialize>(
    record: &T,
    content: Option<&Content>,
    rule: &TextRule,
) -> Result<(String, Option<Arc<str>>), AuditError> {
    let encoding = |error: &dyn std::fmt::Display| AuditError::Encoding(error.to_string());
    let (text, stored) = rule.apply(content);
    let mut body = Vec::with_capacity(USUAL_BODY);
    serde_json::to_writer(&mut body, record).map_err(|error| encoding(&error))?;
    // Behind the record's own fields. Serde's `flatten` would send each of those through a map first.
    for (name, hmac) in [("content_hmac", text.content_hmac), ("kept_hmac", text.kept_hmac)] {
        if let Some(hmac) = hmac {
            body.pop();
            body.extend_from_slice(format!(r#","{name}":"{hmac}"}}"#).as_bytes());
        }
    }
    let body = String::from_utf8(body).map_err(|error| encoding(&error))?;
    Ok((body, stored))
}
