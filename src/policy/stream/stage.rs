//! One policy on a stream: what it holds back, its instance, and what it has said so far.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::held::Held;
use super::{Flow, PartEntry, StreamPart, refusal};
use crate::chat::{Message, Part, Role};
use crate::policy::Context;
use crate::policy::component::{EvaluationError, Failed, Piece, Session};
use crate::policy::manifest::{OnError, Phase, StreamMode};
use crate::policy::places;
use crate::policy::readings::Readings;
use crate::policy::run::{Decision, Evaluation, Outcome, Overloaded, Runner, report_log};
use crate::policy::set::LivePolicy;
use crate::policy::verdict::{Edit, Finding, Place, Severity, Verdict, VerdictError, bounds};

/// One policy on a stream.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) policy: Arc<LivePolicy>,
    enforced: bool,
    /// Its place among the instances that streams may keep; given back when the stream is over. Without one it is not
    /// asked.
    place: Option<places::Place>,
    session: Option<Session>,
    /// By part of the stream.
    held: Vec<Held>,
    said: Verdict,
    /// Of the verdict that refused: the rule of what it found first.
    refused_for: Option<String>,
    /// Its last verdict, where that was a refusal that waits. It counts if no other follows.
    waiting: Option<(Layout, Verdict)>,
    error: Option<(&'static str, String)>,
    asked: bool,
    readings: Readings,
    memory: Option<usize>,
    elapsed: Duration,
}

impl Stage {
    pub(super) fn new(policy: Arc<LivePolicy>, enforced: bool, place: Option<places::Place>) -> Self {
        let overloaded = EvaluationError::Overloaded;
        let error = place.is_none().then(|| (overloaded.code(), overloaded.to_string()));
        Self {
            policy,
            enforced,
            place,
            session: None,
            held: Vec::new(),
            said: Verdict::default(),
            refused_for: None,
            waiting: None,
            error,
            asked: false,
            readings: Readings::default(),
            memory: None,
            elapsed: Duration::ZERO,
        }
    }

    /// Whether text waits for its verdict. What does not count holds nothing back.
    pub(super) fn holds(&self) -> bool {
        self.enforced && self.mode() != StreamMode::Observe
    }

    /// Whether everything waits for the answer to be whole.
    pub(super) fn buffers(&self) -> bool {
        self.enforced && self.mode() == StreamMode::Buffer
    }

    fn mode(&self) -> StreamMode {
        self.policy.manifest.stream.mode
    }

    fn window(&self) -> usize {
        usize::try_from(self.policy.manifest.stream.window.as_u64()).unwrap_or(usize::MAX)
    }

    /// Takes what the stages before it have let go. `before`: by part, whether they have let go all of it; what they
    /// still hold belongs to its end.
    pub(super) fn take(&mut self, flows: &[Flow], parts: &[PartEntry], before: &[bool]) {
        if self.place.is_none() {
            return;
        }
        self.held.resize_with(parts.len(), Held::default);
        for flow in flows {
            if let Some(held) = self.held.get_mut(flow.part) {
                held.push(&flow.text);
            }
        }
        let window = self.window();
        for ((held, part), before) in self.held.iter_mut().zip(parts).zip(before) {
            held.set_over(*before && part.is_over(window));
        }
    }

    /// Whether it has let go all of each part, by part, and nothing more of it will come.
    pub(super) fn has_let_go(&self) -> impl Iterator<Item = bool> {
        self.held.iter().map(|held| held.is_over() && held.waiting() == 0)
    }

