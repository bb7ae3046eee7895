//! The two records of a request that passes through the gateway: intent and outcome.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Caller, Content, Decision, PolicyEvaluation, is_zero};

/// A part of a message whose content no policy saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotInspected {
    /// The part's kind, such as `image`.
    pub kind: String,
    /// The media type; empty when it is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    /// Bytes; `None` when it is not known, as for a link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

/// A request was accepted, and its pre-check policies have decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Intent {
    /// The server's id of the request.
    pub request_id: String,
    /// When the request came in.
    pub at: Timestamp,
    /// The way in: `proxy`, `openai`.
    pub surface: String,
    /// What the caller says it is: `chat`, `sql`.
    pub request_type: String,
    /// Who asked.
    pub caller: Caller,
    /// The provider that was asked for; empty when the router was to choose.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub provider: String,
    /// The model that was asked for; empty when the provider was to choose.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub model: String,
    /// Of the caller's own key for the provider, where one was sent: the HMAC-SHA-256 of `provider_key:` and the key,
    /// under the deployment's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_key_hmac: Option<String>,
    /// The providers that it could go to, as policies were told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub providers: Vec<String>,
    /// The names under which these would be asked for the model, where they are other ones: policies are not told them,
    /// but may apply to them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub model_aliases: Vec<String>,
    /// What it may cost in US dollars, estimated before the call: a quarter of the characters as tokens, and as many in the
    /// answer as it may have or a thousand, at the dearest of those providers; `None` where no price is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_cost_usd: Option<f64>,
    /// How many attributes policies were told. They are callers' text, and stand with the messages where those are
    /// stored as they came.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attributes: u32,
    /// The decision so far.
    pub decision: Decision,
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
    /// The messages.
    #[serde(skip)]
    pub content: Option<Content>,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The server's id of the request.
    pub request_id: String,
    /// When it was over.
    pub at: Timestamp,
    /// The final decision.
    pub decision: Decision,
    /// The provider that answered, that failed last, or that was still asked when the client went away; empty when none
    /// was asked.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub provider: String,
    /// The model that it was asked for; empty when none was asked.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub model: String,
    /// Calls that were made upstream.
    #[serde(default)]
    pub attempts: u32,
    /// What became of each, in order, and of those that could not be made. (Absent in records that are older than the
    /// chain.)
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<Call>,
    /// Tokens of the prompt.
    #[serde(default)]
    pub prompt_tokens: u64,
    /// Tokens of the answer.
    #[serde(default)]
    pub completion_tokens: u64,
    /// Prompt tokens from the vendor's cache.
    #[serde(default)]
    pub cached_tokens: u64,
    /// Prompt tokens that were written to the vendor's cache, where the vendor says so: they cost more than others.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cache_write_tokens: u64,
    /// Cost in US dollars; `None` when the price is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
    /// Whether tokens and cost are estimates: nobody has counted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub estimated: bool,
    /// Milliseconds from the request's arrival to its end.
    #[serde(default)]
    pub latency_ms: u64,
    /// Why the model stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
    /// Why it was refused, by a policy before the model or after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_reason: Option<String>,
    /// Response policies' parts, and audit policies' on the answer, in the order in which they ran.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<PolicyEvaluation>,
    /// What of the answer no policy saw.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_inspected: Vec<NotInspected>,
    /// What went wrong: of a provider its failure's class, status and code, and not the vendor's words, which may repeat
    /// the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Whether the client went away before it had its answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub client_gone: bool,
    /// Of an answer that was streamed: how much of it went where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streamed: Option<StreamedText>,
    /// What the provider's adapter repaired or left out. Holds no text of prompt or answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The answer, if there was one.
    #[serde(skip)]
    pub content: Option<Content>,
}

/// A call to a provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The provider.
    pub provider: String,
    /// The model that it was asked for.
    pub model: String,
    /// `ok`, the class of the failure, or `cancelled`: the client went away meanwhile.
    pub code: String,
    /// Milliseconds that it took.
    pub latency_ms: u64,
    /// The id under which the vendor finds the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
}

/// How much text of a streamed answer came, and how much of it the client was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamedText {
    /// Bytes that the provider sent. Policies have seen no more.
    pub received: u64,
    /// Bytes that went to the client: before a refusal, where there was one.
    pub released: u64,
}
