//! The OpenAI surface: `/v1`, through sockets, in front of the double.

#![expect(clippy::unwrap_used, reason = "tests fail by panics")]

mod support;

use mistral_double::{Behaviour, Failure, MistralDouble, ToolCall};
use openai_double::OpenAiDouble;
use serde_json::{Value, json};
use support::gate::Gate;
use support::{Gateway, Setup, eventually};

async fn chat(gateway: &Gateway, body: Value) -> (reqwest::header::HeaderMap, support::Answer) {
    let request = gateway.client.post(gateway.url("/v1/chat/completions")).bearer_auth("sk-anything").json(&body);
    let response = request.send().await.unwrap();
    (response.headers().clone(), support::answer(response).await)
}

fn user(text: &str) -> Value {
    json!({ "role": "user", "content": text })
}

#[tokio::test]
async fn a_chat_is_answered_and_its_headers_say_by_whom() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&double).start();
    double.script(Behaviour::text("Bonjour."));
    let body = json!({
        "model": "mistral-small-latest", "messages": [{ "role": "developer", "content": "French" }, user("Hello")],
        "max_completion_tokens": 50, "temperature": 0.2, "user": "ada",
    });
    let (headers, answer) = chat(&gateway, body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let body = &answer.body;
    assert_eq!((&body["object"], &body["model"]), (&json!("chat.completion"), &json!("mistral-small-latest")));
    let choice = &body["choices"][0];
    assert_eq!(choice["message"], json!({ "role": "assistant", "content": "Bonjour." }));
    assert_eq!((&choice["index"], &choice["finish_reason"]), (&json!(0), &json!("stop")));
    let usage = &body["usage"];
    let tokens = |name: &str| usage[name].as_u64().unwrap();
    assert_eq!(tokens("prompt_tokens") + tokens("completion_tokens"), tokens("total_tokens"));
    let header = |name: &str| headers[name].to_str().unwrap().to_owned();
    assert_eq!(header("x-octroi-provider"), "mistral");
    assert_eq!(header("x-octroi-model"), "mistral-small-latest");
    assert_eq!((header("x-octroi-attempts").as_str(), header("x-octroi-generation").as_str()), ("1", "1"));
    assert!(header("x-octroi-cost-usd").parse::<f64>().unwrap() > 0.0);
    assert_eq!(header("x-octroi-upstream-id").len(), 36, "the vendor's, a UUID");

    let sent = double.last_request().unwrap().json().clone();
    assert_eq!(
        sent,
        json!({
            "model": "mistral-small-latest", "max_tokens": 50, "temperature": 0.2,
            "messages": [{ "role": "system", "content": "French" }, user("Hello")],
        })
    );
    let records = gateway.search_as("community", json!({ "limit": 1 })).await;
    assert_eq!(records[0]["request_id"].as_str().unwrap(), header("x-octroi-request-id"));
    assert_eq!(header("x-request-id"), header("x-octroi-request-id"), "OpenAI's clients read this one");
    assert_eq!(records[0]["provider"], "mistral", "{records:?}");
}

#[tokio::test]
async fn without_a_provider_no_model_is_at_fault() {
    let gateway = Setup::without_provider().start();
    let (_, answer) = chat(&gateway, json!({ "model": "mistral-small-latest", "messages": [user("Hello")] })).await;
    assert_eq!((answer.status, &answer.body["code"]), (503, &json!("no_providers")), "{answer:?}");
}

