//! Records that another session's lock holds up: they wait in memory and are tried again apart from the rest.

use std::collections::VecDeque;
use std::time::Duration;

use crate::record::{Batch, RECORD_SIZE, Record, outcome_memory};
use crate::slices::SliceSize;
use crate::store::{Effort, Recorded};
use crate::time::{Moment, Now};

/// The pause before the next round, after everything was tried.
const PAUSE: Duration = Duration::from_secs(1);
/// The time for a transaction that tries a record alone; doubled each time it does not suffice.
const FIRST_PATIENCE: Duration = Duration::from_millis(500);
const LONGEST_PATIENCE: Duration = Duration::from_secs(4);
/// This many are tried at once, until it is known how long that takes.
const AT_ONCE: SliceSize = SliceSize::new(16, 1, RECORD_SIZE);
/// The log mentions it at most this often.
const LOGGED_EVERY: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub struct SetAside {
    records: VecDeque<Record>,
    /// The memory that their outcomes hold, in bytes.
    outcome_bytes: usize,
    /// When the next round begins, and how many records of the current round were not yet tried.
    due: Moment,
    left_in_round: usize,
    /// How many are tried at once: fewer while the time does not suffice, so that none waits forever behind a slow
    /// record.
    at_once: SliceSize,
    /// Whether a record of this round was slow, or was not tried because of that.
    was_slow: bool,
    /// The time for a record that is tried alone, so that even a dead letter that takes a slow disk a second is written
    /// in the end.
    patience: Duration,
    logged_at: Option<Moment>,
}

impl Default for SetAside {
    fn default() -> Self {
        Self {
            records: VecDeque::new(),
            outcome_bytes: 0,
            due: Moment::default(),
            left_in_round: 0,
            at_once: AT_ONCE,
            was_slow: false,
            patience: FIRST_PATIENCE,
            logged_at: None,
        }
    }
}

impl SetAside {
    /// Keeps these records. Returns a line for the log, unless it was told lately.
    pub fn push(&mut self, records: Vec<Record>, now: Now) -> Option<String> {
        if records.is_empty() {
            return None;
        }
        if self.records.is_empty() {
            self.due = now.moment + PAUSE;
            self.left_in_round = 0;
        }
        self.outcome_bytes += outcome_memory(&records);
        self.records.extend(records);
        let is_told = self
            .logged_at
            .is_some_and(|at| now.since(at) < LOGGED_EVERY);
        if is_told {
            return None;
        }
        self.logged_at = Some(now.moment);
        Some(format!(
            "{} outcomes wait until other sessions release their locks on herald.pending or herald.dead_letter; \
             see: select * from herald.doctor()",
            self.records.len()
        ))
    }

    /// Takes the records to try now, if it is time.
    pub fn take_due(&mut self, now: Now) -> Option<(Batch, Effort)> {
        if self.records.is_empty() || !now.is_past(self.due) {
            return None;
        }
        if self.left_in_round == 0 {
            self.left_in_round = self.records.len();
            if !std::mem::take(&mut self.was_slow) && self.at_once.get() < AT_ONCE.get() {
                self.at_once = AT_ONCE;
            }
        }
        let count = self.left_in_round.min(self.at_once.get());
        self.left_in_round -= count;
        if self.left_in_round == 0 {
            self.due = now.moment + PAUSE;
        }
        let records: Vec<Record> = self.records.drain(..count).collect();
        self.outcome_bytes -= outcome_memory(&records);
        let batch = Batch {
            records,
            closed_windows: Vec::new(),
        };
        Some((batch, Effort::Again(self.patience)))
    }

    /// Adapts to the result of trying `tried` records.
    pub fn tried(&mut self, tried: usize, recorded: &Recorded) {
        if recorded.is_slow {
            self.patience = (self.patience * 2).min(LONGEST_PATIENCE);
        } else if recorded.set_aside.is_empty() && self.records.is_empty() {
            self.patience = FIRST_PATIENCE;
        }
        self.was_slow |= recorded.is_slow || recorded.untried > 0;
        let (count, micros) = (
            tried.saturating_sub(recorded.untried),
            recorded.took.as_micros() as i64,
        );
        // While records stay locked, never try more at once again: at some point a slow record has to be tried alone.
        if recorded.set_aside.is_empty() {
            self.at_once.took(count, micros);
        } else {
            self.at_once.took_without_growth(count, micros);
        }
    }

    /// Takes all records, to be tried a last time.
    pub fn take_all(&mut self) -> VecDeque<Record> {
        self.outcome_bytes = 0;
        std::mem::take(&mut self.records)
    }

    /// Returns the memory that it holds besides its deliveries, in bytes.
    pub fn memory(&self) -> usize {
        self.outcome_bytes
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Returns how long until records are tried again, if any wait.
    pub fn due_in(&self, now: Now) -> Option<Duration> {
        (!self.records.is_empty()).then(|| now.until(self.due))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{at, pending};

    fn filled(count: usize) -> SetAside {
        let mut set_aside = SetAside::default();
        set_aside.push((0..count).map(|_| pending()).collect(), at(0));
        set_aside
    }

    fn sizes(set_aside: &mut SetAside, now: Now) -> usize {
        let due = set_aside.take_due(now);
        due.map_or(0, |(batch, _)| batch.records.len())
    }

    #[test]
    fn a_round_goes_through_all_of_them_and_the_next_one_begins_a_second_later() {
        let mut set_aside = filled(250);
        assert_eq!(sizes(&mut set_aside, at(999)), 0);
        set_aside.at_once = SliceSize::new(100, 1, 100);
        let round = [at(1_000), at(1_001), at(1_002)].map(|now| sizes(&mut set_aside, now));
        assert_eq!(round, [100, 100, 50]);
        set_aside.push(vec![pending()], at(1_002));
        assert_eq!(sizes(&mut set_aside, at(2_001)), 0);
        assert_eq!(sizes(&mut set_aside, at(2_002)), 1);
    }

    #[test]
    fn fewer_are_tried_at_once_while_the_time_does_not_suffice() {
        let mut set_aside = filled(200);
        let in_vain = Recorded {
            untried: 6,
            set_aside: vec![pending()],
            took: Duration::from_millis(5),
            ..Recorded::default()
        };
        set_aside.tried(16, &in_vain);
        assert_eq!(sizes(&mut set_aside, at(1_000)), 3);
        set_aside.tried(3, &Recorded::default());
        assert_eq!(sizes(&mut set_aside, at(1_000)), 6);
    }

    #[test]
    fn a_record_that_is_slow_alone_gets_more_time_each_time() {
        let mut set_aside = filled(1);
        let slow = Recorded {
            is_slow: true,
            ..Recorded::default()
        };
        let mut patience = Vec::new();
        for _ in 0..5 {
            patience.push(set_aside.patience.as_millis());
            set_aside.tried(1, &slow);
        }
        assert_eq!(patience, [500, 1_000, 2_000, 4_000, 4_000]);
    }

    #[test]
    fn the_log_is_told_once_a_minute() {
        let mut set_aside = filled(1);
        assert!(set_aside.push(vec![pending()], at(59_999)).is_none());
        assert!(set_aside.push(vec![pending()], at(60_000)).is_some());
    }
}
