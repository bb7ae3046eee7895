//! Requests as clients send them, and as they might.

use serde_json::json;

use super::*;
use crate::chat::{Detail, HELD_FIELDS, Message, Part, Reference, Role, Seal, ToolChoice};

fn parsed(body: &Value) -> Result<Asked, ApiError> {
    parse(&Bytes::from(body.to_string()))
}

fn message(wire: Value) -> Result<Message, ApiError> {
    parsed(&json!({ "messages": [wire] })).map(|asked| asked.chat.messages.into_iter().next().unwrap())
}

#[test]
fn every_field_has_its_place_and_the_rest_is_kept() {
    let schema = json!({ "type": "object" });
    let body = json!({
        "model": "m", "messages": [{ "role": "user", "content": "Hi" }], "max_completion_tokens": 5, "max_tokens": 7,
        "temperature": 0.5, "top_p": 0.9, "n": 2, "stop": "END", "seed": 1, "random_seed": 2,
        "presence_penalty": 0.1, "frequency_penalty": 0.2,
        "tools": [{ "type": "function", "function": { "name": "look", "parameters": schema } }],
        "tool_choice": "auto", "parallel_tool_calls": false, "response_format": { "type": "json_object" },
        "reasoning_effort": "low", "stream": true, "stream_options": { "include_usage": true },
        "user": "u-1", "logit_bias": { "50256": -100 }, "service_tier": null,
    });
    let Asked { chat, user, stream } = parsed(&body).unwrap();
    assert_eq!(stream, Some(Pieces { include_usage: true }));
    assert_eq!(user.as_deref(), Some("u-1"));
    assert_eq!((chat.max_tokens, chat.seed, chat.n), (Some(5), Some(1), Some(2)));
    assert_eq!((chat.stop.as_slice(), chat.tools.len()), (["END".to_owned()].as_slice(), 1));
    assert_eq!((chat.tool_choice, chat.response_format), (Some(ToolChoice::Auto), Some(ResponseFormat::JsonObject)));
    assert_eq!(serde_json::to_value(&chat.extra).unwrap(), json!({ "user": "u-1", "logit_bias": { "50256": -100 } }));
}

#[test]
fn a_known_field_in_other_letters_is_refused() {
    let said = |name: &str| {
        let mut body = json!({ "messages": [{ "role": "user", "content": "seen" }] });
        body[name] = json!([{ "role": "user", "content": "unseen" }]);
        parsed(&body).err().map(|error| error.to_string())
    };
    for held in HELD_FIELDS {
        for name in [held.to_uppercase(), held.replace('s', "ſ"), held.replace('k', "\u{212a}")] {
            let error = (name != held).then(|| said(&name).unwrap());
            assert!(error.is_none_or(|error| error.starts_with(held)), "{name}");
        }
    }
    assert_eq!((said("Metadata"), said("User")), (None, None));
}

