//! What Mistral refuses.

use hyper::Method;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use mistral_double::{Behaviour, Host, MistralDouble, Quirk, ValidationShape};
use serde_json::{Value, json};

use crate::client::{asking, chat, double, get, post, read, request, send};

/// The pydantic errors of an answer, as `type` and `loc` without `body`.
fn faults(answer: &Value) -> Vec<(String, String)> {
    let list = answer["detail"].as_array().unwrap().iter();
    list.map(|fault| {
        let place = fault["loc"].as_array().unwrap().iter().skip(1);
        let place: Vec<String> =
            place.map(|step| step.as_str().map_or_else(|| step.to_string(), str::to_owned)).collect();
        (fault["type"].as_str().unwrap().to_owned(), place.join("."))
    })
    .collect()
}

#[tokio::test]
async fn fields_outside_the_allow_list_are_422_at_every_level() {
    let double = double().await;
    let user = |message: Value| json!({ "messages": [message] });
    let tool = json!({ "type": "function", "function": { "name": "f", "parameters": {} } });
    let cases = [
        (json!({ "user": "u" }), "user"),
        (json!({ "store": true }), "store"),
        (json!({ "seed": 1 }), "seed"),
        (json!({ "logit_bias": {} }), "logit_bias"),
        (json!({ "max_completion_tokens": 5 }), "max_completion_tokens"),
        (json!({ "stream_options": { "include_usage": true } }), "stream_options"),
        (user(json!({ "role": "user", "content": "a", "name": "n" })), "messages.0.user.name"),
        (
            json!({ "messages": [{ "role": "user", "content": "a" }, { "role": "assistant", "content": "b",
                "reasoning_content": "c" }, { "role": "user", "content": "d" }] }),
            "messages.1.assistant.reasoning_content",
        ),
        (
            json!({ "messages": [{ "role": "assistant", "content": "b", "refusal": null }, { "role": "user", "content": "d" }] }),
            "messages.0.assistant.refusal",
        ),
        (
            user(json!({ "role": "user", "content": [{ "type": "text", "text": "a", "id": "1" }] })),
            "messages.0.user.content.0.text.id",
        ),
        (
            user(json!({ "role": "user", "content": [{ "type": "file", "file_id": "1", "file": {} }] })),
            "messages.0.user.content.0.file.file",
        ),
        (
            json!({ "tools": [{ "type": "function", "strict": true, "function": tool["function"] }] }),
            "tools.0.function.strict",
        ),
        (json!({ "response_format": { "type": "text", "schema": {} } }), "response_format.schema"),
        (json!({ "prediction": { "type": "content", "content": "x", "n": 1 } }), "prediction.n"),
    ];
    for (more, place) in cases {
        let answer = chat(&double, &asking("hi", &more)).await;
        assert_eq!(answer.status, 422, "{more}");
        assert_eq!(faults(&answer.json()), [("extra_forbidden".to_owned(), place.to_owned())], "{more}");
    }
}

