//! Calls of models that applications make themselves after a pre-check, and report.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::reported::Reported;
use super::request::Caller;
use super::to_its_end::to_its_end;
use super::{Gateway, GatewayError, Surface, meter, record};
use crate::audit::record as audit;
use crate::chat::Usage;
use crate::in_flight::Held;
use crate::policy::Context;

/// The request type of a report, as policies know it.
pub(super) const REQUEST_TYPE: &str = "llm-call";

/// A call that an application made by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct LlmCallReport {
    /// The pre-check under which it was made.
    pub context_id: String,
    /// The provider, in the application's words.
    pub provider: String,
    /// The model.
    pub model: String,
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
    /// Tokens of the answer.
    pub completion_tokens: u64,
    /// All tokens, as the application counted them.
    pub total_tokens: u64,
    /// Milliseconds that it took.
    pub latency_ms: u64,
    /// The answer, or what the application says of it.
    pub response_summary: Option<String>,
    /// Whatever else it says.
    pub metadata: Option<Map<String, Value>>,
    /// Its room among the bytes in flight, given back when the report is dropped.
    pub held: Option<Held>,
}

impl Gateway {
    /// Records a call that the application made. Answers with the record's id once it is durable. A context that is
    /// unknown, expired or another client's is one and the same error: nobody learns of others' contexts.
    pub async fn report_llm_call(
        self: &Arc<Self>,
        caller: &Caller,
        report: LlmCallReport,
    ) -> Result<String, GatewayError> {
        let (gateway, caller) = (self.clone(), caller.clone());
        to_its_end(&self.tasks, async move { gateway.record_llm_call(&caller, report).await })?.await
    }

    async fn record_llm_call(&self, caller: &Caller, report: LlmCallReport) -> Result<String, GatewayError> {
        let at = Timestamp::now();
        // First, since it bounds how many reports wait for the store to tell their contexts.
        let permit = self.audit.reserve()?;
        let held = self.audit.context(&report.context_id).await?;
        let held = held.filter(|it| it.client == caller.client && it.tenant == caller.tenant && it.expires_at > at);
        let held = held.ok_or(GatewayError::InvalidContext)?;
        // A report need not say again for whom the call was made.
        let asked_for = Some(held.user).filter(|user| !user.is_empty());
        let caller = &Caller { user: caller.user.clone().or(asked_for), ..caller.clone() };
        let set = self.policies.set();
        let audit_id = Uuid::now_v7().to_string();
        let told = Arc::new(Context {
            providers: vec![report.provider.clone()],
            model: Some(report.model.clone()),
            ..caller.context(Surface::Gateway, REQUEST_TYPE)
        });
        let reported = ReportedCall {
            response_summary: report.response_summary,
            metadata: report.metadata.filter(|metadata| !metadata.is_empty()),
        };
        let (content, policies) = self.keep_report(&set, &told, &reported, &audit_id).await;
        let usage = Usage {
            prompt_tokens: report.prompt_tokens,
            completion_tokens: report.completion_tokens,
            ..Usage::default()
        };
        // Of a report without tokens nobody knows what the call cost.
        let cost_usd = self
            .router
            .provider(&report.provider)
            .filter(|_| usage.total_tokens() > 0)
            .and_then(|provider| provider.price(&report.model, &usage));
        let call = audit::LlmCall {
            audit_id: audit_id.clone(),
            context_id: report.context_id,
            at,
            caller: record::caller(caller),
            provider: report.provider,
            model: report.model,
            prompt_tokens: report.prompt_tokens,
            completion_tokens: report.completion_tokens,
            total_tokens: report.total_tokens,
            latency_ms: report.latency_ms,
            cost_usd,
            generation: set.generation().0,
            policies,
            content,
        };
        permit.append(call.clone()).await?;
        meter::reported(&self.router, &call);
        Ok(audit_id)
    }
}

/// What an application reported of a call in words.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct ReportedCall {
    #[serde(skip_serializing_if = "Option::is_none")]
    response_summary: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Map<String, Value>>,
}

impl Reported for ReportedCall {
    /// The summary, and behind it the metadata.
    fn texts(&self) -> impl Iterator<Item = String> {
        let metadata = self.metadata.as_ref().and_then(|it| serde_json::to_string(it).ok());
        self.response_summary.iter().cloned().chain(metadata)
    }

    fn of_texts(&self, mut texts: impl Iterator<Item = String>) -> Self {
        Self {
            response_summary: self.response_summary.as_ref().and_then(|_| texts.next()),
            metadata: self.metadata.as_ref().and_then(|_| serde_json::from_str(&texts.next()?).ok()),
        }
    }
}
