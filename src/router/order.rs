//! Orders of candidates.

use std::cmp::Reverse;

use super::Entry;
use super::constraints::same;
use super::health::State;

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
            let total: f64 = left.iter().map(|entry| entry.weight).sum();
            let mut ticket = draw() * total;
            let drawn = left.iter().position(|entry| {
                ticket -= entry.weight;
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
    entries.sort_by(|one, other| other.weight.total_cmp(&one.weight));
    entries.sort_by_key(|entry| {
        let is_default = default.is_some_and(|name| same(name, &entry.info().name));
        (Reverse(is_default), Reverse(entry.info().priority))
    });
}

/// Unhealthy ones behind the others, else as they were. The state is read once each: it may change meanwhile.
pub(super) fn unhealthy_last(entries: &mut [&Entry]) {
    entries.sort_by_cached_key(|entry| entry.monitor.state() == State::Unhealthy);
}

/// The named one to the front, else as they were.
pub(super) fn first(entries: &mut [&Entry], name: &str) {
    entries.sort_by_key(|entry| !same(&entry.info().name, name));
}
