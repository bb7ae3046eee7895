//! What a client's socket gets, and what an upstream's is made to wait for.

use std::net::SocketAddr;

use bytes::Bytes;
use mistral_double::{Behaviour, MistralDouble};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;

use super::support::{Gateway, PATIENCE, Setup, eventually};
use super::{ask, last_record, parts, stream, with_pattern};

/// A server that answers every POST with a stream of these pieces, what else it is asked with an empty list of models,
/// and counts the bytes of streams that it could write.
pub(super) async fn upstream(
    pieces: impl Iterator<Item = Bytes> + Clone + Send + 'static,
) -> (SocketAddr, watch::Receiver<usize>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_send_buffer_size(64 << 10).unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let listener = socket.listen(64).unwrap();
    let address = listener.local_addr().unwrap();
    let (written, count) = watch::channel(0);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(answer(socket, pieces.clone(), written.clone()));
        }
    });
    (address, count)
}

async fn answer(mut socket: TcpStream, pieces: impl Iterator<Item = Bytes>, written: watch::Sender<usize>) {
    let mut request = [0; 8192];
    let length = socket.read(&mut request).await.unwrap_or_default();
    let asks = request[..length].starts_with(b"POST");
    let (kind, list) = if asks { ("text/event-stream", "") } else { ("application/json", r#"{"data":[]}"#) };
    let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: {kind}\r\n\r\n{list}");
    let _ = socket.write_all(head.as_bytes()).await;
    for piece in pieces.take_while(|_| asks) {
        if socket.write_all(&piece).await.is_err() {
            return;
        }
        written.send_modify(|sum| *sum += piece.len());
    }
    let _ = socket.shutdown().await;
    // Closed before its client has, a connection may lose its answer.
    let _ = socket.read(&mut request).await;
}

/// Mistral, at this address.
fn mistral_at(address: SocketAddr) -> Setup {
    let provider = format!(
        "llm_providers:\n  mistral:\n    credentials: {{ api_key: offline-key }}\n    config: {{ endpoint: \"http://{address}\" }}\n"
    );
    Setup::without_provider().policies(&["audit-redact"]).yaml(&provider)
}

/// Mistral, whose stream has these events: of which choice, a delta, and why it ends.
pub(super) async fn mistral_that_says(events: Vec<(u32, Value, Value)>) -> Setup {
    let chunk = |(index, delta, reason): (u32, Value, Value)| {
        json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "choices": [{ "index": index, "delta": delta, "finish_reason": reason }] })
    };
    let data = events.into_iter().map(|event| chunk(event).to_string()).chain(["[DONE]".to_owned()]);
    let sent: Vec<Bytes> = data.map(|data| Bytes::from(format!("data: {data}\n\n"))).collect();
    mistral_at(upstream(sent.into_iter()).await.0)
}

async fn post(gateway: &Gateway, path: &str, body: Value) -> reqwest::Response {
    let request = gateway.client.post(gateway.url(path)).header("accept-encoding", "gzip, br");
    request.json(&body).send().await.unwrap()
}

#[tokio::test]
async fn frames_pass_one_for_one_and_byte_for_byte_but_for_mistrals_padding() {
    // As Mistral sends it, less the padding; then as nobody sends it.
    let frames = [
        (
            r#"{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"p":"abcdef"}"#,
            r#"{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#,
        ),
        (
            r#"{ "choices" : [ {"delta":{"content":"Gr\u00fc\u00dfe "}, "finish_reason":null,"index":0}],"created":1 ,"model":"m","object":"chat.completion.chunk","id":"c"  }"#,
            r#"{ "choices" : [ {"delta":{"content":"Gr\u00fc\u00dfe "}, "finish_reason":null,"index":0}],"created":1 ,"model":"m","object":"chat.completion.chunk","id":"c"  }"#,
        ),
        (
            r#"{"model":"m","id":"c","p":"x\"y","choices":[{"index":0,"delta":{"content":"an \ud83d\ude00 \/ 😀"},"finish_reason":null}]}"#,
            r#"{"model":"m","id":"c","choices":[{"index":0,"delta":{"content":"an \ud83d\ude00 \/ 😀"},"finish_reason":null}]}"#,
        ),
    ];
    let end = json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{ "index": 0, "delta": { "content": "" }, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7 } });
    let event = |data: &str| format!("data: {data}\n\n");
    let sent = frames.map(|(sent, _)| sent).into_iter().map(event);
    let sent: Vec<Bytes> = sent.chain([event(&end.to_string()), event("[DONE]")]).map(Bytes::from).collect();
    let (address, _) = upstream(sent.into_iter()).await;
    let expected: String = frames.map(|(_, passed)| event(passed)).concat();
    let plain = mistral_at(address).start();
    let watched = with_pattern(mistral_at(address), "watcher", "stream: { mode: observe }\n", "redact", "an");
    for gateway in [plain, watched] {
        let mut body = ask("Hello");
        body["stream"] = json!(true);
        let text = post(&gateway, "/v1/chat/completions", body).await.text().await.unwrap();
        let rest = text.strip_prefix(&expected).unwrap_or_else(|| panic!("{text}"));
        let last = rest.strip_prefix("data: ").and_then(|rest| rest.strip_suffix("\n\ndata: [DONE]\n\n"));
        let last: Value = serde_json::from_str(last.unwrap()).unwrap();
        assert_eq!((&last["choices"], &last["usage"]["total_tokens"]), (&end["choices"], &json!(7)), "{text}");
    }
}

