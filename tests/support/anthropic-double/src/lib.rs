//! An offline double of Anthropic's Messages API.
//!
//! It refuses what Anthropic's documentation says is refused (unknown fields at every level, a missing bound, turns that do
//! not alternate, tools' answers to calls that nobody made, a fifth `cache_control`, sampling where the model has none, wrong keys) and can be told
//! what to answer or how to fail. What it accepts it answers with an echo.
//!
//! | module | holds |
//! |---|---|
//! | `check` | what is refused, and how |
//! | `binding` | to what a model's thoughts are bound |
//! | `schema` | to which schemas a model can be held |
//! | `answer` | what is answered |

mod answer;
mod binding;
mod check;
mod schema;

use double::{Answer, Double, ReceivedRequest, Refusal, Script, Scripted, Vendor};
use serde_json::{Value, json};

pub use check::MODELS;

/// The key that the double accepts.
pub const KEY: &str = "sk-ant-offline-key";

/// The signature under which the double takes reasoning back; give it with reasoning that it is to say. The newest model says
/// it with more behind it, and takes that back only behind the same instructions, tools and messages.
pub const SIGNATURE: &str = "EqQBCkYIAxgCIkDouble";

/// The id of every request.
const REQUEST_ID: &str = "req_011offline";

/// What is done with the next request that Anthropic would accept.
#[derive(Clone, Debug)]
pub enum Behaviour {
    /// These blocks, such as `[{"type":"text","text":"Hi"}]`.
    Content(Value),
    /// These blocks, of which a stream tells half.
    CutOff(Value),
    /// This status with this body.
    Fail(u16, Value),
}

impl Behaviour {
    /// An answer with this text.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::Content(json!([{ "type": "text", "text": text }]))
    }

    /// An answer that calls these tools: names and arguments.
    #[must_use]
    pub fn tool_calls(calls: &[(&str, Value)]) -> Self {
        let used = |(index, (name, input)): (usize, &(&str, Value))| json!({ "type": "tool_use", "id": format!("toolu_{index:024}"), "name": name, "input": input });
        Self::Content(calls.iter().enumerate().map(used).collect())
    }

    /// A server without capacity.
    #[must_use]
    pub fn overloaded() -> Self {
        Self::Fail(529, check::error("overloaded_error", "Overloaded"))
    }
}

/// Anthropic's API on a loopback port. It ends when it is dropped.
pub type AnthropicDouble = Double<Anthropic>;

/// What Anthropic takes, refuses and says.
#[derive(Debug, Default)]
pub struct Anthropic {
    script: Script<Behaviour>,
}

impl Scripted for Anthropic {
    type Behaviour = Behaviour;

    fn script(&self) -> &Script<Behaviour> {
        &self.script
    }
}

impl Vendor for Anthropic {
    fn answer(&self, request: &ReceivedRequest) -> Result<Answer, Refusal> {
        check::headers(request)?;
        match (request.method.as_str(), request.path()) {
            ("GET", "/v1/models") => Ok(Answer::json(200, &answer::models())),
            ("POST", "/v1/messages") => self.message(request),
            (method, path) => Err(check::no_route(method, path)),
        }
    }

    fn request_id(&self) -> Option<(&'static str, String)> {
        Some(("request-id", REQUEST_ID.to_owned()))
    }
}

impl Anthropic {
    fn message(&self, request: &ReceivedRequest) -> Result<Answer, Refusal> {
        let body: Value = serde_json::from_slice(&request.body).map_err(|_| check::not_json())?;
        check::messages_request(&body)?;
        let (content, cut_off) = match self.script.take() {
            Some(Behaviour::Fail(status, body)) => return Ok(Answer::json(status, &body)),
            Some(Behaviour::Content(content)) => (content, false),
            Some(Behaviour::CutOff(content)) => (content, true),
            None => (answer::echo(&body), false),
        };
        let message = answer::message(&body, &binding::signed(&content, &body));
        if body["stream"] == true {
            let events = cut(answer::events(&message), cut_off);
            return Ok(Answer::whole(200, Some("text/event-stream"), events));
        }
        Ok(Answer::json(200, &message))
    }
}

/// The events, or the first half of them.
fn cut(events: String, cut_off: bool) -> String {
    let whole = events.split_inclusive("\n\n").collect::<Vec<_>>();
    let told = if cut_off { whole.len() / 2 } else { whole.len() };
    whole.into_iter().take(told).collect()
}
