//! Gateway mode: the application asks first, calls the model itself, and reports the call.

use std::sync::Arc;
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::request::{Caller, LlmCallReport, PolicyInfo, PreCheckReply};
use super::to_its_end::to_its_end;
use super::{CONTEXT_LIFETIME, Gateway, GatewayError, Surface, text};
use super::{meter, record};
use crate::audit::record as audit;
use crate::chat::{Message, Part, Role, Usage};
use crate::in_flight::Held;
use crate::policy::{AuditPhase, Context, Question};

/// The request type of a reported call, as policies know it.
pub(super) const REPORT_TYPE: &str = "llm-call";

/// A question before a call that the application makes itself.
#[derive(Clone, Debug, PartialEq)]
pub struct PreCheckRequest {
    /// Who asks.
    pub caller: Caller,
    /// The kind of request, as the caller named it.
    pub request_type: String,
    /// What would be sent.
    pub messages: Vec<Message>,
    /// The provider that would be called, where the caller said so.
    pub provider: Option<String>,
    /// The model that would be asked, where the caller said so.
    pub model: Option<String>,
    /// Further facts for policies, sorted by name.
    pub attributes: Vec<(String, String)>,
    /// Whether the application would mask what policies want masked.
    pub can_redact: bool,
    /// Its room among the bytes in flight, given back when the request is dropped.
    pub held: Option<Held>,
}

impl Gateway {
    /// Judges a request that the application will make itself. Its record, and with it its context, is durable when
    /// this returns.
    pub async fn pre_check(self: &Arc<Self>, request: PreCheckRequest) -> Result<PreCheckReply, GatewayError> {
        let gateway = self.clone();
        to_its_end(&self.tasks, async move { gateway.judge(request).await })?.await
    }

    async fn judge(&self, request: PreCheckRequest) -> Result<PreCheckReply, GatewayError> {
        let started = Instant::now();
        let permit = self.audit.reserve()?;
        let set = self.policies.set();
        let context_id = Uuid::now_v7().to_string();
        let told = Arc::new(Context {
            providers: request.provider.into_iter().collect(),
            model: request.model,
            attributes: request.attributes,
            ..request.caller.context(Surface::Gateway, &request.request_type)
        });
        let original = Arc::new(request.messages);
        let mut messages = original.clone();
        let at = Timestamp::now();
        let mut check = audit::PreCheck {
            context_id: context_id.clone(),
            at,
            caller: record::caller(&request.caller),
            request_type: request.request_type,
            providers: told.providers.clone(),
            model: told.model.clone().unwrap_or_default(),
            attributes: record::count(&told.attributes),
            decision: audit::Decision::Error,
            approved: false,
            expires_at: at,
            requires_redaction: false,
            block_reason: None,
            generation: set.generation().0,
            policies: Vec::new(),
            not_inspected: record::not_inspected(original.iter()),
            error: None,
            latency_ms: 0,
            content: None,
        };
        let decided = self.policies.decide(&set, Question::PreCheck, &told, &mut messages, &context_id).await;
        let decision = match decided {
            Ok(decision) => decision,
            Err(overloaded) => {
                let error = GatewayError::from(overloaded);
                check.error = Some(error.to_string());
                check.content = text::content(&original, &told.attributes, None);
                permit.append(check).await?;
                return Err(error);
            }
        };
        let refusal = record::refusal(&decision)
            .or_else(|| (decision.edited && !request.can_redact).then(|| record::cannot_redact(&decision)));
        let lifetime = SignedDuration::try_from(CONTEXT_LIFETIME).unwrap_or_default();
        let expires_at = at.checked_add(lifetime).unwrap_or(at);
        check.decision = if refusal.is_some() { audit::Decision::Blocked } else { record::decided(&decision) };
        check.approved = refusal.is_none();
        check.expires_at = expires_at;
        check.requires_redaction = decision.edited;
        check.block_reason = refusal.as_ref().map(|refusal| refusal.reason.clone());
        check.policies = record::evaluations(&decision, self.audit.key());
        let kept = self.keep(&set, AuditPhase::Intent, &told, &original, &context_id, &mut check.policies).await;
        check.content = text::content(&original, &told.attributes, kept.as_ref());
        check.latency_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        permit.append(check).await?;
        let mut policies = PolicyInfo::default();
        policies.add(&decision);
        if let Some(refusal) = &refusal {
            policies.refused_by(&refusal.policy);
        }
        Ok(PreCheckReply { context_id, expires_at, refusal, requires_redaction: decision.edited, policies })
    }

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
            ..caller.context(Surface::Gateway, REPORT_TYPE)
        });
        let mut policies = Vec::new();
        let reported = Reported::of(&report);
        let content = match reported.messages() {
            Some(messages) => {
                let messages = Arc::new(messages);
                let kept = self.keep(&set, AuditPhase::Outcome, &told, &messages, &audit_id, &mut policies).await;
                reported.content(kept.as_deref())
            }
            None => None,
        };
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

/// What an application reported in words.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Reported {
    #[serde(skip_serializing_if = "Option::is_none")]
    response_summary: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Map<String, Value>>,
}

impl Reported {
    fn of(report: &LlmCallReport) -> Self {
        let metadata = report.metadata.clone().filter(|it| !it.is_empty());
        Self { response_summary: report.response_summary.clone(), metadata }
    }

    /// The same for the audit policies: the summary, and behind it the metadata as JSON.
    pub(super) fn messages(&self) -> Option<Vec<Message>> {
        let metadata = self.metadata.as_ref().and_then(|it| serde_json::to_string(it).ok());
        let texts = self.response_summary.iter().cloned().chain(metadata);
        let parts: Vec<_> = texts.map(|text| Part::Text { text }).collect();
        (!parts.is_empty()).then(|| vec![Message { role: Role::Assistant, parts }])
    }

    /// The report as content. Metadata that the audit policies' edits made unreadable are withheld.
    fn content(&self, kept: Option<&Vec<Message>>) -> Option<audit::Content> {
        let Some(kept) = kept else { return audit::Content::withheld(self) };
        let mut texts =
            kept.iter().flat_map(|message| &message.parts).filter_map(|part| part.text().map(str::to_owned));
        let kept = Self {
            response_summary: self.response_summary.as_ref().and_then(|_| texts.next()),
            metadata: texts.next().and_then(|text| serde_json::from_str(&text).ok()),
        };
        if kept == *self { audit::Content::unchanged(self) } else { audit::Content::edited(self, &kept) }
    }
}
