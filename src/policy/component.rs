//! A frozen component, ready to be instantiated: imports resolved, exports found, types checked.

use std::fmt;

use wasmtime::component::{Component, InstancePre};
use wasmtime::{Store, Trap};

use super::bindings::exports::octroi::policy as exports;
use super::bindings::octroi::policy::types as wit;
use super::engine::Engine;
use super::load::{LoadCode, LoadError, Step};
use super::manifest::{Phase, Phases};
use super::readings::{HostCallError, Readings, Source};
use super::sandbox::{self, Allowance, GuestLog, LimitHit, State};
use super::verdict::{Verdict, VerdictError};
use super::{AuditPhase, Context};
use crate::chat::{Message, Part, Role};
use crate::text::one_line;

/// What an evaluation is shown beside the context and the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// May this request go on?
    PreCheck,
    /// May this answer go out?
    Response,
    /// May this be kept?
    Audit(AuditPhase),
}

impl Question {
    /// The interface that answers it.
    pub fn phase(self) -> Phase {
        match self {
            Self::PreCheck => Phase::PreCheck,
            Self::Response => Phase::Response,
            Self::Audit(_) => Phase::Audit,
        }
    }

    /// The question that a case of the manifest asks.
    pub fn of_case(phase: Phase) -> Self {
        match phase {
            Phase::PreCheck => Self::PreCheck,
            Phase::Response => Self::Response,
            Phase::Audit => Self::Audit(AuditPhase::Intent),
        }
    }
}

/// Why there is no verdict.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvaluationError {
    /// A limit of the manifest.
    #[error("{0}")]
    Limit(#[from] LimitHit),
    /// It waited and ran for longer than twenty times its limit.
    #[error("it was not done after {cap:?}, twenty times `limits.time`")]
    Wall {
        /// The cap.
        cap: std::time::Duration,
    },
    /// The stack.
    #[error("its stack is exhausted")]
    Stack,
    /// What it returned, or handed to a host call, is larger than `limits.output`.
    #[error("what it handed out is larger than `limits.output`")]
    Output,
    /// More core instances, memories or tables than the manifest allows.
    #[error("it has more core instances, memories or tables than `limits` allow: {0}")]
    Count(String),
    /// A host interface gave no answer.
    #[error(transparent)]
    HostCall(#[from] HostCallError),
    /// It trapped.
    #[error("it trapped: {0}")]
    Trap(String),
    /// The verdict is wrong.
    #[error("its verdict was refused: {0}")]
    Verdict(#[from] VerdictError),
    /// The slots of the pool, or the slow lane's places, are all taken.
    #[error("too many evaluations are running")]
    Overloaded,
    /// A function of ours panicked.
    #[error("the gateway failed while it evaluated; this is a fault of the gateway")]
    Host,
}

impl EvaluationError {
    /// Stable, for metrics, records and answers.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Limit(LimitHit::Time) => "time_limit",
            Self::Limit(LimitHit::Memory { .. }) => "memory_limit",
            Self::Limit(LimitHit::HostCalls { .. }) => "host_call_limit",
            Self::Wall { .. } => "wall_limit",
            Self::Stack => "stack_limit",
            Self::Output => "output_limit",
            Self::Count(_) => "count_limit",
            Self::HostCall(error) => error.code(),
            Self::Trap(_) => "trap",
            Self::Verdict(VerdictError::BadEdit { .. }) => "bad_edit",
            Self::Verdict(VerdictError::TooMuch { .. }) => "bad_verdict",
            Self::Overloaded => "overloaded",
            Self::Host => "host_error",
        }
    }

    /// Sorts what wasmtime reports.
    pub(super) fn from_wasmtime(error: &wasmtime::Error) -> Self {
        if let Some(hit) = error.downcast_ref::<LimitHit>() {
            return Self::Limit(*hit);
        }
        if let Some(error) = error.downcast_ref::<HostCallError>() {
            return Self::HostCall(error.clone());
        }
        if let Some(trap) = error.downcast_ref::<Trap>() {
            return match trap {
                Trap::StackOverflow => Self::Stack,
                Trap::Interrupt => Self::Limit(LimitHit::Time),
                other => Self::Trap(other.to_string()),
            };
        }
        let text = format!("{error:#}");
        // The types of these errors are private to wasmtime; `tests/hostile` holds the texts in place.
        if text.contains("fuel allocated for hostcalls has been exhausted") {
            return Self::Output;
        }
        if text.contains("count too high at") {
            return Self::Count(one_line(&text, 512));
        }
        Self::Trap(one_line(&text, 512))
    }
}