#[tokio::test]
async fn values_out_of_range_or_of_the_wrong_type_are_422() {
    let double = double().await;
    let tools: Vec<Value> = (0..129)
        .map(|number| json!({ "type": "function", "function": { "name": format!("f{number}"), "parameters": {} } }))
        .collect();
    let cases = [
        (json!({ "temperature": 1.6 }), "less_than_equal", "temperature"),
        (json!({ "temperature": -0.1 }), "greater_than_equal", "temperature"),
        (json!({ "temperature": "hot" }), "float_type", "temperature"),
        (json!({ "top_p": 0 }), "greater_than", "top_p"),
        (json!({ "top_p": 1.1 }), "less_than_equal", "top_p"),
        (json!({ "max_tokens": -1 }), "greater_than_equal", "max_tokens"),
        (json!({ "max_tokens": 1.5 }), "int_type", "max_tokens"),
        (json!({ "random_seed": -1 }), "greater_than_equal", "random_seed"),
        (json!({ "presence_penalty": 2.5 }), "less_than_equal", "presence_penalty"),
        (json!({ "n": 0 }), "greater_than_equal", "n"),
        (json!({ "stream": "yes" }), "bool_type", "stream"),
        (json!({ "stop": 5 }), "string_type", "stop"),
        (json!({ "tools": [] }), "too_short", "tools"),
        (json!({ "tools": tools }), "too_long", "tools"),
        (json!({ "tool_choice": "sometimes" }), "literal_error", "tool_choice"),
        (
            json!({ "tools": [{ "type": "function", "function": { "name": "f" } }] }),
            "missing",
            "tools.0.function.function.parameters",
        ),
        (json!({ "service_tier": "flex" }), "literal_error", "service_tier"),
        (json!({ "prompt_cache_key": "schlüssel" }), "value_error", "prompt_cache_key"),
        (json!({ "reasoning_effort": "medium" }), "literal_error", "reasoning_effort"),
        (json!({ "response_format": { "type": "json_schema" } }), "value_error", "response_format"),
        (json!({ "response_format": { "type": "xml" } }), "literal_error", "response_format.type"),
        (json!({ "messages": [] }), "too_short", "messages"),
        (json!({ "messages": "hi" }), "list_type", "messages"),
        (json!({ "messages": [{ "role": "developer", "content": "a" }] }), "union_tag_invalid", "messages.0"),
        (json!({ "messages": [{ "role": "function", "content": "a" }] }), "union_tag_invalid", "messages.0"),
        (json!({ "messages": [{ "content": "a" }] }), "union_tag_not_found", "messages.0"),
        (json!({ "messages": [{ "role": "user" }] }), "missing", "messages.0.user.content"),
        (json!({ "messages": [{ "role": "system", "content": null }] }), "string_type", "messages.0.system.content"),
        (
            json!({ "messages": [{ "role": "user", "content": [{ "type": "video" }] }] }),
            "union_tag_invalid",
            "messages.0.user.content.0",
        ),
    ];
    for (more, kind, place) in cases {
        let answer = chat(&double, &asking("hi", &more)).await;
        assert_eq!(answer.status, 422, "{more}");
        assert_eq!(faults(&answer.json()), [(kind.to_owned(), place.to_owned())], "{more}");
    }
}

#[tokio::test]
async fn null_and_the_many_legal_fields_are_taken() {
    let double = double().await;
    let cases = [
        json!({ "stop": null, "temperature": null, "max_tokens": null, "tools": null, "n": null }),
        json!({ "stop": ["a", "b"], "top_p": 1, "temperature": 1.5, "safe_prompt": false, "random_seed": 7 }),
        json!({ "guardrails": [{ "moderation_llm_v2": { "custom_category_thresholds": { "law": 0.5 }, "action": "block" } }] }),
        json!({ "metadata": { "any": ["thing"] }, "parallel_tool_calls": false, "service_tier": "auto" }),
        json!({ "messages": [{ "role": "system", "content": [{ "type": "text", "text": "a" }] },
            { "role": "user", "content": [{ "type": "image_url", "image_url": "https://example.org/a.png" },
            { "type": "image_url", "image_url": { "url": "data:image/png;base64,AAAA", "detail": "low" } }] }] }),
        json!({ "tools": [{ "function": { "name": "f", "parameters": {}, "strict": true } }],
            "tool_choice": { "type": "function", "function": { "name": "f" } } }),
    ];
    for more in cases {
        let answer = chat(&double, &asking("hi", &more)).await;
        assert_eq!(answer.status, 200, "{more}: {}", answer.text());
    }
}

fn call(id: &str) -> Value {
    json!({ "role": "assistant", "content": "", "tool_calls": [{ "id": id, "function": { "name": "f", "arguments": "{}" } }] })
}

fn result(id: &str) -> Value {
    json!({ "role": "tool", "tool_call_id": id, "name": "f", "content": "42" })
}

fn says(role: &str) -> Value {
    json!({ "role": role, "content": "text" })
}

