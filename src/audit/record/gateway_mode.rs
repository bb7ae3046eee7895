//! The records of gateway mode, where the application calls the model itself.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Caller, Content, Decision, NotInspected, PolicyEvaluation, is_zero};

/// An application asked whether it may send a prompt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PreCheck {
    /// The decision's id, under which the application reports its call later.
    pub context_id: String,
    /// When it asked.
    pub at: Timestamp,
    /// Who asked.
    pub caller: Caller,
    /// What the caller says it is; `chat` where the caller says nothing.
    pub request_type: String,
    /// The provider that would be called, where the caller said so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub providers: Vec<String>,
    /// The model that would be asked; empty where the caller did not say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub model: String,
    /// How many attributes policies were told. They are callers' text, and stand with the messages where those are
    /// stored as they came.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attributes: u32,
    /// The decision.
    pub decision: Decision,
    /// Whether the call may be made.
    pub approved: bool,
    /// Until when calls may be reported under this context.
    pub expires_at: Timestamp,
    /// Whether a policy asks for text to be masked first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub requires_redaction: bool,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_reason: Option<String>,
    /// The policy set's generation.
    pub generation: u64,
    /// Each policy's part, in the order in which they ran.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<PolicyEvaluation>,
    /// What was not inspected.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_inspected: Vec<NotInspected>,
    /// What went wrong, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Milliseconds that the decision took.
    #[serde(default)]
    pub latency_ms: u64,
    /// The prompt.
    #[serde(skip)]
    pub content: Option<Content>,
}

/// An application reports a call that it made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LlmCall {
    /// The report's own id.
    pub audit_id: String,
    /// The pre-check under which the call was made.
    pub context_id: String,
    /// When it was reported.
    pub at: Timestamp,
    /// Who reported it.
    pub caller: Caller,
    /// The provider that was called, in the application's words.
    pub provider: String,
    /// The model that was called.
    pub model: String,
    /// Tokens of the prompt.
    #[serde(default)]
    pub prompt_tokens: u64,
    /// Tokens of the answer.
    #[serde(default)]
    pub completion_tokens: u64,
    /// All tokens, as the application counted them.
    #[serde(default)]
    pub total_tokens: u64,
    /// Milliseconds that the call took.
    #[serde(default)]
    pub latency_ms: u64,
    /// Cost in US dollars; `None` when the price is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
    /// The policy set's generation when the report came in.
    #[serde(default)]
    pub generation: u64,
    /// Audit policies' parts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<PolicyEvaluation>,
    /// What the application said of the answer (`response_summary`) and added (`metadata`), if anything.
    #[serde(skip)]
    pub content: Option<Content>,
}
