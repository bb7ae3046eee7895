//! An offline double of Google's Gemini API.
//!
//! It refuses what Google's documentation says is refused (unknown fields at every level, values out of range, calls without
//! a signature where the model wants one, answers that are fewer than the calls, unknown models, wrong keys) and can be told
//! what to answer or how to fail. What it accepts it answers with an echo.
//!
//! | module | holds |
//! |---|---|
//! | `check` | what is refused, and how |
//! | `answer` | what is answered |

mod answer;
mod check;

use double::{Answer, Double, ReceivedRequest, Refusal, Script, Scripted, Vendor};
use serde_json::{Value, json};

pub use check::MODELS;

/// The key that the double accepts.
pub const KEY: &str = "AIza-offline-key";

/// The signature of thoughts that the double gives with calls, and takes back.
pub const SIGNATURE: &str = "EqQBCkYIDoubleGoogle";

/// What is done with the next request that Gemini would accept.
#[derive(Clone, Debug)]
pub enum Behaviour {
    /// These parts, such as `[{"text":"Hi"}]`.
    Parts(Value),
    /// A prompt that the filter blocks, for this reason.
    Blocked(&'static str),
    /// This status with this body.
    Fail(u16, Value),
}

impl Behaviour {
    /// An answer with this text.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::Parts(json!([{ "text": text }]))
    }

    /// An answer that calls these tools: names and arguments. Like older models', they have no ids.
    #[must_use]
    pub fn tool_calls(calls: &[(&str, Value)]) -> Self {
        let mut parts: Vec<Value> =
            calls.iter().map(|(name, args)| json!({ "functionCall": { "name": name, "args": args } })).collect();
        // The first of those that are made at once carries it.
        if let Some(first) = parts.first_mut() {
            first["thoughtSignature"] = SIGNATURE.into();
        }
        Self::Parts(parts.into())
    }

    /// A server without capacity.
    #[must_use]
    pub fn overloaded() -> Self {
        Self::Fail(503, check::error(503, "UNAVAILABLE", "The model is overloaded. Please try again later."))
    }
}

/// Gemini's API on a loopback port. It ends when it is dropped.
pub type GeminiDouble = Double<Gemini>;

/// What Gemini takes, refuses and says.
#[derive(Debug, Default)]
pub struct Gemini {
    script: Script<Behaviour>,
}

impl Scripted for Gemini {
    type Behaviour = Behaviour;

    fn script(&self) -> &Script<Behaviour> {
        &self.script
    }
}

impl Vendor for Gemini {
    fn answer(&self, request: &ReceivedRequest) -> Result<Answer, Refusal> {
        check::key(request)?;
        let path = request.path();
        let whole = |response: &Value| Answer::json(200, response);
        let stream = |response: &Value| Answer::whole(200, Some("text/event-stream"), answer::events(response));
        let events_asked = request.uri.query() == Some("alt=sse");
        match request.method.as_str() {
            "GET" if path == "/v1beta/models" => Ok(Answer::json(200, &answer::models())),
            "POST" if path.ends_with(":generateContent") => self.content(request, whole),
            "POST" if path.ends_with(":streamGenerateContent") && events_asked => self.content(request, stream),
            method => Err(check::no_route(method, path)),
        }
    }
}

impl Gemini {
    fn content(&self, request: &ReceivedRequest, written: impl FnOnce(&Value) -> Answer) -> Result<Answer, Refusal> {
        let model = check::model(request.path())?;
        let body: Value = serde_json::from_slice(&request.body).map_err(|_| check::not_json())?;
        check::content(&body, model)?;
        Ok(match self.script.take() {
            Some(Behaviour::Fail(status, body)) => Answer::json(status, &body),
            Some(Behaviour::Parts(parts)) => written(&answer::response(model, &body, &parts)),
            Some(Behaviour::Blocked(reason)) => written(&answer::blocked(model, reason)),
            None => written(&answer::response(model, &body, &answer::echo(&body))),
        })
    }
}
