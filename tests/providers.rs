//! Several providers behind one gateway, through sockets, in front of the doubles of their vendors.

#![expect(clippy::unwrap_used, reason = "tests fail by panics")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anthropic_double::AnthropicDouble;
use gemini_double::GeminiDouble;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use mistral_double::{MistralDouble, RateLimit};
use openai_double::{Behaviour, Host, KEY, OpenAiDouble};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use support::gate::Gate;
use support::{Gateway, Setup, eventually, ports};

/// Mistral by the file, OpenAI by the environment.
fn both(mistral: &MistralDouble, openai: &OpenAiDouble) -> Setup {
    Setup::with(mistral).env("OPENAI_API_KEY", KEY).env("OPENAI_ENDPOINT", &openai.origin())
}

fn digest(secret: &str) -> String {
    hex::encode(Sha256::digest(secret))
}

async fn provider_of(gateway: &Gateway, context: Value) -> String {
    let answer = gateway.post("/api/request", json!({ "query": "Hello", "context": context })).await;
    assert_eq!((answer.status, &answer.body["success"]), (200, &json!(true)), "{answer:?}");
    answer.body["metadata"]["provider"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn traffic_is_split_by_weight_and_a_failing_provider_is_survived() {
    let mistral = MistralDouble::builder().start().await.unwrap();
    let openai = OpenAiDouble::start().await.unwrap();
    let gateway = both(&mistral, &openai)
        .env("LLM_ROUTING_STRATEGY", "weighted")
        .env("PROVIDER_WEIGHTS", "mistral:70,openai:30")
        .start();
    let mut to_openai = 0;
    for _ in 0..200 {
        to_openai += usize::from(provider_of(&gateway, json!({})).await == "openai");
    }
    // 60 are expected; a fair draw is outside of this less than once in 100,000 runs.
    assert!((30..=92).contains(&to_openai), "{to_openai} of 200 went to openai");
    assert_eq!(openai.chats().len(), to_openai);

    openai.always(Some(Behaviour::server_error()));
    let asked_before = openai.chats().len();
    let prefer = json!({ "provider": "openai" });
    for _ in 0..20 {
        assert_eq!(provider_of(&gateway, prefer.clone()).await, "mistral");
    }
    assert!(openai.chats().len() > asked_before, "openai was not tried");

    openai.always(None);
    eventually("openai answers again", async || provider_of(&gateway, prefer.clone()).await == "openai").await;
}

#[tokio::test]
async fn a_model_is_asked_of_nobody_but_its_vendor() {
    let mistral = MistralDouble::builder().start().await.unwrap();
    let openai = OpenAiDouble::start().await.unwrap();
    let gateway = both(&mistral, &openai).start();
    for (model, provider) in [("gpt-4o-mini", "openai"), ("o4-mini", "openai"), ("mistral-large-latest", "mistral")] {
        for _ in 0..8 {
            assert_eq!(provider_of(&gateway, json!({ "model": model, "max_tokens": 9 })).await, provider, "{model}");
        }
    }
    let asked = openai.chats();
    assert!(asked.iter().all(|chat| chat.json()["model"] != "mistral-large-latest"));
    assert_eq!(
        asked[0].json(),
        json!({ "model": "gpt-4o-mini", "messages": [{ "role": "user", "content": "Hello" }], "max_completion_tokens": 9 })
    );
}

#[tokio::test]
async fn a_local_models_name_is_not_sent_to_mistral() {
    let mistral = MistralDouble::builder().start().await.unwrap();
    let ollama = openai_double::start(Host::Ollama).await.unwrap();
    let gateway = Setup::with(&mistral).env("OLLAMA_ENDPOINT", &ollama.origin()).start();
    for model in [openai_double::OLLAMA_MODEL, "llama3.1"] {
        for _ in 0..8 {
            assert_eq!(provider_of(&gateway, json!({ "model": model })).await, "ollama", "{model}");
        }
        let pinned =
            json!({ "query": "Hi", "context": { "model": model, "provider": "mistral", "strict_provider": true } });
        let answer = gateway.post("/api/request", pinned).await;
        assert_eq!(answer.body["metadata"]["error_code"], "no_candidate", "{model}: {answer:?}");
    }
    assert!(mistral.requests().iter().all(|request| request.is_probe()), "it was asked for another's model");
    assert_eq!(provider_of(&gateway, json!({ "model": "mistral-large-latest" })).await, "mistral");
}

#[tokio::test]
async fn each_vendor_judges_by_a_model_of_its_own() {
    let mistral = MistralDouble::builder().start().await.unwrap();
    let openai = OpenAiDouble::start().await.unwrap();
    for (providers, answered_by) in [("openai", "omni-moderation-latest"), ("mistral", "mistral-moderation-latest")] {
        let gateway = both(&mistral, &openai).env("LLM_PROVIDERS", providers).start();
        let answer = gateway.post("/v1/moderations", json!({ "input": ["Hello", "you"] })).await;
        assert_eq!(answer.status, 200, "{providers}: {answer:?}");
        assert_eq!(answer.body["results"].as_array().unwrap().len(), 2, "{answer:?}");
        let record = &gateway.search_as("community", json!({ "limit": 1 })).await[0];
        assert_eq!((&record["model"], &record["provider"]), (&json!(answered_by), &json!(providers)), "{record}");
    }
    // The operator's list closes the set here too.
    let gateway = Setup::without_provider()
        .env("OPENAI_API_KEY", KEY)
        .env("OPENAI_ENDPOINT", &openai.origin())
        .yaml("llm_providers: { openai: { config: { models: [gpt-4o-mini] } } }\n")
        .start();
    let answer = gateway.post("/v1/moderations", json!({ "input": "Hello" })).await;
    assert_eq!((answer.status, &answer.body["code"]), (503, &json!("no_candidate")), "{answer:?}");
}

#[tokio::test]
async fn a_model_that_only_chats_is_not_found_elsewhere() {
    let anthropic = AnthropicDouble::start().await.unwrap();
    let gemini = GeminiDouble::start().await.unwrap();
    let gateway = others(&anthropic, &gemini).start();
    for (path, body) in [
        ("/v1/embeddings", json!({ "model": "claude-sonnet-4-6", "input": "Hello" })),
        ("/v1/moderations", json!({ "model": "claude-sonnet-4-6", "input": "Hello" })),
        ("/v1/fim/completions", json!({ "model": "claude-sonnet-4-6", "prompt": "fn " })),
    ] {
        let answer = gateway.post(path, body).await;
        assert_eq!((answer.status, &answer.body["code"]), (404, &json!("model_not_found")), "{path}: {answer:?}");
    }
    assert!(gateway.get("/v1/models/claude-sonnet-4-6").await.status == 200, "it chats");
}

#[tokio::test]
async fn the_name_of_a_speaker_reaches_openai() {
    let mistral = MistralDouble::builder().start().await.unwrap();
    let openai = OpenAiDouble::start().await.unwrap();
    let gateway = both(&mistral, &openai).start();
    let messages = json!([{ "role": "user", "content": "Hello", "name": "ada" }]);
    let answer =
        gateway.post("/v1/chat/completions", json!({ "model": "gpt-4o-mini", "messages": messages.clone() })).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(openai.chats()[0].json()["messages"], messages);
}

#[tokio::test]
async fn an_openai_compatible_server_needs_no_key_and_who_asks_is_told_that_one_is_wanted() {
    let openai = OpenAiDouble::start().await.unwrap();
    let house = format!(
        "llm_providers:\n  house:\n    type: openai-compatible\n    config: {{ endpoint: \"{}/v1\", model: gpt-4o }}\n",
        openai.origin()
    );
    let gateway = Setup::without_provider()
        .yaml(&house)
        .yaml("server: { listen: \"127.0.0.1:0\", honest_status: true }\n")
        .start();
    let answer = gateway.ask("Hello").await;
    // The double wants a key.
    assert_eq!((answer.status, &answer.body["success"]), (502, &json!(false)), "{answer:?}");
    assert_eq!(answer.body["metadata"]["error_code"], "upstream_unauthorized", "{answer:?}");
    let told = "the provider refuses the gateway's key (upstream 401, code invalid_api_key)";
    assert_eq!(answer.body["error"], told, "the vendor's words are the operator's: {answer:?}");
    let health = gateway.get("/api/v1/llm-providers/house/health").await.body;
    assert!(!health.to_string().contains("Incorrect"), "{health}");
    assert!(gateway.log.count("Incorrect API key provided.") > 0, "they are in the log");
}

/// Speaks nothing but HTTP/2, counts its connections, and keeps each call until another one has come.
async fn http2_upstream() -> (String, Arc<AtomicUsize>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let (counted, both) = (connections.clone(), Arc::new(tokio::sync::Barrier::new(2)));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let both = both.clone();
            let answer = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                let both = both.clone();
                async move {
                    assert_eq!(request.version(), hyper::Version::HTTP_2);
                    if request.uri().path() != "/v1/chat/completions" {
                        // A health probe.
                        return Ok::<_, std::convert::Infallible>(hyper::Response::new("{\"data\":[]}".to_owned()));
                    }
                    both.wait().await;
                    let answer = json!({
                        "id": "c1", "object": "chat.completion", "created": 1, "model": "gpt-4o",
                        "choices": [{
                            "index": 0, "finish_reason": "stop", "message": { "role": "assistant", "content": "Two." }
                        }],
                        "usage": { "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2 },
                    });
                    let response = hyper::Response::builder().header("content-type", "application/json");
                    Ok(response.body(answer.to_string()).unwrap())
                }
            });
            let serve = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(serve.serve_connection(TokioIo::new(stream), answer));
        }
    });
    (format!("http://{address}"), connections)
}

