//! Bytes of requests and answers that are in memory at one time: counted over all of them, and bounded.
//!
//! Single bounds (on a body, on an answer, on connections) multiply to more memory than any machine has. This one says
//! when the next byte is too many, while there is still memory to say so with.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The bytes that all requests and answers may hold together. Clones share one count.
#[derive(Clone)]
pub struct InFlight(Arc<Count>);

struct Count {
    most: usize,
    held: AtomicUsize,
}

/// There is no room for more bytes now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "requests and answers in flight hold as much memory as they may (server.max_bytes_in_flight); try again shortly"
)]
pub struct Full;

/// What one request or answer holds. It is given back when the last clone is dropped.
#[derive(Clone)]
pub struct Held(Arc<Share>);

struct Share {
    of: InFlight,
    bytes: AtomicUsize,
}

impl InFlight {
    /// Room for so many bytes.
    pub fn new(most: usize) -> Self {
        Self(Arc::new(Count { most, held: AtomicUsize::new(0) }))
    }

    /// Begins with nothing.
    pub fn hold(&self) -> Held {
        Held(Arc::new(Share { of: self.clone(), bytes: AtomicUsize::new(0) }))
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

impl Held {
    /// Takes room for more bytes, if there is any.
    pub fn add(&self, bytes: usize) -> Result<(), Full> {
        let Count { most, held } = &*self.0.of.0;
        // Numbers are all that is shared: nothing else has to be seen in order.
        let fits = |now: usize| now.checked_add(bytes).filter(|sum| sum <= most);
        held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).map_err(|_| Full)?;
        self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Takes over what the other one holds.
    pub fn absorb(&self, other: &Self) {
        self.0.bytes.fetch_add(other.0.bytes.swap(0, Ordering::Relaxed), Ordering::Relaxed);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.of.0.held.fetch_sub(*self.bytes.get_mut(), Ordering::Relaxed);
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
        assert_eq!(other.add(5), Err(Full));
        assert_eq!(other.add(4), Ok(()));
        assert_eq!(in_flight.held(), 10);
        let still = one.clone();
        drop(one);
        assert_eq!(in_flight.held(), 10, "a clone holds it still");
        drop(still);
        assert_eq!((in_flight.held(), other.add(6)), (4, Ok(())));
        assert_eq!(other.add(usize::MAX), Err(Full));
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
    fn no_room_is_lost_among_threads() {
        let in_flight = InFlight::new(1_000);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        let held = in_flight.hold();
                        let _ = (held.add(300), held.add(1));
                        assert!(in_flight.held() <= 1_000);
                    }
                });
            }
        });
        assert_eq!(in_flight.held(), 0);
    }
}