#[tokio::test]
async fn tools_go_there_and_back_under_the_callers_ids() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&double).start();
    let tool = json!({ "type": "function", "function": { "name": "look", "parameters": { "type": "object" } } });
    double.script(Behaviour::tool_calls(vec![ToolCall::new("look", &json!({ "at": "door" }))]));
    let (_, answer) =
        chat(&gateway, json!({ "messages": [user("Look")], "tools": [tool], "tool_choice": "required" })).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let choice = &answer.body["choices"][0];
    assert_eq!((&choice["finish_reason"], &choice["message"]["content"]), (&json!("tool_calls"), &Value::Null));
    let call = &choice["message"]["tool_calls"][0];
    assert_eq!((&call["type"], &call["function"]["name"]), (&json!("function"), &json!("look")));
    let arguments: Value = serde_json::from_str(call["function"]["arguments"].as_str().unwrap()).unwrap();
    assert_eq!(arguments, json!({ "at": "door" }));
    assert_eq!(double.last_request().unwrap().json()["tool_choice"], "any");
    let record = &gateway.search_as("community", json!({ "limit": 1 })).await[0];
    assert_eq!(record["policy_details"]["not_inspected"][0]["kind"], "tools", "{record}");

    // The call goes back under an id that Mistral would not take.
    double.script(Behaviour::text("It is closed."));
    let messages = json!([
        user("Look"),
        { "role": "assistant", "content": null, "tool_calls": [
            { "id": "call_of_another_vendor", "type": "function", "function": { "name": "look", "arguments": "{}" } },
        ] },
        { "role": "tool", "tool_call_id": "call_of_another_vendor", "content": "closed" },
    ]);
    let (_, answer) = chat(&gateway, json!({ "messages": messages, "tools": [tool] })).await;
    assert_eq!(answer.body["choices"][0]["message"]["content"], "It is closed.", "{answer:?}");
    let sent = double.last_request().unwrap().json()["messages"].clone();
    let id = &sent[1]["tool_calls"][0]["id"];
    assert_eq!((&sent[2]["tool_call_id"], id.as_str().unwrap().len()), (id, 9), "{sent}");
}

#[tokio::test]
async fn names_and_refusals_of_a_history_are_not_lost_without_a_word() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&double).start();
    let messages = json!([
        { "role": "user", "content": "How?", "name": "ada" },
        { "role": "assistant", "content": null, "refusal": "I will not tell jane@example.org" },
        user("Why not?"),
    ]);
    let (_, answer) = chat(&gateway, json!({ "messages": messages })).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let sent = double.last_request().unwrap().json()["messages"].clone();
    let refused = json!({ "role": "assistant", "content": "I will not tell [EMAIL]" });
    assert_eq!(sent, json!([user("How?"), refused, user("Why not?")]));
    let details = &gateway.search_as("community", json!({ "limit": 1 })).await[0]["policy_details"];
    assert_eq!(details["notes"], json!(["fields left out that the provider does not know: name"]), "{details}");
    assert_eq!(details["not_inspected"][0]["kind"], "names", "{details}");
}

#[tokio::test]
async fn a_refusal_names_policy_and_rule_in_both_shapes() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&double).start();
    // It stands in what a tool answered, and is a request's content as any.
    let messages = json!([
        user("Look"),
        { "role": "assistant", "tool_calls": [{ "id": "a", "function": { "name": "look", "arguments": "{}" } }] },
        { "role": "tool", "tool_call_id": "a", "content": "card 4111 1111 1111 1111" },
    ]);
    let (headers, answer) = chat(&gateway, json!({ "messages": messages })).await;
    assert_eq!(answer.status, 400, "{answer:?}");
    assert!(headers["x-octroi-generation"] == "1" && !headers.contains_key("x-octroi-provider"), "{headers:?}");
    let body = &answer.body;
    assert_eq!(body["object"], "error");
    for shape in [body, &body["error"]] {
        assert_eq!(shape["type"], "policy_violation");
        assert_eq!(shape["code"], "policy_denied");
        assert_eq!((&shape["policy"], &shape["rule"]), (&json!("pii"), &json!("payment-card")), "{body}");
        assert!(shape["message"].as_str().unwrap().starts_with("Request blocked by policy: pii"), "{body}");
    }
    assert!(double.requests().iter().all(|request| request.path() == "/v1/models"), "the model was asked");
}

