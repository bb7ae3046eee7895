use super::*;

const OPEN_FOR: Duration = Duration::from_secs(10);

fn of(tenants: Tenants) -> Breakers {
    Breakers::new("p", Task::Chat, config::Breaker { failures: 2, open_for: OPEN_FOR }, tenants)
}

fn breakers() -> (Breakers, Instant) {
    (of(Tenants::Claimed), Instant::now())
}

fn fail(breakers: &Breakers, model: &str, times: u32, now: Instant) {
    for _ in 0..times {
        breakers.pass(model, None, now).unwrap().failed(now);
    }
}

#[test]
fn failures_in_a_row_open_it_for_their_model_alone() {
    let (breakers, now) = breakers();
    fail(&breakers, "m", 1, now);
    breakers.pass("m", None, now).unwrap().succeeded();
    fail(&breakers, "m", 1, now);
    assert_eq!(breakers.wait("m", None, now), None);
    fail(&breakers, "m", 1, now);
    assert_eq!(breakers.pass("m", None, now).unwrap_err(), OPEN_FOR);
    assert_eq!(breakers.wait("other", None, now), None);
}

#[test]
fn half_open_lets_one_call_pass_and_its_answer_closes_it() {
    let (breakers, now) = breakers();
    fail(&breakers, "m", 2, now);
    let now = now + OPEN_FOR;
    let trial = breakers.pass("m", None, now).unwrap();
    assert!(breakers.pass("m", None, now).is_err());
    trial.succeeded();
    fail(&breakers, "m", 1, now);
    assert_eq!(breakers.wait("m", None, now), None);
}

#[test]
fn a_failed_trial_opens_it_again() {
    let (breakers, now) = breakers();
    fail(&breakers, "m", 2, now);
    let now = now + OPEN_FOR;
    fail(&breakers, "m", 1, now);
    assert_eq!(breakers.wait("m", None, now), Some(OPEN_FOR));
}

#[test]
fn a_trial_that_says_nothing_or_hangs_leaves_its_place() {
    let (breakers, now) = breakers();
    fail(&breakers, "m", 2, now);
    let now = now + OPEN_FOR;
    drop(breakers.pass("m", None, now).unwrap());
    let hanging = breakers.pass("m", None, now).unwrap();
    assert_eq!(breakers.wait("m", None, now), Some(TRIAL));
    let now = now + TRIAL;
    let second = breakers.pass("m", None, now).unwrap();
    // The place is the second one's now.
    drop(hanging);
    assert!(breakers.pass("m", None, now).is_err());
    second.succeeded();
    assert_eq!(breakers.wait("m", None, now), None);
}

#[test]
fn open_is_what_lets_no_call_pass_now() {
    let (breakers, now) = breakers();
    fail(&breakers, "m", 1, now);
    assert_eq!(breakers.open(now), 0);
    fail(&breakers, "m", 1, now);
    assert_eq!(breakers.open(now), 1);
    let now = now + OPEN_FOR;
    assert_eq!(breakers.open(now), 0, "nobody asked meanwhile");
    let trial = breakers.pass("m", None, now).unwrap();
    assert_eq!(breakers.open(now), 1, "the trial is on its way");
    trial.succeeded();
    assert_eq!(breakers.open(now), 0);
}

#[test]
fn a_slow_trial_closes_it_too() {
    for streams in [false, true] {
        let (breakers, now) = breakers();
        fail(&breakers, "m", 2, now);
        let now = now + OPEN_FOR;
        let slow = breakers.pass("m", None, now).unwrap();
        let other = breakers.pass("m", None, now + TRIAL).unwrap();
        if streams {
            slow.began()
        } else {
            slow.succeeded()
        }
        assert_eq!(breakers.wait("m", None, now + TRIAL), None);
        drop(other);
        assert_eq!(breakers.wait("m", None, now + TRIAL), None);
    }
}

#[test]
fn a_trial_that_streams_lets_others_pass_and_one_more_failure_opens_it_again() {
    let (breakers, now) = breakers();
    fail(&breakers, "m", 2, now);
    let now = now + OPEN_FOR;
    breakers.pass("m", None, now).unwrap().began();
    breakers.pass("m", None, now).unwrap().began();
    breakers.failed("m", None, Terms::Free, now);
    assert_eq!(breakers.wait("m", None, now), Some(OPEN_FOR));

    let now = now + OPEN_FOR;
    breakers.pass("m", None, now).unwrap().began();
    breakers.succeeded("m", None, Terms::Free);
    fail(&breakers, "m", 1, now);
    assert_eq!(breakers.wait("m", None, now), None, "a stream that ended well makes good what was before");
}

