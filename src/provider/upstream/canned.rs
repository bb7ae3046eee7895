//! A server that answers with canned bytes, for the tests of whoever calls upstreams.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::Url;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What is done with a connection after its request was read.
#[derive(Clone)]
pub(crate) enum Reaction {
    /// These bytes, then the end.
    Say(Vec<u8>),
    /// These, one for each connection; the last one for all further ones.
    InTurn(Vec<Vec<u8>>),
    /// Each of these texts so many milliseconds behind the one before it, then silence until the client goes away, which is
    /// a line of its own among the requests: `closed`.
    Slowly(Vec<(u64, String)>),
    /// An answer with this body to each request, the connection kept open.
    Keep(&'static str),
    /// A head, then bytes without end.
    Flood,
}

/// This text, and then silence.
pub(crate) fn stall(text: &str) -> Reaction {
    Reaction::Slowly(vec![(0, text.to_owned())])
}

/// A whole answer, and the end.
pub(crate) fn reply(status: &str, headers: &str, body: &str) -> Reaction {
    Reaction::Say(said(status, headers, body))
}

/// The bytes of a whole answer.
pub(crate) fn said(status: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}").into_bytes()
}

/// It runs until the test is over.
pub(crate) struct Server {
    pub(crate) origin: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(crate) async fn start(reaction: Reaction) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, reaction.clone(), Arc::clone(&seen)));
            }
        });
        Self { origin, requests }
    }

    pub(crate) fn url(&self) -> Url {
        Url::parse(&self.origin).unwrap()
    }

    /// The first request of each connection.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// Waits until there are so many.
    pub(crate) async fn until_seen(&self, count: usize) {
        let looking = async {
            while self.requests().len() < count {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), looking).await.unwrap();
    }
}

async fn serve(mut socket: TcpStream, reaction: Reaction, seen: Arc<Mutex<Vec<String>>>) {
    let Some(asked) = request(&mut socket).await else { return };
    let before = {
        let mut seen = seen.lock().unwrap();
        seen.push(asked);
        seen.len() - 1
    };
    match reaction {
        Reaction::Say(bytes) => say(&mut socket, &bytes).await,
        Reaction::InTurn(answers) => say(&mut socket, answers.get(before).or(answers.last()).unwrap()).await,
        Reaction::Slowly(texts) => {
            for (after, text) in texts {
                tokio::time::sleep(Duration::from_millis(after)).await;
                if socket.write_all(text.as_bytes()).await.is_err() {
                    break;
                }
            }
            let _ = socket.read(&mut [0]).await;
            seen.lock().unwrap().push("closed".into());
        }
        Reaction::Keep(body) => {
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            while socket.write_all(answer.as_bytes()).await.is_ok() && request(&mut socket).await.is_some() {}
        }
        Reaction::Flood => {
            let _ = socket.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            while socket.write_all(&[0; 4096]).await.is_ok() {}
        }
    }
}

async fn say(socket: &mut TcpStream, bytes: &[u8]) {
    let _ = socket.write_all(bytes).await;
    let _ = socket.shutdown().await;
}

/// The next request of a connection; none where the client is gone.
pub(crate) async fn request(socket: &mut TcpStream) -> Option<String> {
    let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
    while !is_whole(&request) {
        match socket.read(&mut buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => request.extend_from_slice(&buffer[..read]),
        }
    }
    Some(String::from_utf8_lossy(&request).into_owned())
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
    body.len() >= length
}
