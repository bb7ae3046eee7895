//! One old decision, taken again by the versions that took it.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::runtime::Handle;

use super::ReplayError;
use super::compare::differences;
use super::judged::{Input, Judged};
use crate::audit::record::{PolicyEvaluation, RecordKind};
use crate::audit::{AuditError, AuditKey, AuditReader, TrailRecord};
use crate::chat::Message;
use crate::gateway::record;
use crate::policy::load::Module;
use crate::policy::manifest::Manifest;
use crate::policy::{LivePolicy, Original, PolicyHost, Question, readings, verdict};

/// A record, and what came of taking its decisions again.
#[derive(Clone, Debug, PartialEq)]
pub struct Reproduced {
    /// `request`, `pre-check`, `answer`, `reported call` or `reported tool`.
    pub about: &'static str,
    /// Its id.
    pub id: String,
    /// When it was decided.
    pub at: Timestamp,
    /// Each policy that was asked, in order.
    pub policies: Vec<ReproducedPolicy>,
}

/// One policy's part.
#[derive(Clone, Debug, PartialEq)]
pub struct ReproducedPolicy {
    /// The policy.
    pub policy: String,
    /// `pre-check`, `response` or `audit`.
    pub phase: &'static str,
    /// What it said, as it is on record: the action, or the error's code.
    pub said: String,
    /// What came of asking it again.
    pub outcome: Recomputed,
}

/// What came of taking a decision again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recomputed {
    /// The verdict is the one on record.
    Same,
    /// It is another one; what differs.
    Different(Vec<String>),
    /// It cannot be told; what is missing.
    Missing(String),
    /// It was not taken again, for it did not come from version and input alone; why.
    Shown(String),
}

/// Takes the decisions about a request, a pre-check, a reported call or a context again. Empty where there is none of
/// that id. Blocks: loading and evaluating is what the runtime is for.
pub fn reproduce(
    reader: &AuditReader,
    key: &AuditKey,
    host: &PolicyHost,
    runtime: &Handle,
    id: &str,
) -> Result<Vec<Reproduced>, ReplayError> {
    let records = reader.records_of(id)?;
    let mut again = Again { reader, key, host, runtime, versions: HashMap::new() };
    let mut reproduced = Vec::new();
    for record in &records {
        if let Some(judged) = judged(record, &records)? {
            reproduced.push(again.take(judged)?);
        }
    }
    Ok(reproduced)
}

fn judged<'r>(record: &'r TrailRecord, records: &'r [TrailRecord]) -> Result<Option<Judged<'r>>, AuditError> {
    match record.known_kind() {
        Some(RecordKind::Outcome) => {
            let asked = records.iter().find(|it| it.known_kind() == Some(RecordKind::Intent) && it.id == record.id);
            asked.map_or(Ok(None), |asked| Judged::answer(record, asked))
        }
        Some(RecordKind::LlmCall) => Judged::report(record).map(Some),
        Some(RecordKind::ToolCall) => Judged::tool(record).map(Some),
        _ => Judged::prompt(record),
    }
}

struct Again<'a> {
    reader: &'a AuditReader,
    key: &'a AuditKey,
    host: &'a PolicyHost,
    runtime: &'a Handle,
    /// Those that were looked up, or why they cannot be asked.
    versions: HashMap<String, Result<Arc<LivePolicy>, String>>,
}

