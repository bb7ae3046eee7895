//! Judging an answer while it streams: what goes out, when, and what a policy has seen of it by then.
//!
//! A stream passes the response policies in their order, each in an instance of its own that lives as long as the stream.
//! Those in `transform` hold back a window of each part's text, so that what begins at its end can still be replaced;
//! those in `buffer` hold back everything; those in `observe`, and those whose verdicts do not count, hold back nothing
//! and are shown what went out. Text moves on from policy to policy as each has let it go. Nothing here knows providers,
//! dialects or HTTP.

mod arguments;
mod held;
mod refusal;
mod stage;

use std::sync::Arc;

use super::Context;
use super::manifest::Phase;
use super::run::{Decision, Overloaded, Runner, TooFewPlaces};
use super::set::{LivePolicy, PolicySet};
use arguments::Arguments;
use held::Held;
use stage::Stage;

/// A part of an answer that streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PartId {
    /// Which choice.
    pub choice: u32,
    /// Which part of it.
    pub part: StreamPart,
}

/// The parts that a choice can have: of text, refusal and reasoning one each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StreamPart {
    /// The text.
    Text,
    /// Text in place of the answer, as [`crate::chat::Part::Refusal`].
    Refusal,
    /// The reasoning.
    Thinking,
    /// The arguments of a tool call.
    ToolCall(u32),
}

/// Text of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fresh {
    /// The part.
    pub id: PartId,
    /// Of a tool call that begins: the tool.
    pub name: Option<String>,
    /// What is new; empty where a part begins with nothing.
    pub text: String,
}

/// More choices than this no provider gives.
pub const MAX_CHOICES: u32 = 128;

/// More parts than this no answer has.
const MAX_PARTS: usize = 1_024;

/// A stream can not be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InspectionError {
    /// The slow lane is full.
    #[error("too many policies are being evaluated")]
    Overloaded,
    /// The upstream sent more choices or parts than an answer can have.
    #[error("the answer has more than {MAX_CHOICES} choices or {MAX_PARTS} parts")]
    TooManyParts,
}

impl From<Overloaded> for InspectionError {
    fn from(_: Overloaded) -> Self {
        Self::Overloaded
    }
}

/// There are not as many places as a stream needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPlaces {
    /// Others have them now.
    #[error("the gateway is at its limit of streams that policies judge (policies.max_streams); try again shortly")]
    Now,
    /// There are never so many.
    #[error("{0}")]
    Ever(TooFewPlaces),
}

/// A part, as the policies of a stream know it.
#[derive(Debug)]
struct PartEntry {
    id: PartId,
    /// Its place among the parts of its choice.
    position: u32,
    /// Of a tool call: the tool.
    name: String,
    /// Nothing will follow: the choice has ended.
    ended: bool,
    /// The model has gone on to another part of the choice. It may come back.
    left: bool,
    /// It has come back to it, and may do so again.
    resumed: bool,
    /// Bytes of the choice's other parts since it was left.
    followed: usize,
    /// Of a tool call: how far they are.
    arguments: Arguments,
}

impl PartEntry {
    /// Whether its end need not wait for more, once the policies before have let go of it: what follows it is not to reach
    /// the client before it. Where the model may come back to it, it waits for a window of what follows. Several calls may
    /// be made in turns: one that is not whole waits as long as a match does.
    fn is_over(&self, window: usize) -> bool {
        let is_followed = match self.id.part {
            StreamPart::ToolCall(_) if !self.arguments.are_whole() => Held::is_too_much(self.followed, window),
            StreamPart::ToolCall(_) => self.followed > window,
            _ => !self.resumed || self.followed > window,
        };
        self.ended || self.left && is_followed
    }
}

/// Text between two policies.
#[derive(Debug)]
struct Flow {
    part: usize,
    text: String,
}

/// The policies of one stream.
#[derive(Debug)]
pub struct Inspection {
    runner: Runner,
    context: Arc<Context>,
    request_id: String,
    parts: Vec<PartEntry>,
    /// What came and was not shown yet.
    came: Vec<Flow>,
    stages: Vec<Stage>,
    decision: Decision,
    /// Whether nothing will follow.
    last: bool,
}

impl Runner {
    /// Takes the places that the response policies of `set` need for one stream: one instance each.
    pub fn inspect(&self, set: &PolicySet, context: &Arc<Context>, request_id: &str) -> Result<Inspection, NoPlaces> {
        let judges = set.live().filter(|policy| policy.applies(Phase::Response, context));
        let judges: Vec<_> = judges.map(|policy| (policy, policy.manifest.enforced_on(request_id))).collect();
        let needed = judges.iter().filter(|(_, enforced)| *enforced).count();
        if let Some(too_few) = self.too_few_places(needed) {
            return Err(NoPlaces::Ever(too_few));
        }
        // First for those that count: what only watches keeps nobody out.
        let places: Result<Vec<_>, _> = (0..needed).map(|_| self.stream_place(&context.tenant)).collect();
        let mut places = places.map_err(|Overloaded| NoPlaces::Now)?;
        let stage = |(policy, enforced): (&Arc<LivePolicy>, bool)| {
            let place = if enforced { places.pop() } else { self.stream_place(&context.tenant).ok() };
            Stage::new(policy.clone(), enforced, place)
        };
        let stages = judges.into_iter().map(stage).collect();
        Ok(Inspection {
            runner: self.clone(),
            context: context.clone(),
            request_id: request_id.to_owned(),
            parts: Vec::new(),
            came: Vec::new(),
            stages,
            decision: Decision::new(set.generation(), 0),
            last: false,
        })
    }
}

