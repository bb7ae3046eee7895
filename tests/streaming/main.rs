//! Answers that stream, through sockets: from the double through the policies to a client that reads bytes.

#![expect(clippy::unwrap_used, reason = "tests fail by panics")]

#[path = "../support/mod.rs"]
mod support;

mod failing;
mod socket;

use std::time::Duration;

use anthropic_double::AnthropicDouble;
use mistral_double::{Behaviour, EventForm, Failure, MistralDouble, Rule, StreamFault, ToolCall, ToolCallForm, Writes};
use openai_double::OpenAiDouble;
use serde_json::{Value, json};
use support::{Gateway, PATIENCE, Setup, eventually};

/// What a client saw of a stream.
#[derive(Debug)]
struct Seen {
    status: u16,
    headers: reqwest::header::HeaderMap,
    /// The events' data, but for the end's.
    events: Vec<Value>,
    done: bool,
    /// Whether the body ended as a body ends.
    whole: bool,
}

impl Seen {
    fn text(&self) -> String {
        self.deltas("content")
    }

    fn deltas(&self, field: &str) -> String {
        let choices = self.events.iter().filter_map(|event| event["choices"].as_array()).flatten();
        choices.filter_map(|choice| choice["delta"][field].as_str()).collect()
    }

    fn finish(&self) -> Option<&str> {
        self.events.iter().rev().find_map(|event| event["choices"][0]["finish_reason"].as_str())
    }

    /// Name and arguments of each call, put together as clients do.
    fn calls(&self) -> Vec<(String, String)> {
        let mut calls: Vec<(String, String)> = Vec::new();
        for event in &self.events {
            for call in event["choices"][0]["delta"]["tool_calls"].as_array().into_iter().flatten() {
                let index = usize::try_from(call["index"].as_u64().unwrap()).unwrap();
                calls.resize(calls.len().max(index + 1), Default::default());
                let text = |field: &str| call["function"][field].as_str().unwrap_or_default();
                calls[index].0.push_str(text("name"));
                calls[index].1.push_str(text("arguments"));
            }
        }
        calls
    }
}

async fn stream(gateway: &Gateway, mut body: Value) -> Seen {
    body["stream"] = json!(true);
    let request = gateway.client.post(gateway.url("/v1/chat/completions")).json(&body);
    let mut response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let mut bytes = Vec::new();
    let whole = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => break true,
            Err(_) => break false,
        }
    };
    let text = String::from_utf8(bytes).unwrap();
    let data = |event: &str| event.strip_prefix("data: ").map(str::to_owned);
    let mut events: Vec<_> = text.split("\n\n").filter_map(data).collect();
    let done = events.last().is_some_and(|last| last == "[DONE]");
    if done {
        events.pop();
    }
    let events = events.iter().map(|event| serde_json::from_str(event).unwrap()).collect();
    Seen { status, headers, events, done, whole }
}

fn ask(text: &str) -> Value {
    json!({ "messages": [{ "role": "user", "content": text }] })
}

async fn last_record(gateway: &Gateway) -> Value {
    gateway.search_as("community", json!({ "limit": 1 })).await[0].clone()
}

/// A gateway whose only policy on answers is one of patterns, with these further keys of its manifest.
fn with_pattern(setup: Setup, name: &str, manifest: &str, action: &str, expression: &str) -> Gateway {
    let gateway = setup.policies(&["audit-redact", "pattern"]).prepare();
    std::fs::remove_file(gateway.policies().join("pattern.yaml")).unwrap();
    let yaml = format!(
        "name: {name}\nmodule: pattern.wasm\n{manifest}settings:\n  patterns:\n    - {{ name: found, pattern: \"{expression}\", \
         category: test, action: {action}, replacement: \"[GONE]\", phases: [response] }}\n"
    );
    std::fs::write(gateway.policies().join(format!("{name}.yaml")), yaml).unwrap();
    gateway.start()
}

