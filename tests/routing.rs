//! Several providers behind one gateway: retries, failover and the way back, through sockets, in front of doubles.

#![expect(clippy::unwrap_used, reason = "tests fail by panics")]

mod support;

use gemini_double::GeminiDouble;
use mistral_double::{Behaviour, Failure, MistralDouble, Rule};
use openai_double::OpenAiDouble;
use serde_json::{Value, json};
use support::guest::Guest;
use support::{Gateway, Prepared, Setup, eventually, ports};

async fn double() -> MistralDouble {
    MistralDouble::builder().start().await.unwrap()
}

async fn double_at(port: u16) -> MistralDouble {
    MistralDouble::builder().port(port).start().await.unwrap()
}

/// `first` before `second`, under these names, and both with a name of their own for the model `small`.
fn both(first: &MistralDouble, second: &MistralDouble) -> Gateway {
    setup_of_both(first, second).start()
}

fn setup_of_both(first: &MistralDouble, second: &MistralDouble) -> Setup {
    let provider = |name: &str, double: &MistralDouble, priority: u32, small: &str| {
        format!(
            "  {name}:\n    type: mistral\n    priority: {priority}\n    credentials: {{ api_key: \"{}\" }}\n    config: \
             {{ endpoint: \"{}\", model_map: {{ small: {small} }} }}\n",
            double.key(),
            double.origin()
        )
    };
    let first = provider("first", first, 9, "ministral-8b-latest");
    let second = provider("second", second, 5, "mistral-small-latest");
    Setup::without_provider()
        .yaml(&format!("llm_providers:\n{first}{second}"))
        .yaml("routing: { breaker: { open_for: 300ms } }\n")
}

#[tokio::test]
async fn two_failures_in_a_row_are_survived() {
    let double = double().await;
    let gateway = Setup::with(&double).start();
    double.script(Rule::times(2, Failure::unavailable()));
    let answer = gateway.ask("Hello").await;
    assert_eq!(answer.body["success"], true, "{answer:?}");
    let entries = gateway.search(json!({ "limit": 1 })).await;
    let details = &entries[0]["policy_details"];
    assert_eq!(details["attempts"], 3, "{}", entries[0]);
    // A thousand tokens of an answer were reckoned with, and few came.
    assert!(details["estimated_cost_usd"].as_f64() > entries[0]["cost"].as_f64(), "{}", entries[0]);
    assert!(entries[0]["cost"].as_f64() > Some(0.0), "{}", entries[0]);
}

#[tokio::test]
async fn a_provider_that_fails_is_stood_in_for_and_is_used_again_when_it_answers() {
    let (first, second) = (double().await, double().await);
    let gateway = both(&first, &second);
    let by = async || gateway.ask("Hello").await.body["metadata"]["provider"].as_str().map(str::to_owned);
    assert_eq!(by().await.as_deref(), Some("first"));

    first.script(Rule::always(Failure::Close));
    for _ in 0..8 {
        assert_eq!(by().await.as_deref(), Some("second"));
    }
    first.clear_script();
    eventually("the first one is used again", async || by().await.as_deref() == Some("first")).await;
}

#[tokio::test]
async fn a_model_is_asked_for_under_each_providers_name() {
    let (first, second) = (double().await, double().await);
    let gateway = both(&first, &second);
    first.script(Rule::always(Failure::unavailable()));
    let answer = gateway.post("/api/request", json!({ "query": "Hello", "context": { "model": "small" } })).await;
    let metadata = &answer.body["metadata"];
    assert_eq!((&metadata["provider"], &metadata["model"]), (&json!("second"), &json!("mistral-small-latest")));
    // Probes are among the requests.
    let asked = |double: &MistralDouble| {
        let requests = double.requests();
        let last = requests.iter().rfind(|request| request.path() == "/v1/chat/completions");
        last.unwrap().json()["model"].clone()
    };
    assert_eq!((asked(&first), asked(&second)), (json!("ministral-8b-latest"), json!("mistral-small-latest")));
}

