//! An offline double of Anthropic's Messages API.
//!
//! It refuses what Anthropic's documentation says is refused (unknown fields at every level, a missing bound, turns that do
//! not alternate, tools' answers to calls that nobody made, a fifth `cache_control`, sampling where the model has none, wrong keys) and can be told
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
pub const KEY: &str = "sk-ant-offline-key";

/// The signature under which the double takes reasoning back; give it with reasoning that it is to say.
pub const SIGNATURE: &str = "EqQBCkYIAxgCIkDouble";

/// The largest request body that is read.
const LARGEST_REQUEST: usize = 16 * 1024 * 1024;

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
}

/// Anthropic's API on a loopback port. It ends when it is dropped.
#[derive(Debug)]
pub struct AnthropicDouble {
    address: SocketAddr,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

impl AnthropicDouble {
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
        lock(&self.state.received).iter().filter(|it| it.path == "/v1/messages").cloned().collect()
    }
}

impl Drop for AnthropicDouble {
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
    let streams = json.as_ref().is_ok_and(|body: &Value| body["stream"] == true);
    let mut cut_off = false;
    lock(&state.received).push(Received { path: path.clone(), body: json.as_ref().cloned().unwrap_or_default() });
    let answered = check::headers(&head.headers).and_then(|()| match (&head.method, path.as_str()) {
        (&Method::GET, "/v1/models") => Ok((200, answer::models())),
        (&Method::POST, "/v1/messages") => {
            let body: Value = json.map_err(|_| check::not_json())?;
            check::messages_request(&body)?;
            let behaviour = lock(&state.script).pop_front().or_else(|| lock(&state.always).clone());
            Ok(match behaviour {
                Some(Behaviour::Fail(status, body)) => (status, body),
                Some(Behaviour::CutOff(content)) => {
                    cut_off = true;
                    (200, answer::message(&body, &content))
                }
                Some(Behaviour::Content(content)) => (200, answer::message(&body, &content)),
                None => (200, answer::message(&body, &answer::echo(&body))),
            })
        }
        (method, path) => Err(check::no_route(method.as_str(), path)),
    });
    let (status, body) = answered.unwrap_or_else(|refusal| (refusal.status, refusal.body));
    let (body, kind) = match status {
        200 if streams => (cut(answer::events(&body), cut_off), "text/event-stream"),
        _ => (body.to_string(), "application/json"),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert("content-type", hyper::header::HeaderValue::from_static(kind));
    headers.insert("request-id", hyper::header::HeaderValue::from_static("req_011offline"));
    Ok(response)
}

/// The events, or the first half of them.
fn cut(events: String, cut_off: bool) -> String {
    let whole = events.split_inclusive("\n\n").collect::<Vec<_>>();
    let told = if cut_off { whole.len() / 2 } else { whole.len() };
    whole.into_iter().take(told).collect()
}
