//! Answers as Anthropic's documentation shows them, and as they might come.

use serde_json::json;

use super::*;
use crate::chat::Usage;
use crate::provider::ErrorKind;
use crate::provider::price::{Host, Tier};

fn read(body: &Value) -> Parsed {
    parse(body.to_string().as_bytes(), "asked-for").unwrap()
}

#[test]
fn content_is_read_in_order_and_unknown_kinds_are_noted() {
    let answer = parse(
        br#"{"content": [
            {"type": "thinking", "thinking": "hm", "signature": "EqQB"},
            {"type": "thinking", "thinking": "", "signature": "EqQB"},
            {"type": "redacted_thinking", "data": "EmwK"},
            {"type": "text", "text": "Paris is "},
            {"type": "text", "text": "big", "citations": []},
            {"type": "text", "text": ""},
            {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"z": 1, "a": "\u0041"}},
            {"type": "tool_use", "id": "toolu_2", "name": "look"},
            {"type": "a\nb"},
            7
        ], "stop_reason": "tool_use"}"#,
        "asked-for",
    )
    .unwrap()
    .answer;
    let call = |id: &str, arguments: &str| Part::ToolCall {
        id: id.into(),
        name: "look".into(),
        arguments: arguments.into(),
        seal: None,
    };
    let parts = vec![
        Part::Thinking { text: "hm".into(), seal: Some(Seal::Anthropic("EqQB".into())) },
        Part::Thinking { text: String::new(), seal: Some(Seal::Anthropic("EqQB".into())) },
        Part::Thinking { text: String::new(), seal: Some(Seal::AnthropicRedacted("EmwK".into())) },
        Part::Text { text: "Paris is big".into() },
        call("toolu_1", r#"{"z": 1, "a": "A"}"#),
        call("toolu_2", "{}"),
    ];
    assert_eq!(answer.choices[0].message.parts, parts);
    assert_eq!(answer.choices[0].finish_reason, FinishReason::ToolCalls);
    assert_eq!((answer.model.as_str(), answer.usage), ("asked-for", None));
    assert_eq!(answer.notes, ["content of the kind `?` left out", "content left out that cannot be read"]);
}

#[test]
fn what_stands_beside_an_answer_is_no_text() {
    let told = "write to jane@example.org";
    let call = json!({"type": "tool_use", "id": told, "name": "look", "input": {}});
    let answer = read(&json!({"id": told, "model": told, "content": [call.clone(), call]})).answer;
    assert_eq!((answer.id.as_str(), answer.model.as_str()), ("", "asked-for"));
    let ids: Vec<_> = answer.choices[0]
        .message
        .parts
        .iter()
        .filter_map(|part| match part {
            Part::ToolCall { id, .. } => Some(id.as_str()),
            _ => None,
        })
        .collect();
    assert!(ids.iter().all(|id| crate::provider::tools::call_id::fits(id)) && ids[0] != ids[1], "{ids:?}");
}

#[test]
fn stop_reasons_are_an_open_set() {
    for (reason, expected) in [
        (json!("end_turn"), FinishReason::Stop),
        (json!("stop_sequence"), FinishReason::Stop),
        (json!("max_tokens"), FinishReason::Length),
        (json!("model_context_window_exceeded"), FinishReason::Length),
        (json!("tool_use"), FinishReason::ToolCalls),
        (json!("refusal"), FinishReason::ContentFilter),
        (json!("pause_turn"), FinishReason::Other),
        (json!(null), FinishReason::Other),
    ] {
        let answer = read(&json!({"content": [], "stop_reason": reason})).answer;
        assert_eq!(answer.choices[0].finish_reason, expected, "{reason}");
    }
}

#[test]
fn usage_counts_the_whole_prompt_and_tells_what_is_billed() {
    let tokens = |prompt_tokens, completion_tokens, cached_tokens| {
        Some(Usage { prompt_tokens, completion_tokens, cached_tokens, ..Usage::default() })
    };
    let listed = Terms::default();
    let american = Terms { host: Host::Regional, ..listed };
    for (usage, expected, billed) in [
        (json!(null), None, listed),
        (json!({}), None, listed),
        (json!({"input_tokens": 7, "output_tokens": 2}), tokens(7, 2, 0), listed),
        (
            json!({"input_tokens": 7, "output_tokens": 5, "output_tokens_details": {"thinking_tokens": 3}}),
            tokens(7, 5, 0).map(|it| Usage { reasoning_tokens: 3, ..it }),
            listed,
        ),
        (json!({"input_tokens": 7, "output_tokens": 2, "cache_read_input_tokens": null}), tokens(7, 2, 0), listed),
        (
            json!({"input_tokens": 7, "output_tokens": 2, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 3}),
            tokens(15, 2, 5).map(|it| Usage { cache_write_tokens: 3, ..it }),
            listed,
        ),
        (
            json!({"input_tokens": 7, "output_tokens": 2, "cache_creation_input_tokens": 3,
                "cache_creation": {"ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": 2}}),
            tokens(10, 2, 0).map(|it| Usage { cache_write_tokens: 3, cache_write_1h_tokens: 2, ..it }),
            listed,
        ),
        (json!({"input_tokens": 7, "output_tokens": 2, "inference_geo": "us"}), tokens(7, 2, 0), american),
        (
            json!({"input_tokens": 7, "service_tier": "priority"}),
            tokens(7, 0, 0),
            Terms { tier: Tier::Other, ..listed },
        ),
    ] {
        let parsed = read(&json!({"content": [], "usage": usage}));
        assert_eq!((parsed.answer.usage, parsed.terms), (expected, billed), "{usage}");
    }
}

#[test]
fn an_answer_without_an_answer_is_malformed_and_not_quoted() {
    for body in ["", "{", "<html>secret</html>", "[]", "\"secret\"", "{}", r#"{"content": "secret"}"#] {
        let error = parse(body.as_bytes(), "m").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::MalformedAnswer, "{body}");
        assert!(!error.message().contains("secret"), "{error}");
    }
}

#[test]
fn calls_are_bounded() {
    let answer = |count| {
        let content = vec![json!({"type": "tool_use", "name": "look", "input": {}}); count];
        parse(json!({ "content": content }).to_string().as_bytes(), "m")
    };
    assert!(answer(1024).is_ok());
    assert_eq!(answer(1025).unwrap_err().kind(), ErrorKind::MalformedAnswer);
}
