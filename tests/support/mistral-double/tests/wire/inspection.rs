//! What a test learns about the requests.

use http_body_util::BodyExt as _;
use hyper::Method;
use mistral_double::{Behaviour, Failure, MistralDouble, Recording, StreamFault};
use serde_json::json;

use crate::client::{asking, chat, double, get, request, send};

#[tokio::test]
async fn requests_are_kept_as_they_came() {
    let double = double().await;
    let body = asking("Größe", &json!({ "user": "refused, and kept all the same" }));
    chat(&double, &body).await;
    let seen = double.last_request().unwrap();
    assert_eq!((seen.method.as_str(), seen.path()), ("POST", "/v1/chat/completions"));
    assert_eq!(seen.header("authorization"), Some(format!("Bearer {}", double.key()).as_str()));
    assert_eq!((seen.json(), seen.text()), (body.clone(), body.to_string()));
    assert_eq!((seen.sequence, seen.connection), (1, 1));
    double.forget_requests();
    assert!(double.requests().is_empty());
    assert_eq!(double.stats().received, 1);
}

#[tokio::test]
async fn the_ring_is_bounded_and_can_be_off() {
    for (recording, kept) in [(Recording::Last(2), 2), (Recording::Off, 0)] {
        let double = MistralDouble::builder().recording(recording).start().await.unwrap();
        for _ in 0..5 {
            get(&double, "/v1/models").await;
        }
        assert_eq!((double.requests().len(), double.stats().received), (kept, 5));
    }
}

#[tokio::test]
async fn a_client_that_leaves_a_stream_is_counted() {
    let double = double().await;
    double.script(Behaviour::break_stream(2, StreamFault::Stall));
    let body = asking("hi", &json!({ "stream": true })).to_string();
    let mut response = send(&double, request(&double, Method::POST, "/v1/chat/completions", &body)).await.unwrap();
    response.body_mut().frame().await.unwrap().unwrap();
    let during = double.stats();
    assert_eq!((during.in_flight, during.streams, during.cancelled_streams), (1, 1, 0));
    drop(response);
    let after = double.wait_until(|stats| stats.cancelled_streams == 1).await.unwrap();
    assert_eq!(after.cancelled_requests, 0);
    double.wait_until(|stats| stats.in_flight == 0).await.unwrap();
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_is_counted() {
    let double = double().await;
    double.script(Failure::Silence);
    let body = asking("hi", &json!({})).to_string();
    let waiting = tokio::spawn({
        let request = request(&double, Method::POST, "/v1/chat/completions", &body);
        let address = double.address();
        async move {
            let socket = tokio::net::TcpStream::connect(address).await.unwrap();
            let io = hyper_util::rt::TokioIo::new(socket);
            let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
            let (_, answer) = tokio::join!(connection, sender.send_request(request));
            answer.map(|_| ())
        }
    });
    double.wait_until(|stats| stats.received == 1 && stats.in_flight == 1).await.unwrap();
    waiting.abort();
    double.wait_until(|stats| stats.cancelled_requests == 1 && stats.in_flight == 0).await.unwrap();
}

#[tokio::test]
async fn a_finished_stream_is_not_a_cancelled_one() {
    let double = double().await;
    let answer = chat(&double, &asking("hi", &json!({ "stream": true }))).await;
    assert!(answer.complete);
    let stats = double.wait_until(|stats| stats.in_flight == 0).await.unwrap();
    assert_eq!((stats.streams, stats.cancelled_streams), (1, 0));
}

#[tokio::test]
async fn after_shutdown_the_port_is_free() {
    let port = crate::ports::free();
    let double = MistralDouble::builder().port(port).start().await.unwrap();
    double.shutdown().await;
    let again = MistralDouble::builder().port(port).start().await.unwrap();
    assert_eq!(again.origin(), format!("http://127.0.0.1:{port}"));
    assert_eq!(get(&again, "/v1/models").await.status, 200);
}
