//! Who is asked, in which order, and what is made of failures.

mod failures;
mod health;
mod order;
mod streams;

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use tokio::time::{advance, sleep};

use super::*;
use crate::chat::{Aside, Choice, FinishReason, Message, Role, Task, Usage};
use crate::provider::{ApiKey, Catalogue, Delta, ErrorKind, Kind, ProviderError, StreamEvent};

/// The clock stands still but for those who wait for it, and tells no shorter time.
const MOMENT: Duration = Duration::from_millis(1);

#[derive(Debug)]
struct Fake {
    info: Info,
    family: &'static str,
    /// It serves all other names than its own by mere assumption.
    assumes: bool,
    catalogue: Catalogue,
    failure: Mutex<Option<ErrorKind>>,
    /// So many calls fail from now on; all of them while it is none.
    failures_left: Mutex<Option<u32>>,
    /// The status of its refusals: without one what is unsupported was not sent.
    status: Mutex<Option<u16>>,
    hint: Mutex<Option<Duration>>,
    takes: Mutex<Duration>,
    /// Of a token of the prompt, and of the answer.
    price: Option<(f64, f64)>,
    /// Tokens that were lost on the way to its answers.
    lost: Mutex<Option<Usage>>,
    /// Tokens of a part of its answers that is there at once.
    part: Mutex<Option<Usage>>,
    /// What ends its streams behind their first event.
    breaks: Mutex<Option<ErrorKind>>,
    /// Its other self, which a caller's key opens.
    of_callers: Mutex<Option<Arc<Fake>>>,
    asked: Mutex<Vec<String>>,
    probed: Mutex<Vec<Instant>>,
}

impl Fake {
    fn new(name: &str, priority: i32, weight: f64) -> Arc<Self> {
        Self::in_region(name, priority, weight, None)
    }

    fn in_region(name: &str, priority: i32, weight: f64, region: Option<&str>) -> Arc<Self> {
        Arc::new(Self {
            info: Info {
                name: name.into(),
                kind: Kind::Mistral,
                display_name: name.into(),
                endpoint: "http://127.0.0.1:1".into(),
                model: format!("{name}-default"),
                timeout: Duration::from_secs(1),
                region: region.map(str::to_owned),
                priority,
                weight,
                has_api_key: true,
                is_exposed: false,
            },
            family: "",
            assumes: false,
            catalogue: Catalogue::new(Vec::new()),
            failure: Mutex::new(None),
            failures_left: Mutex::new(None),
            status: Mutex::default(),
            hint: Mutex::new(Some(Duration::from_secs(7))),
            takes: Mutex::default(),
            price: None,
            lost: Mutex::default(),
            part: Mutex::default(),
            breaks: Mutex::default(),
            of_callers: Mutex::default(),
            asked: Mutex::default(),
            probed: Mutex::default(),
        })
    }

    /// At a price, which is its name too.
    fn at(price: f64) -> Arc<Self> {
        Self::priced(&price.to_string(), price, price)
    }

    fn priced(name: &str, prompt: f64, answer: f64) -> Arc<Self> {
        let mut fake = Arc::into_inner(Self::new(name, 5, 1.0)).unwrap();
        fake.price = Some((prompt, answer));
        Arc::new(fake)
    }

    fn fail(&self, kind: impl Into<Option<ErrorKind>>) {
        *self.failure.lock().unwrap() = kind.into();
    }

    /// Fails so many times, without a word about when to come again.
    fn fail_times(&self, kind: ErrorKind, times: u32) {
        self.fail(kind);
        self.hint(None);
        *self.failures_left.lock().unwrap() = Some(times);
    }

    fn hint(&self, hint: Option<u64>) {
        *self.hint.lock().unwrap() = hint.map(Duration::from_secs);
    }

    fn takes(&self, millis: u64) {
        *self.takes.lock().unwrap() = Duration::from_millis(millis);
    }

    fn models(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    /// The times between its probes, the first one's from then.
    fn probes(&self, mut then: Instant) -> Vec<Duration> {
        let probed = self.probed.lock().unwrap();
        probed.iter().map(|at| at.duration_since(std::mem::replace(&mut then, *at))).collect()
    }

    fn outcome(&self) -> Result<(), ProviderError> {
        let Some(kind) = *self.failure.lock().unwrap() else { return Ok(()) };
        match &mut *self.failures_left.lock().unwrap() {
            Some(0) => return Ok(()),
            Some(left) => *left -= 1,
            None => {}
        }
        let error = ProviderError::new(kind, "no").with_retry_after(*self.hint.lock().unwrap());
        Err(self.status.lock().unwrap().into_iter().fold(error, ProviderError::with_status))
    }
}

#[async_trait]
impl Provider for Fake {
    fn info(&self) -> &Info {
        &self.info
    }

    fn serves(&self, model: &str) -> bool {
        model.starts_with(self.family)
    }

    fn assumes(&self, model: &str) -> bool {
        self.assumes && model != self.info.model
    }

    fn catalogue(&self) -> Option<&Catalogue> {
        Some(&self.catalogue)
    }

    fn does(&self, _: Task) -> bool {
        true
    }

