//! Streams as Anthropic's documentation shows them, and as they might come.

use serde_json::json;

use super::*;
use crate::chat::{ChatRequest, FinishReason};
use crate::provider::anthropic::error::WORDING;
use crate::provider::{ApiKey, ErrorKind};

fn reading() -> Reading {
    Reading::new(Bill::of_a_dollar_a_token(&ChatRequest::default()))
}

fn refusals() -> Refusals {
    Refusals { wording: WORDING, key: ApiKey::new("sk-ant-very-secret").ok() }
}

fn read(reading: &mut Reading, events: &[Value]) -> Vec<Delta> {
    events.iter().flat_map(|event| reading.read(&Bytes::from(event.to_string()), &refusals()).unwrap().deltas).collect()
}

fn text(text: &str) -> Delta {
    Delta::Text { choice: 0, text: text.into() }
}

fn sealed(text: &str, seal: Seal) -> Delta {
    Delta::Seal { choice: 0, of: Sealed::Thoughts(text.into()), seal }
}

fn more(call: u32, arguments: &str) -> Delta {
    Delta::ToolCall { choice: 0, call, id: None, name: None, arguments: arguments.into() }
}

fn called(call: u32, id: &str) -> Delta {
    Delta::ToolCall { choice: 0, call, id: Some(id.into()), name: Some("look".into()), arguments: String::new() }
}

