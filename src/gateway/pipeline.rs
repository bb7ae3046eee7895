//! A request that a model answers.
//!
//! ```text
//! permit -> pre-check policies -> intent is queued ----------------------> intent is durable -> reply
//!                              \-> router -> provider -> response policies /                 \-> outcome is durable
//! ```
//!
//! The permit comes first: a store that cannot keep up refuses a request before a model is paid for it. The intent is
//! written while the model works, and the reply waits for it. The outcome is queued before the reply leaves, so that a
//! search behind the reply finds it.

pub(super) mod outcome;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::meter;
use super::record;
use super::request::{Answered, Outcome, PolicyInfo, Refusal, Reply, Request, RequestId};
use super::to_its_end::to_its_end;
use super::{Gateway, GatewayError, text};
use crate::audit::record as audit;
use crate::audit::{AuditError, OutcomePermit, RequestPermit};
use crate::chat::{ChatAnswer, ChatRequest, Message, estimate_before};
use crate::in_flight;
use crate::policy::stream::Inspection;
use crate::policy::{self, AuditPhase, Context, Decision, PolicySet, Question};
use crate::provider::Streamed;
use crate::router::{Attempt, Attempts, Constraints, Preference, RouteError, Routed, Router};

impl Gateway {
    /// Judges a request, has it answered, judges the answer. Every way out but an error before the permit leaves a
    /// record.
    pub async fn process(self: &Arc<Self>, request: Request) -> Result<Reply, GatewayError> {
        match self.begin(request, false).await? {
            Answered::Reply(reply) => Ok(reply),
            Answered::Stream(_) => Err(GatewayError::Internal),
        }
    }

    /// The same, but the answer comes while the model speaks. What ends before it has begun is a reply.
    pub async fn process_streaming(self: &Arc<Self>, request: Request) -> Result<Answered, GatewayError> {
        self.begin(request, true).await
    }

    /// Of a stream this is the first half: what comes behind its beginning has a task of its own.
    async fn begin(self: &Arc<Self>, request: Request, streams: bool) -> Result<Answered, GatewayError> {
        let gone = CancellationToken::new();
        let _guard = gone.clone().drop_guard();
        let held = request.held.clone();
        // Boxed before it is handed on: it is some kilobytes.
        let run = Box::pin(Pipeline::run(self.clone(), request, streams, gone));
        to_its_end(&self.tasks, in_flight::charged(held.as_ref(), run))?.await
    }
}

/// One request on its way.
pub(super) struct Pipeline {
    pub(super) gateway: Arc<Gateway>,
    pub(super) set: Arc<PolicySet>,
    pub(super) id: RequestId,
    pub(super) request: Request,
    /// Whether the answer is to come piece by piece.
    streams: bool,
    pub(super) context: Arc<Context>,
    /// As the caller sent them; what is recorded, once the audit policies have seen it.
    original: Arc<Vec<Message>>,
    /// What it may cost, before it is known.
    estimated_cost_usd: Option<f64>,
    at: Timestamp,
    started: Instant,
    pub(super) policies: PolicyInfo,
}

/// What became of the upstream call.
enum Upstream {
    Answered(Box<Routed>),
    Streams(Box<(Routed<Streamed>, Inspection)>),
    Failed(Box<RouteError>),
    /// It was broken off, for this reason.
    BrokenOff(BrokenOff),
}

/// Why nobody waits for the upstream any more.
#[derive(Clone, Copy)]
enum BrokenOff {
    ClientGone,
    OutOfTime,
}

impl Upstream {
    /// The calls that were made, and what the last one answered, if it is all there. `attempts`: of a request that was
    /// broken off.
    fn calls(&self, attempts: &Attempts) -> (Vec<Attempt>, Option<&ChatAnswer>) {
        match self {
            Self::Answered(routed) => (routed.attempts.clone(), Some(&routed.answer)),
            Self::Streams(begun) => (begun.0.attempts.clone(), None),
            Self::Failed(error) => (error.attempts().to_vec(), None),
            Self::BrokenOff(_) => (attempts.take(), None),
        }
    }
}

/// What comes of a request.
type Answer = Result<Answered, GatewayError>;

