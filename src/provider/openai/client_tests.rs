//! What a provider of this dialect is made from, where it sends what, and which names it takes.

use std::time::Duration;

use super::*;
use crate::chat::{Message, ReasoningEffort, Role, Usage};
use crate::provider::Prices;
use crate::provider::upstream::canned::{Server, reply};

fn settings(kind: Kind) -> Settings {
    Settings {
        api_key: Some(ApiKey::new("sk-very-secret").unwrap()),
        prices: Prices::shipped().unwrap().of(kind.as_str(), kind),
        ..Settings::new(kind, "https://host.example/base/v1", "llama3.1:latest")
            .with(|entry| entry.timeout = Duration::from_secs(5))
    }
}

#[test]
fn each_kind_has_its_address() {
    let url = |settings, model: &str| OpenAi::new(settings).unwrap().chat_url(model).to_string();
    assert_eq!(url(settings(Kind::OpenAi), "gpt-4o"), "https://host.example/base/v1/chat/completions");
    assert_eq!(
        url(settings(Kind::AzureOpenAi), "my gpt/../4"),
        "https://host.example/base/openai/deployments/my%20gpt%2F..%2F4/chat/completions?api-version=2024-08-01-preview"
    );
    let models = |kind| OpenAi::new(settings(kind)).unwrap().models_url().to_string();
    assert_eq!(models(Kind::OpenAi), "https://host.example/base/v1/models");
    assert_eq!(models(Kind::AzureOpenAi), "https://host.example/base/openai/models?api-version=2024-08-01-preview");
}

#[test]
fn an_address_with_a_version_of_its_own_gets_no_other() {
    for (kind, endpoint, chat) in [
        (Kind::OpenAiCompatible, "https://host.example/api/paas/v4/", "/api/paas/v4/chat/completions"),
        (Kind::OpenAiCompatible, "https://host.example/v1beta/openai", "/v1beta/openai/chat/completions"),
        (Kind::OpenAiCompatible, "https://models.github.ai/inference", "/inference/chat/completions"),
        (Kind::OpenAiCompatible, "https://host.example/openai", "/openai/v1/chat/completions"),
        (Kind::OpenAiCompatible, "https://host.example/openai/v1", "/openai/v1/chat/completions"),
        (Kind::OpenAiCompatible, "https://host.example", "/v1/chat/completions"),
        (Kind::OpenAi, "https://host.example/proxy/v4", "/proxy/v4/v1/chat/completions"),
    ] {
        let made = OpenAi::new(settings(kind).at(endpoint)).unwrap();
        assert_eq!(made.chat_url("m").path(), chat, "{endpoint}");
        assert_eq!(made.models_url().path(), chat.replace("chat/completions", "models"), "{endpoint}");
    }
}

#[test]
fn a_regional_host_tells_its_region_unless_the_configuration_does() {
    for (endpoint, configured, expected) in [
        ("https://api.openai.com", None, None),
        ("https://eu.api.openai.com/v1", None, Some("eu")),
        ("https://eu.api.openai.com/v1", Some("europe"), Some("europe")),
        ("https://a.b.api.openai.com", None, None),
        ("https://eu.api.openai.com.evil.example", None, None),
    ] {
        let region = configured.map(str::to_owned);
        let made = settings(Kind::OpenAi).at(endpoint).with(|entry| entry.region = region);
        assert_eq!(OpenAi::new(made).unwrap().info().region.as_deref(), expected, "{endpoint}");
    }
}

#[test]
fn the_bound_has_the_name_that_the_version_knows() {
    let bound = |kind, version: Option<&str>| {
        OpenAi::new(settings(kind).with(|entry| entry.api_version = version.map(str::to_owned))).unwrap().bound()
    };
    assert_eq!(bound(Kind::OpenAi, None), Bound::CompletionTokens);
    assert_eq!(bound(Kind::AzureOpenAi, None), Bound::Tokens);
    assert_eq!(bound(Kind::AzureOpenAi, Some("2024-10-21")), Bound::CompletionTokens);
    assert_eq!(bound(Kind::Ollama, None), Bound::Tokens);
    assert_eq!(bound(Kind::OpenAiCompatible, None), Bound::Tokens);
}

