//! `POST /admin/policies/{name}/evaluate`: what would this policy say? Nothing is recorded and nothing counted.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};

use super::Admin;
use super::errors::AdminError;
use crate::chat::{Message, Object, Part, Role};
use crate::http::answer::json;
use crate::http::body;
use crate::http::errors::ApiError;
use crate::policy::component::{Evaluated, EvaluationError, Failed};
use crate::policy::digest::Digest;
use crate::policy::manifest::{CaseContext, CaseMessage, Mode, OnError, Phase};
use crate::policy::readings::{Readings, Stated};
use crate::policy::sandbox::GuestLog;
use crate::policy::verdict::{self, Edit, Finding, Routing, Verdict};
use crate::policy::{LivePolicy, PolicyHost, Question};

/// A request to be tried: a case of a manifest, without a name and without an expectation.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Trial {
    phase: Option<Phase>,
    query: Option<String>,
    messages: Option<Vec<Object<CaseMessage>>>,
    context: Option<Object<CaseContext>>,
    #[serde(default)]
    readings: Object<Stated>,
}

#[derive(Serialize)]
struct Tried<'a> {
    policy: &'a str,
    version: Digest,
    mode: Mode,
    phase: Phase,
    /// Whether the manifest's `match` covers the request; it is asked in any case.
    matches: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<Said<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<NoVerdict>,
    /// What host interfaces told it: what the trial states, never the world's.
    readings: &'a Readings,
    log: Vec<Line<'a>>,
    log_dropped: u32,
    elapsed_us: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_bytes: Option<usize>,
}

#[derive(Serialize)]
struct Said<'a> {
    action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    findings: &'a [Finding],
    edits: &'a [Edit],
    #[serde(skip_serializing_if = "Option::is_none")]
    routing: Option<&'a Routing>,
    tags: Vec<String>,
    /// The conversation as the next policy would see it.
    messages: Vec<Spoken>,
}

#[derive(Serialize)]
struct Spoken {
    role: Role,
    text: String,
}

#[derive(Serialize)]
struct NoVerdict {
    code: &'static str,
    message: String,
    /// What becomes of a request then.
    on_error: OnError,
}

#[derive(Serialize)]
struct Line<'a> {
    level: &'static str,
    text: &'a str,
}

/// `POST /admin/policies/{name}/evaluate`.
pub(super) async fn handle(
    State(admin): State<Arc<Admin>>,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, AdminError> {
    let Path(name) = name.map_err(|_| AdminError::UnknownPolicy)?;
    let policy = in_force(&admin.policies, &name)?;
    let (head, content) = request.into_parts();
    let trial: Trial = body::parse(&body::read(&head, content, admin.body_limit).await?)?;
    let question = question(&policy, trial.phase)?;
    let context = Arc::new(trial.context.clone().unwrap_or_default().0.context());
    let messages = Arc::new(trial.conversation()?);
    let busy = || AdminError::Busy { what: "evaluations" };
    let _place = admin.trials.try_acquire().map_err(|_| busy())?;
    let started = Instant::now();
    let evaluated = admin.policies.evaluate(&policy, trial.readings.0, question, &context, &messages).await;
    let elapsed = started.elapsed();
    if let Err(Failed { error: EvaluationError::Overloaded, .. }) = &evaluated {
        return Err(busy());
    }
    let manifest = &policy.manifest;
    let (log, readings, memory_bytes) = match &evaluated {
        Ok(Evaluated { log, readings, memory, .. }) => (log, readings, Some(*memory)),
        Err(Failed { log, readings, .. }) => (log, readings, None),
    };
    let tried = Tried {
        policy: manifest.name.as_str(),
        version: policy.version.id,
        mode: manifest.mode,
        phase: question.phase(),
        matches: manifest.scope.covers(&context),
        verdict: evaluated.as_ref().ok().map(|evaluated| said(&evaluated.verdict, &messages)),
        error: evaluated.as_ref().err().map(|failed| NoVerdict {
            code: failed.error.code(),
            message: failed.error.to_string(),
            on_error: manifest.on_error,
        }),
        readings,
        log: lines(log),
        log_dropped: log.dropped,
        elapsed_us: u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
        memory_bytes,
    };
    Ok(json(StatusCode::OK, &tried))
}

fn in_force(host: &PolicyHost, name: &str) -> Result<Arc<LivePolicy>, AdminError> {
    if let Some(policy) = host.set().live().find(|policy| policy.manifest.name.as_str() == name) {
        return Ok(Arc::clone(policy));
    }
    let statuses = host.statuses();
    let known = statuses.iter().find(|status| status.name == name);
    Err(known.map_or(AdminError::UnknownPolicy, |status| AdminError::NotInForce(status.state.as_str())))
}

/// The question of the phase that is named, else of the first that the policy answers, as with cases.
fn question(policy: &LivePolicy, phase: Option<Phase>) -> Result<Question, AdminError> {
    let answers = policy.phases();
    let asked = match phase {
        Some(phase) => answers.iter().find(|it| **it == phase),
        None => answers.first(),
    };
    asked.copied().map(Question::of_case).ok_or_else(|| AdminError::OtherPhase {
        answers: answers.iter().map(|it| it.as_str()).collect::<Vec<_>>().join(", "),
    })
}

impl Trial {
    fn conversation(&self) -> Result<Vec<Message>, ApiError> {
        match (&self.query, &self.messages) {
            (Some(query), None) => Ok(vec![Message::text(Role::User, query)]),
            (None, Some(messages)) if !messages.is_empty() => {
                if let Some(problem) = messages.iter().find_map(|Object(it)| it.problem()) {
                    return Err(ApiError::field("messages", problem));
                }
                Ok(messages.iter().map(|Object(it)| it.message()).collect())
            }
            _ => Err(ApiError::field("query", "give either `query` (one user message) or `messages`, not empty")),
        }
    }
}

fn said<'a>(verdict: &'a Verdict, messages: &[Message]) -> Said<'a> {
    let mut messages = messages.to_vec();
    if verdict.edits_apply() {
        verdict::apply(&verdict.edits, &mut messages);
    }
    Said {
        action: verdict.action.as_str(),
        reason: verdict.reason.as_deref(),
        findings: &verdict.findings,
        edits: &verdict.edits,
        routing: verdict.routing.as_ref(),
        tags: verdict.tags.iter().map(|(name, value)| format!("{name}={value}")).collect(),
        messages: messages.iter().map(spoken).collect(),
    }
}

fn spoken(message: &Message) -> Spoken {
    Spoken { role: message.role, text: message.parts.iter().filter_map(Part::text).collect() }
}

fn lines(log: &GuestLog) -> Vec<Line<'_>> {
    log.lines.iter().map(|line| Line { level: level(line.level), text: &line.text }).collect()
}

fn level(level: tracing::Level) -> &'static str {
    match level {
        tracing::Level::ERROR => "error",
        tracing::Level::WARN => "warn",
        tracing::Level::INFO => "info",
        _ => "debug",
    }
}