impl Pipeline {
    async fn run(gateway: Arc<Gateway>, mut request: Request, streams: bool, gone: CancellationToken) -> Answer {
        let started = Instant::now();
        let permit = gateway.audit.reserve_request()?;
        let estimated = estimate_before(&request.chat);
        let original = Arc::new(std::mem::take(&mut request.chat.messages));
        let mut constraints = Constraints::new(request.preference.clone())
            .for_task(request.chat.task)
            .of_tenant(&request.caller.tenant)
            .with_key(request.provider_key.clone());
        let asked = request.chat.model.as_deref();
        // With `skip_llm` no provider is needed.
        let (destinations, unroutable) = match gateway.router.destinations(asked, &constraints) {
            Ok(destinations) => (destinations, None),
            Err(error) => (Vec::new(), Some(Box::new(error))),
        };
        let providers: Vec<_> = destinations.iter().map(|it| it.provider.to_owned()).collect();
        let costs = destinations.iter().filter_map(|it| gateway.router.price(it.provider, it.model, &estimated));
        let estimated_cost_usd = costs.max_by(f64::total_cmp);
        // Shares may change meanwhile, and policies have seen these.
        constraints.share_among(providers.iter().cloned());
        let renamed = destinations.iter().map(|it| it.model).filter(|model| Some(*model) != asked);
        let model_aliases = renamed.map(str::to_owned).collect();
        let context = Arc::new(Context {
            providers,
            model: request.chat.model.clone(),
            model_aliases,
            attributes: std::mem::take(&mut request.attributes),
            ..request.caller.context(request.surface, &request.request_type)
        });
        let set = gateway.policies.set();
        let pipeline = Box::new(Self {
            gateway,
            set,
            id: RequestId::new(),
            request,
            streams,
            context,
            original,
            estimated_cost_usd,
            at: Timestamp::now(),
            started,
            policies: PolicyInfo::default(),
        });
        pipeline.decide(permit, constraints, unroutable, gone).await
    }

    async fn decide(
        mut self: Box<Self>,
        permit: RequestPermit,
        mut constraints: Constraints,
        unroutable: Option<Box<RouteError>>,
        gone: CancellationToken,
    ) -> Answer {
        let mut messages = self.original.clone();
        let gateway = self.gateway.clone();
        let decided = gateway
            .policies
            .decide(&self.set, Question::PreCheck, &self.context, &mut messages, self.id.as_str())
            .await;
        let decision = match decided {
            Ok(decision) => decision,
            Err(overloaded) => {
                let error = GatewayError::from(overloaded);
                let content = text::content(&self.original, &self.context.attributes, None);
                let intent = audit::Intent {
                    error: Some(error.to_string()),
                    content,
                    ..self.bare_intent(audit::Decision::Error)
                };
                return self.give_up(permit, intent, error).await;
            }
        };
        self.policies.add(&decision);
        if let Some(refusal) = record::refusal(&decision) {
            return self.refuse(permit, &decision, refusal).await;
        }
        if let Some(routing) = &decision.routing {
            if !routing.providers.is_empty() {
                constraints.restrict_to_providers(routing.providers.iter().cloned());
            }
            if !routing.regions.is_empty() {
                constraints.restrict_to_regions(routing.regions.iter().cloned());
            }
        }
        if let Some(policy) = &decision.routed_by
            && unroutable.is_none()
            && gateway.router.destinations(self.request.chat.model.as_deref(), &constraints).is_err()
        {
            let reason = format!("Request blocked by policy: {policy} (no_provider_left)");
            let explanation = decision.reason_of(policy).map(str::to_owned);
            let refusal = Refusal { policy: policy.clone(), reason, explanation, rule: None };
            self.policies.refused_by(policy);
            return self.refuse(permit, &decision, refusal).await;
        }
        if self.request.skip_llm {
            return self.end(permit, &decision, Outcome::Checked).await;
        }
        if let Some(error) = unroutable {
            return self.end(permit, &decision, Outcome::Failed(error)).await;
        }
        self.call(permit, &decision, messages, constraints, gone).await
    }

