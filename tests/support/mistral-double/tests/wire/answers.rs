//! What is answered in one piece.

use mistral_double::{Behaviour, EmptyContent, MistralDouble, RateLimitHeaders, ToolCall, ToolCallForm, UsageForm};
use serde_json::{Value, json};

use crate::client::{asking, chat, double, get, post};

fn message(answer: &Value) -> &Value {
    &answer["choices"][0]["message"]
}

#[tokio::test]
async fn the_answer_echoes_the_question_in_mistrals_shape() {
    let double = double().await;
    let answer = chat(&double, &asking("What is an octroi?", &json!({}))).await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("mistral-correlation-id").unwrap().len(), 36);
    let body = answer.json();
    assert_eq!(message(&body)["content"], "Offline double of Mistral: you asked: What is an octroi?");
    assert_eq!(message(&body)["tool_calls"], Value::Null);
    assert!(message(&body).as_object().unwrap().contains_key("tool_calls"));
    assert_eq!((&body["object"], &body["model"]), (&json!("chat.completion"), &json!("mistral-small-latest")));
    let id = body["id"].as_str().unwrap();
    assert!(id.len() == 32 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));
    let usage = &body["usage"];
    assert_eq!(
        usage["total_tokens"].as_u64().unwrap(),
        usage["prompt_tokens"].as_u64().unwrap() + usage["completion_tokens"].as_u64().unwrap()
    );
    assert_eq!(usage["prompt_tokens_details"]["cached_tokens"], 0);
    assert_eq!(usage["service_tier"], "standard");
    assert_eq!(answer.header("x-ratelimit-tokens-query-cost"), Some(usage["total_tokens"].to_string().as_str()));
    let again = chat(&double, &asking("What is an octroi?", &json!({}))).await.json();
    assert_eq!((&again["choices"], &again["usage"]), (&body["choices"], &body["usage"]));
}

