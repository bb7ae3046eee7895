//! One request in the dialects of several vendors, and their answers in one.

use anthropic_double::AnthropicDouble;
use gemini_double::GeminiDouble;
use mistral_double::{MistralDouble, RateLimit};
use openai_double::{Behaviour, OpenAiDouble};
use serde_json::{Value, json};

use super::support::{Setup, eventually};
use super::{both, others, provider_of, streamed};

#[tokio::test]
async fn tools_and_schemas_work_in_proxy_mode_with_every_vendor() {
    let mistral = MistralDouble::builder().start().await.unwrap();
    let openai = OpenAiDouble::start().await.unwrap();
    let gateway = both(&mistral, &openai).start();
    let arguments = json!({ "city": "Paris" });
    openai.script(Behaviour::tool_calls(&[("weather", arguments.clone())]));
    mistral.script(mistral_double::Behaviour::tool_calls(vec![mistral_double::ToolCall::new("weather", &arguments)]));
    let tool = json!({ "type": "function", "function": { "name": "weather", "parameters": {
        "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object",
        "properties": { "city": { "type": "string" } } } } });
    for provider in ["openai", "mistral"] {
        let context = json!({ "provider": provider, "strict_provider": true, "tools": [tool], "tool_choice": "required",
            "response_format": { "type": "json_schema", "json_schema": { "name": "n", "schema": { "type": "object" } } } });
        let answer = gateway.post("/api/request", json!({ "query": "Weather?", "context": context })).await;
        assert_eq!((answer.status, &answer.body["success"]), (200, &json!(true)), "{answer:?}");
        assert_eq!(answer.body["metadata"]["finish_reason"], "tool_calls", "{answer:?}");
        let call = &answer.body["data"]["tool_calls"][0];
        assert_eq!((&call["type"], &call["function"]["name"]), (&json!("function"), &json!("weather")), "{answer:?}");
        assert_eq!(call["function"]["arguments"], arguments.to_string());
    }
    let sent = openai.chats()[0].json();
    assert_eq!((&sent["tools"], &sent["tool_choice"]), (&json!([tool]), &json!("required")));
    let sent = mistral.last_request().unwrap().json().clone();
    assert_eq!(sent["tool_choice"], "any");
    assert!(sent["tools"][0]["function"]["parameters"].get("$schema").is_none(), "{sent}");
}

#[tokio::test]
async fn what_was_changed_for_a_provider_is_on_record() {
    let mistral = MistralDouble::builder().start().await.unwrap();
    let openai = OpenAiDouble::start().await.unwrap();
    let gateway = both(&mistral, &openai).start();
    for provider in ["mistral", "openai"] {
        let format = json!({ "type": "json_object" });
        let context = json!({ "response_format": format, "provider": provider, "strict_provider": true });
        let answer = gateway.post("/api/request", json!({ "query": "Three towns", "context": context })).await;
        assert_eq!((answer.status, &answer.body["success"]), (200, &json!(true)), "{answer:?}");
        let entries = gateway.search(json!({ "limit": 1, "decision_id": answer.body["request_id"] })).await;
        let notes = &entries[0]["policy_details"]["notes"];
        assert_eq!(notes, &json!(["a system message added that asks for JSON, as JSON mode wants"]), "{entries:?}");
    }
}

#[tokio::test]
async fn anthropic_and_gemini_answer_and_stand_in_for_each_other() {
    let anthropic = AnthropicDouble::start().await.unwrap();
    let gemini = GeminiDouble::start().await.unwrap();
    let gateway = others(&anthropic, &gemini).start();
    for provider in ["anthropic", "gemini"] {
        assert_eq!(provider_of(&gateway, json!({ "provider": provider, "strict_provider": true })).await, provider);
    }
    for (model, provider) in [("claude-opus-5", "anthropic"), ("gemini-2.5-flash-lite", "gemini")] {
        assert_eq!(provider_of(&gateway, json!({ "model": model })).await, provider);
    }
    let sent = &anthropic.chats()[0];
    let hello = json!([{ "role": "user", "content": [{ "type": "text", "text": "Hello" }] }]);
    assert_eq!(sent.json(), json!({ "model": "claude-sonnet-4-6", "messages": hello, "max_tokens": 16_384 }));
    let sent = &gemini.chats()[0];
    assert_eq!(sent.path(), "/v1beta/models/gemini-3.5-flash-lite:generateContent");
    assert_eq!(sent.uri.query(), None, "the key has no place in an address");
    assert_eq!(sent.json(), json!({ "contents": [{ "role": "user", "parts": [{ "text": "Hello" }] }] }));

    anthropic.always(Some(anthropic_double::Behaviour::overloaded()));
    assert_eq!(provider_of(&gateway, json!({ "provider": "anthropic" })).await, "gemini");
    anthropic.always(None);
    gemini.always(Some(gemini_double::Behaviour::overloaded()));
    eventually("anthropic stands in for gemini", async || {
        provider_of(&gateway, json!({ "provider": "gemini" })).await == "anthropic"
    })
    .await;
}