#[test]
fn messages_of_both_dialects_are_read() {
    let text = |text: &str| Part::Text { text: text.into() };
    for (wire, role, parts) in [
        (json!({ "role": "developer", "content": "Be brief" }), Role::System, vec![text("Be brief")]),
        (
            json!({ "role": "user", "content": [
                { "type": "text", "text": "What is it?" },
                { "type": "image_url", "image_url": { "url": "https://example.org/a.png", "detail": "low" } },
                { "type": "image_url", "image_url": "data:image/png;base64,AA==" },
            ] }),
            Role::User,
            vec![
                text("What is it?"),
                Part::Image { url: "https://example.org/a.png".into(), detail: Some(Detail::Low) },
                Part::Image { url: "data:image/png;base64,AA==".into(), detail: None },
            ],
        ),
        (json!({ "role": "user", "content": null }), Role::User, vec![text("")]),
        (
            json!({ "role": "assistant", "content": "", "reasoning_content": "Hm", "tool_calls": [
                { "id": "call_1", "type": "function", "function": { "name": "look", "arguments": "{\"a\":1}" } },
                { "id": "call_2", "function": { "name": "look", "arguments": { "a": 2 } } },
            ] }),
            Role::Assistant,
            vec![
                Part::Thinking { text: "Hm".into(), seal: None },
                Part::ToolCall { id: "call_1".into(), name: "look".into(), arguments: "{\"a\":1}".into(), seal: None },
                Part::ToolCall { id: "call_2".into(), name: "look".into(), arguments: "{\"a\":2}".into(), seal: None },
            ],
        ),
        (
            json!({ "role": "assistant", "content": null, "reasoning_content": "", "tool_calls": [
                { "id": "call_1", "function": { "name": "look", "arguments": "{}" } },
            ] }),
            Role::Assistant,
            vec![
                Part::Thinking { text: String::new(), seal: None },
                Part::ToolCall { id: "call_1".into(), name: "look".into(), arguments: "{}".into(), seal: None },
            ],
        ),
        (json!({ "role": "assistant", "content": "Yes", "reasoning_content": "" }), Role::Assistant, vec![text("Yes")]),
        (
            json!({ "role": "assistant", "content": "Yes", "reasoning": "Hm" }),
            Role::Assistant,
            vec![Part::Thinking { text: "Hm".into(), seal: None }, text("Yes")],
        ),
        (
            json!({ "role": "assistant", "content": "Yes", "reasoning": { "effort": "low" } }),
            Role::Assistant,
            vec![text("Yes")],
        ),
        (
            json!({ "role": "assistant", "content": [
                { "type": "thinking", "thinking": [{ "type": "text", "text": "Hm" }] },
                { "type": "text", "text": "Yes" },
            ] }),
            Role::Assistant,
            vec![Part::Thinking { text: "Hm".into(), seal: None }, text("Yes")],
        ),
        (
            json!({ "role": "assistant", "content": [
                { "type": "thinking", "thinking": [
                    { "type": "text", "text": "Hm" },
                    { "type": "reference", "reference_ids": [0] },
                ], "closed": true, "signature": "EqQB" },
                { "type": "text", "text": "Paris" },
                { "type": "reference", "reference_ids": [1, "a text", "two"] },
                { "type": "text", "text": " is big" },
            ] }),
            Role::Assistant,
            vec![
                Part::Thinking { text: "Hm".into(), seal: Some(Seal::Mistral("EqQB".into())) },
                Part::Reference { ids: vec![Reference::Number(0)] },
                text("Paris"),
                Part::Reference { ids: vec![Reference::Number(1), Reference::Id("two".into())] },
                text(" is big"),
            ],
        ),
        (
            // As a client keeps what came in a stream.
            json!({ "role": "assistant", "reasoning_content": "Well. ", "content": [
                { "type": "thinking", "thinking": [{ "type": "text", "text": "H" }] },
                { "type": "thinking", "thinking": [{ "type": "text", "text": "m" }] },
                { "type": "thinking", "thinking": [], "signature": "EqQB" },
                { "type": "thinking", "thinking": [{ "type": "text", "text": "So" }] },
                { "type": "text", "text": "Yes" },
            ] }),
            Role::Assistant,
            vec![
                Part::Thinking { text: "Well. ".into(), seal: None },
                Part::Thinking { text: "Hm".into(), seal: Some(Seal::Mistral("EqQB".into())) },
                Part::Thinking { text: "So".into(), seal: None },
                text("Yes"),
            ],
        ),
        (
            json!({ "role": "assistant", "content": "Yes", "thinking_blocks": [
                { "type": "thinking", "thinking": "Hm", "signature": "EqQB", "vendor": "mistral" },
                { "type": "thinking", "thinking": "So", "signature": "EmwK" },
            ] }),
            Role::Assistant,
            vec![
                Part::Thinking { text: "Hm".into(), seal: Some(Seal::Mistral("EqQB".into())) },
                Part::Thinking { text: "So".into(), seal: Some(Seal::Anthropic("EmwK".into())) },
                text("Yes"),
            ],
        ),
        (
            json!({ "role": "tool", "tool_call_id": "call_1", "name": "look", "content": [
                { "type": "text", "text": "balance: 12" }, { "type": "text", "text": "34 items" },
            ] }),
            Role::Tool,
            vec![Part::ToolResult {
                id: "call_1".into(),
                name: Some("look".into()),
                text: "balance: 12\n34 items".into(),
            }],
        ),
        (
            json!({ "role": "tool", "tool_call_id": "call_1", "name": "", "content": "42" }),
            Role::Tool,
            vec![Part::ToolResult { id: "call_1".into(), name: None, text: "42".into() }],
        ),
    ] {
        assert_eq!(message(wire.clone()).unwrap(), Message { role, parts }, "{wire}");
    }
}

