//! The loader process (`octroi policy load`): takes a [`Job`] and a module, gives compiled, frozen, tested code.

use std::io::{self, BufRead, Read, Write};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use rustix::process::{Resource, Rlimit};
use wasmtime::Store;
use wasmtime::component::Instance;
use wasmtime_wizer::Wizer;

use super::cache::{self, Cache, Key};
use super::expected::unexpected;
use super::protocol::{About, CaseReport, Event, Job, MAX_LINE_BYTES, RuleAbout};
use super::{LoadCode, LoadError, MAX_MODULE_BYTES, Step, module, snapshot};
use crate::chat::text_bytes;
use crate::policy::component::{EvaluationError, Question, Ready};
use crate::policy::digest::Digest;
use crate::policy::engine::{Allocation, Engine, MAX_MEMORIES, TICK};
use crate::policy::limits::{Bounds, Budget};
use crate::policy::manifest::{Case, Phase};
use crate::policy::readings::Source;
use crate::policy::sandbox::{self, Allowance, GuestLog, LimitHit, State};
use crate::policy::verdict::Verdict;
use crate::text::one_line;

/// Ticks that `configure` may run: it compiles expressions and starts interpreters.
const CONFIGURE_TICKS: u64 = 10_000;
/// Ticks that one warm-up may run, at least: an interpreter's first call is slow.
const WARM_UP_TICKS: u64 = 5_000;

/// Bytes by which wizer grows memories to read them: by a page of 64 KiB, twice, each of them.
const SNAPSHOT_ROOM: usize = MAX_MEMORIES as usize * 2 * (64 << 10);

/// What the loader process allows itself.
#[derive(Clone, Copy, Debug)]
pub struct ProcessLimits {
    /// Bytes.
    pub memory: u64,
    /// Seconds of processor time.
    pub seconds: u64,
}

/// Runs the loader on this process' standard input and output. Returns whether the version goes live. The limits are in
/// force before anything is read.
pub fn serve(limits: ProcessLimits) -> io::Result<bool> {
    limit_this_process(limits);
    let mut input = io::stdin().lock();
    let mut line = String::new();
    (&mut input).take(MAX_LINE_BYTES).read_line(&mut line)?;
    let job: Job = serde_json::from_str(&line)?;
    if job.module_bytes > MAX_MODULE_BYTES {
        return Err(io::Error::other("the module is too large"));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(job.module_bytes).unwrap_or_default());
    input.take(job.module_bytes).read_to_end(&mut bytes)?;

    let reporter = Reporter { step: Mutex::new(Step::Encode) };
    let panicked = Arc::new(Mutex::new(String::new()));
    let said = panicked.clone();
    std::panic::set_hook(Box::new(move |info| {
        *said.lock().unwrap_or_else(PoisonError::into_inner) = info.to_string();
    }));
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let outcome = runtime.block_on(AssertUnwindSafe(load(&job, bytes, &reporter)).catch_unwind());
    let outcome = outcome.unwrap_or_else(|panic| {
        if let Ok(error) = panic.downcast::<LoadError>() {
            return Err(*error);
        }
        let text = panicked.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let step = *reporter.step.lock().unwrap_or_else(PoisonError::into_inner);
        Err(LoadError::new(
            step,
            LoadCode::NotFreezable,
            format!("this component cannot be handled: {}", one_line(&text, 1_024)),
        ))
    });
    let mut output = io::stdout().lock();
    match outcome {
        Ok((about, artifact)) => {
            say(&mut output, &Event::Done { about, artifact_bytes: artifact.len() as u64 })?;
            output.write_all(&artifact)?;
            output.flush()?;
            Ok(true)
        }
        Err(error) => {
            say(&mut output, &Event::Failed(error))?;
            Ok(false)
        }
    }
}

/// Compiling is the unbounded step. Not by `RLIMIT_AS`: wasmtime reserves more than 4 GiB of addresses for a memory.
fn limit_this_process(limits: ProcessLimits) {
    let ProcessLimits { memory, seconds } = limits;
    // Of processor time the first limit ends the process by a signal that names it; the second only by `SIGKILL`.
    for (resource, current, maximum) in
        [(Resource::Data, memory, memory), (Resource::Cpu, seconds, seconds.saturating_add(2)), (Resource::Core, 0, 0)]
    {
        // A stricter limit that is already in force may not be raised; then it stays.
        let _ = rustix::process::setrlimit(resource, Rlimit { current: Some(current), maximum: Some(maximum) });
    }
}