#[test]
fn a_call_from_before_it_opened_does_not_close_it() {
    let (breakers, now) = breakers();
    let (late, later) = (breakers.pass("m", None, now).unwrap(), breakers.pass("m", None, now).unwrap());
    fail(&breakers, "m", 2, now);
    late.succeeded();
    assert_eq!(breakers.wait("m", None, now), Some(OPEN_FOR));
    let now = now + OPEN_FOR;
    let trial = breakers.pass("m", None, now).unwrap();
    later.succeeded();
    assert!(breakers.pass("m", None, now).is_err(), "the trial is on its way");
    trial.succeeded();
    assert_eq!(breakers.wait("m", None, now), None);
}

#[test]
fn a_call_from_before_it_opened_does_not_keep_it_open() {
    let (breakers, now) = breakers();
    let late = breakers.pass("m", None, now).unwrap();
    fail(&breakers, "m", 2, now);
    late.failed(now + OPEN_FOR / 2);
    assert_eq!(breakers.wait("m", None, now + OPEN_FOR), None);
}

#[test]
fn a_failure_from_before_it_opened_does_not_void_the_trial() {
    let (breakers, now) = breakers();
    let late = breakers.pass("m", None, now).unwrap();
    fail(&breakers, "m", 2, now);
    let now = now + OPEN_FOR;
    let trial = breakers.pass("m", None, now).unwrap();
    late.failed(now + Duration::from_millis(1));
    trial.succeeded();
    assert_eq!(breakers.wait("m", None, now), None);
}

#[test]
fn one_tenants_failures_open_it_for_that_tenant_and_as_many_of_others_for_all() {
    let (breakers, now) = (of(Tenants::Known), Instant::now());
    let wait = |tenant, now| breakers.wait("m", Some(tenant), now);
    let pass = |tenant| breakers.pass("m", Some(tenant), now);
    for _ in 0..2 {
        pass("a").unwrap().failed(now);
    }
    assert_eq!((wait("a", now), wait("b", now)), (Some(OPEN_FOR), None));
    pass("b").unwrap().failed(now);
    assert_eq!(wait("b", now), None, "a hiccup takes the model from nobody else");
    pass("b").unwrap().succeeded();
    assert_eq!(pass("a").unwrap_err(), OPEN_FOR, "another's answer is no trial");
    pass("b").unwrap().failed(now);
    assert_eq!(wait("b", now), None, "in a row");

    pass("c").unwrap().failed(now);
    for tenant in ["a", "b", "c"] {
        assert_eq!(wait(tenant, now), Some(OPEN_FOR), "{tenant}");
    }
    let now = now + OPEN_FOR;
    breakers.pass("m", Some("c"), now).unwrap().succeeded();
    assert_eq!((wait("a", now), wait("b", now)), (None, None));
}

#[test]
fn a_tenants_failing_trials_keep_nobody_else_out() {
    let (breakers, now) = (of(Tenants::Known), Instant::now());
    for tenant in ["a", "a", "b", "c"] {
        breakers.pass("m", Some(tenant), now).unwrap().failed(now);
    }
    assert_eq!(breakers.wait("m", Some("c"), now), Some(OPEN_FOR));
    let mut now = now;
    for _ in 0..3 {
        now += OPEN_FOR;
        breakers.pass("m", Some("a"), now).unwrap().failed(now);
        assert_eq!(breakers.wait("m", Some("a"), now), Some(OPEN_FOR));
        breakers.pass("m", Some("c"), now).unwrap().succeeded();
        breakers.pass("m", Some("c"), now).unwrap().failed(now);
        assert_eq!(breakers.wait("m", Some("b"), now), None);
    }
}

#[test]
fn where_the_model_itself_is_down_a_failed_trial_costs_one_more_request() {
    let (breakers, now) = (of(Tenants::Known), Instant::now());
    for tenant in ["a", "b"] {
        breakers.pass("m", Some(tenant), now).unwrap().failed(now);
    }
    let now = now + OPEN_FOR;
    breakers.pass("m", Some("a"), now).unwrap().failed(now);
    breakers.pass("m", Some("b"), now).unwrap().failed(now);
    for tenant in ["a", "b", "c"] {
        assert_eq!(breakers.wait("m", Some(tenant), now), Some(OPEN_FOR), "{tenant}");
    }
}

