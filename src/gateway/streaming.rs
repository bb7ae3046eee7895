//! An answer on its way to the client while the model still speaks.
//!
//! ```text
//! provider -> policies that hold back -> client -> policies that observe -> ... -> outcome is queued -> end of the stream
//! ```
//!
//! Each event of the upstream is one event to the client unless a policy holds text back. The upstream is read no faster
//! than the client takes: between them stand [`EVENTS`] events and what policies hold. The outcome is queued before the
//! stream ends, so that a search behind it finds the record.

mod transcript;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::pipeline::Pipeline;
use super::pipeline::outcome::client_left;
use super::record;
use super::request::{PolicyInfo, Refusal, RequestId};
use crate::audit::OutcomePermit;
use crate::audit::record as audit;
use crate::chat::Message;
use crate::in_flight::{self, Held};
use crate::policy::AuditPhase;
use crate::policy::stream::{Fresh, Inspection, InspectionError, MAX_CHOICES, PartId, StreamPart};
use crate::provider::{Delta, EventStream, ProviderError, Sealed, StreamEvent, Streamed};
use crate::router::{Attempt, Routed};
pub(crate) use transcript::Transcript;

/// Events between the upstream and the client.
const EVENTS: usize = 16;

/// How long the tokens of an answer are waited for that a policy has refused at its end.
const COUNT_PATIENCE: Duration = Duration::from_secs(1);

/// A client that takes nothing for so long is gone.
const PATIENCE: Duration = Duration::from_secs(120);

/// An answer that streams. Its intent is durable. Dropping it ends the upstream call.
#[derive(Debug)]
pub struct AnswerStream {
    /// The request's id.
    pub request_id: RequestId,
    /// The provider that answers.
    pub provider: String,
    /// The model that it was asked for.
    pub model: String,
    /// All attempts; the last one is the one that answers.
    pub attempts: Vec<Attempt>,
    /// The set of policies that judges it.
    pub generation: u64,
    /// How many choices were asked for, of those that an answer can have.
    pub choices: u32,
    /// What comes, in order; after the last one the answer is over.
    pub events: mpsc::Receiver<AnswerEvent>,
    /// How it ended, for whoever counts; comes also when the events were dropped.
    pub ended: oneshot::Receiver<Arc<Ended>>,
    /// The room that its text takes among the bytes in flight, given back when whoever sends it drops it: clients may
    /// read slowly.
    pub held: Option<Held>,
}

/// A piece of an answer that streams.
#[derive(Clone, Debug, PartialEq)]
pub enum AnswerEvent {
    /// What the model says, as policies left it.
    Said(StreamEvent),
    /// It is over. The last one.
    Over(Arc<Ended>),
}

/// Why an answer broke off.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum StreamFailure {
    /// The upstream's fault.
    #[error("{0}")]
    Provider(Box<ProviderError>),
    /// What the policies need is not there, or the answer cannot be shown to them.
    #[error("the answer could not be judged: {0}")]
    Inspection(InspectionError),
    /// The time that requests in flight have was over.
    #[error("the gateway is shutting down")]
    ShuttingDown,
}

impl StreamFailure {
    /// The same in words that are kept, as [`crate::router::RouteError::brief`].
    fn brief(&self) -> String {
        match self {
            Self::Provider(error) => error.brief(),
            Self::Inspection(_) | Self::ShuttingDown => self.to_string(),
        }
    }

    /// Stable, for answers.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Provider(error) => error.surface_as().code,
            Self::Inspection(_) => "stream_not_judged",
            Self::ShuttingDown => "shutting_down",
        }
    }
}

/// How an answer that streamed ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// The answer as it came, with what it used.
    pub routed: Routed,
    /// How.
    pub how: StreamEnd,
    /// What policies said.
    pub policies: PolicyInfo,
}

/// The ways in which a stream ends.
#[derive(Clone, Debug, PartialEq)]
pub enum StreamEnd {
    /// The model was done.
    Whole,
    /// A policy refused.
    Refused(Refusal),
    /// It broke off.
    Failed(StreamFailure),
    /// The client went away, or took nothing any more.
    ClientGone,
}