#[tokio::test]
async fn a_provider_may_be_spoken_to_in_http2() {
    let (endpoint, connections) = http2_upstream().await;
    let provider = |http2: bool| {
        format!(
            "llm_providers:\n  house:\n    type: openai-compatible\n    config: {{ endpoint: \"{endpoint}\", model: gpt-4o, \
             http2: {http2}, timeout_seconds: 60 }}\n"
        )
    };
    let gateway = Setup { double: Some(provider(true)), policies: support::shipped(), ..Setup::default() }.start();
    let (first, second) = tokio::join!(gateway.ask("One?"), gateway.ask("Two?"));
    for answer in [first, second] {
        assert_eq!((answer.status, &answer.body["data"]["data"]), (200, &json!("Two.")), "{answer:?}");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1, "both at once over one connection");
    let gateway = Setup { double: Some(provider(false)), policies: support::shipped(), ..Setup::default() }.start();
    assert_eq!(gateway.ask("One?").await.body["success"], false, "HTTP/1.1 unless it is asked for");
}

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

/// Anthropic and Gemini by the environment alone.
fn others(anthropic: &AnthropicDouble, gemini: &GeminiDouble) -> Setup {
    Setup::without_provider()
        .env("ANTHROPIC_API_KEY", anthropic_double::KEY)
        .env("ANTHROPIC_ENDPOINT", &anthropic.origin())
        .env("GOOGLE_API_KEY", gemini_double::KEY)
        .env("GOOGLE_ENDPOINT", &gemini.origin())
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

/// The chunks of a streamed answer, and whether it said that it was done.
async fn streamed(gateway: &Gateway, mut body: Value) -> (Vec<Value>, bool) {
    body["stream"] = json!(true);
    body["stream_options"] = json!({ "include_usage": true });
    let request = gateway.client.post(gateway.url("/v1/chat/completions")).json(&body);
    let mut response = request.send().await.unwrap();
    let mut text = Vec::new();
    // The body of a stream that failed does not end as a body ends.
    while let Ok(Some(piece)) = response.chunk().await {
        text.extend_from_slice(&piece);
    }
    let text = String::from_utf8(text).unwrap();
    let data: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    (data.iter().filter_map(|data| serde_json::from_str(data).ok()).collect(), data.last() == Some(&"[DONE]"))
}

#[tokio::test]
async fn what_openai_says_of_an_answer_is_told_with_it() {
    let openai = OpenAiDouble::start().await.unwrap();
    let gateway = Setup::without_provider().env("OPENAI_API_KEY", KEY).env("OPENAI_ENDPOINT", &openai.origin()).start();
    let hello = json!({ "model": "gpt-4o-mini", "messages": [{ "role": "user", "content": "Hi" }] });
    let whole = gateway.post("/v1/chat/completions", hello.clone()).await.body;
    let (chunks, done) = streamed(&gateway, hello).await;
    assert!(done && chunks.len() > 1, "{chunks:?}");
    assert_eq!(whole["system_fingerprint"], "fp_offline", "{whole}");
    assert_eq!(whole["service_tier"], "default", "{whole}");
    // The last one is the gateway's own.
    for answer in chunks.iter().chain([&whole]) {
        assert_eq!(answer["created"], 1_780_000_000, "{answer}");
    }
}

#[tokio::test]
async fn both_stream_texts_and_calls() {
    let anthropic = AnthropicDouble::start().await.unwrap();
    let gemini = GeminiDouble::start().await.unwrap();
    let gateway = others(&anthropic, &gemini).start();
    let arguments = json!({ "city": "Paris" });
    let weather = json!({ "type": "function", "function": { "name": "weather" } });
    for model in ["claude-sonnet-4-6", "gemini-3.5-flash-lite"] {
        let hello = json!([{ "role": "user", "content": "Hello" }]);
        let of = |chunks: &[Value], pointer: &str| -> String {
            chunks.iter().filter_map(|chunk| chunk.pointer(pointer)?.as_str()).collect()
        };
        let (chunks, done) = streamed(&gateway, json!({ "model": model, "messages": hello })).await;
        assert!(done, "{chunks:?}");
        assert_eq!(of(&chunks, "/choices/0/delta/content"), "You said: Hello", "{chunks:?}");
        assert_eq!(of(&chunks, "/choices/0/finish_reason"), "stop", "{chunks:?}");
        assert!(chunks.iter().any(|chunk| chunk["usage"]["prompt_tokens"].as_u64() > Some(0)), "{chunks:?}");

        anthropic.script(anthropic_double::Behaviour::tool_calls(&[("weather", arguments.clone())]));
        gemini.script(gemini_double::Behaviour::tool_calls(&[("weather", arguments.clone())]));
        let ask = json!({ "model": model, "messages": hello, "tools": [weather] });
        let (chunks, done) = streamed(&gateway, ask).await;
        assert!(done, "{chunks:?}");
        let call = "/choices/0/delta/tool_calls/0";
        assert_eq!(of(&chunks, &format!("{call}/function/name")), "weather", "{chunks:?}");
        assert_eq!(of(&chunks, &format!("{call}/function/arguments")), arguments.to_string(), "{chunks:?}");
        assert!(!of(&chunks, &format!("{call}/id")).is_empty(), "{chunks:?}");
        assert_eq!(of(&chunks, "/choices/0/finish_reason"), "tool_calls", "{chunks:?}");
        // Each double was told once too often.
        anthropic.clear();
        gemini.clear();
    }
    assert_eq!(gemini.chats()[0].uri.query(), Some("alt=sse"));

    anthropic.script(anthropic_double::Behaviour::CutOff(json!([{ "type": "text", "text": "Half of it" }])));
    let hello = json!({ "model": "claude-sonnet-4-6", "messages": [{ "role": "user", "content": "Hello" }] });
    let (chunks, done) = streamed(&gateway, hello).await;
    assert!(!done, "a stream that broke off is not done: {chunks:?}");
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
async fn providers_are_shown_one_by_one_and_not_changed() {
    // Nobody else listens there when it is gone.
    let mistral = MistralDouble::builder().port(ports::free()).start().await.unwrap();
    let openai = OpenAiDouble::start().await.unwrap();
    let gateway = both(&mistral, &openai).start();
    provider_of(&gateway, json!({ "provider": "openai" })).await;

    let one = gateway.get("/api/v1/llm-providers/openai").await;
    assert_eq!((one.status, &one.body["provider"]["type"]), (200, &json!("openai")), "{one:?}");
    let missing = gateway.get("/api/v1/llm-providers/nobody").await;
    assert_eq!((missing.status, &missing.body["error"]["code"]), (404, &json!("NOT_FOUND")), "{missing:?}");
    let status = gateway.get("/api/v1/llm-providers/status").await.body;
    assert_eq!((&status["total"], status["providers"].as_array().unwrap().len()), (&json!(2), 2), "{status}");
    let by_name = gateway.get("/api/v1/providers/status").await.body;
    assert_eq!(by_name["openai"]["request_count"], 1, "{by_name}");
    assert!(by_name["openai"]["avg_latency_ms"].as_f64().unwrap() > 0.0 && by_name["openai"]["last_used"].is_string());
    assert_eq!(by_name["mistral"]["request_count"], 0, "{by_name}");
    let tested = gateway.post("/api/v1/llm-providers/openai/test", json!({ "endpoint": "http://127.0.0.1:1" })).await;
    assert_eq!((tested.status, &tested.body["success"]), (200, &json!(true)), "{tested:?}");
    assert_eq!(tested.body["health"]["status"], "healthy", "{tested:?}");
    assert_eq!(gateway.post("/api/v1/llm-providers/nobody/test", json!({})).await.status, 404);
    mistral.shutdown().await;
    let tested = gateway.post("/api/v1/llm-providers/mistral/test", json!({})).await;
    assert_eq!((tested.status, &tested.body["success"]), (200, &json!(false)), "{tested:?}");
    assert_eq!(tested.body["health"]["status"], "unhealthy", "{tested:?}");
    let types = gateway.get("/api/v1/llm-provider-types").await.body;
    assert_eq!(types["count"].as_u64().unwrap() as usize, types["provider_types"].as_array().unwrap().len());

    for (method, path) in [
        ("POST", "/api/v1/llm-providers"),
        ("PUT", "/api/v1/llm-providers/openai"),
        ("PATCH", "/api/v1/llm-providers/openai"),
        ("DELETE", "/api/v1/llm-providers/openai"),
    ] {
        let request = gateway.client.request(method.parse().unwrap(), gateway.url(path)).json(&json!({ "name": "x" }));
        let answer = request.send().await.unwrap();
        assert_eq!(
            (answer.status(), answer.headers()["allow"].to_str().unwrap()),
            (405.try_into().unwrap(), "GET, HEAD")
        );
    }
}

#[tokio::test]
async fn a_header_pins_the_provider_where_a_body_cannot() {
    let mistral = MistralDouble::builder().start().await.unwrap();
    let openai = OpenAiDouble::start().await.unwrap();
    let gateway = both(&mistral, &openai).start();
    let ask = async |provider: &str, model: Option<&str>| {
        let mut body = json!({ "messages": [{ "role": "user", "content": "Hello" }] });
        if let Some(model) = model {
            body["model"] = json!(model);
        }
        let request = gateway.client.post(gateway.url("/v1/chat/completions")).header("x-provider", provider);
        let answer = request.json(&body).send().await.unwrap();
        let by = answer.headers().get("x-octroi-provider").map(|name| name.to_str().unwrap().to_owned());
        (answer.status().as_u16(), by, answer.json::<Value>().await.unwrap()["code"].clone())
    };
    for name in ["openai", "mistral", "OpenAI", "mistral", "openai", "openai"] {
        assert_eq!(ask(name, None).await, (200, Some(name.to_lowercase()), Value::Null));
    }
    assert_eq!(ask("opnai", None).await, (400, None, json!("unknown_provider")));
    assert_eq!(ask("mistral", Some("gpt-4o")).await, (503, None, json!("no_candidate")));
}

#[tokio::test]
async fn traffic_is_shared_anew_by_admins_only() {
    let mistral = MistralDouble::builder().start().await.unwrap();
    let openai = OpenAiDouble::start().await.unwrap();
    let gateway = both(&mistral, &openai)
        .yaml(&format!(
            "auth:\n  mode: clients\n  clients:\n    - {{ id: boss, secret_sha256: {}, role: admin }}\n    - {{ id: app, \
             secret_sha256: {} }}\n",
            digest("admin-secret-0123456789"),
            digest("client-secret-0123456789")
        ))
        .start();
    let put = async |secret: &str, body: Value| {
        let request = gateway.client.put(gateway.url("/api/v1/llm-providers/routing")).bearer_auth(secret).json(&body);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let all_to_openai = json!({ "weights": { "openai": 100 } });
    assert_eq!(put("client-secret-0123456789", all_to_openai.clone()).await.0, 403);
    let (status, body) = put("admin-secret-0123456789", json!({ "weights": { "opnai": 100 } })).await;
    assert_eq!((status, &body["error"]["code"]), (400, &json!("VALIDATION_ERROR")), "{body}");
    for wrong in [json!({}), json!({ "weights": "all" }), json!([])] {
        let (status, body) = put("admin-secret-0123456789", wrong).await;
        assert_eq!((status, &body["error"]["code"]), (400, &json!("VALIDATION_ERROR")), "{body}");
    }
    let test = async |secret: &str| {
        let request = gateway.client.post(gateway.url("/api/v1/llm-providers/openai/test")).bearer_auth(secret);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!((test("client-secret-0123456789").await, test("admin-secret-0123456789").await), (403, 200));
    let (status, body) = put("admin-secret-0123456789", all_to_openai).await;
    assert_eq!((status, &body["weights"]), (200, &json!({ "mistral": 0, "openai": 100 })), "{body}");
    for _ in 0..20 {
        let request = gateway.client.post(gateway.url("/api/request")).bearer_auth("client-secret-0123456789");
        let answer: Value = request.json(&json!({ "query": "Hello" })).send().await.unwrap().json().await.unwrap();
        assert_eq!(answer["metadata"]["provider"], "openai", "{answer}");
    }
    put("admin-secret-0123456789", json!({ "weights": { "openai": 1, "mistral": 3 } })).await;

    let database = rusqlite::Connection::open(gateway.folder().join("octroi.db")).unwrap();
    let mut statement =
        database.prepare("SELECT body FROM records WHERE kind = 'routing_change' ORDER BY place").unwrap();
    let bodies = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let changes: Vec<Value> = bodies.map(|body| serde_json::from_str(&body.unwrap()).unwrap()).collect();
    let told: Vec<_> = changes.iter().map(|it| (&it["client"], &it["tenant"], &it["before"], &it["after"])).collect();
    let boss = json!("boss");
    let (first, openai, uneven) = (
        json!({ "mistral": 1.0, "openai": 1.0 }),
        json!({ "mistral": 0.0, "openai": 1.0 }),
        json!({ "mistral": 0.75, "openai": 0.25 }),
    );
    assert_eq!(
        told,
        [(&boss, &boss, &first, &openai), (&boss, &boss, &openai, &uneven)],
        "refused ones leave no record"
    );

    let prepared = gateway.prepared.as_ref().unwrap();
    let run = |arguments: &[&str]| {
        let output = prepared.command(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let exported = run(&["audit", "export"]);
    let changes = exported.lines().filter(|line| line.contains("\"routing_change\"")).count();
    assert_eq!(changes, 2, "{exported}");
    run(&["audit", "verify"]);
}

#[tokio::test]
async fn prices_are_told_and_a_file_goes_over_them() {
    let mistral = MistralDouble::builder().start().await.unwrap();
    let openai = OpenAiDouble::start().await.unwrap();
    let prices = r#"{"mistral":{"as_of":"2026-11-01","models":[
        {"ids":["mistral-small-latest"],"input":1000,"output":2000},
        {"ids":["mistral-large-latest"],"input":0,"output":0,"image":0.25}]}}"#;
    let prepared = both(&mistral, &openai).yaml("routing: { prices: prices.json }\n").prepare();
    std::fs::write(prepared.path().join("prices.json"), prices).unwrap();
    let gateway = prepared.start();
    let one = gateway.get("/api/v1/pricing?provider=openai&model=gpt-4o").await;
    assert_eq!(
        (one.status, &one.body["pricing"]),
        (200, &json!({ "input_per_1k": 0.0025, "cached_input_per_1k": 0.00125, "output_per_1k": 0.01 })),
        "{one:?}"
    );
    assert_eq!(one.body["factors"], json!({ "priority": 1.7 }), "{one:?}");
    let long = gateway.get("/api/v1/pricing?provider=openai&model=gpt-5.4").await.body["long_prompt"].clone();
    assert_eq!((&long["above"], &long["pricing"]["input_per_1k"]), (&json!(272_000), &json!(0.005)), "{long}");
    let ours = gateway.get("/api/v1/pricing?provider=mistral&model=mistral-small-latest").await.body;
    assert_eq!((&ours["pricing"]["input_per_1k"], &ours["as_of"]), (&json!(1.0), &json!("2026-11-01")), "{ours}");
    assert_eq!(
        ours["factors"],
        json!({ "regional": 1.1, "priority": 1.75 }),
        "those of the shipped table stay: {ours}"
    );
    let all = gateway.get("/api/v1/pricing").await.body["pricing"].as_array().unwrap().clone();
    assert!(all.len() > 50 && all.iter().all(|row| row["model"].is_string() && row["provider"].is_string()));
    let unknown = gateway.get("/api/v1/pricing?provider=openai&model=nothing").await;
    assert_eq!((unknown.status, &unknown.body["error"]), (404, &json!("Not Found")), "{unknown:?}");

    let answer = gateway.post("/api/request", json!({ "query": "Hello", "context": { "provider": "mistral" } })).await;
    assert!(answer.body["metadata"]["cost_usd"].as_f64().unwrap() > 0.001, "{answer:?}");

    let large = gateway.get("/api/v1/pricing?provider=mistral&model=mistral-large-latest").await.body;
    assert_eq!(large["pricing"]["per_image"], 0.25, "{large}");
    let image = json!({ "type": "image_url", "image_url": { "url": "https://example.com/a.png" } });
    let ask = json!({ "model": "mistral-large-latest", "messages": [
        { "role": "user", "content": [{ "type": "text", "text": "Which?" }, image, image] }] });
    for streams in [false, true] {
        if streams {
            assert!(streamed(&gateway, ask.clone()).await.1);
        } else {
            assert_eq!(gateway.post("/v1/chat/completions", ask.clone()).await.status, 200);
        }
        let record = &gateway.search_as("community", json!({ "limit": 1 })).await[0];
        assert_eq!(record["cost"], 0.5, "two images: {record}");
    }
}

#[tokio::test]
async fn past_the_bound_on_bytes_in_flight_the_answer_is_429() {
    let mistral = MistralDouble::builder().start().await.unwrap();
    let gate = Gate::before(mistral.address()).await;
    let mut setup = Setup::with(&mistral).yaml("server: { listen: \"127.0.0.1:0\", max_bytes_in_flight: 1MiB }\n");
    setup.double = setup.double.map(|yaml| yaml.replace(&mistral.origin(), &gate.origin()));
    let gateway = setup.prepare().unhurried().start();
    gate.shut();
    let large = "word ".repeat(130_000);
    let (first, (status, retry_after)) = tokio::join!(gateway.ask(&large), async {
        let asked = || mistral.requests().iter().any(|request| request.path().contains("chat"));
        eventually("the model is asked", async || asked()).await;
        let request = gateway.client.post(gateway.url("/v1/chat/completions"));
        let body = json!({ "messages": [{ "role": "user", "content": large }] });
        let answer = request.json(&body).send().await.unwrap();
        gate.open();
        (answer.status().as_u16(), answer.headers().get("retry-after").is_some())
    });
    assert_eq!((status, retry_after), (429, true));
    assert_eq!(first.status, 200, "{first:?}");
    eventually("the room is given back", async || gateway.ask(&large).await.status == 200).await;
}

#[tokio::test]
async fn one_tenant_alone_leaves_room_for_the_others() {
    let mistral = MistralDouble::builder().start().await.unwrap();
    let gate = Gate::before(mistral.address()).await;
    let mut setup = Setup::with(&mistral).yaml(&format!(
        "server: {{ listen: \"127.0.0.1:0\", max_bytes_in_flight: 1MiB }}\nauth:\n  mode: clients\n  clients:\n    - {{ id: \
         one, secret_sha256: {} }}\n    - {{ id: two, secret_sha256: {} }}\n",
        digest("secret-of-one-0123456789"),
        digest("secret-of-two-0123456789")
    ));
    setup.double = setup.double.map(|yaml| yaml.replace(&mistral.origin(), &gate.origin()));
    let gateway = setup.prepare().unhurried().start();
    gate.shut();
    let ask = async |secret: &str, bytes: usize| {
        let request = gateway.client.post(gateway.url("/v1/chat/completions")).bearer_auth(secret);
        let body = json!({ "messages": [{ "role": "user", "content": "word ".repeat(bytes / 5) }] });
        support::answer(request.json(&body).send().await.unwrap()).await
    };
    let asked = |times: usize| mistral.requests().iter().filter(|it| it.path().contains("chat")).count() == times;
    let (large, (refused, small)) = tokio::join!(ask("secret-of-one-0123456789", 600_000), async {
        eventually("the model is asked", async || asked(1)).await;
        let refused = ask("secret-of-one-0123456789", 200_000).await;
        tokio::join!(async { refused }, async {
            let open = async {
                eventually("the model is asked by the other one", async || asked(2)).await;
                gate.open();
            };
            tokio::join!(ask("secret-of-two-0123456789", 100_000), open).0
        })
    });
    assert_eq!((refused.status, &refused.body["code"]), (429, &json!("no_room")), "{refused:?}");
    assert_eq!((large.status, small.status), (200, 200), "{large:?} {small:?}");
}

#[tokio::test]
async fn a_stream_holds_its_requests_room_until_its_end() {
    let mistral = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&mistral).prepare().unhurried().start();
    mistral.script(mistral_double::Rule::once(
        mistral_double::Behaviour::text("one two three").between_chunks(std::time::Duration::from_secs(60)),
    ));
    let body = json!({ "stream": true, "messages": [{ "role": "user", "content": "word ".repeat(130_000) }] });
    let request = gateway.client.post(gateway.url("/v1/chat/completions")).json(&body);
    let mut answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.chunk().await.unwrap().is_some());
    assert!(gateway.metric("octroi_bytes_in_flight").await >= 650_000.0);
    drop(answer);
    eventually("the room is given back", async || gateway.metric("octroi_bytes_in_flight").await == 0.0).await;
}

#[tokio::test]
async fn codestrals_host_has_a_key_of_its_own_and_no_list_of_models() {
    let codestral = MistralDouble::builder().host(mistral_double::Host::Codestral).start().await.unwrap();
    let yaml = format!(
        "llm_providers:\n  codestral:\n    type: mistral\n    credentials: {{ api_key: \"{}\" }}\n    config: {{ endpoint: \
         \"{}\", model: codestral-latest }}\n",
        mistral_double::DEFAULT_CODESTRAL_KEY,
        codestral.origin()
    );
    let gateway = Setup::without_provider().yaml(&yaml).start();
    let filled = gateway.post("/v1/fim/completions", json!({ "prompt": "fn a() {", "suffix": "}" })).await;
    assert_eq!(filled.status, 200, "{filled:?}");
    codestral.wait_until(|stats| stats.received > 1).await.unwrap();
    eventually("the probe has been answered", async || {
        let health = gateway.get("/api/v1/llm-providers/codestral/health").await.body;
        health["health"]["last_checked"].is_string()
    })
    .await;
    let health = gateway.get("/api/v1/llm-providers/codestral/health").await.body;
    assert_eq!(health["health"]["status"], "healthy", "{health}");
}

#[tokio::test]
async fn a_model_that_will_be_taken_away_is_shown() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&double).env("MISTRAL_MODEL", "devstral-2512").start();
    let expected =
        json!([{ "model": "devstral-2512", "date": "2026-08-31T12:00:00Z", "replacement": "mistral-medium-3-5" }]);
    eventually("the vendor's list has been read", async || {
        let health = gateway.get("/api/v1/llm-providers/mistral/health").await.body;
        health["health"]["deprecations"] == expected
    })
    .await;

    let date = "2027-01-31T00:00:00Z";
    for streams in [true, false] {
        double.script(mistral_double::Behaviour::text("Yes.").deprecated(date));
        let messages = json!([{ "role": "user", "content": "Hi" }]);
        let body = json!({ "model": "ministral-8b-2512", "messages": messages, "stream": streams });
        let request = gateway.client.post(gateway.url("/v1/chat/completions")).json(&body);
        let answer = request.send().await.unwrap();
        let told = answer.headers().get("x-model-deprecation-timestamp").map(|it| it.to_str().unwrap().to_owned());
        assert_eq!((answer.status().as_u16(), told), (200, (!streams).then(|| date.to_owned())));
        let health = gateway.get("/api/v1/llm-providers/mistral/health").await.body;
        let announced = json!({ "model": "ministral-8b-2512", "date": date });
        assert_eq!(health["health"]["deprecations"], json!([expected[0], announced]), "{health}");
    }
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

