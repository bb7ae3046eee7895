use std::sync::atomic::{AtomicUsize, Ordering};

use axum::routing::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::*;

/// A server whose one route answers when it is told to.
struct Running {
    address: SocketAddr,
    stop: CancellationToken,
    out_of_time: CancellationToken,
    done: JoinHandle<()>,
    go: Arc<Notify>,
    entered: Arc<AtomicUsize>,
}

async fn start(limits: Limits) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (go, entered) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let (wait, count) = (Arc::clone(&go), Arc::clone(&entered));
    let slow = move || async move {
        count.fetch_add(1, Ordering::SeqCst);
        wait.notified().await;
        "done"
    };
    let quick = || async { "quick" };
    let large = || async { "x".repeat(1 << 20) };
    let router = Router::new().route("/slow", get(slow)).route("/quick", get(quick)).route("/large", get(large));
    let (stop, out_of_time) = (CancellationToken::new(), CancellationToken::new());
    let done = tokio::spawn(serve(listener, routed(router), limits, stop.clone(), out_of_time.clone()));
    Running { address, stop, out_of_time, done, go, entered }
}

fn limits() -> Limits {
    let minute = Duration::from_secs(60);
    Limits { max_connections: 8, header_timeout: minute, unread_timeout: minute, shutdown_timeout: minute }
}

impl Running {
    async fn send(&self, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }

    async fn until_entered(&self, count: usize) {
        until("it is entered", async || self.entered.load(Ordering::SeqCst) >= count).await;
    }
}

/// Waits for a condition, which is looked at again and again.
async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let looking = async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(60), looking).await.is_ok(), "never: {what}");
}

/// What comes until the other end closes.
async fn rest(mut stream: TcpStream) -> String {
    let mut text = String::new();
    // A reset is an end too.
    let _ = stream.read_to_string(&mut text).await;
    text
}

const QUICK: &str = "GET /quick HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
const SLOW: &str = "GET /slow HTTP/1.1\r\nhost: localhost\r\n\r\n";

#[tokio::test]
async fn a_head_that_does_not_come_ends_the_connection() {
    let server = start(Limits { header_timeout: Duration::from_millis(50), ..limits() }).await;
    let text = rest(server.send("GET /slow HTTP/1.1\r\nhost: loc").await).await;
    assert!(!text.contains("200"), "{text}");
    assert_eq!(rest(server.send("").await).await, "", "an idle connection is closed too");
}

#[tokio::test]
async fn what_nobody_reads_of_a_body_does_not_end_the_connection() {
    let server = start(limits()).await;
    let body = "x".repeat(4 << 20);
    let chunks = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    for (framing, body) in
        [(format!("content-length: {}", body.len()), &body), ("transfer-encoding: chunked".into(), &chunks)]
    {
        let mut stream = server.send(&format!("POST /nowhere HTTP/1.1\r\nhost: localhost\r\n{framing}\r\n\r\n")).await;
        stream.write_all(body.as_bytes()).await.unwrap();
        stream.write_all(QUICK.as_bytes()).await.unwrap();
        let text = rest(stream).await;
        assert!(text.starts_with("HTTP/1.1 404") && text.ends_with("quick"), "{framing}: {text}");
    }
}

#[tokio::test]
async fn who_asks_first_whether_to_send_is_told_by_the_answer() {
    let server = start(limits()).await;
    let head = "POST /nowhere HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n";
    let text = rest(server.send(head).await).await;
    assert!(text.starts_with("HTTP/1.1 404"), "{text}");
}

#[tokio::test]
async fn a_request_in_flight_is_finished_and_nothing_new_is_accepted() {
    let server = start(limits()).await;
    let idle = server.send("").await;
    let asking = server.send(SLOW).await;
    server.until_entered(1).await;
    server.stop.cancel();
    assert_eq!(rest(idle).await, "");
    until("it listens no longer", async || TcpStream::connect(server.address).await.is_err()).await;
    assert!(!server.done.is_finished());
    server.go.notify_one();
    let text = rest(asking).await;
    assert!(text.starts_with("HTTP/1.1 200") && text.ends_with("done"), "{text}");
    server.done.await.unwrap();
}

#[tokio::test]
async fn what_is_not_done_in_time_is_dropped() {
    let server = start(Limits { shutdown_timeout: Duration::from_millis(50), ..limits() }).await;
    let asking = server.send(SLOW).await;
    server.until_entered(1).await;
    server.stop.cancel();
    server.done.await.unwrap();
    assert_eq!(rest(asking).await, "");
}

#[tokio::test]
async fn what_ends_when_it_is_out_of_time_still_says_so() {
    let server = start(Limits { shutdown_timeout: Duration::from_millis(50), ..limits() }).await;
    let asking = server.send(SLOW).await;
    server.until_entered(1).await;
    server.stop.cancel();
    server.out_of_time.cancelled().await;
    server.go.notify_one();
    let text = rest(asking).await;
    assert!(text.starts_with("HTTP/1.1 200") && text.ends_with("done"), "{text}");
    server.done.await.unwrap();
}

#[tokio::test]
async fn at_the_cap_newcomers_wait_for_a_place() {
    let server = start(Limits { max_connections: 1, ..limits() }).await;
    let first = server.send(SLOW).await;
    server.until_entered(1).await;
    let second = server.send(QUICK).await;
    let mut one = [0];
    let waited = tokio::time::timeout(Duration::from_millis(100), second.peek(&mut one)).await;
    assert!(waited.is_err(), "the second was served beside the first");
    drop(first);
    assert!(rest(second).await.ends_with("quick"));
}

#[tokio::test]
async fn a_client_that_does_not_read_gives_its_place_up() {
    let unread_timeout = Duration::from_millis(100);
    let server = start(Limits { max_connections: 1, unread_timeout, ..limits() }).await;
    let unread = server.send(&"GET /large HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(64)).await;
    assert!(rest(server.send(QUICK).await).await.ends_with("quick"));
    drop(unread);
}

#[tokio::test]
async fn errors_of_one_connection_are_told_from_those_of_the_listener() {
    assert!(is_of_one_connection(&io::Error::from(ErrorKind::ConnectionAborted)));
    let no_more_files = io::Error::from_raw_os_error(24);
    assert!(!is_of_one_connection(&no_more_files), "{no_more_files}");
}
