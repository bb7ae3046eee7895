//! What is made of failures: tries, hints, deadlines.

use super::*;

#[tokio::test(start_paused = true)]
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

#[tokio::test(start_paused = true)]
async fn a_pinned_request_goes_nowhere_else() {
    let (a, b) = (Fake::new("a", 9, 1.0), Fake::new("b", 5, 1.0));
    a.fail_times(ErrorKind::UpstreamFailed, 3);
    let router = router(&[&a, &b], Routing::default());
    assert_eq!(router.ask(&hello(), &pin("a")).await.unwrap_err().attempts().len(), 3);
    assert_eq!((a.asked(), b.asked()), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn two_failures_in_a_row_are_survived() {
    let a = Fake::new("a", 5, 1.0);
    a.fail_times(ErrorKind::UpstreamUnavailable, 2);
    let routed = router(&[&a], Routing::default()).ask(&hello(), &any()).await.unwrap();
    let codes: Vec<_> = routed.attempts.iter().map(|attempt| attempt.code).collect();
    assert_eq!(codes, ["upstream_unavailable", "upstream_unavailable", "ok"]);
}

#[tokio::test(start_paused = true)]
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

#[tokio::test(start_paused = true)]
async fn what_must_not_be_retried_is_asked_once() {
    for kind in ErrorKind::ALL.iter().filter(|kind| !kind.retryable()) {
        let a = Fake::new("a", 5, 1.0);
        a.fail_times(*kind, u32::MAX);
        router(&[&a], Routing::default()).ask(&hello(), &any()).await.unwrap_err();
        assert_eq!(a.asked(), 1, "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_short_hint_is_waited_for_and_a_long_one_is_passed_on_at_once() {
    let a = Fake::new("a", 5, 1.0);
    a.fail_times(ErrorKind::RateLimited, 1);
    a.hint(Some(1));
    let one = router(&[&a], Routing::default());
    let begun = Instant::now();
    assert_eq!(one.ask(&hello(), &any()).await.unwrap().attempts.len(), 2);
    // What was asked for, and half to all of the first wait.
    let waited = begun.elapsed();
    assert!((Duration::from_millis(1_100)..=Duration::from_millis(1_200)).contains(&waited), "{waited:?}");

    let tight = Routing { deadline: Duration::from_secs(5), ..Routing::default() };
    for (hint, routing) in [(3_600, Routing::default()), (7, tight)] {
        a.fail_times(ErrorKind::RateLimited, 1);
        a.hint(Some(hint));
        let begun = Instant::now();
        let error = router(&[&a], routing).ask(&hello(), &any()).await.unwrap_err();
        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert_eq!(error.retry_after(), Some(Duration::from_secs(hint)));
        assert_eq!(error.attempts().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_where_another_can_be_asked() {
    for hint in [Some(9), None] {
        let (a, b) = (Fake::new("a", 9, 1.0), Fake::new("b", 5, 1.0));
        a.fail_times(ErrorKind::RateLimited, 1);
        a.hint(hint);
        let begun = Instant::now();
        let routed = router(&[&a, &b], Routing::default()).ask(&hello(), &any()).await.unwrap();
        assert_eq!((routed.provider.as_str(), a.asked()), ("b", 1), "{hint:?}");
        assert_eq!(begun.elapsed(), Duration::ZERO, "{hint:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_cannot_do_it_at_all_costs_no_attempt_and_hides_no_failure() {
    let (a, b) = (Fake::new("a", 9, 1.0), Fake::new("b", 5, 1.0));
    let router = router(&[&a, &b], Routing { retry: Retry { attempts: 2, ..Retry::default() }, ..Routing::default() });
    a.fail_times(ErrorKind::RateLimited, u32::MAX);
    a.hint(Some(60));
    b.fail(ErrorKind::Unsupported);
    let begun = Instant::now();
    let error = router.ask(&hello(), &any()).await.unwrap_err();
    assert_eq!((error.code(), a.asked(), b.asked()), ("rate_limited", 1, 1));
    assert_eq!(begun.elapsed(), Duration::ZERO, "it is not asked again for what the other said");

    b.fail_times(ErrorKind::UpstreamFailed, 1);
    a.fail_times(ErrorKind::Unsupported, u32::MAX);
    let routed = router.ask(&hello(), &prefer("a")).await.unwrap();
    let codes: Vec<_> = routed.attempts.iter().map(|attempt| attempt.code).collect();
    assert_eq!(codes, ["unsupported", "upstream_failed", "ok"]);
    assert_eq!(Attempt::calls(&routed.attempts), 2);
    let counts = |at: usize| router.providers().nth(at).map(|it| (it.counts.requests, it.counts.errors));
    assert_eq!((counts(0), counts(1)), (Some((1, 1)), Some((2, 1))), "what was not sent is no call");
}

#[tokio::test(start_paused = true)]
async fn who_was_left_for_others_is_asked_again_where_none_of_them_can_do_it() {
    for (kind, hint, waits) in [
        (ErrorKind::RateLimited, None, 100..=200),
        (ErrorKind::RateLimited, Some(1), 1_100..=1_200),
        // An attempt was left for each of the others.
        (ErrorKind::UpstreamFailed, None, 100..=200),
    ] {
        let (a, b, c) = (Fake::new("a", 9, 1.0), Fake::new("b", 5, 1.0), Fake::new("c", 1, 1.0));
        a.fail_times(kind, 1);
        a.hint(hint);
        b.fail(ErrorKind::Unsupported);
        c.fail(ErrorKind::Unsupported);
        let begun = Instant::now();
        let routed = router(&[&a, &b, &c], Routing::default()).ask(&hello(), &any()).await.unwrap();
        let codes: Vec<_> = routed.attempts.iter().map(|attempt| attempt.code).collect();
        assert_eq!(codes, [kind.code(), "unsupported", "unsupported", "ok"]);
        let waited = begun.elapsed().as_millis();
        assert!(waits.contains(&waited), "{kind:?} {hint:?}: {waited}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_backups_refusal_hides_no_failure_that_passes() {
    for kind in [ErrorKind::Unauthorized, ErrorKind::ModelNotFound, ErrorKind::EndpointNotFound, ErrorKind::Timeout] {
        let (a, b) = (Fake::new("a", 9, 1.0), Fake::new("b", 5, 1.0));
        a.fail_times(ErrorKind::RateLimited, 1);
        b.fail_times(kind, u32::MAX);
        let routed = router(&[&a, &b], Routing::default()).ask(&hello(), &any()).await.unwrap();
        let asked: String = routed.attempts.iter().map(|attempt| attempt.provider.as_str()).collect();
        assert_eq!(asked, "aba", "{kind:?}");
    }
    let (a, b) = (Fake::new("a", 9, 1.0), Fake::new("b", 5, 1.0));
    for (of_a, of_b, shown, hint) in [
        (ErrorKind::RateLimited, ErrorKind::Unauthorized, "rate_limited", Some(20)),
        (ErrorKind::Unauthorized, ErrorKind::RateLimited, "rate_limited", Some(60)),
        (ErrorKind::RateLimited, ErrorKind::RateLimited, "rate_limited", Some(20)),
        (ErrorKind::Timeout, ErrorKind::SpendCap, "timeout", Some(20)),
        (ErrorKind::ContextLength, ErrorKind::Unauthorized, "upstream_unauthorized", Some(60)),
        // Nobody would take it.
        (ErrorKind::RateLimited, ErrorKind::InvalidRequest, "invalid_request", Some(60)),
    ] {
        a.fail_times(of_a, u32::MAX);
        a.hint(Some(20));
        b.fail_times(of_b, u32::MAX);
        b.hint(Some(60));
        let error = router(&[&a, &b], Routing::default()).ask(&hello(), &any()).await.unwrap_err();
        let shows = (error.code(), error.retry_after().map(|hint| hint.as_secs()));
        assert_eq!(shows, (shown, hint), "{of_a:?} {of_b:?}");
        assert_eq!(error.attempts().len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn who_cannot_do_it_or_refuses_for_long_hides_no_open_breaker() {
    for (attempts, kind, shown, status) in [
        (3, ErrorKind::Unsupported, "breaker_open", 503),
        (3, ErrorKind::Unauthorized, "breaker_open", 503),
        // Nothing is left to ask the other with.
        (1, ErrorKind::Unauthorized, "breaker_open", 503),
        (3, ErrorKind::ModelNotFound, "breaker_open", 503),
        (3, ErrorKind::Timeout, "timeout", 504),
        // Nobody would take it.
        (3, ErrorKind::InvalidRequest, "invalid_request", 400),
    ] {
        let (a, b) = (Fake::new("a", 9, 1.0), Fake::new("b", 5, 1.0));
        let breaker = Breaker { failures: 1, ..Breaker::default() };
        let retry = Retry { attempts, ..Retry::default() };
        let router = router(&[&a, &b], Routing { breaker, retry, ..Routing::default() });
        a.fail(ErrorKind::UpstreamFailed);
        router.ask(&hello(), &pin("a")).await.unwrap_err();
        b.fail(kind);
        let error = router.ask(&hello(), &any()).await.unwrap_err();
        assert_eq!((error.code(), error.surface_as().status), (shown, status), "{kind:?}");
        assert!(error.retry_after().is_some(), "{kind:?}");
        let attempts: Vec<_> = error.attempts().iter().map(|it| (it.provider.as_str(), it.code)).collect();
        assert_eq!(attempts, [("b", kind.code())]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_refused_as_unsupported_is_one_of_those_that_a_request_may_cost() {
    let fakes = [Fake::new("a", 9, 1.0), Fake::new("b", 5, 1.0), Fake::new("c", 1, 1.0)];
    for (status, asked) in [(Some(400), "ab"), (None, "abc")] {
        for fake in &fakes {
            fake.fail(ErrorKind::Unsupported);
            *fake.status.lock().unwrap() = status;
        }
        let retry = Retry { attempts: 2, ..Retry::default() };
        let router = router(&fakes.each_ref(), Routing { retry, ..Routing::default() });
        let error = router.ask(&hello(), &any()).await.unwrap_err();
        let attempts: String = error.attempts().iter().map(|attempt| attempt.provider.as_str()).collect();
        assert_eq!((attempts.as_str(), error.code()), (asked, "unsupported"));
    }
}

#[tokio::test(start_paused = true)]
async fn of_several_who_were_left_for_others_the_one_is_asked_again_that_may_be_first() {
    for hints in [[1, 60], [60, 1]] {
        let (a, b, c) = (Fake::new("a", 9, 1.0), Fake::new("b", 5, 1.0), Fake::new("c", 1, 1.0));
        for (fake, hint) in [&a, &b].into_iter().zip(hints) {
            fake.fail_times(ErrorKind::RateLimited, 1);
            fake.hint(Some(hint));
        }
        c.fail(ErrorKind::Unsupported);
        let routed = router(&[&a, &b, &c], Routing::default()).ask(&hello(), &any()).await.unwrap();
        assert_eq!(routed.provider, if hints == [1, 60] { "a" } else { "b" });
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_is_waited_for_where_another_one_is_free_sooner() {
    for (of_a, of_b, asked) in [(1, 9, "aba"), (9, 1, "abb"), (1, 60, "aba")] {
        let (a, b) = (Fake::new("a", 9, 1.0), Fake::new("b", 5, 1.0));
        for (fake, hint) in [(&a, of_a), (&b, of_b)] {
            fake.fail_times(ErrorKind::RateLimited, 1);
            fake.hint(Some(hint));
        }
        let begun = Instant::now();
        let routed = router(&[&a, &b], Routing::default()).ask(&hello(), &any()).await.unwrap();
        let attempts: String = routed.attempts.iter().map(|attempt| attempt.provider.as_str()).collect();
        assert_eq!(attempts, asked, "{of_a} {of_b}");
        assert!(begun.elapsed() < Duration::from_secs(2), "{of_a} {of_b}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_was_left_for_others_is_not_asked_again_where_one_of_them_failed_too() {
    let (a, b, c) = (Fake::new("a", 9, 1.0), Fake::new("b", 5, 1.0), Fake::new("c", 1, 1.0));
    a.fail_times(ErrorKind::RateLimited, 1);
    b.fail_times(ErrorKind::CapacityExceeded, 1);
    c.fail(ErrorKind::Unsupported);
    let routed = router(&[&a, &b, &c], Routing::default()).ask(&hello(), &any()).await.unwrap();
    let asked: String = routed.attempts.iter().map(|attempt| attempt.provider.as_str()).collect();
    assert_eq!((asked.as_str(), routed.provider.as_str()), ("abcb", "b"));
}

#[tokio::test(start_paused = true)]
async fn a_hint_is_counted_from_when_it_was_said() {
    for (hint, ends_after, shown) in [(12, 14.0, None), (4, 14.0, None), (17, 17.0, None), (60, 14.0, Some(46))] {
        let (a, b) = (Fake::new("a", 9, 1.0), Fake::new("b", 5, 1.0));
        a.fail_times(ErrorKind::RateLimited, 1);
        a.hint(Some(hint));
        b.fail(ErrorKind::Unauthorized);
        b.takes(14_000);
        let begun = Instant::now();
        let answer = router(&[&a, &b], Routing::default()).ask(&hello(), &any()).await;
        let took = begun.elapsed().as_secs_f64();
        assert!((ends_after..ends_after + 0.21).contains(&took), "{hint}: {took}");
        assert_eq!(answer.err().map(|error| error.retry_after().unwrap().as_secs()), shown, "{hint}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_provider_says_last_takes_the_place_of_what_it_said_before() {
    // Of the first one, at once and a second later; of another one, if there is one.
    for (hint, then, of_other, asked, shown) in [
        (8, 8, None, "aaa", 8),
        (2, 60, None, "aa", 60),
        (2, 9, Some(60), "aba", 9),
        // It is asked again after two seconds and a part of one, which are over for the other one too.
        (2, 60, Some(20), "aba", 17),
    ] {
        let (a, b) = (Fake::new("a", 9, 1.0), Fake::new("b", 5, 1.0));
        a.fail(ErrorKind::RateLimited);
        a.hint(Some(hint));
        b.fail(ErrorKind::RateLimited);
        b.hint(of_other);
        let router = router(&[&a, &b], Routing::default());
        let wants = if of_other.is_some() { any() } else { pin("a") };
        let (hello, later) = (hello(), async {
            sleep(Duration::from_secs(1)).await;
            a.hint(Some(then));
        });
        let (answer, ()) = tokio::join!(router.ask(&hello, &wants), later);
        let error = answer.unwrap_err();
        let attempts: String = error.attempts().iter().map(|attempt| attempt.provider.as_str()).collect();
        let told = error.retry_after().map(|hint| hint.as_secs());
        assert_eq!((error.code(), attempts.as_str(), told), ("rate_limited", asked, Some(shown)), "{hint} {then}");
    }
    let a = Fake::new("a", 9, 1.0);
    a.fail(ErrorKind::RateLimited);
    a.hint(Some(2));
    let (router, hello, wants) = (router(&[&a], Routing::default()), hello(), any());
    let (answer, ()) = tokio::join!(router.ask(&hello, &wants), async {
        sleep(Duration::from_secs(1)).await;
        a.fail(ErrorKind::Unsupported);
    });
    let error = answer.unwrap_err();
    assert_eq!((error.code(), a.asked()), ("unsupported", 2));
}

#[tokio::test(start_paused = true)]
async fn when_a_breaker_opens_is_counted_from_when_it_was_asked() {
    let (a, b) = (Fake::new("a", 9, 1.0), Fake::new("b", 5, 1.0));
    let breaker = Breaker { failures: 1, ..Breaker::default() };
    let router = router(&[&a, &b], Routing { breaker, ..Routing::default() });
    a.fail_times(ErrorKind::Timeout, 1);
    router.ask(&hello(), &pin("a")).await.unwrap_err();
    b.fail(ErrorKind::Unauthorized);
    b.takes(4_000);
    let error = router.ask(&hello(), &prefer("a")).await.unwrap_err();
    assert_eq!((error.code(), error.retry_after()), ("breaker_open", Some(Duration::from_secs(6))));
}

#[tokio::test(start_paused = true)]
async fn a_model_that_is_not_there_is_not_asked_for_first_by_every_request() {
    let (quick, other) = (Fake::new("quick", 5, 1.0), Fake::new("other", 5, 1.0));
    quick.fail(ErrorKind::ModelNotFound);
    other.takes(40);
    let router = router(&[&quick, &other], by(Strategy::LeastLatency));
    for _ in 0..4 {
        assert_eq!(router.ask(&hello(), &any()).await.unwrap().provider, "other");
    }
    assert_eq!(quick.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_fails_or_hangs_is_not_the_quickest() {
    let hangs = ErrorKind::DeadlineExceeded;
    for kind in [
        ErrorKind::EndpointNotFound,
        ErrorKind::Rejected,
        ErrorKind::Redirected,
        ErrorKind::Forbidden,
        ErrorKind::TryAgain,
        ErrorKind::Unsupported,
        ErrorKind::InvalidRequest,
        hangs,
    ] {
        let (bad, good) = (Fake::new("bad", 5, 1.0), Fake::new("good", 5, 1.0));
        good.takes(300);
        bad.fail(kind);
        *bad.status.lock().unwrap() = Some(404);
        bad.takes(if kind == hangs { 60_000 } else { 2 });
        let routing = Routing { deadline: Duration::from_millis(900), ..by(Strategy::LeastLatency) };
        let router = router(&[&bad, &good], routing);
        router.ask(&hello(), &pin("good")).await.unwrap();
        let _ = router.ask(&hello(), &any()).await;
        assert_eq!((bad.asked(), order(&router, &any())), (1, vec!["good".into(), "bad".into()]), "{kind:?}");
    }

    let (hanging, good) = (Fake::new("hanging", 5, 1.0), Fake::new("good", 5, 1.0));
    good.takes(300);
    hanging.takes(60_000);
    let router = router(&[&hanging, &good], by(Strategy::LeastLatency));
    router.ask(&hello(), &pin("good")).await.unwrap();
    let (hello, any) = (hello(), any());
    tokio::time::timeout(Duration::from_millis(900), router.ask(&hello, &any)).await.unwrap_err();
    assert_eq!((hanging.asked(), order(&router, &any)), (1, vec!["good".into(), "hanging".into()]));
}

#[tokio::test(start_paused = true)]
async fn who_had_only_what_others_left_of_the_time_is_no_slower_for_it() {
    let (first, quick, slow) = (Fake::new("first", 5, 1.0), Fake::new("quick", 5, 1.0), Fake::new("slow", 5, 1.0));
    let routing = Routing { deadline: Duration::from_secs(2), ..by(Strategy::LeastLatency) };
    let router = router(&[&first, &quick, &slow], routing);
    quick.takes(300);
    slow.takes(800);
    for name in ["quick", "slow"] {
        router.ask(&hello(), &pin(name)).await.unwrap();
    }
    first.fail(ErrorKind::Unauthorized);
    first.takes(1_900);
    assert_eq!(router.ask(&hello(), &prefer("first")).await.unwrap_err().code(), "deadline_exceeded");
    assert_eq!((quick.asked(), order(&router, &any())), (2, vec!["quick".into(), "slow".into(), "first".into()]));
}

#[tokio::test(start_paused = true)]
async fn of_a_task_that_takes_many_calls_the_deadline_is_nobodys_fault() {
    let mut hasty = Arc::into_inner(Fake::new("a", 9, 1.0)).unwrap();
    hasty.info.timeout = Duration::from_millis(20);
    let a = Arc::new(hasty);
    a.takes(60_000);
    let router = router(&[&a], Routing { deadline: Duration::from_millis(50), ..Routing::default() });
    for (task, code) in [
        (Task::Embed, "deadline_exceeded"),
        (Task::Moderate, "deadline_exceeded"),
        (Task::ModerateChats, "timeout"),
        (Task::Chat, "timeout"),
    ] {
        let request = ChatRequest { task, ..hello() };
        let error = router.ask(&request, &any().for_task(task)).await.unwrap_err();
        assert_eq!(error.code(), code, "{task:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_a_call_and_counts_against_the_model_of_whoever_had_half_of_it() {
    let whole = Fake::new("b", 5, 1.0);
    let mut patient = Arc::into_inner(Fake::new("a", 9, 1.0)).unwrap();
    patient.info.timeout = Duration::from_millis(21);
    let mut hasty = Arc::into_inner(Fake::new("a", 9, 1.0)).unwrap();
    hasty.info.timeout = Duration::from_millis(20);
    for (a, code, state) in
        [(Arc::new(patient), "deadline_exceeded", State::Unknown), (Arc::new(hasty), "timeout", State::Unhealthy)]
    {
        a.takes(60_000);
        let breaker = Breaker { failures: 3, ..Breaker::default() };
        let routing = Routing { deadline: Duration::from_millis(20), breaker, ..Routing::default() };
        let router = router(&[&a, &whole], routing);
        for _ in 0..3 {
            let begun = Instant::now();
            let error = router.ask(&hello(), &prefer("a")).await.unwrap_err();
            assert_eq!(begun.elapsed(), Duration::from_millis(20));
            assert_eq!((error.code(), error.attempts().len()), (code, 1));
            assert_eq!(error.surface_as(), ErrorKind::Timeout.surface_as());
        }
        assert_eq!(router.state_of("a"), state);
        assert_eq!(router.ask(&hello(), &pin("a")).await.unwrap_err().code(), "breaker_open");
    }
    assert_eq!(whole.asked(), 0);

    // What another one used up is not its fault.
    let (first, second) = (Fake::new("first", 9, 1.0), Fake::new("second", 5, 1.0));
    first.fail(ErrorKind::Unauthorized);
    first.takes(12);
    second.takes(60_000);
    let breaker = Breaker { failures: 1, ..Breaker::default() };
    let routing = Routing { deadline: Duration::from_millis(20), breaker, ..Routing::default() };
    let router = router(&[&first, &second], routing);
    for code in ["deadline_exceeded", "deadline_exceeded"] {
        assert_eq!(router.ask(&hello(), &prefer("first")).await.unwrap_err().code(), code);
    }
    assert_eq!(second.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn without_a_budget_nothing_is_retried() {
    let a = Fake::new("a", 5, 1.0);
    let retry = Retry { budget: 0.0, ..Retry::default() };
    let breaker = Breaker { failures: 1_000, ..Breaker::default() };
    let router = router(&[&a], Routing { retry, breaker, ..Routing::default() });
    a.fail_times(ErrorKind::UpstreamFailed, u32::MAX);
    let mut retries = 0;
    // Five requests use up what is there in advance: ten retries.
    for _ in 0..7 {
        retries += router.ask(&hello(), &any()).await.unwrap_err().attempts().len() - 1;
    }
    assert_eq!(retries, 10);
}

#[tokio::test(start_paused = true)]
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

#[tokio::test(start_paused = true)]
async fn a_provider_over_its_limit_is_first_again_when_it_said_but_after_a_minute_at_most() {
    for (hint, stands_behind_for) in [(None, 1), (Some(7), 7), (Some(3_600), 60)] {
        let (first, second) = (Fake::new("first", 9, 1.0), Fake::new("second", 5, 1.0));
        let router = router(&[&first, &second], Routing::default());
        first.hint(hint);
        first.fail(ErrorKind::RateLimited);
        assert_eq!(router.ask(&hello(), &any()).await.unwrap().provider, "second");
        advance(Duration::from_secs(stands_behind_for) - MOMENT).await;
        assert_eq!(order(&router, &any()), ["second", "first"], "{hint:?}");
        advance(MOMENT).await;
        assert_eq!(order(&router, &any()), ["first", "second"], "{hint:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_provider_was_asked_is_counted() {
    let only = Fake::new("only", 5, 1.0);
    only.takes(30);
    let router = router(&[&only], Routing { retry: Retry { attempts: 1, ..Retry::default() }, ..Routing::default() });
    let counts = || router.providers().next().unwrap().counts;
    assert_eq!(counts(), Counts::default());
    router.ask(&hello(), &any()).await.unwrap();
    only.fail(ErrorKind::UpstreamFailed);
    only.takes(10);
    router.begin(&hello(), &any()).await.unwrap_err();
    assert_eq!((counts().requests, counts().errors), (2, 1));
    let times = (counts().elapsed.as_millis(), counts().average().as_millis());
    assert_eq!((times, counts().last_used.is_some()), ((40, 20), true));
}

#[tokio::test(start_paused = true)]
async fn what_was_lost_on_the_way_to_an_answer_is_known() {
    let only = Fake::new("only", 5, 1.0);
    let lost = Some(Usage { prompt_tokens: 512, ..Usage::default() });
    *only.lost.lock().unwrap() = lost;
    let routed = router(&[&only], Routing::default()).ask(&hello(), &any()).await.unwrap();
    let told: Vec<_> = routed.attempts.iter().map(|attempt| (attempt.code, attempt.spent)).collect();
    assert_eq!(told, [("ok", lost)]);
}

#[tokio::test(start_paused = true)]
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
    let took: Vec<_> = attempts.iter().map(|attempt| attempt.elapsed.as_millis()).collect();
    assert_eq!(took, [0, 20]);
}

#[tokio::test(start_paused = true)]
async fn of_a_call_that_is_let_go_the_parts_that_were_answered_are_known() {
    let part = Some(Usage { prompt_tokens: 512, ..Usage::default() });
    for (takes, patience, code, spent) in
        [(60_000, 5_000, "timeout", part), (60_000, 20, "cancelled", part), (20, 5_000, "ok", None)]
    {
        let only = Fake::new("only", 5, 1.0);
        *only.part.lock().unwrap() = part;
        only.takes(takes);
        let router = router(&[&only], Routing { deadline: Duration::from_secs(2), ..Routing::default() });
        let (hello, any, attempts) = (hello(), any(), Attempts::default());
        let asked = tokio::time::timeout(Duration::from_millis(patience), router.route(&hello, &any, &attempts)).await;
        let attempts = match asked {
            Ok(Ok(routed)) => routed.attempts,
            Ok(Err(error)) => error.attempts().to_vec(),
            Err(_) => attempts.take(),
        };
        let told: Vec<_> = attempts.iter().map(|attempt| (attempt.code, attempt.spent)).collect();
        assert_eq!(told, [(code, spent)]);
    }
}
