//! What the gateway says about itself: its log, and the recorder behind `metrics`.
//!
//! The log never holds a secret or a request's text; a policy's lines are made harmless before they get here.

mod lines;

use std::io::{IsTerminal as _, Write as _};
use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use tokio::time::MissedTickBehavior;
use tracing_subscriber::EnvFilter;

use self::lines::Lines;
use crate::config::{Log, LogFormat};

/// The log of this process, once it is started.
static LOG: OnceLock<Lines> = OnceLock::new();

/// Bounds of histogram buckets for names that end in `_seconds`: policies take microseconds, models seconds.
const SECONDS: &[f64] =
    &[0.000_005, 0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0];
/// The same for names that end in `_milliseconds`.
const MILLISECONDS: &[f64] = &[0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 100.0, 500.0, 2_500.0, 10_000.0, 60_000.0];

/// Starts the log on standard error. `RUST_LOG` wins over the configuration, unless it is empty or no filter. Whatever becomes of
/// standard error, nobody who logs waits for it or fails.
pub fn start_log(log: &Log) {
    let wanted = std::env::var("RUST_LOG").ok().filter(|it| !it.trim().is_empty());
    let (wanted, wrong) = match wanted.map(EnvFilter::try_new).transpose() {
        Ok(wanted) => (wanted, None),
        Err(error) => (None, Some(error)),
    };
    let filter = wanted.unwrap_or_else(|| EnvFilter::new(format!("warn,octroi={}", log.level.as_str())));
    // Without a thread for it there is no log; nothing else would run either.
    let Ok(lines) = Lines::start(std::io::stderr()) else { return };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(lines.clone())
        .with_target(false)
        // What cannot be logged would be told on standard error, by a panic where that fails too.
        .log_internal_errors(false);
    let started = match log.format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    // A second start (in tests) keeps the first log.
    if started.is_ok() {
        let _ = LOG.set(lines);
        std::panic::set_hook(Box::new(log_panic));
    }
    if let Some(error) = wrong {
        tracing::warn!("RUST_LOG is passed over, it is no filter: {error}");
    }
}

/// A panic is a line like any other: printed past the log it would tear one. Its message is told where it is the
/// program's own; one that was put together may hold a request's text.
fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let said =
        panic.payload().downcast_ref::<&str>().copied().unwrap_or("(what it said may hold text, and is not logged)");
    let place = panic.location().map(ToString::to_string);
    let thread = std::thread::current();
    tracing::error!(place, thread = thread.name(), "a fault of the gateway, it panicked: {said}");
    // The process is about to end.
    if thread.name() == Some("main") {
        end_log();
    }
}

/// Waits for what was logged last: a second, if nobody takes it.
pub fn end_log() {
    if let Some(lines) = LOG.get() {
        lines.flush();
    }
}

/// The last word of a command that failed, for its user, behind the log.
pub fn last_word(text: &str) {
    match LOG.get() {
        Some(lines) => {
            lines.put(format!("{text}\n").as_bytes());
            lines.flush();
        }
        // Nobody may be there to read it.
        None => drop(writeln!(std::io::stderr(), "{text}")),
    }
}

/// Installs the recorder of the process. Inside a tokio runtime.
pub fn start_metrics() -> Result<PrometheusHandle, BuildError> {
    use metrics_exporter_prometheus::Matcher;
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_milliseconds".to_owned()), MILLISECONDS)?
        .build_recorder();
    let handle = recorder.handle();
    if metrics::set_global_recorder(recorder).is_err() {
        tracing::warn!("another metrics recorder is installed; /metrics shows nothing");
    }
    let upkeep = handle.clone();
    tokio::spawn(async move {
        // Samples wait until they are counted, which is done in one go, on a thread that requests run on.
        let mut every = tokio::time::interval(Duration::from_millis(250));
        every.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            every.tick().await;
            upkeep.run_upkeep();
        }
    });
    Ok(handle)
}
