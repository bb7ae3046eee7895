//! The slow lane: where an evaluation goes that is still running at its first tick.
//!
//! Most evaluations end within a tick, on the thread that the request runs on, and pay no hop. One that does not would
//! take that thread from every other request; it moves to a few threads of its own, behind a bounded queue.

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

/// Turns of up to a tick that an evaluation gets where it was started while the lane is full. The clock ticks whenever it
/// does: a quick evaluation may meet a tick, and must not be refused for it.
const TURNS_WITHOUT_A_PLACE: usize = 3;

/// The threads for long evaluations. Dropping it ends them.
#[derive(Debug)]
pub struct SlowLane {
    runtime: Option<Runtime>,
    places: Arc<Semaphore>,
}

/// Why a long evaluation has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaneError {
    /// All places are taken.
    Full,
    /// It was not done after the wall cap.
    Wall,
    /// It panicked.
    Panicked,
}

impl SlowLane {
    /// Starts the threads: half the cores, at least one, so that innocent requests keep the rest.
    pub fn start(places: usize) -> std::io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads((cores / 2).max(1))
            .thread_name("policy-slow-lane")
            .enable_time()
            .build()?;
        Ok(Self { runtime: Some(runtime), places: Arc::new(Semaphore::new(places)) })
    }

    /// Runs `evaluation` where it was started; from its first pause on, in the lane.
    pub async fn run<T: Send + 'static>(
        &self,
        mut evaluation: BoxFuture<'static, T>,
        wall: Duration,
    ) -> Result<T, LaneError> {
        if let Poll::Ready(done) = turn(&mut evaluation).await? {
            return Ok(done);
        }
        let mut place = self.places.clone().try_acquire_owned();
        for _ in 0..TURNS_WITHOUT_A_PLACE {
            if place.is_ok() {
                break;
            }
            tokio::task::yield_now().await;
            if let Poll::Ready(done) = turn(&mut evaluation).await? {
                return Ok(done);
            }
            place = self.places.clone().try_acquire_owned();
        }
        let place = place.map_err(|_| LaneError::Full)?;
        let Some(runtime) = &self.runtime else { return Err(LaneError::Full) };
        let running = runtime.spawn(async move {
            let done = tokio::time::timeout(wall, evaluation).await;
            drop(place);
            done
        });
        // A caller that goes away takes its evaluation along.
        let mut running = AbortOnDrop(running);
        match (&mut running.0).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(_)) => Err(LaneError::Wall),
            Err(_) => Err(LaneError::Panicked),
        }
    }
}

impl Drop for SlowLane {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Lets it run until it ends or pauses.
async fn turn<T>(evaluation: &mut BoxFuture<'static, T>) -> Result<Poll<T>, LaneError> {
    let once = AssertUnwindSafe(poll_fn(|context| Poll::Ready(evaluation.as_mut().poll(context))));
    once.catch_unwind().await.map_err(|_| LaneError::Panicked)
}

struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
