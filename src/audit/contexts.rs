//! The newest contexts in memory, in front of the table.
//!
//! A context never changes once it is written, so what is remembered is always right; what is not remembered is looked
//! up in the store. Nothing is remembered about contexts that are not there.

use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;

use super::row::ContextRow;

/// About 2 MB at most.
const REMEMBERED: usize = 8_192;

/// The contexts that were written or asked for last. Unbounded, because a bounded cache would take its memory at once.
pub(crate) struct RecentContexts(Mutex<LruCache<String, ContextRow>>);

impl Default for RecentContexts {
    fn default() -> Self {
        Self(Mutex::new(LruCache::unbounded()))
    }
}

impl RecentContexts {
    pub(crate) fn remember(&self, id: &str, context: &ContextRow) {
        let mut recent = self.lock();
        recent.put(id.to_owned(), context.clone());
        if recent.len() > REMEMBERED {
            recent.pop_lru();
        }
    }

    pub(crate) fn get(&self, id: &str) -> Option<ContextRow> {
        self.lock().get(id).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<String, ContextRow>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