#[tokio::test]
async fn a_stream_goes_out_as_it_came_in_and_is_recorded() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&double).policies(&["audit-redact"]).start();
    double.script(Behaviour::text("Guten Tag, wie geht es Ihnen?"));
    let seen = stream(&gateway, ask("Hello")).await;
    assert_eq!((seen.status, seen.done, seen.whole), (200, true, true), "{seen:?}");
    assert_eq!(seen.headers["content-type"], "text/event-stream");
    assert_eq!(seen.headers["x-accel-buffering"], "no");
    assert_eq!(seen.headers["x-octroi-provider"], "mistral");
    assert!(!seen.headers.contains_key("x-octroi-cost-usd"));
    assert_eq!(seen.headers["x-octroi-upstream-id"].len(), 36, "the vendor's, a UUID");
    assert_eq!((seen.text().as_str(), seen.finish()), ("Guten Tag, wie geht es Ihnen?", Some("stop")));
    // The usage stands in the last chunk, as Mistral has it; its padding is gone.
    let last = seen.events.last().unwrap();
    assert!(last["usage"]["total_tokens"].as_u64().unwrap() > 0 && last["choices"][0]["finish_reason"] == "stop");
    assert!(seen.events.iter().all(|event| event.get("p").is_none()));
    assert_eq!(double.last_request().unwrap().json()["stream"], true);

    let record = last_record(&gateway).await;
    assert_eq!(record["request_id"].as_str(), seen.headers["x-octroi-request-id"].to_str().ok());
    let details = &record["policy_details"];
    assert_eq!(details["streamed"], json!({ "received": 29, "released": 29 }), "{record}");
    assert_eq!(record["policy_decision"], "allowed", "{record}");
    let tokens = record["tokens_used"].as_u64();
    assert_eq!(tokens, last["usage"]["total_tokens"].as_u64(), "{record}");
}

#[tokio::test]
async fn usage_has_a_chunk_of_its_own_for_whoever_asks() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&double).policies(&["audit-redact"]).start();
    let mut body = ask("Hello");
    body["stream_options"] = json!({ "include_usage": true });
    let seen = stream(&gateway, body).await;
    let [.., finish, usage] = seen.events.as_slice() else { panic!("{seen:?}") };
    assert!(finish["choices"][0]["finish_reason"] == "stop" && finish.get("usage").is_none(), "{finish}");
    assert_eq!(usage["choices"], json!([]));
    assert!(usage["usage"]["completion_tokens"].as_u64().unwrap() > 0, "{usage}");
    assert!(usage["octroi"]["cost_usd"].as_f64().unwrap() > 0.0, "{usage}");
    assert!(seen.done);
}

/// A server that counts along, and its tokens once more behind the end.
async fn counting_upstream() -> String {
    let chunk = |choices: Value, completion_tokens: u64| {
        let usage = json!({ "prompt_tokens": 3, "completion_tokens": completion_tokens });
        format!("data: {}\n\n", json!({ "id": "c", "model": "m", "choices": choices, "usage": usage }))
    };
    let said =
        chunk(json!([{ "index": 0, "delta": { "role": "assistant", "content": "Hi" }, "finish_reason": null }]), 1);
    let end = chunk(json!([{ "index": 0, "delta": {}, "finish_reason": "stop" }]), 1);
    let events = format!("{said}{}{end}{}data: [DONE]\n\n", chunk(json!([]), 1), chunk(json!([]), 2));
    let (address, _) = socket::upstream(std::iter::once(events.into())).await;
    format!("http://{address}")
}

