//! Orders of candidates.

use std::cmp::Reverse;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::constraints::same;
use super::entry::{Asked, Entry};
use super::health::State;
use super::operation::Form;
use crate::chat::Usage;

/// Higher priority first; inside a priority each place is drawn by weight from those that are left. `draw` gives a number
/// from 0 up to and without 1, each with the same probability.
pub(super) fn by_weight(entries: &mut [&Entry], mut draw: impl FnMut() -> f64) {
    entries.sort_by_key(|entry| Reverse(entry.info().priority));
    for group in entries.chunk_by_mut(|one, other| one.info().priority == other.info().priority) {
        for place in 0..group.len() {
            let Some(left) = group.get_mut(place..) else { break };
            if left.len() < 2 {
                break;
            }
            let total: f64 = left.iter().map(|entry| entry.weight.get()).sum();
            let mut ticket = draw() * total;
            let drawn = left.iter().position(|entry| {
                ticket -= entry.weight.get();
                ticket < 0.0
            });
            if let Some(drawn) = drawn {
                left.swap(0, drawn);
            }
        }
    }
}

/// The default first, then by priority, then by falling weight.
pub(super) fn by_failover(entries: &mut [&Entry], default: Option<&str>) {
    by_number(entries, |entry| -entry.weight.get());
    if let Some(default) = default {
        first(entries, default);
    }
}

/// Higher priority first, then who would answer soonest.
pub(super) fn by_latency(entries: &mut [&Entry], form: Form) {
    let now = Instant::now();
    by_number(entries, |entry| entry.latencies.of(form).cost(now));
}

/// Higher priority first, then the lowest price of the model that each would be asked for.
pub(super) fn by_cost(entries: &mut [&Entry], asked: Asked<'_>, estimated: &Usage) {
    by_number(entries, |entry| {
        entry.model_for(asked).and_then(|model| entry.provider.price(model, estimated)).unwrap_or(f64::INFINITY)
    });
}

/// The number is found once for each: it may change meanwhile.
fn by_number(entries: &mut [&Entry], number: impl Fn(&Entry) -> f64) {
    let mut numbered: Vec<_> = entries.iter().map(|entry| (number(entry), *entry)).collect();
    numbered.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    numbered.sort_by_key(|(_, entry)| Reverse(entry.info().priority));
    for (place, (_, entry)) in entries.iter_mut().zip(numbered) {
        *place = entry;
    }
}

/// Whose turn it is. Kept as each provider's last turn, not as one position: requests may differ in who may answer them.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<u64>);

impl Turns {
    /// Nobody else takes a turn until the guard is gone.
    pub(super) fn next(&self) -> Turn<'_> {
        Turn(self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One turn.
pub(super) struct Turn<'a>(MutexGuard<'a, u64>);

impl Turn<'_> {
    /// Higher priority first, then who has waited longest.
    pub(super) fn order(&self, entries: &mut [&Entry]) {
        entries.sort_by_cached_key(|entry| (Reverse(entry.info().priority), entry.last_turn()));
    }

    /// The first one has had its turn.
    pub(super) fn taken(mut self, entries: &[&Entry]) {
        if let Some(first) = entries.first() {
            *self.0 += 1;
            first.take_turn(*self.0);
        }
    }
}

/// Those that are unhealthy, or over their limit, or whose breaker lets nothing pass, behind the others, else as they
/// were. The state is read once each: it may change meanwhile.
pub(super) fn failing_last(entries: &mut [&Entry], asked: Asked<'_>, tenant: Option<&str>) {
    let now = Instant::now();
    entries.sort_by_cached_key(|entry| {
        entry.monitor.state() == State::Unhealthy
            || entry.model_for(asked).is_some_and(|model| entry.limited.holds(model, asked.task, now))
            || entry.refuses(asked, tenant)
    });
}

/// The named one to the front, else as they were.
pub(super) fn first(entries: &mut [&Entry], name: &str) {
    entries.sort_by_key(|entry| !same(&entry.info().name, name));
}
