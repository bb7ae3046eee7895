//! What policies make of a stream.

use std::time::Duration;

use anthropic_double::AnthropicDouble;
use mistral_double::{Behaviour, MistralDouble, ToolCall, ToolCallForm, Writes};
use openai_double::OpenAiDouble;
use serde_json::{Value, json};

use super::socket::mistral_that_says;
use super::support::{Setup, eventually};
use super::{ask, last_record, parts, stream, with_pattern, with_patterns};

#[tokio::test]
async fn a_refusal_of_the_model_is_no_content_whether_policies_change_it_or_not() {
    let double = OpenAiDouble::start().await.unwrap();
    let setup = || {
        let setup = Setup::without_provider().env("OPENAI_API_KEY", openai_double::KEY);
        setup.env("OPENAI_ENDPOINT", &double.origin())
    };
    double.always(Some(openai_double::Behaviour::refusal("I will not write to jane@example.org.")));
    for (gateway, refusal, decision) in [
        (setup().policies(&["audit-redact"]).start(), "I will not write to jane@example.org.", "allowed"),
        (setup().start(), "I will not write to [EMAIL].", "redacted"),
    ] {
        let body = json!({ "model": "gpt-4o-mini", "messages": ask("Who?")["messages"] });
        let seen = stream(&gateway, body.clone()).await;
        assert_eq!((seen.deltas("refusal").as_str(), seen.text().as_str()), (refusal, ""), "{seen:?}");
        assert_eq!((seen.finish(), seen.done), (Some("stop"), true), "{seen:?}");
        let record = last_record(&gateway).await;
        assert_eq!(record["policy_decision"], decision, "{record}");
        assert_eq!(record["response_sample"], "I will not write to [EMAIL].", "{record}");

        let answer = gateway.post("/v1/chat/completions", body).await;
        let message = json!({ "role": "assistant", "content": null, "refusal": refusal });
        assert_eq!(answer.body["choices"][0]["message"], message, "{answer:?}");
        assert_eq!(last_record(&gateway).await["response_sample"], "I will not write to [EMAIL].");
        let answer = gateway.post("/api/request", json!({ "query": "Who?" })).await;
        assert_eq!(answer.body["data"]["data"], refusal, "{answer:?}");
    }
}

#[tokio::test]
async fn personal_data_is_masked_across_events() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&double).start();
    let text = format!("{} Her card is 4111 1111 1111 1111, her mail jane@example.org. {0}", "So be it. ".repeat(30));
    for writes in [Writes::PerEvent, Writes::Bytes(3)] {
        double.script(Behaviour::text(&text).writes(writes));
        let seen = stream(&gateway, ask("Who is she?")).await;
        let expected = text.replace("4111 1111 1111 1111", "[CARD]").replace("jane@example.org", "[EMAIL]");
        assert_eq!((seen.text(), seen.finish()), (expected, Some("stop")));
        assert!(seen.events.len() > 20, "the answer still streams");
        let record = last_record(&gateway).await;
        assert_eq!(record["policy_decision"], "redacted", "{record}");
    }
}

#[tokio::test]
async fn a_policy_ends_a_stream_and_the_record_says_what_went_out() {
    let double = MistralDouble::builder().start().await.unwrap();
    for (mode, most) in [("observe", 120), ("transform", 60), ("buffer", 0)] {
        let manifest = format!("stream: {{ mode: {mode}, window: 40B }}\n");
        let gateway = with_pattern(Setup::with(&double), "no-secrets", &manifest, "deny", "geheim");
        double.script(Behaviour::text(format!("{} Das ist geheim. {0}", "wort ".repeat(18))));
        let seen = stream(&gateway, ask("Tell me")).await;
        assert_eq!((seen.finish(), seen.done, seen.whole), (Some("content_filter"), true, true), "{mode} {seen:?}");
        let last = seen.events.last().unwrap();
        assert_eq!((&last["octroi"]["policy"], &last["octroi"]["rule"]), (&json!("no-secrets"), &json!("found")));
        let text = seen.text();
        assert!(text.len() <= most, "{mode}: {text}");
        assert_eq!(text.contains("geheim"), mode == "observe", "{mode}: {text}");
        let record = last_record(&gateway).await;
        assert_eq!(record["policy_decision"], "blocked", "{record}");
        assert_eq!(record["policy_details"]["streamed"]["released"], text.len(), "{mode} {record}");
        let evaluations = record["policy_details"]["response_evaluations"].as_array().unwrap();
        let said = evaluations.iter().find(|it| it["policy"] == "no-secrets").unwrap();
        assert_eq!(said["stream"], mode, "{record}");
    }
}