#[tokio::test]
async fn tokens_are_told_once_and_never_in_a_chunk_that_nobody_asked_for() {
    let house = format!(
        "llm_providers:\n  house:\n    type: openai-compatible\n    config: {{ endpoint: \"{}\", model: m }}\n",
        counting_upstream().await
    );
    let gateway = Setup::without_provider().yaml(&house).start();
    let seen = stream(&gateway, ask("Hello")).await;
    assert!(seen.done && seen.events.iter().all(|event| event["choices"][0].is_object()), "{seen:?}");
    let last = seen.events.last().unwrap();
    assert_eq!((seen.finish(), &last["usage"]["completion_tokens"]), (Some("stop"), &json!(2)), "{seen:?}");
    assert_eq!(last_record(&gateway).await["tokens_used"], 5);

    let mut body = ask("Hello");
    body["stream_options"] = json!({ "include_usage": true });
    let seen = stream(&gateway, body).await;
    let bare: Vec<_> = seen.events.iter().filter(|event| event["choices"] == json!([])).collect();
    assert_eq!((bare.len(), &bare[0]["usage"]["completion_tokens"]), (1, &json!(2)), "{seen:?}");
}

#[tokio::test]
async fn however_the_upstream_writes_the_client_reads_the_same() {
    let double = MistralDouble::builder().start().await.unwrap();
    for policies in [["audit-redact"].as_slice(), &["audit-redact", "pii"]] {
        let gateway = Setup::with(&double).policies(policies).start();
        for writes in [Writes::PerEvent, Writes::SplitCharacters, Writes::Bytes(1), Writes::Bytes(7), Writes::AllAtOnce]
        {
            for events in
                [EventForm::Plain, EventForm::CarriageReturnLineFeed, EventForm::CarriageReturn, EventForm::Talkative]
            {
                double.script(Behaviour::text("Grüße 😀 an alle").thinking("Hm").writes(writes).events(events));
                let seen = stream(&gateway, ask("Hello")).await;
                assert!(seen.done && seen.finish() == Some("stop"), "{writes:?} {events:?} {seen:?}");
                assert_eq!(seen.text(), "Grüße 😀 an alle", "{writes:?} {events:?}");
            }
        }
        let forms = [ToolCallForm::Whole, ToolCallForm::Bare, ToolCallForm::Fragments, ToolCallForm::FragmentsNullId];
        for form in forms {
            let calls = vec![ToolCall::new("look", &json!({ "at": "door" })), ToolCall::new("see", &json!({}))];
            double.script(Behaviour::tool_calls(calls).tool_call_form(form));
            let tool = |name: &str| json!({ "type": "function", "function": { "name": name, "parameters": {} } });
            let mut body = ask("Look");
            body["tools"] = json!([tool("look"), tool("see")]);
            let seen = stream(&gateway, body).await;
            let expected = [("look", "{\"at\":\"door\"}"), ("see", "{}")];
            let expected = expected.map(|(name, arguments)| (name.to_owned(), arguments.to_owned()));
            assert_eq!((seen.calls().as_slice(), seen.finish()), (expected.as_slice(), Some("tool_calls")), "{form:?}");
        }
    }
}

#[tokio::test]
async fn reasoning_reaches_the_client_beside_the_text() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&double).start();
    double.script(Behaviour::text("42").thinking("Six by seven"));
    let mut body = ask("What is it?");
    body["model"] = json!("magistral-small-latest");
    let seen = stream(&gateway, body).await;
    assert_eq!((seen.deltas("reasoning_content").as_str(), seen.text().as_str()), ("Six by seven", "42"), "{seen:?}");
}

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
async fn an_upstream_that_breaks_off_breaks_the_clients_connection() {
    let double = MistralDouble::builder().start().await.unwrap();
    let patient = "routing: { breaker: { failures: 100 } }\n";
    let gateway = Setup::with(&double).policies(&["audit-redact"]).yaml(patient).start();
    let mut estimated = 0;
    for fault in [
        StreamFault::FlatError,
        StreamFault::WrappedError,
        StreamFault::FinishError,
        StreamFault::Cut,
        StreamFault::NoDone,
        StreamFault::NoFinish,
        StreamFault::BadJson,
    ] {
        double.script(Behaviour::break_stream(2, fault));
        let seen = stream(&gateway, ask("Hello")).await;
        assert_eq!((seen.status, seen.done, seen.whole), (200, false, false), "{fault:?} {seen:?}");
        let error = seen.events.last().unwrap();
        assert!(error["error"]["message"].is_string() && error.get("object").is_none(), "{fault:?} {error}");
        let record = last_record(&gateway).await;
        assert_eq!(record["policy_decision"], "error", "{fault:?} {record}");
        assert!(record["error_message"].is_string(), "{fault:?} {record}");
        if record["policy_details"]["estimated"] == true {
            estimated += 1;
            assert!(
                record["completion_tokens"].as_u64().unwrap() >= 1 && record["cost"].as_f64().unwrap() > 0.0,
                "{record}"
            );
        }
    }
    assert!(estimated >= 3, "what broke off before its usage came is estimated; {estimated} were");
}