#[tokio::test]
async fn retries_and_breakers_are_counted() {
    let double = double().await;
    let gateway = Setup::with(&double)
        .yaml("routing: { retry: { attempts: 2, budget: 0 }, breaker: { failures: 2, open_for: 10s } }\n")
        .start();
    double.script(Rule::always(Failure::unavailable()));
    for code in ["upstream_unavailable", "upstream_unavailable", "breaker_open"] {
        let answer = gateway.ask("Hello").await;
        assert_eq!(answer.body["metadata"]["error_code"], code, "{answer:?}");
    }
    let metric = async |line: &str| {
        let text = gateway.client.get(gateway.url("/prometheus")).send().await.unwrap().text().await.unwrap();
        let found = text.lines().find_map(|it| it.strip_prefix(line)).map(|it| it.trim().to_owned());
        found.unwrap_or_else(|| panic!("no {line} in:\n{text}"))
    };
    assert_eq!(metric("octroi_provider_retries_total{provider=\"mistral\",result=\"tried\"}").await, "2");
    assert_eq!(metric("octroi_breaker_changes_total{provider=\"mistral\",to=\"open\"}").await, "1");
    assert_eq!(metric("octroi_breakers_open{provider=\"mistral\"}").await, "1");
    eventually("the room is given back", async || metric("octroi_bytes_in_flight").await == "0").await;

    let open = async || metric("octroi_breakers_open{provider=\"mistral\"}").await;
    eventually("its time is up, though nobody calls", async || open().await == "0").await;
    double.clear_script();
    eventually("the breaker lets a call pass", async || gateway.ask("Hello").await.body["success"] == true).await;
    assert_eq!(metric("octroi_breaker_changes_total{provider=\"mistral\",to=\"half_open\"}").await, "1");
    assert_eq!(metric("octroi_breaker_changes_total{provider=\"mistral\",to=\"closed\"}").await, "1");
    assert_eq!(open().await, "0");
}

/// A provider in each region. Who has no bounds goes to `us`. Each policy leaves a request some of the regions; `further`
/// are lines of their manifests.
fn bounded(eu: &MistralDouble, us: &MistralDouble, policies: &[(&str, &[&str])], further: &str) -> Gateway {
    let provider = |region: &str, double: &MistralDouble, priority: u32| {
        format!(
            "  {region}:\n    type: mistral\n    priority: {priority}\n    region: {region}\n    credentials: {{ api_key: \"{}\" }}\n    \
             config: {{ endpoint: \"{}\" }}\n",
            double.key(),
            double.origin()
        )
    };
    let providers = format!("llm_providers:\n{}{}", provider("eu", eu, 1), provider("us", us, 9));
    let prepared = Setup::without_provider().policies(&["audit-redact"]).yaml(&providers).prepare();
    for (order, (name, regions)) in policies.iter().enumerate() {
        let guest = Guest::pre_check("allow").reason(name).only_regions(regions);
        guest.put(&prepared.policies(), name, &format!("order: {order}\n{further}"));
    }
    prepared.start()
}

/// How often a model was asked for an answer.
fn asked(double: &MistralDouble) -> usize {
    double.requests().iter().filter(|request| !request.is_probe()).count()
}

fn streamed(text: &str) -> Value {
    json!({ "stream": true, "messages": [{ "role": "user", "content": text }] })
}

#[tokio::test]
async fn a_request_never_leaves_the_region_that_a_policy_keeps_it_in() {
    let (eu, us) = (double().await, double().await);
    let gateway = bounded(&eu, &us, &[("only-eu", &["EU"])], "");
    let asks = async |context: Value| gateway.post("/api/request", json!({ "query": "Hi", "context": context })).await;
    for context in [json!({}), json!({ "provider": "us" }), json!({ "model": "mistral-small-latest" })] {
        let answer = asks(context).await;
        assert_eq!((answer.status, &answer.body["metadata"]["provider"]), (200, &json!("eu")), "{answer:?}");
    }
    let request = gateway.client.post(gateway.url("/v1/chat/completions")).json(&streamed("Hi"));
    let text = request.send().await.unwrap().text().await.unwrap();
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    let embedded = gateway.post("/v1/embeddings", json!({ "model": "mistral-embed", "input": "Hi" })).await;
    assert_eq!(embedded.status, 200, "{embedded:?}");
    assert_eq!((asked(&eu), asked(&us)), (5, 0));

    let refused = asks(json!({ "provider": "us", "strict_provider": true })).await;
    let reason = json!("Request blocked by policy: only-eu (no_provider_left)");
    assert_eq!((refused.status, &refused.body["block_reason"]), (403, &reason), "{refused:?}");
    assert_eq!(refused.body["explanation"], "only-eu", "its own sentence: {refused:?}");

    // One that fails is not stood in for from outside.
    eu.script(Rule::always(Failure::unavailable()));
    let failed = asks(json!({})).await;
    assert_eq!(failed.body["metadata"]["error_code"], "upstream_unavailable", "{failed:?}");
    let failed = gateway.post("/v1/chat/completions", streamed("Hi")).await;
    assert!(failed.status >= 500, "{failed:?}");
    assert!(asked(&eu) > 6, "it was tried");
    assert_eq!(asked(&us), 0);
}

