//! Who is left out, and how it comes back.

use super::*;

#[tokio::test(start_paused = true)]
async fn an_open_breaker_refuses_at_once_and_says_for_how_long() {
    let a = Fake::new("a", 5, 1.0);
    let router = router(&[&a], Routing::default());
    a.fail_times(ErrorKind::ConnectFailed, u32::MAX);
    // However often each is tried, it counts once.
    for attempts in [3, 3, 3, 3, 1] {
        assert_eq!(router.ask(&hello(), &any()).await.unwrap_err().attempts().len(), attempts);
    }
    let error = router.ask(&hello(), &any()).await.unwrap_err();
    assert_eq!((error.code(), error.surface_as().status, a.asked()), ("breaker_open", 503, 13));
    assert!(error.retry_after().is_some_and(|wait| wait <= Duration::from_secs(10)));
    // Of another model nothing is known.
    let other = ChatRequest { model: Some("other".into()), ..hello() };
    assert_eq!(router.ask(&other, &any()).await.unwrap_err().code(), "connect_failed");
}

#[tokio::test(start_paused = true)]
async fn a_request_counts_by_the_first_of_its_failures_that_does() {
    let a = Fake::new("a", 5, 1.0);
    let breaker = Breaker { failures: 1, ..Breaker::default() };
    let router = router(&[&a], Routing { breaker, ..Routing::default() });
    a.fail_times(ErrorKind::TryAgain, u32::MAX);
    let (request, constraints) = (hello(), any());
    let (error, ()) = tokio::join!(router.ask(&request, &constraints), async { a.fail(ErrorKind::UpstreamFailed) });
    let error = error.unwrap_err();
    let codes: Vec<_> = error.attempts().iter().map(|attempt| attempt.code).collect();
    assert_eq!(codes, ["try_again", "upstream_failed"]);
    assert_eq!(router.ask(&hello(), &any()).await.unwrap_err().code(), "breaker_open");
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_answers_again_is_used_again() {
    let (a, b) = (Fake::new("a", 9, 1.0), Fake::new("b", 5, 1.0));
    let breaker = Breaker { failures: 2, open_for: Duration::from_millis(50) };
    // One for each of the two: nobody waits.
    let retry = Retry { attempts: 2, ..Retry::default() };
    let router = router(&[&a, &b], Routing { breaker, retry, ..Routing::default() });
    a.fail_times(ErrorKind::UpstreamFailed, 2);
    for asked in [1, 2] {
        assert_eq!(router.ask(&hello(), &any()).await.unwrap().provider, "b");
        assert_eq!(a.asked(), asked);
    }
    assert_eq!(order(&router, &any()), ["b", "a"]);
    advance(breaker.open_for - MOMENT).await;
    assert_eq!(router.ask(&hello(), &any()).await.unwrap().provider, "b");
    advance(MOMENT).await;
    assert_eq!(router.ask(&hello(), &any()).await.unwrap().provider, "a");
    assert_eq!(order(&router, &any()), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn with_the_defaults_a_provider_that_answers_again_is_used_again_within_20_seconds() {
    // The times between probes are drawn.
    for _ in 0..8 {
        let (a, b) = (Fake::new("a", 9, 1.0), Fake::new("b", 5, 1.0));
        let router = router(&[&a, &b], Routing::default());
        a.fail_times(ErrorKind::ConnectFailed, u32::MAX);
        router.watch_health();
        while router.ask(&hello(), &pin("a")).await.unwrap_err().code() != "breaker_open" {}
        let probes = || a.probed.lock().unwrap().len();
        let before = probes();
        // The worst moment: a probe has just failed.
        while probes() == before {
            sleep(MOMENT).await;
        }
        a.fail(None);
        let begun = Instant::now();
        while router.ask(&hello(), &any()).await.unwrap().provider != "a" {
            assert!(begun.elapsed() <= Duration::from_secs(20), "{:?}", begun.elapsed());
            sleep(Duration::from_millis(100)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_hangs_is_found_out_though_no_caller_waits_for_its_time_out() {
    for (task, form, waits, found) in [
        (Task::Chat, Form::Whole, 500, true),
        (Task::Chat, Form::Streamed, 500, true),
        (Task::Chat, Form::Whole, 400, false),
        (Task::Chat, Form::Streamed, 400, false),
        // It may be at work on one batch after the other.
        (Task::Embed, Form::Whole, 500, false),
        (Task::Moderate, Form::Whole, 500, false),
    ] {
        let (a, b) = (Fake::new("a", 9, 1.0), Fake::new("b", 5, 1.0));
        let router = router(&[&a, &b], failover(Some("a")));
        a.takes(60_000);
        let (request, constraints) = (ChatRequest { task, ..hello() }, any().for_task(task));
        for _ in 0..5 {
            let asking = async {
                match form {
                    Form::Whole => router.ask(&request, &constraints).await.map(|routed| routed.provider),
                    Form::Streamed => router.begin(&request, &constraints).await.map(|routed| routed.provider),
                }
            };
            tokio::time::timeout(Duration::from_millis(waits), asking).await.unwrap_err();
        }
        assert_eq!(router.state_of("a"), State::Unknown, "others may have more patience");
        let answered = router.ask(&request, &constraints).await.unwrap().provider;
        assert_eq!(answered, if found { "b" } else { "a" }, "{task:?} {form:?} {waits}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_fails_and_then_hangs_counts_once() {
    let a = Fake::new("a", 9, 1.0);
    let breaker = Breaker { failures: 3, ..Breaker::default() };
    let router = router(&[&a], Routing { breaker, ..Routing::default() });
    for _ in 0..2 {
        a.takes(0);
        a.fail_times(ErrorKind::UpstreamFailed, 1);
        let (request, constraints) = (hello(), any());
        let asking = tokio::time::timeout(Duration::from_secs(1), router.ask(&request, &constraints));
        let hangs = async {
            settle().await;
            a.takes(60_000);
        };
        tokio::join!(asking, hangs).0.unwrap_err();
    }
    assert_eq!((a.asked(), router.entries[0].breakers.open(Instant::now())), (4, 0));
}

#[tokio::test(start_paused = true)]
async fn one_tenants_requests_open_a_breaker_for_nobody_else() {
    let a = Fake::new("a", 5, 1.0);
    let breaker = Breaker { failures: 2, ..Breaker::default() };
    let retry = Retry { attempts: 1, ..Retry::default() };
    let router = router(&[&a], Routing { breaker, tenants: Tenants::Known, retry, ..Routing::default() });
    let (one, other) = (any().of_tenant("one"), any().of_tenant("other"));
    a.fail_times(ErrorKind::UpstreamFailed, 2);
    for code in ["upstream_failed", "upstream_failed", "breaker_open"] {
        assert_eq!(router.ask(&hello(), &one).await.unwrap_err().code(), code);
    }
    router.ask(&hello(), &other).await.unwrap();
    assert_eq!(router.ask(&hello(), &one).await.unwrap_err().code(), "breaker_open");

    *a.breaks.lock().unwrap() = Some(ErrorKind::ReadFailed);
    for _ in 0..2 {
        router.listen(&other).await.unwrap();
    }
    assert_eq!(router.ask(&hello(), &other).await.unwrap_err().code(), "breaker_open");
}

#[tokio::test(start_paused = true)]
async fn what_fails_for_one_tenant_is_asked_last_by_all() {
    let (a, b) = (Fake::new("a", 9, 1.0), Fake::new("b", 5, 1.0));
    let router = router(&[&a, &b], Routing { tenants: Tenants::Known, ..Routing::default() });
    a.fail(ErrorKind::UpstreamFailed);
    for _ in 0..3 {
        router.ask(&hello(), &any().of_tenant("one")).await.unwrap();
    }
    assert_eq!(order(&router, &any().of_tenant("other")), ["b", "a"]);
}

#[tokio::test(start_paused = true)]
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
    assert_eq!(health.message, "upstream_failed", "and not what the vendor said of one caller's request");
    assert!(health.last_checked.is_some());

    a.fail(None);
    router.ask(&hello(), &pin("a")).await.unwrap();
    assert_eq!(state(), State::Healthy);
    assert_eq!(order(&router, &any()), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
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

#[tokio::test(start_paused = true)]
async fn probes_run_at_once_and_end_with_the_router() {
    let (well, ill) = (Fake::new("well", 9, 1.0), Fake::new("ill", 5, 1.0));
    ill.fail(ErrorKind::ConnectFailed);
    let router = router(&[&well, &ill], Routing::default());
    router.watch_health();
    router.watch_health();
    settle().await;
    let states: Vec<_> = router.providers().map(|status| status.health.state).collect();
    assert_eq!(states, [State::Healthy, State::Unhealthy]);

    drop(router);
    settle().await;
    assert_eq!(Arc::strong_count(&well), 1);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_answered_says_that_the_provider_is_up() {
    for (kind, state) in [
        (ErrorKind::RateLimited, State::Healthy),
        (ErrorKind::EndpointNotFound, State::Healthy),
        (ErrorKind::Unsupported, State::Healthy),
        (ErrorKind::ModelNotFound, State::Healthy),
        (ErrorKind::Forbidden, State::Unhealthy),
        (ErrorKind::Unauthorized, State::Unhealthy),
        (ErrorKind::UpstreamFailed, State::Unhealthy),
        (ErrorKind::ConnectFailed, State::Unhealthy),
    ] {
        let a = Fake::new("a", 9, 1.0);
        a.fail(kind);
        let router = router(&[&a], Routing::default());
        router.watch_health();
        settle().await;
        assert_eq!(router.state_of("a"), state, "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_whose_backend_is_gone_takes_no_request_down() {
    for kind in [ErrorKind::EndpointNotFound, ErrorKind::Redirected] {
        let (gone, other) = (Fake::new("gone", 9, 1.0), Fake::new("other", 5, 1.0));
        gone.fail(kind);
        let router = router(&[&gone, &other], Routing::default());
        router.watch_health();
        settle().await;
        for _ in 0..20 {
            assert_eq!(router.ask(&hello(), &any()).await.unwrap().provider, "other", "{kind:?}");
            // Time for a probe, which is answered as the call is.
            sleep(Duration::from_secs(1)).await;
        }
        assert!(gone.asked() <= 8, "{kind:?}: it is left alone most of the time: {}", gone.asked());
    }
}

#[tokio::test(start_paused = true)]
async fn a_route_that_a_server_may_lack_says_nothing_of_its_health() {
    for (task, state) in [(Task::Chat, State::Unhealthy), (Task::Embed, State::Unknown)] {
        let a = Fake::new("a", 9, 1.0);
        a.fail(ErrorKind::EndpointNotFound);
        let router = router(&[&a], Routing::default());
        for _ in 0..3 {
            let request = ChatRequest { task, ..hello() };
            let failure = router.ask(&request, &any()).await.unwrap_err();
            assert_eq!(failure.code(), "endpoint_not_found", "{failure:?}");
        }
        assert_eq!(router.state_of("a"), state, "{task:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_fails_at_one_task_is_asked_for_others_all_the_same() {
    let a = Fake::new("a", 9, 1.0);
    let router = router(&[&a], Routing::default());
    let embed = ChatRequest { task: Task::Embed, ..hello() };
    a.fail(ErrorKind::EndpointNotFound);
    for _ in 0..5 {
        assert_eq!(router.ask(&embed, &any()).await.unwrap_err().code(), "endpoint_not_found");
    }
    a.fail(None);
    assert_eq!(router.ask(&embed, &any()).await.unwrap_err().code(), "breaker_open");
    router.ask(&hello(), &any()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_has_no_such_model_for_one_task_is_asked_for_others_all_the_same() {
    let (a, b) = (Fake::new("a", 9, 1.0), Fake::new("b", 5, 1.0));
    let router = router(&[&a, &b], Routing::default());
    a.fail(ErrorKind::ModelNotFound);
    let embed = ChatRequest { task: Task::Embed, ..hello() };
    router.ask(&embed, &any().for_task(Task::Embed)).await.unwrap();
    assert_eq!(order(&router, &any().for_task(Task::Embed)), ["b", "a"]);
    assert_eq!(order(&router, &any()), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn a_provider_is_probed_sooner_once_it_fell() {
    let a = Fake::new("a", 9, 1.0);
    let router = router(&[&a], Routing::default());
    let begun = Instant::now();
    router.watch_health();
    sleep(Duration::from_secs(10)).await;
    a.fail(ErrorKind::Unauthorized);
    router.ask(&hello(), &any()).await.unwrap_err();
    sleep(Duration::from_secs(7)).await;
    a.fail(None);
    sleep(Duration::from_secs(45)).await;
    let about = |seconds: u64| Duration::from_secs(seconds * 4 / 5)..=Duration::from_secs(seconds * 6 / 5) + MOMENT;
    let probes = a.probes(begun);
    assert_eq!(probes[0], Duration::ZERO);
    // From the moment of its fall, and not of the last probe.
    assert!(about(5).contains(&(probes[1] - Duration::from_secs(10))), "{probes:?}");
    assert!(about(5).contains(&probes[2]) && about(30).contains(&probes[3]), "{probes:?}");
    assert_eq!(router.state_of("a"), State::Healthy);
}

#[tokio::test(start_paused = true)]
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

#[tokio::test(start_paused = true)]
async fn what_is_said_about_a_callers_key_touches_nobody_else() {
    for kind in [
        ErrorKind::Unauthorized,
        ErrorKind::SpendCap,
        ErrorKind::Forbidden,
        ErrorKind::ModelNotAllowed,
        ErrorKind::ModelNotFound,
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

#[tokio::test(start_paused = true)]
async fn a_provider_that_takes_no_key_of_a_caller_is_not_asked_with_its_own() {
    let (a, b) = (Fake::new("a", 9, 1.0), Fake::new("b", 5, 1.0));
    let router = router(&[&a, &b], Routing::default());
    let error = router.ask(&hello(), &with_key("a")).await.unwrap_err();
    assert_eq!((error.code(), a.asked(), b.asked()), ("invalid_request", 0, 0));
    assert_eq!(router.state_of("a"), State::Unknown);
}

#[tokio::test(start_paused = true)]
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

#[tokio::test(start_paused = true)]
async fn the_operators_refused_key_keeps_nobody_out_who_has_one() {
    let (a, theirs) = (Fake::new("a", 9, 1.0), Fake::new("theirs", 1, 1.0));
    *a.of_callers.lock().unwrap() = Some(theirs);
    for kind in [ErrorKind::Unauthorized, ErrorKind::SpendCap] {
        let router = router(&[&a], Routing::default());
        a.fail(kind);
        for _ in 0..2 * Breaker::default().failures {
            assert_eq!(router.ask(&hello(), &any()).await.unwrap_err().code(), kind.code());
        }
        assert_eq!(router.state_of("a"), State::Unhealthy, "{kind:?}");
        router.ask(&hello(), &with_key("a")).await.unwrap();
    }
}
