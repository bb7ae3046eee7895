//! A client that keeps what it read apart: each chunk, and whether the answer was complete.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use mistral_double::MistralDouble;
use serde_json::{Value, json};
use tokio::net::TcpStream;

/// An answer as far as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) chunks: Vec<Bytes>,
    /// Whether the body ended as HTTP ends a body.
    pub(crate) complete: bool,
}

impl Answer {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.chunks.concat()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.bytes()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes()).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The data of each event, in the plain form.
    pub(crate) fn events(&self) -> Vec<String> {
        self.text().split_terminator("\n\n").map(|event| event.strip_prefix("data: ").unwrap().to_owned()).collect()
    }

    /// The chunks of a stream that ended with `[DONE]`.
    pub(crate) fn stream(&self) -> Vec<Value> {
        let mut events = self.events();
        assert_eq!(events.pop().as_deref(), Some("[DONE]"));
        events.iter().map(|event| serde_json::from_str(event).unwrap()).collect()
    }
}

/// Sends a request on a connection of its own and returns the head of the answer.
pub(crate) async fn send(double: &MistralDouble, request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>> {
    let socket = TcpStream::connect(double.address()).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
    // Ends when the sender and the answer are dropped.
    tokio::spawn(connection);
    sender.send_request(request).await
}

/// Reads an answer to its end, however it ends.
pub(crate) async fn read(response: Response<Incoming>) -> Answer {
    let (head, mut body) = response.into_parts();
    let mut answer = Answer { status: head.status, headers: head.headers, chunks: Vec::new(), complete: true };
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => answer.chunks.extend(frame.into_data().ok()),
            Err(_) => {
                answer.complete = false;
                break;
            }
        }
    }
    answer
}

pub(crate) fn request(double: &MistralDouble, method: Method, path: &str, body: &str) -> Request<Full<Bytes>> {
    Request::builder()
        .method(method)
        .uri(path)
        .header("host", "api.mistral.ai")
        .header(AUTHORIZATION, format!("Bearer {}", double.key()))
        .header(CONTENT_TYPE, "application/json")
        .body(Full::from(body.to_owned()))
        .unwrap()
}

pub(crate) async fn post(double: &MistralDouble, path: &str, body: &Value) -> Answer {
    let request = request(double, Method::POST, path, &body.to_string());
    read(send(double, request).await.unwrap()).await
}

pub(crate) async fn get(double: &MistralDouble, path: &str) -> Answer {
    read(send(double, request(double, Method::GET, path, "")).await.unwrap()).await
}

pub(crate) async fn chat(double: &MistralDouble, body: &Value) -> Answer {
    post(double, "/v1/chat/completions", body).await
}

/// A chat request with one user message, and these fields more.
pub(crate) fn asking(text: &str, more: &Value) -> Value {
    let mut body = json!({ "model": "mistral-small-latest", "messages": [{ "role": "user", "content": text }] });
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

pub(crate) async fn double() -> MistralDouble {
    MistralDouble::builder().start().await.unwrap()
}
