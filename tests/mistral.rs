//! What Mistral wants in another way than clients send it, through sockets, in front of a double as strict as it is.

mod support;

use std::time::Duration;

use mistral_double::{Behaviour, Failure, MistralDouble, Quirk, ValidationShape};
use serde_json::{Value, json};
use support::{Gateway, Setup};

async fn chat(gateway: &Gateway, body: Value) -> Value {
    let answer = gateway.post("/v1/chat/completions", body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

async fn notes(gateway: &Gateway) -> Value {
    gateway.search_as("community", json!({ "limit": 1 })).await[0]["policy_details"]["notes"].clone()
}

fn call(id: &str) -> Value {
    json!({ "id": id, "type": "function", "function": { "name": "look", "arguments": "{}" } })
}

#[tokio::test]
async fn a_user_may_follow_a_tool_unless_the_model_wants_a_bridge() {
    let double = MistralDouble::builder().quirk(Quirk::RefuseUserAfterTool).start().await.unwrap();
    let provider = format!(
        "llm_providers:\n  mistral:\n    credentials: {{ api_key: \"{}\" }}\n    config: {{ endpoint: \"{}\", \
         bridge_user_after_tool: [mistral-large-latest] }}\n",
        double.key(),
        double.origin()
    );
    let gateway = Setup::without_provider().yaml(&provider).start();
    let ask = |model: &str| {
        json!({ "model": model, "messages": [
            { "role": "user", "content": "Look" },
            { "role": "assistant", "tool_calls": [call("D681PevKs")] },
            { "role": "tool", "tool_call_id": "D681PevKs", "content": "closed" },
            { "role": "user", "content": "So?" },
        ] })
    };
    chat(&gateway, ask("mistral-large-latest")).await;
    let sent = double.last_request().unwrap().json()["messages"][3].clone();
    assert_eq!(sent, json!({ "role": "assistant", "content": "Understood." }));
    let refused = gateway.post("/v1/chat/completions", ask("ministral-8b-latest")).await;
    assert_eq!(refused.status, 400, "{refused:?}");
    assert!(refused.body["message"].as_str().unwrap().contains("'user' after role 'tool'"), "{refused:?}");
}

#[tokio::test]
async fn what_a_stream_leaves_out_is_on_record() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&double).start();
    let text = |text: &str| json!({ "type": "text", "text": text });
    double.script(Behaviour::parts(vec![text("Paris is "), json!({ "type": "hologram" }), text("big")]));
    let body = json!({ "stream": true, "messages": [{ "role": "user", "content": "Paris?" }] });
    let request = gateway.client.post(gateway.url("/v1/chat/completions")).json(&body);
    let text = request.send().await.unwrap().text().await.unwrap();
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    assert_eq!(notes(&gateway).await, json!(["content of the kind `hologram` left out"]), "{text}");
}

