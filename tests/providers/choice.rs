//! Who is asked: by weight, by model, by pin.

use std::time::Duration;

use anthropic_double::AnthropicDouble;
use gemini_double::GeminiDouble;
use mistral_double::{Behaviour as MistralBehaviour, Failure, MistralDouble, Rule};
use openai_double::{Behaviour, Host, KEY, OpenAiDouble};
use serde_json::{Value, json};

use super::support::{Gateway, Setup, eventually};
use super::{both, digest, others, provider_of};

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
async fn what_a_local_server_lists_is_not_sent_to_mistral() {
    let mistral = MistralDouble::builder().start().await.unwrap();
    let ollama = openai_double::start(Host::Ollama).await.unwrap();
    let gateway = Setup::with(&mistral).env("OLLAMA_ENDPOINT", &ollama.origin()).env("OLLAMA_MODEL", "another").start();
    let path = format!("/v1/models/{}", openai_double::OLLAMA_MODEL);
    eventually("its list is known", async || gateway.get(&path).await.body["owned_by"] == "ollama").await;
    for model in [openai_double::OLLAMA_MODEL, "llama3.1"] {
        for _ in 0..8 {
            assert_eq!(provider_of(&gateway, json!({ "model": model })).await, "ollama", "{model}");
        }
    }
    assert!(mistral.requests().iter().all(|request| request.is_probe()), "it was asked for another's model");
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
    for (wrong, field) in [
        (json!({}), json!("weights")),
        (json!({ "weights": "all" }), json!("weights")),
        (json!({ "weights": { "openai": "all" } }), json!("weights.openai")),
        (json!([]), Value::Null),
    ] {
        let (status, body) = put("admin-secret-0123456789", wrong).await;
        assert_eq!((status, &body["error"]["code"]), (400, &json!("VALIDATION_ERROR")), "{body}");
        assert_eq!(body["error"]["details"][0]["field"], field, "{body}");
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

/// Two of Mistral's, by this strategy: `large` is asked for its large model, `small` for its small one.
fn by_strategy(strategy: &str, large: &MistralDouble, small: &MistralDouble) -> Gateway {
    let provider = |name: &str, double: &MistralDouble| {
        format!(
            "  {name}:\n    type: mistral\n    credentials: {{ api_key: \"{}\" }}\n    config: {{ endpoint: \"{}\", model: \
             mistral-{name}-latest }}\n",
            double.key(),
            double.origin()
        )
    };
    let providers = format!("llm_providers:\n{}{}", provider("large", large), provider("small", small));
    Setup::without_provider().yaml(&providers).yaml(&format!("routing: {{ strategy: {strategy} }}\n")).start()
}

#[tokio::test]
async fn by_cost_the_cheaper_model_answers_while_it_can() {
    let (large, small) =
        (MistralDouble::builder().start().await.unwrap(), MistralDouble::builder().start().await.unwrap());
    let gateway = by_strategy("lowest_cost", &large, &small);
    for _ in 0..8 {
        assert_eq!(provider_of(&gateway, json!({})).await, "small");
    }
    small.script(Rule::always(Failure::unavailable()));
    assert_eq!(provider_of(&gateway, json!({})).await, "large", "dearer is better than none");
}

#[tokio::test]
async fn by_latency_the_faster_provider_answers_most_until_it_is_slow() {
    let slowly = || Rule::always(MistralBehaviour::answer().before_first_byte(Duration::from_millis(300)));
    let (large, small) =
        (MistralDouble::builder().start().await.unwrap(), MistralDouble::builder().start().await.unwrap());
    let gateway = by_strategy("least_latency", &large, &small);
    large.script(slowly());
    let mut answered = Vec::new();
    for _ in 0..20 {
        answered.push(provider_of(&gateway, json!({})).await);
    }
    let by_large = answered.iter().filter(|it| *it == "large").count();
    assert!(by_large <= 5, "{answered:?}");

    large.clear_script();
    small.script(slowly());
    let to_large = async || provider_of(&gateway, json!({})).await == "large";
    eventually("the other one answers", to_large).await;
}