#[test]
fn a_stream_is_asked_for_its_tokens_by_versions_that_know_how() {
    let usage = |kind, version: Option<&str>| {
        OpenAi::new(settings(kind).with(|entry| entry.api_version = version.map(str::to_owned))).unwrap().stream_usage()
    };
    assert_eq!(usage(Kind::AzureOpenAi, None), StreamUsage::Unasked);
    assert_eq!(usage(Kind::AzureOpenAi, Some("2024-10-21")), StreamUsage::Asked);
    assert_eq!(usage(Kind::Ollama, None), StreamUsage::Asked);
}

#[test]
fn reasoning_goes_back_to_servers_that_take_it() {
    for (kind, endpoint, listed, expected) in [
        (Kind::OpenAiCompatible, "https://api.deepseek.com", None, Thinking::Replay),
        (Kind::OpenAiCompatible, "https://api.deepseek.com", Some("other"), Thinking::Replay),
        (Kind::OpenAiCompatible, "https://api.deepseek.com", Some("m"), Thinking::Drop),
        (Kind::OpenAiCompatible, "https://api.deepseek.com", Some("*"), Thinking::Drop),
        (Kind::OpenAiCompatible, "https://api.groq.com/openai/v1", None, Thinking::Drop),
        (Kind::OpenAiCompatible, "https://eu.api.openai.com", None, Thinking::Drop),
        (Kind::OpenAiCompatible, "https://codestral.mistral.ai", None, Thinking::Drop),
        (Kind::OpenAiCompatible, "https://notmistral.ai", None, Thinking::Replay),
        (Kind::OpenAi, "https://api.openai.com", None, Thinking::Drop),
        (Kind::AzureOpenAi, "https://host.example", None, Thinking::Drop),
        (Kind::Ollama, "http://localhost:11434", None, Thinking::Drop),
    ] {
        let without_reasoning_content = listed.into_iter().map(str::to_owned).collect();
        let made =
            settings(kind).at(endpoint).with(|entry| entry.without_reasoning_content = without_reasoning_content);
        assert_eq!(OpenAi::new(made).unwrap().thinking("m"), expected, "{kind} {endpoint} {listed:?}");
    }
}

#[test]
fn googles_signature_goes_to_servers_that_take_foreign_fields() {
    for (kind, endpoint, expected) in [
        (Kind::OpenAiCompatible, "https://generativelanguage.googleapis.com/v1beta/openai", Signatures::Replay),
        (Kind::OpenAiCompatible, "https://api.groq.com/openai/v1", Signatures::Drop),
        (Kind::OpenAi, "https://api.openai.com", Signatures::Drop),
        (Kind::Ollama, "http://localhost:11434", Signatures::Drop),
    ] {
        let made = settings(kind).at(endpoint).with(|entry| entry.without_reasoning_content = vec!["*".to_owned()]);
        assert_eq!(
            OpenAi::new(made).unwrap().options("m", None, Effort::Sent).signatures,
            expected,
            "{kind} {endpoint}"
        );
    }
}

#[test]
fn a_vendor_that_judges_has_a_model_for_that() {
    for (kind, task, model) in [
        (Kind::OpenAi, Task::Moderate, "omni-moderation-latest"),
        (Kind::OpenAi, Task::Chat, "llama3.1:latest"),
        (Kind::OpenAiCompatible, Task::Moderate, "llama3.1:latest"),
    ] {
        let made = OpenAi::new(settings(kind)).unwrap();
        assert_eq!(made.model_of(&ChatRequest::about(task, None, Vec::new())), model, "{kind} {task:?}");
        assert_eq!(made.model_of(&ChatRequest::about(task, Some("m".to_owned()), Vec::new())), "m", "{kind}");
    }
}