#[tokio::test]
async fn the_bounds_of_several_policies_meet_and_the_first_one_is_named_when_nothing_is_left() {
    let (eu, us) = (double().await, double().await);
    let gateway = bounded(&eu, &us, &[("west", &["eu", "us"]), ("overseas", &["us", "ch"])], "");
    let answer = gateway.ask("Hi").await;
    assert_eq!((&answer.body["metadata"]["provider"], asked(&eu)), (&json!("us"), 0), "{answer:?}");
    us.script(Rule::times(3, Failure::unavailable()));
    let answer = gateway.ask("Hi").await;
    assert_eq!((&answer.body["success"], asked(&eu)), (&json!(false), 0), "{answer:?}");

    let gateway = bounded(&eu, &us, &[("home", &["eu"]), ("overseas", &["us"]), ("either", &["eu", "us"])], "");
    let before = (asked(&eu), asked(&us));
    let reason = json!("Request blocked by policy: home (no_provider_left)");
    for skip_llm in [false, true] {
        let answer = gateway.post("/api/request", json!({ "query": "Hi", "skip_llm": skip_llm })).await;
        assert_eq!((answer.status, &answer.body["block_reason"]), (403, &reason), "{skip_llm}: {answer:?}");
        assert_eq!(answer.body["explanation"], "home", "{answer:?}");
        let record = &gateway.search(json!({ "limit": 1 })).await[0];
        assert_eq!(record["policy_decision"], "blocked", "{record}");
    }
    let refused = gateway.post("/v1/chat/completions", streamed("Hi")).await;
    assert_eq!((refused.status, &refused.body["code"]), (400, &json!("policy_denied")), "{refused:?}");
    assert_eq!((asked(&eu), asked(&us)), before, "nobody was asked");
    // There the application calls the model.
    let checked = gateway.pre_check("Hi").await;
    assert_eq!(checked.body["approved"], true, "{checked:?}");
}

#[tokio::test]
async fn a_preferred_provider_without_the_model_leaves_the_request_to_one_that_has_it() {
    let (mistral, openai) = (double().await, OpenAiDouble::start().await.unwrap());
    let provider = |kind: &str, key: &str, endpoint: &str| {
        format!(
            "  {kind}:\n    region: eu\n    credentials: {{ api_key: \"{key}\" }}\n    config: {{ endpoint: \"{endpoint}\" }}\n"
        )
    };
    let providers = format!(
        "llm_providers:\n{}{}",
        provider("mistral", mistral.key(), &mistral.origin()),
        provider("openai", openai_double::KEY, &openai.origin())
    );
    let setup = || Setup::without_provider().policies(&["audit-redact"]).yaml(&providers);
    let bounded = setup().prepare();
    Guest::pre_check("allow").only_regions(&["eu"]).put(&bounded.policies(), "at-home", "");
    for (bounds, gateway) in [("none", setup().start()), ("a policy's", bounded.start())] {
        let request = |field: &str, value: bool| {
            let context = json!({ "provider": "openai", "model": "mistral-small-latest" });
            json!({ "query": "Hi", "context": context, field: value })
        };
        let answer = gateway.post("/api/request", request("stream", false)).await;
        let provider = &answer.body["metadata"]["provider"];
        assert_eq!((answer.status, provider), (200, &json!("mistral")), "{bounds}: {answer:?}");
        let checked = gateway.post("/api/request", request("skip_llm", true)).await;
        assert_eq!((checked.status, &checked.body["success"]), (200, &json!(true)), "{bounds}: {checked:?}");
        let streamed = gateway.client.post(gateway.url("/api/request")).json(&request("stream", true)).send();
        let text = streamed.await.unwrap().text().await.unwrap();
        assert!(text.contains("data: ") && !text.contains("error"), "{bounds}: {text}");
    }
    assert_eq!(asked(&mistral), 4);
}

