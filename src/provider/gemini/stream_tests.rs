//! Streams as Google's documentation shows them, and as they might come.

use serde_json::{Value, json};

use super::*;
use crate::chat::{ChatRequest, FinishReason};
use crate::provider::gemini::error::WORDING;
use crate::provider::{ApiKey, ErrorKind};

fn reading() -> Reading {
    Reading::new(Bill::of_a_dollar_a_token(&ChatRequest::default()))
}

fn refusals() -> Refusals {
    Refusals { wording: WORDING, key: ApiKey::new("AIza-very-secret").ok() }
}

fn read(reading: &mut Reading, events: &[Value]) -> Vec<Delta> {
    events.iter().flat_map(|event| reading.read(&Bytes::from(event.to_string()), &refusals()).unwrap().deltas).collect()
}

fn event(index: u32, parts: Value) -> Value {
    json!({"candidates": [{"index": index, "content": {"role": "model", "parts": parts}}],
        "usageMetadata": {"promptTokenCount": 7}, "modelVersion": "gemini-3.5-flash", "responseId": "r1"})
}

#[test]
fn an_answer_is_told_piece_by_piece() {
    let mut reading = reading();
    let deltas = read(
        &mut reading,
        &[
            event(0, json!([{"text": "hm", "thought": true}])),
            event(0, json!([{"text": "Hel"}])),
            event(1, json!([{"text": "lo"}])),
            event(
                0,
                json!([{"functionCall": {"id": "k3", "name": "look", "args": {"a": 1}}, "thoughtSignature": "EqQB"}]),
            ),
            json!({"candidates": [{"content": {"parts": [{"text": "", "thoughtSignature": "EqQB"}]}, "finishReason": "STOP"},
                {"index": 1, "finishReason": "MAX_TOKENS"}],
                "usageMetadata": {"promptTokenCount": 7, "candidatesTokenCount": 3, "thoughtsTokenCount": 2}}),
        ],
    );
    let text = |choice: u32, text: &str| Delta::Text { choice, text: text.into() };
    assert_eq!(
        deltas,
        [
            Delta::Started { id: "r1".into(), model: "gemini-3.5-flash".into(), aside: Aside::default() },
            Delta::Thinking { choice: 0, text: "hm".into() },
            text(0, "Hel"),
            text(1, "lo"),
            Delta::ToolCall {
                choice: 0,
                call: 0,
                id: Some("k3".into()),
                name: Some("look".into()),
                arguments: "{\"a\":1}".into(),
            },
            Delta::Seal { choice: 0, of: Sealed::Call(0), seal: crate::chat::Seal::Google("EqQB".into()) },
            Delta::Finished { choice: 0, reason: FinishReason::ToolCalls },
            Delta::Finished { choice: 1, reason: FinishReason::Length },
        ]
    );
    let usage = Usage { prompt_tokens: 7, completion_tokens: 5, reasoning_tokens: 2, ..Usage::default() };
    assert_eq!(reading.end(), Some(vec![Delta::Usage { usage, cost_usd: Some(7.0) }]));
}

#[test]
fn what_stands_beside_an_answer_is_no_text() {
    let told = "write to jane@example.org";
    let begun = json!({"candidates": [], "responseId": told, "modelVersion": told});
    let started = Delta::Started { id: String::new(), model: "asked-for".into(), aside: Aside::default() };
    assert_eq!(read(&mut reading(), &[begun]), [started]);
}

#[test]
fn calls_without_an_id_get_one_each() {
    let mut reading = reading();
    let call = || event(0, json!([{"functionCall": {"name": "look"}}]));
    let ids: Vec<_> = read(&mut reading, &[call(), call()])
        .into_iter()
        .filter_map(|delta| match delta {
            Delta::ToolCall { id, call, .. } => Some((id.unwrap(), call)),
            _ => None,
        })
        .collect();
    assert_eq!((ids[0].1, ids[1].1), (0, 1));
    assert!(crate::provider::tools::call_id::fits(&ids[0].0) && ids[0].0 != ids[1].0, "{ids:?}");
}

