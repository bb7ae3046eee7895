//! From what policies decided to what is recorded.

use std::time::Duration;

use serde::Serialize;

use super::request::{Caller, REQUIRE_APPROVAL, Refusal};
use crate::audit::{AuditKey, record as audit};
use crate::chat::{ChatAnswer, ChatRequest, Message, ResponseFormat};
use crate::policy::component::{Evaluated, Failed};
use crate::policy::manifest::{Mode, OnError, Phase, StreamMode};
use crate::policy::verdict::{Action, Edit, Finding};
use crate::policy::{self, Decision, Evaluation, LivePolicy, Outcome};
use crate::router::Attempt;

/// Who asked.
pub(super) fn caller(caller: &Caller) -> audit::Caller {
    audit::Caller {
        client: caller.client.clone(),
        tenant: caller.tenant.clone(),
        user: caller.user.clone().unwrap_or_default(),
    }
}

/// How many there are.
pub(super) fn count(attributes: &[(String, String)]) -> u32 {
    u32::try_from(attributes.len()).unwrap_or(u32::MAX)
}

/// Each policy's part. Edits hold text: of them the number is recorded, and a digest under the key.
pub(super) fn evaluations(decision: &Decision, key: &AuditKey) -> Vec<audit::PolicyEvaluation> {
    decision.evaluations.iter().map(|it| evaluation(it, key)).collect()
}

fn evaluation(evaluation: &Evaluation, key: &AuditKey) -> audit::PolicyEvaluation {
    let policy::Label { policy, version, settings_hash } = evaluation.label.clone();
    let mut record = audit::PolicyEvaluation {
        policy,
        phase: phase(evaluation.phase),
        version,
        settings_hash,
        mode: mode(evaluation.mode),
        enforced: evaluation.enforced,
        stream: evaluation.stream.map(stream_mode),
        action: audit::Action::Allow,
        reason: None,
        findings: Vec::new(),
        edits: 0,
        edits_hmac: None,
        tags: Vec::new(),
        error: None,
        readings: readings(&evaluation.readings),
        elapsed_us: u64::try_from(evaluation.elapsed.as_micros()).unwrap_or(u64::MAX),
        skipped: false,
    };
    if let Some(said) = evaluation.outcome.said() {
        record.action = action(said.action);
        record.reason = said.reason.clone();
        record.findings = said.findings.iter().map(finding).collect();
        record.edits = said.edits_made();
        record.edits_hmac = edits_hmac(&said.edits, key);
        record.tags = said.tags.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if let Some(routing) = &said.routing {
            let limits = [("only-providers", &routing.providers), ("only-regions", &routing.regions)];
            let limits = limits.iter().filter(|(_, names)| !names.is_empty());
            record.tags.extend(limits.map(|(name, names)| format!("{name}={}", names.join(","))));
        }
    }
    match &evaluation.outcome {
        Outcome::Verdict(_) => {}
        Outcome::Error { code, message, on_error, .. } => {
            if *on_error == OnError::Deny {
                record.action = audit::Action::Deny;
            }
            record.error = Some(audit::EvaluationError { code: (*code).to_owned(), message: message.clone() });
        }
        Outcome::Skipped => record.skipped = true,
    }
    record
}

/// A policy's part in a decision that is taken again.
pub(super) fn recomputed(
    policy: &LivePolicy,
    phase: Phase,
    enforced: bool,
    evaluated: Result<Evaluated, Failed>,
    key: &AuditKey,
) -> audit::PolicyEvaluation {
    let manifest = &policy.manifest;
    let (outcome, readings) = match evaluated {
        Ok(Evaluated { verdict, readings, .. }) => (Outcome::Verdict(verdict), readings),
        Err(Failed { error, readings, .. }) => {
            let (code, message) = (error.code(), error.to_string());
            (Outcome::Error { code, message, on_error: manifest.on_error, said: None }, readings)
        }
    };
    let again = Evaluation {
        label: policy.label.clone(),
        phase,
        mode: manifest.mode,
        enforced,
        stream: None,
        outcome,
        readings,
        elapsed: Duration::ZERO,
    };
    evaluation(&again, key)
}

/// The interface that was asked.
pub(super) fn phase(phase: Phase) -> audit::Phase {
    match phase {
        Phase::PreCheck => audit::Phase::PreCheck,
        Phase::Response => audit::Phase::Response,
        Phase::Audit => audit::Phase::Audit,
    }
}

/// Tells whether two verdicts' edits are equal. The form that is digested is never changed: old records would differ.
fn edits_hmac(edits: &[Edit], key: &AuditKey) -> Option<String> {
    let edits = (!edits.is_empty()).then(|| serde_json::to_string(edits).ok())??;
    Some(key.hmac(&edits))
}

fn readings(readings: &policy::readings::Readings) -> audit::Readings {
    audit::Readings {
        clock: readings.clock,
        counters: readings
            .counters
            .iter()
            .map(|it| audit::CounterReading {
                name: it.name.clone(),
                window_seconds: it.window_seconds,
                added: it.added,
                value: it.value,
            })
            .collect(),
    }
}

/// A manifest's mode.
pub(super) fn mode(mode: Mode) -> audit::Mode {
    match mode {
        Mode::Enforce => audit::Mode::Enforce,
        Mode::Shadow => audit::Mode::Shadow,
        Mode::Off => audit::Mode::Off,
    }
}

fn stream_mode(mode: StreamMode) -> audit::StreamMode {
    match mode {
        StreamMode::Observe => audit::StreamMode::Observe,
        StreamMode::Transform => audit::StreamMode::Transform,
        StreamMode::Buffer => audit::StreamMode::Buffer,
    }
}

