//! Single values that carry their rule: the same type reads a YAML value and an environment variable.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use bytesize::ByteSize;
use serde::de::{Deserialize, Deserializer, Visitor};

/// A value that is written as text.
pub(super) trait FromText: Sized {
    /// What may be written, for errors.
    fn allowed() -> String;

    /// The value, if `text` is one.
    fn from_text(text: &str) -> Option<Self>;
}

/// Reads a [`FromText`] out of YAML.
#[derive(Clone, Debug)]
pub(super) struct Parsed<T>(pub(super) T);

impl<'de, T: FromText> Deserialize<'de> for Parsed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor(PhantomData)).map(Parsed)
    }
}

struct TextVisitor<T>(PhantomData<T>);

impl<T: FromText> Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&T::allowed())
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        T::from_text(text).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
    }
}

/// An integer from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whole<const MIN: i64, const MAX: i64>(i64);

impl<const MIN: i64, const MAX: i64> Whole<MIN, MAX> {
    fn new(value: i64) -> Option<Self> {
        (MIN..=MAX).contains(&value).then_some(Self(value))
    }

    /// The value in the type that is used; `MIN` and `MAX` must fit in it.
    pub(super) fn get<T: TryFrom<i64> + Default>(self) -> T {
        debug_assert!(T::try_from(MIN).is_ok() && T::try_from(MAX).is_ok());
        T::try_from(self.0).unwrap_or_default()
    }
}

impl<const MIN: i64, const MAX: i64> FromText for Whole<MIN, MAX> {
    fn allowed() -> String {
        format!("an integer from {MIN} to {MAX}")
    }

    fn from_text(text: &str) -> Option<Self> {
        text.trim().parse().ok().and_then(Self::new)
    }
}

impl<'de, const MIN: i64, const MAX: i64> Deserialize<'de> for Whole<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_i64(WholeVisitor)
    }
}

struct WholeVisitor<const MIN: i64, const MAX: i64>;

impl<const MIN: i64, const MAX: i64> Visitor<'_> for WholeVisitor<MIN, MAX> {
    type Value = Whole<MIN, MAX>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&Whole::<MIN, MAX>::allowed())
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Self::Value, E> {
        Whole::new(value).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Signed(value), &self))
    }
}

/// A number from 0 to `MAX`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share<const MAX: u32>(pub(super) f64);

impl<'de, const MAX: u32> Deserialize<'de> for Share<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_f64(ShareVisitor)
    }
}

struct ShareVisitor<const MAX: u32>;

impl<const MAX: u32> Visitor<'_> for ShareVisitor<MAX> {
    type Value = Share<MAX>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "a number from 0 to {MAX}")
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Self::Value, E> {
        let share = (0.0..=f64::from(MAX)).contains(&value).then_some(Share(value));
        share.ok_or_else(|| E::invalid_value(serde::de::Unexpected::Float(value), &self))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Self::Value, E> {
        self.visit_f64(value as f64)
    }
}

/// A duration from `MIN` to `MAX` milliseconds, written as `10s`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span<const MIN: u64, const MAX: u64>(pub(super) Duration);

impl<const MIN: u64, const MAX: u64> FromText for Span<MIN, MAX> {
    fn allowed() -> String {
        let shown = |millis| humantime::format_duration(Duration::from_millis(millis)).to_string().replace(' ', "");
        format!("a duration with its unit, such as \"2s\", from {} to {}", shown(MIN), shown(MAX))
    }

    fn from_text(text: &str) -> Option<Self> {
        let duration = humantime::parse_duration(text.trim()).ok()?;
        (Duration::from_millis(MIN)..=Duration::from_millis(MAX)).contains(&duration).then_some(Self(duration))
    }
}

/// A size from `MIN` to `MAX` bytes, written as `10MiB` or as a number of bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size<const MIN: u64, const MAX: u64>(u64);

impl<const MIN: u64, const MAX: u64> Size<MIN, MAX> {
    fn new(bytes: u64) -> Option<Self> {
        (MIN..=MAX).contains(&bytes).then_some(Self(bytes))
    }

    /// In bytes.
    pub(super) fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl<const MIN: u64, const MAX: u64> FromText for Size<MIN, MAX> {
    fn allowed() -> String {
        let shown = |bytes| ByteSize::b(bytes).display().iec().to_string().replace(".0 ", "").replace(' ', "");
        format!("a size such as \"10MiB\", or a number of bytes, from {} to {}", shown(MIN), shown(MAX))
    }

    fn from_text(text: &str) -> Option<Self> {
        text.trim().parse::<ByteSize>().ok().and_then(|size| Self::new(size.as_u64()))
    }
}

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Size<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SizeVisitor)
    }
}

struct SizeVisitor<const MIN: u64, const MAX: u64>;

impl<const MIN: u64, const MAX: u64> Visitor<'_> for SizeVisitor<MIN, MAX> {
    type Value = Size<MIN, MAX>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&Size::<MIN, MAX>::allowed())
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Size::from_text(text).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Self::Value, E> {
        let size = u64::try_from(value).ok().and_then(Size::new);
        size.ok_or_else(|| E::invalid_value(serde::de::Unexpected::Signed(value), &self))
    }
}

/// A name: letters, digits, `.`, `_` and `-`, beginning with a letter or digit, at most 63 characters.
#[derive(Clone, Debug)]
pub(super) struct Identifier(pub(super) String);

impl FromText for Identifier {
    fn allowed() -> String {
        "letters, digits, `.`, `_` and `-`, beginning with a letter or digit, at most 63".into()
    }

    fn from_text(text: &str) -> Option<Self> {
        let inside = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        (first && text.len() <= 63 && text.bytes().all(inside)).then(|| Self(text.into()))
    }
}

/// A text of one line that is not empty, at most 4096 bytes.
#[derive(Clone, Debug)]
pub(super) struct Line(pub(super) String);

impl FromText for Line {
    fn allowed() -> String {
        "a text of one line, not empty, at most 4096 bytes".into()
    }

    fn from_text(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty() && text.len() <= 4096 && !text.contains(char::is_control)).then(|| Self(text.into()))
    }
}