/// Open for all since now, by failures of `a` and `b`.
fn open_for_all(now: Instant) -> Breakers {
    let breakers = of(Tenants::Known);
    for tenant in ["a", "b"] {
        breakers.pass("m", Some(tenant), now).unwrap().failed(now);
    }
    breakers
}

#[test]
fn a_streamed_trial_that_breaks_keeps_nobody_else_out_whoever_is_answered_meanwhile() {
    for others in [0, 1] {
        let begun = Instant::now();
        let (breakers, now) = (open_for_all(begun), begun + OPEN_FOR);
        breakers.pass("m", Some("a"), now).unwrap().began();
        for _ in 0..others {
            breakers.pass("m", Some("b"), now).unwrap().succeeded();
        }
        breakers.failed("m", Some("a"), Terms::Free, now);
        assert_eq!(breakers.wait("m", Some("a"), now), Some(OPEN_FOR), "{others}");
        assert_eq!(breakers.wait("m", Some("b"), now), None, "{others}");
    }
}

#[test]
fn a_streamed_trial_and_another_tenants_failure_open_it_for_all_again() {
    let begun = Instant::now();
    let (breakers, now) = (open_for_all(begun), begun + OPEN_FOR);
    breakers.pass("m", Some("a"), now).unwrap().began();
    breakers.pass("m", Some("b"), now).unwrap().failed(now);
    for tenant in ["a", "b", "c"] {
        assert_eq!(breakers.wait("m", Some(tenant), now), Some(OPEN_FOR), "{tenant}");
    }
}

#[test]
fn after_a_failed_trial_the_others_pass_one_at_a_time_until_one_is_answered() {
    for streams in [false, true] {
        let begun = Instant::now();
        let (breakers, now) = (open_for_all(begun), begun + OPEN_FOR);
        breakers.pass("m", Some("a"), now).unwrap().failed(now);
        drop(breakers.pass("m", Some("b"), now).unwrap());
        let turn = breakers.pass("m", Some("b"), now).unwrap();
        assert_eq!(breakers.pass("m", Some("c"), now).unwrap_err(), TRIAL);
        breakers.succeeded("m", Some("c"), Terms::Free);
        assert!(breakers.pass("m", Some("c"), now).is_err(), "what began before says nothing new");
        assert_eq!(breakers.wait("m", Some("c"), now + TRIAL), None, "one that hangs keeps nobody out");
        if streams {
            turn.began()
        } else {
            turn.succeeded()
        }
        let passes: Vec<_> = (0..3).map(|_| breakers.pass("m", Some("c"), now).unwrap()).collect();
        drop(passes);
        breakers.failed("m", Some("c"), Terms::Free, now);
        assert_eq!(breakers.wait("m", Some("c"), now).is_some(), streams, "only its end makes good what was before");
    }
}

#[test]
fn failures_of_several_tenants_in_a_row_are_counted_together() {
    let settings = config::Breaker { failures: 3, open_for: OPEN_FOR };
    let (breakers, now) = (Breakers::new("p", Task::Chat, settings, Tenants::Known), Instant::now());
    for tenant in ["a", "b", "a"] {
        assert_eq!(breakers.wait("m", Some("c"), now), None);
        breakers.pass("m", Some(tenant), now).unwrap().failed(now);
    }
    assert_eq!(breakers.wait("m", Some("c"), now), Some(OPEN_FOR));
}

#[test]
fn where_tenants_have_proved_nothing_it_opens_for_all() {
    let (breakers, now) = breakers();
    for _ in 0..2 {
        breakers.pass("m", Some("a"), now).unwrap().failed(now);
    }
    assert_eq!(breakers.wait("m", Some("b"), now), Some(OPEN_FOR));
}

#[test]
fn the_table_is_bounded() {
    let (breakers, begun) = breakers();
    let mut now = begun;
    for number in 0..2 * MODELS {
        fail(&breakers, &format!("m{number}"), 2, now);
        now += Duration::from_millis(1);
    }
    assert_eq!(breakers.lock().len(), MODELS);
    let last = format!("m{}", 2 * MODELS - 1);
    assert!(breakers.wait("m0", None, now).is_none() && breakers.wait(&last, None, now).is_some());
}