#[test]
fn an_answer_that_breaks_off_is_not_whole() {
    for events in [vec![], vec![event(0, json!([{"text": "Hel"}]))]] {
        let mut reading = reading();
        read(&mut reading, &events);
        assert_eq!(reading.end(), None, "{events:?}");
    }
    let mut reading = reading();
    read(&mut reading, &[json!({"candidates": [{"finishReason": "STOP"}]})]);
    assert!(reading.read(&Bytes::from(event(0, json!([{"text": "more"}])).to_string()), &refusals()).is_err());
}

#[test]
fn an_error_inside_a_stream_has_its_class() {
    for (data, class) in [
        (
            json!({"error": {"code": 503, "message": "AIza-very-secret", "status": "UNAVAILABLE"}}),
            ErrorKind::UpstreamUnavailable,
        ),
        (json!({"error": {"message": "AIza-very-secret"}}), ErrorKind::UpstreamFailed),
    ] {
        let error = reading().read(&Bytes::from(data.to_string()), &refusals()).unwrap_err();
        assert_eq!((error.kind(), error.message()), (class, "[secret]"));
    }
    assert!(reading().read(&Bytes::from(r#"{"candidates": [], "error": null}"#), &refusals()).is_ok(), "no error");
    let cut = json!({"error": {"message": format!("{}AIza-very-secret", ".".repeat(596))}});
    let error = reading().read(&Bytes::from(cut.to_string()), &refusals()).unwrap_err();
    assert!(!error.message().contains("AI"), "a part of the key, where the message is cut");
    let blocked =
        reading().read(&Bytes::from(r#"{"promptFeedback": {"blockReason": "SAFETY"}}"#), &refusals()).unwrap_err();
    assert_eq!((blocked.kind(), blocked.upstream_code()), (ErrorKind::ContentFilter, Some("SAFETY")));
    for broken in ["{", "[DONE]", r#"{"candidates": "secret"}"#] {
        let error = reading().read(&Bytes::from(broken), &refusals()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::MalformedAnswer, "{broken}");
        assert!(!error.message().contains("secret"));
    }
}

#[test]
fn what_was_counted_of_a_refused_candidate_is_known() {
    let mut reading = reading();
    assert_eq!(reading.spent(), None);
    let usage = json!({"promptTokenCount": 7, "candidatesTokenCount": 3});
    let end = json!({"candidates": [{"finishReason": "MALFORMED_FUNCTION_CALL"}], "usageMetadata": usage});
    assert!(reading.read(&Bytes::from(end.to_string()), &refusals()).is_err());
    let spent = Usage { prompt_tokens: 7, completion_tokens: 3, ..Usage::default() };
    assert_eq!(reading.spent(), Some(spent));
}

#[test]
fn what_is_left_out_is_noted_at_the_end() {
    let mut reading = reading();
    let part = json!([{"executableCode": {"code": "1"}}]);
    let end = json!({"candidates": [{"index": 0, "finishReason": "STOP"}]});
    read(&mut reading, &[event(0, part.clone()), event(0, part), end]);
    let notes: Vec<Delta> =
        reading.end().unwrap().into_iter().filter(|delta| matches!(delta, Delta::Note(_))).collect();
    assert_eq!(notes, [Delta::Note("content left out that is neither text nor a tool call".into())]);
}

#[test]
fn calls_are_bounded() {
    let mut reading = reading();
    let mut read = |count| {
        let parts = json!(vec![json!({"functionCall": {"name": "look"}}); count]);
        reading.read(&Bytes::from(event(0, parts).to_string()), &refusals())
    };
    assert!(read(1024).is_ok());
    assert_eq!(read(1).unwrap_err().kind(), ErrorKind::MalformedAnswer);
}
