//! Gateway mode: the application asks first. It calls the model itself, and reports the call.

use std::sync::Arc;
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::request::{Caller, PolicyInfo, Refusal};
use super::to_its_end::to_its_end;
use super::{CONTEXT_LIFETIME, Gateway, GatewayError, Surface, record, text};
use crate::audit::record as audit;
use crate::chat::Message;
use crate::in_flight::Held;
use crate::policy::{AuditPhase, Context, Question};

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

/// The answer to a pre-check. Its record is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreCheckReply {
    /// Under this id the application reports its call.
    pub context_id: String,
    /// Until when it may.
    pub expires_at: Timestamp,
    /// Why the call may not be made; `None` when it may.
    pub refusal: Option<Refusal>,
    /// Whether a policy wants text to be masked before the call.
    pub requires_redaction: bool,
    /// What policies said.
    pub policies: PolicyInfo,
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
}