#[tokio::test]
async fn a_refusal_names_what_the_verdict_that_refused_found() {
    let double = MistralDouble::builder().start().await.unwrap();
    for mode in ["observe", "transform"] {
        let prepared = Setup::with(&double).policies(&["audit-redact", "pattern"]).prepare();
        let manifest = format!(
            "name: house\nmodule: pattern.wasm\nstream: {{ mode: {mode}, window: 32B }}\nsettings:\n  patterns:\n    \
             - {{ name: seen, keywords: [tulip], action: warn, phases: [response] }}\n    \
             - {{ name: secret, keywords: [geheim], phases: [response] }}\n"
        );
        std::fs::write(prepared.policies().join("pattern.yaml"), manifest).unwrap();
        let gateway = prepared.start();
        double.script(Behaviour::text(format!("A tulip. {} Das ist geheim. {0}", "wort ".repeat(18))));
        let seen = stream(&gateway, ask("Tell me")).await;
        let last = seen.events.last().unwrap();
        assert_eq!(last["octroi"]["rule"], "secret", "{mode}: {seen:?}");
        let record = last_record(&gateway).await;
        let evaluations = record["policy_details"]["response_evaluations"].as_array().unwrap();
        let said = evaluations.iter().find(|it| it["policy"] == "house").unwrap();
        assert_eq!(said["findings"][0]["rule"], "seen", "{mode}: {record}");
    }
}

#[tokio::test]
async fn a_refusal_ends_each_choice_that_has_not_ended_and_no_other() {
    let says = |choice: u32, text: &str| (choice, json!({ "content": text }), Value::Null);
    let ends = |choice: u32| (choice, json!({}), json!("stop"));
    let events = vec![says(0, "Fine"), says(1, "Das ist geheim"), ends(0), says(1, " und bleibt es."), ends(1)];
    let setup = mistral_that_says(events).await;
    let gateway = with_pattern(setup, "no-secrets", "stream: { mode: transform }\n", "deny", "geheim");
    let mut body = ask("Which?");
    body["n"] = json!(3);
    let seen = stream(&gateway, body).await;
    let choices = seen.events.iter().filter_map(|event| event["choices"].as_array()).flatten();
    let mut ends: Vec<_> =
        choices.filter_map(|choice| Some((choice["index"].as_u64()?, choice["finish_reason"].as_str()?))).collect();
    ends.sort_unstable();
    assert_eq!(ends, [(0, "stop"), (1, "content_filter"), (2, "content_filter")], "{seen:?}");
}

#[tokio::test]
async fn what_a_refusal_is_about_may_still_become_something_else() {
    let says = |text: &str| (0, json!({ "content": text }), Value::Null);
    let prose = "So be it, and it is. ".repeat(16);
    let prose = prose.as_str();
    for (mode, expression, chunks, refused) in [
        ("transform", r"\bcat\b", vec![prose, "Every", " cat", "egory", " is", " fine."], false),
        ("observe", r"\bcat\b", vec![prose, "Every", " cat", "egory", " is", " fine."], false),
        ("transform", r"\bcat\b", vec![prose, "Every", " cat", " is", " fine."], true),
        ("observe", r"\bcat\b", vec![prose, "Every", " cat", " is", " fine."], true),
        ("transform", r"\bcat\b", vec![prose, "Every", " cat"], true),
        ("observe", r"\bcat\b", vec![prose, "Every", " cat"], true),
        ("transform", r"bye\z", vec![prose, "Say good", "bye", " to him"], false),
        ("transform", r"bye\z", vec![prose, "Say good", "bye"], true),
        ("transform", "^So be", vec!["I say: ", prose, prose, prose], false),
        ("transform", "^So be", vec![prose, prose, prose], true),
    ] {
        let ends = (0, json!({}), json!("stop"));
        let events = chunks.iter().flat_map(|it| it.split_inclusive(' ')).map(says).chain([ends]).collect();
        let manifest = format!("stream: {{ mode: {mode} }}\n");
        let gateway =
            with_pattern(mistral_that_says(events).await, "words", &manifest, "deny", &expression.replace('\\', r"\\"));
        let seen = stream(&gateway, ask("Tell me")).await;
        let expected = if refused { "content_filter" } else { "stop" };
        assert_eq!((seen.finish(), seen.done), (Some(expected), true), "{mode} {expression} {chunks:?}: {seen:?}");
        let said: String = chunks.concat();
        assert!(refused || seen.text() == said, "{mode} {expression}: {seen:?}");
        let is_out = seen.text().ends_with("cat") || seen.text().ends_with("bye");
        assert!(mode == "observe" || !is_out, "{mode} {expression}: {seen:?}");
        assert_eq!(last_record(&gateway).await["policy_decision"], if refused { "blocked" } else { "allowed" });
    }
}

