//! `context`: the few keys that mean something to the gateway, and what policies are told of the rest.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::extension::Extension;
use super::name;
use crate::chat::{ResponseFormat, Tool, ToolChoiceAsked};
use crate::http::{ApiError, whole};
use crate::router::Preference;

/// Facts beyond these bounds are not passed on to policies; nothing else reads them.
const FACTS: usize = 64;
const FACT_NAME: usize = 128;
const FACT_VALUE: usize = 1_024;

/// A request's context.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Context {
    pub(super) provider: Option<String>,
    pub(super) strict_provider: bool,
    pub(super) model: Option<String>,
    /// Whether the answer is to come piece by piece.
    pub(super) stream: bool,
    pub(super) max_tokens: Option<u32>,
    pub(super) temperature: Option<f64>,
    pub(super) system_prompt: Option<String>,
    pub(super) tools: Vec<Tool>,
    pub(super) tool_choice: Option<ToolChoiceAsked>,
    pub(super) response_format: Option<ResponseFormat>,
    /// Texts, numbers and truth values under other keys.
    pub(super) facts: BTreeMap<String, String>,
}

impl Context {
    /// The provider that is wanted. `fallback` is what older clients write beside the context.
    pub(super) fn preference(&mut self, fallback: Option<String>) -> Result<Preference, ApiError> {
        let provider = match name("context.provider", self.provider.take())? {
            Some(provider) => Some(provider),
            None => name("llm_provider", fallback)?,
        };
        Ok(match (provider, self.strict_provider) {
            (None, _) => Preference::Any,
            (Some(provider), false) => Preference::Prefer(provider),
            (Some(provider), true) => Preference::Pin(provider),
        })
    }

    /// The model that is wanted.
    pub(super) fn model(&mut self, fallback: Option<String>) -> Result<Option<String>, ApiError> {
        match name("context.model", self.model.take())? {
            Some(model) => Ok(Some(model)),
            None => name("model", fallback),
        }
    }

    /// Adds a fact, within the bounds.
    pub(super) fn add_fact(&mut self, name: &str, value: String) {
        if self.facts.len() < FACTS && name.len() <= FACT_NAME && value.len() <= FACT_VALUE {
            self.facts.insert(name.to_owned(), value);
        }
    }

    /// What a key of ours asks for; what is the application's own is a fact.
    fn asked<T>(&mut self, key: &str, value: Extension<T>) -> Option<T> {
        match value {
            Extension::Asked(asked) => Some(asked),
            Extension::Fact(Fact(fact)) => {
                fact.into_iter().for_each(|fact| self.add_fact(key, fact));
                None
            }
        }
    }

    /// What policies are told, sorted by name.
    pub(super) fn attributes(&mut self) -> Vec<(String, String)> {
        std::mem::take(&mut self.facts).into_iter().collect()
    }
}

impl<'de> Deserialize<'de> for Context {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ContextVisitor { asks: true })
    }
}

/// The context of a pre-check, which asks no model: what would be said to one is a fact like others.
#[derive(Debug, Default)]
pub(super) struct CheckedContext(pub(super) Context);

impl<'de> Deserialize<'de> for CheckedContext {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ContextVisitor { asks: false }).map(Self)
    }
}

/// A bound on tokens. None are no bound: Go's client writes them where its caller gave none.
struct MaxTokens(Option<u32>);

impl<'de> Deserialize<'de> for MaxTokens {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bound: Option<u32> = whole::read(deserializer)?;
        Ok(Self(bound.filter(|bound| *bound > 0)))
    }
}

struct ContextVisitor {
    /// Whether a model is asked.
    asks: bool,
}

