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

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

pub use check::{MODELS, Refusal};

/// The key that the double accepts.
pub const KEY: &str = "AIza-offline-key";

/// The signature of thoughts that the double gives with calls, and takes back.
pub const SIGNATURE: &str = "EqQBCkYIDoubleGoogle";

/// The largest request body that is read.
const LARGEST_REQUEST: usize = 16 * 1024 * 1024;

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

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Received {
    /// The path, without query.
    pub path: String,
    /// The query, where there is one.
    pub query: Option<String>,
    /// The body; null when there was no JSON.
    pub body: Value,
}

#[derive(Debug, Default)]
struct State {
    script: Mutex<VecDeque<Behaviour>>,
    /// What holds when the script is empty.
    always: Mutex<Option<Behaviour>>,
    received: Mutex<Vec<Received>>,
}

/// Gemini's API on a loopback port. It ends when it is dropped.
#[derive(Debug)]
pub struct GeminiDouble {
    address: SocketAddr,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

impl GeminiDouble {
    /// Starts on a free port. Needs a tokio runtime.
    ///
    /// # Errors
    ///
    /// When no port can be had.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State::default());
        let accepting = tokio::spawn(accept(listener, Arc::clone(&state)));
        Ok(Self { address, state, accepting })
    }

    /// `http://127.0.0.1:PORT`: what the gateway takes as endpoint.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Queues what is done with one request.
    pub fn script(&self, behaviour: Behaviour) {
        lock(&self.state.script).push_back(behaviour);
    }

    /// Forgets what was queued.
    pub fn clear(&self) {
        lock(&self.state.script).clear();
    }

    /// Does this with every request that nothing was queued for; with none it echoes again.
    pub fn always(&self, behaviour: Option<Behaviour>) {
        *lock(&self.state.always) = behaviour;
    }

    /// The chat requests so far, refused ones included.
    #[must_use]
    pub fn chats(&self) -> Vec<Received> {
        lock(&self.state.received).iter().filter(|it| it.path.ends_with("enerateContent")).cloned().collect()
    }
}

impl Drop for GeminiDouble {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Accepts until it is aborted; its connections end with it.
async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(converse(stream, Arc::clone(&state)));
        while connections.try_join_next().is_some() {}
    }
}

async fn converse(stream: TcpStream, state: Arc<State>) {
    let service = service_fn(|request| serve(Arc::clone(&state), request));
    // An error is a client that left.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn serve(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, incoming) = request.into_parts();
    let body = match Limited::new(incoming, LARGEST_REQUEST).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => Bytes::new(),
    };
    let path = head.uri.path().to_owned();
    let json = serde_json::from_slice(&body);
    let streams = path.ends_with(":streamGenerateContent") && head.uri.query() == Some("alt=sse");
    lock(&state.received).push(Received {
        path: path.clone(),
        query: head.uri.query().map(str::to_owned),
        body: json.as_ref().cloned().unwrap_or_default(),
    });
    let answered = check::key(&head.headers).and_then(|()| match (&head.method, path.as_str()) {
        (&Method::GET, "/v1beta/models") => Ok((200, answer::models())),
        (&Method::POST, path) if path.ends_with(":generateContent") || streams => {
            let model = check::model(path)?;
            let body: Value = json.map_err(|_| check::not_json())?;
            check::content(&body, model)?;
            let behaviour = lock(&state.script).pop_front().or_else(|| lock(&state.always).clone());
            Ok(match behaviour {
                Some(Behaviour::Fail(status, body)) => (status, body),
                Some(Behaviour::Parts(parts)) => (200, answer::response(model, &body, &parts)),
                Some(Behaviour::Blocked(reason)) => (200, answer::blocked(model, reason)),
                None => (200, answer::response(model, &body, &answer::echo(&body))),
            })
        }
        (method, path) => Err(check::no_route(method.as_str(), path)),
    });
    let (status, body) = answered.unwrap_or_else(|refusal| (refusal.status, refusal.body));
    let (body, kind) = match status {
        200 if streams => (answer::events(&body), "text/event-stream"),
        _ => (body.to_string(), "application/json"),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert("content-type", hyper::header::HeaderValue::from_static(kind));
    Ok(response)
}
