//! The worker's report on itself: which steps fail, which settings it uses, which event types it has seen. It is
//! written when it changes, at most once per second.

use std::collections::BTreeMap;
use std::time::Duration;

use herald_core::error::shortened;

use crate::steps::Step;
use crate::time::{Moment, Now};

const EVERY: Duration = Duration::from_secs(1);
/// At most this many characters of an error are kept.
const SHOWN_ERROR: usize = 500;

/// The report to write, and when.
#[derive(Debug)]
pub struct Report {
    failing: BTreeMap<&'static str, Failing>,
    /// The last failure of any step, in words, and its time.
    pub last_error: Option<(String, i64)>,
    /// Settings were applied since the last report.
    pub has_new_settings: bool,
    is_due: bool,
    written_at: Option<Moment>,
}

/// Failures of a step since it last succeeded.
#[derive(Debug)]
pub struct Failing {
    pub since_micros: i64,
    pub last_micros: i64,
    pub times: u32,
    pub error: String,
}

/// The first report, which has the settings.
impl Default for Report {
    fn default() -> Self {
        Self {
            failing: BTreeMap::new(),
            last_error: None,
            has_new_settings: true,
            is_due: true,
            written_at: None,
        }
    }
}

impl Report {
    pub fn failed(&mut self, step: Step, error: &str, now_micros: i64) {
        let error = shortened(error, SHOWN_ERROR);
        let failing = self.failing.entry(step.words()).or_insert(Failing {
            since_micros: now_micros,
            last_micros: now_micros,
            times: 0,
            error: String::new(),
        });
        failing.last_micros = now_micros;
        failing.times = failing.times.saturating_add(1);
        failing.error.clone_from(&error);
        self.last_error = Some((format!("cannot {}: {error}", step.words()), now_micros));
        // A report that cannot be written must not cause another.
        self.is_due |= step != Step::Report;
    }

    pub fn succeeded(&mut self, step: Step) {
        self.is_due |= self.failing.remove(step.words()).is_some();
    }

    pub fn took_settings(&mut self) {
        self.has_new_settings = true;
        self.is_due = true;
    }

    /// Notes that new event types were seen.
    pub fn saw_types(&mut self) {
        self.is_due = true;
    }

    /// Returns the failing steps, in words.
    pub fn failing(&self) -> impl Iterator<Item = (&'static str, &Failing)> {
        self.failing.iter().map(|(step, failing)| (*step, failing))
    }

    /// Returns how long until the report has to be written, if it changed.
    pub fn due_in(&self, now: Now) -> Option<Duration> {
        let rest = self
            .written_at
            .map_or(Duration::ZERO, |at| EVERY.saturating_sub(now.since(at)));
        self.is_due.then_some(rest)
    }

    pub fn written(&mut self, now: Now) {
        self.has_new_settings = false;
        self.is_due = false;
        self.written_at = Some(now.moment);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::at;

    #[test]
    fn it_is_written_when_something_changed_and_once_a_second_at_most() {
        let mut report = Report::default();
        assert_eq!(report.due_in(at(0)), Some(Duration::ZERO));
        report.written(at(0));
        assert_eq!(report.due_in(at(0)), None);
        report.failed(Step::Read, "a full disk", 0);
        assert_eq!(report.due_in(at(400)), Some(Duration::from_millis(600)));
        report.written(at(1_000));
        report.succeeded(Step::Claim);
        assert_eq!(report.due_in(at(2_000)), None);
        report.succeeded(Step::Read);
        assert_eq!(report.due_in(at(2_000)), Some(Duration::ZERO));
    }

    #[test]
    fn a_report_that_cannot_be_written_is_no_reason_for_another() {
        let mut report = Report::default();
        report.written(at(0));
        report.failed(Step::Report, "a full disk", 0);
        assert_eq!(report.due_in(at(2_000)), None);
    }
}