#[tokio::test]
async fn a_refusal_that_waits_counts_where_the_stream_breaks_off() {
    let says = |text: &str| (0, json!({ "content": text }), Value::Null);
    for mode in ["transform", "observe"] {
        let manifest = format!("stream: {{ mode: {mode}, window: 8B }}\n");
        let events = ["So be it, and it is. ", "Every", " cat"].map(says).to_vec();
        let gateway = with_pattern(mistral_that_says(events).await, "words", &manifest, "deny", r"\\bcat\\b");
        let seen = stream(&gateway, ask("Tell me")).await;
        assert_eq!(seen.text().ends_with("cat"), mode == "observe", "{mode}: {seen:?}");
        let record = last_record(&gateway).await;
        assert_eq!(record["policy_decision"], "blocked", "{mode}: {record}");
    }
}

#[tokio::test]
async fn a_choice_ends_behind_all_that_it_says_however_a_policy_holds_it_back() {
    let double = MistralDouble::builder().start().await.unwrap();
    for mode in ["transform", "buffer"] {
        let manifest = format!("stream: {{ mode: {mode} }}\n");
        let gateway = with_pattern(Setup::with(&double), "codes", &manifest, "redact", "[0-9]{4}");
        let calls = vec![ToolCall::new("open", &json!({ "door": "4711" })), ToolCall::new("see", &json!({}))];
        double.script(Behaviour::tool_calls(calls).tool_call_form(ToolCallForm::Fragments));
        let tool = |name: &str| json!({ "type": "function", "function": { "name": name, "parameters": {} } });
        let mut body = ask("Open it");
        body["model"] = json!("mistral-small-latest");
        body["n"] = json!(2);
        body["tools"] = json!([tool("open"), tool("see")]);
        let seen = stream(&gateway, body).await;
        assert!(seen.done, "{mode}: {seen:?}");
        for index in 0..2 {
            let choices = seen.events.iter().filter_map(|event| event["choices"].as_array()).flatten();
            let said: Vec<_> = choices.filter(|choice| choice["index"] == index).collect();
            let has_role = |choice: &Value| choice["delta"]["role"] == "assistant";
            assert!(has_role(said[0]) && !said[1..].iter().any(|choice| has_role(choice)), "{mode}: {seen:?}");
            let end = said.iter().position(|choice| choice["finish_reason"] == "tool_calls");
            assert_eq!(end, Some(said.len() - 1), "{mode}: {seen:?}");
            let calls = said.iter().filter_map(|choice| choice["delta"]["tool_calls"].as_array()).flatten();
            let arguments: String = calls.filter_map(|call| call["function"]["arguments"].as_str()).collect();
            assert_eq!(arguments, "{\"door\":\"[GONE]\"}{}", "{mode}: {seen:?}");
        }
    }
}