#[tokio::test]
async fn the_request_shapes_the_text() {
    let double = double().await;
    let schema = json!({ "type": "object", "properties": { "total": { "type": "integer" } }, "required": ["total"] });
    let format =
        json!({ "response_format": { "type": "json_schema", "json_schema": { "name": "s", "schema": schema } } });
    let prefix = json!({ "messages": [{ "role": "user", "content": "Go" },
        { "role": "assistant", "content": "Sure:", "prefix": true }] });
    let list = json!({ "messages": [{ "role": "user", "content": [{ "type": "text", "text": "in " },
        { "type": "text", "text": "parts" }] }] });
    let long = "é".repeat(300);
    let cases = [
        (asking("hi", &format), r#"{"total":1}"#.to_owned(), "stop"),
        (asking("hi", &json!({ "max_tokens": 2 })), "Offline double".to_owned(), "length"),
        (asking("hi", &json!({ "stop": ["you", "of"] })), "Offline double ".to_owned(), "stop"),
        (asking("", &prefix), "Sure: (offline double of Mistral, you asked: Go)".to_owned(), "stop"),
        (asking("", &list), "Offline double of Mistral: you asked: in parts".to_owned(), "stop"),
        (asking(&long, &json!({})), format!("Offline double of Mistral: you asked: {}", "é".repeat(200)), "stop"),
    ];
    for (body, text, finish) in cases {
        let answer = chat(&double, &body).await.json();
        assert_eq!(message(&answer)["content"], text);
        assert_eq!(answer["choices"][0]["finish_reason"], finish);
    }
    let answer = chat(&double, &asking("hi", &json!({ "response_format": { "type": "json_object" } }))).await.json();
    let inner: Value = serde_json::from_str(message(&answer)["content"].as_str().unwrap()).unwrap();
    assert_eq!(inner["you_asked"], "hi");
    assert_eq!(chat(&double, &asking("hi", &json!({ "n": 3 }))).await.json()["choices"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_forced_tool_is_called_with_fitting_arguments() {
    let double = double().await;
    let tool = |name: &str| {
        json!({ "type": "function", "function": { "name": name, "parameters":
            { "type": "object", "properties": { "city": { "type": "string" } } } } })
    };
    let tools = json!([tool("first"), tool("second")]);
    for (choice, name) in [
        (json!("any"), Some("first")),
        (json!("required"), Some("first")),
        (json!({ "type": "function", "function": { "name": "second" } }), Some("second")),
        (json!("auto"), None),
        (json!("none"), None),
    ] {
        let answer = chat(&double, &asking("hi", &json!({ "tools": tools, "tool_choice": choice }))).await.json();
        let Some(name) = name else {
            assert_eq!(answer["choices"][0]["finish_reason"], "stop");
            continue;
        };
        assert_eq!(answer["choices"][0]["finish_reason"], "tool_calls");
        assert_eq!(message(&answer)["content"], "");
        let call = &message(&answer)["tool_calls"][0];
        assert_eq!(
            (&call["function"]["name"], &call["type"], &call["index"]),
            (&json!(name), &json!("function"), &json!(0))
        );
        assert_eq!(call["function"]["arguments"], r#"{"city":"offline double"}"#);
        let id = call["id"].as_str().unwrap();
        assert!(id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    }
}

#[tokio::test]
async fn scripted_answers_say_what_they_were_told() {
    let double = double().await;
    let calls = || {
        vec![
            ToolCall::new("f", &json!({ "a": 1 })).id("abcDEF123"),
            ToolCall::new("g", &json!({})).arguments_as_object(),
        ]
    };
    double
        .script(Behaviour::tool_calls(calls()).tool_call_form(ToolCallForm::Bare).empty_content(EmptyContent::Absent));
    let answer = chat(&double, &asking("hi", &json!({}))).await.json();
    assert!(!message(&answer).as_object().unwrap().contains_key("content"));
    let first = &message(&answer)["tool_calls"][0];
    assert_eq!(first, &json!({ "id": "abcDEF123", "function": { "name": "f", "arguments": "{\"a\":1}" } }));
    assert_eq!(message(&answer)["tool_calls"][1]["function"]["arguments"], json!({}));

    let parts = vec![json!({ "type": "text", "text": "a" }), json!({ "type": "reference", "reference_ids": [1] })];
    double.script(
        Behaviour::parts(parts.clone())
            .finish_reason("model_length")
            .usage(UsageForm::NumCachedTokens)
            .cached_tokens(128),
    );
    let answer = chat(&double, &asking("hi", &json!({}))).await.json();
    assert_eq!(message(&answer)["content"], json!(parts));
    assert_eq!(answer["choices"][0]["finish_reason"], "model_length");
    assert_eq!(answer["usage"]["num_cached_tokens"], 128);

    double.script(Behaviour::text("x").usage(UsageForm::Absent).deprecated("2026-12-01T00:00:00Z"));
    let answer = chat(&double, &asking("hi", &json!({}))).await;
    assert_eq!(answer.header("x-model-deprecation-timestamp"), Some("2026-12-01T00:00:00Z"));
    assert!(!answer.json().as_object().unwrap().contains_key("usage"));
}

#[tokio::test]
async fn high_effort_thinks_first() {
    let double = double().await;
    let answer = chat(&double, &asking("hi", &json!({ "reasoning_effort": "high" }))).await.json();
    let content = &message(&answer)["content"];
    assert_eq!((&content[0]["type"], &content[0]["closed"]), (&json!("thinking"), &json!(true)));
    assert!(content[0]["thinking"][0]["text"].as_str().unwrap().contains("hi"));
    assert_eq!(content[1]["type"], "text");
    let none = chat(&double, &asking("hi", &json!({ "reasoning_effort": "none" }))).await.json();
    assert!(message(&none)["content"].is_string());
}

#[tokio::test]
async fn a_cache_key_hits_in_blocks_of_64() {
    let double = double().await;
    let long = "word ".repeat(200);
    let answer = chat(&double, &asking(&long, &json!({ "prompt_cache_key": "k" }))).await.json();
    let cached = answer["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap();
    assert!(cached > 0 && cached % 64 == 0);
}

#[tokio::test]
async fn limits_are_reported_in_either_family() {
    for (family, present, absent) in [
        (RateLimitHeaders::Current, "x-ratelimit-remaining-req-minute", "ratelimitbysize-limit"),
        (RateLimitHeaders::Older, "ratelimitbysize-remaining", "x-ratelimit-limit-req-minute"),
    ] {
        let double = MistralDouble::builder().rate_limit_headers(family).start().await.unwrap();
        let answer = chat(&double, &asking("hi", &json!({}))).await;
        assert!(answer.header(present).is_some() && answer.header(absent).is_none());
        assert!(get(&double, "/v1/models").await.header(present).is_none());
    }
}

#[tokio::test]
async fn every_alias_is_a_model_of_its_own() {
    let double = double().await;
    let list = get(&double, "/v1/models").await.json();
    let cards = list["data"].as_array().unwrap();
    let latest = cards.iter().find(|card| card["id"] == "mistral-small-latest").unwrap();
    assert_eq!(latest["name"], "mistral-small-2603");
    assert!(latest["aliases"].as_array().unwrap().contains(&json!("mistral-small-2603")));
    let embed = cards.iter().find(|card| card["id"] == "mistral-embed").unwrap();
    assert!(embed["capabilities"].as_object().unwrap().values().all(|flag| flag == false));
    assert_eq!(&get(&double, "/v1/models/mistral-small-latest").await.json(), latest);
    let one = get(&double, "/v1/models?model=mistral-embed").await.json();
    assert_eq!(one["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_other_endpoints_answer_in_their_shapes() {
    let double = double().await;
    let fim = post(&double, "/v1/fim/completions", &json!({ "model": "codestral-latest", "prompt": "fn a() {" })).await;
    assert_eq!(fim.json()["object"], "chat.completion");
    assert!(message(&fim.json())["content"].as_str().unwrap().contains("fn a() {"));

    let ask = |more: Value| {
        let mut body = json!({ "model": "codestral-embed", "input": ["a", "b"] });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let vectors = post(&double, "/v1/embeddings", &ask(json!({ "output_dimension": 16 }))).await;
    assert!(vectors.header("x-ratelimit-limit-tokens-minute").is_none());
    let vectors = vectors.json();
    let vector: Vec<f64> =
        vectors["data"][1]["embedding"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect();
    assert_eq!((vector.len(), &vectors["data"][1]["index"]), (16, &json!(1)));
    assert!((vector.iter().map(|value| value * value).sum::<f64>() - 1.0).abs() < 1e-3);
    let text = post(&double, "/v1/embeddings", &ask(json!({ "encoding_format": "base64" }))).await.json();
    assert_eq!(text["data"][0]["embedding"].as_str().unwrap().len(), 1536 * 4 / 3 * 4);

    let body = json!({ "model": "mistral-moderation-2603", "input": ["fine", "moderate:pii please"] });
    let verdicts = post(&double, "/v1/moderations", &body).await.json();
    assert_eq!(verdicts["results"][0]["categories"]["pii"], false);
    assert_eq!(verdicts["results"][1]["categories"]["pii"], true);
    assert!(!verdicts["results"][0].as_object().unwrap().contains_key("flagged"));
    let talk = json!([{ "role": "user", "content": "moderate:law" }]);
    for (input, results) in [(talk.clone(), 1), (json!([talk, talk]), 2)] {
        let body = json!({ "model": "mistral-moderation-2603", "input": input });
        let verdicts = post(&double, "/v1/chat/moderations", &body).await.json();
        assert_eq!(verdicts["results"].as_array().unwrap().len(), results);
        assert_eq!(verdicts["results"][0]["categories"]["law"], true);
    }
}
