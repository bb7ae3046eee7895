//! Many old decisions, taken again by other policies.

use std::borrow::Cow;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use jiff::Timestamp;
use tokio::runtime::Runtime;

use super::ReplayError;
use super::compare::same_edits;
use super::judged::{About, Input, Judged};
use super::report::{Change, Example, Report, Tally};
use super::spans::{Span, Spans};
use crate::audit::record::{Action, PolicyEvaluation, RecordKind};
use crate::audit::{AuditError, AuditKey, AuditReader, TrailRecord};
use crate::chat::{Message, Part, Role};
use crate::gateway::record;
use crate::policy::manifest::Phase;
use crate::policy::{LivePolicy, PolicyHost, readings, verdict};

/// Characters of a text that an example shows.
const SHOWN: usize = 400;

/// What is asked.
#[derive(Clone, Debug)]
pub enum Candidates {
    /// One policy, in place of the one of its name. Its verdict counts, whatever its mode and roll-out are.
    One(Arc<LivePolicy>),
    /// A whole set, in the order in which it would run, as it would be in force.
    Set(Vec<Arc<LivePolicy>>),
}

impl Candidates {
    fn policies(&self) -> &[Arc<LivePolicy>] {
        match self {
            Self::One(policy) => std::slice::from_ref(policy),
            Self::Set(policies) => policies,
        }
    }

    fn answer(&self, phase: Phase) -> bool {
        self.policies().iter().any(|policy| policy.answers(phase))
    }

    /// Whether its verdict on this decision counts.
    fn enforced(&self, policy: &LivePolicy, id: &str) -> bool {
        match self {
            Self::One(_) => true,
            Self::Set(_) => policy.manifest.enforced_on(id),
        }
    }

    /// Of what was said, what is compared.
    fn compared<'e>(&self, said: &'e [PolicyEvaluation], phase: Phase) -> Vec<&'e PolicyEvaluation> {
        let said = said.iter().filter(|it| it.phase == record::phase(phase));
        match self {
            Self::One(policy) => said.filter(|it| *it.policy == *policy.manifest.name.as_str()).collect(),
            Self::Set(_) => said.filter(|it| it.enforced && !it.skipped).collect(),
        }
    }

    /// Whether policies before the one that is asked had changed the text that it saw.
    fn edited_before(&self, said: &[PolicyEvaluation], phase: Phase) -> bool {
        let Self::One(policy) = self else { return false };
        said.iter()
            .filter(|it| it.phase == record::phase(phase))
            .take_while(|it| *it.policy != *policy.manifest.name.as_str())
            .any(|it| it.enforced && it.edits_apply())
    }
}

/// Which decisions, and how many of them are shown.
#[derive(Clone, Debug, Default)]
pub struct ReplayOptions {
    /// The first moment.
    pub since: Option<Timestamp>,
    /// The last moment.
    pub until: Option<Timestamp>,
    /// The client; all of them without it.
    pub client: Option<String>,
    /// Examples of each change.
    pub examples: usize,
}

/// What is told while it goes on.
pub struct Progress<'p> {
    /// How many records there are to read.
    pub begin: &'p (dyn Fn(u64) + Sync),
    /// How many more were read.
    pub read: &'p (dyn Fn(u64) + Sync),
}

/// Asks candidates about everything on record, on all cores, and compares what they say with what was said.
pub fn replay(
    reader: &AuditReader,
    key: &AuditKey,
    host: &PolicyHost,
    candidates: &Candidates,
    options: &ReplayOptions,
    progress: &Progress<'_>,
) -> Result<Report, ReplayError> {
    let spans = Spans::of(reader, options.since, options.until)?;
    (progress.begin)(spans.records());
    let (started, stop) = (Instant::now(), AtomicBool::new(false));
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let work = || {
        let tally =
            tokio::runtime::Builder::new_current_thread().build().map_err(ReplayError::Io).and_then(|runtime| {
                Replay { reader, key, host, candidates, options, runtime }.run(&spans, &stop, progress)
            });
        if tally.is_err() {
            stop.store(true, Ordering::Relaxed);
        }
        tally
    };
    let mut whole = Tally::new();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            let tally = worker.join().map_err(|_| ReplayError::Internal)??;
            whole.absorb(tally, options.examples);
        }
        Ok::<_, ReplayError>(())
    })?;
    Ok(whole.end(started.elapsed(), cores))
}

/// What every thread has.
struct Replay<'a> {
    reader: &'a AuditReader,
    key: &'a AuditKey,
    host: &'a PolicyHost,
    candidates: &'a Candidates,
    options: &'a ReplayOptions,
    /// On which it evaluates. Only there: a store may have a runtime of its own.
    runtime: Runtime,
}