#[tokio::test]
async fn an_answer_that_a_policy_refuses_was_paid_for_all_the_same() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&double).start();
    let manifest = gateway.policies().join("pii.yaml");
    let judging = std::fs::read_to_string(&manifest).unwrap().replace("answers: mask", "answers: judge");
    std::fs::write(&manifest, judging).unwrap();
    gateway.reload().await;
    double.script(Behaviour::text("It is 4111 1111 1111 1111."));
    let (headers, answer) = chat(&gateway, json!({ "messages": [user("Hello")] })).await;
    assert_eq!((answer.status, &answer.body["code"]), (400, &json!("policy_denied")), "{answer:?}");
    let header = |name: &str| headers[name].to_str().unwrap();
    assert_eq!((header("x-octroi-provider"), header("x-octroi-model")), ("mistral", "mistral-small-latest"));
    assert_eq!((header("x-octroi-attempts"), header("x-octroi-generation")), ("1", "2"));
    assert!(header("x-octroi-cost-usd").parse::<f64>().unwrap() > 0.0, "{headers:?}");
}

#[tokio::test]
async fn a_vendors_refusal_of_a_request_names_the_vendors_field() {
    let double = OpenAiDouble::start().await.unwrap();
    let gateway = Setup::without_provider()
        .env("OPENAI_API_KEY", openai_double::KEY)
        .env("OPENAI_ENDPOINT", &double.origin())
        .yaml("routing: { retry: { attempts: 1 } }\n")
        .start();
    let refusal = |param: &str, code: &str| json!({ "error": { "message": "no", "type": "invalid_request_error", "param": param, "code": code } });
    for (status, refusal, shown, param) in [
        (400, refusal("messages[0].content", "invalid_value"), 400, json!("messages[0].content")),
        (400, refusal("logit_bias", "unsupported_parameter"), 422, json!("logit_bias")),
        (400, refusal("not a field", "invalid_value"), 400, json!(null)),
        (400, refusal("messages", "content_filter"), 403, json!(null)),
        (503, refusal("messages", "server_error"), 503, json!(null)),
    ] {
        double.script(openai_double::Behaviour::Fail(status, refusal.clone()));
        let (_, answer) = chat(&gateway, json!({ "model": "gpt-4o", "messages": [user("x")] })).await;
        assert_eq!((answer.status, &answer.body["param"]), (shown, &param), "{refusal}");
        assert_eq!(answer.body["error"]["param"], param, "{refusal}");
        if shown == 422 {
            assert_eq!(answer.body["detail"][0]["loc"], json!(["body", param]), "{refusal}");
        }
    }
}

