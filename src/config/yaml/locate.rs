//! Finds the line of a key path, by reading the text a second time.
//!
//! The tree carries no lines. A deserializer that knows them adds the place of the value being visited to an error, so
//! the value sought answers with one.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::path::Segment;

/// Fails where the path ends. Succeeds when the path leads nowhere.
pub(super) struct Locate<'a> {
    path: &'a [Segment],
    /// How many keys that match the path's last segment are passed over.
    skip: usize,
}

impl<'a> Locate<'a> {
    pub(super) fn new(path: &'a [Segment], skip: usize) -> Self {
        Self { path, skip }
    }
}

impl<'de> DeserializeSeed<'de> for Locate<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.path {
            [] => deserializer.deserialize_any(Here),
            _ => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Locate<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the path")
    }

    fn visit_none<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let [segment, rest @ ..] = self.path else { return Err(A::Error::custom("here")) };
        let Segment::Key(wanted) = segment else { return Ok(()) };
        loop {
            let fails = rest.is_empty() && self.skip == 0;
            match map.next_key_seed(Name { wanted, fails })? {
                None => return Ok(()),
                Some(true) if rest.is_empty() => {
                    self.skip = self.skip.saturating_sub(1);
                    map.next_value::<IgnoredAny>()?;
                }
                Some(true) => map.next_value_seed(Locate { path: rest, skip: self.skip })?,
                Some(false) => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let [segment, rest @ ..] = self.path else { return Err(A::Error::custom("here")) };
        let Segment::Index(wanted) = segment else { return Ok(()) };
        for _ in 0..*wanted {
            if list.next_element::<IgnoredAny>()?.is_none() {
                return Ok(());
            }
        }
        list.next_element_seed(Locate { path: rest, skip: self.skip })?;
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

/// Compares a key; on a match it fails there if `fails`.
struct Name<'a> {
    wanted: &'a str,
    fails: bool,
}

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = bool;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<bool, E> {
        match key == self.wanted {
            true if self.fails => Err(E::custom("here")),
            found => Ok(found),
        }
    }
}

/// Accepts nothing, so that the reader reports the place. (Every `visit_` fails by default.)
struct Here;

impl Visitor<'_> for Here {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("another value")
    }
}
