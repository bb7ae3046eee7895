//! How quick a provider is: the peak-sensitive moving average of its answers' times, weighed with the calls that it has
//! in hand.
//!
//! A slower answer counts at once and in full, quicker ones only slowly, and what was measured fades while nobody asks: a
//! provider that was slow is tried again some time later rather than never.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// After this time a measurement counts for about a third of what it did.
const FADES_IN: Duration = Duration::from_secs(30);

/// What a failure counts for at least, in seconds.
const FAILED: f64 = 1.0;
/// Nothing counts as slower, in seconds.
const SLOWEST: f64 = 60.0;

#[derive(Debug, Default)]
struct Inner {
    average: Option<Average>,
    /// The time of the quickest answer so far, in seconds.
    quickest: Option<f64>,
    in_hand: u32,
}

#[derive(Clone, Copy, Debug)]
struct Average {
    seconds: f64,
    at: Instant,
}

impl Average {
    /// What is left of the measurement's weight.
    fn weight(&self, now: Instant) -> f64 {
        (-now.duration_since(self.at).as_secs_f64() / FADES_IN.as_secs_f64()).exp()
    }
}

/// The answers' times of one provider.
#[derive(Debug, Default)]
pub(crate) struct Latency(Mutex<Inner>);

/// A call that a provider has in hand, until it is dropped.
#[derive(Debug)]
pub(crate) struct InHand(Arc<Latency>);

impl Drop for InHand {
    fn drop(&mut self) {
        let mut inner = self.0.lock();
        inner.in_hand = inner.in_hand.saturating_sub(1);
    }
}

/// A call whose answer is waited for. Dropped before it is over it was given up: its answer would have taken longer.
#[derive(Debug)]
pub(crate) struct Waiting {
    in_hand: InHand,
    begun: Instant,
    is_over: bool,
}

impl Waiting {
    /// The call was answered after this time.
    pub(crate) fn answered(mut self, elapsed: Duration, now: Instant) {
        self.is_over = true;
        self.in_hand.0.answered(elapsed, now);
    }

    /// It failed after this time, by no fault of the request.
    pub(crate) fn failed(mut self, elapsed: Duration, now: Instant) {
        self.is_over = true;
        self.in_hand.0.failed(elapsed, now);
    }

    /// It was refused after this time, which may be the request's own doing: nobody is slower for it to others than it was
    /// for this one, but nobody who only refuses is the quickest.
    pub(crate) fn refused(mut self, elapsed: Duration, now: Instant) {
        self.is_over = true;
        self.in_hand.0.at_least(elapsed.as_secs_f64().max(FAILED), now);
    }

    /// It was refused for what it asked. Any number of such requests makes nobody slower to others than he has been; but
    /// who has answered nothing yet is not asked first for ever.
    pub(crate) fn turned_away(mut self, now: Instant) {
        self.is_over = true;
        let quickest = self.in_hand.0.lock().quickest.unwrap_or(FAILED);
        self.in_hand.0.at_least(quickest.min(FAILED), now);
    }

    /// It is over, and says nothing of how quick the provider is.
    pub(crate) fn says_nothing(mut self) {
        self.is_over = true;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.is_over {
            let now = Instant::now();
            // That makes nobody quicker, and slower only than this.
            self.in_hand.0.at_least(now.duration_since(self.begun).as_secs_f64(), now);
        }
    }
}

impl Latency {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call begins.
    pub(crate) fn begin(self: &Arc<Self>) -> InHand {
        let mut inner = self.lock();
        inner.in_hand = inner.in_hand.saturating_add(1);
        InHand(Arc::clone(self))
    }

    /// A call begins whose answer is waited for.
    pub(crate) fn wait(self: &Arc<Self>) -> Waiting {
        Waiting { in_hand: self.begin(), begun: Instant::now(), is_over: false }
    }

    /// A call was answered after this time.
    fn answered(&self, elapsed: Duration, now: Instant) {
        let mut inner = self.lock();
        let measured = elapsed.as_secs_f64();
        inner.quickest = Some(inner.quickest.map_or(measured, |quickest| quickest.min(measured)));
        let seconds = match inner.average {
            Some(average) if measured < average.seconds => {
                let weight = average.weight(now);
                average.seconds * weight + measured * (1.0 - weight)
            }
            _ => measured,
        };
        inner.average = Some(Average { seconds, at: now });
    }

    /// A call failed after this time. A quick failure is no sign of speed: each doubles the average, so that whoever only
    /// fails is asked now and then, and not first.
    fn failed(&self, elapsed: Duration, now: Instant) {
        let mut inner = self.lock();
        let doubled = inner.average.map_or(0.0, |average| average.seconds * average.weight(now) * 2.0);
        let seconds = doubled.max(elapsed.as_secs_f64()).clamp(FAILED, SLOWEST);
        inner.average = Some(Average { seconds, at: now });
    }