    /// Asks the model while the intent is written.
    async fn call(
        mut self: Box<Self>,
        permit: RequestPermit,
        decision: &Decision,
        messages: Arc<Vec<Message>>,
        constraints: Constraints,
        gone: CancellationToken,
    ) -> Answer {
        let intent_decision = record::decided(decision);
        // What a stream needs is taken before the upstream is asked.
        let inspection =
            self.streams.then(|| self.gateway.policies.inspect(&self.set, &self.context, self.id.as_str())).transpose();
        let inspection = match inspection {
            Ok(inspection) => inspection,
            Err(no_places) => {
                let error = GatewayError::TooManyStreams(no_places);
                let intent = self.intent(decision, audit::Decision::Error, None, Some(error.to_string())).await;
                return self.give_up(permit, intent, error).await;
            }
        };
        let tenant = self.request.caller.tenant.clone();
        let chat = ChatRequest { tenant, messages: Arc::unwrap_or_clone(messages), ..self.request.chat.clone() };
        let gateway = self.gateway.clone();
        let is_durable = AtomicBool::new(false);
        let attempts = Attempts::default();
        // Stands here, so that what was answered is counted where the intent cannot be written.
        let mut upstream = Upstream::BrokenOff(BrokenOff::ClientGone);
        let asked = async {
            // Who left while policies judged costs no call.
            if !gone.is_cancelled() {
                upstream = tokio::select! {
                    biased;
                    upstream = ask(&gateway.router, &chat, &constraints, inspection, &attempts) => upstream,
                    () = gone.cancelled() => Upstream::BrokenOff(BrokenOff::ClientGone),
                    () = gateway.out_of_time().cancelled() => Upstream::BrokenOff(BrokenOff::OutOfTime),
                };
            }
            if !is_durable.load(Ordering::Relaxed) {
                gateway.audit.hurry();
            }
            Ok(())
        };
        let recorded = async {
            // Whoever writes the call to the upstream waits for this very thread.
            tokio::task::yield_now().await;
            let intent = self.intent(decision, intent_decision, None, None).await;
            let (durable, permit) = permit.intent(intent);
            durable.await?;
            is_durable.store(true, Ordering::Relaxed);
            Ok::<_, AuditError>(permit)
        };
        let asked_and_recorded = futures_util::future::try_join(asked, recorded).await;
        // An answer may stream for an hour.
        drop(chat);
        let permit = match asked_and_recorded {
            Ok(((), permit)) => permit,
            Err(error) => {
                let (attempts, answered) = upstream.calls(&attempts);
                meter::proxied(&gateway.router, &attempts, answered);
                return Err(error.into());
            }
        };
        match upstream {
            Upstream::Answered(routed) => self.answered(*routed, intent_decision, permit).await,
            Upstream::Streams(begun) => {
                let (routed, inspection) = *begun;
                Ok(Answered::Stream(self.stream(routed, inspection, intent_decision, permit)))
            }
            Upstream::Failed(error) => {
                let outcome = self.failed_outcome(&error);
                self.close(permit, outcome, error.attempts(), None);
                Ok(self.reply(Outcome::Failed(error)))
            }
            Upstream::BrokenOff(why) => {
                let mut outcome = self.outcome(audit::Decision::Error);
                let answer = match why {
                    BrokenOff::ClientGone => {
                        outcome::client_left(&mut outcome);
                        // Nobody hears it.
                        GatewayError::Internal
                    }
                    BrokenOff::OutOfTime => {
                        outcome.error = Some(GatewayError::ShuttingDown.to_string());
                        GatewayError::ShuttingDown
                    }
                };
                let attempts = attempts.take();
                self.tried_into(&mut outcome, &attempts);
                self.close(permit, outcome, &attempts, None);
                Err(answer)
            }
        }
    }

