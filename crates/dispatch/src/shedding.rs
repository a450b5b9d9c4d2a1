//! Shedding: cuts backlogs that exceed their subscription's max_backlog, one backlog at a time, in bounded steps
//! between deliveries to others.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use herald_core::subscription::Subscription;

use crate::burials::{BURIAL_GAP, SLICE};
use crate::failure::Failure;
use crate::record::Record;
use crate::slices::SliceSize;
use crate::store::{Store, Took};
use crate::time::{Moment, Now};
use crate::walk::{Shed, Walk};

/// How long a backlog may exceed its limit: counting costs more the longer it is.
const AFTER: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct Shedding {
    /// Subscriptions whose backlog has grown since it was last checked.
    grown: BTreeSet<i64>,
    /// Subscriptions to check next, after the current walk.
    next: VecDeque<i64>,
    walk: Option<Walk>,
    /// When the walk began, and since when it has been burying the excess: a count does not stay valid.
    walking_since: Moment,
    burying_since: Option<Moment>,
    due: Option<Moment>,
    size: SliceSize,
}

impl Default for Shedding {
    fn default() -> Self {
        Self {
            grown: BTreeSet::new(),
            next: VecDeque::new(),
            walk: None,
            walking_since: Moment::default(),
            burying_since: None,
            due: None,
            size: SLICE,
        }
    }
}

impl Shedding {
    /// Remembers which of these records added to a backlog with a limit.
    pub fn recorded(&mut self, records: &[Record], now: Now) {
        for record in records.iter().filter(|record| record.is_pending()) {
            self.expect(&record.delivery.subscription, now);
        }
    }

    /// Notes that the backlog of this subscription may exceed its limit.
    pub fn expect(&mut self, subscription: &Subscription, now: Now) {
        if subscription.max_backlog.is_some() {
            self.grown.insert(subscription.id);
            self.due.get_or_insert(now.moment + AFTER);
        }
    }

    pub fn is_due(&self, now: Now) -> bool {
        self.due.is_some_and(|due| now.is_past(due))
    }

    pub fn due_in(&self, now: Now) -> Option<Duration> {
        self.due.map(|due| now.until(due))
    }

    /// Walks a step along a backlog, or buries some of its excess.
    pub fn shed(&mut self, store: &mut impl Store, now: Now) -> Result<(), Failure> {
        let Some(walk) = self.next_walk(now) else {
            self.due = None;
            return Ok(());
        };
        let Took { result, took } = store.shed(walk, self.size.get());
        self.take_in(walk, result, took, now.after(took))
    }

    fn next_walk(&mut self, now: Now) -> Option<Walk> {
        if self.walk.is_none() && self.next.is_empty() {
            self.next.extend(std::mem::take(&mut self.grown));
        }
        self.walk.take().or_else(|| {
            (self.walking_since, self.burying_since) = (now.moment, None);
            Some(Walk {
                id: self.next.pop_front()?,
                passed: 0,
                after_seq: -1,
            })
        })
    }

    fn take_in(
        &mut self,
        walk: Walk,
        result: Result<Shed, Failure>,
        took: Duration,
        now: Now,
    ) -> Result<(), Failure> {
        let failure = match result {
            Ok(shed) => {
                if shed.buried > 0 {
                    self.size.took(shed.buried, took.as_micros() as i64);
                    self.burying_since.get_or_insert(now.moment);
                }
                // Count again after a second, or after as long as the count took.
                let is_old = self.burying_since.is_some_and(|since| {
                    now.since(since) >= AFTER.max(since.since(self.walking_since))
                });
                if shed.is_over {
                    self.walk = None;
                } else if is_old {
                    // Deliveries have left meanwhile. The other backlogs come first.
                    self.next.push_back(walk.id);
                } else {
                    self.walk = Some(Walk {
                        passed: shed.passed,
                        after_seq: shed.after_seq,
                        ..walk
                    });
                }
                None
            }
            // The other backlogs come first.
            Err(failure) => {
                self.grown.insert(walk.id);
                Some(failure)
            }
        };
        self.due = if self.walk.is_some() || !self.next.is_empty() {
            Some(now.moment + took * BURIAL_GAP)
        } else {
            (!self.grown.is_empty()).then_some(now.moment + AFTER)
        };
        failure.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Fault;
    use crate::testing::at;

    const TOOK: Duration = Duration::from_millis(1);

    fn shedding(ids: &[i64]) -> Shedding {
        Shedding {
            grown: ids.iter().copied().collect(),
            ..Shedding::default()
        }
    }

    fn shed(buried: usize, is_over: bool) -> Result<Shed, Failure> {
        Ok(Shed {
            passed: 5,
            after_seq: 50,
            buried,
            is_over,
        })
    }

    fn locked() -> Result<Shed, Failure> {
        Err(Failure {
            fault: Fault::Locked,
            words: "a lock".into(),
            damage: None,
        })
    }

    fn step(shedding: &mut Shedding, result: Result<Shed, Failure>) -> Option<Walk> {
        let walk = shedding.next_walk(at(0))?;
        let _ = shedding.take_in(walk, result, TOOK, at(0));
        Some(walk)
    }

    #[test]
    fn a_backlog_is_gone_along_to_its_end_before_the_next_one() {
        let mut shedding = shedding(&[1, 2]);
        let begin = |id| Walk {
            id,
            passed: 0,
            after_seq: -1,
        };
        let on = Walk {
            id: 1,
            passed: 5,
            after_seq: 50,
        };
        assert_eq!(step(&mut shedding, shed(0, false)), Some(begin(1)));
        assert_eq!(step(&mut shedding, shed(8, false)), Some(on));
        assert_eq!(shedding.due_in(at(0)), Some(TOOK * BURIAL_GAP));
        assert_eq!(step(&mut shedding, shed(2, true)), Some(on));
        assert_eq!(step(&mut shedding, shed(0, true)), Some(begin(2)));
        assert_eq!(shedding.due_in(at(0)), None);
    }

    #[test]
    fn a_backlog_is_counted_again_after_a_second_of_burying() {
        let mut shedding = shedding(&[1, 2]);
        let mut bury = |millis| {
            let walk = shedding.next_walk(at(millis)).unwrap();
            let _ = shedding.take_in(walk, shed(8, false), TOOK, at(millis));
            (walk.id, walk.passed)
        };
        assert_eq!([0, 500, 1_000].map(&mut bury), [(1, 0), (1, 5), (1, 5)]);
        assert_eq!([1_001, 2_001].map(&mut bury), [(2, 0), (2, 5)]);
        assert_eq!(bury(2_002), (1, 0));
    }

    #[test]
    fn a_backlog_that_is_locked_keeps_no_other_waiting_and_is_tried_again() {
        let mut shedding = shedding(&[1, 2]);
        let ids = [locked(), shed(0, true), locked(), shed(0, true)]
            .map(|result| step(&mut shedding, result).map(|walk| walk.id));
        assert_eq!(ids, [Some(1), Some(2), Some(1), Some(1)]);
        assert_eq!(step(&mut shedding, shed(0, true)), None);
    }
}