impl StreamEnd {
    /// Puts into what is recorded how the stream ended.
    fn put_into(&self, outcome: &mut audit::Outcome) {
        match self {
            Self::Whole => {}
            Self::Refused(refusal) => {
                outcome.decision = audit::Decision::Blocked;
                outcome.block_reason = Some(refusal.reason.clone());
            }
            Self::Failed(failure) => {
                outcome.decision = audit::Decision::Error;
                outcome.error = Some(failure.brief());
            }
            Self::ClientGone => client_left(outcome),
        }
    }
}

impl Pipeline {
    /// An answer that has begun. The rest of it has a task of its own, which outlives the client.
    pub(super) fn stream(
        self: Box<Self>,
        routed: Routed<Streamed>,
        inspection: Inspection,
        so_far: audit::Decision,
        permit: OutcomePermit,
    ) -> AnswerStream {
        let choices = self.request.chat.n.unwrap_or(1).clamp(1, MAX_CHOICES);
        let (client, events) = mpsc::channel(EVENTS);
        let (ended, told_end) = oneshot::channel();
        let begun = AnswerStream {
            request_id: self.id.clone(),
            provider: routed.provider.clone(),
            model: routed.model.clone(),
            attempts: routed.attempts.clone(),
            generation: self.set.generation().0,
            choices,
            events,
            ended: told_end,
            held: routed.answer.held.clone(),
        };
        let passage = Passage {
            inspection,
            transcript: Transcript::new(&routed.model),
            client,
            out_of_time: self.gateway.out_of_time().clone(),
            choices: choices as usize,
            heads: Vec::new(),
            seals: Vec::new(),
            thoughts: BTreeMap::new(),
            ends: Vec::new(),
            released: 0,
            on_their_way: VecDeque::with_capacity(EVENTS + 1),
            held: routed.answer.held.clone(),
        };
        let (tasks, held) = (self.gateway.tasks.clone(), self.request.held.clone());
        let rest = self.pass_on(routed, passage, so_far, permit, ended);
        tasks.spawn(in_flight::charged(held.as_ref(), rest));
        begun
    }

    /// Passes an answer on until it ends, and records it.
    async fn pass_on(
        mut self: Box<Self>,
        routed: Routed<Streamed>,
        mut passage: Passage,
        so_far: audit::Decision,
        permit: OutcomePermit,
        ended: oneshot::Sender<Arc<Ended>>,
    ) {
        let told = self.told_of(&routed);
        passage.inspection.went_to(told.clone());
        let Routed { provider, model, answer: mut streamed, attempts } = routed;
        let stopped = passage.run(&mut streamed).await;
        if matches!(stopped, Err(Stop::Refused)) && passage.is_whole() {
            let _ = timeout(COUNT_PATIENCE, passage.count(&mut streamed.events)).await;
        }
        // The text is kept until it is on record.
        let Streamed { events, correlation_id, notes, held: _held } = streamed;
        // Closes the upstream's connection.
        drop(events);
        let Passage { inspection, transcript, client, released, .. } = passage;
        let decision = inspection.end();
        self.policies.add(&decision);
        let (received, sealed) = (transcript.bytes(), transcript.sealed());
        let chat_answer = transcript.answer(correlation_id, notes);
        let mut routed = Routed { provider, model, answer: chat_answer, attempts };
        if let Err(Stop::Failed(StreamFailure::Provider(error))) = &stopped {
            self.broke_off(&mut routed, error);
        }

        let mut outcome = self.answered_outcome(so_far, &routed);
        outcome.streamed = Some(audit::StreamedText { received, released });
        outcome.policies = self.evaluations(&decision);
        outcome.not_inspected = record::not_inspected_of(&routed.answer, sealed);
        let how = match (record::refusal(&decision), stopped) {
            (Some(refusal), _) => StreamEnd::Refused(refusal),
            (None, Err(Stop::Failed(failure))) => StreamEnd::Failed(failure),
            (None, Err(Stop::ClientGone)) => StreamEnd::ClientGone,
            (None, Err(Stop::Refused) | Ok(())) => StreamEnd::Whole,
        };
        how.put_into(&mut outcome);
        if decision.edited && how == StreamEnd::Whole {
            outcome.decision = audit::Decision::Redacted;
        }
        let said: Arc<Vec<Message>> =
            Arc::new(routed.answer.choices.iter().map(|choice| choice.message.clone()).collect());
        outcome.content = self.keep(AuditPhase::Outcome, &told, said, &mut outcome.policies).await;
        outcome.latency_ms = self.milliseconds();
        if let (StreamEnd::Failed(StreamFailure::Provider(error)), Some(last)) = (&how, routed.attempts.last_mut()) {
            last.code = error.code();
            outcome.calls = routed.attempts.iter().map(record::call).collect();
        }
        self.close(permit, outcome, &routed.attempts, Some(&routed.answer));
        let over = Arc::new(Ended { routed, how, policies: std::mem::take(&mut self.policies) });
        let _ = ended.send(over.clone());
        let _ = client.send_timeout(AnswerEvent::Over(over), PATIENCE).await;
    }
}

