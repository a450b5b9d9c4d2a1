//! The steps of the worker's turn that may fail. Each has its own failures and its own pause, so that a failing step
//! does not stop the others.
//!
//! Pauses are measured by elapsed time, not by the time of day: setting the clock back must not stop a step.

use std::time::Duration;

use crate::time::{Moment, Now};

/// Pauses after failures double from the first up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// The longest pause after a step that had to wait for another session: the wait may end at any moment, and everything
/// that waits for this step waits for the pause as well.
const LONGEST_PAUSE_FOR_OTHERS: Duration = Duration::from_millis(200);

/// A step of a turn, which works with the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Continues to read the log.
    Read,
    /// Deletes notices of loaded changes.
    ForgetChanges,
    /// Claims pending deliveries that are due.
    Claim,
    /// Records how deliveries ended.
    Record,
    /// Records outcomes that another session's lock held up.
    RecordSetAside,
    /// Notes that receivers are gone.
    Note,
    /// Buries the pending deliveries of disabled and removed subscriptions.
    Bury,
    /// Buries the excess of backlogs.
    Shed,
    /// Makes scheduled deliveries due.
    Release,
    /// Cleans up data past its retention.
    House,
    /// Checks whether ALTER DATABASE or ALTER ROLE changed the worker's settings.
    Configuration,
    /// Writes the worker's report.
    Report,
}

impl Step {
    const COUNT: usize = Self::Report as usize + 1;
    /// All steps, in order.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Read,
        Self::ForgetChanges,
        Self::Claim,
        Self::Record,
        Self::RecordSetAside,
        Self::Note,
        Self::Bury,
        Self::Shed,
        Self::Release,
        Self::House,
        Self::Configuration,
        Self::Report,
    ];

    /// Returns what the step does, worded to follow "cannot".
    ///
    /// ```
    /// use herald_dispatch::steps::Step;
    ///
    /// assert_eq!(Step::Read.words(), "read the log");
    /// ```
    pub fn words(self) -> &'static str {
        match self {
            Self::Read => "read the log",
            Self::ForgetChanges => "delete notices of changes",
            Self::Claim => "claim pending deliveries",
            Self::Record => "record outcomes",
            Self::RecordSetAside => "record outcomes that were set aside",
            Self::Note => "note what receivers answered",
            Self::Bury => "bury the deliveries of ended subscriptions",
            Self::Shed => "cut backlogs to max_backlog",
            Self::Release => "release what is scheduled",
            Self::House => "clean up",
            Self::Configuration => "check the worker's settings",
            Self::Report => "write the worker's report",
        }
    }
}

/// Why a step failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It had to wait for another session.
    Others,
    /// Anything else.
    Own,
}

/// The failures and pauses of all steps.
///
/// ```
/// use herald_dispatch::steps::{Cause, Step, Steps};
/// use herald_dispatch::time::Now;
/// use std::time::Duration;
///
/// let (mut steps, now) = (Steps::default(), Now::default());
/// assert!(steps.failed(Step::Read, Cause::Own, now));
/// let later = now.after(Duration::from_millis(99));
/// assert!(steps.rests(Step::Read, later));
/// assert!(!steps.rests(Step::Record, later));
/// assert!(!steps.rests(Step::Read, now.after(Duration::from_millis(100))));
/// ```
#[derive(Debug, Default)]
pub struct Steps([Health; Step::COUNT]);

#[derive(Debug, Default)]
struct Health {
    failures: u32,
    resting_until: Option<Moment>,
}

impl Steps {
    /// Returns whether the step rests now, even if it is due.
    pub fn rests(&self, step: Step, now: Now) -> bool {
        !self.rest(step, now).is_zero()
    }

    /// Returns how long the step still rests.
    pub fn rest(&self, step: Step, now: Now) -> Duration {
        let until = self.0[step as usize].resting_until;
        until.map_or(Duration::ZERO, |until| now.until(until))
    }

    /// Ends the pauses of a step. Returns whether it had failed.
    pub fn succeeded(&mut self, step: Step) -> bool {
        let former = std::mem::take(&mut self.0[step as usize]);
        former.failures > 0
    }

    /// Counts a failure and begins a pause. Returns whether it is the first in a row; only that is logged, so that a
    /// full disk is not filled further.
    pub fn failed(&mut self, step: Step, cause: Cause, now: Now) -> bool {
        let health = &mut self.0[step as usize];
        health.failures = health.failures.saturating_add(1);
        health.resting_until = Some(now.moment + pause(health.failures, cause));
        health.failures == 1
    }
}

fn pause(failures: u32, cause: Cause) -> Duration {
    let doublings = failures.saturating_sub(1).min(10);
    let longest = match cause {
        Cause::Others => LONGEST_PAUSE_FOR_OTHERS,
        Cause::Own => LONGEST_PAUSE,
    };
    (FIRST_PAUSE * (1 << doublings)).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::at;

    fn rest_after(failures: u32, cause: Cause) -> u128 {
        let mut steps = Steps::default();
        (0..failures).for_each(|_| {
            steps.failed(Step::Record, cause, at(0));
        });
        steps.rest(Step::Record, at(0)).as_millis()
    }

    #[test]
    fn pauses_double_up_to_a_minute() {
        let rests = [1, 2, 3, 4, 10, 11, 1_000].map(|failures| rest_after(failures, Cause::Own));
        assert_eq!(rests, [100, 200, 400, 800, 51_200, 60_000, 60_000]);
    }

    #[test]
    fn a_step_that_waits_for_another_session_is_tried_five_times_a_second() {
        let rests = [1, 2, 3, 5, 1_000].map(|failures| rest_after(failures, Cause::Others));
        assert_eq!(rests, [100, 200, 200, 200, 200]);
    }

    #[test]
    fn only_the_first_failure_in_a_row_is_logged() {
        let mut steps = Steps::default();
        assert!(steps.failed(Step::House, Cause::Own, at(0)));
        assert!(!steps.failed(Step::House, Cause::Own, at(0)));
        steps.succeeded(Step::House);
        assert!(steps.failed(Step::House, Cause::Own, at(0)));
    }

    #[test]
    fn a_step_that_fails_keeps_no_other_from_its_work() {
        let mut steps = Steps::default();
        steps.failed(Step::Read, Cause::Own, at(0));
        for step in [Step::Claim, Step::Record, Step::House] {
            assert!(!steps.rests(step, at(0)));
        }
    }

    #[test]
    fn a_clock_that_is_set_back_makes_no_pause_longer() {
        let mut steps = Steps::default();
        steps.failed(Step::Read, Cause::Own, at(0));
        let set_back = Now {
            micros: at(100).micros - 3_600_000_000,
            ..at(100)
        };
        assert!(!steps.rests(Step::Read, set_back));
    }
}