#[tokio::test]
async fn errors_have_both_shapes_and_name_the_field() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&double).yaml("routing: { retry: { attempts: 1 } }\n").start();
    let told = |answer: &support::Answer| {
        let body = &answer.body;
        for key in ["message", "type", "param", "code"] {
            assert_eq!(body[key], body["error"][key], "{body}");
        }
        (answer.status, body["error"]["type"].clone(), body["error"]["param"].clone())
    };
    let (_, empty) = chat(&gateway, json!({ "messages": [] })).await;
    assert_eq!(told(&empty), (400, json!("invalid_request_error"), json!("messages")));
    let (_, part) = chat(&gateway, json!({ "messages": [{ "role": "user", "content": [{ "type": "video" }] }] })).await;
    assert_eq!(told(&part), (400, json!("invalid_request_error"), json!("messages[0].content[0].type")));
    for (field, value, param) in [
        ("max_tokens", json!(-1), "max_tokens"),
        ("reasoning_effort", json!("default"), "reasoning_effort"),
        ("messages", json!([{ "role": "user", "content": 5 }]), "messages[0].content"),
        (
            "messages",
            json!([{ "role": "user", "content": [{ "type": "text", "text": "a" }, { "type": "text", "text": 5 }] }]),
            "messages[0].content[1].text",
        ),
    ] {
        let mut body = json!({ "messages": [user("x")] });
        body[field] = value;
        let (_, wrong) = chat(&gateway, body).await;
        assert_eq!(told(&wrong), (400, json!("invalid_request_error"), json!(param)), "{wrong:?}");
    }
    let (_, foreign) = chat(&gateway, json!({ "messages": [user("x")], "model": "gpt-4o" })).await;
    assert_eq!(told(&foreign), (404, json!("invalid_request_error"), json!("model")));
    assert_eq!(foreign.body["error"]["code"], "model_not_found", "{foreign:?}");
    double.script(Failure::Edge { status: 500, message: "no".to_owned() });
    let (_, failed) = chat(&gateway, json!({ "messages": [user("x")] })).await;
    assert!(told(&failed).0 >= 500, "{failed:?}");
    for (path, status, says) in [
        ("/v1/nowhere", 404, "under /v1 there are chat/completions"),
        ("/v1/responses", 404, "openai.chat(model)"),
        ("/v1/v1/chat/completions", 404, "twice"),
        ("/chat/completions", 404, "let the base URL end with /v1"),
        ("/v1/chat/completions", 405, "Allow"),
        ("/v1/models/gpt-4o", 404, "no provider"),
        ("/v1/models/mistral-small-latest/", 404, "no provider"),
        ("/v1/models/%ff", 404, "no provider"),
    ] {
        let answer = gateway.get(path).await;
        assert_eq!(told(&answer).0, status, "{path}");
        assert!(answer.body["message"].as_str().unwrap().contains(says), "{path}: {answer:?}");
    }
    let elsewhere = gateway.get("/api/v1/plans").await.body;
    assert!(elsewhere["error"].as_str().unwrap().contains("docs/http.md"), "{elsewhere}");
    for (path, field, value) in [
        ("/v1/chat/completions", "messages", json!([user("x")])),
        ("/v1/embeddings", "input", json!("x")),
        ("/v1/moderations", "input", json!("x")),
        ("/v1/chat/moderations", "input", json!([user("x")])),
        ("/v1/fim/completions", "prompt", json!("x")),
        ("/v1/completions", "prompt", json!("x")),
    ] {
        let twice = json!({ "model": "m", field: value, field.to_uppercase(): value });
        let twice = post(&gateway, path, &twice).await;
        assert_eq!(told(&twice), (400, json!("invalid_request_error"), json!(field)), "{path}");
        assert!(twice.body["message"].as_str().unwrap().contains("in other letters"), "{twice:?}");
    }
    let wrong_method = gateway.client.get(gateway.url("/v1/chat/completions")).send().await.unwrap();
    assert_eq!(wrong_method.headers()["allow"], "POST");
    let page = gateway.client.get(gateway.url("/v1/models")).header("origin", "https://evil.example");
    assert_eq!(told(&support::answer(page.send().await.unwrap()).await).0, 403, "a web page asks");
}

#[tokio::test]
async fn half_a_character_is_the_same_to_policies_and_model() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&double).start();
    // In a field that is known, and in one that is passed on as it comes.
    let body = r#"{"messages":[{"role":"user","content":"jane@example.org \ud83d"}],"metadata":{"a":"\ude00"}}"#;
    let request = gateway.client.post(gateway.url("/v1/chat/completions")).body(body);
    let answer = support::answer(request.send().await.unwrap()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let sent = double.last_request().unwrap().json();
    assert_eq!(sent["messages"], json!([user("[EMAIL] \u{fffd}")]));
    assert_eq!(sent["metadata"], json!({ "a": "\u{fffd}" }));

    // In text that is not read on its way.
    let body = r#"{"messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":{"name":"look",
        "parameters":{"type":"object","description":"cut \ud83d","properties":{}}}}]}"#;
    let answer = gateway.client.post(gateway.url("/v1/chat/completions")).body(body).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let sent = double.last_request().unwrap().json();
    assert_eq!(sent["tools"][0]["function"]["parameters"]["description"], "cut \u{fffd}", "{sent}");

    let request = gateway.client.post(gateway.url("/v1/chat/completions")).header("content-encoding", "gzip");
    let answer = support::answer(request.body("not read").send().await.unwrap()).await;
    assert_eq!((answer.status, &answer.body["code"]), (415, &json!("body_encoded")), "{answer:?}");
}