/// The text of a stream, and the last usage that it told.
fn told(chunks: &[Value]) -> (String, Value) {
    let text = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    (text, chunks.iter().rev().map(|chunk| chunk["usage"].clone()).find(Value::is_object).unwrap_or_default())
}

#[tokio::test]
async fn a_deployment_whose_model_is_known_has_a_price_and_is_sent_what_that_takes() {
    let azure = openai_double::start(Host::Azure).await.unwrap();
    let gateway = Setup::without_provider()
        .yaml(&format!(
            "llm_providers:\n  azure-openai:\n    credentials: {{ api_key: {KEY} }}\n    config: {{ endpoint: \"{}\", \
             deployment_name: {}, model: o4-mini, api_version: \"2024-10-21\" }}\n",
            azure.origin(),
            openai_double::DEPLOYMENT
        ))
        .start();
    let ask = json!({ "messages": [{ "role": "user", "content": "Hello" }], "temperature": 0.5 });
    let answer = gateway.post("/v1/chat/completions", ask).await;
    assert_eq!(answer.body["choices"][0]["message"]["content"], "You said: Hello", "{answer:?}");
    let sent = azure.chats().pop().unwrap();
    assert_eq!(sent.path(), format!("/openai/deployments/{}/chat/completions", openai_double::DEPLOYMENT));
    assert_eq!(sent.json()["temperature"], Value::Null);
    let record = &gateway.search_as("community", json!({ "limit": 1 })).await[0];
    assert!(record["cost"].as_f64() > Some(0.0), "{record}");
}

