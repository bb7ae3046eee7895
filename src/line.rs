//! Waiting for a turn, so that one tenant's many do not keep another's one from it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex as StdMutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

/// So many places, and those who wait for one: of each tenant one at a time, behind whom its others stand.
#[derive(Debug)]
pub(crate) struct Line {
    places: Arc<Semaphore>,
    patience: Duration,
    tenants: StdMutex<HashMap<String, Weak<Mutex<()>>>>,
}

/// A place. It is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    _place: OwnedSemaphorePermit,
    _of_tenant: OwnedMutexGuard<()>,
}

/// No place was free in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Busy;

impl Line {
    /// One waits so long at most.
    pub(crate) fn new(places: usize, patience: Duration) -> Self {
        Self { places: Arc::new(Semaphore::new(places)), patience, tenants: StdMutex::default() }
    }

    /// A place, when it is this tenant's turn.
    pub(crate) async fn turn(&self, tenant: &str) -> Result<Turn, Busy> {
        let turn = async {
            let of_tenant = self.of(tenant).lock_owned().await;
            let place = self.places.clone().acquire_owned().await.map_err(|_| Busy)?;
            Ok(Turn { _place: place, _of_tenant: of_tenant })
        };
        tokio::time::timeout(self.patience, turn).await.unwrap_or(Err(Busy))
    }

    fn of(&self, tenant: &str) -> Arc<Mutex<()>> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waiting) = tenants.get(tenant).and_then(Weak::upgrade) {
            return waiting;
        }
        tenants.retain(|_, waiting| waiting.strong_count() > 0);
        let first = Arc::default();
        tenants.insert(tenant.to_owned(), Arc::downgrade(&first));
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn of_each_tenant_one_waits_for_a_place_and_the_others_for_that_one() {
        let line = Line::new(1, Duration::from_secs(20));
        let first = line.turn("greedy").await.unwrap();
        let mut greedy: Vec<_> = (0..20).map(|_| Box::pin(line.turn("greedy"))).collect();
        for waiting in &mut greedy {
            assert!(futures_util::poll!(waiting).is_pending());
        }
        let mut other = Box::pin(line.turn("other"));
        assert!(futures_util::poll!(&mut other).is_pending());
        drop(first);
        assert!(futures_util::poll!(&mut greedy[0]).is_pending(), "it is behind the other one");
        let std::task::Poll::Ready(Ok(turn)) = futures_util::poll!(&mut other) else { panic!("nobody is before it") };
        assert_eq!(line.turn("third").await.unwrap_err(), Busy, "after its time");
        drop((turn, greedy, other));
        drop(line.turn("third").await.unwrap());
        assert_eq!(line.tenants.lock().unwrap().len(), 1, "who waits no longer is forgotten");
    }
}