#[tokio::test]
async fn a_policy_that_was_not_asked_has_allowed_nothing() {
    let double = MistralDouble::builder().start().await.unwrap();
    for mode in ["transform", "buffer"] {
        let manifest = format!("stream: {{ mode: {mode} }}\n");
        let gateway = with_pattern(Setup::with(&double), "no-secrets", &manifest, "deny", "geheim");
        double.script(Behaviour::break_stream(2, StreamFault::Cut));
        let seen = stream(&gateway, ask("Hello")).await;
        assert_eq!((seen.text().as_str(), seen.whole), ("", false), "{mode}: {seen:?}");
        let record = last_record(&gateway).await;
        let evaluations = record["policy_details"]["response_evaluations"].as_array().unwrap();
        let unasked = evaluations.iter().find(|it| it["policy"] == "no-secrets").unwrap();
        assert_eq!(unasked["skipped"], true, "{mode}: {record}");
        let counts = &gateway.policy("no-secrets").await["evaluations"]["enforced"];
        let expected = json!({ "actions": { "allow": 1 }, "errors": {}, "skipped": 1 });
        assert_eq!(counts, &expected, "{mode}: the request was judged, its answer was not");
    }
}

#[tokio::test]
async fn an_upstream_whose_streams_all_break_is_left_in_peace() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&double).policies(&["audit-redact"]).start();
    double.script(Rule::always(Behaviour::break_stream(2, StreamFault::Cut)));
    for _ in 0..5 {
        let seen = stream(&gateway, ask("Hello")).await;
        assert_eq!((seen.status, seen.whole), (200, false), "{seen:?}");
    }
    let answer = gateway.ask("Hello").await;
    assert_eq!(answer.body["metadata"]["error_code"], "breaker_open", "{answer:?}");
}

#[tokio::test]
async fn what_fails_before_the_first_event_is_tried_again_and_is_no_stream() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&double).policies(&["audit-redact"]).start();
    double.script(Behaviour::fail(Failure::unavailable()));
    double.script(Behaviour::break_stream(0, StreamFault::WrappedError));
    double.script(Behaviour::text("At last"));
    let seen = stream(&gateway, ask("Hello")).await;
    assert_eq!(
        (seen.text().as_str(), &seen.headers["x-octroi-attempts"]),
        ("At last", &"3".parse().unwrap()),
        "{seen:?}"
    );

    let pii = Setup::with(&double).start();
    let seen = stream(&pii, ask("Charge 4111 1111 1111 1111")).await;
    assert_eq!((seen.status, seen.done), (400, false), "{seen:?}");
}

