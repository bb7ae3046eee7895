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
//! | `body` | the bytes, and those whom the client left |

mod answer;
mod body;
mod check;
mod stream;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use body::AnswerBody;
pub use check::{MODELS, Refusal};
pub use stream::StreamFault;

/// The key that the double accepts.
pub const KEY: &str = "sk-offline-openai-key";

/// The largest request body that is read.
const LARGEST_REQUEST: usize = 16 * 1024 * 1024;

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

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Received {
    /// The path, without query.
    pub path: String,
    /// The body; null when there was no JSON.
    pub body: Value,
}

#[derive(Debug, Default)]
struct State {
    script: Mutex<VecDeque<Behaviour>>,
    /// What holds when the script is empty.
    always: Mutex<Option<Behaviour>>,
    received: Mutex<Vec<Received>>,
    cancelled_streams: Arc<AtomicUsize>,
}

/// OpenAI's API on a loopback port. It ends when it is dropped.
#[derive(Debug)]
pub struct OpenAiDouble {
    address: SocketAddr,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

impl OpenAiDouble {
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

    /// Does this with every request that nothing was queued for; with none it echoes again.
    pub fn always(&self, behaviour: Option<Behaviour>) {
        *lock(&self.state.always) = behaviour;
    }

    /// How many streams the client left before their end.
    #[must_use]
    pub fn cancelled_streams(&self) -> usize {
        self.state.cancelled_streams.load(Ordering::Acquire)
    }

    /// The chat requests so far, refused ones included.
    #[must_use]
    pub fn chats(&self) -> Vec<Received> {
        lock(&self.state.received).iter().filter(|it| it.path == "/v1/chat/completions").cloned().collect()
    }
}

impl Drop for OpenAiDouble {
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

async fn serve(state: Arc<State>, request: Request<Incoming>) -> Result<Response<AnswerBody>, Infallible> {
    let (head, incoming) = request.into_parts();
    let body = match Limited::new(incoming, LARGEST_REQUEST).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => Bytes::new(),
    };
    let path = head.uri.path().to_owned();
    let json = serde_json::from_slice(&body);
    lock(&state.received).push(Received { path: path.clone(), body: json.as_ref().cloned().unwrap_or_default() });
    let mut steps = None;
    let answered = check::key(&head.headers).and_then(|()| match (&head.method, path.as_str()) {
        (&Method::GET, "/v1/models") => Ok((200, answer::models())),
        (&Method::POST, "/v1/chat/completions") => {
            let body: Value = json.map_err(|_| check::not_json())?;
            check::chat(&body)?;
            let behaviour = lock(&state.script).pop_front().or_else(|| lock(&state.always).clone());
            let (message, fault) = match behaviour {
                Some(Behaviour::Fail(status, body)) => return Ok((status, body)),
                Some(Behaviour::Message(message)) => (message, None),
                Some(Behaviour::Break(after, fault)) => (answer::echo(&body), Some((after, fault))),
                None => (answer::echo(&body), None),
            };
            let completion = answer::completion(&body, &message);
            if body["stream"] == true {
                steps = Some(stream::steps(&body, &completion, fault));
            }
            Ok((200, completion))
        }
        (method, path) => Err(check::no_route(method.as_str(), path)),
    });
    let (status, body) = answered.unwrap_or_else(|refusal| (refusal.status, refusal.body));
    let content_type = if steps.is_some() { "text/event-stream; charset=utf-8" } else { "application/json" };
    let mut response = Response::new(match steps {
        Some(steps) => AnswerBody::steps(steps, Arc::clone(&state.cancelled_streams)),
        None => AnswerBody::whole(Bytes::from(body.to_string())),
    });
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert("content-type", hyper::header::HeaderValue::from_static(content_type));
    headers.insert("x-request-id", hyper::header::HeaderValue::from_static("req_0123456789abcdef"));
    Ok(response)
}