#[tokio::test]
async fn azure_is_asked_by_its_deployment_in_its_version_and_with_its_own_header() {
    let azure = openai_double::start(Host::Azure).await.unwrap();
    let setup = || {
        Setup::without_provider()
            .env("AZURE_OPENAI_ENDPOINT", &azure.origin())
            .env("AZURE_OPENAI_API_KEY", KEY)
            .env("AZURE_OPENAI_DEPLOYMENT_NAME", openai_double::DEPLOYMENT)
            .yaml("server: { listen: \"127.0.0.1:0\", honest_status: true }\n")
    };
    let ask = json!({ "messages": [{ "role": "user", "content": "Hello" }], "max_tokens": 9 });
    for (version, bound) in [(None, "max_tokens"), (Some("2024-10-21"), "max_completion_tokens")] {
        let gateway = version.map_or_else(setup, |version| setup().env("AZURE_OPENAI_API_VERSION", version)).start();
        let whole = gateway.post("/v1/chat/completions", ask.clone()).await;
        assert_eq!(whole.body["choices"][0]["message"]["content"], "You said: Hello", "{version:?}: {whole:?}");
        let (chunks, done) = streamed(&gateway, ask.clone()).await;
        let (text, usage) = told(&chunks);
        assert_eq!((text.as_str(), done), ("You said: Hello", true), "{version:?}: {chunks:?}");
        assert!(chunks.iter().all(|chunk| chunk["id"] != ""), "the filter's first word is nothing: {chunks:?}");
        // An older version cannot be asked to count.
        assert_eq!(usage.is_object(), version.is_some(), "{chunks:?}");
        let record = &gateway.search_as("community", json!({ "limit": 1 })).await[0];
        assert_eq!(record["policy_details"]["estimated"] == true, version.is_none(), "{record}");
        assert!(record["tokens_used"].as_u64() > Some(0), "{record}");

        let sent = azure.chats().pop().unwrap();
        assert_eq!(sent.path(), "/openai/deployments/acme-gpt/chat/completions");
        assert_eq!(sent.uri.query(), Some(format!("api-version={}", version.unwrap_or("2024-08-01-preview")).as_str()));
        assert_eq!((&sent.json()[bound], sent.header("api-key")), (&json!(9), Some(KEY)));
        eventually("the probe was answered", async || {
            gateway.get("/api/v1/llm-providers/azure-openai/health").await.body["health"]["status"] == "healthy"
        })
        .await;
    }
    for (name, value, code) in [
        ("AZURE_OPENAI_API_KEY", "wrong", "upstream_unauthorized"),
        ("AZURE_OPENAI_API_VERSION", "2019-01-01", "endpoint_not_found"),
        ("AZURE_OPENAI_DEPLOYMENT_NAME", "nobodys", "model_not_found"),
    ] {
        let gateway = setup().env(name, value).start();
        let refused = gateway.ask("Hello").await;
        assert_eq!(refused.body["metadata"]["error_code"], code, "{name}: {refused:?}");
    }
}

