//! Places for a bounded number at one time. Where tenants are known, the last quarter is kept from each of them for the others.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Tenants;
use crate::line::ByTenant;

/// So many places.
#[derive(Debug)]
pub(super) struct Places {
    all: Arc<Semaphore>,
    /// See [`part`](Self::part).
    part: usize,
    tenants: Tenants,
    parts: ByTenant<Semaphore>,
}

/// A place. It is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    _place: OwnedSemaphorePermit,
    _of_tenant: Option<OwnedSemaphorePermit>,
}

impl Places {
    pub(super) fn new(places: usize, tenants: Tenants) -> Self {
        let part = match tenants {
            Tenants::Known => places - places / 4,
            Tenants::Claimed => places,
        };
        Self { all: Arc::new(Semaphore::new(places)), part, tenants, parts: ByTenant::default() }
    }

    /// How many one tenant may have.
    pub(super) fn part(&self) -> usize {
        self.part
    }

    /// How many there must be for one tenant to have so many.
    pub(super) fn for_part(&self, part: usize) -> usize {
        match self.tenants {
            Tenants::Known => part + part.saturating_sub(1) / 3,
            Tenants::Claimed => part,
        }
    }

    /// A place, if this tenant can have one now.
    pub(super) fn take(&self, tenant: &str) -> Option<Place> {
        let of_tenant = self.part_of(tenant).map(Semaphore::try_acquire_owned).transpose().ok()?;
        let place = self.all.clone().try_acquire_owned().ok()?;
        Some(Place { _place: place, _of_tenant: of_tenant })
    }

    /// A place, when it is this tenant's turn. Those of one tenant that is at its bound wait behind each other, and
    /// before nobody else.
    pub(super) async fn wait(&self, tenant: &str) -> Option<Place> {
        let of_tenant = match self.part_of(tenant) {
            Some(part) => Some(part.acquire_owned().await.ok()?),
            None => None,
        };
        let place = self.all.clone().acquire_owned().await.ok()?;
        Some(Place { _place: place, _of_tenant: of_tenant })
    }

    fn part_of(&self, tenant: &str) -> Option<Arc<Semaphore>> {
        (self.tenants == Tenants::Known).then(|| self.parts.of(tenant, || Semaphore::new(self.part)))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::poll;

    use super::*;

    #[test]
    fn the_last_quarter_is_kept_from_each_tenant_that_is_known() {
        for (tenants, places, expected) in
            [(Tenants::Known, 1, 1), (Tenants::Known, 3, 3), (Tenants::Known, 8, 6), (Tenants::Claimed, 8, 8)]
        {
            let all = Places::new(places, tenants);
            let greedy: Vec<_> = std::iter::from_fn(|| all.take("greedy")).collect();
            assert_eq!((greedy.len(), all.part()), (expected, expected), "{places} {tenants:?}");
            let others: Vec<_> = std::iter::from_fn(|| all.take("other")).collect();
            assert_eq!(others.len(), places - expected, "{places} {tenants:?}");
            drop((greedy, others));
            assert!(all.take("third").is_some());
            assert!(all.parts.len() <= 1, "who has none is forgotten");
        }
    }

    #[test]
    fn so_many_places_as_are_needed_are_enough_and_one_less_is_not() {
        for tenants in [Tenants::Known, Tenants::Claimed] {
            for part in 1..50 {
                let needed = Places::new(1, tenants).for_part(part);
                assert_eq!(Places::new(needed, tenants).part(), part);
                assert_eq!(Places::new(needed - 1, tenants).part(), part - 1, "{part} {tenants:?}");
            }
        }
    }

    #[tokio::test]
    async fn who_waits_for_its_own_tenants_places_keeps_no_other_from_the_rest() {
        let all = Places::new(4, Tenants::Known);
        let mut greedy: Vec<_> = std::iter::from_fn(|| all.take("greedy")).collect();
        let mut waiting = Box::pin(all.wait("greedy"));
        assert!(poll!(&mut waiting).is_pending());
        let mut other = Box::pin(all.wait("other"));
        assert!(poll!(&mut other).is_ready());
        greedy.pop();
        assert!(poll!(&mut waiting).is_ready());
    }
}