    /// Judges the answer, then what is kept of it.
    async fn answered(&mut self, mut routed: Routed, so_far: audit::Decision, permit: OutcomePermit) -> Answer {
        let told = self.told_of(&routed);
        let original: Arc<Vec<Message>> =
            Arc::new(routed.answer.choices.iter().map(|choice| choice.message.clone()).collect());
        let mut shown = original.clone();
        let gateway = self.gateway.clone();
        let judged = gateway.policies.decide(&self.set, Question::Response, &told, &mut shown, self.id.as_str()).await;
        let mut outcome = self.answered_outcome(so_far, &routed);
        let decision = match judged {
            Ok(decision) => decision,
            Err(overloaded) => {
                let error = GatewayError::from(overloaded);
                outcome.decision = audit::Decision::Error;
                outcome.error = Some(format!("{error}; the answer was withheld"));
                outcome.content = text::content(&original, &Vec::new(), None);
                self.close(permit, outcome, &routed.attempts, Some(&routed.answer));
                return Err(error);
            }
        };
        self.policies.add(&decision);
        outcome.policies = self.evaluations(&decision);
        let refusal = record::refusal(&decision);
        match record::decided(&decision) {
            audit::Decision::Blocked => outcome.decision = audit::Decision::Blocked,
            audit::Decision::Redacted => outcome.decision = audit::Decision::Redacted,
            _ => {}
        }
        outcome.block_reason = refusal.as_ref().map(|refusal| refusal.reason.clone());
        outcome.content = self.keep(AuditPhase::Outcome, &told, original, &mut outcome.policies).await;
        outcome.latency_ms = self.milliseconds();
        self.close(permit, outcome, &routed.attempts, Some(&routed.answer));
        if let Some(refusal) = refusal {
            return Ok(self.reply(Outcome::Withheld(refusal, Box::new(routed))));
        }
        if decision.edited {
            for (choice, message) in routed.answer.choices.iter_mut().zip(shown.iter()) {
                choice.message = message.clone();
            }
        }
        Ok(self.reply(Outcome::Answered(Box::new(routed))))
    }

    /// What policies are told once a provider answers.
    pub(super) fn told_of<T>(&self, routed: &Routed<T>) -> Arc<Context> {
        Arc::new(Context {
            providers: vec![routed.provider.clone()],
            model: Some(routed.model.clone()),
            model_aliases: self.context.model.iter().cloned().collect(),
            ..Context::clone(&self.context)
        })
    }

    /// A request that a policy refused.
    async fn refuse(&mut self, permit: RequestPermit, decision: &Decision, refusal: Refusal) -> Answer {
        let reason = refusal.reason.clone();
        let intent = self.intent(decision, audit::Decision::Blocked, Some(reason.clone()), None).await;
        let mut outcome = self.outcome(audit::Decision::Blocked);
        outcome.block_reason = Some(reason);
        permit.intent_and_outcome(intent, outcome).await?;
        Ok(self.reply(Outcome::Refused(refusal)))
    }

    /// A request that is over before a provider is asked.
    async fn end(&mut self, permit: RequestPermit, decision: &Decision, reply: Outcome) -> Answer {
        let outcome = match &reply {
            Outcome::Failed(error) => self.failed_outcome(error),
            _ => self.outcome(record::decided(decision)),
        };
        let intent = self.intent(decision, outcome.decision, None, outcome.error.clone()).await;
        permit.intent_and_outcome(intent, outcome).await?;
        Ok(self.reply(reply))
    }

    /// A request that could not be judged: recorded as an error, answered with one.
    async fn give_up(&self, permit: RequestPermit, intent: audit::Intent, error: GatewayError) -> Answer {
        let mut outcome = self.outcome(audit::Decision::Error);
        outcome.error.clone_from(&intent.error);
        permit.intent_and_outcome(intent, outcome).await?;
        Err(error)
    }

    /// Counts and records what became of a request whose intent is on record. `answer`: that of the last attempt.
    pub(super) fn close(
        &self,
        permit: OutcomePermit,
        outcome: audit::Outcome,
        attempts: &[Attempt],
        answer: Option<&ChatAnswer>,
    ) {
        meter::proxied(&self.gateway.router, attempts, answer);
        permit.outcome(outcome);
    }

    fn reply(&mut self, outcome: Outcome) -> Answered {
        Answered::Reply(Reply {
            request_id: self.id.clone(),
            outcome,
            policies: std::mem::take(&mut self.policies),
            generation: self.set.generation().0,
        })
    }

