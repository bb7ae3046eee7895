//! The tokens of what was answered for a call that is not over: they are used also where it is let go of before its end.

use std::sync::{Arc, Mutex, PoisonError};

use crate::chat::Usage;

tokio::task_local! {
    static CALL: Spent;
}

/// The tokens of one call so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spent(Arc<Mutex<Option<Usage>>>);

impl Spent {
    /// The call, of which each part that is answered [adds](add) to this.
    pub(crate) fn watch<F: Future>(&self, call: F) -> impl Future<Output = F::Output> {
        CALL.scope(self.clone(), call)
    }

    pub(crate) fn read(&self) -> Option<Usage> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A part of the call under way was answered.
pub(crate) fn add(usage: Usage) {
    // Where nobody watches it, nobody asks.
    let _ = CALL.try_with(|Spent(sum)| {
        let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
        *sum = Some(sum.map_or(usage, |before| before.plus(usage)));
    });
}