fn action(action: Action) -> audit::Action {
    match action {
        Action::Allow => audit::Action::Allow,
        Action::Log => audit::Action::Log,
        Action::Warn => audit::Action::Warn,
        Action::Redact => audit::Action::Redact,
        Action::RequireApproval => audit::Action::RequireApproval,
        Action::Deny => audit::Action::Deny,
    }
}

fn finding(finding: &Finding) -> audit::Finding {
    audit::Finding {
        rule: finding.rule.clone(),
        category: finding.category.clone(),
        severity: finding.severity.as_str().to_owned(),
        place: finding.place.map(|place| audit::Place {
            message: place.message,
            part: place.part,
            start: place.start,
            end: place.end,
        }),
    }
}

/// A call to a provider.
pub(super) fn call(attempt: &Attempt) -> audit::Call {
    audit::Call {
        provider: attempt.provider.clone(),
        model: attempt.model.clone(),
        code: attempt.code.to_owned(),
        latency_ms: u64::try_from(attempt.elapsed.as_millis()).unwrap_or(u64::MAX),
        correlation_id: attempt.correlation_id.clone(),
    }
}

/// What no policy saw: content that is no text, what vendors gave beside reasoning, and what they cited.
pub(super) fn not_inspected<'m>(messages: impl IntoIterator<Item = &'m Message>) -> Vec<audit::NotInspected> {
    let parts: Vec<_> = messages.into_iter().flat_map(|message| &message.parts).collect();
    let seals = parts.iter().filter_map(|part| part.seal()).map(|seal| seal.size() as u64).sum();
    let cited = parts.iter().flat_map(|part| part.references()).map(|reference| reference.size() as u64).sum();
    parts
        .iter()
        .filter_map(|part| part.binary())
        .map(|binary| audit::NotInspected {
            kind: binary.kind.to_owned(),
            media_type: binary.media_type.unwrap_or_default().to_owned(),
            size: (binary.size > 0).then_some(binary.size as u64),
        })
        .chain(of_size("seals", seals))
        .chain(of_size("citations", cited))
        .collect()
}

/// What no policy saw of an answer: of a stream seals stand beside its messages.
pub(super) fn not_inspected_of(answer: &ChatAnswer, streamed_seals: u64) -> Vec<audit::NotInspected> {
    let results = answer.results.iter().map(|result| result.get().len() as u64).sum();
    let mut parts = not_inspected(answer.choices.iter().map(|choice| &choice.message));
    parts.extend(of_size("results", results).into_iter().chain(of_size("seals", streamed_seals)));
    parts
}

/// So many bytes of a kind, if there are any.
fn of_size(kind: &str, size: u64) -> Option<audit::NotInspected> {
    (size > 0).then(|| audit::NotInspected { kind: kind.to_owned(), media_type: String::new(), size: Some(size) })
}

/// What goes to the model beside the messages, and no policy saw: the names of those who speak, definitions of tools, the
/// schema of the answer, and fields that are passed on as they came.
pub(super) fn not_inspected_beside(chat: &ChatRequest) -> impl Iterator<Item = audit::NotInspected> {
    fn said(kind: &str, is_there: bool, value: &impl Serialize) -> Option<audit::NotInspected> {
        is_there.then(|| {
            let size = serde_json::to_vec(value).ok().map(|bytes| bytes.len() as u64);
            audit::NotInspected { kind: kind.to_owned(), media_type: String::new(), size }
        })
    }
    let schema = chat.response_format.as_ref().filter(|format| matches!(format, ResponseFormat::JsonSchema(_)));
    [
        said("stop", !chat.stop.is_empty(), &chat.stop),
        said("names", !chat.names.is_empty(), &chat.names),
        said("tools", !chat.tools.is_empty(), &chat.tools),
        said("response_format", schema.is_some(), &schema),
        said("other_fields", !chat.extra.is_empty(), &chat.extra),
    ]
    .into_iter()
    .flatten()
}

/// Why a request is refused, in the words that AxonFlow's clients know.
pub(super) fn refusal(decision: &Decision) -> Option<Refusal> {
    if !decision.refused() {
        return None;
    }
    let policy = decision.decided_by.clone().unwrap_or_default();
    let reason = match (decision.action, decision.failure) {
        (Action::RequireApproval, _) => REQUIRE_APPROVAL.to_owned(),
        (_, Some(code)) => format!("Request blocked by policy: {policy} ({code})"),
        (_, None) => format!("Request blocked by policy: {policy}"),
    };
    Some(Refusal { policy, reason, explanation: decision.reason.clone(), rule: decision.rule.clone() })
}

/// The refusal of a request that policies let pass with parts masked, to an application that would not mask them.
pub(super) fn cannot_redact(decision: &Decision) -> Refusal {
    let masking = decision.evaluations.iter().find_map(|evaluation| match &evaluation.outcome {
        Outcome::Verdict(verdict) if evaluation.enforced && verdict.edits_apply() => Some((evaluation, verdict)),
        _ => None,
    });
    let policy = masking.map(|(evaluation, _)| evaluation.label.policy.to_string()).unwrap_or_default();
    Refusal {
        reason: format!("Request blocked by policy: {policy} (cannot_redact)"),
        explanation: Some(
            "parts of the text are to be masked, and the application says that it does not do that".into(),
        ),
        rule: masking.and_then(|(_, verdict)| verdict.findings.first()).map(|finding| finding.rule.clone()),
        policy,
    }
}

/// What became of a request that policies let pass or not.
pub(super) fn decided(decision: &Decision) -> audit::Decision {
    if decision.refused() {
        audit::Decision::Blocked
    } else if decision.edited {
        audit::Decision::Redacted
    } else {
        audit::Decision::Allowed
    }
}