#[tokio::test]
async fn conversations_out_of_order_are_3230_and_bad_ids_3280() {
    let (user, system, assistant) = (says("user"), says("system"), says("assistant"));
    let (call_a, result_a) = (call("abcDEF123"), result("abcDEF123"));
    let prefix = json!({ "role": "assistant", "content": "So", "prefix": true });
    let empty = json!({ "role": "assistant", "content": "" });
    let refused = [
        (vec![&user, &assistant], "3230", "Expected last role"),
        (vec![&assistant], "3230", "must start with a user message"),
        (vec![&user, &result_a], "3230", "Unexpected role 'tool' after role 'user'"),
        (vec![&system, &result_a], "3230", "Unexpected role 'tool' after role 'system'"),
        (vec![&user, &assistant, &system, &user], "3230", "Unexpected role 'system' after role 'assistant'"),
        (vec![&user, &call_a, &result_a, &system, &user], "3230", "Unexpected role 'system' after role 'tool'"),
        (vec![&user, &call_a, &user], "3230", "Not the same number of function calls and responses"),
        (vec![&user, &call_a, &assistant, &user], "3230", "Not the same number"),
        (vec![&user, &call_a, &result_a, &result_a], "3230", "Duplicate tool call id"),
        (vec![&user, &assistant, &result_a], "3230", "Unexpected tool call id"),
        (vec![&user, &prefix, &user], "3230", "prefix True must be last"),
        (vec![&user, &empty, &user], "3230", "either content or tool_calls"),
    ];
    let strict = MistralDouble::builder().quirk(Quirk::RefuseUserAfterTool).start().await.unwrap();
    let double = double().await;
    for (messages, code, message) in refused {
        let answer = chat(&double, &asking("", &json!({ "messages": messages }))).await;
        let body = answer.json();
        assert_eq!((answer.status.as_u16(), &body["code"]), (400, &json!(code)), "{messages:?}");
        assert_eq!(body["object"], "error");
        assert!(body["message"].as_str().unwrap().contains(message), "{body}");
    }
    for bad in ["short", "call_0123456789abcdef", "abc-EF123", "null"] {
        let body = asking("", &json!({ "messages": [user, call(bad), result(bad)] }));
        let answer = chat(&double, &body).await.json();
        assert_eq!(answer["code"], "3280", "{bad}");
        assert_eq!(answer["type"], "invalid_function_call");
    }
    let accepted = [
        vec![&user],
        vec![&system],
        vec![&user, &user],
        vec![&user, &prefix],
        vec![&user, &call_a, &result_a],
        vec![&system, &system, &user, &call_a, &result_a, &assistant, &user],
        vec![&user, &call_a, &result_a, &user],
    ];
    for messages in accepted {
        let body = asking("", &json!({ "messages": messages }));
        let answer = chat(&double, &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let user_after_tool = messages.len() == 4;
        assert_eq!(chat(&strict, &body).await.status == 400, user_after_tool);
    }
}

#[tokio::test]
async fn what_a_model_cannot_do_is_400() {
    let double = double().await;
    let image = json!({ "type": "image_url", "image_url": "https://example.org/a.png" });
    let images = |count| json!([{ "role": "user", "content": vec![image.clone(); count] }]);
    let long = "x ".repeat(140_000);
    let thinking = json!([{ "role": "user", "content": "a" }, { "role": "assistant", "content": [
        { "type": "thinking", "thinking": [{ "type": "text", "text": "hm" }] }, { "type": "text", "text": "b" }] },
        { "role": "user", "content": "c" }]);
    let tool = |name: &str| json!([{ "type": "function", "function": { "name": name, "parameters": {} } }]);
    let cases = [
        (json!({ "model": "gpt-5" }), 400, "1500"),
        (json!({ "model": "mistral-embed" }), 400, "1500"),
        (json!({ "model": "mistral-small-2506" }), 400, "1500"),
        (json!({ "model": "labs-leanstral-1-5" }), 403, "1913"),
        (json!({ "model": "ministral-3b-latest", "messages": [{ "role": "user", "content": long }] }), 400, "3051"),
        (json!({ "logprobs": true }), 400, "3051"),
        (json!({ "model": "codestral-latest", "messages": images(1) }), 400, "3051"),
        (json!({ "messages": images(9) }), 400, "3051"),
        (json!({ "model": "ministral-8b-latest", "reasoning_effort": "high" }), 400, "3051"),
        (json!({ "model": "ministral-8b-latest", "messages": thinking }), 400, "3051"),
        (json!({ "model": "mistral-large-latest", "n": 2 }), 400, "3051"),
        (json!({ "n": 2, "prediction": { "content": "x" } }), 400, "3051"),
        (json!({ "tools": tool("no spaces") }), 400, "3280"),
        (json!({ "tools": tool(&"f".repeat(65)) }), 400, "3280"),
    ];
    for (more, status, code) in cases {
        let answer = chat(&double, &asking("hi", &more)).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (status, &json!(code)), "{code}");
    }
    assert_eq!(chat(&double, &asking("hi", &json!({ "messages": images(8) }))).await.status, 200);
}

