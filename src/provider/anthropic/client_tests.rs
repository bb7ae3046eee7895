//! What the provider is made from, which names it takes, and what tokens cost.

use std::time::Duration;

use futures_util::StreamExt;

use super::*;
use crate::chat::{Message, Part, Role, Seal, Usage};
use crate::provider::names::tests::serves_what_it_lists;
use crate::provider::upstream::canned::{Reaction, Server, reply, said, stall};
use crate::provider::{ErrorKind, Host, Kind, Prices, Settings, Terms, Tier};

const M: u64 = 1_000_000;

fn settings() -> Settings {
    Settings {
        api_key: Some(ApiKey::new("sk-ant-very-secret").unwrap()),
        prices: Prices::shipped().unwrap().of("anthropic", Kind::Anthropic),
        ..Settings::new(Kind::Anthropic, "https://host.example/base/v1", "claude-sonnet-4-6")
            .with(|entry| entry.timeout = Duration::from_secs(5))
    }
}

#[test]
fn the_address_is_built_and_the_key_is_not_shown() {
    let made = Anthropic::new(settings()).unwrap();
    assert_eq!(made.messages_url.as_str(), "https://host.example/base/v1/messages");
    assert_eq!(made.models_url.as_str(), "https://host.example/base/v1/models?limit=1000");
    let printed = format!("{made:?}");
    assert!(!printed.contains("very-secret"), "{printed}");
    assert_eq!(Anthropic::new(Settings { api_key: None, ..settings() }).unwrap_err().code(), "key_empty");
}

#[test]
fn only_its_own_names_are_asked() {
    let made = Anthropic::new(settings()).unwrap();
    for (model, served) in [("claude-opus-5", true), ("gpt-4o", false), ("mistral-small-latest", false)] {
        assert_eq!(made.serves(model), served, "{model}");
    }
    let listing = Anthropic::new(settings().with(|entry| entry.models = vec!["claude-opus-5".into()])).unwrap();
    assert!(listing.serves("claude-opus-5") && listing.serves("claude-sonnet-4-6"));
    assert!(!listing.serves("claude-haiku-4-5"));
}

#[test]
fn the_rules_of_billing_hold() {
    let made = Anthropic::new(settings()).unwrap();
    let usual = Terms::default();
    for (model, prompt_tokens, cached_tokens, terms, expected) in [
        ("claude-sonnet-4-6", M, 0, usual, Some(18.0)),
        ("claude-sonnet-4-6", M, M, usual, Some(15.3)),
        ("claude-opus-5-5", M, M, usual, Some(20.2)),
        ("claude-opus-5", M, 0, Terms { host: Host::Regional, ..usual }, Some(33.0)),
        ("claude-opus-5", M, 0, Terms { tier: Tier::Other, ..usual }, None),
        ("claude-haiku-5-5", 100_000, 0, usual, Some(0.01 + 0.5)),
        ("claude-haiku-5-5", 100_001, 100_001, usual, Some(0.100_001 * 0.05 + 2.5)),
        ("claude-fable-5-2", M, 0, usual, None),
    ] {
        let usage = Usage { prompt_tokens, completion_tokens: M, cached_tokens, ..Usage::default() };
        let cost = made.prices.cost(model, &usage, terms);
        match (cost, expected) {
            (Some(cost), Some(expected)) => assert!((cost - expected).abs() < 1e-9, "{model}: {cost}"),
            _ => assert_eq!(cost, expected, "{model}"),
        }
    }
}

#[tokio::test]
async fn an_error_that_a_stream_begins_with_has_the_id_of_its_call() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nrequest-id: req_1\r\n\r\n";
    let error = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    let server = Server::start(stall(&format!("{head}event: error\ndata: {error}\n\n"))).await;
    let made = Anthropic::new(settings().at(&server.origin)).unwrap();
    let request = ChatRequest { messages: vec![Message::text(Role::User, "Hi")], ..ChatRequest::default() };
    let mut streamed = made.stream(&request).await.unwrap();
    let error = streamed.events.next().await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.status()), (ErrorKind::CapacityExceeded, Some(200)));
    assert_eq!(error.correlation_id(), Some("req_1"));
}

/// A refusal in these words.
fn refused(words: &str) -> Vec<u8> {
    let error = serde_json::json!({ "type": "invalid_request_error", "message": words });
    said("400 Bad Request", "", &serde_json::json!({ "type": "error", "error": error }).to_string())
}

/// What comes of a request where these are answered one after the other: the notes, and the bodies that were sent.
async fn answered(answers: Vec<Vec<u8>>, request: &ChatRequest) -> (Result<Vec<String>, ProviderError>, Vec<String>) {
    let server = Server::start(Reaction::InTurn(answers)).await;
    let made = Anthropic::new(settings().at(&server.origin)).unwrap();
    let notes = made.chat(request).await.map(|answer| answer.notes);
    (notes, server.requests())
}

const ANSWER: &str = r#"{"content":[{"type":"text","text":"Yes."}],"stop_reason":"end_turn"}"#;