/// Clients take a part for whole when the next one begins.
#[tokio::test]
async fn what_is_held_back_of_a_part_goes_out_before_the_next_one() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = with_pattern(Setup::with(&double), "codes", "stream: { mode: transform }\n", "redact", "[0-9]{4}");
    let long = "word ".repeat(80) + "4711";
    let tool = |name: &str| json!({ "type": "function", "function": { "name": name, "parameters": {} } });
    for (first, second) in [("4711", long.as_str()), (&long, "4711"), (&long, &long)] {
        let call = |name: &str, text: &str| ToolCall::new(name, &json!({ "text": text }));
        let calls = vec![call("open", first), call("see", second), ToolCall::new("look", &json!({}))];
        double.script(Behaviour::tool_calls(calls).tool_call_form(ToolCallForm::Fragments));
        let mut body = ask("Look");
        body["tools"] = json!([tool("open"), tool("see"), tool("look")]);
        let seen = stream(&gateway, body).await;
        let arguments = |text: &str| json!({ "text": text.replace("4711", "[GONE]") }).to_string();
        let expected = [("open", arguments(first)), ("see", arguments(second)), ("look", "{}".to_owned())]
            .map(|(name, it)| (name.to_owned(), it));
        assert_eq!(seen.calls(), expected);
        let choices = seen.events.iter().filter_map(|event| event["choices"].as_array()).flatten();
        let fragments: Vec<_> =
            choices.filter_map(|choice| choice["delta"]["tool_calls"].as_array()).flatten().collect();
        let order: Vec<_> = fragments.iter().map(|it| it["index"].as_u64().unwrap()).collect();
        assert!(order.is_sorted(), "{order:?}");
        // Mistral's clients read no fragment without a name.
        assert!(fragments.iter().all(|it| it["function"]["name"].is_string()), "{fragments:?}");
    }

    double.script(Behaviour::text("It is 42. ".repeat(20)).thinking("Six by seven, ".repeat(20)));
    let mut body = ask("What is it?");
    body["model"] = json!("magistral-small-latest");
    let seen = stream(&gateway, body).await;
    let at = |field: &'static str| {
        seen.events.iter().enumerate().filter_map(move |(at, event)| {
            event["choices"][0]["delta"][field].as_str().filter(|it| !it.is_empty()).map(|_| at)
        })
    };
    assert!(at("reasoning_content").max() <= at("content").min(), "{seen:?}");
    assert_eq!(seen.deltas("reasoning_content"), "Six by seven, ".repeat(20));
}

#[tokio::test]
async fn arguments_of_a_tool_are_json_still_when_a_number_is_masked() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&double).start();
    let card: u64 = 4_111_111_111_111_111;
    let arguments = |card: Value, text: &str| {
        json!({
            "Cards:": [1, card.clone(), card.clone()],
            "note": "word ".repeat(80),
            "numbers": format!("{}{text}, 5", "1234, ".repeat(80)),
            "of": { "card": card },
            "path": ["C:\\", card],
        })
    };
    double.script(
        Behaviour::tool_calls(vec![ToolCall::new("pay", &arguments(json!(card), &card.to_string()))])
            .tool_call_form(ToolCallForm::Fragments),
    );
    let mut body = ask("Pay");
    body["tools"] = json!([{ "type": "function", "function": { "name": "pay", "parameters": {} } }]);
    let seen = stream(&gateway, body).await;
    let masked: Value = serde_json::from_str(&seen.calls()[0].1).unwrap();
    assert_eq!(masked, arguments(json!("[CARD]"), "[CARD]"));
}

#[tokio::test]
async fn a_match_in_the_arguments_of_calls_that_come_in_turns_is_masked() {
    let call = |index: u32, id: Option<&str>, name: &str, arguments: &str| {
        let function = json!({ "name": name, "arguments": arguments });
        let call = json!({ "index": index, "id": id, "type": "function", "function": function });
        (0, json!({ "tool_calls": [call] }), Value::Null)
    };
    let begins = |index, id, name| call(index, Some(id), name, "{\"door\":\"47");
    let goes_on = |index| call(index, None, "", "11\"}");
    let (open, see) = (begins(0, "callnumb1", "open"), begins(1, "callnumb2", "see"));
    let setup = mistral_that_says(vec![open, see, goes_on(0), goes_on(1), (0, json!({}), json!("tool_calls"))]).await;
    let gateway = with_pattern(setup, "codes", "stream: { mode: transform }\n", "redact", "[0-9]{4}");
    let seen = stream(&gateway, ask("Look")).await;
    assert_eq!(seen.calls(), ["open", "see"].map(|name| (name.to_owned(), "{\"door\":\"[GONE]\"}".to_owned())));
}

