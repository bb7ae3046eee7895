//! An entry of the search: one request, pre-check, reported call or reported tool, as AxonFlow's SDKs read it.
//!
//! Texts are never null and counts are integers; what is not known is left out. Intent and outcome are merged; while
//! the outcome is not there, the decision is `error`.

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::AuditError;
use super::record::{Intent, LlmCall, NotInspected, Outcome, PolicyEvaluation, PreCheck, ToolCall, matched_names};

/// Characters of an answer that an entry shows.
const SAMPLE: usize = 200;

/// One entry.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Entry {
    /// The request's, pre-check's or reported call's own id.
    pub id: String,
    /// The request; in gateway mode the context, which a pre-check and its calls share.
    pub request_id: String,
    /// When it began; RFC 3339 in UTC.
    pub timestamp: Timestamp,
    /// The person, as the client named them.
    pub user_email: String,
    /// The client.
    pub client_id: String,
    /// The tenant.
    pub tenant_id: String,
    /// The request type; `llm-call` for a reported call, `tool-call` for a reported tool.
    pub request_type: String,
    /// `allowed`, `blocked`, `redacted` or `error`.
    pub policy_decision: String,
    /// What the policies did; always an object with `policies`, the names of those that matched.
    pub policy_details: Map<String, Value>,
    /// Milliseconds.
    pub response_time_ms: u64,
    /// The provider that answered, or else the one that was asked for.
    pub provider: String,
    /// The model that answered, or else the one that was asked for.
    pub model: String,
    /// Tokens of prompt and answer.
    pub tokens_used: u64,
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
    /// Tokens of the answer.
    pub completion_tokens: u64,
    /// US dollars.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
    /// The decision's id, of a pre-check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision_id: Option<String>,
    /// The report's id, of a reported call or tool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit_id: Option<String>,
    /// The context, of a pre-check and of a reported call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_id: Option<String>,
    /// What the user asked, as the audit policies left it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// The answer's first 200 characters, as the audit policies left it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_sample: Option<String>,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// What the application added to its report; of a tool its `input` and `output`, as the audit policies left them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
}

/// An entry's parts, as a store keeps them.
pub(crate) struct Stored {
    pub(crate) id: String,
    pub(crate) context_id: Option<String>,
    pub(crate) kind: String,
    pub(crate) at_microseconds: i64,
    pub(crate) tenant: String,
    pub(crate) client: String,
    pub(crate) user: String,
    pub(crate) request_type: String,
    pub(crate) decision: String,
    pub(crate) opened: String,
    pub(crate) opened_content: Option<String>,
    pub(crate) closed: Option<String>,
    pub(crate) closed_content: Option<String>,
}

impl TryFrom<Stored> for Entry {
    type Error = AuditError;

    /// An entry whose records cannot be read shows what it is found by, and says so.
    fn try_from(stored: Stored) -> Result<Self, AuditError> {
        let mut entry = Self::of_columns(&stored)?;
        if let Err(error) = entry.show(&stored) {
            tracing::error!(entry = stored.id, %error, "records cannot be read: their entry shows only what it is found by");
            entry = Self::of_columns(&stored)?;
            entry.detail("policies", json!([]));
            entry.detail("unreadable", true);
        }
        Ok(entry)
    }
}

impl Entry {
    fn of_columns(stored: &Stored) -> Result<Self, AuditError> {
        let timestamp = Timestamp::from_microsecond(stored.at_microseconds)
            .map_err(|error| AuditError::Encoding(format!("the time of {}: {error}", stored.id)))?;
        Ok(Self {
            id: stored.id.clone(),
            request_id: stored.context_id.as_ref().unwrap_or(&stored.id).clone(),
            timestamp,
            user_email: stored.user.clone(),
            client_id: stored.client.clone(),
            tenant_id: stored.tenant.clone(),
            request_type: stored.request_type.clone(),
            policy_decision: stored.decision.clone(),
            context_id: stored.context_id.clone(),
            ..Self::default()
        })
    }

