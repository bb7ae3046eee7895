//! Streams of both dialects through sockets, in front of the doubles.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use mistral_double::{
    Behaviour, EventForm, Failure, MistralDouble, StreamFault, ThinkingEnd, ToolCall, ToolCallForm, Writes,
};
use openai_double::OpenAiDouble;
use serde_json::{Value, json};

use super::*;
use crate::chat::{ChatRequest, FinishReason, Message, Role};
use crate::in_flight::InFlight;
use crate::provider::upstream::canned::{Reaction, Server, stall};
use crate::provider::upstream::refusals::Wording;
use crate::provider::{ApiKey, ErrorKind, Kind, Prices, Provider, Settings, Streamed, build};

fn provider(kind: Kind, endpoint: &str, key: &str, timeout: Duration) -> Arc<dyn Provider> {
    let model = if kind == Kind::Mistral { "mistral-small-latest" } else { "gpt-4o" };
    build(Settings {
        api_key: Some(ApiKey::new(key).unwrap()),
        prices: Prices::shipped().unwrap().of(kind.as_str(), kind),
        ..Settings::new(kind, endpoint, model).with(|entry| entry.timeout = timeout)
    })
    .unwrap()
}

fn mistral(double: &MistralDouble) -> Arc<dyn Provider> {
    provider(Kind::Mistral, &double.origin(), double.key(), Duration::from_secs(20))
}

fn openai(double: &OpenAiDouble) -> Arc<dyn Provider> {
    provider(Kind::OpenAi, &double.origin(), openai_double::KEY, Duration::from_secs(20))
}

fn hello() -> ChatRequest {
    ChatRequest { messages: vec![Message::text(Role::User, "Grüß dich, was gibt es?")], ..ChatRequest::default() }
}

/// What came of a stream, put together as a client would.
#[derive(Debug, Default, PartialEq)]
struct Answer {
    text: String,
    thinking: String,
    /// Id, name and arguments, by choice and number.
    calls: Vec<(String, String, String)>,
    finished: Vec<FinishReason>,
    usage: Option<(Usage, Option<f64>)>,
    served: Option<String>,
    started: usize,
}

impl Answer {
    fn take(&mut self, event: &StreamEvent) {
        for delta in &event.deltas {
            match delta {
                Delta::Seal { .. } | Delta::References { .. } | Delta::Note(_) => {}
                Delta::Served { tier } => assert_eq!(self.served.replace(tier.clone()), None),
                Delta::Started { .. } => self.started += 1,
                Delta::Text { text, .. } | Delta::Refusal { text, .. } => self.text.push_str(text),
                Delta::Thinking { text, .. } => self.thinking.push_str(text),
                Delta::ToolCall { call, id, name, arguments, .. } => {
                    let call = *call as usize;
                    assert_eq!(self.calls.len() <= call, name.is_some(), "{delta:?}");
                    self.calls.resize(self.calls.len().max(call + 1), Default::default());
                    let known = &mut self.calls[call];
                    known.0.push_str(id.as_deref().unwrap_or_default());
                    known.1.push_str(name.as_deref().unwrap_or_default());
                    known.2.push_str(arguments);
                }
                Delta::Finished { reason, .. } => self.finished.push(*reason),
                Delta::Usage { usage, cost_usd } => assert_eq!(self.usage.replace((*usage, *cost_usd)), None),
            }
        }
    }
}

async fn stream(provider: &dyn Provider, request: &ChatRequest) -> (Answer, Vec<StreamEvent>, Option<ProviderError>) {
    let mut streamed = provider.stream(request).await.unwrap();
    assert!(streamed.correlation_id.is_some());
    let (mut answer, mut events) = (Answer::default(), Vec::new());
    while let Some(event) = streamed.events.next().await {
        match event {
            Ok(event) => {
                answer.take(&event);
                events.push(event);
            }
            Err(error) => {
                assert!(streamed.events.next().await.is_none(), "an error is the last item");
                assert_eq!(error.correlation_id(), streamed.correlation_id.as_deref());
                assert_eq!(error.status(), Some(200));
                return (answer, events, Some(error));
            }
        }
    }
    (answer, events, None)
}