fn say(output: &mut impl Write, event: &Event) -> io::Result<()> {
    serde_json::to_writer(&mut *output, event)?;
    output.write_all(b"\n")?;
    output.flush()
}

/// Tells the gateway how far it got, so that a killed loader's last step is known.
struct Reporter {
    step: Mutex<Step>,
}

impl Reporter {
    fn step(&self, step: Step) {
        *self.step.lock().unwrap_or_else(PoisonError::into_inner) = step;
        let _ = say(&mut io::stdout().lock(), &Event::Step(step));
    }

    fn checked(&self, case: &Case, elapsed: Duration, problem: Option<String>) {
        let report = CaseReport {
            name: one_line(&case.name, 128),
            elapsed_us: u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
            problem,
        };
        let _ = say(&mut io::stdout().lock(), &Event::Case(report));
    }

    fn logged(&self, log: GuestLog) {
        for line in log.lines {
            let _ = say(&mut io::stdout().lock(), &Event::Log(format!("{}: {}", line.level, line.text)));
        }
    }
}

async fn load(job: &Job, bytes: Vec<u8>, reporter: &Reporter) -> Result<(About, Vec<u8>), LoadError> {
    let engine = Engine::start(Allocation::OnDemand)
        .map_err(|error| LoadError::new(Step::Start, LoadCode::LoaderFailed, error.to_string()))?;
    reporter.step(Step::Encode);
    let component = module::encode(bytes)?;
    reporter.step(Step::Validate);
    module::validate(&component, &job.capabilities)?;

    let (frozen, mut about, instrument_ms) = freeze(job, &engine, &component, reporter).await?;

    reporter.step(Step::Compile);
    let started = Instant::now();
    let artifact = engine
        .wasmtime()
        .precompile_component(&frozen)
        .map_err(|error| LoadError::new(Step::Compile, LoadCode::NotCompilable, format!("{error:#}")))?;
    about.compile_ms = instrument_ms + started.elapsed().as_millis() as u64;

    reporter.step(Step::Tests);
    let component = cache::load_from_memory(&engine, &artifact)
        .map_err(|error| LoadError::new(Step::Tests, LoadCode::NotCompilable, format!("{error:#}")))?;
    let ready = Ready::new(&engine, &component)
        .map_err(|error| LoadError::new(Step::Tests, LoadCode::BadExports, error.to_string()))?;
    // All of them, so that an author sees every failure at once; the first one is the error.
    let mut refused = None;
    for case in &job.cases {
        let started = Instant::now();
        let checked = check_case(&engine, &ready, &job.budget, case, reporter).await;
        let elapsed = checked.as_ref().map_or_else(|_| started.elapsed(), |quicker| *quicker);
        reporter.checked(case, elapsed, checked.as_ref().err().map(|error| error.message.clone()));
        if let Err(error) = checked {
            refused.get_or_insert(error);
        }
    }
    if let Some(error) = refused {
        return Err(error);
    }
    about.cases = job.cases.len();
    Ok((about, artifact))
}

