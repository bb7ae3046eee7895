//! What was refused, so that the same is not loaded again and again; and what deserves another try.
//!
//! Most errors are of the bytes: they come back until the bytes change. Those of a load come back whatever else changes in
//! the manifest: `on_error: allow` ends the refusals of a policy that cannot be loaded without another load. A loader that was killed for want of memory or
//! was not done in time may have had a bad moment, and so may a device that could not be read. It is tried again by the
//! clock: soon, then ever more seldom, and never so often that trying takes more than a small share of the time.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::digest::Digest;
use super::load::LoadError;

/// From a first failure to the next try. It doubles with each failure.
const FIRST_WAIT: Duration = Duration::from_secs(30);
/// Where doubling ends.
const LONGEST_WAIT: Duration = Duration::from_secs(600);
/// A try that took long is followed by a wait of at least so many times as long.
const WAIT_PER_TRY: u32 = 20;

/// Errors by manifest.
#[derive(Debug, Default)]
pub(super) struct Refused(HashMap<PathBuf, Refusal>);

#[derive(Debug)]
struct Refusal {
    /// Of what was refused: of all bytes that were read, or of what a load hangs on.
    of: Digest,
    error: LoadError,
    /// `None`: the same bytes would give the same again.
    retry: Option<Retry>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Retry {
    /// `None`: somebody asked for the next try, and waits begin anew behind it.
    wait: Option<Duration>,
    at: Instant,
}

impl Refused {
    /// The error of the same, if it is not yet time to try again.
    pub(super) fn standing(&self, path: &Path, of: Digest) -> Option<&LoadError> {
        let refusal = self.0.get(path).filter(|it| it.of == of)?;
        refusal.retry.is_none_or(|retry| Instant::now() < retry.at).then_some(&refusal.error)
    }

    /// Remembers what became of a try that took so long. The error says when the next one is.
    pub(super) fn note(&mut self, path: &Path, of: Digest, error: &mut LoadError, took: Duration) {
        let before = self.0.get(path).filter(|it| it.of == of).and_then(|it| it.retry);
        let retry = error.code.may_pass().then(|| {
            let wait = wait(before.and_then(|it| it.wait), took);
            let told = humantime::format_duration(Duration::from_secs(wait.as_secs()));
            error.message.push_str(&format!(
                "; it is tried again in {told}, when its files change or when a reload is asked for"
            ));
            Retry { wait: Some(wait), at: Instant::now() + wait }
        });
        self.0.insert(path.to_owned(), Refusal { of, error: error.clone(), retry });
    }

    /// What may have been a bad moment is due now.
    pub(super) fn hurry(&mut self) {
        let now = Retry { wait: None, at: Instant::now() };
        self.0.values_mut().filter_map(|it| it.retry.as_mut()).for_each(|retry| *retry = now);
    }

    /// It loaded.
    pub(super) fn forget(&mut self, path: &Path) {
        self.0.remove(path);
    }

    /// Forgets what is not so any more: nothing would try it again, and its time would stay due.
    pub(super) fn keep_only(&mut self, stands: impl Fn(&Path, &LoadError) -> bool) {
        self.0.retain(|path, refusal| stands(path, &refusal.error));
    }

    /// When the next try is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.0.values().filter_map(|it| it.retry).map(|retry| retry.at).min()
    }
}

fn wait(before: Option<Duration>, took: Duration) -> Duration {
    let doubled = before.map_or(FIRST_WAIT, |before| before.saturating_mul(2));
    doubled.min(LONGEST_WAIT).max(took.saturating_mul(WAIT_PER_TRY))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::load::{LoadCode, Step};

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn waits_double_up_to_ten_minutes() {
        let mut waits = vec![wait(None, seconds(1))];
        for _ in 0..6 {
            waits.push(wait(waits.last().copied(), seconds(1)));
        }
        assert_eq!(waits, [30, 60, 120, 240, 480, 600, 600].map(seconds));
    }

    #[test]
    fn tries_that_run_into_the_loaders_limits_take_a_twentieth_of_the_time() {
        assert_eq!(wait(None, seconds(180)), seconds(3_600));
        assert_eq!(wait(Some(seconds(3_600)), seconds(180)), seconds(3_600));
    }

    #[test]
    fn an_error_of_the_bytes_stands_until_they_change_and_a_bad_moment_until_its_time() {
        let (path, bytes, others) = (Path::new("pii.yaml"), Digest::of(b"1"), Digest::of(b"2"));
        let mut refused = Refused::default();
        let mut error = LoadError::new(Step::Encode, LoadCode::NotWasm, "no");
        refused.note(path, bytes, &mut error, seconds(1));
        assert_eq!((refused.standing(path, bytes), refused.due()), (Some(&error), None));
        assert_eq!(refused.standing(path, others), None);

        let mut error = LoadError::new(Step::Compile, LoadCode::LoaderFailed, "killed");
        refused.note(path, bytes, &mut error, seconds(1));
        assert_eq!(
            error.message,
            "killed; it is tried again in 30s, when its files change or when a reload is asked for"
        );
        assert_eq!(refused.standing(path, bytes), Some(&error));
        assert!(refused.due().is_some_and(|due| due > Instant::now() + seconds(20)));
        refused.hurry();
        assert_eq!(refused.standing(path, bytes), None, "its time has come");
        for told in ["in 30s", "in 1m"] {
            error = LoadError::new(Step::Compile, LoadCode::LoaderFailed, "killed");
            refused.note(path, bytes, &mut error, seconds(1));
            assert!(error.message.contains(told), "who asks for a try makes no later wait longer: {}", error.message);
        }

        refused.keep_only(|at, standing| (at, standing) == (path, &error));
        assert!(refused.due().is_some());
        refused.keep_only(|_, standing| standing.message == "its manifest cannot be read");
        assert_eq!(refused.due(), None);
    }
}
