//! How long an upstream asks to wait.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::HeaderMap;

/// No wait that an upstream asks for is taken to be longer than this.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// `Retry-After` in each of its forms, in an answer that came at `now`.
pub(crate) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    text(headers, "retry-after-ms")
        .and_then(milliseconds)
        .or_else(|| text(headers, "retry-after").and_then(|text| seconds(text).or_else(|| until(text, now))))
}

/// A time until a limit is full again, as OpenAI writes it: `6m0s`, `1.5s`, `20ms`.
pub(crate) fn reset(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|character: char| !character.is_ascii_digit() && character != '.')?;
        let (number, after) = rest.split_at_checked(digits)?;
        let number: f64 = number.parse().ok()?;
        let (unit, after) = match after {
            _ if after.starts_with("ms") => (0.001, after.get(2..)?),
            _ if after.starts_with('s') => (1.0, after.get(1..)?),
            _ if after.starts_with('m') => (60.0, after.get(1..)?),
            _ if after.starts_with('h') => (3600.0, after.get(1..)?),
            _ if after.starts_with('d') => (86_400.0, after.get(1..)?),
            _ => return None,
        };
        total += number * unit;
        rest = after;
    }
    (!text.is_empty() && f64::is_finite(total)).then(|| Duration::from_secs_f64(total.min(LONGEST_WAIT.as_secs_f64())))
}

/// A header as text.
pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// A number of seconds.
pub(crate) fn seconds(text: &str) -> Option<Duration> {
    duration(text, 1.0)
}

fn milliseconds(text: &str) -> Option<Duration> {
    duration(text, 1000.0)
}

/// A non-negative number of units, of which there are `per_second`.
fn duration(text: &str, per_second: f64) -> Option<Duration> {
    let number: f64 = text.parse().ok()?;
    if !number.is_finite() || number < 0.0 {
        return None;
    }
    Some(Duration::from_secs_f64((number / per_second).min(LONGEST_WAIT.as_secs_f64())))
}

/// The time until an HTTP date; nothing if it is past.
fn until(text: &str, now: Timestamp) -> Option<Duration> {
    let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    let wait = Duration::try_from(date.duration_since(now)).unwrap_or(Duration::ZERO);
    Some(wait.min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_is_read_in_every_unit() {
        for (text, expected) in [
            ("1s", Some(1_000)),
            ("6m0s", Some(360_000)),
            ("1h2m3.5s", Some(3_723_500)),
            ("20ms", Some(20)),
            ("999d", Some(86_400_000)),
            ("", None),
            ("7", None),
            ("soon", None),
            ("1..2s", None),
            ("-1s", None),
        ] {
            assert_eq!(reset(text), expected.map(Duration::from_millis), "{text}");
        }
    }
}
