//! wasmtime, narrowed to what a policy needs. Every knob carries the reason for its value.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

use wasmtime::{Config, Enabled, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, Strategy};

/// The unit in which running time is counted. Guests look at the epoch at every loop's turn and function's start;
/// advancing it is one atomic addition.
pub const TICK: Duration = Duration::from_millis(1);

/// Ticks without a store after which the clock rests.
const TICKS_TO_REST: u32 = 100;

/// Shards of wasmtime's pool at most, and memories that each keeps as the last evaluation left them: as many policies may
/// take turns without their images being mapped anew.
const MOST_SHARDS: usize = 16;
const WARM_SLOTS: u32 = 8;

/// Core instances, memories and tables in one component: Python's need 38 instances.
pub(super) const MAX_CORE_INSTANCES: u32 = 64;
/// See [`MAX_CORE_INSTANCES`].
pub(super) const MAX_MEMORIES: u32 = 2;
/// See [`MAX_CORE_INSTANCES`].
pub(super) const MAX_TABLES: u32 = 64;

/// How instances get their memory. Both load the same compiled code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocation {
    /// From the operating system, one by one: for the loader process.
    OnDemand,
    /// From a pool of this many slots: for the gateway.
    Pooled(u32),
}

/// A wasmtime engine with its clock. Dropping it stops the clock.
pub struct Engine {
    inner: wasmtime::Engine,
    clock: Clock,
}

/// The engine could not be made; the text is wasmtime's.
#[derive(Debug, thiserror::Error)]
#[error("the WebAssembly engine could not be started: {0}")]
pub struct EngineError(String);

impl Engine {
    /// Starts an engine and its clock.
    pub fn start(allocation: Allocation) -> Result<Arc<Self>, EngineError> {
        let mut config = compile_settings();
        if let Allocation::Pooled(slots) = allocation {
            config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(slots)));
        }
        let inner = wasmtime::Engine::new(&config).map_err(|error| EngineError(format!("{error:#}")))?;
        let clock = Clock::start(&inner).map_err(|error| EngineError(error.to_string()))?;
        Ok(Arc::new(Self { inner, clock }))
    }

    /// The engine itself.
    pub(super) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.inner
    }

    /// Keeps the clock going.
    pub(super) fn watch_clock(&self) -> Watching {
        self.clock.watch()
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Engine").field("clock_rests", &self.clock.rests()).finish()
    }
}

/// What both allocators share, so that code compiled in the loader process loads in the gateway.
fn compile_settings() -> Config {
    let mut config = Config::new();
    config.strategy(Strategy::Cranelift);
    config.cranelift_opt_level(OptLevel::Speed);
    // A store cannot be built without a deadline (`sandbox`), so every loop ends.
    config.epoch_interruption(true);
    // Component-model async is compiled out; this drops what is left of its bookkeeping from every call.
    config.concurrency_support(false);
    // Fresh instances share the frozen image and copy only the pages that they write.
    config.memory_init_cow(true);
    config.signals_based_traps(true);
    // A guest's stack; the fiber has 2 MiB, so that host functions keep the rest.
    config.max_wasm_stack(512 << 10);
    config.async_stack_size(2 << 20);
    // A verdict is a function of version, readings and input: no bit of it may depend on the machine.
    config.cranelift_nan_canonicalization(true);
    config.relaxed_simd_deterministic(true);
    // Guests' addresses tell an operator nothing and cost 15 % of an artifact.
    config.generate_address_map(false);
    config.wasm_backtrace_max_frames(None);
    // Proposals that the guest languages do not need are off. What is on here is what their compilers emit.
    config.wasm_simd(true);
    config.wasm_relaxed_simd(true);
    config.wasm_bulk_memory(true);
    config.wasm_multi_value(true);
    config.wasm_extended_const(true);
    config.wasm_tail_call(true);
    config.wasm_multi_memory(true);
    config.wasm_memory64(false);
    config.wasm_custom_page_sizes(false);
    config.wasm_wide_arithmetic(false);
    config
}