#[test]
fn unsigned_reasoning_beside_signed_is_kept_and_none_is_doubled() {
    let signed = |text: &str| json!({ "type": "thinking", "thinking": text, "signature": "EmwK" });
    let redacted = json!({ "type": "redacted_thinking", "data": "AAEC" });
    for (reasoning, blocks, expected) in [
        ("Hm So", json!([signed("Hm "), signed("So")]), vec![("Hm ", true), ("So", true)]),
        ("Hm\n\nSo", json!([signed("Hm"), signed("So")]), vec![("Hm", true), ("So", true)]),
        ("FirstHmThenSoLast", json!([signed("Hm"), signed("So")]), {
            vec![("First", false), ("Hm", true), ("Then", false), ("So", true), ("Last", false)]
        }),
        ("Then", json!([redacted]), vec![("", true), ("Then", false)]),
        ("In short", json!([signed("Hm"), signed("So")]), vec![("Hm", true), ("So", true)]),
        ("", json!([signed("Hm")]), vec![("Hm", true)]),
    ] {
        let wire = json!({ "role": "assistant", "content": null, "reasoning_content": reasoning,
            "thinking_blocks": blocks });
        let parts = message(wire.clone()).unwrap().parts;
        let read: Vec<_> = parts.iter().map(|part| (part.text().unwrap(), part.seal().is_some())).collect();
        assert_eq!(read, expected, "{wire}");
    }
}

#[test]
fn what_the_answer_would_not_have_is_refused_at_once() {
    let asked = |name: &str, value: Value| {
        let mut body = json!({ "messages": [{ "role": "user", "content": "x" }] });
        body[name] = value;
        parsed(&body).err().map(|error| error.to_string())
    };
    for (name, value) in [
        ("functions", json!([{ "name": "look" }])),
        ("function_call", json!("auto")),
        ("logprobs", json!(true)),
        ("top_logprobs", json!(3)),
        ("modalities", json!(["text", "audio"])),
        ("audio", json!({ "voice": "alloy", "format": "wav" })),
    ] {
        let error = asked(name, value).unwrap();
        assert!(error.starts_with(&format!("{name}: ")), "{error}");
        assert_eq!(asked(name, Value::Null), None, "{name}");
    }
    for (name, value) in [
        ("logprobs", json!(false)),
        ("top_logprobs", json!(0)),
        ("modalities", json!(["text"])),
        ("functions", json!([])),
        ("function_call", json!("none")),
    ] {
        assert_eq!(asked(name, value), None, "{name}");
    }
    let called = json!({ "role": "assistant", "content": null, "function_call": { "name": "f", "arguments": "" } });
    assert!(message(called).unwrap_err().to_string().starts_with("messages[0].function_call: "));
    assert!(message(json!({ "role": "assistant", "content": "x", "function_call": null })).is_ok());
    for wire in [json!({ "role": "user" }), json!({ "role": "system", "content": null })] {
        assert!(message(wire.clone()).is_err(), "{wire}");
    }
}