impl Again<'_> {
    fn take(&mut self, mut judged: Judged<'_>) -> Result<Reproduced, ReplayError> {
        let input = self.input(&mut judged)?;
        let mut policies = Vec::with_capacity(judged.policies.len());
        // What is decided, and what is kept: both begin with the text as it was.
        let (decided, kept) = (judged.about.question(), judged.about.kept());
        let questions = if decided == kept { vec![kept] } else { vec![decided, kept] };
        for question in questions {
            let mut text = input.clone();
            for recorded in judged.policies.iter().filter(|it| it.phase == record::phase(question.phase())) {
                let outcome = self.policy(&judged, question, recorded, &mut text)?;
                policies.push(ReproducedPolicy {
                    policy: recorded.policy.to_string(),
                    phase: question.phase().as_str(),
                    said: said(recorded),
                    outcome,
                });
            }
        }
        let (record, about) = (judged.record(), judged.about.as_str());
        Ok(Reproduced { about, id: record.id.clone(), at: judged.at, policies })
    }

    /// The text that the first policy was shown, or what is missing.
    fn input(&self, judged: &mut Judged<'_>) -> Result<Result<Arc<Vec<Message>>, String>, AuditError> {
        let missing = match judged.input()? {
            Input::Whole(messages) if judged.record().text_fits(self.key)? => return Ok(Ok(messages)),
            Input::Whole(_) => {
                "the text as it was: what is stored does not fit its HMAC. It was changed, or the key was another one \
                 then (audit.key)"
            }
            Input::Changed(_) => {
                "the text as it came: `audit.content` was not `full`, and what is stored is what the audit policies \
                 left of it, without attributes"
            }
            Input::NotKept => "the text: `audit.content` was not `full`, or the audit policies withheld it",
            Input::Erased => "the text: it was erased",
            Input::None => "the text: there was none",
        };
        Ok(Err(missing.to_owned()))
    }

    /// Asks one policy again, and leaves the text as it left it.
    fn policy(
        &mut self,
        judged: &Judged<'_>,
        question: Question,
        recorded: &PolicyEvaluation,
        text: &mut Result<Arc<Vec<Message>>, String>,
    ) -> Result<Recomputed, ReplayError> {
        if recorded.skipped {
            return Ok(Recomputed::Shown("it was not asked".to_owned()));
        }
        if let Some(error) = &recorded.error {
            return Ok(Recomputed::Shown(format!("it gave no verdict then: {}", error.message)));
        }
        if question == Question::Response && judged.streamed {
            return Ok(Recomputed::Shown("the answer was streamed: it was shown to the policy in pieces".to_owned()));
        }
        let messages = match text {
            Ok(messages) => messages.clone(),
            Err(missing) => return Ok(Recomputed::Missing(missing.clone())),
        };
        let policy = match self.version(&recorded.version)? {
            Ok(policy) => policy,
            Err(missing) => {
                if recorded.enforced && recorded.edits_apply() {
                    *text = Err(format!("the text as `{}` left it: {missing}", recorded.policy));
                }
                return Ok(Recomputed::Missing(missing));
            }
        };
        let told = readings::Stated::again(
            recorded.readings.clock,
            recorded.readings.counters.iter().map(|it| (it.name.clone(), it.value)),
        );
        let evaluated = self.host.evaluate_here(&policy, told, question, &judged.context, &messages);
        let evaluated = self.runtime.block_on(evaluated);
        if let Ok(evaluated) = &evaluated
            && recorded.enforced
            && evaluated.verdict.edits_apply()
        {
            let mut edited = Arc::unwrap_or_clone(messages);
            verdict::apply(&evaluated.verdict.edits, &mut edited);
            *text = Ok(Arc::new(edited));
        }
        let now = record::recomputed(&policy, question.phase(), recorded.enforced, evaluated, self.key);
        let differences = differences(recorded, &now);
        Ok(if differences.is_empty() { Recomputed::Same } else { Recomputed::Different(differences) })
    }

    /// A version from the archive, ready to be asked; or why it is not.
    fn version(&mut self, version: &str) -> Result<Result<Arc<LivePolicy>, String>, ReplayError> {
        if let Some(known) = self.versions.get(version) {
            return Ok(known.clone());
        }
        let loaded = match self.reader.version(version)? {
            Some(archived) => match version.parse() {
                Ok(version) => {
                    let original = Original { version, manifest: archived.manifest, module: archived.module };
                    self.load(original)
                }
                Err(_) => Err(format!("version {version}: it is none")),
            },
            None => Err(format!("version {version}: it is not in the archive")),
        };
        self.versions.insert(version.to_owned(), loaded.clone());
        Ok(loaded)
    }

    fn load(&self, original: Original) -> Result<Arc<LivePolicy>, String> {
        let manifest = original.manifest().map_err(|error| error.to_string())?;
        // A verdict does not depend on how long it may take, and this machine may be slower.
        let limits = manifest.limits.unhurried();
        let manifest = Manifest { limits, ..manifest };
        let loaded = self.runtime.block_on(self.host.load(manifest, Module::new(original.module)));
        loaded.map_err(|error| format!("version {}, which cannot be loaded any more: {error}", original.version))
    }
}

fn said(recorded: &PolicyEvaluation) -> String {
    match (&recorded.error, recorded.skipped) {
        (_, true) => "skipped".to_owned(),
        (Some(error), _) => error.code.clone(),
        (None, _) => recorded.action.as_str().to_owned(),
    }
}