/// Between the two halves of the number the model says more of another call than a window has.
#[tokio::test]
async fn half_a_number_in_the_arguments_of_a_call_waits_while_another_is_written() {
    let call = |index: u32, id: Option<&str>, name: &str, arguments: &str| {
        let function = json!({ "name": name, "arguments": arguments });
        let call = json!({ "index": index, "id": id, "type": "function", "function": function });
        (0, json!({ "tool_calls": [call] }), Value::Null)
    };
    let note = json!({ "note": "word ".repeat(200) }).to_string();
    let events = vec![
        call(0, Some("callnumb1"), "pay", "{\"card\":41111111111"),
        call(1, Some("callnumb2"), "see", &note[..600]),
        call(0, None, "", "11111"),
        call(1, None, "", &note[600..]),
        call(0, None, "", "}"),
        (0, json!({}), json!("tool_calls")),
    ];
    let manifest = "stream: { mode: transform }\n";
    let gateway = with_pattern(mistral_that_says(events).await, "cards", manifest, "redact", "[0-9]{16}");
    let seen = stream(&gateway, ask("Pay")).await;
    let expected = [("pay", r#"{"card":"[GONE]"}"#), ("see", &note)];
    assert_eq!(seen.calls(), expected.map(|(name, arguments)| (name.to_owned(), arguments.to_owned())));
}

/// The one before holds the end of a part longer than the one behind it, which has seen half of the number by then.
#[tokio::test]
async fn a_number_is_masked_wherever_a_policy_with_a_larger_window_stands_before() {
    let card = "4111 1111 1111 1111";
    let says = |field: &str, text: &str| (0, json!({ field: text }), Value::Null);
    let calls = |index: u32, arguments: &str| {
        let function = json!({ "name": "pay", "arguments": arguments });
        let id = format!("call_{index}");
        (
            0,
            json!({ "tool_calls": [{ "index": index, "id": id, "type": "function", "function": function }] }),
            Value::Null,
        )
    };
    let ends = (0, json!({}), json!("stop"));
    let thinks = |text: &str| {
        let thought = json!([{ "type": "thinking", "thinking": [{ "type": "text", "text": text }] }]);
        (0, json!({ "content": thought }), Value::Null)
    };
    let next = "word ".repeat(100);
    for behind in (1_009..1_024).step_by(7) {
        let text = format!("{}{card}{}", "word ".repeat(60), " and".repeat(260).split_off(1_040 - behind));
        let arguments = |of: &str| json!({ "text": of }).to_string();
        // Of the arguments, `"}` stands behind it too.
        let first = text[..text.len() - 2].to_owned();
        let masked = |of: &str| of.replace(card, "[GONE]");
        for (part, events) in [
            ("calls", vec![calls(0, &arguments(&first)), calls(1, &arguments(&next)), calls(2, &arguments(&next))]),
            ("text", vec![says("content", &text), calls(0, &arguments(&next))]),
            ("reasoning", vec![thinks(&text), says("content", &next)]),
            (
                "text taken up again",
                vec![says("content", "So: "), thinks("Well."), says("content", &text), thinks(&next)],
            ),
            (
                "reasoning taken up again",
                vec![thinks("So: "), says("content", "Well."), thinks(&text), says("content", &next)],
            ),
        ] {
            let events = events.into_iter().chain([ends.clone()]).collect();
            let policies = [
                ("first", "order: 1\nstream: { mode: transform, window: 1KiB }\n", "redact", "zebra"),
                ("second", "order: 2\nstream: { mode: transform, window: 128B }\n", "redact", "[0-9]{4}( [0-9]{4}){3}"),
            ];
            let seen = stream(&with_patterns(mistral_that_says(events).await, &policies), ask("Pay")).await;
            let said = match part {
                "calls" => seen.calls()[0].1.clone(),
                "text" | "text taken up again" => seen.text(),
                _ => seen.deltas("reasoning_content"),
            };
            let expected = match part {
                "calls" => arguments(&masked(&first)),
                "text" | "reasoning" => masked(&text),
                _ => format!("So: {}", masked(&text)),
            };
            assert_eq!(said, expected, "{part}, {behind} bytes behind the number");
            assert!(seen.done, "{part}: {seen:?}");
        }
    }
}

#[tokio::test]
async fn the_end_of_a_thought_that_was_taken_up_again_does_not_wait_for_the_end_of_the_text() {
    let says = |text: &str| (0, json!({ "content": text }), Value::Null);
    let thinks = |text: &str| {
        let thought = json!([{ "type": "thinking", "thinking": [{ "type": "text", "text": text }] }]);
        (0, json!({ "content": thought }), Value::Null)
    };
    let mut events = vec![thinks("Six by seven"), says("Well, "), thinks(", which is known,"), says("then: ")];
    events.extend((0..40).map(|_| says("it is 42, ")));
    events.push((0, json!({}), json!("stop")));
    let setup = mistral_that_says(events).await;
    let gateway = with_pattern(setup, "codes", "stream: { mode: transform, window: 64B }\n", "redact", "[0-9]{4}");
    let seen = stream(&gateway, ask("What is it?")).await;
    assert_eq!(seen.deltas("reasoning_content"), "Six by seven, which is known,", "{seen:?}");
    let has =
        |event: &Value, field: &str| event["choices"][0]["delta"][field].as_str().is_some_and(|text| !text.is_empty());
    let thought = seen.events.iter().rposition(|event| has(event, "reasoning_content")).unwrap();
    let behind = seen.events[thought + 1..].iter().filter(|event| has(event, "content")).count();
    assert!(behind > 10, "{behind} chunks of text came behind it: {seen:?}");
}

#[tokio::test]
async fn calls_that_come_whole_in_one_event_go_out_one_after_the_other() {
    let arguments = json!({ "text": "word ".repeat(80) + "4711" }).to_string();
    let call = |index: u32, name: &str| {
        json!({ "index": index, "id": format!("call_{index}"), "type": "function",
            "function": { "name": name, "arguments": arguments } })
    };
    let said = json!({ "role": "assistant", "content": "Now 4711.", "tool_calls": [call(0, "open"), call(1, "see")] });
    let setup = mistral_that_says(vec![(0, said, Value::Null), (0, json!({}), json!("tool_calls"))]).await;
    let gateway = with_pattern(setup, "codes", "stream: { mode: transform }\n", "redact", "[0-9]{4}");
    let seen = stream(&gateway, ask("Look")).await;
    let masked = arguments.replace("4711", "[GONE]");
    let expected = ["open", "see"].map(|name| (name.to_owned(), masked.clone()));
    assert_eq!((seen.text().as_str(), seen.calls().as_slice()), ("Now [GONE].", expected.as_slice()));
    let calls = seen.events.iter().filter_map(|event| event["choices"][0]["delta"]["tool_calls"].as_array()).flatten();
    let order: Vec<_> = calls.map(|call| (call["index"].as_u64(), call["function"]["arguments"] == "")).collect();
    assert!(order.is_sorted() && order.iter().all(|(_, is_bare)| !is_bare), "{order:?}");
    assert_eq!(parts(&last_record(&gateway).await, "codes"), [0, 1, 2]);
}

#[tokio::test]
async fn an_answer_has_more_choices_than_asked_for_only_if_they_begin_before_it_is_whole() {
    let says = |choice: u32, text: &str| (choice, json!({ "content": text }), Value::Null);
    let ends = |choice: u32| (choice, json!({}), json!("stop"));
    for mode in ["transform", "buffer"] {
        let manifest = format!("stream: {{ mode: {mode} }}\n");
        let beside = vec![says(0, "It is 4711"), says(1, "It is 4"), ends(0), says(1, "712"), ends(1)];
        let gateway = with_pattern(mistral_that_says(beside).await, "codes", &manifest, "redact", "[0-9]{4}");
        let seen = stream(&gateway, ask("Which?")).await;
        assert_eq!((seen.text().as_str(), seen.done), ("It is [GONE]It is [GONE]", true), "{mode}: {seen:?}");

        let behind = vec![says(0, "It is 4711"), ends(0), says(1, "It is 4712"), ends(1)];
        let gateway = with_pattern(mistral_that_says(behind).await, "codes", &manifest, "redact", "[0-9]{4}");
        let seen = stream(&gateway, ask("Which?")).await;
        assert_eq!((seen.text().as_str(), seen.whole), ("It is [GONE]", false), "{mode}: {seen:?}");
        assert_eq!(seen.events.last().unwrap()["error"]["code"], "upstream_failed", "{mode}: {seen:?}");
    }
}

#[tokio::test]
async fn what_an_answer_used_is_on_record_though_a_policy_refused_it_at_its_end() {
    let double = OpenAiDouble::start().await.unwrap();
    let setup = Setup::without_provider().env("OPENAI_API_KEY", openai_double::KEY);
    let setup = setup.env("OPENAI_ENDPOINT", &double.origin());
    let gateway = with_pattern(setup, "no-secrets", "stream: { mode: buffer }\n", "deny", "geheim");
    double.script(openai_double::Behaviour::text("Das ist geheim."));
    let body = json!({ "model": "gpt-4o-mini", "messages": ask("Was?")["messages"] });
    let seen = stream(&gateway, body).await;
    assert_eq!((seen.finish(), seen.done), (Some("content_filter"), true), "{seen:?}");
    let record = last_record(&gateway).await;
    assert_eq!((&record["policy_decision"], &record["policy_details"]["estimated"]), (&json!("blocked"), &Value::Null));
    assert!(record["completion_tokens"].as_u64().unwrap() > 0 && record["cost"].as_f64().unwrap() > 0.0, "{record}");
}

#[tokio::test]
async fn reasoning_waits_for_its_verdict_where_a_vendor_gives_fewer_choices_than_asked_for() {
    let double = AnthropicDouble::start().await.unwrap();
    let setup = || {
        Setup::without_provider()
            .env("ANTHROPIC_API_KEY", anthropic_double::KEY)
            .env("ANTHROPIC_ENDPOINT", &double.origin())
    };
    let thought = json!({ "type": "thinking", "thinking": "Es ist geheim", "signature": anthropic_double::SIGNATURE });
    let mut body = ask("What is it?");
    body["model"] = json!("claude-sonnet-4-6");
    body["reasoning_effort"] = json!("low");
    body["n"] = json!(2);
    for (expression, finish) in [("geheim", "content_filter"), ("offen", "stop")] {
        let gateway = with_pattern(setup(), "no-secrets", "stream: { mode: buffer }\n", "deny", expression);
        double.script(anthropic_double::Behaviour::Content(json!([thought, { "type": "text", "text": "Ja." }])));
        let seen = stream(&gateway, body.clone()).await;
        assert_eq!((seen.done, seen.finish()), (true, Some(finish)), "{seen:?}");
        let passes = finish == "stop";
        let told = json!(seen.events).to_string();
        assert_eq!(told.contains("geheim"), passes, "{told}");
        assert_eq!(told.contains(anthropic_double::SIGNATURE), passes, "{told}");
        let released = if passes { "Es ist geheimJa.".len() } else { 0 };
        let record = last_record(&gateway).await;
        assert_eq!(record["policy_details"]["streamed"]["released"], released, "{record}");
    }
}

#[tokio::test]
async fn a_policy_that_holds_nothing_back_changes_nothing_and_is_recorded() {
    let double = MistralDouble::builder().start().await.unwrap();
    for (manifest, enforced) in [("mode: shadow\n", false), ("stream: { mode: observe }\n", true)] {
        let gateway = with_pattern(Setup::with(&double), "watcher", manifest, "redact", "[0-9]{4,}");
        // A match that grows is one.
        let text = format!("The code is {}, not 4712.", "4711".repeat(10));
        double.script(Behaviour::text(&text));
        let seen = stream(&gateway, ask("Which?")).await;
        assert_eq!(seen.text(), text);
        let record = last_record(&gateway).await;
        assert_eq!(record["policy_decision"], "allowed", "{record}");
        let evaluations = record["policy_details"]["response_evaluations"].as_array().unwrap();
        let watcher = evaluations.iter().find(|it| it["policy"] == "watcher").unwrap();
        assert_eq!((&watcher["action"], &watcher["enforced"]), (&json!("redact"), &json!(enforced)), "{watcher}");
        assert_eq!(parts(&record, "watcher"), [0, 0], "{watcher}");
        assert_eq!(watcher["stream"], "observe", "{watcher}");
    }
}

#[tokio::test]
async fn a_policy_for_a_model_judges_it_by_the_callers_name_and_by_the_providers() {
    let double = MistralDouble::builder().start().await.unwrap();
    let map = "config: { model_map: { small: mistral-small-latest },";
    for named in ["small", "mistral-small-latest"] {
        let mut setup = Setup::with(&double);
        setup.double = setup.double.map(|provider| provider.replace("config: {", map));
        let manifest = format!("match: {{ models: [{named}] }}\n");
        let gateway = with_pattern(setup, "codes", &manifest, "redact", "[0-9]{4}");
        for (model, expected) in [("small", "The code is [GONE]."), ("ministral-8b-latest", "The code is 4711.")] {
            let mut body = ask("Which?");
            body["model"] = json!(model);
            double.script(Behaviour::text("The code is 4711."));
            let seen = stream(&gateway, body.clone()).await;
            assert_eq!(seen.text(), expected, "{named}: {model} streams");
            let record = last_record(&gateway).await;
            for evaluations in ["evaluations", "response_evaluations"] {
                let evaluations = record["policy_details"][evaluations].to_string();
                assert_eq!(evaluations.contains("\"codes\""), model == "small", "{named}: {record}");
            }
            double.script(Behaviour::text("The code is 4711."));
            let whole = gateway.post("/v1/chat/completions", body).await;
            assert_eq!(whole.body["choices"][0]["message"]["content"], expected, "{named}: {model} whole");
        }
    }
}

#[tokio::test]
async fn streams_beyond_their_places_are_told_to_come_again() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&double).policies_further(", max_streams: 1").start();
    double.script(Behaviour::text("word ".repeat(5_000)).between_chunks(Duration::from_millis(20)));
    let mut body = ask("Hello");
    body["stream"] = json!(true);
    let send = || gateway.client.post(gateway.url("/v1/chat/completions")).json(&body).send();
    let mut first = send().await.unwrap();
    assert_eq!(first.status(), 200);
    first.chunk().await.unwrap().unwrap();
    let second = send().await.unwrap();
    assert_eq!((second.status().as_u16(), second.headers().contains_key("retry-after")), (503, true));
    let told = second.text().await.unwrap();
    assert!(told.contains("overloaded") && told.contains("policies.max_streams"), "{told}");
    assert_eq!(double.stats().streams, 1, "the upstream was not asked");
    let record = last_record(&gateway).await;
    let said =
        record["policy_details"]["evaluations"].as_array().unwrap().iter().map(|it| it["policy"].as_str().unwrap());
    assert_eq!(said.collect::<Vec<_>>(), ["sql-injection", "pii", "audit-redact"], "{record}");
    assert_eq!((&record["policy_decision"], &record["query"]), (&json!("error"), &json!("Hello")), "{record}");
    drop(first);
    double.wait_until(|stats| stats.cancelled_streams == 1).await.unwrap();
    eventually("there is room again", async || send().await.unwrap().status() == 200).await;
}