#[tokio::test]
async fn image_urls_have_one_of_two_forms() {
    let double = double().await;
    for url in ["http://example.org/a.png", "iVBORw0KGgo=", "data:image/png,AAAA", "file:///a.png"] {
        for image in [json!(url), json!({ "url": url })] {
            let content = json!([{ "type": "image_url", "image_url": image }]);
            let body = asking("", &json!({ "messages": [{ "role": "user", "content": content }] }));
            let answer = chat(&double, &body).await;
            assert_eq!(answer.status, 422);
            assert_eq!(faults(&answer.json())[0].0, "value_error");
        }
    }
}

#[tokio::test]
async fn embeddings_have_caps() {
    let double = double().await;
    let ask = |input: Value| json!({ "model": "mistral-embed", "input": input });
    let words = |count: usize| "w ".repeat(count).trim_end().to_owned();
    let cases = [
        (ask(json!(vec!["a"; 512])), 200, Value::Null),
        (ask(json!(vec!["a"; 513])), 400, json!("3210")),
        (ask(json!([words(8193)])), 400, json!("3210")),
        (ask(json!(vec![words(6000); 3])), 400, json!("3210")),
        (ask(json!([[1, 2, 3]])), 422, Value::Null),
        (json!({ "model": "mistral-embed", "input": "a", "dimensions": 8 }), 422, Value::Null),
        (json!({ "model": "mistral-embed", "input": "a", "output_dimension": 8 }), 400, json!("3051")),
        (json!({ "model": "mistral-small-latest", "input": "a" }), 400, json!("1500")),
    ];
    for (body, status, code) in cases {
        let answer = post(&double, "/v1/embeddings", &body).await;
        assert_eq!((answer.status.as_u16(), answer.json()["code"].clone()), (status, code));
    }
}

#[tokio::test]
async fn only_the_right_key_opens() {
    let double = MistralDouble::builder().accept_key("one").accept_key("two").start().await.unwrap();
    let cases = [
        (Some("Bearer one"), 200),
        (Some("bearer two"), 200),
        (Some("Bearer offline-mistral-key"), 401),
        (Some("Basic b25lOg=="), 401),
        (None, 401),
    ];
    for (header, status) in cases {
        let mut request = request(&double, Method::GET, "/v1/models", "");
        request.headers_mut().remove(AUTHORIZATION);
        if let Some(header) = header {
            request.headers_mut().insert(AUTHORIZATION, HeaderValue::from_static(header));
        }
        let answer = read(send(&double, request).await.unwrap()).await;
        assert_eq!(answer.status, status, "{header:?}");
        assert!(answer.header("mistral-correlation-id").is_some());
        if status == 401 {
            assert!(answer.json()["detail"].is_string());
        }
    }
}

#[tokio::test]
async fn the_codestral_host_has_its_own_key_and_two_routes() {
    let codestral = MistralDouble::builder().host(Host::Codestral).start().await.unwrap();
    assert_ne!(codestral.key(), double().await.key());
    let body = json!({ "model": "codestral-latest", "prompt": "fn main() {", "suffix": "}" });
    assert_eq!(post(&codestral, "/v1/fim/completions", &body).await.status, 200);
    assert_eq!(get(&codestral, "/v1/models").await.status, 404);
    let mut foreign = request(&codestral, Method::POST, "/v1/fim/completions", &body.to_string());
    foreign.headers_mut().insert(AUTHORIZATION, HeaderValue::from_static("Bearer offline-mistral-key"));
    assert_eq!(read(send(&codestral, foreign).await.unwrap()).await.status, 401);
}

