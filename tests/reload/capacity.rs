//! Requests that take long: one that is in flight while policies change, and one more than there is room for.

use std::sync::Arc;

use futures_util::future::select;
use mistral_double::MistralDouble;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::support::gate::Gate;
use super::support::guest::Guest;
use super::support::{Gateway, Setup, eventually};
use super::{NEVER, bare, generation, replace, until_generation};

const OVERLOADED: &str = "the gateway is at its limit of concurrent policy evaluations; try again shortly";

/// Policy, phase and version of all evaluations of a request.
fn evaluations(entry: &Value) -> Vec<(String, String, String)> {
    let text = |it: &Value| it.as_str().unwrap().to_owned();
    let of = |key: &str| entry["policy_details"][key].as_array().cloned().unwrap_or_default();
    let all = [of("evaluations"), of("response_evaluations")].concat();
    all.iter().map(|it| (text(&it["policy"]), text(&it["phase"]), text(&it["version"]))).collect()
}

/// The model answers when the policies have long been changed: the answer is judged by those that judged the question.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_in_flight_ends_under_the_policies_that_it_began_with() {
    let double = MistralDouble::builder().start().await.unwrap();
    let gate = Gate::before(double.address()).await;
    let mut setup = Setup::with(&double)
        .policies(&[])
        .yaml(&format!("policies: {{ directory: policies, cache: cache, {NEVER} }}\n"));
    setup.double = setup.double.map(|yaml| yaml.replace(&double.origin(), &gate.origin()));
    let prepared = setup.prepare();
    let policies = prepared.policies();
    Guest::pre_check("allow").reason("old").put(&policies, "question", "");
    Guest::response("allow").reason("old").put(&policies, "answer", "");
    let gateway = Arc::new(prepared.start());
    let before = generation(&gateway).await;

    gate.shut();
    let asked = tokio::spawn({
        let gateway = gateway.clone();
        async move { gateway.ask("Hello").await }
    });
    let arrived = || double.requests().iter().any(|request| request.path().contains("chat"));
    eventually("the model is asked", async || arrived()).await;
    replace(&policies.join("answer.wasm"), Guest::response("deny").reason("new").module());
    replace(&policies.join("question.wasm"), Guest::pre_check("log").reason("new").module());
    // With one more that did not exist when the question was asked.
    Guest::response("deny").reason("newcomer").put(&policies, "newcomer", "order: 1\n");
    gateway.until("/health", |body| body["policies"]["live"] == 3).await;
    until_generation(&gateway, before + 1).await;
    assert!(!asked.is_finished());
    gate.open();
    let answer = asked.await.unwrap();
    assert_eq!((answer.status, &answer.body["success"]), (200, &json!(true)), "{answer:?}");

    let refused = gateway.ask("Hello").await;
    assert_eq!((refused.status, &refused.body["explanation"]), (403, &json!("newcomer")), "{refused:?}");
    let entries = gateway.search(json!({ "limit": 2 })).await;
    let [new, old] = entries.as_slice() else { panic!("{entries:?}") };
    assert_eq!(old["policy_details"]["generation"], before);
    assert_eq!(old["policy_decision"], "allowed");
    let (old, new) = (evaluations(old), evaluations(new));
    let names =
        |all: &[(String, String, String)]| all.iter().map(|it| format!("{} {}", it.0, it.1)).collect::<Vec<_>>();
    assert_eq!(names(&old), ["question pre-check", "answer response"]);
    assert_eq!(names(&new), ["question pre-check", "newcomer response", "answer response"]);
    assert!(old.iter().all(|it| !new.contains(it)), "not one version in common");
}

/// A gateway with room for so many evaluations, with a policy that runs for long on a client's requests and then lets
/// them pass, behind one that is quick and has this in its manifest.
fn crowded(places: usize, quick: &str) -> Arc<Gateway> {
    let prepared = bare(&format!("{NEVER}, max_concurrent: {places}")).prepare();
    let slow = "match: { clients: [slow] }\non_error: allow\nlimits: { time: 4s }\n";
    Guest::pre_check("allow").spinning().put(&prepared.policies(), "slow", slow);
    Guest::pre_check("allow").put(&prepared.policies(), "quick", &format!("order: 1\n{quick}"));
    Arc::new(prepared.start())
}

