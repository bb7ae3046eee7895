//! Streams, byte by byte.

use mistral_double::{Behaviour, EventForm, MistralDouble, StreamFault, ThinkingEnd, ToolCall, ToolCallForm, Writes};
use serde_json::{Value, json};

use crate::client::{Answer, asking, chat, double};

async fn streamed(double: &MistralDouble, more: &Value) -> Answer {
    let mut body = asking("Hi there", more);
    body["stream"] = json!(true);
    chat(double, &body).await
}

async fn scripted(behaviour: Behaviour) -> Answer {
    let double = double().await;
    double.script(behaviour);
    streamed(&double, &json!({})).await
}

fn text(chunks: &[Value]) -> String {
    chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect()
}

#[tokio::test]
async fn a_stream_has_mistrals_sequence() {
    let double = double().await;
    let answer = streamed(&double, &json!({})).await;
    assert!(answer.complete);
    assert_eq!(answer.header("content-type"), Some("text/event-stream; charset=utf-8"));
    assert!(answer.header("mistral-correlation-id").is_some());
    assert!(answer.text().ends_with("\n\ndata: [DONE]\n\n"));
    let chunks = answer.stream();
    let (first, last) = (chunks.first().unwrap(), chunks.last().unwrap());
    assert_eq!(first["choices"][0]["delta"], json!({ "role": "assistant", "content": "" }));
    assert_eq!((&first["choices"][0]["finish_reason"], first.get("p")), (&Value::Null, None));
    let middle = &chunks[1..chunks.len() - 1];
    assert!(middle.len() > 3);
    for chunk in middle {
        assert!(!chunk["p"].as_str().unwrap().is_empty());
        assert_eq!((&chunk["object"], chunk.get("usage")), (&json!("chat.completion.chunk"), None));
        assert_eq!((&chunk["id"], &chunk["model"]), (&first["id"], &json!("mistral-small-latest")));
    }
    assert_eq!(last["choices"][0]["finish_reason"], "stop");
    assert_eq!(text(&chunks), "Offline double of Mistral: you asked: Hi there");
    let whole = chat(&double, &asking("Hi there", &json!({}))).await.json();
    assert_eq!(last["usage"], whole["usage"]);
}

#[tokio::test]
async fn several_answers_take_turns_and_end_with_one_usage() {
    let double = double().await;
    let chunks = streamed(&double, &json!({ "n": 2 })).await.stream();
    let index = |chunk: &Value| chunk["choices"][0]["index"].as_u64().unwrap();
    assert_eq!(chunks.iter().take(4).map(index).collect::<Vec<_>>(), [0, 1, 0, 1]);
    let ends: Vec<&Value> = chunks.iter().filter(|chunk| !chunk["choices"][0]["finish_reason"].is_null()).collect();
    assert_eq!(ends.len(), 2);
    assert_eq!(chunks.iter().filter(|chunk| chunk.get("usage").is_some()).count(), 1);
    assert!(chunks.last().unwrap()["usage"].is_object());
}

#[tokio::test]
async fn tool_calls_stream_in_each_form() {
    let calls = || {
        let arguments = json!({ "city": "Paris and the whole of its suburbs" });
        vec![ToolCall::new("weather", &arguments).id("aaaaaaaa1"), ToolCall::new("time", &json!({})).id("aaaaaaaa2")]
    };
    for form in [ToolCallForm::Whole, ToolCallForm::Bare, ToolCallForm::Fragments, ToolCallForm::FragmentsNullId] {
        let chunks = scripted(Behaviour::tool_calls(calls()).tool_call_form(form)).await.stream();
        let last = chunks.last().unwrap();
        assert_eq!(last["choices"][0]["finish_reason"], "tool_calls");
        assert!(last["usage"].is_object());
        let deltas: Vec<Value> = chunks
            .iter()
            .filter_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"].as_array())
            .flatten()
            .cloned()
            .collect();
        match form {
            ToolCallForm::Whole | ToolCallForm::Bare => {
                assert_eq!(last["choices"][0]["delta"]["tool_calls"].as_array().unwrap().len(), 2);
                let bare = deltas.iter().all(|call| call.get("index").is_none() && call.get("type").is_none());
                assert_eq!(bare, form == ToolCallForm::Bare);
            }
            ToolCallForm::Fragments | ToolCallForm::FragmentsNullId => {
                assert_eq!((&deltas[0]["id"], &deltas[0]["function"]["arguments"]), (&json!("aaaaaaaa1"), &json!("")));
                let expected = (form == ToolCallForm::FragmentsNullId).then(|| json!("null"));
                assert_eq!((deltas[1].get("id"), &deltas[1]["function"]["name"]), (expected.as_ref(), &json!("")));
                let first = deltas.iter().filter(|call| call["index"] == 0);
                let arguments: String = first.filter_map(|call| call["function"]["arguments"].as_str()).collect();
                assert_eq!(arguments, calls()[0].arguments.as_str().unwrap());
            }
        }
    }
}

