//! Reasoning that a vendor has sealed.

use anthropic_double::AnthropicDouble;
use gemini_double::GeminiDouble;
use serde_json::{Value, json};

use super::{others, streamed};

/// The message of a stream, put together as a client would that keeps what it does not know.
fn assembled(chunks: &[Value]) -> Value {
    let mut message = json!({ "role": "assistant", "content": null, "thinking_blocks": [], "tool_calls": [] });
    for delta in chunks.iter().map(|chunk| &chunk["choices"][0]["delta"]) {
        for block in delta["thinking_blocks"].as_array().into_iter().flatten() {
            message["thinking_blocks"].as_array_mut().unwrap().push(block.clone());
        }
        for call in delta["tool_calls"].as_array().into_iter().flatten() {
            let calls = message["tool_calls"].as_array_mut().unwrap();
            match call["id"].as_str() {
                Some(_) => calls.push(call.clone()),
                None => {
                    let known = calls.last_mut().unwrap();
                    if let Some(more) = call["function"]["arguments"].as_str() {
                        let so_far = known["function"]["arguments"].as_str().unwrap().to_owned();
                        known["function"]["arguments"] = json!(so_far + more);
                    }
                }
            }
        }
    }
    message
}

#[tokio::test]
async fn what_vendors_want_back_of_their_models_thoughts_goes_there_and_back() {
    let anthropic = AnthropicDouble::start().await.unwrap();
    let gemini = GeminiDouble::start().await.unwrap();
    let gateway = others(&anthropic, &gemini).start();
    let arguments = json!({ "city": "Paris" });
    let weather = json!({ "type": "function", "function": { "name": "weather" } });
    let call = json!({ "type": "tool_use", "id": "toolu_1", "name": "weather", "input": arguments });
    let thought = json!({ "type": "thinking", "thinking": "hm", "signature": anthropic_double::SIGNATURE });
    let redacted = json!({ "type": "redacted_thinking", "data": anthropic_double::SIGNATURE });
    for streams in [false, true] {
        for model in ["claude-haiku-4-5", "claude-sonnet-4-6", "gemini-3.5-flash-lite"] {
            anthropic.script(anthropic_double::Behaviour::Content(json!([thought, redacted, call])));
            gemini.script(gemini_double::Behaviour::tool_calls(&[("weather", arguments.clone())]));
            let user = json!({ "role": "user", "content": "Weather?" });
            let ask = json!({ "model": model, "messages": [user], "tools": [weather], "reasoning_effort": "low" });
            let turn = if streams {
                let (chunks, done) = streamed(&gateway, ask.clone()).await;
                assert!(done, "{chunks:?}");
                assembled(&chunks)
            } else {
                gateway.post("/v1/chat/completions", ask.clone()).await.body["choices"][0]["message"].clone()
            };
            let id = turn["tool_calls"][0]["id"].clone();
            let mut next = ask.clone();
            next["messages"] = json!([user, turn, { "role": "tool", "tool_call_id": id, "content": "Sunny." }]);
            let answer = gateway.post("/v1/chat/completions", next.clone()).await;
            assert_eq!(answer.status, 200, "{model}: {answer:?}");
            if model.starts_with("claude") {
                let sent = anthropic.chats().pop().unwrap().json()["messages"][1]["content"].clone();
                assert_eq!((&sent[0], &sent[1], &sent[2]["type"]), (&thought, &redacted, &json!("tool_use")), "{turn}");
            } else {
                let sent = gemini.chats().pop().unwrap().json()["contents"][1]["parts"][0].clone();
                assert_eq!(sent["thoughtSignature"], gemini_double::SIGNATURE, "{turn}");
            }
            let records = gateway.search_as("community", json!({ "limit": 2 })).await;
            let [record, first] = records.as_slice() else { panic!("{records:?}") };
            for (record, parts) in [(record, "not_inspected"), (first, "response_not_inspected")] {
                assert!(record["policy_details"][parts].to_string().contains("\"seals\""), "{parts}: {record}");
            }
            assert!(!record.to_string().contains(gemini_double::SIGNATURE), "{record}");
            anthropic.clear();
            gemini.clear();
        }
    }
}