    /// Shows the policy what is due, and gives what may go on. `last`: nothing will follow.
    pub(super) async fn judge(
        &mut self,
        runner: &Runner,
        context: &Arc<Context>,
        request_id: &str,
        parts: &[PartEntry],
        last: bool,
        decision: &mut Decision,
    ) -> Result<Vec<Flow>, Overloaded> {
        let whole = self.mode() == StreamMode::Buffer;
        if whole && !last || self.place.is_none() {
            return Ok(Vec::new());
        }
        let shown = self.due(parts, whole);
        if shown.is_empty() && !last {
            return Ok(Vec::new());
        }
        let layout = Layout::new(parts, &shown);
        let piece = layout.piece(parts, &self.held, whole, !last);
        let started = Instant::now();
        let session = self.session.take();
        let judged = runner.judge(&self.policy, session, self.enforced, context, piece).await;
        self.elapsed += started.elapsed();
        self.asked = true;
        let waited = self.waiting.take();
        let judged = match judged {
            Ok((session, verdict)) if self.hesitates_about(&layout, &verdict, waited.is_some(), parts) => {
                self.session = Some(session);
                self.waiting = Some((layout, verdict));
                Ok(Vec::new())
            }
            Ok((session, verdict)) => match self.settle(&layout, &verdict, parts) {
                Ok(flows) => {
                    self.session = Some(session);
                    Ok(flows)
                }
                Err(error) => {
                    let (log, readings, _) = session.end();
                    Err(Failed { error: error.into(), log, readings })
                }
            },
            Err(failed) => Err(failed),
        };
        if judged.is_err() {
            self.waiting = waited;
            self.count_what_waits(parts, decision);
        }
        match judged {
            Ok(flows) => {
                if self.enforced {
                    decision.judge(self.policy.manifest.name.as_str(), &self.said, self.refused_for.as_deref());
                }
                Ok(flows)
            }
            Err(Failed { error: error @ EvaluationError::Overloaded, .. }) if self.enforced => {
                self.error.get_or_insert_with(|| (error.code(), error.to_string()));
                Err(Overloaded)
            }
            Err(failed) => {
                self.fail(failed, request_id, decision);
                Ok(if decision.refused() { Vec::new() } else { self.pass_on(&shown) })
            }
        }
    }

    /// The parts that are shown now. What a call says goes out behind the names of the calls before it: until those were
    /// judged, it waits. A call that says nothing is judged by its name.
    fn due(&self, parts: &[PartEntry], whole: bool) -> Vec<usize> {
        let window = if self.holds() { self.window() } else { 0 };
        let (mut due, mut unjudged) = (Vec::new(), HashSet::new());
        for (index, (held, part)) in self.held.iter().zip(parts).enumerate() {
            let choice = part.id.choice;
            let is_call = self.holds() && matches!(part.id.part, StreamPart::ToolCall(_));
            let has_news = held.is_due(window) || is_call && held.is_over() && !held.is_judged();
            if whole || has_news && !(is_call && unjudged.contains(&choice)) {
                due.push(index);
            } else if is_call && !held.is_judged() {
                unjudged.insert(choice);
            }
        }
        due
    }

    /// Whether a verdict is a refusal that waits. What only observes has passed on its text: it refuses one piece later.
    fn hesitates_about(&self, layout: &Layout, verdict: &Verdict, has_waited: bool, parts: &[PartEntry]) -> bool {
        let is_late = has_waited && self.mode() == StreamMode::Observe;
        let has_ended = |part: usize| parts.get(part).is_some_and(|part| part.ended);
        !is_late && refusal::waits(verdict, &layout.shown, &self.held, self.window(), has_waited, has_ended)
    }

    /// Counts a refusal that waits: no verdict follows that could take it back.
    pub(super) fn count_what_waits(&mut self, parts: &[PartEntry], decision: &mut Decision) {
        let Some((layout, verdict)) = self.waiting.take() else { return };
        // Nothing of what it saw has gone on since.
        let boundaries: Vec<_> = layout.shown.iter().map(|(part, place)| (*part, *place, 0)).collect();
        self.keep(&layout, &verdict, &boundaries, parts);
        if self.enforced {
            decision.judge(self.policy.manifest.name.as_str(), &self.said, self.refused_for.as_deref());
        }
    }

    /// Keeps what is settled of a verdict, and passes on the text that it is about.
    fn settle(&mut self, layout: &Layout, verdict: &Verdict, parts: &[PartEntry]) -> Result<Vec<Flow>, VerdictError> {
        let observes = !self.holds();
        let window = self.window();
        let applied = verdict.edits_apply();
        let mut boundaries = Vec::with_capacity(layout.shown.len());
        for (part, place) in &layout.shown {
            let Some(held) = self.held.get(*part) else { continue };
            let boundary = if observes {
                held.behind_and_waiting()
            } else {
                let edits = edits_at(verdict, *place).filter(|_| applied);
                held.boundary(edits, window).map_err(|touched| {
                    let problem = format!(
                        "part {} of choice {}: it touches the first {} bytes, which the client already has",
                        place.1, place.0, touched.released
                    );
                    VerdictError::BadEdit { index: touched.edit, problem }
                })?
            };
            boundaries.push((*part, *place, boundary));
        }
        self.keep(layout, verdict, &boundaries, parts);
        let mut flows = Vec::new();
        for (part, place, boundary) in boundaries {
            let Some(held) = self.held.get_mut(part) else { continue };
            let edits = edits_at(verdict, place).filter(|_| applied && !observes);
            let text = held.release(boundary, edits, window);
            if !text.is_empty() && !observes {
                flows.push(Flow { part, text });
            }
        }
        Ok(flows)
    }

