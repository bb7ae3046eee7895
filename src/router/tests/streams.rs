//! The same where the answer is a stream.

use super::*;

#[tokio::test(start_paused = true)]
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

#[tokio::test(start_paused = true)]
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
    let counts = router.providers().next().unwrap().counts;
    assert_eq!((counts.requests, counts.errors), (5, 5));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_tried_again_and_then_breaks_counts_once() {
    let a = Fake::new("a", 9, 1.0);
    let router = router(&[&a], Routing::default());
    *a.breaks.lock().unwrap() = Some(ErrorKind::ReadFailed);
    // With the fifth the breaker opens.
    for failed in 1..=4 {
        a.fail_times(ErrorKind::UpstreamFailed, 1);
        assert_eq!(router.listen(&any()).await.unwrap().kind(), ErrorKind::ReadFailed);
        assert_eq!(a.asked(), 2 * failed);
        assert_eq!(router.state_of("a") == State::Unhealthy, failed >= 3, "{failed} requests failed");
    }
    a.fail_times(ErrorKind::UpstreamFailed, 1);
    assert_eq!(router.begin(&hello(), &any()).await.unwrap_err().code(), "upstream_failed");
    assert_eq!(router.ask(&hello(), &any()).await.unwrap_err().code(), "breaker_open");
}

#[tokio::test(start_paused = true)]
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

#[tokio::test(start_paused = true)]
async fn a_stream_from_before_its_provider_fell_says_nothing_of_it() {
    let a = Fake::new("a", 9, 1.0);
    let once = Routing { retry: Retry { attempts: 1, ..Retry::default() }, ..Routing::default() };
    let router = router(&[&a], once);
    let old = router.begin(&hello(), &any()).await.unwrap();
    advance(MOMENT).await;
    a.fail_times(ErrorKind::UpstreamFailed, 3);
    for _ in 0..3 {
        router.ask(&hello(), &any()).await.unwrap_err();
    }
    assert!(old.answer.events.collect::<Vec<_>>().await.iter().all(Result::is_ok));
    assert_eq!(router.state_of("a"), State::Unhealthy);
    assert_eq!(router.listen(&any()).await, None);
    assert_eq!(router.state_of("a"), State::Healthy);
}

#[tokio::test(start_paused = true)]
async fn a_trial_that_streams_does_not_keep_others_out() {
    let a = Fake::new("a", 9, 1.0);
    let breaker = Breaker { failures: 1, open_for: Duration::from_millis(100) };
    let retry = Retry { attempts: 1, ..Retry::default() };
    let router = router(&[&a], Routing { breaker, retry, ..Routing::default() });
    a.fail_times(ErrorKind::ConnectFailed, 1);
    router.ask(&hello(), &any()).await.unwrap_err();
    *a.breaks.lock().unwrap() = Some(ErrorKind::ReadFailed);
    advance(breaker.open_for - MOMENT).await;
    assert_eq!(router.begin(&hello(), &any()).await.unwrap_err().code(), "breaker_open");
    advance(MOMENT).await;
    let trial = router.begin(&hello(), &any()).await.unwrap();
    let beside = router.begin(&hello(), &any()).await.unwrap();
    assert_eq!(trial.answer.events.collect::<Vec<_>>().await.len(), 2);
    assert_eq!(router.begin(&hello(), &any()).await.unwrap_err().code(), "breaker_open");
    drop(beside);
}

#[tokio::test(start_paused = true)]
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
