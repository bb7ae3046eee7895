//! Times as clients write them.

use jiff::fmt::temporal::Pieces;
use jiff::tz::Offset;
use jiff::{RoundMode, Timestamp, TimestampRound, Unit};
use serde::{Deserialize, Deserializer};

use crate::http::ApiError;

/// A duration. JavaScript's clocks count fractions, and clocks that were set back count less than nothing.
#[derive(Clone, Copy)]
pub(super) struct Milliseconds(pub(super) u64);

impl<'de> Deserialize<'de> for Milliseconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The conversion saturates; what is below zero is zero. Clients in Java read no more in a search.
        f64::deserialize(deserializer).map(|number| Self((number.round() as u64).min(i32::MAX as u64)))
    }
}

/// Reads an ISO 8601 time; one without a zone is UTC, a date alone its first instant. Empty is none. What is too near to
/// the ends of the calendar for every zone to have it is the first or the last time that there is.
pub(super) fn read(field: &'static str, text: Option<String>) -> Result<Option<Timestamp>, ApiError> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    let Ok(pieces) = Pieces::parse(&text) else {
        return Err(ApiError::field(field, "expected an ISO 8601 time, such as 2026-11-20T09:15:00Z"));
    };
    let civil = pieces.date().to_datetime(pieces.time().unwrap_or_default());
    let end = if civil.year() > 0 { Timestamp::MAX } else { Timestamp::MIN };
    Ok(Some(pieces.to_numeric_offset().unwrap_or(Offset::UTC).to_timestamp(civil).unwrap_or(end)))
}

/// Now, to the millisecond.
pub(super) fn now() -> Timestamp {
    let now = Timestamp::now();
    now.round(TimestampRound::new().smallest(Unit::Millisecond).mode(RoundMode::Trunc)).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_with_and_without_a_zone_are_read() {
        for (text, expected) in [
            ("2026-11-20T09:15:02Z", "2026-11-20T09:15:02Z"),
            ("2026-11-20T09:15:02.123456+00:00", "2026-11-20T09:15:02.123456Z"),
            ("2026-11-20T10:15:02+01:00", "2026-11-20T09:15:02Z"),
            ("2026-11-20T09:15:02.5", "2026-11-20T09:15:02.5Z"),
            ("2026-11-20T09:15:02", "2026-11-20T09:15:02Z"),
            ("2026-11-20 09:15:02", "2026-11-20T09:15:02Z"),
            ("2026-11-20", "2026-11-20T00:00:00Z"),
            ("9999-12-31T23:59:59", "9999-12-30T22:00:00.999999999Z"),
            ("9999-12-31T23:59:59Z", "9999-12-30T22:00:00.999999999Z"),
            ("9999-12-31T23:59:59.999999-12:00", "9999-12-30T22:00:00.999999999Z"),
            ("0001-01-01T00:00:00", "0001-01-01T00:00:00Z"),
            ("0001-01-01T00:00:00+14:00", "0000-12-31T10:00:00Z"),
            ("-009999-01-01T00:00:00", "-009999-01-02T01:59:59Z"),
        ] {
            assert_eq!(read("start_time", Some(text.into())).unwrap().unwrap().to_string(), expected, "{text}");
        }
        assert_eq!(read("start_time", Some(String::new())).unwrap(), None);
        for text in ["yesterday", "2026-13-01T00:00:00Z", "1700000000"] {
            let error = read("start_time", Some(text.into())).unwrap_err().to_string();
            assert!(error.starts_with("start_time: "), "{text}: {error}");
        }
    }

    #[test]
    fn now_has_milliseconds() {
        assert!(now().to_string().len() <= "2026-11-20T09:15:02.123Z".len());
    }
}