#[tokio::test]
async fn what_an_answer_cites_and_signs_comes_back_to_the_vendor() {
    let double = MistralDouble::builder().start().await.unwrap();
    let text = |text: &str| json!({ "type": "text", "text": text });
    let thinking = json!({ "type": "thinking", "thinking": [text("hm")], "closed": true, "signature": "EqQB" });
    let cited = vec![
        thinking.clone(),
        text("Write to jane@"),
        json!({ "type": "reference", "reference_ids": [1] }),
        text("example.org"),
        json!({ "type": "reference", "reference_ids": ["two"] }),
    ];
    let user = json!({ "role": "user", "content": "Whom?" });
    for (policies, said) in [(&["audit-redact"], "Write to jane@example.org"), (&["pii"], "Write to [EMAIL]")] {
        let gateway = Setup::with(&double).policies(policies).start();
        let body = json!({ "model": "magistral-small-latest", "messages": [user] });
        double.script(Behaviour::parts(cited.clone()));
        let whole = chat(&gateway, body.clone()).await["choices"][0]["message"].clone();
        assert_eq!((&whole["content"], &whole["octroi"]["reference_ids"]), (&json!(said), &json!([1, "two"])));
        // Each part has its own seal, and the thought was not edited.
        assert_eq!(whole["thinking_blocks"][0]["signature"], "EqQB", "{whole}");

        double.script(Behaviour::parts(cited.clone()));
        let mut streamed = body.clone();
        streamed["stream"] = json!(true);
        let request = gateway.client.post(gateway.url("/v1/chat/completions")).json(&streamed);
        let frames = request.send().await.unwrap().text().await.unwrap();
        let deltas: Vec<Value> = frames
            .split("\n\n")
            .filter_map(|frame| serde_json::from_str::<Value>(frame.strip_prefix("data: ")?).ok())
            .map(|chunk| chunk["choices"][0]["delta"].clone())
            .collect();
        let content: String = deltas.iter().filter_map(|delta| delta["content"].as_str()).collect();
        let ids: Vec<_> =
            deltas.iter().filter_map(|delta| delta["octroi"]["reference_ids"].as_array()).flatten().collect();
        assert_eq!((content.as_str(), ids), (said, vec![&json!(1), &json!("two")]), "{frames}");
        assert!(deltas.iter().any(|delta| delta["thinking_blocks"][0]["signature"] == "EqQB"), "{frames}");

        chat(&gateway, json!({ "model": "magistral-small-latest", "messages": [user, whole, user] })).await;
        let sent = double.last_request().unwrap().json()["messages"][1].clone();
        assert_eq!(sent["content"], json!([thinking, text(said)]));
    }
    // As the vendor's own clients keep it.
    let gateway = Setup::with(&double).start();
    let answer = json!({ "role": "assistant", "content": cited });
    chat(&gateway, json!({ "model": "magistral-small-latest", "messages": [user, answer, user] })).await;
    assert_eq!(double.last_request().unwrap().json()["messages"][1]["content"], json!(cited));
}

#[tokio::test]
async fn images_beside_a_query_are_shown_to_the_model_and_nobody_looked_inside_them() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&double).start();
    let (data, url) = ("iVBORw0KGgo=", "https://example.org/cat.png");
    let media = json!([
        { "source": "base64", "base64_data": data, "mime_type": "image/png" },
        { "source": "url", "url": url, "mime_type": "image/png" },
    ]);
    let body = json!({ "query": "Which is jane@example.org?", "media": media });
    let answer = gateway.post("/api/request", body).await;
    assert_eq!((answer.status, &answer.body["success"]), (200, &json!(true)), "{answer:?}");
    let image = |url: &str| json!({ "type": "image_url", "image_url": { "url": url } });
    assert_eq!(
        double.last_request().unwrap().json()["messages"][0]["content"],
        json!([
            { "type": "text", "text": "Which is [EMAIL]?" },
            image(&format!("data:image/png;base64,{data}")),
            image(url),
        ])
    );
    let record = &gateway.search_as("community", json!({ "limit": 1 })).await[0];
    let kind = |it: &Value| (it["kind"].clone(), it["media_type"].clone(), it["size"].clone());
    let unseen: Vec<_> = record["policy_details"]["not_inspected"].as_array().unwrap().iter().map(kind).collect();
    assert_eq!(
        unseen,
        [(json!("image"), json!("image/png"), json!(8)), (json!("image"), Value::Null, Value::Null)],
        "{record}"
    );
    assert!(!record.to_string().contains(data), "{record}");

    double.forget_requests();
    let file = json!([{ "source": "url", "url": "file:///etc/passwd" }]);
    let refused = gateway.post("/api/request", json!({ "query": "Read", "media": file })).await;
    assert_eq!(refused.status, 400, "{refused:?}");
    assert!(double.last_request().is_none(), "nobody was asked");
}

