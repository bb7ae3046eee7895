//! The log's lines on their way to standard error.
//!
//! Whoever logs never waits and never fails: a line goes into a bounded queue, and one thread writes. What reads the log
//! may be gone, slow or asleep, and the disk may be full; then lines are dropped and counted, and the gateway goes on.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// Bytes that wait at most: some seconds of a talkative log.
const MOST_QUEUED: usize = 4 << 20;
/// How long the end of the process waits for what was logged last.
const LAST_LINES: Duration = Duration::from_secs(1);
/// How long a pipe that is full is left alone.
const FULL_PIPE: Duration = Duration::from_millis(10);

/// Where lines are put. Clones share the queue.
#[derive(Clone)]
pub(super) struct Lines(Arc<Shared>);

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// Something came, or something was written.
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    lines: VecDeque<Vec<u8>>,
    /// Bytes in `lines`.
    bytes: usize,
    /// Whether a line was taken out that is not written yet.
    writing: bool,
    /// Lines that were not written, and that nobody was told of.
    dropped: u64,
}

impl Lines {
    /// Starts the thread that writes.
    pub(super) fn start(out: impl Write + Send + 'static) -> io::Result<Self> {
        let lines = Self(Arc::default());
        let writer = lines.clone();
        thread::Builder::new().name("log-writer".into()).spawn(move || writer.write_all(out))?;
        Ok(lines)
    }

    /// Queues a line, or drops it.
    pub(super) fn put(&self, line: &[u8]) {
        let mut queue = self.queue();
        if queue.bytes.saturating_add(line.len()) > MOST_QUEUED {
            queue.drop_one();
            return;
        }
        queue.bytes += line.len();
        queue.lines.push_back(line.to_vec());
        drop(queue);
        self.0.changed.notify_all();
    }

    /// Waits until everything is written, but not for long.
    pub(super) fn flush(&self) {
        let waits = |queue: &mut Queue| queue.writing || !queue.lines.is_empty();
        // Whether it was in time makes no difference: there is nobody to tell.
        drop(self.0.changed.wait_timeout_while(self.queue(), LAST_LINES, waits));
    }

    fn write_all(&self, mut out: impl Write) {
        let mut torn = false;
        loop {
            let line = self.next();
            let written = write_line(&mut out, &line, &mut torn);
            let untold = {
                let mut queue = self.queue();
                queue.writing = false;
                if written {
                    std::mem::take(&mut queue.dropped)
                } else {
                    queue.drop_one();
                    0
                }
            };
            if untold > 0 {
                // It comes back to this queue as a line of its own.
                tracing::warn!(lines = untold, "lines of the log were dropped: nobody took them");
            }
            self.0.changed.notify_all();
        }
    }

    /// The next line, which is being written from now on.
    fn next(&self) -> Vec<u8> {
        let is_empty = |queue: &mut Queue| queue.lines.is_empty();
        let waited = self.0.changed.wait_while(self.queue(), is_empty);
        let mut queue = waited.unwrap_or_else(PoisonError::into_inner);
        let line = queue.lines.pop_front().unwrap_or_default();
        queue.bytes -= line.len();
        queue.writing = true;
        line
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes a line to its end, and says whether it got there. One that did not is `torn`: the next begins on a line of its
/// own.
fn write_line(out: &mut impl Write, line: &[u8], torn: &mut bool) -> bool {
    let end_of_torn: &[u8] = if *torn { b"\n" } else { b"" };
    for piece in [end_of_torn, line] {
        let mut left = piece;
        while !left.is_empty() {
            match out.write(left) {
                Ok(written @ 1..) => {
                    left = left.get(written..).unwrap_or_default();
                    *torn = true;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Somebody made standard error non-blocking, and whoever reads it is slow.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(FULL_PIPE),
                Ok(0) | Err(_) => return false,
            }
        }
        *torn = false;
    }
    true
}

impl Queue {
    fn drop_one(&mut self) {
        self.dropped += 1;
        metrics::counter!("octroi_log_lines_dropped_total").increment(1);
    }
}

/// `tracing-subscriber` writes each event in one piece.
impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Takes nothing until it is told to, and shows what it took.
    struct Reader {
        awake: Receiver<io::Result<()>>,
        took: Sender<Vec<u8>>,
    }

    impl Write for Reader {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            if let Ok(answer) = self.awake.recv() {
                answer?;
            }
            let _ = self.took.send(line.to_vec());
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn asleep() -> (Lines, Sender<io::Result<()>>, Receiver<Vec<u8>>) {
        let (wake, awake) = channel();
        let (took, taken) = channel();
        (Lines::start(Reader { awake, took }).unwrap(), wake, taken)
    }

    #[test]
    fn nobody_waits_for_a_reader_that_sleeps_and_what_does_not_fit_is_counted() {
        let (lines, wake, taken) = asleep();
        let line = vec![b'-'; MOST_QUEUED / 4];
        for _ in 0..10 {
            lines.put(&line);
        }
        // One may be on its way out, and four wait.
        let dropped = lines.queue().dropped;
        assert!((5..=6).contains(&dropped), "{dropped}");
        drop(wake);
        lines.flush();
        assert_eq!(taken.try_iter().count() as u64, 10 - dropped);
        assert_eq!(lines.queue().dropped, 0, "the log says so itself");
        lines.put(b"more");
        lines.flush();
        assert_eq!(taken.try_iter().last().unwrap(), b"more");
    }

    #[test]
    fn a_line_that_cannot_be_written_is_dropped_and_the_next_one_is_tried() {
        let (lines, wake, taken) = asleep();
        wake.send(Err(io::ErrorKind::StorageFull.into())).unwrap();
        lines.put(b"one");
        lines.flush();
        assert_eq!(lines.queue().dropped, 1);
        drop(wake);
        lines.put(b"two");
        lines.flush();
        assert_eq!(taken.try_iter().next().unwrap(), b"two");
    }

    /// Takes some bytes, and then fails in this way.
    struct Narrow<'a> {
        takes: &'a [Result<usize, io::ErrorKind>],
        took: Vec<u8>,
    }

    impl Write for Narrow<'_> {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            let Some((takes, rest)) = self.takes.split_first() else { return Err(io::ErrorKind::BrokenPipe.into()) };
            self.takes = rest;
            let takes = (*takes)?.min(line.len());
            self.took.extend_from_slice(&line[..takes]);
            Ok(takes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_is_written_to_its_end_and_one_that_was_torn_spoils_no_other() {
        use io::ErrorKind::{Interrupted, StorageFull, WouldBlock};
        let takes =
            [Ok(2), Err(WouldBlock), Err(Interrupted), Ok(9), Ok(1), Err(StorageFull), Err(StorageFull), Ok(1), Ok(9)];
        let mut out = Narrow { takes: &takes, took: Vec::new() };
        let mut torn = false;
        let written: Vec<_> =
            [b"one\n", b"two\n", b"six\n", b"ten\n"].map(|line| write_line(&mut out, line, &mut torn)).into();
        assert_eq!((written, torn), (vec![true, false, false, true], false));
        assert_eq!(out.took, b"one\nt\nten\n");
    }

    #[test]
    fn the_end_does_not_wait_for_a_reader_that_never_wakes() {
        let (lines, _wake, taken) = asleep();
        lines.put(b"last words");
        lines.flush();
        assert!(taken.try_recv().is_err());
    }
}