async fn whole(provider: &dyn Provider, behaviour: Behaviour, double: &MistralDouble) -> Answer {
    double.script(behaviour);
    let (answer, _, error) = stream(provider, &hello()).await;
    assert_eq!(error, None);
    answer
}

#[tokio::test]
async fn a_stream_of_mistrals_says_and_costs_what_the_whole_answer_does() {
    let double = MistralDouble::builder().start().await.unwrap();
    let mistral = mistral(&double);
    let urgent = Behaviour::answer().cached_tokens(64).service_tier("priority");
    for (behaviour, served) in [(Behaviour::answer(), None), (urgent, Some("priority"))] {
        double.script(behaviour.clone());
        let chat = mistral.chat(&hello()).await.unwrap();
        double.script(behaviour);
        let (answer, events, error) = stream(&*mistral, &hello()).await;
        assert_eq!(error, None);
        assert_eq!(answer.text, chat.choices[0].message.plain_text());
        assert_eq!((answer.started, answer.finished), (1, vec![FinishReason::Stop]));
        assert_eq!(answer.usage, Some((chat.usage.unwrap(), chat.cost_usd)));
        assert!(answer.usage.unwrap().1.is_some());
        assert_eq!((answer.served.as_deref(), chat.aside.service_tier.as_deref()), (served, served));
        // Whatever Mistral sends in its ordinary form goes on without its padding.
        assert!(events.iter().all(|event| event.frame.as_deref().is_some_and(|frame| !frame.is_empty())));
    }
    let sent = double.last_request().unwrap();
    assert_eq!((&sent.json()["stream"], sent.json().get("stream_options")), (&json!(true), None));
    assert_eq!(sent.header("accept"), Some("text/event-stream"));
}

#[tokio::test]
async fn a_stream_keeps_its_room_as_long_as_somebody_has_its_text() {
    let (double, in_flight) = (MistralDouble::builder().start().await.unwrap(), InFlight::default());
    let api_key = Some(ApiKey::new(double.key()).unwrap());
    let settings = Settings::new(Kind::Mistral, &double.origin(), "mistral-small-latest");
    let mistral = build(Settings { api_key, in_flight: in_flight.clone(), ..settings }).unwrap();
    let Streamed { events, held, .. } = mistral.stream(&hello()).await.unwrap();
    assert!(events.count().await > 0);
    assert!(in_flight.held() > 0);
    drop(held);
    while in_flight.held() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn what_says_nothing_takes_no_room() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
    let said = |text: &str| json!({"choices": [{"index": 0, "delta": {"content": text}}]}).to_string();
    let nothing = format!("{}data: {{\"choices\":[]}}\n\n", ": still here\n\n".repeat(50)).repeat(1_000);
    let body = format!("{head}{nothing}data: {}\n\n{nothing}data: {}\n\ndata: {{", said("Yes"), said("."));
    let server = Server::start(stall(&body)).await;
    let in_flight = InFlight::new(100_000);
    let settings =
        Settings { in_flight: in_flight.clone(), ..Settings::new(Kind::OpenAiCompatible, &server.origin, "m") };
    let mut streamed = build(settings).unwrap().stream(&hello()).await.unwrap();
    let mut given = 0;
    for text in ["Yes", "."] {
        let event = streamed.events.next().await.unwrap().unwrap();
        assert!(event.deltas.iter().any(|it| matches!(it, Delta::Text { text: said, .. } if said == text)));
        given += said(text).len();
        // Beside it what came in the same piece and was not read yet.
        assert!((given..given + 70_000).contains(&in_flight.held()), "{}", in_flight.held());
    }
    drop(streamed);
    while in_flight.held() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_chunk_with_a_choice_ends_a_wait_though_its_delta_is_empty_and_others_prolong_none() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
    let event = |choices: Value, more: &str| {
        let chunk = json!({ "id": "c-1", "choices": choices, "usage": { "prompt_tokens": 3, "completion_tokens": 1 } });
        format!("data: {chunk}\n\n{more}")
    };
    let said = |text: &str| json!([{ "index": 0, "delta": { "content": text }, "finish_reason": null }]);
    // Neither is passed on: they count along, as some servers do that are asked to.
    for (nothing, kept) in [(event(said(""), ""), true), (event(json!([]), ": a comment\n\n"), false)] {
        let begun = (0, format!("{head}{}", event(said("Yes"), "")));
        let waits = (0..50).map(|_| (100, nothing.clone()));
        let texts = [begun].into_iter().chain(waits).chain([(0, event(said("."), ""))]).collect();
        let server = Server::start(Reaction::Slowly(texts)).await;
        let made = provider(Kind::OpenAiCompatible, &server.origin, "key", Duration::from_secs(3));
        let events = made.stream(&hello()).await.unwrap().events.collect::<Vec<_>>();
        let mut events = tokio::time::timeout(Duration::from_secs(60), events).await.unwrap();
        assert_eq!(events.pop().unwrap().unwrap_err().kind(), ErrorKind::Timeout);
        assert_eq!(events.len(), if kept { 2 } else { 1 }, "{events:?}");
    }
}