fn pool(slots: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots);
    pool.total_stacks(slots);
    pool.total_core_instances(slots.saturating_mul(MAX_CORE_INSTANCES));
    pool.total_memories(slots.saturating_mul(MAX_MEMORIES));
    pool.total_tables(slots.saturating_mul(MAX_TABLES));
    pool.max_core_instances_per_component(MAX_CORE_INSTANCES);
    pool.max_memories_per_component(MAX_MEMORIES);
    pool.max_tables_per_component(MAX_TABLES);
    // As the loader's allocator, which knows no other limit: what passes there must fit here.
    pool.max_memories_per_module(MAX_MEMORIES);
    pool.max_tables_per_module(MAX_TABLES);
    // Metadata of JavaScript's and Python's components is larger than the default of 1 MiB.
    pool.max_component_instance_size(16 << 20);
    pool.max_core_instance_size(16 << 20);
    // Only the pages that an evaluation wrote are put back, in place, with no change to the page tables: without it two
    // threads are slower than one.
    pool.pagemap_scan(Enabled::Auto);
    pool.linear_memory_keep_resident(1 << 20);
    pool.table_keep_resident(64 << 10);
    // Then nothing is left to decommit, and a slot that waited for a batch to be full would be cold when it is used again.
    let batch = if PoolingAllocationConfig::is_pagemap_scan_available() { 1 } else { 32 };
    pool.decommit_batch_size(batch);
    // The default would keep a hundred slots' pages resident. With fewer than there are policies, each would map its
    // image over another's. wasmtime divides the number among its shards, of which there is one for each core, sixteen at
    // most.
    let shards = thread::available_parallelism().map_or(2, std::num::NonZero::get).min(MOST_SHARDS);
    pool.max_unused_warm_slots(u32::try_from(shards).unwrap_or(1) * WARM_SLOTS);
    pool
}

/// The thread that advances the epoch. It rests when there was no store for a while: a gateway that nobody asks anything
/// uses no processor.
struct Clock {
    watched: Arc<Watched>,
    thread: Thread,
}

/// Who looks at the clock.
#[derive(Default)]
struct Watched {
    /// Stores made, and stores gone.
    begun: AtomicU64,
    ended: AtomicU64,
    rests: AtomicBool,
    stop: AtomicBool,
}

/// The clock goes as long as there is one of these.
pub(super) struct Watching(Arc<Watched>);

impl Clock {
    fn start(engine: &wasmtime::Engine) -> std::io::Result<Self> {
        let watched = Arc::new(Watched::default());
        let (watches, engine) = (Arc::clone(&watched), engine.weak());
        let builder = thread::Builder::new().name("policy-clock".into()).stack_size(64 << 10);
        let thread = builder.spawn(move || {
            let (mut begun, mut idle) = (0, 0);
            while !watches.stop.load(Ordering::SeqCst) {
                thread::park_timeout(TICK);
                match engine.upgrade() {
                    Some(engine) => engine.increment_epoch(),
                    None => return,
                }
                idle = if watches.since(begun) { 0 } else { idle + 1 };
                begun = watches.begun.load(Ordering::SeqCst);
                if idle == TICKS_TO_REST {
                    watches.rest(begun);
                    idle = 0;
                }
            }
        })?;
        Ok(Self { watched, thread: thread.thread().clone() })
    }

    fn watch(&self) -> Watching {
        self.watched.begun.fetch_add(1, Ordering::SeqCst);
        if self.rests() {
            self.thread.unpark();
        }
        Watching(Arc::clone(&self.watched))
    }

    fn rests(&self) -> bool {
        self.watched.rests.load(Ordering::SeqCst)
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.watched.stop.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

impl Watched {
    /// Whether there is a store, or was one after the first so many.
    fn since(&self, begun: u64) -> bool {
        let now = self.begun.load(Ordering::SeqCst);
        now != begun || now != self.ended.load(Ordering::SeqCst)
    }

    fn rest(&self, begun: u64) {
        self.rests.store(true, Ordering::SeqCst);
        // Whoever begins now is either seen here, or sees that the clock rests and wakes it.
        while !self.since(begun) && !self.stop.load(Ordering::SeqCst) {
            thread::park();
        }
        self.rests.store(false, Ordering::SeqCst);
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use wasmtime::{Instance, Module};

    use super::*;
    use crate::policy::limits::Limits;
    use crate::policy::readings::Source;
    use crate::policy::sandbox::{self, LimitHit};

    #[tokio::test]
    async fn a_clock_that_rests_goes_again_for_whoever_begins() {
        let engine = Engine::start(Allocation::OnDemand).unwrap();
        let endless = wat::parse_str("(module (func (export \"spin\") (loop br 0)))").unwrap();
        let endless = Module::new(engine.wasmtime(), endless).unwrap();
        for _ in 0..2 {
            while !engine.clock.rests() {
                tokio::time::sleep(10 * TICK).await;
            }
            let mut store = sandbox::store(&engine, Limits::default().budget().allowance(0), Source::Closed);
            let instance = Instance::new_async(&mut store, &endless, &[]).await.unwrap();
            let spin = instance.get_typed_func::<(), ()>(&mut store, "spin").unwrap();
            let error = spin.call_async(&mut store, ()).await.unwrap_err();
            assert_eq!(error.downcast_ref(), Some(&LimitHit::Time));
            assert!(!engine.clock.rests(), "there is a store");
        }
    }
}
