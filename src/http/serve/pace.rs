//! How fast a client has to take what waits for it.
//!
//! What is written keeps its room among the bytes in flight, and a client that takes a byte now and then would keep it for
//! as long as it likes. Only while something waits is there a pace: a stream that has little to say is not slow.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// Bytes that a client takes within the time-out at least, of what waits without a break: with two minutes 4 KiB a second,
/// less than a telephone has at the edge of its network.
const LEAST: usize = 512 << 10;

/// A stream whose other end must keep the pace.
pub(super) struct Paced<S> {
    stream: S,
    timeout: Duration,
    /// Since something waits.
    waiting: Option<Waiting>,
}

struct Waiting {
    until: Pin<Box<Sleep>>,
    taken: usize,
}

impl<S> Paced<S> {
    pub(super) fn new(stream: S, timeout: Duration) -> Self {
        Self { stream, timeout, waiting: None }
    }

    /// What became of a write, unless the other end is too slow.
    fn in_time(&mut self, context: &mut Context<'_>, wrote: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let (Poll::Ready(Ok(bytes)), Some(waiting)) = (&wrote, &mut self.waiting) {
            waiting.taken += bytes;
        }
        if wrote.is_ready() {
            return wrote;
        }
        loop {
            let timeout = self.timeout;
            let waiting = self.waiting.get_or_insert_with(|| Waiting { until: Box::pin(sleep(timeout)), taken: 0 });
            if waiting.until.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            if waiting.taken < LEAST {
                return Poll::Ready(Err(io::Error::new(ErrorKind::TimedOut, "the client takes its answer too slowly")));
            }
            self.waiting = None;
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.in_time(context, wrote)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.in_time(context, wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Comes when all that there was to write is written.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.waiting = None;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(120);

    /// Sends messages of this size to one who takes so many bytes a second; how it ends.
    async fn sent(messages: usize, size: usize, bytes_per_second: usize) -> io::Result<()> {
        let (ours, mut theirs) = duplex(16 << 10);
        let reader = tokio::spawn(async move {
            let mut piece = vec![0; bytes_per_second];
            while theirs.read_exact(&mut piece).await.is_ok() {
                sleep(Duration::from_secs(1)).await;
            }
        });
        let mut paced = Paced::new(ours, TIMEOUT);
        for _ in 0..messages {
            paced.write_all(&vec![0; size]).await?;
            paced.flush().await?;
        }
        drop(paced);
        reader.await.map_err(io::Error::other)
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_taken_at_a_pace() {
        for (messages, size, bytes_per_second, in_time) in [
            (1, 4 << 20, 8 << 10, true),
            (1, 4 << 20, 1 << 10, false),
            // Little to say is said in time, however slowly it is taken and however long that lasts.
            (1_000, 2 << 10, 1 << 10, true),
            (1, 64 << 10, 1 << 10, true),
        ] {
            let sent = sent(messages, size, bytes_per_second).await;
            assert_eq!(sent.is_ok(), in_time, "{messages} of {size} at {bytes_per_second}: {sent:?}");
        }
    }
}
