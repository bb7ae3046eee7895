//! Running a set over one request: every policy in order, each in a fresh sandbox, the strongest action decides.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;

use super::Context;
use super::component::{Evaluated, EvaluationError, Failed, Piece, Question, Session};
use super::counters::CounterStore;
use super::engine::Engine;
use super::lane::{LaneError, SlowLane};
use super::manifest::{Manifest, Mode, OnError, Phase, StreamMode};
use super::places::{Place, Places};
use super::readings::{Readings, Source};
use super::sandbox::GuestLog;
use super::set::{BrokenPolicy, Generation, Label, LivePolicy, Member, PolicySet};
use super::verdict::{self, Action, Routing, Verdict};
use crate::chat::{Message, text_bytes};
use crate::config::Tenants;

/// The wall cap behind a policy's own limit, which counts only the time that it runs. Half as many evaluations take turns
/// on each thread of the slow lane: all of them can use their time to the end, and the machine may be half as quick.
const WALL_FACTOR: u32 = 20;

/// Everything that evaluations need, shared by all requests.
#[derive(Clone, Debug)]
pub struct Runner {
    engine: Arc<Engine>,
    lane: Arc<SlowLane>,
    slots: Arc<Semaphore>,
    stream_places: Arc<Places>,
    counters: Arc<dyn CounterStore>,
}

/// What one policy said about one request.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// Which policy.
    pub label: Label,
    /// The interface that was asked.
    pub phase: Phase,
    /// The manifest's mode.
    pub mode: Mode,
    /// Whether the verdict counted: in `enforce`, and on the enforced side of the roll-out.
    pub enforced: bool,
    /// Of an answer that streams: what was held back for it.
    pub stream: Option<StreamMode>,
    /// What came of it.
    pub outcome: Outcome,
    /// What host interfaces told the policy.
    pub readings: Readings,
    /// How long it took, waiting included.
    pub elapsed: Duration,
}

/// What came of an evaluation.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// A verdict.
    Verdict(Verdict),
    /// None.
    Error {
        /// Stable.
        code: &'static str,
        /// For the record.
        message: String,
        /// What follows from it.
        on_error: OnError,
        /// What it had said of a stream before, and of what came after.
        said: Option<Box<Verdict>>,
    },
    /// It was not asked: a refusal had been reached before, or a stream broke off.
    Skipped,
}

impl Outcome {
    /// What the policy said, even if it failed on a part of the text.
    pub fn said(&self) -> Option<&Verdict> {
        match self {
            Self::Verdict(verdict) => Some(verdict),
            Self::Error { said, .. } => said.as_deref(),
            Self::Skipped => None,
        }
    }
}

/// What a set decided about one request.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The set's number.
    pub generation: Generation,
    /// The strongest enforced action.
    pub action: Action,
    /// The first policy that reached it; `None` when it is `allow`.
    pub decided_by: Option<String>,
    /// The policy's sentence about a refusal.
    pub reason: Option<String>,
    /// The rule of what was found first by the verdict that refused.
    pub rule: Option<String>,
    /// Why it is refused, when no verdict said so: `policy_missing`, or an error's code.
    pub failure: Option<&'static str>,
    /// Enforced policies that had something to say, the deciding one first.
    pub matched: Vec<String>,
    /// Every policy that was asked, in order.
    pub evaluations: Vec<Evaluation>,
    /// Whether text was replaced.
    pub edited: bool,
    /// Where the request may go; `None`: anywhere.
    pub routing: Option<Routing>,
    /// The first policy that limited where the request may go.
    pub routed_by: Option<String>,
    /// Time spent.
    pub elapsed: Duration,
}

impl Decision {
    /// Nothing decided yet.
    pub(super) fn new(generation: Generation, policies: usize) -> Self {
        Self {
            generation,
            action: Action::Allow,
            decided_by: None,
            reason: None,
            rule: None,
            failure: None,
            matched: Vec::new(),
            evaluations: Vec::with_capacity(policies),
            edited: false,
            routing: None,
            routed_by: None,
            elapsed: Duration::ZERO,
        }
    }

    /// Whether the request is refused.
    pub fn refused(&self) -> bool {
        self.action.refuses()
    }

    /// The sentence of a policy's verdict.
    pub fn reason_of(&self, policy: &str) -> Option<&str> {
        let evaluation = self.evaluations.iter().find(|it| &*it.label.policy == policy)?;
        evaluation.outcome.said()?.reason.as_deref()
    }
}

/// All slots are taken: the request is to be refused with 503, and tried again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many policies are being evaluated")]
pub struct Overloaded;