#[tokio::test]
async fn the_bytes_of_a_stream_may_be_cut_and_written_in_any_way() {
    let double = MistralDouble::builder().start().await.unwrap();
    let mistral = mistral(&double);
    let expected = whole(&*mistral, Behaviour::text("Größe und 日本語"), &double).await;
    assert_eq!(expected.text, "Größe und 日本語");
    let writes = [Writes::Bytes(1), Writes::Bytes(7), Writes::SplitCharacters, Writes::AllAtOnce];
    let forms = [EventForm::CarriageReturnLineFeed, EventForm::CarriageReturn, EventForm::Talkative];
    for (writes, form) in writes.into_iter().flat_map(|writes| forms.map(|form| (writes, form))) {
        let behaviour = Behaviour::text("Größe und 日本語").writes(writes).events(form);
        assert_eq!(whole(&*mistral, behaviour, &double).await, expected, "{writes:?} {form:?}");
    }
}

#[tokio::test]
async fn mistrals_tool_calls_are_read_in_each_form() {
    let double = MistralDouble::builder().start().await.unwrap();
    let mistral = mistral(&double);
    let calls = || {
        let arguments = json!({ "city": "Paris and the whole of its suburbs" });
        vec![ToolCall::new("weather", &arguments).id("aaaaaaaa1"), ToolCall::new("time", &json!({})).id("aaaaaaaa2")]
    };
    let told = |id: &str, name: &str, arguments: &str| (id.to_owned(), name.to_owned(), arguments.to_owned());
    let expected = [
        told("aaaaaaaa1", "weather", r#"{"city":"Paris and the whole of its suburbs"}"#),
        told("aaaaaaaa2", "time", "{}"),
    ];
    for form in [ToolCallForm::Whole, ToolCallForm::Bare, ToolCallForm::Fragments, ToolCallForm::FragmentsNullId] {
        let answer = whole(&*mistral, Behaviour::tool_calls(calls()).tool_call_form(form), &double).await;
        assert_eq!(answer.calls, expected, "{form:?}");
        assert_eq!(answer.finished, [FinishReason::ToolCalls], "{form:?}");
    }
    let objects = calls().into_iter().map(ToolCall::arguments_as_object).collect();
    assert_eq!(whole(&*mistral, Behaviour::tool_calls(objects), &double).await.calls, expected);
}

#[tokio::test]
async fn reasoning_lists_and_reasons_of_mistrals_are_read() {
    let double = MistralDouble::builder().start().await.unwrap();
    let mistral = mistral(&double);
    for end in [ThinkingEnd::EmptyList, ThinkingEnd::WithText] {
        let behaviour = Behaviour::text("Bon jour").thinking("let me see").thinking_end(end);
        let answer = whole(&*mistral, behaviour, &double).await;
        assert_eq!((answer.thinking.as_str(), answer.text.as_str()), ("let me see", "Bon jour"), "{end:?}");
    }
    let parts = vec![json!({ "type": "text", "text": "a" }), json!({ "type": "reference", "reference_ids": [1] })];
    assert_eq!(whole(&*mistral, Behaviour::parts(parts), &double).await.text, "a");
    let answer = whole(&*mistral, Behaviour::answer().finish_reason("model_length"), &double).await;
    assert_eq!(answer.finished, [FinishReason::Length]);
    let two = ChatRequest { n: Some(2), ..hello() };
    let (answer, _, error) = stream(&*mistral, &two).await;
    assert_eq!((error, answer.finished.len(), answer.started), (None, 2, 1));
}

#[tokio::test]
async fn a_stream_of_mistrals_that_breaks_is_classed() {
    let double = MistralDouble::builder().start().await.unwrap();
    let patient = mistral(&double);
    let hasty = provider(Kind::Mistral, &double.origin(), double.key(), Duration::from_secs(5));
    for (fault, kind) in [
        (StreamFault::FlatError, ErrorKind::UpstreamFailed),
        (StreamFault::WrappedError, ErrorKind::UpstreamFailed),
        (StreamFault::FinishError, ErrorKind::GenerationFailed),
        (StreamFault::Cut, ErrorKind::ReadFailed),
        (StreamFault::NoDone, ErrorKind::ReadFailed),
        (StreamFault::NoFinish, ErrorKind::ReadFailed),
        (StreamFault::Stall, ErrorKind::Timeout),
        (StreamFault::BadJson, ErrorKind::MalformedAnswer),
    ] {
        double.script(Behaviour::break_stream(3, fault));
        let provider = if fault == StreamFault::Stall { &hasty } else { &patient };
        let (answer, _, error) = stream(&**provider, &hello()).await;
        assert_eq!(error.map(|error| error.kind()), Some(kind), "{fault:?}");
        assert!(!answer.text.is_empty(), "{fault:?}: what came before is told");
    }
}

#[tokio::test]
async fn what_fails_before_a_stream_is_classed_as_of_a_whole_answer() {
    let double = MistralDouble::builder().start().await.unwrap();
    let mistral = mistral(&double);
    for failure in [
        Failure::internal(),
        Failure::unavailable(),
        Failure::context_too_long(),
        Failure::spend_cap(),
        Failure::HtmlPage(520),
        Failure::Empty(504),
        Failure::Reset,
        Failure::Close,
        Failure::GuardrailBlock,
    ] {
        double.script(failure.clone());
        let whole = mistral.chat(&hello()).await.unwrap_err();
        double.script(failure.clone());
        let streamed = mistral.stream(&hello()).await.unwrap_err();
        assert_eq!((streamed.kind(), streamed.status()), (whole.kind(), whole.status()), "{failure:?}");
    }
}

#[tokio::test]
async fn connections_are_used_again_behind_streams() {
    let double = MistralDouble::builder().start().await.unwrap();
    let mistral = mistral(&double);
    for _ in 0..40 {
        whole(&*mistral, Behaviour::answer(), &double).await;
    }
    // A connection comes back to the pool a moment after its answer.
    let connections = double.stats().connections;
    assert!(connections < 10, "{connections} connections for 40 streams");
    assert_eq!(double.stats().cancelled_streams, 0);
}

#[tokio::test]
async fn a_stream_that_is_dropped_ends_upstream() {
    let double = MistralDouble::builder().start().await.unwrap();
    let mistral = mistral(&double);
    double.script(Behaviour::break_stream(2, StreamFault::Stall));
    let mut streamed = mistral.stream(&hello()).await.unwrap();
    assert!(streamed.events.next().await.unwrap().is_ok());
    drop(streamed);
    double.wait_until(|stats| stats.cancelled_streams == 1).await.unwrap();
}

#[tokio::test]
async fn a_stream_of_openais_is_passed_on_as_it_is_and_counted() {
    let double = OpenAiDouble::start().await.unwrap();
    let openai = openai(&double);
    let chat = openai.chat(&hello()).await.unwrap();
    let (answer, events, error) = stream(&*openai, &hello()).await;
    assert_eq!(error, None);
    assert_eq!(answer.text, chat.choices[0].message.plain_text());
    assert_eq!((answer.started, answer.finished), (1, vec![FinishReason::Stop]));
    assert!(chat.cost_usd.is_some_and(|cost| cost > 0.0));
    assert_eq!(answer.usage, Some((chat.usage.unwrap(), chat.cost_usd)));
    let frames: Vec<Value> =
        events.iter().filter_map(|event| Some(serde_json::from_slice(event.frame.as_deref()?).unwrap())).collect();
    let said = frames.iter().filter_map(|frame| frame["choices"][0]["delta"]["content"].as_str());
    assert_eq!(said.collect::<String>(), answer.text);
    assert_eq!(frames.len(), events.len() - 1, "no event without a choice is passed on");
    let sent = &double.chats()[1].json();
    assert_eq!((&sent["stream"], &sent["stream_options"]), (&json!(true), &json!({ "include_usage": true })));

    let arguments = json!({ "city": "Paris and its suburbs" });
    double.script(openai_double::Behaviour::tool_calls(&[("weather", arguments.clone()), ("time", json!({}))]));
    let (answer, events, _) = stream(&*openai, &hello()).await;
    let told: Vec<_> = answer.calls.iter().map(|(_, name, arguments)| (name.as_str(), arguments.as_str())).collect();
    assert_eq!(told, [("weather", arguments.to_string().as_str()), ("time", "{}")]);
    assert!(answer.calls.iter().all(|(id, ..)| id.starts_with("call_")));
    assert_eq!(answer.finished, [FinishReason::ToolCalls]);
    // But for fragments without a name, which Mistral's clients do not read.
    let is_fragment = |event: &StreamEvent| matches!(event.deltas[..], [Delta::ToolCall { name: None, .. }]);
    let (fragments, others): (Vec<_>, Vec<_>) = events.iter().rev().skip(1).partition(|event| is_fragment(event));
    assert!(fragments.len() > 3 && fragments.iter().all(|event| event.frame.is_none()), "{events:?}");
    assert!(others.len() > 3 && others.iter().all(|event| event.frame.is_some()), "{events:?}");

    let two = ChatRequest { n: Some(2), ..hello() };
    let (answer, _, error) = stream(&*openai, &two).await;
    assert_eq!((error, answer.finished.len(), answer.started), (None, 2, 1));
}

#[tokio::test]
async fn a_stream_of_openais_that_breaks_is_classed() {
    use openai_double::{Behaviour, StreamFault};
    let double = OpenAiDouble::start().await.unwrap();
    let made = |kind, millis| provider(kind, &double.origin(), openai_double::KEY, Duration::from_millis(millis));
    let (patient, hasty) = (made(Kind::OpenAi, 20_000), made(Kind::OpenAi, 5_000));
    for (fault, kind) in [
        (StreamFault::WrappedError, ErrorKind::UpstreamFailed),
        (StreamFault::Cut, ErrorKind::ReadFailed),
        (StreamFault::NoDone, ErrorKind::ReadFailed),
        (StreamFault::NoFinish, ErrorKind::ReadFailed),
        (StreamFault::Stall, ErrorKind::Timeout),
        (StreamFault::BadJson, ErrorKind::MalformedAnswer),
    ] {
        double.script(Behaviour::break_stream(3, fault));
        let provider = if fault == StreamFault::Stall { &hasty } else { &patient };
        let (answer, _, error) = stream(&**provider, &hello()).await;
        assert_eq!(error.map(|error| error.kind()), Some(kind), "{fault:?}");
        assert!(!answer.text.is_empty(), "{fault:?}: what came before is told");
    }
    // Servers that merely resemble OpenAI may leave the end out, but not the end of the answer.
    let compatible = made(Kind::OpenAiCompatible, 20_000);
    double.script(Behaviour::break_stream(3, StreamFault::NoDone));
    let (answer, _, error) = stream(&*compatible, &hello()).await;
    assert_eq!((error, answer.finished.as_slice()), (None, &[FinishReason::Stop][..]));
    assert!(answer.usage.is_some());
    double.script(Behaviour::break_stream(3, StreamFault::Cut));
    let (_, _, error) = stream(&*compatible, &hello()).await;
    assert_eq!(error.map(|error| error.kind()), Some(ErrorKind::ReadFailed));
    double.script(Behaviour::server_error());
    assert_eq!(patient.stream(&hello()).await.unwrap_err().kind(), ErrorKind::UpstreamFailed);
}

fn chunked(end: End) -> Chunked {
    let call = Call { bill: Bill::of_a_dollar_a_token(&ChatRequest::default()), host: Host::Global, end };
    Chunked { chunks: Chunks::new("m"), told: None, over: false, call }
}

fn refusals() -> Refusals {
    Refusals { wording: Wording::plain(), key: None }
}

#[test]
fn tokens_are_told_as_they_were_counted_last() {
    let mut dialect = chunked(End::Unsaid);
    let chunk = |choices: Value, tokens: u64| {
        let usage = json!({ "prompt_tokens": 3, "completion_tokens": tokens });
        Bytes::from(json!({ "id": "c", "model": "m", "choices": choices, "usage": usage }).to_string())
    };
    let finish = chunk(json!([{ "index": 0, "delta": { "content": "Hi" }, "finish_reason": "stop" }]), 1);
    let told = |tokens| {
        let usage = Usage { prompt_tokens: 3, completion_tokens: tokens, ..Usage::default() };
        Delta::Usage { usage, cost_usd: Some(3.0) }
    };
    let event = dialect.read(&finish, &refusals()).unwrap();
    assert_eq!((event.frame, event.deltas.last()), (Some(finish), Some(&told(1))));
    assert_eq!(dialect.read(&chunk(json!([]), 1), &refusals()).unwrap(), StreamEvent::default());
    let last = dialect.read(&chunk(json!([]), 2), &refusals()).unwrap();
    assert_eq!(last, StreamEvent { frame: None, deltas: vec![told(2)] });
    assert_eq!(dialect.end(), Some(vec![]));
}

#[test]
fn a_message_without_a_reason_is_whole_where_its_stream_is_over() {
    let whole = json!({ "choices": [{ "message": { "content": "Hi" } }], "usage": { "prompt_tokens": 3 } });
    let finished = Delta::Finished { choice: 0, reason: FinishReason::Other };
    for end in [End::Said, End::Unsaid] {
        for done in [false, true] {
            let mut dialect = chunked(end);
            dialect.read(&Bytes::from(whole.to_string()), &refusals()).unwrap();
            let mut deltas = Vec::new();
            if done {
                deltas = dialect.read(&Bytes::from_static(b"[DONE]"), &refusals()).unwrap().deltas;
            }
            assert_eq!((deltas.as_slice(), dialect.is_over()), (done.then(|| finished.clone()).as_slice(), done));
            deltas.extend(dialect.end().unwrap());
            assert!(matches!(&deltas[..], [end, Delta::Usage { .. }] if *end == finished), "{deltas:?}");
        }
    }
}