#[test]
fn ids_and_names_of_tools_are_no_texts() {
    let id = "IDCARD 4111 1111 1111 1111";
    let call = |id: &str, name: &str| {
        json!({ "role": "assistant", "content": null, "tool_calls": [
            { "id": id, "function": { "name": name, "arguments": "{}" } },
        ] })
    };
    let result = |id: &str, name: &str| json!({ "role": "tool", "tool_call_id": id, "name": name, "content": "4" });
    let ids = |id: &str| {
        let body = json!({ "messages": [call(id, "look"), result(id, "look")] });
        let messages = parsed(&body).unwrap().chat.messages;
        messages
            .into_iter()
            .flat_map(|message| message.parts)
            .map(|part| match part {
                Part::ToolCall { id, .. } | Part::ToolResult { id, .. } => id,
                other => panic!("{other:?}"),
            })
            .collect::<Vec<_>>()
    };
    let stand_ins = ids(id);
    assert_eq!((stand_ins[0].len(), &stand_ins[0]), (9, &stand_ins[1]), "the result finds its call");
    assert_ne!(ids(&"x".repeat(145)), ids(&"x".repeat(146)));
    let kimis = format!("functions.{}:0", "x".repeat(128));
    assert_eq!(ids(&kimis), [kimis.as_str(), &kimis]);
    assert_eq!(ids("call_A-1:2.3"), ["call_A-1:2.3", "call_A-1:2.3"]);
    for (wire, expected) in [
        (call("a", "look at jane@example.org"), "messages[0].tool_calls[0].function.name"),
        (result("a", "4111 1111"), "messages[0].name"),
    ] {
        let error = message(wire).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn what_tools_are_told_and_say_hides_behind_no_escapes() {
    let call = json!({ "id": "c", "function": { "name": "look", "arguments": r#"{"at": "\u004aane"}"# } });
    let messages = json!([
        { "role": "assistant", "tool_calls": [call] },
        { "role": "tool", "tool_call_id": "c", "content": r#"["\u004aane"]"# },
        { "role": "tool", "tool_call_id": "c", "content": r#"print("\u004aane")"# },
    ]);
    let said = parsed(&json!({ "messages": messages })).unwrap().chat.messages;
    let said: Vec<_> = said.iter().flat_map(|message| &message.parts).filter_map(Part::text).collect();
    assert_eq!(said, [r#"{"at": "Jane"}"#, r#"["Jane"]"#, r#"print("\u004aane")"#]);
}

#[test]
fn names_and_refusals_are_read() {
    let body = json!({ "messages": [
        { "role": "system", "content": "Be brief" },
        { "role": "user", "content": "Hi", "name": "ada" },
        { "role": "assistant", "content": null, "refusal": "I will not", "name": "" },
        { "role": "assistant", "content": "", "refusal": "Nor this", "tool_calls": [] },
        { "role": "assistant", "content": "Yes", "refusal": null, "name": "bob" },
        { "role": "tool", "content": "4", "tool_call_id": "call_1", "name": "look" },
    ] });
    let chat = parsed(&body).unwrap().chat;
    assert_eq!(chat.names, BTreeMap::from([(1, "ada".to_owned()), (4, "bob".to_owned())]));
    let said: Vec<_> = chat.messages[1..5].iter().map(Message::plain_text).collect();
    assert_eq!(said, ["Hi", "I will not", "Nor this", "Yes"]);
    assert!(chat.messages.iter().all(|message| message.parts.len() == 1), "{chat:?}");
}

/// A body that says hello, and these fields.
fn asking(fields: Value) -> Value {
    let mut body = json!({ "messages": [{ "role": "user", "content": "x" }] });
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    body
}

#[test]
fn a_field_that_is_not_known_keeps_its_words() {
    let guided = r#"{"z": {"b": 1, "a": 2}, "of": 12345678901234567890123, "sure": 1.10}"#;
    let body =
        format!(r#"{{"messages":[{{"role":"user","content":"cut \ud83d"}}],"guided_json":{guided},"none":null}}"#);
    let chat = parse(&Bytes::from(body)).unwrap().chat;
    assert_eq!(serde_json::to_string(&chat.extra).unwrap(), format!(r#"{{"guided_json":{guided}}}"#));
}

#[test]
fn arguments_that_are_an_object_keep_their_words() {
    for (arguments, read) in [
        (
            r#"{"z": 1, "of": 12345678901234567890123, "a": 1.10}"#,
            r#"{"z": 1, "of": 12345678901234567890123, "a": 1.10}"#,
        ),
        (r#"{"at":"\u004aane","cut":"\ud83d"}"#, "{\"at\":\"Jane\",\"cut\":\"\u{fffd}\"}"),
        (r#""{\"cut\":\"\ud83d\"}""#, "{\"cut\":\"\u{fffd}\"}"),
        ("null", ""),
    ] {
        let body = format!(
            r#"{{"messages":[{{"role":"assistant","tool_calls":[{{"function":{{"name":"look","arguments":{arguments}}}}}]}}]}}"#
        );
        let chat = parse(&Bytes::from(body)).unwrap().chat;
        let [Part::ToolCall { arguments, .. }] = &chat.messages[0].parts[..] else { panic!("{chat:?}") };
        assert_eq!(arguments, read);
    }
}

#[test]
fn what_is_wrong_in_a_field_that_is_not_known_is_said_of_it() {
    let body = r#"{"messages":[{"role":"user","content":"x"}],
        "metadata":{"a":1e999}}"#;
    let error = parse(&Bytes::from(body)).err().unwrap();
    let ApiError::Body { field, problem } = error else { panic!("{error:?}") };
    assert_eq!((field.as_deref(), &*problem), (Some("metadata"), "number out of range"));
}

#[test]
fn a_whole_number_may_have_a_point() {
    let chat = parsed(&asking(json!({ "n": 2.0, "max_tokens": 5.0, "seed": -7.0 }))).unwrap().chat;
    assert_eq!((chat.n, chat.max_tokens, chat.seed), (Some(2), Some(5), Some(-7)));
}

#[test]
fn what_is_wrong_is_named() {
    for (body, says) in [
        (json!({}), "messages"),
        (json!({ "messages": [] }), "messages"),
        (
            json!({ "messages": vec![json!({ "role": "user", "content": "x" }); MOST + 1] }),
            "messages: 10001 messages, at most 10000 are taken",
        ),
        (json!({ "messages": [{ "role": "function", "content": "x" }] }), "messages[0].role"),
        (json!({ "messages": [{ "role": "user" }] }), "messages[0].content"),
        (json!({ "messages": [{ "role": "tool", "content": "x" }] }), "messages[0].tool_call_id"),
        (
            json!({ "messages": [{ "role": "user", "content": [{ "type": "input_audio" }] }] }),
            "messages[0].content[0].type",
        ),
        (
            json!({ "messages": [{ "role": "tool", "tool_call_id": "c", "content": [
                { "type": "text", "text": "see" }, { "type": "image_url", "image_url": "data:image/png;base64,AA==" },
            ] }] }),
            "messages[0].content[1].type",
        ),
        (
            json!({ "messages": [{ "role": "user", "content": [{ "type": "image_url", "image_url": "file:///x" }] }] }),
            "messages[0].content[0].image_url",
        ),
        (json!({ "messages": [{ "role": "user", "content": "x" }], "temperature": "hot" }), "temperature"),
        (json!({ "messages": [{ "role": "user", "content": "x" }], "stream": "yes" }), "stream"),
        (json!({ "messages": [{ "role": "user", "content": "x" }], "tools": [{}] }), "tools[0]"),
        (
            json!({ "messages": [{ "role": "user", "content": "x" }], "tools": ["f"] }),
            "tools[0]: expected an object with",
        ),
        (json!({ "messages": ["x"] }), "messages[0]: expected an object at line"),
        (
            json!({ "messages": [{ "role": "user", "content": "x" }],
                "tools": [{ "function": { "name": "get weather" } }] }),
            "tools[0].function.name: expected at most 128 letters",
        ),
        (
            json!({ "messages": [{ "role": "user", "content": "x" }],
                "tools": [{ "function": { "name": "look" } }],
                "tool_choice": { "type": "function", "function": { "name": "API key not valid" } } }),
            "tool_choice: names a function",
        ),
        (asking(json!({ "n": 1.5 })), "n: expected a whole number from 0 to 4294967295 at line"),
        (asking(json!({ "seed": "x" })), "seed: expected a whole number at line"),
        (
            json!({ "messages": [{ "role": "assistant",
                "tool_calls": [{ "function": { "name": "f", "arguments": [] } }] }] }),
            "messages[0].tool_calls[0].function.arguments: expected a text or an object at line",
        ),
        (asking(json!({ "stop": 7 })), "stop: expected a text or a list of texts at line"),
        (
            asking(json!({ "tools": [{ "function": { "name": "f", "parameters": [] } }] })),
            "tools[0].function.parameters: expected an object, which a JSON schema is at line",
        ),
        (
            json!({ "messages": [{ "role": "user", "content": [
                { "type": "image_url", "image_url": { "url": "https://example.org/a.png", "detail": "most" } },
            ] }] }),
            "messages[0].content[0].image_url: expected a URL, or an object with a `url`, and a `detail` of",
        ),
    ] {
        let error = parsed(&body).err().unwrap().to_string();
        assert!(error.contains(says), "{body}: {error}");
    }
}

#[test]
fn a_list_is_no_object() {
    let asked = json!([{ "role": "user", "content": "x" }]);
    for (key, list, field) in [
        ("messages", json!([["user", "x"]]), "messages[0]"),
        ("messages", json!([{ "role": "user", "content": [["text", "x"]] }]), "messages[0].content[0]"),
        (
            "messages",
            json!([{ "role": "user", "content": "x", "cache_control": ["ephemeral"] }]),
            "messages[0].cache_control",
        ),
        (
            "messages",
            json!([{ "role": "assistant", "tool_calls": [["1", null, null, { "name": "f" }]] }]),
            "messages[0].tool_calls[0]",
        ),
        (
            "messages",
            json!([{ "role": "assistant", "tool_calls": [{ "function": ["f"] }] }]),
            "messages[0].tool_calls[0].function",
        ),
        (
            "messages",
            json!([{ "role": "assistant", "thinking_blocks": [["thinking", "x"]] }]),
            "messages[0].thinking_blocks[0]",
        ),
        (
            "messages",
            json!([{ "role": "user", "content": [{ "type": "image_url", "image_url": ["https://example.org/a.png", null] }] }]),
            "messages[0].content[0].image_url",
        ),
        ("tools", json!([["function", { "name": "f" }, null]]), "tools[0]"),
        ("tools", json!([{ "function": ["f", null, null, null, null] }]), "tools[0].function"),
        ("tool_choice", json!({ "function": ["f"] }), "tool_choice.function"),
        (
            "tool_choice",
            json!({ "type": "allowed_tools", "allowed_tools": ["auto", [{ "name": "f" }]] }),
            "tool_choice.allowed_tools",
        ),
        ("response_format", json!(["text", null]), "response_format"),
        (
            "response_format",
            json!({ "type": "json_schema", "json_schema": ["n", null, {}, null] }),
            "response_format.json_schema",
        ),
        ("stream_options", json!([true]), "stream_options"),
    ] {
        let mut body = json!({ "messages": asked });
        body[key] = list;
        let error = parsed(&body).err().unwrap_or_else(|| panic!("{body} is read")).to_string();
        assert!(error.contains(&format!("body: {field}: ")), "{body}: {error}");
    }
}
