//! Keys of `context` that mean something here and nothing to AxonFlow, where they are the application's own: what has none of
//! the forms that OpenAI gives them is a fact, as under any other key.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::context::{Fact, FactVisitor};
use crate::chat::{ResponseFormat, Tool, ToolChoiceAsked};

/// The value of such a key.
pub(super) enum Extension<T> {
    /// In OpenAI's form.
    Asked(T),
    /// The application's own.
    Fact(Fact),
}

/// What OpenAI gives a form: `None` for values of other forms. Objects are taken at their word: what is wrong in one is
/// an error.
pub(super) trait Form: Sized {
    fn of_truth(_: bool) -> Option<Self> {
        None
    }

    fn of_text(_: &str) -> Option<Self> {
        None
    }

    fn of_list<'de, A: SeqAccess<'de>>(list: A) -> Result<Option<Self>, A::Error> {
        FactVisitor.visit_seq(list).map(|_| None)
    }

    fn of_object<'de, A: MapAccess<'de>>(object: A) -> Result<Option<Self>, A::Error> {
        FactVisitor.visit_map(object).map(|_| None)
    }
}

impl Form for String {
    fn of_text(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

impl Form for bool {
    fn of_truth(truth: bool) -> Option<Self> {
        Some(truth)
    }
}

impl Form for ToolChoiceAsked {
    fn of_text(text: &str) -> Option<Self> {
        Self::of_word(text)
    }

    fn of_object<'de, A: MapAccess<'de>>(object: A) -> Result<Option<Self>, A::Error> {
        Self::deserialize(MapAccessDeserializer::new(object)).map(Some)
    }
}

impl Form for ResponseFormat {
    fn of_object<'de, A: MapAccess<'de>>(object: A) -> Result<Option<Self>, A::Error> {
        Self::deserialize(MapAccessDeserializer::new(object)).map(Some)
    }
}

impl Form for Tool {
    fn of_object<'de, A: MapAccess<'de>>(object: A) -> Result<Option<Self>, A::Error> {
        Self::deserialize(MapAccessDeserializer::new(object)).map(Some)
    }
}

impl Form for Vec<Tool> {
    fn of_list<'de, A: SeqAccess<'de>>(mut list: A) -> Result<Option<Self>, A::Error> {
        let (mut tools, mut others) = (Self::new(), false);
        while let Some(value) = list.next_element()? {
            match value {
                Extension::Asked(tool) => tools.push(tool),
                Extension::Fact(_) => others = true,
            }
        }
        Ok((!others).then_some(tools))
    }
}

impl<'de, T: Form> Deserialize<'de> for Extension<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ExtensionVisitor(PhantomData))
    }
}

struct ExtensionVisitor<T>(PhantomData<T>);

impl<'de, T: Form> Visitor<'de> for ExtensionVisitor<T> {
    type Value = Extension<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        FactVisitor.expecting(formatter)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Extension<T>, E> {
        match T::of_text(text) {
            Some(asked) => Ok(Extension::Asked(asked)),
            None => FactVisitor.visit_str(text).map(Extension::Fact),
        }
    }

    fn visit_bool<E: Error>(self, truth: bool) -> Result<Extension<T>, E> {
        match T::of_truth(truth) {
            Some(asked) => Ok(Extension::Asked(asked)),
            None => FactVisitor.visit_bool(truth).map(Extension::Fact),
        }
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Extension<T>, E> {
        FactVisitor.visit_i64(number).map(Extension::Fact)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Extension<T>, E> {
        FactVisitor.visit_u64(number).map(Extension::Fact)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Extension<T>, E> {
        FactVisitor.visit_f64(number).map(Extension::Fact)
    }

    fn visit_unit<E: Error>(self) -> Result<Extension<T>, E> {
        Ok(Extension::Fact(Fact(None)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Extension<T>, A::Error> {
        Ok(T::of_list(list)?.map_or(Extension::Fact(Fact(None)), Extension::Asked))
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Extension<T>, A::Error> {
        Ok(T::of_object(object)?.map_or(Extension::Fact(Fact(None)), Extension::Asked))
    }
}
