//! What is peculiar to one host: its protocol, its key, its versions.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use mistral_double::MistralDouble;
use openai_double::{Host, KEY, OpenAiDouble};
use serde_json::{Value, json};

use super::streamed;
use super::support::{self, Setup, eventually};

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
    assert!(gateway.log.count("Incorrect API key provided.").await > 0, "they are in the log");
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
async fn codestrals_host_has_a_key_of_its_own_and_no_list_of_models() {
    let codestral = MistralDouble::builder().host(mistral_double::Host::Codestral).start().await.unwrap();
    let yaml = format!(
        "llm_providers:\n  codestral:\n    type: mistral\n    credentials: {{ api_key: \"{}\" }}\n    config: {{ endpoint: \
         \"{}\", model: codestral-latest }}\n",
        mistral_double::DEFAULT_CODESTRAL_KEY,
        codestral.origin()
    );
    let gateway = Setup::without_provider().yaml(&yaml).start();
    // Before any request, which would tell of health by itself.
    eventually("the probe was answered, though this host lists no models", async || {
        gateway.get("/api/v1/llm-providers/codestral/health").await.body["health"]["status"] == "healthy"
    })
    .await;
    let filled = gateway.post("/v1/fim/completions", json!({ "prompt": "fn a() {", "suffix": "}" })).await;
    assert_eq!(filled.status, 200, "{filled:?}");
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
