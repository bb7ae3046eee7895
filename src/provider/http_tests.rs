//! What bounds the waits for an upstream, in front of a socket that takes its time.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::provider::Kind;

const STREAM: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";

/// Answers one request: writes each text after so many milliseconds. The connection stays open for a while behind them.
pub(crate) async fn serve(texts: Vec<(u64, String)>) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        assert!(socket.read(&mut [0; 4096]).await.unwrap() > 0);
        for (after, text) in texts {
            tokio::time::sleep(Duration::from_millis(after)).await;
            if socket.write_all(text.as_bytes()).await.is_err() {
                return;
            }
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
    });
    url
}

fn upstream(url: &Url, timeout: u64) -> Upstream {
    let settings =
        Settings { timeout: Duration::from_millis(timeout), ..Settings::new(Kind::OpenAiCompatible, url.as_str()) };
    Upstream::new(url, Credential::default(), Wording::plain(), &settings).unwrap()
}

#[tokio::test]
async fn a_body_may_begin_late_but_not_stop() {
    let head = || "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n".to_owned();
    let ask = async |texts| {
        let url = serve(texts).await;
        let upstream = Upstream { body_idle: Duration::from_millis(200), ..upstream(&url, 20_000) };
        upstream.post(&url, Vec::new()).await
    };
    let late = ask(vec![(0, head()), (600, "late".to_owned())]).await.unwrap();
    assert_eq!(late.body, "late");
    let stopped = ask(vec![(0, head()), (0, "st".to_owned())]).await.err().unwrap();
    assert_eq!(stopped.kind(), ErrorKind::Timeout);
    assert!(stopped.to_string().contains("200ms"), "{stopped}");
}

/// What comes of a stream whose events may take so many milliseconds, up to its failure.
async fn events(timeout: u64, texts: Vec<(u64, String)>) -> (Vec<Bytes>, ProviderError) {
    let url = serve(texts).await;
    let (_, mut body) = upstream(&url, timeout).stream(&url, Vec::new()).await.unwrap();
    let mut events = Vec::new();
    loop {
        match body.event().await {
            Ok(event) => events.push(event.unwrap()),
            Err(error) => return (events, error),
        }
    }
}

#[tokio::test]
async fn comments_do_not_prolong_the_wait_for_an_event() {
    let comments = || (0..1_200).map(|_| (100, ": still here\n\n".to_owned()));
    let first: Vec<_> = [(0, STREAM.to_owned())].into_iter().chain(comments()).collect();
    let mut second = first.clone();
    second.insert(1, (0, "data: 1\n\n".to_owned()));
    for (texts, expected) in [(first, vec![]), (second, vec!["1"])] {
        let (events, error) = tokio::time::timeout(Duration::from_secs(60), events(2_000, texts)).await.unwrap();
        assert_eq!((events, error.kind()), (expected.into_iter().map(Bytes::from).collect(), ErrorKind::Timeout));
    }
}

#[tokio::test]
async fn an_event_may_come_in_pieces_and_each_has_its_time() {
    let pieces = ["data: a", "bc\n\ndata: d", "e", "f\n", "\n"].map(|piece| (650, piece.to_owned()));
    let texts = [(0, STREAM.to_owned())].into_iter().chain(pieces).collect();
    let (events, error) = events(3_000, texts).await;
    assert_eq!((events, error.kind()), (vec![Bytes::from("abc"), Bytes::from("def")], ErrorKind::Timeout));
}