impl Replay<'_> {
    fn run(&self, spans: &Spans, stop: &AtomicBool, progress: &Progress<'_>) -> Result<Tally, ReplayError> {
        let mut tally = Tally::new();
        while !stop.load(Ordering::Relaxed)
            && let Some(Span { records, length }) = spans.next(self.reader)?
        {
            for record in &records {
                match self.record(record, &mut tally) {
                    // One of thousands stops nothing.
                    Err(ReplayError::Audit(AuditError::Encoding(_))) => tally.report.unasked.unreadable += 1,
                    taken => taken?,
                }
            }
            (progress.read)(length);
        }
        Ok(tally)
    }

    fn record(&self, record: &TrailRecord, tally: &mut Tally) -> Result<(), ReplayError> {
        tally.report.records += 1;
        let phase = match record.known_kind() {
            Some(RecordKind::Intent | RecordKind::PreCheck) => Phase::PreCheck,
            Some(RecordKind::Outcome) => Phase::Response,
            _ => return Ok(()),
        };
        let is_of_that_time = self.options.since.is_none_or(|since| record.at >= since)
            && self.options.until.is_none_or(|until| record.at <= until);
        if !is_of_that_time || !self.candidates.answer(phase) {
            return Ok(());
        }
        if phase == Phase::PreCheck {
            return match Judged::prompt(record)? {
                Some(judged) => self.judged(judged, tally),
                None => Ok(()),
            };
        }
        let records = self.reader.records_of(&record.id)?;
        let Some(asked) = records.iter().find(|it| it.known_kind() == Some(RecordKind::Intent)) else {
            tally.report.unasked.without_request += 1;
            return Ok(());
        };
        match Judged::answer(record, asked)? {
            Some(judged) => self.judged(judged, tally),
            None => Ok(()),
        }
    }

    fn judged(&self, mut judged: Judged<'_>, tally: &mut Tally) -> Result<(), ReplayError> {
        if self.options.client.as_ref().is_some_and(|client| *client != judged.context.client) {
            return Ok(());
        }
        let phase = judged.about.question().phase();
        let unasked = &mut tally.report.unasked;
        let (messages, masked) = match judged.input()? {
            Input::None => return Ok(()),
            Input::NotKept => {
                unasked.text_not_kept += 1;
                return Ok(());
            }
            Input::Erased => {
                unasked.text_erased += 1;
                return Ok(());
            }
            Input::Whole(messages) => (messages, false),
            Input::Changed(messages) => (messages, true),
        };
        let applies = |policy: &Arc<LivePolicy>| policy.applies(phase, &judged.context);
        let recorded = self.candidates.compared(&judged.policies, phase);
        // What was judged then and is not now is a difference, too.
        if recorded.is_empty() && !self.candidates.policies().iter().any(applies) {
            unasked.not_covered += 1;
            return Ok(());
        }
        if recorded.iter().any(|it| it.skipped) {
            unasked.refused_before += 1;
            return Ok(());
        }
        let said = self.ask(&judged, &messages, tally);
        let now = self.candidates.compared(&said, phase);
        let edited_before = self.candidates.edited_before(&judged.policies, phase);
        let report = &mut tally.report;
        *match judged.about {
            About::Request => &mut report.requests,
            About::PreCheck | About::Report | About::Tool => &mut report.pre_checks,
            About::Answer => &mut report.answers,
        } += 1;
        report.on_masked_text += u64::from(masked);
        report.on_text_before_edits += u64::from(edited_before);
        report.streamed += u64::from(judged.streamed);
        let recorded = self.known_edits(&judged, recorded)?;
        let recorded: Vec<_> = recorded.iter().map(AsRef::as_ref).collect();
        match change(&recorded, &now) {
            None => report.unchanged += 1,
            Some(change) => {
                let example = Example {
                    at: judged.at,
                    about: judged.about.as_str(),
                    id: judged.record().id.clone(),
                    client: judged.context.client.clone(),
                    recorded: words(&recorded),
                    now: words(&now),
                    same_text: !masked && !edited_before && !judged.streamed,
                    text: shown(&messages),
                };
                report.group(change).add(example, self.options.examples);
            }
        }
        Ok(())
    }

    /// What the candidates say, each about the text as the ones before left it.
    fn ask(&self, judged: &Judged<'_>, messages: &Arc<Vec<Message>>, tally: &mut Tally) -> Vec<PolicyEvaluation> {
        let question = judged.about.question();
        let mut messages = messages.clone();
        let mut said: Vec<PolicyEvaluation> = Vec::new();
        for policy in self.candidates.policies() {
            if !policy.applies(question.phase(), &judged.context) {
                continue;
            }
            if said.iter().any(|it| it.enforced && it.action == Action::Deny) {
                break;
            }
            let enforced = self.candidates.enforced(policy, &judged.record().id);
            let told = readings::Stated::again(Some(judged.at), []);
            let started = Instant::now();
            let evaluated = self.host.evaluate_here(policy, told, question, &judged.context, &messages);
            let evaluated = self.runtime.block_on(evaluated);
            tally.took(started.elapsed());
            if let Ok(evaluated) = &evaluated
                && enforced
                && evaluated.verdict.edits_apply()
            {
                let messages: &mut Vec<Message> = Arc::make_mut(&mut messages);
                verdict::apply(&evaluated.verdict.edits, messages);
            }
            said.push(record::recomputed(policy, question.phase(), enforced, evaluated, self.key));
        }
        said
    }

    /// What is on record, without digests of edits that another key made: they tell nothing.
    fn known_edits<'e>(
        &self,
        judged: &Judged<'_>,
        recorded: Vec<&'e PolicyEvaluation>,
    ) -> Result<Vec<Cow<'e, PolicyEvaluation>>, ReplayError> {
        let has_digests = recorded.iter().any(|it| it.edits_hmac.is_some());
        if !has_digests || judged.record().text_fits(self.key)? {
            return Ok(recorded.into_iter().map(Cow::Borrowed).collect());
        }
        let without = |it: &PolicyEvaluation| Cow::Owned(PolicyEvaluation { edits_hmac: None, ..it.clone() });
        Ok(recorded.into_iter().map(without).collect())
    }
}

