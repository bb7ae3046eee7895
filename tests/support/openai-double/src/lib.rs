//! An offline double of OpenAI's chat API, as OpenAI, Azure or Ollama serve it.
//!
//! It refuses what OpenAI's documentation says is refused (unknown fields at every level, values out of range, tools'
//! answers to calls that nobody made, unknown models, wrong keys) and can be told what to answer or how to fail. What it
//! accepts it answers with an echo.
//!
//! | module | holds |
//! |---|---|
//! | `check` | what is refused, and how |
//! | `azure` | what Azure does in another way |
//! | `answer` | what is answered |
//! | `stream` | the same piece by piece, and how that breaks |

mod answer;
mod azure;
mod check;
mod stream;

use std::io;

use double::{Answer, Double, ReceivedRequest, Recording, Refusal, Script, Scripted, Vendor};
use serde_json::{Value, json};

pub use azure::DEPLOYMENT;
pub use check::{MODELS, OLLAMA_MODEL};
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

    /// An answer that says this instead of one.
    #[must_use]
    pub fn refusal(text: &str) -> Self {
        Self::Message(json!({ "role": "assistant", "content": null, "refusal": text }))
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

/// Who serves the API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Host {
    /// OpenAI.
    #[default]
    OpenAi,
    /// Azure, with the deployment [`DEPLOYMENT`].
    Azure,
    /// Ollama, which wants no key and has the model [`OLLAMA_MODEL`].
    Ollama,
    /// A server that answers like OpenAI's, wants its key, and takes every body: such servers have no rules in common. Of
    /// Google's models it wants signatures back.
    Lenient,
}

/// What OpenAI takes, refuses and says.
#[derive(Debug, Default)]
pub struct OpenAi {
    host: Host,
    script: Script<Behaviour>,
}

/// Plays this host on a free port. Needs a tokio runtime with time and I/O.
///
/// # Errors
///
/// When no port can be had.
pub async fn start(host: Host) -> io::Result<OpenAiDouble> {
    Double::start_on(0, OpenAi::at(host), Recording::default()).await
}

impl OpenAi {
    /// What this host takes, refuses and says, for another server.
    #[must_use]
    pub fn at(host: Host) -> Self {
        Self { host, script: Script::default() }
    }
}

impl Scripted for OpenAi {
    type Behaviour = Behaviour;

    fn script(&self) -> &Script<Behaviour> {
        &self.script
    }
}

impl Vendor for OpenAi {
    fn answer(&self, request: &ReceivedRequest) -> Result<Answer, Refusal> {
        match self.host {
            Host::OpenAi | Host::Lenient => check::key(request)?,
            Host::Azure => azure::enter(request)?,
            Host::Ollama => {}
        }
        match (self.host, request.method.as_str(), request.path()) {
            (Host::Azure, "GET", "/openai/models") => Ok(Answer::json(200, &answer::models(&MODELS))),
            (Host::Azure, "POST", path) if path.ends_with("/embeddings") => self.embeddings(&azure::body(request)?),
            (Host::Azure, "POST", _) => self.chat(request),
            (Host::Azure, ..) => Err(azure::not_found()),
            (Host::OpenAi | Host::Lenient, "GET", "/v1/models") => Ok(Answer::json(200, &answer::models(&MODELS))),
            (Host::Ollama, "GET", "/v1/models") => Ok(Answer::json(200, &answer::models(&[OLLAMA_MODEL]))),
            (_, "POST", "/v1/chat/completions") => self.chat(request),
            (Host::OpenAi, "POST", "/v1/moderations") => moderation(request),
            (_, "POST", "/v1/embeddings") => self.embeddings(&check::json(request)?),
            (_, method, path) => Err(check::no_route(method, path)),
        }
    }

    fn request_id(&self) -> Option<(&'static str, String)> {
        Some(("x-request-id", "req_0123456789abcdef".to_owned()))
    }
}

/// Nothing is ever found.
fn moderation(request: &ReceivedRequest) -> Result<Answer, Refusal> {
    let body = check::json(request)?;
    check::moderation(&body)?;
    Ok(Answer::json(200, &answer::moderation(&body)))
}

impl OpenAi {
    /// The same vector for each text.
    fn embeddings(&self, body: &Value) -> Result<Answer, Refusal> {
        if self.host != Host::Lenient {
            check::embeddings(body)?;
        }
        Ok(Answer::json(200, &answer::embeddings(body)))
    }

    fn chat(&self, request: &ReceivedRequest) -> Result<Answer, Refusal> {
        let body = match self.host {
            Host::Azure => azure::body(request)?,
            _ => check::json(request)?,
        };
        match self.host {
            Host::OpenAi | Host::Azure => check::chat(&body, &MODELS)?,
            Host::Ollama => check::ollama(&body)?,
            Host::Lenient => check::signatures(&body)?,
        }
        let (message, fault) = match self.script.take() {
            Some(Behaviour::Fail(status, body)) => return Ok(Answer::json(status, &body)),
            Some(Behaviour::Message(message)) => (message, None),
            Some(Behaviour::Break(after, fault)) => (answer::echo(&body), Some((after, fault))),
            None => (answer::echo(&body), None),
        };
        let mut completion = answer::completion(&body, &message);
        if self.host == Host::Azure {
            completion = azure::filtered(completion);
        }
        if body["stream"] == true {
            let steps = stream::steps(self.host, &body, &completion, fault);
            return Ok(Answer::steps("text/event-stream; charset=utf-8", steps));
        }
        Ok(Answer::json(200, &completion))
    }
}