/// More policies judge a stream than one tenant has places for: it is never judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a stream that {policies} response policies in `enforce` judge is refused, since there are places for {places}: for \
     such a stream `policies.max_streams` must be at least {needed}"
)]
pub struct TooFewPlaces {
    policies: usize,
    places: usize,
    needed: usize,
}

impl Runner {
    /// `slots` evaluations at once, of which at most half in the slow lane, and beside them `stream_places` instances
    /// that streams keep. Both are shared among tenants.
    pub fn new(
        engine: Arc<Engine>,
        slots: usize,
        stream_places: usize,
        tenants: Tenants,
        counters: Arc<dyn CounterStore>,
    ) -> std::io::Result<Self> {
        Ok(Self {
            engine,
            lane: Arc::new(SlowLane::start((slots / 2).max(1), WALL_FACTOR as usize / 2, tenants)?),
            slots: Arc::new(Semaphore::new(slots)),
            stream_places: Arc::new(Places::new(stream_places, tenants)),
            counters,
        })
    }

    /// A place for an instance that lives as long as a stream of this tenant's.
    pub(super) fn stream_place(&self, tenant: &str) -> Result<Place, Overloaded> {
        self.stream_places.take(tenant).ok_or(Overloaded)
    }

    /// What is wrong with the number of places, if a stream cannot have one for each of so many policies.
    pub(super) fn too_few_places(&self, policies: usize) -> Option<TooFewPlaces> {
        let (places, needed) = (self.stream_places.part(), self.stream_places.for_part(policies));
        (policies > places).then_some(TooFewPlaces { policies, places, needed })
    }

    /// Asks every policy of `set` that answers the question and covers the request. Edits are applied to `messages`.
    pub async fn decide(
        &self,
        set: &PolicySet,
        question: Question,
        context: &Arc<Context>,
        messages: &mut Arc<Vec<Message>>,
        request_id: &str,
    ) -> Result<Decision, Overloaded> {
        let started = Instant::now();
        let mut decision = Decision::new(set.generation(), set.members().len());
        if let Some(name) = set.missing_for(question, context) {
            decision.refuse(name.as_str(), "policy_missing");
        }
        for member in set.members() {
            match member {
                Member::Live(policy) => {
                    self.ask(policy, question, context, messages, request_id, &mut decision).await?;
                }
                Member::Broken(policy) => ask_broken(policy, question, context, &mut decision),
            }
        }
        decision.elapsed = started.elapsed();
        Ok(decision)
    }

    async fn ask(
        &self,
        policy: &Arc<LivePolicy>,
        question: Question,
        context: &Arc<Context>,
        messages: &mut Arc<Vec<Message>>,
        request_id: &str,
        decision: &mut Decision,
    ) -> Result<(), Overloaded> {
        let manifest = &policy.manifest;
        let phase = question.phase();
        if !policy.applies(phase, context) {
            return Ok(());
        }
        let enforced = manifest.enforced_on(request_id);
        let started = Instant::now();
        let mut readings = Readings::default();
        let mut memory = None;
        let outcome = if decision.action == Action::Deny && phase != Phase::Audit {
            Outcome::Skipped
        } else {
            let source = Source::World { counters: self.counters.clone(), policy: manifest.clone(), shadow: !enforced };
            match self.evaluate(policy, source, question, context, messages).await {
                Ok(evaluated) => {
                    report_log(policy, &evaluated.log, request_id);
                    readings = evaluated.readings;
                    memory = Some(evaluated.memory);
                    Outcome::Verdict(evaluated.verdict)
                }
                // What only watches keeps nobody out.
                Err(Failed { error: EvaluationError::Overloaded, .. }) if enforced => return Err(Overloaded),
                Err(Failed { error, log, readings: told }) => {
                    report_log(policy, &log, request_id);
                    readings = told;
                    // The metrics count it; a line for each would be the last straw.
                    if !matches!(error, EvaluationError::Overloaded) {
                        tracing::warn!(
                            policy = manifest.name.as_str(),
                            phase = phase.as_str(),
                            code = error.code(),
                            request = request_id,
                            "policy gave no verdict: {error}"
                        );
                    }
                    let (code, message) = (error.code(), error.to_string());
                    Outcome::Error { code, message, on_error: manifest.on_error, said: None }
                }
            }
        };
        let elapsed = started.elapsed();
        policy.tally.count(phase, enforced, &outcome, elapsed, memory);
        if enforced {
            match &outcome {
                Outcome::Verdict(verdict) => decision.take(manifest, verdict, messages),
                Outcome::Error { code, on_error: OnError::Deny, .. } => decision.refuse(manifest.name.as_str(), code),
                Outcome::Error { .. } | Outcome::Skipped => {}
            }
        }
        decision.evaluations.push(Evaluation {
            label: policy.label.clone(),
            phase,
            mode: manifest.mode,
            enforced,
            stream: None,
            outcome,
            readings,
            elapsed,
        });
        Ok(())
    }