    /// Adds to what the policy has said: what is about text that is passed on now, and all of it when it refuses.
    fn keep(
        &mut self,
        layout: &Layout,
        verdict: &Verdict,
        boundaries: &[(usize, (u32, u32), usize)],
        parts: &[PartEntry],
    ) {
        let refuses = verdict.action.refuses();
        let in_text = |place: Place| -> Option<Place> {
            let (part, _, boundary) = boundaries.iter().find(|(_, at, _)| *at == (place.message, place.part))?;
            let held = self.held.get(*part)?;
            let settled = held.settles(place.start as usize, place.end as usize, *boundary);
            (settled || refuses).then(|| {
                let at = |byte: u32| u32::try_from(held.place(byte as usize)).unwrap_or(u32::MAX);
                let part = parts.get(*part).map_or(0, |it| it.position);
                Place { message: place.message, part, start: at(place.start), end: at(place.end) }
            })
        };
        if refuses && !self.said.action.refuses() {
            self.refused_for = self.first_of(layout, verdict).map(|it| it.rule.clone());
        }
        let edits: Vec<Edit> = verdict
            .edits
            .iter()
            .filter_map(|edit| Some(Edit { place: in_text(edit.place)?, replacement: edit.replacement.clone() }))
            .collect();
        let without_place = |it: &&Finding| it.place.is_none();
        let said: HashSet<_> = if verdict.findings.iter().any(|it| it.place.is_none()) {
            self.said.findings.iter().filter(without_place).map(words).collect()
        } else {
            HashSet::new()
        };
        let room = bounds::FINDINGS.saturating_sub(self.said.findings.len());
        let mut findings = Vec::new();
        for finding in &verdict.findings {
            let place = match finding.place {
                Some(place) => match in_text(place) {
                    Some(place) => Some(place),
                    None => continue,
                },
                None => None,
            };
            // One without a place is said again with each piece.
            if place.is_some() || findings.len() < room && !said.contains(&words(finding)) {
                findings.push(Finding { place, ..finding.clone() });
            }
        }
        let about_places = !verdict.edits.is_empty() || verdict.findings.iter().any(|it| it.place.is_some());
        let settled = edits.len() + findings.iter().filter(|it| it.place.is_some()).count() > 0;
        if (refuses || settled || !about_places || layout.shown.is_empty()) && verdict.action > self.said.action {
            self.said.action = verdict.action;
            self.said.reason.clone_from(&verdict.reason);
        }
        self.said.outgrow(&edits, &findings);
        self.said.extend(edits, findings, &verdict.tags);
    }