/// One stream on its way through the policies to the client.
struct Passage {
    inspection: Inspection,
    transcript: Transcript,
    client: mpsc::Sender<AnswerEvent>,
    /// See [`Gateway::out_of_time`](super::Gateway::out_of_time).
    out_of_time: CancellationToken,
    /// How many choices were asked for.
    choices: usize,
    /// Tool calls whose beginning waits for the first of their arguments to be passed on.
    heads: Vec<Head>,
    /// Seals that wait for what they hold for, and where in the reasoning of their choice that ends, in bytes. Those of
    /// calls wait for the end of their choice.
    seals: Vec<(Delta, u64)>,
    /// Bytes of reasoning that came, by choice, and those that were passed on.
    thoughts: BTreeMap<u32, (u64, u64)>,
    /// Ends of choices, and the usage, that wait until a policy has seen all choices.
    ends: Vec<Delta>,
    /// Bytes of text that were passed on.
    released: u64,
    /// Bytes of the events that the client may not have taken yet.
    on_their_way: VecDeque<usize>,
    /// The room that all of it takes.
    held: Option<Held>,
}

/// Why a stream is not passed on to its end.
enum Stop {
    Refused,
    Failed(StreamFailure),
    ClientGone,
}

impl From<InspectionError> for Stop {
    fn from(error: InspectionError) -> Self {
        Self::Failed(StreamFailure::Inspection(error))
    }
}

/// The choice that a delta ends.
fn finished(delta: &Delta) -> Option<u32> {
    match delta {
        Delta::Finished { choice, .. } => Some(*choice),
        _ => None,
    }
}

/// Text came behind the end of all choices, when policies had seen the last of it.
fn went_on() -> Stop {
    Stop::Failed(StreamFailure::Provider(Box::new(ProviderError::went_on())))
}

struct Head {
    id: PartId,
    call: u32,
    call_id: Option<String>,
    name: Option<String>,
}

impl Head {
    /// The beginning alone, of a call whose arguments do not come with it.
    fn bare(self) -> Delta {
        let Self { id, call, call_id, name } = self;
        Delta::ToolCall { choice: id.choice, call, id: call_id, name, arguments: String::new() }
    }
}

impl Passage {
    async fn run(&mut self, streamed: &mut Streamed) -> Result<(), Stop> {
        loop {
            let event = tokio::select! {
                biased;
                () = self.client.closed() => return Err(Stop::ClientGone),
                () = self.out_of_time.cancelled() => return Err(Stop::Failed(StreamFailure::ShuttingDown)),
                event = streamed.events.next() => event,
            };
            match event {
                Some(Ok(event)) => self.take(event, false).await?,
                Some(Err(error)) => return Err(Stop::Failed(StreamFailure::Provider(Box::new(error)))),
                None => return self.take(StreamEvent { frame: None, deltas: Vec::new() }, true).await,
            }
        }
    }