/// A component that cannot be used; the text says what it lacks.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unusable(pub String);

/// A component with its exports found.
pub struct Ready {
    pre: InstancePre<State>,
    lifecycle: exports::lifecycle::GuestIndices,
    pre_check: Option<exports::pre_check::GuestIndices>,
    response: Option<exports::response::GuestIndices>,
    audit: Option<exports::audit::GuestIndices>,
}

impl fmt::Debug for Ready {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Ready").field("phases", &self.phases()).finish_non_exhaustive()
    }
}

fn mismatch(interface: &str, error: wasmtime::Error) -> Unusable {
    Unusable(format!("`{interface}` is exported with another signature than this gateway's: {error:#}"))
}

/// What one evaluation gave.
#[derive(Debug)]
pub struct Evaluated {
    /// The verdict, checked against the messages.
    pub verdict: Verdict,
    /// What the policy logged.
    pub log: GuestLog,
    /// What host interfaces told it.
    pub readings: Readings,
    /// Bytes of memories and tables at the end.
    pub memory: usize,
}

/// An evaluation without a verdict.
#[derive(Debug)]
pub struct Failed {
    /// Why.
    pub error: EvaluationError,
    /// What the policy logged up to then: where it panicked, for one.
    pub log: GuestLog,
    /// What host interfaces told it up to then.
    pub readings: Readings,
}

impl From<EvaluationError> for Failed {
    fn from(error: EvaluationError) -> Self {
        Self { error, log: GuestLog::default(), readings: Readings::default() }
    }
}

/// Where the text of a part stands in an answer that is streamed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// Bytes of the part's text before the first one shown.
    pub offset: u64,
    /// Bytes at the start of what is shown that have been passed on already.
    pub released: u32,
}

/// A piece of a streamed answer, as a policy is shown it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Piece {
    /// One message for each choice; of its parts those that have something new.
    pub choices: Vec<Message>,
    /// Of each part in `choices`; empty where the answer is shown whole.
    pub windows: Vec<Vec<Window>>,
    /// Whether more text will follow.
    pub more: bool,
}

/// An instance that judges a streamed answer piece by piece.
pub struct Session {
    store: Store<State>,
    instance: wasmtime::component::Instance,
}

impl Session {
    /// What is known at the end: the log, the readings, and the bytes of memories and tables.
    pub fn end(mut self) -> (GuestLog, Readings, usize) {
        let state = self.store.data_mut();
        (state.take_log(), state.take_readings(), state.memory_used())
    }

    fn failed(store: &mut Store<State>, error: EvaluationError) -> Failed {
        let state = store.data_mut();
        Failed { error, log: state.take_log(), readings: state.take_readings() }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Session").finish_non_exhaustive()
    }
}

/// The text that an evaluation is about.
#[derive(Clone, Copy)]
struct Shown<'a> {
    messages: &'a [Message],
    windows: Option<&'a [Vec<Window>]>,
    more: bool,
}

impl<'a> Shown<'a> {
    fn whole(messages: &'a [Message]) -> Self {
        Self { messages, windows: None, more: false }
    }

    fn piece(piece: &'a Piece) -> Self {
        Self { messages: &piece.choices, windows: Some(&piece.windows), more: piece.more }
    }
}