#[tokio::test]
async fn models_are_listed_and_looked_up() {
    let double = MistralDouble::builder().start().await.unwrap();
    let provider = |name: &str, further: &str| {
        format!(
            "  {name}:\n    type: mistral\n    credentials: {{ api_key: \"{}\" }}\n    config: {{ endpoint: \"{}\", {further} }}\n",
            double.key(),
            double.origin()
        )
    };
    let gateway = Setup::without_provider()
        .yaml("llm_providers:\n")
        .yaml(&provider(
            "closed",
            "model: mistral-large-latest, models: [ours], model_map: { small: ministral-8b-latest }",
        ))
        .yaml(&provider("idle", "model: never-listed").replace("    config", "    weight: 0\n    config"))
        .yaml(&provider("open", "model: mistral-small-latest"))
        .start();
    let listed = async || gateway.get("/v1/models").await.body;
    let ids = |list: &Value| -> Vec<String> {
        list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap().to_owned()).collect()
    };
    eventually("both lists have been read", async || {
        let small = gateway.get("/v1/models/small").await.body;
        small["name"].is_string() && ids(&listed().await).contains(&"mistral-embed".to_owned())
    })
    .await;
    let list = listed().await;
    let mut unique = ids(&list);
    unique.sort();
    unique.dedup();
    assert_eq!(ids(&list), unique, "sorted, and each once");
    assert!(!unique.contains(&"never-listed".to_owned()), "a provider without traffic answers nobody: {unique:?}");
    let model = |id: &str| list["data"].as_array().unwrap().iter().find(|model| model["id"] == id).unwrap().clone();
    for (id, owner, chats) in [
        ("mistral-large-latest", "closed", true),
        ("ours", "closed", true),
        ("small", "closed", true),
        ("mistral-small-latest", "open", true),
        ("mistral-embed", "open", false),
    ] {
        let found = model(id);
        assert_eq!(
            (&found["object"], &found["type"], &found["owned_by"]),
            (&json!("model"), &json!("base"), &json!(owner))
        );
        assert_eq!(found["capabilities"]["completion_chat"], chats, "{found}");
        assert_eq!(gateway.get(&format!("/v1/models/{id}")).await.body, found);
    }
    assert_eq!(model("small")["name"], "ministral-8b-2512", "what its vendor says of the model behind the name");
    assert_eq!(gateway.get("/v1/models/never-listed").await.body["owned_by"], "open", "Mistral may have it");
    for (id, chats) in [("never-listed", true), ("never-listed-embed", false)] {
        assert_eq!(
            gateway.get(&format!("/v1/models/{id}")).await.body["capabilities"]["completion_chat"],
            chats,
            "{id}"
        );
    }
    assert_eq!(gateway.get("/v1/models/gpt-4o").await.status, 404);
}

async fn post(gateway: &Gateway, route: &str, body: &Value) -> support::Answer {
    support::answer(gateway.client.post(gateway.url(route)).json(body).send().await.unwrap()).await
}