    /// One event. `over`: the upstream has no more.
    async fn take(&mut self, event: StreamEvent, over: bool) -> Result<(), Stop> {
        let was_whole = self.is_whole();
        let mut fresh = self.fresh(&event);
        if was_whole {
            // Servers may say behind the end that nothing is said.
            fresh.retain(|it| !it.text.is_empty() || it.name.is_some());
            if !fresh.is_empty() && (self.inspection.holds() || self.inspection.observes()) {
                return Err(went_on());
            }
        }
        let came: usize = fresh.iter().map(|fresh| fresh.text.len()).sum();
        // Before the transcript: it bounds how many parts there can be.
        self.inspection.take(fresh)?;
        for delta in &event.deltas {
            self.transcript.take(delta);
        }
        let ended: Vec<u32> = event.deltas.iter().filter_map(finished).collect();
        let last = !was_whole && (over || self.is_whole());
        let passed = self.inspection.pass(&ended, last).await?;
        self.go_on()?;
        // What only observes sees the text when it is out, and the end before it is.
        if last {
            self.inspection.look().await?;
            self.go_on()?;
        }
        let (event, bytes) = if self.inspection.holds() {
            let bytes = passed.iter().map(|(_, text)| text.len()).sum();
            (self.rewritten(event, passed), bytes)
        } else {
            (event, came)
        };
        if event.frame.is_some() || !event.deltas.is_empty() {
            self.on_their_way.push_back(event.frame.as_ref().map_or(bytes, Bytes::len));
            let said = AnswerEvent::Said(event);
            tokio::select! {
                biased;
                sent = self.client.send_timeout(said, PATIENCE) => sent.map_err(|_| Stop::ClientGone)?,
                () = self.out_of_time.cancelled() => return Err(Stop::Failed(StreamFailure::ShuttingDown)),
            }
            self.released += bytes as u64;
        }
        self.settle();
        if !last && bytes > 0 && self.inspection.observes() {
            // Whoever writes it to the client waits for this very thread.
            tokio::task::yield_now().await;
            self.inspection.look().await?;
            self.go_on()?;
        }
        Ok(())
    }

    /// Gives back the room of what is not kept: most of a stream is no text.
    fn settle(&mut self) {
        // One more than there is place for is being written.
        if self.on_their_way.len() > EVENTS + 1 {
            self.on_their_way.pop_front();
        }
        if let Some(held) = &self.held {
            held.settle(self.transcript.size() + self.inspection.waiting() + self.on_their_way.iter().sum::<usize>());
        }
    }

    fn go_on(&self) -> Result<(), Stop> {
        if self.inspection.refused() { Err(Stop::Refused) } else { Ok(()) }
    }

    /// Whether all choices have ended, and so all that policies are shown is there.
    fn is_whole(&self) -> bool {
        self.transcript.is_whole(self.choices)
    }

    /// What is told of an answer behind its end: what it used.
    async fn count(&mut self, events: &mut EventStream) {
        while let Some(Ok(event)) = events.next().await {
            let told = event
                .deltas
                .iter()
                .filter(|delta| matches!(delta, Delta::Usage { .. } | Delta::Served { .. } | Delta::Note(_)));
            told.for_each(|delta| self.transcript.take(delta));
        }
    }

    /// The text of an event, by part.
    fn fresh(&mut self, event: &StreamEvent) -> Vec<Fresh> {
        let holds = self.inspection.holds();
        let mut fresh = Vec::new();
        for delta in &event.deltas {
            let (choice, part, name, text) = match delta {
                Delta::Text { choice, text } => (*choice, StreamPart::Text, None, text),
                Delta::Refusal { choice, text } => (*choice, StreamPart::Refusal, None, text),
                Delta::Thinking { choice, text } => (*choice, StreamPart::Thinking, None, text),
                Delta::ToolCall { choice, call, id, name, arguments } => {
                    let part = StreamPart::ToolCall(*call);
                    if holds && (id.is_some() || name.is_some()) {
                        let of = PartId { choice: *choice, part };
                        self.heads.push(Head { id: of, call: *call, call_id: id.clone(), name: name.clone() });
                    }
                    (*choice, part, name.clone(), arguments)
                }
                Delta::Started { .. }
                | Delta::References { .. }
                | Delta::Finished { .. }
                | Delta::Usage { .. }
                | Delta::Seal { .. }
                | Delta::Served { .. }
                | Delta::Note(_) => continue,
            };
            fresh.push(Fresh { id: PartId { choice, part }, name, text: text.clone() });
        }
        fresh
    }