    async fn chat(&self, request: &ChatRequest) -> Result<ChatAnswer, ProviderError> {
        let model = self.model_of(request).to_owned();
        self.asked.lock().unwrap().push(model.clone());
        let part = *self.part.lock().unwrap();
        part.into_iter().for_each(crate::provider::answer::spent::add);
        let takes = *self.takes.lock().unwrap();
        if !takes.is_zero() {
            sleep(takes).await;
        }
        self.outcome()?;
        Ok(ChatAnswer {
            id: "1".into(),
            model,
            choices: vec![Choice {
                message: Message::text(Role::Assistant, "Yes."),
                finish_reason: FinishReason::Stop,
            }],
            lost: *self.lost.lock().unwrap(),
            ..ChatAnswer::default()
        })
    }

    async fn stream(&self, request: &ChatRequest) -> Result<Streamed, ProviderError> {
        let answer = self.chat(request).await;
        // A failure is told by the first event, as by an upstream that has answered 200 already.
        let begun = answer.map(|answer| StreamEvent {
            frame: None,
            deltas: vec![Delta::Started { id: answer.id, model: answer.model, aside: Aside::default() }],
        });
        let broken = self.breaks.lock().unwrap().map(|kind| Err(ProviderError::new(kind, "broke off")));
        let events = Box::pin(futures_util::stream::iter([begun].into_iter().chain(broken)));
        Ok(Streamed { events, correlation_id: None, notes: Vec::new(), held: None })
    }

    async fn probe(&self) -> Result<(), ProviderError> {
        self.probed.lock().unwrap().push(Instant::now());
        self.outcome()
    }

    fn with_key(&self, _: &ApiKey) -> Option<Arc<dyn Provider>> {
        self.of_callers.lock().unwrap().clone().map(|fake| fake as Arc<dyn Provider>)
    }

    fn price(&self, _model: &str, usage: &Usage) -> Option<f64> {
        let of = |(prompt, answer)| usage.prompt_tokens as f64 * prompt + usage.completion_tokens as f64 * answer;
        self.price.map(of)
    }
}

impl Router {
    /// Routes a request whose attempts nobody watches.
    async fn ask(&self, request: &ChatRequest, constraints: &Constraints) -> Result<Routed, RouteError> {
        self.route(request, constraints, &Attempts::default()).await
    }

    /// The same, streamed.
    async fn begin(&self, request: &ChatRequest, constraints: &Constraints) -> Result<Routed<Streamed>, RouteError> {
        self.stream(request, constraints, &Attempts::default()).await
    }

    /// Streams to the end, which may be a failure.
    async fn listen(&self, constraints: &Constraints) -> Option<ProviderError> {
        let events = self.begin(&hello(), constraints).await.unwrap().answer.events;
        events.collect::<Vec<_>>().await.pop().unwrap().err()
    }

    /// Who is asked, in order. Draws anew at each call where the strategy draws.
    fn candidates(&self, model: Option<&str>, constraints: &Constraints) -> Result<Vec<String>, RouteError> {
        let request = ChatRequest { model: model.map(str::to_owned), ..ChatRequest::default() };
        let ordered = self.ordered(self.eligible(model, constraints)?, &request, constraints, Form::Whole);
        Ok(ordered.into_iter().map(|entry| entry.info().name.clone()).collect())
    }

    /// The names of the providers that a request could still go to.
    fn names(&self, model: Option<&str>, constraints: &Constraints) -> Result<Vec<String>, RouteError> {
        let destinations = self.destinations(model, constraints)?;
        Ok(destinations.into_iter().map(|destination| destination.provider.to_owned()).collect())
    }

    fn state_of(&self, name: &str) -> State {
        self.providers().find(|status| status.info.name == name).unwrap().health.state
    }
}

/// Lets everybody else do what can be done by now.
async fn settle() {
    sleep(MOMENT).await;
}

fn router(fakes: &[&Arc<Fake>], routing: Routing) -> Router {
    let providers = fakes.iter().map(|fake| Arc::clone(fake) as Arc<dyn Provider>).collect();
    Router::new(providers, routing).unwrap()
}

fn weights(list: &[(&str, f64)]) -> Routing {
    Routing { weights: list.iter().map(|(name, weight)| ((*name).into(), *weight)).collect(), ..Routing::default() }
}

fn failover(default: Option<&str>) -> Routing {
    Routing { strategy: Strategy::Failover, default: default.map(str::to_owned), ..Routing::default() }
}

fn by(strategy: Strategy) -> Routing {
    Routing { strategy, ..Routing::default() }
}

fn hello() -> ChatRequest {
    ChatRequest { messages: vec![Message::text(Role::User, "Hi")], ..ChatRequest::default() }
}

fn order(router: &Router, constraints: &Constraints) -> Vec<String> {
    router.candidates(None, constraints).unwrap()
}

fn any() -> Constraints {
    Constraints::default()
}

fn prefer(name: &str) -> Constraints {
    Constraints::new(Preference::Prefer(name.into()))
}

fn pin(name: &str) -> Constraints {
    Constraints::new(Preference::Pin(name.into()))
}

/// Pinned, and opened by the caller's own key.
fn with_key(name: &str) -> Constraints {
    pin(name).with_key(Some(ApiKey::new("sk-of-the-caller").unwrap()))
}
