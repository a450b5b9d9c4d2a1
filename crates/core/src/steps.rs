//! The steps of the worker's turn that may fail. Each has its own failures and its own pause, so that a step which
//! cannot do its work keeps none of the others from theirs.
//!
//! It has no clock: `now` is in microseconds and given by the caller.

/// Pauses after failures double from the first up to the longest.
const FIRST_PAUSE_MICROS: i64 = 100_000;
const LONGEST_PAUSE_MICROS: i64 = 60_000_000;
/// The longest pause after a step that had to wait for another session: that may be over at any moment.
const LONGEST_PAUSE_FOR_OTHERS_MICROS: i64 = 1_000_000;

/// What a turn does with the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Reads the log on.
    Read,
    /// Forgets the notices of changes that are loaded.
    ForgetChanges,
    /// Takes what is due out of the pending deliveries.
    Claim,
    /// Writes down what became of deliveries.
    Record,
    /// Writes down what another session's lock held up.
    RecordSetAside,
    /// Writes down what receivers said about their subscription.
    Note,
    /// Buries what is pending for subscriptions that are gone or disabled.
    Bury,
    /// Buries what backlogs have too much.
    Shed,
    /// Empties what is past its retention.
    House,
}

impl Step {
    const COUNT: usize = Self::House as usize + 1;
    /// All of them, in their order.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Read,
        Self::ForgetChanges,
        Self::Claim,
        Self::Record,
        Self::RecordSetAside,
        Self::Note,
        Self::Bury,
        Self::Shed,
        Self::House,
    ];

    /// What the step does, as it reads after "cannot".
    ///
    /// ```
    /// use herald_core::steps::Step;
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
            Self::House => "clean up",
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

/// How the steps fare.
///
/// ```
/// use herald_core::steps::{Cause, Step, Steps};
///
/// let mut steps = Steps::default();
/// assert!(steps.failed(Step::Read, Cause::Own, 0));
/// assert!(steps.rests(Step::Read, 99_999));
/// assert!(!steps.rests(Step::Record, 99_999));
/// assert!(!steps.rests(Step::Read, 100_000));
/// ```
#[derive(Debug, Default)]
pub struct Steps([Health; Step::COUNT]);

#[derive(Debug, Default)]
struct Health {
    failures: u32,
    resting_until: Option<i64>,
}

impl Steps {
    /// Whether the step is not tried now, whatever it has to do.
    pub fn rests(&self, step: Step, now: i64) -> bool {
        self.rest_micros(step, now) > 0
    }

    /// How long the step is not tried.
    pub fn rest_micros(&self, step: Step, now: i64) -> i64 {
        let until = self.0[step as usize].resting_until;
        until.map_or(0, |until| until.saturating_sub(now).max(0))
    }

    /// Ends the pauses of a step.
    pub fn succeeded(&mut self, step: Step) {
        self.0[step as usize] = Health::default();
    }

    /// Counts a failure and begins a pause. Returns whether it is the first in a row, the one to be logged: a full disk
    /// must not be filled further.
    pub fn failed(&mut self, step: Step, cause: Cause, now: i64) -> bool {
        let health = &mut self.0[step as usize];
        health.failures = health.failures.saturating_add(1);
        health.resting_until = Some(now.saturating_add(pause_micros(health.failures, cause)));
        health.failures == 1
    }
}

fn pause_micros(failures: u32, cause: Cause) -> i64 {
    let doublings = failures.saturating_sub(1).min(10);
    let longest = match cause {
        Cause::Others => LONGEST_PAUSE_FOR_OTHERS_MICROS,
        Cause::Own => LONGEST_PAUSE_MICROS,
    };
    (FIRST_PAUSE_MICROS << doublings).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rest_after(failures: u32, cause: Cause) -> i64 {
        let mut steps = Steps::default();
        (0..failures).for_each(|_| {
            steps.failed(Step::Record, cause, 0);
        });
        steps.rest_micros(Step::Record, 0)
    }

    #[test]
    fn pauses_double_up_to_a_minute() {
        let rests = [1, 2, 3, 4, 10, 11, 1_000].map(|failures| rest_after(failures, Cause::Own));
        assert_eq!(
            rests,
            [
                100_000, 200_000, 400_000, 800_000, 51_200_000, 60_000_000, 60_000_000
            ]
        );
    }

    #[test]
    fn a_step_that_waits_for_another_session_is_tried_each_second() {
        let rests = [1, 2, 4, 5, 1_000].map(|failures| rest_after(failures, Cause::Others));
        assert_eq!(rests, [100_000, 200_000, 800_000, 1_000_000, 1_000_000]);
    }

    #[test]
    fn only_the_first_failure_in_a_row_is_logged() {
        let mut steps = Steps::default();
        assert!(steps.failed(Step::House, Cause::Own, 0));
        assert!(!steps.failed(Step::House, Cause::Own, 0));
        steps.succeeded(Step::House);
        assert!(steps.failed(Step::House, Cause::Own, 0));
    }

    #[test]
    fn a_step_that_fails_keeps_no_other_from_its_work() {
        let mut steps = Steps::default();
        steps.failed(Step::Read, Cause::Own, 0);
        for step in [Step::Claim, Step::Record, Step::House] {
            assert!(!steps.rests(step, 0));
        }
    }
}