#[test]
fn names_of_other_vendors_are_never_asked() {
    for (kind, model, served) in [
        (Kind::OpenAi, "gpt-4o-mini", true),
        (Kind::OpenAi, "o3", true),
        (Kind::OpenAi, "mistral-small-latest", false),
        (Kind::OpenAi, "claude-sonnet-4-20250514", false),
        (Kind::Ollama, "llama3.1", true),
        (Kind::Ollama, "llama3.1:70b", false),
        (Kind::OpenAiCompatible, "llama3.1:latest", true),
        (Kind::OpenAiCompatible, "gpt-4o", false),
        (Kind::AzureOpenAi, "gpt-4o", false),
    ] {
        assert_eq!(OpenAi::new(settings(kind)).unwrap().serves(model), served, "{kind} {model}");
    }
    let listing = settings(Kind::OpenAi).with(|entry| entry.models = vec!["a".into()]);
    let listing = OpenAi::new(listing).unwrap();
    assert!(listing.serves("a") && !listing.serves("gpt-4o"));
    let all = OpenAi::new(settings(Kind::OpenAiCompatible).with(|entry| entry.models = vec!["*".into()])).unwrap();
    assert!(all.serves("anything"));
}

#[test]
fn what_is_on_its_list_is_asked_of_it_unless_it_is_plainly_anothers() {
    let listed = br#"{"data": [{"id": "qwen2.5:latest"}, {"id": "mistral-small-latest"}, {"id": "gemini-3.5-flash"}]}"#;
    for (kind, model, served) in [
        (Kind::Ollama, "qwen2.5:latest", true),
        (Kind::Ollama, "qwen2.5", true),
        (Kind::Ollama, "qwen2.5:7b", false),
        (Kind::Ollama, "gemini-3.5-flash", false),
        (Kind::OpenAi, "qwen2.5:latest", true),
        (Kind::OpenAi, "qwen2.5", false),
        (Kind::OpenAi, "mistral-small-latest", false),
        (Kind::OpenAiCompatible, "qwen2.5:latest", false),
        (Kind::AzureOpenAi, "qwen2.5:latest", false),
    ] {
        let made = OpenAi::new(settings(kind)).unwrap();
        made.catalogue.read(listed, &made.models_url());
        assert_eq!(made.serves(model), served, "{kind} {model}");
    }
}

#[test]
fn only_ones_own_servers_may_do_without_a_key() {
    for (kind, works) in
        [(Kind::OpenAi, false), (Kind::AzureOpenAi, false), (Kind::Ollama, true), (Kind::OpenAiCompatible, true)]
    {
        let made = OpenAi::new(Settings { api_key: None, ..settings(kind) });
        assert_eq!(made.is_ok(), works, "{kind}");
        assert!(made.as_ref().map_or(true, |it| !it.info().has_api_key), "{kind}");
        assert!(made.is_ok_and(|it| !format!("{it:?}").contains("secret")) == works);
    }
    let keyed = OpenAi::new(settings(Kind::AzureOpenAi)).unwrap();
    assert!(keyed.info().has_api_key);
    let printed = format!("{keyed:?}");
    assert!(!printed.contains("very-secret"), "{printed}");
}

#[test]
fn the_key_is_sent_in_the_header_that_the_host_reads() {
    let key = ApiKey::new("sk-very-secret").unwrap();
    let (own, bearer) = (("api-key", "sk-very-secret"), ("authorization", "Bearer sk-very-secret"));
    for (kind, endpoint, expected) in [
        (Kind::AzureOpenAi, "https://acme.openai.azure.com", own),
        (Kind::AzureOpenAi, "https://acme.cognitiveservices.azure.com", bearer),
        (Kind::AzureOpenAi, "https://ACME.CognitiveServices.Azure.com/base", bearer),
        (Kind::AzureOpenAi, "https://acmecognitiveservices.azure.com", own),
        (Kind::AzureOpenAi, "https://acme.cognitiveservices.azure.com.example", own),
        (Kind::AzureOpenAi, "https://host.example/.cognitiveservices.azure.com", own),
        (Kind::AzureOpenAi, "http://127.0.0.1:8080", own),
        (Kind::OpenAi, "https://api.openai.com", bearer),
        (Kind::OpenAi, "https://acme.openai.azure.com", bearer),
        (Kind::OpenAiCompatible, "https://host.example", bearer),
        (Kind::Ollama, "http://127.0.0.1:11434", bearer),
    ] {
        let sent = credential(kind, &Url::parse(endpoint).unwrap(), &key).unwrap();
        let sent: Vec<_> = sent.headers().iter().map(|(name, it)| (name.as_str(), it.to_str().unwrap())).collect();
        assert_eq!(sent, [expected], "{kind} {endpoint}");
    }
}

