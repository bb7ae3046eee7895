//! One kept HTTP/1.1 connection, and one request after the other over it.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Instant;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::load::holds;

/// What is asked, and how its answer is told from a failure.
pub(crate) struct Call {
    pub(crate) address: SocketAddr,
    request: Vec<u8>,
    expected: &'static [u8],
}

impl Call {
    /// `expected`: what every right answer holds.
    pub(crate) fn new(address: SocketAddr, path: &str, body: &str, expected: &'static str) -> Self {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        Self { address, request: request.into_bytes(), expected: expected.as_bytes() }
    }
}

/// When the answer was there.
pub(crate) struct Answered {
    /// The first piece with text.
    pub(crate) first: Instant,
    pub(crate) whole: Instant,
}

pub(crate) struct Connection {
    socket: TcpStream,
    read: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> io::Result<Self> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        Ok(Self { socket, read: Vec::with_capacity(16 << 10) })
    }

    pub(crate) async fn ask(&mut self, call: &Call) -> io::Result<Answered> {
        self.read.clear();
        self.socket.write_all(&call.request).await?;
        let mut first = None;
        loop {
            if self.socket.read_buf(&mut self.read).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let now = Instant::now();
            if first.is_none() && has_text(&self.read) {
                first = Some(now);
            }
            if is_complete(&self.read) {
                let fine = self.read.starts_with(b"HTTP/1.1 200 ") && holds(&self.read, call.expected);
                let unexpected = || io::Error::other(String::from_utf8_lossy(&self.read).into_owned());
                return fine.then_some(Answered { first: first.unwrap_or(now), whole: now }).ok_or_else(unexpected);
            }
        }
    }
}

/// Whether there is more of the content than its beginning.
fn has_text(read: &[u8]) -> bool {
    const KEY: &[u8] = br#""content":""#;
    read.windows(KEY.len() + 1).any(|at| at.starts_with(KEY) && !at.ends_with(b"\""))
}

fn is_complete(read: &[u8]) -> bool {
    let Some(head) = read.windows(4).position(|it| it == b"\r\n\r\n") else { return false };
    let (head, body) = read.split_at(head + 4);
    let length = head.split(|it| *it == b'\n').find_map(|line| {
        let (name, value) = line.split_at_checked(15)?;
        name.eq_ignore_ascii_case(b"content-length:").then_some(value)
    });
    match length {
        Some(length) => std::str::from_utf8(length).is_ok_and(|it| it.trim().parse() == Ok(body.len())),
        // The end of chunks.
        None => body.ends_with(b"\r\n0\r\n\r\n"),
    }
}
