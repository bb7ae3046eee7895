//! What is shown of providers, models and prices.

use mistral_double::MistralDouble;
use openai_double::OpenAiDouble;
use serde_json::json;

use super::support::{Setup, eventually, ports};
use super::{both, provider_of, streamed};

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
        ("PUT", "/api/v1/llm-providers"),
        ("POST", "/api/v1/llm-providers/openai"),
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
