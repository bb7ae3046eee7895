//! Work that its caller may leave and that must not end with it.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::GatewayError;

/// Runs `work` where it is awaited, for as long as it is; if it is dropped before its end, the rest in a task of its own.
/// So nearly all work needs no task, and none is lost. Who waits for `tasks` waits for it, wherever it runs; once they are
/// closed no work begins.
pub(super) fn to_its_end<F>(tasks: &TaskTracker, work: F) -> Result<ToItsEnd<F>, GatewayError>
where
    F: Future<Output: Send> + Send + 'static,
{
    if tasks.is_closed() {
        return Err(GatewayError::ShuttingDown);
    }
    Ok(ToItsEnd { work: Some(Box::pin(work)), _token: tasks.token(), tasks: tasks.clone() })
}

/// See [`to_its_end`].
pub(super) struct ToItsEnd<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    /// `None` once it has ended, be it by a panic.
    work: Option<Pin<Box<F>>>,
    _token: TaskTrackerToken,
    tasks: TaskTracker,
}

impl<F> Future for ToItsEnd<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        // Taken out, so that what panics is not run again.
        let Some(mut work) = self.work.take() else { return Poll::Pending };
        let polled = work.as_mut().poll(context);
        if polled.is_pending() {
            self.work = Some(work);
        }
        polled
    }
}

impl<F> Drop for ToItsEnd<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    fn drop(&mut self) {
        // Without a runtime the process is at its end.
        if let Some((work, runtime)) = self.work.take().zip(Handle::try_current().ok()) {
            self.tasks.spawn_on(work, &runtime);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::AssertUnwindSafe;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::FutureExt as _;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn what_is_left_goes_on_from_where_it_was_and_is_waited_for() {
        let (tasks, steps) = (TaskTracker::new(), Arc::new(AtomicUsize::new(0)));
        let ((go_on, may_go_on), counted) = (oneshot::channel::<()>(), steps.clone());
        let mut work = Box::pin(
            to_its_end(&tasks, async move {
                counted.fetch_add(1, Ordering::SeqCst);
                may_go_on.await.unwrap();
                counted.fetch_add(1, Ordering::SeqCst);
            })
            .unwrap(),
        );
        assert!(futures_util::poll!(&mut work).is_pending());
        tasks.close();
        drop(work);
        tokio::task::yield_now().await;
        assert!(tasks.wait().now_or_never().is_none(), "it still runs");
        go_on.send(()).unwrap();
        tasks.wait().await;
        assert_eq!(steps.load(Ordering::SeqCst), 2, "each step once");
    }

    #[tokio::test]
    async fn while_it_is_awaited_it_has_no_task_and_is_waited_for() {
        let tasks = TaskTracker::new();
        let own = tokio::task::try_id();
        let work = to_its_end(&tasks, async { tokio::task::try_id() }).unwrap();
        tasks.close();
        assert!(matches!(to_its_end(&tasks, async {}), Err(GatewayError::ShuttingDown)));
        assert!(tasks.wait().now_or_never().is_none());
        assert_eq!(work.await, own);
        tasks.wait().await;
    }

    #[tokio::test]
    async fn what_panics_has_ended() {
        let tasks = TaskTracker::new();
        let work = to_its_end(&tasks, async { panic!("once") }).unwrap();
        assert!(AssertUnwindSafe(work).catch_unwind().await.is_err());
        tasks.close();
        tasks.wait().await;
    }
}
