//! A provider that has said for how long it takes no more for a model, or that this key has no use of it there: others are
//! asked first until then, for that model and task.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::chat::Task;
use crate::provider::{ErrorKind, ProviderError};

/// Where a refusal for the rate does not say when to come again.
const UNSAID: Duration = Duration::from_secs(1);

/// No provider stands behind for longer without being asked again.
const LONGEST: Duration = Duration::from_secs(60);

/// Models of one provider, with their tasks, that are remembered.
const MODELS: usize = 64;

/// Until when one provider stands behind.
#[derive(Debug, Default)]
pub(super) struct Limited(Mutex<Vec<Rest>>);

#[derive(Debug)]
struct Rest {
    /// The model, and what it was asked for: a server that has no such model for vectors may chat with it. `None`: all.
    of: Option<(String, Task)>,
    until: Instant,
    /// When it was said last.
    said: Instant,
}

impl Rest {
    fn is_of(&self, model: &str, task: Task) -> bool {
        self.of.as_ref().is_none_or(|(of, its)| of == model && *its == task)
    }
}

impl Limited {
    fn lock(&self) -> MutexGuard<'_, Vec<Rest>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call for a model failed; only what is said of the key counts, and what lasts: no breaker, no average and no probe
    /// remembers it. Of several words the one counts that holds longest.
    pub(super) fn failed(&self, model: &str, task: Task, error: &ProviderError, now: Instant) {
        let of_model = Some((model.to_owned(), task));
        let (of, rest) = match error.kind() {
            ErrorKind::SpendCap => (None, LONGEST),
            // The vendors' limits of a minute are each of a model or a group of them.
            ErrorKind::RateLimited => (of_model, error.retry_after().unwrap_or(UNSAID).min(LONGEST)),
            // Not `Forbidden`: some say it of what one caller wrote.
            ErrorKind::ModelNotAllowed | ErrorKind::ModelNotFound => (of_model, LONGEST),
            _ => return,
        };
        let until = now + rest;
        let mut rests = self.lock();
        rests.retain(|rest| rest.until > now);
        let known = rests.iter().position(|rest| rest.of == of).map(|at| rests.remove(at));
        // Callers name models: they push out none but each other's.
        if let (true, Some(oldest)) = (rests.len() > MODELS, rests.iter().position(|rest| rest.of.is_some())) {
            rests.remove(oldest);
        }
        let until = known.map_or(until, |known| known.until.max(until));
        rests.push(Rest { of, until, said: now });
    }

    /// A call for a model was answered that was made then. What was said since stands.
    pub(super) fn answered(&self, model: &str, task: Task, begun: Instant) {
        self.lock().retain(|rest| rest.said > begun || !rest.is_of(model, task));
    }

    pub(super) fn holds(&self, model: &str, task: Task, now: Instant) -> bool {
        self.lock().iter().any(|rest| rest.until > now && rest.is_of(model, task))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAT: Task = Task::Chat;

    #[test]
    fn what_is_said_of_the_key_puts_behind_for_a_time() {
        let now = Instant::now();
        let error = |kind, seconds: Option<u64>| {
            ProviderError::new(kind, "no").with_retry_after(seconds.map(Duration::from_secs))
        };
        for (kind, hint, of_all, of_model) in [
            (ErrorKind::RateLimited, None, 0, 1),
            (ErrorKind::RateLimited, Some(20), 0, 20),
            (ErrorKind::RateLimited, Some(3_600), 0, 60),
            (ErrorKind::SpendCap, None, 60, 60),
            (ErrorKind::ModelNotAllowed, None, 0, 60),
            (ErrorKind::ModelNotFound, None, 0, 60),
            (ErrorKind::Forbidden, None, 0, 0),
            (ErrorKind::UpstreamFailed, None, 0, 0),
        ] {
            let limited = Limited::default();
            limited.failed("m", CHAT, &error(kind, hint), now);
            for (model, seconds) in [("other", of_all), ("m", of_model)] {
                for (at, holds) in [(0, seconds > 0), (seconds, false)] {
                    let then = now + Duration::from_secs(at);
                    assert_eq!(limited.holds(model, CHAT, then), holds, "{kind:?} {model} {at}");
                }
            }
        }
        let limited = Limited::default();
        limited.failed("m", CHAT, &error(ErrorKind::ModelNotAllowed, None), now);
        limited.failed("n", CHAT, &error(ErrorKind::SpendCap, None), now);
        limited.answered("n", CHAT, now);
        assert!(limited.holds("m", CHAT, now) && !limited.holds("n", CHAT, now));
        limited.answered("m", CHAT, now);
        assert!(!limited.holds("m", CHAT, now));
    }

    #[test]
    fn a_later_word_shortens_none_and_an_older_call_takes_none_back() {
        let (limited, now) = (Limited::default(), Instant::now());
        let second = Duration::from_secs(1);
        for hint in [30, 2] {
            let hint = Some(Duration::from_secs(hint));
            limited.failed(
                "m",
                CHAT,
                &ProviderError::new(ErrorKind::RateLimited, "no").with_retry_after(hint),
                now + second,
            );
        }
        let then = now + 10 * second;
        assert!(limited.holds("m", CHAT, then));
        limited.answered("m", CHAT, now);
        assert!(limited.holds("m", CHAT, then), "what was answered was asked before");
        limited.answered("m", CHAT, now + 2 * second);
        assert!(!limited.holds("m", CHAT, then));
    }

    #[test]
    fn models_are_bounded() {
        let limited = Limited::default();
        limited.failed("m", CHAT, &ProviderError::new(ErrorKind::SpendCap, "no"), Instant::now());
        for model in 0..2 * MODELS {
            let error = ProviderError::new(ErrorKind::ModelNotAllowed, "no");
            limited.failed(&model.to_string(), CHAT, &error, Instant::now());
        }
        assert_eq!(limited.lock().len(), MODELS + 1);
        assert!(limited.holds("other", CHAT, Instant::now()), "the word on all models stands");
    }
}