#[tokio::test]
async fn an_empty_reasoning_beside_calls_is_not_lost_where_a_policy_holds_the_stream() {
    let call = json!({ "index": 0, "id": "call_1", "type": "function", "function": { "name": "look", "arguments": "{\"at\":\"door\"}" } });
    let events = vec![
        (0, json!({ "role": "assistant", "content": null, "reasoning_content": "" }), Value::Null),
        (0, json!({ "tool_calls": [call] }), Value::Null),
        (0, json!({}), json!("tool_calls")),
    ];
    for mode in ["buffer", "observe"] {
        let manifest = format!("stream: {{ mode: {mode} }}\n");
        let setup = mistral_that_says(events.clone()).await;
        let gateway = with_pattern(setup, "watcher", &manifest, "redact", "door");
        let seen = stream(&gateway, ask("Look")).await;
        let deltas: Vec<_> = seen.events.iter().map(|event| &event["choices"][0]["delta"]).collect();
        let place = |field: &str| deltas.iter().position(|delta| !delta[field].is_null());
        assert!(place("reasoning_content").is_some_and(|at| Some(at) <= place("tool_calls")), "{mode}: {seen:?}");
        assert_eq!(parts(&last_record(&gateway).await, "watcher"), [1], "{mode}: it is a part of the answer");
    }
}

#[tokio::test]
async fn nothing_is_compressed_though_the_client_would_take_it() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&double).start();
    for stream in [false, true] {
        double.script(Behaviour::text("word ".repeat(2_000)));
        let mut body = ask("Hello");
        body["stream"] = json!(stream);
        let response = post(&gateway, "/v1/chat/completions", body).await;
        assert!(!response.headers().contains_key("content-encoding"), "{:?}", response.headers());
        let text = response.text().await.unwrap();
        assert!(text.contains("word"), "{text}");
    }
    let sent = double.last_request().unwrap();
    assert_eq!(sent.header("accept-encoding"), None, "nor is it asked of the upstream");
}

#[tokio::test]
async fn a_client_that_does_not_read_makes_the_upstream_wait() {
    const PIECES: usize = 8 << 10;
    let text = "x".repeat(8 << 10);
    let said = json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{ "index": 0, "delta": { "content": text }, "finish_reason": null }] });
    let piece = Bytes::from(format!("data: {said}\n\n"));
    let offered = piece.len() * PIECES;
    let (address, mut written) = upstream(std::iter::repeat_n(piece, PIECES)).await;
    let gateway = mistral_at(address).start();

    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 << 10).unwrap();
    let mut client = socket.connect(gateway.address).await.unwrap();
    let mut body = ask("Hello");
    body["stream"] = json!(true);
    let body = body.to_string();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        gateway.address,
        body.len()
    );
    client.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    written.wait_for(|sum| *sum > 0).await.unwrap();
    // Until nothing more can be written.
    while tokio::time::timeout(PATIENCE / 30, written.changed()).await.is_ok() {}
    let waits_at = *written.borrow_and_update();
    // Between them are what the system keeps for four ends of sockets, and sixteen events.
    assert!(waits_at < offered / 2, "{waits_at} of {offered} bytes were written for a client that read none");

    let mut bytes = vec![0; 64 << 10];
    while *written.borrow() == waits_at {
        assert!(client.read(&mut bytes).await.unwrap() > 0, "the answer ended");
    }
    drop(client);
    eventually("the client's going is on record", async || {
        last_record(&gateway).await["policy_details"]["client_gone"] == true
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_does_not_fit_into_what_is_in_flight_is_refused_or_broken_off() {
    let double = MistralDouble::builder().start().await.unwrap();
    let small = "server: { listen: \"127.0.0.1:0\", max_bytes_in_flight: 1MiB }\n";
    let gateway = Setup::with(&double).policies(&["audit-redact"]).yaml(small).start();
    for (path, body) in [("/v1/chat/completions", ask("Hello")), ("/api/request", json!({ "query": "Hello" }))] {
        double.script(Behaviour::text("word ".repeat(300_000)));
        let response = post(&gateway, path, body).await;
        let wait = response.headers().get("retry-after").map(|it| it.to_str().unwrap().to_owned());
        assert_eq!((response.status().as_u16(), wait.as_deref()), (429, Some("1")), "{path}");
        let told = response.text().await.unwrap();
        assert!(told.contains("no_room") && told.contains("max_bytes_in_flight"), "{path}: {told}");
        assert!(!told.contains("upstream 200"), "{path}: {told}");
        assert_eq!(last_record(&gateway).await["policy_decision"], "error", "{path}");
    }
    // Piece by piece each of them has some 250 bytes, of which the text is kept.
    double.script(Behaviour::text("word ".repeat(10_000)));
    let seen = stream(&gateway, ask("Hello")).await;
    assert!(seen.done && seen.text().len() == 50_000, "{:?}", seen.events.last());

    let says = (0, json!({ "content": "word ".repeat(10_000) }), Value::Null);
    let gateway = mistral_that_says(vec![says; 40]).await.yaml(small).start();
    let seen = stream(&gateway, ask("Hello")).await;
    assert_eq!((seen.status, seen.done, seen.whole), (200, false, false), "{:?}", seen.events.last());
    let error = &seen.events.last().unwrap()["error"];
    assert_eq!(error["code"], "no_room", "{error}");
    assert!(seen.text().starts_with("word word"), "what came before has gone out");
    let record = last_record(&gateway).await;
    assert_eq!(record["policy_decision"], "error", "{record}");

    eventually("the room is given back", async || gateway.metric("octroi_bytes_in_flight").await == 0.0).await;
}
