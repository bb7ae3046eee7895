//! Who is asked, in which order, and what is made of failures.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;

use super::*;
use crate::chat::{Choice, FinishReason, Message, Role, Usage};
use crate::provider::{ErrorKind, Kind, ProviderError};

#[derive(Debug)]
struct Fake {
    info: Info,
    family: &'static str,
    failure: Mutex<Option<ErrorKind>>,
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
            },
            family: "",
            failure: Mutex::new(None),
            asked: Mutex::default(),
            probes: tokio::sync::Notify::new(),
        })
    }

    fn fail(&self, kind: impl Into<Option<ErrorKind>>) {
        *self.failure.lock().unwrap() = kind.into();
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    fn outcome(&self) -> Result<(), ProviderError> {
        match *self.failure.lock().unwrap() {
            Some(kind) => Err(ProviderError::new(kind, "no").with_retry_after(Some(Duration::from_secs(7)))),
            None => Ok(()),
        }
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
        self.outcome()?;
        Ok(ChatAnswer {
            id: "1".into(),
            model,
            choices: vec![Choice {
                message: Message::text(Role::Assistant, "Yes."),
                finish_reason: FinishReason::Stop,
            }],
            usage: None,
            cost_usd: None,
            correlation_id: None,
            notes: vec![],
        })
    }

    async fn probe(&self) -> Result<(), ProviderError> {
        self.probes.notify_one();
        self.outcome()
    }

    fn price(&self, _model: &str, _usage: &Usage) -> Option<f64> {
        None
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
fn what_is_not_built_yet_is_refused_by_name() {
    let build = |strategy| Router::new(vec![], Routing { strategy, ..Routing::default() });
    for strategy in [Strategy::RoundRobin, Strategy::LeastLatency, Strategy::LowestCost] {
        let error = build(strategy).unwrap_err();
        assert_eq!(error.code(), "strategy_not_available");
        assert!(error.to_string().contains("available: weighted, failover"), "{error}");
    }
    assert_eq!("failover".parse(), Ok(Strategy::Failover));
    let error = "fastest".parse::<Strategy>().unwrap_err();
    assert_eq!(error.to_string(), "unknown routing strategy `fastest`; available: weighted, failover");
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
        let routed = router.route(&hello(), &any()).await;
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
async fn a_pinned_request_is_asked_once() {
    let (a, b) = (Fake::new("a", 9, 1.0), Fake::new("b", 5, 1.0));
    a.fail(ErrorKind::UpstreamFailed);
    let router = router(&[&a, &b], Routing::default());
    assert_eq!(router.route(&hello(), &pin("a")).await.unwrap_err().attempts().len(), 1);
    assert_eq!((a.asked(), b.asked()), (1, 0));
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
        router.route(&hello(), &any()).await.unwrap();
    }
    assert_eq!(state(), State::Unhealthy);
    assert_eq!(order(&router, &any()), ["b", "a"]);
    let health = router.providers().next().unwrap().health;
    assert_eq!(health.message, "no");
    assert!(health.last_checked.is_some());

    a.fail(None);
    router.route(&hello(), &pin("a")).await.unwrap();
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
        let router = router(&[&a], Routing::default());
        router.route(&hello(), &any()).await.unwrap_err();
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