/// Instantiates once, hands over the settings, shows every case, and freezes the memory.
async fn freeze(
    job: &Job,
    engine: &Engine,
    component: &[u8],
    reporter: &Reporter,
) -> Result<(Vec<u8>, About, u64), LoadError> {
    reporter.step(Step::Snapshot);
    let wizer = Wizer::new();
    let (context, instrumented) = wizer
        .instrument_component(component)
        .map_err(|error| LoadError::new(Step::Snapshot, LoadCode::NotFreezable, format!("{error:#}")))?;

    reporter.step(Step::Instrument);
    let digest = Digest::of(component);
    let started = Instant::now();
    let compiled = compile_instrumented(job, engine, digest, &instrumented)?;
    let instrument_ms = started.elapsed().as_millis() as u64;
    let ready = Ready::new(engine, &compiled)
        .map_err(|error| LoadError::new(Step::Validate, LoadCode::BadExports, error.to_string()))?;
    ready.check_phases(job.phases.as_ref())?;

    let (mut store, instance) = configure(job, engine, &ready, reporter).await?;
    let description = ready
        .describe(&mut store, &instance)
        .await
        .map_err(|error| failed(Step::Configure, CONFIGURE_TICKS, &error))?;

    reporter.step(Step::WarmUp);
    for case in &job.cases {
        match show(job, &ready, &mut store, &instance, case, reporter).await {
            // What warm-up answers does not count: the cases are checked against the frozen component.
            Ok(_) => {}
            Err(error) if error.step == Step::Tests => {}
            Err(error) => {
                if job.every_case {
                    tell_every_case(job, engine, &ready, reporter).await;
                }
                return Err(error);
            }
        }
    }

    reporter.step(Step::Snapshot);
    store.data_mut().renew(CONFIGURE_TICKS, Source::Closed);
    store.data_mut().make_room(SNAPSHOT_ROOM);
    let memory_bytes = store.data().memory_used();
    let frozen = wizer
        .snapshot_component(&context, &mut snapshot::Frozen { store: &mut store, instance })
        .await
        .map_err(|error| LoadError::new(Step::Snapshot, LoadCode::NotFreezable, format!("{error:#}")))?;
    let short = |text: &str| one_line(text, 256);
    let about = About {
        name: short(&description.name),
        version: short(&description.version),
        summary: short(&description.summary),
        rules: description
            .rules
            .iter()
            .take(1_024)
            .map(|rule| RuleAbout {
                id: short(&rule.id),
                category: short(&rule.category),
                summary: short(&rule.summary),
            })
            .collect(),
        phases: ready.phases(),
        component: digest,
        memory_bytes,
        cases: 0,
        compile_ms: 0,
    };
    Ok((frozen, about, instrument_ms))
}

/// An instance that has its settings.
async fn configure(
    job: &Job,
    engine: &Engine,
    ready: &Ready,
    reporter: &Reporter,
) -> Result<(Store<State>, Instance), LoadError> {
    reporter.step(Step::Instantiate);
    let mut store = sandbox::store(
        engine,
        Allowance {
            ticks: CONFIGURE_TICKS,
            // wizer lifts the whole memory as one list.
            bounds: Bounds { output: job.budget.bounds.memory + (16 << 20), ..job.budget.bounds },
        },
        Source::Closed,
    );
    let instance =
        ready.instantiate(&mut store).await.map_err(|error| failed(Step::Instantiate, CONFIGURE_TICKS, &error))?;
    ready
        .check_signatures(&mut store, &instance)
        .map_err(|error| LoadError::new(Step::Validate, LoadCode::BadExports, error.to_string()))?;

    reporter.step(Step::Configure);
    let configured = ready.configure(&mut store, &instance, &job.settings.to_string()).await;
    reporter.logged(store.data_mut().take_log());
    configured
        .map_err(|error| failed(Step::Configure, CONFIGURE_TICKS, &error))?
        .map_err(|problem| LoadError::new(Step::Configure, LoadCode::SettingsRefused, one_line(&problem, 2_048)))?;
    Ok((store, instance))
}

/// Shows a case to an instance. What is wrong with the question or the verdict, and not with the policy's running, is an
/// error of the step at which cases are checked.
async fn show(
    job: &Job,
    ready: &Ready,
    store: &mut Store<State>,
    instance: &Instance,
    case: &Case,
    reporter: &Reporter,
) -> Result<Verdict, LoadError> {
    let messages = case.conversation();
    let ticks = job.budget.allowance(text_bytes(&messages)).ticks.max(WARM_UP_TICKS);
    store.data_mut().renew(ticks, stated(case));
    let question = question(ready, case)?;
    let shown = ready.evaluate_in(store, instance, question, &case.context.context(), &messages).await;
    reporter.logged(store.data_mut().take_log());
    let error = match shown {
        Ok(evaluated) => {
            reporter.logged(evaluated.log);
            return Ok(evaluated.verdict);
        }
        Err(error @ EvaluationError::Verdict(_)) => {
            LoadError::new(Step::Tests, LoadCode::CaseFailed, error.to_string())
        }
        Err(error) => failed(Step::WarmUp, ticks, &error),
    };
    Err(LoadError::new(error.step, error.code, in_case(case, &error.message)))
}