impl Ready {
    /// Resolves imports and finds exports. That those are there which must be, `load::module` has seen.
    pub fn new(engine: &Engine, component: &Component) -> Result<Self, Unusable> {
        let has = |name: &str| component.get_export_index(None, name).is_some();
        let linker = sandbox::linker(engine).map_err(|error| Unusable(format!("{error:#}")))?;
        let pre = linker.instantiate_pre(component).map_err(|error| Unusable(format!("{error:#}")))?;
        Ok(Self {
            lifecycle: exports::lifecycle::GuestIndices::new(&pre).map_err(|error| mismatch(LIFECYCLE, error))?,
            pre_check: has(PRE_CHECK)
                .then(|| exports::pre_check::GuestIndices::new(&pre))
                .transpose()
                .map_err(|error| mismatch(PRE_CHECK, error))?,
            response: has(RESPONSE)
                .then(|| exports::response::GuestIndices::new(&pre))
                .transpose()
                .map_err(|error| mismatch(RESPONSE, error))?,
            audit: has(AUDIT)
                .then(|| exports::audit::GuestIndices::new(&pre))
                .transpose()
                .map_err(|error| mismatch(AUDIT, error))?,
            pre,
        })
    }

    /// Compares what is exported with this gateway's signatures. [`Self::new`] finds functions by their names; without
    /// this, the first request would meet one of another type.
    pub fn check_signatures(
        &self,
        store: &mut Store<State>,
        instance: &wasmtime::component::Instance,
    ) -> Result<(), Unusable> {
        let check = |interface: &str, loaded: Option<wasmtime::Result<()>>| {
            loaded.unwrap_or(Ok(())).map_err(|error| mismatch(interface, error))
        };
        check(LIFECYCLE, Some(self.lifecycle.load(&mut *store, instance).map(drop)))?;
        check(PRE_CHECK, self.pre_check.as_ref().map(|it| it.load(&mut *store, instance).map(drop)))?;
        check(RESPONSE, self.response.as_ref().map(|it| it.load(&mut *store, instance).map(drop)))?;
        check(AUDIT, self.audit.as_ref().map(|it| it.load(&mut *store, instance).map(drop)))
    }

    /// The interfaces that it exports.
    pub fn phases(&self) -> Vec<Phase> {
        Phase::ALL.into_iter().filter(|phase| self.answers(*phase)).collect()
    }

    /// Whether it exports this one.
    pub fn answers(&self, phase: Phase) -> bool {
        match phase {
            Phase::PreCheck => self.pre_check.is_some(),
            Phase::Response => self.response.is_some(),
            Phase::Audit => self.audit.is_some(),
        }
    }

    /// Whether it can be asked in the phases that its manifest names.
    pub fn check_phases(&self, named: Option<&Phases>) -> Result<(), LoadError> {
        let Some(lacking) = named.and_then(|named| named.iter().find(|phase| !self.answers(**phase))) else {
            return Ok(());
        };
        let exported: Vec<_> = self.phases().into_iter().map(Phase::as_str).collect();
        let problem = format!("phases: found `{}`; the component exports {}", lacking.as_str(), exported.join(", "));
        Err(LoadError::new(Step::Validate, LoadCode::BadExports, problem))
    }

    /// One evaluation in an instance of its own: store, instantiate, call, drop.
    pub async fn evaluate(
        &self,
        engine: &Engine,
        allowance: Allowance,
        source: Source,
        question: Question,
        context: &Context,
        messages: &[Message],
    ) -> Result<Evaluated, Failed> {
        let mut store = sandbox::store(engine, allowance, source);
        let evaluated = match self.instantiate(&mut store).await {
            Ok(instance) => self.evaluate_in(&mut store, &instance, question, context, messages).await,
            Err(error) => Err(error),
        };
        evaluated.map_err(|error| Session::failed(&mut store, error))
    }

