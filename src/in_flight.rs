//! Bytes of requests and answers that are in memory at one time: counted over all of them, and bounded.
//!
//! Single bounds (on a body, on an answer, on connections) multiply to more memory than any machine has. This one says
//! when the next byte is too many, while there is still memory to say so with. The last quarter of the room is for tenants
//! that hold little: no tenant alone takes it from the others.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// The bytes that all requests and answers may hold together. Clones share one count.
#[derive(Clone)]
pub struct InFlight(Arc<Count>);

struct Count {
    most: usize,
    held: AtomicUsize,
    /// What each tenant holds. They are those of the configuration, and stay.
    tenants: Mutex<HashMap<String, Tenant>>,
}

/// The bytes that one tenant holds.
type Tenant = Arc<AtomicUsize>;

/// Where what a tenant holds is counted.
#[derive(Clone)]
struct Account {
    tenant: Tenant,
    /// What is held for one request: by itself, and by all that comes of it.
    request: Arc<AtomicUsize>,
}

tokio::task_local! {
    /// The account of the request that is under way.
    static CHARGED: Option<Account>;
}

/// There is no room for more bytes now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// For nobody.
    #[error(
        "requests and answers in flight hold as much memory as they may (server.max_bytes_in_flight); try again shortly"
    )]
    All,
    /// For a tenant that holds much already.
    #[error(
        "requests and answers in flight leave room for those tenants alone that hold little of it \
         (server.max_bytes_in_flight); try again shortly"
    )]
    Tenant,
}

/// What one request or answer holds. It is given back when the last clone is dropped.
#[derive(Clone)]
pub struct Held(Arc<Share>);

struct Share {
    of: InFlight,
    bytes: AtomicUsize,
    account: OnceLock<Account>,
}

impl InFlight {
    /// Room for so many bytes.
    pub fn new(most: usize) -> Self {
        Self(Arc::new(Count { most, held: AtomicUsize::new(0), tenants: Mutex::default() }))
    }

    /// Begins with nothing. It counts as part of the request that is under way, if one is [`charged`].
    pub fn hold(&self) -> Held {
        let account = CHARGED.try_with(Clone::clone).ok().flatten();
        let account = account.map_or_else(OnceLock::new, OnceLock::from);
        Held(Arc::new(Share { of: self.clone(), bytes: AtomicUsize::new(0), account }))
    }

    /// Bytes that are held now.
    pub fn held(&self) -> usize {
        self.0.held.load(Ordering::Relaxed)
    }
}

impl Default for InFlight {
    /// 512 MiB.
    fn default() -> Self {
        Self::new(512 << 20)
    }
}

/// The same work. What begins to be held on its way counts as part of the request that is `held`, and as its tenant's.
pub fn charged<F: Future>(held: Option<&Held>, work: F) -> impl Future<Output = F::Output> + use<F> {
    CHARGED.scope(held.and_then(|held| held.0.account.get().cloned()), work)
}

impl Held {
    /// Makes it this tenant's. Whoever could make up tenants must not come here: each may have a part of what is left.
    pub fn belongs_to(&self, tenant: &str) {
        let mut tenants = self.0.of.0.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        let tenant = match tenants.get(tenant) {
            Some(known) => known.clone(),
            None => tenants.entry(tenant.to_owned()).or_default().clone(),
        };
        drop(tenants);
        let account = Account { tenant, request: Arc::default() };
        if self.0.account.set(account.clone()).is_ok() {
            account.add(self.0.bytes.load(Ordering::Relaxed));
        }
    }

