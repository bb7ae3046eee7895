//! Moments, to the microsecond.
//!
//! The runtime's own timers are good to a millisecond, which is more than what is measured. So whoever waits is woken by
//! a task that looks at the time again and again: on a core of its own that disturbs nobody.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Instant;

use tokio::sync::{Notify, oneshot};

/// Who waits for which moment.
#[derive(Default)]
pub(crate) struct Clock {
    waiting: RefCell<BTreeMap<(Instant, u64), oneshot::Sender<()>>>,
    waited: Cell<u64>,
    somebody: Notify,
}

impl Clock {
    /// Starts the task. It rests while nobody waits.
    pub(crate) fn start() -> Rc<Self> {
        let clock = Rc::new(Self::default());
        tokio::task::spawn_local({
            let clock = clock.clone();
            async move { clock.run().await }
        });
        clock
    }

    /// Returns at that moment, at once if it is over.
    pub(crate) async fn until(&self, moment: Instant) {
        if moment <= Instant::now() {
            return;
        }
        let (wake, woken) = oneshot::channel();
        self.waited.set(self.waited.get() + 1);
        self.waiting.borrow_mut().insert((moment, self.waited.get()), wake);
        self.somebody.notify_one();
        // The task ends with the runtime, and who waits for it too.
        let _ = woken.await;
    }

    async fn run(&self) {
        loop {
            if self.waiting.borrow().is_empty() {
                self.somebody.notified().await;
            }
            self.wake(Instant::now());
            // Sockets are looked at before it is this task's turn again.
            tokio::task::yield_now().await;
        }
    }

    fn wake(&self, now: Instant) {
        let mut waiting = self.waiting.borrow_mut();
        while let Some(first) = waiting.first_entry()
            && first.key().0 <= now
        {
            let _ = first.remove().send(());
        }
    }
}
