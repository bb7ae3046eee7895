//! What a caller asks of a model. The parts that have a form in OpenAI's API are read and written in that form.

use std::collections::BTreeMap;

use serde::de::Error;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::{
    AsWritten, CacheControl, CachePoints, Json, Message, Object, Part, Room, Task, ToolChoice, VectorForm,
    whole_characters,
};

/// What a caller asks of a model. What is `None` or empty was not asked for and is not sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChatRequest {
    /// Whose data it is. The gateway says so, and it is sent to nobody.
    pub tenant: String,
    /// What is wanted.
    pub task: Task,
    /// The model, as the caller named it; the provider's default where absent.
    pub model: Option<String>,
    /// The conversation. Never empty.
    pub messages: Vec<Message>,
    /// The parts of it up to which the vendor's cache is to keep the prompt.
    pub cache: CachePoints,
    /// The names of those who speak, by the number of their message: callers' text that policies do not see.
    pub names: BTreeMap<usize, String>,
    /// The most tokens that the answer may have.
    pub max_tokens: Option<u32>,
    /// Sampling temperature.
    pub temperature: Option<f64>,
    /// Nucleus sampling.
    pub top_p: Option<f64>,
    /// How many answers are wanted.
    pub n: Option<u32>,
    /// Texts at which the answer ends.
    pub stop: Vec<String>,
    /// Makes sampling repeatable where the vendor can.
    pub seed: Option<i64>,
    /// Against words that were there at all.
    pub presence_penalty: Option<f64>,
    /// Against words by how often they were there.
    pub frequency_penalty: Option<f64>,
    /// What the model may ask to be run.
    pub tools: Vec<Tool>,
    /// Whether it must.
    pub tool_choice: Option<ToolChoice>,
    /// Whether it may ask for several at once.
    pub parallel_tool_calls: Option<bool>,
    /// The form of the answer.
    pub response_format: Option<ResponseFormat>,
    /// How many messages each conversation has, of [`Task::ModerateChats`].
    pub lengths: Vec<usize>,
    /// The form of vectors, of [`Task::Embed`].
    pub vectors: VectorForm,
    /// How long to think.
    pub reasoning_effort: Option<ReasoningEffort>,
    /// Fields of a body that have no place above: passed on to providers of OpenAI's dialect, left out with a note for those
    /// that refuse what they do not know.
    pub extra: BTreeMap<String, AsWritten>,
}

impl ChatRequest {
    /// About what it takes in memory beside its texts, with the copy that is made of it on its way.
    pub(crate) fn room(&self) -> usize {
        let parts: usize = self.messages.iter().map(|message| message.parts.capacity()).sum();
        let listed = size_of_val(self.messages.as_slice())
            + parts * size_of::<Part>()
            + size_of_val(self.tools.as_slice())
            + size_of_val(self.stop.as_slice());
        2 * listed + self.extra.values().map(|field| Room::ENTRY + field.room()).sum::<usize>()
    }
}

/// A function that the model may ask to be run.
#[derive(Clone, Debug, PartialEq)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// What it does, for the model.
    pub description: Option<String>,
    /// Its arguments; none where absent.
    pub parameters: Option<Schema>,
    /// Whether arguments must follow the schema exactly.
    pub strict: Option<bool>,
    /// Whether the vendor's cache is to keep the tools up to this one.
    pub cache: Option<CacheControl>,
}

/// The form of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum ResponseFormat {
    /// Text.
    Text,
    /// Some JSON object.
    JsonObject,
    /// JSON that a schema describes.
    JsonSchema(JsonSchema),
}

/// The schema of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(expecting = "an object with a `name` and a `schema`")]
pub struct JsonSchema {
    /// Its name.
    pub name: String,
    /// What it is for, for the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The schema.
    pub schema: Schema,
    /// Whether the answer must follow it exactly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
}

/// How long a model that reasons is to think, the shortest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReasoningEffort {
    /// Not at all.
    None,
    /// As little as possible.
    Minimal,
    /// Little.
    Low,
    /// As usual.
    Medium,
    /// Much.
    High,
    /// More.
    Xhigh,
    /// As much as possible.
    Max,
}

/// A JSON schema: an object, kept as the text that the caller wrote, since models answer in the order of its keys.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Schema(Json);

impl Schema {
    /// As it was written.
    pub fn get(&self) -> &str {
        self.0.get()
    }

    /// The same, to be written into JSON as it is.
    pub(crate) fn raw(&self) -> &RawValue {
        self.0.raw()
    }
}

impl<'de> Deserialize<'de> for Schema {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Json::deserialize(deserializer)?;
        if !json.get().starts_with('{') {
            return Err(D::Error::custom("expected an object, which a JSON schema is"));
        }
        // Nobody reads the text on its way, so that half a character in it would be no error before the vendor's.
        if !["\\ud", "\\uD"].iter().any(|half| json.get().contains(half)) {
            return Ok(Self(json));
        }
        let whole =
            String::from_utf8(whole_characters(json.get().as_bytes()).into_owned()).map_err(D::Error::custom)?;
        RawValue::from_string(whole).map(|raw| Self(raw.into())).map_err(D::Error::custom)
    }
}

