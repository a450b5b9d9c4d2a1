use super::*;

const SECOND: i64 = 1_000_000;

fn filled(count: usize) -> Lane<usize> {
    let mut lane = Lane::new(4);
    (0..count).for_each(|number| lane.push(number, 0));
    lane
}

#[test]
fn a_rate_is_kept_however_much_is_there_and_however_quick_the_receiver_is() {
    for rate in [1, 7, 60, 120, 6_000] {
        let mut lane = filled(1_000);
        lane.set_rates([Rate::per_minute(rate)]);
        lane.succeeded(0);
        let mut sent = Vec::new();
        for now in (0..180 * SECOND).step_by(1_000) {
            for _ in 0..5 {
                if lane.take_ready(now).is_some() {
                    lane.succeeded(now);
                    lane.push(0, now);
                    sent.push(now);
                }
            }
        }
        let in_a_minute = |from: usize| {
            let until = sent[from] + 60 * SECOND;
            sent.partition_point(|at| *at < until) - from
        };
        let most = (0..sent.len()).map(in_a_minute).max().unwrap();
        let rate = rate as usize;
        // A second's worth may have been saved up.
        assert!(most <= rate + rate / 60 + 1, "{most} of {rate}");
        assert!(
            sent.len() + rate / 10 + 1 >= 3 * rate,
            "{} of {rate} a minute",
            sent.len()
        );
    }
}

#[test]
fn what_a_rate_lets_go_of_in_over_a_second_is_spilled_once() {
    let rate = || [Rate::parse("rate_limit", "10/s").unwrap()];
    let mut short = filled(11);
    short.set_rates(rate());
    assert!(!short.must_spill(0));
    for set in [Lane::set_rates, Lane::set_shared_rates] {
        let mut long = filled(12);
        set(&mut long, rate());
        assert!(long.must_spill(0));
        let spilled: Vec<usize> = long.spill().collect();
        // It comes back from pending.
        for delivery in spilled {
            long.push(delivery, 0);
        }
        assert!(!long.must_spill(0));
    }
}

#[test]
fn lanes_that_are_due_all_the_time_keep_no_other_from_its_turn() {
    // Each lane is due again as soon as it had its turn.
    let mut due_since: Vec<i64> = vec![0; 100];
    let mut turns = vec![0; 100];
    for now in 1..=25 {
        let lanes = due_since.iter().copied().zip(0..);
        for lane in first_due(lanes, 16) {
            due_since[lane as usize] = now;
            turns[lane as usize] += 1;
        }
    }
    assert!(
        turns.iter().all(|turns| (3..=5).contains(turns)),
        "{turns:?}"
    );
}

#[test]
fn an_unproven_lane_sends_one_request_at_a_time() {
    let mut lane = filled(3);
    assert_eq!(lane.take_ready(0), Some(0));
    assert_eq!(lane.take_ready(0), None);
    lane.failed(false, None);
    assert_eq!(lane.take_ready(0), Some(1));
    assert_eq!(lane.take_ready(0), None);
}

#[test]
fn a_success_opens_the_lane_to_its_concurrency_for_a_minute() {
    let mut lane = filled(10);
    lane.take_ready(0);
    lane.succeeded(0);
    assert_eq!(std::iter::from_fn(|| lane.take_ready(SECOND)).count(), 4);
    assert_eq!(lane.concurrency(61 * SECOND), 1);
}

#[test]
fn throttling_halves_until_ten_successes() {
    let mut lane = filled(0);
    lane.succeeded(0);
    lane.failed(true, None);
    assert_eq!(lane.concurrency(1), 2);
    lane.failed(true, None);
    assert_eq!(lane.concurrency(1), 1);
    (0..9).for_each(|_| lane.succeeded(0));
    assert_eq!(lane.concurrency(1), 1);
    lane.succeeded(0);
    assert_eq!(lane.concurrency(1), 4);
}

#[test]
fn retry_after_stops_the_whole_lane_until_then() {
    let mut lane = filled(2);
    lane.take_ready(0);
    lane.failed(false, Some(5 * SECOND));
    assert_eq!(lane.take_ready(4 * SECOND), None);
    assert!(lane.must_spill(1));
    assert_eq!(lane.take_ready(5 * SECOND), Some(1));
}

#[test]
fn a_held_lane_sends_nothing_and_spills() {
    let mut lane = filled(2);
    lane.configure(4, true);
    assert_eq!(lane.take_ready(0), None);
    assert!(lane.must_spill(0));
    assert_eq!(lane.spill().collect::<Vec<_>>(), [0, 1]);
    assert!(lane.is_spilled() && lane.is_empty());
    lane.unspill();
    lane.configure(4, true);
    lane.configure(4, false);
    assert!(lane.is_spilled());
}

#[test]
fn a_queue_spills_when_its_receiver_took_nothing_for_a_second_of_what_it_was_sent() {
    let mut lane = filled(4);
    lane.take_ready(0);
    assert!(!lane.must_spill(SECOND));
    assert!(lane.must_spill(SECOND + 1));
    lane.failed(false, None);
    assert!(lane.must_spill(SECOND + 1));
    lane.take_ready(SECOND);
    lane.succeeded(SECOND);
    assert!(!lane.must_spill(9 * SECOND) && lane.is_slow(9 * SECOND));
}

#[test]
fn a_queue_that_waits_for_a_thread_does_not_spill() {
    let mut lane = filled(1);
    assert!(lane.is_slow(9 * SECOND) && !lane.must_spill(9 * SECOND));
    lane.take_ready(9 * SECOND);
    lane.push(1, 9 * SECOND);
    assert!(!lane.must_spill(10 * SECOND));
    assert!(lane.must_spill(10 * SECOND + 1));
}

#[test]
fn a_queue_spills_whose_other_requests_are_not_answered() {
    let mut lane = filled(9);
    lane.succeeded(0);
    while lane.take_ready(0).is_some() {}
    lane.succeeded(SECOND);
    assert!(!lane.must_spill(2 * SECOND));
    assert!(lane.must_spill(2 * SECOND + 1));
}

#[test]
fn a_queue_flows_while_its_receiver_takes_something() {
    let mut lane = filled(3);
    assert!(!lane.is_flowing(0));
    lane.take_ready(0);
    lane.failed(false, None);
    assert!(!lane.is_flowing(0));
    lane.take_ready(0);
    lane.succeeded(0);
    assert!(lane.is_flowing(SECOND / 2));
    assert!(!lane.is_flowing(SECOND + 1));
    lane.take_ready(0);
    assert!(!lane.is_flowing(SECOND / 2));
}

#[test]
fn only_a_lane_that_was_busy_a_moment_ago_starves() {
    let mut lane = filled(1);
    assert!(!lane.is_starving(0));
    lane.take_ready(0);
    assert!(!lane.is_starving(0));
    lane.succeeded(0);
    assert!(lane.is_starving(SECOND / 2));
    assert!(!lane.is_starving(2 * SECOND));
    let mut unused = Lane::<()>::new(1);
    assert!(unused.is_idle() && !unused.is_starving(0));
    unused.configure(1, true);
    assert!(!unused.is_idle());
}