#[tokio::test]
async fn policies_for_which_no_stream_ever_has_places_are_told_of() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = |places: usize, scope: &str| {
        let setup = Setup::with(&double).policies_further(&format!(", max_streams: {places}"));
        // What only watches takes no place from those that count.
        let watching = [("zero", "order: -1\nmode: shadow\n"), ("none", "rollout: 0\n")];
        let policies = watching.into_iter().chain([("one", ""), ("two", scope)]);
        let policies: Vec<_> = policies.map(|(name, manifest)| (name, manifest, "deny", "geheim")).collect();
        with_patterns(setup, &policies)
    };
    double.script(Behaviour::text("Ja."));
    let too_few = gateway(1, "");
    let seen = too_few.post("/v1/chat/completions", json!({ "messages": ask("?")["messages"], "stream": true })).await;
    let told = seen.body.to_string();
    assert_eq!(seen.status, 503, "{told}");
    assert!(told.contains("`policies.max_streams` must be at least 2") && !told.contains("again"), "{told}");
    let warned = |gateway: &Value| gateway["policies"]["warnings"].to_string().contains("must be at least 2");
    assert!(warned(&too_few.get("/health").await.body));
    let logged = |line: &Value| line["fields"]["message"].as_str().is_some_and(|it| it.contains("must be at least 2"));
    assert_eq!(too_few.log.all(logged).len(), 1);

    let enough = gateway(2, "");
    assert!(!warned(&enough.get("/health").await.body) && enough.log.all(logged).is_empty());
    assert_eq!(stream(&enough, ask("?")).await.text(), "Ja.");

    // Whether they ever judge one stream nobody knows: nothing is said of other streams.
    let apart = gateway(1, "match: { clients: [nobody] }\n");
    let warnings = apart.get("/health").await.body["policies"]["warnings"].to_string();
    assert!(warnings.contains("a stream that 2 response policies in `enforce` judge is refused"), "{warnings}");
    double.script(Behaviour::text("Doch."));
    assert_eq!(stream(&apart, ask("?")).await.text(), "Doch.");
}