#[tokio::test]
async fn unknown_routes_are_the_edges_404() {
    let double = double().await;
    for path in ["/", "/v1/completions", "/v1/images/generations", "/chat/completions"] {
        let answer = post(&double, path, &json!({})).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.json()["message"]),
            (404, &json!("no Route matched with those values"))
        );
    }
    let answer = post(&double, "/v1/chat/completions/chat/completions", &json!({})).await;
    assert_eq!((answer.status.as_u16(), answer.json()), (404, json!({ "detail": "Not Found" })));
    assert_eq!(get(&double, "/v1/chat/completions").await.status, 405);
    assert_eq!(get(&double, "/v1/models/nobody").await.json()["code"], "1500");
}

#[tokio::test]
async fn a_body_that_is_not_json_is_422() {
    let double = double().await;
    let bad = request(&double, Method::POST, "/v1/chat/completions", r#"{"model": "#);
    let answer = read(send(&double, bad).await.unwrap()).await;
    assert_eq!((answer.status.as_u16(), faults(&answer.json())[0].0.as_str()), (422, "json_invalid"));
    let mut form = request(&double, Method::POST, "/v1/chat/completions", &asking("hi", &json!({})).to_string());
    form.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    assert_eq!(read(send(&double, form).await.unwrap()).await.status, 422);
}

#[tokio::test]
async fn validation_errors_come_in_each_shape() {
    for shape in [
        ValidationShape::MessageObject,
        ValidationShape::DetailList,
        ValidationShape::CapitalError,
        ValidationShape::MessageText,
    ] {
        let double = MistralDouble::builder().validation_shape(shape).start().await.unwrap();
        let answer = chat(&double, &asking("hi", &json!({ "user": "u" }))).await;
        assert_eq!(answer.status, 422);
        let body = answer.json();
        let detail = match shape {
            ValidationShape::MessageObject => body["message"]["detail"].clone(),
            ValidationShape::DetailList => body["detail"].clone(),
            ValidationShape::CapitalError => {
                assert_eq!((&body["object"], &body["code"]), (&json!("Error"), &json!(3001)));
                body["message"].clone()
            }
            ValidationShape::MessageText => {
                assert_eq!(body["type"], "internal_error_proxy");
                serde_json::from_str::<Value>(body["message"].as_str().unwrap()).unwrap()["detail"].clone()
            }
        };
        assert_eq!(detail[0]["loc"], json!(["body", "user"]), "{shape:?}");
    }
}

#[tokio::test]
async fn quirks_change_one_point_each() {
    let quirky = |quirk| MistralDouble::builder().quirk(quirk).start();
    let both = json!({ "messages": [says("user"), { "role": "assistant", "content": "text", "tool_calls":
        call("abcDEF123")["tool_calls"] }, result("abcDEF123")] });
    let format = json!({ "response_format": { "type": "json_schema", "json_schema": { "name": "s", "schema":
        { "type": "object", "properties": { "a": { "type": "string", "format": "date" } } } } } });
    let cases = [
        (Quirk::AcceptStreamOptions, json!({ "stream_options": {} }), 422, 200),
        (Quirk::RefuseSafePrompt, json!({ "safe_prompt": false }), 200, 422),
        (Quirk::RefuseContentBesideToolCalls, both, 200, 400),
        (Quirk::RefuseKeywordsInSchema, format, 200, 400),
    ];
    let plain = double().await;
    for (quirk, more, usual, changed) in cases {
        let body = asking("hi", &more);
        assert_eq!(chat(&plain, &body).await.status, usual, "{quirk:?}");
        assert_eq!(chat(&quirky(quirk).await.unwrap(), &body).await.status, changed, "{quirk:?}");
    }
}

#[tokio::test]
async fn a_refused_request_leaves_the_script_alone() {
    let double = double().await;
    double.script(Behaviour::text("kept"));
    assert_eq!(chat(&double, &asking("hi", &json!({ "user": "u" }))).await.status, 422);
    assert_eq!(double.scripted(), 1);
    let answer = chat(&double, &asking("hi", &json!({}))).await;
    assert_eq!(answer.json()["choices"][0]["message"]["content"], "kept");
    assert_eq!((double.scripted(), double.stats().refused), (0, 1));
}
