//! One evaluation's world: a store with a deadline, limits and a log, made for it and thrown away after it.

use std::fmt;
use std::time::Duration;

use wasmtime::component::{HasSelf, Linker};
use wasmtime::{ResourceLimiter, Store, UpdateDeadline};

use super::bindings::octroi::policy::{clock, counters, log};
use super::engine::{Engine, TICK, Watching};
use super::limits::Bounds;
use super::readings::{Readings, Source, Teller};
use crate::text::one_line;

/// The longest line that a policy can log, in bytes; longer ones are cut.
pub const MAX_LOG_LINE: usize = 1_024;

/// What one instance may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Ticks during which it may run.
    pub ticks: u64,
    /// The rest.
    pub bounds: Bounds,
}

impl Allowance {
    /// The time that it may run.
    pub fn time(&self) -> Duration {
        TICK.saturating_mul(u32::try_from(self.ticks).unwrap_or(u32::MAX))
    }
}

/// A limit that an instance ran into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitHit {
    /// It ran too long.
    #[error("it ran longer than `limits.time` and `limits.time_per_mib` allow")]
    Time,
    /// Its memories and tables together grew too large.
    #[error("its memory and tables would need {wanted} bytes, more than `limits.memory` ({allowed} bytes)")]
    Memory {
        /// What it asked for.
        wanted: usize,
        /// What it has.
        allowed: usize,
    },
    /// It called the host too often.
    #[error("it called host interfaces more often than `limits.host_calls` ({allowed})")]
    HostCalls {
        /// What it has.
        allowed: u32,
    },
}

/// A line that a policy logged, made harmless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// How loud.
    pub level: tracing::Level,
    /// One line without control characters.
    pub text: String,
}

/// What a policy logged during one evaluation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GuestLog {
    /// The lines kept.
    pub lines: Vec<LogLine>,
    /// How many were dropped.
    pub dropped: u32,
    /// Bytes of the lines kept, of each one more than its text: empty ones count too.
    bytes: usize,
}

/// A store's data.
pub struct State {
    allowance: Allowance,
    memory_used: usize,
    host_calls: u32,
    log: GuestLog,
    teller: Teller,
    _clock: Watching,
}

impl State {
    /// Bytes of memories and tables in use.
    pub fn memory_used(&self) -> usize {
        self.memory_used
    }

    /// Takes what was logged.
    pub fn take_log(&mut self) -> GuestLog {
        std::mem::take(&mut self.log)
    }

    /// Takes what host interfaces told.
    pub fn take_readings(&mut self) -> Readings {
        self.teller.take()
    }

    /// Gives a store that lives for several calls (in the loader) a new budget of time and calls, and another source for
    /// its host interfaces.
    pub fn renew(&mut self, ticks: u64, source: Source) {
        self.allowance.ticks = ticks;
        self.host_calls = 0;
        self.teller.renew(source);
    }

    /// Lets its memories grow by so many bytes more.
    pub fn make_room(&mut self, bytes: usize) {
        self.allowance.bounds.memory = self.allowance.bounds.memory.saturating_add(bytes);
    }

    /// Gives the instance of a stream the time and the host calls for its next piece. What host interfaces told it stays:
    /// to them a stream is one evaluation.
    pub fn resume(&mut self, ticks: u64) {
        self.allowance.ticks = ticks;
        self.host_calls = 0;
    }

    fn host_call(&mut self) -> wasmtime::Result<()> {
        self.host_calls += 1;
        if self.host_calls > self.allowance.bounds.host_calls {
            return Err(wasmtime::Error::new(LimitHit::HostCalls { allowed: self.allowance.bounds.host_calls }));
        }
        Ok(())
    }
}

impl fmt::Debug for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("State").field("allowance", &self.allowance).finish_non_exhaustive()
    }
}

