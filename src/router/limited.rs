//! A provider that has said for how long it takes no more, or that it does not serve a model to this key: others are asked
//! first until then.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::provider::{ErrorKind, ProviderError};

/// Where a refusal for the rate does not say when to come again.
const UNSAID: Duration = Duration::from_secs(1);

/// No provider stands behind for longer without being asked again.
const LONGEST: Duration = Duration::from_secs(60);

/// Models of one provider that are remembered.
const MODELS: usize = 64;

/// Until when one provider stands behind.
#[derive(Debug, Default)]
pub(super) struct Limited(Mutex<Vec<Rest>>);

#[derive(Debug)]
struct Rest {
    /// `None`: all models.
    model: Option<String>,
    until: Instant,
}

impl Limited {
    fn lock(&self) -> MutexGuard<'_, Vec<Rest>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call for a model failed; only what is said of the key counts. A probe may succeed although nothing is left to
    /// spend.
    pub(super) fn failed(&self, model: &str, error: &ProviderError, now: Instant) {
        let (model, rest) = match error.kind() {
            ErrorKind::RateLimited => (None, error.retry_after().unwrap_or(UNSAID).min(LONGEST)),
            ErrorKind::SpendCap => (None, LONGEST),
            ErrorKind::ModelNotAllowed => (Some(model), LONGEST),
            _ => return,
        };
        let mut rests = self.lock();
        rests.retain(|rest| rest.until > now && rest.model.as_deref() != model);
        if rests.len() >= MODELS {
            rests.remove(0);
        }
        rests.push(Rest { model: model.map(str::to_owned), until: now + rest });
    }

    /// A call for a model was answered.
    pub(super) fn answered(&self, model: &str) {
        self.lock().retain(|rest| rest.model.as_deref().is_some_and(|of| of != model));
    }

    pub(super) fn holds(&self, model: Option<&str>, now: Instant) -> bool {
        self.lock().iter().any(|rest| rest.until > now && (rest.model.is_none() || rest.model.as_deref() == model))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_the_key_puts_behind_for_a_time() {
        let now = Instant::now();
        let error = |kind, seconds: Option<u64>| {
            ProviderError::new(kind, "no").with_retry_after(seconds.map(Duration::from_secs))
        };
        for (kind, hint, of_all, of_model) in [
            (ErrorKind::RateLimited, None, 1, 1),
            (ErrorKind::RateLimited, Some(20), 20, 20),
            (ErrorKind::RateLimited, Some(3_600), 60, 60),
            (ErrorKind::SpendCap, None, 60, 60),
            (ErrorKind::ModelNotAllowed, None, 0, 60),
            (ErrorKind::UpstreamFailed, None, 0, 0),
        ] {
            let limited = Limited::default();
            limited.failed("m", &error(kind, hint), now);
            for (model, seconds) in [("other", of_all), ("m", of_model)] {
                for (at, holds) in [(0, seconds > 0), (seconds, false)] {
                    let then = now + Duration::from_secs(at);
                    assert_eq!(limited.holds(Some(model), then), holds, "{kind:?} {model} {at}");
                }
            }
        }
        let limited = Limited::default();
        limited.failed("m", &error(ErrorKind::ModelNotAllowed, None), now);
        limited.failed("n", &error(ErrorKind::SpendCap, None), now);
        limited.answered("n");
        assert!(limited.holds(Some("m"), now) && !limited.holds(Some("n"), now));
        limited.answered("m");
        assert!(!limited.holds(Some("m"), now));
    }

    #[test]
    fn models_are_bounded() {
        let limited = Limited::default();
        for model in 0..2 * MODELS {
            let error = ProviderError::new(ErrorKind::ModelNotAllowed, "no");
            limited.failed(&model.to_string(), &error, Instant::now());
        }
        assert_eq!(limited.lock().len(), MODELS);
    }
}