#[tokio::test]
async fn vectors_of_texts_with_more_tokens_than_were_reckoned_come_in_smaller_batches() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&double).policies(&["audit-redact"]).start();
    // Each space is a token. As bytes 21 of them fit into a request, as tokens 10.
    let text = |number: usize| format!("{number}{}", " ".repeat(1_499));
    let inputs: Vec<_> = (0..40).map(text).collect();
    let request = gateway.client.post(gateway.url("/v1/embeddings"));
    let response = request.json(&json!({ "model": "mistral-embed", "input": inputs })).send().await.unwrap();
    let told = response.headers().get("x-octroi-cost-usd").map(|it| it.to_str().unwrap().parse::<f64>().unwrap());
    let answer = support::answer(response).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let asked: Vec<_> =
        double.requests().iter().filter(|it| !it.is_probe()).map(|it| it.json()["input"].clone()).collect();
    let batches: Vec<_> = asked.iter().map(|input| input.as_array().unwrap().len()).collect();
    assert_eq!(batches, [21, 10, 10, 10, 10], "the first is refused");

    let data = answer.body["data"].as_array().unwrap();
    let indices: Vec<_> = data.iter().map(|it| it["index"].as_u64().unwrap()).collect();
    assert_eq!(indices, (0..40).collect::<Vec<_>>());
    for number in [0, 9, 10, 39] {
        let alone = gateway.post("/v1/embeddings", json!({ "model": "mistral-embed", "input": text(number) })).await;
        assert_eq!(data[number]["embedding"], alone.body["data"][0]["embedding"], "{number} has its own vector");
    }
    let tokens = 40 * 1_500;
    assert_eq!(answer.body["usage"]["total_tokens"], tokens, "{}", answer.body["usage"]);
    let cost = f64::from(tokens) * 0.1 / 1e6;
    assert!((told.unwrap() - cost).abs() < 1e-9, "{told:?}");
}

/// How often an answer was asked for.
fn asked(double: &MistralDouble) -> usize {
    double.requests().iter().filter(|request| !request.is_probe()).count()
}

#[tokio::test]
async fn a_few_texts_of_many_tokens_do_not_make_all_batches_small() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&double).prepare().unhurried().start();
    let (dense, short) = (vec![" ".repeat(8_000); 3], vec!["x".to_owned(); 9_997]);
    let inputs = [dense, short].concat();
    let answer = gateway.post("/v1/embeddings", json!({ "model": "mistral-embed", "input": inputs })).await;
    assert_eq!((answer.status, answer.body["data"].as_array().map(Vec::len)), (200, Some(10_000)));
    // Of 512 texts each there would be 20.
    assert!(asked(&double) <= 24, "{} calls", asked(&double));
}

#[tokio::test]
async fn a_text_of_too_many_tokens_is_told_by_its_place_among_all() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&double).start();
    let mut inputs = vec!["x".to_owned(); 600];
    inputs[550] = " ".repeat(9_000);
    let answer = gateway.post("/v1/embeddings", json!({ "model": "mistral-embed", "input": inputs })).await;
    assert_eq!((answer.status, &answer.body["code"]), (400, &json!("context_length_exceeded")), "{answer:?}");
    let message = answer.body["message"].as_str().unwrap();
    assert!(message.starts_with("Input id 550 has 9000 tokens, exceeding max 8192 tokens."), "{message}");
    assert_eq!(asked(&double), 2);
}

#[tokio::test]
async fn the_form_of_vectors_is_asked_for_in_mistrals_words() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&double).start();
    let body = json!({ "model": "codestral-embed", "input": "a", "dimensions": 256, "output_dtype": "int8" });
    let answer = gateway.post("/v1/embeddings", body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(
        double.last_request().unwrap().json(),
        json!({ "model": "codestral-embed", "input": ["a"], "output_dimension": 256, "output_dtype": "int8" })
    );
    assert_eq!(answer.body["data"][0]["embedding"].as_array().map(Vec::len), Some(256), "{answer:?}");
}