    /// An answer would have taken so long at least.
    fn at_least(&self, seconds: f64, now: Instant) {
        let mut inner = self.lock();
        let seconds = seconds.min(SLOWEST);
        if inner.average.is_none_or(|average| average.seconds * average.weight(now) < seconds) {
            inner.average = Some(Average { seconds, at: now });
        }
    }

    /// What one more call would wait for, relative to others'. A provider that was never measured is tried by one call at
    /// a time, before all others.
    pub(crate) fn cost(&self, now: Instant) -> f64 {
        let inner = self.lock();
        match (inner.average, inner.in_hand) {
            (None, 0) => 0.0,
            (None, in_hand) => f64::from(u32::MAX) + f64::from(in_hand),
            (Some(average), in_hand) => average.seconds * average.weight(now) * (f64::from(in_hand) + 1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latency(measured: &[u64], now: Instant) -> Arc<Latency> {
        let latency = Arc::<Latency>::default();
        for millis in measured {
            latency.answered(Duration::from_millis(*millis), now);
        }
        latency
    }

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
    }

    #[test]
    fn a_peak_counts_at_once_and_fades() {
        let now = Instant::now();
        let peak = latency(&[100, 900, 100], now);
        near(peak.cost(now), 0.9);
        let later = now + FADES_IN;
        peak.answered(Duration::from_millis(100), later);
        assert!((0.1..0.5).contains(&peak.cost(later)), "{}", peak.cost(later));
    }

    #[test]
    fn calls_in_hand_make_a_provider_dearer() {
        let now = Instant::now();
        let busy = latency(&[100], now);
        let calls = [busy.begin(), busy.begin()];
        near(busy.cost(now), 0.3);
        drop(calls);
        near(busy.cost(now), 0.1);
    }

    #[test]
    fn the_unknown_is_tried_by_one_call() {
        let now = Instant::now();
        let unknown = latency(&[], now);
        assert!(unknown.cost(now) < latency(&[1], now).cost(now));
        let call = unknown.begin();
        assert!(unknown.cost(now) > latency(&[60_000], now).cost(now));
        drop(call);
        assert!(unknown.cost(now) < latency(&[1], now).cost(now));
    }

    #[test]
    fn a_quick_failure_is_no_sign_of_speed() {
        let now = Instant::now();
        let failing = latency(&[500], now);
        failing.failed(Duration::from_millis(1), now);
        near(failing.cost(now), 1.0);
        failing.failed(Duration::from_millis(1), now);
        near(failing.cost(now), 2.0);
        failing.failed(Duration::from_secs(5), now);
        near(failing.cost(now), 5.0);
        for _ in 0..10 {
            failing.failed(Duration::from_millis(1), now);
        }
        near(failing.cost(now), SLOWEST);
        let later = now + 5 * FADES_IN;
        assert!(failing.cost(later) < 0.5, "it is tried again");

        let unknown = latency(&[], now);
        unknown.failed(Duration::from_millis(1), now);
        assert!(unknown.cost(now) > latency(&[900], now).cost(now), "it does not stay the first");
    }

    #[test]
    fn a_refusal_that_may_be_the_requests_own_doing_makes_nobody_slower_than_a_failure_is() {
        let now = Instant::now();
        for (measured, expected) in [(None, FAILED), (Some(100), FAILED), (Some(9_000), 9.0)] {
            let measured: Vec<u64> = measured.into_iter().collect();
            let refusing = latency(&measured, now);
            for _ in 0..6 {
                refusing.wait().refused(Duration::from_millis(2), now);
            }
            near(refusing.cost(now), expected);
        }
    }

    #[test]
    fn requests_that_are_turned_away_make_nobody_slower_than_he_was_and_the_unmeasured_not_the_first() {
        let now = Instant::now();
        for (measured, later, expected) in [
            (vec![], 0, FAILED),
            (vec![], 10, FAILED),
            (vec![300], 0, 0.3),
            (vec![300], 10, 0.3),
            (vec![300, 5_000], 0, 5.0),
            (vec![300, 5_000], 10, 0.3),
        ] {
            let refusing = latency(&measured, now);
            for then in [now, now + later * FADES_IN] {
                for _ in 0..100 {
                    refusing.wait().turned_away(then);
                }
            }
            near(refusing.cost(now + later * FADES_IN), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_was_given_up_took_that_long_at_least() {
        for (measured, waited, expected) in [(None, 3, 3.0), (Some(500), 3, 3.0), (Some(9_000), 1, 8.7)] {
            let measured: Vec<u64> = measured.into_iter().collect();
            let hanging = latency(&measured, Instant::now());
            let waiting = hanging.wait();
            tokio::time::advance(Duration::from_secs(waited)).await;
            drop(waiting);
            let cost = hanging.cost(Instant::now());
            assert!((cost - expected).abs() < 0.1, "{measured:?} {waited}: {cost}");
        }
        let unknown = latency(&[], Instant::now());
        unknown.wait().says_nothing();
        near(unknown.cost(Instant::now()), 0.0);
    }
}