    /// An instance that lives for several calls: for the loader and for benches, never for requests.
    pub async fn instantiate(
        &self,
        store: &mut Store<State>,
    ) -> Result<wasmtime::component::Instance, EvaluationError> {
        self.pre.instantiate_async(store).await.map_err(|error| EvaluationError::from_wasmtime(&error))
    }

    /// One evaluation in this instance.
    pub async fn evaluate_in(
        &self,
        store: &mut Store<State>,
        instance: &wasmtime::component::Instance,
        question: Question,
        context: &Context,
        messages: &[Message],
    ) -> Result<Evaluated, EvaluationError> {
        let verdict = self.ask(store, instance, question, context, Shown::whole(messages)).await?;
        let state = store.data_mut();
        let (log, readings) = (state.take_log(), state.take_readings());
        Ok(Evaluated { verdict, log, readings, memory: state.memory_used() })
    }

    /// Begins the one evaluation that a streamed answer is: an instance of its own, asked by [`Self::judge`] as often as
    /// there is something new.
    pub async fn begin(&self, engine: &Engine, allowance: Allowance, source: Source) -> Result<Session, Failed> {
        let mut store = sandbox::store(engine, allowance, source);
        match self.instantiate(&mut store).await {
            Ok(instance) => Ok(Session { store, instance }),
            Err(error) => Err(Session::failed(&mut store, error)),
        }
    }

    /// Shows a piece of an answer. `ticks` is the time for this piece; after an error the session is over.
    pub async fn judge(
        &self,
        mut session: Session,
        ticks: u64,
        context: &Context,
        piece: &Piece,
    ) -> Result<(Session, Verdict), Failed> {
        let Session { store, instance } = &mut session;
        // Between pieces the clock went on.
        store.set_epoch_deadline(1);
        store.data_mut().resume(ticks);
        match self.ask(store, instance, Question::Response, context, Shown::piece(piece)).await {
            Ok(verdict) => Ok((session, verdict)),
            Err(error) => Err(Session::failed(store, error)),
        }
    }

    async fn ask(
        &self,
        store: &mut Store<State>,
        instance: &wasmtime::component::Instance,
        question: Question,
        context: &Context,
        shown: Shown<'_>,
    ) -> Result<Verdict, EvaluationError> {
        let Shown { messages, windows, more } = shown;
        let attributes: Vec<_> =
            context.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let providers: Vec<_> = context.providers.iter().map(String::as_str).collect();
        let known = wit::Context {
            surface: context.surface.as_str(),
            request_type: &context.request_type,
            caller: wit::Caller { client: &context.client, tenant: &context.tenant, user: context.user.as_deref() },
            providers: &providers,
            model: context.model.as_deref(),
            attributes: &attributes,
        };
        let window = |message: usize, part: usize| windows?.get(message)?.get(part).copied();
        let parts: Vec<Vec<wit::Part<'_>>> = messages
            .iter()
            .enumerate()
            .map(|(message, spoken)| {
                spoken.parts.iter().enumerate().map(|(index, it)| part(it, window(message, index))).collect()
            })
            .collect();
        let spoken: Vec<wit::Message<'_>> = messages
            .iter()
            .zip(&parts)
            .map(|(message, parts)| wit::Message { role: role(message.role), parts })
            .collect();
        let missing = || wasmtime::Error::msg("the interface is not exported");
        let answered = async {
            match question {
                Question::PreCheck => {
                    let guest = self.pre_check.as_ref().ok_or_else(missing)?.load(&mut *store, instance)?;
                    guest.call_evaluate(&mut *store, known, &spoken).await
                }
                Question::Response => {
                    let guest = self.response.as_ref().ok_or_else(missing)?.load(&mut *store, instance)?;
                    let answer = exports::response::Answer { choices: &spoken, more };
                    guest.call_evaluate(&mut *store, known, answer).await
                }
                Question::Audit(phase) => {
                    let guest = self.audit.as_ref().ok_or_else(missing)?.load(&mut *store, instance)?;
                    let phase = match phase {
                        AuditPhase::Intent => exports::audit::Phase::Intent,
                        AuditPhase::Outcome => exports::audit::Phase::Outcome,
                    };
                    guest.call_evaluate(&mut *store, known, exports::audit::Entry { phase, messages: &spoken }).await
                }
            }
        };
        let verdict = answered.await.map_err(|error| EvaluationError::from_wasmtime(&error))?;
        Ok(Verdict::accept(verdict.into(), messages)?)
    }

