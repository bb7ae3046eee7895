use bytes::Bytes;
use serde_json::{Value, json};

use super::*;
use crate::chat::FinishReason;
use crate::provider::ErrorKind;
use crate::provider::answer::completion::parse;
use crate::provider::tools::call_id;

#[path = "chunk_call_tests.rs"]
mod calls;

fn chunk(choices: Value) -> Value {
    json!({ "id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices })
}

/// What is told beside the beginning of such chunks.
fn made() -> Aside {
    Aside { created: Some(1), ..Aside::default() }
}

fn delta(delta: Value) -> Value {
    chunk(json!([{ "index": 0, "delta": delta, "finish_reason": null }]))
}

/// The events of these chunks; the first is expected to begin the answer, and is left out.
fn read(chunks: &[Value]) -> Result<Vec<StreamEvent>, ProviderError> {
    let mut reader = Chunks::new("asked");
    let first = Bytes::from(delta(json!({ "role": "assistant", "content": "" })).to_string());
    let Ok(Read::Event(event)) = reader.read(&first) else { panic!("the first chunk") };
    assert_eq!(event.deltas, [Delta::Started { id: "c-1".into(), model: "m".into(), aside: made() }]);
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
        (
            r#"{"id":"1","choices":[{"index":0,"delta":{}}],"p":"abcdef01"}"#,
            r#"{"id":"1","choices":[{"index":0,"delta":{}}]}"#,
        ),
        (
            r#"{"p" : "abc", "id":"1","choices":[{"index":0,"delta":{}}]}"#,
            r#"{"id":"1","choices":[{"index":0,"delta":{}}]}"#,
        ),
        (
            r#"{"id":"1", "p":"a\"b" , "choices":[{"index":0,"delta":{}}]}"#,
            r#"{"id":"1", "choices":[{"index":0,"delta":{}}]}"#,
        ),
        (r#"{"choices":[{"index":0,"delta":{}}],"p":""}"#, r#"{"choices":[{"index":0,"delta":{}}]}"#),
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
        (json!({ "refusal": "No" }), vec![Delta::Refusal { choice: 0, text: "No".into() }]),
        (json!({}), vec![]),
    ] {
        let events = read(&[delta(wire.clone())]).unwrap();
        assert_eq!(events[0].deltas, expected, "{wire}");
        let foreign = wire["content"].is_array() || wire.get("reasoning").is_some();
        assert_eq!(events[0].frame.is_none(), foreign, "{wire}");
    }
}

#[test]
fn citations_and_signatures_stand_beside_what_is_said() {
    let thinking = |text: &str| Delta::Thinking { choice: 0, text: text.into() };
    let thought = |text: &str| json!({ "type": "thinking", "thinking": [{ "type": "text", "text": text }] });
    let lists = [
        json!([thought("H")]),
        json!([thought("m")]),
        json!([{ "type": "thinking", "thinking": [], "signature": "EqQB" }, { "type": "text", "text": "big" }]),
        json!([{ "type": "reference", "reference_ids": [1, "two"] }]),
    ];
    let events = read(&lists.map(|list| delta(json!({ "content": list })))).unwrap();
    let ids = vec![crate::chat::Reference::Number(1), crate::chat::Reference::Id("two".into())];
    let (of, seal) = (Sealed::Thoughts("Hm".into()), crate::chat::Seal::Mistral("EqQB".into()));
    let told: Vec<_> = events.into_iter().flat_map(|event| event.deltas).collect();
    let seal = Delta::Seal { choice: 0, of, seal };
    assert_eq!(told, [thinking("H"), thinking("m"), seal, text("big"), Delta::References { choice: 0, ids }]);
}

#[test]
fn a_refusal_goes_out_as_it_came_and_is_not_noted_as_left_out() {
    let mut chunks = Chunks::new("asked");
    let refused = delta(json!({ "refusal": "No" }));
    let Read::Event(event) = chunks.read(&Bytes::from(refused.to_string())).unwrap() else { panic!("{refused}") };
    assert_eq!(event.deltas.last(), Some(&Delta::Refusal { choice: 0, text: "No".into() }));
    assert_eq!(event.frame.as_deref(), Some(refused.to_string().as_bytes()));
    assert_eq!(chunks.notes().count(), 0);
}

#[test]
fn a_chunk_with_what_no_policy_would_see_is_not_passed_on_as_it_is() {
    let logprobs = json!({ "content": [{ "token": "secret", "logprob": -0.1, "bytes": null, "top_logprobs": [] }] });
    let choice = |more: &str, value: Value| {
        let mut choice = json!({ "index": 0, "delta": { "content": "a" }, "finish_reason": null });
        choice[more] = value;
        chunk(json!([choice]))
    };
    let beside = |more: &str, value: Value| {
        let mut chunk = delta(json!({ "content": "a" }));
        chunk[more] = value;
        chunk
    };
    for (chunk, passed) in [
        (choice("logprobs", json!(null)), true),
        (choice("logprobs", logprobs), false),
        (choice("text", json!("secret")), false),
        (beside("obfuscation", json!("x8f")), true),
        (beside("usage", json!(null)), true),
        (beside("note", json!("secret")), false),
        (delta(json!({ "content": "a", "refusal": null, "function_call": null })), true),
        (delta(json!({ "content": "a", "function_call": { "arguments": "secret" } })), false),
        (delta(json!({ "content": "a", "audio": { "transcript": "secret" } })), false),
        (delta(json!({ "content": "a", "reasoning": "hm", "reasoning_content": "secret" })), false),
        (delta(json!({ "content": "a", "reasoning_content": [{ "type": "text", "text": "secret" }] })), false),
        (delta(json!({ "content": "a", "reasoning": { "text": "secret" } })), false),
        (delta(json!({ "content": "a", "refusal": ["secret"] })), false),
        (beside("usage", json!({ "prompt_tokens": 1, "completion_tokens": 1 })), false),
        (beside("usage", json!("secret")), false),
        (beside("id", json!("")), true),
        (beside("id", json!("a secret")), false),
        (beside("id", json!("x".repeat(81))), false),
        (beside("id", json!(["secret"])), false),
        (beside("model", json!("ft:gpt-4o-mini:acme::x")), true),
        (beside("model", json!("a secret")), false),
        (beside("object", json!(null)), true),
        (beside("object", json!("secret")), false),
        (beside("created", json!(0)), true),
        (beside("created", json!("secret")), false),
        (beside("created", json!(4_111_111_111_111_111_u64)), false),
        (beside("service_tier", json!("default")), true),
        (beside("service_tier", json!("a secret")), false),
        (beside("system_fingerprint", json!("fp_44709d6fcb")), true),
        (beside("system_fingerprint", json!({ "text": "secret" })), false),
        (beside("obfuscation", json!("a secret")), false),
        (beside("obfuscation", json!("x".repeat(257))), false),
        (delta(json!({ "role": "assistant", "content": "a" })), true),
        (delta(json!({ "role": "", "content": "a" })), true),
        (delta(json!({ "role": "secret", "content": "a" })), false),
        (delta(json!({ "index": 0, "content": "a" })), true),
        (delta(json!({ "index": "secret", "content": "a" })), false),
        (choice("finish_reason", json!(["secret"])), false),
    ] {
        let events = read(std::slice::from_ref(&chunk)).unwrap();
        assert!(events[0].deltas.contains(&text("a")), "{chunk}");
        assert_eq!(events[0].frame.is_some(), passed, "{chunk}");
    }
}

#[test]
fn an_answer_begins_with_no_text_in_its_names() {
    let fingerprint = json!("fp_44709d6fcb");
    for (id, model, created, tier, fingerprint, expected) in [
        (json!("c-1"), json!("m"), json!(1_780_000_000), json!("flex"), fingerprint, {
            ("c-1", "m", Some(1_780_000_000), Some("flex"), Some("fp_44709d6fcb"))
        }),
        (json!(""), json!(""), json!(0), json!(null), json!(null), ("", "asked", None, None, None)),
        (json!("a secret"), json!("x".repeat(81)), json!("secret"), json!("a secret"), json!({ "x": "secret" }), {
            ("", "asked", None, None, None)
        }),
    ] {
        let chunk = json!({ "id": id, "model": model, "created": created, "service_tier": tier,
            "system_fingerprint": fingerprint, "choices": [{ "index": 0, "delta": {} }] });
        let mut reader = Chunks::new("asked");
        let Read::Event(event) = reader.read(&Bytes::from(chunk.to_string())).unwrap() else { panic!("{chunk}") };
        let (id, model, created, tier, fingerprint) = expected;
        let (service_tier, system_fingerprint) = (tier.map(str::to_owned), fingerprint.map(str::to_owned));
        let aside = Aside { created, service_tier, system_fingerprint, deprecation: None };
        assert_eq!(event.deltas, [Delta::Started { id: id.into(), model: model.into(), aside }], "{chunk}");
        assert_eq!(reader.served(), None, "it was told");
    }
    let odd = json!({ "choices": [{ "index": 0, "delta": "secret" }] });
    let read = Chunks::new("asked").read(&Bytes::from(odd.to_string())).unwrap();
    let Read::Event(event) = read else { panic!("{odd}") };
    assert_eq!(event.frame, None);
}

#[test]
fn odd_chunks_of_servers_that_are_compatible_are_read() {
    // Azure's first, which tells of its filter, begins no answer.
    let mut reader = Chunks::new("asked");
    let filtered = json!({ "id": "", "model": "", "object": "", "choices": [], "prompt_filter_results": [{}] });
    let said = |read: Read| match read {
        Read::Event(event) => (event.deltas, event.frame.is_some()),
        other => panic!("{other:?}"),
    };
    let mut read = |chunk: Value| reader.read(&Bytes::from(chunk.to_string())).map(said).unwrap();
    assert_eq!(read(filtered), (vec![], false));
    assert_eq!(read(json!({})), (vec![], false));
    // No index, and a reason that is no reason yet.
    let unnumbered = json!({ "choices": [{ "delta": { "content": "a" }, "finish_reason": "" }] });
    let started = Delta::Started { id: String::new(), model: "asked".into(), aside: Aside::default() };
    assert_eq!(read(unnumbered), (vec![started, text("a")], false));
    let foreign = chunk(json!([{ "index": 0, "delta": {}, "finish_reason": "model_length" }]));
    assert_eq!(read(foreign), (vec![Delta::Finished { choice: 0, reason: FinishReason::Length }], false));
    // Told twice.
    let again = chunk(json!([{ "index": 0, "delta": { "content": "" }, "finish_reason": "stop" }]));
    assert_eq!(read(again), (vec![], true));
    assert!(reader.is_whole());
}

#[test]
fn a_whole_message_in_place_of_a_piece_is_read_and_not_passed_on() {
    let call = json!({ "id": "call_1", "type": "function", "function": { "name": "look", "arguments": "" } });
    let message = json!({ "role": "assistant", "content": "Hi", "reasoning_content": "hm", "tool_calls": [call] });
    let choice = json!({ "index": 0, "message": message, "finish_reason": "tool_calls" });
    let usage = json!({ "prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9 });
    let whole = json!({ "id": "c-1", "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage });
    let mut reader = Chunks::new("asked");
    let Read::Event(event) = reader.read(&Bytes::from(whole.to_string())).unwrap() else { panic!("{whole}") };
    let expected = [
        Delta::Started { id: "c-1".into(), model: "m".into(), aside: Aside::default() },
        Delta::Thinking { choice: 0, text: "hm".into() },
        text("Hi"),
        self::call(0, "call_1", "look", ""),
        more(0, "{}"),
        Delta::Finished { choice: 0, reason: FinishReason::ToolCalls },
    ];
    assert_eq!((event.frame, event.deltas.as_slice()), (None, &expected[..]));
    assert!(reader.is_whole() && reader.was_told_whole() && reader.usage().is_some());
    assert_eq!(reader.notes().count(), 0);
    // Beside a piece it is none: some servers repeat in it what they have said so far.
    let both = json!([{ "index": 0, "delta": { "content": "b" }, "message": { "content": "ab" } }]);
    let mut reader = Chunks::new("asked");
    let Read::Event(event) = reader.read(&Bytes::from(chunk(both).to_string())).unwrap() else { panic!() };
    assert_eq!((&event.deltas[1..], reader.was_told_whole()), (&[text("b")][..], false));
}

#[test]
fn a_whole_message_behind_its_pieces_is_left_out_but_for_its_end() {
    let begun =
        json!({ "index": 0, "id": "call_1", "type": "function", "function": { "name": "look", "arguments": "{}" } });
    let pieces = [json!({ "reasoning_content": "hm" }), json!({ "content": "Hi" }), json!({ "tool_calls": [begun] })];
    let message = json!({ "content": "Hi", "reasoning_content": "hm", "tool_calls": [begun] });
    let usage = json!({ "prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9 });
    let choices = json!([{ "index": 0, "message": message, "finish_reason": "tool_calls" }]);
    let whole = json!({ "id": "c-1", "object": "chat.completion", "model": "m", "choices": choices, "usage": usage });
    let finish = chunk(json!([{ "index": 0, "delta": {}, "finish_reason": "tool_calls" }]));
    let finished = Delta::Finished { choice: 0, reason: FinishReason::ToolCalls };
    for (claim, finish, behind) in [("behind pieces", None, vec![finished]), ("behind a finish", Some(finish), vec![])]
    {
        let mut reader = Chunks::new("asked");
        for chunk in pieces.clone().map(delta).into_iter().chain(finish) {
            reader.read(&Bytes::from(chunk.to_string())).unwrap();
        }
        let event = reader.read(&Bytes::from(whole.to_string())).unwrap();
        assert_eq!(event, Read::Event(StreamEvent { frame: None, deltas: behind }), "{claim}");
        assert!(reader.is_whole() && !reader.was_told_whole() && reader.usage().is_some(), "{claim}");
        let noted = "fields of the answer left out, which no policy could see: message";
        assert_eq!(reader.notes().collect::<Vec<_>>(), [noted], "{claim}");
    }
    // What begins with a role alone has told nothing.
    let whole = chunk(json!([{ "index": 0, "message": { "content": "Hi" }, "finish_reason": "stop" }]));
    let finished = Delta::Finished { choice: 0, reason: FinishReason::Stop };
    assert_eq!(read(&[whole]).unwrap()[0].deltas, [text("Hi"), finished]);
}

#[test]
fn a_whole_message_without_a_reason_ends_as_a_whole_answer_does_where_nothing_follows() {
    let call = json!({ "id": "call_1", "function": { "name": "look", "arguments": "{}" } });
    for message in [json!({ "content": "Hi" }), json!({ "content": null, "tool_calls": [call] })] {
        for choice in [json!({ "message": message }), json!({ "message": message, "finish_reason": null })] {
            let whole = json!({ "choices": [choice] }).to_string();
            let expected = parse(whole.as_bytes(), "m").unwrap().answer.choices[0].finish_reason;
            let mut reader = Chunks::new("m");
            let Read::Event(event) = reader.read(&Bytes::from(whole.clone())).unwrap() else { panic!("{whole}") };
            assert!(!event.deltas.iter().any(|delta| matches!(delta, Delta::Finished { .. })), "{whole}");
            assert!(!reader.is_whole() && reader.was_told_whole(), "{whole}");
            assert_eq!(reader.finish().pop(), Some(Delta::Finished { choice: 0, reason: expected }), "{whole}");
            assert!(reader.is_whole() && reader.finish().is_empty(), "{whole}");
        }
    }
}

#[test]
fn of_a_message_what_deltas_told_is_left_out_and_the_rest_is_a_piece() {
    let message = |message: Value, reason: Value| chunk(json!([{ "message": message, "finish_reason": reason }]));
    let end = |reason: &str| chunk(json!([{ "index": 0, "delta": {}, "finish_reason": reason }]));
    let finished = |reason| Delta::Finished { choice: 0, reason };
    let thought = || Delta::Thinking { choice: 0, text: "hm".into() };
    let whole = || message(json!({ "content": "Hi" }), json!(null));
    let piece = |text: &str| message(json!({ "content": text }), json!(null));
    let called = json!({ "id": "call_1", "function": { "name": "look", "arguments": "{}" } });
    let calls = json!({ "content": "Hi", "tool_calls": [called] });
    let beside = |delta: Value| json!({ "index": 0, "delta": delta, "message": { "content": "Hi" } });
    let told = delta(json!({ "content": "Hi" }));
    for (claim, chunks, expected) in [
        ("the reason follows", vec![whole(), end("length")], vec![text("Hi"), finished(FinishReason::Length)]),
        ("so does a filter's", vec![whole(), end("content_filter")], {
            vec![text("Hi"), finished(FinishReason::ContentFilter)]
        }),
        (
            "pieces that are called messages",
            vec![piece("a"), piece("b"), message(json!({ "content": "c" }), json!("stop"))],
            vec![text("a"), text("b"), text("c"), finished(FinishReason::Stop)],
        ),
        ("a message of a role, then deltas", vec![piece(""), told.clone(), end("stop")], {
            vec![text("Hi"), finished(FinishReason::Stop)]
        }),
        (
            "reasoning in deltas",
            vec![
                delta(json!({ "reasoning_content": "hm" })),
                message(json!({ "content": "Hi", "reasoning_content": "hm" }), json!("stop")),
            ],
            vec![thought(), text("Hi"), finished(FinishReason::Stop)],
        ),
        ("text in deltas", vec![told.clone(), message(calls, json!("tool_calls"))], {
            vec![text("Hi"), call(0, "call_1", "look", "{}"), finished(FinishReason::ToolCalls)]
        }),
        ("beside an empty delta", vec![chunk(json!([beside(json!({}))])), end("stop")], {
            vec![text("Hi"), finished(FinishReason::Stop)]
        }),
        ("beside a delta of the same", vec![chunk(json!([beside(json!({ "content": "i" }))]))], vec![text("i")]),
        ("all of it repeated", vec![told.clone(), whole()], vec![text("Hi"), finished(FinishReason::Other)]),
        ("deltas behind a message, cut off", vec![whole(), told], vec![text("Hi"), text("Hi")]),
    ] {
        let mut reader = Chunks::new("m");
        let mut deltas = Vec::new();
        for chunk in &chunks {
            let Read::Event(event) = reader.read(&Bytes::from(chunk.to_string())).unwrap() else { panic!("{claim}") };
            assert!(event.frame.is_none() || !chunk.to_string().contains("message"), "{claim}");
            deltas.extend(event.deltas);
        }
        deltas.extend(reader.finish());
        assert_eq!(deltas[1..], expected, "{claim}");
    }
    // Behind the end it is no answer any more.
    let error = read(&[end("stop"), message(json!({ "content": "Hi" }), json!("stop"))]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MalformedAnswer);
}

#[test]
fn what_is_no_answer_is_an_error() {
    for (chunks, kind) in [
        (vec![json!({ "choices": "none" })], ErrorKind::MalformedAnswer),
        (vec![chunk(json!([{ "index": 128, "delta": {} }]))], ErrorKind::MalformedAnswer),
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
    for failure in [
        json!({ "error": { "message": "over" } }),
        json!({ "error": "over" }),
        json!({ "object": "error", "message": "over" }),
        json!({ "object": "Error", "message": ["over"] }),
        json!({ "detail": [{ "msg": "over" }] }),
        json!({ "message": "Requests rate limit exceeded" }),
    ] {
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
    // What has no choice tells its tokens and is not passed on.
    let bare = reader.read(&Bytes::from(chunk(json!([])).to_string())).unwrap();
    assert_eq!(bare, Read::Event(StreamEvent::default()));
    let mut read = |value: Value| reader.read(&Bytes::from(value.to_string())).map(|_| reader.is_whole()).unwrap();
    let usage = json!({ "prompt_tokens": 7, "completion_tokens": 2, "prompt_tokens_details": { "cached_tokens": 4 } });
    assert!(read(json!({ "choices": [], "usage": usage, "service_tier": "priority" })));
    let usage = Usage { prompt_tokens: 7, completion_tokens: 2, cached_tokens: 4, ..Usage::default() };
    assert_eq!(reader.usage(), Some((usage, Tier::Priority)));
    assert_eq!(reader.served(), Some(Delta::Served { tier: "priority".into() }));
    assert_eq!(reader.served(), None);
    assert_eq!(reader.read(&Bytes::from_static(b"[DONE]")).unwrap(), Read::Done);
    for data in
        ["", "{", "<html>secret</html>", "[]", "\"secret\"", r#"{"choices":[{"delta":{"content":{"secret":1}}}]}"#]
    {
        let error = Chunks::new("m").read(&Bytes::from(data)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::MalformedAnswer, "{data}");
        assert!(!error.message().contains("secret"), "{error}");
    }
}

#[test]
fn tokens_that_are_counted_in_a_choice_are_read() {
    let mut reader = Chunks::new("m");
    let usage = json!({ "prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9, "cached_tokens": 4 });
    let last = chunk(json!([{ "index": 0, "delta": {}, "finish_reason": "stop", "usage": usage }]));
    let Read::Event(event) = reader.read(&Bytes::from(last.to_string())).unwrap() else { panic!("{last}") };
    assert_eq!(event.frame, None, "clients look for them elsewhere");
    let counted = Usage { prompt_tokens: 7, completion_tokens: 2, cached_tokens: 4, ..Usage::default() };
    assert_eq!(reader.usage(), Some((counted, Tier::Standard)));
    assert_eq!(reader.notes().count(), 0);
}

#[test]
fn reasoning_is_read_where_it_stands() {
    for fields in
        [json!({ "reasoning_content": "", "reasoning": "hm" }), json!({ "reasoning_content": "hm", "reasoning": "" })]
    {
        let events = read(&[delta(fields.clone())]).unwrap();
        assert!(events[0].deltas.contains(&Delta::Thinking { choice: 0, text: "hm".into() }), "{fields}");
    }
}

#[test]
fn an_empty_reasoning_is_told_once_beside_calls() {
    let empty = || delta(json!({ "reasoning_content": "" }));
    let hm = || delta(json!({ "reasoning_content": "hm" }));
    let function = json!({ "name": "look", "arguments": "{}" });
    let called = |index: u32| {
        delta(json!({ "tool_calls": [{ "index": index, "id": "a", "type": "function", "function": function }] }))
    };
    let thinking = |text: &str| Delta::Thinking { choice: 0, text: text.into() };
    for (chunks, expected) in [
        (
            vec![empty(), empty(), called(0), called(1)],
            vec![thinking(""), call(0, "a", "look", "{}"), call(1, "a", "look", "{}")],
        ),
        (vec![empty(), hm(), empty(), called(0)], vec![thinking("hm"), call(0, "a", "look", "{}")]),
        (vec![called(0)], vec![call(0, "a", "look", "{}")]),
        (vec![empty(), delta(json!({ "content": "a" }))], vec![text("a")]),
    ] {
        let events = read(&chunks).unwrap();
        assert_eq!(events.into_iter().flat_map(|event| event.deltas).collect::<Vec<_>>(), expected, "{chunks:?}");
    }
}

#[test]
fn what_a_stream_leaves_out_is_noted_once() {
    let mut chunks = Chunks::new("asked-for");
    let unknown = json!([{ "type": "hologram" }, { "type": "text", "text": "a" }]);
    for _ in 0..2 {
        let chunk = json!({ "id": "1", "citations": ["x"], "choices": [
            { "index": 0, "delta": { "content": unknown }, "logprobs": { "content": [] }, "finish_reason": null },
        ] });
        let Read::Event(event) = chunks.read(&Bytes::from(chunk.to_string())).unwrap() else { panic!("{chunk}") };
        assert_eq!(event.frame, None);
    }
    assert_eq!(
        chunks.notes().collect::<Vec<_>>(),
        [
            "content of the kind `hologram` left out",
            "fields of the answer left out, which no policy could see: citations, logprobs",
        ]
    );
}

#[test]
fn a_chunk_with_a_key_twice_is_not_passed_on_as_it_came() {
    for (delta, passed) in
        [(r#""content":"a: {\"b\":\"c\\"}"#, true), (r#""content":"hidden","content":"shown"}"#, false)]
    {
        let chunk = format!(r#"{{"choices":[{{"index":0,"delta":{{"role":"assistant",{delta}}}]}}"#);
        let mut chunks = Chunks::new("m");
        let Read::Event(event) = chunks.read(&Bytes::from(chunk.clone())).unwrap() else { panic!("{chunk}") };
        assert_eq!(event.frame.is_some(), passed, "{chunk}");
    }
}
