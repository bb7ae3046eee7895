//! Whether a model must ask for tools, and for which, in the forms that clients write.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Unexpected, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::request::ToolType;
use super::{ChatRequest, Object};

/// Whether the model must ask for tools.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolChoice {
    /// As the model likes.
    Auto,
    /// No tool.
    None,
    /// At least one. Mistral's `any` is read as this.
    Required,
    /// This one.
    Named(String),
}

/// The same as a caller writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolChoiceAsked {
    choice: ToolChoice,
    /// The functions that are left of the tools, where not all are: few vendors have a word for it.
    allowed: Option<BTreeSet<String>>,
}

impl ToolChoiceAsked {
    /// What it says in the word, if it is one.
    pub(crate) fn of_word(word: &str) -> Option<Self> {
        let choice = match word {
            "auto" => ToolChoice::Auto,
            "none" => ToolChoice::None,
            "required" | "any" => ToolChoice::Required,
            _ => return None,
        };
        Some(choice.into())
    }
}

impl From<ToolChoice> for ToolChoiceAsked {
    fn from(choice: ToolChoice) -> Self {
        Self { choice, allowed: None }
    }
}

impl ChatRequest {
    /// Takes the choice, and of the tools those that it leaves. Gives whether each function that it names is one of them.
    pub(crate) fn choose(&mut self, ToolChoiceAsked { choice, allowed }: ToolChoiceAsked) -> bool {
        let tools: BTreeSet<&str> = self.tools.iter().map(|tool| tool.name.as_str()).collect();
        let known = match (&choice, &allowed) {
            (ToolChoice::Named(name), _) => tools.contains(name.as_str()),
            (_, Some(allowed)) => allowed.iter().all(|name| tools.contains(name.as_str())),
            (_, None) => true,
        };
        if let Some(allowed) = allowed {
            self.tools.retain(|tool| allowed.contains(&tool.name));
        }
        self.tool_choice = Some(choice);
        known
    }
}

impl Serialize for ToolChoice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Function<'a> {
            name: &'a str,
        }
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::None => serializer.serialize_str("none"),
            Self::Required => serializer.serialize_str("required"),
            Self::Named(name) => {
                let mut map = serializer.serialize_map(Some(2))?;
                map.serialize_entry("type", &ToolType::Function)?;
                map.serialize_entry("function", &Function { name })?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for ToolChoiceAsked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AskedVisitor)
    }
}

struct AskedVisitor;

