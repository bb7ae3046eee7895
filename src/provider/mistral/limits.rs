//! What an answer's headers say about rate limits: both families that Mistral has used, and `Retry-After` in its forms.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::HeaderMap;

use crate::provider::upstream::wait::{retry_after, seconds, text};

/// The window of the limits a minute is a sliding one; no header says when it is over.
const WINDOW: Duration = Duration::from_secs(60);

/// One limit. On a refusal only the exhausted one is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bucket {
    pub(crate) limit: Option<u64>,
    pub(crate) remaining: Option<u64>,
}

impl Bucket {
    /// A limit of zero: what it limits is not allowed at all.
    pub(crate) fn never(self) -> bool {
        self.limit == Some(0)
    }

    /// Nothing left for now.
    pub(crate) fn spent(self) -> bool {
        self.remaining == Some(0) && !self.never()
    }
}

/// All of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) requests_minute: Bucket,
    pub(crate) tokens_minute: Bucket,
    pub(crate) tokens_month: Bucket,
    /// When the bucket of the older family is full again.
    pub(crate) reset: Option<Duration>,
    /// The `Retry-After` that the upstream sent.
    pub(crate) retry_after: Option<Duration>,
}

impl Limits {
    /// Reads the headers of an answer that came at `now`.
    pub(crate) fn read(headers: &HeaderMap, now: Timestamp) -> Self {
        let count = |names: &[&str]| names.iter().find_map(|name| text(headers, name)?.parse::<u64>().ok());
        Self {
            requests_minute: Bucket {
                limit: count(&["x-ratelimit-limit-req-minute"]),
                remaining: count(&["x-ratelimit-remaining-req-minute"]),
            },
            tokens_minute: Bucket {
                limit: count(&[
                    "x-ratelimit-limit-tokens-minute",
                    "x-ratelimitbysize-limit-minute",
                    "ratelimitbysize-limit",
                ]),
                remaining: count(&[
                    "x-ratelimit-remaining-tokens-minute",
                    "x-ratelimitbysize-remaining-minute",
                    "ratelimitbysize-remaining",
                ]),
            },
            tokens_month: Bucket {
                limit: count(&["x-ratelimitbysize-limit-month"]),
                remaining: count(&["x-ratelimitbysize-remaining-month"]),
            },
            reset: text(headers, "ratelimitbysize-reset").and_then(seconds),
            retry_after: retry_after(headers, now),
        }
    }

    /// A limit of zero stands somewhere: waiting does not help.
    pub(crate) fn never(&self) -> bool {
        self.requests_minute.never() || self.tokens_minute.never() || self.tokens_month.never()
    }

    /// The month's budget is used up.
    pub(crate) fn month_spent(&self) -> bool {
        self.tokens_month.spent()
    }

    /// When to come again: as told, else from what is known of the windows.
    pub(crate) fn wait(&self) -> Option<Duration> {
        let spent = self.requests_minute.spent() || self.tokens_minute.spent();
        self.retry_after.or(if spent { Some(self.reset.unwrap_or(WINDOW)) } else { None })
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    fn read(headers: &[(&str, &str)]) -> Limits {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap()))
            .collect();
        Limits::read(&headers, "2026-11-22T18:00:00Z".parse().unwrap())
    }

    #[test]
    fn retry_after_is_read_in_every_form() {
        for (name, value, expected) in [
            ("retry-after", "7", Some(7_000)),
            ("retry-after", " 1.5 ", Some(1_500)),
            ("retry-after", "0", Some(0)),
            ("retry-after", "-3", None),
            ("retry-after", "soon", None),
            ("retry-after", "NaN", None),
            ("retry-after", "99999999999999", Some(86_400_000)),
            ("retry-after", "Sun, 22 Nov 2026 18:00:30 GMT", Some(30_000)),
            ("retry-after", "Sun, 22 Nov 2026 17:00:00 GMT", Some(0)),
            ("retry-after", "Sun, 22 Nov 2026", None),
            ("retry-after-ms", "250", Some(250)),
        ] {
            let wait = read(&[(name, value)]).wait();
            assert_eq!(wait, expected.map(Duration::from_millis), "{name}: {value}");
        }
        assert_eq!(read(&[("retry-after", "9"), ("retry-after-ms", "100")]).wait(), Some(Duration::from_millis(100)));
    }

    #[test]
    fn both_families_are_read() {
        let new = read(&[
            ("x-ratelimit-limit-req-minute", "60"),
            ("x-ratelimit-remaining-req-minute", "59"),
            ("x-ratelimit-limit-tokens-minute", "500000"),
            ("x-ratelimit-remaining-tokens-minute", "0"),
            ("x-ratelimit-tokens-query-cost", "32"),
        ]);
        assert_eq!(new.requests_minute, Bucket { limit: Some(60), remaining: Some(59) });
        assert_eq!(new.tokens_minute, Bucket { limit: Some(500_000), remaining: Some(0) });
        assert_eq!(new.wait(), Some(Duration::from_secs(60)));
        assert!(!new.never());

        let old = read(&[
            ("ratelimitbysize-limit", "500000"),
            ("ratelimitbysize-remaining", "0"),
            ("ratelimitbysize-reset", "22"),
            ("x-ratelimitbysize-limit-month", "1000000000"),
            ("x-ratelimitbysize-remaining-month", "0"),
        ]);
        assert_eq!(old.wait(), Some(Duration::from_secs(22)));
        assert!(old.month_spent());
    }

    #[test]
    fn a_limit_of_zero_means_never() {
        let limits = read(&[("x-ratelimit-limit-tokens-minute", "0"), ("x-ratelimit-remaining-tokens-minute", "0")]);
        assert!(limits.never());
        assert_eq!(limits.wait(), None);
    }

    #[test]
    fn nothing_is_derived_from_nothing() {
        assert_eq!(read(&[]), Limits::default());
        assert_eq!(read(&[]).wait(), None);
        assert_eq!(read(&[("x-ratelimit-limit-req-minute", "many")]), Limits::default());
    }
}
