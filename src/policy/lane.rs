//! The slow lane: where an evaluation goes that is still running at its second tick.
//!
//! Most evaluations end within a tick, on the thread that the request runs on, and pay no hop. Some meet one by chance: the
//! clock ticks whenever it does, and a processor may be taken away. One that lasts would take that thread from every other
//! request; it moves to a few threads of its own, where so many take turns as can be
//! done before their wall caps, and others wait in a bounded line. One of a policy that has outlasted two ticks every time
//! lately begins there.

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Future};
use tokio::runtime::Runtime;
use tokio_util::task::AbortOnDropHandle;

use super::places::{Place, Places};
use crate::config::Tenants;

/// Turns of up to a tick that an evaluation gets where it was started while nobody leaves the lane. The clock ticks
/// whenever it does: a quick evaluation may meet a tick, and must neither wait nor be refused for it.
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
    /// Those that take turns.
    places: Places,
    /// Those that wait to be one of them.
    line: Places,
}

/// Why a long evaluation has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaneError {
    /// All places are taken, and those in the line for them; or it waited there for as long as it might have run.
    Full,
    /// It was not done after the wall cap.
    Wall,
    /// It panicked.
    Panicked,
}

impl SlowLane {
    /// Starts the threads: half the cores, at least one, so that innocent requests keep the rest. At most so many
    /// evaluations are in the lane, of which `for_each_thread` take turns on each.
    pub fn start(most: usize, for_each_thread: usize, tenants: Tenants) -> std::io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let threads = (cores / 2).max(1);
        let places = most.min(threads * for_each_thread);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("policy-slow-lane")
            .on_thread_start(give_way)
            .enable_time()
            .build()?;
        let (places, line) = (Places::new(places, tenants), Places::new(most - places, tenants));
        Ok(Self { runtime: Some(runtime), places, line })
    }

    /// Runs `evaluation` where it was started; from its second pause on, in the lane.
    /// One whose policy has the habit of being long begins there.
    pub async fn run<T: Send + 'static>(
        &self,
        evaluation: BoxFuture<'static, T>,
        habit: &Arc<Habit>,
        tenant: &str,
        wall: Duration,
    ) -> Result<T, LaneError> {
        let mut evaluation = habit.clone().watch(evaluation);
        let mut place = if habit.is_long() { self.places.take(tenant) } else { None };
        let mut turns = 0;
        while place.is_none() {
            match turns {
                0 => {}
                1..=TURNS_WITHOUT_A_PLACE => tokio::task::yield_now().await,
                _ => return Err(LaneError::Full),
            }
            if let Poll::Ready(done) = turn(&mut evaluation).await? {
                return Ok(done);
            }
            turns += 1;
            // How long it is shows at the second tick; most end before.
            if turns == 1 {
                continue;
            }
            place = self.places.take(tenant);
            if place.is_none() && (turns > TURNS_WITHOUT_A_PLACE || habit.is_long()) {
                place = self.wait(tenant, wall).await?;
            }
        }
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
        match AbortOnDropHandle::new(running).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(_)) => Err(LaneError::Wall),
            Err(_) => Err(LaneError::Panicked),
        }
    }

    /// Stands in the line for a place, for no longer than `wall`. `None`: the line is too long already.
    async fn wait(&self, tenant: &str, wall: Duration) -> Result<Option<Place>, LaneError> {
        let Some(_in_line) = self.line.take(tenant) else { return Ok(None) };
        tokio::time::timeout(wall, self.places.wait(tenant)).await.map_err(|_| LaneError::Full)
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

#[cfg(test)]
mod tests {
    use super::*;

    const WALL: Duration = Duration::from_secs(60);

    /// A lane in which so many take turns and so many wait.
    fn lane(places: usize, in_line: usize) -> SlowLane {
        let mut lane = SlowLane::start(0, 0, Tenants::Known).unwrap();
        (lane.places, lane.line) = (Places::new(places, Tenants::Known), Places::new(in_line, Tenants::Known));
        lane
    }

    fn is_in_lane() -> bool {
        std::thread::current().name() == Some("policy-slow-lane")
    }

    /// One that pauses so often; it gives whether it began in the lane.
    fn pausing(pauses: usize) -> BoxFuture<'static, bool> {
        Box::pin(async move {
            let began_in_lane = is_in_lane();
            for _ in 0..pauses {
                tokio::task::yield_now().await;
            }
            began_in_lane
        })
    }

    async fn run(lane: &SlowLane, habit: &Arc<Habit>, pauses: usize) -> bool {
        lane.run(pausing(pauses), habit, "tenant", WALL).await.unwrap()
    }

    #[tokio::test]
    async fn an_evaluation_begins_in_the_lane_while_its_policy_is_long_every_time() {
        let (lane, habit) = (lane(2, 0), Arc::default());
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
    async fn one_that_meets_a_tick_stays_where_it_is_until_the_next() {
        let lane = lane(2, 0);
        let evaluation = Box::pin(async {
            tokio::task::yield_now().await;
            let after_the_first = is_in_lane();
            tokio::task::yield_now().await;
            (after_the_first, is_in_lane())
        });
        assert_eq!(lane.run(evaluation, &Arc::default(), "tenant", WALL).await, Ok((false, true)));
    }

    #[tokio::test]
    async fn without_a_place_one_with_the_habit_gets_its_turns_where_it_is() {
        let (lane, habit) = (lane(0, 0), Arc::new(Habit(AtomicU8::new(LONG_IN_A_ROW))));
        assert!(!run(&lane, &habit, TURNS_WITHOUT_A_PLACE).await);
        let longer = lane.run(Box::pin(std::future::pending::<()>()), &habit, "tenant", WALL).await;
        assert_eq!(longer, Err(LaneError::Full));
    }

    #[test]
    fn so_many_take_turns_as_can_be_done_before_their_wall_caps_and_the_rest_wait() {
        let threads = (std::thread::available_parallelism().unwrap().get() / 2).max(1);
        for (most, taking_turns) in [(1, 1), (4 * threads, 4 * threads), (100 * threads, 10 * threads)] {
            let lane = SlowLane::start(most, 10, Tenants::Claimed).unwrap();
            let count = |places: &Places| std::iter::from_fn(|| places.take("tenant")).collect::<Vec<_>>().len();
            assert_eq!((count(&lane.places), count(&lane.line)), (taking_turns, most - taking_turns));
        }
    }

    /// What must not be refused as the policy's failure: nobody has judged it.
    #[tokio::test(start_paused = true)]
    async fn who_has_waited_for_as_long_as_it_might_have_run_is_told_that_the_lane_is_full() {
        let (lane, habit) = (lane(1, 1), Arc::new(Habit::default()));
        let place = lane.places.take("tenant").unwrap();
        let waiting = lane.run(pausing(9), &habit, "tenant", WALL);
        assert_eq!(waiting.await, Err(LaneError::Full));
        let mut waiting = Box::pin(lane.run(pausing(9), &habit, "tenant", WALL));
        let mut beyond = Box::pin(lane.run(pausing(9), &habit, "tenant", WALL));
        while lane.line.take("tenant").is_some() {
            assert!(futures_util::poll!(&mut waiting).is_pending());
        }
        assert_eq!(beyond.as_mut().await, Err(LaneError::Full), "the line is full, too");
        assert!(!run(&lane, &habit, TURNS_WITHOUT_A_PLACE).await, "a quick one needs no place");
        drop(place);
        assert_eq!(waiting.await, Ok(false), "its turn has come");
    }

    #[tokio::test]
    async fn a_tenant_that_fills_its_part_of_the_lane_leaves_places_to_others() {
        let (lane, habit) = (lane(4, 0), Arc::new(Habit::default()));
        let greedy: Vec<_> = std::iter::from_fn(|| lane.places.take("greedy")).collect();
        assert_eq!(greedy.len(), 3);
        assert_eq!(lane.run(pausing(9), &habit, "greedy", WALL).await, Err(LaneError::Full));
        assert_eq!(lane.run(pausing(9), &habit, "other", WALL).await, Ok(false));
    }
}
