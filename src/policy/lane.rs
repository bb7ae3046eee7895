//! The slow lane: where an evaluation goes that is still running at its first tick.
//!
//! Most evaluations end within a tick, on the thread that the request runs on, and pay no hop. One that does not would
//! take that thread from every other request; it moves to a few threads of its own, behind a bounded queue. One of a
//! policy that has outlasted two ticks every time lately begins there.

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Future};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

/// Turns of up to a tick that an evaluation gets where it was started while the lane is full. The clock ticks whenever it
/// does: a quick evaluation may meet a tick, and must not be refused for it.
const TURNS_WITHOUT_A_PLACE: usize = 3;

/// Long evaluations of a policy in a row, after which the next begins in the lane. Among innocents a spinning request
/// seldom makes as many: a quick one starts the count anew.
const LONG_IN_A_ROW: u8 = 4;

/// The priority of the lane's threads, as `nice` has it: innocent requests need a moment of a processor, and a spinning
/// policy takes all there is. Lower still, and long evaluations would starve on a busy machine.
const NICE: i32 = 10;

/// How long a policy's evaluations were lately.
#[derive(Debug, Default)]
pub struct Habit(AtomicU8);

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
            .on_thread_start(give_way)
            .enable_time()
            .build()?;
        Ok(Self { runtime: Some(runtime), places: Arc::new(Semaphore::new(places)) })
    }

    /// Runs `evaluation` where it was started; from its first pause on, in the lane. One whose policy has the habit of
    /// being long begins there.
    pub async fn run<T: Send + 'static>(
        &self,
        evaluation: BoxFuture<'static, T>,
        habit: &Arc<Habit>,
        wall: Duration,
    ) -> Result<T, LaneError> {
        let mut evaluation = habit.clone().watch(evaluation);
        let mut place = if habit.is_long() { self.places.clone().try_acquire_owned().ok() } else { None };
        if place.is_none() {
            if let Poll::Ready(done) = turn(&mut evaluation).await? {
                return Ok(done);
            }
            place = self.places.clone().try_acquire_owned().ok();
        }
        for _ in 0..TURNS_WITHOUT_A_PLACE {
            if place.is_some() {
                break;
            }
            tokio::task::yield_now().await;
            if let Poll::Ready(done) = turn(&mut evaluation).await? {
                return Ok(done);
            }
            place = self.places.clone().try_acquire_owned().ok();
        }
        let place = place.ok_or(LaneError::Full)?;
        let Some(runtime) = &self.runtime else { return Err(LaneError::Full) };
        let running = runtime.spawn(async move {
            let turns = poll_fn(|context| {
                let polled = evaluation.poll_unpin(context);
                if polled.is_pending() {
                    // Whoever else waits for this processor gets it now, and not when the system's slice ends.
                    std::thread::yield_now();
                }
                polled
            });
            let done = tokio::time::timeout(wall, turns).await;
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

impl Habit {
    fn is_long(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= LONG_IN_A_ROW
    }

    /// The same evaluation, whose turns are counted: it pauses at each tick, and is long when it does so twice.
    fn watch<T>(
        self: Arc<Self>,
        mut evaluation: BoxFuture<'static, T>,
    ) -> impl Future<Output = T> + Send + Unpin + use<T> {
        let mut turns = 0_u64;
        poll_fn(move |context| {
            let polled = evaluation.as_mut().poll(context);
            turns += 1;
            match &polled {
                // Calls that meet here may lose a count; it is a habit that is looked for.
                Poll::Pending if turns == 2 => {
                    self.0.store(self.0.load(Ordering::Relaxed).saturating_add(1), Ordering::Relaxed);
                }
                Poll::Ready(_) if turns <= 2 => self.0.store(0, Ordering::Relaxed),
                Poll::Ready(_) | Poll::Pending => {}
            }
            polled
        })
    }
}

/// The system prefers other threads to this one.
fn give_way() {
    // On Linux a priority is a thread's own. Lowering it is always allowed; where it is not, nothing is lost.
    let _ = rustix::process::setpriority_process(None, NICE);
}

impl Drop for SlowLane {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Lets it run until it ends or pauses.
async fn turn<T>(evaluation: &mut (impl Future<Output = T> + Unpin)) -> Result<Poll<T>, LaneError> {
    let once = AssertUnwindSafe(poll_fn(|context| Poll::Ready(evaluation.poll_unpin(context))));
    once.catch_unwind().await.map_err(|_| LaneError::Panicked)
}

struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs one that pauses so often; whether it began in the lane.
    async fn run(lane: &SlowLane, habit: &Arc<Habit>, pauses: usize) -> bool {
        let evaluation = Box::pin(async move {
            let began_in_lane = std::thread::current().name() == Some("policy-slow-lane");
            for _ in 0..pauses {
                tokio::task::yield_now().await;
            }
            began_in_lane
        });
        lane.run(evaluation, habit, Duration::from_secs(60)).await.unwrap()
    }

    #[tokio::test]
    async fn an_evaluation_begins_in_the_lane_while_its_policy_is_long_every_time() {
        let (lane, habit) = (SlowLane::start(2).unwrap(), Arc::default());
        for _ in 1..LONG_IN_A_ROW {
            assert!(!run(&lane, &habit, 9).await);
        }
        assert!(!run(&lane, &habit, 1).await, "one tick is no habit, and ends one");
        for _ in 0..LONG_IN_A_ROW {
            assert!(!run(&lane, &habit, 2).await);
        }
        assert!(run(&lane, &habit, 9).await);
        assert!(run(&lane, &habit, 0).await);
        assert!(!run(&lane, &habit, 0).await, "a quick one ends it there too");
    }

    #[tokio::test]
    async fn without_a_place_one_with_the_habit_gets_its_turns_where_it_is() {
        let (lane, habit) = (SlowLane::start(0).unwrap(), Arc::new(Habit(AtomicU8::new(LONG_IN_A_ROW))));
        assert!(!run(&lane, &habit, TURNS_WITHOUT_A_PLACE).await);
        let longer = lane.run(Box::pin(std::future::pending::<()>()), &habit, Duration::from_secs(60)).await;
        assert_eq!(longer, Err(LaneError::Full));
    }
}