#[tokio::test]
async fn a_whole_conversation_with_tools_is_taken_by_both() {
    let anthropic = AnthropicDouble::start().await.unwrap();
    let gemini = GeminiDouble::start().await.unwrap();
    let gateway = others(&anthropic, &gemini).start();
    let weather = json!({ "type": "function", "function": { "name": "weather", "strict": true, "parameters": {
        "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object",
        "properties": { "city": { "type": "string", "minLength": 1 } }, "required": ["city"] } } });
    let arguments = json!({ "city": "Paris" });
    anthropic.script(anthropic_double::Behaviour::tool_calls(&[("weather", arguments.clone())]));
    gemini.script(gemini_double::Behaviour::tool_calls(&[("weather", arguments.clone())]));
    for model in ["claude-haiku-4-5", "claude-opus-5-5", "gemini-2.5-flash-lite", "gemini-3.5-flash-lite"] {
        let mut messages = vec![
            json!({ "role": "system", "content": "Be brief." }),
            json!({ "role": "user", "content": [
                { "type": "text", "text": "Weather?" },
                { "type": "image_url", "image_url": { "url": "data:image/png;base64,aGk=" } },
            ] }),
        ];
        let mut ask = json!({ "model": model, "tools": [weather], "tool_choice": "required", "temperature": 1.2,
            "parallel_tool_calls": false, "reasoning_effort": "low", "seed": 7, "stop": ["END"] });
        ask["messages"] = json!(messages);
        let answer = gateway.post("/v1/chat/completions", ask.clone()).await;
        assert_eq!(answer.status, 200, "{model}: {answer:?}");
        let mut turn = answer.body["choices"][0]["message"].clone();
        if turn["tool_calls"].is_null() {
            // The double called once, and echoes since.
            turn = json!({ "role": "assistant", "content": null, "tool_calls": [{ "id": "call:1", "type": "function",
                "function": { "name": "weather", "arguments": arguments.to_string() } }] });
        } else {
            assert_eq!(answer.body["choices"][0]["finish_reason"], "tool_calls", "{answer:?}");
            assert_eq!(turn["tool_calls"][0]["function"]["arguments"], arguments.to_string());
        }
        messages.push(turn.clone());
        messages.push(json!({ "role": "tool", "tool_call_id": turn["tool_calls"][0]["id"], "content": "Sunny." }));
        messages.push(json!({ "role": "user", "content": "So?" }));
        ask["messages"] = json!(messages);
        ask["tool_choice"] = json!("auto");
        ask["response_format"] = json!({ "type": "json_schema", "json_schema": { "name": "n", "schema": {
            "type": "object", "properties": { "warm": { "type": "boolean" } } } } });
        let answer = gateway.post("/v1/chat/completions", ask).await;
        assert_eq!(answer.status, 200, "{model}: {answer:?}");
        assert_eq!(answer.body["choices"][0]["message"]["content"], "You said: So?", "{model}");
    }
}

#[tokio::test]
async fn a_stream_that_broke_off_is_not_done() {
    let anthropic = AnthropicDouble::start().await.unwrap();
    let gemini = GeminiDouble::start().await.unwrap();
    let gateway = others(&anthropic, &gemini).start();
    anthropic.script(anthropic_double::Behaviour::CutOff(json!([{ "type": "text", "text": "Half of it" }])));
    let hello = json!({ "model": "claude-sonnet-4-6", "messages": [{ "role": "user", "content": "Hello" }] });
    let (chunks, done) = streamed(&gateway, hello).await;
    assert!(!done, "{chunks:?}");
    assert!(chunks.iter().any(|chunk| chunk["error"].is_object()), "{chunks:?}");
}

#[tokio::test]
async fn what_the_vendors_refuse_is_told_by_its_class() {
    let anthropic = AnthropicDouble::start().await.unwrap();
    let gemini = GeminiDouble::start().await.unwrap();
    let gateway = others(&anthropic, &gemini)
        .env("ANTHROPIC_API_KEY", "sk-ant-wrong")
        .yaml("server: { listen: \"127.0.0.1:0\", honest_status: true }\n")
        .start();
    gemini.always(Some(gemini_double::Behaviour::Blocked("PROHIBITED_CONTENT")));
    for (provider, status, code) in [("anthropic", 502, "upstream_unauthorized"), ("gemini", 403, "content_filter")] {
        let context = json!({ "provider": provider, "strict_provider": true });
        let answer = gateway.post("/api/request", json!({ "query": "Hello", "context": context })).await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert_eq!(answer.body["metadata"]["error_code"], code, "{answer:?}");
        assert!(!answer.body.to_string().contains("sk-ant-wrong"), "{answer:?}");
    }
}