    /// The event with the text that was passed on in place of its own.
    fn rewritten(&mut self, event: StreamEvent, passed: Vec<(PartId, String)>) -> StreamEvent {
        let mut deltas = Vec::with_capacity(event.deltas.len());
        for delta in event.deltas {
            match delta {
                Delta::Started { .. } => deltas.push(delta),
                // That there was none is no text.
                Delta::Thinking { ref text, .. } if text.is_empty() => deltas.push(delta),
                Delta::References { .. } | Delta::Finished { .. } | Delta::Usage { .. } | Delta::Served { .. } => {
                    self.ends.push(delta);
                }
                Delta::Seal { choice, of: Sealed::Thoughts(_), .. } => {
                    let (came, _) = *self.thoughts.entry(choice).or_default();
                    self.seals.push((delta, came));
                }
                Delta::Seal { .. } => self.seals.push((delta, u64::MAX)),
                Delta::Thinking { choice, text } => self.thoughts.entry(choice).or_default().0 += text.len() as u64,
                Delta::Text { .. } | Delta::Refusal { .. } | Delta::ToolCall { .. } | Delta::Note(_) => {}
            }
        }
        for (id, text) in passed {
            let choice = id.choice;
            // A call of which nothing goes out yet comes before the next one, as it was made. Policies have judged its name.
            let before = self.heads.iter().position(|head| head.id == id).unwrap_or(0);
            deltas.extend(self.heads.extract_if(..before, |head| head.id.choice == choice).map(Head::bare));
            deltas.push(match id.part {
                StreamPart::Text => Delta::Text { choice, text },
                StreamPart::Refusal => Delta::Refusal { choice, text },
                StreamPart::Thinking => {
                    self.think(choice, text, &mut deltas);
                    continue;
                }
                StreamPart::ToolCall(call) => {
                    let head = self.heads.iter().position(|head| head.id == id);
                    let head = head.map(|index| self.heads.remove(index));
                    let (call_id, name) = head.map_or((None, None), |head| (head.call_id, head.name));
                    Delta::ToolCall { choice, call, id: call_id, name, arguments: text }
                }
            });
        }
        if self.inspection.awaits_end() {
            return StreamEvent { frame: None, deltas };
        }
        let finished: Vec<u32> = self.ends.iter().filter_map(finished).collect();
        let bare = self.heads.extract_if(.., |head| finished.contains(&head.id.choice));
        deltas.extend(bare.map(Head::bare));
        let of_finished = |seal: &Delta| matches!(seal, Delta::Seal { choice, .. } if finished.contains(choice));
        let due: Vec<_> = self.seals.extract_if(.., |(seal, _)| of_finished(seal)).map(|(seal, _)| seal).collect();
        // They hold for the text as the model wrote it.
        if !self.inspection.edited() {
            deltas.extend(due);
        } else if !due.is_empty() {
            self.transcript.leaves_out_seal();
        }
        deltas.append(&mut self.ends);
        StreamEvent { frame: None, deltas }
    }

    /// Passes on reasoning, and behind what they hold for the seals of what ends in it: where nothing was edited so far, that
    /// went out as the model wrote it.
    fn think(&mut self, choice: u32, mut text: String, deltas: &mut Vec<Delta>) {
        let edited = self.inspection.edited();
        let (_, passed) = self.thoughts.entry(choice).or_default();
        let of_choice = |seal: &Delta| matches!(seal, Delta::Seal { choice: of, .. } if *of == choice);
        let whole = *passed + text.len() as u64;
        let due = self.seals.extract_if(.., |(seal, end)| !edited && of_choice(seal) && *end <= whole);
        for (seal, end) in due {
            let cut = usize::try_from(end.saturating_sub(*passed)).unwrap_or(usize::MAX);
            if let Some((before, behind)) = text.split_at_checked(cut) {
                deltas.extend((!before.is_empty()).then(|| Delta::Thinking { choice, text: before.to_owned() }));
                text = behind.to_owned();
                *passed = end.max(*passed);
            }
            deltas.push(seal);
        }
        *passed = whole;
        deltas.extend((!text.is_empty()).then_some(Delta::Thinking { choice, text }));
    }
}