    fn bare_intent(&self, decision: audit::Decision) -> audit::Intent {
        let preferred = match &self.request.preference {
            Preference::Any => "",
            Preference::Prefer(name) | Preference::Pin(name) => name,
        };
        audit::Intent {
            request_id: self.id.as_str().to_owned(),
            at: self.at,
            surface: self.request.surface.as_str().to_owned(),
            request_type: self.request.request_type.clone(),
            caller: record::caller(&self.request.caller),
            provider: preferred.to_owned(),
            model: self.request.chat.model.clone().unwrap_or_default(),
            provider_key_hmac: self
                .request
                .provider_key
                .as_ref()
                .and_then(|key| key.digested(|key| self.gateway.audit.key().hmac(&format!("provider_key:{key}")))),
            providers: self.context.providers.clone(),
            estimated_cost_usd: self.estimated_cost_usd,
            model_aliases: self.context.model_aliases.clone(),
            attributes: record::count(&self.context.attributes),
            decision,
            block_reason: None,
            generation: self.set.generation().0,
            policies: Vec::new(),
            not_inspected: record::not_inspected(self.original.iter())
                .into_iter()
                .chain(record::not_inspected_beside(&self.request.chat))
                .collect(),
            error: None,
            content: None,
        }
    }

    async fn intent(
        &self,
        decision: &Decision,
        decided: audit::Decision,
        block_reason: Option<String>,
        error: Option<String>,
    ) -> audit::Intent {
        let mut policies = self.evaluations(decision);
        let content = self.keep(AuditPhase::Intent, &self.context, self.original.clone(), &mut policies).await;
        audit::Intent { block_reason, policies, error, content, ..self.bare_intent(decided) }
    }

    /// These messages, and what may be kept of them.
    pub(super) async fn keep(
        &self,
        phase: AuditPhase,
        context: &Arc<Context>,
        messages: Arc<Vec<Message>>,
        policies: &mut Vec<audit::PolicyEvaluation>,
    ) -> Option<audit::Content> {
        let kept = self.gateway.keep(&self.set, phase, context, &messages, self.id.as_str(), policies).await;
        let attributes = match phase {
            AuditPhase::Intent => &context.attributes,
            // They stand with the request.
            AuditPhase::Outcome => &Vec::new(),
        };
        text::content(&messages, attributes, kept.as_ref())
    }

    /// Each policy's part in a decision, as it is recorded.
    pub(super) fn evaluations(&self, decision: &Decision) -> Vec<audit::PolicyEvaluation> {
        record::evaluations(decision, self.gateway.audit.key())
    }

    pub(super) fn milliseconds(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Asks for an answer: one that streams where there are policies waiting to see it.
async fn ask(
    router: &Router,
    chat: &ChatRequest,
    constraints: &Constraints,
    inspection: Option<Inspection>,
    attempts: &Attempts,
) -> Upstream {
    let answered = match inspection {
        Some(inspection) => {
            let begun = router.stream(chat, constraints, attempts).await;
            begun.map(|routed| Upstream::Streams(Box::new((routed, inspection))))
        }
        None => router.route(chat, constraints, attempts).await.map(|routed| Upstream::Answered(Box::new(routed))),
    };
    answered.unwrap_or_else(|error| Upstream::Failed(Box::new(error)))
}

impl Gateway {
    /// Shows messages to the audit policies and gives what may be kept of them. Without the policies' word (all slots
    /// taken) nothing is kept but the record itself.
    pub(super) async fn keep(
        &self,
        set: &PolicySet,
        phase: AuditPhase,
        context: &Arc<Context>,
        original: &Arc<Vec<Message>>,
        request_id: &str,
        policies: &mut Vec<audit::PolicyEvaluation>,
    ) -> Option<Arc<Vec<Message>>> {
        let mut messages = original.clone();
        match self.policies.decide(set, Question::Audit(phase), context, &mut messages, request_id).await {
            Ok(decision) => {
                policies.extend(record::evaluations(&decision, self.audit.key()));
                // Text that no audit policy in force has seen is not kept.
                let seen = decision
                    .evaluations
                    .iter()
                    .any(|it| it.enforced && matches!(it.outcome, policy::Outcome::Verdict(_)));
                (seen && !decision.refused()).then_some(messages)
            }
            Err(overloaded) => {
                tracing::warn!(request = request_id, "{overloaded}: the text of a record was withheld");
                None
            }
        }
    }
}