/// The one type of tool that there is here.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ToolType {
    #[default]
    Function,
}

impl Serialize for Tool {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Function<'a> {
            name: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            description: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            parameters: Option<&'a Schema>,
            #[serde(skip_serializing_if = "Option::is_none")]
            strict: Option<bool>,
        }
        let function = Function {
            name: &self.name,
            description: self.description.as_deref(),
            parameters: self.parameters.as_ref(),
            strict: self.strict,
        };
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("type", &ToolType::Function)?;
        map.serialize_entry("function", &function)?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for Tool {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(expecting = "an object with a `name`")]
        struct Function {
            name: String,
            description: Option<String>,
            parameters: Option<Schema>,
            strict: Option<bool>,
            cache_control: Option<Object<CacheControl>>,
        }
        #[derive(Deserialize)]
        #[serde(expecting = "an object with a `function`")]
        struct Wire {
            #[serde(default, rename = "type")]
            _type: ToolType,
            function: Object<Function>,
            cache_control: Option<Object<CacheControl>>,
        }
        let Object(Wire { function, cache_control, .. }) = Deserialize::deserialize(deserializer)?;
        let Object(Function { name, description, parameters, strict, cache_control: inside }) = function;
        let cache = cache_control.or(inside).map(|Object(control)| control);
        Ok(Self { name, description, parameters, strict, cache })
    }
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FormatType {
    Text,
    JsonObject,
    JsonSchema,
}

impl Serialize for ResponseFormat {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (format, schema) = match self {
            Self::Text => (FormatType::Text, None),
            Self::JsonObject => (FormatType::JsonObject, None),
            Self::JsonSchema(schema) => (FormatType::JsonSchema, Some(schema)),
        };
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", &format)?;
        if let Some(schema) = schema {
            map.serialize_entry("json_schema", schema)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for ResponseFormat {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(expecting = "an object with a `type`")]
        struct Wire {
            r#type: FormatType,
            json_schema: Option<Object<JsonSchema>>,
        }
        let Object(Wire { r#type, json_schema }) = Deserialize::deserialize(deserializer)?;
        match (r#type, json_schema) {
            (FormatType::Text, _) => Ok(Self::Text),
            (FormatType::JsonObject, _) => Ok(Self::JsonObject),
            (FormatType::JsonSchema, Some(Object(schema))) => Ok(Self::JsonSchema(schema)),
            (FormatType::JsonSchema, None) => Err(D::Error::missing_field("json_schema")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_tool_is_read_and_written_as_openai_does() {
        let full = r#"{"type":"function","function":{"name":"look","description":"Looks","parameters":{"z":1,"a":{}},"strict":true}}"#;
        let tool: Tool = serde_json::from_str(full).unwrap();
        assert_eq!(tool.parameters.as_ref().unwrap().get(), r#"{"z":1,"a":{}}"#);
        assert_eq!(serde_json::to_string(&tool).unwrap(), full);
        let bare: Tool = serde_json::from_value(json!({"function": {"name": "look"}})).unwrap();
        assert_eq!(serde_json::to_value(bare).unwrap(), json!({"type": "function", "function": {"name": "look"}}));
        for wrong in [
            json!({"type": "web_search", "function": {"name": "x"}}),
            json!({"type": "function"}),
            json!({"type": "function", "function": {"name": "x", "parameters": []}}),
        ] {
            assert!(serde_json::from_value::<Tool>(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_schema_holds_no_half_of_a_character() {
        for (written, expected) in [
            (r#"{"b": "cut \ud83d", "a":1}"#, r#"{"b": "cut \ufffd", "a":1}"#),
            (r#"{"\uDE00":"\ud83d\ude00 \\ud83d ü"}"#, r#"{"\ufffd":"\ud83d\ude00 \\ud83d ü"}"#),
        ] {
            assert_eq!(serde_json::from_str::<Schema>(written).unwrap().get(), expected);
        }
    }

    #[test]
    fn a_response_format_keeps_its_schema_as_written() {
        for wire in [
            r#"{"type":"text"}"#,
            r#"{"type":"json_object"}"#,
            r#"{"type":"json_schema","json_schema":{"name":"n","schema":{"b":1,"a":2},"strict":true}}"#,
        ] {
            let format: ResponseFormat = serde_json::from_str(wire).unwrap();
            assert_eq!(serde_json::to_string(&format).unwrap(), wire);
        }
        for wrong in [
            json!({"type": "xml"}),
            json!({"type": "json_schema"}),
            json!({"type": "json_schema", "json_schema": {"name": "n", "schema": true}}),
        ] {
            assert!(serde_json::from_value::<ResponseFormat>(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