#[tokio::test]
async fn a_policy_in_shadow_sends_nobody_elsewhere() {
    let (eu, us) = (double().await, double().await);
    let gateway = bounded(&eu, &us, &[("home", &["eu"]), ("nowhere", &["mars"])], "mode: shadow\n");
    let answer = gateway.ask("Hi").await;
    assert_eq!((answer.status, &answer.body["metadata"]["provider"]), (200, &json!("us")), "{answer:?}");
}

#[tokio::test]
async fn what_a_failed_call_used_is_counted_as_its_own_providers() {
    let (first, second) = (double().await, double().await);
    let gateway = both(&first, &second);
    first.script(Behaviour::answer());
    first.script(Failure::tier_not_allowed());
    let inputs: Vec<_> = (0..513).map(|number| number.to_string()).collect();
    let answer = gateway.post("/v1/embeddings", json!({ "model": "mistral-embed", "input": inputs })).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let used = async |provider: &str| {
        let labels = format!("provider=\"{provider}\",model=\"mistral-embed\",type=\"prompt\"");
        gateway.metric(&format!("octroi_llm_tokens_total{{{labels}}}")).await
    };
    let (of_first, of_second) = (used("first").await, used("second").await);
    assert!(of_first >= 512.0, "{of_first}");
    assert_eq!(Some(of_second), answer.body["usage"]["total_tokens"].as_f64());
    let entry = &gateway.search(json!({ "limit": 1 })).await[0];
    assert_eq!(entry["tokens_used"].as_f64(), Some(of_first + of_second), "{entry}");
}

/// A policy that takes its time and then lets a request go on, behind `quick`: what that one let pass is being judged.
fn put_slow(prepared: &Prepared) {
    Guest::pre_check("allow").put(&prepared.policies(), "quick", "order: 1\n");
    let manifest = "order: 2\non_error: allow\nlimits: { time: 4s }\n";
    Guest::pre_check("allow").spinning().put(&prepared.policies(), "slow", manifest);
}

#[tokio::test]
async fn who_goes_away_while_policies_judge_costs_no_call() {
    let double = double().await;
    let prepared = Setup::with(&double).policies(&["audit-redact"]).prepare();
    put_slow(&prepared);
    let gateway = prepared.start();
    let ask = |stream: bool| {
        let body = json!({ "query": "Hello", "stream": stream });
        tokio::spawn(gateway.client.post(gateway.url("/api/request")).json(&body).send())
    };
    let asking = [ask(false), ask(true)];
    gateway.until_passed("quick", 2.0).await;
    asking.iter().for_each(|asking| asking.abort());
    let records = async || gateway.search(json!({ "limit": 10 })).await;
    let are_gone = async || {
        let records = records().await;
        records.len() == 2 && records.iter().all(|it| it["policy_details"]["client_gone"] == true)
    };
    eventually("it is on record that the clients are gone", are_gone).await;
    for record in records().await {
        assert_eq!(record["policy_details"]["attempts"], 0, "{record}");
    }
    assert_eq!(asked(&double), 0);
}

/// What every view says of a provider's health.
async fn shown(gateway: &Gateway, name: &str) -> Vec<Value> {
    let named = |list: &Value| list.as_array().unwrap().iter().find(|it| it["name"] == name).unwrap().clone();
    let health = gateway.get("/health").await.body;
    let listed = named(&gateway.get("/api/v1/llm-providers").await.body["providers"]);
    let alone = gateway.get(&format!("/api/v1/llm-providers/{name}/health")).await.body;
    let status = named(&gateway.get("/api/v1/llm-providers/status").await.body["providers"]);
    let by_name = gateway.get("/api/v1/providers/status").await.body[name].clone();
    for body in [&status, &by_name] {
        assert_eq!(body["healthy"] == false, body["status"] == "unhealthy", "{body}");
        assert!(body["healthy"] == true || body["message"] != "", "{body}");
    }
    vec![
        named(&health["providers"])["status"].clone(),
        listed["health"]["status"].clone(),
        alone["health"]["status"].clone(),
        status["status"].clone(),
        by_name["status"].clone(),
    ]
}

