//! Whole numbers as clients write them. JSON has one type of number, and some write one with a point: `200.0`.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};

/// The largest number below which each whole one has a float of its own.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// The number, if there is one.
pub(super) fn read<'de, N, D>(deserializer: D) -> Result<Option<N>, D::Error>
where
    N: TryFrom<i64> + TryFrom<u64>,
    D: Deserializer<'de>,
{
    let number = Option::<Whole<N>>::deserialize(deserializer)?;
    Ok(number.map(|Whole(number)| number))
}

struct Whole<N>(N);

impl<'de, N: TryFrom<i64> + TryFrom<u64>> Deserialize<'de> for Whole<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WholeVisitor(PhantomData))
    }
}

struct WholeVisitor<N>(PhantomData<N>);

impl<N: TryFrom<i64> + TryFrom<u64>> Visitor<'_> for WholeVisitor<N> {
    type Value = Whole<N>;

    /// As serde says it of numbers; [`super::body`] has the words for callers.
    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(std::any::type_name::<N>())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Whole<N>, E> {
        N::try_from(number).map(Whole).map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Whole<N>, E> {
        N::try_from(number).map(Whole).map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Whole<N>, E> {
        match number.fract() == 0.0 && number.abs() <= EXACT {
            true => self.visit_i64(number as i64),
            false => Err(E::invalid_value(Unexpected::Float(number), &self)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_may_have_a_point() {
        for (written, bound, seed) in [
            ("7", Some(7), Some(7)),
            ("200.0", Some(200), Some(200)),
            ("2e2", Some(200), Some(200)),
            ("-1.0", None, Some(-1)),
            ("4294967296.0", None, Some(4_294_967_296)),
            ("-9223372036854775808", None, Some(i64::MIN)),
            ("1.5", None, None),
            ("1e30", None, None),
            ("\"7\"", None, None),
        ] {
            let mut json = serde_json::Deserializer::from_str(written);
            assert_eq!(read::<u32, _>(&mut json).ok().flatten(), bound, "{written}");
            let mut json = serde_json::Deserializer::from_str(written);
            assert_eq!(read::<i64, _>(&mut json).ok().flatten(), seed, "{written}");
        }
        assert_eq!(read::<u32, _>(&mut serde_json::Deserializer::from_str("null")).unwrap(), None);
    }
}