#[tokio::test]
async fn code_is_filled_in_under_the_same_policies() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&double).start();
    double.script(Behaviour::text("a + b"));
    let body = json!({
        "model": "codestral-latest", "prompt": "fn add(a: i32, b: i32) -> i32 {", "suffix": "}", "max_tokens": 9,
        "temperature": 0, "stop": "\n\n", "random_seed": 1, "min_tokens": 2, "prompt_cache_key": "k", "metadata": { "a": "b" },
        "n": 2, "echo": true,
    });
    let answer = post(&gateway, "/v1/fim/completions", &body).await;
    assert_eq!((answer.status, &answer.body["choices"][0]["message"]["content"]), (200, &json!("a + b")), "{answer:?}");
    let sent = double.last_request().unwrap();
    assert_eq!(sent.path(), "/v1/fim/completions");
    assert_eq!(
        sent.json(),
        json!({
            "model": "codestral-latest", "prompt": "fn add(a: i32, b: i32) -> i32 {", "suffix": "}", "max_tokens": 9,
            "temperature": 0.0, "stop": ["\n\n"], "random_seed": 1, "min_tokens": 2, "prompt_cache_key": "k",
            "metadata": { "a": "b" },
        })
    );
    let record = &gateway.search_as("community", json!({ "limit": 1 })).await[0];
    let note = "fields left out that the provider does not know: echo, n";
    assert_eq!(record["policy_details"]["notes"], json!([note]), "{record}");
    // OpenAI's older route, without a model: one that fills in.
    double.script(Behaviour::text("b"));
    let answer = post(&gateway, "/v1/completions", &json!({ "prompt": ["a"], "suffix": "c" })).await;
    assert_eq!((&answer.body["object"], &answer.body["choices"][0]["text"]), (&json!("text_completion"), &json!("b")));
    double.script(Behaviour::text("one two"));
    let request = gateway.client.post(gateway.url("/v1/completions"));
    let streamed = request.json(&json!({ "prompt": "a", "stream": true })).send().await.unwrap().text().await.unwrap();
    let events = streamed.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).filter(|it| *it != "[DONE]");
    let text = events.map(|event| serde_json::from_str::<Value>(event).unwrap()["choices"][0]["text"].clone());
    assert_eq!(text.map(|text| text.as_str().unwrap().to_owned()).collect::<String>(), "one two", "{streamed}");

    let denied = post(&gateway, "/v1/fim/completions", &json!({ "prompt": "card = '4111 1111 1111 1111'" })).await;
    assert_eq!((denied.status, &denied.body["policy"]), (400, &json!("pii")));
    post(&gateway, "/v1/completions", &json!({ "prompt": "mail = 'jane@example.org'", "suffix": "ip = '10.1.2.3'" }))
        .await;
    let sent = double.last_request().unwrap().json();
    assert_eq!((&sent["prompt"], &sent["suffix"]), (&json!("mail = '[EMAIL]'"), &json!("ip = '[IP]'")));
    let missing = post(&gateway, "/v1/completions", &json!({ "suffix": "x" })).await;
    assert_eq!((missing.status, &missing.body["param"]), (400, &json!("prompt")));
}