    /// One evaluation in a fresh sandbox, under the manifest's limits.
    pub async fn evaluate(
        &self,
        policy: &Arc<LivePolicy>,
        source: Source,
        question: Question,
        context: &Arc<Context>,
        messages: &Arc<Vec<Message>>,
    ) -> Result<Evaluated, Failed> {
        let slot = self.slots.clone().try_acquire_owned().map_err(|_| EvaluationError::Overloaded)?;
        let allowance = policy.budget.allowance(text_bytes(messages));
        let wall = allowance.time().saturating_mul(WALL_FACTOR);
        let (ready, engine) = (policy.version.ready.clone(), self.engine.clone());
        let (tenant, context, messages) = (&context.tenant, context.clone(), messages.clone());
        let evaluation = Box::pin(async move {
            let evaluated = ready.evaluate(&engine, allowance, source, question, &context, &messages).await;
            drop(slot);
            evaluated
        });
        self.in_lane(policy, tenant, evaluation, wall).await
    }

    /// The same where it is called, without a slot and without the slow lane: for whoever has the machine to themselves.
    pub async fn evaluate_here(
        &self,
        policy: &LivePolicy,
        source: Source,
        question: Question,
        context: &Context,
        messages: &[Message],
    ) -> Result<Evaluated, Failed> {
        let allowance = policy.budget.allowance(text_bytes(messages));
        policy.version.ready.evaluate(&self.engine, allowance, source, question, context, messages).await
    }

    /// Shows a policy a piece of a streamed answer: in the stream's instance, or a fresh one.
    pub(super) async fn judge(
        &self,
        policy: &Arc<LivePolicy>,
        session: Option<Session>,
        enforced: bool,
        context: &Arc<Context>,
        piece: Piece,
    ) -> Result<(Session, Verdict), Failed> {
        let allowance = policy.budget.allowance(text_bytes(&piece.choices));
        let wall = allowance.time().saturating_mul(WALL_FACTOR);
        let (ready, engine) = (policy.version.ready.clone(), self.engine.clone());
        let (tenant, context) = (&context.tenant, context.clone());
        let source =
            Source::World { counters: self.counters.clone(), policy: policy.manifest.clone(), shadow: !enforced };
        let evaluation = Box::pin(async move {
            let session = match session {
                Some(session) => session,
                None => ready.begin(&engine, allowance, source).await?,
            };
            ready.judge(session, allowance.ticks, &context, &piece).await
        });
        self.in_lane(policy, tenant, evaluation, wall).await
    }

    async fn in_lane<T: Send + 'static>(
        &self,
        policy: &LivePolicy,
        tenant: &str,
        evaluation: BoxFuture<'static, Result<T, Failed>>,
        wall: Duration,
    ) -> Result<T, Failed> {
        match self.lane.run(evaluation, &policy.version.habit, tenant, wall).await {
            Ok(evaluated) => evaluated,
            Err(LaneError::Full) => Err(EvaluationError::Overloaded.into()),
            Err(LaneError::Wall) => Err(EvaluationError::Wall { cap: wall }.into()),
            Err(LaneError::Panicked) => Err(EvaluationError::Host.into()),
        }
    }
}

impl Decision {
    fn take(&mut self, manifest: &Manifest, verdict: &Verdict, messages: &mut Arc<Vec<Message>>) {
        let name = manifest.name.as_str();
        if verdict.edits_apply() {
            let messages: &mut Vec<Message> = Arc::make_mut(messages);
            verdict::apply(&verdict.edits, messages);
            self.edited = true;
        }
        if let Some(routing) = &verdict.routing {
            self.constrain(routing);
            self.routed_by.get_or_insert_with(|| name.to_owned());
        }
        self.judge(name, verdict, verdict.findings.first().map(|it| it.rule.as_str()));
    }

    /// Takes what a policy wants to happen. What it has said of a stream is taken again as it grows.
    /// `rule` is that of what the last verdict is about.
    pub(super) fn judge(&mut self, name: &str, verdict: &Verdict, rule: Option<&str>) {
        if verdict.action == Action::Allow {
            return;
        }
        let matched = self.matched.iter().position(|it| it == name);
        if verdict.action > self.action {
            self.action = verdict.action;
            self.decided_by = Some(name.to_owned());
            self.reason = verdict.reason.clone();
            self.rule = rule.filter(|_| verdict.action.refuses()).map(str::to_owned);
            self.failure = None;
            if let Some(matched) = matched {
                self.matched.remove(matched);
            }
            self.matched.insert(0, name.to_owned());
        } else if matched.is_none() {
            self.matched.push(name.to_owned());
        }
    }

