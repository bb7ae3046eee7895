//! Mistral against a server that answers with canned bytes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::chat::{Aside, FinishReason, Message, Role};
use crate::provider::upstream::canned::{self, Reaction, Server, reply, said, stall};
use crate::provider::{Delta, ErrorKind, Kind, Prices};

const KEY: &str = "sk-very-secret-key";
const ANSWER: &str = r#"{"id":"0123456789abcdef0123456789abcdef","model":"mistral-small-latest","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"Yes."}}],"usage":{"prompt_tokens":1000000,"completion_tokens":1000000,"total_tokens":2000000}}"#;

/// Vectors for so many texts.
fn vectors(count: usize) -> Vec<u8> {
    let vector = |index| serde_json::json!({ "index": index, "embedding": [0.5] });
    let data: Vec<_> = (0..count).map(vector).collect();
    let usage = serde_json::json!({ "prompt_tokens": count, "total_tokens": count });
    said("200 OK", "", &serde_json::json!({ "data": data, "usage": usage }).to_string())
}

#[tokio::test]
async fn a_batch_that_fails_behind_others_is_asked_for_again_a_few_times() {
    let limited = || said("429 Too Many Requests", "retry-after: 0\r\n", r#"{"message":"slow down"}"#);
    let failed = || said("500 Internal Server Error", "retry-after: 0\r\n", "{}");
    let bad = || said("422 Unprocessable Entity", "", "{}");
    let late = || said("429 Too Many Requests", "retry-after: 6\r\n", "{}");
    // Notes of those that work, tokens that are lost with those that do not.
    for (claim, answers, works, calls, left) in [
        ("again", vec![vectors(512), limited(), failed(), vectors(1)], true, 4, 2),
        ("not for ever", vec![vectors(512), limited()], false, 5, 512),
        ("not the first", vec![limited()], false, 1, 0),
        ("not what was refused for good", vec![vectors(512), bad()], false, 2, 512),
        ("not after a long wait", vec![vectors(512), late()], false, 2, 512),
    ] {
        let server = Server::start(Reaction::InTurn(answers)).await;
        let mistral = Mistral::new(settings(&server.origin)).unwrap();
        let texts = (0..513).map(|number| number.to_string()).collect();
        let answer = mistral.chat(&ChatRequest::about(Task::Embed, None, texts)).await;
        assert_eq!((answer.is_ok(), server.requests().len()), (works, calls), "{claim}: {answer:?}");
        match answer {
            Ok(answer) => {
                assert_eq!((answer.results.len(), answer.usage.unwrap().prompt_tokens), (513, 513), "{claim}");
                assert_eq!(answer.notes.len() as u64, left, "{claim}: {:?}", answer.notes);
            }
            Err(error) => assert_eq!(error.spent().map_or(0, |usage| usage.prompt_tokens), left, "{claim}"),
        }
    }
}

#[tokio::test]
async fn a_text_that_is_too_large_by_itself_is_named_and_others_may_take_it() {
    let refused = || {
        let message = "Too many tokens overall, split into more batches.";
        let body = serde_json::json!({ "object": "error", "message": message, "code": "3210" });
        said("400 Bad Request", "", &body.to_string())
    };
    for (task, answers, calls) in [
        // Of two texts together, of the first, of the second.
        (Task::Embed, vec![refused(), vectors(1), refused()], 3),
        (Task::Moderate, vec![refused(), refused()], 2),
    ] {
        let server = Server::start(Reaction::InTurn(answers)).await;
        let mistral = Mistral::new(settings(&server.origin)).unwrap();
        let texts = vec!["short".to_owned(), "long".to_owned()];
        let error = mistral.chat(&ChatRequest::about(task, None, texts)).await.unwrap_err();
        assert_eq!((error.kind(), error.fail_over()), (ErrorKind::ContextLength, true), "{task:?}: {error:?}");
        let named = format!("Input id {} is too large by itself: ", calls - 2);
        assert!(error.message().starts_with(&named), "{task:?}: {error}");
        assert_eq!((server.requests().len(), error.status()), (calls, Some(400)), "{task:?}");
    }
}

#[tokio::test]
async fn what_an_answer_of_no_use_used_is_known() {
    let used = r#""usage":{"prompt_tokens":1000000,"completion_tokens":1000000}"#;
    let failed =
        format!(r#"{{"choices":[{{"index":0,"finish_reason":"error","message":{{"content":"Ye"}}}}],{used}}}"#);
    let (_server, answer) = chat(reply("200 OK", "", &failed)).await;
    assert_eq!(answer.unwrap_err().spent().map(|usage| usage.completion_tokens), Some(1_000_000));

    let event = format!(r#"{{"choices":[{{"index":0,"finish_reason":"error","delta":{{"content":""}}}}],{used}}}"#);
    let server = Server::start(Reaction::Say(format!("{HEAD}data: {event}\n\n").into_bytes())).await;
    let mut streamed = Mistral::new(settings(&server.origin)).unwrap().stream(&hello()).await.unwrap();
    let error = streamed.events.next().await.unwrap().unwrap_err();
    let spent = error.spent().map(|usage| usage.completion_tokens);
    assert_eq!((error.kind(), spent), (ErrorKind::GenerationFailed, Some(1_000_000)));

    let fewer = said("200 OK", "", r#"{"data":[],"usage":{"prompt_tokens":5,"total_tokens":5}}"#);
    let server = Server::start(Reaction::InTurn(vec![vectors(512), fewer, vectors(1)])).await;
    let texts = (0..513).map(|number| number.to_string()).collect();
    let request = ChatRequest::about(Task::Embed, Some("mistral-embed".to_owned()), texts);
    let answer = Mistral::new(settings(&server.origin)).unwrap().chat(&request).await.unwrap();
    assert_eq!(answer.usage.map(|usage| usage.prompt_tokens), Some(518), "and what asking again used");
    assert!((answer.cost_usd.unwrap() - 518.0 * 0.1 / 1e6).abs() < 1e-12, "{answer:?}");
}

#[tokio::test]
async fn a_callers_key_that_is_over_its_limit_is_waited_for_by_no_batch() {
    let limited = said("429 Too Many Requests", "retry-after: 0\r\n", "{}");
    let failed = said("500 Internal Server Error", "retry-after: 0\r\n", "{}");
    for (failure, works, calls) in [(limited, false, 2), (failed, true, 3)] {
        let server = Server::start(Reaction::InTurn(vec![vectors(512), failure, vectors(1)])).await;
        let mistral = Mistral::new(settings(&server.origin)).unwrap();
        let callers = mistral.with_callers_key(&ApiKey::new("sk-of-the-caller").unwrap()).unwrap();
        let texts = (0..513).map(|number| number.to_string()).collect();
        let answer = callers.chat(&ChatRequest::about(Task::Embed, None, texts)).await;
        assert_eq!((answer.is_ok(), server.requests().len()), (works, calls), "{answer:?}");
        if let Err(error) = answer {
            assert!(error.is_of_callers_key() && error.surface_as().status == 429, "{error}");
            assert_eq!(error.spent().map(|usage| usage.prompt_tokens), Some(512), "what was paid is known");
        }
    }
}

fn settings(endpoint: &str) -> Settings {
    Settings {
        api_key: Some(ApiKey::new(KEY).unwrap()),
        prices: Prices::shipped().unwrap().of("mistral", Kind::Mistral),
        ..Settings::new(Kind::Mistral, endpoint, "mistral-small-latest")
            .with(|entry| entry.timeout = Duration::from_secs(20))
    }
}

fn hello() -> ChatRequest {
    ChatRequest { messages: vec![Message::text(Role::User, "Hi")], ..ChatRequest::default() }
}

async fn chat(reaction: Reaction) -> (Server, Result<ChatAnswer, ProviderError>) {
    let server = Server::start(reaction).await;
    let mistral = Mistral::new(settings(&server.origin)).unwrap();
    let answer = mistral.chat(&hello()).await;
    (server, answer)
}

#[tokio::test]
async fn a_chat_is_asked_and_answered() {
    let headers = "mistral-correlation-id: 0199-a\r\nx-model-deprecation-timestamp: 2027-01-31T00:00:00Z\r\n";
    let (server, answer) = chat(reply("200 OK", headers, ANSWER)).await;
    let answer = answer.unwrap();
    assert_eq!(answer.choices[0].message, Message::text(Role::Assistant, "Yes."));
    assert_eq!(answer.choices[0].finish_reason, FinishReason::Stop);
    assert_eq!(answer.correlation_id.as_deref(), Some("0199-a"));
    assert_eq!(answer.notes, ["the model is deprecated by its vendor: 2027-01-31T00:00:00Z"]);
    assert_eq!(answer.aside.deprecation.as_deref(), Some("2027-01-31T00:00:00Z"));
    assert!((answer.cost_usd.unwrap() - 0.75).abs() < 1e-9);

    let requests = server.requests();
    let (head, body) = requests[0].split_once("\r\n\r\n").unwrap();
    let head = head.to_ascii_lowercase();
    assert!(head.starts_with("post /v1/chat/completions http/1.1"), "{head}");
    for line in [
        &format!("authorization: bearer {KEY}"),
        "content-type: application/json",
        "accept: application/json",
        concat!("user-agent: octroi/", env!("CARGO_PKG_VERSION")),
    ] {
        assert!(head.lines().any(|header| header == line), "{line} in {head}");
    }
    for absent in ["accept-encoding", "cookie", "referer"] {
        assert!(!head.contains(absent), "{absent} in {head}");
    }
    assert_eq!(body, r#"{"model":"mistral-small-latest","messages":[{"role":"user","content":"Hi"}]}"#);
}

#[tokio::test]
async fn a_schema_that_is_refused_is_sent_again_without_the_keyword() {
    let refused = |keyword: &str| {
        let message = format!("Received unsupported keyword `{keyword}` in schema.");
        let body = serde_json::json!({ "object": "error", "message": message, "type": "invalid_request_error" });
        said("400 Bad Request", "", &body.to_string())
    };
    let format = serde_json::json!({ "type": "json_schema", "json_schema": { "name": "n", "schema": {
        "properties": { "at": { "type": "string", "format": "date" } }, "minProperties": 1,
    } } });
    let request = ChatRequest { response_format: Some(serde_json::from_value(format).unwrap()), ..hello() };
    let answer = || said("200 OK", "", ANSWER);
    let events = || format!("{HEAD}{STREAM}data: [DONE]\n\n").into_bytes();
    for (claim, answers, streams, works, calls) in [
        ("whole", vec![refused("format"), answer()], false, true, 2),
        ("streamed", vec![refused("format"), events()], true, true, 2),
        ("each once", vec![refused("format"), refused("format"), answer()], false, false, 2),
        ("a keyword that is not there", vec![refused("pattern"), answer()], false, false, 1),
        ("a name that is none", vec![refused("at"), answer()], false, false, 1),
    ] {
        let server = Server::start(Reaction::InTurn(answers)).await;
        let mistral = Mistral::new(settings(&server.origin)).unwrap();
        let notes = match streams {
            true => mistral.stream(&request).await.map(|streamed| streamed.notes),
            false => mistral.chat(&request).await.map(|answer| answer.notes),
        };
        let requests = server.requests();
        assert_eq!((notes.is_ok(), requests.len()), (works, calls), "{claim}: {notes:?}");
        if let Ok(notes) = notes {
            assert!(requests[0].contains("format\":\"date") && !requests[1].contains("\"date\""), "{claim}");
            assert!(requests[1].contains("minProperties") && notes.len() == 1, "{claim}: {notes:?}");
        }
    }
    let several = ["title", "format", "minLength", "maxLength", "pattern"];
    let schema = serde_json::json!({ "title": 1, "format": 1, "minLength": 1, "maxLength": 1, "pattern": "x" });
    let format = serde_json::json!({ "type": "json_schema", "json_schema": { "name": "n", "schema": schema } });
    let request = ChatRequest { response_format: Some(serde_json::from_value(format).unwrap()), ..hello() };
    for (count, works) in [(4, true), (5, false)] {
        let refusals = several.into_iter().take(count).map(refused);
        let server = Server::start(Reaction::InTurn(refusals.chain([answer()]).collect())).await;
        let mistral = Mistral::new(settings(&server.origin)).unwrap();
        let answer = mistral.chat(&request).await;
        assert_eq!((answer.is_ok(), server.requests().len()), (works, 5), "{count}: {answer:?}");
        assert!(!works || server.requests()[4].contains(r#""schema":{"pattern":"x"}"#), "{count}");
        match answer {
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unsupported, "another vendor may take it"),
            Ok(first) => {
                let again = mistral.with_key(&ApiKey::new("another").unwrap()).unwrap().chat(&request).await.unwrap();
                assert_eq!((server.requests().len(), again.notes), (6, first.notes), "the vendor is not asked anew");
                let other = ChatRequest { model: Some("mistral-large-latest".to_owned()), ..request.clone() };
                mistral.chat(&other).await.unwrap();
                assert!(server.requests()[6].contains("maxLength"), "what one model refuses another may take");
            }
        }
    }
}

#[tokio::test]
async fn what_models_reason_the_vendor_says_better_than_their_names() {
    let list = r#"{"object":"list","data":[{"id":"of-the-future","capabilities":{"reasoning":true}},
        {"id":"mistral-small-latest","capabilities":{"reasoning":false}}]}"#;
    let server = Server::start(Reaction::InTurn(vec![said("200 OK", "", list), said("200 OK", "", ANSWER)])).await;
    let mistral = Mistral::new(settings(&server.origin)).unwrap();
    mistral.probe().await.unwrap();
    for (model, reasons) in [("of-the-future", true), ("mistral-small-latest", false), ("magistral-old", true)] {
        let reasoning_effort = Some(crate::chat::ReasoningEffort::High);
        let request = ChatRequest { model: Some(model.into()), reasoning_effort, ..hello() };
        mistral.chat(&request).await.unwrap();
        assert_eq!(server.requests().last().unwrap().contains("reasoning_effort"), reasons, "{model}");
    }
}

#[tokio::test]
async fn an_alias_costs_what_the_vendor_says_that_it_is() {
    let list = r#"{"data":[{"id":"mistral-large-latest","name":"mistral-large-4","aliases":["mistral-large-4"]},
        {"id":"pixtral-large-latest","name":"pixtral-large-2411"}]}"#;
    let events = || format!("{HEAD}{STREAM}data: [DONE]\n\n").into_bytes();
    for (model, input) in [("mistral-large-latest", 1.36), ("pixtral-large-latest", 2.0), ("ministral-3b-2512", 0.1)] {
        let answers = vec![said("200 OK", "", list), said("200 OK", "", ANSWER), events()];
        let server = Server::start(Reaction::InTurn(answers)).await;
        let mistral = Mistral::new(settings(&server.origin)).unwrap();
        mistral.probe().await.unwrap();
        let request = ChatRequest { model: Some(model.to_owned()), ..hello() };
        let priced = |usage: Usage| mistral.price(model, &usage);
        let estimate = priced(Usage { prompt_tokens: 1_000_000, ..Usage::default() });
        assert!((estimate.unwrap() - input).abs() < 1e-9, "{model}: {estimate:?}");
        let answer = mistral.chat(&request).await.unwrap();
        assert_eq!((answer.cost_usd, answer.model.as_str()), (priced(answer.usage.unwrap()), "mistral-small-latest"));
        let events: Vec<_> = mistral.stream(&request).await.unwrap().events.collect().await;
        let told = events.into_iter().flat_map(|event| event.unwrap().deltas).find_map(|delta| match delta {
            Delta::Usage { usage, cost_usd } => Some((priced(usage), cost_usd)),
            _ => None,
        });
        assert!(told.is_some_and(|(price, cost)| price.is_some() && price == cost), "{model}: {told:?}");
    }
}

#[tokio::test]
async fn the_endpoint_may_end_in_the_version() {
    let server = Server::start(reply("200 OK", "", r#"{"object":"list","data":[]}"#)).await;
    let mistral = Mistral::new(settings(&format!("{}/v1/", server.origin))).unwrap();
    mistral.probe().await.unwrap();
    assert!(server.requests()[0].starts_with("GET /v1/models HTTP/1.1"));
    assert_eq!(mistral.info().endpoint, server.origin);
}

#[tokio::test]
async fn answers_that_are_none_are_classed() {
    let ok = |headers: &str, body: &str| reply("200 OK", headers, body);
    let html = "<html><head><title>520: unknown error</title></head></html>";
    for (reaction, kind) in [
        (ok("", "{garbage"), ErrorKind::MalformedAnswer),
        (ok("", ""), ErrorKind::MalformedAnswer),
        (ok("", html), ErrorKind::MalformedAnswer),
        (ok("", r#"{"object":"error","message":"over","code":"1300"}"#), ErrorKind::RateLimited),
        (ok("", r#"{"error":{"message":"gone","code":503}}"#), ErrorKind::UpstreamUnavailable),
        (
            ok("", r#"{"choices":[{"index":0,"finish_reason":"error","message":{"content":"Ye"}}]}"#),
            ErrorKind::GenerationFailed,
        ),
        (reply("204 No Content", "", ""), ErrorKind::MalformedAnswer),
        (reply("504 Gateway Timeout", "", ""), ErrorKind::UpstreamTimeout),
        (reply("520 Unknown", "content-type: text/html\r\n", html), ErrorKind::UpstreamFailed),
        (reply("401 Unauthorized", "", r#"{"detail":"Invalid API Key"}"#), ErrorKind::Unauthorized),
        (reply("429 Too Many Requests", "retry-after: 3\r\n", ""), ErrorKind::RateLimited),
        (Reaction::Say(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"id\":".to_vec()), ErrorKind::ReadFailed),
        (
            Reaction::Say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\n{\"id\"".to_vec()),
            ErrorKind::ReadFailed,
        ),
        (Reaction::Say(Vec::new()), ErrorKind::ReadFailed),
        (Reaction::Say(b"SSH-2.0-OpenSSH_9.6\r\n".to_vec()), ErrorKind::ReadFailed),
        (
            Reaction::Say(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n".to_vec()),
            ErrorKind::ResponseTooLarge,
        ),
    ] {
        let (_server, answer) = chat(reaction).await;
        let error = answer.unwrap_err();
        assert_eq!(error.kind(), kind, "{error:?}");
        assert!(!format!("{error:?} {error}").contains(KEY));
    }
}

#[tokio::test]
async fn a_server_whose_list_cannot_be_read_is_up() {
    let server = Server::start(reply("200 OK", "", "<html>It works!</html>")).await;
    let mistral = Mistral::new(settings(&server.origin)).unwrap();
    mistral.probe().await.unwrap();
    assert!(mistral.catalogue().unwrap().listed().is_empty());
}

#[tokio::test]
async fn a_key_that_the_upstream_repeats_is_not_passed_on() {
    let body = format!(r#"{{"detail":"Invalid API Key {KEY}","code":"{KEY}"}}"#);
    let ray = format!("cf-ray: {KEY}\r\n");
    let (_server, answer) = chat(reply("401 Unauthorized", &ray, &body)).await;
    let error = answer.unwrap_err();
    assert!(!format!("{error:?} {error}").contains(KEY), "{error:?}");
    assert_eq!(error.message(), "Invalid API Key [secret]");
    let (_server, answer) = chat(reply("200 OK", &ray, "{")).await;
    let error = answer.unwrap_err();
    assert_eq!((error.kind(), error.correlation_id()), (ErrorKind::MalformedAnswer, Some("[secret]")));
    let (_server, answer) = chat(reply("200 OK", &ray, ANSWER)).await;
    assert_eq!(answer.unwrap().correlation_id.as_deref(), Some("[secret]"));
    let server = Server::start(Reaction::Say(format!("HTTP/1.1 200 OK\r\n{ray}\r\n{STREAM}").into_bytes())).await;
    let streamed = Mistral::new(settings(&server.origin)).unwrap().stream(&hello()).await.unwrap();
    assert_eq!(streamed.correlation_id.as_deref(), Some("[secret]"));
}

#[tokio::test]
async fn nothing_prints_the_key() {
    let settings = settings("http://127.0.0.1:1");
    let printed = format!("{settings:?}");
    let mistral = Mistral::new(settings).unwrap();
    let error = mistral.chat(&hello()).await.unwrap_err();
    let printed = format!("{printed} {mistral:?} {:?} {error:?} {error}", mistral.info());
    assert!(!printed.contains("very-secret"), "{printed}");
}

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\nconnection: close\r\n\r\n";
const STREAM: &str = "data: {\"id\":\"s1\",\"model\":\"mistral-small-latest\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n\
    data: {\"id\":\"s1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Grüße\"},\"finish_reason\":null}],\"p\":\"ab\"}\n\n\
    data: {\"id\":\"s1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"!\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":1000000,\"completion_tokens\":0,\"total_tokens\":1000000}}\n\n";

/// What a stream of these bytes says, and how it ends.
async fn stream(reaction: Reaction) -> (Vec<Delta>, Option<ProviderError>) {
    let server = Server::start(reaction).await;
    let timeout = Duration::from_secs(2);
    let mistral = Mistral::new(settings(&server.origin).with(|entry| entry.timeout = timeout)).unwrap();
    let mut events = mistral.stream(&hello()).await.unwrap().events;
    assert!(server.requests()[0].contains(r#""stream":true"#));
    let mut said = Vec::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => said.extend(event.deltas),
            Err(error) => return (said, Some(error)),
        }
    }
    (said, None)
}

#[tokio::test]
async fn a_stream_is_read_to_its_end() {
    let whole = |head: &str, end: &str| Reaction::Say(format!("{head}{STREAM}{end}").into_bytes());
    let (said, error) = stream(whole(HEAD, "data: [DONE]\n\n")).await;
    assert_eq!(error, None);
    // What comes behind the end is not read; the last line feeds, and the type, may be missing.
    let untyped = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
    let plain = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n";
    for (head, end) in [
        (HEAD, "data: [DONE]\n\ndata: {\n\n"),
        (HEAD, "data: [DONE]"),
        (untyped, "data: [DONE]\n\n"),
        (plain, "data: [DONE]\n\n"),
    ] {
        assert_eq!(stream(whole(head, end)).await, (said.clone(), None), "{head:?} {end:?}");
    }
    let text = |text: &str| Delta::Text { choice: 0, text: text.into() };
    let usage = Usage { prompt_tokens: 1_000_000, ..Usage::default() };
    assert_eq!(
        said,
        [
            Delta::Started { id: "s1".into(), model: "mistral-small-latest".into(), aside: Aside::default() },
            text("Grüße"),
            text("!"),
            Delta::Finished { choice: 0, reason: FinishReason::Stop },
            Delta::Usage { usage, cost_usd: Some(0.15) },
        ]
    );
}

#[tokio::test]
async fn half_a_character_costs_no_answer() {
    let halves = STREAM.replace("Grüße", "\\ud83d").replace("\"!\"", "\"\\ude00\"");
    let (said, error) = stream(Reaction::Say(format!("{HEAD}{halves}data: [DONE]\n\n").into_bytes())).await;
    let half = Delta::Text { choice: 0, text: "\u{fffd}".into() };
    assert_eq!((&said[1..3], error), (&[half.clone(), half][..], None));
    let (_, answer) = chat(reply("200 OK", "", &ANSWER.replace("Yes.", "Yes \\ud83d"))).await;
    let expected = Message::text(Role::Assistant, "Yes \u{fffd}");
    assert_eq!(answer.unwrap().choices[0].message, expected);
}

#[tokio::test]
async fn a_stream_that_breaks_says_so_behind_what_came() {
    let refused = r#"data: {"error":{"message":"over","type":"rate_limited","code":1300,"status":429}}"#;
    for (tail, kind) in [
        (String::new(), ErrorKind::ReadFailed),
        (format!("{refused}\n\n"), ErrorKind::RateLimited),
        ("data: {\"object\":\"error\",\"message\":\"over\",\"code\":3000}\n\n".to_owned(), ErrorKind::UpstreamFailed),
        ("data: <html>\n\n".to_owned(), ErrorKind::MalformedAnswer),
    ] {
        let (said, error) = stream(Reaction::Say(format!("{HEAD}{STREAM}{tail}").into_bytes())).await;
        assert_eq!((said.len(), error.map(|error| error.kind())), (5, Some(kind)), "{tail}");
    }
    let (said, error) = stream(stall(&format!("{HEAD}{STREAM}"))).await;
    let error = error.unwrap();
    assert_eq!((said.len(), error.kind()), (5, ErrorKind::Timeout), "{error}");
    let early = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\ndata: [DONE]\n\n";
    let (_, error) = stream(Reaction::Say(format!("{HEAD}{early}").into_bytes())).await;
    assert_eq!(error.unwrap().kind(), ErrorKind::ReadFailed);
}

#[tokio::test]
async fn what_comes_instead_of_a_stream_is_classed_as_ever() {
    let limited = r#"{"object":"error","message":"Rate limit exceeded","type":"rate_limited","code":"1300"}"#;
    for (reaction, kind) in [
        (reply("429 Too Many Requests", "content-type: application/json\r\n", limited), ErrorKind::RateLimited),
        (reply("200 OK", "content-type: application/json\r\n", limited), ErrorKind::RateLimited),
        (reply("200 OK", "content-type: application/json\r\n", "{\"id\":\"x\"}"), ErrorKind::ReadFailed),
        (reply("200 OK", "content-type: text/html\r\n", "<html></html>"), ErrorKind::MalformedAnswer),
    ] {
        let server = Server::start(reaction).await;
        let error = match Mistral::new(settings(&server.origin)).unwrap().stream(&hello()).await {
            Ok(streamed) => streamed.begun().await.unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(error.kind(), kind);
        assert!(kind != ErrorKind::MalformedAnswer || error.message().contains("`text/html`"), "{error}");
    }
}

#[tokio::test]
async fn a_whole_answer_in_place_of_a_stream_is_told_as_one() {
    let (said, error) = stream(reply("200 OK", "content-type: application/json\r\n", ANSWER)).await;
    assert_eq!(error, None);
    let has = |is: fn(&Delta) -> bool| said.iter().filter(|delta| is(delta)).count();
    assert_eq!(has(|delta| matches!(delta, Delta::Started { .. })), 1, "{said:?}");
    assert_eq!(has(|delta| matches!(delta, Delta::Text { .. })), 1, "{said:?}");
    assert_eq!(has(|delta| matches!(delta, Delta::Finished { .. })), 1, "{said:?}");
    assert_eq!(has(|delta| matches!(delta, Delta::Usage { .. })), 1, "{said:?}");
}

/// Serves streams on one connection, the end of each body only when `over` says that the client has read its last event.
/// Each request is a line in `seen`: how many this connection had before it.
async fn end_late(mut socket: TcpStream, over: Arc<tokio::sync::Notify>, seen: Arc<Mutex<Vec<usize>>>) {
    let events = format!("{STREAM}data: [DONE]\n\n");
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let mut before = 0;
    while canned::request(&mut socket).await.is_some() {
        seen.lock().unwrap().push(before);
        before += 1;
        let chunk = format!("{head}{:x}\r\n{events}\r\n", events.len());
        let _ = socket.write_all(chunk.as_bytes()).await;
        over.notified().await;
        let _ = socket.write_all(b"0\r\n\r\n").await;
    }
}

#[tokio::test]
async fn a_connection_is_used_again_though_the_end_of_its_stream_comes_late() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mistral = Mistral::new(settings(&format!("http://{}", listener.local_addr().unwrap()))).unwrap();
    let (over, seen) = (Arc::new(tokio::sync::Notify::new()), Arc::new(Mutex::new(Vec::new())));
    let (ending, requests) = (Arc::clone(&over), Arc::clone(&seen));
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(end_late(socket, Arc::clone(&ending), Arc::clone(&requests)));
        }
    });
    // A connection comes back to the pool a moment after the end of its answer; until then another is opened.
    for _ in 0..50 {
        let events: Vec<_> = mistral.stream(&hello()).await.unwrap().events.collect().await;
        assert!(events.iter().all(Result::is_ok));
        over.notify_one();
        tokio::task::yield_now().await;
        if seen.lock().unwrap().last().is_some_and(|before| *before > 0) {
            return;
        }
    }
    panic!("50 streams, and each on a connection of its own");
}

#[test]
fn what_cannot_work_is_refused_when_it_is_made() {
    let good = || settings("https://api.mistral.ai");
    for (settings, code) in [
        (good().with(|entry| entry.model = " ".into()), "model_missing"),
        (good().with(|entry| entry.timeout = Duration::ZERO), "timeout_invalid"),
    ] {
        assert_eq!(Mistral::new(settings).unwrap_err().code(), code);
    }
    let regional = Mistral::new(settings("https://api.eu.mistral.ai")).unwrap();
    assert_eq!(regional.info().region.as_deref(), Some("eu"));
    let usage = Usage { prompt_tokens: 1_000_000, ..Usage::default() };
    assert!((regional.price("mistral-large-latest", &usage).unwrap() - 0.55).abs() < 1e-9);
}

#[test]
fn only_mistrals_regional_hosts_are_regional() {
    for (url, region) in [
        ("https://api.mistral.ai", None),
        ("https://api.eu.mistral.ai", Some("eu")),
        ("https://api.us.mistral.ai/v1", Some("us")),
        ("https://codestral.mistral.ai", None),
        ("https://api.eu.mistral.ai.example", None),
        ("http://127.0.0.1:1", None),
    ] {
        assert_eq!(regional_host(&Url::parse(url).unwrap()), region, "{url}");
    }
}

#[test]
fn codestrals_host_has_codestral_alone() {
    for (model, served) in [
        ("codestral-latest", true),
        ("codestral-2508", true),
        ("mistral-large-latest", false),
        ("qwen2.5:7b", false),
        ("the-default", true),
    ] {
        let settings = settings("https://codestral.mistral.ai/v1").with(|entry| entry.model = "the-default".into());
        assert_eq!(Mistral::new(settings).unwrap().serves(model), served, "{model}");
    }
}

#[test]
fn codestrals_host_chats_and_fills_in() {
    for (endpoint, task, does) in [
        ("https://codestral.mistral.ai", Task::Chat, true),
        ("https://codestral.mistral.ai/v1", Task::FillIn, true),
        ("https://codestral.mistral.ai", Task::Embed, false),
        ("https://codestral.mistral.ai", Task::Moderate, false),
        ("https://api.mistral.ai", Task::Embed, true),
    ] {
        assert_eq!(Mistral::new(settings(endpoint)).unwrap().does(task), does, "{endpoint} {task:?}");
    }
}