#[tokio::test]
async fn texts_become_vectors_in_batches() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&double).policies(&["pii", "audit-redact"]).start();
    let body = json!({ "model": "mistral-embed", "input": "Write to jane@example.org", "encoding_format": "float",
        "metadata": { "a": "b" } });
    let answer = post(&gateway, "/v1/embeddings", &body).await;
    assert_eq!((answer.status, &answer.body["object"]), (200, &json!("list")), "{answer:?}");
    assert_eq!(answer.body["data"][0]["embedding"].as_array().unwrap().len(), 1024);
    let sent = double.last_request().unwrap().json();
    assert_eq!((&sent["input"], &sent["metadata"]), (&json!(["Write to [EMAIL]"]), &json!({ "a": "b" })));
    let record = &gateway.search_as("community", json!({ "limit": 1 })).await[0];
    assert_eq!((&record["model"], &record["request_type"]), (&json!("mistral-embed"), &json!("embedding")), "{record}");
    assert!(record["tokens_used"].as_u64().unwrap() > 0 && record["cost"].as_f64().unwrap() > 0.0, "{record}");
    assert_eq!(record["policy_details"]["response_not_inspected"][0]["kind"], "results", "{record}");

    double.forget_requests();
    let inputs: Vec<_> = (0..1_100).map(|number| format!("text {number}")).collect();
    let answer = post(&gateway, "/v1/embeddings", &json!({ "model": "mistral-embed", "input": inputs })).await;
    let data = answer.body["data"].as_array().unwrap();
    assert_eq!((data.len(), &data[1_099]["index"]), (1_100, &json!(1_099)));
    let batches: Vec<_> = double
        .requests()
        .iter()
        .filter(|request| request.path() == "/v1/embeddings")
        .map(|request| request.json()["input"].as_array().unwrap().len())
        .collect();
    assert_eq!(batches, [512, 512, 76]);
    let alone = post(&gateway, "/v1/embeddings", &json!({ "model": "mistral-embed", "input": "text 1099" })).await;
    assert_eq!(data[1_099]["embedding"], alone.body["data"][0]["embedding"], "each text has its own vector");
    let total = answer.body["usage"]["total_tokens"].as_u64().unwrap();
    assert!(total >= 1_100, "the batches' tokens are added: {total}");

    let missing = post(&gateway, "/v1/embeddings", &json!({ "model": "mistral-embed", "input": [] })).await;
    assert_eq!((missing.status, &missing.body["param"]), (400, &json!("input")));
}

#[tokio::test]
async fn tokens_are_read_where_their_vocabulary_is_known() {
    let double = OpenAiDouble::start().await.unwrap();
    let gate = Gate::before(double.address()).await;
    let gateway = Setup::without_provider()
        .env("OPENAI_API_KEY", openai_double::KEY)
        .env("OPENAI_ENDPOINT", &gate.origin())
        .start();
    let embed = async |model, input| {
        double.forget_requests();
        let answer = post(&gateway, "/v1/embeddings", &json!({ "model": model, "input": input })).await;
        let asked = double.requests().into_iter().find(|request| request.path() == "/v1/embeddings");
        (answer, asked.map(|request| request.json()["input"].clone()))
    };

    // As OpenAI's tiktoken has them. 9468 begins an emoji.
    let mail = [8_144, 311, 99_706, 962, 4_748, 36_587, 2_726];
    let (answer, asked) = embed("text-embedding-3-small", json!([mail, [9_468]])).await;
    assert_eq!((answer.status, asked), (200, Some(json!(["Write to [EMAIL]", "\u{fffd}"]))), "{answer:?}");
    let (answer, asked) = embed("text-embedding-3-small", json!([9_906, 289, 9_603, 509, 28_584])).await;
    assert_eq!((answer.status, asked), (200, Some(json!(["Hello wörld 🙂"]))), "{answer:?}");

    for (model, input, says) in [
        ("text-embedding-3-small", json!([[279], [100_300]]), "100300 is no token"),
        ("text-embedding-3-small", json!([[279], []]), "at least one"),
        ("text-embedding-3-small", json!([[279], "x"]), "a list of texts"),
        ("text-embedding-3-small", json!([-1]), "a list of texts"),
        ("mistral-embed", json!([[279]]), "check_embedding_ctx_length=False"),
    ] {
        let (answer, asked) = embed(model, input).await;
        assert_eq!((answer.status, &answer.body["param"], asked), (400, &json!("input"), None), "{answer:?}");
        assert!(answer.body["message"].as_str().unwrap().contains(says), "{says}: {answer:?}");
    }
    // A token of 128 spaces.
    gate.shut();
    let (answer, ()) = tokio::join!(embed("text-embedding-3-small", json!(vec![58_040; 5_000])), async {
        let holds = async || gateway.metric("octroi_bytes_in_flight").await;
        eventually("the text is held", async || holds().await >= 640_000.0).await;
        gate.open();
    });
    assert_eq!(answer.0.status, 200, "{answer:?}");
    let judged = post(&gateway, "/v1/moderations", &json!({ "input": [279] })).await;
    assert_eq!((judged.status, &judged.body["param"]), (400, &json!("input")), "{judged:?}");
}