    pub(super) fn refuse(&mut self, policy: &str, code: &'static str) {
        if self.action < Action::Deny {
            self.action = Action::Deny;
            self.decided_by = Some(policy.to_owned());
            self.reason = None;
            self.rule = None;
            self.failure = Some(code);
            self.matched.insert(0, policy.to_owned());
        } else {
            self.matched.push(policy.to_owned());
        }
    }

    /// Several policies' limits are intersected; an empty intersection leaves a name that no provider has.
    fn constrain(&mut self, limits: &Routing) {
        let held = self.routing.get_or_insert_default();
        intersect(&mut held.providers, &limits.providers);
        intersect(&mut held.regions, &limits.regions);
    }
}

fn intersect(held: &mut Vec<String>, further: &[String]) {
    if further.is_empty() {
        return;
    }
    if held.is_empty() {
        held.extend_from_slice(further);
        return;
    }
    held.retain(|name| further.iter().any(|it| it.eq_ignore_ascii_case(name)));
    if held.is_empty() {
        held.push(String::new());
    }
}

/// A policy that could not be loaded on a cold start refuses what it would have judged.
fn ask_broken(policy: &BrokenPolicy, question: Question, context: &Context, decision: &mut Decision) {
    // What it exports is not known. It refuses before the model is asked, whatever it would judge, and no text is kept that
    // it might have seen.
    let may_judge = |manifest: &Arc<Manifest>| match question {
        Question::PreCheck => true,
        Question::Response => false,
        Question::Audit(_) => manifest.asks(Phase::Audit),
    };
    let covers = |manifest: &Arc<Manifest>| may_judge(manifest) && manifest.scope.covers(context);
    if question == Question::Response || !policy.manifest.as_ref().is_none_or(covers) {
        return;
    }
    let refuses = policy.refuses();
    if refuses {
        decision.refuse(&policy.name, "policy_not_loaded");
    }
    let mode = policy.manifest.as_ref().map_or(Mode::Enforce, |manifest| manifest.mode);
    decision.evaluations.push(Evaluation {
        label: Label { policy: policy.name.as_str().into(), ..Label::default() },
        phase: question.phase(),
        mode,
        enforced: refuses,
        stream: None,
        outcome: Outcome::Error {
            code: "policy_not_loaded",
            message: format!("not loaded: step {}, {}", policy.error.step.as_str(), policy.error.code.as_str()),
            on_error: if refuses { OnError::Deny } else { OnError::Allow },
            said: None,
        },
        readings: Readings::default(),
        elapsed: Duration::ZERO,
    });
}

/// Passes a policy's lines on to the gateway's log, each with the request that it is about.
pub(super) fn report_log(policy: &LivePolicy, log: &GuestLog, request: &str) {
    let policy = policy.manifest.name.as_str();
    for line in &log.lines {
        match line.level {
            tracing::Level::ERROR => tracing::error!(policy, request, "{}", line.text),
            tracing::Level::WARN => tracing::warn!(policy, request, "{}", line.text),
            tracing::Level::INFO => tracing::info!(policy, request, "{}", line.text),
            _ => tracing::debug!(policy, request, "{}", line.text),
        }
    }
    if log.dropped > 0 {
        tracing::warn!(
            policy,
            request,
            dropped = log.dropped,
            "lines of the policy's log were dropped: more than `limits.log`"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_of_several_policies_meet_and_an_empty_meeting_stays_empty() {
        let nobody = [""].as_slice();
        for (bounds, expected) in [
            ([].as_slice(), [].as_slice()),
            (&[&[]], &[]),
            (&[&["eu"]], &["eu"]),
            (&[&[], &["eu"]], &["eu"]),
            (&[&["eu"], &[]], &["eu"]),
            (&[&["eu", "us"], &["us", "ch"]], &["us"]),
            (&[&["eu", "us", "ch"], &["ch", "eu"]], &["eu", "ch"]),
            (&[&["EU"], &["eu"]], &["EU"]),
            (&[&["eu"], &["us"]], nobody),
            (&[&["eu"], &["us"], &[]], nobody),
            (&[&["eu"], &["us"], &["eu"]], nobody),
            (&[&["eu"], &["us"], &["us", "eu"]], nobody),
        ] as [(&[&[&str]], &[&str]); 12]
        {
            let mut held = Vec::new();
            for further in bounds {
                intersect(&mut held, &further.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>());
            }
            assert_eq!(held, expected, "{bounds:?}");
        }
    }
}