    /// What a verdict is about: what it found first, but for what it found before in text that is out.
    fn first_of<'a>(&self, layout: &Layout, verdict: &'a Verdict) -> Option<&'a Finding> {
        let is_new = |it: &&Finding| {
            let Some(place) = it.place else { return true };
            let part = layout.shown.iter().find(|(_, at)| *at == (place.message, place.part));
            part.and_then(|(part, _)| self.held.get(*part)).is_none_or(|held| place.end as usize > held.behind())
        };
        verdict.findings.iter().find(is_new).or(verdict.findings.first())
    }

    /// The policy gave no verdict. Its instance is gone; the next piece meets a fresh one.
    fn fail(&mut self, failed: Failed, request_id: &str, decision: &mut Decision) {
        let Failed { error, log, readings } = failed;
        let manifest = &self.policy.manifest;
        report_log(&self.policy, &log, request_id);
        self.readings.extend(readings);
        if self.error.is_none() {
            tracing::warn!(
                policy = manifest.name.as_str(),
                code = error.code(),
                request = request_id,
                "policy gave no verdict on a streamed answer: {error}"
            );
            self.error = Some((error.code(), error.to_string()));
        }
        if self.enforced && manifest.on_error == OnError::Deny {
            decision.refuse(manifest.name.as_str(), error.code());
        }
    }

    /// Passes on what could not be judged.
    fn pass_on(&mut self, shown: &[usize]) -> Vec<Flow> {
        let (holds, window) = (self.holds(), self.window());
        let mut flows = Vec::new();
        for part in shown {
            let Some(held) = self.held.get_mut(*part) else { continue };
            let boundary = held.boundary([].iter(), if holds { window } else { 0 }).unwrap_or_default();
            let text = held.release(boundary, [].iter(), window);
            if holds && !text.is_empty() {
                flows.push(Flow { part: *part, text });
            }
        }
        flows
    }

    /// Whether text went out changed.
    pub(super) fn edited(&self) -> bool {
        self.holds() && self.said.edits_apply()
    }

    /// Bytes that wait for a verdict, whether or not it counts.
    pub(super) fn waiting(&self) -> usize {
        self.held.iter().map(Held::waiting).sum()
    }

    /// What is recorded of it, when the stream is over.
    pub(super) fn end(mut self, request_id: &str) -> Evaluation {
        if let Some(session) = self.session.take() {
            let (log, readings, memory) = session.end();
            report_log(&self.policy, &log, request_id);
            self.readings.extend(readings);
            self.memory = Some(memory);
        }
        // What does not count observes, whatever its manifest says.
        let stream = if self.holds() { self.mode() } else { StreamMode::Observe };
        drop(self.place);
        let manifest = &self.policy.manifest;
        let outcome = match self.error {
            Some((code, message)) => {
                let said = (self.said != Verdict::default()).then(|| Box::new(self.said));
                Outcome::Error { code, message, on_error: manifest.on_error, said }
            }
            None if !self.asked => Outcome::Skipped,
            None => Outcome::Verdict(self.said),
        };
        self.policy.tally.count(Phase::Response, self.enforced, &outcome, self.elapsed, self.memory);
        Evaluation {
            label: self.policy.label.clone(),
            phase: Phase::Response,
            mode: manifest.mode,
            enforced: self.enforced,
            stream: Some(stream),
            outcome,
            readings: self.readings,
            elapsed: self.elapsed,
        }
    }
}

/// What tells a finding that has no place from others.
fn words(finding: &Finding) -> (&str, &str, Severity) {
    (&finding.rule, &finding.category, finding.severity)
}

fn edits_at(verdict: &Verdict, (message, part): (u32, u32)) -> impl Iterator<Item = &Edit> {
    verdict.edits.iter().filter(move |edit| (edit.place.message, edit.place.part) == (message, part))
}

/// Where the parts of a stream stand in the piece that is shown.
#[derive(Debug)]
struct Layout {
    /// Each part, and its choice and position there.
    shown: Vec<(usize, (u32, u32))>,
}

impl Layout {
    fn new(parts: &[PartEntry], shown: &[usize]) -> Self {
        let mut next = Vec::new();
        let shown = shown
            .iter()
            .filter_map(|index| {
                let choice = parts.get(*index)?.id.choice;
                let at = choice as usize;
                if next.len() <= at {
                    next.resize(at + 1, 0_u32);
                }
                let position = next.get_mut(at)?;
                *position += 1;
                Some((*index, (choice, *position - 1)))
            })
            .collect();
        Self { shown }
    }

    fn piece(&self, parts: &[PartEntry], held: &[Held], whole: bool, more: bool) -> Piece {
        let mut piece = Piece { more, ..Piece::default() };
        for (index, (choice, _)) in &self.shown {
            let (Some(part), Some(held)) = (parts.get(*index), held.get(*index)) else { continue };
            let choice = *choice as usize;
            if piece.choices.len() <= choice {
                let empty = || Message { role: Role::Assistant, parts: Vec::new() };
                piece.choices.resize_with(choice + 1, empty);
                piece.windows.resize_with(choice + 1, Vec::new);
            }
            let (text, window) = held.shown();
            if let (Some(message), Some(windows)) = (piece.choices.get_mut(choice), piece.windows.get_mut(choice)) {
                message.parts.push(part.with_text(text));
                windows.push(window);
            }
        }
        if whole {
            piece.windows.clear();
        }
        piece
    }
}

impl PartEntry {
    fn with_text(&self, text: String) -> Part {
        match self.id.part {
            StreamPart::Text => Part::Text { text },
            StreamPart::Refusal => Part::Refusal { text },
            StreamPart::Thinking => Part::Thinking { text, seal: None },
            StreamPart::ToolCall(_) => {
                Part::ToolCall { id: String::new(), name: self.name.clone(), arguments: text, seal: None }
            }
        }
    }
}
