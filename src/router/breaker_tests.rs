use tokio::time::advance;

use super::*;

const OPEN_FOR: Duration = Duration::from_secs(10);
const MOMENT: Duration = Duration::from_millis(1);

fn of(tenants: Tenants) -> Arc<Breakers> {
    Arc::new(Breakers::new("p", config::Breaker { failures: 2, open_for: OPEN_FOR }, tenants))
}

/// The breakers of a provider whose tenants are not known, one of its circuits, and the time.
fn breakers() -> (Arc<Breakers>, Circuit, Instant) {
    let breakers = of(Tenants::Claimed);
    let circuit = breakers.circuit("m", Task::Chat, None);
    (breakers, circuit, Instant::now())
}

fn fail(breakers: &Arc<Breakers>, circuit: &Circuit, times: u32, now: Instant) {
    for _ in 0..times {
        breakers.pass(circuit, now).unwrap().failed(now);
    }
}

/// One that opened, and the time at which it lets a trial pass.
fn waiting() -> (Arc<Breakers>, Circuit, Instant) {
    let (breakers, m, now) = breakers();
    fail(&breakers, &m, 2, now);
    (breakers, m, now + OPEN_FOR)
}

#[test]
fn failures_in_a_row_open_it() {
    let (breakers, m, now) = breakers();
    fail(&breakers, &m, 1, now);
    breakers.pass(&m, now).unwrap().succeeded();
    fail(&breakers, &m, 1, now);
    assert_eq!(breakers.wait(&m, now), None);
    fail(&breakers, &m, 1, now);
    assert_eq!(breakers.pass(&m, now).unwrap_err(), OPEN_FOR);
}

#[test]
fn it_opens_for_its_model_task_and_known_tenant_alone() {
    for (tenants, others_pass) in [(Tenants::Known, true), (Tenants::Claimed, false)] {
        let (breakers, now) = (of(tenants), Instant::now());
        fail(&breakers, &breakers.circuit("m", Task::Chat, Some("a")), 2, now);
        for (model, task, tenant, passes) in [
            ("m", Task::Chat, Some("a"), false),
            ("m", Task::Chat, Some("b"), others_pass),
            ("m", Task::Chat, None, others_pass),
            ("m", Task::Embed, Some("a"), true),
            ("n", Task::Chat, Some("a"), true),
        ] {
            let circuit = breakers.circuit(model, task, tenant);
            assert_eq!(breakers.wait(&circuit, now).is_none(), passes, "{tenants:?} {circuit:?}");
        }
    }
}

#[test]
fn one_trial_passes_and_its_answer_closes_it() {
    let (breakers, m, now) = waiting();
    let trial = breakers.pass(&m, now).unwrap();
    assert_eq!(breakers.pass(&m, now).unwrap_err(), TRIAL);
    trial.succeeded();
    fail(&breakers, &m, 1, now);
    assert_eq!(breakers.wait(&m, now), None);
}

#[test]
fn a_failed_trial_opens_it_again() {
    let (breakers, m, now) = waiting();
    fail(&breakers, &m, 1, now);
    assert_eq!(breakers.wait(&m, now), Some(OPEN_FOR));
}

