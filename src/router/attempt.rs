//! The calls that one request costs.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::chat::Usage;
use crate::provider::{ProviderError, Spent};

/// One call to one provider, or a request that could not be made one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attempt {
    /// The provider's name.
    pub provider: String,
    /// The model that it was asked for.
    pub model: String,
    /// `ok`, the class of the failure, or `cancelled`: nobody waited for the answer any more.
    pub code: &'static str,
    /// Whether it was sent: some requests are refused while they are prepared.
    pub sent: bool,
    /// How long it took.
    pub elapsed: Duration,
    /// The id under which the vendor finds the call.
    pub correlation_id: Option<String>,
    /// The tokens of what was answered to it and is lost: before it failed or was let go, or to another key than the last.
    pub spent: Option<Usage>,
}

impl Attempt {
    /// How many of them were calls.
    pub fn calls(attempts: &[Self]) -> usize {
        attempts.iter().filter(|attempt| attempt.sent).count()
    }

    /// The last of them that was one.
    pub fn last_call(attempts: &[Self]) -> Option<&Self> {
        attempts.iter().rfind(|attempt| attempt.sent)
    }
}

/// The attempts of one request, in order. Whoever lets go of a request on its way can still read them.
#[derive(Debug, Default)]
pub struct Attempts(Mutex<Vec<Attempt>>);

impl Attempts {
    /// Those that are over.
    pub fn take(&self) -> Vec<Attempt> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A call begins.
    pub(super) fn begin(&self, provider: &str, model: &str) -> UnderWay<'_> {
        let (provider, model) = (provider.to_owned(), model.to_owned());
        let attempt = Attempt { provider, model, code: "cancelled", sent: true, ..Attempt::default() };
        UnderWay { attempts: self, attempt, spent: Spent::default(), begun: Instant::now() }
    }
}

/// A call on its way. It is over when this is dropped, and cancelled if nothing else was said by then.
pub(super) struct UnderWay<'a> {
    attempts: &'a Attempts,
    attempt: Attempt,
    /// What the parts of it used that were answered.
    spent: Spent,
    begun: Instant,
}

impl UnderWay<'_> {
    pub(super) fn spent(&self) -> &Spent {
        &self.spent
    }

    /// It was answered, after these tokens were lost.
    pub(super) fn answered(mut self, correlation_id: Option<&str>, lost: Option<Usage>) {
        self.attempt.code = "ok";
        self.attempt.spent = lost;
        self.attempt.correlation_id = correlation_id.map(str::to_owned);
    }

    /// It failed.
    pub(super) fn failed(mut self, error: &ProviderError) {
        self.attempt.code = error.code();
        self.attempt.sent = error.was_sent();
        self.attempt.correlation_id = error.correlation_id().map(str::to_owned);
        self.attempt.spent = error.spent();
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.attempt.elapsed = self.begun.elapsed();
        let mut attempt = std::mem::take(&mut self.attempt);
        if attempt.code != "ok" {
            attempt.spent = attempt.spent.or_else(|| self.spent.read());
        }
        self.attempts.0.lock().unwrap_or_else(PoisonError::into_inner).push(attempt);
    }
}