    /// What its records say.
    fn show(&mut self, stored: &Stored) -> Result<(), AuditError> {
        let content: Option<Value> = stored.opened_content.as_deref().map(decode).transpose()?;
        match stored.kind.as_str() {
            "request" => {
                self.show_intent(decode(&stored.opened)?)?;
                self.query = content.as_ref().and_then(question);
                match stored.closed.as_deref().map(decode::<Outcome>).transpose()? {
                    Some(outcome) => self.show_outcome(outcome)?,
                    None => self.detail("outcome", "missing"),
                }
                let answer: Option<Value> = stored.closed_content.as_deref().map(decode).transpose()?;
                self.response_sample = answer.as_ref().and_then(all_text).map(sample);
            }
            "pre_check" => {
                self.show_pre_check(decode(&stored.opened)?)?;
                self.query = content.as_ref().and_then(question);
            }
            "tool_call" => self.show_tool_call(decode(&stored.opened)?, content)?,
            _ => self.show_llm_call(decode(&stored.opened)?, content)?,
        }
        Ok(())
    }

    fn show_intent(&mut self, intent: Intent) -> Result<(), AuditError> {
        self.detail("surface", intent.surface);
        if let Some(dollars) = intent.estimated_cost_usd {
            self.detail("estimated_cost_usd", dollars);
        }
        self.show_policies("evaluations", intent.generation, &intent.policies)?;
        self.show_not_inspected("not_inspected", &intent.not_inspected)?;
        self.show_reason(intent.block_reason);
        (self.provider, self.model, self.error_message) = (intent.provider, intent.model, intent.error);
        Ok(())
    }

    fn show_outcome(&mut self, outcome: Outcome) -> Result<(), AuditError> {
        if !outcome.provider.is_empty() {
            self.provider = outcome.provider;
        }
        if !outcome.model.is_empty() {
            self.model = outcome.model;
        }
        self.show_reason(outcome.block_reason);
        self.show_matched(&outcome.policies);
        if !outcome.policies.is_empty() {
            self.detail("response_evaluations", evaluations(&outcome.policies)?);
        }
        self.show_not_inspected("response_not_inspected", &outcome.not_inspected)?;
        self.detail("attempts", outcome.attempts);
        if let Some(reason) = outcome.finish_reason {
            self.detail("finish_reason", reason);
        }
        if let Some(streamed) = &outcome.streamed {
            self.detail("streamed", encode(streamed)?);
        }
        if outcome.estimated {
            self.detail("estimated", true);
        }
        if outcome.client_gone {
            self.detail("client_gone", true);
        }
        if !outcome.notes.is_empty() {
            self.detail("notes", outcome.notes);
        }
        self.response_time_ms = outcome.latency_ms;
        self.prompt_tokens = outcome.prompt_tokens;
        self.completion_tokens = outcome.completion_tokens;
        self.tokens_used = outcome.prompt_tokens.saturating_add(outcome.completion_tokens);
        self.cost = outcome.cost_usd;
        self.error_message = outcome.error.or(self.error_message.take());
        Ok(())
    }

    fn show_pre_check(&mut self, check: PreCheck) -> Result<(), AuditError> {
        self.detail("approved", check.approved);
        self.detail("requires_redaction", check.requires_redaction);
        self.detail("expires_at", encode(&check.expires_at)?);
        self.show_policies("evaluations", check.generation, &check.policies)?;
        self.show_not_inspected("not_inspected", &check.not_inspected)?;
        self.show_reason(check.block_reason);
        self.decision_id = Some(check.context_id);
        self.provider = check.providers.into_iter().next().unwrap_or_default();
        self.model = check.model;
        self.response_time_ms = check.latency_ms;
        self.error_message = check.error;
        Ok(())
    }

    fn show_llm_call(&mut self, call: LlmCall, content: Option<Value>) -> Result<(), AuditError> {
        self.show_policies("evaluations", call.generation, &call.policies)?;
        (self.provider, self.model, self.cost) = (call.provider, call.model, call.cost_usd);
        self.response_time_ms = call.latency_ms;
        self.prompt_tokens = call.prompt_tokens;
        self.completion_tokens = call.completion_tokens;
        self.tokens_used = call.total_tokens;
        self.audit_id = Some(call.audit_id);
        if let Some(Value::Object(mut content)) = content {
            self.response_sample = content.remove("response_summary").as_ref().and_then(all_text).map(sample);
            self.metadata = match content.remove("metadata") {
                Some(Value::Object(metadata)) => Some(metadata),
                _ => None,
            };
        }
        Ok(())
    }

