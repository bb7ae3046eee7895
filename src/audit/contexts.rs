//! The newest contexts in memory, in front of the table.
//!
//! A context never changes once it is written, so what is remembered is always right; what is not remembered is looked
//! up in the store. Nothing is remembered about contexts that are not there.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::row::ContextRow;

/// About 2 MB at most.
const REMEMBERED: usize = 8_192;

/// The contexts that were written last.
#[derive(Default)]
pub(crate) struct RecentContexts(Mutex<Recent>);

#[derive(Default)]
struct Recent {
    rows: HashMap<String, ContextRow>,
    oldest_first: VecDeque<String>,
}

impl RecentContexts {
    pub(crate) fn remember(&self, id: &str, context: &ContextRow) {
        let mut recent = self.lock();
        if recent.rows.insert(id.to_owned(), context.clone()).is_some() {
            return;
        }
        recent.oldest_first.push_back(id.to_owned());
        if recent.oldest_first.len() > REMEMBERED
            && let Some(oldest) = recent.oldest_first.pop_front()
        {
            recent.rows.remove(&oldest);
        }
    }

    pub(crate) fn get(&self, id: &str) -> Option<ContextRow> {
        self.lock().rows.get(id).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Recent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
