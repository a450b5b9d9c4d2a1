//! Tests the retry policy by tables: outcome in, decision out.

use super::*;
use crate::attempt::outcome::ErrorClass;

const NOW: i64 = 1_767_323_045_000_000;

fn answered(status: u16, retry_after: Option<&str>) -> Outcome {
    Outcome::answered(
        status,
        Duration::ZERO,
        retry_after.map(str::to_owned),
        String::new(),
    )
}

fn failed(class: ErrorClass) -> Outcome {
    Outcome::failed(class, "", Duration::ZERO)
}

fn decide_first(outcome: &Outcome) -> Decision {
    decide(outcome, &RetryPolicy::default(), 1, 0, NOW, 0.5)
}

fn retry(throttle: bool) -> Decision {
    Decision::Retry {
        at_micros: NOW + 5_000_000,
        next_step: 1,
        throttle,
        lane_delay_until: None,
    }
}

#[test]
fn each_outcome_has_its_decision() {
    let cases = [
        (answered(200, None), Decision::Delivered),
        (answered(202, None), Decision::Delivered),
        (answered(204, None), Decision::Delivered),
        (answered(301, None), retry(false)),
        (answered(304, None), retry(false)),
        (answered(400, None), retry(false)),
        (answered(401, None), retry(false)),
        (answered(404, None), retry(false)),
        (answered(410, None), Decision::Disable),
        (answered(413, None), retry(false)),
        (answered(429, None), retry(true)),
        (answered(500, None), retry(false)),
        (answered(501, None), retry(false)),
        (answered(502, None), retry(true)),
        (answered(503, None), retry(true)),
        (answered(504, None), retry(true)),
        (failed(ErrorClass::Dns), retry(false)),
        (failed(ErrorClass::Connect), retry(false)),
        (failed(ErrorClass::Tls), retry(false)),
        (failed(ErrorClass::Timeout), retry(false)),
        (failed(ErrorClass::Blocked), retry(false)),
        (
            failed(ErrorClass::Template),
            Decision::Bury(DeadReason::Poison),
        ),
        (failed(ErrorClass::Internal), retry(false)),
        (
            failed(ErrorClass::TooLarge),
            Decision::Bury(DeadReason::TooLarge),
        ),
    ];
    for (outcome, expected) in cases {
        assert_eq!(decide_first(&outcome), expected, "{outcome:?}");
    }
}

#[test]
fn the_default_schedule_gives_ten_attempts_over_75_hours() {
    let mut now = 0;
    let mut attempts = 1;
    loop {
        match decide(
            &answered(500, None),
            &RetryPolicy::default(),
            attempts,
            attempts - 1,
            now,
            0.5,
        ) {
            Decision::Retry {
                at_micros,
                next_step,
                ..
            } => {
                assert_eq!(next_step, attempts);
                (now, attempts) = (at_micros, attempts + 1);
            }
            decision => {
                assert_eq!(decision, Decision::Bury(DeadReason::Exhausted));
                break;
            }
        }
    }
    assert_eq!((attempts, now / 1_000_000), (10, (75 * 60 + 35) * 60 + 5));
}

#[test]
fn max_attempts_caps_the_schedule_and_a_410_still_disables() {
    let once = RetryPolicy {
        max_attempts: Some(1),
        ..RetryPolicy::default()
    };
    assert_eq!(
        decide(&answered(500, None), &once, 1, 0, NOW, 0.5),
        Decision::Bury(DeadReason::Exhausted)
    );
    assert_eq!(
        decide(&answered(410, None), &once, 1, 0, NOW, 0.5),
        Decision::Disable
    );
    assert_eq!(
        decide(&answered(200, None), &once, 1, 0, NOW, 0.5),
        Decision::Delivered
    );
}

#[test]
fn a_redelivery_runs_through_the_whole_schedule_again() {
    let decision = decide(
        &answered(500, None),
        &RetryPolicy::default(),
        11,
        0,
        NOW,
        0.5,
    );
    assert_eq!(decision, retry(false));
}

