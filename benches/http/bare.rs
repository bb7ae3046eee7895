//! What the libraries cost by themselves: axum and reqwest, which pass a call on and do nothing else.
//!
//! It is this binary, run once more, with the gateway's allocator and runtime.

use std::convert::Infallible;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use hyper::StatusCode;
use hyper::header::CONTENT_TYPE;
use reqwest::Client;
use tokio::net::TcpListener;

/// The argument that makes the binary such a proxy; the address of the model follows.
const ARGUMENT: &str = "--bare=";

/// A running proxy. Dropping it ends it.
pub(crate) struct Bare {
    pub(crate) address: SocketAddr,
    pub(crate) child: Child,
}

impl Bare {
    pub(crate) fn start(wrapper: &[String], upstream: SocketAddr) -> Self {
        let this = std::env::current_exe().expect("this binary");
        let mut line = wrapper.iter().map(AsRef::as_ref).chain([this.as_os_str()]);
        let mut child = Command::new(line.next().unwrap_or(this.as_os_str()))
            .args(line)
            .arg(format!("{ARGUMENT}{upstream}"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut said = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut said).expect("a line");
        let address = said.trim().parse().expect("the address on which it listens");
        Self { address, child }
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The model, if this process is to be such a proxy.
pub(crate) fn upstream() -> Option<SocketAddr> {
    std::env::args().find_map(|it| it.strip_prefix(ARGUMENT)?.parse().ok())
}

/// Until it is killed.
pub(crate) fn run(upstream: SocketAddr) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let client = Client::builder().http1_only().build().expect("a client");
        let router = Router::new().fallback(pass_on).with_state((client, format!("http://{upstream}")));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        println!("{}", listener.local_addr().expect("its address"));
        axum::serve(listener, router).await.expect("it serves");
    });
}

async fn pass_on(State((client, upstream)): State<(Client, String)>, request: Request) -> Result<Response, Infallible> {
    let url = format!("{upstream}{}", request.uri().path());
    let asked = to_bytes(request.into_body(), usize::MAX).await.expect("a whole request");
    let answer = client.post(url).header(CONTENT_TYPE, "application/json").body(asked).send().await;
    let answer = answer.expect("the model answers");
    assert_eq!(answer.status(), StatusCode::OK, "the model answers");
    Ok(Response::new(Body::from(answer.bytes().await.expect("a whole answer"))))
}