/// Makes a store. There is no other way to make one, and none without a deadline.
pub fn store(engine: &Engine, allowance: Allowance, source: Source) -> Store<State> {
    let state = State {
        allowance,
        memory_used: 0,
        host_calls: 0,
        log: GuestLog::default(),
        teller: Teller::new(source),
        _clock: engine.watch_clock(),
    };
    let mut store = Store::new(engine.wasmtime(), state);
    store.limiter(|state| state);
    store.set_hostcall_fuel(allowance.bounds.output);
    store.set_max_component_handles(64);
    store.set_epoch_deadline(1);
    // Each tick during which the instance ran takes one from its budget. Then it steps aside once, so that whoever
    // polls it can move it to the slow lane and other requests get the processor; waiting there is not charged,
    // since the next deadline is counted from the moment at which it runs again. wasmtime's own `Yield` would wake
    // itself at once, and tokio would look at its sockets only every 61st poll.
    store.epoch_deadline_callback(|mut context| {
        let allowance = &mut context.data_mut().allowance;
        match allowance.ticks.checked_sub(1) {
            None => Err(wasmtime::Error::new(LimitHit::Time)),
            Some(left) => {
                allowance.ticks = left;
                Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
            }
        }
    });
    store
}

/// The host interfaces that policies can import.
pub fn linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine.wasmtime());
    log::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    // Who may import these was checked when the policy was loaded.
    clock::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    counters::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    Ok(linker)
}

impl log::Host for State {
    fn write(&mut self, level: log::Level, message: String) -> wasmtime::Result<()> {
        self.host_call()?;
        let text = one_line(&message, MAX_LOG_LINE);
        if self.log.bytes + text.len() >= self.allowance.bounds.log {
            self.log.dropped = self.log.dropped.saturating_add(1);
            return Ok(());
        }
        self.log.bytes += text.len() + 1;
        let level = match level {
            log::Level::Debug => tracing::Level::DEBUG,
            log::Level::Info => tracing::Level::INFO,
            log::Level::Warn => tracing::Level::WARN,
            log::Level::Error => tracing::Level::ERROR,
        };
        self.log.lines.push(LogLine { level, text });
        Ok(())
    }
}

impl clock::Host for State {
    fn now(&mut self) -> wasmtime::Result<u64> {
        self.host_call()?;
        let now = self.teller.now().map_err(wasmtime::Error::new)?;
        Ok(u64::try_from(now.as_millisecond()).unwrap_or_default())
    }
}

impl counters::Host for State {
    async fn add(&mut self, name: String, amount: u64, window_seconds: u64) -> wasmtime::Result<u64> {
        self.count(name, amount, window_seconds).await
    }

    async fn read(&mut self, name: String, window_seconds: u64) -> wasmtime::Result<u64> {
        self.count(name, 0, window_seconds).await
    }
}

impl State {
    async fn count(&mut self, name: String, amount: u64, window_seconds: u64) -> wasmtime::Result<u64> {
        self.host_call()?;
        self.teller.count(name, amount, window_seconds).await.map_err(wasmtime::Error::new)
    }
}

/// One counter over all memories and tables of the store: a limit for each memory could be had as often as there are
/// memories.
impl ResourceLimiter for State {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.grow(current, desired)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.grow(current.saturating_mul(size_of::<usize>()), desired.saturating_mul(size_of::<usize>()))
    }

    fn instances(&self) -> usize {
        self.allowance.bounds.instances as usize
    }

    fn tables(&self) -> usize {
        self.allowance.bounds.tables as usize
    }

    fn memories(&self) -> usize {
        self.allowance.bounds.memories as usize
    }
}

impl State {
    /// Beyond the limit the evaluation ends: a guest told "no" would only go on to abort with a text of its own.
    fn grow(&mut self, current: usize, desired: usize) -> wasmtime::Result<bool> {
        let wanted = self.memory_used.saturating_add(desired.saturating_sub(current));
        if wanted > self.allowance.bounds.memory {
            return Err(wasmtime::Error::new(LimitHit::Memory { wanted, allowed: self.allowance.bounds.memory }));
        }
        self.memory_used = wanted;
        Ok(true)
    }
}