impl<'de> Visitor<'de> for ContextVisitor {
    type Value = Context;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Context, A::Error> {
        let mut context = Context::default();
        while let Some(Key(key)) = map.next_key()? {
            match &*key {
                "provider" if self.asks => context.provider = map.next_value()?,
                "model" if self.asks => context.model = map.next_value()?,
                // Without a model to ask, one that cannot be is no reason to leave a prompt unjudged: there are clients that
                // take a refusal of their request for an outage, and go on without an answer.
                "provider" => context.provider = context.asked(&key, map.next_value()?),
                "model" => context.model = context.asked(&key, map.next_value()?),
                "system_prompt" => context.system_prompt = map.next_value()?,
                "strict_provider" if self.asks => {
                    context.strict_provider = map.next_value::<Option<bool>>()?.unwrap_or(false);
                }
                "max_tokens" if self.asks => context.max_tokens = map.next_value::<MaxTokens>()?.0,
                "stream" if self.asks => {
                    context.stream = context.asked(&key, map.next_value()?).unwrap_or_default();
                }
                "temperature" if self.asks => context.temperature = map.next_value()?,
                "tools" if self.asks => {
                    context.tools = context.asked(&key, map.next_value()?).unwrap_or_default();
                }
                "tool_choice" if self.asks => context.tool_choice = context.asked(&key, map.next_value()?),
                "response_format" if self.asks => {
                    context.response_format = context.asked(&key, map.next_value()?);
                }
                _ => {
                    if let Fact(Some(value)) = map.next_value()? {
                        context.add_fact(&key, value);
                    }
                }
            }
        }
        Ok(context)
    }
}

/// A key, borrowed from the body unless it holds escapes.
struct Key<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(key)))
            }

            fn visit_str<E>(self, key: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(key.to_owned())))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}

/// A value as text; `None` for what is none: null, lists and objects.
pub(super) struct Fact(pub(super) Option<String>);

impl<'de> Deserialize<'de> for Fact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FactVisitor)
    }
}

pub(super) struct FactVisitor;