    /// Hands over the settings. The inner error is the policy's own.
    pub async fn configure(
        &self,
        store: &mut Store<State>,
        instance: &wasmtime::component::Instance,
        settings: &str,
    ) -> Result<Result<(), String>, EvaluationError> {
        let called = async { self.lifecycle.load(&mut *store, instance)?.call_configure(&mut *store, settings).await };
        called.await.map_err(|error| EvaluationError::from_wasmtime(&error))
    }

    /// Asks the policy about itself.
    pub async fn describe(
        &self,
        store: &mut Store<State>,
        instance: &wasmtime::component::Instance,
    ) -> Result<exports::lifecycle::Description, EvaluationError> {
        let called = async { self.lifecycle.load(&mut *store, instance)?.call_describe(&mut *store).await };
        called.await.map_err(|error| EvaluationError::from_wasmtime(&error))
    }
}

/// The version that this gateway speaks, behind the names of the package and of its interfaces.
macro_rules! version {
    () => {
        "@0.1.0"
    };
}

macro_rules! interface {
    ($name:literal) => {
        concat!("octroi:policy/", $name, version!())
    };
}

/// The version of the WIT package; part of every cache key.
pub const WIT_VERSION: &str = concat!("octroi:policy", version!());
/// The names under which the interfaces are exported.
pub const LIFECYCLE: &str = interface!("lifecycle");
/// See [`LIFECYCLE`].
pub const PRE_CHECK: &str = interface!("pre-check");
/// See [`LIFECYCLE`].
pub const RESPONSE: &str = interface!("response");
/// See [`LIFECYCLE`].
pub const AUDIT: &str = interface!("audit");

/// Whether an import or an export is an interface of the package, in whichever version.
pub(super) fn is_ours(name: &str) -> bool {
    name.starts_with("octroi:policy/")
}

/// Whether it is one in the version that this gateway speaks.
pub(super) fn is_of_this_version(name: &str) -> bool {
    is_ours(name) && name.ends_with(version!())
}

/// Whether it is this one, in that version.
pub(super) fn is_interface(name: &str, interface: &str) -> bool {
    name.strip_prefix("octroi:policy/").and_then(|name| name.strip_suffix(version!())) == Some(interface)
}

fn role(role: Role) -> wit::Role {
    match role {
        Role::System => wit::Role::System,
        Role::User => wit::Role::User,
        Role::Assistant => wit::Role::Assistant,
        Role::Tool => wit::Role::Tool,
    }
}

fn part(part: &Part, window: Option<Window>) -> wit::Part<'_> {
    let (kind, name) = match part {
        Part::Text { .. } | Part::Refusal { .. } => (wit::PartKind::Text, None),
        Part::Thinking { .. } => (wit::PartKind::Thinking, None),
        Part::ToolCall { name, .. } => (wit::PartKind::ToolCall, Some(name.as_str())),
        Part::ToolResult { name, .. } => (wit::PartKind::ToolResult, name.as_deref()),
        Part::Image { .. } => (wit::PartKind::Image, None),
        Part::Reference { .. } => (wit::PartKind::Other, None),
    };
    let text = part.text().unwrap_or_default();
    let binary = part.binary();
    wit::Part {
        kind,
        text,
        name,
        media_type: binary.and_then(|binary| binary.media_type),
        size: binary.map_or(text.len(), |binary| binary.size) as u64,
        window: window.map(|Window { offset, released }| wit::Window { offset, released }),
    }
}