#[tokio::test]
async fn keywords_that_the_vendor_refuses_one_after_the_other_are_done_without() {
    let double = MistralDouble::builder().quirk(Quirk::RefuseKeywordsInSchema).start().await.unwrap();
    let gateway = Setup::with(&double).start();
    let schema = json!({ "type": "object", "properties": { "at": { "format": "date", "pattern": "^2" } } });
    let format = json!({ "type": "json_schema", "json_schema": { "name": "n", "schema": schema } });
    let messages = json!([{ "role": "user", "content": "When?" }]);
    chat(&gateway, json!({ "messages": messages, "response_format": format })).await;
    let sent = double.last_request().unwrap().json()["response_format"]["json_schema"]["schema"].clone();
    assert_eq!(sent, json!({ "type": "object", "properties": { "at": {} } }));
    assert_eq!(asked(&double), 3);
}

#[tokio::test]
async fn a_failure_says_who_was_asked_and_under_which_id() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&double).start();
    double.script(Failure::invalid_key());
    let body = json!({ "messages": [{ "role": "user", "content": "Hi" }] });
    let response = gateway.client.post(gateway.url("/v1/chat/completions")).json(&body).send().await.unwrap();
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    assert_eq!((response.status().as_u16(), header("x-octroi-provider").as_str()), (502, "mistral"));
    assert_eq!((header("x-octroi-attempts").as_str(), header("x-octroi-upstream-id").len()), ("1", 36), "a UUID");
    double.script(Failure::invalid_key());
    for error in [json!("upstream_unauthorized"), Value::Null] {
        let metadata = gateway.ask("Hi").await.body["metadata"].clone();
        assert_eq!((&metadata["provider"], &metadata["error_code"]), (&json!("mistral"), &error), "{metadata}");
        assert_eq!(metadata["upstream_id"].as_str().map(str::len), Some(36), "{metadata}");
    }
}

#[tokio::test]
async fn what_was_paid_before_a_batch_was_let_go_is_on_record() {
    for (routing, is_aborted) in [("", true), ("routing: { deadline: 5s }\n", false)] {
        let double = MistralDouble::builder().start().await.unwrap();
        let gateway = Setup::with(&double).yaml(routing).start();
        double.script(Behaviour::answer());
        double.script(Behaviour::answer().before_first_byte(Duration::from_secs(600)));
        let inputs: Vec<_> = (0..513).map(|number| format!("{number}")).collect();
        let body = json!({ "model": "mistral-embed", "input": inputs });
        let asking = tokio::spawn(gateway.client.post(gateway.url("/v1/embeddings")).json(&body).send());
        support::eventually("the second batch is under way", async || asked(&double) == 2).await;
        if is_aborted {
            asking.abort();
        }
        let used = async || {
            let records = gateway.search_as("community", json!({ "limit": 1 })).await;
            records.first().and_then(|record| record["tokens_used"].as_f64()).unwrap_or_default()
        };
        support::eventually("what was paid is on record", async || used().await >= 512.0).await;
    }
}

#[tokio::test]
async fn what_was_paid_before_a_batch_failed_for_good_is_on_record() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&double).start();
    double.script(Behaviour::answer());
    double.script(Failure::Validation(ValidationShape::default()));
    let inputs: Vec<_> = (0..513).map(|number| format!("{number}")).collect();
    let answer = gateway.post("/v1/embeddings", json!({ "model": "mistral-embed", "input": inputs })).await;
    assert_eq!(answer.status, 422, "{answer:?}");
    let record = &gateway.search_as("community", json!({ "limit": 1 })).await[0];
    let tokens = record["tokens_used"].as_f64().unwrap();
    assert!(tokens >= 512.0, "{record}");
    assert!((record["cost"].as_f64().unwrap() - tokens * 0.1 / 1e6).abs() < 1e-12, "{record}");
}