impl<'de> Visitor<'de> for AskedVisitor {
    type Value = ToolChoiceAsked;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("`auto`, `none`, `required` or a function's name in an object")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<ToolChoiceAsked, E> {
        ToolChoiceAsked::of_word(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ToolChoiceAsked, A::Error> {
        let Wire { kind, function, name, allowed_tools } = Wire::deserialize(MapAccessDeserializer::new(map))?;
        Ok(match kind {
            Kind::Function => ToolChoice::Named(named(function, name)?).into(),
            Kind::Auto => ToolChoice::Auto.into(),
            Kind::None => ToolChoice::None.into(),
            Kind::Required => ToolChoice::Required.into(),
            Kind::AllowedTools => {
                let Object(Allowed { mode, tools }) =
                    allowed_tools.ok_or_else(|| A::Error::missing_field("allowed_tools"))?;
                if tools.is_empty() {
                    return Err(A::Error::invalid_length(0, &"at least one function in `allowed_tools.tools`"));
                }
                let names = tools.into_iter().map(|Object(Entry { function, name, .. })| named(function, name));
                let choice = match mode {
                    Mode::Auto => ToolChoice::Auto,
                    Mode::Required => ToolChoice::Required,
                };
                ToolChoiceAsked { choice, allowed: Some(names.collect::<Result<_, _>>()?) }
            }
        })
    }
}

/// The name, which stands in the object of the chat's form and beside the type in that of OpenAI's newer API.
fn named<E: Error>(function: Option<Object<Function>>, name: Option<String>) -> Result<String, E> {
    function.map(|Object(function)| function.name).or(name).ok_or_else(|| E::missing_field("function"))
}

#[derive(Deserialize)]
struct Wire {
    #[serde(default, rename = "type")]
    kind: Kind,
    function: Option<Object<Function>>,
    name: Option<String>,
    allowed_tools: Option<Object<Allowed>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    #[default]
    Function,
    Auto,
    None,
    #[serde(alias = "any")]
    Required,
    AllowedTools,
}

#[derive(Deserialize)]
#[serde(expecting = "an object with a `name`")]
struct Function {
    name: String,
}

#[derive(Deserialize)]
#[serde(expecting = "an object with a `mode` and `tools`")]
struct Allowed {
    mode: Mode,
    tools: Vec<Object<Entry>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Auto,
    Required,
}

#[derive(Deserialize)]
#[serde(expecting = "an object with a `function`")]
struct Entry {
    #[serde(default, rename = "type")]
    _type: ToolType,
    function: Option<Object<Function>>,
    name: Option<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn asked(wire: &Value) -> serde_json::Result<ToolChoiceAsked> {
        serde_json::from_str(&wire.to_string())
    }

    /// What is left of the tools `look` and `see`, and whether all that the choice names are among them.
    fn chosen(wire: &Value) -> (Option<ToolChoice>, Vec<String>, bool) {
        let tools = json!([{ "function": { "name": "look" } }, { "function": { "name": "see" } }]);
        let mut chat =
            ChatRequest { tools: serde_json::from_str(&tools.to_string()).unwrap(), ..ChatRequest::default() };
        let known = chat.choose(asked(wire).unwrap());
        (chat.tool_choice, chat.tools.into_iter().map(|tool| tool.name).collect(), known)
    }

    #[test]
    fn a_tool_choice_is_written_as_openai_does() {
        for (wire, choice) in [
            (json!("auto"), ToolChoice::Auto),
            (json!("none"), ToolChoice::None),
            (json!("required"), ToolChoice::Required),
            (json!({ "type": "function", "function": { "name": "look" } }), ToolChoice::Named("look".into())),
        ] {
            assert_eq!(asked(&wire).unwrap(), choice.clone().into());
            assert_eq!(serde_json::to_value(&choice).unwrap(), wire);
        }
    }

    #[test]
    fn a_tool_choice_is_read_in_the_forms_of_clients() {
        for (wire, choice) in [
            (json!("any"), ToolChoice::Required),
            (json!({ "type": "auto" }), ToolChoice::Auto),
            (json!({ "type": "none" }), ToolChoice::None),
            (json!({ "type": "required" }), ToolChoice::Required),
            (json!({ "type": "any" }), ToolChoice::Required),
            (json!({ "type": "function", "name": "look" }), ToolChoice::Named("look".into())),
            (json!({ "function": { "name": "look" } }), ToolChoice::Named("look".into())),
        ] {
            assert_eq!(chosen(&wire), (Some(choice), vec!["look".into(), "see".into()], true), "{wire}");
        }
        for wrong in [
            json!("always"),
            json!(1),
            json!({}),
            json!({ "type": "function" }),
            json!({ "type": "function", "function": "look" }),
            json!({ "type": "custom", "custom": { "name": "x" } }),
            json!({ "type": "allowed_tools" }),
            json!({ "type": "allowed_tools", "allowed_tools": { "mode": "auto", "tools": [] } }),
            json!({ "type": "allowed_tools", "allowed_tools": { "mode": "none", "tools": [{ "name": "look" }] } }),
            json!({ "type": "allowed_tools", "allowed_tools": { "mode": "auto", "tools": [{ "type": "mcp" }] } }),
        ] {
            let error = asked(&wrong).unwrap_err().to_string();
            assert!(!error.contains("struct") && !error.contains("enum"), "{wrong}: {error}");
        }
    }

    #[test]
    fn of_the_tools_those_are_left_that_the_choice_allows() {
        let allowed = |mode: &str, tools: Value| json!({ "type": "allowed_tools", "allowed_tools": { "mode": mode, "tools": tools } });
        let see = json!([{ "type": "function", "function": { "name": "see" } }]);
        assert_eq!(chosen(&allowed("auto", see.clone())), (Some(ToolChoice::Auto), vec!["see".into()], true));
        assert_eq!(chosen(&allowed("required", see)), (Some(ToolChoice::Required), vec!["see".into()], true));
        let flat = json!([{ "type": "function", "name": "look" }]);
        assert_eq!(chosen(&allowed("auto", flat)), (Some(ToolChoice::Auto), vec!["look".into()], true));
        for unknown in [json!([{ "name": "see" }, { "name": "hear" }]), json!([{ "name": "hear" }])] {
            assert!(!chosen(&allowed("auto", unknown.clone())).2, "{unknown}");
        }
        assert!(!chosen(&json!({ "type": "function", "name": "hear" })).2);
    }
}
