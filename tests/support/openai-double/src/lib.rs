//! An offline double of OpenAI's chat API.
//!
//! It refuses what OpenAI's documentation says is refused (unknown fields at every level, values out of range, tools'
//! answers to calls that nobody made, unknown models, wrong keys) and can be told what to answer or how to fail. What it
//! accepts it answers with an echo.
//!
//! | module | holds |
//! |---|---|
//! | `check` | what is refused, and how |
//! | `answer` | what is answered |
//! | `stream` | the same piece by piece, and how that breaks |

mod answer;
mod check;
mod stream;

use double::{Answer, Double, ReceivedRequest, Refusal, Script, Scripted, Vendor};
use serde_json::{Value, json};

pub use check::MODELS;
pub use stream::StreamFault;

/// The key that the double accepts.
pub const KEY: &str = "sk-offline-openai-key";

/// What is done with the next request that OpenAI would accept.
#[derive(Clone, Debug)]
pub enum Behaviour {
    /// This message in each choice, such as `{"role":"assistant","content":"Hi"}`.
    Message(Value),
    /// This status with this body.
    Fail(u16, Value),
    /// An echo that breaks after so many chunks, if it streams.
    Break(usize, StreamFault),
}

impl Behaviour {
    /// An answer with this text.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::Message(json!({ "role": "assistant", "content": text, "refusal": null }))
    }

    /// An answer that calls these tools: names and arguments.
    #[must_use]
    pub fn tool_calls(calls: &[(&str, Value)]) -> Self {
        let calls: Vec<Value> = calls
            .iter()
            .enumerate()
            .map(|(index, (name, arguments))| {
                json!({ "id": format!("call_{index:024}"), "type": "function",
                    "function": { "name": name, "arguments": arguments.to_string() } })
            })
            .collect();
        Self::Message(json!({ "role": "assistant", "content": null, "tool_calls": calls, "refusal": null }))
    }

    /// A stream that fails after so many chunks; the first carries the role, the second the first text. A request that
    /// does not stream gets its whole answer.
    #[must_use]
    pub fn break_stream(after: usize, fault: StreamFault) -> Self {
        Self::Break(after, fault)
    }

    /// A failure of the server.
    #[must_use]
    pub fn server_error() -> Self {
        let message = "The server had an error while processing your request.";
        Self::Fail(500, check::error(message, "server_error", None, None))
    }
}

/// OpenAI's API on a loopback port. It ends when it is dropped.
pub type OpenAiDouble = Double<OpenAi>;

/// What OpenAI takes, refuses and says.
#[derive(Debug, Default)]
pub struct OpenAi {
    script: Script<Behaviour>,
}

impl Scripted for OpenAi {
    type Behaviour = Behaviour;

    fn script(&self) -> &Script<Behaviour> {
        &self.script
    }
}

impl Vendor for OpenAi {
    fn answer(&self, request: &ReceivedRequest) -> Result<Answer, Refusal> {
        check::key(request)?;
        match (request.method.as_str(), request.path()) {
            ("GET", "/v1/models") => Ok(Answer::json(200, &answer::models())),
            ("POST", "/v1/chat/completions") => self.chat(request),
            (method, path) => Err(check::no_route(method, path)),
        }
    }

    fn request_id(&self) -> Option<(&'static str, String)> {
        Some(("x-request-id", "req_0123456789abcdef".to_owned()))
    }
}

impl OpenAi {
    fn chat(&self, request: &ReceivedRequest) -> Result<Answer, Refusal> {
        let body: Value = serde_json::from_slice(&request.body).map_err(|_| check::not_json())?;
        check::chat(&body)?;
        let (message, fault) = match self.script.take() {
            Some(Behaviour::Fail(status, body)) => return Ok(Answer::json(status, &body)),
            Some(Behaviour::Message(message)) => (message, None),
            Some(Behaviour::Break(after, fault)) => (answer::echo(&body), Some((after, fault))),
            None => (answer::echo(&body), None),
        };
        let completion = answer::completion(&body, &message);
        if body["stream"] == true {
            let steps = stream::steps(&body, &completion, fault);
            return Ok(Answer::steps("text/event-stream; charset=utf-8", steps));
        }
        Ok(Answer::json(200, &completion))
    }
}
