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
    tenants: ByTenant<Mutex<()>>,
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
        Self { places: Arc::new(Semaphore::new(places)), patience, tenants: ByTenant::default() }
    }

    /// A place, when it is this tenant's turn.
    pub(crate) async fn turn(&self, tenant: &str) -> Result<Turn, Busy> {
        let turn = async {
            let of_tenant = self.tenants.of(tenant, Mutex::default).lock_owned().await;
            let place = self.places.clone().acquire_owned().await.map_err(|_| Busy)?;
            Ok(Turn { _place: place, _of_tenant: of_tenant })
        };
        tokio::time::timeout(self.patience, turn).await.unwrap_or(Err(Busy))
    }
}

/// Something that those of one tenant share, for as long as one of them has it.
#[derive(Debug)]
pub(crate) struct ByTenant<T>(StdMutex<HashMap<String, Weak<T>>>);

impl<T> Default for ByTenant<T> {
    fn default() -> Self {
        Self(StdMutex::default())
    }
}

impl<T> ByTenant<T> {
    /// What this tenant has, or the one that is made for it now.
    pub(crate) fn of(&self, tenant: &str, make: impl FnOnce() -> T) -> Arc<T> {
        let mut shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(its) = shared.get(tenant).and_then(Weak::upgrade) {
            return its;
        }
        shared.retain(|_, its| its.strong_count() > 0);
        let its = Arc::new(make());
        shared.insert(tenant.to_owned(), Arc::downgrade(&its));
        its
    }

    /// The tenants that are not forgotten yet.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap().len()
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
        assert_eq!(line.tenants.len(), 1, "who waits no longer is forgotten");
    }
}
