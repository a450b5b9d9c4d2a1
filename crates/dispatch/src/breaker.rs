//! The breaker of a lane: whether its receiver counts as down, by what its attempts showed lately.
//!
//! Closed, it counts. Open, it lets nothing through but one probe at a time. It has no clock: the caller passes `now` in
//! microseconds.

use herald_core::subscription::breaker::BreakerPolicy;

/// Failed probes are told at most this often, in microseconds.
const TOLD_EVERY: i64 = 60_000_000;
/// The window is counted in so many parts.
const PARTS: i64 = 10;

/// A breaker.
///
/// ```
/// use herald_core::subscription::breaker::BreakerPolicy;
/// use herald_dispatch::breaker::{Breaker, Turn};
///
/// let policy = BreakerPolicy { failures: 2, probe: 10_000_000, ..BreakerPolicy::default() };
/// let mut breaker = Breaker::new(policy, None);
/// assert_eq!(breaker.saw(true, 0), None);
/// assert_eq!(breaker.saw(true, 0), Some(Turn::Opened));
/// assert_eq!(breaker.shut_until(0), Some(10_000_000));
/// assert_eq!(breaker.saw(false, 10_000_000), Some(Turn::Closed));
/// ```
#[derive(Debug, Clone)]
pub struct Breaker {
    policy: BreakerPolicy,
    /// Attempts and failures in the parts of the window, with the number of each part.
    parts: Vec<(i64, u32, u32)>,
    open: Option<Open>,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    since: i64,
    /// When an attempt last failed.
    failed_at: i64,
    /// When that was last told.
    told_at: i64,
}

/// What an attempt changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    Opened,
    Closed,
    /// A probe failed, which was not told for a minute.
    Probed,
    /// It was open for as long as the policy allows: the subscription has to be disabled.
    GivesUp,
}

impl Breaker {
    /// Returns a closed breaker, or one that has been open since then and probes at once.
    pub fn new(policy: BreakerPolicy, open_since: Option<i64>) -> Self {
        Self {
            policy,
            parts: Vec::new(),
            open: open_since.map(|since| Open {
                since,
                failed_at: i64::MIN,
                told_at: i64::MIN,
            }),
        }
    }

    pub fn policy(&self) -> &BreakerPolicy {
        &self.policy
    }

    /// Applies another policy. An open breaker stays open.
    pub fn set_policy(&mut self, policy: BreakerPolicy) {
        self.policy = policy;
    }

    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Returns since when it is open.
    pub fn open_since(&self) -> Option<i64> {
        self.open.map(|open| open.since)
    }

    /// Returns until when nothing may be sent; `None` if something may be sent now, if only a probe. A clock that was set
    /// back does not keep it shut.
    pub fn shut_until(&self, now: i64) -> Option<i64> {
        let failed_at = self.open?.failed_at;
        let until = failed_at.saturating_add(self.policy.probe);
        (failed_at <= now && now < until).then_some(until)
    }

    /// Counts an attempt that shows whether the receiver is down, and returns what that changes. Of an open breaker, any
    /// success closes it, whether it was a probe or not.
    pub fn saw(&mut self, is_down: bool, now: i64) -> Option<Turn> {
        match (&self.open, is_down) {
            (None, _) => {
                self.count(is_down, now);
                // A success opens nothing, even if older ones have just left the window.
                if !is_down || !self.is_down() {
                    return None;
                }
                self.parts.clear();
                self.open = Some(Open {
                    since: now,
                    failed_at: now,
                    told_at: now,
                });
                Some(Turn::Opened)
            }
            (Some(_), false) => {
                self.open = None;
                Some(Turn::Closed)
            }
            (Some(open), true) => {
                let open = *open;
                let was_due = self.shut_until(now).is_none();
                let is_news = was_due && now.saturating_sub(open.told_at) >= TOLD_EVERY;
                self.open = Some(Open {
                    failed_at: now,
                    told_at: if is_news { now } else { open.told_at },
                    ..open
                });
                let lasted = now.saturating_sub(open.since);
                let longest = self.policy.disable_after;
                // It was tried shortly before, too: nothing is disabled by one failure after a pause.
                let recently = now.saturating_sub(self.policy.probe.saturating_mul(4));
                let is_over = longest.is_some_and(|longest| lasted >= longest);
                if was_due && is_over && open.failed_at >= recently {
                    return Some(Turn::GivesUp);
                }
                is_news.then_some(Turn::Probed)
            }
        }
    }