#[tokio::test]
async fn ollama_is_asked_without_a_key_and_costs_nothing() {
    let ollama = openai_double::start(Host::Ollama).await.unwrap();
    let gateway = Setup::without_provider().env("OLLAMA_ENDPOINT", &ollama.origin()).start();
    let ask = json!({ "model": "llama3.1", "messages": [{ "role": "user", "content": "Hello" }], "max_tokens": 9 });
    let whole = gateway.post("/v1/chat/completions", ask.clone()).await;
    assert_eq!(whole.body["choices"][0]["message"]["content"], "You said: Hello", "{whole:?}");
    let (chunks, done) = streamed(&gateway, ask).await;
    let (text, usage) = told(&chunks);
    assert_eq!((text.as_str(), done), ("You said: Hello", true), "{chunks:?}");
    assert!(usage["total_tokens"].as_u64() > Some(0), "{usage}");
    let record = &gateway.search_as("community", json!({ "limit": 1 })).await[0];
    assert_eq!((&record["provider"], &record["cost"]), (&json!("ollama"), &json!(0.0)), "{record}");
    let sent = ollama.chats().pop().unwrap();
    // It passes over the bound's newer name.
    assert_eq!((sent.header("authorization"), &sent.json()["max_tokens"]), (None, &json!(9)));
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
