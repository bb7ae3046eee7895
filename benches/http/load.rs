//! Requests at a constant rate, whatever becomes of the earlier ones.
//!
//! A request's time begins when it was due. One that had to wait until an earlier one left a connection free has waited:
//! no answer is made to look quicker by asking less while the server is slow (coordinated omission).

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::clock::Clock;
use crate::connection::{Answered, Call, Connection};

/// An answer that takes longer is a failure.
const PATIENCE: Duration = Duration::from_secs(10);

/// What became of the requests of one run.
pub(crate) struct Run {
    /// Until the answer is whole, in nanoseconds.
    pub(crate) whole: Histogram<u64>,
    /// Until its first text.
    pub(crate) first: Histogram<u64>,
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    /// The first failure.
    pub(crate) failure: Option<io::Error>,
}

impl Run {
    fn new() -> Self {
        // From a microsecond to a minute, to three digits.
        let histogram = || Histogram::new_with_bounds(1_000, 60_000_000_000, 3).expect("bounds in their order");
        Self { whole: histogram(), first: histogram(), answered: 0, failed: 0, failure: None }
    }

    fn take(&mut self, due: Instant, answered: io::Result<Answered>) {
        let nanoseconds = |moment: Instant| u64::try_from((moment - due).as_nanos()).unwrap_or(u64::MAX);
        match answered {
            Ok(answered) => {
                self.answered += 1;
                self.whole.saturating_record(nanoseconds(answered.whole));
                self.first.saturating_record(nanoseconds(answered.first));
            }
            Err(error) => {
                self.failed += 1;
                self.failure.get_or_insert(error);
            }
        }
    }
}

/// Connections to one server.
pub(crate) struct Load {
    clock: Rc<Clock>,
    call: Rc<Call>,
    size: usize,
    idle: UnboundedReceiver<Connection>,
    back: UnboundedSender<Connection>,
}

impl Load {
    pub(crate) async fn open(clock: &Rc<Clock>, call: &Rc<Call>, connections: usize) -> io::Result<Self> {
        let (back, idle) = unbounded_channel();
        for _ in 0..connections {
            let _ = back.send(Connection::open(call.address).await?);
        }
        Ok(Self { clock: clock.clone(), call: call.clone(), size: connections, idle, back })
    }

    /// Asks `rate` times a second, for that long, and waits for the last answer.
    pub(crate) async fn run(&mut self, rate: u32, time: Duration) -> Run {
        let run = Rc::new(RefCell::new(Run::new()));
        let begin = Instant::now() + Duration::from_millis(1);
        let many = u64::from(rate) * u64::try_from(time.as_millis()).unwrap_or(u64::MAX) / 1_000;
        for number in 0..many {
            let due = begin + Duration::from_nanos(number * 1_000_000_000 / u64::from(rate));
            self.clock.until(due).await;
            let mut connection = self.idle().await;
            let (call, back, run) = (self.call.clone(), self.back.clone(), run.clone());
            tokio::task::spawn_local(async move {
                let answered = tokio::time::timeout(PATIENCE, connection.ask(&call)).await;
                let answered = answered.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
                if answered.is_err() {
                    connection = Connection::open(call.address).await.expect("the server accepts");
                }
                run.borrow_mut().take(due, answered);
                let _ = back.send(connection);
            });
        }
        for connection in self.all().await {
            let _ = self.back.send(connection);
        }
        // Whoever gave a connection back has left the figures.
        run.replace(Run::new())
    }

    async fn idle(&mut self) -> Connection {
        self.idle.recv().await.expect("this end holds a sender")
    }

    async fn all(&mut self) -> Vec<Connection> {
        let mut all = Vec::with_capacity(self.size);
        while all.len() < self.size {
            all.push(self.idle().await);
        }
        all
    }
}

/// Whether `text` is in `bytes`.
pub(crate) fn holds(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|at| at == text)
}