    fn count(&mut self, is_down: bool, now: i64) {
        let part = now.div_euclid(self.policy.window / PARTS);
        // Also drops those of the future, before the clock was set back.
        self.parts
            .retain(|(number, ..)| (part - PARTS + 1..=part).contains(number));
        match self.parts.last_mut() {
            Some((number, all, failures)) if *number == part => {
                *all = all.saturating_add(1);
                *failures = failures.saturating_add(is_down.into());
            }
            _ => self.parts.push((part, 1, is_down.into())),
        }
    }

    /// Returns whether the receiver counts as down, by the attempts of the window.
    fn is_down(&self) -> bool {
        let all: u64 = self.parts.iter().map(|(_, all, _)| u64::from(*all)).sum();
        let failures: u64 = self
            .parts
            .iter()
            .map(|(.., failures)| u64::from(*failures))
            .sum();
        failures >= u64::from(self.policy.failures)
            && failures as f64 >= self.policy.ratio * all as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    /// Returns a policy with so many failures, a probe each ten seconds, and the other defaults.
    fn policy(failures: u32) -> BreakerPolicy {
        BreakerPolicy {
            failures,
            probe: 10 * SECOND,
            ..BreakerPolicy::default()
        }
    }

    #[test]
    fn it_opens_by_a_number_and_a_part_of_failures_in_the_window() {
        for (successes, expected) in [(0, true), (3, true), (4, false)] {
            let mut breaker = Breaker::new(policy(3), None);
            for _ in 0..successes {
                breaker.saw(false, 0);
            }
            for _ in 0..3 {
                breaker.saw(true, SECOND);
            }
            assert_eq!(breaker.is_open(), expected, "{successes}");
        }
    }

    #[test]
    fn a_success_opens_nothing_when_older_ones_leave_the_window() {
        let mut breaker = Breaker::new(policy(3), None);
        for _ in 0..4 {
            breaker.saw(false, 0);
        }
        for _ in 0..3 {
            breaker.saw(true, 30 * SECOND);
        }
        assert_eq!(breaker.saw(false, 70 * SECOND), None);
        assert_eq!(breaker.saw(true, 70 * SECOND), Some(Turn::Opened));
    }

    #[test]
    fn failures_before_the_window_do_not_count() {
        let mut breaker = Breaker::new(policy(3), None);
        breaker.saw(true, 0);
        breaker.saw(true, 59 * SECOND);
        breaker.saw(true, 61 * SECOND);
        assert!(!breaker.is_open());
        breaker.saw(true, 62 * SECOND);
        assert!(breaker.is_open());
    }

    #[test]
    fn a_failed_probe_waits_for_the_next_and_a_success_closes() {
        let mut breaker = Breaker::new(policy(1), None);
        assert_eq!(breaker.saw(true, 0), Some(Turn::Opened));
        assert_eq!(breaker.shut_until(9 * SECOND), Some(10 * SECOND));
        assert_eq!(breaker.shut_until(10 * SECOND), None);
        assert_eq!(breaker.saw(true, 11 * SECOND), None);
        assert_eq!(breaker.shut_until(20 * SECOND), Some(21 * SECOND));
        assert_eq!(breaker.saw(true, 60 * SECOND), Some(Turn::Probed));
        // One that was under way when it opened.
        assert_eq!(breaker.saw(true, 61 * SECOND), None);
        assert_eq!(breaker.saw(false, 80 * SECOND), Some(Turn::Closed));
        assert_eq!(breaker.shut_until(0), None);
        // It begins to count anew.
        assert!(!breaker.is_open());
        assert_eq!(breaker.saw(true, 81 * SECOND), Some(Turn::Opened));
    }

    #[test]
    fn what_is_open_for_too_long_is_given_up_also_after_a_restart() {
        let policy = BreakerPolicy {
            disable_after: Some(60 * SECOND),
            ..policy(1)
        };
        let mut first = Breaker::new(policy, None);
        first.saw(true, 0);
        assert_eq!(first.saw(true, 50 * SECOND), None);
        assert_eq!(first.saw(true, 60 * SECOND), Some(Turn::GivesUp));
        let mut restored = Breaker::new(policy, Some(0));
        assert_eq!(restored.shut_until(5 * SECOND), None);
        assert_eq!(restored.saw(true, 3_600 * SECOND), Some(Turn::Probed));
        assert_eq!(restored.saw(true, 3_610 * SECOND), Some(Turn::GivesUp));
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_keep_it_shut() {
        let mut breaker = Breaker::new(policy(2), None);
        breaker.saw(true, 3_600 * SECOND);
        breaker.saw(true, 0);
        assert!(!breaker.is_open(), "failures of the future do not count");
        breaker.saw(true, 3_600 * SECOND);
        breaker.saw(true, 3_600 * SECOND);
        assert_eq!(breaker.shut_until(0), None);
        breaker.saw(true, 0);
        assert_eq!(breaker.shut_until(0), Some(10 * SECOND));
    }
}