#[test]
fn a_trial_that_says_nothing_gives_back_its_place_if_it_still_has_it() {
    let (breakers, m, now) = waiting();
    drop(breakers.pass(&m, now).unwrap());
    let hanging = breakers.pass(&m, now).unwrap();
    assert_eq!(breakers.wait(&m, now), Some(TRIAL));
    let now = now + TRIAL;
    let next = breakers.pass(&m, now).unwrap();
    drop(hanging);
    assert!(breakers.pass(&m, now).is_err(), "the place is the next one's");
    next.succeeded();
    assert_eq!(breakers.wait(&m, now), None);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_left_after_a_long_wait_has_failed() {
    for (timeout, waited, opens) in [(10, 4, false), (10, 5, true), (120, 29, false), (120, 30, true)] {
        let (breakers, m, _) = breakers();
        for _ in 0..2 {
            let mut call = breakers.pass(&m, Instant::now()).unwrap();
            call.waits(Duration::from_secs(timeout));
            advance(Duration::from_secs(waited)).await;
        }
        assert_eq!(breakers.wait(&m, Instant::now()).is_some(), opens, "{waited} s of {timeout}");
    }
    let (breakers, m, now) = breakers();
    for _ in 0..2 {
        let mut answered = breakers.pass(&m, now).unwrap();
        answered.waits(Duration::from_secs(10));
        answered.has_waited();
        advance(OPEN_FOR).await;
    }
    assert_eq!(breakers.wait(&m, now), None, "its answer is there");
}

#[tokio::test(start_paused = true)]
async fn a_trial_that_is_left_early_gives_back_its_place_and_after_a_long_wait_has_failed() {
    for (waited, wait) in [(4, None), (5, Some(OPEN_FOR))] {
        let (breakers, m, now) = waiting();
        advance(OPEN_FOR).await;
        let mut trial = breakers.pass(&m, now).unwrap();
        trial.waits(Duration::from_secs(10));
        advance(Duration::from_secs(waited)).await;
        drop(trial);
        assert_eq!(breakers.wait(&m, Instant::now()), wait, "{waited} s");
    }
}

#[test]
fn a_trial_that_was_overtaken_counts_as_any() {
    let (breakers, m, now) = waiting();
    let hanging = breakers.pass(&m, now).unwrap();
    let now = now + TRIAL;
    let next = breakers.pass(&m, now).unwrap();
    hanging.failed(now);
    assert_eq!(breakers.wait(&m, now), Some(OPEN_FOR));
    next.failed(now + TRIAL / 2);
    assert_eq!(breakers.wait(&m, now + TRIAL / 2), Some(OPEN_FOR), "from the last failure on");

    for streams in [false, true] {
        let (breakers, m, now) = waiting();
        let mut slow = breakers.pass(&m, now).unwrap();
        let next = breakers.pass(&m, now + TRIAL).unwrap();
        if streams {
            slow.began()
        } else {
            slow.succeeded()
        }
        assert_eq!(breakers.wait(&m, now + TRIAL), None);
        drop(next);
        assert_eq!(breakers.wait(&m, now + TRIAL), None);
    }
}

#[test]
fn a_trial_that_streams_closes_it_and_one_more_failure_opens_it_until_one_is_answered() {
    for other in ["answered", "broken", "the trial broken"] {
        let (breakers, m, now) = waiting();
        let mut trial = breakers.pass(&m, now).unwrap();
        trial.began();
        let mut beside = breakers.pass(&m, now).unwrap();
        beside.began();
        match other {
            "answered" => beside.succeeded(),
            "broken" => beside.failed(now),
            _ => trial.failed(now),
        }
        assert_eq!(breakers.wait(&m, now).is_none(), other == "answered", "{other}");
        if other == "answered" {
            trial.failed(now);
            assert_eq!(breakers.wait(&m, now), None, "one failure of two");
        }
    }
}

#[test]
fn a_stream_that_was_a_trial_closes_nothing_that_opened_since() {
    let (breakers, m, now) = waiting();
    let mut trial = breakers.pass(&m, now).unwrap();
    trial.began();
    fail(&breakers, &m, 1, now);
    trial.succeeded();
    assert_eq!(breakers.wait(&m, now), Some(OPEN_FOR));
}

#[test]
fn what_began_before_it_opened_neither_closes_it_nor_keeps_it_open() {
    let (breakers, m, begun) = breakers();
    let old: Vec<_> = (0..6).map(|_| breakers.pass(&m, begun).unwrap()).collect();
    fail(&breakers, &m, 2, begun);
    old[0].succeeded();
    old[1].failed(begun + OPEN_FOR / 2);
    assert_eq!(breakers.wait(&m, begun), Some(OPEN_FOR));
    let now = begun + OPEN_FOR;
    let trial = breakers.pass(&m, now).unwrap();
    old[2].succeeded();
    old[3].failed(now);
    assert_eq!(breakers.wait(&m, now), Some(TRIAL), "the trial is on its way");
    trial.succeeded();
    assert_eq!(breakers.wait(&m, now), None);
}

#[test]
fn failures_from_before_the_trial_that_closed_it_say_nothing_new() {
    for streams in [false, true] {
        let (breakers, m, begun) = breakers();
        let old: Vec<_> = (0..4).map(|_| breakers.pass(&m, begun).unwrap()).collect();
        fail(&breakers, &m, 2, begun);
        let now = begun + OPEN_FOR;
        let hanging = breakers.pass(&m, now).unwrap();
        let now = now + TRIAL;
        let mut trial = breakers.pass(&m, now).unwrap();
        if streams {
            trial.began()
        } else {
            trial.succeeded()
        }
        // However many were answered since.
        (0..3).for_each(|_| breakers.pass(&m, now).unwrap().succeeded());
        old.iter().chain([&hanging]).for_each(|call| call.failed(now));
        assert_eq!(breakers.wait(&m, now), None);
        fail(&breakers, &m, 2, now);
        assert_eq!(breakers.wait(&m, now), Some(OPEN_FOR), "what began behind it counts");
    }
}

#[test]
fn open_is_what_lets_nothing_pass_now() {
    let (breakers, m, now) = breakers();
    fail(&breakers, &m, 1, now);
    assert_eq!(breakers.open(now), 0);
    fail(&breakers, &m, 1, now);
    assert_eq!(breakers.open(now), 1);
    let now = now + OPEN_FOR;
    assert_eq!(breakers.open(now), 0, "nobody asked meanwhile");
    let trial = breakers.pass(&m, now).unwrap();
    assert_eq!(breakers.open(now), 1, "the trial is on its way");
    trial.succeeded();
    assert_eq!(breakers.open(now), 0);
}

/// One of many circuits of a tenant.
fn nth(breakers: &Breakers, number: usize, tenant: &str) -> Circuit {
    breakers.circuit(&format!("m{number}"), Task::Chat, Some(tenant))
}

#[test]
fn the_table_is_bounded_and_what_opens_soonest_makes_room() {
    let (breakers, _, mut now) = breakers();
    for number in 0..2 * CIRCUITS {
        fail(&breakers, &nth(&breakers, number, "a"), 2, now);
        now += Duration::from_millis(1);
    }
    assert_eq!(breakers.lock().len(), CIRCUITS);
    for (number, passes) in [(0, true), (CIRCUITS - 1, true), (CIRCUITS, false), (2 * CIRCUITS - 1, false)] {
        assert_eq!(breakers.wait(&nth(&breakers, number, "a"), now).is_none(), passes, "{number}");
    }
}

#[test]
fn more_circuits_than_are_kept_fail_in_turn_and_almost_all_of_them_open() {
    let (breakers, _, now) = breakers();
    let circuits: Vec<_> = (0..CIRCUITS + 10).map(|number| nth(&breakers, number, "a")).collect();
    for _ in 0..2 {
        circuits.iter().filter_map(|circuit| breakers.pass(circuit, now).ok()).for_each(|call| call.failed(now));
    }
    // Each of the ten, at both turns, takes the place of one, which may take the place of another.
    assert!(breakers.open(now) > CIRCUITS * 3 / 4, "{}", breakers.open(now));
}

#[test]
fn one_that_lets_calls_pass_makes_room_before_one_that_does_not() {
    let (breakers, _, now) = breakers();
    for number in 0..CIRCUITS / 2 {
        fail(&breakers, &nth(&breakers, number, "a"), 2, now);
    }
    for number in CIRCUITS / 2..CIRCUITS + 100 {
        fail(&breakers, &nth(&breakers, number, "a"), 1, now + MOMENT);
    }
    assert_eq!(breakers.lock().len(), CIRCUITS);
    assert_eq!(breakers.open(now + MOMENT), CIRCUITS / 2);
    // Their time is up, and nobody has asked since.
    let later = now + OPEN_FOR;
    for number in 2 * CIRCUITS..3 * CIRCUITS {
        fail(&breakers, &nth(&breakers, number, "a"), 2, later);
    }
    assert_eq!(breakers.open(later), CIRCUITS);
}

#[test]
fn one_that_recovered_makes_room_before_one_that_fails() {
    let (breakers, m, now) = waiting();
    breakers.pass(&m, now).unwrap().succeeded();
    for number in 0..CIRCUITS {
        fail(&breakers, &nth(&breakers, number, "a"), 1, now);
    }
    assert!(!breakers.lock().contains_key(&m));
    assert!((0..CIRCUITS).all(|number| breakers.lock().contains_key(&nth(&breakers, number, "a"))));
}

#[test]
fn no_tenants_failures_push_out_anothers_breakers() {
    let (breakers, now) = (of(Tenants::Known), Instant::now());
    fail(&breakers, &nth(&breakers, 0, "b"), 2, now);
    fail(&breakers, &nth(&breakers, 1, "b"), 1, now);
    for number in 0..2 * CIRCUITS {
        fail(&breakers, &nth(&breakers, number, "a"), 2, now + MOMENT);
    }
    assert_eq!(breakers.lock().len(), CIRCUITS + 2);
    assert!(breakers.wait(&nth(&breakers, 0, "b"), now).is_some());
    fail(&breakers, &nth(&breakers, 1, "b"), 1, now);
    assert!(breakers.wait(&nth(&breakers, 1, "b"), now).is_some());
}