#[tokio::test]
async fn a_seal_is_left_out_where_a_policy_changes_what_it_holds_for() {
    let anthropic = AnthropicDouble::start().await.unwrap();
    let gemini = GeminiDouble::start().await.unwrap();
    let gateway = others(&anthropic, &gemini).policies(&["pii", "audit-redact"]).start();
    let thought =
        json!({ "type": "thinking", "thinking": "Ask jane@example.org", "signature": anthropic_double::SIGNATURE });
    let blocks = json!([thought, { "type": "text", "text": "Yes." }]);
    let ask = json!({ "model": "claude-sonnet-4-6", "messages": [{ "role": "user", "content": "Hello" }] });
    for streams in [false, true] {
        anthropic.script(anthropic_double::Behaviour::Content(blocks.clone()));
        let told = match streams {
            true => json!(streamed(&gateway, ask.clone()).await.0),
            false => gateway.post("/v1/chat/completions", ask.clone()).await.body,
        };
        let told = told.to_string();
        assert!(told.contains("[EMAIL]") && told.contains("Yes.") && !told.contains("thinking_blocks"), "{told}");
    }
    let record = &gateway.search_as("community", json!({ "limit": 1 })).await[0];
    let note = "signatures of reasoning left out: a policy changed what they hold for";
    assert_eq!(record["policy_details"]["notes"], json!([note]), "{record}");
}

#[tokio::test]
async fn a_seal_goes_out_right_behind_thoughts_that_no_policy_changed() {
    let anthropic = AnthropicDouble::start().await.unwrap();
    let gemini = GeminiDouble::start().await.unwrap();
    let gateway = others(&anthropic, &gemini).policies(&["pii", "audit-redact"]).start();
    let thought =
        |text: &str| json!({ "type": "thinking", "thinking": text, "signature": anthropic_double::SIGNATURE });
    let text = |text: &str| json!({ "type": "text", "text": text });
    // What is edited behind them is nothing of theirs.
    let blocks = json!([thought("hm"), thought("so"), text("Ask jane@example.org")]);
    anthropic.script(anthropic_double::Behaviour::Content(blocks));
    let ask = json!({ "model": "claude-sonnet-4-6", "messages": [{ "role": "user", "content": "Hello" }] });
    let (chunks, done) = streamed(&gateway, ask).await;
    let said = |name: &str| {
        let told = |chunk: &Value| {
            let said = &chunk["choices"][0]["delta"][name];
            !said.is_null() && said != ""
        };
        chunks.iter().position(told).unwrap_or_else(|| panic!("{name}: {chunks:?}"))
    };
    assert!(done && said("thinking_blocks") < said("content"), "{chunks:?}");
    assert_eq!(assembled(&chunks)["thinking_blocks"], json!([thought("hm"), thought("so")]), "{chunks:?}");
    assert!(json!(chunks).to_string().contains("[EMAIL]"), "{chunks:?}");
}

#[tokio::test]
async fn thoughts_that_are_bound_to_another_conversation_are_left_out() {
    let anthropic = AnthropicDouble::start().await.unwrap();
    let gemini = GeminiDouble::start().await.unwrap();
    let gateway = others(&anthropic, &gemini).start();
    let user = json!({ "role": "user", "content": "17 times 3?" });
    let (later, json_mode) = (json!({ "role": "developer", "content": "Be brief." }), json!({ "type": "json_object" }));
    let thought = json!({ "type": "thinking", "thinking": "hm", "signature": anthropic_double::SIGNATURE });
    let redacted = json!({ "type": "redacted_thinking", "data": anthropic_double::SIGNATURE });
    let ask = json!({ "model": "claude-opus-5-5", "messages": [user] });
    for (claim, more, format, calls, thinks) in [
        ("as it was", vec![], json!(null), 1, true),
        ("later instructions stand behind the turn", vec![later], json!(null), 1, true),
        ("what is asked for in words stands before it", vec![], json_mode, 2, false),
    ] {
        for streams in [false, true] {
            anthropic.script(anthropic_double::Behaviour::Content(
                json!([thought, redacted, { "type": "text", "text": "51" }]),
            ));
            let turn = gateway.post("/v1/chat/completions", ask.clone()).await.body["choices"][0]["message"].clone();
            anthropic.forget_requests();
            let mut next = ask.clone();
            next["response_format"] = format.clone();
            next["messages"] = json!([user, turn]);
            let messages = next["messages"].as_array_mut().unwrap();
            messages.extend(more.iter().cloned().chain([json!({ "role": "user", "content": "Sure?" })]));
            if streams {
                let (chunks, done) = streamed(&gateway, next).await;
                assert!(done, "{claim}: {chunks:?}");
            } else {
                let answer = gateway.post("/v1/chat/completions", next).await;
                assert_eq!(answer.status, 200, "{claim}: {answer:?}");
            }
            let chats = anthropic.chats();
            assert_eq!(chats.len(), calls, "{claim}");
            let blocks = chats.last().unwrap().json()["messages"][1]["content"].clone();
            assert_eq!(blocks[0]["type"] == "thinking", thinks, "{claim}: {blocks}");
            let record = &gateway.search_as("community", json!({ "limit": 1 })).await[0];
            let notes = record["policy_details"]["notes"].to_string();
            assert_eq!(notes.contains("sent again without reasoning parts"), !thinks, "{claim}: {notes}");
        }
    }
}