    /// Takes room for more bytes, if there is any.
    pub fn add(&self, bytes: usize) -> Result<(), Full> {
        let Count { most, held, .. } = &*self.0.of.0;
        let account = self.0.account.get();
        // Counted before it is looked at: of two at once at least one sees both.
        let (of_tenant, of_request) = account.map_or((0, 0), |account| account.add(bytes));
        let has_part = of_tenant <= most / 8;
        // Numbers are all that is shared: nothing else has to be seen in order.
        let fits = |now: usize| {
            let sum = now.checked_add(bytes)?;
            // Of a request that is alone nothing is kept free: it would be refused for ever.
            let bound = if has_part || sum <= of_request { *most } else { most - most / 4 };
            (sum <= bound).then_some(sum)
        };
        if held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_err() {
            if let Some(account) = account {
                account.subtract(bytes);
            }
            return Err(if has_part { Full::All } else { Full::Tenant });
        }
        self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Gives back what is held beyond so many bytes.
    pub fn settle(&self, bytes: usize) {
        let before = self.0.bytes.fetch_min(bytes, Ordering::Relaxed);
        self.0.give_back(before.saturating_sub(bytes));
    }

    /// Takes over what the other one holds.
    pub fn absorb(&self, other: &Self) {
        let bytes = other.0.bytes.swap(0, Ordering::Relaxed);
        if let Some(account) = other.0.account.get() {
            account.subtract(bytes);
        }
        if let Some(account) = self.0.account.get() {
            account.add(bytes);
        }
        self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Share {
    fn give_back(&self, bytes: usize) {
        self.of.0.held.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(account) = self.account.get() {
            account.subtract(bytes);
        }
    }
}

impl Account {
    /// What tenant and request hold with these.
    fn add(&self, bytes: usize) -> (usize, usize) {
        let add = |count: &AtomicUsize| count.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        (add(&self.tenant), add(&self.request))
    }

    fn subtract(&self, bytes: usize) {
        self.tenant.fetch_sub(bytes, Ordering::Relaxed);
        self.request.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give_back(self.bytes.load(Ordering::Relaxed));
    }
}

impl fmt::Debug for InFlight {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("InFlight").field("most", &self.0.most).field("held", &self.held()).finish()
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Held({})", self.0.bytes.load(Ordering::Relaxed))
    }
}

/// Room is no part of what an answer says: answers are equal whatever they hold.
impl PartialEq for Held {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_shared_and_given_back() {
        let in_flight = InFlight::new(10);
        let (one, other) = (in_flight.hold(), in_flight.hold());
        assert_eq!(one.add(6), Ok(()));
        assert_eq!(other.add(5), Err(Full::All));
        assert_eq!(other.add(4), Ok(()));
        assert_eq!(in_flight.held(), 10);
        let still = one.clone();
        drop(one);
        assert_eq!(in_flight.held(), 10, "a clone holds it still");
        drop(still);
        assert_eq!((in_flight.held(), other.add(6)), (4, Ok(())));
        assert_eq!(other.add(usize::MAX), Err(Full::All));
    }

    #[test]
    fn room_changes_hands() {
        let in_flight = InFlight::new(10);
        let (one, other) = (in_flight.hold(), in_flight.hold());
        assert_eq!((one.add(3), other.add(4)), (Ok(()), Ok(())));
        one.absorb(&other);
        drop(other);
        assert_eq!(in_flight.held(), 7);
        drop(one);
        assert_eq!(in_flight.held(), 0);
    }

    #[test]
    fn what_is_not_needed_any_more_is_given_back() {
        let in_flight = InFlight::new(10);
        let held = in_flight.hold();
        held.belongs_to("one");
        assert_eq!(held.add(8), Ok(()));
        held.settle(9);
        assert_eq!(in_flight.held(), 8, "nothing is taken");
        held.settle(3);
        assert_eq!((in_flight.held(), held.add(4)), (3, Ok(())), "the tenant has it back too");
        drop(held);
        assert_eq!(in_flight.held(), 0);
    }

    fn of_tenant(in_flight: &InFlight, tenant: &str) -> Held {
        let held = in_flight.hold();
        held.belongs_to(tenant);
        held
    }

    #[test]
    fn the_last_quarter_is_for_tenants_that_hold_little() {
        let in_flight = InFlight::new(80);
        let greedy: Vec<_> = (0..3).map(|_| of_tenant(&in_flight, "greedy")).collect();
        assert_eq!(greedy.iter().map(|it| it.add(20)).collect::<Vec<_>>(), [Ok(()); 3]);
        assert_eq!(of_tenant(&in_flight, "greedy").add(1), Err(Full::Tenant), "another request of the same");
        let other = of_tenant(&in_flight, "other");
        assert_eq!((other.add(10), other.add(1)), (Ok(()), Err(Full::Tenant)));
        assert_eq!(of_tenant(&in_flight, "third").add(10), Ok(()));
        assert_eq!(of_tenant(&in_flight, "fourth").add(1), Ok(()), "the third has given its part back");
        assert_eq!(in_flight.hold().add(11), Err(Full::All), "without a tenant there is the whole, and no more");
        drop(greedy);
        assert_eq!((other.add(50), in_flight.held()), (Ok(()), 60));
    }

    #[tokio::test]
    async fn what_comes_of_a_request_is_its_tenants() {
        let in_flight = InFlight::new(80);
        let asked = of_tenant(&in_flight, "one");
        assert_eq!(asked.add(50), Ok(()));
        let answer = charged(Some(&asked), async { in_flight.hold() }).await;
        let nobodys = charged(None, async { in_flight.hold() }).await;
        assert_eq!((nobodys.add(1), answer.add(9), answer.add(1)), (Ok(()), Ok(()), Err(Full::Tenant)));
        assert_eq!((nobodys.add(19), nobodys.add(2)), (Ok(()), Err(Full::All)));
        drop(nobodys);
        // What changes hands between tenants changes accounts.
        let other = of_tenant(&in_flight, "other");
        other.absorb(&asked);
        drop((asked, answer));
        let one = of_tenant(&in_flight, "one");
        assert_eq!((one.add(10), other.add(11)), (Ok(()), Err(Full::Tenant)));
        drop(one);
        assert_eq!((other.add(30), other.add(1)), (Ok(()), Err(Full::Tenant)), "a request alone has it all");
        drop(other);
        assert_eq!(in_flight.held(), 0);
    }

    #[tokio::test]
    async fn a_request_that_is_alone_has_all_the_room_together_with_what_comes_of_it() {
        let in_flight = InFlight::new(80);
        let asked = of_tenant(&in_flight, "one");
        assert_eq!(asked.add(65), Ok(()));
        let (answer, another) = charged(Some(&asked), async { (in_flight.hold(), in_flight.hold()) }).await;
        assert_eq!((answer.add(10), another.add(5), another.add(1)), (Ok(()), Ok(()), Err(Full::Tenant)));
        drop(answer);
        let further = of_tenant(&in_flight, "one");
        assert_eq!(further.add(1), Err(Full::Tenant), "another request of the same tenant");
        assert_eq!(of_tenant(&in_flight, "two").add(1), Ok(()));
        let kept = of_tenant(&in_flight, "two");
        assert_eq!((kept.add(1), another.add(1)), (Ok(()), Err(Full::Tenant)), "it is not alone any more");
        drop(kept);
        asked.settle(5);
        assert_eq!((in_flight.held(), another.add(70)), (10, Ok(())));
        drop((asked, another));
        assert_eq!(in_flight.held(), 0);
    }

    #[test]
    fn no_room_is_lost_among_threads() {
        let in_flight = InFlight::new(1_000);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        let held = of_tenant(&in_flight, "one");
                        let _ = (held.add(300), held.add(1));
                        assert!(in_flight.held() <= 1_000);
                    }
                });
            }
        });
        assert_eq!((in_flight.held(), of_tenant(&in_flight, "one").add(750)), (0, Ok(())));
    }
}