#[test]
fn a_message_is_told_piece_by_piece() {
    let mut reading = reading();
    let start =
        |index: u64, block: Value| json!({"type": "content_block_start", "index": index, "content_block": block});
    let delta = |index: u64, delta: Value| json!({"type": "content_block_delta", "index": index, "delta": delta});
    let stop = |index: u64| json!({"type": "content_block_stop", "index": index});
    let json_delta = |text: &str| json!({"type": "input_json_delta", "partial_json": text});
    let deltas = read(
        &mut reading,
        &[
            json!({"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant", "content": [],
                "model": "claude-sonnet-4-6", "stop_reason": null,
                "usage": {"input_tokens": 25, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 2,
                    "cache_creation": {"ephemeral_1h_input_tokens": 2}, "output_tokens": 1}}}),
            json!({"type": "ping"}),
            start(0, json!({"type": "thinking", "thinking": "", "signature": ""})),
            delta(0, json!({"type": "thinking_delta", "thinking": "hm"})),
            delta(0, json!({"type": "signature_delta", "signature": "EqQB"})),
            stop(0),
            start(9, json!({"type": "redacted_thinking", "data": "EmwK"})),
            stop(9),
            start(1, json!({"type": "text", "text": ""})),
            delta(1, json!({"type": "text_delta", "text": "Hel"})),
            delta(1, json!({"type": "text_delta", "text": "lo"})),
            delta(1, json!({"type": "citations_delta", "citation": {}})),
            stop(1),
            start(2, json!({"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}})),
            delta(2, json_delta("")),
            delta(2, json_delta("{\"a\":")),
            delta(2, json_delta("1}")),
            stop(2),
            start(3, json!({"type": "tool_use", "id": "toolu_2", "name": "look", "input": {}})),
            stop(3),
            start(4, json!({"type": "hologram"})),
            stop(4),
            start(5, json!({"type": "tool_use", "id": "toolu_3", "name": "jane@example.org", "input": {}})),
            delta(5, json_delta("{}")),
            stop(5),
            json!({"type": "of_the_future", "x": 1}),
            json!({"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": null},
                "usage": {"input_tokens": null, "cache_creation": [], "output_tokens": 15}}),
        ],
    );
    assert_eq!(
        deltas,
        [
            Delta::Started { id: "msg_1".into(), model: "claude-sonnet-4-6".into(), aside: Aside::default() },
            Delta::Thinking { choice: 0, text: "hm".into() },
            sealed("hm", Seal::Anthropic("EqQB".into())),
            sealed("", Seal::AnthropicRedacted("EmwK".into())),
            text("Hel"),
            text("lo"),
            called(0, "toolu_1"),
            more(0, "{\"a\":"),
            more(0, "1}"),
            called(1, "toolu_2"),
            more(1, "{}"),
            Delta::Finished { choice: 0, reason: FinishReason::ToolCalls },
        ]
    );
    assert!(!reading.is_over());
    assert_eq!(read(&mut reading, &[json!({"type": "message_stop"})]), []);
    assert!(reading.is_over());
    let usage = Usage {
        prompt_tokens: 32,
        completion_tokens: 15,
        cached_tokens: 5,
        cache_write_tokens: 2,
        cache_write_1h_tokens: 2,
        ..Usage::default()
    };
    let notes = ["content of the kind `hologram` left out", names::NAMELESS].map(|note| Delta::Note(note.into()));
    let told = [Delta::Usage { usage, cost_usd: Some(32.0) }].into_iter().chain(notes).collect();
    assert_eq!(reading.end(), Some(told));
}

#[test]
fn what_stands_beside_an_answer_is_no_text() {
    let told = "write to jane@example.org";
    let call = |index: u64| {
        json!({"type": "content_block_start", "index": index,
            "content_block": {"type": "tool_use", "id": told, "name": "look", "input": {}}})
    };
    let start = json!({"type": "message_start", "message": {"id": told, "model": told, "usage": {}}});
    let deltas = read(&mut reading(), &[start, call(0), call(1)]);
    assert_eq!(deltas[0], Delta::Started { id: String::new(), model: "asked-for".into(), aside: Aside::default() });
    let ids: Vec<_> = deltas
        .iter()
        .filter_map(|delta| match delta {
            Delta::ToolCall { id, .. } => id.as_deref(),
            _ => None,
        })
        .collect();
    assert!(ids.iter().all(|id| crate::provider::tools::call_id::fits(id)) && ids[0] != ids[1], "{ids:?}");
}

#[test]
fn a_whole_message_in_place_of_a_stream_is_the_answer() {
    let blocks = json!([
        {"type": "thinking", "thinking": "hm", "signature": "EqQB"},
        {"type": "text", "text": "Hello"},
        {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}},
    ]);
    let usage = json!({"input_tokens": 3, "output_tokens": 2});
    let message = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-6",
        "content": blocks, "stop_reason": "tool_use", "usage": usage});
    let mut reading = reading();
    let call = Delta::ToolCall {
        choice: 0,
        call: 0,
        id: Some("toolu_1".into()),
        name: Some("look".into()),
        arguments: "{}".into(),
    };
    let expected = [
        Delta::Started { id: "msg_1".into(), model: "claude-sonnet-4-6".into(), aside: Aside::default() },
        Delta::Thinking { choice: 0, text: "hm".into() },
        sealed("hm", Seal::Anthropic("EqQB".into())),
        text("Hello"),
        call,
        Delta::Finished { choice: 0, reason: FinishReason::ToolCalls },
    ];
    assert_eq!(read(&mut reading, &[message]), expected);
    assert!(reading.is_over());
    assert!(matches!(reading.end().unwrap().as_slice(), [Delta::Usage { usage, .. }] if usage.prompt_tokens == 3));
}

#[test]
fn a_call_that_is_cut_off_before_its_arguments_has_the_empty_object() {
    let begun = |index: u64| {
        let block = json!({"type": "tool_use", "id": format!("toolu_{index}"), "name": "look", "input": {}});
        json!({"type": "content_block_start", "index": index, "content_block": block})
    };
    let piece = json!({"type": "input_json_delta", "partial_json": "{\"a"});
    let events = [
        begun(0),
        json!({"type": "content_block_delta", "index": 0, "delta": piece}),
        begun(1),
        json!({"type": "message_delta", "delta": {"stop_reason": "max_tokens"}}),
        json!({"type": "content_block_stop", "index": 1}),
        json!({"type": "message_stop"}),
    ];
    let finished = Delta::Finished { choice: 0, reason: FinishReason::Length };
    let expected = [called(0, "toolu_0"), more(0, "{\"a"), called(1, "toolu_1"), more(1, "{}"), finished];
    assert_eq!(read(&mut reading(), &events), expected);
}

