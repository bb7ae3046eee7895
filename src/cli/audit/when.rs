//! Moments as people type them.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// Reads a time, with or without a zone (then UTC), a date, or an age such as `24h` or `90d`.
pub(super) fn read(text: &str) -> Result<Timestamp, String> {
    let age = || {
        let age = SignedDuration::try_from(humantime::parse_duration(text).ok()?).ok()?;
        Timestamp::now().checked_sub(age).ok()
    };
    let in_utc = || text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok().map(|it| it.timestamp());
    text.parse().ok().or_else(in_utc).or_else(age).ok_or_else(|| {
        "expected a time such as 2026-11-20T09:15:00Z or 2026-11-20, or an age such as 24h or 90d".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_dates_and_ages_are_read_and_anything_else_is_refused() {
        let read_as = |text: &str| read(text).unwrap().to_string();
        assert_eq!(read_as("2026-11-20T10:15:02+01:00"), "2026-11-20T09:15:02Z");
        assert_eq!(read_as("2026-11-20"), "2026-11-20T00:00:00Z");
        for (age, hours) in [("24h", 24), ("7d", 168)] {
            let then = read(age).unwrap();
            assert_eq!(Timestamp::now().duration_since(then).as_hours(), hours, "{age}");
        }
        for text in ["", "yesterday", "24", "-1h", "99999999999999y"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