#[test]
fn what_is_not_known_has_no_price() {
    let price = |kind| OpenAi::new(settings(kind)).unwrap().price("m", &Usage::default());
    assert_eq!(price(Kind::Ollama), Some(0.0));
    assert_eq!(price(Kind::OpenAi), None);
}

#[tokio::test]
async fn a_model_that_reasons_is_not_sent_what_it_refuses() {
    let double = openai_double::OpenAiDouble::start().await.unwrap();
    let api_key = Some(ApiKey::new(openai_double::KEY).unwrap());
    let made = || Settings { api_key: api_key.clone(), ..settings(Kind::OpenAi).at(&double.origin()) };
    let all = "frequency_penalty, logit_bias, logprobs, presence_penalty, stop, temperature, top_logprobs, top_p";
    let with_effort = Some(ReasoningEffort::Low);
    for (model, effort, left_out) in [
        ("gpt-4o", None, None),
        (
            "o4-mini",
            None,
            Some(
                "frequency_penalty, logit_bias, logprobs, parallel_tool_calls, presence_penalty, stop, temperature, top_logprobs and 1 more",
            ),
        ),
        (
            "o3-mini",
            None,
            Some(
                "frequency_penalty, logit_bias, logprobs, parallel_tool_calls, presence_penalty, temperature, top_logprobs, top_p",
            ),
        ),
        ("gpt-5-mini", None, Some(all)),
        ("gpt-5.2", None, Some("frequency_penalty, logit_bias, presence_penalty, stop")),
        ("gpt-5.2", Some(ReasoningEffort::None), Some("frequency_penalty, logit_bias, presence_penalty, stop")),
        ("gpt-5.2", with_effort, Some(all)),
    ] {
        let request = ChatRequest {
            model: Some(model.to_owned()),
            messages: vec![Message::text(Role::User, "Hi")],
            max_tokens: Some(9),
            temperature: Some(0.2),
            top_p: Some(0.5),
            presence_penalty: Some(0.5),
            frequency_penalty: Some(0.5),
            stop: vec!["END".to_owned()],
            tools: serde_json::from_str(r#"[{"type":"function","function":{"name":"look"}}]"#).unwrap(),
            parallel_tool_calls: Some(false),
            reasoning_effort: effort,
            extra: serde_json::from_str(r#"{"logprobs":true,"top_logprobs":2,"logit_bias":{"1":2}}"#).unwrap(),
            ..ChatRequest::default()
        };
        let answer = OpenAi::new(made()).unwrap().chat(&request).await.unwrap();
        let note = left_out.map(|names| format!("fields left out that the model does not take: {names}"));
        assert_eq!(answer.notes, note.into_iter().collect::<Vec<_>>(), "{model} {effort:?}");

        // What is as it is anyway is not missed.
        let usual = ChatRequest {
            temperature: Some(1.0),
            top_p: Some(1.0),
            presence_penalty: Some(0.0),
            frequency_penalty: Some(0.0),
            parallel_tool_calls: Some(true),
            stop: Vec::new(),
            extra: serde_json::from_str(r#"{"logprobs":false}"#).unwrap(),
            ..request
        };
        let answer = OpenAi::new(made()).unwrap().chat(&usual).await.unwrap();
        assert_eq!(answer.notes, Vec::<String>::new(), "{model} {effort:?}");
    }
}

#[tokio::test]
async fn a_model_of_ollamas_that_does_not_think_is_asked_again_without_an_effort() {
    let double = openai_double::start(openai_double::Host::Ollama).await.unwrap();
    let made = OpenAi::new(settings(Kind::Ollama).at(&double.origin())).unwrap();
    let refused = "fields left out that the model does not take: reasoning_effort".to_owned();
    for (model, effort, asked, notes) in [
        ("llama3.1", Some(ReasoningEffort::Medium), 2, vec![refused]),
        ("llama3.1", Some(ReasoningEffort::None), 1, vec![]),
        ("llama3.1", None, 1, vec![]),
        ("gpt-oss:20b", Some(ReasoningEffort::Medium), 1, vec![]),
    ] {
        let request = ChatRequest {
            model: Some(model.to_owned()),
            messages: vec![Message::text(Role::User, "Hi")],
            reasoning_effort: effort,
            ..ChatRequest::default()
        };
        let before = double.requests().len();
        let answer = made.chat(&request).await.unwrap();
        assert_eq!((answer.notes, double.requests().len() - before), (notes.clone(), asked), "{model} {effort:?}");
        let streamed = made.stream(&request).await.unwrap();
        assert_eq!((streamed.notes, double.requests().len() - before), (notes, 2 * asked), "{model} {effort:?}");
    }
}

#[tokio::test]
async fn an_error_under_status_200_has_the_class_that_it_tells() {
    for (body, kind, status) in [
        (r#"{"error":{"message":"slow down","code":429}}"#, ErrorKind::RateLimited, 429),
        (
            r#"{"error":{"message":"no such model","code":"model_not_found"}, "choices":[]}"#,
            ErrorKind::UpstreamFailed,
            500,
        ),
        (r#"{"error":{"message":"Provider returned error","code":502}}"#, ErrorKind::UpstreamFailed, 502),
        (r#"{"id":"x","choices":[]}"#, ErrorKind::MalformedAnswer, 200),
        ("<html>", ErrorKind::MalformedAnswer, 200),
    ] {
        for task in [Task::Chat, Task::Embed] {
            let server = Server::start(reply("200 OK", "", body)).await;
            let made = settings(Kind::OpenAiCompatible).at(&server.origin);
            let request = ChatRequest::about(task, None, vec!["Hi".to_owned()]);
            let error = OpenAi::new(made).unwrap().chat(&request).await.unwrap_err();
            assert_eq!((error.kind(), error.status()), (kind, Some(status)), "{task:?} {body}");
        }
    }
}

#[tokio::test]
async fn a_server_without_a_list_of_models_says_so_in_its_own_words() {
    const LACKS_SCOPE: &str = r#"{"error":{"message":"You have insufficient permissions for this operation. Missing scopes: api.model.read.","type":"invalid_request_error","param":null,"code":null}}"#;
    let no_route = Some(ErrorKind::EndpointNotFound);
    for (kind, status, body, expected) in [
        (Kind::OpenAiCompatible, "200 OK", r#"[{"id":"meta-llama/Llama-3"}]"#, None),
        (Kind::OpenAiCompatible, "200 OK", "<html>", None),
        (Kind::OpenAiCompatible, "404 Not Found", "", no_route),
        (Kind::OpenAiCompatible, "405 Method Not Allowed", r#"{"detail":"Method Not Allowed"}"#, no_route),
        (Kind::OpenAiCompatible, "501 Not Implemented", "", no_route),
        (Kind::OpenAiCompatible, "503 Service Unavailable", "", Some(ErrorKind::UpstreamUnavailable)),
        (Kind::OpenAi, "405 Method Not Allowed", "", no_route),
        (Kind::OpenAi, "401 Unauthorized", LACKS_SCOPE, no_route),
        (Kind::OpenAi, "403 Forbidden", LACKS_SCOPE, no_route),
        (
            Kind::OpenAi,
            "401 Unauthorized",
            r#"{"error":{"message":"Incorrect API key provided"}}"#,
            Some(ErrorKind::Unauthorized),
        ),
        (Kind::OpenAi, "403 Forbidden", "", Some(ErrorKind::Forbidden)),
    ] {
        let server = Server::start(reply(status, "", body)).await;
        let made = settings(kind).at(&server.origin);
        let probed = OpenAi::new(made).unwrap().probe().await;
        assert_eq!(probed.err().map(|error| error.kind()), expected, "{kind}: {status} {body}");
    }
}