/// Asks as this client, in a task of its own.
fn asking(gateway: &Arc<Gateway>, client: &'static str) -> JoinHandle<Answered> {
    let gateway = gateway.clone();
    tokio::spawn(async move { ask(&gateway, client).await })
}

fn is_overloaded(answer: &Answered) -> bool {
    answer.status == 503 && answer.retry_after.as_deref() == Some("1") && answer.body["code"] == "overloaded"
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_more_than_there_is_room_for_is_told_when_to_come_again_and_is_on_record() {
    // Nobody holds the place for long but the slow one.
    let gateway = crowded(1, "match: { clients: [library, community] }\n");
    let slow = tokio::spawn({
        let gateway = gateway.clone();
        async move {
            loop {
                // A quick one may have it at this moment.
                let answer = ask(&gateway, "slow").await;
                if !is_overloaded(&answer) {
                    break answer;
                }
            }
        }
    });
    let refused = loop {
        let answer = ask(&gateway, "library").await;
        if answer.status != 200 {
            break answer;
        }
        assert!(!slow.is_finished(), "never full");
    };
    assert!(is_overloaded(&refused), "{refused:?}");
    let proxied = gateway.post("/api/request", json!({ "query": "Hello", "skip_llm": true })).await;
    assert_eq!((proxied.status, &proxied.body["code"]), (503, &json!("overloaded")), "{proxied:?}");
    for client in ["library", "community"] {
        let entries = gateway.search(json!({ "client_id": client, "limit": 1 })).await;
        assert_eq!(entries[0]["policy_decision"], "error", "{entries:?}");
        assert_eq!(entries[0]["error_message"], OVERLOADED, "{entries:?}");
    }
    let slow = slow.await.unwrap();
    assert_eq!((slow.status, &slow.body["approved"]), (200, &json!(true)), "who had a place kept it: {slow:?}");
    assert_eq!(ask(&gateway, "library").await.status, 200, "there is room again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_judged_holds_its_room_though_its_caller_is_gone() {
    let gateway = crowded(2, "");
    let body = json!({ "query": "word ".repeat(4_000), "client_id": "slow" });
    let asked = tokio::spawn(gateway.client.post(gateway.url("/api/policy/pre-check")).json(&body).send());
    gateway.until_passed("quick", 1.0).await;
    asked.abort();
    let gone = r#"axonflow_agent_requests_total{status="error"}"#;
    eventually("the caller is gone", async || gateway.metric(gone).await >= 1.0).await;
    assert!(gateway.metric("octroi_bytes_in_flight").await >= 20_000.0);
    eventually("the room is given back", async || gateway.metric("octroi_bytes_in_flight").await == 0.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_evaluations_take_half_of_the_room_and_leave_the_rest_to_quick_ones() {
    let gateway = crowded(2, "");
    // Whichever takes the place keeps it.
    let (refused, kept) = select(asking(&gateway, "slow"), asking(&gateway, "slow")).await.factor_first();
    let (refused, kept) = (refused.unwrap(), kept.into_inner());
    assert!(is_overloaded(&refused), "{refused:?}");
    assert!(!kept.is_finished());
    let entries = gateway.search(json!({ "client_id": "slow", "limit": 1 })).await;
    assert_eq!(entries[0]["error_message"], OVERLOADED, "{entries:?}");
    for _ in 0..20 {
        assert_eq!(ask(&gateway, "library").await.status, 200);
    }
    let kept = kept.await.unwrap();
    assert_eq!((kept.status, &kept.body["approved"]), (200, &json!(true)), "{kept:?}");
}

#[derive(Debug)]
struct Answered {
    status: u16,
    retry_after: Option<String>,
    body: Value,
}

async fn ask(gateway: &Gateway, client: &str) -> Answered {
    let body = json!({ "query": "Hello", "client_id": client });
    let request = gateway.client.post(gateway.url("/api/policy/pre-check")).json(&body);
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let retry_after = response.headers().get("retry-after").map(|it| it.to_str().unwrap().to_owned());
    Answered { status, retry_after, body: response.json().await.unwrap() }
}