/// How what is said now differs from what is on record.
fn change(recorded: &[&PolicyEvaluation], now: &[&PolicyEvaluation]) -> Option<Change> {
    if now.iter().any(|it| it.error.is_some()) {
        return Some(Change::Error);
    }
    let refuses = |said: &[&PolicyEvaluation]| said.iter().any(|it| it.action >= Action::RequireApproval);
    match (refuses(recorded), refuses(now)) {
        (false, true) => return Some(Change::NewlyDenied),
        (true, false) => return Some(Change::NewlyAllowed),
        (false, false) if !same(recorded, now, PolicyEvaluation::edits_apply, same_edits) => {
            return Some(Change::ChangedEdits);
        }
        _ => {}
    }
    let same_words =
        |one: &PolicyEvaluation, two: &PolicyEvaluation| (one.action, &one.findings) == (two.action, &two.findings);
    (!same(recorded, now, PolicyEvaluation::matched, same_words)).then_some(Change::ChangedOtherwise)
}

/// Whether those that count are the same policies, and have said the same.
fn same(
    recorded: &[&PolicyEvaluation],
    now: &[&PolicyEvaluation],
    counts: impl Fn(&PolicyEvaluation) -> bool,
    alike: impl Fn(&PolicyEvaluation, &PolicyEvaluation) -> bool,
) -> bool {
    let counting = |said: &[&PolicyEvaluation]| said.iter().filter(|it| counts(it)).count();
    let pairs = || {
        let recorded = recorded.iter().filter(|it| counts(it));
        recorded.zip(now.iter().filter(|it| counts(it)))
    };
    counting(recorded) == counting(now) && pairs().all(|(one, two)| one.policy == two.policy && alike(one, two))
}

/// What was said, in a few words: the strongest action, whose it is, and why.
fn words(said: &[&PolicyEvaluation]) -> String {
    // The first of the strongest.
    let strongest = said.iter().rev().max_by_key(|it| (it.error.is_some(), it.action));
    let Some(it) = strongest else { return "not asked".to_owned() };
    if let Some(error) = &it.error {
        return format!("no verdict of {} ({})", it.policy, error.code);
    }
    if it.action == Action::Allow && it.findings.is_empty() {
        return "allow".to_owned();
    }
    let mut rules: Vec<_> = it.findings.iter().map(|finding| finding.rule.as_str()).collect();
    rules.sort_unstable();
    rules.dedup();
    let why = if rules.is_empty() { String::new() } else { format!(" ({})", rules.join(", ")) };
    format!("{} by {}{why}", it.action.as_str(), it.policy)
}

/// The beginning of what the user asked, or of what was answered.
fn shown(messages: &[Message]) -> String {
    let last = messages.iter().rev().find(|message| message.role == Role::User).or(messages.last());
    let texts: Vec<_> = last.map(|it| it.parts.iter().filter_map(Part::text).collect()).unwrap_or_default();
    texts.join(" ").chars().take(SHOWN).collect()
}
