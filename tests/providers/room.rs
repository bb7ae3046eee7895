//! How many bytes may be in flight, and whose.

use mistral_double::MistralDouble;
use serde_json::json;

use super::digest;
use super::support::gate::Gate;
use super::support::{self, Setup, eventually};

#[tokio::test]
async fn past_the_bound_on_bytes_in_flight_the_answer_is_429() {
    let mistral = MistralDouble::builder().start().await.unwrap();
    let gate = Gate::before(mistral.address()).await;
    let mut setup = Setup::with(&mistral).yaml("server: { listen: \"127.0.0.1:0\", max_bytes_in_flight: 1MiB }\n");
    setup.double = setup.double.map(|yaml| yaml.replace(&mistral.origin(), &gate.origin()));
    let gateway = setup.prepare().unhurried().start();
    gate.shut();
    let large = "word ".repeat(130_000);
    let (first, (status, retry_after)) = tokio::join!(gateway.ask(&large), async {
        let asked = || mistral.requests().iter().any(|request| request.path().contains("chat"));
        eventually("the model is asked", async || asked()).await;
        let request = gateway.client.post(gateway.url("/v1/chat/completions"));
        let body = json!({ "messages": [{ "role": "user", "content": large }] });
        let answer = request.json(&body).send().await.unwrap();
        gate.open();
        (answer.status().as_u16(), answer.headers().get("retry-after").is_some())
    });
    assert_eq!((status, retry_after), (429, true));
    assert_eq!(first.status, 200, "{first:?}");
    eventually("the room is given back", async || gateway.ask(&large).await.status == 200).await;
}

#[tokio::test]
async fn one_tenant_alone_leaves_room_for_the_others() {
    let mistral = MistralDouble::builder().start().await.unwrap();
    let gate = Gate::before(mistral.address()).await;
    let mut setup = Setup::with(&mistral).yaml(&format!(
        "server: {{ listen: \"127.0.0.1:0\", max_bytes_in_flight: 1MiB }}\nauth:\n  mode: clients\n  clients:\n    - {{ id: \
         one, secret_sha256: {} }}\n    - {{ id: two, secret_sha256: {} }}\n",
        digest("secret-of-one-0123456789"),
        digest("secret-of-two-0123456789")
    ));
    setup.double = setup.double.map(|yaml| yaml.replace(&mistral.origin(), &gate.origin()));
    let gateway = setup.prepare().unhurried().start();
    gate.shut();
    let ask = async |secret: &str, bytes: usize| {
        let request = gateway.client.post(gateway.url("/v1/chat/completions")).bearer_auth(secret);
        let body = json!({ "messages": [{ "role": "user", "content": "word ".repeat(bytes / 5) }] });
        support::answer(request.json(&body).send().await.unwrap()).await
    };
    let asked = |times: usize| mistral.requests().iter().filter(|it| it.path().contains("chat")).count() == times;
    let (large, (refused, small)) = tokio::join!(ask("secret-of-one-0123456789", 600_000), async {
        eventually("the model is asked", async || asked(1)).await;
        let refused = ask("secret-of-one-0123456789", 200_000).await;
        tokio::join!(async { refused }, async {
            let open = async {
                eventually("the model is asked by the other one", async || asked(2)).await;
                gate.open();
            };
            tokio::join!(ask("secret-of-two-0123456789", 100_000), open).0
        })
    });
    assert_eq!((refused.status, &refused.body["code"]), (429, &json!("no_room")), "{refused:?}");
    assert_eq!((large.status, small.status), (200, 200), "{large:?} {small:?}");
}

#[tokio::test]
async fn a_stream_holds_its_requests_room_until_its_end() {
    let mistral = MistralDouble::builder().start().await.unwrap();
    let gateway = Setup::with(&mistral).prepare().unhurried().start();
    mistral.script(mistral_double::Rule::once(
        mistral_double::Behaviour::text("one two three").between_chunks(std::time::Duration::from_secs(60)),
    ));
    let body = json!({ "stream": true, "messages": [{ "role": "user", "content": "word ".repeat(130_000) }] });
    let request = gateway.client.post(gateway.url("/v1/chat/completions")).json(&body);
    let mut answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.chunk().await.unwrap().is_some());
    assert!(gateway.metric("octroi_bytes_in_flight").await >= 650_000.0);
    drop(answer);
    eventually("the room is given back", async || gateway.metric("octroi_bytes_in_flight").await == 0.0).await;
}