#[tokio::test]
async fn what_is_to_be_cached_is_told_to_anthropic_alone() {
    let anthropic = AnthropicDouble::start().await.unwrap();
    let mistral = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&mistral)
        .env("ANTHROPIC_API_KEY", anthropic_double::KEY)
        .env("ANTHROPIC_ENDPOINT", &anthropic.origin())
        .start();
    let (short, hour) = (json!({ "type": "ephemeral" }), json!({ "type": "ephemeral", "ttl": "1h" }));
    let text = |text: &str, control: &Value| json!({ "type": "text", "text": text, "cache_control": control });
    let ask = |model: &str, control: &Value| {
        json!({ "model": model,
            "tools": [{ "type": "function", "function": { "name": "weather" }, "cache_control": hour }],
            "messages": [
                { "role": "system", "content": [text("Be brief.", &hour)] },
                { "role": "user", "content": "Weather?" },
                { "role": "assistant", "content": null, "tool_calls": [{ "id": "toolu_123", "type": "function",
                    "function": { "name": "weather", "arguments": "{}" } }] },
                { "role": "tool", "tool_call_id": "toolu_123", "content": "Sunny.", "cache_control": short },
                { "role": "user", "content": [text("So?", control), { "type": "text", "text": "Quick!" }] },
            ] })
    };
    for streams in [false, true] {
        let ask = ask("claude-sonnet-4-6", &short);
        let usage = if streams {
            let (chunks, done) = streamed(&gateway, ask).await;
            assert!(done, "{chunks:?}");
            chunks.iter().map(|chunk| chunk["usage"].clone()).find(Value::is_object).unwrap()
        } else {
            gateway.post("/v1/chat/completions", ask).await.body["usage"].clone()
        };
        let sent = anthropic.chats().pop().unwrap().json();
        assert_eq!((&sent["tools"][0]["cache_control"], &sent["system"][0]["cache_control"]), (&hour, &hour), "{sent}");
        let last = &sent["messages"][2]["content"];
        assert_eq!((&last[0]["type"], &last[0]["cache_control"]), (&json!("tool_result"), &short), "{sent}");
        assert_eq!((&last[1], &last[2]["cache_control"]), (&text("So?", &short), &Value::Null), "{sent}");
        let (prompt, written) = (&usage["prompt_tokens"], &usage["prompt_tokens_details"]["cache_write_tokens"]);
        assert!(prompt == written && prompt.as_u64() > Some(0), "{usage}");
        let record = &gateway.search_as("community", json!({ "limit": 1 })).await[0];
        let tokens = |name: &str| usage[name].as_f64().unwrap() / 1e6;
        let cost = tokens("prompt_tokens") * 3.75 + tokens("completion_tokens") * 15.0;
        assert!((record["cost"].as_f64().unwrap() - cost).abs() < 1e-9, "{record}");
    }

    let mut five = ask("claude-sonnet-4-6", &short);
    five["messages"][1]["cache_control"] = hour.clone();
    let refused = gateway.post("/v1/chat/completions", five).await;
    assert_eq!(refused.status, 400, "{refused:?}");
    assert!(refused.body["message"].as_str().unwrap().contains("maximum of 4"), "{refused:?}");
    let unknown = gateway.post("/v1/chat/completions", ask("claude-sonnet-4-6", &json!({ "type": "eternal" }))).await;
    assert_eq!(unknown.status, 400, "{unknown:?}");
    assert!(unknown.body["message"].as_str().unwrap().contains("messages[4].content[0].cache_control"), "{unknown:?}");

    let answer = gateway.post("/v1/chat/completions", ask("mistral-small-latest", &short)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(!mistral.last_request().unwrap().json().to_string().contains("cache_control"));
    let record = &gateway.search_as("community", json!({ "limit": 1 })).await[0];
    let notes = record["policy_details"]["notes"].to_string();
    assert!(notes.contains("fields left out that the provider does not know: cache_control"), "{record}");
}

#[tokio::test]
async fn when_to_come_again_is_told_as_the_vendor_told_it() {
    let mistral = MistralDouble::builder().start().await.unwrap();
    let limit = mistral_double::Failure::from(RateLimit::requests().retry_after("70"));
    mistral.script(mistral_double::Rule::always(limit));
    for honest in [true, false] {
        let server = format!("server: {{ listen: \"127.0.0.1:0\", honest_status: {honest} }}\n");
        let gateway = Setup::with(&mistral).yaml(&server).start();
        let told = async |path: &str, body: Value| {
            let answer = gateway.client.post(gateway.url(path)).json(&body).send().await.unwrap();
            let wait = answer.headers().get("retry-after").map(|it| it.to_str().unwrap().to_owned());
            (answer.status().as_u16(), wait)
        };
        let refused = (429, Some("70".to_owned()));
        let messages = json!([{ "role": "user", "content": "Hello" }]);
        for stream in [false, true] {
            let body = json!({ "messages": messages, "stream": stream });
            assert_eq!(told("/v1/chat/completions", body).await, refused, "stream: {stream}");
            let expected = if honest { refused.clone() } else { (200, None) };
            let body = json!({ "query": "Hello", "stream": stream });
            assert_eq!(told("/api/request", body).await, expected, "honest: {honest}, stream: {stream}");
        }
    }
}
