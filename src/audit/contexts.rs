//! The newest contexts in memory, in front of the table.
//!
//! A context never changes once it is written, so what is remembered is always right; what is not remembered is looked
//! up in the store. Nothing is remembered about contexts that are not there. Of those whose records wait in the spill
//! journal nobody else knows: they are remembered until they expire, and anew by the next process.

use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use lru::LruCache;

use super::row::ContextRow;

/// About 2 MB.
pub(crate) const REMEMBERED: usize = 8_192;

/// The contexts that were written last, in that order. Unbounded, because a bounded cache would take its memory at once.
pub(crate) struct RecentContexts(Mutex<LruCache<String, ContextRow>>);

impl Default for RecentContexts {
    fn default() -> Self {
        Self(Mutex::new(LruCache::unbounded()))
    }
}

impl RecentContexts {
    pub(crate) fn remember(&self, id: &str, context: &ContextRow) {
        self.lock().put(id.to_owned(), context.clone());
    }

    /// Makes room where the store has them all.
    pub(crate) fn forget_old(&self) {
        self.forget(|_| true);
    }

    /// Makes room where the store may not have them: at the expense of those that are of no use any more.
    pub(crate) fn forget_expired(&self, now: Timestamp) {
        self.forget(|oldest| oldest.expires_at < now);
    }

    fn forget(&self, may_go: impl Fn(&ContextRow) -> bool) {
        let mut recent = self.lock();
        while recent.len() > REMEMBERED && recent.peek_lru().is_some_and(|(_, oldest)| may_go(oldest)) {
            recent.pop_lru();
        }
    }

    pub(crate) fn get(&self, id: &str) -> Option<ContextRow> {
        // Asking makes none newer: it would outlive those that nobody has asked for yet.
        self.lock().peek(id).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<String, ContextRow>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    fn remember(recent: &RecentContexts, numbers: std::ops::Range<usize>, expires_at: Timestamp) {
        let context =
            ContextRow { client: "app".into(), tenant: "acme".into(), user: String::new(), approved: true, expires_at };
        numbers.for_each(|number| recent.remember(&format!("c{number}"), &context));
    }

    #[test]
    fn who_was_asked_for_goes_before_those_that_nobody_has_asked_for_yet() {
        let recent = RecentContexts::default();
        remember(&recent, 0..REMEMBERED, Timestamp::now());
        assert!(recent.get("c0").is_some());
        remember(&recent, REMEMBERED..REMEMBERED + 1, Timestamp::now());
        recent.forget_old();
        assert!(recent.get("c0").is_none() && recent.get("c1").is_some());
    }

    #[test]
    fn what_the_store_does_not_have_is_remembered_until_it_expires() {
        let (recent, now) = (RecentContexts::default(), Timestamp::now());
        let [before, later] = [-1, 1].map(|seconds| now + SignedDuration::from_secs(seconds));
        remember(&recent, 0..10, before);
        remember(&recent, 10..REMEMBERED + 20, later);
        recent.forget_expired(now);
        let known = (0..REMEMBERED + 20).filter(|number| recent.get(&format!("c{number}")).is_some());
        assert!(known.eq(10..REMEMBERED + 20), "ten more than else");
        recent.forget_old();
        assert!(recent.get("c19").is_none() && recent.get("c20").is_some());
    }
}