impl Inspection {
    /// Where the request went. Policies that do not apply there leave.
    pub fn went_to(&mut self, context: Arc<Context>) {
        self.stages.retain(|stage| stage.policy.manifest.scope.covers(&context));
        self.context = context;
    }

    /// Whether text may be held back or changed: else events go out as they came.
    pub fn holds(&self) -> bool {
        self.stages.iter().any(Stage::holds)
    }

    /// Whether some policies hold nothing back and are shown what went out.
    pub fn observes(&self) -> bool {
        self.stages.iter().any(|stage| !stage.holds())
    }

    /// Whether nothing of the answer may go out yet, since a policy has still to see it whole.
    pub fn awaits_end(&self) -> bool {
        !self.last && self.stages.iter().any(Stage::buffers)
    }

    /// Bytes that wait for a verdict.
    pub fn waiting(&self) -> usize {
        self.stages.iter().map(Stage::waiting).sum()
    }

    /// Whether any of the text was changed so far.
    pub fn edited(&self) -> bool {
        self.stages.iter().any(Stage::edited)
    }

    /// Whether a policy has ended the stream.
    pub fn refused(&self) -> bool {
        self.decision.refused()
    }

    /// What was decided so far.
    pub fn decision(&self) -> &Decision {
        &self.decision
    }

    /// Takes what has come, in the order in which the model said it.
    pub fn take(&mut self, fresh: Vec<Fresh>) -> Result<(), InspectionError> {
        for Fresh { id, name, text } in fresh {
            let part = self.turn_to(id)?;
            if let Some(entry) = self.parts.get_mut(part) {
                if let Some(name) = name {
                    entry.name = name;
                }
                if matches!(id.part, StreamPart::ToolCall(_)) {
                    entry.arguments.push(&text);
                }
            }
            for other in self.parts.iter_mut().filter(|other| other.left && other.id.choice == id.choice) {
                other.followed += text.len();
            }
            self.came.push(Flow { part, text });
        }
        Ok(())
    }

    /// Shows what came to the policies that hold text back, and gives what may go out. `ended` are choices of which
    /// nothing will follow; `last` says so of the answer. When a policy refuses, nothing of it goes out.
    pub async fn pass(&mut self, ended: &[u32], last: bool) -> Result<Vec<(PartId, String)>, InspectionError> {
        let mut flows = std::mem::take(&mut self.came);
        for part in &mut self.parts {
            part.ended |= last || ended.contains(&part.id.choice);
        }
        self.last |= last;
        let mut let_go = vec![true; self.parts.len()];
        for stage in &mut self.stages {
            stage.take(&flows, &self.parts, &let_go);
            if !stage.holds() {
                continue;
            }
            flows = stage
                .judge(&self.runner, &self.context, &self.request_id, &self.parts, last, &mut self.decision)
                .await?;
            if self.decision.refused() {
                return Ok(Vec::new());
            }
            let_go = stage.has_let_go().collect();
        }
        // Parts that the model has left before the one that it is at.
        flows.sort_by_key(|flow| self.parts.get(flow.part).is_some_and(|part| !part.left));
        let passed = |Flow { part, text }: Flow| Some((self.parts.get(part)?.id, text));
        Ok(flows.into_iter().filter_map(passed).collect())
    }

    /// Shows what went out to the policies that hold nothing back.
    pub async fn look(&mut self) -> Result<(), InspectionError> {
        for stage in self.stages.iter_mut().filter(|stage| !stage.holds()) {
            stage
                .judge(&self.runner, &self.context, &self.request_id, &self.parts, self.last, &mut self.decision)
                .await?;
            if self.decision.refused() {
                break;
            }
        }
        Ok(())
    }

    /// What is recorded of it.
    pub fn end(mut self) -> Decision {
        for stage in &mut self.stages {
            stage.count_what_waits(&self.parts, &mut self.decision);
        }
        self.decision.edited = self.edited();
        self.decision.evaluations = self.stages.into_iter().map(|stage| stage.end(&self.request_id)).collect();
        self.decision.elapsed = self.decision.evaluations.iter().map(|it| it.elapsed).sum();
        self.decision
    }

    /// The part that the model is at now; it has left the others of that choice.
    fn turn_to(&mut self, id: PartId) -> Result<usize, InspectionError> {
        for part in self.parts.iter_mut().filter(|part| part.id.choice == id.choice) {
            part.resumed |= part.left && part.id == id;
            part.left = part.id != id;
            if !part.left {
                part.followed = 0;
            }
        }
        // The last ones are those that are spoken now.
        if let Some(known) = self.parts.iter().rposition(|part| part.id == id) {
            return Ok(known);
        }
        if id.choice >= MAX_CHOICES || self.parts.len() >= MAX_PARTS {
            return Err(InspectionError::TooManyParts);
        }
        let position = self.parts.iter().filter(|part| part.id.choice == id.choice).count();
        let position = u32::try_from(position).unwrap_or(u32::MAX);
        self.parts.push(PartEntry {
            id,
            position,
            name: String::new(),
            ended: false,
            left: false,
            resumed: false,
            followed: 0,
            arguments: Arguments::default(),
        });
        Ok(self.parts.len() - 1)
    }
}