#[tokio::test]
async fn a_policy_that_only_watches_keeps_no_stream_out() {
    let double = MistralDouble::builder().start().await.unwrap();
    let setup = Setup::with(&double).policies_further(", max_streams: 1");
    let gateway = with_pattern(setup, "watching", "mode: shadow\n", "deny", "geheim");
    double.script(Behaviour::text("word ".repeat(5_000)).between_chunks(Duration::from_millis(20)));
    let mut body = ask("Hello");
    body["stream"] = json!(true);
    let request = gateway.client.post(gateway.url("/v1/chat/completions")).json(&body);
    let mut first = request.send().await.unwrap();
    first.chunk().await.unwrap().unwrap();
    double.script(Behaviour::text("Es ist geheim"));
    let seen = stream(&gateway, ask("Hello")).await;
    assert_eq!((seen.status, seen.text().as_str(), seen.done), (200, "Es ist geheim", true), "{seen:?}");
    let record = last_record(&gateway).await;
    let evaluations = record["policy_details"]["response_evaluations"].as_array().unwrap();
    let unasked = evaluations.iter().find(|it| it["policy"] == "watching").unwrap();
    assert_eq!((&unasked["error"]["code"], &unasked["enforced"]), (&json!("overloaded"), &json!(false)), "{record}");
}
