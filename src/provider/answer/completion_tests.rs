//! Answers as they were recorded, and as they might come.

use serde_json::json;

use super::*;
use crate::provider::fixtures::text;

fn thinking(text: &str) -> Part {
    Part::Thinking { text: text.into(), seal: None }
}

fn cited(ids: Value) -> Part {
    Part::Reference { ids: serde_json::from_value(ids).unwrap() }
}

fn call(id: &str, arguments: &str) -> Part {
    Part::ToolCall { id: id.into(), name: "look".into(), arguments: arguments.into(), seal: None }
}

fn read(body: &Value) -> Result<Parsed, ProviderError> {
    parse(body.to_string().as_bytes(), "asked-for")
}

#[test]
fn arguments_that_are_no_text_keep_their_words() {
    for words in [r#"{"z": 1, "of": 12345678901234567890123, "a": 1.10}"#, "[1.10, 2]", "12345678901234567890123"] {
        for function in [
            format!(r#"{{"name":"look","arguments":{words}}}"#),
            format!(r#"{{"arguments":null,"name":"look","arguments":{words}}}"#),
        ] {
            let body =
                format!(r#"{{"choices":[{{"message":{{"tool_calls":[{{"id":"c","function":{function}}}]}}}}]}}"#);
            let answer = parse(body.as_bytes(), "asked-for").unwrap().answer;
            assert_eq!(answer.choices[0].message.parts, [call("c", words)], "{body}");
        }
    }
}

#[test]
fn a_message_is_read_in_every_form() {
    let cases = [
        ("null", json!({"content": null}), vec![], 0),
        ("absent", json!({}), vec![], 0),
        ("empty list", json!({"content": []}), vec![], 0),
        (
            "reasoning",
            json!({"content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "h"}, {"type": "text", "text": "m"}], "closed": true},
                {"type": "text", "text": "42"},
            ]}),
            vec![thinking("hm"), text("42")],
            0,
        ),
        (
            "reasoning as a string, as older answers had it",
            json!({"content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "42"}]}),
            vec![thinking("hm"), text("42")],
            0,
        ),
        (
            "citations do not cut a text in two",
            json!({"content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}, {"type": "reference", "reference_ids": [0]}]},
                {"type": "text", "text": "Paris is "},
                {"type": "reference", "reference_ids": [1, "two"]},
                {"type": "text", "text": "big"},
            ]}),
            vec![thinking("hm"), text("Paris is big"), cited(json!([0, 1, "two"]))],
            0,
        ),
        (
            "what refers to nothing is no citation",
            json!({"content": [{"type": "text", "text": "big"}, {"type": "reference", "reference_ids": ["a text"]}]}),
            vec![text("big")],
            1,
        ),
        (
            "a signature belongs to the reasoning before it",
            json!({"content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}], "signature": "EqQB=="},
                {"type": "thinking", "thinking": [{"type": "text", "text": "so"}], "signature": "a text"},
            ]}),
            vec![Part::Thinking { text: "hm".into(), seal: Some(Seal::Mistral("EqQB==".into())) }, thinking("so")],
            0,
        ),
        (
            "unknown kinds",
            json!({"content": [{"type": "hologram", "beam": {}}, {"type": 7}, "bare", {"type": "text"}, null]}),
            vec![text("bare")],
            2,
        ),
        (
            "calls without type and index, arguments as object, as nothing",
            json!({"content": "", "tool_calls": [
                {"id": "D681PevKs", "function": {"name": "look", "arguments": "{\"a\": \"\\u0041\"}"}},
                {"id": "D681PevKt", "type": "function", "index": 1, "function": {"name": "look", "arguments": {"b": 2}}},
                {"id": "D681PevKv", "function": {"name": "look"}},
                {"id": "D681PevKu", "function": {"arguments": "{}"}},
            ]}),
            vec![call("D681PevKs", "{\"a\": \"A\"}"), call("D681PevKt", "{\"b\":2}"), call("D681PevKv", "{}")],
            1,
        ),
    ];
    for (claim, message, parts, notes) in cases {
        let answer = read(&json!({"choices": [{"finish_reason": "stop", "message": message}]})).unwrap().answer;
        assert_eq!(answer.choices[0].message.parts, parts, "{claim}");
        assert_eq!(answer.notes.len(), notes, "{claim}: {:?}", answer.notes);
        assert_eq!(answer.model, "asked-for");
        assert_eq!(answer.usage, None);
    }
}

#[test]
fn an_answer_of_openai_or_a_server_like_it_is_read() {
    let message = |message: Value| {
        let answer = read(&json!({"choices": [{"finish_reason": "stop", "message": message}]})).unwrap().answer;
        (answer.choices[0].message.parts.clone(), answer.notes.len())
    };
    for (claim, wire, parts, notes) in [
        (
            "DeepSeek's empty reasoning beside a call",
            json!({"content": "", "reasoning_content": "", "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}]}),
            vec![thinking(""), call("call_1", "{}")],
            0,
        ),
        ("no reasoning", json!({"content": "42", "reasoning_content": ""}), vec![text("42")], 0),
    ] {
        assert_eq!(message(wire), (parts, notes), "{claim}");
    }
}

#[test]
fn what_an_answer_says_of_itself_is_no_text() {
    let long = "x".repeat(81);
    for (told, fits) in
        [(json!("fp_44709d6fcb"), true), (json!("a secret"), false), (json!(long), false), (json!(["x"]), false)]
    {
        let body = json!({"id": "c", "created": 7, "service_tier": told, "system_fingerprint": told,
            "choices": [{"message": {"content": "Yes."}}]});
        let told = told.as_str().filter(|_| fits).map(str::to_owned);
        let aside = Aside { created: Some(7), service_tier: told.clone(), system_fingerprint: told, deprecation: None };
        assert_eq!(read(&body).unwrap().answer.aside, aside, "{body}");
    }
    for created in [json!(null), json!(0), json!(-1), json!(1.5), json!("7"), json!(4_111_111_111_111_111_u64)] {
        let body = json!({"id": "a secret", "model": long, "created": created, "choices": [{"message": {}}]});
        let answer = read(&body).unwrap().answer;
        assert_eq!((answer.id.as_str(), answer.model.as_str(), answer.aside), ("", "asked-for", Aside::default()));
    }
}

#[test]
fn tokens_of_the_answer_are_told_apart() {
    let details = json!({"reasoning_tokens": 1, "audio_tokens": 2, "accepted_prediction_tokens": 3,
        "rejected_prediction_tokens": 4});
    let usage = json!({"prompt_tokens": 1, "completion_tokens": 10, "completion_tokens_details": details});
    let expected = Usage {
        prompt_tokens: 1,
        completion_tokens: 10,
        reasoning_tokens: 1,
        audio_tokens: 2,
        accepted_prediction_tokens: 3,
        rejected_prediction_tokens: 4,
        ..Usage::default()
    };
    assert_eq!(read_usage(usage.as_object().unwrap()), Some(expected));
}

#[test]
fn finish_reasons_are_an_open_set() {
    for (reason, expected) in [
        (json!("stop"), FinishReason::Stop),
        (json!("eos"), FinishReason::Stop),
        (json!("length"), FinishReason::Length),
        (json!("model_length"), FinishReason::Length),
        (json!("tool_calls"), FinishReason::ToolCalls),
        (json!("content_filter"), FinishReason::ContentFilter),
        (json!("moonrise"), FinishReason::Other),
        (json!(null), FinishReason::Other),
    ] {
        let body = json!({"choices": [{"finish_reason": reason, "message": {"content": "a"}}]});
        assert_eq!(read(&body).unwrap().answer.choices[0].finish_reason, expected, "{reason}");
    }
    let failed = json!({"choices": [{"finish_reason": "error", "message": {"content": "a"}}]});
    assert_eq!(read(&failed).unwrap_err().kind(), ErrorKind::GenerationFailed);
    let counted = json!({"choices": failed["choices"], "usage": {"prompt_tokens": 3, "completion_tokens": 2}});
    let spent = Usage { prompt_tokens: 3, completion_tokens: 2, ..Usage::default() };
    assert_eq!(read(&counted).unwrap_err().spent(), Some(spent));
}

#[test]
fn usage_is_read_in_every_spelling_and_never_made_up() {
    let tokens = |prompt_tokens, completion_tokens, cached_tokens| {
        Some(Usage { prompt_tokens, completion_tokens, cached_tokens, ..Usage::default() })
    };
    for (usage, expected) in [
        (json!(null), None),
        (json!({}), None),
        (json!({"total_tokens": 9}), None),
        (json!("many"), None),
        (json!({"prompt_tokens": 7, "completion_tokens": 2}), tokens(7, 2, 0)),
        (json!({"prompt_tokens": 7.0, "completion_tokens": 2.0}), tokens(7, 2, 0)),
        (json!({"prompt_tokens": 7, "total_tokens": 9}), tokens(7, 2, 0)),
        (json!({"completion_tokens": 2, "total_tokens": 9}), tokens(7, 2, 0)),
        (json!({"prompt_tokens": 7, "completion_tokens": null, "total_tokens": null}), tokens(7, 0, 0)),
        (json!({"prompt_tokens": -7}), None),
        (json!({"prompt_tokens": u64::MAX, "completion_tokens": 1e15}), None),
        (
            json!({"prompt_tokens": 128, "completion_tokens": 2, "num_cached_tokens": 64,
                "prompt_tokens_details": {"cached_tokens": 1}}),
            tokens(128, 2, 64),
        ),
        (
            json!({"prompt_tokens": 128, "completion_tokens": 2, "num_cached_tokens": null,
                "prompt_tokens_details": null, "prompt_token_details": {"cached_tokens": 64}}),
            tokens(128, 2, 64),
        ),
        (json!({"prompt_tokens": 1, "completion_tokens": 2, "num_cached_tokens": 64}), tokens(1, 2, 1)),
        (json!({"prompt_tokens": 128, "completion_tokens": 2, "cached_tokens": 64}), tokens(128, 2, 64)),
        (
            json!({"prompt_tokens": 128, "completion_tokens": 2, "cached_tokens": 64,
                "prompt_tokens_details": {"cached_tokens": 32}}),
            tokens(128, 2, 32),
        ),
        (
            json!({"prompt_tokens": 100, "completion_tokens": 2,
                "prompt_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 30}}),
            tokens(100, 2, 64).map(|it| Usage { cache_write_tokens: 30, ..it }),
        ),
        (
            json!({"prompt_tokens": 100, "completion_tokens": 2,
                "prompt_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 64}}),
            tokens(100, 2, 64).map(|it| Usage { cache_write_tokens: 36, ..it }),
        ),
        (
            json!({"prompt_tokens": 7, "completion_tokens": 2, "prompt_tokens_details": {"cache_write_tokens": null}}),
            tokens(7, 2, 0),
        ),
    ] {
        let body = json!({"choices": [{"message": {"content": "a"}}], "usage": usage});
        assert_eq!(read(&body).unwrap().answer.usage, expected, "{usage}");
    }
    for (total, completion, expected) in [(142, 10, 42), (110, 10, 10), (141, 10, 10), (142, 42, 42)] {
        let usage = json!({"prompt_tokens": 100, "completion_tokens": completion, "total_tokens": total,
            "completion_tokens_details": {"reasoning_tokens": 32}});
        let body = json!({"choices": [{"message": {"content": "a"}}], "usage": usage});
        let read = read(&body).unwrap().answer.usage.unwrap();
        assert_eq!(read.completion_tokens, expected, "{usage}");
        assert_eq!(read.reasoning_tokens, expected.min(32), "{usage}");
    }
    let priority = json!({"choices": [{"message": {}}], "usage": {"prompt_tokens": 1, "service_tier": "priority"}});
    let told = |body: &Value| read(body).unwrap().answer.aside.service_tier;
    assert_eq!((read(&priority).unwrap().tier, told(&priority).as_deref()), (Tier::Priority, Some("priority")));
    for (tier, beside, expected) in [("standard", None, None), ("priority", Some("flex"), Some("flex"))] {
        let usage = json!({"prompt_tokens": 1, "service_tier": tier});
        let body = json!({"choices": [{"message": {}}], "service_tier": beside, "usage": usage});
        assert_eq!(told(&body).as_deref(), expected, "{body}");
    }
}

#[test]
fn several_choices_come_in_their_order() {
    let choice =
        |index: u32, text: &str| json!({"index": index, "finish_reason": "stop", "message": {"content": text}});
    let answer = read(&json!({"choices": [choice(1, "b"), choice(0, "a")]})).unwrap().answer;
    let texts: Vec<_> = answer.choices.iter().map(|choice| choice.message.plain_text()).collect();
    assert_eq!(texts, ["a", "b"]);
}

#[test]
fn an_answer_without_an_answer_is_malformed_and_not_quoted() {
    for body in [
        "",
        "{",
        "<html>secret</html>",
        "[]",
        "\"secret\"",
        "{}",
        r#"{"choices": null}"#,
        r#"{"choices": []}"#,
        r#"{"choices": [{"finish_reason": "stop"}]}"#,
        r#"{"choices": "secret"}"#,
        r#"{"choices": [{"message": {"content": {"secret": 1}}}]}"#,
    ] {
        let error = parse(body.as_bytes(), "m").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::MalformedAnswer, "{body}");
        assert!(!error.message().contains("secret"), "{error}");
    }
}

#[test]
fn calls_without_an_id_get_one_that_every_vendor_takes_back() {
    let look = json!({"name": "look", "arguments": "{}"});
    let calls = json!([{"function": look}, {"id": "", "function": look}, {"id": "null", "function": look}]);
    let answer = read(&json!({"choices": [{"message": {"tool_calls": calls}}]})).unwrap().answer;
    let ids: Vec<&str> = answer.choices[0].message.tool_calls().map(|call| call.id()).collect();
    assert!(ids.iter().all(|id| crate::provider::tools::call_id::fits(id)), "{ids:?}");
    assert!(ids.len() == 3 && ids[0] != ids[1] && ids[1] != ids[2] && ids[2] != ids[0], "{ids:?}");
}

#[test]
fn fields_that_are_not_told_are_noted_once_each() {
    let note = |names: &str| vec![format!("fields of the answer left out, which no policy could see: {names}")];
    let message = |fields: Value| json!({"choices": [{"message": fields}, {"message": fields, "index": 1}]});
    let odd: Map<String, Value> = (0..40).map(|index| (format!("f{index:02}"), json!(1))).collect();
    for (body, expected) in [
        (message(json!({"content": "a", "audio": {"id": "x"}})), note("audio")),
        (
            message(json!({"content": "a", "images": [{"type": "image_url"}], "reasoning_details": [1]})),
            note("images, reasoning_details"),
        ),
        (message(json!({"content": "a", "annotations": [], "audio": null, "context": {}, "note": ""})), vec![]),
        (
            json!({"choices": [{"message": {}, "stop_reason": 7}], "citations": ["https://a"]}),
            note("citations, stop_reason"),
        ),
        (json!({"choices": [{"message": {}, "logprobs": null}], "object": "x", "service_tier": "y"}), vec![]),
        (
            message(json!({"reasoning": {"text": "hm"}, "reasoning_content": ["hm"], "refusal": 1})),
            note("reasoning, reasoning_content, refusal"),
        ),
        (message(json!({"reasoning": "hm", "reasoning_content": "", "refusal": null})), vec![]),
        (message(Value::from(odd)), note("f00, f01, f02, f03, f04, f05, f06, f07 and 8 more")),
    ] {
        assert_eq!(read(&body).unwrap().answer.notes, expected, "{body}");
    }
}

#[test]
fn log_probabilities_are_left_out_with_a_note() {
    for (logprobs, noted) in [
        (
            json!({"content": [{"token": "a", "logprob": -0.1}]}),
            vec!["fields of the answer left out, which no policy could see: logprobs"],
        ),
        (json!(null), vec![]),
    ] {
        let answer = read(&json!({"choices": [{"message": {"content": "a"}, "logprobs": logprobs}]})).unwrap().answer;
        assert_eq!(answer.notes, noted);
    }
}

#[test]
fn an_answer_of_more_values_than_are_read_is_refused_and_few_things_are_noted() {
    let body = |calls: usize| {
        let calls = vec!["0"; calls].join(",");
        format!(r#"{{"choices":[{{"finish_reason":"stop","message":{{"content":"Yes.","tool_calls":[{calls}]}}}}]}}"#)
    };
    let answer = parse(body(1_000).as_bytes(), "asked-for").unwrap().answer;
    assert_eq!(answer.notes.len(), 1, "{:?}", answer.notes);
    let error = parse(body(1_100_000).as_bytes(), "asked-for").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResponseTooLarge);
    assert!(!error.retryable() && !error.counts_against_health(), "the caller may have asked for so many");
}

#[test]
fn a_call_of_what_can_be_no_tool_is_left_out() {
    for (name, is_told) in [
        ("look", true),
        ("mcp.files:read/all-1", true),
        ("", false),
        ("jane@example.org", false),
        ("two words", false),
        ("sch\u{f6}n", false),
        (&"x".repeat(128), true),
        (&"x".repeat(129), false),
    ] {
        let call = json!({"id": "D681PevKs", "function": {"name": name, "arguments": "{}"}});
        let message = json!({"content": "Yes.", "tool_calls": [call]});
        let answer = read(&json!({"choices": [{"finish_reason": "stop", "message": message}]})).unwrap().answer;
        assert_eq!(answer.choices[0].message.parts.len(), 1 + usize::from(is_told), "{name}");
        assert_eq!(answer.notes.len(), usize::from(!is_told), "{name}: {:?}", answer.notes);
    }
}

#[test]
fn googles_signature_is_read_beside_its_call() {
    for (extra, expected) in [
        (json!({"google": {"thought_signature": "EqQB"}}), Some(Seal::Google("EqQB".into()))),
        (json!({"google": {"thought_signature": ""}}), None),
        (json!({"google": ["EqQB"]}), None),
        (json!("EqQB"), None),
        (json!(null), None),
    ] {
        let call = json!({"id": "D681PevKs", "function": {"name": "look", "arguments": "{}"}, "extra_content": extra});
        let choices = json!([{"finish_reason": "tool_calls", "message": {"tool_calls": [call]}}]);
        let answer = read(&json!({ "choices": choices })).unwrap().answer;
        assert_eq!(answer.choices[0].message.parts[0].seal(), expected.as_ref(), "{extra}");
    }
}

#[test]
fn calls_are_bounded() {
    let calls = |count| vec![json!({"function": {"name": "look", "arguments": "{}"}}); count];
    let answer = |count| read(&json!({"choices": [{"message": {"tool_calls": calls(count)}}]}));
    assert!(answer(1024).is_ok());
    assert_eq!(answer(1025).unwrap_err().kind(), ErrorKind::MalformedAnswer);
}