#[tokio::test]
async fn shares_that_change_while_policies_judge_are_those_that_they_saw() {
    let (first, second) = (double().await, double().await);
    let prepared = setup_of_both(&first, &second).policies(&["audit-redact"]).prepare();
    put_slow(&prepared);
    let gateway = prepared.start();
    let all_to = async |name: &str| {
        let request = gateway.client.put(gateway.url("/api/v1/llm-providers/routing"));
        let answer = request.json(&json!({ "weights": { name: 1 } })).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    };
    all_to("first").await;
    let shared_anew = async {
        gateway.until_passed("quick", 1.0).await;
        all_to("second").await;
    };
    let (answer, ()) = tokio::join!(gateway.ask("Hello"), shared_anew);
    assert_eq!(answer.body["metadata"]["provider"], "first", "{answer:?}");
    assert_eq!((asked(&first), asked(&second)), (1, 0));
    assert_eq!(gateway.ask("Hello").await.body["metadata"]["provider"], "second");
}

#[tokio::test]
async fn every_view_shows_a_provider_whose_plug_is_pulled_until_it_is_back() {
    let ports = [ports::free(), ports::free()];
    let (first, second) = (double_at(ports[0]).await, double_at(ports[1]).await);
    let gateway = both(&first, &second);
    let providers = async || gateway.get("/health").await.body["components"]["providers"].clone();
    let counted = async || gateway.get("/api/v1/llm-providers/status").await.body["healthy"].clone();
    assert_eq!(gateway.ask("Hello").await.body["metadata"]["provider"], "first");
    assert_eq!(shown(&gateway, "first").await, ["healthy"; 5]);

    first.shutdown().await;
    eventually("the first is shown as unhealthy", async || {
        assert_eq!(gateway.ask("Hello").await.body["metadata"]["provider"], "second");
        shown(&gateway, "first").await == ["unhealthy"; 5]
    })
    .await;
    assert_eq!(shown(&gateway, "second").await, ["healthy"; 5]);
    assert_eq!((providers().await, counted().await), (json!("healthy"), json!(1)), "one of them serves");

    second.shutdown().await;
    eventually("both are shown as unhealthy", async || {
        assert_eq!(gateway.ask("Hello").await.body["success"], false);
        shown(&gateway, "second").await == ["unhealthy"; 5]
    })
    .await;
    assert_eq!((providers().await, counted().await), (json!("unhealthy"), json!(0)));
    assert_eq!(gateway.get("/health").await.status, 200);

    let _back = double_at(ports[0]).await;
    let _again = double_at(ports[1]).await;
    // By their probes: nobody asks.
    eventually("all are shown as healthy", async || {
        shown(&gateway, "first").await == ["healthy"; 5] && shown(&gateway, "second").await == ["healthy"; 5]
    })
    .await;
    assert_eq!((providers().await, counted().await), (json!("healthy"), json!(2)));
}

#[tokio::test]
async fn names_and_ids_of_tools_that_a_vendor_refuses_fail_no_request() {
    let (openai, gemini) = (OpenAiDouble::start().await.unwrap(), GeminiDouble::start().await.unwrap());
    let provider = |kind: &str, priority: u32, key: &str, endpoint: &str, small: &str| {
        format!(
            "  {kind}:\n    type: {kind}\n    priority: {priority}\n    credentials: {{ api_key: \"{key}\" }}\n    config: \
             {{ endpoint: \"{endpoint}\", model_map: {{ small: {small} }} }}\n"
        )
    };
    let first = provider("openai", 9, openai_double::KEY, &openai.origin(), "gpt-4o");
    let second = provider("gemini", 5, gemini_double::KEY, &gemini.origin(), "gemini-2.5-flash-lite");
    let gateway = Setup::without_provider().yaml(&format!("llm_providers:\n{first}{second}")).start();
    let ask = async |mut body: Value| {
        body["model"] = json!("small");
        let answer = gateway.post("/v1/chat/completions", body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        (openai.chats().len(), gemini.chats().len())
    };
    let hello = json!({ "role": "user", "content": "Hello" });
    let tools = json!([{ "type": "function", "function": { "name": "fs.read" } }]);
    assert_eq!(ask(json!({ "messages": [hello], "tools": tools })).await, (0, 1), "who takes the name is asked");

    // Of another server, whose ids have the name in them.
    let name = format!("functions.{}", "x".repeat(40));
    let id = format!("{name}:0");
    let call = json!({ "id": id, "type": "function", "function": { "name": name, "arguments": "{}" } });
    let history = json!([
        hello,
        { "role": "assistant", "content": null, "tool_calls": [call] },
        { "role": "tool", "tool_call_id": id, "content": "found" },
    ]);
    assert_eq!(ask(json!({ "messages": history })).await, (1, 1), "it is sent as the vendor takes it");
}
