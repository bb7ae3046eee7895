//! Who is asked, in which order.

use super::*;

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
    assert_eq!(names(&constraints), Ok(vec!["eu".to_owned(), "us".to_owned()]));
    constraints.restrict_to_regions(["eu", "ch"]);
    assert_eq!(names(&constraints), Ok(vec!["eu".to_owned()]));
    constraints.restrict_to_providers(["us", "eu"]);
    assert_eq!(names(&constraints), Ok(vec!["eu".to_owned()]));
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
    router.share(&router.shares(&weights(&[("other", 1.0)]).weights).unwrap());
    let error = router.candidates(Some("mistral-tiny"), &any()).unwrap_err();
    assert_eq!(error.code(), "no_candidate");
    assert_eq!(error.to_string(), "no provider of this gateway serves the model mistral-tiny");
}

#[test]
fn a_name_that_one_provider_knows_goes_to_nobody_who_merely_assumes_it() {
    let mut open = Arc::into_inner(Fake::new("open", 9, 1.0)).unwrap();
    open.assumes = true;
    let mut local = Arc::into_inner(Fake::new("local", 5, 1.0)).unwrap();
    (local.family, local.info.kind, local.info.model) = ("llama", Kind::Ollama, "llama3.1:latest".to_owned());
    let (open, local) = (Arc::new(open), Arc::new(local));
    let small = BTreeMap::from([("small".to_owned(), "llama3.2:1b".to_owned())]);
    let model_maps = BTreeMap::from([("local".to_owned(), small)]);
    let router = router(&[&open, &local], Routing { model_maps, ..Routing::default() });
    let names = |model, constraints: &Constraints| router.names(Some(model), constraints).map_err(|it| it.code());
    for model in ["llama3.1:latest", "llama3.1", "small"] {
        assert_eq!(names(model, &any()), Ok(vec!["local".to_owned()]), "{model}");
        assert_eq!(names(model, &pin("open")), Err("no_candidate"), "{model}");
        let mut elsewhere = any();
        elsewhere.restrict_to_providers(["open"]);
        assert_eq!(names(model, &elsewhere), Err("no_candidate"), "{model}");
        assert_eq!(names(model, &any().with_key(ApiKey::new("sk").ok())), Ok(vec!["local".to_owned()]), "{model}");
        assert_eq!(router.model(model).unwrap().provider, "local", "{model}");
    }
    for model in ["open-default", "of-nobody-else"] {
        assert_eq!(names(model, &any()), Ok(vec!["open".to_owned()]), "{model}");
    }
    // What a vendor lists is its own, even where it is not asked for it.
    local.catalogue.read(br#"{"data": [{"id": "qwen2.5:7b"}]}"#, &"http://host.example".parse().unwrap());
    assert_eq!(names("qwen2.5:7b", &any()), Err("no_candidate"));
    // Its share does not make the name another's.
    router.share(&router.shares(&weights(&[("open", 1.0)]).weights).unwrap());
    assert_eq!(names("llama3.1:latest", &any()), Err("no_candidate"));
    assert!(router.lacks("llama3.1:latest", Task::Chat) && !router.lacks("of-nobody-else", Task::Chat));
}

#[test]
fn wrong_weights_and_names_twice_are_refused() {
    for weight in [-1.0, f64::NAN, f64::INFINITY] {
        let one = vec![Fake::new("a", 1, weight) as Arc<dyn Provider>];
        assert_eq!(Router::new(one, Routing::default()).unwrap_err().code(), "weight_invalid");
    }
    let twins = vec![Fake::new("a", 1, 1.0) as Arc<dyn Provider>, Fake::new("A", 1, 1.0)];
    assert_eq!(Router::new(twins, Routing::default()).unwrap_err().code(), "duplicate_provider");
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
            assert_eq!(order(&router, &any()), ["high", "low"], "{strategy:?}");
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
async fn the_lowest_price_is_that_of_the_request() {
    let (reads, writes) = (Fake::priced("reads", 1.0, 10.0), Fake::priced("writes", 10.0, 1.0));
    let router = router(&[&reads, &writes], by(Strategy::LowestCost));
    let long = vec![Message::text(Role::User, "x".repeat(40_000))];
    for (request, cheapest) in [
        (hello(), &writes),
        (ChatRequest { messages: long.clone(), ..hello() }, &reads),
        (ChatRequest { messages: long, max_tokens: Some(20_000), ..hello() }, &writes),
    ] {
        let before = cheapest.asked();
        router.ask(&request, &any()).await.unwrap();
        assert_eq!(cheapest.asked(), before + 1, "{:?}", request.max_tokens);
    }
}

#[tokio::test(start_paused = true)]
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

#[tokio::test(start_paused = true)]
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

    openai.fail_times(ErrorKind::UpstreamFailed, u32::MAX);
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

#[tokio::test(start_paused = true)]
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

#[tokio::test(start_paused = true)]
async fn traffic_is_shared_anew() {
    let (a, b) = (Fake::new("a", 5, 1.0), Fake::new("b", 5, 1.0));
    let router = router(&[&a, &b], Routing::default());
    let share = |list: &[(&str, f64)]| router.shares(&weights(list).weights).map(|shares| router.share(&shares));
    for (list, error) in [
        (&[("a", 1.0), ("c", 1.0)][..], "unknown provider `c`; configured: a, b"),
        (&[("a", -1.0), ("b", 1.0)], "the weight of `a` must be a number of zero or more"),
        (&[("b", 1.0), ("B", 2.0)], "`B` has two weights, in capitals and in small letters"),
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

    for mut before in [any(), pin("a"), prefer("a")] {
        before.share_among(["a"]);
        assert_eq!(router.candidates(None, &before).unwrap(), ["a"], "whoever was let in before is answered");
    }
    let mut without_the_model = prefer("a");
    without_the_model.share_among(["b"]);
    assert_eq!(router.candidates(None, &without_the_model).unwrap(), ["b"]);
}