#[test]
fn a_message_that_breaks_off_is_not_whole() {
    for events in [
        vec![],
        vec![json!({"type": "message_stop"})],
        vec![json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}})],
    ] {
        let mut reading = reading();
        read(&mut reading, &events);
        assert_eq!(reading.end(), None, "{events:?}");
    }
}

#[test]
fn an_error_inside_a_stream_has_its_class() {
    for (kind, class) in [
        ("overloaded_error", ErrorKind::CapacityExceeded),
        ("rate_limit_error", ErrorKind::RateLimited),
        ("api_error", ErrorKind::UpstreamFailed),
        ("timeout_error", ErrorKind::UpstreamTimeout),
        ("of_the_future", ErrorKind::UpstreamFailed),
    ] {
        let event = json!({"type": "error", "error": {"type": kind, "message": "sk-ant-very-secret"}});
        let error = reading().read(&Bytes::from(event.to_string()), &refusals()).unwrap_err();
        assert_eq!((error.kind(), error.upstream_code()), (class, Some(kind)));
        assert_eq!(error.message(), "[secret]");
    }
    let cut = format!("{}sk-ant-very-secret", ".".repeat(594));
    let event = json!({"type": "error", "error": {"type": "api_error", "message": cut}});
    let error = reading().read(&Bytes::from(event.to_string()), &refusals()).unwrap_err();
    assert!(!error.message().contains("sk"), "a part of the key, where the message is cut");
    for broken in ["{", "[DONE]", r#"{"type": "content_block_delta", "delta": "secret"}"#] {
        let error = reading().read(&Bytes::from(broken), &refusals()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::MalformedAnswer, "{broken}");
        assert!(!error.message().contains("secret"));
    }
}

#[test]
fn what_was_counted_of_a_message_that_breaks_off_is_known() {
    let mut reading = reading();
    assert_eq!(reading.spent(), None);
    let usage = json!({"input_tokens": 25, "output_tokens": 1});
    read(&mut reading, &[json!({"type": "message_start", "message": {"id": "msg_1", "usage": usage}})]);
    let error = json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}});
    assert!(reading.read(&Bytes::from(error.to_string()), &refusals()).is_err());
    let spent = Usage { prompt_tokens: 25, completion_tokens: 1, ..Usage::default() };
    assert_eq!(reading.spent(), Some(spent));
}

#[test]
fn an_event_of_a_block_goes_on_though_it_says_nothing() {
    let mut reading = reading();
    let delta = json!({"type": "text_delta", "text": ""});
    let empty = json!({"type": "content_block_delta", "index": 0, "delta": delta});
    for (event, goes_on) in [(empty, true), (json!({"type": "ping"}), false)] {
        assert_eq!(read(&mut reading, std::slice::from_ref(&event)), []);
        assert_eq!(reading.is_of_a_choice(), goes_on, "{event}");
    }
}

#[test]
fn calls_are_bounded() {
    let mut reading = reading();
    let mut call = |index: u64| {
        let block = json!({"type": "tool_use", "name": "look", "input": {}});
        let event = json!({"type": "content_block_start", "index": index, "content_block": block});
        reading.read(&Bytes::from(event.to_string()), &refusals())
    };
    assert!((0..1024).all(|index| call(index).is_ok()));
    assert_eq!(call(1024).unwrap_err().kind(), ErrorKind::MalformedAnswer);
}

#[test]
fn a_signature_without_end_ends_the_stream() {
    let mut reading = reading();
    let begun =
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}});
    read(&mut reading, &[begun]);
    let piece = json!({"type": "content_block_delta", "index": 0,
        "delta": {"type": "signature_delta", "signature": "E".repeat(MOST_SIGNATURE / 2)}});
    read(&mut reading, &[piece.clone(), piece.clone()]);
    let error = reading.read(&Bytes::from(piece.to_string()), &refusals()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResponseTooLarge);
}
