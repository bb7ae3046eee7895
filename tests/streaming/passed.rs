//! What goes out as it came in.

use std::time::{Duration, Instant};

use mistral_double::{Behaviour, EventForm, MistralDouble, StreamFault, ToolCall, ToolCallForm, Writes};
use serde_json::{Value, json};

use super::support::{Setup, eventually};
use super::{ask, last_record, socket, stream};

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
async fn reasoning_stands_in_the_content_for_mistrals_own_clients() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&double).start();
    let send = async |form: &str, stream: bool| {
        double.script(Behaviour::text("42").thinking("Six by seven"));
        let mut body = ask("What is it?");
        body["model"] = json!("magistral-small-latest");
        body["stream"] = json!(stream);
        let request = gateway.client.post(gateway.url("/v1/chat/completions")).json(&body);
        request.header("x-octroi-reasoning", form).send().await.unwrap()
    };
    let thinking = |text: &str| json!({ "type": "thinking", "thinking": [{ "type": "text", "text": text }] });

    let whole: Value = send("content", false).await.json().await.unwrap();
    let message = &whole["choices"][0]["message"];
    assert_eq!(message["content"], json!([thinking("Six by seven"), { "type": "text", "text": "42" }]), "{whole}");
    assert_eq!(message.get("reasoning_content"), None, "{whole}");

    let streamed = send("content", true).await.text().await.unwrap();
    let chunks = streamed.lines().filter_map(|line| line.strip_prefix("data: {"));
    let chunks: Vec<Value> = chunks.map(|rest| serde_json::from_str(&format!("{{{rest}")).unwrap()).collect();
    let contents = chunks.iter().map(|chunk| &chunk["choices"][0]["delta"]["content"]);
    let (mut thought, mut said) = (String::new(), String::new());
    for content in contents {
        for part in content.as_array().into_iter().flatten() {
            thought.extend(part["thinking"].as_array().into_iter().flatten().filter_map(|it| it["text"].as_str()));
            said.extend(part["text"].as_str());
        }
        said.extend(content.as_str());
    }
    assert_eq!((thought.as_str(), said.as_str()), ("Six by seven", "42"), "{streamed}");
    assert!(!streamed.contains("reasoning_content"), "{streamed}");

    let refused = send("elsewhere", false).await;
    assert_eq!(refused.status(), 400);
    let refused: Value = refused.json().await.unwrap();
    assert_eq!(
        (&refused["code"], &refused["param"]),
        (&json!("invalid_field"), &json!("X-Octroi-Reasoning")),
        "{refused}"
    );
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
    // It takes less than a second on a machine that has time, and a time-out would take a minute.
    let cancelled = double.wait_until(|stats| stats.cancelled_streams == 1);
    tokio::time::timeout(Duration::from_secs(20), cancelled).await.unwrap().unwrap();
    // Not the provider's time-out: the record says why.
    eventually("the record says that the client is gone", async || {
        last_record(&gateway).await["policy_details"]["client_gone"] == true
    })
    .await;
}

#[tokio::test]
async fn a_client_that_goes_away_before_its_stream_begins_ends_the_upstream_call_and_leaves_its_place() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&double).policies_further(", max_streams: 1").start();
    double.script(Behaviour::text("late").before_first_byte(Duration::from_secs(600)));
    let mut body = ask("Hello");
    body["stream"] = json!(true);
    let asking = gateway.client.post(gateway.url("/v1/chat/completions")).json(&body).send();
    let asking = tokio::spawn(asking);
    double.wait_until(|stats| stats.in_flight >= 1).await.unwrap();
    asking.abort();
    // It takes less than a second on a machine that has time, and a time-out would take a minute.
    let cancelled = double.wait_until(|stats| stats.cancelled_requests == 1);
    tokio::time::timeout(Duration::from_secs(20), cancelled).await.unwrap().unwrap();
    eventually("the record says that the client is gone", async || {
        last_record(&gateway).await["policy_details"]["client_gone"] == true
    })
    .await;
    assert_eq!(last_record(&gateway).await["policy_details"]["attempts"], 1);
    assert!(stream(&gateway, ask("Hello")).await.done, "its place is another's");
}

#[tokio::test]
async fn proxy_mode_streams_pieces_and_ends_with_the_usual_body() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&double).start();
    let asked = json!({ "query": "To whom?", "user_token": "u", "client_id": "c", "request_type": "chat" });
    for place in ["/context", ""] {
        double.script(Behaviour::text("Write to jane@example.org, please.").between_chunks(Duration::from_millis(400)));
        let begun = Instant::now();
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
        let judging = last["policy_info"]["processing_time"].as_str().and_then(|it| it.strip_suffix("ms")).unwrap();
        let judging: f64 = judging.parse().unwrap();
        assert!(judging < begun.elapsed().as_secs_f64() * 500.0, "the wait for the model is none for policies: {last}");

        double.script(Behaviour::break_stream(2, StreamFault::Cut));
        let request = gateway.client.post(gateway.url("/api/request")).json(&body);
        assert!(request.send().await.unwrap().text().await.is_err(), "the connection breaks");
    }
}