#[test]
fn retry_after_delays_the_delivery_and_the_lane() {
    let hour = 3_600_000_000;
    let cases = [
        ("3600", Some(hour)),
        (" 3600 ", Some(hour)),
        ("Fri, 02 Jan 2026 04:04:05 GMT", Some(hour)),
        ("Friday, 02-Jan-26 04:04:05 GMT", Some(hour)),
        ("99999999999999999999999999", Some(24 * hour)),
        ("172800", Some(24 * hour)),
        ("Fri, 31 Dec 9999 23:59:59 GMT", Some(24 * hour)),
        ("0", None),
        ("-5", None),
        ("1.5", None),
        ("", None),
        ("soon", None),
        ("Fri, 02 Jan 2026 02:04:05 GMT", None),
        ("Fri, 99 Jan 2026 02:04:05 GMT", None),
    ];
    for (text, expected) in cases {
        let lane_delay_until = expected.map(|delay| NOW + delay);
        let at_micros = lane_delay_until.unwrap_or(NOW + 5_000_000);
        let expected = Decision::Retry {
            at_micros,
            next_step: 1,
            throttle: true,
            lane_delay_until,
        };
        assert_eq!(
            decide_first(&answered(503, Some(text))),
            expected,
            "{text:?}"
        );
    }
}

#[test]
fn retry_after_never_shortens_the_schedule() {
    let decision = decide(
        &answered(503, Some("1")),
        &RetryPolicy::default(),
        2,
        1,
        NOW,
        0.5,
    );
    let Decision::Retry {
        at_micros,
        lane_delay_until,
        ..
    } = decision
    else {
        panic!("{decision:?}")
    };
    assert_eq!(
        (at_micros, lane_delay_until),
        (NOW + 300_000_000, Some(NOW + 1_000_000))
    );
}

#[test]
fn retry_after_of_a_success_is_ignored() {
    assert_eq!(lane_delay_until(&answered(200, Some("60")), NOW), None);
}

#[test]
fn jitter_moves_a_delay_in_both_directions_and_never_into_the_past() {
    let policy = RetryPolicy {
        jitter: 0.1,
        ..RetryPolicy::default()
    };
    let wild = RetryPolicy {
        jitter: 1.0,
        ..RetryPolicy::default()
    };
    let cases = [
        (&policy, 0.0, 4_500_000),
        (&policy, 0.5, 5_000_000),
        (&policy, 1.0, 5_500_000),
        (&policy, f64::NAN, 5_000_000),
        (&policy, -7.0, 4_500_000),
        (&policy, f64::INFINITY, 5_500_000),
        (&wild, 0.0, 0),
        (&wild, 1.0, 10_000_000),
    ];
    for (policy, random01, expected) in cases {
        assert_eq!(
            policy.delay_micros(0, false, random01),
            Some(expected),
            "{random01}"
        );
    }
}

#[test]
fn the_end_of_time_is_not_passed() {
    let decision = decide(
        &answered(503, Some("9")),
        &RetryPolicy::default(),
        1,
        0,
        i64::MAX - 1,
        0.5,
    );
    assert!(matches!(
        decision,
        Decision::Retry {
            at_micros: i64::MAX,
            ..
        }
    ));
}

#[test]
fn options_outside_their_limits_are_refused() {
    let second = 1_000_000;
    assert!(RetryPolicy::new(&[second; 100], 1.0, Some(1000)).is_ok());
    assert!(RetryPolicy::new(&[30 * 86_400 * second], 0.0, Some(1)).is_ok());
    for schedule in [
        &[][..],
        &[5, 0],
        &[-second],
        &[second, i64::MIN],
        &[30 * 86_400 * second + 1],
        &[second; 101],
    ] {
        assert!(
            RetryPolicy::new(schedule, 0.1, None).is_err(),
            "{schedule:?}"
        );
    }
    for jitter in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
        assert!(
            RetryPolicy::new(&[second], jitter, None).is_err(),
            "{jitter}"
        );
    }
    for attempts in [i32::MIN, -1, 0, 1001] {
        assert!(
            RetryPolicy::new(&[second], 0.1, Some(attempts)).is_err(),
            "{attempts}"
        );
    }
}

#[test]
fn intervals_are_named_in_their_largest_exact_unit() {
    let cases = [
        (0, "0 us"),
        (-1_000_000, "-1 s"),
        (90_000_000, "90 s"),
        (86_400_000_000 * 31, "31 days"),
        (1_500, "1500 us"),
    ];
    for (micros, expected) in cases {
        assert_eq!(interval_text(micros), expected);
    }
}

/// Plays a receiver that repeats these outcomes in turn. Returns the delays in seconds, and the end.
fn play(policy: &RetryPolicy, outcomes: &[Outcome]) -> (Vec<i64>, Decision) {
    let mut delays = Vec::new();
    for (made, outcome) in (0..).zip(outcomes.iter().cycle()) {
        let outcome = outcome.clone().judged_by(policy.success.as_deref());
        match decide(&outcome, policy, made + 1, made, NOW, 0.9) {
            Decision::Retry { at_micros, .. } => delays.push((at_micros - NOW) / 1_000_000),
            decision => return (delays, decision),
        }
    }
    unreachable!("every policy comes to an end")
}