/// Tells how each case fares by itself, when warm-up has ended at one of them: so that an author sees every failure at
/// once.
async fn tell_every_case(job: &Job, engine: &Engine, ready: &Ready, reporter: &Reporter) {
    for case in &job.cases {
        let started = Instant::now();
        let shown = match configure(job, engine, ready, reporter).await {
            Ok((mut store, instance)) => show(job, ready, &mut store, &instance, case, reporter).await,
            Err(error) => Err(error),
        };
        let problem = match shown {
            Ok(verdict) => unexpected(case, &verdict, case.conversation()).map(|problem| in_case(case, &problem)),
            Err(error) => Some(error.message),
        };
        reporter.checked(case, started.elapsed(), problem);
    }
}

/// What went wrong in the loader's own instance, which has more time than an evaluation.
fn failed(step: Step, ticks: u64, error: &EvaluationError) -> LoadError {
    let message = match error {
        EvaluationError::Limit(LimitHit::Time) => {
            let allowed = humantime::format_duration(TICK.saturating_mul(u32::try_from(ticks).unwrap_or(u32::MAX)));
            format!("it ran longer than the {allowed} that it has for `{}`", step.as_str())
        }
        error => error.to_string(),
    };
    LoadError::new(step, LoadCode::GuestFailed, message)
}

fn compile_instrumented(
    job: &Job,
    engine: &Engine,
    digest: Digest,
    instrumented: &[u8],
) -> Result<wasmtime::component::Component, LoadError> {
    let fail = |error: wasmtime::Error| LoadError::new(Step::Instrument, LoadCode::NotCompilable, format!("{error:#}"));
    let key = Key::instrumented(engine, &digest);
    // A cache that cannot be used costs a compile, nothing else.
    let cache = job.cache.as_deref().and_then(|directory| Cache::open(directory).ok());
    if let Some((component, ())) = cache.as_ref().and_then(|cache| cache.map(engine, key)) {
        return Ok(component);
    }
    let code = engine.wasmtime().precompile_component(instrumented).map_err(fail)?;
    if let Some(cache) = cache {
        let _ = cache.store(key, &code, &());
    }
    cache::load_from_memory(engine, &code).map_err(fail)
}

fn question(ready: &Ready, case: &Case) -> Result<Question, LoadError> {
    let phases = ready.phases();
    let phase = case.phase.or_else(|| phases.first().copied()).unwrap_or(Phase::PreCheck);
    if !ready.answers(phase) {
        let problem = format!("it asks `{}`, which the policy does not export", phase.as_str());
        return Err(LoadError::new(Step::Tests, LoadCode::CaseFailed, in_case(case, &problem)));
    }
    Ok(Question::of_case(phase))
}

/// What the case says that host interfaces answer.
fn stated(case: &Case) -> Source {
    Source::Stated(Arc::new(case.readings.clone()))
}

/// Evaluates a case twice, in fresh instances, exactly as a request will meet it.
async fn check_case(
    engine: &Engine,
    ready: &Ready,
    budget: &Budget,
    case: &Case,
    reporter: &Reporter,
) -> Result<Duration, LoadError> {
    let messages = case.conversation();
    let question = question(ready, case)?;
    let context = case.context.context();
    let allowance = budget.allowance(text_bytes(&messages));
    let refused = |code, problem: &str| LoadError::new(Step::Tests, code, in_case(case, problem));
    let evaluate = async || {
        let started = Instant::now();
        match ready.evaluate(engine, allowance, stated(case), question, &context, &messages).await {
            Ok(evaluated) => Ok((evaluated.verdict, started.elapsed())),
            Err(failed) => {
                reporter.logged(failed.log);
                Err(refused(LoadCode::CaseFailed, &failed.error.to_string()))
            }
        }
    };
    let ((first, one), (second, other)) = (evaluate().await?, evaluate().await?);
    if first != second {
        return Err(refused(LoadCode::NotDeterministic, "the same input got two different verdicts"));
    }
    match unexpected(case, &first, messages) {
        Some(problem) => Err(refused(LoadCode::CaseFailed, &problem)),
        None => Ok(one.min(other)),
    }
}

/// What is wrong, under the name of the case in which it is.
fn in_case(case: &Case, problem: &str) -> String {
    format!("case `{}`: {problem}", one_line(&case.name, 128))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loaders_own_limit_of_time_is_not_told_as_the_manifests() {
        let error = failed(Step::Configure, CONFIGURE_TICKS, &EvaluationError::Limit(LimitHit::Time));
        assert_eq!(error.to_string(), "configure: it ran longer than the 10s that it has for `configure`");
    }
}