impl<'de> Visitor<'de> for FactVisitor {
    type Value = Fact;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Fact, E> {
        Ok(Fact((text.len() <= FACT_VALUE).then(|| text.to_owned())))
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Fact, E> {
        Ok(Fact(Some(truth.to_string())))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Fact, E> {
        Ok(Fact(Some(number.to_string())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Fact, E> {
        Ok(Fact(Some(number.to_string())))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Fact, E> {
        Ok(Fact(Some(number.to_string())))
    }

    fn visit_unit<E>(self) -> Result<Fact, E> {
        Ok(Fact(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Fact, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Fact(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Fact, A::Error> {
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Fact(None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::ToolChoice;

    #[test]
    fn known_keys_are_read_and_the_rest_is_told_to_policies() {
        let json = r#"{"provider":"mistral","strict_provider":true,"model":null,"max_tokens":200,"temperature":1,
            "system_prompt":"Be brief.","department":"it","urgent":true,"level":-3,"share":0.5,"rows":[1,{"a":2}],
            "nested":{"b":[null]},"nothing":null,"q\"uote":"x"}"#;
        let mut context: Context = serde_json::from_str(json).unwrap();
        assert_eq!(context.max_tokens, Some(200));
        assert_eq!(context.temperature, Some(1.0));
        assert_eq!(context.preference(Some("other".into())).unwrap(), Preference::Pin("mistral".into()));
        assert_eq!(context.model(Some("large".into())).unwrap().as_deref(), Some("large"));
        let attributes = context.attributes();
        let shown: Vec<_> = attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(
            shown,
            [("department", "it"), ("level", "-3"), ("q\"uote", "x"), ("share", "0.5"), ("urgent", "true")]
        );
    }

    #[test]
    fn a_bound_on_tokens_is_read_as_clients_write_it() {
        for (written, expected) in [("0", None), ("200.0", Some(200)), ("null", None), ("7", Some(7))] {
            let context: Context = serde_json::from_str(&format!("{{\"max_tokens\":{written}}}")).unwrap();
            assert_eq!(context.max_tokens, expected, "{written}");
        }
    }

    #[test]
    fn in_a_pre_check_what_is_for_a_model_is_a_fact() {
        let json = r#"{"provider":"mistral","tools":["web_search"],"stream":"billing","tool_choice":{"type":"auto"},
            "max_tokens":-1,"response_format":"json","strict_provider":"yes"}"#;
        let CheckedContext(mut context) = serde_json::from_str(json).unwrap();
        assert_eq!(context.provider.as_deref(), Some("mistral"));
        for (json, told) in [
            (r#"{"provider":7,"model":true}"#, &[("model", "true"), ("provider", "7")][..]),
            (r#"{"provider":["a"],"model":{"name":"b"}}"#, &[]),
            (r#"{"provider":null,"model":null}"#, &[]),
        ] {
            let CheckedContext(mut context) = serde_json::from_str(json).unwrap();
            assert_eq!((&context.provider, &context.model), (&None, &None), "{json}");
            let told: Vec<_> = told.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
            assert_eq!(context.attributes(), told, "{json}");
        }
        assert!(serde_json::from_str::<CheckedContext>(r#"{"system_prompt":7}"#).is_err());
        let attributes = context.attributes();
        let told: Vec<_> = attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let expected =
            [("max_tokens", "-1"), ("response_format", "json"), ("stream", "billing"), ("strict_provider", "yes")];
        assert_eq!(told, expected);
    }

    #[test]
    fn what_is_not_in_openais_form_is_the_applications_own() {
        let json =
            r#"{"tools":["crm","search"],"response_format":"markdown","stream":"billing","tool_choice":"always"}"#;
        let mut context: Context = serde_json::from_str(json).unwrap();
        assert!(!context.stream && context.tools.is_empty());
        assert_eq!((&context.tool_choice, &context.response_format), (&None, &None));
        let attributes = context.attributes();
        let told: Vec<_> = attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(told, [("response_format", "markdown"), ("stream", "billing"), ("tool_choice", "always")]);

        for own in [r#"{"stream":1}"#, r#"{"stream":{}}"#, r#"{"tools":7}"#, r#"{"tools":{"crm":true}}"#] {
            let context: Context = serde_json::from_str(own).unwrap();
            assert!(!context.stream && context.tools.is_empty(), "{own}");
        }
        let json = r#"{"stream":true,"tools":[{"function":{"name":"look"}}],"tool_choice":"any",
            "response_format":{"type":"json_object"}}"#;
        let mut context: Context = serde_json::from_str(json).unwrap();
        assert!(context.stream && context.tools[0].name == "look");
        assert_eq!(context.tool_choice, Some(ToolChoice::Required.into()));
        assert_eq!(context.response_format, Some(ResponseFormat::JsonObject));
        assert_eq!(context.attributes(), []);
        let nothing = r#"{"stream":null,"tools":null,"tool_choice":null,"response_format":null}"#;
        assert_eq!(serde_json::from_str::<Context>(nothing).unwrap(), Context::default());
    }

    #[test]
    fn facts_are_bounded() {
        let entries: Vec<_> = (0..200).map(|index| format!("\"key{index}\":{index}")).collect();
        let json = format!("{{\"long\":\"{}\",{}}}", "x".repeat(2_000), entries.join(","));
        let context: Context = serde_json::from_str(&json).unwrap();
        assert_eq!(context.facts.len(), FACTS);
        assert!(!context.facts.contains_key("long"));
    }

    #[test]
    fn a_value_of_a_wrong_type_is_an_error() {
        for json in [
            r#"{"provider":7}"#,
            r#"{"strict_provider":"yes"}"#,
            r#"{"max_tokens":"many"}"#,
            r#"{"max_tokens":-1}"#,
            r#"{"max_tokens":1.5}"#,
            r#"{"temperature":"hot"}"#,
            r#"{"system_prompt":{}}"#,
            r#"{"tools":[{"type":"web_search"}]}"#,
            r#"{"tool_choice":{"type":"custom"}}"#,
            r#"{"response_format":{"type":"markdown"}}"#,
            r#""text""#,
            r#"[]"#,
        ] {
            assert!(serde_json::from_str::<Context>(json).is_err(), "{json}");
        }
        let mut context: Context = serde_json::from_str(r#"{"provider":"a\nb"}"#).unwrap();
        assert!(context.preference(None).unwrap_err().to_string().starts_with("context.provider: "));
    }
}
