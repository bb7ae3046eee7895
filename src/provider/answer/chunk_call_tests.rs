//! Calls of tools in chunks.

use super::*;

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
    // Mistral's clients read no fragment without a name.
    let verbatim: Vec<_> = events.iter().map(|event| event.frame.is_some()).collect();
    assert_eq!(verbatim, [true, false, false, true]);
    let events = read(&[
        calls(json!([{ "index": 0, "id": "call_1", "type": "function", "function": function("look", json!("")) }])),
        calls(json!([{ "index": 0, "function": function("", json!("{}")) }])),
    ])
    .unwrap();
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
fn arguments_that_are_no_text_keep_their_words() {
    let words = r#"{"z": 1, "of": 12345678901234567890123, "a": 1.10}"#;
    for arguments in [words, "{}", "[1.10, 2]", "12345678901234567890123", "true"] {
        let function = format!(r#""function":{{"name":"look","arguments":{arguments}}}"#);
        let wire = format!(r#"{{"id":"abcdefghi","index":0,"type":"function",{function}}}"#);
        let said = format!(r#"{{"tool_calls":[{wire}]}}"#);
        for chunk in [
            format!(r#"{{"choices":[{{"index":1}},{{"index":0,"delta":{said}}}]}}"#),
            format!("{{\"choices\":\n[{{\"index\":0,\"delta\":{said}}}]}}"),
            format!(r#"{{"id":"a","id":"b","choices":[{{"index":0,"delta":{said}}}]}}"#),
            format!(r#"{{"choices":[],"choices":[{{"index":0,"delta":{{}},"delta":{said}}}]}}"#),
            format!(
                r#"{{"choices":[{{"index":0,"delta":{{"tool_calls":[{{"function":{{}},"index":0,"id":"abcdefghi",{function}}}]}}}}]}}"#
            ),
            format!(r#"{{"choices":[{{"index":0,"message":{said}}}]}}"#),
            format!(r#"{{"choices":[{{"index":0,"delta":{{"content":null}},"message":{said}}}]}}"#),
            format!(
                r#"{{"object":"chat.completion","choices":[{{"index":0,"message":{said},"finish_reason":"tool_calls"}}]}}"#
            ),
        ] {
            let Ok(Read::Event(event)) = Chunks::new("m").read(&Bytes::from(chunk.clone())) else { panic!("{chunk}") };
            assert_eq!(event.deltas[1], call(0, "abcdefghi", "look", arguments), "{chunk}");
            assert_eq!(event.frame, None, "a client of OpenAI's expects a text: {chunk}");
        }
    }
}

#[test]
fn googles_signature_is_told_with_its_call() {
    let seal = |call| Delta::Seal { choice: 0, of: Sealed::Call(call), seal: crate::chat::Seal::Google("EqQB".into()) };
    let extra = json!({ "google": { "thought_signature": "EqQB" } });
    let whole = |extra: &Value| {
        delta(json!({ "tool_calls": [{ "index": 0, "id": "call_1", "type": "function", "extra_content": extra,
            "function": { "name": "look", "arguments": "{}" } }] }))
    };
    let behind = delta(json!({ "tool_calls": [{ "index": 0, "extra_content": extra }] }));
    let events = read(&[whole(&extra)]).unwrap();
    assert_eq!((&events[0].frame, &events[0].deltas), (&None, &vec![call(0, "call_1", "look", "{}"), seal(0)]));
    let events = read(&[whole(&json!(null)), behind]).unwrap();
    assert_eq!((&events[1].frame, &events[1].deltas), (&None, &vec![seal(0)]));
}

#[test]
fn calls_without_numbers_or_steady_ids_are_kept_apart() {
    let function = |name: &str, arguments: &str| json!({ "name": name, "arguments": arguments });
    let said = |calls: &[Value]| {
        let chunks: Vec<_> = calls.iter().map(|call| delta(json!({ "tool_calls": [call] }))).collect();
        let events = read(&chunks).unwrap();
        let frames = events.iter().filter(|event| event.frame.is_some()).count();
        (events.into_iter().flat_map(|event| event.deltas).collect::<Vec<_>>(), frames)
    };
    for (claim, calls, expected, frames) in [
        (
            "ids that change from fragment to fragment",
            vec![
                json!({ "id": "a", "function": function("look", "") }),
                json!({ "id": "b", "function": function("", "{}") }),
            ],
            vec![call(0, "a", "look", ""), more(0, "{}")],
            0,
        ),
        (
            "numbers that begin elsewhere",
            vec![
                json!({ "index": 7, "id": "a", "type": "function", "function": function("look", "{") }),
                json!({ "index": 7, "function": { "arguments": "}" } }),
            ],
            vec![call(0, "a", "look", "{"), more(0, "}")],
            0,
        ),
        (
            "a call without a name, and one with",
            vec![
                json!({ "index": 0, "id": "a", "type": "function", "function": function("", "{}") }),
                json!({ "index": 1, "id": "b", "type": "function", "function": function("look", "{}") }),
            ],
            vec![call(0, "b", "look", "{}")],
            0,
        ),
        (
            "fields that are not told",
            vec![json!({ "index": 0, "id": "a", "type": "function", "function": function("look", "{}"), "x": "y" })],
            vec![call(0, "a", "look", "{}")],
            0,
        ),
    ] {
        assert_eq!(said(&calls), (expected, frames), "{claim}");
    }
    let stand_in = |id: &str| call_id::derive(id.as_bytes(), 0);
    let both = ["a+/=", "b+/="]
        .map(|id| json!({ "index": 0, "id": id, "type": "function", "function": function("look", "{}") }));
    let expected = vec![call(0, &stand_in("a+/="), "look", "{}"), call(1, &stand_in("b+/="), "look", "{}")];
    assert_eq!(said(&both), (expected, 0), "one number for all, and ids that are too much of a text to be told");
    let many: Vec<_> = (0..2000).map(|index| json!({ "index": index, "function": function("look", "") })).collect();
    let error = read(&[delta(json!({ "tool_calls": many }))]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MalformedAnswer);
}

#[test]
fn a_call_without_arguments_ends_with_an_empty_object() {
    let function = json!({ "name": "look", "arguments": "" });
    let begun = json!({ "index": 0, "id": "a", "type": "function", "function": function });
    let end = chunk(json!([{ "index": 0, "delta": {}, "finish_reason": "tool_calls" }]));
    let events = read(&[delta(json!({ "tool_calls": [begun] })), end]).unwrap();
    let finished = Delta::Finished { choice: 0, reason: FinishReason::ToolCalls };
    assert_eq!(events[1].deltas, [more(0, "{}"), finished]);
    assert_eq!(events[1].frame, None);
}

#[test]
fn calls_without_an_id_get_one_that_every_vendor_takes_back() {
    let begun = |id: Value| json!({ "id": id, "function": { "name": "look", "arguments": "" } });
    let chunks = [
        begun(json!("null")),
        json!({ "id": "null", "function": { "name": "", "arguments": "{}" } }),
        begun(json!(null)),
    ]
    .map(|call| delta(json!({ "tool_calls": [call] })));
    let events = read(&chunks).unwrap();
    assert!(events.iter().all(|event| event.frame.is_none()), "a client must not see the upstream's id");
    let said: Vec<_> = events.into_iter().flat_map(|event| event.deltas).collect();
    let Delta::ToolCall { id: Some(first), .. } = &said[0] else { panic!("{said:?}") };
    let Delta::ToolCall { id: Some(second), .. } = &said[2] else { panic!("{said:?}") };
    assert_eq!(said[..3], [call(0, first, "look", ""), more(0, "{}"), call(1, second, "look", "")]);
    assert!(first != second && [first, second].iter().all(|id| call_id::fits(id)), "{first} {second}");
}

#[test]
fn a_call_of_what_can_be_no_tool_is_left_out_with_all_of_its_fragments() {
    let call = |index: u32, name: &str| {
        json!({
            "index": index, "id": format!("call_{index}"), "type": "function", "function": { "name": name, "arguments": "" },
        })
    };
    let more = |index: u32| json!({ "index": index, "function": { "name": "", "arguments": "{\"a\":1}" } });
    let mut chunks = Chunks::new("m");
    let mut deltas = Vec::new();
    for calls in [json!([call(0, "jane@example.org"), call(1, "look")]), json!([more(0)]), json!([more(1)])] {
        let chunk = Bytes::from(delta(json!({ "tool_calls": calls })).to_string());
        let Read::Event(event) = chunks.read(&chunk).unwrap() else { panic!("{calls}") };
        assert_eq!(event.frame, None, "{calls}");
        deltas.extend(event.deltas);
    }
    let begun = Delta::Started { id: "c-1".into(), model: "m".into(), aside: made() };
    let told = Delta::ToolCall {
        choice: 0,
        call: 0,
        id: Some("call_1".into()),
        name: Some("look".into()),
        arguments: String::new(),
    };
    let rest = Delta::ToolCall { choice: 0, call: 0, id: None, name: None, arguments: "{\"a\":1}".into() };
    assert_eq!(deltas, [begun, told, rest]);
    assert_eq!(chunks.notes().collect::<Vec<_>>(), [names::NAMELESS]);
}