fn policy(seconds: &[i64], max_attempts: Option<i32>) -> RetryPolicy {
    let micros: Vec<i64> = seconds.iter().map(|seconds| seconds * 1_000_000).collect();
    RetryPolicy::new(&micros, 0.0, max_attempts).unwrap()
}

#[test]
fn the_schedules_of_real_systems_are_kept_to_the_second() {
    let exhausted = Decision::Bury(DeadReason::Exhausted);
    let error = [answered(500, None)];
    // Six retries; four attempts in the smallest plan; another delay after a timeout; no retry after any other 4xx.
    let server_errors = [429, 500, 502, 503, 504];
    let six = policy(&[1, 5, 30, 300, 1_800, 7_200], None)
        .with_statuses(None, Some(&server_errors))
        .unwrap()
        .with_timeout_delay(Some(60_000_000))
        .unwrap();
    assert_eq!(
        play(&six, &error),
        (vec![1, 5, 30, 300, 1_800, 7_200], exhausted)
    );
    let starter = RetryPolicy {
        max_attempts: Some(4),
        ..six.clone()
    };
    assert_eq!(play(&starter, &error), (vec![1, 5, 30], exhausted));
    let timeout = failed(ErrorClass::Timeout);
    let once_late = [timeout, answered(500, None), answered(404, None)];
    assert_eq!(
        play(&six, &once_late),
        (vec![60, 5], Decision::Bury(DeadReason::PermanentStatus))
    );
    // Three attempts, doubled; statuses for success and for retry by name.
    let three = policy(&[2, 4], None)
        .with_statuses(
            Some(&[200, 201, 202, 204]),
            Some(&[408, 429, 500, 502, 503, 504]),
        )
        .unwrap();
    assert_eq!(play(&three, &error), (vec![2, 4], exhausted));
    for (status, decision) in [
        (201, Decision::Delivered),
        (203, Decision::Bury(DeadReason::PermanentStatus)),
        (400, Decision::Bury(DeadReason::PermanentStatus)),
        (410, Decision::Disable),
    ] {
        assert_eq!(play(&three, &[answered(status, None)]), (vec![], decision));
    }
    let at_once = policy(&[0, 5, 10, 20, 40], None);
    assert_eq!(play(&at_once, &error), (vec![0, 5, 10, 20, 40], exhausted));
    let doubled = policy(&[1, 2, 4, 8, 16], None);
    assert_eq!(play(&doubled, &error), (vec![1, 2, 4, 8, 16], exhausted));
    let steep = policy(&[1, 5, 15], None);
    assert_eq!(play(&steep, &error), (vec![1, 5, 15], exhausted));
}

#[test]
fn a_410_disables_unless_it_is_named_or_ends_its_delivery_only() {
    let gone = [answered(410, None)];
    let played = |success: Option<&[i32]>, retry_on: Option<&[i32]>, survives_gone| {
        let policy = policy(&[1], None).with_statuses(success, retry_on);
        let policy = RetryPolicy {
            survives_gone,
            ..policy.unwrap()
        };
        play(&policy, &gone)
    };
    let by_name = |success, retry_on| played(success, retry_on, false);
    let dead = (vec![], Decision::Bury(DeadReason::PermanentStatus));
    assert_eq!(played(None, None, true), dead);
    assert_eq!(played(None, Some(&[500]), true), dead);
    assert_eq!(
        played(None, Some(&[410]), true),
        by_name(None, Some(&[410]))
    );
    assert_eq!(by_name(None, None), (vec![], Decision::Disable));
    assert_eq!(by_name(None, Some(&[500])), (vec![], Decision::Disable));
    assert_eq!(
        by_name(Some(&[200, 410]), None),
        (vec![], Decision::Delivered)
    );
    assert_eq!(
        by_name(None, Some(&[410])),
        (vec![1], Decision::Bury(DeadReason::Exhausted))
    );
}

#[test]
fn statuses_that_no_final_response_has_are_refused() {
    for list in [&[][..], &[199], &[600], &[200, -1]] {
        for result in [
            RetryPolicy::default().with_statuses(Some(list), None),
            RetryPolicy::default().with_statuses(None, Some(list)),
        ] {
            let error = result.unwrap_err();
            assert!(
                error.hint().is_some() && error.detail().is_some(),
                "{list:?}"
            );
        }
    }
    assert!(RetryPolicy::new(&[0, 1], 0.0, None).is_ok());
    assert!(RetryPolicy::new(&[1, 0], 0.0, None).is_err());
    assert!(RetryPolicy::new(&[-1], 0.0, None).is_err());
}