#[tokio::test]
async fn a_client_that_goes_away_ends_the_upstream_call() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&double).policies(&["audit-redact"]).start();
    double.script(Behaviour::text("word ".repeat(2_000)).between_chunks(Duration::from_secs(60)));
    let mut body = ask("Hello");
    body["stream"] = json!(true);
    let mut response = gateway.client.post(gateway.url("/v1/chat/completions")).json(&body).send().await.unwrap();
    response.chunk().await.unwrap().unwrap();
    drop(response);
    // Long before anything else would end it.
    let cancelled = double.wait_until(|stats| stats.cancelled_streams == 1);
    tokio::time::timeout(PATIENCE / 2, cancelled).await.unwrap().unwrap();
    // Not the provider's time-out: the record says why.
    eventually("the record says that the client is gone", async || {
        last_record(&gateway).await["policy_details"]["client_gone"] == true
    })
    .await;
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
        let gateway = with_pattern(Setup::with(&double), "watcher", manifest, "redact", "[0-9]{4}");
        double.script(Behaviour::text("The code is 4711, not 4712."));
        let seen = stream(&gateway, ask("Which?")).await;
        assert_eq!(seen.text(), "The code is 4711, not 4712.");
        let record = last_record(&gateway).await;
        assert_eq!(record["policy_decision"], "allowed", "{record}");
        let evaluations = record["policy_details"]["response_evaluations"].as_array().unwrap();
        let watcher = evaluations.iter().find(|it| it["policy"] == "watcher").unwrap();
        assert_eq!((&watcher["action"], &watcher["enforced"]), (&json!("redact"), &json!(enforced)), "{watcher}");
        assert_eq!(watcher["findings"].as_array().unwrap().len(), 2, "{watcher}");
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
    double.script(Behaviour::text("word ".repeat(500)).between_chunks(Duration::from_millis(20)));
    let mut body = ask("Hello");
    body["stream"] = json!(true);
    let send = || gateway.client.post(gateway.url("/v1/chat/completions")).json(&body).send();
    let mut first = send().await.unwrap();
    assert_eq!(first.status(), 200);
    first.chunk().await.unwrap().unwrap();
    let second = send().await.unwrap();
    assert_eq!((second.status().as_u16(), second.headers().contains_key("retry-after")), (503, true));
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
async fn a_policy_that_only_watches_keeps_no_stream_out() {
    let double = MistralDouble::builder().start().await.unwrap();
    let setup = Setup::with(&double).policies_further(", max_streams: 1");
    let gateway = with_pattern(setup, "watching", "mode: shadow\n", "deny", "geheim");
    double.script(Behaviour::text("word ".repeat(500)).between_chunks(Duration::from_millis(20)));
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

#[tokio::test]
async fn proxy_mode_streams_pieces_and_ends_with_the_usual_body() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&double).start();
    let asked = json!({ "query": "To whom?", "user_token": "u", "client_id": "c", "request_type": "chat" });
    for place in ["/context", ""] {
        double.script(Behaviour::text("Write to jane@example.org, please."));
        let mut body = asked.clone();
        body["context"] = json!({});
        body.pointer_mut(place).unwrap()["stream"] = json!(true);
        let request = gateway.client.post(gateway.url("/api/request")).json(&body);
        let response = request.send().await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["content-type"]),
            (200, &"text/event-stream".parse().unwrap())
        );
        let text = response.text().await.unwrap();
        let events: Vec<_> = text.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).collect();
        let [pieces @ .., last, "[DONE]"] = events.as_slice() else { panic!("{text}") };
        let piece = |event: &&str| serde_json::from_str::<Value>(event).unwrap()["delta"].as_str().unwrap().to_owned();
        assert_eq!(pieces.iter().map(piece).collect::<String>(), "Write to [EMAIL], please.");
        let last: Value = serde_json::from_str(last).unwrap();
        assert_eq!((&last["success"], &last["data"]["data"]), (&json!(true), &json!("Write to [EMAIL], please.")));
        assert!(last["metadata"]["tokens_used"].as_u64().unwrap() > 0, "{last}");
        let asked = last["policy_info"]["policies_evaluated"].as_array().unwrap();
        assert!(asked.contains(&json!("pii")), "{last}");

        double.script(Behaviour::break_stream(2, StreamFault::Cut));
        let request = gateway.client.post(gateway.url("/api/request")).json(&body);
        assert!(request.send().await.unwrap().text().await.is_err(), "the connection breaks");
    }
}
