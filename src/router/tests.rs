//! Who is asked, in which order, and what is made of failures.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::StreamExt;

use super::*;
use crate::chat::{Choice, FinishReason, Message, Role, Usage};
use crate::provider::{ApiKey, Delta, ErrorKind, Kind, ProviderError, StreamEvent};

#[derive(Debug)]
struct Fake {
    info: Info,
    family: &'static str,
    failure: Mutex<Option<ErrorKind>>,
    /// So many calls fail from now on; all of them while it is none.
    failures_left: Mutex<Option<u32>>,
    hint: Mutex<Option<Duration>>,
    takes: Mutex<Duration>,
    price: Option<f64>,
    /// What ends its streams behind their first event.
    breaks: Mutex<Option<ErrorKind>>,
    /// Its other self, which a caller's key opens.
    of_callers: Mutex<Option<Arc<Fake>>>,
    asked: Mutex<Vec<String>>,
    probes: tokio::sync::Notify,
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
            failure: Mutex::new(None),
            failures_left: Mutex::new(None),
            hint: Mutex::new(Some(Duration::from_secs(7))),
            takes: Mutex::default(),
            price: None,
            breaks: Mutex::default(),
            of_callers: Mutex::default(),
            asked: Mutex::default(),
            probes: tokio::sync::Notify::new(),
        })
    }

    /// At a price, which is its name too.
    fn at(price: f64) -> Arc<Self> {
        let mut fake = Arc::into_inner(Self::new(&price.to_string(), 5, 1.0)).unwrap();
        fake.price = Some(price);
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

    fn outcome(&self) -> Result<(), ProviderError> {
        let Some(kind) = *self.failure.lock().unwrap() else { return Ok(()) };
        match &mut *self.failures_left.lock().unwrap() {
            Some(0) => return Ok(()),
            Some(left) => *left -= 1,
            None => {}
        }
        Err(ProviderError::new(kind, "no").with_retry_after(*self.hint.lock().unwrap()))
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

    async fn chat(&self, request: &ChatRequest) -> Result<ChatAnswer, ProviderError> {
        let model = self.model_for(request.model.as_deref()).to_owned();
        self.asked.lock().unwrap().push(model.clone());
        let takes = *self.takes.lock().unwrap();
        if !takes.is_zero() {
            tokio::time::sleep(takes).await;
        }
        self.outcome()?;
        Ok(ChatAnswer {
            id: "1".into(),
            model,
            choices: vec![Choice {
                message: Message::text(Role::Assistant, "Yes."),
                finish_reason: FinishReason::Stop,
            }],
            usage: None,
            results: Vec::new(),
            cost_usd: None,
            correlation_id: None,
            notes: vec![],
            held: None,
        })
    }

    async fn stream(&self, request: &ChatRequest) -> Result<Streamed, ProviderError> {
        let answer = self.chat(request).await;
        // A failure is told by the first event, as by an upstream that has answered 200 already.
        let begun = answer.map(|answer| StreamEvent {
            frame: None,
            deltas: vec![Delta::Started { id: answer.id, model: answer.model }],
        });
        let broken = self.breaks.lock().unwrap().map(|kind| Err(ProviderError::new(kind, "broke off")));
        let events = Box::pin(futures_util::stream::iter([begun].into_iter().chain(broken)));
        Ok(Streamed { events, correlation_id: None, notes: Vec::new() })
    }

    async fn probe(&self) -> Result<(), ProviderError> {
        self.probes.notify_one();
        self.outcome()
    }

    fn with_key(&self, _: &ApiKey) -> Option<Arc<dyn Provider>> {
        self.of_callers.lock().unwrap().clone().map(|fake| fake as Arc<dyn Provider>)
    }

    fn price(&self, _model: &str, _usage: &Usage) -> Option<f64> {
        self.price
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

    fn state_of(&self, name: &str) -> State {
        self.providers().find(|status| status.info.name == name).unwrap().health.state
    }
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
    let candidates = router.candidates(None, constraints).unwrap();
    candidates.into_iter().map(|provider| provider.info().name.clone()).collect()
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

#[test]
fn weights_are_honoured_within_two_points() {
    let (a, b, c) = (Fake::new("a", 5, 1.0), Fake::new("b", 5, 1.0), Fake::new("c", 5, 1.0));
    let router = router(&[&a, &b, &c], weights(&[("a", 0.7), ("b", 0.3), ("c", 0.0)]));
    let mut firsts: HashMap<String, u32> = HashMap::new();
    for _ in 0..20_000 {
        let order = order(&router, &any());
        assert_eq!(order.len(), 2);
        *firsts.entry(order[0].clone()).or_default() += 1;
    }
    let share = f64::from(firsts["a"]) / 20_000.0;
    assert!((share - 0.70).abs() < 0.02, "{share}");
    assert!(!firsts.contains_key("c"));
}

#[test]
fn priority_comes_before_weight() {
    let (low, high) = (Fake::new("low", 1, 100.0), Fake::new("high", 9, 1.0));
    let router = router(&[&low, &high], Routing::default());
    for _ in 0..50 {
        assert_eq!(order(&router, &any()), ["high", "low"]);
    }
}

#[test]
fn failover_has_a_fixed_order() {
    let (a, b, c, d) =
        (Fake::new("a", 5, 10.0), Fake::new("b", 5, 90.0), Fake::new("c", 9, 1.0), Fake::new("d", 9, 0.0));
    let fakes = [&a, &b, &c, &d];
    assert_eq!(order(&router(&fakes, failover(None)), &any()), ["c", "b", "a"]);
    assert_eq!(order(&router(&fakes, failover(Some("A"))), &any()), ["a", "c", "b"]);
    assert_eq!(order(&router(&fakes, failover(Some("missing"))), &any()), ["c", "b", "a"]);
}

#[test]
fn a_caller_prefers_and_pins() {
    let (a, b) = (Fake::new("a", 9, 1.0), Fake::new("b", 5, 1.0));
    let router = router(&[&a, &b], Routing::default());
    assert_eq!(order(&router, &prefer("b")), ["b", "a"]);
    assert_eq!(order(&router, &prefer("B")), ["b", "a"]);
    assert_eq!(order(&router, &pin("b")), ["b"]);
    for constraints in [prefer("c\n"), pin("c")] {
        let error = router.candidates(None, &constraints).unwrap_err();
        assert_eq!(error.code(), "unknown_provider");
        assert!(error.to_string().starts_with("unknown provider `c`; configured: a, b"), "{error}");
    }
}

#[test]
fn bounds_only_narrow() {
    let eu = Fake::in_region("eu", 5, 1.0, Some("eu"));
    let us = Fake::in_region("us", 5, 1.0, Some("us"));
    let nowhere = Fake::new("nowhere", 5, 1.0);
    let router = router(&[&eu, &us, &nowhere], Routing::default());
    let names = |constraints: &Constraints| router.names(None, constraints).map_err(|error| error.code());

    let mut constraints = any();
    constraints.restrict_to_regions(["EU", "us"]);
    assert_eq!(names(&constraints), Ok(vec!["eu", "us"]));
    constraints.restrict_to_regions(["eu", "ch"]);
    assert_eq!(names(&constraints), Ok(vec!["eu"]));
    constraints.restrict_to_providers(["us", "eu"]);
    assert_eq!(names(&constraints), Ok(vec!["eu"]));
    constraints.restrict_to_providers(["us"]);
    assert_eq!(names(&constraints), Err("no_candidate"));

    let mut preferred = prefer("us");
    preferred.restrict_to_regions(["eu"]);
    assert_eq!(order(&router, &preferred), ["eu"]);
    let mut pinned = pin("us");
    pinned.restrict_to_regions(["eu"]);
    let error = router.candidates(Some("m"), &pinned).unwrap_err();
    assert_eq!(error.to_string(), "no provider may answer this request (only regions: eu; pinned to us; model: m)");
}

#[test]
fn a_provider_without_weight_is_never_asked() {
    let (a, b) = (Fake::new("a", 5, 100.0), Fake::new("b", 5, 100.0));
    let unlisted = router(&[&a, &b], weights(&[("a", 1.0)]));
    assert_eq!(order(&unlisted, &any()), ["a"]);
    assert_eq!(unlisted.candidates(None, &prefer("b")).unwrap_err().code(), "provider_without_traffic");
    assert_eq!(unlisted.candidates(None, &pin("b")).unwrap_err().code(), "provider_without_traffic");
    let nobody = router(&[&a, &b], weights(&[("a", 0.0)]));
    let error = nobody.candidates(None, &any()).unwrap_err();
    assert_eq!(error.to_string(), "no provider may answer this request (every weight is 0)");
    assert_eq!(router(&[], Routing::default()).candidates(None, &any()).unwrap_err(), RouteError::NoProviders);
}

#[test]
fn a_models_name_goes_only_where_it_is_served() {
    let mut other = Arc::into_inner(Fake::new("other", 9, 1.0)).unwrap();
    other.family = "other-";
    let (other, ours) = (Arc::new(other), Fake::new("ours", 5, 1.0));
    let router = router(&[&other, &ours], Routing::default());
    let destination = |provider, model| Destination { provider, model };
    let to = |model| router.destinations(model, &any()).unwrap();
    assert_eq!(to(Some("mistral-tiny")), [destination("ours", "mistral-tiny")]);
    assert_eq!(to(None), [destination("other", "other-default"), destination("ours", "ours-default")]);
    assert_eq!(router.candidates(Some("mistral-tiny"), &pin("other")).unwrap_err().code(), "no_candidate");
}

#[test]
fn wrong_names_and_numbers_are_refused() {
    for name in ["weighted", "round_robin", "failover", "least_latency", "lowest_cost"] {
        assert_eq!(name.parse::<Strategy>().unwrap().as_str(), name);
    }
    let error = "fastest".parse::<Strategy>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "unknown routing strategy `fastest`; available: weighted, round_robin, failover, least_latency, lowest_cost"
    );
    for weight in [-1.0, f64::NAN, f64::INFINITY] {
        let one = vec![Fake::new("a", 1, weight) as Arc<dyn Provider>];
        assert_eq!(Router::new(one, Routing::default()).unwrap_err().code(), "weight_invalid");
    }
    let twins = vec![Fake::new("a", 1, 1.0) as Arc<dyn Provider>, Fake::new("A", 1, 1.0)];
    assert_eq!(Router::new(twins, Routing::default()).unwrap_err().code(), "duplicate_provider");
}

#[tokio::test]
async fn the_class_of_a_failure_decides_about_failover() {
    for kind in ErrorKind::ALL {
        let (a, b) = (Fake::new("a", 9, 1.0), Fake::new("b", 5, 1.0));
        a.fail(*kind);
        let router = router(&[&a, &b], Routing::default());
        let routed = router.ask(&hello(), &any()).await;
        assert_eq!(b.asked(), usize::from(kind.fail_over()), "{kind:?}");
        match routed {
            Ok(routed) => {
                assert!(kind.fail_over());
                assert_eq!((routed.provider.as_str(), routed.model.as_str()), ("b", "b-default"));
                let codes: Vec<_> = routed.attempts.iter().map(|attempt| attempt.code).collect();
                assert_eq!(codes, [kind.code(), "ok"]);
            }
            Err(error) => {
                assert!(!kind.fail_over());
                assert_eq!(error.code(), kind.code());
                assert_eq!(error.surface_as(), kind.surface_as());
                assert_eq!(error.attempts().len(), 1);
                assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
            }
        }
    }
}

#[tokio::test]
async fn a_pinned_request_goes_nowhere_else() {
    let (a, b) = (Fake::new("a", 9, 1.0), Fake::new("b", 5, 1.0));
    a.fail_times(ErrorKind::UpstreamFailed, 3);
    let router = router(&[&a, &b], Routing::default());
    assert_eq!(router.ask(&hello(), &pin("a")).await.unwrap_err().attempts().len(), 3);
    assert_eq!((a.asked(), b.asked()), (3, 0));
}

#[test]
fn round_robin_is_exact_whoever_may_answer() {
    let (a, b, c) = (Fake::new("a", 5, 1.0), Fake::new("b", 5, 9.0), Fake::new("c", 5, 0.1));
    let router = router(&[&a, &b, &c], by(Strategy::RoundRobin));
    let firsts: Vec<_> = (0..6).map(|_| order(&router, &any()).remove(0)).collect();
    assert_eq!(firsts, ["a", "b", "c", "a", "b", "c"]);

    // Requests of which every second may not go to `c`: it has its turn at every second of the others, and `a` and `b`
    // share the rest.
    let mut without_c = any();
    without_c.restrict_to_providers(["a", "b"]);
    let mut counts: HashMap<String, u32> = HashMap::new();
    for _ in 0..150 {
        for constraints in [&any(), &without_c] {
            *counts.entry(order(&router, constraints).remove(0)).or_default() += 1;
        }
    }
    assert_eq!(counts["c"], 75);
    assert!(counts["a"].abs_diff(counts["b"]) <= 1, "{counts:?}");
}

#[test]
fn priority_comes_before_turn_price_and_speed() {
    for strategy in [Strategy::RoundRobin, Strategy::LeastLatency, Strategy::LowestCost] {
        let (low, high) = (Fake::new("low", 1, 1.0), Fake::new("high", 9, 1.0));
        let router = router(&[&low, &high], by(strategy));
        for _ in 0..3 {
            assert_eq!(order(&router, &any()), ["high", "low"], "{strategy}");
        }
    }
}

#[test]
fn the_lowest_price_comes_first_and_an_unknown_one_last() {
    let (unknown, dear, cheap) = (Fake::new("unknown", 5, 1.0), Fake::at(0.9), Fake::at(0.1));
    let router = router(&[&unknown, &dear, &cheap], by(Strategy::LowestCost));
    assert_eq!(order(&router, &any()), ["0.1", "0.9", "unknown"]);
}

#[tokio::test]
async fn the_quickest_comes_first_and_gives_way_when_it_is_slow() {
    let (slow, quick) = (Fake::new("slow", 5, 1.0), Fake::new("quick", 5, 1.0));
    slow.takes(40);
    quick.takes(2);
    let router = router(&[&slow, &quick], by(Strategy::LeastLatency));
    for _ in 0..8 {
        router.ask(&hello(), &any()).await.unwrap();
    }
    assert_eq!((slow.asked(), quick.asked()), (1, 7));

    quick.takes(200);
    for _ in 0..4 {
        router.ask(&hello(), &any()).await.unwrap();
    }
    assert_eq!((slow.asked(), quick.asked()), (4, 8));
}

#[tokio::test]
async fn two_failures_in_a_row_are_survived() {
    let a = Fake::new("a", 5, 1.0);
    a.fail_times(ErrorKind::UpstreamUnavailable, 2);
    let routed = router(&[&a], Routing::default()).ask(&hello(), &any()).await.unwrap();
    let codes: Vec<_> = routed.attempts.iter().map(|attempt| attempt.code).collect();
    assert_eq!(codes, ["upstream_unavailable", "upstream_unavailable", "ok"]);
}

#[tokio::test]
async fn a_retry_leaves_an_attempt_for_each_of_the_others() {
    let fakes = [Fake::new("a", 9, 1.0), Fake::new("b", 8, 1.0), Fake::new("c", 7, 1.0), Fake::new("d", 6, 1.0)];
    for (providers, expected) in [(2, "aab"), (3, "abc"), (4, "abc")] {
        for fake in &fakes {
            fake.fail_times(ErrorKind::UpstreamFailed, u32::MAX);
        }
        let some: Vec<_> = fakes.iter().take(providers).collect();
        let error = router(&some, Routing::default()).ask(&hello(), &any()).await.unwrap_err();
        let asked: String = error.attempts().iter().map(|attempt| attempt.provider.as_str()).collect();
        assert_eq!(asked, expected);
    }
}

#[tokio::test]
async fn what_must_not_be_retried_is_asked_once() {
    for kind in ErrorKind::ALL.iter().filter(|kind| !kind.retryable()) {
        let a = Fake::new("a", 5, 1.0);
        a.fail_times(*kind, u32::MAX);
        router(&[&a], Routing::default()).ask(&hello(), &any()).await.unwrap_err();
        assert_eq!(a.asked(), 1, "{kind:?}");
    }
}

#[tokio::test]
async fn a_short_hint_is_waited_for_and_a_long_one_is_passed_on_at_once() {
    let a = Fake::new("a", 5, 1.0);
    a.fail_times(ErrorKind::RateLimited, 1);
    a.hint(Some(1));
    let one = router(&[&a], Routing::default());
    let begun = Instant::now();
    assert_eq!(one.ask(&hello(), &any()).await.unwrap().attempts.len(), 2);
    assert!(begun.elapsed() >= Duration::from_secs(1));

    let tight = Routing { deadline: Duration::from_secs(5), ..Routing::default() };
    for (hint, routing) in [(3_600, Routing::default()), (7, tight)] {
        a.fail_times(ErrorKind::RateLimited, 1);
        a.hint(Some(hint));
        let begun = Instant::now();
        let error = router(&[&a], routing).ask(&hello(), &any()).await.unwrap_err();
        assert!(begun.elapsed() < Duration::from_millis(900));
        assert_eq!(error.retry_after(), Some(Duration::from_secs(hint)));
        assert_eq!(error.attempts().len(), 1);
    }
}

#[tokio::test]
async fn nobody_waits_where_another_can_be_asked() {
    let (a, b) = (Fake::new("a", 9, 1.0), Fake::new("b", 5, 1.0));
    a.fail_times(ErrorKind::RateLimited, 1);
    a.hint(Some(9));
    let routed = router(&[&a, &b], Routing::default()).ask(&hello(), &any()).await.unwrap();
    assert_eq!((routed.provider.as_str(), a.asked()), ("b", 1));
}

#[tokio::test]
async fn the_deadline_ends_a_call_and_counts_against_nobody_who_had_less_than_his_own_time() {
    let whole = Fake::new("b", 5, 1.0);
    let mut hasty = Arc::into_inner(Fake::new("a", 9, 1.0)).unwrap();
    hasty.info.timeout = Duration::from_millis(1);
    for (a, code, state, refused) in [
        (Fake::new("a", 9, 1.0), "deadline_exceeded", State::Unknown, false),
        (Arc::new(hasty), "timeout", State::Unhealthy, true),
    ] {
        a.takes(60_000);
        let breaker = BreakerSettings { failures: 3, ..BreakerSettings::default() };
        let routing = Routing { deadline: Duration::from_millis(20), breaker, ..Routing::default() };
        let router = router(&[&a, &whole], routing);
        for _ in 0..3 {
            let error = router.ask(&hello(), &prefer("a")).await.unwrap_err();
            assert_eq!((error.code(), error.attempts().len()), (code, 1));
            assert_eq!(error.surface_as(), ErrorKind::Timeout.surface_as());
        }
        assert_eq!(router.state_of("a"), state);
        assert_eq!(router.ask(&hello(), &pin("a")).await.unwrap_err().code() == "breaker_open", refused);
    }
    assert_eq!(whole.asked(), 0);
}

#[tokio::test]
async fn without_a_budget_nothing_is_retried() {
    let a = Fake::new("a", 5, 1.0);
    let retry = Retry { budget: 0.0, ..Retry::default() };
    let breaker = BreakerSettings { failures: 1_000, ..BreakerSettings::default() };
    let router = router(&[&a], Routing { retry, breaker, ..Routing::default() });
    a.fail_times(ErrorKind::UpstreamFailed, u32::MAX);
    let mut retries = 0;
    // Five requests use up what is there in advance: ten retries.
    for _ in 0..7 {
        retries += router.ask(&hello(), &any()).await.unwrap_err().attempts().len() - 1;
    }
    assert_eq!(retries, 10);
}

#[tokio::test]
async fn an_open_breaker_refuses_at_once_and_says_for_how_long() {
    let a = Fake::new("a", 5, 1.0);
    let router = router(&[&a], Routing::default());
    a.fail_times(ErrorKind::ConnectFailed, u32::MAX);
    router.ask(&hello(), &any()).await.unwrap_err();
    // It opens in the middle of the second request.
    assert_eq!(router.ask(&hello(), &any()).await.unwrap_err().attempts().len(), 2);
    let error = router.ask(&hello(), &any()).await.unwrap_err();
    assert_eq!((error.code(), error.surface_as().status, a.asked()), ("breaker_open", 503, 5));
    assert!(error.retry_after().is_some_and(|wait| wait <= Duration::from_secs(10)));
    // Of another model nothing is known.
    let other = ChatRequest { model: Some("other".into()), ..hello() };
    assert_eq!(router.ask(&other, &any()).await.unwrap_err().code(), "connect_failed");
}

#[tokio::test]
async fn a_provider_that_answers_again_is_used_again() {
    let (a, b) = (Fake::new("a", 9, 1.0), Fake::new("b", 5, 1.0));
    let breaker = BreakerSettings { failures: 2, open_for: Duration::from_millis(50) };
    let router = router(&[&a, &b], Routing { breaker, ..Routing::default() });
    a.fail_times(ErrorKind::UpstreamFailed, 2);
    assert_eq!(router.ask(&hello(), &any()).await.unwrap().provider, "b");
    assert_eq!(order(&router, &any()), ["b", "a"]);
    while router.ask(&hello(), &any()).await.unwrap().provider == "b" {
        tokio::task::yield_now().await;
    }
    assert_eq!(order(&router, &any()), ["a", "b"]);
}

#[tokio::test]
async fn a_model_has_its_own_name_at_each_provider() {
    let mut openai = Arc::into_inner(Fake::new("openai", 9, 1.0)).unwrap();
    openai.family = "gpt-";
    let (openai, mistral) = (Arc::new(openai), Fake::new("mistral", 5, 1.0));
    let map = |name: &str, to: &str| BTreeMap::from([(name.to_owned(), to.to_owned())]);
    let model_maps = BTreeMap::from([
        ("openai".to_owned(), map("small", "gpt-4o-mini")),
        ("mistral".to_owned(), map("small", "mistral-small-latest")),
    ]);
    let router = router(&[&openai, &mistral], Routing { model_maps, ..Routing::default() });
    let asking = |model: &str| ChatRequest { model: Some(model.into()), ..hello() };

    openai.fail_times(ErrorKind::CapacityExceeded, u32::MAX);
    let routed = router.ask(&asking("small"), &any()).await.unwrap();
    assert_eq!((routed.provider.as_str(), routed.model.as_str()), ("mistral", "mistral-small-latest"));
    assert_eq!(openai.models(), ["gpt-4o-mini", "gpt-4o-mini"]);
    assert_eq!(mistral.models(), ["mistral-small-latest"]);

    // Neither served nor mapped.
    assert_eq!(router.names(Some("ministral-8b"), &any()).unwrap(), ["mistral"]);
    assert_eq!(router.candidates(Some("ministral-8b"), &pin("openai")).unwrap_err().code(), "no_candidate");
    // None named.
    let defaults: Vec<_> = router.destinations(None, &any()).unwrap().iter().map(|it| it.model).collect();
    assert_eq!(defaults, ["openai-default", "mistral-default"]);
}

#[tokio::test]
async fn failures_in_a_row_put_a_provider_behind_and_an_answer_brings_it_back() {
    let (a, b) = (Fake::new("a", 9, 1.0), Fake::new("b", 5, 1.0));
    let router = router(&[&a, &b], Routing::default());
    let state = || router.providers().next().unwrap().health.state;
    assert_eq!(state(), State::Unknown);

    a.fail(ErrorKind::UpstreamFailed);
    for before in [State::Unknown, State::Unknown, State::Unknown] {
        assert_eq!(state(), before);
        router.ask(&hello(), &any()).await.unwrap();
    }
    assert_eq!(state(), State::Unhealthy);
    assert_eq!(order(&router, &any()), ["b", "a"]);
    let health = router.providers().next().unwrap().health;
    assert_eq!(health.message, "no");
    assert!(health.last_checked.is_some());

    a.fail(None);
    router.ask(&hello(), &pin("a")).await.unwrap();
    assert_eq!(state(), State::Healthy);
    assert_eq!(order(&router, &any()), ["a", "b"]);
}

#[tokio::test]
async fn health_looks_at_the_class_of_a_failure() {
    for (kind, state) in [
        (ErrorKind::Unauthorized, State::Unhealthy),
        (ErrorKind::UpstreamFailed, State::Unknown),
        (ErrorKind::InvalidRequest, State::Unknown),
        (ErrorKind::RateLimited, State::Unknown),
    ] {
        let a = Fake::new("a", 9, 1.0);
        a.fail(kind);
        let once = Routing { retry: Retry { attempts: 1, ..Retry::default() }, ..Routing::default() };
        let router = router(&[&a], once);
        router.ask(&hello(), &any()).await.unwrap_err();
        assert_eq!(router.providers().next().unwrap().health.state, state, "{kind:?}");
    }
}

#[tokio::test]
async fn probes_run_at_once_and_end_with_the_router() {
    let (well, ill) = (Fake::new("well", 9, 1.0), Fake::new("ill", 5, 1.0));
    ill.fail(ErrorKind::ConnectFailed);
    let router = router(&[&well, &ill], Routing::default());
    router.watch_health();
    router.watch_health();
    let settled = || router.providers().all(|status| status.health.state != State::Unknown);
    while !settled() {
        tokio::task::yield_now().await;
    }
    let states: Vec<_> = router.providers().map(|status| status.health.state).collect();
    assert_eq!(states, [State::Healthy, State::Unhealthy]);

    drop(router);
    while Arc::strong_count(&well) > 1 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_stream_that_fails_with_its_first_event_is_asked_of_the_next() {
    let (one, two) = (Fake::new("one", 5, 1.0), Fake::new("two", 5, 1.0));
    one.fail(ErrorKind::UpstreamFailed);
    let router = router(&[&one, &two], failover(Some("one")));
    let mut routed = router.begin(&hello(), &Constraints::default()).await.unwrap();
    assert_eq!(routed.provider, "two");
    let codes: Vec<_> = routed.attempts.iter().map(|attempt| (attempt.provider.as_str(), attempt.code)).collect();
    assert_eq!((codes.first(), codes.last()), (Some(&("one", "upstream_failed")), Some(&("two", "ok"))));
    let first = routed.answer.events.next().await.unwrap().unwrap();
    assert!(matches!(first.deltas.as_slice(), [Delta::Started { .. }]), "the event that was waited for is not lost");
    assert!(routed.answer.events.next().await.is_none());
}

#[tokio::test]
async fn a_provider_over_its_limit_is_asked_after_the_others_until_it_may_be_asked_again() {
    let (first, second) = (Fake::new("first", 9, 1.0), Fake::new("second", 5, 1.0));
    let router = router(&[&first, &second], Routing::default());
    first.hint(Some(7));
    *first.failures_left.lock().unwrap() = Some(1);
    first.fail(ErrorKind::RateLimited);
    assert_eq!(router.ask(&hello(), &any()).await.unwrap().provider, "second");
    assert_eq!(order(&router, &any()), ["second", "first"]);
    assert_eq!(router.providers().next().unwrap().health.state, State::Unknown, "it is not unwell");
    // Who wants it all the same is answered, and then it is no longer over its limit.
    assert_eq!(router.ask(&hello(), &pin("first")).await.unwrap().provider, "first");
    assert_eq!(order(&router, &any()), ["first", "second"]);
}

#[tokio::test]
async fn a_request_that_fails_at_every_try_counts_once_against_health() {
    let only = Fake::new("only", 5, 1.0);
    let router = router(&[&only], Routing { retry: Retry { attempts: 2, ..Retry::default() }, ..Routing::default() });
    only.hint(None);
    only.fail(ErrorKind::UpstreamFailed);
    for failed in 1..=3 {
        router.ask(&hello(), &any()).await.unwrap_err();
        let state = router.providers().next().unwrap().health.state;
        assert_eq!(state == State::Unhealthy, failed == 3, "{failed} requests failed");
    }
}

#[tokio::test]
async fn first_events_and_whole_answers_are_not_compared() {
    let (a, b) = (Fake::new("a", 5, 1.0), Fake::new("b", 5, 1.0));
    let router = router(&[&a, &b], by(Strategy::LeastLatency));
    a.takes(2);
    b.takes(40);
    for name in ["a", "b"] {
        router.ask(&hello(), &pin(name)).await.unwrap();
    }
    a.takes(40);
    b.takes(2);
    for name in ["a", "b"] {
        router.begin(&hello(), &pin(name)).await.unwrap();
    }
    assert_eq!(router.begin(&hello(), &any()).await.unwrap().provider, "b");
    assert_eq!(order(&router, &any()), ["a", "b"]);
}

#[tokio::test]
async fn traffic_is_shared_anew() {
    let (a, b) = (Fake::new("a", 5, 1.0), Fake::new("b", 5, 1.0));
    let router = router(&[&a, &b], Routing::default());
    let share = |list: &[(&str, f64)]| router.shares(&weights(list).weights).map(|shares| router.share(&shares));
    for (list, error) in [
        (&[("a", 1.0), ("c", 1.0)][..], "unknown provider `c`; configured: a, b"),
        (&[("a", -1.0), ("b", 1.0)], "the weight of `a` must be a number of zero or more"),
        (&[("a", f64::NAN)], "the weight of `a` must be a number of zero or more"),
        (&[("a", 0.0)], "at least one weight must be above 0"),
        (&[], "at least one weight must be above 0"),
    ] {
        assert_eq!(share(list).unwrap_err().to_string(), error);
        assert_eq!(router.providers().map(|it| it.weight).collect::<Vec<_>>(), [1.0, 1.0]);
    }
    share(&[("B", 30.0)]).unwrap();
    assert_eq!(router.providers().map(|it| it.weight).collect::<Vec<_>>(), [0.0, 1.0]);
    assert_eq!(router.names(None, &any()).unwrap(), ["b"]);
    assert_eq!(router.names(None, &pin("a")).unwrap_err().code(), "provider_without_traffic");
}

#[tokio::test]
async fn what_a_provider_was_asked_is_counted() {
    let only = Fake::new("only", 5, 1.0);
    let router = router(&[&only], Routing { retry: Retry { attempts: 1, ..Retry::default() }, ..Routing::default() });
    let counts = || router.providers().next().unwrap().counts;
    assert_eq!(counts(), Counts::default());
    router.ask(&hello(), &any()).await.unwrap();
    only.fail(ErrorKind::UpstreamFailed);
    router.begin(&hello(), &any()).await.unwrap_err();
    assert_eq!((counts().requests, counts().errors), (2, 1));
    assert!(counts().last_used.is_some() && counts().average() <= counts().elapsed);
}

#[tokio::test]
async fn what_is_said_about_a_callers_key_touches_nobody_else() {
    for kind in [
        ErrorKind::Unauthorized,
        ErrorKind::SpendCap,
        ErrorKind::Forbidden,
        ErrorKind::ModelNotAllowed,
        ErrorKind::RateLimited,
    ] {
        let (a, b, theirs) = (Fake::new("a", 9, 1.0), Fake::new("b", 5, 1.0), Fake::new("theirs", 1, 1.0));
        *a.of_callers.lock().unwrap() = Some(Arc::clone(&theirs));
        let router = router(&[&a, &b], Routing::default());
        theirs.fail(kind);
        for _ in 0..6 {
            let error = router.ask(&hello(), &with_key("a")).await.unwrap_err();
            assert_eq!((error.code(), error.attempts().len()), (kind.code(), 1));
            assert!((401..=429).contains(&error.surface_as().status), "{kind:?}");
        }
        theirs.fail(None);
        *theirs.breaks.lock().unwrap() = Some(kind);
        for _ in 0..6 {
            let error = router.listen(&with_key("a")).await.unwrap();
            assert!((401..=429).contains(&error.surface_as().status), "{kind:?}");
        }
        assert_eq!((router.state_of("a"), a.asked()), (State::Unknown, 0), "{kind:?}");
        assert_eq!(order(&router, &any()), ["a", "b"], "{kind:?}");
    }
}

#[tokio::test]
async fn an_answer_to_a_callers_key_clears_nothing_that_is_known_of_the_operators() {
    let (a, b, theirs) = (Fake::new("a", 9, 1.0), Fake::new("b", 5, 1.0), Fake::new("theirs", 1, 1.0));
    *a.of_callers.lock().unwrap() = Some(theirs);
    for (kind, failures, cleared) in [
        (ErrorKind::RateLimited, 1, false),
        (ErrorKind::Unauthorized, 1, false),
        (ErrorKind::SpendCap, 1, false),
        (ErrorKind::UpstreamFailed, 3, true),
    ] {
        let router = router(&[&a, &b], Routing::default());
        a.fail(kind);
        for _ in 0..failures {
            router.ask(&hello(), &any()).await.unwrap();
        }
        assert_eq!(order(&router, &any()), ["b", "a"], "{kind:?}");
        router.ask(&hello(), &with_key("a")).await.unwrap();
        assert_eq!(router.listen(&with_key("a")).await, None);
        assert_eq!(order(&router, &any()), if cleared { ["a", "b"] } else { ["b", "a"] }, "{kind:?}");
        a.fail(None);
        router.ask(&hello(), &pin("a")).await.unwrap();
        assert_eq!(order(&router, &any()), ["a", "b"], "{kind:?}");
    }
}

#[tokio::test]
async fn a_provider_whose_every_stream_breaks_is_taken_out() {
    let (a, b) = (Fake::new("a", 9, 1.0), Fake::new("b", 5, 1.0));
    let router = router(&[&a, &b], Routing::default());
    *a.breaks.lock().unwrap() = Some(ErrorKind::ReadFailed);
    for broken in 1..=5 {
        assert_eq!(router.listen(&pin("a")).await.unwrap().kind(), ErrorKind::ReadFailed);
        assert_eq!(router.state_of("a") == State::Unhealthy, broken >= 3, "{broken} streams broke");
    }
    assert_eq!(router.ask(&hello(), &pin("a")).await.unwrap_err().code(), "breaker_open");
    assert_eq!(order(&router, &any()), ["b", "a"]);
}

#[tokio::test]
async fn a_stream_is_a_success_at_its_end_and_says_nothing_when_nobody_listens() {
    let a = Fake::new("a", 9, 1.0);
    let router = router(&[&a], Routing::default());
    drop(router.begin(&hello(), &any()).await.unwrap());
    assert_eq!(router.state_of("a"), State::Unknown);
    assert_eq!(router.listen(&any()).await, None);
    assert_eq!(router.state_of("a"), State::Healthy);

    *a.breaks.lock().unwrap() = Some(ErrorKind::ContentFilter);
    for _ in 0..6 {
        router.listen(&any()).await.unwrap();
    }
    assert_eq!(router.state_of("a"), State::Healthy, "the vendor's filter is no failure");
}

#[tokio::test]
async fn a_trial_that_streams_does_not_keep_others_out() {
    let a = Fake::new("a", 9, 1.0);
    let breaker = BreakerSettings { failures: 1, open_for: Duration::from_millis(100) };
    let retry = Retry { attempts: 1, ..Retry::default() };
    let router = router(&[&a], Routing { breaker, retry, ..Routing::default() });
    a.fail_times(ErrorKind::ConnectFailed, 1);
    router.ask(&hello(), &any()).await.unwrap_err();
    *a.breaks.lock().unwrap() = Some(ErrorKind::ReadFailed);
    let trial = loop {
        match router.begin(&hello(), &any()).await {
            Ok(begun) => break begun,
            Err(error) => assert_eq!(error.code(), "breaker_open"),
        }
        tokio::task::yield_now().await;
    };
    let beside = router.begin(&hello(), &any()).await.unwrap();
    assert_eq!(trial.answer.events.collect::<Vec<_>>().await.len(), 2);
    assert_eq!(router.begin(&hello(), &any()).await.unwrap_err().code(), "breaker_open");
    drop(beside);
}

#[tokio::test]
async fn streams_are_in_hand_as_long_as_they_last() {
    let (a, b) = (Fake::new("a", 5, 1.0), Fake::new("b", 5, 1.0));
    let router = router(&[&a, &b], by(Strategy::LeastLatency));
    a.takes(5);
    b.takes(20);
    for name in ["a", "b"] {
        router.listen(&pin(name)).await;
    }
    let mut open = Vec::new();
    for _ in 0..20 {
        open.push(router.begin(&hello(), &pin("a")).await.unwrap());
    }
    assert_eq!(router.begin(&hello(), &any()).await.unwrap().provider, "b");
    drop(open);
    assert_eq!(router.begin(&hello(), &any()).await.unwrap().provider, "a");
}

#[tokio::test]
async fn of_a_request_that_is_dropped_the_attempts_are_known() {
    let (a, b) = (Fake::new("a", 9, 1.0), Fake::new("b", 5, 1.0));
    a.fail(ErrorKind::UpstreamFailed);
    b.takes(60_000);
    let router = router(&[&a, &b], Routing::default());
    let (hello, any, attempts) = (hello(), any(), Attempts::default());
    let asking = router.route(&hello, &any, &attempts);
    assert!(tokio::time::timeout(Duration::from_millis(20), asking).await.is_err());
    let attempts = attempts.take();
    let told: Vec<_> = attempts.iter().map(|attempt| (attempt.provider.as_str(), attempt.code)).collect();
    assert_eq!(told, [("a", "upstream_failed"), ("b", "cancelled")]);
    assert!(attempts[1].elapsed >= Duration::from_millis(15), "{attempts:?}");
}
