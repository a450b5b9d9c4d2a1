//! Conditions with a deadline, the only way in which a test may wait.
//!
//! [`eventually`] is for tests and panics with what was awaited; [`within`] is for callers that continue without it.

use std::fmt::Debug;
use std::thread;
use std::time::{Duration, Instant};

/// The pause between two checks of a condition: short at first, so that quick things stay quick.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Asks until the condition answers; panics with `what` after the deadline.
///
/// Asks at least once, even with a deadline of zero.
#[track_caller]
pub fn eventually<T>(deadline: Duration, what: &str, condition: impl FnMut() -> Option<T>) -> T {
    match within(deadline, condition) {
        Some(answer) => answer,
        None => panic!("timed out after {deadline:?} waiting for {what}"),
    }
}

/// Looks at a state until `holds` is true; panics with `what` and the last state after the deadline.
#[track_caller]
pub fn eventually_holds<S: Debug>(
    deadline: Duration,
    what: &str,
    mut look: impl FnMut() -> S,
    mut holds: impl FnMut(&S) -> bool,
) -> S {
    let mut last = None;
    let answer = within(deadline, || {
        let state = look();
        if holds(&state) {
            return Some(state);
        }
        last = Some(state);
        None
    });
    match (answer, last) {
        (Some(state), _) => state,
        (None, Some(last)) => {
            panic!("timed out after {deadline:?} waiting for {what}; the last state was {last:#?}")
        }
        (None, None) => unreachable!("a condition is looked at at least once"),
    }
}

/// Asks until the condition answers or the deadline has passed.
pub fn within<T>(deadline: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + deadline;
    let mut pause = FIRST_PAUSE;
    loop {
        if let Some(answer) = condition() {
            return Some(answer);
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        thread::sleep(pause.min(left));
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_that_comes_true_ends_the_wait() {
        let mut asked = 0;
        let answer = eventually(Duration::from_secs(5), "the third question", || {
            asked += 1;
            (asked == 3).then_some("yes")
        });
        assert_eq!((answer, asked), ("yes", 3));
    }

    #[test]
    fn a_deadline_of_zero_still_asks_once() {
        assert_eq!(within(Duration::ZERO, || Some(1)), Some(1));
        assert_eq!(within(Duration::ZERO, || None::<u8>), None);
    }

    #[test]
    #[should_panic(expected = "waiting for a pig that flies; the last state was \"on the ground\"")]
    fn a_vain_wait_names_what_was_awaited_and_the_last_state() {
        eventually_holds(
            Duration::from_millis(5),
            "a pig that flies",
            || "on the ground",
            |_| false,
        );
    }
}
