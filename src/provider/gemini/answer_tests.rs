//! Answers as Google's documentation shows them, and as they might come.

use serde_json::json;

use super::*;

fn read(body: &Value) -> Result<ChatAnswer, ProviderError> {
    parse(body.to_string().as_bytes(), "asked-for")
}

#[test]
fn content_is_read_in_order_and_unknown_kinds_are_noted() {
    let body = br#"{"candidates": [{"finishReason": "STOP", "content": {"parts": [
        {"text": "h", "thought": true}, {"text": "m", "thought": true},
        {"text": "Paris is "}, {"text": "big"}, {"text": ""},
        {"functionCall": {"id": "k3", "name": "look", "args": {"z": 1, "a": "\u0041"}}, "thoughtSignature": "EqQB"},
        {"functionCall": {"name": "look"}},
        {"functionCall": {"name": "look"}},
        {"functionCall": {"name": "jane@example.org"}},
        {"text": "", "thoughtSignature": "EqQB"}, {"thoughtSignature": "EqQB"},
        {"inlineData": {"mimeType": "image/png", "data": "aGk="}}, 7
    ]}}]}"#;
    let answer = parse(body, "asked-for").unwrap();
    let Choice { message, finish_reason } = &answer.choices[0];
    let call = |part: &Part| match part {
        Part::ToolCall { id, name, arguments, .. } => (id.clone(), name.clone(), arguments.clone()),
        _ => panic!("{part:?}"),
    };
    assert_eq!(
        message.parts[..2],
        [Part::Thinking { text: "hm".into(), seal: None }, Part::Text { text: "Paris is big".into() }]
    );
    let seals: Vec<_> = message.parts.iter().map(Part::seal).collect();
    assert_eq!(seals, [None, None, Some(&Seal::Google("EqQB".into())), None, None]);
    assert_eq!(call(&message.parts[2]), ("k3".into(), "look".into(), r#"{"z": 1, "a": "A"}"#.into()));
    let (made, other) = (call(&message.parts[3]).0, call(&message.parts[4]).0);
    assert!(crate::provider::tools::call_id::fits(&made) && made != other, "{made} {other}");
    assert_eq!(*finish_reason, FinishReason::ToolCalls);
    assert_eq!((answer.model.as_str(), answer.usage), ("asked-for", None));
    assert_eq!(
        answer.notes,
        [
            names::NAMELESS,
            "content left out that is neither text nor a tool call",
            "content left out that cannot be read"
        ]
    );
}

#[test]
fn what_stands_beside_an_answer_is_no_text() {
    let told = "write to jane@example.org";
    let answer = read(&json!({"candidates": [{}], "responseId": told, "modelVersion": told})).unwrap();
    assert_eq!((answer.id.as_str(), answer.model.as_str()), ("", "asked-for"));
}

#[test]
fn finish_reasons_are_an_open_set() {
    for (reason, expected) in [
        (json!("STOP"), FinishReason::Stop),
        (json!("MAX_TOKENS"), FinishReason::Length),
        (json!("SAFETY"), FinishReason::ContentFilter),
        (json!("RECITATION"), FinishReason::ContentFilter),
        (json!("BLOCKLIST"), FinishReason::ContentFilter),
        (json!("PROHIBITED_CONTENT"), FinishReason::ContentFilter),
        (json!("SPII"), FinishReason::ContentFilter),
        (json!("LANGUAGE"), FinishReason::Other),
        (json!("OTHER"), FinishReason::Other),
        (json!(null), FinishReason::Other),
    ] {
        // A candidate that was cut may have no content at all.
        let answer = read(&json!({"candidates": [{"finishReason": reason}]})).unwrap();
        assert_eq!(answer.choices[0].finish_reason, expected, "{reason}");
    }
    for reason in ["MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE", "MISSING_THOUGHT_SIGNATURE"] {
        let failed = read(&json!({"candidates": [{"finishReason": reason}]})).unwrap_err();
        assert_eq!((failed.kind(), failed.upstream_code()), (ErrorKind::GenerationFailed, Some(reason)));
    }
}

#[test]
fn what_a_refused_answer_used_is_known() {
    let usage = json!({"promptTokenCount": 7, "candidatesTokenCount": 3});
    for body in [
        json!({"candidates": [{"finishReason": "MALFORMED_FUNCTION_CALL"}], "usageMetadata": usage}),
        json!({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": usage}),
    ] {
        let spent = Usage { prompt_tokens: 7, completion_tokens: 3, ..Usage::default() };
        assert_eq!(read(&body).unwrap_err().spent(), Some(spent), "{body}");
    }
}

#[test]
fn several_candidates_come_in_their_order() {
    let candidate = |index: u32, text: &str| json!({"index": index, "content": {"parts": [{"text": text}]}});
    let answer = read(&json!({"candidates": [candidate(1, "b"), candidate(0, "a")]})).unwrap();
    let texts: Vec<_> = answer.choices.iter().map(|choice| choice.message.plain_text()).collect();
    assert_eq!(texts, ["a", "b"]);
}

#[test]
fn usage_is_never_made_up() {
    for (usage, expected) in [
        (json!({}), None),
        (json!("many"), None),
        (json!({"totalTokenCount": 9}), None),
        (json!({"promptTokenCount": 7}), Some((7, 0, 0))),
        (json!({"promptTokenCount": 7, "toolUsePromptTokenCount": 3, "thoughtsTokenCount": 2}), Some((10, 2, 0))),
        (json!({"promptTokenCount": 7, "cachedContentTokenCount": 9}), Some((7, 0, 7))),
    ] {
        let answer = read(&json!({"candidates": [{}], "usageMetadata": usage})).unwrap();
        let found = answer.usage.map(|it| (it.prompt_tokens, it.completion_tokens, it.cached_tokens));
        assert_eq!(found, expected, "{usage}");
    }
}

#[test]
fn an_answer_without_an_answer_is_malformed_and_not_quoted() {
    for body in ["", "{", "<html>secret</html>", "[]", "\"secret\"", "{}", r#"{"candidates": "secret"}"#] {
        let error = parse(body.as_bytes(), "m").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::MalformedAnswer, "{body}");
        assert!(!error.message().contains("secret"), "{error}");
    }
}

#[test]
fn calls_are_bounded() {
    let parts = |count| vec![json!({"functionCall": {"name": "look"}}); count];
    let answer = |count| read(&json!({"candidates": [{"content": {"parts": parts(count)}}]}));
    assert!(answer(1024).is_ok());
    assert_eq!(answer(1025).unwrap_err().kind(), ErrorKind::MalformedAnswer);
}