#[tokio::test]
async fn thinking_turns_into_text_in_each_way() {
    for (end, switch_length) in [(ThinkingEnd::EmptyList, 1), (ThinkingEnd::WithText, 2)] {
        let behaviour = Behaviour::text("Bon jour").thinking("let me see").thinking_end(end);
        let chunks = scripted(behaviour).await.stream();
        let lists: Vec<&Value> = chunks
            .iter()
            .map(|chunk| &chunk["choices"][0]["delta"]["content"])
            .filter(|content| content.is_array())
            .collect();
        let thought: String = lists.iter().filter_map(|list| list[0]["thinking"][0]["text"].as_str()).collect();
        assert_eq!(thought, "let me see");
        let switch = lists.last().unwrap();
        assert_eq!(switch[0], json!({ "type": "thinking", "thinking": [] }));
        assert_eq!(switch.as_array().unwrap().len(), switch_length);
        let opening = switch[1]["text"].as_str().unwrap_or_default();
        assert_eq!(format!("{opening}{}", text(&chunks)), "Bon jour");
    }
}

#[tokio::test]
async fn lists_of_parts_stream_as_lists() {
    let parts = vec![json!({ "type": "text", "text": "a" }), json!({ "type": "reference", "reference_ids": [1] })];
    let chunks = scripted(Behaviour::parts(parts.clone())).await.stream();
    let lists: Vec<&Value> =
        chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_array()).flatten().collect();
    assert_eq!(lists, parts.iter().collect::<Vec<_>>());
}

#[tokio::test]
async fn each_fault_breaks_a_stream_in_its_way() {
    // fault, whether HTTP ends well, whether [DONE] comes, the last event before it
    let cases = [
        (StreamFault::FlatError, true, false, "\"object\":\"error\""),
        (StreamFault::WrappedError, true, false, "{\"error\":{"),
        (StreamFault::FinishError, true, true, "\"finish_reason\":\"error\""),
        (StreamFault::Cut, false, false, "\"finish_reason\":null"),
        (StreamFault::NoDone, true, false, "\"finish_reason\":\"stop\""),
        (StreamFault::NoFinish, true, true, "\"finish_reason\":null"),
    ];
    for (fault, complete, done, last) in cases {
        let answer = scripted(Behaviour::break_stream(2, fault)).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.complete, complete, "{fault:?}");
        let mut events = answer.events();
        assert_eq!(events.last().unwrap() == "[DONE]", done, "{fault:?}");
        if done {
            events.pop();
        }
        assert!(events.last().unwrap().contains(last), "{fault:?}: {events:?}");
        let cut_short = !matches!(fault, StreamFault::NoDone | StreamFault::NoFinish);
        assert_eq!(events.len() <= 3, cut_short, "{fault:?}");
    }
    let events = scripted(Behaviour::break_stream(2, StreamFault::BadJson)).await.events();
    assert!(serde_json::from_str::<Value>(&events[2]).is_err());
    assert!(serde_json::from_str::<Value>(&events[3]).is_ok());
    assert_eq!(events.last().unwrap(), "[DONE]");
}

#[tokio::test]
async fn writes_are_cut_as_asked() {
    let words = "Größe und 日本語";
    let chunked = |writes| scripted(Behaviour::text(words).writes(writes));

    let split = chunked(Writes::SplitCharacters).await;
    assert!(split.chunks.iter().any(|chunk| std::str::from_utf8(chunk).is_err()));
    assert_eq!(text(&split.stream()), words);

    let tiny = chunked(Writes::Bytes(7)).await;
    assert!(tiny.chunks.iter().all(|chunk| chunk.len() <= 7));
    assert_eq!(text(&tiny.stream()), words);

    let one = chunked(Writes::AllAtOnce).await;
    assert!(one.chunks[0].windows(2).filter(|pair| *pair == b"\n\n").count() > 2);
    assert_eq!(text(&one.stream()), words);
}

#[tokio::test]
async fn events_are_written_as_asked() {
    let written = |form| scripted(Behaviour::text("a b").events(form));
    let windows = written(EventForm::CarriageReturnLineFeed).await.text();
    assert!(windows.ends_with("\r\n\r\ndata: [DONE]\r\n\r\n"));
    assert!(written(EventForm::CarriageReturn).await.text().ends_with("\r\rdata: [DONE]\r\r"));
    let talkative = written(EventForm::Talkative).await.text();
    assert!(talkative.starts_with('\u{feff}') && talkative.contains("\n: keep-alive\n"));
    assert!(talkative.contains("event: message\nid: 1\nretry: 1000\ndata: {"));
}