#[tokio::test]
async fn what_the_model_thought_is_left_out_where_it_is_refused_and_that_once() {
    let unbound = || refused("messages.1.content.0: Invalid `signature` in `thinking` block");
    let answer = || said("200 OK", "", ANSWER);
    let thought = Part::Thinking { text: "hm".into(), seal: Some(Seal::Anthropic("EqQB".into())) };
    let thoughtful = vec![
        Message::text(Role::User, "Hi"),
        Message { role: Role::Assistant, parts: vec![thought, Part::Text { text: "Hi".into() }] },
        Message::text(Role::User, "Well?"),
    ];
    let plain = vec![Message::text(Role::User, "Hi")];
    for (claim, answers, messages, works, calls) in [
        ("again", vec![unbound(), answer()], &thoughtful, true, 2),
        ("once", vec![unbound(), unbound(), answer()], &thoughtful, false, 2),
        ("not after another refusal", vec![refused("max_tokens: Field required"), answer()], &thoughtful, false, 1),
        ("not where there is none", vec![unbound(), answer()], &plain, false, 1),
    ] {
        let request = ChatRequest { messages: messages.clone(), ..ChatRequest::default() };
        let (notes, sent) = answered(answers, &request).await;
        assert_eq!((notes.is_ok(), sent.len()), (works, calls), "{claim}: {notes:?}");
        assert_eq!(sent.last().unwrap().contains("EqQB"), calls == 1 && messages.len() > 1, "{claim}");
        if let Ok(notes) = notes {
            assert!(notes.iter().any(|note| note.starts_with("sent again without reasoning")), "{notes:?}");
        }
    }
}

#[tokio::test]
async fn schemas_that_are_too_much_hold_no_model_and_are_sent_again_so_once() {
    let answer = || said("200 OK", "", ANSWER);
    let heavy = || refused("The compiled grammar is too large, which would cause performance issues.");
    let tool = serde_json::json!({ "function": { "name": "look", "strict": true,
        "parameters": { "type": "object", "properties": { "a": { "type": "string" } }, "required": ["a"] } } });
    let strict = ChatRequest {
        messages: vec![Message::text(Role::User, "Hi")],
        tools: serde_json::from_value(serde_json::json!([tool])).unwrap(),
        ..ChatRequest::default()
    };
    let plain = ChatRequest { tools: Vec::new(), ..strict.clone() };
    for (claim, answers, request, works, calls) in [
        ("again", vec![heavy(), answer()], &strict, true, 2),
        ("once", vec![heavy(), heavy(), answer()], &strict, false, 2),
        (
            "other words",
            vec![refused("Schemas contains too many optional parameters (25) (limit: 24)."), answer()],
            &strict,
            true,
            2,
        ),
        ("of tools", vec![refused("Too many strict tools (21)."), answer()], &strict, true, 2),
        ("another refusal", vec![refused("tools.0.input_schema: no"), answer()], &strict, false, 1),
        ("not where none is strict", vec![heavy(), answer()], &plain, false, 1),
    ] {
        let (notes, sent) = answered(answers, request).await;
        assert_eq!((notes.is_ok(), sent.len()), (works, calls), "{claim}: {notes:?}");
        assert_eq!(sent.last().unwrap().contains("\"strict\""), calls == 1 && !request.tools.is_empty(), "{claim}");
        assert!(notes.map_or(true, |notes| notes.iter().any(|note| note.contains("as too much"))), "{claim}");
    }
}

#[tokio::test]
async fn events_that_say_nothing_do_not_prolong_the_wait_for_one_that_does() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
    let begun = "data: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\"}}\n\n";
    let pings = || (0..1_200).map(|_| (100, "data: {\"type\":\"ping\"}\n\n".to_owned()));
    for before in ["", begun] {
        let texts = [(0, format!("{head}{before}"))].into_iter().chain(pings()).collect();
        let server = Server::start(Reaction::Slowly(texts)).await;
        let settings = settings().at(&server.origin).with(|entry| entry.timeout = Duration::from_secs(3));
        let made = Anthropic::new(settings).unwrap();
        let request = ChatRequest { messages: vec![Message::text(Role::User, "Hi")], ..ChatRequest::default() };
        let events = made.stream(&request).await.unwrap().events.collect::<Vec<_>>();
        let mut events = tokio::time::timeout(Duration::from_secs(60), events).await.unwrap();
        assert_eq!(events.pop().unwrap().unwrap_err().kind(), ErrorKind::Timeout);
        assert_eq!(events.len(), usize::from(!before.is_empty()));
    }
}

#[tokio::test]
async fn an_event_of_too_many_values_is_not_read() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
    let values = vec!["0"; 1_100_000].join(",");
    let event = format!("{head}data: {{\"type\":\"ping\",\"x\":[{values}]}}\n\n");
    let server = Server::start(Reaction::Say(event.into_bytes())).await;
    let made = Anthropic::new(settings().at(&server.origin)).unwrap();
    let request = ChatRequest { messages: vec![Message::text(Role::User, "Hi")], ..ChatRequest::default() };
    let mut streamed = made.stream(&request).await.unwrap();
    let error = streamed.events.next().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResponseTooLarge);
}

#[tokio::test]
async fn an_error_under_status_200_has_the_class_that_it_tells() {
    let body = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    let request = ChatRequest { messages: vec![Message::text(Role::User, "Hi")], ..ChatRequest::default() };
    let server = Server::start(reply("200 OK", "content-type: application/json\r\n", body)).await;
    let made = Anthropic::new(settings().at(&server.origin)).unwrap();
    for streams in [false, true] {
        let error = match streams {
            true => made.stream(&request).await.unwrap().begun().await.unwrap_err(),
            false => made.chat(&request).await.unwrap_err(),
        };
        assert_eq!(error.kind(), ErrorKind::CapacityExceeded, "streams: {streams}");
    }
}

#[test]
fn what_it_lists_is_asked_of_it_unless_it_is_plainly_anothers() {
    serves_what_it_lists(&Anthropic::new(settings()).unwrap());
}
