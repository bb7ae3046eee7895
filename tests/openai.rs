//! The OpenAI surface: `/v1`, through sockets, in front of the double.

#![expect(clippy::unwrap_used, reason = "tests fail by panics")]

mod support;

use mistral_double::{Behaviour, Failure, MistralDouble, ToolCall};
use serde_json::{Value, json};
use support::{Gateway, Setup};

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
    assert_eq!(records[0]["provider"], "mistral", "{records:?}");
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
async fn a_refusal_names_policy_and_rule_in_both_shapes() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&double).start();
    // It stands in what a tool answered, and is a request's content as any.
    let messages = json!([
        user("Look"),
        { "role": "assistant", "tool_calls": [{ "id": "a", "function": { "name": "look", "arguments": "{}" } }] },
        { "role": "tool", "tool_call_id": "a", "content": "card 4111 1111 1111 1111" },
    ]);
    let (_, answer) = chat(&gateway, json!({ "messages": messages })).await;
    assert_eq!(answer.status, 400, "{answer:?}");
    let body = &answer.body;
    assert_eq!(body["object"], "error");
    for shape in [body, &body["error"]] {
        assert_eq!(shape["type"], "policy_violation");
        assert_eq!(shape["code"], "policy_violation");
        assert_eq!((&shape["policy"], &shape["rule"]), (&json!("pii"), &json!("payment-card")), "{body}");
        assert!(shape["message"].as_str().unwrap().starts_with("Request blocked by policy: pii"), "{body}");
    }
    assert!(double.requests().iter().all(|request| request.path() == "/v1/models"), "the model was asked");
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
    let (_, streamed) = chat(&gateway, json!({ "messages": [user("x")], "stream": true })).await;
    assert_eq!(told(&streamed).2, "stream");
    let (_, foreign) = chat(&gateway, json!({ "messages": [user("x")], "model": "gpt-4o" })).await;
    assert_eq!(told(&foreign), (404, json!("invalid_request_error"), json!("model")));
    assert_eq!(foreign.body["error"]["code"], "model_not_found", "{foreign:?}");
    double.script(Failure::Edge { status: 500, message: "no".to_owned() });
    let (_, failed) = chat(&gateway, json!({ "messages": [user("x")] })).await;
    assert!(told(&failed).0 >= 500, "{failed:?}");
    for (path, status) in [("/v1/nowhere", 404), ("/v1/chat/completions", 405), ("/v1/models/gpt-4o", 404)] {
        let answer = gateway.get(path).await;
        assert_eq!(told(&answer).0, status, "{path}");
    }
}

#[tokio::test]
async fn models_are_listed_and_looked_up() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&double).start();
    let list = gateway.get("/v1/models").await.body;
    assert_eq!(list["object"], "list");
    let model = &list["data"][0];
    assert_eq!((&model["object"], &model["owned_by"]), (&json!("model"), &json!("mistral")));
    let path = format!("/v1/models/{}", model["id"].as_str().unwrap());
    assert_eq!(&gateway.get(&path).await.body, model);
}
