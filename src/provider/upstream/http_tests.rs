//! What the client waits for, reads and follows, in front of servers that do what they should not.

use tokio::net::TcpListener;

use super::*;
use crate::provider::Kind;
use crate::provider::upstream::canned::{Reaction, Server, reply, stall};

const STREAM: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";

fn upstream(url: &Url, timeout: u64) -> Upstream {
    let settings = Settings::new(Kind::OpenAiCompatible, url.as_str(), "m")
        .with(|entry| entry.timeout = Duration::from_millis(timeout));
    let credential = Credential::bearer(&ApiKey::new("sk-very-secret").unwrap());
    Upstream::new(url, credential, Wording::plain(), &settings).unwrap()
}

#[tokio::test]
async fn a_body_may_begin_late_but_not_stop() {
    let head = || "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n".to_owned();
    let ask = async |texts| {
        let url = Server::start(Reaction::Slowly(texts)).await.url();
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
    let url = Server::start(Reaction::Slowly(texts)).await.url();
    let (_, mut body) = upstream(&url, timeout).stream(&url, Vec::new()).await.unwrap();
    let mut events = Vec::new();
    loop {
        match body.event().await {
            Ok(event) => {
                let event = event.unwrap();
                body.said();
                events.push(event);
            }
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
        let (events, error) = tokio::time::timeout(Duration::from_secs(60), events(5_000, texts)).await.unwrap();
        assert_eq!((events, error.kind()), (expected.into_iter().map(Bytes::from).collect(), ErrorKind::Timeout));
    }
}

#[tokio::test]
async fn an_event_may_come_in_pieces_and_each_has_its_time() {
    let pieces = ["data: a", "bc\n\ndata: d", "e", "f\n", "\n"].map(|piece| (1_700, piece.to_owned()));
    let texts = [(0, STREAM.to_owned())].into_iter().chain(pieces).collect();
    let (events, error) = events(8_000, texts).await;
    assert_eq!((events, error.kind()), (vec![Bytes::from("abc"), Bytes::from("def")], ErrorKind::Timeout));
}

#[tokio::test]
async fn a_stream_whose_events_wait_for_their_reader_ends_all_the_same_and_by_no_fault_of_the_upstream() {
    let server = Server::start(stall(&format!("{STREAM}data: 1\n\ndata: 2\n\n"))).await;
    let (_, mut body) = upstream(&server.url(), 20_000).stream(&server.url(), Vec::new()).await.unwrap();
    assert_eq!(body.event().await.unwrap().unwrap(), "1");
    body.ends = Instant::now();
    let error = body.event().await.err().unwrap();
    assert_eq!((error.kind(), error.counts_against_health()), (ErrorKind::DeadlineExceeded, false), "{error}");
    assert!(error.message().contains("routing.stream_deadline"), "{error}");
}

#[tokio::test]
async fn a_stream_that_lasts_too_long_is_no_fault_of_the_upstream_unless_it_never_begins_or_has_long_been_silent() {
    let head = || (0, STREAM.to_owned());
    let steady = (0..1_200).map(|_| (50, "data: 1\n\n".to_owned()));
    let one = vec![head(), (0, "data: 1\n\n".to_owned())];
    for (texts, timeout, kind) in [
        ([head()].into_iter().chain(steady).collect(), 20_000, ErrorKind::DeadlineExceeded),
        (vec![head()], 20_000, ErrorKind::Timeout),
        (one.clone(), 20_000, ErrorKind::DeadlineExceeded),
        (one, 2_000, ErrorKind::Timeout),
    ] {
        let url = Server::start(Reaction::Slowly(texts)).await.url();
        let upstream = Upstream { stream_deadline: Duration::from_secs(2), ..upstream(&url, timeout) };
        let (_, mut body) = upstream.stream(&url, Vec::new()).await.unwrap();
        let error = loop {
            match body.event().await {
                Ok(event) => assert_eq!(event.unwrap(), "1"),
                Err(error) => break error,
            }
            body.said();
        };
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.message().contains("routing.stream_deadline"), "{error}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_the_key_stays_here() {
    let elsewhere = Server::start(reply("200 OK", "", "Yes.")).await;
    let location = format!("location: {}/v1/chat/completions\r\n", elsewhere.origin);
    for status in ["301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let url = Server::start(reply(status, &location, "")).await.url();
        let error = upstream(&url, 20_000).post(&url, Vec::new()).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Redirected, "{status}");
    }
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    let url = Server::start(Reaction::Flood).await.url();
    let upstream = Upstream { max_body_bytes: 100_000, ..upstream(&url, 20_000) };
    assert_eq!(upstream.post(&url, Vec::new()).await.err().unwrap().kind(), ErrorKind::ResponseTooLarge);
}

#[tokio::test]
async fn silence_ends_at_the_time_out_before_and_inside_the_body() {
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{";
    for (text, said) in [("", "no answer began"), (half, "not whole")] {
        let url = Server::start(stall(text)).await.url();
        let error = upstream(&url, 2_000).post(&url, Vec::new()).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert!(error.message().contains(said), "{error}");
    }
}

#[tokio::test]
async fn a_caller_that_goes_away_takes_the_call_along() {
    let server = Server::start(stall("")).await;
    let url = server.url();
    let call = tokio::spawn(async move { upstream(&url, 20_000).post(&url, Vec::new()).await.is_ok() });
    server.until_seen(1).await;
    call.abort();
    server.until_seen(2).await;
    assert_eq!(server.requests()[1], "closed");
}

#[tokio::test]
async fn a_stream_that_nobody_reads_on_closes_the_connection() {
    let server = Server::start(stall(&format!("{STREAM}data: 1\n\n"))).await;
    let (_, mut body) = upstream(&server.url(), 20_000).stream(&server.url(), Vec::new()).await.unwrap();
    assert_eq!(body.event().await.unwrap().unwrap(), "1");
    drop(body);
    server.until_seen(2).await;
    assert_eq!(server.requests()[1], "closed");
}

#[tokio::test]
async fn connections_are_used_again() {
    let server = Server::start(Reaction::Keep("Yes.")).await;
    let upstream = upstream(&server.url(), 20_000);
    for _ in 0..50 {
        upstream.post(&server.url(), Vec::new()).await.unwrap();
    }
    // Only the first request of a connection is recorded. A connection comes back to the pool a moment after its answer.
    assert!(server.requests().len() < 10, "{} connections for 50 requests", server.requests().len());
}

#[tokio::test]
async fn nobody_there_is_a_failure_to_connect() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    drop(listener);
    let error = upstream(&url, 20_000).post(&url, Vec::new()).await.err().unwrap();
    assert_eq!((error.kind(), error.status()), (ErrorKind::ConnectFailed, None));
}

#[tokio::test]
async fn a_connection_that_does_not_come_about_in_time_is_a_time_out() {
    // Its TLS is never answered, which is part of connecting.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", silent.local_addr().unwrap());
    let client = Client::builder().connect_timeout(Duration::from_millis(50)).build().unwrap();
    let error = send_error(client.get(url).send().await.unwrap_err());
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert!(error.fail_over() && !error.retryable(), "one that drops every packet is not waited for twice");
}

#[test]
fn want_of_files_is_told_from_an_upstream_that_cannot_be_reached() {
    #[derive(Debug, thiserror::Error)]
    #[error("the request failed")]
    struct Failed(#[source] std::io::Error);

    for (errno, expected) in [(Errno::MFILE, true), (Errno::NFILE, true), (Errno::CONNREFUSED, false)] {
        let error = Failed(std::io::Error::from_raw_os_error(errno.raw_os_error()));
        assert_eq!(is_for_want_of_files(&error), expected, "{errno:?}");
    }
}