#[tokio::test]
async fn texts_are_moderated_and_flagged() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&double).start();
    let answer =
        post(&gateway, "/v1/moderations", &json!({ "input": ["Hello", "moderate:violence_and_threats"] })).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let results = answer.body["results"].as_array().unwrap();
    let flagged: Vec<_> = results.iter().map(|result| result["flagged"].clone()).collect();
    assert_eq!(flagged, [false, true], "{results:?}");
    assert_eq!(results[1]["categories"]["violence_and_threats"], true, "{results:?}");
    assert_eq!(double.last_request().unwrap().json()["model"], "mistral-moderation-latest");

    // OpenAI's form of one input.
    let pieces =
        json!([{ "type": "text", "text": "Hello" }, { "type": "text", "text": "moderate:violence_and_threats" }]);
    let answer = post(&gateway, "/v1/moderations", &json!({ "input": pieces })).await;
    assert_eq!((answer.status, &answer.body["results"][0]["flagged"]), (200, &json!(true)), "{answer:?}");
    assert_eq!(answer.body["results"].as_array().unwrap().len(), 1);
    let image = json!([{ "type": "image_url", "image_url": { "url": "https://example.org/a.png" } }]);
    let refused = post(&gateway, "/v1/moderations", &json!({ "input": image })).await;
    assert_eq!((refused.status, &refused.body["param"]), (400, &json!("input[0].type")), "{refused:?}");
}

#[tokio::test]
async fn conversations_are_moderated_under_the_same_policies() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&double).start();
    let called = json!([
        user("Look"),
        { "role": "assistant", "tool_calls": [{ "id": "call_1", "function": { "name": "look", "arguments": "{}" } }] },
        { "role": "tool", "tool_call_id": "call_1", "content": "moderate:violence_and_threats" },
    ]);
    for (input, expected) in [
        (json!([user("Hello")]), vec![false]),
        (json!([[user("Write to jane@example.org")], called]), vec![false, true]),
    ] {
        let answer = post(&gateway, "/v1/chat/moderations", &json!({ "input": input })).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let results = answer.body["results"].as_array().unwrap();
        let flagged: Vec<_> = results.iter().map(|result| result["flagged"] == true).collect();
        assert_eq!(flagged, expected, "{answer:?}");
    }
    let sent = double.last_request().unwrap();
    assert_eq!((sent.path(), &sent.json()["model"]), ("/v1/chat/moderations", &json!("mistral-moderation-latest")));
    assert_eq!(sent.json()["input"][0], json!([user("Write to [EMAIL]")]), "as the policies left it");
    assert_eq!(sent.json()["input"][1][2]["tool_call_id"].as_str().unwrap().len(), 9, "{}", sent.json());
    let record = &gateway.search_as("community", json!({ "limit": 1 })).await[0];
    assert_eq!((&record["request_type"], &record["provider"]), (&json!("moderation"), &json!("mistral")), "{record}");

    let denied = post(&gateway, "/v1/chat/moderations", &json!({ "input": [user("card 4111 1111 1111 1111")] })).await;
    assert_eq!((denied.status, &denied.body["policy"]), (400, &json!("pii")), "{denied:?}");
    for (input, param) in [
        (json!([]), "input"),
        (json!(["Hello"]), "input[0]"),
        (json!([[user("a")], user("b")]), "input[1]"),
        (json!([[user("a")], []]), "input[1]"),
        (json!([[user("a"), { "role": "tool", "content": "x" }]]), "input[0][1].tool_call_id"),
    ] {
        let answer = post(&gateway, "/v1/chat/moderations", &json!({ "input": input })).await;
        assert_eq!((answer.status, &answer.body["param"]), (400, &json!(param)), "{answer:?}");
    }
}
