use bytes::Bytes;
use serde_json::{Value, json};

use super::*;
use crate::chat::FinishReason;

fn chunk(choices: Value) -> Value {
    json!({ "id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices })
}

fn delta(delta: Value) -> Value {
    chunk(json!([{ "index": 0, "delta": delta, "finish_reason": null }]))
}

/// The events of these chunks; the first is expected to begin the answer, and is left out.
fn read(chunks: &[Value]) -> Result<Vec<StreamEvent>, ProviderError> {
    let mut reader = Chunks::new("asked");
    let first = Bytes::from(delta(json!({ "role": "assistant", "content": "" })).to_string());
    let Ok(Read::Event(event)) = reader.read(&first) else { panic!("the first chunk") };
    assert_eq!(event.deltas, [Delta::Started { id: "c-1".into(), model: "m".into() }]);
    chunks
        .iter()
        .map(|chunk| match reader.read(&Bytes::from(chunk.to_string()))? {
            Read::Event(event) => Ok(event),
            other => panic!("{other:?}"),
        })
        .collect()
}

fn call(call: u32, id: &str, name: &str, arguments: &str) -> Delta {
    Delta::ToolCall { choice: 0, call, id: Some(id.into()), name: Some(name.into()), arguments: arguments.into() }
}

fn more(call: u32, arguments: &str) -> Delta {
    Delta::ToolCall { choice: 0, call, id: None, name: None, arguments: arguments.into() }
}

fn text(text: &str) -> Delta {
    Delta::Text { choice: 0, text: text.into() }
}

#[test]
fn a_chunk_that_clients_understand_is_passed_on_as_it_is() {
    let usage = json!({ "prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5 });
    let mut last = chunk(json!([{ "index": 0, "delta": { "content": "!" }, "finish_reason": "stop" }]));
    last["usage"] = usage;
    let chunks = [delta(json!({ "content": "Hel" })), delta(json!({ "content": "lo" })), last];
    let events = read(&chunks).unwrap();
    for (event, chunk) in events.iter().zip(&chunks) {
        assert_eq!(event.frame.as_deref(), Some(chunk.to_string().as_bytes()));
    }
    assert_eq!(events[0].deltas, [text("Hel")]);
    assert_eq!(events[2].deltas, [text("!"), Delta::Finished { choice: 0, reason: FinishReason::Stop }]);
}

#[test]
fn mistrals_padding_is_cut_out() {
    for (padded, expected) in [
        (r#"{"id":"1","choices":[],"p":"abcdef01"}"#, r#"{"id":"1","choices":[]}"#),
        (r#"{"p" : "abc", "id":"1","choices":[]}"#, r#"{"id":"1","choices":[]}"#),
        (r#"{"id":"1", "p":"a\"b" , "choices":[]}"#, r#"{"id":"1", "choices":[]}"#),
        (r#"{"p":""}"#, r#"{}"#),
    ] {
        let Ok(Read::Event(event)) = Chunks::new("m").read(&Bytes::from(padded)) else { panic!("{padded}") };
        let frame = String::from_utf8(event.frame.unwrap().to_vec()).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&frame).unwrap(), serde_json::from_str::<Value>(expected).unwrap());
        assert!(!frame.contains("\"p\""), "{frame}");
    }
}

#[test]
fn reasoning_is_read_in_every_form() {
    let thinking = |text: &str| Delta::Thinking { choice: 0, text: text.into() };
    for (wire, expected) in [
        (
            json!({ "content": [{ "type": "thinking", "thinking": [{ "type": "text", "text": "Hm" }] }] }),
            vec![thinking("Hm")],
        ),
        (json!({ "content": [{ "type": "thinking", "thinking": [] }] }), vec![]),
        (
            json!({ "content": [
                { "type": "thinking", "thinking": [{ "type": "text", "text": "so" }], "closed": true },
                { "type": "text", "text": "Yes" },
            ] }),
            vec![thinking("so"), text("Yes")],
        ),
        (json!({ "reasoning_content": "Hm", "content": null }), vec![thinking("Hm")]),
        (json!({ "reasoning": "Hm", "content": "" }), vec![thinking("Hm")]),
        (json!({ "refusal": "No" }), vec![text("No")]),
        (json!({}), vec![]),
    ] {
        let events = read(&[delta(wire.clone())]).unwrap();
        assert_eq!(events[0].deltas, expected, "{wire}");
        let listed = wire["content"].is_array() || wire.get("refusal").is_some();
        assert_eq!(events[0].frame.is_none(), listed, "{wire}");
    }
}

#[test]
fn fragments_of_a_tool_call_find_each_other() {
    let calls = |calls: Value| delta(json!({ "tool_calls": calls }));
    let function = |name: &str, arguments: Value| json!({ "name": name, "arguments": arguments });
    // OpenAI's way.
    let events = read(&[
        calls(json!([{ "index": 0, "id": "call_1", "type": "function", "function": function("look", json!("")) }])),
        calls(json!([{ "index": 0, "function": { "arguments": "{\"a\"" } }])),
        calls(json!([{ "index": 0, "function": { "arguments": ":1}" } }])),
        calls(json!([{ "index": 1, "id": "call_2", "type": "function", "function": function("see", json!("{}")) }])),
    ])
    .unwrap();
    let said: Vec<_> = events.iter().flat_map(|event| event.deltas.clone()).collect();
    assert_eq!(
        said,
        [call(0, "call_1", "look", ""), more(0, "{\"a\""), more(0, ":1}"), call(1, "call_2", "see", "{}")]
    );
    assert!(events.iter().all(|event| event.frame.is_some()));
    // Mistral's: whole, without an index, or all with the same; an object as arguments.
    for (one, two) in [(json!(null), json!(null)), (json!(0), json!(0)), (json!(0), json!(1))] {
        let events = read(&[calls(json!([
            { "index": one, "id": "abcdefghi", "function": function("look", json!("{}")) },
            { "index": two, "id": "bcdefghij", "function": function("see", json!({ "a": 1 })) },
        ]))])
        .unwrap();
        assert_eq!(events[0].deltas, [call(0, "abcdefghi", "look", "{}"), call(1, "bcdefghij", "see", "{\"a\":1}")]);
        assert_eq!(events[0].frame, None);
    }
    // Later fragments with an empty name and an id that is the word for none.
    let events = read(&[
        calls(json!([{ "id": "x1", "function": function("look", json!("")) }])),
        calls(json!([{ "id": "null", "function": function("", json!("{}")) }])),
    ])
    .unwrap();
    let said: Vec<_> = events.iter().flat_map(|event| event.deltas.clone()).collect();
    assert_eq!(said, [call(0, "x1", "look", ""), more(0, "{}")]);
    assert!(events.iter().all(|event| event.frame.is_none()));
}

#[test]
fn what_is_no_answer_is_an_error() {
    for (chunks, kind) in [
        (vec![json!({ "choices": "none" })], ErrorKind::MalformedAnswer),
        (vec![chunk(json!([{ "index": 4_294_967_296_u64, "delta": {} }]))], ErrorKind::MalformedAnswer),
        (vec![chunk(json!([{ "index": 0, "delta": {}, "finish_reason": "error" }]))], ErrorKind::GenerationFailed),
        (
            vec![
                chunk(json!([{ "index": 0, "delta": {}, "finish_reason": "stop" }])),
                delta(json!({ "content": "and more" })),
            ],
            ErrorKind::MalformedAnswer,
        ),
    ] {
        assert_eq!(read(&chunks).unwrap_err().kind(), kind, "{chunks:?}");
    }
    for failure in [json!({ "error": { "message": "over" } }), json!({ "object": "error", "message": "over" })] {
        let data = Bytes::from(failure.to_string());
        assert_eq!(Chunks::new("m").read(&data).unwrap(), Read::Error(data));
    }
}

#[test]
fn an_answer_is_whole_when_each_choice_has_ended() {
    let mut reader = Chunks::new("m");
    let mut read = |value: Value| reader.read(&Bytes::from(value.to_string())).map(|_| reader.is_whole()).unwrap();
    assert!(!read(chunk(json!([{ "index": 0, "delta": { "content": "a" } }]))));
    assert!(!read(chunk(json!([{ "index": 1, "delta": { "content": "b" } }]))));
    assert!(!read(chunk(json!([{ "index": 0, "delta": {}, "finish_reason": "stop" }]))));
    assert!(read(chunk(json!([{ "index": 1, "delta": {}, "finish_reason": "length" }]))));
    let usage = json!({ "prompt_tokens": 7, "completion_tokens": 2, "prompt_tokens_details": { "cached_tokens": 4 } });
    assert!(read(json!({ "choices": [], "usage": usage, "service_tier": "priority" })));
    let usage = Usage { prompt_tokens: 7, completion_tokens: 2, cached_tokens: 4 };
    assert_eq!(reader.usage(), Some((usage, Tier::Priority)));
    assert_eq!(reader.read(&Bytes::from_static(b"[DONE]")).unwrap(), Read::Done);
}