    fn show_tool_call(&mut self, call: ToolCall, content: Option<Value>) -> Result<(), AuditError> {
        self.show_policies("evaluations", call.generation, &call.policies)?;
        self.detail("tool_name", call.tool);
        for (name, value) in [
            ("caller_name", call.caller_name),
            ("tool_type", call.tool_type),
            ("workflow_id", call.workflow_id),
            ("step_id", call.step_id),
        ] {
            if !value.is_empty() {
                self.detail(name, value);
            }
        }
        if !call.policies_applied.is_empty() {
            self.detail("policies_applied", call.policies_applied);
        }
        if let Some(success) = call.success {
            self.detail("success", success);
        }
        self.response_time_ms = call.latency_ms;
        self.audit_id = Some(call.audit_id);
        if let Some(Value::Object(mut content)) = content {
            self.error_message = content.remove("error_message").as_ref().and_then(all_text);
            self.metadata = (!content.is_empty()).then_some(content);
        }
        Ok(())
    }

    fn show_policies(&mut self, key: &str, generation: u64, policies: &[PolicyEvaluation]) -> Result<(), AuditError> {
        self.detail("generation", generation);
        self.detail("policies", json!([]));
        self.show_matched(policies);
        self.detail(key, evaluations(policies)?);
        Ok(())
    }

    /// Adds the names of those that matched to the names that are there.
    fn show_matched(&mut self, evaluations: &[PolicyEvaluation]) {
        if let Some(Value::Array(names)) = self.policy_details.get_mut("policies") {
            for name in matched_names(evaluations).into_iter().map(Value::String) {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
    }

    fn show_not_inspected(&mut self, key: &str, parts: &[NotInspected]) -> Result<(), AuditError> {
        if !parts.is_empty() {
            self.detail(key, encode(parts)?);
        }
        Ok(())
    }

    fn show_reason(&mut self, reason: Option<String>) {
        if let Some(reason) = reason {
            self.detail("block_reason", reason);
        }
    }

    fn detail(&mut self, key: &str, value: impl Into<Value>) {
        self.policy_details.insert(key.to_owned(), value.into());
    }
}

fn decode<T: DeserializeOwned>(text: &str) -> Result<T, AuditError> {
    serde_json::from_str(text).map_err(|error| AuditError::Encoding(error.to_string()))
}

fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Value, AuditError> {
    serde_json::to_value(value).map_err(|error| AuditError::Encoding(error.to_string()))
}

/// What policies did, for whoever may search. Digests are for whoever has the key.
fn evaluations(policies: &[PolicyEvaluation]) -> Result<Value, AuditError> {
    let shown = policies.iter().map(|policy| PolicyEvaluation { edits_hmac: None, ..policy.clone() });
    encode(&shown.collect::<Vec<_>>())
}

/// The last thing that the user said; of anything but a list of messages, its text.
fn question(content: &Value) -> Option<String> {
    // Attributes may stand beside the messages.
    let content = content.get("messages").unwrap_or(content);
    let Value::Array(messages) = content else { return all_text(content) };
    let asked = messages.iter().rev().find(|message| message.get("role").and_then(Value::as_str) == Some("user"));
    all_text(asked.or(messages.last())?)
}

/// The text of a message, a list of messages or a plain text, parts joined by line breaks.
fn all_text(content: &Value) -> Option<String> {
    fn collect<'v>(value: &'v Value, texts: &mut Vec<&'v str>) {
        match value {
            Value::String(text) => texts.push(text),
            Value::Array(items) => items.iter().for_each(|item| collect(item, texts)),
            Value::Object(fields) => {
                for key in ["parts", "content", "text", "arguments"] {
                    if let Some(inner) = fields.get(key) {
                        collect(inner, texts);
                    }
                }
            }
            _ => {}
        }
    }
    let mut texts = Vec::new();
    collect(content, &mut texts);
    (!texts.is_empty()).then(|| texts.join("\n"))
}

fn sample(text: String) -> String {
    match text.char_indices().nth(SAMPLE) {
        Some((end, _)) => text.get(..end).unwrap_or_default().to_owned(),
        None => text,
    }
}
